"""Reading a mirror that is in a folder; of those in a bucket `test_bucket` tells."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from spotify_assets.lakehouse import UnknownTable, Warehouse
from spotify_assets.lakehouse.errors import MirrorBeingRepaired, MirrorError
from spotify_assets.lakehouse.mirror_reading import FolderSource, MirrorReader, open_mirror
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.state import State
from spotify_assets_tests.lakehouse.example import Gauges, Readings, current, fill, update, warehouse_in


def reader_of(warehouse: Warehouse) -> MirrorReader:
    return open_mirror(warehouse.mirror, warehouse.paths, patience_seconds=0.0)


def test_a_table_is_read_as_the_warehouse_has_it(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    tables = reader_of(warehouse).tables(["example.readings", "example.gauges"])
    assert tables["example.readings"].equals(warehouse.read(Readings).sort("read_at"))
    assert tables["example.gauges"].equals(warehouse.read(Gauges).sort("gauge"))


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, lambda transaction: transaction.replace(Gauges, pl.DataFrame(schema=Gauges.polars_schema())))
    assert reader_of(warehouse).table("example.gauges").schema == Gauges.polars_schema()


def test_an_unknown_table_is_answered_with_those_there_are(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    with pytest.raises(UnknownTable, match=r"example\.gauges, example\.readings"):
        reader_of(warehouse).table("example.nothing")


def test_a_version_that_is_kept_is_read_as_it_was(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    before = warehouse.read(Gauges).sort("gauge")
    update(warehouse, lambda transaction: transaction.replace(Gauges, pl.DataFrame({"gauge": ["z"], "place": ["y"]})))
    assert reader_of(warehouse).version("1").table("example.gauges").equals(before)


def test_a_file_that_is_another_one_is_never_read(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    file = current(warehouse) / "example/gauges/part-0.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.write_bytes(content)
    with pytest.raises(MirrorBeingRepaired, match="being repaired"):
        reader_of(warehouse).table("example.gauges")


def test_where_no_mirror_is_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="there is no mirror"):
        MirrorReader(FolderSource(tmp_path)).version()


def test_a_folder_that_two_lakehouses_name_is_the_first_ones(tmp_path: Path) -> None:
    shared = MirrorConfiguration(address=str(tmp_path / "shared"))
    one, other = warehouse_in(tmp_path / "one", mirror=shared), warehouse_in(tmp_path / "other", mirror=shared)
    assert update(one, fill) is not None
    assert update(other, fill) is None
    state = MirrorState.of(State(other.paths.state_file))
    assert state is not None and "another lakehouse" in state.failure
    assert update(one, fill) is not None
