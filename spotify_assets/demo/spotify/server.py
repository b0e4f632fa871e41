"""Runs an ASGI application over real HTTP for as long as a block of code lasts::

with serve(demo.app) as url:
    requests.get(f"{url}/v1/me", headers={"Authorization": "Bearer demo-TOKEN-for-demo"})
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

CONNECTION_EXTENSION = "spotify_assets.demo.connection"
"""Key of an ASGI extension: the asyncio transport of the request, for those who want to cut it."""


@contextmanager
def serve(app: Any, *, port: int = 0) -> Iterator[str]:
    """Serve ``app`` on the loopback address from a thread, yield its base URL without a slash at the end.

    The port answers as soon as the URL is known. At the end open connections are closed, answers under way get
    a second.

    :param port: 0 lets the system choose a free one.
    :raises OSError: when the port is taken.
    :raises RuntimeError: when the server does not start.
    """
    connections: dict[Any, asyncio.Transport] = {}
    listening = socket.create_server(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    configuration = uvicorn.Config(
        _with_connection(app, connections),
        http=_protocol(connections),
        lifespan="off",
        log_config=None,
        # An answer that is cut on purpose would be reported as an error of the application.
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(configuration)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name=f"serve {url}", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError(f"the demo server at {url} did not start")
            time.sleep(0.005)
        yield url
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _protocol(connections: dict[Any, asyncio.Transport]) -> type[asyncio.Protocol]:
    class Protocol(AutoHTTPProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            self._peer = transport.get_extra_info("peername")
            connections[self._peer] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self._peer, None)
            super().connection_lost(exc)

    return Protocol


def _with_connection(app: Any, connections: dict[Any, asyncio.Transport]) -> Any:
    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            connection = connections.get(tuple(scope["client"] or ()))
            scope["extensions"] = {**(scope.get("extensions") or {}), CONNECTION_EXTENSION: connection}
        await app(scope, receive, send)

    return application
