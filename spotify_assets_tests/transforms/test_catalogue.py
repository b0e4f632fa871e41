"""Tracks, albums and artists as the plays name them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from spotify_assets_tests.transforms.history import Lakehouse, Row, at, basic, lakehouse_of, track, uri, without_uri

pytestmark = pytest.mark.usefixtures("small_frames")


def _catalogue(*rows: Row) -> dict[str, pl.DataFrame]:
    return lakehouse_of(rows).catalogue()


def _only(table: pl.DataFrame) -> dict[str, Any]:
    assert table.height == 1
    return table.row(0, named=True)


def test_there_is_one_row_for_each_track_album_and_artist():
    tables = _catalogue(
        track(at(0)), track(at(300), name="Other"), track(at(600)), track(at(900), artist="Other Band", album=None)
    )
    assert tables["tracks"]["track_key"].to_list() == ["band / other", "band / song", "other band / song"]
    assert tables["albums"]["album_key"].to_list() == ["band / album"]
    assert tables["artists"]["artist_key"].to_list() == ["band", "other band"]


@pytest.mark.parametrize("table", ["tracks", "albums", "artists"])
def test_plays_and_listening_time_are_summed_up_and_dated(table):
    row = _only(_catalogue(track(at(0), 1000), track(at(days=1), 2000))[table])
    assert (row["plays"], row["ms_played"]) == (2, 3000)
    assert (row["first_played_at"], row["last_played_at"]) == (at(0), at(days=1))


def test_a_play_counts_once_whatever_its_copies():
    assert _only(_catalogue(*[track()] * 3)["tracks"])["plays"] == 1


def test_the_most_played_spelling_is_the_name():
    rows = [track(at(0), name="SONG", artist="BAND", album="ALBUM"), track(at(300)), track(at(600))]
    tables = _catalogue(*rows)
    assert _only(tables["tracks"])["track_name"] == "Song"
    assert _only(tables["albums"])["album_name"] == "Album"
    assert _only(tables["artists"])["artist_name"] == "Band"


def test_of_spellings_played_equally_often_the_same_wins_in_any_order():
    rows = [track(at(0), name="SONG"), track(at(300), name="Song")]
    assert [_only(_catalogue(*order)["tracks"])["track_name"] for order in (rows, rows[::-1])] == ["SONG", "SONG"]


def test_a_track_stands_on_the_album_that_it_was_mostly_played_from():
    rows = [track(at(0), album="Single"), track(at(300), album="Album"), track(at(600), album="Album")]
    row = _only(_catalogue(*rows)["tracks"])
    assert (row["album_key"], row["album_name"]) == ("band / album", "Album")


def test_plays_without_an_album_do_not_hide_the_album():
    rows = [basic(track(at(minutes=number))) for number in range(3)]
    assert _only(_catalogue(*rows, track(at(minutes=10)))["tracks"])["album_name"] == "Album"


def test_a_track_has_its_most_played_uri_and_the_id_of_it():
    rows = [track(at(0), track_uri=uri("x")), track(at(300), track_uri=uri("y")), track(at(600), track_uri=uri("y"))]
    row = _only(_catalogue(*rows)["tracks"])
    assert (row["track_uri"], row["track_id"]) == (uri("y"), uri("y").removeprefix("spotify:track:"))


def test_plays_without_a_uri_do_not_hide_the_uri():
    rows = [without_uri(track(at(0))), without_uri(track(at(300))), track(at(600), track_uri=uri("x"))]
    assert _only(_catalogue(*rows)["tracks"])["track_uri"] == uri("x")


def test_a_track_that_no_source_gave_a_uri_has_none():
    row = _only(_catalogue(without_uri(track(at(0), album=None)))["tracks"])
    assert [row[name] for name in ("track_uri", "track_id", "album_key", "album_name")] == [None] * 4


def test_the_length_of_a_track_is_its_longest_finished_play():
    rows = [track(at(0), 200_000), track(at(300), 190_000), track(at(900), 300_000, reason_end="endplay")]
    assert _only(_catalogue(*rows)["tracks"])["length_ms"] == 200_000


def test_a_track_that_was_never_finished_has_no_length():
    assert _only(_catalogue(track(at(0), reason_end="fwdbtn"))["tracks"])["length_ms"] is None


def test_different_tracks_of_an_album_and_albums_of_an_artist_are_counted():
    rows = [track(at(0)), track(at(300), name="Other"), track(at(600), name="Other", album="Second")]
    tables = _catalogue(*rows)
    assert tables["albums"].select("album_key", "tracks").rows() == [("band / album", 2), ("band / second", 1)]
    assert tables["artists"].select("tracks", "albums").rows() == [(2, 2)]


def test_plays_of_all_listeners_of_the_home_count():
    lakehouse = Lakehouse()
    for listener in ("me", "you"):
        lakehouse.take([track()], listener=listener)
    lakehouse.write()
    assert _only(lakehouse.catalogue()["artists"])["plays"] == 2


def test_episodes_and_tracks_without_names_are_not_in_the_catalogue():
    nameless = {"name": None, "artist": None, "album": None}
    episode = track(at(0), **nameless, track_uri=None, episode_name="Episode", show_name="Show")
    tables = _catalogue(episode, track(at(300), **nameless))
    assert [tables[name].height for name in ("tracks", "albums", "artists")] == [0, 0, 0]


def test_a_renamed_artist_stands_under_the_new_name_alone():
    older = [track(at(0), artist="Old Band", track_uri=uri("x"))]
    newer = [track(ts, artist="New Band", track_uri=uri("x")) for ts in (at(0), at(days=1))]
    tables = lakehouse_of(older, newer).catalogue()
    assert tables["artists"]["artist_key"].to_list() == ["new band"]
    assert tables["tracks"]["track_key"].to_list() == ["new band / song"]
