"""One demo Spotify with two listeners, served over HTTP for the whole session; each test finds it as it began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
import requests

from spotify_assets.demo.listener import DemoListener
from spotify_assets.demo.spotify import DEVELOPMENT, EXTENDED, DemoClock, DemoSpotify, serve

NOW = datetime(2025, 1, 20, 12, tzinfo=UTC)


@dataclass
class Client:
    """Asks the demo Spotify in the name of a listener."""

    demo: DemoSpotify
    clock: DemoClock
    url: str
    session: requests.Session

    def ask(self, path: str, *, listener: str = "me", token: str | None = None, **params: Any) -> requests.Response:
        token = f"demo-TOKEN-for-{listener}" if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.session.get(f"{self.url}/v1{path}", params=params, headers=headers, timeout=10)

    def told(self, path: str, **params: Any) -> Any:
        """The JSON of an answer that must be 200."""
        response = self.ask(path, **params)
        assert response.status_code == 200, (path, response.status_code, response.text[:300])
        return response.json()

    def refused(self, path: str, **params: Any) -> tuple[int, str]:
        """Status and message of an answer that must be an error object."""
        error = self.ask(path, **params).json()["error"]
        return error["status"], error["message"]

    def pages(self, path: str, **params: Any) -> list[Any]:
        """The items of all pages, by following `next`."""
        page = self.told(path, **params)
        items = list(page["items"])
        while page["next"]:
            assert page["next"].startswith(f"{self.url}/v1")
            page = self.told(page["next"].removeprefix(f"{self.url}/v1"))
            items += page["items"]
        return items


@pytest.fixture(scope="session")
def shared_client(listener: DemoListener) -> Iterator[Client]:
    clock = DemoClock(NOW)
    other = DemoListener(first_day=date(2024, 11, 1), last_day=date(2025, 1, 31), seed=11, plays_per_day=12.0)
    demo = DemoSpotify({"me": listener, "you": other}, now=clock, ceilings={})
    with serve(demo.app) as url, requests.Session() as session:
        yield Client(demo, clock, url, session)


@pytest.fixture
def client(shared_client: Client) -> Iterator[Client]:
    """A development app, at noon of 20 January 2025, without ceilings."""
    shared_client.clock.set(NOW)
    shared_client.demo.cohort = DEVELOPMENT
    shared_client.demo.requests.clear()
    yield shared_client
    demo = shared_client.demo
    demo.faults.clear()
    demo.refused.clear()
    demo.quota.ceilings.clear()
    demo.quota.calls_extend_lock = True
    demo.quota.clear()
    demo.rate_limit.requests = None
    assert demo.failures == []


@pytest.fixture
def extended(client: Client) -> Client:
    """The same as an app of the extended cohort."""
    client.demo.cohort = EXTENDED
    return client
