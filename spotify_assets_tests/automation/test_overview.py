"""What status tells of the home's work."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from spotify_assets.automation.overview import StaleTables, look_at, stale_tables
from spotify_assets.lakehouse import living_run, published_sequence, scan_table
from spotify_assets.settings import Settings
from spotify_assets.state import StaleDay, State
from spotify_assets_tests.automation.ticks import days_ago

NOW = datetime.now(UTC)


def test_a_home_that_is_not_there_is_told_of_and_not_made(tmp_path: Path) -> None:
    overview = look_at(Settings(home=tmp_path / "nowhere", timezone="Europe/Berlin"), NOW)
    assert (overview.published, overview.stale, overview.last_runs, overview.is_daemon_alive) == (None, [], {}, False)
    assert not (tmp_path / "nowhere").exists()


def test_it_knows_what_is_published_without_opening_it(settings: Settings) -> None:
    published = look_at(settings, NOW).published
    assert published.sequence == published_sequence(settings.paths)
    rows = scan_table(settings.home, "meta.published").collect()
    assert published.published_at == rows["published_at"][0]
    assert published.tables["clean.plays"] == (1, days_ago(5), days_ago(5))
    assert {name: table.rows for name, table in published.tables.items()} == dict(
        rows.select("table_name", "rows").iter_rows()
    )


def test_nothing_is_published_once_the_file_is_gone(settings: Settings) -> None:
    settings.paths.published_file.unlink()
    assert look_at(settings, NOW).published is None


def test_it_knows_when_the_last_export_came_in_and_how_the_run_ended(settings: Settings) -> None:
    last = look_at(settings, NOW).last_runs["import_exports"]
    assert last.status == "SUCCESS"
    assert abs(last.at - datetime.now(UTC)) < timedelta(minutes=15)


def test_it_knows_when_spotify_was_asked_last(settings: Settings, instance: dg.DagsterInstance) -> None:
    @dg.op
    def ask() -> None: ...

    @dg.job
    def poll() -> None:
        ask()

    assert "poll" not in look_at(settings, NOW).last_runs
    assert poll.execute_in_process(instance=instance).success
    assert look_at(settings, NOW).last_runs["poll"].status == "SUCCESS"


def test_a_daemon_is_alive_for_as_long_as_it_gives_signs(settings: Settings, instance: dg.DagsterInstance) -> None:
    assert not look_at(settings, NOW).is_daemon_alive
    instance.add_daemon_heartbeat(DaemonHeartbeat(NOW.timestamp(), "SENSOR", "one", []))
    assert look_at(settings, NOW + timedelta(minutes=1)).is_daemon_alive
    later = look_at(settings, NOW + timedelta(minutes=4))
    assert not later.is_daemon_alive
    assert later.daemon_seen_at == NOW


def test_what_somebody_switched_off_is_named(settings: Settings, instance: dg.DagsterInstance) -> None:
    assert look_at(settings, NOW).next_night is not None
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="spotify_assets.definitions"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "nightly")
    data = ScheduleInstigatorData("0 3 * * *")
    instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.STOPPED, data))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "poll")
    data = ScheduleInstigatorData("*/30 * * * *")
    instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.STOPPED, data))
    overview = look_at(settings, NOW)
    assert overview.switched_off == ["nightly", "poll"]
    assert overview.next_night is None


def test_living_runs_are_named_and_dead_ones_are_not(settings: Settings) -> None:
    State(settings.paths.state_file).register_run("dead", settings.paths.runs_folder / "dead.lock", "long gone")
    with living_run(settings.paths, "living", "import"):
        assert look_at(settings, NOW).in_progress == ["import"]


def test_tables_that_are_stale_alike_stand_together() -> None:
    days = [date(2024, 5, day) for day in (1, 2, 9)]
    stale = [StaleDay(table, day, "changed") for table in ("daily.artists", "daily.hours") for day in days]
    assert stale_tables([*stale, StaleDay("daily.hours", date(2020, 1, 1), "code")]) == [
        StaleTables(["daily.artists", "daily.hours"], "changed", 3, days[0], days[-1]),
        StaleTables(["daily.hours"], "code", 1, date(2020, 1, 1), date(2020, 1, 1)),
    ]


def test_status_says_it_in_words_and_opens_no_database_of_duckdb(settings: Settings) -> None:
    State(settings.paths.state_file).replace_stale_days([("daily.hours", days_ago(2), "changed")])
    for file in (settings.paths.published_file.resolve(), settings.paths.warehouse_file):
        file.chmod(0o600)
        file.write_bytes(b"this is no database: who opens it fails")
    command = [sys.executable, "-m", "spotify_assets", "status"]
    environment = {**settings.process_environment(), "COLUMNS": "150"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    for told in (
        "1 (" + str(days_ago(5)),
        f"daily.hours: 1 day, {days_ago(2)}, other plays by now",
        "last import",
        "not running",
        "spotify-assets service install",
    ):
        assert told in result.stdout
