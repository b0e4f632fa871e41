"""A version of the mirror as a plain folder: whole or not there, and nothing fetched twice."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from spotify_assets.lakehouse import Warehouse
from spotify_assets.lakehouse.errors import DownloadRefused, MirrorError
from spotify_assets.lakehouse.mirror_downloading import DownloadReport, download_mirror
from spotify_assets.lakehouse.mirror_reading import open_mirror
from spotify_assets_tests.lakehouse.example import Readings, current, files_of, fill, update, warehouse_in
from spotify_assets_tests.lakehouse.s3_servers import BUCKET, S3Server, proxy_to
from spotify_assets_tests.lakehouse.test_bucket import MANIFEST, new_day, reader_of, warehouse_at, without_march


def downloaded(warehouse: Warehouse, folder: Path, at: str = "", **arguments: bool) -> DownloadReport:
    reader = open_mirror(warehouse.mirror, warehouse.paths, patience_seconds=0.0)
    return download_mirror(reader, folder, at=at, home=warehouse.paths.home, **arguments)


@pytest.fixture
def filled(tmp_path: Path) -> Warehouse:
    """A home whose mirror is in its folder, BI copies included."""
    warehouse = warehouse_in(tmp_path / "home", bi_copies="parquet")
    update(warehouse, fill)
    return warehouse


def test_a_download_has_the_files_of_the_mirror_and_fetches_only_what_changed(
    tmp_path: Path, filled: Warehouse
) -> None:
    folder = tmp_path / "plain"
    report = downloaded(filled, folder)
    assert files_of(folder) == files_of(current(filled)) and (folder / "bi/VERSION").exists()
    assert (report.files, report.fetched) == (7, 7)
    frame = pl.read_parquet(folder / "example/readings/**/*.parquet", hive_partitioning=True)
    assert frame.drop("month").equals(filled.read(Readings).sort("read_at"))
    assert downloaded(filled, folder).fetched == 0
    update(filled, without_march)
    report = downloaded(filled, folder)
    # Of the copies that of the readings and VERSION are others.
    assert report.fetched == 2 and files_of(folder) == files_of(current(filled))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "plain"]


def test_an_older_version_is_named_by_its_number(tmp_path: Path, filled: Warehouse) -> None:
    before = files_of(current(filled))
    update(filled, new_day)
    downloaded(filled, tmp_path / "plain", at="1")
    assert files_of(tmp_path / "plain") == before
    with pytest.raises(MirrorError, match=r"no version 9\. It has: 2 \(snapshot 2, .*\); 1 \(snapshot 1, "):
        downloaded(filled, tmp_path / "plain", at="9")
    assert files_of(tmp_path / "plain") == before


def test_the_copies_alone_can_be_had(tmp_path: Path, filled: Warehouse) -> None:
    assert downloaded(filled, tmp_path / "plain", copies_only=True).files == 3
    names = sorted(path.name for path in (tmp_path / "plain/bi").iterdir())
    assert names == ["VERSION", "example_gauges.parquet", "example_readings_2024.parquet"]
    assert not (tmp_path / "plain/example").exists()


def test_what_else_is_in_the_folder_is_never_removed(tmp_path: Path, filled: Warehouse) -> None:
    folder = tmp_path / "plain"
    downloaded(filled, folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(DownloadRefused, match=r"holds notes\.txt"):
        downloaded(filled, folder)
    assert (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(DownloadRefused, match="own folder"):
        downloaded(filled, filled.paths.mirror_folder / "current")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(DownloadRefused, match="link"):
        downloaded(filled, tmp_path / "link")


def test_a_file_that_somebody_changed_is_fetched_again(tmp_path: Path, filled: Warehouse) -> None:
    folder = tmp_path / "plain"
    downloaded(filled, folder)
    file = folder / "example/gauges/part-0.parquet"
    file.chmod(0o644)
    file.write_bytes(b"x" * file.stat().st_size)
    assert downloaded(filled, folder).fetched == 1
    assert files_of(folder) == files_of(current(filled))


def test_a_download_that_was_cut_off_shows_the_version_before_and_goes_on_where_it_was(
    tmp_path: Path, s3_server: S3Server
) -> None:
    s3_server.keep_versions()
    warehouse = warehouse_at(tmp_path / "home", s3_server)
    update(warehouse, fill)
    first = s3_server.client.head_object(Bucket=BUCKET, Key=MANIFEST)["VersionId"]
    folder = tmp_path / "plain"
    downloaded(warehouse, folder)
    before = files_of(folder)
    update(warehouse, new_day, without_march)
    with proxy_to(s3_server.endpoint_url) as proxy:
        proxy.fault = lambda method, path, number: "cut answer" if "2024-02" in path else ""
        with pytest.raises(MirrorError, match="does not answer"):
            download_mirror(reader_of(proxy), folder)
    assert files_of(folder) == before
    with proxy_to(s3_server.endpoint_url) as proxy:
        download_mirror(reader_of(proxy), folder)
    assert [path for _, path in proxy.requests if path.endswith(".parquet")] == [
        f"/{BUCKET}/lake/house/example/readings/month=2024-02/part-0.parquet"
    ]
    assert sorted(files_of(folder)) == sorted(before)[:3] and files_of(folder) != before
    download_mirror(reader_of(s3_server), folder, at=first)
    assert files_of(folder) == before
