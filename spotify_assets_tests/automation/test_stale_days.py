"""Who has stale days built, and when not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import dagster as dg
import pytest
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings

from spotify_assets.automation.runs import JOINED_WITHIN_DAYS, day_ranges
from spotify_assets.automation.stale_days import days_due
from spotify_assets.instance import prepare_home
from spotify_assets.lakehouse import FileLock
from spotify_assets.settings import Settings
from spotify_assets.state import StaleDay, State
from spotify_assets_tests.automation.ticks import Daemon, remember_run

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
STATUS = dg.DagsterRunStatus


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    prepare_home(settings)
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def state(settings: Settings) -> State:
    known = State(settings.paths.state_file)
    known.set_first_day(date(2020, 1, 1))
    return known


def range_of(request: dg.RunRequest) -> tuple[str | None, str | None]:
    return request.tags.get(START), request.tags.get(END)


def test_a_look_at_a_home_that_is_not_there_makes_none(settings: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert "Nothing has been imported" in Daemon(settings, instance).look("stale_days").skip_message
    assert not settings.home.exists()


def test_nothing_is_started_when_no_day_is_stale(
    settings: Settings, instance: dg.DagsterInstance, state: State
) -> None:
    assert Daemon(settings, instance).look("stale_days").skip_message == "No day is stale."


def test_one_run_is_asked_for_the_oldest_range_and_its_stale_tables(
    settings: Settings, instance: dg.DagsterInstance, state: State
) -> None:
    state.replace_stale_days(
        [
            ("daily.hours", date(2020, 5, 1), "changed"),
            ("daily.listening", date(2020, 5, 3), "changed"),
            ("daily.artists", date(2021, 5, 3), "new"),
        ]
    )
    (request,) = Daemon(settings, instance).look("stale_days").run_requests
    assert request.job_name == "daily"
    assert range_of(request) == ("2020-05-01", "2020-05-03")
    assert {key.to_user_string() for key in request.asset_selection} == {"daily/hours", "daily/listening"}


def test_nothing_is_started_while_an_import_holds_the_lock(
    settings: Settings, instance: dg.DagsterInstance, state: State
) -> None:
    state.replace_stale_days([("daily.hours", date(2020, 5, 1), "changed")])
    daemon = Daemon(settings, instance)
    program = (
        "import sys, pathlib; from spotify_assets.lakehouse import FileLock\n"
        "with FileLock(pathlib.Path(sys.argv[1])).held(0, purpose='import'): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(settings.paths.run_lock_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        answer = daemon.look("stale_days")
        holder.communicate("\n")
    assert not answer.run_requests
    assert "import" in answer.skip_message
    assert len(daemon.look("stale_days").run_requests) == 1


def test_nothing_is_started_while_a_registered_run_lives(
    settings: Settings, instance: dg.DagsterInstance, state: State
) -> None:
    state.replace_stale_days([("daily.hours", date(2020, 5, 1), "changed")])
    lock_file = settings.paths.runs_folder / "living.lock"
    state.register_run("living", lock_file, "import")
    with FileLock(lock_file).held(0):
        assert "import is in progress" in Daemon(settings, instance).look("stale_days").skip_message


@pytest.mark.parametrize("status", [STATUS.NOT_STARTED, STATUS.STARTING, STATUS.STARTED, STATUS.CANCELING])
def test_nothing_is_started_while_a_run_has_not_ended(
    status: dg.DagsterRunStatus, settings: Settings, instance: dg.DagsterInstance, state: State
) -> None:
    state.replace_stale_days([("daily.hours", date(2020, 5, 1), "changed")])
    remember_run(instance, "daily", status)
    assert not Daemon(settings, instance).look("stale_days").run_requests


def test_a_run_that_never_came_up_does_not_block_for_ever(
    settings: Settings, instance: dg.DagsterInstance, state: State
) -> None:
    state.replace_stale_days([("daily.hours", date(2020, 5, 1), "changed")])
    remember_run(instance, "daily", STATUS.STARTING)
    assert len(Daemon(settings, instance, datetime.now(UTC) + timedelta(hours=1)).look("stale_days").run_requests) == 1


def test_a_look_reports_runs_that_died(settings: Settings, instance: dg.DagsterInstance, state: State) -> None:
    run = remember_run(instance, "import_exports", STATUS.STARTED)
    state.register_run(run.run_id, settings.paths.runs_folder / "dead.lock", "import")
    Daemon(settings, instance).look("stale_days")
    assert instance.get_run_by_id(run.run_id).status == STATUS.FAILURE
    assert state.runs() == []


def test_days_before_the_loaded_partitions_are_built_by_a_run_that_loads_anew(
    settings: Settings, instance: dg.DagsterInstance, state: State
) -> None:
    daemon = Daemon(settings, instance)
    state.set_first_day(date(2014, 1, 1))
    state.replace_stale_days([("daily.hours", date(2014, 1, 1), "new")])
    (request,) = daemon.look("stale_days").run_requests
    assert (request.job_name, range_of(request)) == ("everything_due", (None, None))


def test_a_day_that_is_still_to_come_is_left_until_it_comes(
    settings: Settings, instance: dg.DagsterInstance, state: State
) -> None:
    state.replace_stale_days([("daily.hours", date.today() + timedelta(days=3), "new")])
    assert not Daemon(settings, instance).look("stale_days").run_requests


def test_days_that_failed_wait_and_do_not_keep_others_waiting(
    settings: Settings, instance: dg.DagsterInstance, state: State
) -> None:
    state.replace_stale_days(
        [("daily.hours", date(2020, 5, 1), "changed"), ("daily.hours", date(2021, 5, 1), "changed")]
    )
    first = Daemon(settings, instance).look("stale_days").run_requests[0]
    remember_run(instance, "daily", STATUS.FAILURE, dict(first.tags))
    second = Daemon(settings, instance).look("stale_days").run_requests[0]
    assert range_of(second) == ("2021-05-01", "2021-05-01")
    remember_run(instance, "daily", STATUS.FAILURE, dict(second.tags))
    assert "tried again at" in Daemon(settings, instance).look("stale_days").skip_message
    later = Daemon(settings, instance, datetime.now(UTC) + timedelta(minutes=61)).look("stale_days")
    assert range_of(later.run_requests[0]) == ("2020-05-01", "2020-05-01")


days = strategies.dates(date(2019, 1, 1), date(2023, 1, 1))
some_stale_days = strategies.lists(
    strategies.builds(
        StaleDay, strategies.sampled_from(["daily.hours", "daily.artists"]), days, strategies.just("new")
    ),
    unique_by=lambda day: day[:2],
    max_size=40,
)


@hypothesis_settings(deadline=None, max_examples=200)
@given(some_stale_days, days)
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
