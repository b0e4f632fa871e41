"""What Spotify offers to this app: found out by asking, never concluded from a date or from one another.

Apps of two kinds live side by side since February 2026
(https://developer.spotify.com/blog/2026-02-06-update-on-developer-access-and-platform-security), old ones lose rights
one by one, and nothing tells an app which it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any

from spotify_assets.settings import Settings
from spotify_assets.spotify.errors import QuotaBlocked, TransientFailure
from spotify_assets.spotify.model import Endpoint, Request, Response
from spotify_assets.state import SPOTIFY_CAPABILITIES, State

_FOUND_LIFE = timedelta(days=7)
_CONTRADICTED_LIFE = timedelta(days=1)
_UNANSWERED_LIFE = timedelta(hours=6)


class Capability(StrEnum):
    """What one app may and another may not; the value is what is stored."""

    TRACK_BATCHES = "track_batches"
    ALBUM_BATCHES = "album_batches"
    ARTIST_BATCHES = "artist_batches"
    TOP_TRACKS = "artist_top_tracks"
    AUDIO_FEATURES = "audio_features"
    LARGE_SEARCH_PAGES = "large_search_pages"
    LARGE_ALBUM_PAGES = "large_artist_albums_pages"
    POPULARITY = "popularity"


class Kind(StrEnum):
    """What can be asked for by its id."""

    TRACK = "track"
    ALBUM = "album"
    ARTIST = "artist"
    AUDIO_FEATURES = "audio_features"


@dataclass(frozen=True)
class _Lookup:
    one: Endpoint | None
    many: Endpoint
    most: int
    needed: Capability


_LOOKUPS = {
    Kind.TRACK: _Lookup(Endpoint.TRACK, Endpoint.TRACKS, 50, Capability.TRACK_BATCHES),
    Kind.ALBUM: _Lookup(Endpoint.ALBUM, Endpoint.ALBUMS, 20, Capability.ALBUM_BATCHES),
    Kind.ARTIST: _Lookup(Endpoint.ARTIST, Endpoint.ARTISTS, 50, Capability.ARTIST_BATCHES),
    Kind.AUDIO_FEATURES: _Lookup(None, Endpoint.AUDIO_FEATURES, 100, Capability.AUDIO_FEATURES),
}

NEEDED: Mapping[Endpoint, Capability] = {
    **{lookup.many: lookup.needed for lookup in _LOOKUPS.values()},
    Endpoint.ARTIST_TOP_TRACKS: Capability.TOP_TRACKS,
}
"""Endpoints that not every app may ask, and what it must be able to."""

LARGE_PAGES: Mapping[Endpoint, Capability] = {
    Endpoint.SEARCH: Capability.LARGE_SEARCH_PAGES,
    Endpoint.ARTIST_ALBUMS: Capability.LARGE_ALBUM_PAGES,
}
"""Endpoints whose pages hold 50 for one app and 10 for another."""

_PAGE = 50
_SMALL_PAGE = 10

_IN_WORDS = {
    Capability.TRACK_BATCHES: "50 tracks a request",
    Capability.ALBUM_BATCHES: "20 albums a request",
    Capability.ARTIST_BATCHES: "50 artists a request",
    Capability.TOP_TRACKS: "an artist's top tracks",
    Capability.AUDIO_FEATURES: "audio features",
    Capability.LARGE_SEARCH_PAGES: "50 search results a page",
    Capability.LARGE_ALBUM_PAGES: "50 of an artist's albums a page",
    Capability.POPULARITY: "popularity",
}


@dataclass(frozen=True)
class Finding:
    """What became of asking for one capability.

    Attributes:
        is_offered: None when the answer told neither.
        found_at: When it was asked (UTC).
        is_contradicted: A later request was refused although the capability had been found.
    """

    is_offered: bool | None
    found_at: datetime
    is_contradicted: bool = False

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to ask anew."""
        if self.is_offered is None:
            return now - self.found_at >= _UNANSWERED_LIFE
        return now - self.found_at >= (_CONTRADICTED_LIFE if self.is_contradicted else _FOUND_LIFE)


