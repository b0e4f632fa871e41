"""What is made of a demo listener's export against what really happened."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from spotify_assets.demo import expected
from spotify_assets.demo.listener import DemoListener, TruePlay
from spotify_assets_tests.transforms.history import Lakehouse, Row

TIMEZONE = "Europe/Berlin"


def _told(play: TruePlay) -> Row:
    """The row of extended history in which Spotify tells a play."""
    track, episode, chapter = play.track, play.episode, play.chapter
    names: dict[str, Any] = {}
    if track:
        names = {"track_name": track.name, "artist_name": track.album.artist.name, "album_name": track.album.name}
        names["track_uri"] = track.uri
    if episode:
        names = {"episode_name": episode.name, "show_name": episode.show.name, "episode_uri": episode.uri}
    if chapter:
        names = {"audiobook_name": chapter.audiobook.name, "chapter_name": chapter.name}
        names |= {"audiobook_uri": chapter.audiobook.uri, "chapter_uri": chapter.uri}
    return {
        "kind": "extended",
        "generation": "G3",
        "ts": play.told_at,
        "ms_played": play.ms_played,
        "reason_start": play.reason_start,
        "reason_end": play.reason_end,
        "platform": play.platform,
        "conn_country": play.country,
        "shuffle": play.shuffle,
        "skipped": play.skipped,
        "offline": play.offline,
        "offline_timestamp": int(play.started_at.timestamp()) if play.offline else None,
        "incognito_mode": play.incognito,
        **names,
    }


@pytest.fixture(scope="module")
def true_plays() -> list[TruePlay]:
    return DemoListener(first_day=date(2022, 1, 1), last_day=date(2023, 12, 31), timezone=TIMEZONE).plays()


@pytest.fixture(scope="module")
def truth(true_plays) -> list[dict[str, Any]]:
    return expected.expected_plays(true_plays, timezone=TIMEZONE)


@pytest.fixture(scope="module")
def lakehouse(true_plays) -> Lakehouse:
    lakehouse = Lakehouse(zones={"": TIMEZONE}, today=date(2023, 12, 31))
    lakehouse.take([_told(play) for play in true_plays])
    lakehouse.write()
    return lakehouse


@pytest.fixture(scope="module")
def daily(lakehouse):
    return lakehouse.daily()


def _rows(rows: list[dict[str, Any]], columns: list[str]) -> list[tuple]:
    """The rows in one order: several of an instant have none of their own."""

    def in_words(value: Any) -> str:
        return value.astimezone(UTC).isoformat() if isinstance(value, datetime) and value.tzinfo else repr(value)

    return sorted((tuple(row[name] for name in columns) for row in rows), key=lambda row: [*map(in_words, row)])


def test_plays_are_what_really_happened(lakehouse, truth):
    columns = [name for name in truth[0] if name not in ("play_number", "session")]
    assert _rows(lakehouse.plays.to_dicts(), columns) == _rows(truth, columns)


def test_listening_is_what_really_happened(daily, truth):
    rows = expected.expected_listening(truth, through=date(2023, 12, 31))
    assert daily["listening"].drop("listener").to_dicts() == rows


@pytest.mark.parametrize("name", ["artists", "albums", "tracks", "hours"])
def test_daily_tables_are_what_really_happened(daily, truth, name):
    rows = getattr(expected, f"expected_{name}")(truth)
    columns = list(rows[0])
    assert _rows(daily[name].to_dicts(), columns) == _rows(rows, columns)


def test_sessions_are_what_really_happened(daily, truth):
    columns = ["played_on", "started_at", "ended_at", "plays", "tracks", "ms_played"]
    assert _rows(daily["sessions"].to_dicts(), columns) == _rows(expected.expected_sessions(truth), columns)
