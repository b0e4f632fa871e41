"""What a restore brought back, told to Dagster: its UI shows what is there although no run of this instance made it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from datetime import date

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, DagsterEventType, StepMaterializationData
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.instance.utils import RUNLESS_JOB_NAME

from spotify_assets.lakehouse import connect
from spotify_assets.lakehouse.mirror import Manifest, report_of
from spotify_assets.lakehouse.mirror_events import report_update
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.restoring import RestoreReport
from spotify_assets.lakehouse.warehouse import Warehouse
from spotify_assets.schemas.meta import DayVersions
from spotify_assets.state import State


def report_restored(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    warehouse: Warehouse,
    report: RestoreReport,
    manifest: Manifest,
) -> int:
    """Report a materialization for every restored asset, and for every day of those that have days.

    Days are those of which `meta.day_versions` tells, the empty ones too. Data and code versions are left out: which of
    them made the rows the mirror does not tell, and stale days are found by that table alone.

    Args:
        instance: The home's instance.
        definitions: Of the restored home, loaded when its first day is known.
        warehouse: Of the home; its published file must be there.
        report: What was restored.
        manifest: From which.

    Returns:
        How many were reported.
    """
    days = _days(warehouse)
    graph = definitions.resolve_asset_graph()
    assets = [graph.get(key) for key in sorted(graph.materializable_asset_keys)]
    number = 0
    for node in assets:
        name = ".".join(node.key.path)
        if name not in report.rows:
            continue
        partitions: list[str | None] = [None]
        if node.partitions_def is not None:
            known = set(node.partitions_def.get_partition_keys())
            partitions = [key for day in days.get(name, ()) if (key := day.isoformat()) in known]
        metadata = {"dagster/row_count": report.rows[name], "restored_from_snapshot": report.snapshot_sequence}
        number += report_materializations(
            instance, (dg.AssetMaterialization(node.key, metadata=metadata, partition=key) for key in partitions)
        )
    state = MirrorState.of(State(warehouse.paths.state_file))
    if report.is_own_mirror and state is not None:
        report_update(
            instance,
            warehouse.paths,
            warehouse.mirror,
            report_of(manifest),
            state,
            is_other_standing=True,
            tells_all=True,
        )
    return number


def report_materializations(instance: dg.DagsterInstance, materializations: Iterable[dg.AssetMaterialization]) -> int:
    """As `DagsterInstance.report_runless_asset_event`, for many at once, which takes a fiftieth of the time; returns
    how many they were.
    """
    batch = str(uuid.uuid4())
    told = list(materializations)
    for number, materialization in enumerate(told, 1):
        event = DagsterEvent(
            event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
            event_specific_data=StepMaterializationData(materialization),
            job_name=RUNLESS_JOB_NAME,
        )
        metadata = DagsterEventBatchMetadata(batch, is_end=number == len(told))
        instance.report_dagster_event(event, RUNLESS_RUN_ID, batch_metadata=metadata, timestamp=time.time())
    return len(told)


def _days(warehouse: Warehouse) -> dict[str, list[date]]:
    """Built days by daily table."""
    with connect(warehouse.paths.home) as connection:
        stored = connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE schema_name || '.' || table_name = ?",
            [DayVersions.qualified_name()],
        ).fetchall()[0][0]
        if not stored:
            return {}
        rows = connection.execute(
            "SELECT table_name, list(DISTINCT played_on ORDER BY played_on) FROM meta.day_versions GROUP BY table_name"
        ).fetchall()
    return dict(rows)
