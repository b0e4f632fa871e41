"""Runs that follow one another: exports and clean tables first, then the days that became stale."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from spotify_assets import progress
from spotify_assets.automation.jobs import DAILY_JOB, EVERYTHING_DUE_JOB, IMPORT_JOB, PURPOSE_TAG, REPLAY_JOB
from spotify_assets.instance import PROCESS_TAG, report_unfinished_runs
from spotify_assets.lakehouse import FileLock, Warehouse, living_run, run_session
from spotify_assets.schemas import raw_api
from spotify_assets.settings import HomePaths
from spotify_assets.state import BUILT_FROM, State, StateError, is_held

JOINED_WITHIN_DAYS = 31
"""Ranges of stale days closer than this are one run: a run costs more than a month of days."""

_NO_NEWS = frozenset(table.qualified_name() for table in raw_api.WRITTEN_AT_EVERY_QUESTION)

_UNHEARD_OF = timedelta(minutes=15)

_RANGE_START, _RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def range_tags(first: date, last: date) -> dict[str, str]:
    """Tags of a run that builds all days from `first` to `last`, both included."""
    return {_RANGE_START: first.isoformat(), _RANGE_END: last.isoformat()}


@dataclass
class Outcome:
    """What a chain of runs did."""

    results: list[dg.ExecuteInProcessResult] = field(default_factory=list)
    built_days: int = 0

    def add(self, result: dg.ExecuteInProcessResult) -> None:
        """Note a run that has ended.

        Raises:
            KeyboardInterrupt: The run was told to end, by a signal that Dagster or DuckDB has made a failure of.
        """
        self.results.append(result)
        if not result.success and any(_is_interruption(event) for event in result.all_events):
            raise KeyboardInterrupt

    @property
    def is_success(self) -> bool:
        return all(result.success for result in self.results)


def _is_interruption(event: dg.DagsterEvent) -> bool:
    if event.is_job_failure:
        return event.job_failure_data.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
    error = event.step_failure_data.error if event.is_step_failure else None
    while error is not None:
        # DuckDB looks for signals while it computes, and has these words for all that it finds.
        if error.cls_name == "RuntimeError" and "Query interrupted" in error.message:
            return True
        error = error.cause or error.context
    return False


def work_in_progress(instance: dg.DagsterInstance, paths: HomePaths, state: State, now: datetime) -> str:
    """Who is at work on a home, in words; empty when nobody is.

    A run counts from the moment it is asked for. One that is not known to live, because its process was killed before
    it could register or after it had, counts no longer than the quarter of an hour in which it may still come.
    """
    if is_held(paths.run_lock_file):
        return f"run.lock is held by {FileLock(paths.run_lock_file).holder()}"
    for run in state.runs():
        if is_held(run.lock_file):
            return f"{run.purpose or run.run_id[:8]} is in progress"
    for record in instance.get_run_records(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        run = record.dagster_run
        if run.status == dg.DagsterRunStatus.QUEUED or now - record.update_timestamp < _UNHEARD_OF:
            return f"run {run.run_id[:8]} of {run.job_name} is about to begin or to end"
    return ""


def day_ranges(days: Iterable[date]) -> list[tuple[date, date]]:
    """First and last day of each range, joined where less than JOINED_WITHIN_DAYS lie between.

    >>> day_ranges([date(2024, 1, 1), date(2024, 1, 3), date(2024, 6, 1)])
    [(datetime.date(2024, 1, 1), datetime.date(2024, 1, 3)), (datetime.date(2024, 6, 1), datetime.date(2024, 6, 1))]
    """
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if ranges and day - ranges[-1][1] <= timedelta(days=JOINED_WITHIN_DAYS):
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def build_everything(
    build_definitions: Callable[[], dg.Definitions],
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    state: State,
    *,
    import_config: dict[str, Any] | None = None,
    replay_config: dict[str, Any] | None = None,
    asking_job: str = "",
    run_config: dict[str, Any] | None = None,
    purpose: str = EVERYTHING_DUE_JOB,
    tags: Mapping[str, str] | None = None,
    rebuilt_from: date | None = None,
) -> Outcome:
    """Run 1, exports and clean tables; run 2, the days that are stale; then publish once.

    Args:
        build_definitions: Makes the definitions anew: the first import moves the day where partitions begin.
        instance: The Dagster instance in which the runs appear.
        warehouse: The home's warehouse.
        state: The home's state.
        import_config: Config of the `streaming_history` step.
        replay_config: Config of the `api_responses` step, which then comes first.
        asking_job: A job that asks Spotify, which then comes first; nothing else is done if there
            is nothing that is not built yet.
        run_config: Further config of every run, such as loggers.
        purpose: For messages to others who wait for the lock.
        tags: Further tags of the runs.
        rebuilt_from: Days from this one on are built although they are not stale.
    """
    tags = {PURPOSE_TAG: purpose, **(tags or {})}
    outcome = Outcome()
    # A publication copies the whole lakehouse: not for a row that says that there was nothing new.
    can_wait = _NO_NEWS if asking_job else ()
    with (
        _process_of_runs(instance, warehouse, state, purpose) as process,
        run_session(warehouse, purpose=purpose, can_wait=can_wait, instance=instance),
    ):
        tags |= process
        definitions = build_definitions()
        if replay_config:
            outcome.add(
                definitions.resolve_job_def(REPLAY_JOB).execute_in_process(
                    {**(run_config or {}), "ops": {"api_responses": {"config": replay_config}}},
                    instance=instance,
                    raise_on_error=False,
                    tags=tags,
                )
            )
            if not outcome.is_success:
                return outcome
        if asking_job:
            outcome.add(
                definitions.resolve_job_def(asking_job).execute_in_process(
                    run_config, instance=instance, raise_on_error=False, tags=tags
                )
            )
            # Not what has come in this run: one that was killed before it could build leaves its news to the next.
            if not outcome.is_success or not has_unbuilt_news(warehouse, state):
                return outcome
        imports = definitions.resolve_job_def(IMPORT_JOB)
        outcome.add(
            imports.execute_in_process(
                {**(run_config or {}), "ops": {"streaming_history": {"config": import_config or {}}}},
                instance=instance,
                raise_on_error=False,
                tags=tags,
            )
        )
        if not outcome.is_success:
            return outcome
        stale = warehouse.stale_days()
        days: list[date] = stale["played_on"].unique().to_list()
        if rebuilt_from is not None:
            known = warehouse.read(
                warehouse.days_table, ["played_on"], where="played_on >= ?", parameters=[rebuilt_from], distinct=True
            )
            days += known["played_on"].to_list()
        # Publishing notes it too, but only at the end: the days to build now need their partitions.
        if (first_day_now := warehouse.first_day(stale)) is not None and state.set_first_day(first_day_now):
            definitions = build_definitions()
        daily = definitions.resolve_job_def(DAILY_JOB)
        # A clock that went ahead can date a play tomorrow: that day has no partition before it comes.
        last_key = daily.partitions_def.get_last_partition_key()
        for start, end in day_ranges(day for day in days if day.isoformat() <= last_key):
            number_of_days = (end - start).days + 1
            progress.report(f"Building {number_of_days:,} days")
            outcome.add(
                daily.execute_in_process(
                    run_config,
                    instance=instance,
                    raise_on_error=False,
                    tags={**tags, **range_tags(start, end)},
                )
            )
            outcome.built_days += number_of_days
        if outcome.is_success:
            state.set_note(BUILT_FROM, str(_news(warehouse)))
    return outcome


def has_unbuilt_news(warehouse: Warehouse, state: State) -> bool:
    """Whether something came in of which nothing is built yet, perhaps because a run was killed."""
    return _news(warehouse) != int(state.note(BUILT_FROM) or 0)


def _news(warehouse: Warehouse) -> int:
    """Number of the newest change from which something is built."""
    return warehouse.last_change("raw", except_for=_NO_NEWS)


@contextmanager
def _process_of_runs(
    instance: dg.DagsterInstance, warehouse: Warehouse, state: State, purpose: str
) -> Iterator[dict[str, str]]:
    """Tags for the runs of this process, by which they are found when it dies or cannot tell of their end."""
    process_id = f"process-{uuid.uuid4()}"
    paths = warehouse.paths
    try:
        with living_run(paths, process_id, purpose):
            yield {PROCESS_TAG: process_id}
    finally:
        try:
            report_unfinished_runs(instance, process_id)
        except Exception:
            # The disk is full, or the like: the next start finds a process that lives no more.
            with suppress(StateError):
                state.register_run(process_id, paths.runs_folder / f"{process_id}.lock", purpose)
