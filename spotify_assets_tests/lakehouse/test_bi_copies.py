"""BI copies: plain files at fixed paths, of one snapshot, in bytes that do not depend on how it came about."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.arrow import frame_of
from spotify_assets.lakehouse import Manifest, MirrorReport, Warehouse, publish_if_changed, run_session, update_mirror
from spotify_assets.lakehouse.bi_copies import BiCopies, write_csv
from spotify_assets.lakehouse.purging import publish_alone
from spotify_assets_tests.lakehouse import example
from spotify_assets_tests.lakehouse.example import (
    Gauges,
    RawReadings,
    Readings,
    days_between,
    raw_readings,
    readings,
    warehouse_in,
)

DAYS = days_between(date(2023, 12, 1), date(2024, 2, 29))
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def update(warehouse: Warehouse, *writes, now: datetime = NOW) -> MirrorReport | None:
    return example.update(warehouse, *writes, clock=lambda: now)


def fill(transaction) -> None:
    example.fill(transaction, DAYS)


def with_copies(home: Path, formats: str = "parquet,csv", **fields: object) -> Warehouse:
    return warehouse_in(home, bi_copies=formats, **fields)


def bi(warehouse: Warehouse) -> Path:
    return (warehouse.paths.mirror_folder / "current" / "bi").resolve()


def contents(warehouse: Warehouse) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(bi(warehouse).iterdir())}


def version_of(warehouse: Warehouse) -> dict[str, Any]:
    return json.loads((bi(warehouse) / "VERSION").read_text())


def test_there_is_one_file_in_each_format_for_a_table_and_for_each_year_of_one_that_says_so(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path)
    update(warehouse, fill)
    stems = ("example_gauges", "example_readings_2023", "example_readings_2024")
    assert set(contents(warehouse)) == {"VERSION", *(f"{s}{e}" for s in stems for e in (".parquet", ".csv.gz"))}
    years = pl.read_parquet(bi(warehouse) / "example_readings_*.parquet")
    assert years.sort("read_at").equals(warehouse.read(Readings).sort("read_at"))
    assert years.schema == Readings.polars_schema()


def test_the_version_names_the_snapshot_and_every_file_with_its_checksum(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path)
    update(warehouse, fill)
    version = version_of(warehouse)
    files = contents(warehouse)
    assert version["version"] == 1 and version["published_at"] == NOW.isoformat()
    assert set(version["files"]) == set(files) - {"VERSION"}
    for name, told in version["files"].items():
        assert told["sha256"] == hashlib.sha256(files[name]).hexdigest()
        assert told["size_bytes"] == len(files[name])
    assert version["files"]["example_readings_2024.csv.gz"]["rows"] == 120


def test_a_run_that_changed_nothing_writes_nothing(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path)
    update(warehouse, fill)
    before = (warehouse.paths.mirror_folder / "current").resolve()
    assert update(warehouse) is None
    assert (warehouse.paths.mirror_folder / "current").resolve() == before


def test_only_copies_of_what_changed_are_put_and_the_version(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path)
    update(warehouse, fill)
    before = bi(warehouse)
    day = date(2024, 1, 3)
    report = update(warehouse, lambda transaction: transaction.replace_days(Readings, readings([day], 7), [day]))
    changed = {path.name for path in bi(warehouse).iterdir() if not path.samefile(before / path.name)}
    assert changed == {"VERSION", "example_readings_2024.parquet", "example_readings_2024.csv.gz"}
    # And the month of the mirror proper.
    assert report is not None and report.written == 4


def test_rows_written_again_as_they_were_put_nothing_but_the_version(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path)
    update(warehouse, fill)
    before = contents(warehouse)
    report = update(warehouse, fill)
    assert report is not None and report.written == 1
    assert {name for name, content in contents(warehouse).items() if content != before[name]} == {"VERSION"}
    assert version_of(warehouse)["version"] == 2


def test_a_year_without_rows_leaves_no_file(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path, "parquet")
    update(warehouse, fill)
    december = (date(2023, 12, 1), date(2023, 12, 31))
    update(warehouse, lambda transaction: transaction.replace_days(Readings, readings([]), december))
    assert set(contents(warehouse)) == {"VERSION", "example_gauges.parquet", "example_readings_2024.parquet"}


def test_switched_off_they_go_and_switched_on_again_they_come(tmp_path: Path) -> None:
    update(with_copies(tmp_path), fill)
    off = with_copies(tmp_path, "")
    update(off)
    assert not bi(off).exists()
    parquet = with_copies(tmp_path, "parquet")
    update(parquet)
    assert "example_gauges.parquet" in contents(parquet)
    assert not any(name.endswith(".csv.gz") for name in contents(parquet))


def test_a_copy_that_somebody_deleted_is_made_again(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path)
    update(warehouse, fill)
    before = contents(warehouse)
    (bi(warehouse) / "example_gauges.csv.gz").unlink()
    update(warehouse)
    assert contents(warehouse) == before


def test_two_homes_with_the_same_rows_have_the_same_bytes(tmp_path: Path) -> None:
    one, other = with_copies(tmp_path / "one"), with_copies(tmp_path / "other")
    update(one, fill)
    for first, last in ((60, len(DAYS)), (0, 60)):
        days = DAYS[first:last]
        shuffled = readings(days).sample(fraction=1.0, shuffle=True, seed=1)
        update(other, lambda transaction, days=days, frame=shuffled: transaction.replace_days(Readings, frame, days))
    gauges = pl.DataFrame({"gauge": ["a", "b"], "place": ["x", None]})
    update(other, lambda transaction: transaction.replace(Gauges, gauges))
    in_one, in_other = contents(one), contents(other)
    assert {**in_one, "VERSION": b""} == {**in_other, "VERSION": b""}


def test_no_time_and_no_name_stand_in_a_gz_file(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path, "csv")
    update(warehouse, fill)
    header = contents(warehouse)["example_gauges.csv.gz"][:8]
    assert header == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_dates_and_instants_stand_in_csv_as_tools_read_them(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path, "csv")
    update(warehouse, fill)
    lines = gzip.decompress(contents(warehouse)["example_readings_2023.csv.gz"]).decode().splitlines()
    assert lines[0] == "gauge,read_at,read_on,level,remark"
    assert lines[1] == "north,2023-12-01T12:00:00.000000Z,2023-12-01,1,"


texts = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(rows=st.dictionaries(texts, st.none() | texts, max_size=8))
@settings(max_examples=60, deadline=None)
def test_csv_read_by_polars_and_by_duckdb_gives_the_rows_back(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, str | None]
) -> None:
    rows = {"a key": 'comma, "quotes"\r\nand a second line', **rows}
    stored = pl.DataFrame({"gauge": list(rows), "place": list(rows.values())}, schema=Gauges.polars_schema())
    folder = tmp_path_factory.mktemp("csv")
    parquet, file = folder / "gauges.parquet", folder / "gauges.csv.gz"
    stored.write_parquet(parquet)
    write_csv(Gauges, parquet, file)
    assert pl.read_csv(file, schema=Gauges.polars_schema()).equals(stored)
    # DuckDB takes a quoted nothing for NULL unless it is told otherwise.
    query = f"SELECT * FROM read_csv('{file}', columns={{'gauge': 'VARCHAR', 'place': 'VARCHAR'}}, {STRICTLY})"
    with duckdb.connect() as connection:
        assert frame_of(connection.sql(query)).equals(stored)


STRICTLY = "header=true, delim=',', quote='\"', escape='\"', allow_quoted_nulls=false"


@given(instants=st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_instants_read_from_csv_by_polars_and_by_duckdb_are_the_same_to_the_microsecond(
    tmp_path_factory: pytest.TempPathFactory, instants: list[datetime]
) -> None:
    rows = [("a", instant.replace(tzinfo=UTC), instant.date(), 1, None) for instant in instants]
    stored = pl.DataFrame(rows, schema=Readings.polars_schema(), orient="row")
    folder = tmp_path_factory.mktemp("csv")
    parquet, file = folder / "readings.parquet", folder / "readings.csv.gz"
    stored.write_parquet(parquet)
    write_csv(Readings, parquet, file)
    expected = stored["read_at"].to_list()
    assert pl.read_csv(file, try_parse_dates=True)["read_at"].to_list() == expected
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        relation = connection.sql(f"SELECT read_at, read_on FROM '{file}'")
        assert [str(dtype) for dtype in relation.types] == ["TIMESTAMP WITH TIME ZONE", "DATE"]
        assert frame_of(relation)["read_at"].to_list() == expected


def test_copies_may_stay_as_they_are_for_the_hours_of_the_setting(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path, bi_copies_hours=24.0)
    update(warehouse, fill)
    before = contents(warehouse)
    day = date(2024, 4, 3)
    write = lambda transaction: transaction.replace_days(Readings, readings([day], 7), [day])  # noqa: E731
    update(warehouse, write, now=NOW + timedelta(hours=23))
    assert contents(warehouse) == before
    update(
        warehouse, lambda transaction: transaction.append(RawReadings, raw_readings(0, 1)), now=NOW + timedelta(days=1)
    )
    assert version_of(warehouse)["version"] == 3
    assert pl.read_parquet(bi(warehouse) / "example_readings_2024.parquet")["level"].max() == 8


def test_whoever_imports_what_is_older_need_not_wait_for_the_copies(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path, bi_copies_hours=24.0)
    update(warehouse, fill)
    day = date(2023, 12, 3)
    write = lambda transaction: transaction.replace_days(Readings, readings([day], 7), [day])  # noqa: E731
    update(warehouse, write, now=NOW + timedelta(hours=1))
    assert version_of(warehouse)["version"] == 2


def test_a_copy_of_a_table_that_this_process_does_not_know_stays_until_somebody_is_purged(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path, "parquet")
    update(warehouse, fill)
    (bi(warehouse) / "example_gauges.parquet").rename(bi(warehouse) / "other_gauges.parquet")
    manifest = bi(warehouse).parent / "manifest.json"
    told = manifest.read_text()
    manifest.unlink()
    manifest.write_text(told.replace("example_gauges", "other_gauges"))
    update(warehouse, lambda transaction: transaction.append(RawReadings, raw_readings(0, 1)))
    assert {"example_gauges.parquet", "other_gauges.parquet"} <= set(contents(warehouse))
    assert "other_gauges.parquet" in version_of(warehouse)["files"]
    publish_alone(warehouse, published_at=NOW, log=print)
    assert "other_gauges.parquet" not in contents(warehouse)


class _BrokenPlan:
    def __init__(self) -> None:
        self.obsolete: set[str] = set()
        self.description: dict[str, Any] = {"of": "another"}
        self.is_due = True

    def make(self, folder: Path) -> list:
        raise duckdb.BinderException("no such column")


class _BrokenCopies:
    def compare(self, connection: object, old: Manifest, sequence: int) -> _BrokenPlan:
        return _BrokenPlan()


def test_the_mirror_goes_on_without_copies_that_cannot_be_made(tmp_path: Path) -> None:
    warehouse = with_copies(tmp_path)
    update(warehouse, fill)
    before = contents(warehouse)
    target = FixedKeys(tmp_path / "bucket")
    told: list[str] = []
    update_mirror(warehouse.paths, target, log=told.append, copies=_BrokenCopies())
    assert [line for line in told if "BI copies were not renewed" in line and "no such column" in line]
    assert (tmp_path / "bucket/example/gauges/part-0.parquet").exists()
    assert contents(warehouse) == before


@dataclass
class FixedKeys:
    """A target as a bucket is: every key is replaced by itself, at once, where readers read."""

    folder: Path

    def close(self) -> None:
        """Nothing is under way."""

    def read_manifest(self) -> Manifest | None:
        file = self.folder / "manifest.json"
        return Manifest.from_json(file.read_text()) if file.exists() else None

    def put_file(self, key: str, source: Path) -> None:
        (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
        source.replace(self.folder / key)

    def drop_keys(self, keys: Iterable[str]) -> None:
        for key in keys:
            (self.folder / key).unlink(missing_ok=True)

    def commit_manifest(self, manifest: Manifest) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "new").write_text(manifest.to_json())
        (self.folder / "new").replace(self.folder / "manifest.json")

    def remove_old_versions(self) -> None:
        pass


def consistent_read(folder: Path) -> dict[str, pl.DataFrame] | None:
    """What a reader of bi/VERSION does: None while files are being replaced."""
    try:
        version = json.loads((folder / "VERSION").read_text())
        frames = {}
        for name, told in version["files"].items():
            content = (folder / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != told["sha256"]:
                return None
            if name.endswith(".parquet"):
                frames[name] = pl.read_parquet(io.BytesIO(content))
        return frames
    except FileNotFoundError:
        return None


@pytest.mark.parametrize("kind", ["bucket", "folder"])
def test_a_reader_that_follows_the_version_sees_one_version_while_runs_go_on(tmp_path: Path, kind: str) -> None:
    warehouse = with_copies(tmp_path, "" if kind == "bucket" else "parquet,csv")
    bucket = FixedKeys(tmp_path / "bucket")
    folder = bucket.folder / "bi" if kind == "bucket" else warehouse.paths.mirror_folder / "current" / "bi"
    seen: list[tuple[int, ...]] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set() or not seen:
            frames = consistent_read(folder)
            if frames:
                levels = {int(frame["level"].min()) for name, frame in frames.items() if "readings" in name}
                seen.append((*levels, int(frames["example_gauges.parquet"]["place"][0])))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 9):
            place = pl.DataFrame({"gauge": ["a"], "place": [str(number)]})
            with run_session(warehouse, purpose="a test") as session:
                session.begin()
                with warehouse.transaction() as transaction:
                    transaction.replace_days(Readings, readings(DAYS, number), (DAYS[0], DAYS[-1]))
                    transaction.replace(Gauges, place)
            if kind == "bucket":
                update_mirror(warehouse.paths, bucket, log=print, copies=BiCopies(("parquet", "csv")))
    finally:
        is_over.set()
        reader.join()
    assert {levels for levels in seen if len(set(levels)) != 1} == set()
    assert len({levels[0] for levels in seen}) > 1


def test_a_snapshot_published_before_there_were_copies_gets_them_with_the_next_session(tmp_path: Path) -> None:
    old = warehouse_in(tmp_path)
    with old.transaction() as transaction:
        fill(transaction)
    publish_if_changed(old, published_at=NOW, log=print)
    warehouse = with_copies(tmp_path, "parquet")
    update(warehouse)
    assert version_of(warehouse)["version"] == 1
