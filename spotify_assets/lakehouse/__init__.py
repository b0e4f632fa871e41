"""The lakehouse: a private DuckDB warehouse, the published file that everybody may open, and the Parquet mirror.

Here belongs how tables are stored, published and read, whatever they are about. What the tables are belongs in
`spotify_assets.schemas`, what stands in them in `spotify_assets.transforms`.
"""

from __future__ import annotations

from spotify_assets.lakehouse.dagster_metadata import column_lineage, column_schema
from spotify_assets.lakehouse.errors import (
    LakehouseError,
    LockTimeout,
    NoSession,
    NothingPublished,
    PublicationFailed,
    UnknownTable,
    WriteFailed,
    WriteRefused,
)
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
from spotify_assets.lakehouse.publishing import Publication, publish_if_changed, published_sequence
from spotify_assets.lakehouse.reading import connect, scan_table
from spotify_assets.lakehouse.session import RunSession, current_session, living_run, run_session
from spotify_assets.lakehouse.transaction import Transaction
from spotify_assets.lakehouse.warehouse import Warehouse

__all__ = [
    "FileLock",
    "LakehouseError",
    "LakehouseIOManager",
    "LocalFolder",
    "LockTimeout",
    "Lot",
    "Lots",
    "Manifest",
    "MirrorFile",
    "MirrorReport",
    "MirrorTarget",
    "NoSession",
    "NothingPublished",
    "Publication",
    "PublicationFailed",
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
    "publish_if_changed",
    "published_sequence",
    "remove_leftovers",
    "run_session",
    "scan_table",
    "update_mirror",
]
