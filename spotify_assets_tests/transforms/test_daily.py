"""The daily tables."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from spotify_assets.schemas import daily
from spotify_assets.transforms import daily as daily_transforms
from spotify_assets_tests.transforms.history import (
    Lakehouse,
    Row,
    api_play,
    at,
    basic,
    lakehouse_of,
    track,
    uri,
    without_uri,
)

pytestmark = pytest.mark.usefixtures("small_frames")

_DAY = date(2021, 6, 15)
_MIDNIGHT = at(hours=10)
_NAMELESS = {"name": None, "artist": None, "album": None, "track_uri": None}


def _episode(ts: datetime, ms_played: int) -> Row:
    return track(ts, ms_played, **_NAMELESS, episode_name="Episode", show_name="Show", episode_uri=uri("e", "episode"))


def _chapter(ts: datetime, ms_played: int) -> Row:
    return track(ts, ms_played, **_NAMELESS, audiobook_name="Book", chapter_name="1", chapter_uri=uri("c", "episode"))


def _unknown(ts: datetime, ms_played: int) -> Row:
    return without_uri(track(ts, ms_played, **_NAMELESS))


def _tables(*rows: Row, **settings: Any) -> dict[str, pl.DataFrame]:
    return lakehouse_of(rows, **settings).daily()


def _listening(*rows: Row, day: date = _DAY) -> dict[str, Any]:
    return _tables(*rows)["listening"].filter(played_on=day).row(0, named=True)


def _ranks(table: pl.DataFrame, key: str) -> dict[str, tuple[int, int]]:
    return {row[key]: (row["rank_by_plays"], row["rank_by_ms_played"]) for row in table.iter_rows(named=True)}


# listening


def test_plays_streams_finished_and_skips_of_a_day_are_counted():
    day = _listening(
        track(at(0), 200_000),
        track(at(300), 29_000, reason_end="fwdbtn"),
        track(at(600), 30_000, reason_end="endplay"),
    )
    assert [day[name] for name in ("plays", "streams", "finished", "skips")] == [3, 2, 1, 1]
    assert day["ms_played"] == 259_000


def test_scrobbles_of_a_day_are_counted():
    assert _listening(track(at(0), 200_000), track(at(300), 90_000, reason_end="fwdbtn"))["scrobbles"] == 1


def test_different_tracks_artists_and_albums_of_a_day_are_counted():
    rows = [
        track(at(0)),
        track(at(300)),
        track(at(600), name="Other"),
        track(at(900), artist="Other Band", album="Other Album"),
    ]
    day = _listening(*rows)
    assert [day[name] for name in ("tracks", "artists", "albums")] == [3, 2, 2]


def test_what_is_played_for_the_first_time_is_new_on_that_day_alone():
    tables = _tables(track(at(0)), track(at(days=1)), track(at(60, days=1), name="Other"))
    new = tables["listening"].select("new_tracks", "new_artists", "new_albums").rows()
    assert new[:2] == [(1, 1, 1), (1, 0, 0)]


def test_plays_with_shuffle_offline_and_in_private_sessions_are_counted():
    day = _listening(
        track(at(0), shuffle=True, offline=False, incognito_mode=False),
        track(at(300), shuffle=True, offline=True, incognito_mode=False),
        track(at(600), shuffle=False, offline=False, incognito_mode=True),
    )
    assert [day[name] for name in ("shuffle_plays", "offline_plays", "incognito_plays")] == [2, 1, 1]


def test_what_account_data_cannot_tell_counts_as_none():
    day = _listening(basic(track(at(0), 20_000)))
    untold = ("scrobbles", "finished", "skips", "shuffle_plays", "offline_plays", "incognito_plays")
    assert [day[name] for name in untold] == [0] * len(untold)


def test_counts_without_a_prefix_are_of_tracks_alone():
    day = _listening(track(at(0), 1000), _episode(at(60), 2000), _chapter(at(120), 4000), _unknown(at(180), 8000))
    kinds = ("", "episode_", "audiobook_", "unknown_")
    assert [(day[f"{kind}plays"], day[f"{kind}ms_played"]) for kind in kinds] == [
        (1, 1000),
        (1, 2000),
        (1, 4000),
        (1, 8000),
    ]


def test_episodes_add_nothing_to_streams_scrobbles_and_finished_plays():
    day = _listening(_episode(at(0), 3_000_000))
    assert [day[name] for name in ("streams", "scrobbles", "finished", "tracks", "new_tracks")] == [0] * 5


def test_a_play_counts_once_whatever_its_copies():
    day = _listening(*[track(at(0), 200_000)] * 3)
    assert [day[name] for name in ("plays", "ms_played", "streams")] == [1, 200_000, 1]


def test_the_day_begins_with_the_first_start_and_ends_with_the_last_end_of_any_content_type():
    day = _listening(_episode(at(0), 3_600_000), track(at(60), 1000), _unknown(at(120), 1000))
    assert (day["first_started_at"], day["last_ended_at"]) == (at(-3600), at(120))


def test_estimated_listening_time_is_told_apart():
    lakehouse = lakehouse_of([track(at(0), 1000), track(at(60), 2000)])
    plays = lakehouse.plays.lazy().with_columns(is_ms_played_estimated=pl.col("ms_played") == 2000)
    sessions = plays.select(daily_transforms.SESSION_COLUMNS)
    day = daily_transforms.listening(plays, sessions, lakehouse.days.lazy()).collect().row(0, named=True)
    assert (day["ms_played"], day["ms_played_estimated"]) == (3000, 2000)


def test_a_day_without_plays_has_a_row_of_zeros():
    empty = _tables(track(at(0)), track(at(days=2)))["listening"].row(1, named=True)
    assert empty["played_on"] == _DAY + timedelta(days=1)
    instants = [empty.pop(name) for name in ("first_started_at", "last_ended_at")]
    assert instants == [None, None]
    assert set(empty.values()) == {"me", empty["played_on"], 0}


def test_there_is_a_row_for_every_day_up_to_today():
    listening = _tables(track(at(0)), today=_DAY + timedelta(days=3))["listening"]
    assert listening.select("played_on", "plays").rows() == [
        (_DAY + timedelta(days=number), plays) for number, plays in enumerate((1, 0, 0, 0))
    ]


def test_a_day_of_episodes_alone_has_no_plays_and_has_its_episodes():
    day = _listening(_episode(at(0), 5000))
    assert (day["plays"], day["ms_played"], day["episode_plays"], day["sessions"]) == (0, 0, 1, 1)


def test_sessions_count_for_the_day_on_which_they_began():
    rows = [track(_MIDNIGHT - timedelta(minutes=1), 1000), track(_MIDNIGHT + timedelta(minutes=5), 1000)]
    listening = _tables(*rows, today=_DAY + timedelta(days=1))["listening"]
    assert listening.select("plays", "sessions").rows() == [(1, 1), (1, 0)]


def test_the_longest_session_runs_from_its_first_start_to_its_last_end_over_midnight():
    rows = [track(_MIDNIGHT - timedelta(minutes=1), 60_000), track(_MIDNIGHT + timedelta(minutes=5), 1000)]
    assert _listening(*rows)["longest_session_ms"] == 7 * 60_000


def test_the_longest_of_several_sessions_counts():
    assert (
        _listening(track(at(0), 1000), track(at(hours=2), 5000), track(at(hours=4), 3000))["longest_session_ms"] == 5000
    )


def test_listeners_have_rows_of_their_own():
    lakehouse = Lakehouse()
    lakehouse.take([track(at(0), 1000)], listener="me")
    lakehouse.take([track(at(0), 2000), track(at(60), 4000)], listener="you")
    lakehouse.write()
    for table in ("listening", "artists", "albums", "tracks", "hours", "sessions"):
        rows = lakehouse.daily(_DAY, _DAY)[table].select("listener", "plays", "ms_played").rows()
        assert rows == [("me", 1, 1000), ("you", 2, 6000)], table


def test_a_range_of_days_holds_those_days_alone():
    lakehouse = lakehouse_of([track(at(days=day)) for day in range(4)])
    tables = lakehouse.daily(_DAY + timedelta(days=1), _DAY + timedelta(days=2))
    for name, table in tables.items():
        assert sorted(set(table["played_on"])) == [_DAY + timedelta(days=1), _DAY + timedelta(days=2)], name


def test_no_plays_make_no_rows():
    assert {name: table.height for name, table in _tables().items()} == dict.fromkeys(
        ("listening", "artists", "albums", "tracks", "hours", "sessions", "completeness"), 0
    )


# artists, albums and tracks


@pytest.mark.parametrize("table", ["artists", "albums", "tracks"])
def test_what_was_heard_of_an_artist_an_album_and_a_track_is_summed_up(table):
    rows = _tables(track(at(0), 200_000), track(at(300), 1000, reason_end="fwdbtn"))[table]
    columns = ("plays", "streams", "skips", "finished", "ms_played", "ms_played_estimated", "is_new")
    assert rows.select(columns).rows() == [(2, 1, 1, 1, 201_000, 0, True)]


def test_albums_and_tracks_name_their_artist():
    tables = _tables(track(at(0)))
    assert tables["albums"].select("album_key", "album_name", "artist_key", "artist_name").rows() == [
        ("band / album", "Album", "band", "Band")
    ]
    assert tables["tracks"].select("track_key", "track_name", "artist_key", "artist_name").rows() == [
        ("band / song", "Song", "band", "Band")
    ]


@pytest.mark.parametrize("table", ["artists", "albums", "tracks"])
def test_episodes_chapters_and_unknown_plays_are_no_music(table):
    assert _tables(_episode(at(0), 1000), _chapter(at(60), 1000), _unknown(at(120), 1000))[table].is_empty()


def test_a_track_without_names_stands_in_no_table_of_names_but_in_the_hours():
    tables = _tables(track(at(0), name=None, artist=None, album=None))
    heights = {name: tables[name].height for name in ("artists", "albums", "tracks", "hours")}
    assert heights == {"artists": 0, "albums": 0, "tracks": 0, "hours": 1}


def test_a_track_without_album_stands_in_the_tracks_and_artists_alone():
    tables = _tables(track(at(0), album=None))
    assert {name: tables[name].height for name in ("artists", "albums", "tracks")} == {
        "artists": 1,
        "albums": 0,
        "tracks": 1,
    }


def test_several_spellings_of_a_day_are_one_row_named_by_the_most_played():
    rows = [track(at(0), name="SONG"), track(at(300), name="Song"), track(at(600), name="Song")]
    assert _tables(*rows)["tracks"].select("track_name", "plays").rows() == [("Song", 3)]


def test_of_spellings_played_equally_often_the_same_wins_in_any_order():
    rows = [track(at(0), name="SONG"), track(at(300), name="Song")]
    tables = [_tables(*order)["tracks"] for order in (rows, rows[::-1])]
    assert tables[0].select("track_name", "plays", "ms_played").rows() == [("SONG", 2, 400_000)]
    assert tables[0].equals(tables[1])


def test_several_spellings_take_one_rank():
    rows = [track(at(0), name="SONG"), track(at(300), name="Song"), track(at(600), name="Other")]
    assert _ranks(_tables(*rows)["tracks"], "track_key") == {"band / song": (1, 1), "band / other": (2, 2)}


def test_an_entity_is_new_on_the_day_of_its_first_play_alone():
    tables = _tables(track(at(0)), track(at(60), name="SONG"), track(at(days=1)))
    for name in ("artists", "albums", "tracks"):
        assert tables[name]["is_new"].to_list() == [True, False], name


def test_ranks_go_by_plays_and_by_listening_time():
    rows = [track(at(0), 1000, name="A"), track(at(60), 1000, name="A"), track(at(120), 5000, name="B")]
    assert _ranks(_tables(*rows)["tracks"], "track_key") == {"band / a": (1, 2), "band / b": (2, 1)}


def test_equal_ranks_share_the_lowest_number():
    rows = [
        track(at(60 * number), ms, name=name)
        for number, (name, ms) in enumerate(zip("ABCD", (5, 5, 9, 1), strict=True))
    ]
    assert _ranks(_tables(*rows)["tracks"], "track_key") == {
        "band / a": (1, 2),
        "band / b": (1, 2),
        "band / c": (1, 1),
        "band / d": (1, 4),
    }


def test_ranks_are_those_of_one_day():
    rows = [track(at(0), 9000, name="A"), track(at(60), 1000, name="B"), track(at(days=1), 500, name="B")]
    ranks = _tables(*rows)["tracks"].select("played_on", "track_key", "rank_by_ms_played").rows()
    assert ranks == [(_DAY, "band / a", 1), (_DAY, "band / b", 2), (_DAY + timedelta(days=1), "band / b", 1)]


def test_ranks_are_those_of_one_listener():
    lakehouse = Lakehouse()
    lakehouse.take([track(at(0), 9000)], listener="me")
    lakehouse.take([track(at(0), 1000)], listener="you")
    lakehouse.write()
    assert lakehouse.daily()["artists"]["rank_by_ms_played"].to_list() == [1, 1]


def test_estimated_listening_time_of_an_artist_is_told_apart():
    lakehouse = lakehouse_of([track(at(0), 1000), track(at(60), 2000)])
    plays = lakehouse.plays.lazy().with_columns(is_ms_played_estimated=pl.col("ms_played") == 2000)
    assert daily_transforms.artists(plays).collect()["ms_played_estimated"].to_list() == [2000]


# hours


def test_a_play_counts_for_the_local_hour_in_which_it_ended():
    rows = [track(at(0), 600_000), track(at(minutes=59, seconds=59), 1000), track(at(hours=1), 1000)]
    hours = _tables(*rows)["hours"].select("hour", "plays", "streams", "ms_played").rows()
    assert hours == [(14, 2, 1, 601_000), (15, 1, 0, 1000)]


def test_hours_are_of_tracks_alone():
    assert _tables(_episode(at(0), 1000))["hours"].is_empty()


def test_the_last_hour_of_a_day_is_the_twenty_third_and_the_first_of_the_next_is_zero():
    rows = [track(_MIDNIGHT - timedelta(seconds=1), 0), track(_MIDNIGHT, 0)]
    assert _tables(*rows)["hours"].select("played_on", "hour").rows() == [(_DAY, 23), (_DAY + timedelta(days=1), 0)]


def test_an_hour_that_the_clock_repeats_is_one_row():
    rows = [track(datetime(2021, 10, 31, hour, 30, tzinfo=UTC), 1000) for hour in (0, 1)]
    assert _tables(*rows, today=date(2021, 10, 31))["hours"].select("hour", "plays", "ms_played").rows() == [
        (2, 2, 2000)
    ]


def test_an_hour_that_the_clock_leaves_out_has_no_row():
    rows = [track(datetime(2021, 3, 28, hour, 30, tzinfo=UTC), 1000) for hour in (0, 1)]
    assert _tables(*rows, today=date(2021, 3, 28))["hours"]["hour"].to_list() == [1, 3]


def test_an_hour_of_a_zone_with_half_hours_is_that_of_its_clock():
    row = track(datetime(2021, 6, 15, 12, 45, tzinfo=UTC), 1000)
    assert _tables(row, zones={"": "Asia/Kolkata"})["hours"]["hour"].to_list() == [18]


# sessions


def test_a_session_tells_its_plays_tracks_and_listening_time():
    rows = [track(at(0), 1000), track(at(60), 2000), track(at(120), 4000, name="Other"), _episode(at(180), 8000)]
    session = _tables(*rows)["sessions"].row(0, named=True)
    assert [session[name] for name in ("plays", "tracks", "ms_played")] == [4, 2, 15_000]
    assert (session["started_at"], session["ended_at"]) == (at(-1), at(180))


def test_a_session_over_midnight_is_one_row_of_the_day_on_which_it_began():
    rows = [track(_MIDNIGHT - timedelta(minutes=1), 1000), track(_MIDNIGHT + timedelta(minutes=5), 1000)]
    assert _tables(*rows)["sessions"].select("played_on", "plays").rows() == [(_DAY, 2)]


def test_a_session_over_midnight_is_whole_when_its_day_alone_is_built():
    rows = [track(_MIDNIGHT - timedelta(minutes=1), 1000), track(_MIDNIGHT + timedelta(minutes=5), 1000)]
    lakehouse = lakehouse_of(rows)
    assert lakehouse.daily(_DAY, _DAY)["sessions"]["plays"].to_list() == [2]
    assert lakehouse.daily(_DAY + timedelta(days=1), _DAY + timedelta(days=1))["sessions"].is_empty()


def test_a_session_names_the_play_that_started_first_and_the_one_that_ended_last():
    lakehouse = lakehouse_of([_episode(at(600), 1_000_000), track(at(0), 1000), track(at(60), 1000)])
    long = lakehouse.plays.filter(content_type="episode")["play_id"].item()
    assert lakehouse.daily()["sessions"].select("first_play_id", "last_play_id").rows() == [(long, long)]


def test_two_sessions_of_a_day_are_two_rows():
    assert _tables(track(at(0), 1000), track(at(hours=1), 1000))["sessions"]["plays"].to_list() == [1, 1]


def test_plays_of_unknown_length_count_and_last_no_time() -> None:
    lakehouse = Lakehouse()
    lakehouse.hear([api_play(at(0), None, name="A"), api_play(at(hours=3), None, name="B")])
    lakehouse.write()
    tables = lakehouse.daily()
    for table in (daily.Listening, daily.Sessions, daily.Hours, daily.Tracks, daily.Completeness):
        assert set(table.validate(tables[table.layout.table]).filter(pl.col("plays") > 0)["ms_played"]) == {0}
    assert tables["listening"].head(1).select("plays", "streams", "sessions").rows() == [(2, 0, 2)]
