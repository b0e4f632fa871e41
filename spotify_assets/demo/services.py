"""The demo's story and everything that answers in it: a listener who asked Spotify for an export some days ago, whose
last plays were polled since, and who goes on listening.

The story is kept beside the exports, so that the same listener goes on when the services are started again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import requests

from spotify_assets.demo import DemoPackages, write_demo_packages
from spotify_assets.demo.providers import DemoMusicBrainz, DemoReccoBeats
from spotify_assets.demo.spotify import DEVELOPMENT, EXTENDED, Cohort, DemoAccount, DemoSpotify, serve
from spotify_assets.demo.spotify.accounts import Accounts, DemoApp
from spotify_assets.demo.spotify.catalogue import audio_features

LISTENER = "demo"
COHORTS = {cohort.name: cohort for cohort in (EXTENDED, DEVELOPMENT)}
EXPORTED_DAYS_AGO = 10
POLLED_EVERY = timedelta(minutes=30)

_POLLED_DAYS_BEFORE_THE_EXPORT = 3
_OUTAGE_LASTS = timedelta(hours=40)
_GOES_ON_FOR = timedelta(days=120)
_RECORDING = "recorded_polls.jsonl"


@dataclass(frozen=True, slots=True)
class Story:
    """What the demo's listener follows from.

    :param last_exported_day: last local day of the exports.
    :param live_until: last local day on which the listener listens.
    :param years: length of the history before the exports end.
    :param timezone: IANA name of the listener's zone.
    :param cohort: name of what kind of app asks: one of COHORTS.
    """

    last_exported_day: date
    live_until: date
    years: int
    timezone: str
    cohort: str = EXTENDED.name

    @classmethod
    def beginning(cls, today: date, *, years: int, timezone: str, cohort: str) -> Story:
        """The story as it is told on its first day."""
        return cls(today - timedelta(days=EXPORTED_DAYS_AGO), today + _GOES_ON_FOR, years, timezone, cohort)

    @classmethod
    def read(cls, folder: Path) -> Story | None:
        """The story that was kept in a folder; None where none can be read."""
        try:
            told = json.loads((folder / "story.json").read_text())
            days = {name: date.fromisoformat(told.pop(name)) for name in ("last_exported_day", "live_until")}
            story = cls(**days, **told)
            return story if story.cohort in COHORTS else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, folder: Path) -> None:
        """:raises OSError: when ``folder`` cannot be written."""
        (folder / "story.json").write_text(json.dumps(asdict(self), default=str, indent=1) + "\n")

    def write_packages(self, folder: Path) -> DemoPackages:
        """Invent the listener and write the exports."""
        return write_demo_packages(
            folder,
            last_day=self.last_exported_day,
            years=self.years,
            timezone=self.timezone,
            live_until=self.live_until,
        )


@dataclass(frozen=True, slots=True)
class DemoServices:
    """Where the demo's services answer, for as long as they are served.

    :param app: the app to sign in with.
    """

    spotify: DemoSpotify
    app: DemoApp
    spotify_url: str
    reccobeats_url: str
    musicbrainz_url: str


@contextmanager
def serve_demo(
    packages: DemoPackages, *, now: Callable[[], datetime], cohort: Cohort = EXTENDED
) -> Iterator[DemoServices]:
    """Serve Web API, accounts service and providers of features and genres on the loopback address.

    :param now: the time (UTC): the listener has heard what was played until then.
    :raises RuntimeError: when a server does not start.
    """
    account = DemoAccount(LISTENER, packages.listener, library_plays=packages.plays)
    # An evening with the demo must not end in a day's lock.
    spotify = DemoSpotify({LISTENER: account}, now=now, cohort=cohort, ceilings={})
    app = DemoApp(name="The demo's lakehouse")
    spotify.include(Accounts(spotify.tokens, now, apps=(app,), listeners=(LISTENER,)).routes)
    tracks = packages.listener.catalogue.tracks
    reccobeats = DemoReccoBeats(tracks, features_of=audio_features)
    musicbrainz = DemoMusicBrainz(tracks, artists_of=spotify.catalogue.credits)
    with ExitStack() as stack:
        urls = [stack.enter_context(serve(each.app)) for each in (spotify, reccobeats, musicbrainz)]
        yield DemoServices(spotify, app, *urls)


def record_polls(packages: DemoPackages, story: Story, folder: Path, *, until: datetime) -> Path:
    """Poll the demo Spotify every half hour since shortly before the exports end, as somebody's recorder would have,
    but for an outage that lost some plays.

    :param until: no poll is made later.
    :returns: file of JSON Lines: listener, endpoint, params, fetched_at, status, body.
    :raises OSError: when ``folder`` cannot be written.
    """
    begin = story.last_exported_day - timedelta(days=_POLLED_DAYS_BEFORE_THE_EXPORT)
    polled_at = datetime.combine(begin, time(), ZoneInfo(story.timezone)).astimezone(until.tzinfo)
    instant = polled_at

    def clock() -> datetime:
        return instant

    account = DemoAccount(LISTENER, packages.listener, library_plays=())
    outage = _busiest(account, _OUTAGE_LASTS, until - timedelta(days=EXPORTED_DAYS_AGO - 2), until - timedelta(days=1))
    spotify = DemoSpotify({LISTENER: account}, now=clock, cohort=DEVELOPMENT, ceilings={})
    file = folder / _RECORDING
    endpoint, params = "/me/player/recently-played", {"limit": 50}
    with serve(spotify.app) as url, requests.Session() as session, file.open("w", encoding="utf-8") as lines:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer demo-TOKEN-for-{LISTENER}"
        while instant <= until:
            if not outage < instant < outage + _OUTAGE_LASTS:
                answer = session.get(f"{url}/v1{endpoint}", params=params, timeout=10)
                told = {"listener": LISTENER, "endpoint": endpoint, "params": params, "fetched_at": instant.isoformat()}
                # As it came: a parsed body would have lost what only the text tells.
                head = json.dumps({**told, "status": answer.status_code})
                lines.write(f'{head[:-1]}, "body": {answer.text}}}\n')
            instant += POLLED_EVERY
    return file


def _busiest(account: DemoAccount, duration: timedelta, since: datetime, until: datetime) -> datetime:
    """When the ``duration`` with the most plays begins: an outage in a quiet time would lose none."""
    hours = int((until - duration - since) / timedelta(hours=1))
    ends = [play.ended_at for play in account.plays if since <= play.ended_at <= until]
    begins = [since + timedelta(hours=hour) for hour in range(hours)]
    return max(begins, key=lambda begin: sum(begin < end < begin + duration for end in ends))
