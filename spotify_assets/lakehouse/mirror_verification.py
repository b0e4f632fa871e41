"""Whether the mirror holds what the warehouse has published: compared table by table, and repaired.

Compared are files (their SHA-256, read by VersionId where there is one, and what the newest version is), columns and
types, the number of rows, sums of numeric columns and a checksum over all columns in which the order of rows plays no
part, both sides computed by DuckDB. BI copies are compared with their checksums, `bi/VERSION` with what it names. What
else lies where a reader of a whole folder would read it is told too.

Reading comes first (`_Look`), comparing is pure (`compare_table`, `compare_copies`, `compare_unnamed`).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import duckdb
import polars as pl

from spotify_assets import progress
from spotify_assets.ahead import several_ahead
from spotify_assets.arrow import FrameStream
from spotify_assets.lakehouse import publishing
from spotify_assets.lakehouse.definition import Catalog, duckdb_type, literal, polars_type, quoted, select
from spotify_assets.lakehouse.errors import MirrorError, UnknownTable
from spotify_assets.lakehouse.mirror import (
    COPIES_FOLDER,
    COPIES_VERSION_KEY,
    FILE_KEY,
    MANIFEST_KEY,
    Manifest,
    MirrorFile,
    MirrorReport,
    NewerManifest,
)
from spotify_assets.lakehouse.mirror_reading import MirrorSource, Stored, open_source
from spotify_assets.lakehouse.mirroring import MirrorConfiguration, home_id
from spotify_assets.lakehouse.reading import open_snapshot, snapshot_file
from spotify_assets.lakehouse.session import run_session
from spotify_assets.schemas import tables
from spotify_assets.settings import HomePaths

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from spotify_assets.lakehouse.warehouse import Warehouse

_THREADS = 4
_LOOKS = 3
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_FRACTIONS = ("FLOAT", "DOUBLE")

Kind = Literal[
    "manifest",
    "lag",
    "missing",
    "changed",
    "covered",
    "unreadable",
    "rows",
    "sums",
    "checksum",
    "schema",
    "left over",
    "foreign",
]


@dataclass(frozen=True)
class RowFacts:
    """What some rows of a table have in common with the same rows in any order.

    Attributes:
        rows: How many.
        checksum: Sum of a hash over all columns of each.
        sums: Sum of each numeric column; rounding may differ with the order where it holds fractions.
    """

    rows: int = 0
    checksum: int = 0
    sums: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TableFacts:
    """What the warehouse has of a table: columns with their types, and by month (empty: the whole table) its rows."""

    columns: Mapping[str, pl.DataType]
    months: Mapping[str, RowFacts]


@dataclass(frozen=True)
class FoundFile:
    """What was found where the manifest names a file.

    Attributes:
        newest: What a listing tells of the key; None when nothing is there.
        is_read: Whether its content was asked for.
        sha256: Of the content that a reader of the manifest is given; None when there is none.
        columns: Of a table's file; None when it is no Parquet file.
        facts: Of its rows, likewise.
    """

    newest: Stored | None
    is_read: bool = False
    sha256: str | None = None
    columns: Mapping[str, pl.DataType] | None = None
    facts: RowFacts | None = None


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it should be.

    Attributes:
        kind: What is wrong.
        key: Of the file; empty for a table or the mirror as a whole.
        told: For a person.
    """

    kind: Kind
    key: str
    told: str

    def __str__(self) -> str:
        return f"{self.key}: {self.told}" if self.key else self.told


@dataclass(frozen=True)
class TableVerification:
    """How a table, or all BI copies together (`bi`), compare.

    Attributes:
        name: `schema.table`, or `bi`.
        files: Files that the manifest names.
        size_bytes: Bytes that they have by the manifest.
        warehouse_rows: Rows that the warehouse has; None for copies, and for what it does not have.
        mirror_rows: Rows of the files that were read; by the manifest where none was.
        differences: What differs; empty when all is equal.
    """

    name: str
    files: int
    size_bytes: int
    warehouse_rows: int | None
    mirror_rows: int | None
    differences: tuple[Difference, ...] = ()

    @property
    def is_equal(self) -> bool:
        return not self.differences


