from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from spotify_assets.schemas import clean
from spotify_assets_tests.transforms.history import (
    NOON,
    Lakehouse,
    at,
    basic,
    lakehouse_of,
    only_play_of,
    plays_of,
    track,
    uri,
    without_uri,
)


def _episode(**told):
    names = {"episode_name": "Episode", "show_name": "Show", "episode_uri": uri("e", "episode")}
    return track(**{"name": None, "artist": None, "album": None, "track_uri": None, **names, **told})


def _chapter(**told):
    names = {"audiobook_name": "Book", "chapter_name": "One", "audiobook_uri": uri("b", "show")}
    return track(**{"name": None, "artist": None, "album": None, "track_uri": None, **names, **told})


def test_plays_have_exactly_the_declared_columns_and_keep_their_rules():
    lakehouse = lakehouse_of([track(), _episode(ts=at(60)), _chapter(ts=at(120)), basic(track(at(days=1)))])
    assert clean.Plays.validate(lakehouse.plays).height == 4
    assert clean.PlaySources.validate(lakehouse.sources).height == 4
    assert clean.Days.validate(lakehouse.days).height == 6


def test_a_home_without_history_has_no_plays_and_no_days():
    lakehouse = lakehouse_of([])
    assert (lakehouse.plays.height, lakehouse.sources.height, lakehouse.days.height) == (0, 0, 0)


def test_a_play_ends_at_ts_and_starts_ms_played_before():
    play = only_play_of([track(NOON, 90_500)])
    assert (play["started_at"], play["ended_at"]) == (NOON - timedelta(milliseconds=90_500), NOON)


def test_local_times_are_on_the_listeners_clock():
    play = only_play_of([track(NOON, 60_000)])
    assert play["ended_at_local"] == datetime(2021, 6, 15, 14, 0)
    assert play["started_at_local"] == datetime(2021, 6, 15, 13, 59)


def test_a_play_counts_for_the_local_day_on_which_it_ends():
    play = only_play_of([track(datetime(2021, 6, 15, 22, 1, tzinfo=UTC), 180_000)])
    assert (play["started_at_local"].date(), play["played_on"]) == (date(2021, 6, 15), date(2021, 6, 16))


_BEGUN = at(days=-2)
_SECONDS = int(_BEGUN.timestamp())


@pytest.mark.parametrize("told", [_SECONDS, _SECONDS * 1000], ids=["seconds", "milliseconds"])
def test_an_offline_play_gets_its_true_start_and_end(told):
    play = only_play_of([track(NOON, 60_000, offline=True, offline_timestamp=told)])
    assert (play["started_at"], play["ended_at"]) == (_BEGUN, _BEGUN + timedelta(seconds=60))
    assert play["played_on"] == date(2021, 6, 13)


def test_milliseconds_of_the_offline_timestamp_are_kept():
    play = only_play_of([track(NOON, 60_000, offline=True, offline_timestamp=_SECONDS * 1000 + 123)])
    assert play["started_at"] == _BEGUN + timedelta(milliseconds=123)


@pytest.mark.parametrize(
    "told",
    [
        None,
        0,
        1,
        999_999_999,
        -5,
        9_223_372_036_854_775_807,
        int((NOON - timedelta(days=30, seconds=1)).timestamp()),
        int((NOON + timedelta(hours=1, seconds=1)).timestamp()),
    ],
)
def test_an_offline_timestamp_that_is_not_sane_is_left_aside(told):
    play = only_play_of([track(NOON, 60_000, offline=True, offline_timestamp=told)])
    assert (play["started_at"], play["ended_at"]) == (NOON - timedelta(minutes=1), NOON)


@pytest.mark.parametrize("begun", [NOON - timedelta(days=30), NOON + timedelta(hours=1)])
def test_an_offline_timestamp_on_the_edge_of_the_window_is_used(begun):
    play = only_play_of([track(NOON, 60_000, offline=True, offline_timestamp=int(begun.timestamp()))])
    assert play["started_at"] == begun


@pytest.mark.parametrize("offline", [False, None])
def test_the_offline_timestamp_of_a_play_with_a_connection_is_left_aside(offline):
    assert only_play_of([track(offline=offline, offline_timestamp=_SECONDS)])["ended_at"] == NOON


@pytest.mark.parametrize(
    ("skipped", "reason_end", "is_skip"),
    [
        (True, "trackdone", True),
        (True, None, True),
        (None, "fwdbtn", True),
        (False, "backbtn", True),
        (None, "trackdone", False),
        (False, "endplay", False),
        (None, "unknown", False),
        (False, None, False),
        (None, None, None),
    ],
)
def test_a_skip_is_told_by_the_mark_or_the_reason(skipped, reason_end, is_skip):
    assert only_play_of([track(skipped=skipped, reason_end=reason_end)])["is_skip"] is is_skip


