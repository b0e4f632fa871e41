"""The mirror in the Dagster UI: its tables in the lineage, what each update wrote, and a check that it is up to date.

The mirror is written when a run has ended its steps, so that none of them can tell of it. Its tables are assets of
their own, `mirror/{schema}/{table}`, which no run builds: each update reports what it wrote to them, and how the mirror
stands to `mirror/manifest`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetMaterialization,
    AssetSpec,
    DagsterInstance,
    MetadataValue,
    TableRecord,
)

from spotify_assets.lakehouse.dagster_metadata import column_schema
from spotify_assets.lakehouse.mirror import MirrorReport
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.schemas import Table, tables
from spotify_assets.settings import HomePaths

if TYPE_CHECKING:
    from spotify_assets.lakehouse.mirror_verification import Difference, MirrorVerification, TableVerification

MIRROR_GROUP = "mirror"
MANIFEST_ASSET = AssetKey([MIRROR_GROUP, "manifest"])
UP_TO_DATE_CHECK = "mirror_up_to_date"
EQUAL_CHECK = "equals_warehouse"
_DIFFERENCES_TOLD = 20


def mirror_asset_key(table: type[Table] | str) -> AssetKey:
    """The asset of a mirrored table, `schema.table`."""
    name = table if isinstance(table, str) else table.qualified_name()
    return AssetKey([MIRROR_GROUP, *name.split(".")])


def mirror_asset_specs(
    mirrored: Iterable[type[Table]], paths: HomePaths, configuration: MirrorConfiguration
) -> list[AssetSpec]:
    """External assets: each mirrored table depends on the table itself, the manifest on all of them."""
    kinds = {"s3", "parquet"} if configuration.is_bucket else {"parquet"}
    specs = [
        AssetSpec(
            key=mirror_asset_key(table),
            deps=[AssetKey(table.qualified_name().split("."))],
            description=f"Parquet files of {table.qualified_name()}: {table.table_description()}",
            group_name=MIRROR_GROUP,
            kinds=kinds,
            metadata={
                "files": mirror_link(paths, configuration, table.qualified_name()),
                "dagster/column_schema": MetadataValue.table_schema(column_schema(table)),
            },
        )
        for table in mirrored
        if table.layout.mirrored
    ]
    manifest = AssetSpec(
        key=MANIFEST_ASSET,
        deps=[spec.key for spec in specs],
        description="Names every file of the mirror, with its checksum; written last of all.",
        group_name=MIRROR_GROUP,
        kinds=kinds | {"json"},
        metadata={"file": _link(paths, configuration, "manifest.json")},
    )
    return [*specs, manifest]


def mirror_link(paths: HomePaths, configuration: MirrorConfiguration, table: str) -> MetadataValue:
    """Where a table's files are."""
    return _link(paths, configuration, f"{table.replace('.', '/')}/")


def with_mirror_link(paths: HomePaths, configuration: MirrorConfiguration, spec: AssetSpec) -> AssetSpec:
    """The asset of a table, linking its files in the mirror; every other asset as it is."""
    name = ".".join(spec.key.path)
    if name not in {table.qualified_name() for table in tables() if table.layout.mirrored}:
        return spec
    return spec.merge_attributes(metadata={"mirror": mirror_link(paths, configuration, name)})


def _link(paths: HomePaths, configuration: MirrorConfiguration, key: str) -> MetadataValue:
    link = configuration.link(paths, key)
    return MetadataValue.url(link) if configuration.is_bucket else MetadataValue.path(link)


