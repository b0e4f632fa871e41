from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from benchmarks.mirror import NotEqual, equal_tables, uploads_of
from benchmarks.s3_server import Stored, running


def test_what_was_put_is_counted_by_kind_and_by_version() -> None:
    with running() as server:
        server.make_bucket("lake")
        client = server.client()
        for key in (
            *("house/clean/plays/month=2026-10/part-0.parquet", "house/clean/plays/month=2026-11/part-0.parquet"),
            *("house/clean/tracks/part-0.parquet", "house/bi/VERSION", "house/bi/clean_tracks.parquet"),
            *("house/manifest.json", "house/manifest.json"),
        ):
            client.put_object(Bucket="lake", Key=key, Body=b"four")
        put = uploads_of(server.stored("lake"))
    assert put == {
        "months": {"objects": 2, "bytes": 8, "first": "2026-10", "last": "2026-11"},
        "tables": {"objects": 1, "bytes": 4},
        "copies": {"objects": 2, "bytes": 8},
        "manifest": {"objects": 2, "bytes": 8},
    }


def test_nothing_put_has_no_months() -> None:
    assert uploads_of(set[Stored]())["months"] == {"objects": 0, "bytes": 0}


def _home(folder: Path, values: list[int | None]) -> Path:
    folder.mkdir()
    with duckdb.connect(str(folder / "lakehouse.duckdb")) as connection:
        connection.execute("CREATE SCHEMA clean").fetchall()
        connection.execute("CREATE TABLE clean.plays AS SELECT unnest(?::INTEGER[]) AS ms_played", [values]).fetchall()
    return folder


def test_homes_are_equal_whatever_the_order_of_their_rows(tmp_path: Path) -> None:
    assert equal_tables(_home(tmp_path / "one", [1, None, 2]), _home(tmp_path / "other", [2, 1, None])) == 1


@pytest.mark.parametrize("values", [[1, 2], [1, 2, 2], [1, None, 3]])
def test_a_table_that_was_not_restored_as_it_was_is_named(tmp_path: Path, values: list[int | None]) -> None:
    with pytest.raises(NotEqual, match=r"clean\.plays"):
        equal_tables(_home(tmp_path / "one", [1, None, 2]), _home(tmp_path / "other", values))
