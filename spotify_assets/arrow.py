"""Frames on their way between DuckDB and Polars, without pyarrow.

Must not import duckdb: Polars keeps a reference to the type of each object that it reads Arrow data from, and with it
to that type's module; when that leads to duckdb, DuckDB 2.0 prints dozens of `nanobind: leaked` lines at exit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

ROW_GROUP_ROWS = 122_880
"""https://duckdb.org/docs/current/internals/storage: what DuckDB compresses and skips as one."""

_NARROW_COLUMNS = 20

SLICE_ROWS = ROW_GROUP_ROWS // 2
"""One chunk of 1 M rows x 42 columns took 5.6 s to insert, slices of this size 1.7 s."""


class FrameStream:
    """A frame that DuckDB can scan, as often as it likes, in slices that its threads can share."""

    def __init__(self, frame: pl.DataFrame) -> None:
        if frame.height > SLICE_ROWS:
            slices = [frame.slice(start, SLICE_ROWS) for start in range(0, frame.height, SLICE_ROWS)]
            frame = pl.concat(slices, rechunk=False)
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


class RowGroups:
    """Rows on their way into a table, in frames that fill one row group exactly, or two of a narrow table.

    A row group that several statements fill is compressed more than once: a million plays in lots of 60,000 took 4.5 s
    of processor time to insert, in lots of a row group 3.4 s, and in lots of two of them, on two cores, half as long;
    but two of a wide table take a quarter of a gigabyte on their way.
    """

    def __init__(self) -> None:
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0

    def add(self, frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """What is full by now."""
        self._waiting.append(frame)
        self._rows += frame.height
        enough = ROW_GROUP_ROWS * (2 if frame.width <= _NARROW_COLUMNS else 1)
        while self._rows >= enough:
            whole = pl.concat(self._waiting, rechunk=False)
            self._waiting = [whole.slice(enough)]
            self._rows -= enough
            yield whole.head(enough)
            del whole

    def rest(self) -> Iterator[pl.DataFrame]:
        """What is left."""
        if self._rows:
            yield pl.concat(self._waiting, rechunk=False)


def in_row_groups(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in the same order as `RowGroups`; only the last frame may be shorter."""
    groups = RowGroups()
    for frame in frames:
        yield from groups.add(frame)
    yield from groups.rest()


class _ResultStream:
    def __init__(self, capsule: object) -> None:
        self._capsule: object | None = capsule

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        capsule, self._capsule = self._capsule, None
        return capsule


def frame_of(relation: object) -> pl.DataFrame:
    """The rows of a DuckDB relation (anything with `__arrow_c_stream__`), read to the end."""
    return pl.DataFrame(_ResultStream(relation.__arrow_c_stream__()))  # type: ignore[attr-defined]
