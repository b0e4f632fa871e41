from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from spotify_assets.lakehouse import NothingPublished, UnknownTable, connect, publish_if_changed, scan_table
from spotify_assets_tests.lakehouse.example import Readings, days_between, readings, warehouse_in

DAYS = days_between(date(2024, 1, 1), date(2024, 1, 31))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path, 1)
    return tmp_path


def publish(home: Path, level: int) -> None:
    warehouse = warehouse_in(home)
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, readings(DAYS, level), (DAYS[0], DAYS[-1]))
    publish_if_changed(warehouse, published_at=datetime(2024, 5, 1, tzinfo=UTC), log=print)


def test_before_anything_is_published_the_reader_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingPublished, match="Import something first"):
        connect(tmp_path)
    with pytest.raises(NothingPublished):
        scan_table(tmp_path, "example.readings")


def test_a_connection_is_read_only_and_its_instants_are_utc(home: Path) -> None:
    with connect(home) as connection:
        assert connection.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
        with pytest.raises(Exception, match="read-only"):
            connection.execute("DELETE FROM example.readings")


def test_a_table_is_scanned_lazily_with_the_types_of_its_schema(home: Path) -> None:
    frame = scan_table(home, "example.readings")
    assert frame.collect_schema() == Readings.polars_schema()
    assert frame.collect().sort("read_at").equals(readings(DAYS).sort("read_at"))


def test_filters_and_limits_give_what_a_whole_read_gives(home: Path) -> None:
    frame = scan_table(home, "example.readings")
    late = frame.filter(pl.col("remark") == "late", pl.col("read_on") < date(2024, 1, 11))
    assert late.select(pl.len()).collect().item() == 10
    assert late.select("level").head(3).collect().rows() == [(2,)] * 3
    assert frame.head(4).collect().height == 4
    assert frame.select(pl.col("level").sum()).collect().item() == 31 * 3


def test_a_scanned_table_keeps_to_its_snapshot_however_many_are_published_later(home: Path) -> None:
    frame = scan_table(home, "example.readings").select(pl.col("level").max())
    for level in range(2, 7):
        publish(home, level)
    assert frame.collect().item() == 2
    assert scan_table(home, "example.readings").select(pl.col("level").max()).collect().item() == 7


def test_an_unknown_table_is_answered_with_the_names_there_are(home: Path) -> None:
    with pytest.raises(UnknownTable, match=r"no table example\.nothing; it has example\.readings, meta\."):
        scan_table(home, "example.nothing")
