"""What may go wrong between a client and the demo Spotify, on demand::

demo.faults.add(server_error(times=5))                              # a storm: the next five requests
demo.faults.add(unauthorized(share=0.5, until=clock() + HOUR))      # an hour of intermittent 401s
with demo.faults.during(cut(endpoint="/me/player/recently-played")):
    ...

Where a fault is played: ``endpoint`` (a path below /v1 with names for what varies, such as ``/artists/{id}``),
``listener``, ``skip`` (so many requests pass first), ``times`` (then it is over), ``share`` (of the requests,
drawn from a seeded source), ``since`` and ``until`` (by the demo's clock).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

QUOTA_EXCEEDED_BODY = {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}
"""What a locked bucket answers since July 2026."""

ODD_BODIES: Mapping[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "html": b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>upstream</body></html>\n",
    "text": b"upstream connect error or disconnect/reset before headers. reset reason: overflow",
    "wrong_json": b'{"items": [{"track": {"name": "half of ',
    "not_utf8": b'{"items": [{"track": {"name": "\xff\xfe\x80"}}]}',
    "list": b"[]",
    "number": b"17",
    "other_object": b'{"device": {"id": null, "is_active": true}, "repeat_state": "off"}',
    "error_as_text": b'{"error": "invalid_request", "error_description": "of the accounts service"}',
    "error_with_200": b'{"error": {"status": 502, "message": "Bad gateway."}}',
    "items_of_another_kind": b'{"href": "", "items": ["a", 1, null, []], "limit": 50, "next": null, "cursors": null}',
}
"""Bodies that came where an object of the Web API should have come."""


def _change_items(change: Callable[[list[Any]], None]) -> Callable[[Any], Any]:
    def changed(page: Any) -> Any:
        if page.get("items"):
            change(page["items"])
        return page

    return changed


def _first_track(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    def changed(items: list[Any]) -> None:
        change(items[0]["track"])

    return _change_items(changed)


def _without_milliseconds(items: list[Any]) -> None:
    for item in items:
        item["played_at"] = item["played_at"][:19] + "Z"


def _one_instant(items: list[Any]) -> None:
    if len(items) > 1:
        items[0]["played_at"] = items[1]["played_at"]


ODD_PLAYS: Mapping[str, Callable[[Any], Any]] = {
    "items_null": lambda page: {**page, "items": None},
    "items_absent": lambda page: {name: value for name, value in page.items() if name != "items"},
    "item_null": _change_items(lambda items: items.__setitem__(0, None)),
    "track_null": _change_items(lambda items: items[0].__setitem__("track", None)),
    "track_absent": _change_items(lambda items: items[0].pop("track")),
    "track_without_id": _first_track(lambda track: track.update(id=None, uri="spotify:local:A:B:C:200", is_local=True)),
    "artists_empty": _first_track(lambda track: track.update(artists=[])),
    "artists_null": _first_track(lambda track: track.update(artists=None)),
    "artist_without_name": _first_track(lambda track: track.update(artists=[{"id": None, "name": None}])),
    "album_null": _first_track(lambda track: track.update(album=None)),
    "duration_negative": _first_track(lambda track: track.update(duration_ms=-1)),
    "duration_as_text": _first_track(lambda track: track.update(duration_ms="201000")),
    "name_null": _first_track(lambda track: track.update(name=None)),
    "played_at_without_milliseconds": _change_items(_without_milliseconds),
    "played_at_null": _change_items(lambda items: items[0].__setitem__("played_at", None)),
    "played_at_nonsense": _change_items(lambda items: items[0].__setitem__("played_at", "yesterday")),
    "two_plays_at_one_instant": _change_items(_one_instant),
    "same_play_twice": _change_items(lambda items: items.insert(0, items[0])),
    "oldest_first": _change_items(lambda items: items.reverse()),
    "cursors_null": lambda page: {**page, "cursors": None, "next": None},
    "next_elsewhere": lambda page: {**page, "next": "https://elsewhere.invalid/v1/me/player/recently-played"},
}
"""Changes of a page of recently played, by name, for `altered`: what odd pages held that were seen or feared."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answered instead of asking the Web API."""

    kind: str
    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer comes after real seconds."""

    seconds: float
    kind: str = "slow"


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed in the middle of the answer; None: before the first line of it."""

    after_bytes: int | None
    kind: str = "cut"


@dataclass(frozen=True, slots=True)
class Altered:
    """The true answer, changed."""

    change: Callable[[Any], Any]
    kind: str = "altered"


