from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
import requests

from spotify_assets.demo.spotify import faults
from spotify_assets_tests.demo.spotify.conftest import NOW, Client

RECENTLY = "/me/player/recently-played"


def test_a_storm_of_server_errors_passes(client: Client) -> None:
    client.demo.faults.add(faults.server_error(502, times=3))
    assert [client.ask("/me").status_code for _ in range(4)] == [502, 502, 502, 200]
    assert [request.fault for request in client.demo.requests] == ["server_error"] * 3 + [None]


def test_a_storm_can_last_by_the_clock(client: Client) -> None:
    client.demo.faults.add(faults.storm(60, NOW))
    assert client.ask("/me").status_code == 503
    client.clock.advance(timedelta(hours=1))
    assert client.ask("/me").status_code == 200


def test_valid_tokens_are_refused_now_and_then(client: Client) -> None:
    client.demo.faults.add(faults.unauthorized(share=0.5))
    told = [client.ask("/me") for _ in range(40)]
    refused = [response.json()["error"] for response in told if response.status_code == 401]
    assert 8 < len(refused) < 32
    assert refused[0] == {"status": 401, "message": "Access token missing"}


def test_a_fault_is_played_only_where_it_is_meant(client: Client) -> None:
    client.demo.faults.add(faults.server_error(endpoint="/artists/{id}/albums", listener="you", skip=1))
    path = f"/artists/{next(iter(client.demo.catalogue.artists))}/albums"
    assert client.ask("/me", listener="you").status_code == 200
    assert client.ask(path).status_code == 200
    assert [client.ask(path, listener="you").status_code for _ in range(3)] == [200, 503, 503]


def test_a_fault_lasts_as_long_as_its_block(client: Client) -> None:
    with client.demo.faults.during(faults.server_error()):
        assert client.ask("/me").status_code == 503
    assert client.ask("/me").status_code == 200


def test_429_comes_with_and_without_the_seconds_to_wait(client: Client) -> None:
    client.demo.faults.add(faults.rate_limited(7, times=1))
    client.demo.faults.add(faults.rate_limited(None, times=1))
    client.demo.faults.add(faults.quota_exceeded(times=1))
    first, second, third = (client.ask("/me") for _ in range(3))
    assert [response.status_code for response in (first, second, third)] == [429] * 3
    assert (first.headers["Retry-After"], third.headers["Retry-After"]) == ("7", "86000")
    assert "Retry-After" not in second.headers
    assert third.json()["error"]["reason"] == "QUOTA_EXCEEDED"


def test_a_slow_answer_is_the_true_one(client: Client) -> None:
    client.demo.faults.add(faults.slow(0.3, times=1))
    began = time.monotonic()
    assert client.told("/me")["id"] == "demo-me"
    assert time.monotonic() - began >= 0.3


def test_an_answer_is_cut_in_the_middle(client: Client) -> None:
    client.demo.faults.add(faults.cut(500, times=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.ask(RECENTLY)
    assert client.ask(RECENTLY).status_code == 200


def test_a_short_answer_is_cut_too(client: Client) -> None:
    client.demo.faults.add(faults.cut(1_000_000, times=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.ask("/me")


def test_a_connection_is_closed_before_any_answer(client: Client) -> None:
    client.demo.faults.add(faults.cut(None, times=1))
    with pytest.raises(requests.exceptions.ConnectionError):
        client.ask("/me")
    assert client.ask("/me").status_code == 200
    assert [request.status for request in client.demo.requests] == [0, 200]


@pytest.mark.parametrize("name", faults.ODD_BODIES)
def test_odd_bodies_come_with_status_200(client: Client, name: str) -> None:
    client.demo.faults.add(faults.odd_body(name, times=1))
    response = client.ask(RECENTLY)
    assert (response.status_code, response.content) == (200, faults.ODD_BODIES[name])


@pytest.mark.parametrize("name", faults.ODD_PLAYS)
def test_odd_pages_differ_from_the_true_one(client: Client, name: str) -> None:
    before = client.told(RECENTLY)
    client.demo.faults.add(faults.altered(name, times=1))
    assert client.told(RECENTLY) != before
    assert client.told(RECENTLY) == before


def test_any_answer_can_be_made(client: Client) -> None:
    client.demo.faults.add(faults.answer(404, {"error": {"status": 404, "message": "Not found"}}, times=1))
    client.demo.faults.add(faults.answer(204, times=1))
    client.demo.faults.add(faults.answer(200, b"\x00", headers={"Content-Type": "image/png"}, times=1))
    assert client.ask("/me").json()["error"]["message"] == "Not found"
    assert client.ask("/me").status_code == 204
    assert client.ask("/me").content == b"\x00"


def test_an_answer_can_be_altered_by_a_function(client: Client) -> None:
    client.demo.faults.add(faults.altered(lambda told: {**told, "surprise": 1}, times=1))
    assert client.told("/me")["surprise"] == 1


def test_an_error_is_not_altered(client: Client) -> None:
    client.demo.faults.add(faults.altered(lambda told: json.dumps(told)))
    assert client.refused(RECENTLY, limit=99) == (400, "Invalid limit")