@dataclass(frozen=True)
class Capabilities:
    """What is known of what Spotify offers to this app. What is not known counts as not offered: the small way of
    asking works for every app.

    Attributes:
        findings: By capability what was found.
    """

    findings: Mapping[Capability, Finding] = field(default_factory=dict)

    def has(self, capability: Capability) -> bool:
        """Whether Spotify is known to offer it."""
        finding = self.findings.get(capability)
        return finding is not None and finding.is_offered is True

    def lacks(self, capability: Capability) -> bool:
        """Whether Spotify is known not to offer it."""
        finding = self.findings.get(capability)
        return finding is not None and finding.is_offered is False

    def batch_size(self, kind: Kind | str) -> int:
        """How many ids of a kind one request may name; 0 when they cannot be asked for at all."""
        lookup = _LOOKUPS[Kind(kind)]
        if self.has(lookup.needed):
            return lookup.most
        return 1 if lookup.one else 0

    def page_limit(self, endpoint: Endpoint) -> int:
        """How many entries a page may hold."""
        return _PAGE if endpoint not in LARGE_PAGES or self.has(LARGE_PAGES[endpoint]) else _SMALL_PAGE

    def requests_for(self, kind: Kind | str, ids: Iterable[str], listener: str = "") -> Iterator[Request]:
        """The fewest requests that ask for all ids of a kind, in their order; none when they cannot be asked for.

        Example:
            >>> [request.params for request in Capabilities().requests_for("track", ["a", "b"])]
            [{'id': 'a'}, {'id': 'b'}]
        """
        lookup, size = _LOOKUPS[Kind(kind)], self.batch_size(kind)
        if size == 1 and lookup.one:
            for each in ids:
                yield Request(lookup.one, {"id": each}, listener)
        elif size:
            for part in _parts(ids, size):
                yield Request(lookup.many, {"ids": ",".join(part)}, listener)

    def due(self, now: datetime) -> frozenset[Capability]:
        """What is to be asked (again)."""
        return frozenset(each for each in Capability if each not in self.findings or self.findings[each].is_due(now))

    def with_finding(self, capability: Capability, finding: Finding) -> Capabilities:
        """The same with one finding replaced."""
        return Capabilities({**self.findings, capability: finding})

    @property
    def text(self) -> str:
        """What is offered, for a person, and when that was found out."""
        if not self.findings:
            return "What Spotify offers to this app has not been asked yet."
        offered = [words for each, words in _IN_WORDS.items() if self.has(each)]
        lacking = [words for each, words in _IN_WORDS.items() if self.lacks(each)]
        unknown = [words for each, words in _IN_WORDS.items() if not self.has(each) and not self.lacks(each)]
        told = [
            f"{label}: {', '.join(words)}."
            for label, words in (("offered", offered), ("not offered", lacking), ("not known", unknown))
            if words
        ]
        asked_at = max(finding.found_at for finding in self.findings.values())
        return f"Spotify's offer to this app (asked {asked_at:%Y-%m-%d %H:%M} UTC): {' '.join(told)}"


class CapabilityMemory:
    """Keeps in `state.sqlite` what was found.

    Args:
        state: The state of a home.
        asked: Who was asked by which app: what was found for another is not remembered.
    """

    def __init__(self, state: State, asked: str) -> None:
        self._state = state
        self._asked = asked

    def load(self) -> Capabilities:
        """What was found before; nothing when that was another app, or cannot be read any more."""
        try:
            told = json.loads(self._state.note(SPOTIFY_CAPABILITIES) or "{}")
            if told.get("asked") != self._asked:
                return Capabilities()
            return Capabilities({Capability(name): _finding(*rest) for name, *rest in told["findings"]})
        except (ValueError, TypeError, KeyError, AttributeError):
            return Capabilities()

    def save(self, capabilities: Capabilities) -> None:
        """Remember what was found."""
        findings = [
            [each, finding.is_offered, finding.found_at.isoformat(), finding.is_contradicted]
            for each, finding in capabilities.findings.items()
        ]
        self._state.set_note(SPOTIFY_CAPABILITIES, json.dumps({"asked": self._asked, "findings": findings}))


def capability_memory(settings: Settings, application: str = "") -> CapabilityMemory:
    """Where a home keeps what Spotify offers to an app.

    Args:
        settings: The home's settings.
        application: The app's client id.
    """
    asked = hashlib.sha256(f"{settings.api_url} {application}".encode()).hexdigest()[:16]
    return CapabilityMemory(State(settings.paths.state_file), asked)


def probe(ask: Callable[[Request], Response], known: Capabilities, *, listener: str, now: datetime) -> Capabilities:
    """Find out what is due: at most ten requests, for a new app.

    Args:
        ask: Sends a request and returns every answer that Spotify gave, refusals as well.
        known: What was found before; what is not due, or cannot be asked just now, stays.
        listener: Whose token to use; empty for the app's own.
        now: The instant (UTC).

    Raises:
        SpotifyError: Nothing can be asked: no sign-in, or Spotify refuses the app or the listener as such.
    """
    found = dict(known.findings)
    for capability, is_offered in _answers(ask, known.due(now), listener):
        before = found.get(capability)
        if is_offered is None and before and before.is_offered is not None:
            # An outage says nothing new; ask again soon.
            found[capability] = Finding(before.is_offered, now - _FOUND_LIFE + _UNANSWERED_LIFE)
        else:
            found[capability] = Finding(is_offered, now)
    return Capabilities(found)


