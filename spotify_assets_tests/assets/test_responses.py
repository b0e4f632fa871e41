"""Responses become rows: whole, once, and whatever the order in which they come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.assets.raw.responses import TABLES, Taken, note_unanswered_poll, take_responses
from spotify_assets.lakehouse import Transaction, Warehouse
from spotify_assets.schemas import Table, raw_api
from spotify_assets.spotify.model import Endpoint, Response
from spotify_assets_tests.spotify.odd_bodies import odd_responses
from spotify_assets_tests.spotify.payloads import (
    NOON,
    album,
    artist,
    minutes,
    page,
    play,
    poll,
    response,
    told_instant,
    track,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(home=str(tmp_path / "home"))


def take(warehouse: Warehouse, *responses: Response) -> Taken:
    with warehouse.transaction() as transaction:
        return take_responses(transaction, responses)


def rows(warehouse: Warehouse, table: type[Table], *columns: str) -> list[Any]:
    """Rows in the order of the key; of one column its values."""
    frame = warehouse.read(table).sort(table.primary_key())
    return frame[columns[0]].to_list() if len(columns) == 1 else frame.select(columns).rows()


def plays(first: int, last: int) -> list[dict[str, Any]]:
    """Plays of the minutes `last` down to `first`, newest first."""
    return [play(track(f"t{minute}"), minutes(minute)) for minute in range(last, first - 1, -1)]


def saved(*names: str) -> list[dict[str, Any]]:
    return [{"added_at": told_instant(NOON), "track": track(name)} for name in names]


def playlist(name: str, version: str, owner: str = "someone", total: int = 1) -> dict[str, Any]:
    return {
        "type": "playlist",
        "id": name,
        "name": name.upper(),
        "snapshot_id": version,
        "owner": {"type": "user", "id": owner, "display_name": "Somebody"},
        "items": {"total": total},
    }


class _TakenBack(Exception):
    pass


@pytest.fixture(scope="module")
def empty_tables(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse with every table and no row; what is tried in it is rolled back, because making one takes long."""
    warehouse = Warehouse(home=str(tmp_path_factory.mktemp("home")))
    with warehouse.transaction() as transaction:
        for table in TABLES:
            transaction.append(table, table.polars_schema().to_frame())
    return warehouse


def contents(transaction: Transaction) -> dict[str, pl.DataFrame]:
    """Every table, without the numbering of rows."""
    return {
        table.qualified_name(): transaction.read(
            table, [name for name in table.column_names() if name != "row_id"]
        ).sort(table.primary_key())
        for table in TABLES
    }


def contents_after(
    warehouse: Warehouse, lots: Iterable[Sequence[Response]]
) -> tuple[dict[str, pl.DataFrame], list[Taken]]:
    with suppress(_TakenBack), warehouse.transaction() as transaction:
        taken = [take_responses(transaction, lot) for lot in lots]
        told = contents(transaction)
        raise _TakenBack
    return told, taken


