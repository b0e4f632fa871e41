"""Writing the warehouse anew into a file without gaps: when much of it is free, or when rows must leave no trace.

DuckDB reuses the blocks that deleted rows leave and seldom gives them back: a table that is rewritten as a whole makes
the file twice as large, rows that go for good leave their room behind, and freed blocks keep their bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from spotify_assets.lakehouse.definition import literal, quoted
from spotify_assets.lakehouse.errors import WriteFailed
from spotify_assets.settings import HomePaths

if TYPE_CHECKING:
    from spotify_assets.lakehouse.warehouse import Warehouse

OLD, NEW = "old_warehouse", "new_warehouse"
"""Names under which `successor` attaches the two files."""


def is_worth_it(connection: duckdb.DuckDBPyConnection, least_bytes: int) -> bool:
    """Whether more than half of the open file is free, and at least `least_bytes`.

    Rewriting every table one after the other leaves just under half of it free, which the next rewriting uses again:
    up to that, writing all of it anew would cost seconds and win nothing.
    """
    _, _, block_bytes, total_blocks, _, free_blocks, *_ = connection.execute("PRAGMA database_size").fetchall()[0]
    return 2 * free_blocks > total_blocks and free_blocks * block_bytes >= least_bytes


def compact(warehouse: Warehouse, log: Callable[[str], None]) -> bool:
    """Write the closed warehouse into a file without gaps; returns whether that was done.

    What goes wrong is logged and leaves the warehouse as it is: it is no reason to fail a run.
    """
    try:
        with successor(warehouse, log) as connection:
            connection.execute(f"COPY FROM DATABASE {OLD} TO {NEW}").fetchall()
            _refuse_different_copy(connection)
    except (duckdb.Error, OSError, WriteFailed) as error:
        log(f"The warehouse was not compacted and keeps its size: {str(error).splitlines()[0]}")
        return False
    return True


@contextmanager
def successor(warehouse: Warehouse, log: Callable[[str], None] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that has the warehouse attached as `OLD` and an empty file as `NEW`.

    When the block ends, the new file takes the old one's place in one step; when it raises, or the process is killed,
    the old one stays. Nobody else can open the warehouse meanwhile.

    Raises:
        RuntimeError: This process has the warehouse open.
        WriteFailed: The new file could not be finished.
    """
    paths = warehouse.paths
    with warehouse.exclusively(log):
        warehouse.close()
        if warehouse.is_open:
            # Two instances of DuckDB in one process would each believe to be alone with the file.
            raise RuntimeError("the warehouse cannot be replaced while this process has it open")
        remove_unfinished(paths)
        try:
            with duckdb.connect(":memory:", config=warehouse.configuration()) as connection:
                connection.execute(f"ATTACH {literal(str(paths.warehouse_file))} AS {OLD} (READ_ONLY)").fetchall()
                connection.execute(
                    f"ATTACH {literal(str(_new_file(paths)))} AS {NEW} "
                    f"(STORAGE_VERSION {literal(warehouse.storage_version)})"
                ).fetchall()
                # Rows that lie together by day are skipped together when a day is read.
                connection.execute("SET preserve_insertion_order = true; SET TimeZone = 'UTC'").fetchall()
                yield connection
                connection.execute(f"USE memory; CHECKPOINT {NEW}; DETACH {NEW}").fetchall()
                _finish(paths)
        finally:
            remove_unfinished(paths)


def remove_unfinished(paths: HomePaths) -> None:
    """Remove what a killed process left of a new file. The caller keeps everybody else from the warehouse."""
    for file in (_new_file(paths), _wal(_new_file(paths))):
        file.unlink(missing_ok=True)


def stored_tables(connection: duckdb.DuckDBPyConnection, database: str) -> list[tuple[str, str]]:
    """(schema, table) of every table of an attached database, ordered."""
    return connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ? AND NOT internal ORDER BY ALL",
        [database],
    ).fetchall()


def _finish(paths: HomePaths) -> None:
    from spotify_assets.lakehouse.publishing import sync_folder

    file = _new_file(paths)
    if _wal(file).exists() and _wal(file).stat().st_size:
        raise WriteFailed("the new file still has a write-ahead log after its checkpoint")
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    file.replace(paths.warehouse_file)
    sync_folder(file.parent)


def _refuse_different_copy(connection: duckdb.DuckDBPyConnection) -> None:
    shapes = []
    for database in (OLD, NEW):
        tables = stored_tables(connection, database)
        columns = connection.execute(
            "SELECT schema_name, table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
            "WHERE database_name = ? AND NOT internal ORDER BY schema_name, table_name, column_index",
            [database],
        ).fetchall()
        comments = connection.execute(
            "SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE database_name = ? ORDER BY ALL",
            [database],
        ).fetchall()
        counts = " UNION ALL ".join(
            f"SELECT count(*) FROM {database}.{quoted(schema)}.{quoted(table)}" for schema, table in tables
        )
        shapes.append((columns, comments, connection.execute(counts).fetchall() if counts else []))
    if shapes[0] != shapes[1]:
        raise WriteFailed("the copy does not equal the warehouse")


def _new_file(paths: HomePaths) -> Path:
    return paths.warehouse_file.with_name("new.duckdb")


def _wal(file: Path) -> Path:
    return file.with_name(file.name + ".wal")
