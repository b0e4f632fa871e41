"""BI copies: one plain file for each table and view at a path that never changes, for tools that open files.

```
bi/clean_tracks.parquet    bi/clean_plays_2024.parquet    bi/my_listening_history.parquet
bi/clean_tracks.csv.gz     …                              bi/VERSION
```
All are made from one snapshot. `bi/VERSION`, written last, names it, and each file with its checksum: while files are
replaced one by one, a reader sees by the checksums that they are not yet those that it names, and tries again. What the
snapshot did not change is not made anew, what came out equal is not put.

CSV is what most tools read without being asked how: UTF-8 without a byte order mark (Excel alone would like one, and
opens no .gz; elsewhere it sticks to the first column's name), comma, point, line feed, quotes where needed, dates as
2024-05-06, instants as 2024-05-06T07:08:09.123456Z. Local times, which are for people, are 2024-05-06 09:08:09.123:
Excel takes no `T` and at most three digits. NULL is nothing between the commas, an empty text is `""`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from polars.io.plugins import register_io_source

from spotify_assets.arrow import frame_of
from spotify_assets.lakehouse.definition import Catalog, quoted, select, set_up, sql_name
from spotify_assets.lakehouse.mirror import COPIES_FOLDER, COPIES_VERSION_KEY, Manifest, MirrorFile
from spotify_assets.lakehouse.views import view_query
from spotify_assets.schemas import Table, tables, views
from spotify_assets.schemas.meta import Changes, Published

ENDINGS = {"parquet": ".parquet", "csv": ".csv.gz"}
"""Format -> ending of its files."""

_FORMAT = 1
"""Another number has every copy made anew."""

_THREADS = 2
_ROWS_PER_LOT = 120_000
_ROWS_PER_ROW_GROUP = 122_880
_LATELY = timedelta(days=62)
_INSTANT = "%Y-%m-%dT%H:%M:%S%.6fZ"
_LOCAL_TIME = "%Y-%m-%d %H:%M:%S%.3f"


@dataclass(frozen=True)
class BiCopies:
    """Which copies there are.

    Attributes:
        formats: `parquet` and `csv`, one of them, or none.
        hours: For how long they may show an older snapshot, if it lacks nothing but what came in the last two months:
            whoever imports an export wants to see it.
        keeps_undeclared: Copies of tables that no schema declares in this process stay: another one may know them.
    """

    formats: tuple[str, ...]
    hours: float = 0.0
    keeps_undeclared: bool = True

    @classmethod
    def of_setting(cls, names: str, hours: float = 0.0, *, keeps_undeclared: bool = True) -> BiCopies:
        """Of names of formats joined by commas.

        Raises:
            KeyError: There is no such format.
        """
        formats = tuple(filter(None, names.split(",")))
        for name in formats:
            ENDINGS[name]
        return cls(formats, hours, keeps_undeclared)

    def compare(self, connection: duckdb.DuckDBPyConnection, old: Manifest, sequence: int) -> CopyPlan:
        """What is to be made of the snapshot, and what is to go.

        Args:
            connection: The snapshot.
            old: What the mirror holds.
            sequence: Number of the snapshot.
        """
        kept = {key: file for key, file in old.files.items() if file.is_copy}
        changes = _changes(connection)
        copies = _copies(connection, changes) if self.formats else []
        keys = {key for copy in copies for key in copy.keys(self.formats)}
        keys |= {COPIES_VERSION_KEY} if copies else set()
        definitions = {copy.name: copy.definition for copy in copies}
        known = old.copies.get("definitions", {})
        if copies and self.keeps_undeclared:
            undeclared = {name: definition for name, definition in known.items() if not _is_declared(name)}
            keys |= {key for name in undeclared for key in _keys(name, self.formats) if key in kept}
            definitions |= undeclared
        due = [
            copy
            for copy in copies
            if known.get(copy.name) != copy.definition
            or any(key not in kept or kept[key].change_sequence != copy.sequence for key in copy.keys(self.formats))
        ]
        published_at = _published_at(connection)
        is_as_declared = set(kept) == keys and known == definitions
        is_of_snapshot = old.copies.get("snapshot_sequence") == sequence if copies else True
        return CopyPlan(
            connection=connection,
            formats=self.formats,
            due=due,
            kept={key: file for key, file in kept.items() if key in keys},
            obsolete=set(kept) - keys,
            description={
                "snapshot_sequence": sequence,
                "published_at": published_at and published_at.isoformat(),
                "definitions": definitions,
            }
            if copies
            else {},
            sequence=sequence,
            is_due=not is_as_declared or not (is_of_snapshot or self._may_wait(old, published_at, changes)),
        )

    def _may_wait(self, old: Manifest, published_at: datetime | None, changes: Mapping[str, Mapping[str, int]]) -> bool:
        before = old.copies.get("published_at")
        if not (self.hours and before and published_at):
            return False
        if not timedelta(0) <= published_at - datetime.fromisoformat(before) < timedelta(hours=self.hours):
            return False
        shown = old.copies.get("snapshot_sequence", 0)
        lately = f"{published_at - _LATELY:%Y-%m}"
        return not any(
            month and month < lately and number > shown
            for of_table in changes.values()
            for month, number in of_table.items()
        )


@dataclass(frozen=True)
class _Copy:
    """A table, a year of it, or a view, and the number of the last change that it shows."""

    table: type[Table]
    year: str
    sequence: int
    query: str

    @property
    def name(self) -> str:
        return self.table.layout.copy_name(self.year)

    @property
    def definition(self) -> str:
        """Another one has the file made anew."""
        parts = (str(_FORMAT), self.query, *self.order)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @property
    def order(self) -> list[str]:
        table = self.table
        order = table.sort_columns()
        return order + [name for name in table.primary_key() or table.column_names() if name not in order]

    def keys(self, formats: tuple[str, ...]) -> list[str]:
        return _keys(self.name, formats)


@dataclass
class CopyPlan:
    """What an update has to do; `BiCopies.compare` makes it.

    Attributes:
        kept: Copies of the last update by key, those that are due included.
        obsolete: Keys of copies that are to go.
        description: Stands in the manifest.
        is_due: Whether there is anything to do.
    """

    connection: duckdb.DuckDBPyConnection = field(repr=False)
    formats: tuple[str, ...]
    due: list[_Copy]
    kept: dict[str, MirrorFile]
    obsolete: set[str]
    description: dict[str, Any]
    sequence: int
    is_due: bool

    def make(self, folder: Path) -> list[tuple[MirrorFile, Path]]:
        """Make what is due in a folder; returns the files in the order in which they are to be put, VERSION last.

        All are made before the first is put, so that readers meet files of two versions for as short as can be.

        Raises:
            duckdb.Error: A table or view cannot be read.
            polars.exceptions.PolarsError: A file cannot be written.
        """
        if not self.description:
            return []
        with ExitStack() as stack:
            # A connection serves one thread at a time.
            cursors = [stack.enter_context(self.connection.cursor()) for _ in range(_THREADS)]
            for cursor in cursors:
                set_up(cursor)

            def make(copy: _Copy) -> list[tuple[MirrorFile, Path]]:
                cursor = cursors.pop()
                try:
                    return self._make(cursor, copy, folder)
                finally:
                    cursors.append(cursor)

            with ThreadPoolExecutor(_THREADS) as pool:
                made = [pair for pairs in pool.map(make, self.due) for pair in pairs]
        files = self.kept | {file.key: file for file, _ in made}
        version = folder / "VERSION"
        version.write_text(self._version(files))
        return [*made, (_described(COPIES_VERSION_KEY, "VERSION", "", 0, self.sequence, version), version)]

    def _make(self, cursor: duckdb.DuckDBPyConnection, copy: _Copy, folder: Path) -> list[tuple[MirrorFile, Path]]:
        parquet = folder / f"{copy.name}{ENDINGS['parquet']}"
        source = register_io_source(partial(_read, cursor, copy), schema=copy.table.polars_schema())
        # Lot by lot: ten million plays would not fit into memory at once. Level 1 as in the mirror.
        source.sink_parquet(parquet, compression="zstd", compression_level=1, row_group_size=_ROWS_PER_ROW_GROUP)
        rows = pl.scan_parquet(parquet).select(pl.len()).collect().item()
        made = []
        for name, key in zip(self.formats, copy.keys(self.formats), strict=True):
            file = folder / Path(key).name
            if name == "csv":
                write_csv(copy.table, parquet, file)
            made.append((_described(key, copy.name, copy.year, rows, copy.sequence, file), file))
        if "parquet" not in self.formats:
            parquet.unlink()
        return made

    def _version(self, files: dict[str, MirrorFile]) -> str:
        content = {
            "version": self.sequence,
            "published_at": self.description["published_at"],
            "files": {
                Path(key).name: {"rows": file.rows, "size_bytes": file.size_bytes, "sha256": file.sha256}
                for key, file in sorted(files.items())
                if key != COPIES_VERSION_KEY
            },
        }
        return json.dumps(content, indent=1) + "\n"


def _keys(name: str, formats: tuple[str, ...]) -> list[str]:
    return [f"{COPIES_FOLDER}/{name}{ENDINGS[each]}" for each in formats]


def _is_declared(name: str) -> bool:
    return any(table.layout.is_copied and table.layout.is_copy_name(name) for table in (*tables(), *views()))


def _published_at(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    told = connection.execute(f"SELECT max(published_at) FROM {sql_name(Published)}").fetchall()[0][0]
    return told and told.astimezone(UTC)


def _changes(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """By table and month the number of its last change."""
    changes: dict[str, dict[str, int]] = {}
    if Catalog(connection).columns(Changes):
        rows = connection.execute(f"SELECT table_name, month, sequence FROM {sql_name(Changes)}").fetchall()
        for name, month, number in rows:
            changes.setdefault(name, {})[month] = number
    return changes


def _copies(connection: duckdb.DuckDBPyConnection, changes: Mapping[str, Mapping[str, int]]) -> list[_Copy]:
    catalog = Catalog(connection)

    def last_change(table: type[Table], year: str = "") -> int:
        of_table = changes.get(table.qualified_name(), {})
        return max((number for month, number in of_table.items() if month.startswith(year)), default=0)

    copies = []
    for table in tables():
        if not (table.layout.is_copied and catalog.columns(table)):
            continue
        query = select(table, catalog.columns(table))
        for year in _years(connection, table) if table.layout.copied_by_year else [""]:
            copies.append(_Copy(table, year, last_change(table, year), query))
    for view in views():
        # A view of nothing is left out, as it is in the file.
        if any(catalog.columns(table) for table in view.inputs()):
            changed = max((last_change(table) for table in view.inputs()), default=0)
            copies.append(_Copy(view, "", changed, view_query(view, catalog)))
    return copies


def _years(connection: duckdb.DuckDBPyConnection, table: type[Table]) -> list[str]:
    column = quoted(table.layout.month_column or "")
    rows = connection.execute(
        f"SELECT DISTINCT strftime({column}, '%Y') FROM {sql_name(table)} WHERE {column} IS NOT NULL ORDER BY ALL"
    ).fetchall()
    return [year for (year,) in rows]


def _read(
    cursor: duckdb.DuckDBPyConnection,
    copy: _Copy,
    columns: list[str] | None,
    predicate: pl.Expr | None,
    row_limit: int | None,
    batch_rows: int | None,
) -> Iterator[pl.DataFrame]:
    """The rows of a copy in order, month after month where it has months, as Polars asks for them."""
    month = copy.table.layout.month_column
    order = [pl.col(month).dt.truncate("1mo")] if month else []
    for condition in _lots(cursor, copy):
        frame = frame_of(cursor.sql(f"SELECT * FROM ({copy.query}) WHERE {condition}"))
        yield frame.cast(dict(copy.table.polars_schema())).sort(*order, *copy.order)


def _lots(cursor: duckdb.DuckDBPyConnection, copy: _Copy) -> list[str]:
    """Conditions in SQL that cut the rows into whole months of about `_ROWS_PER_LOT` rows; at least one."""
    if copy.table.layout.month_column is None:
        return ["true"]
    column = quoted(copy.table.layout.month_column)
    of_year = "true"
    if copy.year:
        of_year = f"{column} >= DATE '{copy.year}-01-01' AND {column} < DATE '{int(copy.year) + 1:04}-01-01'"
    months = cursor.execute(
        f"SELECT strftime(month, '%Y-%m-01'), rows FROM (SELECT date_trunc('month', {column}) AS month, "
        f"count(*) AS rows FROM ({copy.query}) WHERE {of_year} GROUP BY ALL) ORDER BY ALL"
    ).fetchall()
    lots: list[tuple[str, str]] = []
    rows_of_lot = 0
    for month, rows in months:
        if lots and rows_of_lot + rows <= _ROWS_PER_LOT:
            lots[-1] = (lots[-1][0], month)
            rows_of_lot += rows
        else:
            lots.append((month, month))
            rows_of_lot = rows
    return [
        # A DATE compared with an instant is cast in the session's zone, which is UTC.
        f"{column} >= DATE '{first}' AND {column} < DATE '{last}' + INTERVAL 1 MONTH"
        for first, last in lots
    ] or ["false"]


def write_csv(table: type[Table], parquet: Path, file: Path) -> None:
    """Write the rows of a Parquet file as gzipped CSV, the same bytes for the same rows."""
    columns = []
    for name, dtype in table.polars_schema().items():
        column = pl.col(name)
        if isinstance(dtype, pl.Datetime):
            column = column.dt.strftime(_INSTANT if dtype.time_zone else _LOCAL_TIME)
        columns.append(column)
    # Level 3: a fiftieth larger than level 6 and made in half the time. No name or time stands in it.
    pl.scan_parquet(parquet).select(columns).sink_csv(file, compression="gzip", compression_level=3)


def _described(key: str, name: str, year: str, rows: int, sequence: int, file: Path) -> MirrorFile:
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return MirrorFile(
        key=key,
        table=f"{COPIES_FOLDER}/{name}",
        month=year,
        rows=rows,
        size_bytes=file.stat().st_size,
        sha256=sha256,
        change_sequence=sequence,
    )
