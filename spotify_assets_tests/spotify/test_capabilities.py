from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from spotify_assets.spotify.capabilities import Capabilities, Capability, CapabilityMemory, Finding, Kind
from spotify_assets.spotify.client import SpotifyClient
from spotify_assets.spotify.errors import CapabilityAbsent, NotSignedIn, PermanentFailure
from spotify_assets.spotify.model import Endpoint, Request
from spotify_assets.state import State
from spotify_assets_tests.spotify.scripted_api import (
    BEGIN,
    Clock,
    CountedTokens,
    Said,
    ScriptedApi,
    Seen,
    error,
    quota_exceeded,
)

NewClient = Callable[..., SpotifyClient]

TRACK = {"id": "t1", "album": {"id": "b1"}, "artists": [{"id": "a1"}]}
EVERYTHING = Capabilities({each: Finding(True, BEGIN) for each in Capability})


def development(seen: Seen) -> Said:
    if seen.query.get("limit") == "50":
        return error(400, "Invalid limit")
    if seen.path in ("/tracks", "/albums", "/artists", "/audio-features") or seen.path.endswith("/top-tracks"):
        return Said(403)
    return Said(200, {"tracks": {"items": [TRACK]}} if seen.path == "/search" else TRACK)


def extended(seen: Seen) -> Said:
    track = {**TRACK, "popularity": 50}
    if seen.path == "/search":
        return Said(200, {"tracks": {"items": [track]}})
    return Said(200, {"tracks": [track]} if seen.path == "/tracks" else {})


def test_an_app_under_the_new_rules_is_found_out_with_few_requests(client: SpotifyClient, api: ScriptedApi) -> None:
    api.otherwise = development
    found = client.capabilities()
    assert all(found.lacks(each) for each in Capability)
    assert [found.batch_size(kind) for kind in Kind] == [1, 1, 1, 0]
    assert [found.page_limit(each) for each in (Endpoint.SEARCH, Endpoint.ARTIST_ALBUMS)] == [10, 10]
    assert found.page_limit(Endpoint.SAVED_TRACKS) == 50
    assert len(api.seen) <= 9 and client.tally.requests["artist_albums"] == 1
    # What the search has found is what is asked about.
    assert "/tracks/t1" in api.paths and "/artists/a1/albums" in api.paths


def test_an_old_app_is_found_out_likewise(client: SpotifyClient, api: ScriptedApi) -> None:
    api.otherwise = extended
    found = client.capabilities()
    assert all(found.has(each) for each in Capability)
    assert [found.batch_size(kind) for kind in Kind] == [50, 20, 50, 100]
    assert [found.page_limit(each) for each in (Endpoint.SEARCH, Endpoint.ARTIST_ALBUMS)] == [50, 50]
    assert len(api.seen) <= 7


def test_nothing_is_concluded_from_one_answer_about_another(client: SpotifyClient, api: ScriptedApi) -> None:
    api.otherwise = lambda seen: development(seen) if seen.path in ("/albums", "/audio-features") else extended(seen)
    found = client.capabilities()
    assert {each for each in Capability if found.lacks(each)} == {
        Capability.ALBUM_BATCHES,
        Capability.AUDIO_FEATURES,
    }


def test_what_was_found_is_remembered_for_a_week(new_client: NewClient, api: ScriptedApi, clock: Clock) -> None:
    api.otherwise = development
    first = new_client().capabilities()
    asked = len(api.seen)
    clock.instant = BEGIN + timedelta(days=6)
    assert new_client().capabilities() == first and len(api.seen) == asked
    clock.instant = BEGIN + timedelta(days=8)
    api.otherwise = extended
    assert all(new_client().capabilities().has(each) for each in Capability)


def test_a_refusal_that_contradicts_what_was_found_counts_at_once_and_is_asked_about_a_day_later(
    new_client: NewClient, api: ScriptedApi, clock: Clock
) -> None:
    api.otherwise = extended
    client = new_client()
    assert client.capabilities().batch_size("track") == 50
    api.otherwise = development
    with pytest.raises(CapabilityAbsent):
        client.fetch(Request(Endpoint.TRACKS, {"ids": "a,b"}))
    assert client.capabilities().batch_size("track") == 1
    assert client.capabilities().batch_size("album") == 20
    asked = len(api.seen)
    assert new_client().capabilities().batch_size("track") == 1 and len(api.seen) == asked
    clock.sleep(86_400)
    api.otherwise = extended
    assert new_client().capabilities().batch_size("track") == 50
    assert len(api.seen) == asked + 1


