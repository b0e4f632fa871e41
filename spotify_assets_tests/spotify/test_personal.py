"""What is personal never gets past the first look at a body; everything else stays as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from spotify_assets.spotify.model import Endpoint
from spotify_assets.spotify.personal import TooDeep, without_personal_fields
from spotify_assets.texts import to_json
from spotify_assets_tests.spotify.odd_bodies import anything
from spotify_assets_tests.spotify.payloads import NOON, play, track

USER = {
    "type": "user",
    "id": "ann1999",
    "account_id": "acc1",
    "display_name": "Ann Example",
    "email": "ann@mail.example",
    "uri": "spotify:user:ann1999",
    "href": "https://api.spotify.com/v1/users/ann1999",
    "external_urls": {"spotify": "https://open.spotify.com/user/ann1999"},
    "images": [{"url": "https://i.example/ann1999"}],
    "followers": {"total": 4, "href": None},
    "product": "premium",
    "country": "DE",
}
TELLING = ("ann1999", "acc1", "Ann Example", "mail.example", "premium")


def test_of_a_profile_only_the_country_is_kept() -> None:
    assert without_personal_fields(Endpoint.ME, USER) == {"type": "user", "country": "DE"}


def test_owners_and_those_who_added_something_are_nobody_in_particular() -> None:
    body = {
        "href": "https://api.spotify.com/v1/users/ann1999/playlists?offset=0",
        "items": [{"id": "p", "name": "Mix", "owner": USER, "tracks": {"items": [{"added_by": USER, "track": None}]}}],
    }
    cleaned = without_personal_fields(Endpoint.PLAYLISTS, body)
    assert not any(word in json.dumps(cleaned) for word in TELLING)
    assert cleaned["items"][0]["name"] == "Mix"
    assert cleaned["href"] == "https://api.spotify.com/v1/users//playlists?offset=0"


def test_the_context_of_a_play_does_not_name_its_listener() -> None:
    context = {"type": "collection", "uri": "spotify:user:ann1999:collection"}
    cleaned = without_personal_fields(Endpoint.RECENTLY_PLAYED, {"items": [play(track("a"), NOON, context)]})
    assert cleaned["items"][0]["context"]["uri"] == "spotify:user::collection"


def test_what_is_not_personal_is_exactly_as_it_was() -> None:
    body = {"items": [play(track("ü " + "x" * 300, popularity=1.0), NOON)], "next": None, "a": [1, 2.5, True, None, ""]}
    assert without_personal_fields(Endpoint.RECENTLY_PLAYED, body) == body


@given(anything)
@settings(max_examples=100, deadline=None)
def test_any_body_comes_out_as_json_that_every_reader_takes(body: object) -> None:
    text = to_json(without_personal_fields("/tracks", body))
    text.encode()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) is not ...


def test_a_body_that_is_nested_too_deeply_is_refused() -> None:
    body: list = []
    for _ in range(100_000):
        body = [body]
    with pytest.raises(TooDeep):
        without_personal_fields("/tracks", body)
