"""The sensor that has stale days built: in the UI and the daemon it is the second run of an import.

It reads `state.sqlite` and asks the instance for its runs, and never opens the warehouse.
"""

import hashlib
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

import dagster as dg

from spotify_assets.automation.jobs import (
    DAILY_JOB,
    EVERYTHING_DUE_JOB,
    PURPOSE_TAG,
    STALE_DAYS_PURPOSE,
    STALE_DAYS_SENSOR,
)
from spotify_assets.automation.runs import day_ranges, range_tags, work_in_progress
from spotify_assets.clock import Clock
from spotify_assets.instance import report_dead_runs
from spotify_assets.settings import Settings
from spotify_assets.state import StaleDay, State

DAYS_TAG = "spotify_assets/days"
"""Tag of a run that names, as a hash, the days and tables that it was asked to build."""

LOADED_FROM_TAG = "spotify_assets/loaded_from"
"""Tag of a run that was asked for because the loaded partitions begin too late: the first of them."""

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(hours=1), timedelta(hours=12)
_RUNS_AN_HOUR = 6


class DaysDue(NamedTuple):
    """What one run is to build: the days from `first` to `last` of some tables (`daily.listening`)."""

    first: date
    last: date
    tables: list[str]


def days_due(stale: Iterable[StaleDay], last_day: date) -> list[DaysDue]:
    """The ranges of stale days up to `last_day`, the oldest first, each with the tables that are stale in it."""
    # A clock that went ahead can date a play tomorrow: that day has no partition before it comes.
    due = [day for day in stale if day.played_on <= last_day]
    return [
        DaysDue(first, last, sorted({day.table_name for day in due if first <= day.played_on <= last}))
        for first, last in day_ranges(day.played_on for day in due)
    ]


def build_stale_days_sensor(
    settings: Settings, partitions: dg.DailyPartitionsDefinition, jobs: list
) -> dg.SensorDefinition:
    """The sensor over the jobs `daily` and `everything_due`.

    Args:
        settings: Settings of the home.
        partitions: The daily partitions of this load of the code location.
        jobs: Both jobs.
    """

    @dg.sensor(
        name=STALE_DAYS_SENSOR,
        jobs=jobs,
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Has the daily tables built for the days that are stale (late plays, plays that left a day, other code), "
            "one run at a time. This, not Dagster's own marks, says which days are out of date."
        ),
    )
    def stale_days(context: dg.SensorEvaluationContext, clock: Clock) -> dg.SensorResult | dg.SkipReason:
        if not settings.paths.state_file.exists():
            return dg.SkipReason("Nothing has been imported yet.")
        state = State(settings.paths.state_file)
        for run_id in report_dead_runs(context.instance, state):
            context.log.warning(f"The process of run {run_id} is gone; the run is reported as failed.")
        if busy := work_in_progress(context.instance, settings.paths, state, clock.now()):
            return dg.SkipReason(f"Waiting: {busy}. What it leaves stale is built afterwards.")
        pauses = []
        for due in days_due(state.stale_days(), date.fromisoformat(partitions.get_last_partition_key())):
            digest = _digest(due)
            # Days that cannot be built must not keep the others waiting.
            if pause := _pause(context.instance, digest, clock.now()):
                pauses.append(pause)
                continue
            return dg.SensorResult(run_requests=[_request(context, due, digest, partitions.get_first_partition_key())])
        return dg.SkipReason("\n".join(pauses) or "No day is stale.")

    return stale_days


def _request(context: dg.SensorEvaluationContext, due: DaysDue, digest: str, first_key: str) -> dg.RunRequest:
    tags = {PURPOSE_TAG: STALE_DAYS_PURPOSE, DAYS_TAG: digest}
    if due.first.isoformat() < first_key:
        # The days before have no partition in what is loaded here: a run that loads anew knows them.
        context.log.warning(
            f"The first day with data is now {due.first}, but the partitions loaded here begin on {first_key}. "
            f"{EVERYTHING_DUE_JOB} builds all days; press Reload on the Deployment page to see them."
        )
        return dg.RunRequest(job_name=EVERYTHING_DUE_JOB, tags={**tags, LOADED_FROM_TAG: first_key})
    return dg.RunRequest(
        job_name=DAILY_JOB,
        asset_selection=[dg.AssetKey(table.split(".")) for table in due.tables],
        tags={**tags, **range_tags(due.first, due.last)},
    )


def _digest(due: DaysDue) -> str:
    return hashlib.sha256(repr(due).encode()).hexdigest()[:16]


def _pause(instance: dg.DagsterInstance, digest: str, now: datetime) -> str:
    """Why the same days are not asked for again yet: without this, a defect would start a run every half minute."""
    records = instance.get_run_records(
        dg.RunsFilter(tags={DAYS_TAG: digest}, created_after=now - timedelta(days=1)), limit=2 * _RUNS_AN_HOUR
    )
    failed = list(takewhile(lambda record: not record.dagster_run.is_success, records))
    if failed:
        pause = min(_FIRST_PAUSE * 2 ** (len(failed) - 1), _LONGEST_PAUSE)
        again = failed[0].update_timestamp + pause
        if now < again:
            return (
                f"Run {failed[0].dagster_run.run_id[:8]} for the same days did not succeed; its page says why. They "
                f"are tried again at {again:%H:%M} UTC, by the nightly run, or with the job {EVERYTHING_DUE_JOB}."
            )
    in_this_hour = [record for record in records if now - record.create_timestamp < timedelta(hours=1)]
    if len(in_this_hour) >= _RUNS_AN_HOUR:
        return (
            f"The same days were built {len(in_this_hour)} times within the hour and are stale again. If nothing "
            "changed in them, that is a defect, please report it; the next run comes in an hour."
        )
    return ""
