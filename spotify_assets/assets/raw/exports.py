"""raw.streaming_history and the tables beside it: one step, one transaction for each import."""

import hashlib
from pathlib import Path

import dagster as dg
from pydantic import Field

from spotify_assets import progress
from spotify_assets.assets.raw.ledger import forget_import, import_exports
from spotify_assets.assets.table_asset import asset_key, table_spec
from spotify_assets.clock import Clock
from spotify_assets.exports import Limits, find_exports
from spotify_assets.lakehouse import Warehouse
from spotify_assets.listeners import Household, HouseholdError
from spotify_assets.schemas import raw

TABLES = (
    raw.StreamingHistory,
    raw.Imports,
    raw.RejectedRows,
    raw.ToldRows,
    raw.LibraryItems,
    raw.LibraryPlaylistItems,
)

EXPORT_CHECK = "has_an_export"
FILES_CHECK = "files_are_sound"

NO_EXPORT = (
    "No export has been imported yet. Ask Spotify for your data (https://www.spotify.com/account/privacy/, choose the "
    "extended streaming history), then run `spotify-assets import my_spotify_data.zip`, or launch "
    "raw/streaming_history with the path in its config: "
    "ops: {streaming_history: {config: {paths: [/path/to/my_spotify_data.zip]}}}"
)


class ImportConfig(dg.Config):
    """What to import."""

    paths: list[str] = Field(
        default=[],
        description="Zips, folders or files of Spotify's privacy export, absolute. None: nothing new is read.",
    )
    listener: str = Field(default="", description="Whose export it is; the listener of the settings by default.")
    forget_import_id: int = Field(
        default=0, description="Take this import back: rows that no other import told go, the rest stay."
    )


def build_export_assets(*, listener: str, household: Household, scratch_folder: Path) -> dg.AssetsDefinition:
    """The asset of the tables that privacy exports fill.

    Args:
        listener: Whose exports they are unless the run's config says otherwise.
        household: Who may have exports.
        scratch_folder: Where zips are unpacked.
    """

    @dg.multi_asset(
        name="streaming_history",
        specs=[table_spec(table) for table in TABLES],
        check_specs=[
            dg.AssetCheckSpec(
                EXPORT_CHECK, asset=asset_key(raw.StreamingHistory), description="At least one export was imported."
            ),
            dg.AssetCheckSpec(
                FILES_CHECK,
                asset=asset_key(raw.StreamingHistory),
                description="Every file of this import could be read to its end.",
            ),
        ],
    )
    def streaming_history(context: dg.AssetExecutionContext, config: ImportConfig, warehouse: Warehouse, clock: Clock):
        imported_at = clock.now()
        report = None
        if config.forget_import_id:
            with warehouse.transaction() as transaction:
                report = forget_import(transaction, config.forget_import_id)
        elif config.paths:
            whose = config.listener or listener
            _check_listener(household, whose)
            paths = [Path(path).expanduser() for path in config.paths]
            with progress.stage("find"):
                found = find_exports(
                    paths,
                    scratch=scratch_folder,
                    limits=Limits(),
                    on_progress=lambda done: progress.report("Unpacking and checking files", done),
                )
            with found, warehouse.transaction() as transaction:
                report = import_exports(transaction, found, listener=whose, imported_at=imported_at)
        problems = report.problems if report else []
        for problem in problems:
            context.log.warning(f"{problem.file}: {problem.message}")
        stored = warehouse.counts(TABLES)
        damaged = [problem for problem in problems if problem.is_damage]
        has_export = stored[raw.Imports] > 0
        yield dg.MaterializeResult(
            asset_key=asset_key(raw.StreamingHistory),
            data_version=_content_version(warehouse),
            metadata={"dagster/row_count": stored[raw.StreamingHistory], **(report.metadata() if report else {})},
            check_results=[
                dg.AssetCheckResult(
                    check_name=EXPORT_CHECK,
                    passed=has_export,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=None if has_export else NO_EXPORT,
                ),
                dg.AssetCheckResult(
                    check_name=FILES_CHECK,
                    passed=not damaged,
                    severity=dg.AssetCheckSeverity.WARN,
                    description="\n".join(f"{problem.file}: {problem.message}" for problem in damaged) or None,
                ),
            ],
        )
        for table in TABLES[1:]:
            yield dg.MaterializeResult(asset_key=asset_key(table), metadata={"dagster/row_count": stored[table]})

    return streaming_history


def _check_listener(household: Household, name: str) -> None:
    """Raise dagster.Failure when the household does not have the name."""
    try:
        household.check(name)
    except HouseholdError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def _content_version(warehouse: Warehouse) -> dg.DataVersion:
    """Equal whenever the same files of the same listeners are taken in, so that a run without news is no news."""
    files = warehouse.read(raw.Imports, ["listener", "sha256"]).unique().sort("listener", "sha256")
    told = "\n".join(f"{listener}\0{sha256}" for listener, sha256 in files.iter_rows())
    return dg.DataVersion(hashlib.sha256(told.encode()).hexdigest()[:16])
