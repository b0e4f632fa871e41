"""Spotify's own audio features, which only apps with extended access from before 27 November 2024 may ask for.

https://developer.spotify.com/blog/2024-11-27-changes-to-the-web-api
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from spotify_assets.spotify.model import Endpoint, Request, Response
from spotify_assets.spotify.providers.features import FEATURES
from spotify_assets.spotify.providers.model import Budget, FeaturesTold, NotOffered, QuestionRefused
from spotify_assets.spotify.reading import read


@dataclass(frozen=True)
class SpotifyFeatures:
    """Audio features from Spotify, an `AudioFeatureProvider`.

    Attributes:
        fetch: Asks the Web API and keeps the answer as any other answer of Spotify is kept; raises as
            `AudioFeatureProvider.ask`. Whoever asks in a run gives it (`dataclasses.replace`): quota and sign-in are
            the run's.
    """

    fetch: Callable[[Request], Response] | None = None

    source = "spotify"
    attribution = "Audio features by Spotify, https://developer.spotify.com"
    tracks_per_request = 100
    is_local = False

    def ask(self, track_ids: Sequence[str], budget: Budget) -> FeaturesTold:
        """As `AudioFeatureProvider.ask`."""
        if self.fetch is None:
            raise NotOffered("Spotify is not asked for audio features: nobody here can ask it.")
        budget.take()
        response = self.fetch(Request(Endpoint.AUDIO_FEATURES, {"ids": ",".join(track_ids)}))
        reading = read(response)
        if response.status != 200 or any(rejected.position == 0 for rejected in reading.rejected):
            raise QuestionRefused(f"Spotify's audio features are not understood (HTTP {response.status}).")
        asked = set(track_ids)
        known = {row["track_id"]: row for row in reading.rows if row["is_known"] and row["track_id"] in asked}
        return FeaturesTold(
            pl.DataFrame(list(known.values()), schema=FEATURES, orient="row"), unusable_values=len(reading.rejected)
        )
