"""Who is asked, by the settings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from spotify_assets.settings import Settings
from spotify_assets.spotify.providers import Providers, build_providers


def providers_of(home: Path, **settings: object) -> Providers:
    return build_providers(Settings(home=home, **settings), now=lambda: datetime.now(UTC))


def test_providers_are_asked_in_the_order_of_the_setting_after_the_own_file(tmp_path: Path) -> None:
    built = providers_of(tmp_path, audio_feature_providers=" ReccoBeats, spotify", genre_providers="musicbrainz")
    assert [provider.source for provider in built.audio_features] == ["own", "reccobeats", "spotify"]
    assert [provider.source for provider in built.genres] == ["own", "musicbrainz"]


@pytest.mark.parametrize("names", ["", "none", " , "])
def test_nobody_is_asked_when_nobody_is_named(names: str, tmp_path: Path) -> None:
    assert [provider.source for provider in providers_of(tmp_path, audio_feature_providers=names).audio_features] == [
        "own"
    ]


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("audio_feature_providers", "reccobeats,musicbrainz", "'musicbrainz' is none of spotify, reccobeats"),
        ("genre_providers", "spotify", "'spotify' is none of musicbrainz"),
        ("reccobeats_url", "http://api.reccobeats.com/v1", "https://"),
        ("musicbrainz_url", "http://127.0.0.1.example.org", "https://"),
        ("musicbrainz_url", "https://", "https://"),
        ("contact", "a\nX-Header: b", "mail address"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(setting: str, value: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        Settings(home=tmp_path, **{setting: value})


def test_the_seconds_of_a_run_are_shared_by_its_providers() -> None:
    budgets = Providers(requests_per_run=3, seconds_per_run=0.0).budgets()
    assert [(next(budgets).requests, next(budgets).seconds_left) for _ in range(2)] == [(3, 0.0), (3, 0.0)]
