"""The jobs that ask Spotify, on the demo Spotify over HTTP: what comes is in the tables when they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from spotify_assets.automation.jobs import ASKING_JOBS, CATALOGUE_JOB, DAILY_JOB, IMPORT_JOB, POLL_JOB, TOP_LISTS_JOB
from spotify_assets.definitions import build_definitions, build_warehouse
from spotify_assets.demo.spotify import DEVELOPMENT, EXTENDED
from spotify_assets.demo.spotify.cohorts import Cohort
from spotify_assets.schemas import raw_api
from spotify_assets.settings import Settings
from spotify_assets.spotify.credentials import Credentials, keep_credentials
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets_tests.automation.live_homes import (
    JOBS,
    NAME,
    LiveHome,
    demo_spotify,
    settings_at,
    small_listener,
)
from spotify_assets_tests.spotify.demo_accounts import APP
from spotify_assets_tests.spotify.token_processes import a_sign_in


def test_a_poll_brings_plays_into_every_table_and_one_without_news_builds_nothing(tmp_path: Path) -> None:
    with demo_spotify(small_listener(plays_per_day=25.0)) as served:
        home = LiveHome.at(tmp_path, served)
        assert home.run(POLL_JOB).jobs == [POLL_JOB, ASKING_JOBS[POLL_JOB], IMPORT_JOB, DAILY_JOB]
        assert home.table("raw.recently_played").height == 50
        plays = home.table("clean.plays")
        assert plays.height == 50 and set(plays["source"]) == {"api"}
        assert home.table("daily.listening")["plays"].sum() == 50
        assert home.table("clean.play_sources").height == 50
        served.time.forward(minutes=30)
        assert home.run(POLL_JOB).jobs == [POLL_JOB, ASKING_JOBS[POLL_JOB]]
        assert home.table("raw.polls").height == 1, "a poll without news is no reason to copy everything"
        assert build_warehouse(home.settings).counts((raw_api.Polls,)) == {raw_api.Polls: 2}
        served.time.forward(minutes=30)
        home.run(ASKING_JOBS[POLL_JOB])
        assert home.table("raw.polls").height == 3, "a step that is started in the UI is published at once"


def test_without_a_sign_in_everything_ends_well_and_says_how_to_sign_in(tmp_path: Path) -> None:
    with demo_spotify(small_listener()) as served:
        home = LiveHome(settings_at(tmp_path, served.url), served.time)
        home.ask_all()
        assert served.demo.requests.count() == 0
        assert "spotify-assets login" in home.obstacles()["recently_played"]


@pytest.mark.parametrize(
    "cohort",
    [pytest.param(DEVELOPMENT, id="development"), pytest.param(EXTENDED, id="extended", marks=pytest.mark.long)],
)
def test_top_lists_and_catalogue_tell_what_exports_never_do(cohort: Cohort, tmp_path: Path) -> None:
    with demo_spotify(small_listener(), cohort=cohort) as served:
        home = LiveHome.at(tmp_path, served)
        home.run(ASKING_JOBS[POLL_JOB])
        home.run(ASKING_JOBS[TOP_LISTS_JOB])
        home.run(CATALOGUE_JOB)
        assert set(home.table("clean.top_artists")["time_range"]) == {"short_term", "medium_term", "long_term"}
        tracks = home.table("clean.tracks")
        assert tracks["duration_ms"].null_count() == 0 and tracks["isrc"].null_count() < tracks.height
        assert home.table("clean.saved_tracks").height > 0
        assert home.table("raw.api_quota").height > 0
        told = home.table("clean.track_features")
        assert set(told["source"]) == ({"spotify"} if cohort is EXTENDED else set())


def evaluate(settings: Settings, name: str, *, due: datetime) -> dg.SkipReason | dg.RunRequest:
    definitions = build_definitions(settings)
    context = dg.build_schedule_context(
        scheduled_execution_time=due, resources={"clock": definitions.resources["clock"]}
    )
    tick = definitions.resolve_schedule_def(name).evaluate_tick(context)
    return tick.run_requests[0] if tick.run_requests else tick.skip_message


def test_schedules_ask_only_for_somebody_who_is_signed_in_and_do_not_catch_up(tmp_path: Path) -> None:
    settings = settings_at(tmp_path, "http://127.0.0.1:9")
    now = datetime.now(UTC)
    for name in JOBS:
        assert "spotify-assets login" in evaluate(settings, name, due=now)
    keep_credentials(settings.paths, Credentials(APP.client_id))
    folder = TokenFolder(settings.paths.tokens_folder)
    folder.write(NAME, a_sign_in(authorized_at=now))
    for name in JOBS:
        assert evaluate(settings, name, due=now).tags["spotify_assets/purpose"] == name
    for name, hours in ((POLL_JOB, 1), (CATALOGUE_JOB, 2), (TOP_LISTS_JOB, 24)):
        assert "missed" in evaluate(settings, name, due=now - timedelta(hours=hours))
    assert evaluate(settings, TOP_LISTS_JOB, due=now - timedelta(hours=6)).tags, "it was off at night, every night"
    folder.write(NAME, a_sign_in(authorized_at=now - timedelta(days=200)))
    assert "has ended" in evaluate(settings, POLL_JOB, due=now)
