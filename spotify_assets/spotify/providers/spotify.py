"""Spotify's own audio features, which only apps with extended access from before 27 November 2024 may ask for.

https://developer.spotify.com/blog/2024-11-27-changes-to-the-web-api
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from spotify_assets.spotify.errors import CapabilityAbsent, SpotifyError
from spotify_assets.spotify.model import Endpoint, Request, Response
from spotify_assets.spotify.providers.features import told_of_items
from spotify_assets.spotify.providers.model import (
    Budget,
    FeaturesTold,
    NotOffered,
    ProviderUnavailable,
    QuestionRefused,
)


class SpotifyFeatures:
    """Audio features from Spotify, an `AudioFeatureProvider`.

    Args:
        fetch: Asks the Web API, such as `SpotifyClient.fetch`.
    """

    source = "spotify"
    attribution = "Audio features by Spotify, https://developer.spotify.com"
    tracks_per_request = 100
    is_local = False

    def __init__(self, fetch: Callable[[Request], Response]) -> None:
        self._fetch = fetch

    def ask(self, track_ids: Sequence[str], budget: Budget) -> FeaturesTold:
        """As `AudioFeatureProvider.ask`."""
        budget.take()
        try:
            response = self._fetch(Request(Endpoint.AUDIO_FEATURES, {"ids": ",".join(track_ids)}))
        except CapabilityAbsent as error:
            raise NotOffered(str(error)) from error
        except SpotifyError as error:
            raise ProviderUnavailable(str(error)) from error
        if response.status in (403, 404):
            raise NotOffered(str(CapabilityAbsent(Endpoint.AUDIO_FEATURES)))
        return told_by(response, track_ids)


def told_by(response: Response, track_ids: Sequence[str]) -> FeaturesTold:
    """What a response to GET /audio-features tells of the tracks that were asked for.

    Raises:
        QuestionRefused: It is no such response.
    """
    items = response.body.get("audio_features") if isinstance(response.body, Mapping) else None
    if response.status != 200 or not isinstance(items, list):
        raise QuestionRefused(f"Spotify's audio features are not understood (HTTP {response.status}).")
    by_id = {item["id"]: item for item in items if isinstance(item, Mapping) and isinstance(item.get("id"), str)}
    return told_of_items({key: by_id[key] for key in track_ids if key in by_id})
