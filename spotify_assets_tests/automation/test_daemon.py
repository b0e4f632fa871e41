"""The whole of it: what a service starts, a zip in the inbox, and nobody at the keyboard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spotify_assets.automation.overview import look_at
from spotify_assets.instance import open_instance, prepare_home
from spotify_assets.lakehouse import scan_table
from spotify_assets.settings import Settings
from spotify_assets.state import State
from spotify_assets_tests.automation.ticks import days_ago, play, write_zip
from spotify_assets_tests.conftest import settings_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty home that is looked at every second."""
    settings = settings_of(tmp_path / "home", timezone="UTC", sensor_seconds=1)
    prepare_home(settings)
    return settings


@pytest.fixture
def daemon(settings: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "spotify_assets", "service", "run"],
            env=settings.process_environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_until(is_reached: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while not is_reached():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.25)


@pytest.mark.soak
def test_a_zip_dropped_into_the_inbox_becomes_tables_without_a_hand(
    settings: Settings, daemon: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    state = State(settings.paths.state_file)
    zipped = write_zip(settings.paths.inbox_folder("demo") / "my_spotify_data.zip", play(days_ago(5)))

    def is_built() -> bool:
        published = state.published()
        return bool(published and "daily.sessions" in published.tables and not state.stale_days())

    wait_until(is_built, daemon, tmp_path / "daemon.log")
    listening = scan_table(settings.home, "daily.listening").collect().sort("played_on")
    assert listening["played_on"].to_list() == [days_ago(number) for number in range(5, -1, -1)]
    assert listening["plays"].to_list() == [1, 0, 0, 0, 0, 0]
    assert zipped.exists()
    wait_until(lambda: not look_at(settings, datetime.now(UTC)).in_progress, daemon, tmp_path / "daemon.log")
    time.sleep(3)
    with open_instance(settings) as instance:
        runs = [(record.dagster_run.job_name, record.dagster_run.status.value) for record in instance.get_run_records()]
        running = {state.instigator_name for state in instance.all_instigator_state() if state.is_running}
    assert runs == [("daily", "SUCCESS"), ("import_exports", "SUCCESS")]
    assert running == {"inbox", "stale_days", "nightly"}
    assert look_at(settings, datetime.now(UTC)).is_daemon_alive
    os.kill(daemon.pid, signal.SIGINT)
    daemon.wait(60)
