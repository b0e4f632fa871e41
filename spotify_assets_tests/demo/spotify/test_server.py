from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

import pytest
import requests
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from spotify_assets.demo.spotify import DemoSpotify, serve


async def _hello(request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def test_it_listens_on_loopback_only_and_stops() -> None:
    with serve(Starlette(routes=[Route("/", _hello)])) as url:
        assert url.startswith("http://127.0.0.1:")
        assert requests.get(url, timeout=5).text == "hello"
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(url, timeout=5)
    assert not [thread for thread in threading.enumerate() if url in thread.name]


def test_two_servers_run_side_by_side() -> None:
    with serve(Starlette(routes=[Route("/", _hello)])) as first, serve(Starlette()) as second:
        assert requests.get(first, timeout=5).status_code == 200
        assert requests.get(second, timeout=5).status_code == 404


def test_it_stops_while_a_connection_is_open_and_an_answer_under_way() -> None:
    async def slowly(request) -> PlainTextResponse:
        await asyncio.sleep(60)
        return PlainTextResponse("late")

    def ask(url: str) -> None:
        with suppress(requests.exceptions.RequestException):
            requests.get(url, timeout=30)

    with requests.Session() as session, serve(Starlette(routes=[Route("/", slowly), Route("/now", _hello)])) as url:
        assert session.get(f"{url}/now", timeout=5).text == "hello"
        waiting = threading.Thread(target=ask, args=(url,))
        waiting.start()
        time.sleep(0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_port_that_is_taken_is_told() -> None:
    with serve(Starlette()) as url, pytest.raises(OSError), serve(Starlette(), port=int(url.rsplit(":", 1)[1])):
        pass


def test_further_routes_are_answered_by_the_same_server(client) -> None:
    demo: DemoSpotify = client.demo
    demo.include([Route("/authorize", _hello)])
    assert requests.get(f"{client.url}/authorize", timeout=5).text == "hello"
