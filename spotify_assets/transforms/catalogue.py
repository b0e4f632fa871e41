"""Tracks, albums and artists as the plays name them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

NAMES = ["track_key", "track_name", "artist_key", "artist_name", "album_key", "album_name", "track_uri", "track_id"]
"""Columns of clean.plays that name a track."""

SPELLINGS = pl.Schema(
    {
        **dict.fromkeys(NAMES, pl.String),
        "plays": pl.Int64,
        "ms_played": pl.Int64,
        "length_ms": pl.Int64,
        "first_played_at": pl.Datetime("us", "UTC"),
        "last_played_at": pl.Datetime("us", "UTC"),
    }
)
"""Columns of spellings: one row for each way in which tracks were named in clean.plays, with number of plays, listening
time, longest finished play, first and last end."""


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
    """clean.tracks from `SPELLINGS`."""
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
    """clean.albums from `SPELLINGS`."""
    of_albums = spelled.filter(pl.col("album_key").is_not_null())
    return (
        of_albums.group_by("album_key")
        .agg(*_totals(), tracks=pl.col("track_key").drop_nulls().n_unique().cast(pl.Int64))
        .join(_most_played(of_albums, "album_key", ["album_name", "artist_key", "artist_name"]), on="album_key")
        .sort("album_key")
    )


def artists(spelled: pl.LazyFrame) -> pl.LazyFrame:
    """clean.artists from `SPELLINGS`."""
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
