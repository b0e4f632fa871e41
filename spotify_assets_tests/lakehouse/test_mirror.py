from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from spotify_assets.lakehouse import run_session
from spotify_assets_tests.lakehouse.example import (
    QUARTER,
    Gauges,
    RawReadings,
    Readings,
    current,
    files_of,
    fill,
    raw_readings,
    readings,
    update,
    warehouse_in,
)


def test_a_mirror_holds_a_file_for_each_month_and_one_for_a_small_table(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    report = update(warehouse, fill)
    assert list(files_of(current(warehouse))) == [
        "example/gauges/part-0.parquet",
        "example/readings/month=2024-01/part-0.parquet",
        "example/readings/month=2024-02/part-0.parquet",
        "example/readings/month=2024-03/part-0.parquet",
    ]
    assert report is not None and (report.files, report.written, report.unchanged, report.removed) == (4, 4, 0, 0)


def test_the_mirror_read_as_a_data_set_equals_the_table(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    frame = pl.read_parquet(current(warehouse) / "example/readings/**/*.parquet", hive_partitioning=True)
    assert frame.drop("month").equals(warehouse.read(Readings).sort("read_at"))
    assert frame["month"].unique().sort().to_list() == ["2024-01", "2024-02", "2024-03"]


def test_files_are_sorted_and_do_not_hold_the_month(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    frame = pl.read_parquet(current(warehouse) / "example/readings/month=2024-02/part-0.parquet")
    assert frame.columns == Readings.column_names()
    assert frame["read_at"].is_sorted()


def test_the_manifest_tells_of_every_file_and_column(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    manifest = json.loads((current(warehouse) / "manifest.json").read_text())
    february = next(file for file in manifest["files"] if file["month"] == "2024-02")
    content = (current(warehouse) / february["key"]).read_bytes()
    assert february["sha256"] == hashlib.sha256(content).hexdigest()
    assert (february["rows"], february["size_bytes"], february["change_sequence"]) == (58, len(content), 1)
    assert manifest["tables"]["example.gauges"]["columns"][1] == {
        "name": "place",
        "type": "VARCHAR",
        "nullable": True,
        "description": "Where it stands.",
    }


def test_two_homes_with_the_same_rows_have_the_same_bytes(tmp_path: Path) -> None:
    one, other = warehouse_in(tmp_path / "one"), warehouse_in(tmp_path / "other")
    update(one, fill)
    update(other, lambda transaction: transaction.replace_days(Readings, readings(QUARTER[60:]), QUARTER[60:]))
    for first, last in ((40, 60), (0, 40)):
        days = QUARTER[first:last]
        shuffled = readings(days).sample(fraction=1.0, shuffle=True, seed=1)
        update(other, lambda transaction, days=days, frame=shuffled: transaction.replace_days(Readings, frame, days))
    gauges = pl.DataFrame({"gauge": ["a", "b"], "place": ["x", None]})
    update(other, lambda transaction: transaction.replace(Gauges, gauges))
    assert files_of(current(one)) == files_of(current(other))


def test_only_months_that_changed_are_written_and_the_rest_are_hard_links(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    before = current(warehouse)
    new = readings([date(2024, 2, 3)], level=7)
    report = update(warehouse, lambda transaction: transaction.replace_days(Readings, new, [date(2024, 2, 3)]))
    after = current(warehouse)
    assert report is not None and (report.written, report.unchanged) == (1, 3)
    same = {key for key in files_of(after) if (after / key).samefile(before / key)}
    assert set(files_of(after)) - same == {"example/readings/month=2024-02/part-0.parquet"}


def test_a_month_written_again_with_the_same_rows_is_not_put_again(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    report = update(warehouse, fill)
    assert report is not None and (report.written, report.unchanged) == (0, 4)


def test_a_month_without_rows_leaves_the_mirror_and_old_versions_keep_it(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    before = current(warehouse)
    march = (date(2024, 3, 1), date(2024, 3, 31))
    report = update(warehouse, lambda transaction: transaction.replace_days(Readings, readings([]), march))
    assert report is not None and (report.written, report.removed, report.files) == (0, 1, 3)
    assert not (current(warehouse) / "example/readings/month=2024-03").exists()
    assert (before / "example/readings/month=2024-03/part-0.parquet").exists()
    assert update(warehouse) is None


def test_old_versions_are_removed(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, mirror_versions_kept=2)
    for number in range(4):
        update(warehouse, lambda transaction, number=number: transaction.append(RawReadings, raw_readings(number, 1)))
    versions = warehouse.paths.mirror_folder / "versions"
    assert sorted(path.name for path in versions.iterdir()) == ["3", "4"]


def test_an_old_version_that_a_killed_update_left_is_removed_by_the_next(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, mirror_versions_kept=1)
    update(warehouse, fill)
    versions = warehouse.paths.mirror_folder / "versions"
    (versions / "0" / "example").mkdir(parents=True)
    assert update(warehouse) is None
    assert [path.name for path in versions.iterdir()] == ["1"]


def test_a_file_that_somebody_deleted_is_made_again(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    lost = "example/readings/month=2024-02/part-0.parquet"
    content = (current(warehouse) / lost).read_bytes()
    (current(warehouse) / lost).unlink()
    with run_session(warehouse, purpose="a test") as session:
        session.begin()
    assert session.mirror_report is not None and session.mirror_report.written == 1
    assert (current(warehouse) / lost).read_bytes() == content


def test_a_lost_or_broken_manifest_has_everything_written_again(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    (current(warehouse) / "manifest.json").unlink()
    (current(warehouse) / "manifest.json").write_text("{")
    with run_session(warehouse, purpose="a test") as session:
        session.begin()
    assert session.mirror_report is not None and session.mirror_report.written == 4


def test_leftovers_of_a_killed_update_are_cleared_away(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    versions = warehouse.paths.mirror_folder / "versions"
    (versions / ".new-1" / "example").mkdir(parents=True)
    (warehouse.paths.scratch_folder / "mirror-abc").mkdir(parents=True)
    update(warehouse, fill)
    assert [path.name for path in versions.iterdir()] == ["1"]
    assert list(warehouse.paths.scratch_folder.iterdir()) == []


def test_a_file_of_the_mirror_cannot_be_changed_in_place_by_mistake(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    assert (current(warehouse) / "example/gauges/part-0.parquet").stat().st_mode & 0o777 == 0o444


def test_instants_keep_their_zone_and_months_are_cut_in_utc(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    last = raw_readings(0, 1, datetime(2024, 1, 31, 23, 59, 59, 999999, tzinfo=UTC))
    first = raw_readings(1, 1, datetime(2024, 1, 31, 23, tzinfo=UTC))
    update(warehouse, lambda transaction: transaction.append(RawReadings, pl.concat([last, first])))
    january = pl.read_parquet(current(warehouse) / "example/raw_readings/month=2024-01/part-0.parquet")
    february = pl.read_parquet(current(warehouse) / "example/raw_readings/month=2024-02/part-0.parquet")
    assert january.equals(last) and february.equals(first)


@pytest.mark.parametrize("table", ["example.gauges", "example.readings"])
def test_a_table_that_this_process_does_not_know_keeps_its_files(tmp_path: Path, table: str) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    manifest_file = current(warehouse) / "manifest.json"
    unknown = manifest_file.read_text().replace(f'"{table}"', '"other.table"')
    manifest_file.unlink()
    manifest_file.write_text(unknown)
    number_before = len(json.loads(unknown)["files"])
    update(warehouse, lambda transaction: transaction.append(RawReadings, raw_readings(0, 1)))
    kept = json.loads((current(warehouse) / "manifest.json").read_text())
    assert len(kept["files"]) == number_before + 1
    assert "other.table" in kept["tables"]
