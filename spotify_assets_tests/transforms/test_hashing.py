from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl

from spotify_assets.transforms.hashing import as_identifier, text_hash, with_row_hash


def _hashes(frame: pl.DataFrame, **arguments) -> list[int]:
    columns = map(pl.col, frame.columns)
    return with_row_hash(frame.lazy(), "hash", columns, **arguments).collect()["hash"].to_list()


def test_hashes_are_the_same_in_every_release():
    frame = pl.DataFrame(
        {"number": [1], "flag": [True], "day": [date(2021, 6, 15)], "at": [datetime(2021, 6, 15, 12, tzinfo=UTC)]}
    )
    assert _hashes(frame) == [15569104462259724753]
    assert text_hash("Europe/Berlin") == 4295833086800676351


def test_null_differs_from_every_value_and_columns_do_not_change_places():
    rows = [(None, None), (None, 0), (0, None), (0, 0), (0, 1), (1, 0), (1, 1), (-1, 1), (1, -1)]
    hashes = _hashes(pl.DataFrame(rows, schema={"one": pl.Int64, "other": pl.Int64}, orient="row"))
    assert len(set(hashes)) == len(rows)


def test_a_salt_gives_other_hashes():
    frame = pl.DataFrame({"number": [1, 2]})
    assert not set(_hashes(frame)) & set(_hashes(frame, salt=1))


def test_hashes_of_a_million_neighbouring_rows_do_not_collide():
    frame = pl.DataFrame({"one": pl.int_range(1_000_000, eager=True)}).with_columns(other=pl.col("one") % 997)
    assert len(set(_hashes(frame))) == 1_000_000


def test_identifiers_are_not_negative():
    frame = pl.LazyFrame({"number": range(100)})
    hashed = with_row_hash(frame, "hash", [pl.col("number")]).select(as_identifier(pl.col("hash"))).collect()["hash"]
    assert hashed.dtype == pl.Int64
    assert hashed.min() >= 0
