"""A demo year that the Web API tells as it goes, with an outage, and that an export tells in the end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from spotify_assets.assets.clean.deciding import update_plays
from spotify_assets.demo.listener import DemoListener, TruePlay
from spotify_assets.lakehouse import Warehouse, run_session
from spotify_assets.schemas import clean, raw, raw_api
from spotify_assets.transforms import coverage
from spotify_assets.transforms import daily as daily_transforms
from spotify_assets_tests.transforms.history import (
    Lakehouse,
    Row,
    api_frame,
    api_play,
    failed_poll,
    polls_frame,
    told_poll,
    track,
)

_PAGE = 50
_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
_OUTAGE = datetime(2024, 6, 12, 10, tzinfo=UTC)
_OUTAGE_LASTS = timedelta(hours=5)
_PLAYS_IN_OUTAGE = 120
_NOW = datetime(2025, 1, 3, tzinfo=UTC)
_LATER = timedelta(milliseconds=350)
"""By its own clock the Web API tells of a play a little later than the export."""


def _truth() -> list[Row]:
    """What was really heard, as an extended export tells it: tracks that the Web API tells of too, and podcasts."""
    listener = DemoListener(first_day=date(2024, 1, 2), last_day=date(2024, 12, 30), seed=3, plays_per_day=12.0)
    plays = [play for play in listener.plays() if play.content_type in ("track", "episode") and not play.offline]
    heard = [
        _row(play) for play in plays if not _OUTAGE - timedelta(hours=1) <= play.ended_at <= _ended_outage(hours=1)
    ]
    some = [play for play in plays if play.track is not None][:_PLAYS_IN_OUTAGE]
    # Two and a half minutes each, so that all of them fit into the outage.
    during = [
        _row(play)
        | {"ts": _OUTAGE + timedelta(seconds=140 * number + 60), "ms_played": 130_000, "reason_end": "trackdone"}
        for number, play in enumerate(some)
    ]
    return sorted([*heard, *during], key=lambda row: row["ts"])


def _ended_outage(**later: float) -> datetime:
    return _OUTAGE + _OUTAGE_LASTS + timedelta(**later)


def _row(play: TruePlay) -> Row:
    told = {"reason_start": play.reason_start, "reason_end": play.reason_end, "shuffle": play.shuffle}
    if play.track is None:
        episode = {"episode_name": play.episode.name, "show_name": play.episode.show.name}
        return track(
            play.ended_at, play.ms_played, name=None, artist=None, album=None, track_uri=None, **told, **episode
        )
    album = play.track.album
    return track(
        play.ended_at,
        play.ms_played,
        name=play.track.name,
        artist=album.artist.name,
        album=album.name,
        track_uri=f"spotify:track:{play.track.track_id}",
        **told,
        length_ms=play.track.length_ms,
    )


def _is_told_by_api(row: Row) -> bool:
    return row["track_name"] is not None and row["ms_played"] > 0


def _polled(truth: list[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of raw.recently_played and raw.polls, from a poll every 30 minutes."""
    told = [
        api_play(
            row["ts"] + _LATER,
            row["length_ms"],
            name=row["track_name"],
            artist=row["artist_name"],
            album=row["album_name"],
            track_uri=row["track_uri"],
        )
        for row in truth
        if _is_told_by_api(row)
    ]
    instants = [row["played_at"] for row in told]
    polls: list[Row] = []
    known = 0
    stored: set[int] = set()
    for number in range((_NOW - _BEGIN) // timedelta(minutes=30)):
        polled_at = _BEGIN + timedelta(minutes=30 * number)
        if _OUTAGE < polled_at < _ended_outage():
            polls.append(failed_poll(polled_at))
            continue
        until = bisect_right(instants, polled_at)
        page = range(max(0, until - _PAGE), until)
        if not page:
            continue
        is_gap = len(page) == _PAGE and bool(stored) and page[0] >= known
        polls.append(
            told_poll(
                polled_at,
                instants[page[0]],
                instants[page[-1]],
                items=len(page),
                is_full=len(page) == _PAGE,
                newest_known_at=instants[known - 1] if known else None,
                is_gap_provable=is_gap,
            )
        )
        stored |= {*page}
        known = until
    return [told[number] for number in sorted(stored)], polls


class _Year:
    """The home of the demo year.

    Attributes:
        truth: What was really heard.
        missed: Plays that no poll told of.
    """

    def __init__(self, folder: Path) -> None:
        self.truth = _truth()
        heard, polls = _polled(self.truth)
        self.missed = sum(map(_is_told_by_api, self.truth)) - len(heard)
        self.warehouse = Warehouse(home=str(folder))
        with self.warehouse.transaction() as transaction:
            transaction.append(raw_api.RecentlyPlayed, api_frame(heard))
            transaction.append(raw_api.Polls, polls_frame(polls))

    def take_export(self) -> None:
        lakehouse = Lakehouse()
        lakehouse.take(self.truth)
        with self.warehouse.transaction() as transaction:
            transaction.append(raw.StreamingHistory, lakehouse.history)
            transaction.append(raw.Imports, lakehouse.imports)

    def update(self) -> None:
        with self.warehouse.transaction() as transaction:
            update_plays(
                transaction,
                zones_of=lambda listener: [(None, "Europe/Berlin")],
                session_gap_minutes=30,
                outage_minutes=120,
                now=_NOW,
                rows_per_stretch=2_000,
            )

    def completeness(self, day: date) -> Row:
        plays = self.warehouse.read(clean.Plays, daily_transforms.COMPLETENESS_COLUMNS).filter(played_on=day)
        days = self.warehouse.read(clean.Days, ["listener", "played_on", *coverage.DAY_EVIDENCE]).filter(played_on=day)
        (row,) = daily_transforms.completeness(plays.lazy(), days.lazy()).collect().to_dicts()
        return row

    def gaps(self) -> pl.DataFrame:
        return self.warehouse.read(clean.Coverage).filter(kind="gap")


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Year]:
    year = _Year(tmp_path_factory.mktemp("year"))
    with run_session(year.warehouse, purpose="test") as session, year.warehouse.get_connection():
        session.begin()
        yield year


