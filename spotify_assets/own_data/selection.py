"""Which tables an export is of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from spotify_assets.own_data.errors import ExportRefused
from spotify_assets.schemas import Table, table_named, tables

ROUND_TRIP = "spotify"
"""What stands for all that an empty home needs: exports in Spotify's format, and recorded responses."""

DEFAULT_SCHEMAS = ("clean", "daily")
_LEFT_OUT = "meta"


@dataclass(frozen=True)
class Selection:
    """What to export.

    Attributes:
        tables: The tables, in the order of declaration.
        round_trip: Whether what an empty home needs is part of it.
    """

    tables: tuple[type[Table], ...]
    round_trip: bool


def exportable_names() -> list[str]:
    """Every name that `select` knows: tables, whole schemas, and `ROUND_TRIP`."""
    declared = [table for table in tables() if table.layout.schema != _LEFT_OUT]
    schemas = dict.fromkeys(table.layout.schema for table in declared)
    return [ROUND_TRIP, *schemas, *(table.qualified_name() for table in declared)]


def select(names: Sequence[str], stored: Collection[str]) -> Selection:
    """The tables that some names mean.

    Args:
        names: `schema.table`, a schema, or `ROUND_TRIP`; none: the clean and daily tables, and `ROUND_TRIP`.
        stored: Tables that the published file has.

    Raises:
        ExportRefused: A name is unknown, or its table is not in the published file.
    """
    known = exportable_names()
    wanted: set[str] = set()
    for name in names or (*DEFAULT_SCHEMAS, ROUND_TRIP):
        if name not in known:
            raise ExportRefused(_unknown(name, known))
        of_schema = [each for each in known if each.startswith(f"{name}.") and each in stored]
        if "." in name and name not in stored:
            raise ExportRefused(
                f"The lakehouse has no table {name} yet: nothing was built of it. Nothing was exported. Import "
                "something first, or leave the name out."
            )
        wanted.update(of_schema or [name])
    chosen = tuple(table_named(name) for name in known if name in wanted and "." in name)
    return Selection(chosen, ROUND_TRIP in wanted)


def _unknown(name: str, known: Sequence[str]) -> str:
    same_table = [each for each in known if each.partition(".")[2] == name.lower()]
    close = same_table or get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    if close:
        return f"There is no table {name}. Did you mean {' or '.join(close)}? Nothing was exported."
    return f"There is no table {name}. Nothing was exported. Known are: {', '.join(known)}."
