"""Spotify's own rankings over time, and what the top artists are known for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.schemas import Table, clean, raw_api
from spotify_assets.transforms import rankings
from spotify_assets_tests.transforms.telling import Telling, spotify_id, told_objects, track_object

_FIRST = date(2026, 1, 1)
_TOLD_AT = datetime(2026, 1, 1, tzinfo=UTC)


def _frame(table: type[Table], rows: list[dict[str, Any]]) -> pl.LazyFrame:
    schema = table.polars_schema()
    return pl.LazyFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)


def _checked(table: type[Table], frame: pl.LazyFrame) -> pl.DataFrame:
    made = frame.select(table.column_names()).collect().cast(table.polars_schema())
    return table.validate(made).sort(table.primary_key())


def _ranking(*names: str | None, day: int = 0, listener: str = "me", time_range: str = "short_term"):
    return [
        {
            "listener": listener,
            "time_range": time_range,
            "fetched_on": _FIRST + timedelta(days=day),
            "fetched_at": _TOLD_AT + timedelta(days=day),
            "rank": rank,
            "artist_id": name,
            "artist_name": name and name.upper(),
        }
        for rank, name in enumerate(names, 1)
    ]


def _artists(*rankings_: list[dict[str, Any]]) -> pl.DataFrame:
    return _checked(
        clean.TopArtists, rankings.top_artists(_frame(raw_api.TopArtists, [row for each in rankings_ for row in each]))
    )


def _moves(frame: pl.DataFrame, day: int) -> list[tuple[Any, ...]]:
    rows = frame.filter(pl.col("fetched_on") == _FIRST + timedelta(days=day))
    return rows.select("artist_id", "previous_rank", "movement", "is_new").rows()


def test_an_artist_moves_against_the_ranking_before():
    frame = _artists(_ranking("a", "b", "c"), _ranking("c", "a", "d", day=5))
    assert _moves(frame, 5) == [("c", 3, 2, False), ("a", 1, -1, False), ("d", None, None, True)]


def test_in_the_first_ranking_nothing_moves_and_nothing_is_new():
    assert _moves(_artists(_ranking("a")), 0) == [("a", None, None, None)]


def test_an_artist_who_was_away_for_a_ranking_is_new_again():
    frame = _artists(_ranking("a"), _ranking("b", day=1), _ranking("a", day=2))
    assert _moves(frame, 2) == [("a", None, None, True)]


def test_ranges_and_listeners_do_not_mix():
    frame = _artists(
        _ranking("a", "b"), _ranking("b", time_range="long_term", day=1), _ranking("b", listener="you", day=1)
    )
    assert {row[1:] for row in _moves(frame, 1)} == {(None, None, None)}


def test_the_newest_ranking_of_each_range_is_marked():
    frame = _artists(_ranking("a"), _ranking("a", day=1), _ranking("a", time_range="long_term"))
    latest = frame.filter("is_latest").select("time_range", "fetched_on").rows()
    assert latest == [("long_term", _FIRST), ("short_term", _FIRST + timedelta(days=1))]


def test_tracks_without_an_id_are_known_by_their_uri_and_else_by_their_names():
    def ranking(day: int, *tracks: tuple[str | None, str | None, str | None]):
        about = {"listener": "me", "time_range": "short_term", "fetched_at": _TOLD_AT, "artist_name": "Band"}
        names = ("track_id", "track_uri", "track_name")
        on = _FIRST + timedelta(days=day)
        return [
            about | {"fetched_on": on, "rank": rank} | dict(zip(names, track, strict=True))
            for rank, track in enumerate(tracks, 1)
        ]

    local, nameless = (None, "spotify:local:x", "X"), (None, None, "Y")
    rows = [*ranking(0, ("id", "u", "Z"), local, nameless), *ranking(1, nameless, local, ("id", "u2", "Z2"))]
    frame = _checked(clean.TopTracks, rankings.top_tracks(_frame(raw_api.TopTracks, rows)))
    moved = frame.filter(pl.col("fetched_on") > _FIRST)
    assert moved.select("track_key", "previous_rank").rows() == [("band / y", 3), ("band / x", 2), ("band / z2", 1)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True, max_size=5), min_size=2, max_size=4))
def test_ranks_and_movements_add_up(days):
    frame = _artists(*(_ranking(*names, day=day) for day, names in enumerate(days)))
    assert frame.height == sum(map(len, days))
    told = [(day, names) for day, names in enumerate(days) if names]
    for (_, before), (day, _) in pairwise(told):
        for rank, (artist, previous_rank, movement, is_new) in enumerate(_moves(frame, day), 1):
            assert (previous_rank, is_new) == ((before.index(artist) + 1, False) if artist in before else (None, True))
            assert movement == (None if is_new else previous_rank - rank)


# Albums of the top artists


def _list(artist: str, *albums: str, groups: str = "album", market: str = "", day: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "artist_id": artist,
            "album_groups": groups,
            "market": market,
            "position": position,
            "album_id": spotify_id(album),
            "fetched_at": _TOLD_AT + timedelta(days=day),
        }
        for position, album in enumerate(albums, 1)
    ]


def _album(identifier: str, name: str | None = None, album_type: str | None = "album", **told: Any) -> Telling:
    return Telling(identifier, {"name": name or identifier, "album_type": album_type, **told})


def _top_albums(top: list[dict[str, Any]], lists: list[dict[str, Any]], *albums: Telling) -> pl.DataFrame:
    frame = rankings.artist_top_albums(
        _frame(raw_api.TopArtists, top),
        _frame(raw_api.ArtistAlbums, lists),
        told_objects(albums=albums).albums.lazy(),
    )
    return _checked(clean.ArtistTopAlbums, frame)


def test_an_artist_has_the_first_five_albums_in_spotify_s_order():
    names = [f"n{number}" for number in (3, 1, 2, 6, 5, 4)]
    frame = _top_albums(_ranking("a"), _list("a", *names), *(_album(name, release_date="2001") for name in names))
    assert frame.select("position", "album_name").rows() == list(enumerate(names[:5], 1))
    assert frame.row(0, named=True)["artist_name"] == "A"
    assert set(frame["release_date"]) == {"2001"}


def test_a_title_stands_once_and_what_is_no_album_not_at_all():
    albums = [_album("x", "Title"), _album("s", "Single", "single"), _album("y", " TITLE "), _album("z", "Other")]
    frame = _top_albums(_ranking("a"), _list("a", "x", "s", "y", "z"), *albums)
    assert frame.select("position", "album_id").rows() == [(1, spotify_id("x")), (2, spotify_id("z"))]


def test_the_list_of_albums_alone_counts_before_a_newer_one_with_singles():
    lists = [*_list("a", "x"), *_list("a", "y", groups="album,single", day=3), *_list("a", "z", groups="single", day=9)]
    frame = _top_albums(_ranking("a"), lists, *(_album(name) for name in "xyz"))
    assert frame["album_name"].to_list() == ["x"]


@pytest.mark.parametrize(("groups", "albums"), [("", ["x"]), ("single,album", ["x"]), ("single", [])])
def test_a_list_of_several_groups_does_where_there_is_no_other(groups, albums):
    assert _top_albums(_ranking("a"), _list("a", "x", groups=groups), _album("x"))["album_name"].to_list() == albums


def test_of_several_markets_the_list_told_last_counts():
    lists = [*_list("a", "x", market="US"), *_list("a", "y", market="DE", day=3)]
    assert _top_albums(_ranking("a"), lists, *(_album(name) for name in "xy"))["album_name"].to_list() == ["y"]


def test_only_the_artists_of_the_newest_short_term_ranking_have_albums():
    top = [*_ranking("old"), *_ranking("a", day=1), *_ranking("long", time_range="long_term", day=1)]
    lists = [row for artist in ("old", "a", "long") for row in _list(artist, "x")]
    assert _top_albums(top, lists, _album("x"))["artist_id"].to_list() == ["a"]


def test_only_fifty_artists_have_albums_and_one_without_an_id_none():
    names = [f"n{number}" for number in range(60)]
    lists = [row for artist in names for row in _list(artist, "x")]
    assert _top_albums(_ranking(None, *names), lists, _album("x")).height == 49


def test_each_listener_has_rows_of_their_own():
    top = [*_ranking("a", listener="me"), *_ranking("b", "a", listener="you")]
    frame = _top_albums(top, _list("a", "x"), _album("x"))
    assert frame.select("listener", "artist_rank").rows() == [("me", 1), ("you", 2)]


# Tracks of the top artists


def _top_tracks(
    rows: list[tuple[str, str, bool]],
    *tracks: Telling,
    features: dict[str, tuple[float | None, int | None]] | None = None,
    markets: dict[str, str] | None = None,
) -> pl.DataFrame:
    told = [
        {
            "artist_id": "a",
            "market": market,
            "position": position,
            "track_id": spotify_id(track),
            "is_from_search": is_from_search,
            "fetched_at": _TOLD_AT,
        }
        for position, (market, track, is_from_search) in enumerate(rows, 1)
    ]
    known = [(spotify_id(track), *values) for track, values in (features or {}).items()]
    frame = rankings.artist_top_tracks(
        _frame(raw_api.TopArtists, _ranking("a")),
        _frame(raw_api.ArtistTopTracks, told),
        told_objects(tracks=tracks).tracks.lazy(),
        pl.LazyFrame(known, schema={"track_id": pl.String, "tempo": pl.Float64, "mode": pl.Int64}, orient="row"),
        markets or {},
    )
    return _checked(clean.ArtistTopTracks, frame)


def test_a_top_track_tells_name_length_tempo_and_mode():
    frame = _top_tracks(
        [("US", "x", False)], Telling("x", track_object("Song", duration_ms=185_999)), features={"x": (120.25, 1)}
    )
    row = frame.row(0, named=True)
    assert (row["track_name"], row["duration_ms"], row["duration_text"]) == ("Song", 185_999, "03:05")
    assert (row["bpm"], row["mode_name"], row["is_from_search"]) == (120.25, "Major", False)
    assert row["track_uri"] == f"spotify:track:{spotify_id('x')}"


@pytest.mark.parametrize(("mode", "name"), [(1, "Major"), (0, "Minor"), (None, None)])
def test_the_mode_is_named(mode, name):
    assert _top_tracks([("US", "x", False)], features={"x": (None, mode)})["mode_name"].to_list() == [name]


@pytest.mark.parametrize(
    ("duration_ms", "text"), [(1, "00:00"), (59_999, "00:59"), (3_600_000, "60:00"), (6_000_000, "100:00"), (0, None)]
)
def test_lengths_are_told_in_minutes_and_seconds(duration_ms, text):
    frame = _top_tracks([("US", "x", False)], Telling("x", track_object(duration_ms=duration_ms)))
    assert frame["duration_text"].to_list() == [text]


def test_a_top_track_of_which_nothing_is_known_stands_there_all_the_same():
    row = _top_tracks([("US", "x", True)]).row(0, named=True)
    assert (row["track_name"], row["duration_text"], row["bpm"], row["mode_name"]) == (None, None, None, None)
    assert row["is_from_search"]


def test_the_united_states_and_the_listener_s_market_are_told_and_no_other():
    rows = [("US", "x", False), ("DE", "y", False), ("FR", "z", False)]
    assert _top_tracks(rows, markets={"me": "DE", "you": "FR"})["market"].to_list() == ["DE", "US"]
    assert _top_tracks(rows)["market"].to_list() == ["US"]
