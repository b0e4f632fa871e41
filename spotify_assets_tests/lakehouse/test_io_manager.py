from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from spotify_assets.lakehouse import (
    LakehouseIOManager,
    Warehouse,
    WriteRefused,
    column_lineage,
    column_schema,
    connect,
)
from spotify_assets.schemas.meta import DayVersions
from spotify_assets.state import State
from spotify_assets_tests.lakehouse.example import (
    DailyLevels,
    GaugeDays,
    Gauges,
    Readings,
    days_between,
    readings,
    warehouse_in,
)

ALL_DAYS = days_between(date(2024, 1, 1), date(2024, 4, 9))
DAILY = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-04-10", timezone="Europe/Berlin")
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def home_warehouse(home: Path) -> Warehouse:
    return warehouse_in(home, days_table="example.gauge_days", code_versions={"example.daily_levels": "1"})


def materialize(home: Path, *assets: Any, key: str | None = None, days: tuple[str, str] | None = None, **more: Any):
    warehouse = home_warehouse(home)
    resources = {"io_manager": LakehouseIOManager(warehouse=warehouse), "warehouse": warehouse}
    tags = {RANGE_START: days[0], RANGE_END: days[1]} if days else None
    return dg.materialize(list(assets), resources=resources, partition_key=key, tags=tags, **more)


