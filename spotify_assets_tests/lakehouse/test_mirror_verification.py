"""Comparing a mirror with the warehouse, table by table, and repairing what differs."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_assets.lakehouse import UnknownTable, Warehouse
from spotify_assets.lakehouse.errors import MirrorUnreachable, NothingPublished
from spotify_assets.lakehouse.mirror import MirrorFile
from spotify_assets.lakehouse.mirror_reading import Stored, open_mirror
from spotify_assets.lakehouse.mirror_verification import (
    FoundFile,
    MirrorVerification,
    RowFacts,
    SyncReport,
    TableFacts,
    TableQuery,
    compare_table,
    sync_mirror,
    verify_mirror,
)
from spotify_assets_tests.lakehouse.example import Gauges, Readings, current, fill, update, warehouse_in
from spotify_assets_tests.lakehouse.s3_servers import BUCKET, S3Server
from spotify_assets_tests.lakehouse.test_bucket import FILES, MANIFEST, new_day, warehouse_at

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
JANUARY = "example/readings/month=2024-01/part-0.parquet"
GAUGES = "example/gauges/part-0.parquet"


def verified(warehouse: Warehouse, *names: str, is_quick: bool = False) -> MirrorVerification:
    return verify_mirror(warehouse.paths, warehouse.mirror, names=names, is_quick=is_quick)


def synced(warehouse: Warehouse, *, is_quick: bool = False) -> SyncReport:
    return sync_mirror(warehouse, is_quick=is_quick, log=print, clock=lambda: NOW)


def kinds(found: MirrorVerification) -> list[tuple[str, str]]:
    return [(each.kind, each.key) for each in found.all_differences]


def replaced(file: Path, content: bytes) -> None:
    """Put another file in its place, as whoever copies one there does."""
    file.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def told_anew(warehouse: Warehouse, key: str, content: bytes, rows: int) -> None:
    """Put a file in its place and have the manifest name it, as a run with a fault in it would."""
    manifest = json.loads((current(warehouse) / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["key"] == key:
            file |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content), "rows": rows}
    replaced(current(warehouse) / key, content)
    replaced(current(warehouse) / "manifest.json", json.dumps(manifest).encode())


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose mirror is in its folder, BI copies included. To be copied, not changed."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    update(warehouse_in(home, bi_copies="parquet"), fill)
    return home


@pytest.fixture
def filled(prepared: Path, tmp_path: Path) -> Warehouse:
    """A copy of it."""
    shutil.copytree(prepared, tmp_path / "home", symlinks=True)
    return warehouse_in(tmp_path / "home", bi_copies="parquet")


def test_what_was_just_mirrored_is_equal_table_by_table(filled: Warehouse) -> None:
    found = verified(filled)
    assert found.is_equal, found.all_differences
    tables = {table.name: (table.files, table.warehouse_rows, table.mirror_rows) for table in found.tables}
    assert tables == {"bi": (3, None, None), "example.gauges": (1, 2, 2), "example.readings": (3, 182, 182)}
    assert verified(filled, is_quick=True).is_equal
    report = synced(filled)
    assert report.written is None and report.after.is_equal


def test_nothing_published_is_said(tmp_path: Path) -> None:
    with pytest.raises(NothingPublished):
        verified(warehouse_in(tmp_path))


def test_an_unknown_table_is_answered_with_those_there_are(filled: Warehouse) -> None:
    assert [table.name for table in verified(filled, "example.gauges").tables] == ["example.gauges"]
    with pytest.raises(UnknownTable, match=r"example\.nothing.*example\.gauges"):
        verified(filled, "example.nothing")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    replaced(file, bytes(content))


DAMAGES: dict[str, tuple[Callable[[Path], None], list[tuple[str, str]]]] = {
    "a byte is another one": (lambda folder: flip(folder / JANUARY), [("changed", JANUARY)]),
    "a file is gone": (lambda folder: (folder / GAUGES).unlink(), [("missing", GAUGES)]),
    "a copy is another one": (
        lambda folder: flip(folder / "bi/example_gauges.parquet"),
        [("changed", "bi/example_gauges.parquet")],
    ),
    "VERSION is gone": (lambda folder: (folder / "bi/VERSION").unlink(), [("missing", "bi/VERSION")]),
    "a file too many": (
        lambda folder: replaced(folder / "example/readings/month=1999-01/part-0.parquet", b"x"),
        [("left over", "example/readings/month=1999-01/part-0.parquet")],
    ),
    "the manifest is gone": (lambda folder: (folder / "manifest.json").unlink(), [("manifest", "manifest.json")]),
    "the manifest is damaged": (
        lambda folder: replaced(folder / "manifest.json", b'{"format": 2'),
        [("manifest", "manifest.json")],
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_told_and_repaired(filled: Warehouse, damage: str) -> None:
    make, expected = DAMAGES[damage]
    before = {path.relative_to(current(filled)): path.read_bytes() for path in current(filled).rglob("*.parquet")}
    make(current(filled))
    assert kinds(verified(filled)) == expected
    report = synced(filled)
    assert kinds(report.before) == expected and report.after.is_equal and report.written is not None
    after = {path.relative_to(current(filled)): path.read_bytes() for path in current(filled).rglob("*.parquet")}
    assert after == before


def test_other_files_beside_the_tables_are_no_business_of_the_mirror(filled: Warehouse) -> None:
    replaced(current(filled) / "inbox/me/export.zip", b"x")
    replaced(current(filled) / "lock.json", b"{}")
    assert verified(filled).is_equal


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (lambda frame: frame.head(-1), "rows", "61 rows, the warehouse has 62"),
        (lambda frame: frame.with_columns(pl.col("level") + 1), "sums", "level sums up to 155 instead of 93"),
        (lambda frame: frame.with_columns(gauge=pl.lit("south")), "checksum", "others than the warehouse's"),
        (lambda frame: frame.with_columns(pl.col("level").cast(pl.Int8)), "schema", "level as Int8 instead of Int64"),
        (lambda frame: frame.drop("remark"), "schema", "no column remark"),
        (lambda frame: frame.select(reversed(frame.columns)), "schema", "another order"),
    ],
)
def test_files_that_the_manifest_means_are_compared_with_the_rows_of_the_warehouse(
    filled: Warehouse, change: Callable[[pl.DataFrame], pl.DataFrame], kind: str, told: str
) -> None:
    frame = change(pl.read_parquet(current(filled) / JANUARY, hive_partitioning=False))
    told_anew(filled, JANUARY, parquet(frame), 62)
    found = verified(filled)
    assert kinds(found) == [(kind, JANUARY)] and told in found.all_differences[0].told
    assert verified(filled, is_quick=True).is_equal
    if kind == "checksum":
        assert synced(filled).after.is_equal


def test_rows_in_another_order_are_equal(filled: Warehouse) -> None:
    frame = pl.read_parquet(current(filled) / JANUARY, hive_partitioning=False)
    told_anew(filled, JANUARY, parquet(frame.sample(fraction=1.0, shuffle=True, seed=1)), 62)
    assert verified(filled).is_equal


def test_a_quick_look_finds_what_the_manifest_counts_wrong(filled: Warehouse) -> None:
    told_anew(filled, JANUARY, (current(filled) / JANUARY).read_bytes(), 60)
    assert kinds(verified(filled, is_quick=True)) == [("rows", JANUARY)]


def test_a_mirror_that_lags_is_compared_with_its_own_snapshot_and_caught_up(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    update(warehouse, fill)
    mirror = warehouse.paths.mirror_folder
    mirror.rename(mirror.with_name("kept"))
    mirror.write_text("in the way")
    update(warehouse, new_day)
    mirror.unlink()
    mirror.with_name("kept").rename(mirror)
    found = verified(warehouse)
    assert kinds(found) == [("lag", "")] and "snapshot 1" in found.all_differences[0].told
    assert (found.mirror_sequence, found.compared_sequence, found.published_sequence) == (1, 1, 2)
    report = synced(warehouse)
    assert report.written is not None and report.written.written == 1 and report.after.is_equal


def test_what_is_committed_but_not_published_is_published_and_mirrored(filled: Warehouse) -> None:
    with filled.transaction() as transaction:
        new_day(transaction)
    report = synced(filled)
    assert report.before.published_sequence == 2 and report.after.is_equal
    assert open_mirror(filled.mirror, filled.paths).table("example.readings")["level"].max() == 8


def test_copies_that_may_wait_are_no_difference_and_are_renewed_by_a_sync(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, bi_copies="parquet", bi_copies_hours=24.0)
    update(warehouse, fill)
    gauges = pl.DataFrame({"gauge": ["c"], "place": ["z"]})
    update(warehouse, lambda transaction: transaction.replace(Gauges, gauges))
    found = verified(warehouse)
    assert found.is_equal and "show snapshot 1" in found.notes[0]
    assert not synced(warehouse).after.notes


def test_a_table_that_only_another_process_declares_is_compared_too(filled: Warehouse) -> None:
    manifest = current(filled) / "manifest.json"
    told = json.loads(manifest.read_text())
    told["tables"]["example.unknown"] = told["tables"]["example.gauges"]
    replaced(manifest, json.dumps(told).encode())
    found = verified(filled)
    assert found.is_equal and "not in this lakehouse" in found.notes[0]


# In a bucket.


def test_in_a_bucket_all_is_equal_and_a_sync_puts_nothing(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path, s3_server, bi_copies="parquet,csv")
    update(warehouse, fill)
    assert verified(warehouse).is_equal and verified(warehouse, is_quick=True).is_equal
    before = {key: s3_server.client.head_object(Bucket=BUCKET, Key=key)["ETag"] for key in s3_server.keys("")}
    assert synced(warehouse).written is None
    assert {key: s3_server.client.head_object(Bucket=BUCKET, Key=key)["ETag"] for key in before} == before


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_a_bucket_that_others_wrote_into_is_told_and_repaired_as_far_as_it_is_ours(
    tmp_path: Path, s3_server: S3Server, keeps_versions: bool
) -> None:
    if keeps_versions:
        s3_server.keep_versions()
    warehouse = warehouse_at(tmp_path, s3_server, bi_copies="parquet")
    update(warehouse, fill)
    foreign, left_over = "lake/house/example/readings/extra.parquet", "lake/house/bi/example_gone.parquet"
    s3_server.put(foreign, b"somebody's")
    s3_server.put("lake/house/inbox/me/export.zip", b"somebody's")
    owner = s3_server.client.head_object(Bucket=BUCKET, Key=FILES[0])["Metadata"]
    s3_server.client.put_object(Bucket=BUCKET, Key=left_over, Body=b"of a killed run", Metadata=owner)
    s3_server.put(FILES[1], b"x" * 10)
    s3_server.client.delete_object(Bucket=BUCKET, Key=FILES[0])
    written_over = "covered" if keeps_versions else "changed"
    expected = {
        ("covered" if keeps_versions else "missing", GAUGES),
        (written_over, JANUARY),
        ("foreign", "example/readings/extra.parquet"),
        ("left over", "bi/example_gone.parquet"),
    }
    assert set(kinds(verified(warehouse))) == expected
    report = synced(warehouse)
    assert set(kinds(report.before)) == expected
    assert kinds(report.after) == [("foreign", "example/readings/extra.parquet")]
    assert s3_server.read(foreign) == b"somebody's" and left_over not in s3_server.keys("")
    assert open_mirror(warehouse.mirror).table("example.readings").equals(warehouse.read(Readings).sort("read_at"))


def test_a_version_that_somebody_removed_for_good_is_put_again(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.keep_versions()
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    version_id = s3_server.client.head_object(Bucket=BUCKET, Key=FILES[0])["VersionId"]
    s3_server.client.delete_object(Bucket=BUCKET, Key=FILES[0], VersionId=version_id)
    assert kinds(verified(warehouse)) == [("missing", GAUGES)]
    assert synced(warehouse).after.is_equal


def test_a_quick_look_at_a_bucket_reads_no_file(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    s3_server.put(FILES[1], b"x" * len(s3_server.read(FILES[1])))
    assert kinds(verified(warehouse, is_quick=True)) == [("changed", JANUARY)]
    assert synced(warehouse, is_quick=True).after.is_equal
    assert verified(warehouse).is_equal


@pytest.mark.parametrize("damage", [None, b"{"])
def test_a_lost_or_damaged_manifest_of_a_bucket_is_written_again(
    tmp_path: Path, s3_server: S3Server, damage: bytes | None
) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    if damage is None:
        s3_server.client.delete_object(Bucket=BUCKET, Key=MANIFEST)
    else:
        s3_server.put(MANIFEST, damage)
    assert kinds(verified(warehouse)) == [("manifest", "manifest.json")]
    assert synced(warehouse).after.is_equal


def test_the_mirror_of_another_lakehouse_is_told_and_left_alone(tmp_path: Path, s3_server: S3Server) -> None:
    update(warehouse_at(tmp_path / "one", s3_server), fill)
    other = warehouse_at(tmp_path / "other", s3_server)
    update(other, new_day)
    assert "another lakehouse" in verified(other).all_differences[0].told
    report = synced(other)
    assert "another lakehouse" in report.failure and not report.after.is_equal


def test_a_store_that_does_not_answer_is_an_error_and_no_difference(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    with pytest.raises(MirrorUnreachable):
        verified(warehouse_at(tmp_path, s3_server, endpoint_url="http://127.0.0.1:9"))


# Comparing alone.


def a_file(**fields: object) -> MirrorFile:
    known = {"key": JANUARY, "table": "example.readings", "month": "2024-01", "rows": 2, "size_bytes": 9}
    return MirrorFile(**{**known, "sha256": "a", "change_sequence": 1, "etag": "e", **fields})


rows_of_a_table = st.lists(
    st.tuples(
        st.none() | st.sampled_from(["", "a", "b"]),
        st.none() | st.integers(-2, 2),
        st.none() | st.sampled_from([0.0, 0.5, -1.5]),
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=rows_of_a_table, other=rows_of_a_table, order=st.randoms(use_true_random=False))
def test_facts_are_equal_exactly_if_the_rows_are_in_whatever_order(
    connection: duckdb.DuckDBPyConnection, one: list[tuple], other: list[tuple], order: random.Random
) -> None:
    query = TableQuery("", {"place": "VARCHAR", "level": "BIGINT", "share": "DOUBLE"}, None)

    def facts(rows: list[tuple]) -> RowFacts:
        return query.facts_of(connection, pl.DataFrame(rows, schema=query.columns, orient="row"))

    assert facts(one) == facts(order.sample(one, len(one)))
    assert (facts(one) == facts(other)) == (sorted(one, key=repr) == sorted(other, key=repr))


def test_fractions_that_were_added_in_another_order_are_equal() -> None:
    columns = {"level": pl.Float64()}
    facts = {sums: RowFacts(2, 7, {"level": sums}) for sums in (0.3, 0.1 + 0.2, 0.31)}
    expected = TableFacts(columns, {"2024-01": facts[0.3]})

    def of(found: RowFacts) -> bool:
        file = FoundFile(Stored(9, "e"), True, "a", columns, found)
        return compare_table("example.readings", expected, [a_file()], {JANUARY: file}).is_equal

    assert of(facts[0.1 + 0.2]) and not of(facts[0.31])


def test_a_month_without_a_file_and_a_file_without_rows_are_told() -> None:
    expected = TableFacts({}, {"2024-02": RowFacts(3)})
    file = FoundFile(Stored(9, "e"), True, "a", {}, RowFacts(2))
    found = compare_table("example.readings", expected, [a_file()], {JANUARY: file})
    assert [each.told for each in found.differences] == [
        "2 rows, the warehouse has 0",
        "no file has the 3 rows of 2024-02",
    ]
    assert (found.warehouse_rows, found.mirror_rows) == (3, 2)
