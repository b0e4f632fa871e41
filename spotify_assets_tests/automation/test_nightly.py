"""Yesterday is closed every night at three, where the listener lives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.runs.schema import RunsTable
from dagster._utils.schedules import schedule_execution_time_iterator

from spotify_assets.automation.nightly import next_night
from spotify_assets.definitions import build_definitions
from spotify_assets.instance import open_instance, prepare_home
from spotify_assets.settings import Settings
from spotify_assets.state import State
from spotify_assets_tests.automation.ticks import Daemon, remember_run
from spotify_assets_tests.conftest import DEMO_ZONE, settings_of

BERLIN = ZoneInfo(DEMO_ZONE)


def test_the_schedule_is_due_at_three_in_the_listeners_zone_and_runs_from_the_start(settings: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        schedule = Daemon(settings, instance).schedule("nightly")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    start = datetime(2025, 3, 29, 12, tzinfo=UTC).timestamp()
    ticks = schedule_execution_time_iterator(start, schedule.cron_schedule, schedule.execution_timezone)
    # In the second of these nights the clocks were put forward.
    assert [next(ticks).isoformat() for _ in range(2)] == ["2025-03-30T03:00:00+02:00", "2025-03-31T03:00:00+02:00"]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2025, 1, 1, 2, 59, tzinfo=BERLIN), datetime(2025, 1, 1, 3, tzinfo=BERLIN)),
        (datetime(2025, 1, 1, 3, 0, tzinfo=BERLIN), datetime(2025, 1, 2, 3, tzinfo=BERLIN)),
        (datetime(2025, 10, 25, 12, tzinfo=BERLIN), datetime(2025, 10, 26, 3, tzinfo=BERLIN)),
        (datetime(2025, 12, 31, 23, tzinfo=UTC), datetime(2026, 1, 1, 3, tzinfo=BERLIN)),
    ],
)
def test_the_next_night_is_told_as_the_schedule_has_it(now: datetime, expected: datetime) -> None:
    assert next_night(now, DEMO_ZONE) == expected


def test_a_night_that_is_due_starts_one_run(settings: Settings) -> None:
    due = datetime(2025, 1, 2, 3, tzinfo=BERLIN)
    with dg.DagsterInstance.ephemeral() as instance:
        answer = Daemon(settings, instance, due + timedelta(seconds=20)).due("nightly", due)
    assert len(answer.run_requests) == 1


def test_of_the_nights_a_machine_slept_through_only_the_last_starts_a_run(settings: Settings) -> None:
    nights = [datetime(2025, 1, day, 3, tzinfo=BERLIN) for day in (1, 2, 3)]
    with dg.DagsterInstance.ephemeral() as instance:
        daemon = Daemon(settings, instance, datetime(2025, 1, 3, 9, tzinfo=BERLIN))
        assert [len(daemon.due("nightly", night).run_requests or []) for night in nights] == [0, 0, 1]


def test_a_night_builds_what_is_stale_and_prunes_what_is_old(copy_of_demo_home: Path) -> None:
    settings = settings_of(copy_of_demo_home)
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
    prepare_home(settings)
    with open_instance(settings) as instance:
        looks = instance.get_tick_retention_settings(InstigatorType.SENSOR)
        nights = instance.get_tick_retention_settings(InstigatorType.SCHEDULE)
    assert looks[TickStatus.SKIPPED] == 1
    assert all(0 < days <= 30 for days in [*looks.values(), *nights.values()])
