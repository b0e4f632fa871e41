"""Two weeks of a listener whom the demo Spotify tells of over real HTTP, and the export that comes at the end.

    python -m benchmarks.cold live EMPTY_FOLDER [--days 60]

Polled every 30 minutes by the clock of the demo, with an hour of errors and two days without a poll; then the
catalogue is asked for what it lacks, once as an app of each cohort; then an export tells everything. The client waits
by that clock too: what it waited is counted, not sat through. Asked and stored is with the code of the product's steps.
The last line of the output is an object, for `cold`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from benchmarks.floor import ZONE
from spotify_assets.assets.raw import Spotify
from spotify_assets.assets.raw.asking import Asking, Stopped, outcome_without_response
from spotify_assets.automation.jobs import ASKING_JOBS, CATALOGUE_JOB, IMPORT_JOB, TOP_LISTS_JOB
from spotify_assets.clock import Clock
from spotify_assets.definitions import build_definitions, build_warehouse
from spotify_assets.demo.exports import GENERATION_KEYS, write_extended_history
from spotify_assets.demo.listener import DemoListener
from spotify_assets.demo.spotify import DEVELOPMENT, EXTENDED, DemoClock, DemoSpotify, serve
from spotify_assets.demo.spotify.faults import storm
from spotify_assets.lakehouse import Warehouse, run_session
from spotify_assets.schemas import clean, raw_api
from spotify_assets.settings import Settings
from spotify_assets.spotify.client import SpotifyClient
from spotify_assets.spotify.model import Endpoint
from spotify_assets.spotify.quota import BUCKETS

LISTENER = "me"
FIRST_DAY, DAYS, PLAYS_PER_DAY = date(2026, 1, 5), 14, 80.0
POLLED_EVERY = timedelta(minutes=30)
STORM = datetime(2026, 1, 9, 17, tzinfo=UTC)
STORM_LASTS = timedelta(hours=1)
OUTAGE = datetime(2026, 1, 12, 6, tzinfo=UTC)
OUTAGE_LASTS = timedelta(days=2)
LONGEST_BACKLOG = 30
"""Days of asking; a backlog that lasts longer is a defect."""

CATALOGUE = ("tracks", "albums", "artists", "artist_albums", "artist_top_tracks", "search")
"""Buckets of what is no listener's own and need not be asked for twice."""


_BUCKETS = {str(endpoint): str(bucket) for endpoint, bucket in BUCKETS.items()}


@dataclass
class Waiting:
    """Lets the demo's clock go on instead of waiting."""

    clock: DemoClock
    seconds: float = 0.0

    def __call__(self, seconds: float) -> None:
        self.seconds += seconds
        self.clock.advance(timedelta(seconds=seconds))


class _Token:
    """The demo's token that is always valid."""

    def access_token(self, listener: str) -> str:
        return f"demo-TOKEN-for-{listener or LISTENER}"

    def renew(self, listener: str) -> str:
        return self.access_token(listener)


@dataclass
class _Home:
    """A home that asks the demo."""

    settings: Settings
    clock: DemoClock
    warehouse: Warehouse = field(init=False)
    waiting: Waiting = field(init=False)
    client: SpotifyClient = field(init=False)

    def __post_init__(self) -> None:
        self.warehouse = build_warehouse(self.settings)
        self.waiting = Waiting(self.clock)
        self.client = SpotifyClient.of_home(self.settings, _Token(), now=self.clock, sleep=self.waiting)

    @property
    def spotify(self) -> Spotify:
        return Spotify(
            self.client,
            [LISTENER],
            daily_budget=lambda endpoint: self.client.ledger.daily_budget(BUCKETS[endpoint]),
            quota_rows=lambda: self.client.ledger.rows(self.clock()),
        )

    def run(self, job_name: str, **config: Any) -> None:
        """Run one of the product's jobs at the instant of the demo's clock."""
        resources = {"clock": Clock(fixed_now=self.clock().isoformat()), "spotify": self.spotify}
        definitions = build_definitions(self.settings, resource_overrides=resources)
        with (
            run_session(self.warehouse, purpose="benchmark") as session,
            self.warehouse.get_connection(),
            dg.DagsterInstance.ephemeral() as instance,
        ):
            session.begin()
            definitions.resolve_job_def(job_name).execute_in_process(
                {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **config}, instance=instance
            )


