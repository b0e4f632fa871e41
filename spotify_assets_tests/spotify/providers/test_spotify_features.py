"""Spotify's own audio features: what its answers mean, whoever fetches them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from spotify_assets.spotify.model import Endpoint, Request, Response
from spotify_assets.spotify.providers import (
    Budget,
    BudgetSpent,
    FeaturesTold,
    NotOffered,
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


def refuse(request: Request) -> Response:
    raise AssertionError("it was asked")


def ask(fetch: Callable[[Request], Response] | None) -> FeaturesTold:
    return SpotifyFeatures(fetch).ask(IDS, Budget(1, 9))


def test_a_null_in_the_list_is_a_track_that_spotify_does_not_know() -> None:
    requests: list[Request] = []
    body = {"audio_features": [{"id": IDS[2], "energy": 0.5, "tempo": 0, "time_signature": 4, "uri": "x"}, None]}
    told = ask(answering(200, body, requests))
    assert told.features.select("track_id", "energy", "tempo", "time_signature").rows() == [(IDS[2], 0.5, None, 4)]
    assert requests == [Request(Endpoint.AUDIO_FEATURES, {"ids": ",".join(IDS)})]


def test_where_nobody_can_ask_spotify_it_is_skipped() -> None:
    with pytest.raises(NotOffered, match="nobody here"):
        ask(None)


@pytest.mark.parametrize("body", [None, [], "x", {"audio_features": None}, {"audio_features": {}}])
def test_an_odd_body_is_refused(body: Any) -> None:
    with pytest.raises(QuestionRefused):
        ask(answering(200, body))


def test_a_refusal_of_the_question_is_no_answer() -> None:
    with pytest.raises(QuestionRefused, match="HTTP 400"):
        ask(answering(400, {"error": {"status": 400}}))


def test_odd_items_are_left_out() -> None:
    items = [1, [], {"id": None}, {"id": "u" * 22, "energy": 1}]
    told = ask(answering(200, {"audio_features": items}))
    assert told.features.is_empty() and told.unusable_values == 3


def test_nothing_is_asked_beyond_the_budget() -> None:
    with pytest.raises(BudgetSpent):
        SpotifyFeatures(refuse).ask(IDS, Budget(0, 9))
