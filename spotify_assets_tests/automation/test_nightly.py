"""The schedule that closes yesterday."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.runs.schema import RunsTable
from dagster._utils.schedules import schedule_execution_time_iterator

from spotify_assets.automation.nightly import next_night
from spotify_assets.clock import Clock
from spotify_assets.definitions import build_definitions
from spotify_assets.instance import open_instance
from spotify_assets.lakehouse import scan_table
from spotify_assets.settings import Settings
from spotify_assets.state import State
from spotify_assets_tests.automation.ticks import days_ago, remember_run

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Auckland")


def evaluate(settings: Settings, *, due: datetime, now: datetime):
    clock = Clock(fixed_now=now.isoformat())
    definitions = build_definitions(settings, resource_overrides={"clock": clock})
    context = dg.build_schedule_context(scheduled_execution_time=due, resources={"clock": clock})
    return definitions.resolve_schedule_def("nightly").evaluate_tick(context)


def test_it_is_due_at_three_in_the_listener_s_zone_and_switched_on(tmp_path) -> None:
    settings = Settings(home=tmp_path, timezone="Asia/Kolkata")
    schedule = build_definitions(settings).resolve_schedule_def("nightly")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * *", "Asia/Kolkata")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


@pytest.mark.parametrize("zone_name", ZONES)
def test_status_names_the_time_that_the_scheduler_will_choose(zone_name: str, tmp_path) -> None:
    schedule = build_definitions(Settings(home=tmp_path, timezone=zone_name)).resolve_schedule_def("nightly")
    for hours in range(0, 24 * 370, 11):
        now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hours, minutes=13)
        ticks = schedule_execution_time_iterator(now.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
        assert next_night(now, zone_name) == next(ticks)


def test_a_night_asks_for_one_run(settings: Settings) -> None:
    due = datetime(2025, 6, 1, 3, tzinfo=ZoneInfo("UTC"))
    (request,) = evaluate(settings, due=due, now=due + timedelta(seconds=20)).run_requests
    assert request.tags["spotify_assets/purpose"] == "nightly"


def test_of_several_missed_nights_only_the_last_asks_for_a_run(settings: Settings) -> None:
    now = datetime(2025, 6, 8, 12, tzinfo=UTC)
    nights = [datetime(2025, 6, day, 3, tzinfo=UTC) for day in range(4, 9)]
    assert [len(evaluate(settings, due=due, now=now).run_requests) for due in nights] == [0, 0, 0, 0, 1]


def test_a_night_builds_all_that_is_due_and_publishes_it(settings: Settings, instance: dg.DagsterInstance) -> None:
    """A home that was last built two days ago gets rows for the days since, although nothing was played."""
    two_days_ago = Clock(fixed_now=(datetime.now(UTC) - timedelta(days=2)).isoformat())
    then = build_definitions(settings, resource_overrides={"clock": two_days_ago})
    assert then.resolve_job_def("everything_due").execute_in_process(instance=instance).success
    assert scan_table(settings.home, "daily.listening").collect()["played_on"].max() == days_ago(2)
    now = build_definitions(settings)
    assert now.resolve_job_def("nightly").execute_in_process(instance=instance).success
    assert scan_table(settings.home, "daily.listening").collect().sort("played_on")["plays"].to_list() == [
        1,
        0,
        0,
        0,
        0,
        0,
    ]
    assert State(settings.paths.state_file).stale_days() == []


def test_a_night_builds_what_is_stale_and_prunes_what_is_old(settings: Settings) -> None:
    short = settings.model_copy(update={"run_history_days": 1})
    state = State(settings.paths.state_file)
    with open_instance(short) as instance:
        old = remember_run(instance, "daily", dg.DagsterRunStatus.SUCCESS)
        _make_old(instance, old)
        kept = remember_run(instance, "daily", dg.DagsterRunStatus.SUCCESS)
        result = build_definitions(short).resolve_job_def("nightly").execute_in_process(instance=instance)
        assert result.success
        assert instance.get_run_by_id(old.run_id) is None
        assert instance.get_run_by_id(kept.run_id) is not None
    assert state.stale_days() == []
    assert state.runs() == []


def _make_old(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    with instance.run_storage.connect() as connection:
        connection.execute(
            RunsTable.update()
            .where(RunsTable.c.run_id == run.run_id)
            .values(update_timestamp=datetime.now(UTC).replace(tzinfo=None) - timedelta(days=3))
        )


def test_the_shipped_instance_forgets_looks_that_found_nothing_within_days(settings: Settings) -> None:
    with open_instance(settings) as instance:
        looks = instance.get_tick_retention_settings(InstigatorType.SENSOR)
        nights = instance.get_tick_retention_settings(InstigatorType.SCHEDULE)
    assert looks[TickStatus.SKIPPED] == 1
    assert all(0 < days <= 30 for days in [*looks.values(), *nights.values()])