@dataclass(frozen=True)
class MirrorVerification:
    """How a mirror compares with what its home has published.

    Attributes:
        address: Where the mirror is.
        published_sequence: Number of the published file.
        mirror_sequence: That of the snapshot which the mirror says it holds; None without a manifest.
        compared_sequence: That of the snapshot with which it was compared: its own, if that is still kept.
        is_quick: Whether no file was read.
        tables: By name.
        differences: Of no table.
        notes: What is odd, but no difference.
    """

    address: str
    published_sequence: int
    mirror_sequence: int | None
    compared_sequence: int
    is_quick: bool
    tables: tuple[TableVerification, ...] = ()
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def all_differences(self) -> list[Difference]:
        return [*self.differences, *(each for table in self.tables for each in table.differences)]

    @property
    def is_equal(self) -> bool:
        return not self.all_differences

    @property
    def doubted(self) -> frozenset[str]:
        """Keys that `update_mirror` is to make anew or to remove."""
        kept = ("foreign", "manifest")
        return frozenset(each.key for each in self.all_differences if each.key and each.kind not in kept)


@dataclass(frozen=True)
class SyncReport:
    """What a sync found, did, and left.

    Attributes:
        before: How the mirror compared.
        written: What was written; None when there was nothing to write, or it failed.
        after: How it compares now.
        failure: Why it could not be written; empty when it could.
    """

    before: MirrorVerification
    written: MirrorReport | None
    after: MirrorVerification
    failure: str = ""


def verify_mirror(
    paths: HomePaths,
    configuration: MirrorConfiguration,
    *,
    names: Collection[str] = (),
    is_quick: bool = False,
    memory_limit: str = "200MB",
) -> MirrorVerification:
    """Compare a home's mirror with its published file. Changes nothing, and waits for no run.

    Args:
        paths: Of the home.
        configuration: Where the mirror is.
        names: Tables (`schema.table`, or `bi` for the copies) to compare; all without any.
        is_quick: Read no file: compare manifest, sizes and, in a bucket, ETags.
        memory_limit: Memory that DuckDB may use.

    Raises:
        NothingPublished: The home has no published file.
        UnknownTable: There is no such table; the message names those there are.
        MirrorError: The mirror cannot be read; a missing or damaged manifest is a difference.
    """
    for looks in range(1, _LOOKS + 1):
        source = open_source(configuration, paths)
        text = source.manifest_text(None)
        look = _Look(paths, configuration, source, text, is_quick=is_quick, names=names, memory_limit=memory_limit)
        found = look.verification()
        # A run may have written it meanwhile: what differs then is its work, and not to be told.
        if found.is_equal or looks == _LOOKS or source.manifest_text(None) == text:
            return found
    raise AssertionError("the last look returns")


def sync_mirror(
    warehouse: Warehouse,
    *,
    is_quick: bool = False,
    log: Callable[[str], None],
    clock: Callable[[], datetime],
    instance: DagsterInstance | None = None,
) -> SyncReport:
    """Bring the mirror up to what is committed, and repair what a verification finds; holds the run lock.

    Objects of others are not touched. BI copies that may wait are renewed too.

    Args:
        warehouse: Of the home.
        is_quick: As of `verify_mirror`.
        log: Told what is odd.
        clock: Tells the instant of a publication.
        instance: Told what was written, and how the mirror stands.

    Raises:
        LockTimeout: Another run held the lock for too long.
        NothingPublished: There is nothing to mirror.
        PublicationFailed: What is committed cannot be published; the mirror is as it was.
        MirrorError: The mirror cannot be read.
    """

    def look() -> MirrorVerification:
        limit = warehouse.memory_limit
        return verify_mirror(warehouse.paths, warehouse.mirror, is_quick=is_quick, memory_limit=limit)

    with run_session(warehouse, purpose="mirror sync", log=log, clock=clock, instance=instance) as session:
        session.begin()
        publishing.publish_if_changed(warehouse, published_at=clock(), log=log)
        before = look()
        written, state = session.sync_mirror(before.doubted)
        failure = state.failure if state else ""
        after = before if failure or (before.is_equal and written is None) else look()
    return SyncReport(before, written, after, failure)


