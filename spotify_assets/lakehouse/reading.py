"""Reading the published file, from notebooks, scripts and the mirror. It never blocks a run, nor a run it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
from polars.io.plugins import register_io_source

from spotify_assets.arrow import frame_of
from spotify_assets.lakehouse.definition import quoted, set_up
from spotify_assets.lakehouse.errors import NothingPublished, UnknownTable
from spotify_assets.settings import HomePaths


def connect(home: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the newest published file, its time zone UTC. Close it, or use it in a `with`.

    It goes on showing the snapshot that it was opened on; connect again to see newer data.

    Raises:
        NothingPublished: The home has no published file.
    """
    return open_snapshot(snapshot_file(HomePaths(home)))


def scan_table(home: Path, name: str) -> pl.LazyFrame:
    """A table or view of the newest published file, such as `daily.artists`; only the columns that are used are read.

    The frame keeps to the snapshot that is newest now, however late it is collected.

    Raises:
        NothingPublished: The home has no published file.
        UnknownTable: There is no such table; the message names those there are.
    """
    connection = connect(home)
    try:
        source = _from_table(connection, name)
        schema = frame_of(connection.sql(f"{source} LIMIT 0")).schema
    except BaseException:
        connection.close()
        raise

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, row_limit: int | None, batch_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        # Polars may ask from another thread, and a connection serves one at a time.
        with connection.cursor() as cursor:
            set_up(cursor)
            chosen = ", ".join(quoted(column) for column in columns) if columns else "*"
            limit = f" LIMIT {row_limit}" if row_limit is not None and predicate is None else ""
            frame = frame_of(cursor.sql(f"SELECT {chosen} {source}{limit}"))
        if predicate is not None:
            frame = frame.filter(predicate)
            if row_limit is not None:
                frame = frame.head(row_limit)
        yield frame

    # Open at exit, a connection makes DuckDB 2.0 complain of leaks.
    weakref.finalize(read, connection.close)
    return register_io_source(read, schema=schema)


def snapshot_file(paths: HomePaths) -> Path:
    """The newest published file itself, behind the symlink.

    Raises:
        NothingPublished: The home has none.
    """
    file = paths.published_file
    if not file.exists():
        raise NothingPublished(
            f"nothing is published in {paths.home} yet: there is no {file.name}. Import something first, or name "
            "another home folder."
        )
    return file.resolve()


def open_snapshot(file: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to one snapshot. All of a process must open it alike, or DuckDB refuses."""
    connection = duckdb.connect(str(file), read_only=True)
    try:
        set_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _from_table(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    schema, _, table = name.partition(".")
    known = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database() UNION ALL "
        "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = current_database() AND NOT internal "
        "ORDER BY ALL"
    ).fetchall()
    if (schema, table) not in known:
        names = ", ".join(".".join(each) for each in known) or "no table at all"
        raise UnknownTable(f"the lakehouse has no table {name}; it has {names}")
    return f"FROM {quoted(schema)}.{quoted(table)}"
