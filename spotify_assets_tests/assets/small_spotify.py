"""A Spotify of a few lines over real HTTP, for tests of what is asked and what becomes of the answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from spotify_assets.spotify.errors import (
    CapabilityAbsent,
    PermanentFailure,
    QuotaBlocked,
    SignInExpired,
    TransientFailure,
)
from spotify_assets.spotify.model import Endpoint, Request, Response

Answer = tuple[int, Any]


@dataclass
class SmallSpotify:
    """What it answers, and what it was asked.

    Attributes:
        answers: By path below /v1, or by endpoint for paths that vary: what it answers to the query.
        asked: Path and query of every request, in order.
        quota: Requests that an endpoint still answers; others are not limited.
        is_down: Whether it answers everything with an error of its own.
    """

    answers: dict[str, Callable[[str, dict[str, str]], Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    quota: dict[str, int] = field(default_factory=dict)
    is_down: bool = False

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def answer(self, endpoint: str, path: str, query: dict[str, str]) -> Answer:
        self.asked.append((path, query))
        if self.is_down:
            return 503, {"error": {"status": 503}}
        if endpoint in self.quota:
            if self.quota[endpoint] == 0:
                return 429, {"error": {"status": 429, "reason": "QUOTA_EXCEEDED"}}
            self.quota[endpoint] -= 1
        if endpoint not in self.answers:
            return 403, {"error": {"status": 403}}
        return self.answers[endpoint](path, query)


@contextmanager
def serving(spotify: SmallSpotify) -> Iterator[str]:
    """The address under which it answers; header `endpoint` says which endpoint a path is of."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, body = spotify.answer(self.headers["endpoint"], parts.path, dict(parse_qsl(parts.query)))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class SmallClient:
    """Asks it once, without waiting for anything.

    Attributes:
        now: The instant of its answers.
        expired: Listeners whose sign-in has ended.
    """

    url: str
    now: datetime
    expired: frozenset[str] = frozenset()
    answers: int = 0

    def fetch(self, request: Request) -> Response:
        if request.listener in self.expired:
            raise SignInExpired(request.listener)
        path = request.endpoint.replace("{id}", str(request.params.get("id", "")))
        query = {name: value for name, value in request.params.items() if f"{{{name}}}" not in request.endpoint}
        answer = requests.get(self.url + path, query, headers={"endpoint": request.endpoint}, timeout=10)
        self.answers += 1
        at = self.now + timedelta(milliseconds=self.answers)
        response = Response(
            request.listener, str(request.endpoint), dict(request.params), at, answer.status_code, answer.json()
        )
        if answer.status_code == 429:
            raise QuotaBlocked(request.endpoint, at + timedelta(days=1), "The quota is used.")
        if answer.status_code == 400:
            raise PermanentFailure("Spotify refuses what was asked for.", 400, response)
        if answer.status_code >= 500:
            raise TransientFailure("Spotify is out of order.")
        if answer.status_code == 403 and request.endpoint != Endpoint.PLAYLIST_ITEMS:
            raise CapabilityAbsent(request.endpoint, response)
        return response


def listed(entries: list[Any]) -> Callable[[str, dict[str, str]], Answer]:
    """Answers pages of a list."""

    def answer(path: str, query: dict[str, str]) -> Answer:
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 20))
        items = entries[offset : offset + limit]
        following = f"https://api.example{path}?offset={offset + limit}" if offset + limit < len(entries) else None
        return 200, {"items": items, "total": len(entries), "offset": offset, "limit": limit, "next": following}

    return answer


def by_id(known: dict[str, Any]) -> Callable[[str, dict[str, str]], Answer]:
    """Answers single objects."""

    def answer(path: str, query: dict[str, str]) -> Answer:
        object_id = path.rsplit("/", 1)[1]
        return (200, known[object_id]) if object_id in known else (404, {"error": {"status": 404}})

    return answer


def batches(name: str, known: dict[str, Any]) -> Callable[[str, dict[str, str]], Answer]:
    """Answers several objects at once."""

    def answer(path: str, query: dict[str, str]) -> Answer:
        return 200, {name: [known.get(object_id) for object_id in query["ids"].split(",")]}

    return answer
