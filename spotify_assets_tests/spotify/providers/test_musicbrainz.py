"""MusicBrainz over real HTTP: whose genres they are, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spotify_assets.demo.catalogue import DemoCatalogue, DemoTrack
from spotify_assets.demo.providers import DemoMusicBrainz, is_known
from spotify_assets.demo.spotify.faults import ODD_BODIES, altered, odd_body, server_error
from spotify_assets.spotify.providers import (
    ArtistQuestion,
    Budget,
    Genre,
    MusicBrainz,
    PoliteSession,
    ProviderUnavailable,
    QuestionRefused,
)
from spotify_assets_tests.spotify.providers.conftest import Time

CONTACT = "somebody@example.org"


@pytest.fixture
def provider(musicbrainz: DemoMusicBrainz, session_with: Callable[..., PoliteSession]) -> MusicBrainz:
    return MusicBrainz(session_with(musicbrainz, CONTACT, 1.0, "MusicBrainz"), has_contact=True)


@pytest.fixture
def track(catalogue: DemoCatalogue) -> DemoTrack:
    """One that MusicBrainz knows, of an artist with several genres."""
    return next(
        track for track in catalogue.tracks if len(track.artist.genres) > 1 and is_known("musicbrainz", track.isrc)
    )


def ask(provider: MusicBrainz, track: DemoTrack, budget: Budget, name: str = "") -> list[Genre]:
    name = name or track.artist.name
    return list(provider.ask([ArtistQuestion(name, track.isrc)], budget).genres.get(name, ()))


def test_the_genres_of_a_credited_artist_are_told_with_votes(
    provider: MusicBrainz, track: DemoTrack, budget: Budget
) -> None:
    told = ask(provider, track, budget)
    assert tuple(genre.name for genre in told) == track.artist.genres
    assert all(genre.votes > 0 for genre in told)


@pytest.mark.parametrize("change", [str.upper, str.casefold, lambda name: name.replace(" ", "\u2010") + "!"])
def test_case_and_typographic_marks_make_no_other_artist(
    change: Callable[[str], str], provider: MusicBrainz, track: DemoTrack, budget: Budget
) -> None:
    assert ask(provider, track, budget, change(track.artist.name))


def test_the_genres_of_another_artist_are_not_taken(provider: MusicBrainz, track: DemoTrack, budget: Budget) -> None:
    assert ask(provider, track, budget, "Somebody Else") == []


def test_a_recording_s_genres_count_when_its_only_artist_has_none(
    provider: MusicBrainz, musicbrainz: DemoMusicBrainz, track: DemoTrack, budget: Budget
) -> None:
    def change(body: dict) -> dict:
        recording = body["recordings"][0]
        recording["artist-credit"][0]["artist"].pop("genres")
        recording["genres"] = [{"name": "dub", "count": 2}, {"name": "unloved", "count": 0}]
        return body

    musicbrainz.faults.add(altered(change))
    assert ask(provider, track, budget) == [Genre("dub", 2)]


def test_a_genre_with_half_a_surrogate_pair_can_be_stored(
    provider: MusicBrainz, musicbrainz: DemoMusicBrainz, track: DemoTrack, budget: Budget
) -> None:
    credit = {"name": "NAME", "artist": {"genres": [{"name": "dub\ud800", "count": 1}]}}
    musicbrainz.faults.add(altered(lambda body: {"recordings": [{"artist-credit": [credit]}]}))
    assert ask(provider, track, budget, "NAME") == [Genre("dub?", 1)]


def test_an_unknown_isrc_is_no_error(
    provider: MusicBrainz, catalogue: DemoCatalogue, budget: Budget, musicbrainz: DemoMusicBrainz
) -> None:
    unknown = next(track for track in catalogue.tracks if not is_known("musicbrainz", track.isrc))
    assert ask(provider, unknown, budget) == []
    assert musicbrainz.requests[0].status == 404


def test_the_user_agent_names_the_application_and_the_contact(
    provider: MusicBrainz, musicbrainz: DemoMusicBrainz, track: DemoTrack, budget: Budget
) -> None:
    ask(provider, track, budget)
    assert musicbrainz.requests[0].user_agent.startswith("spotify_assets/")
    assert musicbrainz.requests[0].user_agent.endswith(f"( {CONTACT} )")


def test_without_a_contact_nothing_is_asked_and_the_setting_is_named(
    session_with: Callable[..., PoliteSession], musicbrainz: DemoMusicBrainz, track: DemoTrack, budget: Budget
) -> None:
    provider = MusicBrainz(session_with(musicbrainz), has_contact=False)
    with pytest.raises(ProviderUnavailable, match="SPOTIFY_ASSETS_CONTACT"):
        ask(provider, track, budget)
    assert musicbrainz.requests == []


def test_one_request_is_made_a_second(provider: MusicBrainz, track: DemoTrack, time: Time) -> None:
    budget = Budget(60, 45, time.monotonic)
    for _ in range(4):
        ask(provider, track, budget)
    assert time.slept == [1, 1, 1]


def test_a_503_is_waited_for_and_then_told(
    provider: MusicBrainz, musicbrainz: DemoMusicBrainz, track: DemoTrack, budget: Budget
) -> None:
    musicbrainz.faults.add(server_error(503, times=2))
    assert ask(provider, track, budget)
    musicbrainz.faults.add(server_error(503))
    with pytest.raises(ProviderUnavailable, match="503"):
        ask(provider, track, budget)


@pytest.mark.parametrize("name", ODD_BODIES)
def test_an_odd_body_is_refused(
    name: str, provider: MusicBrainz, musicbrainz: DemoMusicBrainz, track: DemoTrack, budget: Budget
) -> None:
    musicbrainz.faults.add(odd_body(name))
    with pytest.raises(QuestionRefused):
        ask(provider, track, budget)


@pytest.mark.parametrize(
    "recordings",
    [
        [None, 1, "x", []],
        [{"artist-credit": None}],
        [{"artist-credit": [None, 1, {"name": 1, "artist": None}]}],
        [{"artist-credit": [{"name": "NAME", "artist": {"genres": {"name": "x"}}}], "genres": 3}],
        [{"artist-credit": [{"name": "NAME", "artist": {"genres": [None, {"name": ""}, {"name": 5}]}}]}],
    ],
)
def test_odd_recordings_tell_nothing(
    recordings: list, provider: MusicBrainz, musicbrainz: DemoMusicBrainz, track: DemoTrack, budget: Budget
) -> None:
    musicbrainz.faults.add(altered(lambda body: {"recordings": recordings}))
    assert ask(provider, track, budget, "NAME") == []