def in_lots(responses: Sequence[Response], lots: int) -> Iterable[Sequence[Response]]:
    size = max(1, -(-len(responses) // lots))
    return (responses[start : start + size] for start in range(0, len(responses), size))


def assert_equal(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> None:
    for name, frame in one.items():
        assert frame.equals(other[name]), f"{name}\n{frame}\n{other[name]}"


@st.composite
def recordings(draw: Any) -> list[Response]:
    """Responses at different instants: odd ones, and what happens to plays, libraries and playlists over a day."""
    told: list[Response] = draw(st.lists(odd_responses(), max_size=6))
    for at in draw(st.lists(st.integers(0, 300), max_size=5)):
        newest = draw(st.integers(0, at))
        told.append(poll(plays(max(0, newest - draw(st.sampled_from([3, 49, 49]))), newest), minutes(at)))
    libraries = [saved("a", "b", "c"), saved("b", "c"), saved("d", "b", "c")]
    for at in draw(st.lists(st.integers(0, 300), max_size=8)):
        library = draw(st.sampled_from(libraries))
        offset = draw(st.sampled_from([0, 0, 2]))
        told.append(page(Endpoint.SAVED_TRACKS, library, minutes(at), offset=offset, limit=2))
    for at in draw(st.lists(st.integers(0, 300), max_size=5)):
        version = draw(st.sampled_from(["v1", "v2"]))
        told.append(page(Endpoint.PLAYLISTS, [playlist("p", version), playlist("q", "w")], minutes(at)))
    for at in draw(st.lists(st.integers(0, 300), max_size=3)):
        status = draw(st.sampled_from([200, 200, 403]))
        body = {"items": [{"item": track(draw(st.sampled_from("xyz")))}], "total": 1} if status == 200 else None
        told.append(response(Endpoint.PLAYLIST_ITEMS, body, minutes(at), id="p", status=status))
    for at in draw(st.lists(st.integers(0, 3_000), max_size=3)):
        told.append(
            page(Endpoint.TOP_ARTISTS, [artist(draw(st.sampled_from("ABC")))], minutes(at), time_range="short_term")
        )
    # Two answers of one instant come only from one request.
    at_once = {(each.fetched_at, each.listener): each for each in told}
    return list({each.fetched_at: each for each in at_once.values()}.values())


@given(recordings(), st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=8, deadline=None)
def test_the_order_in_which_responses_come_does_not_matter(
    empty_tables: Warehouse, recording: list[Response], chance: Any, lots: int
) -> None:
    in_order = sorted(recording, key=lambda each: each.fetched_at)
    shuffled = chance.sample(recording, len(recording))
    told, _ = contents_after(empty_tables, [in_order])
    assert_equal(told, contents_after(empty_tables, in_lots(shuffled, lots))[0])


@given(st.lists(odd_responses(), max_size=8))
@settings(max_examples=8, deadline=None)
def test_any_bodies_are_stored_accounted_for_and_known_the_second_time(
    empty_tables: Warehouse, recording: list[Response]
) -> None:
    once, _ = contents_after(empty_tables, [recording])
    twice, (taken, again) = contents_after(empty_tables, [recording, recording])
    assert_equal(once, twice)
    assert taken.responses_new == once["raw.api_responses"].height
    assert sum(taken.rejected.values()) == once["raw.rejected_items"].height
    assert (again.responses_new, again.rows_new) == (0, {})


def test_equal_bodies_are_kept_once_by_the_earliest_response(warehouse: Warehouse) -> None:
    look = plays(0, 3)
    take(warehouse, poll(look, minutes(60)), poll(look, minutes(30)))
    take(warehouse, poll(look, minutes(5)), poll(look, minutes(5), listener="bob"))
    stored = {
        (row["listener"], row["fetched_at"]): row for row in warehouse.read(raw_api.ApiResponses).iter_rows(named=True)
    }
    holder = stored["ann", minutes(5)]
    assert json.loads(holder["body"])["items"]
    assert [stored["ann", minutes(at)]["same_body_as"] for at in (30, 60)] == [holder["response_id"]] * 2
    assert [stored["ann", minutes(at)]["body"] for at in (30, 60)] == [None, None]
    assert stored["bob", minutes(5)]["body"] == holder["body"]


def test_a_play_told_twice_is_one_row_of_the_response_that_told_it_first(warehouse: Warehouse) -> None:
    take(warehouse, poll(plays(10, 20), minutes(30)))
    take(warehouse, poll(plays(5, 15), minutes(16)))
    told = rows(warehouse, raw_api.RecentlyPlayed, "played_at", "fetched_at")
    assert told == [(minutes(at), minutes(16 if at <= 15 else 30)) for at in range(5, 21)]
    assert len(set(rows(warehouse, raw_api.RecentlyPlayed, "row_id"))) == 16


def test_two_tracks_at_one_instant_are_two_plays(warehouse: Warehouse) -> None:
    take(warehouse, poll([play(track("a"), NOON), play(track("b"), NOON), play(track("b"), NOON)], minutes(1)))
    assert sorted(rows(warehouse, raw_api.RecentlyPlayed, "track_name")) == ["a", "b"]


def test_a_gap_is_provable_when_a_full_page_is_newer_than_all_that_was_known(warehouse: Warehouse) -> None:
    take(warehouse, poll(plays(0, 49), minutes(50)))
    take(warehouse, poll(plays(49, 98), minutes(100)))
    take(warehouse, poll(plays(100, 149), minutes(150)))
    take(warehouse, poll(plays(200, 248), minutes(250)))
    columns = ("items", "items_new", "newest_known_at", "is_full", "is_gap_provable")
    assert rows(warehouse, raw_api.Polls, *columns) == [
        (50, 50, None, True, False),
        (50, 49, minutes(49), True, False),
        (50, 50, minutes(98), True, True),
        (49, 49, minutes(149), False, False),
    ]


def test_a_gap_is_not_proven_by_a_page_with_an_unreadable_instant(warehouse: Warehouse) -> None:
    take(warehouse, poll(plays(0, 5), minutes(6)))
    take(warehouse, poll([*plays(51, 99), play(track("x"), NOON) | {"played_at": "?"}], minutes(100)))
    assert rows(warehouse, raw_api.Polls, "is_full", "is_gap_provable", "oldest_played_at")[1] == (True, False, None)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (401, None, "unauthorized"),
        (403, {"error": {}}, "forbidden"),
        (429, None, "rate_limited"),
        (502, "<html>", "failed"),
        (200, {"items": None}, "failed"),
        (204, None, "told"),
        (200, {"items": []}, "told"),
    ],
)
def test_a_poll_says_what_came_of_it(warehouse: Warehouse, status: int, body: Any, outcome: str) -> None:
    take(warehouse, response(Endpoint.RECENTLY_PLAYED, body, status=status))
    assert rows(warehouse, raw_api.Polls, "outcome", "items", "is_gap_provable") == [(outcome, 0, False)]


def test_a_poll_that_was_given_up_is_remembered(warehouse: Warehouse) -> None:
    take(warehouse, poll(plays(0, 5), minutes(6)))
    with warehouse.transaction() as transaction:
        note_unanswered_poll(transaction, "ann", minutes(36), "failed")
    assert rows(warehouse, raw_api.Polls, "outcome", "newest_known_at")[1] == ("failed", minutes(5))


def test_an_object_is_one_row_for_each_telling_with_its_first_and_last_day(warehouse: Warehouse) -> None:
    for day, popularity in ((0, 50), (1, 50), (2, 51)):
        body = track("a", popularity=popularity)
        take(warehouse, response(Endpoint.TRACK, body, minutes(day * 24 * 60), id="aId"))
    told = warehouse.read(raw_api.Tracks).sort("fetched_at")
    assert told["fetched_at"].to_list() == [minutes(0), minutes(48 * 60)]
    assert told["told_at"].to_list() == [minutes(12 * 60), minutes(48 * 60)]


def test_a_library_is_replaced_only_when_all_of_its_pages_are_there(warehouse: Warehouse) -> None:
    old, new = saved("a", "b", "c"), saved("d", "a", "b", "c")

    def library() -> list[tuple[str, Any]]:
        return rows(warehouse, raw_api.SavedTracks, "track_name", "snapshot_at")

    take(warehouse, page(Endpoint.SAVED_TRACKS, old, minutes(0), limit=2))
    assert library() == []
    take(warehouse, page(Endpoint.SAVED_TRACKS, old, minutes(1), limit=2, offset=2))
    assert library() == [(name, minutes(0)) for name in "abc"]
    take(warehouse, page(Endpoint.SAVED_TRACKS, new, minutes(2), limit=2))
    assert library() == [(name, minutes(0)) for name in "abc"]
    take(warehouse, page(Endpoint.SAVED_TRACKS, new, minutes(3), limit=2, offset=2))
    assert library() == [(name, minutes(2)) for name in "dabc"]
    take(warehouse, page(Endpoint.SAVED_TRACKS, new, minutes(9), limit=2))
    assert library() == [(name, minutes(9)) for name in "dabc"]


def test_playlists_tell_which_version_of_their_entries_was_read_and_whose_they_are(warehouse: Warehouse) -> None:
    me = response(Endpoint.ME, {"type": "user", "id": "ann1999", "country": "DE"}, minutes(0))
    own, others = playlist("p", "v1", owner="ann1999"), playlist("q", "w1")
    take(warehouse, me, page(Endpoint.PLAYLISTS, [own, None, others], minutes(1)))
    columns = ("playlist_id", "items_snapshot_id", "is_own", "is_readable")
    assert rows(warehouse, raw_api.Playlists, *columns) == [("p", None, True, None), ("q", None, False, None)]
    take(warehouse, page(Endpoint.PLAYLIST_ITEMS, [{"item": track("x")}], minutes(2), id="p"))
    take(warehouse, response(Endpoint.PLAYLIST_ITEMS, {"error": {}}, minutes(3), id="q", status=403))
    assert rows(warehouse, raw_api.Playlists, *columns) == [("p", "v1", True, True), ("q", None, False, False)]
    take(warehouse, page(Endpoint.PLAYLISTS, [playlist("p", "v2"), others], minutes(4)))
    told = rows(warehouse, raw_api.Playlists, "spotify_snapshot_id", "items_snapshot_id", "is_own")
    assert told == [("v2", "v1", True), ("w1", None, False)]
    stored = "".join(filter(None, warehouse.read(raw_api.ApiResponses)["body"]))
    assert "ann1999" not in stored and "Somebody" not in stored


def test_a_later_telling_of_top_tracks_replaces_the_earlier_one(warehouse: Warehouse) -> None:
    ranking = {"tracks": [track("a"), track("b")]}
    take(warehouse, response(Endpoint.ARTIST_TOP_TRACKS, ranking, minutes(1), id="AnnId", market="US"))
    found = {"tracks": {"items": [track("c")]}}
    take(warehouse, response(Endpoint.SEARCH, found, minutes(0), q='artist:"Ann"', market="US"))
    take(warehouse, response(Endpoint.SEARCH, found, minutes(0), q='artist:"Ann"', market="DE"))
    told = rows(warehouse, raw_api.ArtistTopTracks, "market", "position", "track_id", "is_from_search")
    assert told == [("DE", 1, "cId", True), ("US", 1, "aId", False), ("US", 2, "bId", False)]


def test_albums_of_an_artist_are_as_many_pages_as_came(warehouse: Warehouse) -> None:
    albums = [album(f"x{number:02}") for number in range(25)]
    for offset in (0, 10):
        pages = page(Endpoint.ARTIST_ALBUMS, albums, minutes(offset), limit=10, offset=offset, id="AnnId")
        take(warehouse, pages)
    assert len(rows(warehouse, raw_api.ArtistAlbums, "album_id")) == 20