@dataclass(slots=True)
class Fault:
    """An effect, and where and how often it is played; see the module."""

    effect: Answer | Slow | Cut | Altered
    endpoint: str | None = None
    listener: str | None = None
    skip: int = 0
    times: int | None = None
    share: float = 1.0
    since: datetime | None = None
    until: datetime | None = None
    played: int = field(default=0, init=False)


class Faults:
    """The faults of one demo Spotify. Of several that fit a request, the one that was added first is played."""

    def __init__(self, seed: int = 7) -> None:
        self._rng = random.Random(f"faults {seed}")
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Have it over; no error when it is."""
        self._faults = [other for other in self._faults if other is not fault]

    def clear(self) -> None:
        self._faults = []

    @contextmanager
    def during(self, *faults: Fault) -> Iterator[None]:
        """Play faults as long as the block lasts."""
        for fault in faults:
            self.add(fault)
        try:
            yield
        finally:
            for fault in faults:
                self.remove(fault)

    def pick(self, endpoint: str, listener: str | None, now: datetime) -> Fault | None:
        """The fault to play for this request, counted as played."""
        for fault in self._faults:
            if fault.endpoint not in (None, endpoint) or fault.listener not in (None, listener):
                continue
            if (fault.since is not None and now < fault.since) or (fault.until is not None and now >= fault.until):
                continue
            if fault.times is not None and fault.played >= fault.times:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.share < 1.0 and self._rng.random() >= fault.share:
                continue
            fault.played += 1
            return fault
        return None


def answer(status: int, body: Any = None, *, headers: Mapping[str, str] | None = None, **where: Any) -> Fault:
    """Any answer; ``body`` is bytes, or anything else to be written as JSON, or None for an empty body."""
    return Fault(_answer("answer", status, body, headers), **where)


def server_error(status: int = 503, **where: Any) -> Fault:
    """A 5xx with Spotify's error object."""
    messages = {500: "Server error.", 502: "Bad gateway.", 503: "Service unavailable", 504: "Gateway timeout"}
    body = {"error": {"status": status, "message": messages.get(status, "Server error.")}}
    return Fault(_answer("server_error", status, body), **where)


def unauthorized(message: str = "Access token missing", **where: Any) -> Fault:
    """401 although the token is valid, as seen in July 2026."""
    return Fault(_answer("unauthorized", 401, {"error": {"status": 401, "message": message}}), **where)


def rate_limited(retry_after_seconds: int | None = 5, **where: Any) -> Fault:
    """429 of the rate limit; None leaves the header Retry-After out."""
    headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
    body = {"error": {"status": 429, "message": "API rate limit exceeded"}}
    return Fault(_answer("rate_limited", 429, body, headers), **where)


def quota_exceeded(retry_after_seconds: int | None = 86_000, **where: Any) -> Fault:
    """429 of the quota; the buckets of `DemoQuota` are not touched (``demo.quota.lock(bucket)`` does)."""
    headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
    return Fault(_answer("quota_exceeded", 429, QUOTA_EXCEEDED_BODY, headers), **where)


def odd_body(name: str, status: int = 200, **where: Any) -> Fault:
    """A body of `ODD_BODIES`, with the content type of JSON but for HTML and text."""
    kinds = {"html": "text/html; charset=utf-8", "text": "text/plain"}
    headers = {"Content-Type": kinds.get(name, "application/json; charset=utf-8")}
    return Fault(_answer(f"odd_body {name}", status, ODD_BODIES[name], headers), **where)


def slow(seconds: float, **where: Any) -> Fault:
    """The true answer after real seconds."""
    return Fault(Slow(seconds), **where)


def cut(after_bytes: int | None = 100, **where: Any) -> Fault:
    """The connection is closed after so many bytes of the body; None: before anything is answered."""
    return Fault(Cut(after_bytes), **where)


def altered(change: Callable[[Any], Any] | str, **where: Any) -> Fault:
    """The true answer with its JSON changed; a text names a change of `ODD_PLAYS`."""
    if isinstance(change, str):
        return Fault(Altered(ODD_PLAYS[change], f"altered {change}"), **where)
    return Fault(Altered(change), **where)


def storm(minutes: float, since: datetime, *, status: int = 503, share: float = 1.0, **where: Any) -> Fault:
    """Server errors for some minutes of the demo's clock."""
    return server_error(status, since=since, until=since + timedelta(minutes=minutes), share=share, **where)


def _answer(kind: str, status: int, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
    told = {} if headers is None else dict(headers)
    if body is None:
        return Answer(kind, status, b"", told)
    if isinstance(body, bytes):
        return Answer(kind, status, body, told)
    return Answer(kind, status, json.dumps(body).encode(), {"Content-Type": "application/json; charset=utf-8", **told})
