"""Histories of several months to draw from: all that makes a play depend on rows of another time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from hypothesis import strategies as st

from spotify_assets.transforms.zones import DatedZones
from spotify_assets_tests.transforms.history import Row, at, basic, track, uri, without_uri

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
