"""Recorded responses come in through the same path as live ones, whole or with a word on what was left out."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from spotify_assets.assets.raw.replay import forget_responses, replay
from spotify_assets.assets.raw.responses import TABLES, bodies
from spotify_assets.lakehouse import Warehouse, scan_table
from spotify_assets.listeners import Household
from spotify_assets.schemas import raw_api
from spotify_assets.settings import Settings
from spotify_assets.spotify.model import Endpoint, Response
from spotify_assets_tests.spotify.payloads import NOON, artist, minutes, page, play, poll, told_instant, track

RECORDING = [
    poll([play(track(f"t{minute}"), minutes(minute)) for minute in range(20, 0, -1)], minutes(21)),
    page(Endpoint.TOP_ARTISTS, [artist("A"), None, artist("B")], minutes(22), time_range="short_term"),
    page(Endpoint.SAVED_TRACKS, [{"added_at": told_instant(NOON), "track": track("s")}], minutes(23)),
]


def record(file: Path, responses: Sequence[Response | str]) -> Path:
    lines = "".join(f"{each if isinstance(each, str) else each.to_json()}\n" for each in responses)
    file.write_bytes(gzip.compress(lines.encode()) if file.suffix == ".gz" else lines.encode())
    return file


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    return Warehouse.from_settings(settings)


@pytest.fixture
def run(settings: Settings) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `spotify-assets replay` on an empty home."""
    command = Path(sys.executable).with_name("spotify-assets")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPOTIFY_ASSETS_")}
    environment |= {"SPOTIFY_ASSETS_HOME": str(settings.home), "SPOTIFY_ASSETS_TIMEZONE": "UTC", "COLUMNS": "200"}

    def run_command(*files: Path) -> subprocess.CompletedProcess[str]:
        arguments = [command, "replay", *map(str, files)]
        result = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False, timeout=120)
        assert "Traceback" not in result.stdout + result.stderr
        return result

    return run_command


def test_a_recording_comes_in_once_and_bad_lines_are_told_of_by_number(
    tmp_path: Path, settings: Settings, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    lines = [*RECORDING[:2], "{", "", '{"listener": "ann"}', RECORDING[2]]
    file = record(tmp_path / "day.jsonl.gz", lines)
    first = run(file)
    assert first.returncode == 3, first.stderr
    assert "day.jsonl.gz: Line 3 was left out: it is no JSON" in first.stderr
    assert "day.jsonl.gz: Line 5 was left out: 'endpoint' is missing or no str" in first.stderr
    assert "3 new responses" in first.stdout and "rejected 1: The artist is null." in first.stdout
    counts = {table: scan_table(settings.home, table.qualified_name()).collect().height for table in TABLES}
    assert counts[raw_api.RecentlyPlayed] == 20 and counts[raw_api.SavedTracks] == 1
    second = run(file)
    assert second.returncode == 3
    assert "0 new rows" in second.stdout
    again = {table: scan_table(settings.home, table.qualified_name()).collect().height for table in TABLES}
    assert again == counts


def test_files_that_hold_no_response_are_a_failure(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    cut = record(tmp_path / "cut.jsonl.gz", RECORDING)
    cut.write_bytes(cut.read_bytes()[:40])
    result = run(tmp_path / "nowhere.jsonl", cut)
    assert result.returncode == 1
    assert "nowhere.jsonl: It could not be read" in result.stderr and "cut.jsonl.gz: It could not" in result.stderr
    assert "Nothing was replayed" in result.stderr


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"endpoint": "/me/player"}, "none of the endpoints"),
        ({"status": 42}, "no HTTP status"),
        ({"fetched_at": minutes(-20 * 365 * 24 * 60)}, "before the Web API began"),
        ({"fetched_at": NOON + timedelta(days=400)}, "in the future"),
        ({"listener": "stranger"}, r"listeners\.toml does not name its listener"),
    ],
)
def test_a_line_that_cannot_be_meant_is_left_out(
    tmp_path: Path, settings: Settings, warehouse: Warehouse, changed: dict[str, object], reason: str
) -> None:
    settings.home.mkdir(parents=True)
    settings.paths.listeners_file.write_text('[[listener]]\nname = "ann"\n')
    told = {"listener": "ann", "endpoint": "/me", "params": {}, "fetched_at": NOON, "status": 200, "body": None}
    file = record(tmp_path / "odd.jsonl", [Response(**{**told, **changed}), *RECORDING])
    report = replay(warehouse, [file], Household.of(settings), NOON + timedelta(days=1))
    assert report.taken.responses_new == 3
    (problem,) = report.problems
    assert problem["message"].startswith("Line 1 was left out: ")
    assert re.search(reason, problem["message"])


def test_old_responses_go_and_what_rests_on_them_stays(
    tmp_path: Path, settings: Settings, warehouse: Warehouse
) -> None:
    look = [play(track("a"), NOON)]
    library = [{"added_at": told_instant(NOON), "track": track(name)} for name in "abc"]
    day = 24 * 60
    recording = [
        poll(look, minutes(1)),
        poll(look, minutes(20 * day)),
        poll(look, minutes(21 * day)),
        page(Endpoint.SAVED_TRACKS, library, minutes(2), limit=2),
        page(Endpoint.SAVED_TRACKS, library, minutes(3), limit=2, offset=2),
        page(Endpoint.SAVED_TRACKS, library[1:], minutes(-day), limit=2),
        page(Endpoint.SAVED_TRACKS, library, minutes(20 * day), limit=2),
    ]
    replay(warehouse, [record(tmp_path / "x.jsonl", recording)], Household.of(settings), NOON + timedelta(days=30))
    before = warehouse.read(raw_api.SavedTracks).sort("position")
    with warehouse.transaction() as transaction:
        removed = forget_responses(transaction, minutes(10 * day))
        kept = transaction.read(raw_api.ApiResponses).sort("fetched_at")
        told = bodies(transaction, kept["response_id"])
        assert forget_responses(transaction, minutes(10 * day)) == 0
    assert removed == 2
    assert kept["fetched_at"].to_list() == [minutes(2), minutes(3), *[minutes(20 * day)] * 2, minutes(21 * day)]
    assert all(body["items"] for body in told.values())
    assert warehouse.read(raw_api.RecentlyPlayed).height == 1
    # The library was confirmed, not told again: it is still known which pages make it.
    confirmed = page(Endpoint.SAVED_TRACKS, library, minutes(25 * day), limit=2)
    replay(warehouse, [record(tmp_path / "y.jsonl", [confirmed])], Household.of(settings), NOON + timedelta(days=30))
    after = warehouse.read(raw_api.SavedTracks).sort("position")
    assert after.drop("snapshot_at").equals(before.drop("snapshot_at"))
    assert after["snapshot_at"].unique().to_list() == [minutes(25 * day)]