@pytest.mark.parametrize(("ms_played", "is_stream"), [(29_999, False), (30_000, True), (0, False)])
def test_a_stream_is_30_seconds_or_more(ms_played, is_stream):
    assert only_play_of([track(ms_played=ms_played)])["is_stream"] is is_stream


@pytest.mark.parametrize(("reason_end", "is_finished"), [("trackdone", True), ("fwdbtn", False), (None, None)])
def test_a_play_is_finished_when_its_reason_says_so(reason_end, is_finished):
    assert only_play_of([track(reason_end=reason_end)])["is_finished"] is is_finished


@pytest.mark.parametrize(
    ("length", "ms_played", "reason_end", "is_scrobble"),
    [
        (None, 240_000, "endplay", True),
        (None, 239_999, "endplay", None),
        (None, 239_999, None, None),
        (None, 15_000, "endplay", False),
        (None, 15_000, None, None),
        (200_000, 100_000, "endplay", True),
        (200_000, 99_999, "endplay", False),
        (200_000, 99_999, None, None),
        (200_000, 1_000, "trackdone", True),
        (30_000, 30_000, "trackdone", False),
        (30_001, 15_001, "endplay", True),
        (30_001, 15_000, "endplay", False),
    ],
)
def test_a_scrobble_is_240_seconds_or_half_or_the_end_of_a_track_over_30_seconds(
    length, ms_played, reason_end, is_scrobble
):
    of_length = [] if length is None else [track(at(days=-1), length)]
    play = plays_of([*of_length, track(NOON, ms_played, reason_end=reason_end)])[-1]
    assert play["is_scrobble"] is is_scrobble


def test_an_episode_has_no_length_and_only_240_seconds_prove_a_scrobble():
    assert only_play_of([_episode(ms_played=200_000)])["is_scrobble"] is None
    assert only_play_of([_episode(ms_played=240_000)])["is_scrobble"] is True


@pytest.mark.parametrize(
    ("row", "content_type"),
    [
        (track(), "track"),
        (without_uri(track()), "track"),
        (_episode(), "episode"),
        (_episode(episode_uri=None), "episode"),
        (_chapter(), "audiobook"),
        (_chapter(audiobook_uri=None), "audiobook"),
        (_chapter(audiobook_uri=None, chapter_uri=uri("c", "episode")), "audiobook"),
        (track(name=None, artist=None, album=None, track_uri=None), "unknown"),
        (track(name=None, artist=None, album=None), "track"),
        (_episode(artist="Show"), "episode"),
    ],
)
def test_the_uri_and_else_the_names_tell_the_content_type(row, content_type):
    assert only_play_of([row])["content_type"] == content_type


def test_only_tracks_have_keys_and_first_plays():
    play = only_play_of([_episode(artist="Band")])
    assert [play[f"{name}_key"] for name in ("track", "artist", "album")] == [None] * 3
    assert [play[f"is_first_play_of_{name}"] for name in ("track", "artist", "album")] == [False] * 3


def test_whether_a_track_without_names_is_played_for_the_first_time_is_unknown():
    play = only_play_of([track(name=None, artist=None, album=None)])
    assert [play[f"is_first_play_of_{name}"] for name in ("track", "artist", "album")] == [None] * 3


def test_ids_come_from_uris():
    assert only_play_of([track(track_uri=uri("x"))])["track_id"] == f"{'x':0<22}"
    assert only_play_of([_episode()])["episode_id"] == f"{'e':0<22}"
    assert only_play_of([_chapter()])["audiobook_id"] == f"{'b':0<22}"


def test_keys_are_the_same_for_every_spelling_and_every_release():
    plays = plays_of([track(), track(at(300), artist="BAND ", track_uri=uri("other"))])
    assert [play["track_key"] for play in plays] == ["band / song"] * 2
    assert [play["artist_name"] for play in plays] == ["Band", "BAND "]


def test_identical_rows_are_one_play_with_copies():
    play = only_play_of([track(), track(), track()])
    assert (play["copies"], play["ms_played"]) == (3, 200_000)


def test_the_same_track_twice_in_a_row_is_two_plays():
    assert len(plays_of([track(at(0), 30_000), track(at(30), 30_000)])) == 2


def test_two_uris_in_one_second_are_two_plays():
    assert len(plays_of([track(ms_played=0), track(ms_played=0, track_uri=uri("remix"))])) == 2