def report_update(
    instance: DagsterInstance,
    paths: HomePaths,
    configuration: MirrorConfiguration,
    report: MirrorReport | None,
    state: MirrorState,
    *,
    is_other_standing: bool,
) -> None:
    """Tell Dagster what an update wrote, and how the mirror stands if that has changed or something was written."""
    if report is not None:
        for name, table in report.tables.items():
            if not (table.written or table.removed):
                continue
            instance.report_runless_asset_event(
                AssetMaterialization(
                    mirror_asset_key(name),
                    metadata={
                        "objects": mirror_link(paths, configuration, name),
                        "files": table.files,
                        "bytes": table.size_bytes,
                        "uploaded": table.written,
                        "uploaded_bytes": table.written_bytes,
                        "skipped": table.unchanged,
                        "removed": table.removed,
                        "dagster/row_count": table.rows,
                        "snapshot": report.snapshot_sequence,
                    },
                )
            )
        instance.report_runless_asset_event(
            AssetMaterialization(
                MANIFEST_ASSET,
                metadata={
                    "file": _link(paths, configuration, "manifest.json"),
                    "files": report.files,
                    "bytes": report.size_bytes,
                    "uploaded": report.written,
                    "uploaded_bytes": report.written_bytes,
                    "skipped": report.unchanged,
                    "removed": report.removed,
                    "snapshot": report.snapshot_sequence,
                },
            )
        )
    if report is not None or is_other_standing:
        instance.report_runless_asset_event(
            AssetCheckEvaluation(
                asset_key=MANIFEST_ASSET,
                check_name=UP_TO_DATE_CHECK,
                passed=not state.failure,
                severity=AssetCheckSeverity.WARN,
                metadata=standing(state),
                description=state.failure or None,
            )
        )


def standing(state: MirrorState) -> dict[str, Any]:
    """How the mirror stands, as metadata."""
    told: dict[str, Any] = {
        "mirror": state.address,
        "snapshot": state.snapshot_sequence,
        "files": state.files,
        "bytes": state.size_bytes,
    }
    if state.failure:
        told |= {"failure": state.failure, "failing_since": state.failing_since}
    return told


def equality_check_specs(specs: Iterable[AssetSpec]) -> list[AssetCheckSpec]:
    """A check for each asset of `mirror_asset_specs`."""
    return [
        AssetCheckSpec(
            EQUAL_CHECK,
            asset=spec.key,
            description="The mirror says what the published file says. If not: spotify-assets mirror sync, or the job "
            "mirror_sync.",
        )
        for spec in specs
    ]


def equality_evaluation(key: AssetKey, verification: MirrorVerification) -> AssetCheckEvaluation:
    """What a verification says of an asset of `mirror_asset_specs`; the manifest stands for copies and the rest."""
    of_manifest = key == MANIFEST_ASSET
    name = "bi" if of_manifest else ".".join(key.path[1:])
    table = next((table for table in verification.tables if table.name == name), None)
    differences = [*(verification.differences if of_manifest else ()), *(table.differences if table else ())]
    told: dict[str, Any] = {"differences": len(differences), "compared_with_snapshot": verification.compared_sequence}
    if table is not None and not of_manifest:
        told |= {name: value for name, value in _figures(table).items() if value is not None}
    return AssetCheckEvaluation(
        asset_key=key,
        check_name=EQUAL_CHECK,
        passed=not differences,
        severity=AssetCheckSeverity.ERROR,
        metadata=told,
        description=differences_told(differences) or None,
    )


def report_verification(instance: DagsterInstance, keys: Iterable[AssetKey], verification: MirrorVerification) -> None:
    """Tell Dagster how each of these assets of `mirror_asset_specs` compares."""
    for key in keys:
        instance.report_runless_asset_event(equality_evaluation(key, verification))


def verification_metadata(verification: MirrorVerification) -> dict[str, Any]:
    """A verification table by table, as metadata."""
    records = [
        TableRecord({"table": table.name, **{name: value or 0 for name, value in _figures(table).items()}})
        for table in verification.tables
    ]
    told: dict[str, Any] = {
        "mirror": verification.address,
        "snapshot": verification.mirror_sequence or 0,
        "published": verification.published_sequence,
        "differences": len(verification.all_differences),
        "told": differences_told(verification.all_differences) or "none",
    }
    return told | ({"tables": MetadataValue.table(records)} if records else {})


def differences_told(differences: list[Difference]) -> str:
    """The first differences, a line each."""
    lines = [str(each) for each in differences[:_DIFFERENCES_TOLD]]
    if len(differences) > _DIFFERENCES_TOLD:
        lines.append(f"and {len(differences) - _DIFFERENCES_TOLD} more")
    return "\n".join(lines)


def _figures(table: TableVerification) -> dict[str, int | None]:
    return {
        "files": table.files,
        "bytes": table.size_bytes,
        "warehouse_rows": table.warehouse_rows,
        "mirror_rows": table.mirror_rows,
        "differences": len(table.differences),
    }
