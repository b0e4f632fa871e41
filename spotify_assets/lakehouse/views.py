"""The declared views in a published file: made anew in each, so that they and their tables are of one version.

Not in the warehouse: its tables are dropped and made anew under them, and what looks through its catalogue looks for
tables.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from spotify_assets.lakehouse.definition import (
    Catalog,
    StoredTables,
    duckdb_type,
    literal,
    quoted,
    select,
    sql_name,
    table_comment,
)
from spotify_assets.schemas import Table, View, views


def view_query(view: type[View], catalog: Catalog) -> str:
    """The view's SELECT over what is stored: the declared columns, in their order, with their types."""
    columns = ", ".join(
        f"CAST({quoted(name)} AS {duckdb_type(view, name)}) AS {quoted(name)}" for name in view.columns()
    )
    query = view.query_from(lambda table: _relation(table, catalog))
    return f"SELECT {columns} FROM ({query})"


def create_views(file: Path, configuration: dict[str, Any], stored: StoredTables, log: Callable[[str], None]) -> None:
    """Write every declared view, with comments, into a file that nobody has open.

    A view that cannot be made is logged and left out: it is no reason to publish nothing.

    Args:
        file: A published file in the making.
        configuration: How DuckDB is set up in this process.
        stored: The tables in it; as long as no view looks at any of them, there are no views.
        log: Told of views that are left out.

    Raises:
        duckdb.Error: The file cannot be written.
    """
    if not any(table.qualified_name() in stored for view in views() for table in view.inputs()):
        return
    with duckdb.connect(str(file), config=configuration) as connection:
        catalog = Catalog(connection, stored)
        # All at once: a transaction for each took twice as long.
        if not _try(connection, [_definition(view, catalog) for view in views()]):
            for view in views():
                _try(connection, [_definition(view, catalog)], lambda told, view=view: log(_left_out(view, told)))
        connection.execute("CHECKPOINT").fetchall()


def _try(
    connection: duckdb.DuckDBPyConnection, statements: list[str], log: Callable[[str], None] | None = None
) -> bool:
    connection.begin()
    try:
        connection.execute(";".join(statements)).fetchall()
        connection.commit()
    except duckdb.Error as error:
        connection.rollback()
        if log:
            log(str(error).splitlines()[0])
        return False
    return True


def _left_out(view: type[View], told: str) -> str:
    return f"The view {view.qualified_name()} is not in the published file: {told}"


def _definition(view: type[View], catalog: Catalog) -> str:
    name = sql_name(view)
    statements = [
        f"CREATE SCHEMA IF NOT EXISTS {quoted(view.layout.schema)}",
        f"CREATE OR REPLACE VIEW {name} AS {view_query(view, catalog)}",
        f"COMMENT ON VIEW {name} IS {literal(table_comment(view))}",
    ]
    statements += [
        f"COMMENT ON COLUMN {name}.{quoted(column)} IS {literal(declared.description or '')}"
        for column, declared in view.columns().items()
    ]
    return ";".join(statements)


def _relation(table: type[Table], catalog: Catalog) -> str:
    """What a view selects from: the table itself, or what stands for what is not stored of it yet."""
    stored = catalog.columns(table)
    if all(name in stored for name in table.columns()):
        return sql_name(table)
    if stored:
        return f"({select(table, stored)})"
    columns = ", ".join(f"NULL::{duckdb_type(table, name)} AS {quoted(name)}" for name in table.columns())
    return f"(SELECT {columns} WHERE false)"
