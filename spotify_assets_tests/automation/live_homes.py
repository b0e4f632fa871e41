"""Homes that ask the demo Spotify over HTTP, by a clock that goes on only while somebody waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from spotify_assets.assets.raw.asking import ANSWERED_CHECK
from spotify_assets.automation.jobs import ASKING_JOBS, CATALOGUE_JOB, POLL_JOB, TOP_LISTS_JOB
from spotify_assets.clock import Clock
from spotify_assets.definitions import build_definitions, build_spotify
from spotify_assets.demo.listener import DemoListener
from spotify_assets.demo.spotify import DEVELOPMENT, DemoSpotify, serve
from spotify_assets.demo.spotify.accounts import Accounts
from spotify_assets.demo.spotify.cohorts import Cohort
from spotify_assets.instance import open_instance
from spotify_assets.lakehouse import scan_table
from spotify_assets.settings import Settings
from spotify_assets.spotify.sign_in import sign_in
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.spotify.demo_accounts import APP
from spotify_assets_tests.spotify.persons import Person

NAME = "demo"
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOBS = (POLL_JOB, TOP_LISTS_JOB, CATALOGUE_JOB)


def small_listener(*, plays_per_day: float = 5.0) -> DemoListener:
    """Some days of plays, all of them before `BEGIN`: what Spotify tells is the same whenever it is asked."""
    return DemoListener(
        first_day=(BEGIN - timedelta(days=4)).date(),
        last_day=(BEGIN - timedelta(days=1)).date(),
        timezone="UTC",
        plays_per_day=plays_per_day,
    )


CHECKED = (
    *("recently_played", "top_artists", "saved_tracks", "playlists"),
    *("tracks", "artist_albums", "artist_top_tracks"),
)
"""The raw tables with the check that Spotify has answered."""


@dataclass
class Time:
    """The instant; it is later when somebody has waited, and when a test says so."""

    instant: datetime = BEGIN
    waited_seconds: float = 0.0

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)
        self.waited_seconds += seconds

    def forward(self, **ahead: float) -> None:
        self.instant += timedelta(**ahead)


@dataclass
class Served:
    """A demo Spotify that is being served.

    Attributes:
        asked: How often each path was asked, that of the accounts service as well.
    """

    time: Time
    demo: DemoSpotify
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)


@contextmanager
def demo_spotify(listener: DemoListener, *, time: Time | None = None, cohort: Cohort = DEVELOPMENT) -> Iterator[Served]:
    """Serve a demo Spotify without ceilings, which no listener has asked anything yet."""
    time = time or Time()
    demo = DemoSpotify({NAME: listener}, now=time.now, cohort=cohort, ceilings={}, requests_in_30_seconds=None)
    demo.include(Accounts(demo.tokens, time.now, listeners=(NAME,)).routes)
    served = Served(time, demo)

    async def counted(scope: dict[str, Any], receive: Any, send: Any) -> None:
        served.asked[scope["path"]] += 1
        await demo.app(scope, receive, send)

    with serve(counted) as served.url:
        yield served
    assert demo.failures == []


def settings_at(folder: Path, url: str, **named: object) -> Settings:
    """Settings of a home that takes what is served at an address for Spotify."""
    return settings_of(
        folder,
        **{
            "timezone": "UTC",
            "bi_copies": "",
            "api_url": f"{url}/v1",
            "accounts_url": url,
            "requests_per_second": 1000.0,
        },
        **named,
    )


@dataclass(frozen=True)
class Execution:
    """A job that has ended well.

    Attributes:
        jobs: The jobs that ran in it, in order.
        waited_seconds: How long Spotify made it wait.
    """

    jobs: list[str]
    waited_seconds: float


@dataclass
class LiveHome:
    """A home whose listener is signed in.

    Attributes:
        time: That of the demo Spotify which it asks.
    """

    settings: Settings
    time: Time

    @classmethod
    def at(cls, folder: Path, served: Served, **named: object) -> LiveHome:
        """A new one."""
        home = cls(settings_at(folder, served.url, **named), served.time)
        home.sign_in()
        return home

    def sign_in(self) -> None:
        """Sign in on the demo's consent page."""
        settings, time = self.settings, self.time
        sign_in(settings, Person(), now=time.now, sleep=time.sleep, client_id=APP.client_id, uses_browser=False)

    def run(self, job_name: str) -> Execution:
        """Run a job as the daemon does."""
        time = self.time
        before = time.waited_seconds
        definitions = build_definitions(
            self.settings,
            resource_overrides={
                "clock": Clock(fixed_now=time.now().isoformat()),
                "spotify": build_spotify(self.settings, now=time.now, sleep=time.sleep),
            },
        )
        with open_instance(self.settings) as instance:
            known = {record.dagster_run.run_id for record in instance.get_run_records()}
            result = definitions.resolve_job_def(job_name).execute_in_process(instance=instance)
            assert result.success
            records = instance.get_run_records(ascending=True)
        ran = [each.dagster_run.job_name for each in records if each.dagster_run.run_id not in known]
        return Execution(ran, time.waited_seconds - before)

    def run_all(self) -> list[Execution]:
        """Run every job that asks, one after the other."""
        return [self.run(job_name) for job_name in JOBS]

    def ask_all(self) -> list[Execution]:
        """As `run_all`, without building anything of what came."""
        return [self.run(ASKING_JOBS[job_name]) for job_name in JOBS]

    def table(self, name: str) -> pl.DataFrame:
        return scan_table(self.settings.home, name).collect()

    def obstacles(self) -> dict[str, str]:
        """By table what its check last said that keeps Spotify from answering."""
        with open_instance(self.settings) as instance:
            keys = [dg.AssetCheckKey(dg.AssetKey(["raw", name]), ANSWERED_CHECK) for name in CHECKED]
            found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
            evaluations = {
                key.asset_key.path[-1]: record.event.dagster_event.asset_check_evaluation_data
                for key, record in found.items()
                if record.event
            }
        return {name: each.description for name, each in evaluations.items() if not each.passed}


def ask_in_this_process(home: Path, url: str, instant: datetime, *job_names: str) -> None:
    """Run jobs, to be killed meanwhile."""
    living = LiveHome(settings_at(home, url), Time(instant))
    for job_name in job_names:
        living.run(job_name)
