"""The demo's accounts service over HTTP, with just enough of a Web API to ask who somebody is."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from spotify_assets.demo.spotify.accounts import Accounts, DemoApp
from spotify_assets.demo.spotify.tokens import Tokens
from spotify_assets.settings import Settings

APP = DemoApp()


class MovableClock:
    """The true time, and what was added to it."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def forward(self, **ahead: float) -> None:
        self._ahead += timedelta(**ahead)


@dataclass
class DemoAccounts:
    """A running service.

    Attributes:
        address: http://127.0.0.1:PORT
        requests: How often each path was asked.
        refused: With what words the Web API answers 403.
        odd_answers: Given for a path instead of what would be answered, one after the other.
    """

    clock: MovableClock
    tokens: Tokens
    accounts: Accounts
    address: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    refused: str = ""
    odd_answers: dict[str, list[Response]] = field(default_factory=dict)

    def settings(self, home: object, **more: object) -> Settings:
        """Settings of a home that takes this for Spotify."""
        urls = {"accounts_url": self.address, "api_url": f"{self.address}/v1"}
        return Settings(home=home, **{"timezone": "Europe/Berlin", "listener": "demo", **urls, **more})

    def environment(self) -> dict[str, str]:
        """Likewise, for a process."""
        return {
            "SPOTIFY_ASSETS_ACCOUNTS_URL": self.address,
            "SPOTIFY_ASSETS_API_URL": f"{self.address}/v1",
            "SPOTIFY_ASSETS_REQUESTS_PER_SECOND": "1000",
        }


@contextmanager
def running(*, app: DemoApp = APP, **options: object) -> Iterator[DemoAccounts]:
    """Serve the accounts of an app; options as for `Accounts`."""
    clock = MovableClock()
    tokens = Tokens(clock.now)
    demo = DemoAccounts(clock, tokens, Accounts(tokens, clock.now, apps=[app], **options))

    async def me(request: Request) -> Response:
        if demo.refused:
            return PlainTextResponse(demo.refused, 403)
        listener = tokens.listener_of(request.headers.get("authorization", "").removeprefix("Bearer "))
        if not listener:
            return JSONResponse({"error": {"status": 401, "message": "Access token missing"}}, 401)
        return JSONResponse({"id": f"id-of-{listener}", "account_id": f"account-of-{listener}"})

    async def refuse(request: Request) -> Response:
        return JSONResponse({"error": {"status": 403, "message": "Forbidden"}}, 403)

    routes = [*demo.accounts.routes, Route("/v1/me", me), Route("/v1/{rest:path}", refuse)]
    served = Starlette(routes=routes)

    async def counted(scope, receive, send) -> None:
        demo.requests[scope["path"]] += 1
        odd_answers = demo.odd_answers.get(scope["path"])
        await (odd_answers.pop(0) if odd_answers else served)(scope, receive, send)

    listening = socket.create_server(("127.0.0.1", 0))
    demo.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(counted, lifespan="off", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield demo
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
