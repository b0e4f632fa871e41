"""The warehouse's file does not grow without end, and is written anew without losing anything."""

from __future__ import annotations

import random
import time
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from spotify_assets.lakehouse import Warehouse, compaction, connect, publish_if_changed, run_session
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.example import (
    Gauges,
    RawReadings,
    Readings,
    days_between,
    raw_readings,
    readings,
    warehouse_in,
)

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAYS = days_between(date(2022, 1, 1), date(2024, 12, 31))
KILLS = 5


def incompressible(seed: int, gauges: int = 100) -> pl.DataFrame:
    base = readings(DAYS)
    frame = pl.concat([base.with_columns(gauge=pl.lit(f"gauge {number}")) for number in range(gauges)])
    return frame.with_columns(remark=pl.int_range(pl.len()).hash(seed).cast(pl.String))


def content(warehouse: Warehouse) -> dict[str, list]:
    with warehouse.get_connection() as connection:
        shape = connection.execute(
            "SELECT schema_name, table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY ALL"
        ).fetchall()
        comments = connection.execute("SELECT table_name, comment FROM duckdb_tables() ORDER BY ALL").fetchall()
    rows = {table: warehouse.read(table) for table in (Readings, RawReadings, Gauges)}
    return {
        "shape": shape,
        "comments": comments,
        **{table.qualified_name(): frame.sort(frame.columns).rows() for table, frame in rows.items()},
    }


def size_bytes(warehouse: Warehouse) -> int:
    return warehouse.paths.warehouse_file.stat().st_size


@pytest.mark.long
def test_thirty_rebuilds_leave_the_file_below_two_and_a_half_times_its_compact_size(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, compaction_free_bytes=1_000_000)
    for number in range(30):
        rows = incompressible(number, 10)
        some = [day for day in DAYS if day.day % 3 == number % 3]
        with warehouse.transaction() as transaction:
            if number % 3:
                transaction.replace_days(Readings, rows, (DAYS[0], DAYS[-1]))
            else:
                transaction.replace_days(Readings, rows.filter(pl.col("read_on").is_in(some)), some)
        publish_if_changed(warehouse, published_at=AT, log=print)
    grown = size_bytes(warehouse)
    assert compaction.compact(warehouse, print)
    assert grown < 2.5 * size_bytes(warehouse)


def test_rows_that_go_for_good_leave_no_room_behind_in_warehouse_and_snapshot(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, compaction_free_bytes=1_000_000)
    with warehouse.transaction() as transaction:
        transaction.append(Readings, incompressible(1))
    publish_if_changed(warehouse, published_at=AT, log=print)
    before = size_bytes(warehouse)
    with run_session(warehouse, purpose="a test") as session:
        session.begin()
        with warehouse.transaction() as transaction:
            transaction.replace_days(Readings, readings(DAYS[:3]), (DAYS[0], DAYS[-1]))
    assert size_bytes(warehouse) < before / 3
    assert warehouse.paths.published_file.resolve().stat().st_size == size_bytes(warehouse)
    with connect(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM example.readings").fetchall() == [(6,)]


def test_a_compacted_file_holds_the_same_tables_rows_comments_and_constraints(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(Readings, readings(DAYS[:400]))
        transaction.append(RawReadings, raw_readings(0, 1000))
        transaction.replace(Gauges, Gauges.polars_schema().to_frame())
    publish_if_changed(warehouse, published_at=AT, log=print)
    before = content(warehouse)
    assert compaction.compact(warehouse, print)
    assert content(warehouse) == before
    with connect(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM meta.changes").fetchall()[0][0] > 0
    with pytest.raises(duckdb.ConstraintException), warehouse.transaction() as transaction:
        transaction.execute("INSERT INTO example.raw_readings (row_id) VALUES (NULL)")
    assert sorted(path.name for path in warehouse.paths.warehouse_file.parent.iterdir()) == [
        "warehouse.duckdb",
        "warehouse.lock",
    ]


def test_the_compacted_file_keeps_the_format_that_older_programs_read(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 10))

    def storage_version() -> str:
        with warehouse.get_connection() as connection:
            told = connection.execute(
                "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
            )
            return told.fetchall()[0][0]

    before = storage_version()
    assert compaction.compact(warehouse, print)
    assert storage_version() == before


def test_a_compaction_that_fails_leaves_the_warehouse_as_it_is_and_is_told(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 10))
    told: list[str] = []
    held, release = processes.event(), processes.event()
    process = processes.start(processes.write_database, warehouse.paths.warehouse_file, held, release)
    assert held.wait(20)
    assert not compaction.compact(warehouse, told.append)
    assert "not compacted" in told[0]
    release.set()
    process.join(10)
    assert warehouse.read(RawReadings).height == 10


def compact_again_and_again(home: Path, working) -> None:
    warehouse = warehouse_in(home)
    while True:
        working.set()
        compaction.compact(warehouse, print)


def test_a_kill_during_compaction_loses_nothing(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(Readings, incompressible(1, 20))
    started = time.monotonic()
    assert compaction.compact(warehouse, print)
    seconds = time.monotonic() - started
    chance = random.Random(3)
    before = content(warehouse)
    for _ in range(KILLS):
        working = processes.event()
        process = processes.start(compact_again_and_again, tmp_path, working)
        assert working.wait(30)
        time.sleep(chance.uniform(0, 2 * seconds))
        process.kill()
        process.join(10)
        assert content(warehouse) == before
    assert sorted(path.name for path in warehouse.paths.warehouse_file.parent.iterdir()) == [
        "warehouse.duckdb",
        "warehouse.lock",
    ]
