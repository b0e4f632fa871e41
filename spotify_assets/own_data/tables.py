"""One table as one file: CSV, JSON Lines or Parquet."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Literal

import polars as pl

from spotify_assets import progress
from spotify_assets.lakehouse.definition import literal, quoted, sql_name
from spotify_assets.own_data.snapshot import Snapshot
from spotify_assets.own_data.values import csv_field, plain, struct
from spotify_assets.schemas import Table

Format = Literal["csv", "parquet", "jsonl"]

LISTENER = "listener"


def write_table(snapshot: Snapshot, table: type[Table], file: Path, format: Format, listener: str | None) -> int:
    """Write the rows of a table in the order of its mirror, large ones month after month; returns how many.

    CSV is RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180): a line of names, CRLF, quotes doubled; UTF-8. NULL is an
    empty field, an empty text is "". JSON Lines are one object a line with all columns; NULL is null.

    Args:
        listener: Whose rows, where the table has a column for it; None for everybody's.
    """
    columns = snapshot.stored_columns(table)
    if format == "parquet":
        return _write_parquet(snapshot, table, columns, _source(table, columns, listener), file)
    if format == "csv":
        schema = table.polars_schema()
        fields = (csv_field(plain(table, name), is_text=schema[name] == pl.String) for name in columns)
        line = " || ',' || ".join(fields)
        head, end = ",".join(columns) + "\r\n", "\r\n"
    else:
        line = f"to_json({struct({name: plain(table, name) for name in columns})})"
        head, end = "", "\n"
    queries = [f"SELECT {line} {_source(table, columns, listener, slice)}" for slice in snapshot.slices(table)]
    return write_lines(snapshot, queries, file, what=table.qualified_name(), head=head, end=end)


def write_lines(
    snapshot: Snapshot,
    queries: Iterable[str],
    file: Path,
    *,
    what: str,
    head: str = "",
    end: str = "\n",
    total: int | None = None,
) -> int:
    """Write what queries of one text column answer, one line a row; returns how many rows there were.

    Args:
        what: What is written, for the progress bar; the name of a table tells how many rows to expect.
        head: Stands before the first line.
        end: Stands after each line.
        total: Rows to expect.
    """
    expected = snapshot.rows.get(what, 0) if total is None else total
    rows_written = 0
    # Without `newline` the ends of lines would be those of the machine.
    with file.open("x", encoding="utf-8", newline="") as opened:
        opened.write(head)
        for rows in chain.from_iterable(map(snapshot.stream, queries)):
            progress.report(f"Writing {what}", rows_written, max(expected, rows_written))
            opened.write(end.join(line for (line,) in rows) + end)
            rows_written += len(rows)
    return rows_written


def of_listener(listener: str | None, column: str = LISTENER) -> str:
    """A condition for SQL: rows of one listener, or all."""
    return "true" if listener is None else f"{column} = {literal(listener)}"


def _source(table: type[Table], columns: list[str], listener: str | None, slice: str = "true") -> str:
    condition = of_listener(listener) if LISTENER in columns else "true"
    # The order of the mirror's files is not always that of a key: two listeners may share an instant and a play.
    order = [name for name in dict.fromkeys((*table.sort_columns(), *table.primary_key())) if name in columns]
    return f"FROM {sql_name(table)} WHERE {condition} AND {slice} ORDER BY {', '.join(map(quoted, order))}"


def _write_parquet(snapshot: Snapshot, table: type[Table], columns: list[str], rest: str, file: Path) -> int:
    progress.report(f"Writing {table.qualified_name()}")
    with snapshot.connection.cursor() as cursor:
        cursor.execute("USE lakehouse; SET TimeZone = 'UTC'").fetchall()
        (rows,) = cursor.execute(
            f"COPY (SELECT {', '.join(map(quoted, columns))} {rest}) TO {literal(str(file))} "
            "(FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()[0]
    return rows
