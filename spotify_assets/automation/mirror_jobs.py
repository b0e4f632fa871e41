"""Comparing the mirror with the warehouse and repairing it from the Dagster UI: two jobs, and a check of each table."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from spotify_assets.automation.jobs import MIRROR_SYNC_JOB, MIRROR_VERIFY_JOB
from spotify_assets.clock import Clock
from spotify_assets.lakehouse import LakehouseError, NothingPublished, Warehouse, living_run
from spotify_assets.lakehouse.mirror_events import (
    EQUAL_CHECK,
    MANIFEST_ASSET,
    differences_told,
    equality_check_specs,
    equality_evaluation,
    mirror_asset_specs,
    report_verification,
    verification_metadata,
)
from spotify_assets.schemas import tables

_VERIFY = "Compare the mirror with the published file, table by table: files, rows, sums, checksums, columns."
_SYNC = "Bring the mirror up to the published file, and repair what differs."


class LookConfig(dg.Config):
    """How thoroughly is looked."""

    quick: bool = False
    """Read no file: manifest, sizes and ETags only."""


@contextmanager
def _told_in_words() -> Iterator[None]:
    try:
        yield
    except LakehouseError as error:
        raise dg.Failure(str(error), allow_retries=False) from None


def build_mirror_jobs(warehouse: Warehouse) -> list[dg.JobDefinition]:
    """The jobs `mirror_verify`, which changes nothing, and `mirror_sync`; both fail when something differs then."""
    keys = [spec.key for spec in mirror_asset_specs(tables(), warehouse.paths, warehouse.mirror)]

    @dg.op(name="verify_mirror_tables", description=_VERIFY)
    def verify_mirror_tables(context: dg.OpExecutionContext, config: LookConfig) -> None:
        from spotify_assets.lakehouse.mirror_verification import verify_mirror

        with living_run(warehouse.paths, context.run_id, MIRROR_VERIFY_JOB), _told_in_words():
            found = verify_mirror(
                warehouse.paths, warehouse.mirror, is_quick=config.quick, memory_limit=warehouse.memory_limit
            )
        report_verification(context.instance, keys, found)
        for note in found.notes:
            context.log.warning(note)
        if not found.is_equal:
            raise dg.Failure(
                f"The mirror differs from the published file. The job {MIRROR_SYNC_JOB} repairs it. "
                f"{differences_told(found.all_differences)}",
                metadata=verification_metadata(found),
                allow_retries=False,
            )
        context.log.info(f"{len(found.tables)} tables of {found.address} equal snapshot {found.published_sequence}.")
        context.add_output_metadata(verification_metadata(found))

    @dg.op(name="sync_mirror_tables", description=_SYNC)
    def sync_mirror_tables(context: dg.OpExecutionContext, config: LookConfig) -> None:
        from spotify_assets.lakehouse.mirror_verification import sync_mirror

        with living_run(warehouse.paths, context.run_id, MIRROR_SYNC_JOB), _told_in_words():
            report = sync_mirror(
                warehouse,
                is_quick=config.quick,
                log=context.log.info,
                clock=Clock().now,
                instance=context.instance,
            )
        report_verification(context.instance, keys, report.after)
        if found := differences_told(report.before.all_differences):
            context.log.info(f"Found:\n{found}")
        if report.failure or not report.after.is_equal:
            raise dg.Failure(
                report.failure or f"This still differs:\n{differences_told(report.after.all_differences)}",
                metadata=verification_metadata(report.after),
                allow_retries=False,
            )
        done = report.written
        context.log.info(f"{done.written} files put, {done.removed} removed." if done else "There was nothing to do.")
        context.add_output_metadata(verification_metadata(report.after))

    @dg.job(name=MIRROR_VERIFY_JOB, executor_def=dg.in_process_executor, description=_VERIFY)
    def mirror_verify() -> None:
        verify_mirror_tables()

    @dg.job(name=MIRROR_SYNC_JOB, executor_def=dg.in_process_executor, description=_SYNC)
    def mirror_sync() -> None:
        sync_mirror_tables()

    return [mirror_verify, mirror_sync]


def build_mirror_equality_check(warehouse: Warehouse) -> dg.AssetChecksDefinition:
    """A check of every mirrored table, and of the manifest; run by hand, as reading a whole mirror takes its time."""
    specs = equality_check_specs(mirror_asset_specs(tables(), warehouse.paths, warehouse.mirror))

    @dg.multi_asset_check(name="mirror_equals_warehouse", specs=specs, can_subset=True)
    def mirror_equals_warehouse(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from spotify_assets.lakehouse.mirror_verification import verify_mirror

        keys = [check.asset_key for check in context.selected_asset_check_keys]
        names = [] if MANIFEST_ASSET in keys else [".".join(key.path[1:]) for key in keys]
        try:
            found = verify_mirror(warehouse.paths, warehouse.mirror, names=names, memory_limit=warehouse.memory_limit)
        except LakehouseError as error:
            # On a fresh home nothing differs.
            passed = isinstance(error, NothingPublished)
            for key in keys:
                yield dg.AssetCheckResult(asset_key=key, check_name=EQUAL_CHECK, passed=passed, description=str(error))
            return
        for key in keys:
            told = equality_evaluation(key, found)
            # What keeps tables from being compared at all is told with each of them.
            passed = told.passed and not (found.differences and not found.tables)
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=EQUAL_CHECK,
                passed=passed,
                metadata=told.metadata,
                description=told.description or (None if passed else differences_told(found.all_differences)),
            )

    return mirror_equals_warehouse
