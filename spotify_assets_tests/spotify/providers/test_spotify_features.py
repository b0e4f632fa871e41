"""Spotify's own audio features: what its answers mean, whoever fetches them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from spotify_assets.spotify.errors import CapabilityAbsent, SpotifyError
from spotify_assets.spotify.model import Endpoint, Request, Response
from spotify_assets.spotify.providers import (
    Budget,
    BudgetSpent,
    NotOffered,
    ProviderUnavailable,
    QuestionRefused,
    SpotifyFeatures,
)

IDS = [f"{number:022d}" for number in range(3)]


def answering(status: int, body: Any, requests: list[Request] | None = None) -> Callable[[Request], Response]:
    def fetch(request: Request) -> Response:
        if requests is not None:
            requests.append(request)
        return Response("", request.endpoint, request.params, datetime(2026, 3, 1, tzinfo=UTC), status, body)

    return fetch


def raising(error: Exception) -> Callable[[Request], Response]:
    def fetch(request: Request) -> Response:
        raise error

    return fetch


def ask(fetch: Callable[[Request], Response]):
    return SpotifyFeatures(fetch).ask(IDS, Budget(1, 9))


def test_a_null_in_the_list_is_a_track_that_spotify_does_not_know() -> None:
    requests: list[Request] = []
    body = {"audio_features": [{"id": IDS[2], "energy": 0.5, "tempo": 0, "time_signature": 4, "uri": "x"}, None]}
    told = ask(answering(200, body, requests))
    assert told.features.select("track_id", "energy", "tempo", "time_signature").rows() == [(IDS[2], 0.5, None, 4)]
    assert told.unusable_values == 1
    assert requests == [Request(Endpoint.AUDIO_FEATURES, {"ids": ",".join(IDS)})]


@pytest.mark.parametrize(
    "fetch", [answering(403, None), answering(404, {}), raising(CapabilityAbsent("/audio-features"))]
)
def test_an_app_that_may_not_ask_is_skipped(fetch: Callable[[Request], Response]) -> None:
    with pytest.raises(NotOffered, match="audio-features"):
        ask(fetch)


def test_what_spotify_fails_at_is_told_in_its_own_words() -> None:
    with pytest.raises(ProviderUnavailable, match="locked until tomorrow"):
        ask(raising(SpotifyError("locked until tomorrow")))


@pytest.mark.parametrize("body", [None, [], "x", {"audio_features": None}, {"audio_features": {}}])
def test_an_odd_body_is_refused(body: Any) -> None:
    with pytest.raises(QuestionRefused):
        ask(answering(200, body))


def test_odd_items_are_left_out() -> None:
    assert ask(
        answering(200, {"audio_features": [1, [], {"id": None}, {"id": "unasked", "energy": 1}]})
    ).features.is_empty()


def test_nothing_is_asked_beyond_the_budget() -> None:
    with pytest.raises(BudgetSpent):
        SpotifyFeatures(raising(AssertionError("it was asked"))).ask(IDS, Budget(0, 9))