class _Look:
    """One look at a mirror and at the snapshot that it is to hold."""

    def __init__(
        self,
        paths: HomePaths,
        configuration: MirrorConfiguration,
        source: MirrorSource,
        text: str | None,
        *,
        is_quick: bool,
        names: Collection[str],
        memory_limit: str,
    ) -> None:
        self._paths = paths
        self._address = configuration.link(paths)
        self._home_id = home_id(paths) if configuration.address else ""
        self._source = source
        self._is_quick = is_quick
        self._names = frozenset(names)
        self._memory_limit = memory_limit
        self._published = publishing.published_sequence(paths)
        self._trouble = ""
        self._done = self._total = 0
        self._manifest = Manifest(0)
        try:
            if text is None:
                self._trouble = "is not there: nothing was mirrored there yet, or somebody removed it"
            else:
                self._manifest = Manifest.from_json(text)
        except NewerManifest:
            raise MirrorError(
                f"the mirror in {self._address} was made by a newer version of this program; install that one"
            ) from None
        except ValueError:
            self._trouble = "is damaged, or no manifest of a lakehouse"

    def verification(self) -> MirrorVerification:
        """See `verify_mirror`."""
        newest = snapshot_file(self._paths)
        if self._trouble:
            return self._verification(self._published, None, differences=[self._of_manifest(self._trouble)])
        manifest = self._manifest
        if manifest.home_id != self._home_id:
            told = "is another lakehouse's, or this one's before it lost its warehouse"
            return self._verification(self._published, manifest.snapshot_sequence, [self._of_manifest(told)])
        own = self._paths.snapshots_folder / str(manifest.snapshot_sequence) / newest.name
        compared = manifest.snapshot_sequence if own.exists() else self._published
        connection = open_snapshot(own if own.exists() else newest)
        try:
            for setting, value in (
                ("memory_limit", self._memory_limit),
                ("temp_directory", str(self._paths.spill_folder)),
            ):
                connection.execute(f"SET {setting} = {literal(value)}").fetchall()
            return self._compared(connection, compared)
        finally:
            connection.close()

    def _of_manifest(self, told: str) -> Difference:
        return Difference("manifest", MANIFEST_KEY, told)

    def _verification(
        self,
        compared: int,
        mirrored: int | None,
        differences: Iterable[Difference],
        of_tables: Iterable[TableVerification] = (),
        notes: Iterable[str] = (),
    ) -> MirrorVerification:
        return MirrorVerification(
            address=self._address,
            published_sequence=self._published,
            mirror_sequence=mirrored,
            compared_sequence=compared,
            is_quick=self._is_quick,
            tables=tuple(of_tables),
            differences=tuple(differences),
            notes=tuple(notes),
        )

    def _compared(self, connection: duckdb.DuckDBPyConnection, compared: int) -> MirrorVerification:
        manifest = self._manifest
        queries = self._queries(connection)
        files: dict[str, list[MirrorFile]] = {}
        for file in manifest.files.values():
            files.setdefault(COPIES_FOLDER if file.is_copy else file.table, []).append(file)
        known = sorted({*manifest.tables, *queries, *files} - {COPIES_FOLDER})
        self._refuse_unknown(known)
        stored = self._source.stored()
        self._total = sum(len(of_table) for name, of_table in files.items() if self._is_chosen(name))
        verified = [
            self._table(connection, name, queries.get(name), files.get(name, []), stored)
            for name in known
            if self._is_chosen(name)
        ]
        notes = [
            f"{table.name} is in the mirror, but not in this lakehouse; its files are kept."
            for table in verified
            if table.warehouse_rows is None
        ]
        if COPIES_FOLDER in files and self._is_chosen(COPIES_FOLDER):
            verified.append(self._copies(connection, files[COPIES_FOLDER], stored))
            if (shown := manifest.copies.get("snapshot_sequence")) != manifest.snapshot_sequence:
                notes.append(f"The BI copies show snapshot {shown}; SPOTIFY_ASSETS_BI_COPIES_HOURS lets them wait.")
        owners = {
            key: self._source.is_of(key, self._home_id)
            for key in sorted(stored.keys() - manifest.files.keys())
            if _is_read_by_others(key, {*known, COPIES_FOLDER}) and self._is_chosen(_table_of(key))
        }
        verified, others = compare_unnamed(verified, owners)
        if not self._names and manifest.snapshot_sequence != self._published:
            told = f"the mirror holds snapshot {manifest.snapshot_sequence}, the published file is {self._published}"
            others.insert(0, Difference("lag", "", told))
        return self._verification(compared, manifest.snapshot_sequence, others, verified, notes)

    def _table(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        query: TableQuery | None,
        files: list[MirrorFile],
        stored: Mapping[str, Stored],
    ) -> TableVerification:
        facts = query and query.facts(connection, contents=not self._is_quick)
        verified = compare_table(name, facts, files, dict(self._found(connection, files, stored, query)))
        if facts is None:
            return verified
        if name not in self._manifest.tables:
            told = Difference("missing", "", "is not in the mirror")
        elif (described := _described(self._manifest, name)) != list(facts.columns.items()):
            told = Difference("schema", "", f"the manifest tells of {_columns_told(described, facts.columns)}")
        else:
            return verified
        return replace(verified, differences=(told, *verified.differences))

    def _copies(
        self, connection: duckdb.DuckDBPyConnection, files: list[MirrorFile], stored: Mapping[str, Stored]
    ) -> TableVerification:
        found = dict(self._found(connection, files, stored, None))
        version = self._manifest.files.get(COPIES_VERSION_KEY)
        content = self._source.content(version) if version and not self._is_quick else None
        return compare_copies(self._manifest, files, found, content)

    def _is_chosen(self, name: str) -> bool:
        return not self._names or name in self._names

    def _refuse_unknown(self, found: Iterable[str]) -> None:
        # What is declared and not stored yet is equal on both sides.
        declared = (table.qualified_name() for table in tables() if table.layout.mirrored)
        known = {COPIES_FOLDER, *found, *declared}
        if unknown := sorted(self._names - known):
            names = ", ".join(sorted(known))
            raise UnknownTable(f"there is no mirrored table {', '.join(unknown)}; there are {names}")

    def _queries(self, connection: duckdb.DuckDBPyConnection) -> dict[str, TableQuery]:
        """Of each table that the snapshot has and the mirror should."""
        catalog = Catalog(connection)
        declared = {table.qualified_name(): table for table in tables()}
        queries = {}
        for name, table in declared.items():
            if table.layout.mirrored and (stored := catalog.columns(table)):
                types = {column: duckdb_type(table, column) for column in table.column_names()}
                queries[name] = TableQuery(select(table, stored), types, table.layout.month_column)
        in_snapshot = catalog.tables or {}
        for name, told in self._manifest.tables.items():
            if name in declared or name not in in_snapshot:
                continue
            types = {column["name"]: column["type"] for column in told["columns"]}
            columns = ", ".join(
                quoted(column) if column in in_snapshot[name] else f"NULL::{dtype} AS {quoted(column)}"
                for column, dtype in types.items()
            )
            source = f"SELECT {columns} FROM {'.'.join(map(quoted, name.split('.', 1)))}"
            queries[name] = TableQuery(source, types, told["month_column"])
        return queries

    def _found(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: list[MirrorFile],
        stored: Mapping[str, Stored],
        query: TableQuery | None,
    ) -> Iterator[tuple[str, FoundFile]]:
        if self._is_quick:
            for file in files:
                yield file.key, FoundFile(stored.get(file.key))
            return
        for file, content in several_ahead(self._source.content, files, threads=_THREADS, at_most=_THREADS + 1):
            progress.report("Comparing", self._done, self._total)
            self._done += 1
            sha256 = hashlib.sha256(content).hexdigest() if content is not None else None
            found = FoundFile(stored.get(file.key), True, sha256)
            if content is not None and sha256 == file.sha256 and query is not None:
                try:
                    frame = pl.read_parquet(io.BytesIO(content), hive_partitioning=False)
                except (pl.exceptions.PolarsError, OSError):
                    pass
                else:
                    columns = dict(frame.schema)
                    facts = query.facts_of(connection, frame) if columns == query.columns else RowFacts(frame.height)
                    found = replace(found, columns=columns, facts=facts)
            yield file.key, found


