"""Who tells what Spotify does not (any more): audio features of tracks, genres of artists.

Each is asked through one of two protocols, `AudioFeatureProvider` and `GenreProvider`; what it told is kept in
`raw.audio_features` and `raw.genres` under its name. docs/providers.md says what each knows, and what is sent to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from spotify_assets.settings import Settings
from spotify_assets.spotify.providers.model import (
    ArtistQuestion,
    AudioFeatureProvider,
    Budget,
    BudgetSpent,
    FeaturesTold,
    Genre,
    GenreProvider,
    GenresTold,
    NotOffered,
    ProviderError,
    ProviderUnavailable,
    QuestionRefused,
)
from spotify_assets.spotify.providers.musicbrainz import MusicBrainz
from spotify_assets.spotify.providers.own_files import OwnFeatures, OwnGenres
from spotify_assets.spotify.providers.polite import PoliteSession, user_agent
from spotify_assets.spotify.providers.reccobeats import ReccoBeats
from spotify_assets.spotify.providers.spotify import SpotifyFeatures

__all__ = [
    "ArtistQuestion",
    "AudioFeatureProvider",
    "Budget",
    "BudgetSpent",
    "FeaturesTold",
    "Genre",
    "GenreProvider",
    "GenresTold",
    "MusicBrainz",
    "NotOffered",
    "OwnFeatures",
    "OwnGenres",
    "PoliteSession",
    "ProviderError",
    "ProviderUnavailable",
    "Providers",
    "QuestionRefused",
    "ReccoBeats",
    "SpotifyFeatures",
    "build_providers",
    "user_agent",
]

_MUSICBRAINZ_SECONDS = 1.0
"""https://musicbrainz.org/doc/MusicBrainz_API/Rate_Limiting"""


@dataclass(frozen=True)
class Providers:
    """The providers of a home, in the order in which they are believed, and how much a run may ask of each."""

    audio_features: tuple[AudioFeatureProvider, ...] = ()
    genres: tuple[GenreProvider, ...] = ()
    requests_per_run: int = 40
    seconds_per_run: float = 40.0

    def budgets(self) -> Iterator[Budget]:
        """What a run may ask of one provider after the other: so many requests each, in so many seconds together."""
        whole = Budget(0, self.seconds_per_run)
        while True:
            yield Budget(self.requests_per_run, whole.seconds_left)


def build_providers(
    settings: Settings,
    *,
    now: Callable[[], datetime],
    sleep: Callable[[float], None] = time.sleep,
) -> Providers:
    """The providers that the settings name; nothing is opened or asked.

    Args:
        settings: Settings of the home.
        now: The clock.
        sleep: Waits some seconds.
    """

    def session(name: str, url: str, contact: str = "", least_seconds: float = 0.0) -> PoliteSession:
        return PoliteSession(
            name,
            url,
            user_agent=user_agent(contact),
            seconds_between_requests=max(settings.provider_seconds_between_requests, least_seconds),
            now=now,
            sleep=sleep,
        )

    features: list[AudioFeatureProvider] = [OwnFeatures(settings.paths.own_audio_features_files)]
    for name in settings.audio_feature_providers.split(","):
        if name == "spotify":
            features.append(SpotifyFeatures())
        elif name == "reccobeats":
            features.append(ReccoBeats(session("ReccoBeats", settings.reccobeats_url)))
    genres: list[GenreProvider] = [OwnGenres(settings.paths.own_genres_files)]
    if settings.genre_providers == "musicbrainz":
        is_public = (urlsplit(settings.musicbrainz_url).hostname or "").endswith("musicbrainz.org")
        least_seconds = _MUSICBRAINZ_SECONDS if is_public else 0.0
        asked = session("MusicBrainz", settings.musicbrainz_url, settings.contact, least_seconds)
        genres.append(MusicBrainz(asked, has_contact=bool(settings.contact)))
    return Providers(
        tuple(features), tuple(genres), settings.provider_requests_per_run, settings.provider_seconds_per_run
    )
