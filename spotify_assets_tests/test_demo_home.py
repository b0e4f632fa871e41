"""The demo as a newcomer meets it: the command, mirrored to an S3 server, what is restored from there, then the Dagster
UI in a real browser beside a demo Spotify."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import psutil
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.s3_server import S3Server, running
from spotify_assets.lakehouse import Warehouse, scan_table
from spotify_assets_tests.conftest import CHROMIUM_ARGUMENTS, find_browser
from spotify_assets_tests.lakehouse.stored_rows import differences

COMMAND = Path(sys.executable).with_name("spotify-assets")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    """An S3 server of this module's own: others empty theirs between two tests."""
    with running() as server:
        server.make_bucket("lake")
        yield server


@dataclass(frozen=True)
class Demo:
    """A home of `spotify-assets demo`, and what the command said.

    Attributes:
        environment: Of the command: three variables make it mirror to the S3 server, whose keys stand in ~/.aws.
        as_mirrored: A copy of the home as it was then.
    """

    home: Path
    told: subprocess.CompletedProcess[str]
    environment: dict[str, str]
    as_mirrored: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, store: S3Server) -> Demo:
    person, folder = tmp_path_factory.mktemp("person"), tmp_path_factory.mktemp("demo")
    (person / ".aws").mkdir()
    (person / ".aws" / "credentials").write_text("[lake]\naws_access_key_id = any\naws_secret_access_key = any\n")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SPOTIFY_ASSETS_", "AWS_"))}
    environment = {
        **own,
        "HOME": str(person),
        "COLUMNS": "200",
        # Somebody's real app must not be told to the demo, nor keep it from working.
        "SPOTIPY_CLIENT_ID": "somebody",
        "SPOTIPY_CLIENT_SECRET": "secret",
        "SPOTIFY_ASSETS_MIRROR": "s3://lake/demo",
        "SPOTIFY_ASSETS_MIRROR_ENDPOINT_URL": store.endpoint_url,
        "AWS_PROFILE": "lake",
    }
    home = folder / "home"
    told = _run_command("demo", "--years", "1", "--home", home, environment=environment)
    assert told.returncode == 0, told.stderr
    shutil.copytree(home, folder / "as-mirrored", symlinks=True)
    return Demo(home, told, environment, folder / "as-mirrored")


