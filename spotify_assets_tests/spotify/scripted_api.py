"""A Web API over real HTTP that answers what a test says, and what stands around a client that asks it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse
from starlette.routing import Route

from spotify_assets.settings import DAILY_BUDGETS
from spotify_assets.spotify.capabilities import CapabilityMemory
from spotify_assets.spotify.client import SpotifyClient
from spotify_assets.spotify.quota import QuotaLedger
from spotify_assets.state import State

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Said:
    """An answer: a body that is no bytes is written as JSON, None is an empty one."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds_before: float = 0.0
    seconds_between_bytes: float = 0.0
    cut_after_bytes: int | None = None


def error(status: int, message: str = "Error", **headers: str) -> Said:
    """Spotify's error object."""
    return Said(status, {"error": {"status": status, "message": message}}, headers)


def quota_exceeded(retry_after: int | None = 86_000) -> Said:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}
    return Said(429, body, headers)


def rate_limited(retry_after: str | None) -> Said:
    return Said(429, None, {} if retry_after is None else {"Retry-After": retry_after})


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    path: str
    query: dict[str, str]
    authorization: str


class ScriptedApi:
    """Answers with what was scripted, in that order, then with `otherwise`."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.script: list[Said] = []
        self.otherwise: Callable[[Seen], Said] = lambda seen: Said(200, {"id": "x"})
        self.most_at_once = 0
        self.arrived = threading.Event()
        self._at_once = 0
        self.app = Starlette(routes=[Route("/v1/{rest:path}", self._answer)])

    @property
    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        path = request.url.path.removeprefix("/v1")
        seen = Seen(path, dict(request.query_params), request.headers.get("authorization", ""))
        self.seen.append(seen)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self.arrived.set()
        try:
            said = self.script.pop(0) if self.script else self.otherwise(seen)
            await asyncio.sleep(said.seconds_before)
            return _response(said)
        finally:
            self._at_once -= 1


def _response(said: Said) -> HttpResponse:
    if isinstance(said.body, bytes):
        content = said.body
    else:
        content = b"" if said.body is None else json.dumps(said.body).encode()
    if not said.seconds_between_bytes and said.cut_after_bytes is None:
        return HttpResponse(content, said.status, said.headers)

    async def parts() -> AsyncIterator[bytes]:
        for number, byte in enumerate(content):
            if number == said.cut_after_bytes:
                raise ConnectionAbortedError
            await asyncio.sleep(said.seconds_between_bytes)
            yield bytes([byte])

    return StreamingResponse(parts(), said.status, {**said.headers, "Content-Length": str(len(content))})


class Served:
    """What is served may be exchanged: a server of its own takes each test as long as all the rest of it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@contextmanager
def serve(api: ScriptedApi | Served) -> Iterator[str]:
    """Serve on the loopback address as long as the block lasts; yields the address below which the API is."""
    listening = socket.create_server(("127.0.0.1", 0))
    configuration = uvicorn.Config(
        api if isinstance(api, Served) else api.app,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=0,
    )
    server = uvicorn.Server(configuration)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.002)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def serve_bytes(content: bytes) -> Iterator[str]:
    """Answer every connection with these very bytes and close it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(content)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self, instant: datetime = BEGIN) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)

    @property
    def seconds(self) -> float:
        return (self.instant - BEGIN).total_seconds()


class CountedTokens:
    """A token source that hands out another token each time it has to renew one."""

    def __init__(self, secret: str = "SECRET") -> None:
        self.secret = secret
        self.renewals = 0

    def access_token(self, listener: str) -> str:
        return f"{self.secret}-{listener}-{self.renewals}"

    def renew(self, listener: str) -> str:
        self.renewals += 1
        return self.access_token(listener)


def client_at(url: str, home: Path, clock: Clock, tokens: Any = None, **changes: Any) -> SpotifyClient:
    """A client of a home whose clock is the test's."""
    state = State(home / "state.sqlite")
    budgets = DAILY_BUDGETS | changes.pop("budgets", {})
    settings = {"requests_per_second": 2.0, "read_seconds": 5.0, **changes}
    return SpotifyClient(
        tokens or CountedTokens(),
        QuotaLedger(state, budgets),
        CapabilityMemory(state, "test"),
        home / "spotify.lock",
        now=clock.now,
        sleep=clock.sleep,
        api_url=url,
        **settings,
    )
