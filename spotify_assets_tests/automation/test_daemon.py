"""The daemon as the service runs it: what is dropped into the inbox becomes tables without a hand being moved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spotify_assets.demo.exports import write_extended_history
from spotify_assets.demo.listener import DemoListener
from spotify_assets.instance import open_instance, prepare_home
from spotify_assets.lakehouse import scan_table
from spotify_assets.settings import Settings
from spotify_assets.state import State
from spotify_assets_tests.conftest import DEMO_ZONE, settings_of

DEADLINE_SECONDS = 240


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty home."""
    return settings_of(tmp_path / "home")


@pytest.fixture
def daemon(settings: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    prepare_home(settings)
    environment = {**settings.process_environment(), "SPOTIFY_ASSETS_SENSOR_SECONDS": "1"}
    with (tmp_path / "daemon.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "spotify_assets", "service", "run"],
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.mark.soak
def test_a_dropped_export_is_taken_in_and_its_days_are_built_and_published(
    settings: Settings, daemon: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    listener = DemoListener(
        seed=3, first_day=yesterday - timedelta(days=60), last_day=yesterday, timezone=DEMO_ZONE, plays_per_day=10.0
    )
    export = write_extended_history(listener.plays(), tmp_path / "my_spotify_data.zip", generation="G3")
    dropped = settings.paths.inbox_folder(settings.listener) / "my_spotify_data.zip"
    dropped.write_bytes(export.target.read_bytes())
    state = State(settings.paths.state_file)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (state.published() and "daily.sessions" in state.published().tables and not state.stale_days()):
        assert daemon.poll() is None, (tmp_path / "daemon.txt").read_text()
        assert time.monotonic() < deadline, (tmp_path / "daemon.txt").read_text()
        time.sleep(0.5)
    assert scan_table(settings.home, "clean.plays").collect().height == export.plays
    days = scan_table(settings.home, "clean.days").collect()["played_on"]
    assert scan_table(settings.home, "daily.listening").collect()["played_on"].sort().equals(days.sort())
    assert dropped.exists()
    told = subprocess.run(
        [sys.executable, "-m", "spotify_assets", "status"],
        env=settings.process_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "running: nightly schedule" in told
    assert "last import" in told and "next night" in told
    # Some more looks: what was taken in is not taken in again.
    time.sleep(15)
    with open_instance(settings) as instance:
        jobs = [run.job_name for run in instance.get_runs() if run.tags.get("spotify_assets/purpose") == "import"]
    assert jobs == ["import_exports"]
