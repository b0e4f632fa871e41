"""The lakehouse: a private DuckDB warehouse, the published file that everybody may open, and the Parquet mirror.

Here belongs how tables are stored, published and read, whatever they are about. What the tables are belongs in
`spotify_assets.schemas`, what stands in them in `spotify_assets.transforms`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spotify_assets.lakehouse.dagster_metadata import column_lineage, column_schema
    from spotify_assets.lakehouse.errors import (
        DownloadFailed,
        DownloadRefused,
        GlueSyncFailed,
        LakehouseError,
        LockTimeout,
        MirrorBeingRepaired,
        MirrorContested,
        MirrorDiverged,
        MirrorError,
        MirrorLocked,
        MirrorLockLost,
        MirrorRefused,
        MirrorUnreachable,
        NoSession,
        NothingPublished,
        PublicationFailed,
        RestoreFailed,
        RestoreRefused,
        UnknownTable,
        WriteFailed,
        WriteRefused,
    )
    from spotify_assets.lakehouse.glue import GlueReport, sync_glue
    from spotify_assets.lakehouse.io_manager import LakehouseIOManager
    from spotify_assets.lakehouse.leftovers import remove_leftovers
    from spotify_assets.lakehouse.locks import FileLock
    from spotify_assets.lakehouse.lots import Lot, Lots, lot_number
    from spotify_assets.lakehouse.mirror import (
        LocalFolder,
        Manifest,
        MirrorFile,
        MirrorReport,
        MirrorTarget,
        update_mirror,
    )
    from spotify_assets.lakehouse.mirror_reading import MirrorReader, MirrorVersion, open_mirror
    from spotify_assets.lakehouse.mirroring import MirrorConfiguration
    from spotify_assets.lakehouse.publishing import Publication, publish_if_changed, published_sequence
    from spotify_assets.lakehouse.reading import connect, scan_table
    from spotify_assets.lakehouse.session import RunSession, current_session, living_run, run_session
    from spotify_assets.lakehouse.transaction import Transaction
    from spotify_assets.lakehouse.warehouse import Warehouse

__all__ = [
    "DownloadFailed",
    "DownloadRefused",
    "FileLock",
    "GlueReport",
    "GlueSyncFailed",
    "LakehouseError",
    "LakehouseIOManager",
    "LocalFolder",
    "LockTimeout",
    "Lot",
    "Lots",
    "Manifest",
    "MirrorBeingRepaired",
    "MirrorConfiguration",
    "MirrorContested",
    "MirrorDiverged",
    "MirrorError",
    "MirrorFile",
    "MirrorLockLost",
    "MirrorLocked",
    "MirrorReader",
    "MirrorRefused",
    "MirrorReport",
    "MirrorTarget",
    "MirrorUnreachable",
    "MirrorVersion",
    "NoSession",
    "NothingPublished",
    "Publication",
    "PublicationFailed",
    "RestoreFailed",
    "RestoreRefused",
    "RunSession",
    "Transaction",
    "UnknownTable",
    "Warehouse",
    "WriteFailed",
    "WriteRefused",
    "column_lineage",
    "column_schema",
    "connect",
    "current_session",
    "living_run",
    "lot_number",
    "open_mirror",
    "publish_if_changed",
    "published_sequence",
    "remove_leftovers",
    "run_session",
    "scan_table",
    "sync_glue",
    "update_mirror",
]

# Each name is loaded when it is asked for. Every process that opens the home's Dagster instance loads this package,
# because dagster.yaml names the event log in it: with all of Polars and DuckDB that cost `status` half of its time.
_NAMES_OF_MODULES = {
    "dagster_metadata": ("column_lineage", "column_schema"),
    "errors": (
        "DownloadFailed",
        "DownloadRefused",
        "GlueSyncFailed",
        "LakehouseError",
        "LockTimeout",
        "MirrorBeingRepaired",
        "MirrorContested",
        "MirrorDiverged",
        "MirrorError",
        "MirrorLockLost",
        "MirrorLocked",
        "MirrorRefused",
        "MirrorUnreachable",
        "NoSession",
        "NothingPublished",
        "PublicationFailed",
        "RestoreFailed",
        "RestoreRefused",
        "UnknownTable",
        "WriteFailed",
        "WriteRefused",
    ),
    "glue": ("GlueReport", "sync_glue"),
    "io_manager": ("LakehouseIOManager",),
    "leftovers": ("remove_leftovers",),
    "locks": ("FileLock",),
    "lots": ("Lot", "Lots", "lot_number"),
    "mirror": ("LocalFolder", "Manifest", "MirrorFile", "MirrorReport", "MirrorTarget", "update_mirror"),
    "mirror_reading": ("MirrorReader", "MirrorVersion", "open_mirror"),
    "mirroring": ("MirrorConfiguration",),
    "publishing": ("Publication", "publish_if_changed", "published_sequence"),
    "reading": ("connect", "scan_table"),
    "session": ("RunSession", "current_session", "living_run", "run_session"),
    "transaction": ("Transaction",),
    "warehouse": ("Warehouse",),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF_MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
