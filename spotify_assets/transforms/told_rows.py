"""raw.told_rows: which rows a file told, with neighbours written as one run.

A file tells most of its rows one after the other, and they are numbered one after the other when they are stored: a
million rows of history are some thousand runs.
"""

from __future__ import annotations

import polars as pl

_KEY = ("file_id", "source_table")


def in_runs(told: pl.LazyFrame) -> pl.LazyFrame:
    """Rows (file_id, source_table, row_id, row_number), no two of which tell the same row, as runs.

    Returns:
        The same columns, of the first row of each run, and `rows`, its length.
    """
    follows = pl.all_horizontal(
        *(pl.col(name) == pl.col(name).shift() for name in _KEY),
        *(pl.col(name) == pl.col(name).shift() + 1 for name in ("row_id", "row_number")),
    )
    return (
        told.sort(*_KEY, "row_number", "row_id")
        .group_by((~follows.fill_null(False)).cum_sum().alias("run"), maintain_order=True)
        .agg(pl.col(*_KEY, "row_id", "row_number").first(), rows=pl.len().cast(pl.Int64))
        .drop("run")
    )


def one_by_one(runs: pl.LazyFrame) -> pl.LazyFrame:
    """The rows that `in_runs` was given, in no particular order; without `rows` a run is one row."""
    rows = pl.col("rows").fill_null(1)
    return (
        runs.with_columns(place=pl.int_ranges(0, rows, dtype=pl.Int64))
        .explode("place")
        .select(*_KEY, *(pl.col(name) + pl.col("place") for name in ("row_id", "row_number")))
    )
