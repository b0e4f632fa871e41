"""What is asked of the Spotify Web API and what it answers, whoever asks: the client, a replay, a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Endpoint(StrEnum):
    """The endpoints that are used: paths below /v1, with names for what varies.

    https://developer.spotify.com/documentation/web-api
    """

    ME = "/me"
    RECENTLY_PLAYED = "/me/player/recently-played"
    TOP_ARTISTS = "/me/top/artists"
    TOP_TRACKS = "/me/top/tracks"
    SAVED_TRACKS = "/me/tracks"
    PLAYLISTS = "/me/playlists"
    PLAYLIST_ITEMS = "/playlists/{id}/items"
    TRACK = "/tracks/{id}"
    TRACKS = "/tracks"
    ALBUM = "/albums/{id}"
    ALBUMS = "/albums"
    ARTIST = "/artists/{id}"
    ARTISTS = "/artists"
    ARTIST_ALBUMS = "/artists/{id}/albums"
    ARTIST_TOP_TRACKS = "/artists/{id}/top-tracks"
    AUDIO_FEATURES = "/audio-features"
    SEARCH = "/search"


@dataclass(frozen=True)
class Request:
    """A question.

    Attributes:
        endpoint: Which one.
        params: `id` where the path varies, and the query; `ids` is a list joined by commas.
        listener: Whose token to use; empty for the app's own.
    """

    endpoint: Endpoint
    params: Mapping[str, str | int]
    listener: str = ""


@dataclass(frozen=True)
class Response:
    """An answer, as raw.api_responses keeps it.

    Attributes:
        listener: Whose token was used; empty for the app's own.
        endpoint: Path below /v1 with names for what varies.
        params: What varies in the path, and the query.
        fetched_at: When it came (UTC).
        status: HTTP status.
        body: The JSON value; None where there was none.
    """

    listener: str
    endpoint: str
    params: Mapping[str, str | int]
    fetched_at: datetime
    status: int
    body: Any

    def to_json(self) -> str:
        """One line, as `spotify-assets replay` reads it."""
        told = self.fetched_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        line = {
            "listener": self.listener,
            "endpoint": self.endpoint,
            "params": dict(sorted(self.params.items())),
            "fetched_at": told,
            "status": self.status,
            "body": self.body,
        }
        return json.dumps(line, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Response:
        """The response of a line.

        Raises:
            ValueError: The line is no response; the message says why.
        """
        try:
            line = json.loads(text)
        except ValueError as error:
            raise ValueError(f"it is no JSON ({error})") from None
        if not isinstance(line, dict):
            raise ValueError("it is no JSON object")
        kinds = {"listener": str, "endpoint": str, "params": dict, "fetched_at": str, "status": int}
        for name, kind in kinds.items():
            if not isinstance(line.get(name), kind):
                raise ValueError(f"{name!r} is missing or no {kind.__name__}")
        try:
            fetched_at = datetime.fromisoformat(line["fetched_at"])
        except ValueError:
            raise ValueError(f"'fetched_at' is no instant: {line['fetched_at']!r}") from None
        if fetched_at.tzinfo is None:
            raise ValueError(f"'fetched_at' has no time zone: {line['fetched_at']!r}")
        told = {name: line[name] for name in ("listener", "endpoint", "params", "status")}
        return cls(**told, fetched_at=fetched_at.astimezone(UTC), body=line.get("body"))
