import itertools
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from spotify_assets.lakehouse import LakehouseIOManager, Lots, Warehouse, run_session
from spotify_assets_tests.lakehouse.example import Gauges, Readings, days_between, readings, warehouse_in

DAYS = days_between(date(2024, 1, 1), date(2024, 1, 31))
COLUMNS = ["gauge", "read_on", "level"]


def stored(home: Path, days: list[date]) -> Warehouse:
    warehouse = warehouse_in(home)
    with run_session(warehouse, purpose="a test"), warehouse.transaction() as transaction:
        transaction.append(Readings, readings(days))
    return warehouse


def lots(warehouse: Warehouse, rows_per_lot: int, days: tuple[date, date] | None = None) -> list:
    return list(Lots(warehouse, Readings, COLUMNS, ["read_on"], days, rows_per_lot))


@pytest.mark.parametrize("rows_per_lot", [1, 7, 10, 1000])
def test_lots_together_are_the_table_whatever_their_size(tmp_path: Path, rows_per_lot: int) -> None:
    warehouse = stored(tmp_path, DAYS)
    rows = pl.concat([lot.rows.collect() for lot in lots(warehouse, rows_per_lot)])
    assert rows.sort(COLUMNS).equals(warehouse.read(Readings, COLUMNS).sort(COLUMNS))


@pytest.mark.parametrize("rows_per_lot", [1, 7, 1000])
def test_lots_follow_each_other_from_the_first_to_the_last_day_of_the_run(tmp_path: Path, rows_per_lot: int) -> None:
    days = (date(2023, 12, 20), date(2024, 2, 10))
    found = lots(stored(tmp_path, DAYS), rows_per_lot, days)
    assert (found[0].first, found[-1].last) == days
    assert all(later.first == earlier.last + timedelta(days=1) for earlier, later in itertools.pairwise(found))
    for lot in found:
        assert lot.rows.filter(~pl.col("read_on").is_between(lot.first, lot.last)).collect().is_empty()


def test_a_small_lot_is_one_whole_day(tmp_path: Path) -> None:
    found = lots(stored(tmp_path, DAYS), 1)
    assert len(found) == len(DAYS)
    assert {lot.rows.collect().height for lot in found} == {2}


def test_lots_are_about_as_large_as_asked_for(tmp_path: Path) -> None:
    heights = [lot.rows.collect().height for lot in lots(stored(tmp_path, DAYS), 10)]
    assert max(heights) <= 12
    assert len(heights) == 7


def test_days_without_rows_are_one_empty_lot(tmp_path: Path) -> None:
    days = (date(2025, 1, 1), date(2025, 1, 3))
    (lot,) = lots(stored(tmp_path, DAYS), 10, days)
    assert (lot.first, lot.last) == days
    assert lot.rows.collect().is_empty()


def test_a_table_never_written_is_one_empty_lot(tmp_path: Path) -> None:
    (lot,) = lots(warehouse_in(tmp_path), 10)
    assert lot.rows.collect().is_empty()


def test_an_asset_reads_lots_and_returns_frames_one_after_the_other(tmp_path: Path) -> None:
    warehouse = stored(tmp_path, DAYS)

    @dg.asset(key=["example", "gauges"], ins={"rows": dg.AssetIn(key=["example", "readings"])})
    def gauges(rows: Lots):
        return iter([lot.rows.select("gauge", place=pl.col("remark")).unique("gauge").collect() for lot in rows])

    source = dg.AssetSpec(["example", "readings"])
    assert dg.materialize([gauges, source], resources={"io_manager": LakehouseIOManager(warehouse=warehouse)}).success
    assert warehouse.read(Gauges)["gauge"].to_list() == ["north"]


def test_an_input_may_be_some_rows_only(tmp_path: Path) -> None:
    warehouse = stored(tmp_path, DAYS)
    seen = []

    @dg.asset(
        key=["example", "gauges"],
        ins={"rows": dg.AssetIn(key=["example", "readings"], metadata={"equal_to": {"remark": "late"}})},
    )
    def gauges(rows: pl.LazyFrame) -> None:
        seen.extend(rows.collect()["remark"])

    source = dg.AssetSpec(["example", "readings"])
    assert dg.materialize([gauges, source], resources={"io_manager": LakehouseIOManager(warehouse=warehouse)}).success
    assert seen == ["late"] * len(DAYS)
