"""The jobs that ask Spotify, on the demo Spotify over HTTP: what comes is in the tables when they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from spotify_assets.definitions import build_definitions, build_warehouse
from spotify_assets.demo.listener import DemoListener
from spotify_assets.demo.spotify import DEVELOPMENT, EXTENDED, DemoSpotify, faults, serve
from spotify_assets.demo.spotify.accounts import Accounts
from spotify_assets.instance import open_instance
from spotify_assets.lakehouse import scan_table
from spotify_assets.schemas import raw_api
from spotify_assets.settings import Settings
from spotify_assets.spotify.credentials import Credentials, keep_credentials
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets_tests.automation.ticks import days_ago
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.spotify.token_processes import a_sign_in

NAME = "demo"
CLIENT_ID = "0123456789abcdef0123456789abcdef"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def listener() -> DemoListener:
    return DemoListener(first_day=days_ago(6), last_day=days_ago(0), timezone="UTC", plays_per_day=30.0)


@contextmanager
def demo_spotify(listener: DemoListener) -> Iterator[tuple[DemoSpotify, str]]:
    demo = DemoSpotify({NAME: listener}, now=now, cohort=DEVELOPMENT, ceilings={}, requests_in_30_seconds=None)
    demo.include(Accounts(demo.tokens, now, listeners=(NAME,)).routes)
    with serve(demo.app) as url:
        yield demo, url
    assert demo.failures == []


def home_of(folder: Path, url: str, **named: object) -> Settings:
    return settings_of(
        folder, timezone="UTC", api_url=f"{url}/v1", accounts_url=url, requests_per_second=1000.0, **named
    )


def sign_in(settings: Settings) -> None:
    """What `spotify-assets login` leaves in a home."""
    settings.home.mkdir(parents=True, exist_ok=True)
    keep_credentials(settings.paths, Credentials(CLIENT_ID))
    TokenFolder(settings.paths.tokens_folder).write(
        NAME,
        a_sign_in(access_token=f"demo-TOKEN-for-{NAME}", authorized_at=now(), expires_at=now() + timedelta(hours=1)),
    )


def run(settings: Settings, job_name: str) -> list[str]:
    """Run a job as the daemon does; returns the jobs that ran in it, in order."""
    with open_instance(settings) as instance:
        before = {record.dagster_run.run_id for record in instance.get_run_records()}
        result = build_definitions(settings).resolve_job_def(job_name).execute_in_process(instance=instance)
        assert result.success
        records = instance.get_run_records(ascending=True)
        return [each.dagster_run.job_name for each in records if each.dagster_run.run_id not in before]


def table(settings: Settings, name: str) -> pl.DataFrame:
    return scan_table(settings.home, name).collect()


def test_a_poll_brings_plays_into_every_table_and_one_without_news_builds_nothing(
    listener: DemoListener, tmp_path: Path
) -> None:
    with demo_spotify(listener) as (demo, url):
        settings = home_of(tmp_path, url)
        sign_in(settings)
        assert run(settings, "poll") == ["poll", "ask_recently_played", "import_exports", "daily"]
        told = table(settings, "raw.recently_played")
        assert told.height == 50
        plays = table(settings, "clean.plays")
        assert plays.height == 50 and set(plays["source"]) == {"api"}
        assert table(settings, "daily.listening")["plays"].sum() == 50
        assert table(settings, "clean.play_sources").height == 50
        # A play may have ended between the polls, in which case there is news.
        if demo.requests.count(endpoint="/me/player/recently-played") == 1 and run(settings, "poll") == [
            "poll",
            "ask_recently_played",
        ]:
            assert table(settings, "raw.polls").height == 1, "a poll without news is no reason to copy everything"
            assert build_warehouse(settings).counts((raw_api.Polls,)) == {raw_api.Polls: 2}
            run(settings, "ask_recently_played")
            assert table(settings, "raw.polls").height == 3, "a step that is started in the UI is published at once"


def test_without_a_sign_in_everything_ends_well_and_says_how_to_sign_in(listener: DemoListener, tmp_path: Path) -> None:
    with demo_spotify(listener) as (demo, url):
        settings = home_of(tmp_path, url)
        for job_name in ("poll", "top_lists", "catalogue_backlog"):
            run(settings, job_name)
        assert demo.requests.count() == 0
        with open_instance(settings) as instance:
            checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(
                [dg.AssetCheckKey(dg.AssetKey(["raw", "recently_played"]), "spotify_answered")]
            )
            (execution,) = checks.values()
        evaluation = execution.event.dagster_event.asset_check_evaluation_data
        assert not evaluation.passed and "spotify-assets login" in evaluation.description


@pytest.mark.parametrize("cohort", [DEVELOPMENT, EXTENDED], ids=["development", "extended"])
def test_top_lists_and_catalogue_tell_what_exports_never_do(cohort, listener: DemoListener, tmp_path: Path) -> None:
    with demo_spotify(listener) as (demo, url):
        demo.cohort = cohort
        settings = home_of(tmp_path, url)
        sign_in(settings)
        for job_name in ("poll", "top_lists", "catalogue_backlog"):
            run(settings, job_name)
        asked = demo.requests.count(bucket="tracks")
        assert set(table(settings, "clean.top_artists")["time_range"]) == {"short_term", "medium_term", "long_term"}
        tracks = table(settings, "clean.tracks")
        assert tracks["duration_ms"].null_count() == 0 and tracks["isrc"].null_count() < tracks.height
        assert table(settings, "clean.saved_tracks").height > 0
        assert table(settings, "raw.api_quota").height > 0
        told = table(settings, "clean.track_features")
        assert set(told["source"]) == ({"spotify"} if cohort is EXTENDED else set())
        run(settings, "catalogue_backlog")
        assert demo.requests.count(bucket="tracks") == asked, "nothing that is known is asked for again"


def test_a_locked_bucket_ends_its_step_and_leaves_the_others_alone(listener: DemoListener, tmp_path: Path) -> None:
    with demo_spotify(listener) as (demo, url):
        settings = home_of(tmp_path, url)
        sign_in(settings)
        demo.quota.lock("artist-albums")
        for job_name in ("poll", "top_lists", "catalogue_backlog"):
            run(settings, job_name)
        assert table(settings, "raw.tracks").height > 0
        refused = demo.requests.count(bucket="artist-albums")
        assert refused <= 1
        run(settings, "catalogue_backlog")
        assert demo.requests.count(bucket="artist-albums") == refused, "a locked bucket is left alone"


def test_a_storm_of_errors_ends_a_poll_well_and_the_next_one_has_everything(
    listener: DemoListener, tmp_path: Path
) -> None:
    with demo_spotify(listener) as (demo, url):
        settings = home_of(tmp_path, url)
        sign_in(settings)
        demo.faults.add(faults.cut(None))
        run(settings, "poll")
        assert table(settings, "raw.polls")["outcome"].to_list() == ["failed"]
        demo.faults.clear()
        run(settings, "poll")
        assert table(settings, "clean.plays").height == 50


def evaluate(settings: Settings, name: str, *, due: datetime) -> dg.SkipReason | dg.RunRequest:
    definitions = build_definitions(settings)
    context = dg.build_schedule_context(
        scheduled_execution_time=due, resources={"clock": definitions.resources["clock"]}
    )
    tick = definitions.resolve_schedule_def(name).evaluate_tick(context)
    return tick.run_requests[0] if tick.run_requests else tick.skip_message


def test_schedules_ask_only_for_somebody_who_is_signed_in_and_do_not_catch_up(tmp_path: Path) -> None:
    settings = home_of(tmp_path, "http://127.0.0.1:9")
    for name in ("poll", "top_lists", "catalogue_backlog"):
        assert "spotify-assets login" in evaluate(settings, name, due=now())
    sign_in(settings)
    for name in ("poll", "top_lists", "catalogue_backlog"):
        assert evaluate(settings, name, due=now()).tags["spotify_assets/purpose"] == name
    for name, hours in (("poll", 1), ("catalogue_backlog", 2), ("top_lists", 24)):
        assert "missed" in evaluate(settings, name, due=now() - timedelta(hours=hours))
    assert evaluate(settings, "top_lists", due=now() - timedelta(hours=6)).tags, "it was off at night, every night"
    TokenFolder(settings.paths.tokens_folder).write(NAME, a_sign_in(authorized_at=now() - timedelta(days=200)))
    assert "has ended" in evaluate(settings, "poll", due=now())
