"""Payloads of the Web API as small as they can be, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from spotify_assets.spotify.model import Endpoint, Response

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def minutes(number: float) -> datetime:
    """An instant so many minutes after noon."""
    return NOON + timedelta(minutes=number)


def told_instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def artist(name: str, **told: Any) -> dict[str, Any]:
    return {"type": "artist", "id": f"{name}Id", "uri": f"spotify:artist:{name}Id", "name": name, **told}


def album(name: str, by: str = "Ann", **told: Any) -> dict[str, Any]:
    return {
        "type": "album",
        "id": f"{name}Id",
        "uri": f"spotify:album:{name}Id",
        "name": name,
        "album_type": "album",
        "release_date": "2020",
        "release_date_precision": "year",
        "artists": [artist(by)],
        "images": [{"url": f"https://i.example/{name}", "height": 64, "width": 64}],
        "available_markets": ["DE", "US"],
        **told,
    }


def track(name: str, by: str = "Ann", **told: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "id": f"{name}Id",
        "uri": f"spotify:track:{name}Id",
        "name": name,
        "artists": [artist(by)],
        "album": album(f"{name} LP", by),
        "duration_ms": 200_000,
        "external_ids": {"isrc": f"XX{name}"},
        "available_markets": ["DE", "US"],
        **told,
    }


def local_track(name: str) -> dict[str, Any]:
    return {
        "type": "track",
        "id": None,
        "uri": f"spotify:local:Ann::{name}:200",
        "name": name,
        "artists": [{"name": "Ann"}],
        "is_local": True,
    }


def episode(name: str) -> dict[str, Any]:
    return {
        "type": "episode",
        "id": f"{name}Id",
        "uri": f"spotify:episode:{name}Id",
        "name": name,
        "show": {"type": "show", "id": "showId", "name": "The Show"},
    }


def play(of: dict[str, Any], at: datetime, context: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"track": of, "played_at": told_instant(at), "context": context}


def response(
    endpoint: Endpoint,
    body: Any,
    at: datetime = NOON,
    *,
    listener: str = "ann",
    status: int = 200,
    **params: str | int,
) -> Response:
    return Response(listener, str(endpoint), params, at, status, body)


def poll(plays: Sequence[Any], at: datetime, listener: str = "ann") -> Response:
    """A look at the last plays."""
    body = {"items": list(plays), "next": None, "cursors": None, "limit": 50}
    return response(Endpoint.RECENTLY_PLAYED, body, at, listener=listener, limit=50)


def page(
    endpoint: Endpoint,
    entries: Sequence[Any],
    at: datetime = NOON,
    *,
    offset: int = 0,
    limit: int = 50,
    listener: str = "ann",
    **params: str | int,
) -> Response:
    """A page of a list of which `entries` are all."""
    items = list(entries)[offset : offset + limit]
    is_last = offset + limit >= len(entries)
    body = {
        "items": items,
        "total": len(entries),
        "offset": offset,
        "limit": limit,
        "next": None if is_last else "https://api.example/next",
    }
    return response(endpoint, body, at, listener=listener, limit=limit, offset=offset, **params)
