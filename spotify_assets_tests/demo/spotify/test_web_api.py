from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
import requests

from spotify_assets.demo.listener import DemoListener
from spotify_assets.demo.spotify import (
    EXTENDED,
    NOT_REGISTERED,
    OWNER_WITHOUT_PREMIUM,
    DemoClock,
    DemoSpotify,
    serve,
)
from spotify_assets_tests.demo.spotify.conftest import NOW, Client

HOUR = timedelta(hours=1)


def test_a_slash_at_the_end_changes_nothing(client: Client) -> None:
    with_slash = client.ask("/me/")
    assert with_slash.json() == client.told("/me")
    assert not with_slash.history


def test_without_a_token_nothing_is_told(client: Client) -> None:
    assert client.refused("/me", token="") == (401, "No token provided")
    assert client.refused("/me", token="invented") == (401, "Invalid access token")
    assert client.refused("/me", listener="stranger") == (401, "Invalid access token")


def test_an_issued_token_dies_after_an_hour(client: Client) -> None:
    token = client.demo.tokens.issue("me", ["user-top-read"])
    assert client.ask("/me", token=token).status_code == 200
    client.clock.advance(HOUR)
    assert client.refused("/me", token=token) == (401, "The access token expired")


def test_a_token_can_be_expired_by_hand(client: Client) -> None:
    token = client.demo.tokens.issue("me")
    client.demo.tokens.expire(token)
    assert client.refused("/me", token=token) == (401, "The access token expired")


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/me/player/recently-played", "user-read-recently-played"),
        ("/me/top/artists", "user-top-read"),
        ("/me/top/tracks", "user-top-read"),
        ("/me/tracks", "user-library-read"),
        ("/me/playlists", "playlist-read-private"),
    ],
)
def test_each_endpoint_needs_its_scope(client: Client, path: str, scope: str) -> None:
    assert client.ask(path, token=client.demo.tokens.issue("me", [scope])).status_code == 200
    without = client.demo.tokens.issue("me", ["user-read-email"])
    assert client.refused(path, token=without) == (403, "Insufficient client scope")


def test_the_apps_own_token_reads_the_catalogue_and_no_person(client: Client) -> None:
    track_id = next(iter(client.demo.catalogue.tracks))
    token = client.demo.tokens.issue("", [])
    assert client.ask(f"/tracks/{track_id}", token=token).status_code == 200
    assert client.refused("/me", token=token) == (401, "Valid user authentication required")
    assert client.ask("/me", listener="").status_code == 401


def test_people_and_owners_can_be_refused_with_a_plain_text(client: Client) -> None:
    client.demo.refused["you"] = NOT_REGISTERED
    response = client.ask("/me", listener="you")
    assert (response.status_code, response.text) == (403, NOT_REGISTERED)
    assert client.ask("/me").status_code == 200
    client.demo.refused[""] = OWNER_WITHOUT_PREMIUM
    assert client.ask("/me").text == OWNER_WITHOUT_PREMIUM


@pytest.mark.parametrize("path", ["/me/top/artists", "/me/top/tracks", "/me/tracks", "/me/playlists"])
def test_pages_of_a_listener_end_at_fifty(client: Client, path: str) -> None:
    assert client.refused(path, limit=51) == (400, "Invalid limit")
    assert client.refused(path, limit=0) == (400, "Invalid limit")
    assert client.refused(path, offset=-1) == (400, "Invalid offset")
    assert client.ask(path, limit=50).status_code == 200


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_pages_joined_are_the_whole_list(client: Client, limit: int) -> None:
    artists = client.pages("/me/top/artists", time_range="short_term", limit=limit)[:60]
    assert len({artist["id"] for artist in artists}) == len(artists)
    page = client.told("/me/top/artists", time_range="short_term", limit=10, offset=20)
    assert page["items"] == artists[20:30]
    assert page["previous"].endswith("offset=10&limit=10")


def test_an_unknown_path_is_not_found(client: Client) -> None:
    assert client.refused("/me/horoscope")[0] == 404


def test_every_request_is_counted_by_endpoint_and_bucket(client: Client) -> None:
    artist_id = next(iter(client.demo.catalogue.artists))
    client.ask(f"/artists/{artist_id}")
    client.ask(f"/artists/{artist_id}/albums", limit=3)
    client.ask("/artists", ids=artist_id)
    client.ask("/me", listener="you")
    log = client.demo.requests
    assert len(log) == 4
    assert log.by_bucket() == {"artists": 2, "artist-albums": 1, "me": 1}
    assert log.by_endpoint()["/artists/{id}/albums"] == 1
    assert log.by_status() == {200: 3, 403: 1}
    assert log.count(listener="you") == 1 and log.count(bucket="artists", status=403) == 1
    (albums,) = log.select(endpoint="/artists/{id}/albums")
    assert albums.params == {"id": artist_id, "limit": "3"} and albums.at == NOW


def test_no_token_is_written_down(client: Client) -> None:
    token = client.demo.tokens.issue("me")
    client.ask("/me", token=token)
    client.ask("/me", token="invented")
    assert not any(text in repr(list(client.demo.requests)) for text in (token, "invented"))


def test_old_apps_without_audio_features_are_refused_them_alone(client: Client) -> None:
    client.demo.cohort = replace(EXTENDED, has_audio_features=False)
    track_id = next(iter(client.demo.catalogue.tracks))
    assert client.ask("/audio-features", ids=track_id).status_code == 403
    assert client.ask("/tracks", ids=track_id).status_code == 200


def test_objects_are_the_same_after_another_start(client: Client, listener: DemoListener) -> None:
    other = DemoSpotify({"me": listener, "else": _small_listener(5)}, now=DemoClock(NOW), ceilings={})
    path = "/me/player/recently-played"
    with serve(other.app) as url:
        headers = {"Authorization": "Bearer demo-TOKEN-for-me"}
        again = requests.get(f"{url}/v1{path}", headers=headers, timeout=10).json()
    assert again["items"] == client.told(path)["items"]


def test_two_listeners_of_one_seed_are_refused() -> None:
    with pytest.raises(ValueError, match="seed of its own"):
        DemoSpotify({"a": _small_listener(5), "b": _small_listener(5)}, now=DemoClock(NOW))


def test_a_clock_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        DemoClock(datetime(2025, 1, 1))


def test_one_listener_alone_is_called_demo() -> None:
    demo = DemoSpotify(_small_listener(5), now=DemoClock(datetime(2025, 1, 5, tzinfo=UTC)))
    assert list(demo.accounts) == ["demo"]
    assert demo.quota.ceilings["artist-albums"] == 100


def _small_listener(seed: int) -> DemoListener:
    return DemoListener(first_day=date(2025, 1, 1), last_day=date(2025, 1, 5), seed=seed, plays_per_day=5.0)
