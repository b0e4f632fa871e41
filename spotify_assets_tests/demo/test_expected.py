"""A tiny history, worked out by hand.

All times are UTC; Berlin is one hour ahead in winter and two in summer. The clocks go back on 2024-10-27 at 01:00
UTC, so 00:10 and 01:10 UTC both are 02:10 in Berlin.

  0  2024-10-25 21:00:00 - 21:03:20  one, trackdone (200 s)               23:03:20 local
  1  2024-10-25 21:03:20 - 21:03:30  two, fwdbtn (10 s)
  2  2024-10-25 21:33:29.9 - 22:01:09.9 podcast, 1660 s                   26 Oct, 00:01 local; gap 29 min 59.9 s
  3  2024-10-25 22:31:09.9 - 22:32:09.9 one, endplay (60 s)               gap of exactly 30 min: a new session
  4  2024-10-27 00:10:00 - 00:10:00  two, 0 ms, backbtn                   02:10 summer time
  5  2024-10-27 00:10:00 - 00:12:00  other, fwdbtn (120 s), never finished
  6  2024-10-27 00:35:00 - 00:39:10  one again, endplay (250 s)
  7  2024-10-27 01:05:00 - 01:08:20  one, trackdone                       02:08 winter time
  8  2024-10-27 01:08:20 - 01:08:50  nameless, 30 s
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from spotify_assets.demo.catalogue import DemoAlbum, DemoArtist, DemoEpisode, DemoShow, DemoTrack
from spotify_assets.demo.expected import (
    Row,
    expected_albums,
    expected_artists,
    expected_copies,
    expected_counts,
    expected_hours,
    expected_listening,
    expected_plays,
    expected_rejections,
    expected_sessions,
    expected_tracks,
    is_scrobble,
)
from spotify_assets.demo.exports import Defects, WrittenExport, write_basic_history, write_extended_history
from spotify_assets.demo.listener import TruePlay


def artist(name: str) -> DemoArtist:
    return DemoArtist(name, f"{name:0>22}", ())


def track(name: str, by: DemoArtist, length_ms: int) -> DemoTrack:
    album = DemoAlbum(f"Album of {by.name}", f"{by.name:A>22}", by, "album", 2020, 9)
    track_id = f"{name:0>22}"
    return DemoTrack(name, track_id, f"spotify:track:{track_id}", album, length_ms, 1, 1, "QZDMO2000001", False)


PLIM, OTHER = artist("Plimvok"), artist("Zhoork")
ONE, TWO = track("one", PLIM, 200_000), track("two", PLIM, 180_000)
NEVER_FINISHED = track("other", OTHER, 300_000)
EPISODE = DemoEpisode("#1", "e" * 22, "spotify:episode:" + "e" * 22, DemoShow("Hour", "s" * 22, "P"), 1_660_000)


def play(number: int, started_at: str, ms_played: int, title: object, reason_end: str) -> TruePlay:
    start = datetime.fromisoformat(started_at).replace(tzinfo=UTC)
    kinds = {DemoTrack: "track", DemoEpisode: "episode"}
    return TruePlay(
        play_number=number,
        started_at=start,
        ended_at=start + timedelta(milliseconds=ms_played),
        ms_played=ms_played,
        content_type=kinds.get(type(title), "unknown"),
        track=title if isinstance(title, DemoTrack) else None,
        episode=title if isinstance(title, DemoEpisode) else None,
        chapter=None,
        reason_start="clickrow",
        reason_end=reason_end,
        platform="android",
        country="DE",
        shuffle=number == 1,
        skipped=number == 6,
        offline=False,
        incognito=False,
        is_video=False,
        synced_at=None,
    )


PLAYS = [
    play(0, "2024-10-25 21:00:00", 200_000, ONE, "trackdone"),
    play(1, "2024-10-25 21:03:20", 10_000, TWO, "fwdbtn"),
    play(2, "2024-10-25 21:33:29.900", 1_660_000, EPISODE, "trackdone"),
    play(3, "2024-10-25 22:31:09.900", 60_000, ONE, "endplay"),
    play(4, "2024-10-27 00:10:00", 0, TWO, "backbtn"),
    play(5, "2024-10-27 00:10:00", 120_000, NEVER_FINISHED, "fwdbtn"),
    play(6, "2024-10-27 00:35:00", 250_000, ONE, "endplay"),
    play(7, "2024-10-27 01:05:00", 200_000, ONE, "trackdone"),
    play(8, "2024-10-27 01:08:20", 30_000, None, "fwdbtn"),
]
FRIDAY, SATURDAY, SUNDAY = date(2024, 10, 25), date(2024, 10, 26), date(2024, 10, 27)


@pytest.fixture
def rows() -> list[Row]:
    return expected_plays(reversed(PLAYS), timezone="Europe/Berlin")


def column(rows: list[Row], name: str) -> list[object]:
    return [row[name] for row in rows]


def test_plays_are_ordered_by_their_end_and_then_their_start(rows: list[Row]) -> None:
    assert column(rows, "play_number") == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_the_day_of_a_play_is_the_local_date_of_its_end(rows: list[Row]) -> None:
    assert column(rows, "played_on") == [FRIDAY] * 2 + [SATURDAY] * 2 + [SUNDAY] * 5


def test_both_hours_of_a_repeated_hour_have_the_same_local_time(rows: list[Row]) -> None:
    assert rows[5]["ended_at_local"] == datetime(2024, 10, 27, 2, 12)
    assert rows[7]["ended_at_local"] == datetime(2024, 10, 27, 2, 8, 20)


def test_a_gap_of_half_an_hour_begins_a_session_and_one_just_below_does_not(rows: list[Row]) -> None:
    assert column(rows, "session") == [0, 0, 0, 1, 2, 2, 2, 2, 2]


def test_a_session_over_midnight_belongs_to_the_day_of_its_first_play(rows: list[Row]) -> None:
    assert column(rows, "session_started_on") == [FRIDAY] * 3 + [SATURDAY] + [SUNDAY] * 5


def test_flags_of_skips_streams_and_finished_plays(rows: list[Row]) -> None:
    assert [row["play_number"] for row in rows if row["is_skip"]] == [1, 4, 5, 6, 8]
    assert [row["play_number"] for row in rows if not row["is_stream"]] == [1, 4]
    assert [row["play_number"] for row in rows if row["is_finished"]] == [0, 2, 7]


def test_scrobbles_need_half_the_length_or_four_minutes(rows: list[Row]) -> None:
    # Play 3 is 60 s of 200 s; "two" and "other" were never finished, so their length is not known.
    assert column(rows, "is_scrobble") == [True, False, True, False, False, None, True, True, None]


@pytest.mark.parametrize(
    ("ms_played", "length_ms", "reason_end", "expected"),
    [
        (240_000, None, None, True),
        (239_999, None, "endplay", None),
        (100_000, 200_000, "endplay", True),
        (99_999, 200_000, "endplay", False),
        (30_000, 30_000, "trackdone", False),
        (30_001, 30_001, "trackdone", True),
        (10_000, 200_000, "trackdone", True),
        (15_000, None, "fwdbtn", False),
        (15_001, None, "fwdbtn", None),
        (15_000, None, None, None),
    ],
)
def test_the_scrobble_rule_at_its_borders(
    ms_played: int, length_ms: int | None, reason_end: str | None, expected: bool | None
) -> None:
    assert is_scrobble(ms_played, length_ms, reason_end) is expected


def test_first_plays_are_of_tracks_only_and_counted_once(rows: list[Row]) -> None:
    assert [row["play_number"] for row in rows if row["is_first_play_of_track"]] == [0, 1, 5]
    assert [row["play_number"] for row in rows if row["is_first_play_of_artist"]] == [0, 5]
    assert [row["play_number"] for row in rows if row["is_first_play_of_album"]] == [0, 5]


def test_listening_has_a_row_for_every_day_and_counts_tracks(rows: list[Row]) -> None:
    friday, saturday, sunday, monday = expected_listening(rows, through=date(2024, 10, 28))
    assert friday == {
        "played_on": FRIDAY,
        "plays": 2,
        "streams": 1,
        "scrobbles": 1,
        "finished": 1,
        "skips": 1,
        "ms_played": 210_000,
        "ms_played_estimated": 0,
        "tracks": 2,
        "artists": 1,
        "albums": 1,
        "new_tracks": 2,
        "new_artists": 1,
        "new_albums": 1,
        "sessions": 1,
        "longest_session_ms": (61 * 60 + 9) * 1_000 + 900,
        "shuffle_plays": 1,
        "offline_plays": 0,
        "incognito_plays": 0,
        "episode_plays": 0,
        "episode_ms_played": 0,
        "audiobook_plays": 0,
        "audiobook_ms_played": 0,
        "unknown_plays": 0,
        "unknown_ms_played": 0,
        "first_started_at": PLAYS[0].started_at,
        "last_ended_at": PLAYS[1].ended_at,
    }
    assert (saturday["plays"], saturday["episode_plays"], saturday["episode_ms_played"]) == (1, 1, 1_660_000)
    assert (saturday["sessions"], saturday["longest_session_ms"]) == (1, 60_000)
    assert (saturday["first_started_at"], saturday["last_ended_at"]) == (PLAYS[2].started_at, PLAYS[3].ended_at)
    assert (sunday["plays"], sunday["scrobbles"], sunday["tracks"], sunday["new_tracks"]) == (4, 2, 3, 1)
    assert (sunday["unknown_plays"], sunday["unknown_ms_played"], sunday["skips"]) == (1, 30_000, 3)
    assert (monday["plays"], monday["sessions"], monday["longest_session_ms"]) == (0, 0, 0)
    assert monday["first_started_at"] is None


def test_listening_ends_with_the_last_play_when_no_day_is_given(rows: list[Row]) -> None:
    assert column(expected_listening(rows), "played_on") == [FRIDAY, SATURDAY, SUNDAY]


def test_artists_share_the_lowest_rank_when_equal(rows: list[Row]) -> None:
    assert [row for row in expected_artists(rows) if row["played_on"] == SUNDAY] == [
        {
            "played_on": SUNDAY,
            "artist_name": "Plimvok",
            "plays": 3,
            "streams": 2,
            "skips": 2,
            "finished": 1,
            "ms_played": 450_000,
            "ms_played_estimated": 0,
            "rank_by_plays": 1,
            "rank_by_ms_played": 1,
            "is_new": False,
        },
        {
            "played_on": SUNDAY,
            "artist_name": "Zhoork",
            "plays": 1,
            "streams": 1,
            "skips": 1,
            "finished": 0,
            "ms_played": 120_000,
            "ms_played_estimated": 0,
            "rank_by_plays": 2,
            "rank_by_ms_played": 2,
            "is_new": True,
        },
    ]
    sunday = [row for row in expected_tracks(rows) if row["played_on"] == SUNDAY]
    assert [(row["track_name"], row["rank_by_plays"], row["rank_by_ms_played"]) for row in sunday] == [
        ("one", 1, 1),
        ("other", 2, 2),
        ("two", 2, 3),
    ]


def test_albums_are_told_apart_by_their_artist(rows: list[Row]) -> None:
    assert [(row["album_name"], row["artist_name"], row["plays"]) for row in expected_albums(rows)] == [
        ("Album of Plimvok", "Plimvok", 2),
        ("Album of Plimvok", "Plimvok", 1),
        ("Album of Plimvok", "Plimvok", 3),
        ("Album of Zhoork", "Zhoork", 1),
    ]


def test_a_repeated_hour_is_one_row(rows: list[Row]) -> None:
    assert [(row["played_on"], row["hour"], row["plays"], row["ms_played"]) for row in expected_hours(rows)] == [
        (FRIDAY, 23, 2, 210_000),
        (SATURDAY, 0, 1, 60_000),
        (SUNDAY, 2, 4, 570_000),
    ]


def test_sessions_count_every_kind_of_content(rows: list[Row]) -> None:
    sessions = expected_sessions(rows)
    assert sessions[0] == {
        "session": 0,
        "played_on": FRIDAY,
        "started_at": PLAYS[0].started_at,
        "ended_at": PLAYS[2].ended_at,
        "plays": 3,
        "tracks": 2,
        "ms_played": 1_870_000,
        "first_play_number": 0,
        "last_play_number": 2,
    }
    assert [(row["played_on"], row["plays"], row["tracks"]) for row in sessions[1:]] == [
        (SATURDAY, 1, 1),
        (SUNDAY, 5, 3),
    ]


def export(kind: str, copies: dict[int, int]) -> WrittenExport:
    return WrittenExport(Path("x"), kind, "", (), copies, (), (), (), ())


def test_copies_take_the_larger_count_across_exports_never_the_sum() -> None:
    exports = [export("extended", {0: 2, 1: 1}), export("extended", {0: 3, 2: 1}), export("basic", {0: 1, 3: 1})]
    assert expected_copies(exports) == {0: 3, 1: 1, 2: 1, 3: 1}


def test_counts_tell_plays_by_the_source_that_wins() -> None:
    exports = [export("extended", {0: 2, 1: 1}), export("basic", {1: 1, 2: 1})]
    counts = expected_counts(exports)
    assert (counts.plays, counts.extended_plays, counts.basic_plays, counts.copies) == (3, 2, 1, 4)


def test_counts_of_written_exports_balance(plays: list[TruePlay], tmp_path: Path) -> None:
    extended = write_extended_history(
        plays[:2_000], tmp_path / "extended.zip", generation="G3", defects=Defects.typical()
    )
    basic = write_basic_history(plays[1_500:2_500], tmp_path / "basic.zip")
    counts = expected_counts([extended, basic])
    assert counts.rows == extended.rows + basic.rows
    assert counts.rejected_rows == sum(expected_rejections([extended, basic]).values()) == 6
    assert counts.extended_plays == 2_000
    assert counts.plays == 2_000 + sum(play.content_type != "unknown" for play in plays[2_000:2_500])


def test_an_empty_history_gives_empty_tables() -> None:
    assert expected_plays([], timezone="Europe/Berlin") == []
    assert expected_listening([], through=SUNDAY) == expected_sessions([]) == expected_hours([]) == []


def test_daily_tables_add_up_over_a_long_history(plays: list[TruePlay]) -> None:
    rows = expected_plays(plays, timezone="Europe/Berlin")
    listening = expected_listening(rows)
    tracks = sum(play.content_type == "track" for play in plays)
    assert sum(column(listening, "plays")) == tracks
    assert sum(column(expected_hours(rows), "plays")) == tracks
    assert sum(column(expected_artists(rows), "plays")) == tracks
    assert sum(column(expected_sessions(rows), "plays")) == len(plays)
    assert sum(column(listening, "sessions")) == len(expected_sessions(rows))
    assert len(listening) == (listening[-1]["played_on"] - listening[0]["played_on"]).days + 1
