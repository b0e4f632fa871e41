"""The stand-ins over real HTTP, with the music of a small demo listener."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from spotify_assets.demo.catalogue import DemoCatalogue, DemoTrack
from spotify_assets.demo.providers import DemoMusicBrainz, DemoReccoBeats
from spotify_assets.demo.spotify.server import serve
from spotify_assets.spotify.providers import Budget, PoliteSession, user_agent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def features_of(track: DemoTrack) -> dict[str, float | int]:
    """What a recording sounds like, in the words of Spotify's API."""
    drawn = random.Random(track.isrc)
    shares = ["acousticness", "danceability", "energy", "instrumentalness", "liveness", "speechiness", "valence"]
    return {
        **{name: round(drawn.random(), 4) for name in shares},
        "key": drawn.randint(-1, 11),
        "mode": drawn.randint(0, 1),
        "loudness": round(-drawn.random() * 20, 3),
        "tempo": round(60 + 120 * drawn.random(), 3),
        "time_signature": 4,
    }


def small_catalogue(artists: int = 12) -> DemoCatalogue:
    catalogue = DemoCatalogue(random.Random(7))
    for _ in range(artists):
        catalogue.make_artist(2020)
    return catalogue


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def budget(time: Time) -> Budget:
    """As much as a run may ask for by default."""
    return Budget(60, 45, time.monotonic)


@pytest.fixture(scope="session")
def catalogue() -> DemoCatalogue:
    return small_catalogue()


@pytest.fixture(scope="session")
def urls_of_stand_ins(catalogue: DemoCatalogue) -> Iterator[dict[DemoReccoBeats | DemoMusicBrainz, str]]:
    """Both stand-ins, served once for all tests."""
    reccobeats, musicbrainz = DemoReccoBeats(catalogue.tracks, features_of), DemoMusicBrainz(catalogue.tracks)
    with serve(reccobeats.app) as first, serve(musicbrainz.app) as second:
        yield {reccobeats: first, musicbrainz: second}


def _fresh(stand_in: DemoReccoBeats | DemoMusicBrainz) -> DemoReccoBeats | DemoMusicBrainz:
    stand_in.faults.clear()
    stand_in.requests.clear()
    return stand_in


@pytest.fixture
def reccobeats(urls_of_stand_ins) -> DemoReccoBeats:
    return _fresh(next(each for each in urls_of_stand_ins if isinstance(each, DemoReccoBeats)))


@pytest.fixture
def musicbrainz(urls_of_stand_ins) -> DemoMusicBrainz:
    return _fresh(next(each for each in urls_of_stand_ins if isinstance(each, DemoMusicBrainz)))


@pytest.fixture
def session_with(time: Time, urls_of_stand_ins) -> Callable[..., PoliteSession]:
    """Sessions with a stand-in, whose waits take no time."""

    def session(stand_in, contact: str = "", pace_seconds: float = 0.0, name: str = "ReccoBeats", **others: float):
        return PoliteSession(
            name,
            urls_of_stand_ins[stand_in],
            user_agent=user_agent(contact),
            seconds_between_requests=pace_seconds,
            now=lambda: NOW,
            sleep=time.sleep,
            monotonic=time.monotonic,
            **others,
        )

    return session
