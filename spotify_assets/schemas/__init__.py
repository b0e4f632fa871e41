"""Every table of the lakehouse, declared once.

A declaration drives the DuckDB table and its comments, the cast and check before every write, the columns and
lineage that the Dagster UI shows, the Parquet mirror and `docs/data-dictionary.md`. No I/O belongs here.
"""

from __future__ import annotations

from spotify_assets.schemas import raw  # isort: skip  (the order of the data's way is the order of the dictionary)
from spotify_assets.schemas import raw_api  # isort: skip
from spotify_assets.schemas import clean  # isort: skip
from spotify_assets.schemas import daily  # isort: skip
from spotify_assets.schemas import my  # isort: skip
from spotify_assets.schemas import meta  # isort: skip
from spotify_assets.schemas.table import Layout, Table, View, table_named, tables, views

__all__ = [
    "Layout",
    "Table",
    "View",
    "clean",
    "daily",
    "meta",
    "my",
    "raw",
    "raw_api",
    "table_named",
    "tables",
    "views",
]
