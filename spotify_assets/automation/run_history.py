"""Old runs are deleted, what was built last stays known.

Dagster's own `delete_run` also deletes the materializations of the run from the index of the event log, and with them
the knowledge that a partition was ever built (`SqlEventLogStorage.delete_events`). So the run, its events and its file
go here, and the last materialization, observation and check of every asset and partition stay.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import dagster as dg
import sqlalchemy as sql
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunTagsTable

from spotify_assets.automation.jobs import (
    EVERYTHING_DUE_JOB,
    IMPORT_JOB,
    IMPORT_PURPOSE,
    NIGHTLY_JOB,
    POLL_JOB,
    PURPOSE_TAG,
)

_RUNS_AT_ONCE = 100

_LASTING_EVENTS = (dg.DagsterEventType.ASSET_MATERIALIZATION.value, dg.DagsterEventType.ASSET_OBSERVATION.value)

# Every night runs the job of the imports too, without a file.
_TOLD_ABOUT = {IMPORT_JOB: {PURPOSE_TAG: IMPORT_PURPOSE}, POLL_JOB: {}, NIGHTLY_JOB: {}, EVERYTHING_DUE_JOB: {}}


def prune_run_history(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete runs that ended before an instant, a hundred at a time; returns how many.

    Those of `last_runs` stay, so that one can always be told when they were. Runs in progress are never touched.

    Raises:
        TypeError: The instance keeps its events or runs in no SQL database; nothing was deleted.
    """
    if not isinstance(instance.event_log_storage, SqlEventLogStorage):
        raise TypeError(f"runs of {type(instance.event_log_storage).__name__} cannot be pruned; nothing was deleted")
    spared = {record.dagster_run.run_id for record in last_runs(instance).values()}
    records = instance.get_run_records(dg.RunsFilter(statuses=FINISHED_STATUSES, updated_before=before))
    run_ids = [record.dagster_run.run_id for record in records if record.dagster_run.run_id not in spared]
    for start in range(0, len(run_ids), _RUNS_AT_ONCE):
        chunk = run_ids[start : start + _RUNS_AT_ONCE]
        # The run itself goes last: a prune that is interrupted is finished by the next one.
        _delete_events(instance.event_log_storage, chunk)
        for run_id in chunk:
            instance.run_storage.delete_run(run_id)
        _delete_tags(instance, chunk)
    return len(run_ids)


def last_runs(instance: dg.DagsterInstance) -> dict[str, dg.RunRecord]:
    """The newest run that took in an export, that asked for the last plays, that closed a night and that was told to
    build everything, by job name."""
    last = {}
    for job_name, tags in _TOLD_ABOUT.items():
        for record in instance.get_run_records(dg.RunsFilter(job_name=job_name, tags=tags), limit=1):
            last[job_name] = record
    return last


def _delete_events(storage: SqlEventLogStorage, run_ids: list[str]) -> None:
    events, checks, tags = SqlEventLogStorageTable, AssetCheckExecutionsTable, AssetEventTagsTable
    last_events = (
        sql.select(sql.func.max(events.c.id))
        .where(events.c.dagster_event_type.in_(_LASTING_EVENTS))
        .group_by(events.c.asset_key, events.c.dagster_event_type, events.c.partition)
    )
    last_checks = sql.select(sql.func.max(checks.c.id)).group_by(
        checks.c.asset_key, checks.c.check_name, checks.c.partition
    )
    events_of_checks = sql.select(checks.c.evaluation_event_storage_id).where(
        checks.c.evaluation_event_storage_id.is_not(None)
    )
    doomed = sql.select(events.c.id).where(
        events.c.run_id.in_(run_ids), events.c.id.not_in(last_events), events.c.id.not_in(events_of_checks)
    )
    with storage.index_connection() as connection:
        connection.execute(checks.delete().where(checks.c.run_id.in_(run_ids), checks.c.id.not_in(last_checks)))
        connection.execute(tags.delete().where(tags.c.event_id.in_(doomed)))
        connection.execute(events.delete().where(events.c.id.in_(doomed)))
    if isinstance(storage, SqliteEventLogStorage):
        for run_id in run_ids:
            shard = Path(storage.path_for_shard(run_id))
            for file in (shard, shard.with_name(f"{shard.name}-wal"), shard.with_name(f"{shard.name}-shm")):
                file.unlink(missing_ok=True)


def _delete_tags(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    # SQLite does not delete them with the run: Dagster never switches its foreign keys on.
    if isinstance(instance.run_storage, SqlRunStorage):
        with instance.run_storage.connect() as connection:
            connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id.in_(run_ids)))
