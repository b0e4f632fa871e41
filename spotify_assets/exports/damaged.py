"""Reading a history file row by row when a strict parser refuses it.

DuckDB reads a whole file or none of it. Here one bad row costs only itself, and the rows before a cut are kept.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spotify_assets.exports.personal import DECODER
from spotify_assets.texts import to_json

_BETWEEN_ROWS = re.compile(r"[\s,\x00\ufeff]*")
_START_OF_ROW = re.compile(r'\{\s*"')
ROW_MARKS = frozenset(
    ("ts", "ms_played", "endTime", "msPlayed", "spotify_track_uri", "master_metadata_track_name", "trackName")
)
"""Keys by which an object is known to be a row, when the reader looks for where to go on after a bad one."""


@dataclass(frozen=True)
class ScannedRow:
    """One row of a damaged file: either `json_text`, or the `reason` why there is none."""

    row_number: int
    json_text: str | None
    reason: str | None


@dataclass(frozen=True)
class Scan:
    """All rows of a damaged file in their order, and what is wrong with the file around them (None: nothing)."""

    rows: list[ScannedRow]
    fault: str | None


def decode(data: bytes) -> str:
    """Text of a file: UTF-8 with or without byte order mark, or UTF-16 with one; bad bytes become U+FFFD."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace").removeprefix("\ufeff")


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not ROW_MARKS.isdisjoint(value)


def _next_row(text: str, position: int) -> int | None:
    """Where the first readable row after `position` starts."""
    for match in _START_OF_ROW.finditer(text, position):
        try:
            value, _ = DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if _is_row(value):
            return match.start()
    return None


def _name_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return {str: "a text", list: "a list", type(None): "null"}.get(type(value), "something else")


def _is_cut(text: str, position: int) -> bool:
    """Whether the unreadable rest is one row that the file's end cut off, rather than bad JSON in its middle."""
    return text.rstrip()[-1:] not in ("}", "]")


def scan(data: bytes) -> Scan:
    """Read what can be read of a file that should be a JSON array of objects.

    Never raises for any bytes. A stretch that cannot be read counts as one row; the reader goes on at the next
    readable row.
    """
    text = decode(data)
    rows: list[ScannedRow] = []
    fault: str | None = None
    position = _BETWEEN_ROWS.match(text).end()  # type: ignore[union-attr]
    if text[position : position + 1] == "[":
        position += 1
    elif position < len(text):
        fault = "the list of rows does not begin with '['"
    while True:
        position = _BETWEEN_ROWS.match(text, position).end()  # type: ignore[union-attr]
        if position >= len(text):
            fault = fault or "the closing ']' is missing, so the file's end was cut off"
            break
        number = len(rows) + 1
        if text[position] == "]":
            rest = _BETWEEN_ROWS.match(text, position + 1).end()  # type: ignore[union-attr]
            if rest >= len(text):
                break
            fault = "there is more after the closing ']'"
            following = _next_row(text, rest)
            if following is None:
                rows.append(ScannedRow(number, None, "Text after the end of the list, not a row."))
                break
            position = following
        try:
            value, end = DECODER.raw_decode(text, position)
            json_text = to_json(value)
        except (ValueError, RecursionError) as error:
            following = _next_row(text, position + 1)
            if following is None and _is_cut(text, position):
                rows.append(ScannedRow(number, None, "The row is cut off in the middle."))
                fault = fault or "the file's end was cut off"
                break
            reason = (
                "The row is nested too deeply." if isinstance(error, RecursionError) else "The row is not valid JSON."
            )
            rows.append(ScannedRow(number, None, reason))
            if following is None:
                fault = fault or "it is not valid JSON"
                break
            position = following
            continue
        if isinstance(value, dict):
            rows.append(ScannedRow(number, json_text, None))
        else:
            rows.append(ScannedRow(number, None, f"The row is not an object but {_name_of(value)}."))
        position = end
    return Scan(rows, fault)


def readable_objects(text: str) -> Iterator[dict[str, Any]]:
    """The rows that stand whole in the beginning of a file."""
    position: int | None = _next_row(text, 0)
    while position is not None:
        value, end = DECODER.raw_decode(text, position)
        yield value
        position = _next_row(text, end)