def test_pages_shrink_when_the_large_ones_are_refused(client: SpotifyClient, api: ScriptedApi) -> None:
    api.otherwise = extended
    client.capabilities()

    def albums(seen: Seen) -> Said:
        if int(seen.query["limit"]) > 10:
            return error(400, "Invalid limit")
        return Said(200, {"items": [1] * 10, "total": 25, "limit": 10})

    api.otherwise = albums
    pages = list(client.pages(Request(Endpoint.ARTIST_ALBUMS, {"id": "a1"})))
    assert [page.params.get("offset", 0) for page in pages] == [0, 10, 20]
    assert client.capabilities().page_limit(Endpoint.ARTIST_ALBUMS) == 10


def test_what_could_not_be_asked_stays_unknown_and_counts_as_not_offered(
    new_client: NewClient, api: ScriptedApi, clock: Clock
) -> None:
    def partly(seen: Seen) -> Said:
        if seen.path == "/artists":
            return quota_exceeded(86_000)
        return error(500) if seen.path == "/albums" else extended(seen)

    api.otherwise = partly
    found = new_client().capabilities()
    assert found.batch_size("artist") == 1 and not found.lacks(Capability.ARTIST_BATCHES)
    assert found.batch_size("album") == 1 and found.batch_size("track") == 50
    api.otherwise = extended
    asked = len(api.seen)
    clock.sleep(7 * 3600)
    found = new_client().capabilities()
    assert found.batch_size("album") == 20 and found.batch_size("artist") == 1
    # The bucket is blocked: of the two questions only one left this machine.
    assert len(api.seen) == asked + 1


def test_an_outage_takes_nothing_back(new_client: NewClient, api: ScriptedApi, clock: Clock) -> None:
    api.otherwise = extended
    new_client().capabilities()
    clock.sleep(8 * 86_400)
    api.otherwise = lambda seen: error(503)
    assert all(new_client().capabilities().has(each) for each in Capability)


def test_an_app_that_is_refused_as_such_learns_nothing(new_client: NewClient, api: ScriptedApi) -> None:
    api.otherwise = lambda seen: Said(403, b"Active premium subscription required for the owner of the app.")
    with pytest.raises(PermanentFailure):
        new_client().capabilities()
    api.otherwise = extended
    assert new_client().capabilities().batch_size("track") == 50


def test_without_a_token_nothing_is_found_out(new_client: NewClient, api: ScriptedApi) -> None:
    class Nobody(CountedTokens):
        def access_token(self, listener: str) -> str:
            raise NotSignedIn(listener)

    with pytest.raises(NotSignedIn):
        new_client(tokens=Nobody()).capabilities()
    assert not api.seen


@pytest.mark.parametrize("body", [None, [], {}, {"tracks": None}, {"tracks": {"items": [None]}}, {"tracks": [None]}, 3])
def test_odd_answers_leave_unknown_what_they_do_not_tell(client: SpotifyClient, api: ScriptedApi, body: object) -> None:
    api.otherwise = lambda seen: Said(200, body)
    assert client.capabilities().text


def test_what_was_found_for_one_app_is_not_taken_for_another(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    CapabilityMemory(state, "one").save(EVERYTHING)
    assert CapabilityMemory(state, "one").load() == EVERYTHING
    assert CapabilityMemory(state, "another").load() == Capabilities()


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"asked": "one"}', '{"asked": "one", "findings": [["x", 1]]}'])
def test_a_note_that_cannot_be_read_is_no_knowledge(tmp_path: Path, text: str) -> None:
    state = State(tmp_path / "state.sqlite")
    state.set_note("spotify_capabilities", text)
    assert CapabilityMemory(state, "one").load() == Capabilities()


@pytest.mark.parametrize(("capabilities", "size"), [(Capabilities(), 1), (EVERYTHING, 50)])
def test_ten_thousand_tracks_take_one_request_for_each_batch(capabilities: Capabilities, size: int) -> None:
    ids = [f"t{number}" for number in range(10_001)]
    requests = list(capabilities.requests_for("track", iter(ids), "me"))
    assert len(requests) == math.ceil(10_001 / size)
    told = [part for each in requests for part in str(each.params.get("id") or each.params["ids"]).split(",")]
    assert told == ids and {each.listener for each in requests} == {"me"}


def test_audio_features_that_are_not_offered_are_not_asked_for() -> None:
    assert not list(Capabilities().requests_for("audio_features", ["a", "b"]))


def test_a_person_is_told_what_is_offered() -> None:
    assert Capabilities().text == "What Spotify offers to this app has not been asked yet."
    some = Capabilities({Capability.POPULARITY: Finding(True, BEGIN), Capability.TOP_TRACKS: Finding(False, BEGIN)})
    assert some.text.startswith(
        "Spotify's offer to this app (asked 2026-03-01 12:00 UTC): offered: popularity. not offered: an artist's top"
    )
