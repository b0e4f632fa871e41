"""`spotify-assets run`: everything that is due, once, on machines that have nothing but the mirror."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import polars as pl
import pytest

from spotify_assets.automation.jobs import CATALOGUE_JOB, POLL_JOB, TOP_LISTS_JOB
from spotify_assets.commands import import_paths, purge_listener
from spotify_assets.demo.listener import DemoListener
from spotify_assets.instance import open_instance
from spotify_assets.lakehouse import MirrorError, scan_table
from spotify_assets.lakehouse.mirror_lock import LOCK_KEY
from spotify_assets.one_shot import RunReport, run_once
from spotify_assets.settings import Settings
from spotify_assets.spotify.credentials import Credentials, keep_credentials
from spotify_assets.spotify.sign_in import sign_in
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets_tests.automation.live_homes import NAME, Served, Time, demo_spotify
from spotify_assets_tests.automation.ticks import days_ago, play, write_zip
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.exports import samples
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.s3_servers import S3Server
from spotify_assets_tests.spotify.demo_accounts import APP
from spotify_assets_tests.spotify.persons import Person

LOCK = f"mine/{LOCK_KEY}"


class TrueTime(Time):
    """The machine's, because other processes have no other."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def served() -> Iterator[Served]:
    """A demo Spotify whose listener has heard something on each of the last days."""
    today = datetime.now(UTC).date()
    listener = DemoListener(
        first_day=today - timedelta(days=4), last_day=today - timedelta(days=1), timezone="UTC", plays_per_day=5.0
    )
    with demo_spotify(listener, time=TrueTime()) as served:
        yield served


