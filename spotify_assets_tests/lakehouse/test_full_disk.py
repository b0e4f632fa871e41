"""A full disk in the middle of a write: what was there before is intact, and the error says what to do."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from spotify_assets.lakehouse import (
    PublicationFailed,
    WriteFailed,
    connect,
    publish_if_changed,
    run_session,
)
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.example import RawReadings, raw_readings, warehouse_in

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
ROWS = 900_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root; the test of a file that may not grow runs anyway")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def incompressible() -> pl.DataFrame:
    return pl.select(
        row_id=pl.int_range(ROWS).hash(1).reinterpret(signed=True),
        read_at=pl.lit(AT),
        level=pl.int_range(ROWS).hash(2).reinterpret(signed=True),
    )


def test_a_full_disk_takes_the_write_back_and_keeps_the_old_rows(small_disk: Path) -> None:
    warehouse = warehouse_in(small_disk)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 100))
    with (
        pytest.raises(WriteFailed, match=r"disk is full.*intact.*run this again"),
        warehouse.transaction() as transaction,
    ):
        transaction.append(RawReadings, incompressible())
    assert warehouse.read(RawReadings)["row_id"].sort().to_list() == list(range(100))
    subprocess.run(["mount", "-o", "remount,size=32m", str(small_disk)], check=True)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(100, 1))
    assert warehouse.read(RawReadings).height == 101


def test_a_disk_too_full_to_publish_keeps_the_last_snapshot_and_the_rows(small_disk: Path) -> None:
    warehouse = warehouse_in(small_disk)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 100))
    publish_if_changed(warehouse, published_at=AT, log=print)
    filler = small_disk / "filler"
    with (
        pytest.raises(PublicationFailed, match="still shows the state before"),
        run_session(warehouse, purpose="a test") as session,
    ):
        session.begin()
        with warehouse.transaction() as transaction:
            transaction.append(RawReadings, raw_readings(100, 10))
        filler.write_bytes(bytes(_free_bytes(small_disk) - 1_000_000))
    with connect(small_disk) as connection:
        assert connection.execute("SELECT count(*) FROM example.raw_readings").fetchall() == [(100,)]
    filler.unlink()
    with run_session(warehouse, purpose="a test") as session:
        session.begin()
    with connect(small_disk) as connection:
        assert connection.execute("SELECT count(*) FROM example.raw_readings").fetchall() == [(110,)]


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def test_a_file_that_may_not_grow_takes_the_write_back_and_keeps_the_old_rows(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 100))
    answers = processes.queue()
    process = processes.start(write_too_much, tmp_path, answers)
    assert "disk is full" in answers.get(timeout=60)
    process.join(10)
    assert warehouse.read(RawReadings)["row_id"].sort().to_list() == list(range(100))


def write_too_much(home: Path, answers) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
    try:
        with warehouse_in(home).transaction() as transaction:
            transaction.append(RawReadings, incompressible())
        answers.put("nothing was raised")
    except WriteFailed as error:
        answers.put(str(error))
    except BaseException as error:
        answers.put(f"{type(error).__name__}: {error}")
