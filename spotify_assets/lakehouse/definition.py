"""How a declared table looks in DuckDB: types, DDL, comments, and what to do when the declaration has changed."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import polars as pl

from spotify_assets.lakehouse.errors import WriteRefused
from spotify_assets.schemas import Table, table_named

_DUCKDB_TYPES: dict[pl.DataType, str] = {
    pl.String(): "VARCHAR",
    pl.Boolean(): "BOOLEAN",
    pl.Int8(): "TINYINT",
    pl.Int16(): "SMALLINT",
    pl.Int32(): "INTEGER",
    pl.Int64(): "BIGINT",
    pl.Float32(): "FLOAT",
    pl.Float64(): "DOUBLE",
    pl.Date(): "DATE",
    pl.Datetime("us"): "TIMESTAMP",
    pl.Datetime("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}


def set_up(connection: duckdb.DuckDBPyConnection) -> None:
    """What every connection and cursor needs before its first query."""
    # Without a zone DuckDB answers in the machine's; string views spare Polars a copy of every text.
    connection.execute("SET TimeZone = 'UTC'; SET produce_arrow_string_view = true").fetchall()


def quoted(name: str) -> str:
    """An identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string for SQL, where no parameter can stand."""
    return "'" + text.replace("'", "''") + "'"


def as_table(table: type[Table] | str) -> type[Table]:
    return table_named(table) if isinstance(table, str) else table


def sql_name(table: type[Table]) -> str:
    return f"{quoted(table.layout.schema)}.{quoted(table.layout.table)}"


def duckdb_type(table: type[Table], column: str) -> str:
    """The DuckDB type of a declared column.

    Raises:
        TypeError: The declared type is one that BI tools cannot read from Parquet (unsigned, nested, nanoseconds …).
    """
    dtype = table.polars_schema()[column]
    try:
        return _DUCKDB_TYPES[dtype]
    except KeyError:
        raise TypeError(
            f"{table.qualified_name()}.{column} is declared as {dtype}; tables may only hold "
            + ", ".join(sorted(_DUCKDB_TYPES.values()))
        ) from None


def polars_type(duckdb_name: str) -> pl.DataType:
    """The Polars type of a DuckDB type that `duckdb_type` gives.

    Raises:
        KeyError: It gives no such type.
    """
    return {name: dtype for dtype, name in _DUCKDB_TYPES.items()}[duckdb_name]


def create(connection: duckdb.DuckDBPyConnection, table: type[Table]) -> None:
    """Create the table of a declaration, with comments. No primary key: it made inserts 4 times slower and the file
    7 times larger; the key stands in the table's comment and is checked before every write.
    """
    nullable = {name: column.nullable for name, column in table.columns().items()}
    columns = ", ".join(
        f"{quoted(name)} {duckdb_type(table, name)}{'' if nullable[name] else ' NOT NULL'}" for name in nullable
    )
    statements = [
        f"CREATE SCHEMA IF NOT EXISTS {quoted(table.layout.schema)}",
        f"CREATE TABLE {sql_name(table)} ({columns})",
        f"COMMENT ON TABLE {sql_name(table)} IS {literal(table_comment(table))}",
    ]
    statements += [
        f"COMMENT ON COLUMN {sql_name(table)}.{quoted(name)} IS {literal(column.description or '')}"
        for name, column in table.columns().items()
    ]
    connection.execute(";".join(statements)).fetchall()


def table_comment(table: type[Table]) -> str:
    """The table's description and its key."""
    key = table.primary_key()
    return f"{table.table_description()} Key: {', '.join(key)}." if key else table.table_description()


StoredColumns = dict[str, tuple[str, bool, str]]
"""Of each column of a stored table: type, whether NULL is allowed, comment."""


StoredTables = dict[str, StoredColumns]


