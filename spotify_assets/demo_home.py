"""The demo's home: filled with exports, recorded polls and what a demo Spotify tells; served beside the UI."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import SecretStr

from spotify_assets import progress
from spotify_assets.automation.jobs import ASK_EVERYTHING_JOB, IMPORT_PURPOSE
from spotify_assets.clock import Clock
from spotify_assets.commands import Finished, build, serve_ui
from spotify_assets.definitions import build_warehouse
from spotify_assets.demo import DemoPackages
from spotify_assets.demo.services import COHORTS, DemoServices, Story, record_polls, serve_demo
from spotify_assets.demo.spotify import EXTENDED
from spotify_assets.demo.spotify.accounts import answer_consent_page
from spotify_assets.instance import open_instance
from spotify_assets.lakehouse import MirrorReport, run_session
from spotify_assets.settings import Settings
from spotify_assets.spotify.credentials import forget_credentials
from spotify_assets.spotify.sign_in import REDIRECT_URI, Dialogue, sign_in, sign_out
from spotify_assets.spotify.token_folder import TokenFolder


@dataclass(frozen=True)
class DemoFinished(Finished):
    """What the demo did: its import, and what came after it.

    Attributes:
        asked: What came of asking the demo Spotify and the providers' stand-ins; None when they were not asked.
        requests: How many requests each of its buckets had.
        mirror: What the mirror wrote; None when that failed, or there was nothing to write.
    """

    asked: Finished | None = None
    requests: dict[str, int] = field(default_factory=dict)
    mirror: MirrorReport | None = None


def make_demo(settings: Settings, *, years: int, cohort: str = EXTENDED.name) -> DemoFinished:
    """Invent a listener, take in that listener's exports and recorded polls, then sign in to the demo Spotify and ask
    for everything else.

    Args:
        settings: Of the demo's home.
        years: Of the exports.
        cohort: One of COHORTS: what kind of app asks.
    """
    warehouse = build_warehouse(settings)
    # One publication and one mirroring of all: half of what the first would have written, the second writes anew.
    with open_instance(settings) as instance, run_session(warehouse, purpose="demo", instance=instance) as session:
        finished = _tell_story(settings, years, cohort)
    return replace(finished, mirror=session.mirror_report)


def _tell_story(settings: Settings, years: int, cohort: str) -> DemoFinished:
    folder = _exports_folder(settings)
    now = Clock().now
    story = Story.beginning(Clock().today(settings.zone_name), years=years, timezone=settings.zone_name, cohort=cohort)
    progress.report("Inventing a listener")
    packages = story.write_packages(folder)
    progress.report("Recording polls")
    recording = record_polls(packages, story, folder, until=now())
    finished = build(
        settings,
        {"paths": [str(path) for path in packages.paths], "listener": settings.listener},
        purpose=IMPORT_PURPOSE,
        replay_config={"paths": [str(recording)]},
    )
    # Only now: a home without it is made anew.
    story.write(folder)
    if not finished.outcome.is_success:
        return DemoFinished(finished.outcome, finished.report, finished.failure)
    with _signed_in(settings, packages, story) as (served, services):
        progress.report("Asking the demo Spotify")
        asked = build(served, {}, purpose=ASK_EVERYTHING_JOB, asking_job=ASK_EVERYTHING_JOB)
        requests = dict(services.spotify.requests.by_bucket())
    return DemoFinished(finished.outcome, finished.report, finished.failure, asked=asked, requests=requests)


def is_demo(settings: Settings) -> bool:
    """Whether a home is one that `make_demo` has made."""
    return Story.read(_exports_folder(settings)) is not None


def serve_demo_ui(settings: Settings, port: int, *, tell: Callable[[Settings, int], None]) -> int:
    """As `commands.serve_ui`, on a home of `make_demo`, beside a demo Spotify in which its listener goes on listening.

    Args:
        settings: Of the demo's home.
        port: Of the UI.
        tell: Is told the settings with which the demo Spotify is asked, and the port.
    """
    folder = _exports_folder(settings)
    story = Story.read(folder)
    assert story is not None, "is_demo tells"
    with _signed_in(settings, story.write_packages(folder), story) as (served, _):
        tell(served, port)
        return serve_ui(served, port)


def _exports_folder(settings: Settings) -> Path:
    return settings.paths.home / "exports"


class _Visitor(Dialogue):
    """Agrees on the demo's consent page as a person would, and pastes the address at which the browser ends."""

    _url = ""

    def show_address(self, url: str, *, seconds: float | None) -> None:
        self._url = url

    def ask_answer(self) -> str:
        return answer_consent_page(self._url, follows=False).headers["Location"]


@contextmanager
def _signed_in(settings: Settings, packages: DemoPackages, story: Story) -> Iterator[tuple[Settings, DemoServices]]:
    """Settings with which a demo Spotify is asked, for as long as it is served and its listener is signed in."""
    now = Clock().now
    with serve_demo(packages, now=now, cohort=COHORTS[story.cohort]) as services:
        served = settings.model_copy(
            update={
                "api_url": f"{services.spotify_url}/v1",
                "accounts_url": services.spotify_url,
                # Whatever real app the environment names must not be told to the demo, nor the demo's to Spotify.
                "client_id": services.app.client_id,
                "client_secret": SecretStr(services.app.client_secret),
                "redirect_uri": REDIRECT_URI,
                "requests_per_second": 1000.0,
                # The demo is to take less than a minute; what it leaves to the next day shows how a backlog goes on.
                "daily_budgets": "tracks=50, albums=30, artist_albums=30, artist_top_tracks=30",
                "provider_requests_per_run": 20,
                "audio_feature_providers": "spotify,reccobeats",
                "reccobeats_url": services.reccobeats_url,
                "genre_providers": "musicbrainz",
                "musicbrainz_url": services.musicbrainz_url,
                "contact": "demo@example.com",
                "provider_seconds_between_requests": 0.0,
            }
        )
        try:
            sign_in(served, _Visitor(), now=now, sleep=time.sleep, uses_browser=False)
            yield served, services
        finally:
            sign_out(served)
            TokenFolder(served.paths.tokens_folder).remove("")
            forget_credentials(served.paths)