def _run_command(*arguments: str | Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def address(demo: Demo) -> Iterator[str]:
    """`spotify-assets ui --demo` on that home."""
    port = _free_port()
    process = subprocess.Popen(
        [COMMAND, "ui", "--demo", "--home", demo.home, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"{url}/server_info", timeout=2).read()
                break
            except OSError:
                assert process.poll() is None, "spotify-assets ui ended"
                assert time.monotonic() < deadline, "the UI did not come up within 180 s"
                time.sleep(0.5)
        yield url
    finally:
        # To the command alone, as a supervisor does.
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(60)
            _, left = psutil.wait_procs(children, timeout=20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert len(children) > 2 and left == []
    assert _sign_ins(demo.home) == [], "the demo's sign-in goes with its Spotify"


def _sign_ins(home: Path) -> list[str]:
    return [path.name for path in (*home.glob("tokens/*.json"), *home.glob("credentials*"))]


def test_the_demo_shows_export_and_live_data_of_one_listener(demo: Demo) -> None:
    assert "Beyond the exports" in demo.told.stdout and "provable gap" in demo.told.stdout
    tables = {name: scan_table(demo.home, name).collect() for name in ("clean.plays", "raw.polls", "clean.tracks")}
    by_source = dict(tables["clean.plays"]["source"].value_counts().iter_rows())
    assert by_source["extended"] > 5_000 and by_source["basic"] > 0 and by_source["api"] > 100
    told = scan_table(demo.home, "raw.recently_played").collect().height
    assert told > by_source["api"], "some of what the Web API told is in the exports too"
    assert tables["raw.polls"]["is_gap_provable"].any()
    assert tables["clean.tracks"]["duration_ms"].is_not_null().mean() > 0.5
    assert scan_table(demo.home, "clean.track_features").collect().height > 0
    assert _sign_ins(demo.home) == []


def test_the_demo_mirrors_to_a_bucket_and_is_restored_from_it_whole(
    demo: Demo, store: S3Server, tmp_path: Path
) -> None:
    files = store.stored("lake")
    assert f"s3://lake/demo\n             {len(files) - 1} files, " in demo.told.stdout, "all but the manifest"
    assert f": {len(files) - 1} uploaded (" in demo.told.stdout, "each file once"
    assert f"restore --from s3://lake/demo --home {demo.home}-restored" in demo.told.stdout
    assert not (demo.home / "mirror").exists()

    home = tmp_path / "new machine"
    told = _run_command("restore", "--from", "s3://lake/demo", "--home", home, environment=demo.environment)
    assert told.returncode == 0, told.stderr
    assert differences(demo.as_mirrored, home) == []


def test_polars_and_duckdb_read_the_mirrored_demo_by_its_manifest(demo: Demo, store: S3Server, tmp_path: Path) -> None:
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    client = store.client()

    def read(key: str) -> bytes:
        return client.get_object(Bucket="lake", Key=f"demo/{key}")["Body"].read()

    options = {**keys, "aws_endpoint_url": store.endpoint_url, "aws_allow_http": "true", "aws_region": "us-east-1"}
    manifest = json.loads(read("manifest.json"))
    for table, sums in {"clean.plays": "ms_played", "daily.artists": "plays"}.items():
        named = [file for file in manifest["files"] if file["table"] == table]
        addresses = [f"s3://lake/demo/{file['key']}" for file in named]
        polars = pl.read_parquet(addresses, storage_options=options, hive_partitioning=False)

        downloaded = []
        for number, file in enumerate(named):
            content = read(file["key"])
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
            downloaded.append(str(tmp_path / f"{table}-{number}.parquet"))
            Path(downloaded[-1]).write_bytes(content)
        query = f"SELECT count(*), sum({sums})::BIGINT FROM read_parquet(?, hive_partitioning = false)"
        in_duckdb = duckdb.execute(query, [downloaded]).fetchall()[0]

        stored = scan_table(demo.as_mirrored, table).collect()
        assert polars.sort(polars.columns).equals(stored.select(polars.columns).sort(polars.columns))
        assert in_duckdb == (stored.height, stored[sums].sum())


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(120_000)
        expect.set_options(timeout=120_000)
        yield page
        browser.close()


@pytest.mark.browser
def test_the_asset_graph_shows_the_schemas_as_groups(page: Page, address: str) -> None:
    page.goto(f"{address}/asset-groups")
    for group in ("raw", "clean", "daily"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()


@pytest.mark.browser
def test_an_asset_shows_its_columns_and_what_they_mean(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/daily/listening?view=overview")
    for text in ("longest_session_ms", "Plays of tracks that count as a scrobble."):
        expect(page.get_by_text(text).first).to_be_visible()


@pytest.mark.browser
def test_the_runs_of_the_command_line_stand_on_the_runs_page(page: Page, address: str) -> None:
    page.goto(f"{address}/runs")
    expect(page.get_by_text("import_exports").first).to_be_visible()


def _ask(address: str, query: str, **variables: object) -> dict:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=30))["data"]


def _run(address: str, job_name: str) -> str:
    """Launch a job as its page does, and wait for its end; returns the run's id."""
    launched = _ask(
        address,
        "mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) "
        "{ __typename ... on LaunchRunSuccess { run { runId } } } }",
        p={
            "selector": {
                "repositoryLocationName": "spotify_assets",
                "repositoryName": "__repository__",
                "jobName": job_name,
            },
            "mode": "default",
            "runConfigData": {},
        },
    )["launchPipelineExecution"]
    run_id = launched["run"]["runId"]
    deadline = time.monotonic() + 300
    status = ""
    while status not in ("SUCCESS", "FAILURE") and time.monotonic() < deadline:
        time.sleep(1)
        status = _ask(address, "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)[
            "runOrError"
        ]["status"]
    assert status == "SUCCESS"
    return run_id


@pytest.mark.browser
def test_the_job_that_needs_no_config_runs_from_the_ui_and_its_page_says_so(page: Page, address: str) -> None:
    run_id = _run(address, "everything_due")
    page.goto(f"{address}/runs/{run_id}")
    expect(page.get_by_text("days were stale and are built").first).to_be_visible()


@pytest.mark.long
def test_the_top_lists_are_asked_for_beside_the_ui(address: str) -> None:
    _run(address, "top_lists")


def test_the_listener_goes_on_listening_and_is_polled_beside_the_ui(demo: Demo, address: str) -> None:
    before = scan_table(demo.home, "raw.polls").collect()
    _run(address, "poll")
    polls = Warehouse(home=str(demo.home)).read("raw.polls")
    assert polls.height > before.height and set(polls["outcome"]) == {"told"}