def readings_asset(make: Callable[[dg.AssetExecutionContext], Any]) -> dg.AssetsDefinition:
    @dg.asset(key=["example", "readings"], partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def readings_by_day(context: dg.AssetExecutionContext):
        return make(context)

    return readings_by_day


def days_of(context: dg.AssetExecutionContext) -> list[date]:
    return [date.fromisoformat(key) for key in context.partition_keys]


by_day = readings_asset(lambda context: readings(days_of(context)))


@dg.asset(key=["example", "gauge_days"])
def gauge_days() -> pl.DataFrame:
    return pl.DataFrame([("me", each, "v1") for each in ALL_DAYS], schema=GaugeDays.polars_schema(), orient="row")


@dg.asset(
    key=["example", "daily_levels"],
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    ins={
        "days": dg.AssetIn(["example", "gauge_days"], metadata={"day_columns": ["played_on"], "columns": ["played_on"]})
    },
)
def daily_levels(days: pl.LazyFrame) -> pl.LazyFrame:
    return days.select(listener=pl.lit("me"), played_on="played_on", readings=pl.lit(1))


def metadata_of(result: Any, key: list[str]) -> dict[str, Any]:
    materializations = result.asset_materializations_for_node("__".join(key))
    return {name: value.value for name, value in materializations[0].metadata.items()}


def test_an_asset_without_partitions_becomes_the_whole_table(tmp_path: Path) -> None:
    for gauges in (["a", "b"], ["c"]):

        @dg.asset(key=["example", "gauges"])
        def all_gauges(gauges: dg.ResourceParam[Any]) -> pl.DataFrame:
            return pl.DataFrame({"gauge": gauges, "place": [None] * len(gauges)})

        warehouse = home_warehouse(tmp_path)
        resources = {"io_manager": LakehouseIOManager(warehouse=warehouse), "gauges": gauges}
        result = dg.materialize([all_gauges], resources=resources)
    assert warehouse.read(Gauges)["gauge"].to_list() == ["c"]
    metadata = metadata_of(result, ["example", "gauges"])
    assert metadata["dagster/row_count"] == 1
    assert metadata["dagster/table_name"] == "example.gauges"
    assert metadata["dagster/column_schema"] == column_schema(Gauges)


def test_a_single_day_is_replaced_and_counted(tmp_path: Path) -> None:
    for _ in range(2):
        result = materialize(tmp_path, by_day, key="2024-01-31")
    materialize(tmp_path, by_day, key="2024-02-01")
    assert home_warehouse(tmp_path).read(Readings).height == 4
    assert metadata_of(result, ["example", "readings"])["dagster/partition_row_count"] == 2


def test_a_range_of_days_is_one_write(tmp_path: Path) -> None:
    materialize(tmp_path, by_day, key="2024-01-05")
    result = materialize(tmp_path, by_day, days=("2024-01-04", "2024-01-06"))
    assert home_warehouse(tmp_path).read(Readings)["read_on"].unique().sort().to_list() == ALL_DAYS[3:6]
    assert home_warehouse(tmp_path).read(Readings).height == 6
    counts = {
        event.partition: event.metadata["dagster/partition_row_count"].value
        for event in result.asset_materializations_for_node("example__readings")
    }
    assert counts == {"2024-01-04": 2, "2024-01-05": 2, "2024-01-06": 2}


def test_a_long_range_carries_no_detail_on_each_day(tmp_path: Path) -> None:
    result = materialize(tmp_path, by_day, days=("2024-01-01", "2024-04-09"))
    metadata = metadata_of(result, ["example", "readings"])
    assert metadata["dagster/row_count"] == 200
    assert "dagster/column_schema" not in metadata and "dagster/partition_row_count" not in metadata


def test_rows_outside_the_days_of_the_run_fail_the_step_and_change_nothing(tmp_path: Path) -> None:
    materialize(tmp_path, by_day, days=("2024-01-01", "2024-01-10"))
    wrong = readings_asset(lambda context: readings([*days_of(context), date(2024, 1, 9)], level=50))
    result = materialize(tmp_path, wrong, key="2024-01-03", raise_on_error=False)
    assert not result.success
    stored = home_warehouse(tmp_path).read(Readings)
    assert stored.height == 20 and stored["level"].max() == 2


def test_none_means_that_the_asset_wrote_its_table_itself(tmp_path: Path) -> None:
    @dg.asset(key=["example", "gauges"])
    def all_gauges(warehouse: Warehouse) -> None:
        with warehouse.transaction() as transaction:
            transaction.append(Gauges, pl.DataFrame({"gauge": ["a"], "place": ["x"]}))

    materialize(tmp_path, all_gauges)
    assert home_warehouse(tmp_path).read(Gauges).height == 1


def test_what_is_no_frame_is_refused_in_words(tmp_path: Path) -> None:
    @dg.asset(key=["example", "gauges"])
    def all_gauges():
        return ["a"]

    with pytest.raises(WriteRefused, match="returned list; return a polars DataFrame"):
        materialize(tmp_path, all_gauges)


def test_the_days_that_were_read_are_recorded_with_their_versions(tmp_path: Path) -> None:
    materialize(tmp_path, gauge_days)
    assert home_warehouse(tmp_path).stale_days().height == len(ALL_DAYS)
    materialize(tmp_path, gauge_days, daily_levels, days=("2024-01-01", "2024-01-10"), selection=[daily_levels])
    assert home_warehouse(tmp_path).read(DayVersions).height == 10
    assert home_warehouse(tmp_path).stale_days()["played_on"].to_list() == ALL_DAYS[10:]


def test_an_input_is_cut_to_the_days_of_the_consuming_step(tmp_path: Path) -> None:
    materialize(tmp_path, gauge_days)
    materialize(tmp_path, gauge_days, daily_levels, key="2024-01-02", selection=[daily_levels])
    materialize(tmp_path, gauge_days, daily_levels, days=("2024-01-05", "2024-01-07"), selection=[daily_levels])
    stored = home_warehouse(tmp_path).read(DailyLevels)["played_on"].sort().to_list()
    assert stored == [ALL_DAYS[1], *ALL_DAYS[4:7]]


def test_an_input_without_a_day_column_is_loaded_whole_and_only_its_columns(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    @dg.asset(
        key=["example", "gauges"],
        ins={"days": dg.AssetIn(["example", "gauge_days"], metadata={"columns": ["version"]})},
    )
    def all_gauges(days: pl.DataFrame) -> None:
        seen["days"] = days

    materialize(tmp_path, gauge_days, all_gauges)
    assert seen["days"].columns == ["version"] and seen["days"].height == len(ALL_DAYS)


def test_an_unpartitioned_asset_loads_the_whole_of_a_partitioned_one(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    @dg.asset(key=["example", "gauges"], ins={"levels": dg.AssetIn(["example", "readings"])})
    def all_gauges(levels: pl.DataFrame) -> None:
        seen["rows"] = levels.height

    materialize(tmp_path, by_day, days=("2024-01-01", "2024-01-10"))
    materialize(tmp_path, by_day, all_gauges, selection=[all_gauges])
    assert seen["rows"] == 20


def test_a_run_publishes_and_mirrors_at_its_end_and_leaves_no_trace_of_itself(tmp_path: Path) -> None:
    materialize(tmp_path, by_day, key="2024-01-31")
    paths = home_warehouse(tmp_path).paths
    with connect(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM example.readings").fetchall() == [(2,)]
    assert (paths.mirror_folder / "current/example/readings/month=2024-01/part-0.parquet").exists()
    assert State(paths.state_file).runs() == []


def test_a_run_is_registered_while_its_steps_execute(tmp_path: Path) -> None:
    seen: dict[str, list[str]] = {}
    state = State(home_warehouse(tmp_path).paths.state_file)

    @dg.asset(key=["example", "gauges"])
    def all_gauges(warehouse: Warehouse) -> None:
        seen["runs"] = [run.run_id for run in state.runs()]
        seen["dead"] = [run.run_id for run in state.dead_runs()]

    result = materialize(tmp_path, all_gauges)
    assert seen == {"runs": [result.run_id], "dead": []}


def test_an_asset_whose_key_names_no_declared_table_is_told_the_names(tmp_path: Path) -> None:
    @dg.asset(key=["example", "nothing"])
    def nothing() -> pl.DataFrame:
        return pl.DataFrame()

    with pytest.raises(KeyError, match=r"no schema declares the table example\.nothing"):
        materialize(tmp_path, nothing)


def test_columns_are_shown_with_types_keys_and_sources() -> None:
    level = next(column for column in column_schema(Readings).columns if column.name == "level")
    assert (level.type, level.description, level.constraints.nullable) == ("BIGINT", "Level in millimetres.", False)
    assert level.constraints.other == [">= 0"]
    lineage = column_lineage(Readings)
    assert lineage is not None
    assert lineage.deps_by_column["read_on"][0].asset_key == dg.AssetKey(["example", "raw_readings"])
    assert column_lineage(Gauges) is None
