from __future__ import annotations

import polars as pl
import pytest

from spotify_assets_tests.transforms.history import Lakehouse, Taken, at, basic, lakehouse_of, track, uri, without_uri


def test_the_same_export_again_adds_nothing():
    lakehouse = Lakehouse()
    rows = [track(), track(at(10), 0), track(at(10), 0), without_uri(track(at(20))), basic(track(at(30)))]
    assert lakehouse.take(rows) == Taken(5, 5, 0)
    assert lakehouse.take(rows) == Taken(5, 0, 5)


def test_a_row_with_uri_is_new_where_only_its_names_are_stored_and_supersedes_them():
    lakehouse = Lakehouse()
    lakehouse.take([without_uri(track())])
    assert lakehouse.take([track()]) == Taken(1, 1, 0)
    lakehouse.write()
    assert lakehouse.plays.select("track_uri", "copies").rows() == [(track()["track_uri"], 1)]
    assert lakehouse.sources.select("source_row", "rule").rows() == [(1, "superseded"), (2, "winner")]


def test_a_row_without_uri_is_known_where_the_row_with_uri_is_stored():
    lakehouse = Lakehouse()
    lakehouse.take([track()])
    assert lakehouse.take([without_uri(track())]) == Taken(1, 0, 1)


def test_names_in_another_case_are_the_same_names():
    lakehouse = Lakehouse()
    lakehouse.take([track()])
    assert lakehouse.take([without_uri(track(name="SONG", artist="bAND"))]) == Taken(1, 0, 1)


def test_a_row_that_tells_reasons_is_new_where_they_are_untold():
    lakehouse = Lakehouse()
    lakehouse.take([track(reason_start=None, reason_end=None)])
    assert lakehouse.take([track()]) == Taken(1, 1, 0)
    lakehouse.write()
    assert lakehouse.plays.select("reason_end", "copies").rows() == [("trackdone", 1)]


def test_a_row_without_reasons_is_known_where_they_are_told():
    lakehouse = Lakehouse()
    lakehouse.take([track()])
    assert lakehouse.take([track(reason_start=None, reason_end=None)]) == Taken(1, 0, 1)


def test_reasons_break_ties_between_repetitions():
    lakehouse = Lakehouse()
    lakehouse.take([track(reason_end="trackdone"), track(reason_end="fwdbtn")])
    assert lakehouse.take([track(reason_end="fwdbtn", platform="ios")]) == Taken(1, 1, 0)
    assert lakehouse.history.filter(pl.col("row_id") == 3)["occurrence"].item() == 2


def test_a_second_repetition_in_one_export_is_new():
    lakehouse = Lakehouse()
    assert lakehouse.take([track(), track()]) == Taken(2, 2, 0)
    assert lakehouse.history["occurrence"].to_list() == [1, 2]


def test_across_exports_the_larger_count_of_repetitions_holds():
    lakehouse = Lakehouse()
    lakehouse.take([track()] * 2)
    assert lakehouse.take([track()]) == Taken(1, 0, 1)
    assert lakehouse.take([track()] * 3) == Taken(3, 1, 2)
    lakehouse.write()
    assert lakehouse.plays["copies"].to_list() == [3]


def test_rows_without_uri_pair_one_to_one_with_rows_that_have_one():
    lakehouse = Lakehouse()
    lakehouse.take([track(), track()])
    assert lakehouse.take([without_uri(track())] * 3) == Taken(3, 1, 2)
    lakehouse.write()
    assert lakehouse.plays["copies"].to_list() == [3]


def test_a_row_without_uri_beside_one_of_its_title_in_one_export_is_its_repetition():
    assert lakehouse_of([track(), without_uri(track())]).plays["copies"].to_list() == [2]


def test_rows_without_name_and_uri_are_known_again():
    lakehouse = Lakehouse()
    nameless = track(name=None, artist=None, album=None, track_uri=None)
    assert lakehouse.take([nameless, nameless]) == Taken(2, 2, 0)
    assert lakehouse.take([nameless, nameless]) == Taken(2, 0, 2)


