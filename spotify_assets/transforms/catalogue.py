"""Tracks, albums and artists as the plays name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

PLAY_COLUMNS = [
    "content_type",
    "track_key",
    "track_name",
    "artist_key",
    "artist_name",
    "album_key",
    "album_name",
    "track_uri",
    "track_id",
    "ms_played",
    "is_finished",
    "ended_at",
]
"""Columns of clean.plays that the catalogue is made from."""

_NAMES = ["track_key", "track_name", "artist_key", "artist_name", "album_key", "album_name", "track_uri", "track_id"]
_SUMS = ["plays", "ms_played", "length_ms", "first_played_at", "last_played_at"]


def spellings(plays: pl.LazyFrame) -> pl.LazyFrame:
    """One row for each way in which tracks were named: what `tracks`, `albums` and `artists` sum up.

    Columns: keys, names, track_uri and track_id, plays, ms_played, length_ms, first_played_at, last_played_at.
    """
    return (
        plays.filter(pl.col("content_type") == "track")
        .with_columns(length_ms=pl.when("is_finished").then("ms_played"))
        .group_by(_NAMES)
        .agg(
            plays=pl.len().cast(pl.Int64),
            ms_played=pl.col("ms_played").sum(),
            length_ms=pl.col("length_ms").max(),
            first_played_at=pl.col("ended_at").min(),
            last_played_at=pl.col("ended_at").max(),
        )
    )


def joined_spellings(parts: Iterable[pl.LazyFrame]) -> pl.LazyFrame:
    """`spellings` of all plays from those of some at a time."""
    return pl.concat(parts).group_by(_NAMES).agg(*_totals(), pl.col("length_ms").max()).select(*_NAMES, *_SUMS)


def _totals() -> list[pl.Expr]:
    return [
        pl.col("plays").sum(),
        pl.col("ms_played").sum(),
        pl.col("first_played_at").min(),
        pl.col("last_played_at").max(),
    ]


def _most_played(spelled: pl.LazyFrame, key: str, columns: Sequence[str]) -> pl.LazyFrame:
    """For each key the combination of `columns` with most plays; the smallest of equals."""
    return (
        spelled.group_by(key, *columns)
        .agg(pl.col("plays").sum())
        .sort(pl.col(key), -pl.col("plays"), *columns, nulls_last=True)
        .unique(key, keep="first", maintain_order=True)
        .select(key, *columns)
    )


def tracks(spelled: pl.LazyFrame) -> pl.LazyFrame:
    """clean.tracks from `spellings`."""
    of_tracks = spelled.filter(pl.col("track_key").is_not_null())
    return (
        of_tracks.group_by("track_key")
        .agg(*_totals(), pl.col("length_ms").max())
        .join(_most_played(of_tracks, "track_key", ["track_name", "artist_key", "artist_name"]), on="track_key")
        .join(
            _most_played(of_tracks.filter(pl.col("album_key").is_not_null()), "track_key", ["album_key", "album_name"]),
            on="track_key",
            how="left",
        )
        .join(
            _most_played(of_tracks.filter(pl.col("track_uri").is_not_null()), "track_key", ["track_uri", "track_id"]),
            on="track_key",
            how="left",
        )
        .sort("track_key")
    )


def albums(spelled: pl.LazyFrame) -> pl.LazyFrame:
    """clean.albums from `spellings`."""
    of_albums = spelled.filter(pl.col("album_key").is_not_null())
    return (
        of_albums.group_by("album_key")
        .agg(*_totals(), tracks=pl.col("track_key").drop_nulls().n_unique().cast(pl.Int64))
        .join(_most_played(of_albums, "album_key", ["album_name", "artist_key", "artist_name"]), on="album_key")
        .sort("album_key")
    )


def artists(spelled: pl.LazyFrame) -> pl.LazyFrame:
    """clean.artists from `spellings`."""
    of_artists = spelled.filter(pl.col("artist_key").is_not_null())
    return (
        of_artists.group_by("artist_key")
        .agg(
            *_totals(),
            tracks=pl.col("track_key").drop_nulls().n_unique().cast(pl.Int64),
            albums=pl.col("album_key").drop_nulls().n_unique().cast(pl.Int64),
        )
        .join(_most_played(of_artists, "artist_key", ["artist_name"]), on="artist_key")
        .sort("artist_key")
    )
