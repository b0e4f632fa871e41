"""The rows of a run's days, some days at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import polars as pl

from spotify_assets import progress
from spotify_assets.ahead import one_ahead
from spotify_assets.lakehouse.definition import Catalog
from spotify_assets.lakehouse.transaction import read_table
from spotify_assets.schemas import Table

if TYPE_CHECKING:
    from spotify_assets.lakehouse.warehouse import Warehouse

ROWS_PER_LOT = 100_000
"""Ten years of plays with their names take half a gigabyte at once, and as much again while they are grouped."""


def lot_number(rows_per_lot: int) -> pl.Expr:
    """Number of the lot to which each row of a frame belongs that tells in `len` how many rows it stands for."""
    return (pl.col("len").cum_sum() - pl.col("len")) // rows_per_lot


class Lot(NamedTuple):
    """Consecutive days, both included, and the rows that belong to them."""

    first: date
    last: date
    rows: pl.LazyFrame


class Lots:
    """An asset's input that is read while it is used: annotate the parameter with this class instead of LazyFrame.

    Iterating gives `Lot`s, which together are the days of the run, or all days of the table where the asset has no
    partitions. There is always one lot, also where no day has a row.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        table: type[Table],
        columns: list[str],
        day_columns: list[str],
        days: tuple[date, date] | None,
        rows_per_lot: int = ROWS_PER_LOT,
    ) -> None:
        self._warehouse = warehouse
        self._table = table
        self._columns = columns
        self._day_columns = day_columns
        self._days = days
        self._rows_per_lot = rows_per_lot

    def __iter__(self) -> Iterator[Lot]:
        with self.opened() as lots:
            yield from lots

    @contextmanager
    def opened(self) -> Iterator[Iterator[Lot]]:
        """The lots, for another thread to go through: the thread that opens them may write meanwhile."""
        with self._warehouse.look() as looked, closing(one_ahead(self._read(*looked))) as lots:
            yield lots

    def _read(self, connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> Generator[Lot]:
        name = f"{self._table.layout.schema}: read"
        with progress.stage(name):
            stretches = self._stretches(connection, catalog)
        for days in stretches:
            with progress.stage(name):
                rows = read_table(
                    connection, self._table, self._columns, days=days, day_columns=self._day_columns, catalog=catalog
                )
            yield Lot(*(days or (date.min, date.min)), rows.lazy())

    def _stretches(self, connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> list[tuple[date, date] | None]:
        column = self._day_columns[0]
        days = read_table(connection, self._table, [column], days=self._days, day_columns=[column], catalog=catalog)
        counts = days.group_by(column).len().drop_nulls().sort(column)
        if counts.is_empty():
            return [self._days]
        first, last = self._days or (counts[column][0], counts[column][-1])
        lot = lot_number(self._rows_per_lot).alias("lot")
        starts = counts.group_by(lot, maintain_order=True).agg(pl.col(column).first())[column].to_list()
        starts[0] = first
        ends = [start - timedelta(days=1) for start in starts[1:]] + [last]
        return list(zip(starts, ends, strict=True))
