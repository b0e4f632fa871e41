"""Sums that must agree: what a daily table counts against the plays that it was made from.

Written apart from the transforms that they check, on purpose: a check that shares their code shares their mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

SUM_COLUMNS = ["listener", "played_on", "content_type", "ms_played"]
"""Columns of clean.plays that the checks of listening and hours need; entities need their key as well."""

_DAY = ["listener", "played_on"]


@dataclass(frozen=True)
class Balance:
    """Whether a table agrees with the plays of its days."""

    rows: int
    plays: int
    ms_played: int
    differing_days: tuple[str, ...]

    @property
    def is_even(self) -> bool:
        return not self.differing_days

    def __add__(self, other: Balance) -> Balance:
        """Of the days of both."""
        return Balance(
            self.rows + other.rows,
            self.plays + other.plays,
            self.ms_played + other.ms_played,
            self.differing_days + other.differing_days,
        )


def _per_day(rows: pl.LazyFrame, plays: str | None = None, day_column: str = "played_on") -> pl.LazyFrame:
    counted = pl.len() if plays is None else pl.col(plays).sum()
    return rows.group_by("listener", played_on=day_column).agg(
        plays=counted.cast(pl.Int64), ms_played=pl.col("ms_played").sum().cast(pl.Int64)
    )


def _balance(built: pl.LazyFrame, expected: pl.LazyFrame) -> Balance:
    numbers = ("plays", "ms_played")
    is_active = pl.any_horizontal(pl.col(name) != 0 for name in numbers)
    both = (
        built.filter(is_active)
        .join(expected.filter(is_active), on=_DAY, how="full", coalesce=True, suffix="_expected")
        .collect()
    )
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_expected")) for name in numbers)
    return Balance(
        rows=both.height,
        plays=int(both["plays"].sum()),
        ms_played=int(both["ms_played"].sum()),
        differing_days=tuple(both.filter(differs)["played_on"].unique().sort().cast(pl.String).to_list()),
    )


def listening_balance(listening: pl.LazyFrame, plays: pl.LazyFrame) -> Balance:
    """daily.listening against the plays of its days (SUM_COLUMNS), content type by content type."""
    of_type = {"track": ("plays", "ms_played")} | {
        kind: (f"{kind}_plays", f"{kind}_ms_played") for kind in ("episode", "audiobook", "unknown")
    }
    kind = pl.col("content_type")
    told = pl.concat(
        listening.select(
            pl.format("{}: {}", "listener", pl.lit(name)).alias("listener"),
            "played_on",
            plays=pl.col(columns[0]),
            ms_played=pl.col(columns[1]),
        )
        for name, columns in of_type.items()
    )
    expected = _per_day(plays.with_columns(listener=pl.format("{}: {}", "listener", kind)))
    return _balance(_per_day(told, "plays"), expected)


def tracks_balance(built: pl.LazyFrame, plays: pl.LazyFrame, key: str | None = None) -> Balance:
    """daily.hours, artists, albums or tracks against the plays of tracks whose `key` is known."""
    tracks = plays.filter(pl.col("content_type") == "track")
    if key:
        tracks = tracks.filter(pl.col(key).is_not_null())
    return _balance(_per_day(built, "plays"), _per_day(tracks))


def sessions_balance(sessions: pl.LazyFrame, session_plays: pl.LazyFrame) -> Balance:
    """daily.sessions against all plays by session_started_on."""
    return _balance(_per_day(sessions, "plays"), _per_day(session_plays, day_column="session_started_on"))
