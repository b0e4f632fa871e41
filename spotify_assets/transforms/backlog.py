"""What to ask the Web API for next, and when all of it will have been asked.

A backlog is never stored: it is what is wanted and neither known nor known to be missing, so that a run that is killed
or stopped by a quota loses nothing.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta

import polars as pl

REFRESHED_AFTER = timedelta(days=30)
"""Lists that change, such as the albums of an artist, are asked for no more often."""


def open_requests(wanted: pl.LazyFrame, known: pl.LazyFrame) -> pl.LazyFrame:
    """What is to be asked for, in the order of listening time.

    Args:
        wanted: object_id and ms_played, as often as something wants it.
        known: object_id of what is known, or known to be missing.

    Returns:
        object_id and ms_played (milliseconds), most listened to first; ties by id.
    """
    is_spotify_id = pl.col("object_id").str.contains(r"^[0-9A-Za-z]{22}$")
    return (
        wanted.filter(is_spotify_id)
        .group_by("object_id")
        .agg(pl.col("ms_played").sum())
        .join(known.select("object_id"), on="object_id", how="anti")
        .sort(["ms_played", "object_id"], descending=[True, False])
    )


def credited(wanted_tracks: pl.LazyFrame, credits: pl.LazyFrame) -> pl.LazyFrame:
    """Albums or artists with the listening time of their tracks.

    Args:
        wanted_tracks: object_id (of tracks) and ms_played.
        credits: track_id and object_id (of an album or artist).

    Returns:
        object_id and ms_played.
    """
    of_tracks = wanted_tracks.group_by(track_id="object_id").agg(pl.col("ms_played").sum())
    return credits.unique().join(of_tracks, on="track_id").select("object_id", "ms_played")


def is_due(asked_at: datetime | None, now: datetime, after: timedelta = REFRESHED_AFTER) -> bool:
    """Whether what was asked for last at an instant, if ever, is to be asked for again."""
    return asked_at is None or now - asked_at >= after


def done_on(length: int, ids_per_request: int, daily_budget: int | None, today: date) -> date | None:
    """The day on which a backlog will be done if nothing is added; None when that cannot be told.

    >>> done_on(1_000, 1, 400, date(2026, 3, 1))
    datetime.date(2026, 3, 4)
    """
    requests = math.ceil(length / ids_per_request)
    if requests == 0:
        return today
    return today + timedelta(days=math.ceil(requests / daily_budget)) if daily_budget else None
