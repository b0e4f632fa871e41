"""SQL that words a stored value as text files do: instants in UTC with a Z, local times without, days, numbers."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from spotify_assets.lakehouse.definition import literal, quoted
from spotify_assets.schemas import Table

_LOCAL = "%Y-%m-%dT%H:%M:%S.%f"


def instant(expression: str) -> str:
    """A TIMESTAMPTZ as ISO 8601 in UTC with six decimals: as many everywhere, so that texts sort as instants do."""
    return f"strftime({expression} AT TIME ZONE 'UTC', '{_LOCAL}Z')"


def plain(table: type[Table], column: str, prefix: str = "") -> str:
    """A column as JSON and CSV hold it: times as text, everything else as it is."""
    name = prefix + quoted(column)
    dtype = table.polars_schema()[column]
    if dtype == pl.Date:
        return f"strftime({name}, '%Y-%m-%d')"
    if isinstance(dtype, pl.Datetime):
        return instant(name) if dtype.time_zone else f"strftime({name}, '{_LOCAL}')"
    return name


def struct(fields: Mapping[str, str]) -> str:
    """A DuckDB struct of named expressions."""
    return "{" + ", ".join(f"{literal(name)}: {expression}" for name, expression in fields.items()) + "}"


def csv_field(expression: str, *, is_text: bool) -> str:
    """A field of a CSV line; NULL is nothing at all, an empty text is ""."""
    text = f"({expression})::VARCHAR"
    if not is_text:
        return f"coalesce({text}, '')"
    # A text with spaces around it is quoted as well: many readers would take them off.
    return (
        f"CASE WHEN {text} IS NULL THEN '' "
        f"WHEN {text} = '' OR regexp_matches({text}, '[\",\\r\\n\\t;]|^\\s|\\s$') "
        f"THEN '\"' || replace({text}, '\"', '\"\"') || '\"' ELSE {text} END"
    )
