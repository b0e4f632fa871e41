"""What Spotify told grows old: the UI says so where somebody is there to ask for, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from spotify_assets.automation.freshness import POLICIES
from spotify_assets.automation.jobs import ASKING_JOBS
from spotify_assets.automation.live import CRON_SCHEDULES
from spotify_assets.definitions import build_definitions
from spotify_assets.settings import Settings
from spotify_assets.spotify.credentials import Credentials, keep_credentials
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.spotify.token_processes import a_sign_in

CLIENT_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = settings_of(tmp_path / "home", timezone="UTC")
    settings.home.mkdir()
    return settings


def policies(settings: Settings) -> dict[str, dg.FreshnessPolicy]:
    graph = build_definitions(settings).resolve_asset_graph()
    given = {key.to_user_string(): graph.get(key).freshness_policy for key in graph.materializable_asset_keys}
    return {name: policy for name, policy in given.items() if policy is not None}


def test_a_home_of_exports_only_is_never_too_old(home: Settings) -> None:
    assert policies(home) == {}
    keep_credentials(home.paths, Credentials(CLIENT_ID))
    assert policies(home) == {}, "an app without a secret can ask for nobody"


@pytest.mark.parametrize("days_since", [0, 200], ids=["good", "ended"])
def test_whoever_signed_in_is_told_when_nothing_comes_any_more(days_since: int, home: Settings) -> None:
    sign_in = a_sign_in(authorized_at=datetime.now(UTC) - timedelta(days=days_since))
    TokenFolder(home.paths.tokens_folder).write("demo", sign_in)
    told = policies(home)
    definitions = build_definitions(home)
    for name, policy in POLICIES.items():
        asked = definitions.resolve_job_def(ASKING_JOBS[name]).asset_layer.selected_asset_keys
        assert asked and {told[key.to_user_string()] for key in asked} == {policy}
    assert not {name for name in told if not name.startswith("raw/")}


def test_an_app_with_a_secret_and_nobody_signed_in_asks_for_the_catalogue_alone(home: Settings) -> None:
    keep_credentials(home.paths, Credentials(CLIENT_ID, "0" * 32))
    told = policies(home)
    assert told["raw/artists"] == POLICIES["catalogue_backlog"]
    assert not {"raw/polls", "raw/recently_played", "raw/top_tracks"} & told.keys()


def test_every_schedule_that_asks_has_a_policy() -> None:
    assert POLICIES.keys() == CRON_SCHEDULES.keys()