@dataclass(frozen=True)
class TableQuery:
    """How the rows of a table are asked for: a SELECT, DuckDB's types of its columns, and the column of its month."""

    source: str
    types: Mapping[str, str]
    month_column: str | None

    @property
    def columns(self) -> dict[str, pl.DataType]:
        return {name: _dtype(dtype) for name, dtype in self.types.items()}

    def facts(self, connection: duckdb.DuckDBPyConnection, *, contents: bool) -> TableFacts:
        """Of the warehouse's rows; without `contents` only counted."""
        month = f"strftime({quoted(self.month_column)}, '%Y-%m')" if self.month_column else "''"
        return TableFacts(self.columns, self._by_month(connection, month, f"({self.source})", contents))

    def facts_of(self, connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame) -> RowFacts:
        """Of the rows of a file."""
        connection.register("mirrored_file", FrameStream(frame))
        try:
            return self._by_month(connection, "''", "mirrored_file", True).get("", RowFacts())
        finally:
            connection.unregister("mirrored_file")

    def _by_month(
        self, connection: duckdb.DuckDBPyConnection, month: str, source: str, contents: bool
    ) -> dict[str, RowFacts]:
        summed = [name for name, dtype in self.types.items() if dtype in (*_INTEGERS, *_FRACTIONS)] if contents else []
        expressions = [f"sum({quoted(name)})" for name in summed]
        if contents:
            expressions.insert(0, f"sum(hash({', '.join(map(quoted, self.types))})::HUGEINT)")
        asked = ", ".join([f"{month} AS month", "count(*)", *expressions])
        rows = connection.execute(f"SELECT {asked} FROM {source} GROUP BY 1").fetchall()
        return {
            month or "": RowFacts(
                count,
                int(values[0]) if contents else 0,
                {name: value or 0 for name, value in zip(summed, values[1:], strict=True)},
            )
            for month, count, *values in rows
        }


