"""Whatever Spotify does: every job ends well and soon, says why something is missing, and the next one brings it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spotify_assets.assets.raw.asking import RESPONSES_PER_LOT
from spotify_assets.automation.jobs import ASKING_JOBS, CATALOGUE_JOB, DAILY_JOB, IMPORT_JOB, POLL_JOB, TOP_LISTS_JOB
from spotify_assets.demo.catalogue import DemoCatalogue, DemoTrack
from spotify_assets.demo.spotify import DEVELOPMENT, EXTENDED, DemoSpotify, faults
from spotify_assets.demo.spotify.catalogue import WholeCatalogue
from spotify_assets.demo.spotify.cohorts import Cohort
from spotify_assets.demo.spotify.request_log import LoggedRequest
from spotify_assets.lakehouse import Warehouse
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets_tests.assets.stored_plays import store_plays
from spotify_assets_tests.automation import live_homes
from spotify_assets_tests.automation.live_homes import (
    BEGIN,
    CHECKED,
    NAME,
    Execution,
    LiveHome,
    Served,
    Time,
    demo_spotify,
    small_listener,
)
from spotify_assets_tests.lakehouse import processes

LONGEST_SECONDS = 120
ASKED_EACH_TIME = {"/me", "/me/tracks", "/me/playlists", "/me/player/recently-played"}
"""Endpoints that tell whether there is news: they are asked whatever is known."""


def is_short(executions: list[Execution]) -> bool:
    return all(execution.waited_seconds < LONGEST_SECONDS for execution in executions)


def answered_twice(demo: DemoSpotify) -> list[tuple[str, ...]]:
    """What was asked for again although it had been answered, but for what is asked each time."""
    answered = Counter(
        (request.endpoint, *sorted(map(str, request.params.items())))
        for request in demo.requests
        if request.status == 200 and request.fault not in ("cut",) and request.endpoint not in ASKED_EACH_TIME
    )
    return [question for question, times in answered.items() if times > 1]


def asked_of_catalogue(demo: DemoSpotify) -> Counter[str]:
    counts = demo.requests.by_endpoint()
    return Counter({endpoint: count for endpoint, count in counts.items() if endpoint not in ASKED_EACH_TIME})


@pytest.mark.long
def test_storms_cut_connections_a_dead_sign_in_and_a_locked_bucket_lose_nothing(tmp_path: Path) -> None:
    # Six months after it, the sign-in dies: two hours after this begins.
    signed_in_at = BEGIN.replace(year=2025, month=9) + timedelta(hours=2)
    with demo_spotify(small_listener(), time=Time(signed_in_at)) as served:
        demo, clock = served.demo, served.time
        home = LiveHome.at(tmp_path, served)
        clock.instant = BEGIN

        for fault, why in (
            (faults.server_error(), "error of its own (HTTP 503)"),
            (faults.cut(None), "connection to 127.0.0.1"),
            (faults.cut(20), "broke its answer off"),
        ):
            with demo.faults.during(fault):
                assert is_short(home.run_all())
            obstacles = home.obstacles()
            assert obstacles.keys() >= {"recently_played", "top_artists", "saved_tracks", "playlists"}
            assert all(why in text for text in obstacles.values()), obstacles
            clock.forward(minutes=10)
        assert set(home.table("raw.polls")["outcome"]) == {"failed"}

        home.run(ASKING_JOBS[POLL_JOB])
        home.run(ASKING_JOBS[TOP_LISTS_JOB])
        plays = home.table("raw.recently_played").height
        assert plays == len(demo.accounts[NAME].plays)
        assert "recently_played" not in home.obstacles()

        clock.forward(hours=2)
        asked, of_accounts = len(demo.requests), served.asked["/api/token"]
        assert is_short(home.run_all())
        assert (len(demo.requests), served.asked["/api/token"]) == (asked, of_accounts + 1)
        obstacles = home.obstacles()
        assert obstacles.keys() >= set(CHECKED) - {"tracks"}
        assert all(f"spotify-assets login --listener {NAME}" in text for text in obstacles.values()), obstacles
        assert home.table("raw.recently_played").height == plays

        home.sign_in()
        demo.quota.lock("artist-albums")
        for _ in range(2):
            assert is_short([home.run(ASKING_JOBS[CATALOGUE_JOB])])
            (why,) = home.obstacles().keys() & {"artist_albums"}
            assert demo.requests.count(bucket="artist-albums") == 1, "a locked bucket is left alone"
        assert f"{clock.now() + timedelta(days=1):%Y-%m-%d}" in home.obstacles()[why]
        assert home.obstacles().keys() == {"recently_played", "top_artists", "artist_albums"}
        assert home.table("raw.artists").height > 0 and home.table("raw.artist_top_tracks").height > 0

        clock.forward(hours=25)
        assert is_short(home.ask_all())
        assert home.obstacles() == {}
        assert home.table("raw.artist_albums").height > 0
        demo.requests.clear()
        home.run(ASKING_JOBS[CATALOGUE_JOB])
        assert asked_of_catalogue(demo) == {}


@pytest.mark.long
def test_an_hour_of_intermittent_401s_costs_neither_the_sign_in_nor_an_answer(tmp_path: Path) -> None:
    with demo_spotify(small_listener()) as served:
        demo, clock = served.demo, served.time
        home = LiveHome.at(tmp_path, served)
        demo.faults.add(faults.unauthorized(share=0.5, until=BEGIN + timedelta(hours=1)))
        executions = home.ask_all()
        clock.instant = BEGIN + timedelta(minutes=30)
        executions += [home.run(ASKING_JOBS[POLL_JOB]), home.run(ASKING_JOBS[CATALOGUE_JOB])]
        assert demo.requests.count(status=401) > 10
        clock.instant = BEGIN + timedelta(minutes=70)
        executions += home.ask_all()
        assert is_short(executions)
        assert home.obstacles() == {}
        assert home.table("raw.recently_played").height == len(demo.accounts[NAME].plays)
        twice = {question for question, *_ in answered_twice(demo)}
        assert twice <= {"/me/top/artists", "/me/top/tracks"}, "the job of the top lists ran twice"
        assert TokenFolder(home.settings.paths.tokens_folder).read(NAME).access_token
        assert served.asked["/api/token"] < 20


def big_catalogue(tracks: int) -> tuple[DemoCatalogue, list[DemoTrack]]:
    """A catalogue of its own and so many tracks of it."""
    catalogue = DemoCatalogue(random.Random("backlog"))
    made: list[DemoTrack] = []
    while len(made) < tracks:
        made += catalogue.make_artist(2020)
    return catalogue, made[:tracks]


def with_backlog(home: LiveHome, demo: DemoSpotify, number: int) -> list[DemoTrack]:
    """Have so many tracks be played that nobody knows more of than their ids."""
    catalogue, tracks = big_catalogue(number)
    demo.catalogue = WholeCatalogue([demo.accounts[NAME].listener.catalogue, catalogue])
    # Its objects are made anew for a catalogue.
    demo.cohort = demo.cohort
    store_plays(Warehouse.from_settings(home.settings), tracks)
    return tracks


def ids_of(request: LoggedRequest) -> list[str]:
    return (request.params.get("ids") or request.params["id"]).split(",")


def fetch_backlog(folder: Path, cohort: Cohort, number: int) -> dict[str, tuple[int, int]]:
    """Have a catalogue fetched in one run, and nothing in the next.

    Returns:
        By kind how many were asked for, and with how many requests.
    """
    batches = {"track": ("/tracks", 50), "album": ("/albums", 20), "artist": ("/artists", 50)}
    with demo_spotify(small_listener(), cohort=cohort) as served:
        demo = served.demo
        budgets = ", ".join(f"{bucket}={2 * number}" for bucket in ("tracks", "albums", "artists"))
        home = LiveHome.at(folder, served, daily_budgets=budgets)
        tracks = with_backlog(home, demo, number)
        home.run(ASKING_JOBS[CATALOGUE_JOB])
        asked: dict[str, tuple[int, int]] = {}
        for kind, (path, batch_size) in batches.items():
            if not cohort.has_batches:
                # Whether it may, the first request of each kind finds out; single calls follow.
                assert demo.requests.count(endpoint=path) <= 1
                path, batch_size = f"{path}/{{id}}", 1
            requests = demo.requests.select(endpoint=path)
            ids = [each for request in requests for each in ids_of(request)]
            assert len(ids) == len(set(ids)), "nothing is asked for twice"
            assert len(requests) == -(-len(ids) // batch_size)
            asked[kind] = (len(ids), len(requests))
            if kind == "track":
                assert set(ids) >= {track.track_id for track in tracks}
        assert home.obstacles() == {}
        known = set(home.table("raw.tracks")["track_id"]) | set(home.table("raw.missing_objects")["object_id"])
        assert known >= {track.track_id for track in tracks}
        demo.requests.clear()
        home.run(ASKING_JOBS[CATALOGUE_JOB])
        assert asked_of_catalogue(demo) == {}
    return asked


@pytest.mark.long
def test_an_old_app_fetches_a_backlog_in_batches(tmp_path: Path) -> None:
    asked = fetch_backlog(tmp_path, EXTENDED, 1_010)
    assert asked == {"track": (1_010, 21), "album": (147, 8), "artist": (70, 2)}


@pytest.mark.long
def test_a_new_app_fetches_a_backlog_one_by_one(tmp_path: Path) -> None:
    asked = fetch_backlog(tmp_path, DEVELOPMENT, 120)
    # Tracks tell of their albums all that a new app is told.
    assert asked == {"track": (120, 120), "album": (0, 0), "artist": (23, 23)}


@pytest.mark.soak
@pytest.mark.parametrize("cohort", [DEVELOPMENT, EXTENDED], ids=["development", "extended"])
def test_ten_thousand_tracks_are_fetched_with_the_fewest_requests(
    cohort: Cohort, tmp_path: Path, tell_figure: Callable[[str, str], None]
) -> None:
    began = time.monotonic()
    asked = fetch_backlog(tmp_path, cohort, 10_000)
    seconds = time.monotonic() - began
    assert asked["track"] == (10_000, 200 if cohort is EXTENDED else 10_000)
    told = ", ".join(f"{entities:,} {kind}s in {requests:,}" for kind, (entities, requests) in asked.items())
    tell_figure(
        f"Backlog of 10,000 tracks, app of the {cohort.name} cohort",
        f"{told} requests; none in a second run; both runs {seconds:.0f} s",
    )


def wait_until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def killed_at(served: Served, folder: Path, fault: faults.Fault, *job_names: str) -> None:
    """Run jobs in another process, and kill it while it waits for an answer."""
    with served.demo.faults.during(fault):
        process = processes.start(live_homes.ask_in_this_process, folder, served.url, served.time.now(), *job_names)
        wait_until(lambda: fault.played == 1)
        process.kill()
        process.join(10)
    assert process.exitcode == -9


def test_a_process_killed_while_it_asks_loses_no_more_than_a_lot_of_answers(tmp_path: Path) -> None:
    with demo_spotify(small_listener(plays_per_day=25.0)) as served:
        demo = served.demo
        home = LiveHome.at(tmp_path, served)
        killed_at(served, tmp_path, faults.slow(30, endpoint="/me/player/recently-played"), POLL_JOB)
        served.time.forward(minutes=30)
        hold = faults.slow(30, endpoint="/artists/{id}", skip=20)
        # That of the poll lived long enough to store the plays, not to build anything of them.
        killed_at(served, tmp_path, hold, ASKING_JOBS[POLL_JOB], CATALOGUE_JOB)
        plays = len(demo.accounts[NAME].plays[-50:])
        before = {request.params["id"] for request in demo.requests.select(endpoint="/artists/{id}")}
        assert len(before) == 21

        served.time.forward(minutes=30)
        assert home.run(POLL_JOB).jobs == [POLL_JOB, ASKING_JOBS[POLL_JOB], IMPORT_JOB, DAILY_JOB]
        home.run(ASKING_JOBS[CATALOGUE_JOB])
        assert home.obstacles() == {}
        asked = demo.requests.select(endpoint="/artists/{id}")
        again = [
            artist_id for artist_id, times in Counter(request.params["id"] for request in asked).items() if times > 1
        ]
        # One more was on its way.
        assert 0 < len(again) <= RESPONSES_PER_LOT + 1
        assert before <= set(home.table("raw.artists").filter(~pl.col("is_simplified"))["artist_id"])
        assert home.table("clean.plays").height == home.table("raw.recently_played").height == plays
        assert set(home.table("raw.polls")["outcome"]) == {"told"}
        ledger = home.table("raw.api_quota")
        told = dict(ledger.group_by("bucket").agg(pl.col("requests").sum()).iter_rows())
        endpoints = demo.requests.by_endpoint()
        assert told["recently_played"] == endpoints["/me/player/recently-played"] == 3
        assert told["artists"] == endpoints["/artists/{id}"] + endpoints["/artists"]


def with_every_oddity(page: dict[str, Any]) -> dict[str, Any]:
    """A page of plays in which two entries each have become odd in another way."""
    entries = page["items"]
    odd: list[Any] = []
    for change in faults.ODD_PLAYS.values():
        pair, entries = entries[:2], entries[2:]
        odd += change({**page, "items": pair}).get("items") or pair
    return {**page, "items": odd + entries, "cursors": None}


def test_odd_plays_are_taken_in_or_quarantined_with_a_reason_and_everything_is_built(tmp_path: Path) -> None:
    with demo_spotify(small_listener(plays_per_day=25.0)) as served:
        home = LiveHome.at(tmp_path, served)
        with served.demo.faults.during(faults.altered(with_every_oddity)):
            assert home.run(POLL_JOB).jobs[-2:] == [IMPORT_JOB, DAILY_JOB]
        (items,) = home.table("raw.polls")["items"]
        rejected = home.table("raw.rejected_items").filter(pl.col("position") > 0)
        plays = home.table("raw.recently_played")
        # The same play twice is one.
        assert plays.height + rejected.height == items - 1
        assert rejected.height >= 5 and rejected["reason"].str.len_chars().min() > 10
        assert home.table("clean.plays").height == plays.height
        served.time.forward(minutes=30)
        home.run(ASKING_JOBS[POLL_JOB])
        assert home.obstacles() == {}
