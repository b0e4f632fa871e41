from __future__ import annotations

from datetime import timedelta

from spotify_assets_tests.demo.spotify.conftest import NOW, Client

DAY = timedelta(days=1)


def _albums(client: Client) -> str:
    return f"/artists/{next(iter(client.demo.catalogue.artists))}/albums"


def test_past_its_ceiling_a_bucket_is_locked_for_a_day(client: Client) -> None:
    client.demo.quota.ceilings["artist-albums"] = 2
    path = _albums(client)
    assert [client.ask(path).status_code for _ in range(3)] == [200, 200, 429]
    response = client.ask(path)
    assert response.json()["error"] == {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}
    assert response.headers["Retry-After"] == "86400"
    assert client.demo.quota.locked_until("artist-albums") == NOW + DAY


def test_other_buckets_go_on_working(client: Client) -> None:
    client.demo.quota.lock("artist-albums")
    assert client.ask(_albums(client)).status_code == 429
    assert client.ask("/me").status_code == 200
    assert client.ask(_albums(client).removesuffix("/albums")).status_code == 200


def test_the_lock_ends_after_its_day(client: Client) -> None:
    client.demo.quota.ceilings["artist-albums"] = 1
    path = _albums(client)
    assert [client.ask(path).status_code for _ in range(2)] == [200, 429]
    client.clock.advance(DAY)
    assert [client.ask(path).status_code for _ in range(2)] == [200, 429]


def test_calling_on_while_locked_extends_the_lock(client: Client) -> None:
    client.demo.quota.lock("artist-albums")
    client.clock.advance(DAY / 2)
    assert client.ask(_albums(client)).headers["Retry-After"] == "86400"
    assert client.demo.quota.locked_until("artist-albums") == NOW + 1.5 * DAY


def test_a_lock_need_not_be_extended(client: Client) -> None:
    client.demo.quota.calls_extend_lock = False
    client.demo.quota.lock("artist-albums")
    client.clock.advance(DAY / 2)
    assert client.ask(_albums(client)).headers["Retry-After"] == "43200"


def test_the_count_begins_anew_after_a_day(client: Client) -> None:
    client.demo.quota.ceilings["artist-albums"] = 2
    for _ in range(3):
        assert [client.ask(_albums(client)).status_code for _ in range(2)] == [200, 200]
        assert client.demo.quota.used("artist-albums") == 2
        client.clock.advance(DAY)


def test_too_many_requests_within_thirty_seconds_are_told_to_wait(client: Client) -> None:
    client.demo.rate_limit.requests = 3
    statuses = []
    for _ in range(4):
        response = client.ask("/me")
        statuses.append(response.status_code)
        client.clock.advance(timedelta(seconds=2))
    assert statuses == [200, 200, 200, 429]
    assert response.headers["Retry-After"] == "24"
    assert "reason" not in response.json()["error"]
    client.clock.advance(timedelta(seconds=24))
    assert client.ask("/me").status_code == 200


def test_a_bucket_can_be_opened_by_hand(client: Client) -> None:
    client.demo.quota.lock("artist-albums")
    client.demo.quota.unlock("artist-albums")
    assert client.ask(_albums(client)).status_code == 200