def compare_table(
    name: str, expected: TableFacts | None, files: Collection[MirrorFile], found: Mapping[str, FoundFile]
) -> TableVerification:
    """How the files of a table compare with the rows of the warehouse.

    Args:
        name: `schema.table`.
        expected: What the warehouse has; None when it does not know the table, and nothing but the files is compared.
        files: That the manifest names.
        found: What was found of each, by key.
    """
    differences: list[Difference] = []
    rows = 0
    for file in sorted(files, key=lambda file: file.key):
        each = found[file.key]
        rows += file.rows if each.facts is None else each.facts.rows
        of_file = _file_difference(file, each)
        if of_file is None and each.is_read and expected is not None:
            of_file = _content_difference(file, each, expected)
        if of_file is None and expected is not None and not each.is_read:
            wanted = expected.months.get(file.month, RowFacts())
            if wanted.rows != file.rows:
                of_file = Difference("rows", file.key, _rows_told(file.rows, wanted.rows))
        if of_file is not None:
            differences.append(of_file)
    if expected is not None:
        named = {file.month for file in files}
        differences += [
            Difference("missing", "", f"no file has the {facts.rows:,} rows of {month or 'the table'}")
            for month, facts in sorted(expected.months.items())
            if facts.rows and month not in named
        ]
    return TableVerification(
        name=name,
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files),
        warehouse_rows=None if expected is None else sum(facts.rows for facts in expected.months.values()),
        mirror_rows=rows,
        differences=tuple(differences),
    )


def compare_copies(
    manifest: Manifest, files: Collection[MirrorFile], found: Mapping[str, FoundFile], version: bytes | None
) -> TableVerification:
    """How the BI copies compare with the manifest, and `bi/VERSION` with both; `version` is None if it was not read."""
    differences = [
        difference
        for file in sorted(files, key=lambda file: file.key)
        if (difference := _file_difference(file, found[file.key])) is not None
    ]
    if version is not None and not any(each.key == COPIES_VERSION_KEY for each in differences):
        try:
            told = json.loads(version)
            named = {name: each["sha256"] for name, each in told["files"].items()}
            number = told["version"]
        except (ValueError, KeyError, TypeError):
            differences.append(Difference("changed", COPIES_VERSION_KEY, "does not name a version"))
        else:
            sums = {file.key.rpartition("/")[2]: file.sha256 for file in files if file.key != COPIES_VERSION_KEY}
            if named != sums or number != manifest.copies.get("snapshot_sequence"):
                differences.append(
                    Difference("changed", COPIES_VERSION_KEY, f"names other files, or snapshot {number}")
                )
    return TableVerification(
        name=COPIES_FOLDER,
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files),
        warehouse_rows=None,
        mirror_rows=None,
        differences=tuple(differences),
    )