def test_names_told_without_uris_share_out_among_the_uris_of_their_title():
    rows = [track(ms_played=0, track_uri=uri(name)) for name in "xy"]
    for exports in ([rows, [without_uri(row) for row in rows]], [[without_uri(row) for row in rows], rows]):
        assert [play["copies"] for play in plays_of(*exports)] == [1, 1]


def test_in_whatever_order_a_play_is_told_its_id_is_the_same():
    exports = [[without_uri(track())], [track()], [track(reason_end=None)]]
    assert only_play_of(*exports)["play_id"] == only_play_of(*reversed(exports))["play_id"]


def test_the_id_of_a_play_changes_when_a_better_source_wins():
    assert only_play_of([without_uri(track())])["play_id"] != only_play_of([track()])["play_id"]


def test_account_data_and_extended_history_of_one_play_are_one_play():
    row = track(at(17))
    lakehouse = lakehouse_of([basic(row)], [row])
    assert lakehouse.plays.select("source", "ended_at", "copies").rows() == [("extended", at(17), 1)]
    assert lakehouse.sources["rule"].to_list() == ["basic_of_extended", "winner"]


def test_account_data_pair_with_extended_history_one_to_one_and_the_rest_stays():
    rows = [track(at(5), 0), track(at(50), 0)]
    plays = plays_of(rows, [basic(row) for row in [*rows, rows[0]]])
    assert sorted((play["source"], play["copies"]) for play in plays) == [
        ("basic", 1),
        ("extended", 1),
        ("extended", 1),
    ]


def test_each_repetition_in_extended_history_takes_one_of_account_data():
    lakehouse = lakehouse_of([track(), track()], [basic(track())] * 3)
    assert lakehouse.plays.select("source", "copies").sort("source").rows() == [("basic", 1), ("extended", 2)]
    assert sorted(lakehouse.sources["rule"]) == ["basic_of_extended", "basic_of_extended", "copy", "winner", "winner"]


@pytest.mark.parametrize("other", [{"ms_played": 1}, {"name": "Other"}, {"ts": at(60)}])
def test_account_data_of_another_length_title_or_minute_are_another_play(other):
    assert len(plays_of([track()], [basic(track(**other))])) == 2


def test_what_account_data_cannot_tell_is_null():
    play = only_play_of([basic(track())])
    told_by_extended = ("album_name", "reason_end", "platform", "is_shuffle", "is_skip", "is_offline", "is_finished")
    assert {play[name] for name in (*told_by_extended, "is_incognito", "track_uri", "is_scrobble")} == {None}
    assert (play["is_stream"], play["source"]) == (True, "basic")


@pytest.mark.parametrize("reverse", [False, True])
def test_a_podcast_that_old_account_data_call_a_track_is_an_episode_once_another_source_says_so(reverse):
    exports = [[basic(_episode(), mixed=True)], [basic(_episode())]]
    play = only_play_of(*(reversed(exports) if reverse else exports))
    assert (play["content_type"], play["episode_name"], play["copies"]) == ("episode", "Episode", 1)


def test_a_podcast_that_old_account_data_call_a_track_is_the_episode_of_extended_history():
    play = only_play_of([basic(_episode(), mixed=True)], [_episode()])
    assert (play["content_type"], play["source"]) == ("episode", "extended")


@pytest.mark.parametrize("reverse", [False, True])
def test_after_a_rename_the_newer_name_wins_for_all_plays_told_in_both_exports(reverse):
    old = [track(at(minutes=minute), artist="Prince", track_uri=uri("p")) for minute in (0, 10)]
    new = [track(at(minutes=minute), artist="The Artist", track_uri=uri("p")) for minute in (0, 10, 20)]
    plays = plays_of(*([new, old] if reverse else [old, new]))
    assert [(play["artist_name"], play["copies"]) for play in plays] == [("The Artist", 1)] * 3


def test_another_listeners_exports_do_not_decide_between_names():
    lakehouse = Lakehouse()
    lakehouse.take([track(artist="Prince", track_uri=uri("p"))])
    lakehouse.take([track(at(minutes=minute), artist="Symbol", track_uri=uri("p")) for minute in (0, 10)])
    lakehouse.take([track(at(days=1), artist="Prince", track_uri=uri("p"))], listener="other")
    lakehouse.write()
    assert lakehouse.plays.filter(listener="me")["artist_name"].to_list() == ["Symbol"] * 2


def test_silence_of_exactly_the_gap_begins_a_new_session():
    plays = plays_of([track(at(0), 60_000), track(at(minutes=31), 60_000), track(at(minutes=61, seconds=59), 60_000)])
    assert len({play["session_id"] for play in plays[:2]}) == 2
    assert plays[1]["session_id"] == plays[2]["session_id"]


