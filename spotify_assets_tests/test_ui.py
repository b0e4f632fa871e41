"""The Dagster UI in a real browser: the asset graph, an asset with its columns, a run launched from the page."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from spotify_assets_tests.conftest import find_browser

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("ui")]

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def address(demo_home: Path) -> Iterator[str]:
    """`spotify-assets ui` on the demo home."""
    port = _free_port()
    environment = {**os.environ, "SPOTIFY_ASSETS_TIMEZONE": "Europe/Berlin", "SPOTIFY_ASSETS_LISTENER": "demo"}
    process = subprocess.Popen(
        [Path(sys.executable).with_name("spotify-assets"), "ui", "--home", demo_home, "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{url}/server_info", timeout=2).read()
                break
            except OSError:
                assert process.poll() is None, "spotify-assets ui ended"
                assert time.monotonic() < deadline, "the UI did not come up within 90 s"
                time.sleep(0.5)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield page
        browser.close()


def test_the_asset_graph_shows_the_schemas_as_groups(page: Page, address: str) -> None:
    page.goto(f"{address}/asset-groups")
    for group in ("raw", "clean", "daily"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()


def test_an_asset_shows_its_columns_and_what_they_mean(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/daily/listening?view=overview")
    for text in ("longest_session_ms", "Plays of tracks that count as a scrobble."):
        expect(page.get_by_text(text).first).to_be_visible()


def test_the_runs_of_the_command_line_stand_on_the_runs_page(page: Page, address: str) -> None:
    page.goto(f"{address}/runs")
    expect(page.get_by_text("import_exports").first).to_be_visible()


def _ask(address: str, query: str, **variables: object) -> dict:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=30))["data"]


def test_the_job_that_needs_no_config_runs_from_the_ui_and_its_page_says_so(page: Page, address: str) -> None:
    launched = _ask(
        address,
        "mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) "
        "{ __typename ... on LaunchRunSuccess { run { runId } } } }",
        p={
            "selector": {
                "repositoryLocationName": "spotify_assets",
                "repositoryName": "__repository__",
                "jobName": "everything_due",
            },
            "mode": "default",
            "runConfigData": {},
        },
    )["launchPipelineExecution"]
    run_id = launched["run"]["runId"]
    deadline = time.monotonic() + 120
    status = ""
    while status not in ("SUCCESS", "FAILURE") and time.monotonic() < deadline:
        time.sleep(1)
        status = _ask(address, "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)[
            "runOrError"
        ]["status"]
    assert status == "SUCCESS"
    page.goto(f"{address}/runs/{run_id}")
    expect(page.get_by_text("days were stale and are built").first).to_be_visible()