def compare_unnamed(
    verified: Iterable[TableVerification], owners: Mapping[str, bool]
) -> tuple[list[TableVerification], list[Difference]]:
    """Tell of files that no manifest names with the tables in whose folders they lie.

    Args:
        verified: The tables.
        owners: By key, whether this lakehouse has put the file.

    Returns:
        The tables, and what is told of no table.
    """
    of_table: dict[str, list[Difference]] = {}
    for key, is_ours in sorted(owners.items()):
        if is_ours:
            each = Difference("left over", key, "no manifest names it; readers of the whole folder read it")
        else:
            each = Difference("foreign", key, "somebody else put it there; readers of the whole folder read it")
        of_table.setdefault(_table_of(key), []).append(each)
    told = [replace(table, differences=(*table.differences, *of_table.pop(table.name, ()))) for table in verified]
    return told, [each for differences in of_table.values() for each in differences]


def _file_difference(file: MirrorFile, found: FoundFile) -> Difference | None:
    """How a file is another one than the manifest says."""
    newest = found.newest
    if newest is None and (not found.is_read or found.sha256 is None):
        return Difference("missing", file.key, "is gone")
    if found.is_read and found.sha256 != file.sha256:
        return Difference("changed", file.key, "is another file than the manifest says")
    is_newest = newest is not None and newest.size_bytes == file.size_bytes and newest.etag in (None, file.etag)
    if not is_newest and not found.is_read:
        return Difference("changed", file.key, "is another file than the manifest says")
    if not is_newest:
        told = "was removed" if newest is None else "was written over"
        return Difference("covered", file.key, f"{told}; only who reads by versions still finds the right one")
    return None


def _content_difference(file: MirrorFile, found: FoundFile, expected: TableFacts) -> Difference | None:
    """How the rows of a file, which is the one that the manifest says, differ from the warehouse's."""
    if found.columns is None or found.facts is None:
        return Difference("unreadable", file.key, "cannot be read as Parquet")
    if list(found.columns.items()) != list(expected.columns.items()):
        told = _columns_told(list(found.columns.items()), expected.columns)
        return Difference("schema", file.key, f"has {told}")
    wanted, facts = expected.months.get(file.month, RowFacts()), found.facts
    if facts.rows != wanted.rows:
        return Difference("rows", file.key, _rows_told(facts.rows, wanted.rows))
    others = [name for name, value in wanted.sums.items() if not _is_same_sum(facts.sums.get(name, 0), value)]
    if others:
        told = "; ".join(
            f"{name} sums up to {facts.sums.get(name, 0):,} instead of {wanted.sums[name]:,}" for name in others
        )
        return Difference("sums", file.key, told)
    if facts.checksum != wanted.checksum:
        return Difference("checksum", file.key, "its rows are others than the warehouse's, though as many")
    return None


def _is_same_sum(one: float, other: float) -> bool:
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    # Fractions are added in another order. What is not seen here is by the checksum.
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))


def _rows_told(rows: int, wanted: int) -> str:
    return f"{rows:,} rows, the warehouse has {wanted:,}"


def _described(manifest: Manifest, name: str) -> list[tuple[str, pl.DataType]]:
    return [(column["name"], _dtype(column["type"])) for column in manifest.tables[name]["columns"]]


def _dtype(duckdb_name: str) -> pl.DataType:
    try:
        return polars_type(duckdb_name)
    except KeyError:
        # No type of ours: somebody has edited the manifest.
        return pl.Unknown()


def _columns_told(found: list[tuple[str, pl.DataType]], wanted: Mapping[str, pl.DataType]) -> str:
    """How columns differ from those that are wanted, in words."""
    columns = dict(found)
    told = [
        f"{name} as {dtype} instead of {wanted[name]}"
        for name, dtype in found
        if name in wanted and dtype != wanted[name]
    ]
    told += [f"no column {name}" for name in wanted if name not in columns]
    told += [f"a column {name} that is not declared" for name in columns if name not in wanted]
    return ", ".join(told) or "its columns in another order"


def _table_of(key: str) -> str:
    """The table in whose folder a key lies, `bi` for that of the copies."""
    folders = key.split("/")
    return COPIES_FOLDER if folders[0] == COPIES_FOLDER else ".".join(folders[:2])


def _is_read_by_others(key: str, known: Collection[str]) -> bool:
    """Whether a key lies where readers of whole folders find it; an inbox below the prefix, for one, does not."""
    return "/" in key and (_table_of(key) in known or FILE_KEY.fullmatch(key) is not None)