def _answers(
    ask: Callable[[Request], Response], due: frozenset[Capability], listener: str
) -> Iterator[tuple[Capability, bool | None]]:
    def answer(endpoint: Endpoint, **params: str | int) -> Response | None:
        try:
            return ask(Request(endpoint, params, listener))
        except (QuotaBlocked, TransientFailure):
            return None

    samples = _Samples()
    if Capability.LARGE_SEARCH_PAGES in due:
        # Its results are what the other questions ask about: ids that are known to exist.
        query = {"q": "a", "type": "track"}
        response = answer(Endpoint.SEARCH, **query, limit=_PAGE)
        is_offered = _is_limit_allowed(response)
        yield Capability.LARGE_SEARCH_PAGES, is_offered
        if is_offered is False and len(due) > 1:
            response = answer(Endpoint.SEARCH, **query, limit=_SMALL_PAGE)
        samples = _Samples.of_search(response)
    if Capability.LARGE_ALBUM_PAGES in due:
        response = answer(Endpoint.ARTIST_ALBUMS, id=samples.artist_id, limit=_PAGE)
        yield Capability.LARGE_ALBUM_PAGES, _is_limit_allowed(response)
    if Capability.TOP_TRACKS in due:
        response = answer(Endpoint.ARTIST_TOP_TRACKS, id=samples.artist_id, market="US")
        yield Capability.TOP_TRACKS, _is_served(response)
    tracks = None
    for kind, sample in (
        (Kind.TRACK, samples.track_id),
        (Kind.ALBUM, samples.album_id),
        (Kind.ARTIST, samples.artist_id),
        (Kind.AUDIO_FEATURES, samples.track_id),
    ):
        lookup = _LOOKUPS[kind]
        if lookup.needed in due:
            response = answer(lookup.many, ids=sample)
            yield lookup.needed, _is_served(response)
            if kind == Kind.TRACK and response and response.status == 200:
                tracks = response
    if Capability.POPULARITY in due:
        yield Capability.POPULARITY, _is_popularity_told(tracks or answer(Endpoint.TRACK, id=samples.track_id))


@dataclass(frozen=True)
class _Samples:
    """Ids to ask about. By default those of the examples in Spotify's documentation
    (https://developer.spotify.com/documentation/web-api/reference/get-track)."""

    track_id: str = "11dFghVXANMlKmJXsNCbNl"
    album_id: str = "4aawyAB9vmqN3uQ7FjRGTy"
    artist_id: str = "0TnOYISbd1XYRBk9myaseg"

    @classmethod
    def of_search(cls, response: Response | None) -> _Samples:
        """Those of the first track found, if there is one with all three."""
        try:
            track = response.body["tracks"]["items"][0]  # type: ignore[union-attr]
            told = cls(track["id"], track["album"]["id"], track["artists"][0]["id"])
        except (AttributeError, LookupError, TypeError):
            return cls()
        ids = (told.track_id, told.album_id, told.artist_id)
        return told if all(isinstance(each, str) and each for each in ids) else cls()


def _is_served(response: Response | None) -> bool | None:
    if response is None:
        return None
    if response.status == 200:
        return True
    if response.status == 404:
        # Spotify says `Resource not found` of an artist, `Service not found` of an endpoint that is gone.
        return None if "resource" in _message(response) or "existing" in _message(response) else False
    return False if response.status in (403, 410) else None


def _is_limit_allowed(response: Response | None) -> bool | None:
    if response is None:
        return None
    if response.status == 200:
        return True
    return False if is_limit_refused(response) or response.status == 403 else None


def is_limit_refused(response: Response) -> bool:
    """Whether a page was refused because it was to hold too much (`Invalid limit`)."""
    return response.status == 400 and "limit" in _message(response)


def _is_popularity_told(response: Response | None) -> bool | None:
    body: Any = response.body if response and response.status == 200 else None
    tracks = body.get("tracks", [body]) if isinstance(body, dict) else None
    track = tracks[0] if isinstance(tracks, list) and tracks else None
    return "popularity" in track if isinstance(track, dict) else None


def _message(response: Response) -> str:
    error = response.body.get("error") if isinstance(response.body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message.lower() if isinstance(message, str) else ""


def _finding(is_offered: bool | None, found_at: str, is_contradicted: bool) -> Finding:
    return Finding(is_offered, datetime.fromisoformat(found_at), is_contradicted)


def _parts(ids: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    remaining = iter(ids)
    while part := tuple(islice(remaining, size)):
        yield part
