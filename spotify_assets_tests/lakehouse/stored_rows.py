"""What two homes hold, compared table by table."""

from __future__ import annotations

from pathlib import Path

import duckdb

from spotify_assets.lakehouse.definition import literal, quoted
from spotify_assets.settings import HomePaths


def differences(one: Path, other: Path, *, ignored: dict[str, tuple[str, ...]] | None = None) -> list[str]:
    """Tables, columns and rows in which two homes differ, in the warehouse and in the published file with its views.

    Args:
        one: A home that nobody has open.
        other: Another one.
        ignored: Columns by table (`schema.table`) that may differ.
    """
    told = []
    for file in ("published_file", "warehouse_file"):
        files = [getattr(HomePaths(home), file).resolve() for home in (one, other)]
        with duckdb.connect() as connection:
            for name, path in zip(("one", "other"), files, strict=True):
                connection.execute(f"ATTACH {literal(str(path))} AS {name} (READ_ONLY)").fetchall()
            told += [f"{file}: {difference}" for difference in _differences(connection, ignored or {})]
    return told


def _differences(connection: duckdb.DuckDBPyConnection, ignored: dict[str, tuple[str, ...]]) -> list[str]:
    shapes = [
        set(
            connection.execute(
                "SELECT schema_name, table_name, '', '', false, coalesce(comment, '') FROM duckdb_tables() WHERE "
                "database_name = ? UNION ALL SELECT schema_name, table_name, column_name, data_type, is_nullable, "
                "coalesce(comment, '') FROM duckdb_columns() WHERE database_name = ? AND NOT internal",
                [name, name],
            ).fetchall()
        )
        for name in ("one", "other")
    ]
    told = [f"{column} stands in one only" for column in sorted(shapes[0] ^ shapes[1])]
    for schema, table in sorted({(schema, table) for schema, table, *_ in shapes[0] & shapes[1]}):
        without = ignored.get(f"{schema}.{table}", ())
        columns = "*" if not without else f"* EXCLUDE ({', '.join(map(quoted, without))})"
        name = f"{quoted(schema)}.{quoted(table)}"
        for here, there in (("one", "other"), ("other", "one")):
            rows = connection.execute(
                f"SELECT {columns} FROM {here}.{name} EXCEPT ALL SELECT {columns} FROM {there}.{name}"
            ).fetchall()
            if rows:
                told.append(f"{schema}.{table}: {len(rows)} rows of {here} only, {rows[0]} for one")
    return told