def test_the_gap_of_an_outage_is_told_and_an_export_closes_it_and_tells_the_truth(year: _Year) -> None:
    year.update()
    assert year.missed == _PLAYS_IN_OUTAGE - _PAGE
    (gap,) = year.gaps().to_dicts()
    assert _OUTAGE - timedelta(hours=24) < gap["started_at"] < _OUTAGE
    assert gap["ended_at"] == _OUTAGE + timedelta(seconds=140 * 70 + 60) + _LATER
    told = year.completeness(_OUTAGE.date())
    assert (told["gaps"], told["outages"], told["plays_verified"], told["export_coverage"]) == (1, 1, 0, "none")
    assert told["polls_failed"] == 9
    assert (told["share_verified"], told["plays_unverified"]) == (0.0, 0)

    year.take_export()
    year.update()
    plays = year.warehouse.read(clean.Plays)
    found = plays.select("ended_at", "ms_played", "track_name", "episode_name").sort(pl.all()).rows()
    names = ("ts", "ms_played", "track_name", "episode_name")
    true_plays = [tuple(row.get(name) for name in names) for row in year.truth]
    assert (
        found
        == pl.DataFrame(true_plays, schema=["ended_at", "ms_played", "t", "e"], orient="row").sort(pl.all()).rows()
    )
    assert plays["is_ms_played_estimated"].any() is False
    assert year.gaps().is_empty()
    told = year.completeness(_OUTAGE.date())
    assert (told["gaps"], told["gap_ms"], told["outages"], told["share_verified"]) == (0, 0, 1, 1.0)
    assert told["export_coverage"] == "whole"
    sources = year.warehouse.read(clean.PlaySources).group_by("rule").len()
    assert dict(sources.iter_rows())["api_of_export"] == year.warehouse.read(raw_api.RecentlyPlayed).height
