"""Floor and product, each in a cold process, on a history of three weeks."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks import cold
from benchmarks.compare import differences, stored_rows
from benchmarks.generate import write_export

pytestmark = pytest.mark.long

ROWS = 2_000


@dataclass(frozen=True)
class Measured:
    """What both wrote, and what was measured of them."""

    floor_folder: Path
    home: Path
    floor: dict[str, Any]
    first: dict[str, Any]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("bench")
    # A recent history: every day from the first play to today is built.
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    write_export(folder / "export", ROWS, today - timedelta(days=25), timedelta(days=21))
    return Measured(
        folder / "floor",
        folder / "home",
        cold.run("floor", folder / "export", folder / "floor"),
        cold.run("product", "import", folder / "export", folder / "home"),
    )


@pytest.fixture
def copy_of_floor(measured: Measured, tmp_path: Path) -> Path:
    shutil.copytree(measured.floor_folder, tmp_path / "floor")
    return tmp_path / "floor"


def _change(floor_folder: Path, statement: str) -> None:
    with duckdb.connect(str(floor_folder / "floor.duckdb")) as floor:
        floor.execute(statement).fetchall()


def test_floor_and_product_come_to_the_same_numbers(measured: Measured) -> None:
    assert differences(measured.floor_folder, measured.home) == []


def test_the_generated_export_balances(measured: Measured) -> None:
    with duckdb.connect(str((measured.home / "lakehouse.duckdb").resolve()), read_only=True) as published:
        plays, copies = published.sql("select count(*), sum(copies)::bigint from clean.plays").fetchall()[0]
        assert published.sql("select sum(rows_new)::bigint from raw.imports").fetchall() == [(ROWS,)]
    assert copies == stored_rows(measured.home) == ROWS
    assert plays == ROWS - int(ROWS * 0.002)


def test_one_millisecond_of_one_artist_on_one_day_is_a_difference(measured: Measured, copy_of_floor: Path) -> None:
    _change(
        copy_of_floor, "update artists set ms_played = ms_played + 1 where rowid = (select min(rowid) from artists)"
    )
    found = differences(copy_of_floor, measured.home)
    assert {one.split(": ")[0] for one in found} == {"plays and milliseconds of each artist, each day"}
    assert any("only the floor says" in one for one in found)
    assert any("only the published file says" in one for one in found)
    assert any("only the mirror says" in one for one in found)


def test_a_day_that_one_of_them_lacks_is_a_difference(measured: Measured, copy_of_floor: Path) -> None:
    _change(copy_of_floor, "delete from listening where played_on = (select min(played_on) from listening)")
    found = differences(copy_of_floor, measured.home)
    assert found
    assert all(one.startswith("plays and milliseconds of tracks, each day: only ") for one in found)


def test_a_play_too_many_is_a_difference(measured: Measured, copy_of_floor: Path) -> None:
    _change(copy_of_floor, "insert into plays by name select * from plays limit 1")
    assert differences(copy_of_floor, measured.home)


def test_all_days_rebuilt_come_to_the_same_numbers(measured: Measured) -> None:
    rebuilt = cold.run("product", "rebuild", measured.home)
    assert rebuilt["days"] in (25, 26, 27)
    assert 0 < rebuilt["run_seconds"] < rebuilt["wall_seconds"]
    assert differences(measured.floor_folder, measured.home) == []


def test_a_publication_is_measured_alone(measured: Measured) -> None:
    publication = cold.run("product", "publish", measured.home)["publication"]
    assert publication["seconds"] > 0
    assert publication["megabytes"] == (measured.home / "lakehouse.duckdb").stat().st_size / 1e6


def test_a_cold_process_is_measured_from_its_start_to_its_end(measured: Measured) -> None:
    for run in (measured.floor, measured.first):
        assert 0.1 < run["wall_seconds"] < 120
        assert run["processor_seconds"] > 0.1
        assert 30 < run["peak_mb"] < 2_000
    first = measured.first
    assert first["data_seconds"] <= first["staged_seconds"] <= first["wall_seconds"]
    assert sum(measured.floor["seconds"].values()) < measured.floor["wall_seconds"]


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(cold.BenchmarkFailed, match="No files found"):
        cold.run("floor", tmp_path / "nothing", tmp_path / "floor")
