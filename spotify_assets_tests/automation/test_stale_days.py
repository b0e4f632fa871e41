"""The sensor that has stale days built."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import dagster as dg
import pytest
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings

from spotify_assets.automation.runs import JOINED_WITHIN_DAYS, day_ranges
from spotify_assets.automation.stale_days import days_due
from spotify_assets.definitions import build_definitions
from spotify_assets.lakehouse import FileLock, living_run, scan_table
from spotify_assets.settings import Settings
from spotify_assets.state import StaleDay, State
from spotify_assets_tests.automation.ticks import days_ago, execute, play, remember_run, tick, write_zip
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.lakehouse import processes

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def make_stale(settings: Settings, *days: date, table: str = "daily.listening", reason: str = "changed") -> None:
    State(settings.paths.state_file).replace_stale_days((table, day, reason) for day in days)


def range_of(request: dg.RunRequest) -> tuple[str, ...]:
    return tuple(request.tags[name] for name in RANGE)


def test_an_import_from_the_command_line_leaves_nothing_to_start(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    assert tick(settings, instance, "stale_days").skip_message == "No day is stale."


def test_a_home_without_a_state_has_nothing_to_build_and_gets_none(tmp_path) -> None:
    settings = settings_of(tmp_path / "empty")
    with dg.DagsterInstance.ephemeral() as instance:
        assert "Nothing has been imported" in tick(settings, instance, "stale_days").skip_message
    assert not settings.home.exists()


def test_what_an_import_in_the_ui_left_stale_is_built_by_one_run_of_the_stale_tables(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    config = {"paths": [str(write_zip(settings.home / "late.zip", play(days_ago(3))))]}
    imported = build_definitions(settings).resolve_job_def("import_exports")
    result = imported.execute_in_process({"ops": {"streaming_history": {"config": config}}}, instance=instance)
    assert result.success
    data = tick(settings, instance, "stale_days")
    (request,) = data.run_requests
    assert request.job_name == "daily"
    assert range_of(request) == (str(days_ago(3)), str(days_ago(3)))
    assert len(request.asset_selection) == 7
    assert execute(settings, instance, request).success
    assert State(settings.paths.state_file).stale_days() == []
    listening = scan_table(settings.home, "daily.listening").collect().sort("played_on")
    assert listening["plays"].to_list() == [1, 0, 1, 0, 0, 0]
    assert tick(settings, instance, "stale_days").skip_message == "No day is stale."


def test_only_stale_tables_are_asked_for(settings: Settings, instance: dg.DagsterInstance) -> None:
    make_stale(settings, days_ago(2), table="daily.hours")
    (request,) = tick(settings, instance, "stale_days").run_requests
    assert request.asset_selection == [dg.AssetKey(["daily", "hours"])]


def test_nothing_is_started_while_a_run_holds_the_lock(settings: Settings, instance: dg.DagsterInstance) -> None:
    make_stale(settings, days_ago(2))
    held, release = processes.event(), processes.event()
    holder = processes.start(processes.hold_lock, settings.paths.run_lock_file, held, release)
    assert held.wait(20)
    reason = tick(settings, instance, "stale_days").skip_message
    release.set()
    holder.join(20)
    assert "run.lock is held by process" in reason
    assert tick(settings, instance, "stale_days").run_requests


def test_nothing_is_started_while_an_import_only_reads_its_files(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    make_stale(settings, days_ago(2))
    with living_run(settings.paths, "reading", "import"):
        assert "import is in progress" in tick(settings, instance, "stale_days").skip_message


def test_one_run_is_outstanding_at_a_time(settings: Settings, instance: dg.DagsterInstance) -> None:
    make_stale(settings, days_ago(2))
    (request,) = tick(settings, instance, "stale_days").run_requests
    run = instance.create_run_for_job(build_definitions(settings).resolve_job_def("daily"), tags=request.tags)
    assert run.run_id[:8] in tick(settings, instance, "stale_days").skip_message


def test_a_run_that_was_never_heard_of_again_holds_nothing_up_for_long(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    make_stale(settings, days_ago(2))
    job = build_definitions(settings).resolve_job_def("daily")
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert tick(settings, instance, "stale_days").skip_message
    later = datetime.now(UTC) + timedelta(minutes=20)
    assert tick(settings, instance, "stale_days", now=later).run_requests


def test_a_run_whose_process_was_killed_is_reported_failed_by_the_next_tick(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    run = instance.create_run_for_job(
        build_definitions(settings).resolve_job_def("daily"), status=dg.DagsterRunStatus.STARTED
    )
    lock_file = settings.paths.runs_folder / f"{run.run_id}.lock"
    FileLock(lock_file).acquire(0)
    FileLock(lock_file).release()
    State(settings.paths.state_file).register_run(run.run_id, lock_file, "killed")
    tick(settings, instance, "stale_days")
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_failed_is_not_repeated_every_half_minute(settings: Settings, instance: dg.DagsterInstance) -> None:
    make_stale(settings, days_ago(2))
    (request,) = tick(settings, instance, "stale_days").run_requests
    job = build_definitions(settings).resolve_job_def("daily")
    for hours in (1, 2):
        run = instance.create_run_for_job(job, tags=request.tags, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run)
        now = datetime.now(UTC)
        assert run.run_id[:8] in tick(settings, instance, "stale_days").skip_message
        just_before = now + timedelta(hours=hours, minutes=-5)
        assert tick(settings, instance, "stale_days", now=just_before).skip_message
        after = now + timedelta(hours=hours, minutes=5)
        assert tick(settings, instance, "stale_days", now=after).run_requests
    make_stale(settings, days_ago(1))
    assert tick(settings, instance, "stale_days").run_requests


def test_days_that_are_stale_again_and_again_are_not_built_without_end(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    job = build_definitions(settings).resolve_job_def("daily")
    make_stale(settings, days_ago(2))
    for _ in range(6):
        (request,) = tick(settings, instance, "stale_days").run_requests
        instance.create_run_for_job(job, tags=request.tags, status=dg.DagsterRunStatus.SUCCESS)
    assert "6 times within the hour" in tick(settings, instance, "stale_days").skip_message


def test_days_before_the_loaded_partitions_are_built_by_a_run_that_loads_anew(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    loaded = build_definitions(settings)
    config = {"paths": [str(write_zip(settings.home / "older.zip", play(days_ago(40))))]}
    build_definitions(settings).resolve_job_def("import_exports").execute_in_process(
        {"ops": {"streaming_history": {"config": config}}}, instance=instance
    )
    (request,) = tick(settings, instance, "stale_days", definitions=loaded).run_requests
    assert request.job_name == "everything_due"
    result = execute(settings, instance, request)
    assert result.success
    assert any("Press Reload" in (event.user_message or "") for event in instance.all_logs(result.run_id))
    assert scan_table(settings.home, "daily.listening").collect().height == 41
    assert tick(settings, instance, "stale_days", definitions=loaded).skip_message == "No day is stale."


def test_days_that_cannot_be_built_do_not_keep_others_waiting(settings: Settings, instance: dg.DagsterInstance) -> None:
    state = State(settings.paths.state_file)
    state.set_first_day(date(2024, 1, 1))
    state.replace_stale_days([("daily.hours", date(2024, month, 1), "changed") for month in (1, 6)])
    (first,) = tick(settings, instance, "stale_days").run_requests
    remember_run(instance, "daily", dg.DagsterRunStatus.FAILURE, dict(first.tags))
    (second,) = tick(settings, instance, "stale_days").run_requests
    starts = [request.tags["dagster/asset_partition_range_start"] for request in (first, second)]
    assert starts == ["2024-01-01", "2024-06-01"]


@pytest.mark.parametrize(
    ("days", "due"),
    [
        ([], []),
        ([(1, "daily.hours")], [(1, 1, ["daily.hours"])]),
        ([(1, "daily.hours"), (20, "daily.artists")], [(1, 20, ["daily.artists", "daily.hours"])]),
        (
            [(60, "daily.artists"), (1, "daily.hours")],
            [(1, 1, ["daily.hours"]), (60, 60, ["daily.artists"])],
        ),
        ([(1, "daily.hours"), (91, "daily.artists")], [(1, 1, ["daily.hours"])]),
    ],
)
def test_the_oldest_range_comes_first_and_days_to_come_wait(
    days: list[tuple[int, str]], due: list[tuple[int, int, list[str]]]
) -> None:
    def day(number: int) -> date:
        return date(2024, 1, 1) + timedelta(days=number)

    stale = [StaleDay(table, day(number), "changed") for number, table in days]
    assert days_due(stale, day(90)) == [(day(first), day(last), tables) for first, last, tables in due]


some_days = strategies.dates(date(2019, 1, 1), date(2023, 1, 1))
some_stale_days = strategies.lists(
    strategies.builds(
        StaleDay, strategies.sampled_from(["daily.hours", "daily.artists"]), some_days, strategies.just("new")
    ),
    unique_by=lambda day: day[:2],
    max_size=40,
)


@hypothesis_settings(deadline=None, max_examples=200)
@given(some_stale_days, some_days)
def test_the_ranges_hold_every_stale_day_and_table_once_and_none_that_is_to_come(
    stale: list[StaleDay], last: date
) -> None:
    ranges = days_due(stale, last)
    for day in stale:
        holding = [due for due in ranges if due.first <= day.played_on <= due.last and day.table_name in due.tables]
        assert len(holding) == (day.played_on <= last)
    for before, after in pairwise(ranges):
        assert after.first - before.last > timedelta(days=JOINED_WITHIN_DAYS)
    assert [(due.first, due.last) for due in ranges] == day_ranges(
        day.played_on for day in stale if day.played_on <= last
    )
