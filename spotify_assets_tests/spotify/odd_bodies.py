"""Hypothesis strategies for what a server might answer: any JSON, and true payloads in which anything is replaced."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from spotify_assets.spotify.model import Endpoint, Response
from spotify_assets_tests.spotify.payloads import (
    NOON,
    album,
    artist,
    episode,
    local_track,
    minutes,
    play,
    told_instant,
    track,
)

_NAMES = (
    "items",
    "tracks",
    "track",
    "item",
    "id",
    "uri",
    "name",
    "type",
    "played_at",
    "artists",
    "album",
    "total",
    "next",
)
_texts = st.text(max_size=5) | st.sampled_from(
    ["track", "spotify:track:x", "spotify:local:a", "2026-03-01T12:00:00Z", "9999-12-31T23:59:59-23:00", "\ud800", ""]
)
_scalars = (
    st.none() | st.booleans() | st.integers() | st.sampled_from([2**63, -(2**70), 10**400]) | st.floats() | _texts
)
anything = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES) | _texts, inner, max_size=5),
    max_leaves=12,
)

_LIST = [track("a"), track("b", "Bob"), local_track("c"), None]
BODIES: dict[Endpoint, Any] = {
    Endpoint.ME: {"id": "annId", "country": "DE", "type": "user"},
    Endpoint.RECENTLY_PLAYED: {"items": [play(each, minutes(-n)) for n, each in enumerate(_LIST[:3])], "next": None},
    Endpoint.TOP_ARTISTS: {"items": [artist("A"), artist("B")], "total": 2, "next": None},
    Endpoint.TOP_TRACKS: {"items": _LIST[:2], "total": 2, "next": None},
    Endpoint.SAVED_TRACKS: {
        "items": [{"added_at": told_instant(NOON), "track": each} for each in _LIST[:2]],
        "total": 2,
    },
    Endpoint.PLAYLISTS: {"items": [{"id": "p", "type": "playlist", "snapshot_id": "s", "owner": {"id": "x"}}, None]},
    Endpoint.PLAYLIST_ITEMS: {"items": [{"item": each} for each in (*_LIST, episode("e"))], "total": 5},
    Endpoint.TRACK: track("a"),
    Endpoint.TRACKS: {"tracks": [track("a"), None]},
    Endpoint.ALBUM: album("a"),
    Endpoint.ALBUMS: {"albums": [album("a"), None]},
    Endpoint.ARTIST: artist("a"),
    Endpoint.ARTISTS: {"artists": [artist("a"), None]},
    Endpoint.ARTIST_ALBUMS: {"items": [album("a"), album("b")], "total": 12, "next": "https://api.example/next"},
    Endpoint.ARTIST_TOP_TRACKS: {"tracks": [track("a"), track("b")]},
    Endpoint.AUDIO_FEATURES: {"audio_features": [None, {"id": "b", "key": 1, "mode": 0, "tempo": 120.5}]},
    Endpoint.SEARCH: {"tracks": {"items": [track("a"), track("b", "Bob")], "total": 2}},
}


def _replaced(body: Any, draw: Any) -> Any:
    """The body with one part, at whatever depth, replaced."""
    if isinstance(body, dict | list) and body and draw(st.integers(0, 3)):
        keys = list(body) if isinstance(body, dict) else list(range(len(body)))
        key = draw(st.sampled_from(keys))
        changed = body.copy()
        if isinstance(changed, dict) and not draw(st.integers(0, 5)):
            del changed[key]
        else:
            changed[key] = _replaced(body[key], draw)
        return changed
    return draw(anything)


@st.composite
def odd_payloads(draw: Any, endpoint: Endpoint) -> Any:
    """A payload of an endpoint in which up to three parts are others."""
    body = BODIES[endpoint]
    for _ in range(draw(st.integers(0, 3))):
        body = _replaced(body, draw)
    return body


_params = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "aId", "other"]),
        "ids": st.sampled_from(["a,b", "aId,gone", ""]),
        "offset": st.sampled_from([0, 1, 50, "50", "x"]),
        "limit": st.sampled_from([1, 2, 50]),
        "q": st.sampled_from(['artist:"Ann"', "isrc:x"]),
        "market": st.sampled_from(["US", "DE"]),
        "time_range": st.sampled_from(["short_term", "long_term"]),
    },
)


@st.composite
def odd_responses(draw: Any) -> Response:
    """A response of any endpoint, with anything in it."""
    endpoint = draw(st.sampled_from(list(Endpoint)))
    return Response(
        draw(st.sampled_from(["ann", "bob", ""])),
        str(endpoint),
        draw(_params),
        NOON + timedelta(minutes=draw(st.integers(0, 3_000)), microseconds=draw(st.integers(0, 999_999))),
        draw(st.sampled_from([200, 200, 200, 200, 204, 401, 403, 404, 429, 500])),
        draw(anything if draw(st.booleans()) and draw(st.booleans()) else odd_payloads(endpoint)),
    )
