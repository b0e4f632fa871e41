from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.generate import SHARES_OF_KINDS, generate, write_export
from spotify_assets.demo.exports import GENERATION_KEYS
from spotify_assets.exports import find_exports, read_history

BEGINS, LASTS = datetime(2024, 3, 1, tzinfo=UTC), timedelta(days=60)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    write_export(folder, 20_000, BEGINS, LASTS)
    return folder


@pytest.fixture(scope="module")
def rows(export: Path) -> list[dict]:
    return [row for file in sorted(export.rglob("*.json")) for row in json.loads(file.read_text())]


def test_a_generated_export_is_read_without_a_complaint_as_of_the_newest_generation(
    export: Path, tmp_path: Path
) -> None:
    with find_exports([export], scratch=tmp_path) as found:
        batches = list(read_history(found.files, imported_at=datetime(2025, 1, 1, tzinfo=UTC)))
        assert found.problems == []
    reports = [report for batch in batches for report in batch.reports]
    assert {report.generation for report in reports} == {"G3"}
    assert [report.unknown_keys for report in reports] == [{}] * 2
    assert sum(report.rows_in for report in reports) == 20_000
    assert sum(report.rows_rejected for report in reports) == 0


def test_every_row_has_the_keys_of_spotify_in_their_order(rows: list[dict]) -> None:
    assert {tuple(row) for row in rows} == {GENERATION_KEYS["G3"]}


def test_a_generated_history_holds_what_makes_real_ones_dear(rows: list[dict]) -> None:
    kinds = Counter(
        "track"
        if row["spotify_track_uri"]
        else "episode"
        if row["spotify_episode_uri"]
        else "chapter"
        if row["audiobook_chapter_uri"]
        else "nameless"
        for row in rows
    )
    shares = [kinds[kind] / len(rows) for kind in ("track", "episode", "chapter", "nameless")]
    assert shares == pytest.approx(SHARES_OF_KINDS, abs=0.01)
    assert len({row["spotify_track_uri"] for row in rows}) > 5_000
    assert sum(row["ms_played"] == 0 for row in rows) > 400
    assert 20 < len(rows) - len({json.dumps(row) for row in rows}) < 60


def test_rows_that_are_no_copies_differ_in_what_the_floor_and_the_product_tell_plays_by(rows: list[dict]) -> None:
    uris = ("spotify_track_uri", "spotify_episode_uri", "audiobook_chapter_uri")
    told_by = {json.dumps(row): (row["ts"], row["ms_played"], *(row[uri] for uri in uris)) for row in rows}
    assert len(set(told_by.values())) == len(told_by)


def test_the_corrected_end_of_an_offline_play_is_its_ts(rows: list[dict]) -> None:
    offline = [row for row in rows if row["offline"]]
    assert offline
    for row in offline:
        ended_ms = row["offline_timestamp"] * 1_000 + row["ms_played"]
        assert ended_ms == datetime.fromisoformat(row["ts"]).timestamp() * 1_000


def test_all_plays_end_within_the_time_asked_for(rows: list[dict]) -> None:
    instants = [datetime.fromisoformat(row["ts"]) for row in rows]
    assert BEGINS <= min(instants) <= BEGINS + timedelta(days=1)
    assert BEGINS + LASTS - timedelta(days=1) <= max(instants) < BEGINS + LASTS


def test_a_history_is_the_same_wherever_it_is_generated(export: Path, tmp_path: Path) -> None:
    write_export(tmp_path, 20_000, BEGINS, LASTS)
    names = sorted(file.name for file in export.rglob("*.json"))
    assert names == ["Streaming_History_Audio_2024_0.json", "Streaming_History_Audio_2024_1.json"]
    for file in export.rglob("*.json"):
        assert (tmp_path / file.relative_to(export)).read_bytes() == file.read_bytes()


def test_a_history_that_was_generated_is_found_again(tmp_path: Path) -> None:
    history = generate(1_000, tmp_path)
    written = [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*.json"))]
    assert generate(1_000, tmp_path) == history
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*.json"))] == written
    assert len(list(history.export.rglob("*.json"))) == len(list(history.next_day.rglob("*.json"))) == 1
