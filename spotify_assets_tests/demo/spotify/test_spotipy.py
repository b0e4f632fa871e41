"""The client library that people use gets along with the demo Spotify."""

from __future__ import annotations

import pytest
import spotipy

from spotify_assets.demo.spotify import faults
from spotify_assets_tests.demo.spotify.conftest import Client


def _spotipy(client: Client) -> spotipy.Spotify:
    made = spotipy.Spotify(auth="demo-TOKEN-for-me", requests_session=client.session)
    made.prefix = f"{client.url}/v1/"
    return made


def test_spotipy_reads_what_a_person_did(client: Client) -> None:
    asked = _spotipy(client)
    assert asked.me()["id"] == "demo-me"
    assert len(asked.current_user_recently_played(limit=50)["items"]) == 50
    assert asked.current_user_top_artists(limit=50, time_range="short_term")["items"]
    page = asked.current_user_saved_tracks(limit=50)
    assert asked.next(page)["offset"] == 50
    assert asked.current_user_playlists()["total"] == 7


def test_spotipy_reads_the_catalogue_in_batches(extended: Client) -> None:
    asked, catalogue = _spotipy(extended), extended.demo.catalogue
    ids = list(catalogue.tracks)[:50]
    assert len(asked.tracks(ids)["tracks"]) == len(asked.audio_features(ids)) == 50
    artist_id = next(iter(catalogue.artists))
    assert asked.artist_albums(artist_id)["limit"] == 20
    assert asked.artist_top_tracks(artist_id, country="US")["tracks"]


def test_spotipys_own_page_of_artist_albums_is_too_large_for_a_new_app(client: Client) -> None:
    with pytest.raises(spotipy.SpotifyException, match="Invalid limit") as caught:
        _spotipy(client).artist_albums(next(iter(client.demo.catalogue.artists)))
    assert caught.value.http_status == 400


def test_spotipy_sees_status_reason_and_the_seconds_to_wait(client: Client) -> None:
    client.demo.faults.add(faults.quota_exceeded())
    with pytest.raises(spotipy.SpotifyException) as caught:
        _spotipy(client).me()
    assert (caught.value.http_status, caught.value.reason) == (429, "QUOTA_EXCEEDED")
    assert caught.value.headers["Retry-After"] == "86000"