def poll(home: _Home, until: datetime) -> dict[str, int]:
    """Ask for the last plays every 30 minutes, but for the outage; returns counts of polls."""
    polls: Counter[str] = Counter()
    clock = Clock(fixed_now=home.clock().isoformat())
    with (
        run_session(home.warehouse, purpose="benchmark") as session,
        # Weeks in one session: to open the file for each answer would be most of the time.
        home.warehouse.get_connection(),
        Asking(home.spotify, home.warehouse, clock) as asking,
    ):
        session.begin()
        instant = home.clock()
        while (instant := instant + POLLED_EVERY) < until:
            if OUTAGE <= instant < OUTAGE + OUTAGE_LASTS:
                continue
            home.clock.set(max(instant, home.clock()))
            asking.clock = Clock(fixed_now=home.clock().isoformat())
            try:
                asking.ask(Endpoint.RECENTLY_PLAYED, {"limit": 50}, LISTENER)
                polls["told"] += 1
            except Stopped as stopped:
                polls["failed"] += 1
                if outcome := outcome_without_response(stopped.__cause__):
                    asking.note_unanswered_poll(LISTENER, outcome)
    return dict(polls)


def ask_backlog(home: _Home, demo: DemoSpotify) -> dict[str, Any]:
    """Ask for top lists, library and catalogue, a run a day, until nothing of the catalogue is left to ask for.

    Returns:
        days; seconds_waited; requests and entities (ids asked for) by bucket; again: requests of one more run for
        what is no listener's own.
    """
    demo.requests.clear()
    waited, tally = home.waiting.seconds, home.client.tally
    sent = Counter(tally.requests)
    days = 0
    home.run(ASKING_JOBS[TOP_LISTS_JOB])
    while days < LONGEST_BACKLOG:
        before = _of_catalogue(tally.requests)
        home.run(ASKING_JOBS[CATALOGUE_JOB])
        if _of_catalogue(tally.requests) == before:
            break
        days += 1
        home.clock.advance(timedelta(days=1))
    entities: Counter[str] = Counter()
    for request in demo.requests:
        if request.status == 200 and ("id" in request.params or "ids" in request.params):
            entities[_BUCKETS[request.endpoint]] += len(request.params.get("ids", "one").split(","))
    requests = Counter(tally.requests) - sent
    seconds = home.waiting.seconds - waited
    before = _of_catalogue(tally.requests)
    home.run(ASKING_JOBS[CATALOGUE_JOB])
    return {
        "days": days,
        "seconds_waited": seconds,
        "requests": {str(bucket): count for bucket, count in requests.items()},
        "entities": dict(entities),
        "again": _of_catalogue(tally.requests) - before,
    }


def _of_catalogue(requests: Mapping[str, int]) -> int:
    return sum(requests[bucket] for bucket in CATALOGUE)


def quality(home: _Home, truth: pl.DataFrame) -> dict[str, int]:
    """How what is stored compares with what was heard.

    Args:
        home: With clean.plays built.
        truth: played_at, ended_at and ms_played of each true play.
    """
    told = home.warehouse.read(raw_api.RecentlyPlayed, ["row_id", "played_at", "track_uri"])
    plays = home.warehouse.read(clean.Plays, ["play_id", "ended_at", "ms_played", "source"])
    sources = home.warehouse.read(clean.PlaySources, ["play_id", "source_table", "source_row"])
    of_api = sources.filter(pl.col("source_table") == raw_api.RecentlyPlayed.qualified_name())
    met = (
        told.join(of_api, left_on="row_id", right_on="source_row", how="left")
        .join(plays, on="play_id", how="left")
        .join(truth.filter("is_told_by_api"), on=["played_at", "track_uri"], how="left")
    )
    is_matched = pl.col("source") != "api"
    # Exports tell whole seconds.
    is_right = (pl.col("ms_played") == pl.col("true_ms_played")) & (
        (pl.col("ended_at") - pl.col("played_at")).abs() <= timedelta(seconds=1)
    )
    covered = home.warehouse.read(clean.Coverage, ["kind"])["kind"]
    true_rows, found_rows = (
        Counter(frame.select(pl.col("ended_at").dt.truncate("1s"), "ms_played").iter_rows())
        for frame in (truth.select(ended_at="played_at", ms_played="true_ms_played"), plays)
    )
    return {
        "truth": truth.height,
        "truth_told_by_api": truth["is_told_by_api"].sum(),
        "told": told.height,
        "plays": plays.height,
        "api_only": plays.filter(source="api").height,
        "matched": met.filter(is_matched).height,
        "matched_wrongly": met.filter(is_matched & ~is_right).height,
        "missed": met.filter(~is_matched).height,
        "plays_not_as_truth": (found_rows - true_rows).total() + (true_rows - found_rows).total(),
        "gaps": int((covered == "gap").sum()),
        "outages": int((covered == "outage").sum()),
    }