def test_two_tracks_in_one_second_of_one_length_are_two_rows():
    lakehouse = Lakehouse()
    assert lakehouse.take([track(ms_played=0), track(ms_played=0, name="Other")]) == Taken(2, 2, 0)
    assert lakehouse.history["occurrence"].to_list() == [1, 1]


def test_account_data_and_extended_history_do_not_know_each_others_rows():
    lakehouse = Lakehouse()
    lakehouse.take([track()])
    assert lakehouse.take([basic(track())]) == Taken(1, 1, 0)


def test_a_renamed_artist_is_news_that_is_no_copy():
    lakehouse = Lakehouse()
    lakehouse.take([track()])
    assert lakehouse.take([track(artist="Renamed", track_uri=track()["track_uri"])]) == Taken(1, 1, 0)
    lakehouse.write()
    assert lakehouse.plays["copies"].to_list() == [1]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0), (0, 2, 1), (1, 0, 2)])
def test_a_rename_between_exports_with_and_without_uris_makes_no_copy_in_any_order(order):
    old = track(artist="Old", track_uri=uri("x"))
    exports = [[without_uri(old)], [old], [track(artist="New", track_uri=uri("x"))]]
    assert lakehouse_of(*(exports[number] for number in order)).plays["copies"].to_list() == [1]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0), (0, 2, 1), (1, 0, 2)])
def test_a_row_with_uri_and_no_name_makes_no_copy_of_a_row_with_names_in_any_order(order):
    named = track(track_uri=uri("x"))
    exports = [[without_uri(named)], [named], [track(name=None, artist=None, album=None, track_uri=uri("x"))]]
    assert lakehouse_of(*(exports[number] for number in order)).plays["copies"].to_list() == [1]


def test_other_listeners_rows_are_not_known():
    lakehouse = Lakehouse()
    lakehouse.take([track()])
    assert lakehouse.take([track()], listener="other") == Taken(1, 1, 0)


def test_an_export_without_rows_is_decided_on():
    assert Lakehouse().take([]) == Taken(0, 0, 0)


@pytest.mark.parametrize("untold", [{"skipped": False}, {"offline_timestamp": 0}, {"offline_timestamp": 1_623_758_000}])
def test_what_spotify_writes_in_some_years_and_means_nothing_says_nothing_new(untold):
    lakehouse = Lakehouse()
    lakehouse.take([track()])
    assert lakehouse.take([track(**untold)]) == Taken(1, 0, 1)


@pytest.mark.parametrize("told", [{"skipped": True}, {"offline": True, "offline_timestamp": 1_623_758_000}])
def test_a_skip_and_the_clock_of_an_offline_play_are_news(told):
    lakehouse = Lakehouse()
    lakehouse.take([track(offline=told.get("offline"))])
    assert lakehouse.take([track(**told)]) == Taken(1, 1, 0)


def test_the_mark_of_a_play_without_reason_is_news():
    lakehouse = Lakehouse()
    lakehouse.take([track(reason_end=None)])
    assert lakehouse.take([track(reason_end=None, skipped=False)]) == Taken(1, 1, 0)
    lakehouse.write()
    assert lakehouse.plays.select("is_skip", "copies").rows() == [(False, 1)]


def test_tellings_that_came_to_share_a_number_are_known_again():
    episode = track(ms_played=31_000, name=None, artist=None, album=None, episode_name="Episode", show_name="Show")
    split, mixed = basic(episode), basic(episode, mixed=True)
    lakehouse = Lakehouse()
    exports = [[mixed, split], [split, split]]
    assert [lakehouse.take(rows).rows_new for rows in exports] == [2, 0]
    assert [lakehouse.take(rows[::-1]).rows_new for rows in exports] == [0, 0]
    assert lakehouse.take([split] * 3) == Taken(3, 1, 2)
