"""Which values of audio features can be used, whoever told them.

The ranges are those of the schema. A value that is no number, or lies beyond its range, becomes NULL and is counted:
nothing is ever 0 because it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from spotify_assets.schemas.raw_api import ISRC_PATTERN, AudioFeatures
from spotify_assets.spotify.providers.model import FeaturesTold

_OTHER_COLUMNS = ("track_id", "source", "fetched_at", "is_known")

VALUES: tuple[str, ...] = tuple(name for name in AudioFeatures.column_names() if name not in (*_OTHER_COLUMNS, "isrc"))
"""The columns of raw.audio_features that hold numbers."""

FEATURES = pl.Schema({name: AudioFeatures.polars_schema()[name] for name in ("track_id", *VALUES, "isrc")})
"""The columns of raw.audio_features that a provider tells."""

_KEYS = {
    name: str(number)
    for number, names in enumerate(["c", "c#/db", "d", "d#/eb", "e", "f", "f#/gb", "g", "g#/ab", "a", "a#/bb", "b"])
    for name in names.split("/")
}
_WORDS = {"key": _KEYS, "mode": {"major": "1", "minor": "0"}}


def checked_features(told: pl.DataFrame) -> pl.DataFrame:
    """The rows with only what can be used in them.

    Args:
        told: `track_id` (sound ids) and any of the other columns of FEATURES, as numbers or texts.

    Returns:
        The rows, their other columns included, with all columns of FEATURES; `unusable_values`, how many values of the
        row could not be used; and `is_usable`, whether any number could.
    """
    given = told.with_columns(
        *(_numbers(told, name) for name in VALUES),
        isrc=_text(told, "isrc").str.to_uppercase().str.replace_all(r"[\s-]", ""),
    )
    names = [*VALUES, "isrc"]
    usable = given.with_columns(
        *(_in_range(name) for name in VALUES), isrc=pl.when(pl.col("isrc").str.contains(ISRC_PATTERN)).then("isrc")
    ).cast(dict(FEATURES))
    count = pl.sum_horizontal(pl.col(names).is_not_null().cast(pl.Int64))
    return usable.with_columns(
        unusable_values=given.select(count).to_series() - usable.select(count).to_series(),
        is_usable=pl.any_horizontal(pl.col(list(VALUES)).is_not_null()),
    )


def told_of_items(items: Mapping[str, Mapping[str, Any]]) -> FeaturesTold:
    """What JSON objects by track id tell, whose keys are the column names."""
    rows = [
        {"track_id": track_id, **{name: _told(item.get(name)) for name in (*VALUES, "isrc")}}
        for track_id, item in items.items()
    ]
    checked = checked_features(pl.DataFrame(rows, schema=dict.fromkeys(FEATURES, pl.String)))
    return FeaturesTold(checked.filter("is_usable").select(FEATURES.names()), checked["unusable_values"].sum())


def _told(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        # JSON can hold halves of surrogate pairs, which no table can.
        return value.encode("utf-8", "replace").decode()
    # A JSON number may be an integer of a thousand digits, which Python refuses to write out; nothing is that large.
    if isinstance(value, int) and abs(value) > 10**18:
        return "inf"
    return repr(value)


def _text(frame: pl.DataFrame, name: str) -> pl.Expr:
    if name not in frame.columns:
        return pl.lit(None, pl.String)
    if frame.schema[name] != pl.String:
        return pl.when(pl.col(name).is_not_null()).then(pl.lit("?"))
    text = pl.col(name).str.strip_chars()
    return pl.when(text != "").then(text)


def _numbers(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A column as numbers, NaN where something is told that is none."""
    if name in frame.columns and frame.schema[name].is_numeric():
        return pl.col(name).cast(pl.Float64)
    text = _text(frame, name)
    if words := _WORDS.get(name):
        text = text.str.to_lowercase().replace(words)
    number = text.cast(pl.Float64, strict=False)
    return pl.when(text.is_not_null()).then(number.fill_null(float("nan"))).alias(name)


def _in_range(name: str) -> pl.Expr:
    column = AudioFeatures.columns()[name]
    value = pl.col(name)
    is_sound = value.is_finite() & value.is_between(column.min, column.max)
    if FEATURES[name].is_integer():
        is_sound &= value == value.round()
    return pl.when(is_sound).then(value)