def measure(folder: Path, days: int = DAYS) -> dict[str, Any]:
    """All of it, see the module, of so many days."""
    listener = DemoListener(
        first_day=FIRST_DAY, last_day=FIRST_DAY + timedelta(days=days - 1), timezone=ZONE, plays_per_day=PLAYS_PER_DAY
    )
    clock = DemoClock(datetime.combine(FIRST_DAY, datetime.min.time(), UTC))
    until = clock() + timedelta(days=days + 1)
    demo = DemoSpotify({LISTENER: listener}, now=clock)
    demo.faults.add(storm(STORM_LASTS / timedelta(minutes=1), STORM))
    told_by_api = {play.play_number for play in demo.accounts[LISTENER].plays}
    plays = listener.plays()
    truth = pl.DataFrame(
        {
            "played_at": [play.ended_at for play in plays],
            "track_uri": [play.track and play.track.uri for play in plays],
            "true_ms_played": [play.ms_played for play in plays],
            "is_told_by_api": [play.play_number in told_by_api for play in plays],
        },
        schema_overrides={"played_at": pl.Datetime("us", "UTC")},
    )
    result: dict[str, Any] = {"days": days}
    with serve(demo.app) as url:

        def home_in(name: str) -> _Home:
            return _Home(_settings(folder / name, api_url=f"{url}/v1"), clock)

        home = home_in("home")
        result["polls"] = poll(home, until)
        result["polls"] |= {
            "requests": sum(home.client.tally.requests.values()),
            "seconds_waited": home.waiting.seconds,
            "seconds_waited_for_errors": home.client.tally.seconds_waited,
        }
        clock.set(max(until, clock()))
        home.run(IMPORT_JOB)
        result["before_export"] = quality(home, truth)
        asked_at = clock()
        result["backlog"] = {}
        for cohort in (DEVELOPMENT, EXTENDED):
            shutil.copytree(home.settings.home, folder / cohort.name, symlinks=True)
            clock.set(asked_at)
            demo.cohort = cohort
            demo.quota.clear()
            result["backlog"][cohort.name] = ask_backlog(home_in(cohort.name), demo)
    export = folder / "export" / "my_spotify_data.zip"
    write_extended_history(plays, export, generation=list(GENERATION_KEYS)[-1])
    # The catalogue's ISRCs help: the app of the development cohort knows them.
    told = _Home(_settings(folder / DEVELOPMENT.name), clock)
    config = {"paths": [str(export)], "listener": LISTENER}
    told.run(IMPORT_JOB, ops={"streaming_history": {"config": config}})
    result["after_export"] = quality(told, truth)
    return result


def _settings(home: Path, **named: Any) -> Settings:
    """Of a home that asks no provider."""
    providers = {"audio_feature_providers": "", "genre_providers": ""}
    return Settings(home=home, listener=LISTENER, timezone=ZONE, **providers, **named)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Live data of the demo Spotify against the truth.")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--days", type=int, default=DAYS)
    told = arguments.parse_args()
    print(json.dumps(measure(told.folder, told.days)))


if __name__ == "__main__":
    main()
