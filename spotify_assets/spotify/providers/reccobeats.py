"""ReccoBeats: audio features of many tracks, for everybody, without a key.

https://reccobeats.com/docs/documentation/request-and-response. No terms are published; so it is asked slowly, what it
told is kept, and it is named wherever its figures are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from spotify_assets.spotify.providers.features import told_of_items
from spotify_assets.spotify.providers.model import Budget, FeaturesTold, QuestionRefused
from spotify_assets.spotify.providers.polite import PoliteSession


class ReccoBeats:
    """Audio features from ReccoBeats, an `AudioFeatureProvider`."""

    source = "reccobeats"
    attribution = "Audio features by ReccoBeats, https://reccobeats.com"
    tracks_per_request = 40
    is_local = False

    def __init__(self, session: PoliteSession) -> None:
        self._session = session

    def ask(self, track_ids: Sequence[str], budget: Budget) -> FeaturesTold:
        """As `AudioFeatureProvider.ask`. Tracks that ReccoBeats does not know are missing in its answer, and their
        order is not kept: they are joined by the Spotify address of each."""
        status, body = self._session.get("/audio-features", {"ids": ",".join(track_ids)}, budget)
        items = body.get("content") if isinstance(body, Mapping) else body
        if status != 200 or not isinstance(items, list):
            raise QuestionRefused(f"ReccoBeats gives an answer that is not understood (HTTP {status}).")
        by_id = _by_track_id(items)
        if items and not by_id:
            # Or else a change of their format would make every track unknown for 30 days.
            raise QuestionRefused("ReccoBeats does not tell which tracks its answer is about.")
        return told_of_items({key: by_id[key] for key in track_ids if key in by_id})


def _by_track_id(items: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for item in items:
        if isinstance(item, Mapping) and isinstance(href := item.get("href"), str):
            try:
                path = urlsplit(href).path
            except ValueError:
                continue
            if "/track/" in path:
                found.setdefault(path.rstrip("/").rsplit("/", 1)[-1], item)
    return found
