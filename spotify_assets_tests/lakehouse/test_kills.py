"""A process that is killed at a random moment loses nothing that was committed, and the next one repairs the rest."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from spotify_assets.lakehouse import connect, run_session
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.example import RawReadings, Readings, days_between, warehouse_in

KILLS = 12


def test_kills_at_random_moments_lose_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    chance = random.Random(7)
    days = len(days_between(date(2024, 1, 1), date(2024, 2, 29)))
    warehouse = warehouse_in(tmp_path)
    raw_rows = 0
    for _ in range(KILLS):
        working = processes.event()
        process = processes.start(processes.run_again_and_again, tmp_path, working)
        assert working.wait(30)
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
        process.join(10)

        with run_session(warehouse, purpose="repair") as session:
            session.begin()
            levels = warehouse.read(Readings, ["level"])["level"]
            raw = warehouse.read(RawReadings, ["row_id"])["row_id"]
        # One transaction writes both tables: the level counts the sessions that wrote, so do the raw rows.
        assert levels.len() == 2 * days
        assert levels.max() == levels.min() + 1
        assert raw.sort().to_list() == list(range(raw.len()))
        assert raw.len() > raw_rows and raw.len() % 50 == 0
        raw_rows = raw.len()

        with connect(tmp_path) as connection:
            published = connection.execute("SELECT count(*) FROM example.raw_readings").fetchall()[0][0]
        mirror = warehouse.paths.mirror_folder / "current" / "example"
        assert published == raw_rows
        assert pl.read_parquet(mirror / "raw_readings/**/*.parquet").height == raw_rows
        assert pl.read_parquet(mirror / "readings/**/*.parquet")["level"].max() == levels.max()
    assert_tidy(tmp_path)


def assert_tidy(home: Path) -> None:
    warehouse = warehouse_in(home)
    paths = warehouse.paths
    assert len(list(paths.snapshots_folder.iterdir())) <= 3
    assert len(list((paths.mirror_folder / "versions").iterdir())) <= 3
    assert [path for path in paths.scratch_folder.iterdir() if path.name != "duckdb"] == []
    assert sorted(path.name for path in paths.warehouse_file.parent.iterdir()) == ["warehouse.duckdb", "warehouse.lock"]
    assert sorted(path.name for path in home.iterdir()) == [
        ".scratch",
        ".snapshots",
        ".warehouse",
        "lakehouse.duckdb",
        "mirror",
        "run.lock",
        "state.sqlite",
    ]


@pytest.mark.soak
def test_a_hundred_kills(tmp_path: Path, soak_share: float, tell_figure: Callable[[str, str], None]) -> None:
    homes = max(1, round(10 * soak_share))
    for number in range(homes):
        test_kills_at_random_moments_lose_nothing_and_leave_nothing_behind(tmp_path / str(number))
    tell_figure(
        "kill -9 of sessions of the lakehouse alone", f"{homes * KILLS} kills: nothing lost, nothing left behind"
    )
