"""What to ask providers next: what was listened to longest, and is neither known nor was asked for in vain lately."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from spotify_assets.schemas.raw_api import ISRC_PATTERN, TRACK_ID_PATTERN

NEGATIVE_FOR = timedelta(days=30)
"""A provider that did not know something is asked again after this time."""

ISRCS_PER_ARTIST = 3
"""One recording that a provider does not know says little of its artist, many say enough."""

WANTED_TRACKS = pl.Schema({"track_id": pl.String, "ms_played": pl.Int64})
WANTED_ARTISTS = pl.Schema({"artist_name": pl.String, "ms_played": pl.Int64})
QUESTIONS = pl.Schema({"artist_name": pl.String, "isrc": pl.String, "ms_played": pl.Int64})


def wanted_tracks(played: pl.LazyFrame, others: pl.LazyFrame) -> pl.LazyFrame:
    """Tracks whose features are wanted, those that were listened to longest first: `WANTED_TRACKS`.

    Args:
        played: track_id, ms_played; several rows may be about one track.
        others: track_id of tracks that are wanted although they may never have been played.
    """
    return (
        pl.concat([played.select("track_id", "ms_played"), others.select("track_id", ms_played=pl.lit(0, pl.Int64))])
        .filter(pl.col("track_id").str.contains(TRACK_ID_PATTERN))
        .group_by("track_id")
        .agg(pl.col("ms_played").sum())
        .sort("ms_played", "track_id", descending=[True, False])
    )


def tracks_to_ask(wanted: pl.LazyFrame, stored: pl.LazyFrame, source: str, now: datetime) -> pl.LazyFrame:
    """Wanted tracks that no provider knows, and that this one was not asked for lately; in the order of `wanted`.

    Args:
        wanted: `WANTED_TRACKS`.
        stored: track_id, source, fetched_at and is_known of raw.audio_features.
    """
    is_settled = pl.col("is_known") | ((pl.col("source") == source) & (pl.col("fetched_at") > now - NEGATIVE_FOR))
    return wanted.join(stored.filter(is_settled), on="track_id", how="anti", maintain_order="left")


def wanted_artists(tracks: pl.LazyFrame) -> pl.LazyFrame:
    """Artists whose genres are wanted, those that were listened to longest first: `WANTED_ARTISTS`.

    Args:
        tracks: artist_name, ms_played.
    """
    return (
        tracks.filter(pl.col("artist_name").str.strip_chars() != "")
        .group_by("artist_name")
        .agg(pl.col("ms_played").sum())
        .sort("ms_played", "artist_name", descending=[True, False])
    )


def asked_lately(stored: pl.LazyFrame, source: str, now: datetime) -> pl.LazyFrame:
    """artist_name and isrc that a provider was asked with in vain a short while ago.

    Args:
        stored: source, artist_name, genre, asked_by and fetched_at of raw.genres.
    """
    is_recent = (pl.col("source") == source) & (pl.col("fetched_at") > now - NEGATIVE_FOR)
    return (
        stored.filter((pl.col("genre") == "") & is_recent)
        .select("artist_name", isrc=pl.col("asked_by").str.split(","))
        .explode("isrc")
    )


def questions_about_artists(
    tracks: pl.LazyFrame, stored: pl.LazyFrame, told_by_others: pl.LazyFrame, source: str, now: datetime
) -> pl.LazyFrame:
    """Recordings to ask a provider with, `QUESTIONS`: up to ISRCS_PER_ARTIST for each artist whose genres nobody told,
    the artist listened to longest first, and the recording heard longest first; those that the provider was asked with
    lately are left out.

    Args:
        tracks: artist_name (the track's first artist), isrc, ms_played.
        stored: source, artist_name, genre, asked_by and fetched_at of raw.genres.
        told_by_others: artist_name of those whose genres others told.
    """
    known = pl.concat(
        [stored.filter(pl.col("genre") != "").select("artist_name"), told_by_others.select("artist_name")]
    )
    asked = asked_lately(stored, source, now).with_columns(is_asked=True)
    ranked = (
        tracks.filter(pl.col("isrc").str.contains(ISRC_PATTERN) & (pl.col("artist_name").str.strip_chars() != ""))
        .group_by("artist_name", "isrc")
        .agg(pl.col("ms_played").sum())
        .join(known, on="artist_name", how="anti")
        .join(asked, on=["artist_name", "isrc"], how="left")
        .with_columns(pl.col("is_asked").fill_null(False))
        .sort("ms_played", "isrc", descending=[True, False])
        .with_columns(
            of_artist=pl.col("ms_played").sum().over("artist_name"),
            place=(~pl.col("is_asked")).cast(pl.Int64).cum_sum().over("artist_name")
            + pl.col("is_asked").sum().over("artist_name"),
        )
    )
    return (
        ranked.filter(~pl.col("is_asked") & (pl.col("place") <= ISRCS_PER_ARTIST))
        .sort(["of_artist", "artist_name", "place"], descending=[True, False, False])
        .select("artist_name", "isrc", "ms_played")
    )


def coverage(wanted: pl.DataFrame, known: pl.Series, key: str) -> dict[str, float]:
    """Shares in per cent of what is wanted that is known: of their number, and of the time spent listening to them.

    Args:
        wanted: `key`, ms_played.
        known: Keys that are known; others may be among them.
    """
    found = wanted.filter(pl.col(key).is_in(known.implode()))
    listened, heard = wanted["ms_played"].sum(), found["ms_played"].sum()
    return {
        "coverage_percent": round(100 * found.height / wanted.height, 1) if wanted.height else 0.0,
        "coverage_of_listening_percent": round(100 * heard / listened, 1) if listened else 0.0,
    }
