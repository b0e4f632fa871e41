"""The published file as an export reads it: one snapshot, in little memory, row after row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from spotify_assets.lakehouse.definition import literal, quoted, set_up, sql_name
from spotify_assets.lakehouse.reading import snapshot_file
from spotify_assets.schemas import Table
from spotify_assets.settings import HomePaths

MEMORY_LIMIT = "400MB"
"""What sorting may take before it goes to disk. With 300 MB DuckDB 2.0 gave up on a million plays with all columns."""

ROWS_SORTED_AT_ONCE = 100_000

ROWS_AT_ONCE = 5_000


@dataclass(frozen=True)
class Snapshot:
    """One published file, open for reading.

    Attributes:
        sequence: Number of the last change that it holds.
        published_at: When it was made.
        rows: Rows of each table, by `schema.table`.
    """

    connection: duckdb.DuckDBPyConnection
    sequence: int
    published_at: datetime | None
    rows: dict[str, int]

    def stream(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query in its order, some thousand at a time."""
        with self.connection.cursor() as cursor:
            set_up(cursor)
            cursor.execute("USE lakehouse").fetchall()
            answer = cursor.execute(query)
            while rows := answer.fetchmany(ROWS_AT_ONCE):
                yield rows

    def all(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query that has few."""
        return [row for rows in self.stream(query) for row in rows]

    def has(self, *tables: type[Table]) -> bool:
        """Whether all of the tables are in the file."""
        return all(table.qualified_name() in self.rows for table in tables)

    def stored_columns(self, table: type[Table]) -> list[str]:
        """Declared columns of a table that the file has: one of an older version may lack some."""
        found = self.all(
            "SELECT column_name FROM duckdb_columns() WHERE database_name = 'lakehouse' "
            f"AND schema_name = {literal(table.layout.schema)} AND table_name = {literal(table.layout.table)}"
        )
        stored = {name for (name,) in found}
        return [name for name in table.column_names() if name in stored]

    def slices(self, table: type[Table], *, rows_at_once: int = ROWS_SORTED_AT_ONCE) -> list[str]:
        """Conditions for SQL that take a table apart into months, one after the other; small tables stay whole.

        Sorted at once, a million plays with all columns take 0.6 GB.
        """
        column, name = table.layout.month_column, table.qualified_name()
        if column is None or self.rows.get(name, 0) <= rows_at_once:
            return ["true"]
        month = f"date_trunc('month', {quoted(column)})"
        # A TIMESTAMPTZ is cut in the zone of the session, which is UTC.
        months = self.all(f"SELECT DISTINCT strftime({month}::DATE, '%Y-%m-%d') FROM {sql_name(table)} ORDER BY 1")
        of_type = "DATE" if table.polars_schema()[column] == pl.Date else "TIMESTAMPTZ"
        return [
            f"({quoted(column)} >= {of_type} '{first}' AND {quoted(column)} < {of_type} '{first}' + INTERVAL 1 MONTH)"
            for (first,) in months
        ]

    def listeners(self) -> list[str]:
        """Everybody of whom a table tells, in the order of their names."""
        parts = self.all(
            "SELECT schema_name, table_name FROM duckdb_columns() WHERE database_name = 'lakehouse' "
            "AND column_name = 'listener' ORDER BY ALL"
        )
        if not parts:
            return []
        union = " UNION ".join(f"SELECT listener FROM {quoted(schema)}.{quoted(table)}" for schema, table in parts)
        return [name for (name,) in self.all(f"SELECT * FROM ({union}) WHERE listener <> '' ORDER BY 1")]


@contextmanager
def open_for_export(paths: HomePaths, spill_folder: Path) -> Iterator[Snapshot]:
    """The newest published file; it stays the same one for as long as the context lasts.

    Args:
        spill_folder: Where sorting may put what does not fit into memory.

    Raises:
        NothingPublished: The home has no published file.
    """
    file = snapshot_file(paths)
    # Attached to a database of its own: the limits of a connection to the file itself would be those of every other
    # connection of this process to it.
    configuration = {"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill_folder)}
    with duckdb.connect(config=configuration) as connection:
        connection.execute(f"ATTACH {literal(str(file))} AS lakehouse (READ_ONLY)").fetchall()
        published = connection.execute(
            "SELECT coalesce(max(sequence), 0), max(published_at AT TIME ZONE 'UTC') FROM lakehouse.meta.published"
        ).fetchall()[0]
        counted = connection.execute("SELECT table_name, rows FROM lakehouse.meta.published").fetchall()
        yield Snapshot(connection, *published, dict(counted))