@dataclass
class Machines:
    """Machines with homes of their own and one mirror in a bucket."""

    folder: Path
    server: S3Server

    def settings(self, name: str, **more: object) -> Settings:
        where = {"mirror": "s3://lake/mine", "mirror_endpoint_url": self.server.endpoint_url}
        return settings_of(self.folder / name, **{"timezone": "UTC", "bi_copies": "", **where, **more})

    def start(self, settings: Settings, *arguments: str) -> Command:
        """`spotify-assets run` as a process of its own."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SPOTIFY_ASSETS_")}
        environment |= settings.own_environment() | {"COLUMNS": "200"}
        if text := settings.sign_in.get_secret_value():
            environment |= {"SPOTIFY_ASSETS_SIGN_IN": text, "SPOTIPY_CLIENT_ID": settings.client_id or ""}
        told, complained = (self.folder / f"{settings.home.name}.{stream}" for stream in ("stdout", "stderr"))
        words = ["run", *arguments]
        process = processes.start(processes.run_command, words, environment, self.folder, told, complained)
        return Command(process, told, complained)

    def run(self, settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.start(settings, *arguments).ended()

    def wait_for_lock(self) -> None:
        for _ in range(600):
            if LOCK in self.server.keys("mine/lock") and json.loads(self.server.read(LOCK))["owner"]:
                return
            time.sleep(0.05)
        raise AssertionError("nobody took the lock")

    def drop(self, key: str, *plays: dict[str, object]) -> None:
        """Put an export into the inbox of the mirror."""
        self.server.put(f"mine/inbox/{key}", write_zip(self.folder / "dropped.zip", *plays).read_bytes())


@dataclass
class Command:
    """A process that runs, and the files into which it speaks."""

    process: BaseProcess
    told: Path
    complained: Path

    def ended(self) -> subprocess.CompletedProcess[str]:
        self.process.join(300)
        assert self.process.exitcode is not None
        told, complained = self.told.read_text(), self.complained.read_text()
        assert "Traceback" not in told + complained
        return subprocess.CompletedProcess(["run"], self.process.exitcode, told, complained)


@pytest.fixture
def machines(tmp_path: Path, s3_server: S3Server) -> Machines:
    return Machines(tmp_path, s3_server)


def table(settings: Settings, name: str) -> pl.DataFrame:
    frame = scan_table(settings.home, name).collect()
    return frame.sort(frame.columns)


def live(settings: Settings, served: Served) -> Settings:
    """Settings of a home that takes what is served for Spotify."""
    return settings.model_copy(
        update={"api_url": f"{served.url}/v1", "accounts_url": served.url, "requests_per_second": 1000.0}
    )


def test_a_machine_that_has_only_the_mirror_goes_on_where_the_last_one_ended(
    machines: Machines, served: Served
) -> None:
    # One request of a kind is enough here.
    budgets = ", ".join(f"{name}=1" for name in ("tracks", "albums", "artists", "artist_albums", "artist_top_tracks"))
    first = live(machines.settings("first", daily_budgets=budgets), served)
    assert import_paths(first, [write_zip(machines.folder / "a.zip", play(days_ago(9)))]).outcome.is_success
    sign_in(first, Person(), now=served.time.now, sleep=time.sleep, client_id=APP.client_id, uses_browser=False)

    token = TokenFolder(first.paths.tokens_folder).file_of(NAME).read_text()
    more = {"sign_in": token, "SPOTIPY_CLIENT_ID": APP.client_id, "daily_budgets": budgets}
    second = live(machines.settings("second", **more), served)
    done = machines.run(second)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Restored from s3://lake/mine" in done.stdout
    for job_name in (POLL_JOB, TOP_LISTS_JOB, CATALOGUE_JOB):
        assert f"Asked Spotify ({job_name}): something new came" in done.stdout
    assert token not in done.stdout + done.stderr
    plays = table(second, "clean.plays")
    assert set(plays["source"]) == {"extended", "api"}
    assert table(second, "daily.listening")["plays"].sum() == plays.height
    assert json.loads(machines.server.read(LOCK))["owner"] == ""

    requests = served.demo.requests.count()
    report = run_once(first)
    assert report.restored and (report.failures, report.needs) == ([], []), "the other machine has run since"
    assert list(report.asked) == [POLL_JOB], "the others were asked a moment ago, on the other machine"
    assert served.demo.requests.count() == requests + 1
    assert table(first, "clean.plays").equals(plays)
    assert table(first, "raw.polls").height == 2, "the other's, and its own"
    with open_instance(first) as instance:
        jobs = {record.dagster_run.job_name for record in instance.get_run_records()}
    assert jobs == {"import_exports", "daily", "ask_recently_played"}


def test_of_two_at_once_one_runs_and_the_other_says_so_and_leaves_the_next_takes_over_from_a_killed_one(
    machines: Machines,
) -> None:
    machines.drop("demo/my_spotify_data.zip", play(days_ago(5)))
    quick = {"mirror_lock_seconds": 2.0}
    killed = machines.start(machines.settings("killed", **quick))
    machines.wait_for_lock()
    refused = machines.run(machines.settings("refused", **quick))
    assert refused.returncode == 75, refused.stdout + refused.stderr
    assert "holds the lock s3://lake/mine/lock.json" in refused.stderr
    assert not machines.settings("refused").paths.warehouse_file.exists()
    killed.process.kill()
    killed.process.join()
    held = json.loads(machines.server.read(LOCK))["owner"] != ""
    assert held or killed.process.exitcode == 0
    time.sleep(3.1)
    done = machines.run(machines.settings("next", **quick))
    assert done.returncode == 0, done.stdout + done.stderr
    assert table(machines.settings("next"), "clean.plays").height == 1
    assert machines.server.keys("mine/inbox/demo/my") == []


def test_one_that_is_told_to_stop_gives_the_lock_back(machines: Machines) -> None:
    machines.drop("demo/my_spotify_data.zip", play(days_ago(5)))
    stopped = machines.start(machines.settings("stopped"))
    machines.wait_for_lock()
    while "Unpacking" not in stopped.complained.read_text() and stopped.process.is_alive():
        time.sleep(0.02)
    stopped.process.terminate()
    done = stopped.ended()
    assert done.returncode == 130, done.stdout + done.stderr
    assert machines.server.keys("mine/inbox/") == ["mine/inbox/demo/my_spotify_data.zip"]
    assert json.loads(machines.server.read(LOCK))["owner"] == ""


def test_zips_in_the_inbox_of_the_mirror_are_taken_in_once_and_damaged_ones_set_aside(machines: Machines) -> None:
    machines.drop("demo/my_spotify_data.zip", play(days_ago(5)))
    machines.server.put("mine/inbox/demo/cut.zip", b"PK\x03\x04 cut off")
    half = {
        "Streaming_History_Audio_2023.json": '[{"ts": "2023-',
        "Streaming_History_Audio_2024.json": [play(days_ago(4))],
    }
    machines.server.put("mine/inbox/demo/half.zip", samples.write_zip(machines.folder / "half.zip", half).read_bytes())
    machines.server.put("mine/inbox/lost.zip", b"whose?")
    machine = machines.settings("machine")
    done = machines.run(machine)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Taken in my_spotify_data.zip of demo: 1 new rows" in done.stdout
    assert "Needs you: cut.zip is no whole zip file" in done.stdout
    assert "inbox/lost.zip is not looked at" in done.stdout
    keys = [key.removeprefix("mine/inbox/") for key in machines.server.keys("mine/inbox/")]
    damaged = ["demo/damaged/cut", "demo/damaged/cut", "demo/damaged/half", "demo/damaged/half"]
    assert [key.split("-")[0] for key in keys] == [*damaged, "demo/done/my_spotify_data", "lost.zip"]
    assert "Taken in half.zip of demo: 1 new rows" in done.stdout
    assert b"Streaming_History_Audio_2023.json" in machines.server.read(f"mine/inbox/{keys[3]}")
    assert b"no whole zip file" in machines.server.read(f"mine/inbox/{keys[1]}")

    report = run_once(machine)
    assert (report.taken_in, report.needs, report.failures) == ([], [], [])
    assert table(machine, "clean.plays").height == 2
    machines.server.keep_versions()
    purge_listener(machine, "demo")
    assert machines.server.versions("mine/inbox/") == [("mine/inbox/lost.zip", False)]


def test_what_lies_in_the_home_s_inbox_and_in_that_of_a_folder_is_taken_in(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home", timezone="UTC", bi_copies="", mirror=str(tmp_path / "shared"))
    own = settings.paths.inbox_folder("demo")
    shared = tmp_path / "shared" / "inbox" / "demo"
    for folder in (own, shared):
        folder.mkdir(parents=True)
    write_zip(own / "own.zip", play(days_ago(4)))
    write_zip(shared / "my_spotify_data.zip", play(days_ago(5)))
    (shared / "growing.zip").write_bytes(b"PK")
    settings.paths.listeners_file.write_text('[[listener]]\nname = "demo"\n')
    write_zip(tmp_path / "shared" / "inbox" / "eve" / "of-nobody-here.zip", play(days_ago(3)))
    report = run_once(settings)
    assert sorted(each.name for each in report.taken_in) == ["my_spotify_data.zip", "own.zip"]
    assert [need.split(" ")[0] for need in report.needs] == ["inbox/eve/of-nobody-here.zip"]
    assert any("growing.zip is not whole yet" in note for note in report.notes)
    assert [path.parent.name for path in shared.rglob("my_*.zip")] == ["done"] and (own / "own.zip").exists()
    again = run_once(settings, since=days_ago(2))
    assert again.taken_in == [] and again.built_days == 3, "although no day was stale"


def test_a_mirror_that_does_not_answer_keeps_a_home_from_nothing_and_an_empty_one_from_everything(
    machines: Machines,
) -> None:
    home = machines.settings("home")
    export = write_zip(machines.folder / "a.zip", play(days_ago(5)))
    assert import_paths(home, [export]).outcome.is_success
    dead = {"mirror_endpoint_url": "http://127.0.0.1:9"}
    report = run_once(machines.settings("home", **dead))
    assert any("The mirror cannot be used" in need for need in report.needs) and report.failures == []
    with pytest.raises(MirrorError, match=r"There is no lakehouse in .*does not answer"):
        run_once(machines.settings("empty", **dead))
    assert not machines.settings("empty").paths.warehouse_file.exists()


def test_who_is_not_signed_in_is_told_and_the_rest_goes_on(machines: Machines) -> None:
    settings = settings_of(machines.folder / "home", timezone="UTC")

    def told() -> RunReport:
        report = run_once(settings)
        assert report.failures == [] and any("login" in each for each in [*report.notes, *report.needs])
        return report

    assert told().needs == [], "of a home of exports nobody wants more"
    keep_credentials(settings.paths, Credentials(APP.client_id))
    assert any("demo is not signed in" in need for need in told().needs)


def test_settings_that_cannot_be_meant_are_wrong_use(machines: Machines) -> None:
    broken = machines.settings("home", sign_in="no sign-in")
    done = machines.run(broken)
    assert done.returncode == 2 and "SPOTIFY_ASSETS_SIGN_IN holds no sign-in" in done.stderr
    assert "no sign-in\n" not in done.stdout
    done = machines.run(machines.settings("home"), "--since", "yesterday")
    assert done.returncode == 2