def test_the_gap_is_a_setting():
    rows = [track(at(0), 60_000), track(at(minutes=31), 60_000)]
    assert len({play["session_id"] for play in plays_of(rows, session_gap_minutes=31)}) == 1


def test_a_long_play_that_began_earlier_keeps_a_session_together():
    rows = [track(at(0), 1_000), track(at(minutes=50), 1_000), track(at(minutes=60), 3_600_000)]
    plays = plays_of(rows)
    assert len({play["session_id"] for play in plays}) == 1
    assert len({play["session_id"] for play in plays_of([*rows, track(at(minutes=91), 1_000)])}) == 2


def test_a_session_over_midnight_is_one_session_of_the_day_it_started():
    rows = [track(datetime(2021, 6, 15, 21, minute, tzinfo=UTC), 60_000) for minute in (50, 59)]
    rows += [track(datetime(2021, 6, 15, 22, minute, tzinfo=UTC), 60_000) for minute in (1, 25)]
    plays = plays_of(rows)
    assert len({play["session_id"] for play in plays}) == 1
    assert {play["session_started_on"] for play in plays} == {date(2021, 6, 15)}


def test_a_session_starts_on_the_day_of_its_earliest_started_play_even_if_that_ends_last():
    long = track(datetime(2021, 6, 15, 22, 10, tzinfo=UTC), 3_600_000)
    short = track(datetime(2021, 6, 15, 21, 50, tzinfo=UTC), 60_000, name="Other")
    assert {play["session_started_on"] for play in plays_of([long, short])} == {date(2021, 6, 16)}


def test_an_offline_play_belongs_to_the_session_in_which_it_was_heard():
    began = int(at(minutes=-10).timestamp())
    plays = plays_of([track(at(0), 60_000), track(at(days=1), 60_000, offline=True, offline_timestamp=began)])
    assert len({play["session_id"] for play in plays}) == 1


def test_first_plays_are_those_that_ended_first():
    plays = plays_of([track(at(minutes=30)), track(at(0)), track(at(minutes=10), name="Other")])
    flags = ("is_first_play_of_track", "is_first_play_of_artist", "is_first_play_of_album")
    assert [[play[flag] for flag in flags] for play in plays] == [[True] * 3, [True, False, False], [False] * 3]


def test_of_several_tracks_of_an_artist_in_one_instant_the_same_is_first_in_every_generation():
    rows = [track(ms_played=0, name=name) for name in ("One", "Two", "Three")]
    first = [play["track_name"] for play in plays_of(rows) if play["is_first_play_of_artist"]]
    told = plays_of([without_uri(row) for row in rows])
    assert [play["track_name"] for play in told if play["is_first_play_of_artist"]] == first


def test_listeners_have_sessions_first_plays_and_zones_of_their_own():
    alone = {}
    rows = {"ada": [track(at(0)), track(at(minutes=20))], "ben": [track(at(minutes=10)), track(at(minutes=45))]}
    zones = {"ada": "Europe/Berlin", "ben": "America/New_York"}
    together = Lakehouse(zones=zones)
    for listener, told in rows.items():
        together.take(told, listener=listener)
        alone[listener] = Lakehouse(zones=zones)
        alone[listener].take(told, listener=listener)
        alone[listener].write()
    together.write()
    for listener, lakehouse in alone.items():
        assert together.plays.filter(listener=listener).equals(lakehouse.plays)
        of_plays = ["played_on", "version", "plays_hash", "plays"]
        assert together.days.filter(listener=listener).select(of_plays).equals(lakehouse.days.select(of_plays))
    assert together.plays["ended_at_local"].dt.hour().to_list() == [14, 14, 8, 8]


def test_the_length_of_a_track_is_the_same_whoever_heard_it_to_the_end():
    lakehouse = Lakehouse()
    lakehouse.take([track(ms_played=200_000)], listener="ada")
    lakehouse.take([track(ms_played=100_000, reason_end="endplay")], listener="ben")
    lakehouse.write()
    assert lakehouse.plays.filter(listener="ben")["is_scrobble"].to_list() == [True]


def test_sources_name_every_row_of_a_play_once():
    lakehouse = lakehouse_of([without_uri(track())], [track(), track()], [basic(track())])
    assert lakehouse.sources.select("source_row", "rule").rows() == [
        (1, "superseded"),
        (2, "winner"),
        (3, "copy"),
        (4, "basic_of_extended"),
    ]
    assert lakehouse.sources["play_id"].unique().to_list() == lakehouse.plays["play_id"].to_list()
