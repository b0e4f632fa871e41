"""Histories of several months to draw from: all that makes a play depend on rows of another time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl
from hypothesis import strategies as st

from spotify_assets.schemas import raw_api
from spotify_assets.transforms import api_plays
from spotify_assets.transforms.zones import DatedZones
from spotify_assets_tests.transforms.history import Row, api_play, at, basic, told_poll, track, uri, without_uri

LISTENERS = ("Ann", "Bob")

ZONES: tuple[DatedZones, ...] = (
    [(None, "Europe/Berlin")],
    [(None, "Pacific/Auckland")],
    [(None, "Pacific/Auckland"), (date(2021, 7, 16), "America/Los_Angeles")],
)

# Around the ends of months and the reach of offline plays of October; of a day around midnight in Berlin and Auckland,
# minutes and most of an hour apart.
_DAYS = (0, 1, 14, 15, 16, 30, 31, 45, 46, 71, 72, 73, 74, 75, 76, 77, 78, 79)
_LATE_DAYS = (108, 109, 110, 111, 120)
_MINUTES = (0, 3, 40, 590, 597, 630)
_DAY_MS = 86_400_000
_LENGTHS = (0, 31_000, 31_000, 62_000, 200_000, 200_000, 3_600_000, _DAY_MS)
_SYNCED_AFTER = (timedelta(minutes=-59), timedelta(hours=2), timedelta(days=1), timedelta(days=14), timedelta(days=30))
_REASONS = ("trackdone", "trackdone", "fwdbtn", None)


@st.composite
def _rows(draw: st.DrawFn, days: Sequence[int]) -> Row:
    ts = at(days=draw(st.sampled_from(days)), minutes=draw(st.sampled_from(_MINUTES)))
    name = draw(st.sampled_from(("Song", "Song", "Other", "Third")))
    row = track(
        ts,
        draw(st.sampled_from(_LENGTHS)),
        name=name,
        artist=draw(st.sampled_from(("Band", "Band", "The Band", "Solo"))),
        album=draw(st.sampled_from(("Album", "Album", "Album (Deluxe)", None))),
        track_uri=uri(name.lower()),
        reason_end=draw(st.sampled_from(_REASONS)),
        platform=draw(st.sampled_from(("ios", None))),
    )
    if draw(st.integers(0, 3)) == 0:
        begun = ts - draw(st.sampled_from(_SYNCED_AFTER))
        row |= {"offline": True, "offline_timestamp": int(begun.timestamp())}
    return row


def _told_in_other_ways(row: Row, *, renames: bool) -> st.SearchStrategy[list[Row]]:
    renamed = {**row, "artist_name": "Renamed"}
    once = st.just([row])
    others = ([row, row], [row, without_uri(row)], [row, basic(row)], [row, {**row, "album_name": "Reissue"}])
    told_twice = ([row, renamed], [renamed, basic(row)]) if renames else others
    return st.one_of(once, once, once, st.sampled_from(others), st.sampled_from(told_twice))


def told_rows(*, renames: bool, is_late: bool = False) -> st.SearchStrategy[list[Row]]:
    """Rows of an export of some months.

    Args:
        renames: Artists are told by two names for one play: who was told of last then decides everywhere.
        is_late: Rows of October alone, on which hardly any play of August depends.
    """
    told = _rows(_LATE_DAYS if is_late else _DAYS + _LATE_DAYS).flatmap(
        lambda row: _told_in_other_ways(row, renames=renames)
    )
    return st.lists(told, min_size=1, max_size=10).map(lambda parts: [row for part in parts for row in part])


class Heard(NamedTuple):
    """What the Web API told: rows of raw.recently_played, and of raw.polls."""

    plays: list[Row]
    polls: list[Row]


_TITLES = ("Song", "Song", "Other", "Third")
# By the clock of the Web API: exact, a play's length too early, a minute late, another play.
_APART = tuple(timedelta(seconds=seconds) for seconds in (0.3, 0.3, -25, -215, 59, 200))
_TRACK_LENGTHS = (None, 31_000, 200_000, 200_000, 3_600_000, _DAY_MS - 1)


@st.composite
def heard(draw: st.DrawFn, *, is_late: bool = False) -> Heard:
    """Plays around those of `told_rows`, told by one response or by several, between which plays may be missing."""

    def play() -> Row:
        ended = at(
            days=draw(st.sampled_from(_LATE_DAYS if is_late else _DAYS + _LATE_DAYS)),
            minutes=draw(st.sampled_from(_MINUTES)),
        )
        name = draw(st.sampled_from(_TITLES))
        return api_play(
            ended + draw(st.sampled_from(_APART)),
            draw(st.sampled_from(_TRACK_LENGTHS)),
            name=draw(st.sampled_from((name, name, f"{name} (Mono)"))),
            artist=draw(st.sampled_from(("Band", "Band", "Guest"))),
            album_artist_name=draw(st.sampled_from(("Band", "Band", "The Band", None))),
            track_uri=draw(st.sampled_from((uri(name.lower()), uri(f"re{name.lower()}")))),
            isrc=draw(st.sampled_from((None, f"ISRC{name}"))),
        )

    plays = [play() for _ in range(draw(st.integers(1, 8)))]
    instants = sorted({row["played_at"] for row in plays})
    begins = sorted({0, *draw(st.sets(st.integers(0, len(instants) - 1), max_size=3))})
    ends = [*(begin - 1 for begin in begins[1:]), len(instants) - 1]
    polls = [
        told_poll(
            instants[end] + timedelta(minutes=draw(st.integers(1, 400))),
            instants[begin],
            instants[end],
            is_full=draw(st.booleans()),
        )
        for begin, end in zip(begins, ends, strict=True)
    ]
    return Heard(plays, draw(st.sampled_from((polls, polls, []))))


learned = st.lists(
    st.tuples(
        st.sampled_from([uri(f"{prefix}{name.lower()}") for prefix in ("", "re") for name in set(_TITLES)]),
        st.sampled_from([None, *(f"ISRC{name}" for name in sorted(set(_TITLES)))]),
        st.sampled_from((None, 31_000, 200_000)),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda told: (told[0], told[3]),
)
"""What track objects tell: URI, ISRC, length, and on which day it was asked for."""


def track_objects(told: Sequence[tuple[str, str | None, int | None, int]]) -> pl.DataFrame:
    """Rows of raw.tracks from what was `learned`."""
    rows = [
        {
            "track_id": track_uri.removeprefix("spotify:track:"),
            "object_hash": number,
            "fetched_at": at(days=day, seconds=number),
            "told_at": at(days=day),
            "endpoint": "/tracks/{id}",
            "is_simplified": isrc is None,
            "object": json.dumps({"external_ids": {"isrc": isrc} if isrc else {}, "duration_ms": length}),
        }
        for number, (track_uri, isrc, length, day) in enumerate(told)
    ]
    return pl.DataFrame(rows, schema=raw_api.Tracks.polars_schema())


def tellings(told: Sequence[tuple[str, str | None, int | None, int]]) -> pl.DataFrame:
    """`api_plays.TELLINGS` of the same track objects."""
    rows = [
        (track_uri.removeprefix("spotify:track:"), at(days=day, seconds=number), isrc, length)
        for number, (track_uri, isrc, length, day) in enumerate(told)
    ]
    return pl.DataFrame(rows, schema=api_plays.TELLINGS, orient="row")