class Catalog:
    """The stored tables of one connection, asked for once: the answer takes DuckDB some milliseconds each time.

    Args:
        connection: The connection to ask.
        tables: What another connection to the same file was told, as long as nobody can have changed it since.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, tables: StoredTables | None = None) -> None:
        self._connection = connection
        self._tables = None if tables is None else dict(tables)

    @property
    def tables(self) -> StoredTables | None:
        """What was told, None when nobody asked."""
        return self._tables

    def columns(self, table: type[Table]) -> StoredColumns:
        """Columns of a table; empty when there is no such table."""
        if self._tables is None:
            self._tables = {}
            rows = self._connection.execute(
                "SELECT schema_name || '.' || table_name, column_name, data_type, is_nullable, coalesce(comment, '') "
                "FROM duckdb_columns() WHERE database_name = current_database() AND NOT internal "
                "ORDER BY table_oid, column_index"
            ).fetchall()
            for name, column, dtype, nullable, comment in rows:
                self._tables.setdefault(name, {})[column] = (dtype, bool(nullable), comment)
        return self._tables.get(table.qualified_name(), {})

    def forget(self) -> None:
        """Ask again: a table was changed."""
        self._tables = None

    def note_created(self, table: type[Table]) -> None:
        """A table was made as it is declared."""
        if self._tables is not None:
            self._tables[table.qualified_name()] = declared_columns(table)


def declared_columns(table: type[Table]) -> StoredColumns:
    """The columns that a table has as it is declared."""
    return {
        name: (duckdb_type(table, name), column.nullable, column.description or "")
        for name, column in table.columns().items()
    }


def bring_up_to_date(connection: duckdb.DuckDBPyConnection, table: type[Table], catalog: Catalog) -> None:
    """Create the table, or give the stored one the columns, comments and NULLs that its declaration has by now.

    Columns that the declaration lost stay, and are NULL in new rows.

    Raises:
        WriteRefused: A stored column has another type than the declaration says.
    """
    stored = catalog.columns(table)
    if not stored:
        create(connection, table)
        catalog.note_created(table)
        return
    changed = [
        f"{name} is {stored[name][0]} in the warehouse and {duckdb_type(table, name)} in the schema"
        for name in table.column_names()
        if name in stored and stored[name][0] != duckdb_type(table, name)
    ]
    if changed:
        raise WriteRefused(
            f"{table.qualified_name()} was not written, because columns changed their type: {'; '.join(changed)}. "
            "The stored rows are untouched. Give the column a new name, or rebuild the table as a whole."
        )
    statements = []
    for name, column in table.columns().items():
        if name not in stored:
            statements.append(f"ALTER TABLE {sql_name(table)} ADD COLUMN {quoted(name)} {duckdb_type(table, name)}")
        elif column.nullable and not stored[name][1]:
            statements.append(f"ALTER TABLE {sql_name(table)} ALTER COLUMN {quoted(name)} DROP NOT NULL")
        if name not in stored or stored[name][2] != (column.description or ""):
            statements.append(
                f"COMMENT ON COLUMN {sql_name(table)}.{quoted(name)} IS {literal(column.description or '')}"
            )
    statements += [
        f"ALTER TABLE {sql_name(table)} ALTER COLUMN {quoted(name)} DROP NOT NULL"
        for name, (_, nullable, _) in stored.items()
        if name not in table.columns() and not nullable
    ]
    if statements:
        connection.execute(";".join(statements)).fetchall()
        catalog.forget()


def select(
    table: type[Table],
    stored: StoredColumns,
    columns: Sequence[str] | None = None,
) -> str:
    """`SELECT … FROM …` of declared columns; those that the stored table does not have yet are NULL.

    Raises:
        KeyError: A column is not declared; the message names those that are.
    """
    names = list(columns) if columns is not None else table.column_names()
    unknown = [name for name in names if name not in table.columns()]
    if unknown:
        raise KeyError(
            f"{table.qualified_name()} has no column {', '.join(unknown)}; it has {', '.join(table.column_names())}"
        )
    expressions = [
        quoted(name) if name in stored else f"NULL::{duckdb_type(table, name)} AS {quoted(name)}" for name in names
    ]
    return f"SELECT {', '.join(expressions)} FROM {sql_name(table)}"
