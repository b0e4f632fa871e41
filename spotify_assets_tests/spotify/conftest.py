"""A scripted Web API that is served, and a clock that goes on only while somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spotify_assets.spotify.client import SpotifyClient
from spotify_assets_tests.spotify.scripted_api import Clock, ScriptedApi, Served, client_at, serve


@pytest.fixture(scope="session")
def _server() -> Iterator[tuple[Served, str]]:
    served = Served(ScriptedApi().app)
    with serve(served) as address:
        yield served, address


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
def url(_server: tuple[Served, str], api: ScriptedApi) -> str:
    served, address = _server
    served.app = api.app
    return address


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new_client(url: str, tmp_path: Path, clock: Clock) -> Callable[..., SpotifyClient]:
    """Makes clients of one home, as runs that follow one another have them."""

    def made(**changes: Any) -> SpotifyClient:
        return client_at(url, tmp_path, clock, **changes)

    return made


@pytest.fixture
def client(new_client: Callable[..., SpotifyClient]) -> SpotifyClient:
    return new_client()
