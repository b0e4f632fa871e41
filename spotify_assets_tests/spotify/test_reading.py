"""What a response tells, and that nothing that a server may answer is lost or stops the reading."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.spotify.model import Endpoint, Response
from spotify_assets.spotify.personal import without_personal_fields
from spotify_assets.spotify.reading import Reading, page_of, read, search_for_artist
from spotify_assets_tests.spotify.odd_bodies import odd_responses
from spotify_assets_tests.spotify.payloads import (
    NOON,
    album,
    artist,
    episode,
    local_track,
    minutes,
    page,
    play,
    poll,
    response,
    told_instant,
    track,
)


def reasons(reading: Reading) -> dict[int, str]:
    return {rejected.position: rejected.reason for rejected in reading.rejected}


@given(odd_responses())
@settings(max_examples=300, deadline=None)
def test_every_entry_of_any_body_is_told_or_rejected_with_a_reason(given_response: Response) -> None:
    body = without_personal_fields(given_response.endpoint, given_response.body)
    reading = read(replace(given_response, body=body))
    assert reading.told + len(reading.rejected) == reading.items
    assert all(rejected.reason.strip() for rejected in reading.rejected)
    assert len({rejected.position for rejected in reading.rejected}) == len(reading.rejected)
    for told in reading.objects:
        assert json.loads(told.json)["name"] is not None


def test_a_play_is_told_with_its_track_album_context_and_the_whole_item() -> None:
    entry = play(track("Song"), NOON, {"type": "album", "uri": "spotify:album:x"})
    (row,) = read(poll([entry], minutes(1))).rows
    assert row["played_at"] == NOON
    assert (row["track_uri"], row["track_id"], row["isrc"]) == ("spotify:track:SongId", "SongId", "XXSong")
    assert (row["artist_name"], row["album_name"], row["album_artist_name"]) == ("Ann", "Song LP", "Ann")
    assert (row["context_type"], row["context_uri"]) == ("album", "spotify:album:x")
    assert json.loads(row["item"]) == entry


def test_an_instant_without_milliseconds_is_taken_in() -> None:
    entry = play(track("a"), NOON) | {"played_at": "2026-03-01T11:59:58Z"}
    assert read(poll([entry], NOON)).rows[0]["played_at"].second == 58


@pytest.mark.parametrize(
    "played_at", [None, 5, "", "yesterday", "2026-03-01", "1969-01-01T00:00:00Z", "2027-01-01T00:00:00Z"]
)
def test_a_play_at_no_possible_instant_is_rejected(played_at: Any) -> None:
    reading = read(poll([play(track("a"), NOON) | {"played_at": played_at}, play(track("b"), NOON)], minutes(1)))
    assert reading.told == 1
    assert "`played_at`" in reasons(reading)[1]


def test_a_track_without_id_or_artists_is_taken_in_with_what_is_told() -> None:
    bare = {"type": "track", "id": None, "name": "a", "artists": []}
    rows = read(poll([play(local_track("x"), NOON), play(bare, NOON)], minutes(1))).rows
    assert [(row["track_id"], row["track_name"], row["artist_name"]) for row in rows] == [
        (None, "x", "Ann"),
        (None, "a", None),
    ]
    assert rows[0]["item_hash"] != rows[1]["item_hash"]


@pytest.mark.parametrize("of", [None, [], {}, {"id": None, "uri": ""}, episode("e")])
def test_a_play_of_no_track_is_rejected(of: Any) -> None:
    assert read(poll([play(of, NOON)], minutes(1))).told == 0


@pytest.mark.parametrize("body", [None, [], "x", 5, {}, {"items": None}, {"items": {}}, {"error": {"status": 500}}])
@pytest.mark.parametrize("endpoint", [Endpoint.RECENTLY_PLAYED, Endpoint.SAVED_TRACKS, Endpoint.TOP_ARTISTS])
def test_a_body_that_is_no_list_is_rejected_as_a_whole(body: Any, endpoint: Endpoint) -> None:
    reading = read(response(endpoint, body))
    assert list(reasons(reading)) == [0]
    assert str(endpoint) in reasons(reading)[0]


def test_item_is_read_before_track_and_every_kind_of_entry_has_a_type() -> None:
    entries = [
        {"item": track("new"), "track": track("old"), "added_at": told_instant(NOON)},
        {"track": track("old"), "added_at": "1970-01-01T00:00:00Z"},
        {"item": episode("e")},
        {"track": local_track("mine"), "is_local": True},
        {"item": None, "track": None},
        None,
        {"item": 7},
    ]
    reading = read(page(Endpoint.PLAYLIST_ITEMS, entries, id="p"))
    assert [(row["position"], row["item_type"], row["item_name"], row["added_at"]) for row in reading.rows] == [
        (1, "track", "new", NOON),
        (2, "track", "old", None),
        (3, "episode", "e", None),
        (4, "local", "mine", None),
        (5, "unknown", None, None),
        (6, "unknown", None, None),
    ]
    assert reading.rows[2]["creator_name"] == "The Show"
    assert reading.rows[3]["item_id"] is None
    assert list(reasons(reading)) == [7]


def test_positions_go_on_from_page_to_page() -> None:
    entries = [{"track": track(f"t{n}"), "added_at": told_instant(NOON)} for n in range(70)]
    second = read(page(Endpoint.SAVED_TRACKS, entries, offset=50))
    assert [row["position"] for row in second.rows] == list(range(51, 71))


def test_a_null_in_a_batch_and_a_404_are_missing_objects() -> None:
    assert read(response(Endpoint.ALBUMS, {"albums": [None, album("b")]}, ids="gone,bId")).missing == [
        ("album", "gone")
    ]
    assert read(response(Endpoint.ARTIST, None, id="gone", status=404)).missing == [("artist", "gone")]
    assert read(response(Endpoint.ARTIST_ALBUMS, None, id="gone", status=404)).missing == [("artist", "gone")]
    assert read(response(Endpoint.TRACK, None, id="there", status=500)).missing == []


def test_objects_are_harvested_wherever_they_stand() -> None:
    told = read(poll([play(track("a"), NOON, {"type": "artist", "uri": "spotify:artist:x"})], NOON)).objects
    assert {(each.kind, each.object_id, each.is_simplified) for each in told} == {
        ("track", "aId", False),
        ("album", "a LPId", True),
        ("artist", "AnnId", True),
    }
    kept = {each.kind: json.loads(each.json) for each in told}
    assert "available_markets" not in kept["track"]
    assert not {"images", "available_markets"} & kept["track"]["album"].keys()
    assert kept["album"]["images"]


def test_tracks_of_an_album_are_simplified_and_the_album_is_kept_without_them() -> None:
    simple = {name: value for name, value in track("a").items() if name not in ("external_ids", "album")}
    body = album("full", label="L", external_ids={"upc": "1"}, tracks={"items": [simple]})
    told = read(response(Endpoint.ALBUM, body, id="fullId")).objects
    assert {(each.kind, each.is_simplified) for each in told} == {("track", True), ("album", False), ("artist", True)}
    assert "tracks" not in json.loads(next(each.json for each in told if each.kind == "album"))


def test_a_relinked_track_is_known_under_the_id_that_was_asked_for_too() -> None:
    body = track("new", linked_from={"type": "track", "id": "oldId", "uri": "spotify:track:oldId"})
    single = read(response(Endpoint.TRACK, body, id="oldId")).objects
    batch = read(response(Endpoint.TRACKS, {"tracks": [body]}, ids="oldId")).objects
    for objects in (single, batch):
        assert {each.object_id for each in objects if each.kind == "track"} == {"newId", "oldId"}


def test_search_by_an_artists_name_ranks_the_tracks_of_artists_of_that_very_name() -> None:
    found = [track("a", "Ann"), track("b", "Annie"), track("c", "ANN"), track("d", "Ann")]
    body = {"tracks": {"items": found}}
    rows = read(response(Endpoint.SEARCH, body, q=search_for_artist("Ann"), market="US")).rows
    assert [(row["artist_id"], row["position"], row["track_id"]) for row in rows] == [
        ("AnnId", 1, "aId"),
        ("ANNId", 1, "cId"),
        ("AnnId", 2, "dId"),
    ]
    assert read(response(Endpoint.SEARCH, body, q="isrc:XX")).rows == []


def test_features_outside_of_their_range_are_rejected_and_unknown_tracks_are_told() -> None:
    body = {"audio_features": [None, {"id": "b", "key": 12}, {"id": "c", "key": -1, "mode": 1, "tempo": "fast"}]}
    reading = read(response(Endpoint.AUDIO_FEATURES, body, ids="a,b,c"))
    assert [(row["track_id"], row["is_known"], row.get("key"), row.get("tempo")) for row in reading.rows] == [
        ("a", False, None, None),
        ("c", True, -1, None),
    ]
    assert "`key`" in reasons(reading)[2]


@given(st.integers(0, 120), st.integers(1, 50))
@settings(deadline=None, max_examples=40)
def test_pages_that_follow_one_another_reach_the_end_of_the_list(entries: int, limit: int) -> None:
    offset, seen = 0, 0
    while True:
        of_list = page(Endpoint.TOP_ARTISTS, [artist(str(n)) for n in range(entries)], offset=offset, limit=limit)
        place = page_of(of_list.params, of_list.body)
        seen += len(of_list.body["items"])
        if place.is_last:
            break
        offset = place.offset + place.limit
    assert seen == entries
