"""The published file: a read-only copy of the warehouse that anybody may open at any time, for as long as he likes.

`lakehouse.duckdb` is a relative symlink to the newest of several snapshots. A plain file, replaced, has two faults: a
process that still holds the old one gets the old one again from a second `connect`, and a reader who opened it
read-write leaves a WAL that makes every later open fail.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl

from spotify_assets.lakehouse import compaction, staleness
from spotify_assets.lakehouse.definition import Catalog, StoredTables, literal, quoted
from spotify_assets.lakehouse.errors import PublicationFailed
from spotify_assets.lakehouse.transaction import Transaction, last_change, last_publication
from spotify_assets.lakehouse.views import create_views
from spotify_assets.schemas import tables
from spotify_assets.schemas.meta import Published
from spotify_assets.settings import HomePaths
from spotify_assets.state import Published as PublishedState
from spotify_assets.state import PublishedTable, State

if TYPE_CHECKING:
    from spotify_assets.lakehouse.warehouse import Warehouse

WAITS_AT_MOST = timedelta(hours=6)
"""How long the published file may lack changes that can wait: a poll without news adds one row every half hour, and
each publication copies the whole lakehouse."""

_UNFINISHED = ".new-"
_COPY_BYTES = 1 << 26
_META_SCHEMA = "meta"


@dataclass(frozen=True)
class Publication:
    """What was published: the number of the last change it holds, the snapshot and its size."""

    sequence: int
    path: Path
    size_bytes: int


def publish_if_changed(
    warehouse: Warehouse,
    *,
    published_at: datetime,
    log: Callable[[str], None],
    can_wait: Collection[str] = (),
    make_symlink: Callable[[str, Path], None] = os.symlink,
) -> Publication | None:
    """Publish the warehouse unless the published file holds all of it already.

    Args:
        published_at: Stands in `meta.published`.
        log: Told when the file system has no symlinks.
        can_wait: Tables (`schema.table`) whose changes alone are published only when the published file is older than
            WAITS_AT_MOST; with any other change they are published at once.
        make_symlink: Makes a symlink (target, path); where it fails a plain file is replaced.

    Raises:
        PublicationFailed: The published file is still the one before; what was written is safe in the warehouse.
        RuntimeError: A connection to the warehouse is open in this process.
    """
    if not warehouse.exists():
        return None
    paths = warehouse.paths
    with warehouse.exclusively(log):
        if warehouse.is_open:
            # Copying a file that this process holds open would silently drop DuckDB's lock on it.
            raise RuntimeError("publishing while this process has the warehouse open")
        with warehouse.look(log) as (connection, catalog):
            sequence = last_change(connection, catalog)
            published = published_sequence(paths)
            # The file of a warehouse that is lost, or of a restore that was killed, has numbers of its own.
            is_anothers = last_publication(connection, catalog) != published
            if sequence == 0 or (sequence == published and not is_anothers):
                return None
            is_urgent = is_anothers or last_change(connection, catalog, except_for=can_wait) > published
            if not is_urgent and _is_recent(paths, published_at):
                return None
            try:
                tables_published = _write_published(connection, catalog, warehouse, sequence, published_at)
                # A copy without a checkpoint silently lacks what is still in the WAL.
                connection.execute("CHECKPOINT").fetchall()
                stored = catalog.tables
                has_gaps = compaction.is_worth_it(connection, warehouse.compaction_free_bytes)
            except duckdb.Error as error:
                raise _failed(paths, error) from error
        warehouse.close()
        if _size(paths.warehouse_file.with_name(paths.warehouse_file.name + ".wal")):
            raise PublicationFailed(
                f"{paths.published_file} was not renewed: the warehouse still has a write-ahead log after its "
                "checkpoint. What was written is safe; the next run publishes it."
            )
        if has_gaps:
            compaction.compact(warehouse, log)
        try:
            snapshot = _copy(warehouse, sequence, stored or {}, log)
            _switch(paths, snapshot, log, make_symlink)
        except (OSError, duckdb.Error) as error:
            raise _failed(paths, error) from error
        State(paths.state_file).set_published(PublishedState(published_at, sequence, tables_published))
        return Publication(sequence, snapshot, snapshot.stat().st_size)


def _is_recent(paths: HomePaths, now: datetime) -> bool:
    published = State(paths.state_file).published()
    return published is not None and paths.published_file.exists() and now - published.published_at < WAITS_AT_MOST


def published_sequence(paths: HomePaths) -> int:
    """Number of the last change that the published file holds; 0 when nothing is published."""
    file = paths.published_file
    if not file.exists():
        return 0
    if file.is_symlink():
        folder = file.readlink().parent.name
        return int(folder) if folder.isdecimal() else 0
    try:
        with duckdb.connect(str(file), read_only=True) as connection:
            return connection.execute("SELECT coalesce(max(sequence), 0) FROM meta.published").fetchall()[0][0]
    except duckdb.Error:
        return 0


def _write_published(
    connection: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    warehouse: Warehouse,
    sequence: int,
    published_at: datetime,
) -> dict[str, PublishedTable]:
    stale = staleness.stale_days(connection, warehouse.days_table, warehouse.code_versions, catalog)
    # Sensors, partitions and `status` read these copies: nothing but a run may open the warehouse.
    state = State(warehouse.paths.state_file)
    state.replace_stale_days(stale.iter_rows())
    if (first := staleness.first_day(connection, warehouse.days_table, stale, catalog)) is not None:
        state.set_first_day(first)
    lagging = dict(stale.group_by("table_name").len().iter_rows())
    day_columns = {table.qualified_name(): table.layout.day_column for table in tables()}
    stored = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database() "
        "AND NOT temporary AND schema_name <> ? ORDER BY ALL",
        [_META_SCHEMA],
    ).fetchall()
    counts = []
    for schema, table in stored:
        name = f"{schema}.{table}"
        day = quoted(day_columns[name]) if day_columns.get(name) else "NULL::DATE"
        counts.append(f"SELECT {literal(name)}, count(*), min({day}), max({day}) FROM {quoted(schema)}.{quoted(table)}")
    rows = connection.execute(" UNION ALL ".join(counts)).fetchall() if counts else []
    frame = pl.DataFrame(
        [
            (name, sequence, published_at, count, first, last, lagging.get(name, 0))
            for name, count, first, last in sorted(rows)
        ],
        schema=Published.polars_schema(),
        orient="row",
    )
    connection.begin()
    try:
        # Not a change of its own: `finish` is not called, so that publishing never asks for another publication.
        Transaction(connection, "", {}, catalog).replace(Published, frame)
        connection.commit()
    except BaseException:
        with suppress(duckdb.Error):
            connection.rollback()
        raise
    return {name: PublishedTable(count, first, last) for name, count, first, last in sorted(rows)}


def _copy(warehouse: Warehouse, sequence: int, stored: StoredTables, log: Callable[[str], None]) -> Path:
    """Copy the closed warehouse into a snapshot folder that appears all at once, and add the views."""
    paths = warehouse.paths
    folder = paths.snapshots_folder
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = folder / f"{_UNFINISHED}{sequence}"
    finished = folder / str(sequence)
    # The same file name in every folder: DuckDB names the catalog after it.
    file = unfinished / paths.published_file.name
    try:
        unfinished.mkdir()
        _copy_file(paths.warehouse_file, file)
        create_views(file, warehouse.configuration(), stored, log)
        _seal(file)
        # Made by a run that was killed before it could switch to it.
        shutil.rmtree(finished, ignore_errors=True)
        unfinished.rename(finished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync_folder(folder)
    return finished / file.name


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        size_bytes = os.fstat(reading.fileno()).st_size
        if not _copy_in_kernel(reading.fileno(), writing.fileno(), size_bytes):
            reading.seek(0)
            writing.seek(0)
            shutil.copyfileobj(reading, writing, _COPY_BYTES)


def _seal(file: Path) -> None:
    """Make a file survive a power cut, and hard to change by mistake."""
    with file.open("rb") as finished:
        os.fchmod(finished.fileno(), 0o444)
        os.fsync(finished.fileno())


def _copy_in_kernel(reading: int, writing: int, size_bytes: int) -> bool:
    """Copy by `copy_file_range`, which shares the blocks on btrfs and xfs; False where there is no such thing."""
    if not hasattr(os, "copy_file_range"):
        return False
    copied = 0
    while copied < size_bytes:
        try:
            count = os.copy_file_range(reading, writing, size_bytes - copied)
        except OSError:
            return False
        if count == 0:
            return False
        copied += count
    return True


def _switch(
    paths: HomePaths, snapshot: Path, log: Callable[[str], None], make_symlink: Callable[[str, Path], None]
) -> None:
    unfinished = paths.home / f".{paths.published_file.name}{_UNFINISHED}link"
    unfinished.unlink(missing_ok=True)
    try:
        make_symlink(str(snapshot.relative_to(paths.home)), unfinished)
    except (OSError, NotImplementedError):
        log(
            f"{paths.home} lies on a file system without symlinks: {paths.published_file.name} is replaced as a "
            "plain file. Close and reopen notebooks to see new data, and open it read-only."
        )
        _copy_file(snapshot, unfinished)
        _seal(unfinished)
    unfinished.replace(paths.published_file)
    sync_folder(paths.home)


def adopt_snapshot(paths: HomePaths, folder: Path, log: Callable[[str], None]) -> None:
    """Publish a snapshot that was made in another home: its folder, `{sequence}`, moves into this one.

    Raises:
        OSError: It cannot be moved, or not be switched to.
    """
    paths.snapshots_folder.mkdir(parents=True, exist_ok=True)
    moved = paths.snapshots_folder / folder.name
    if moved.exists():
        moved.rename(paths.snapshots_folder / f"{_UNFINISHED}{uuid.uuid4().hex}")
    folder.rename(moved)
    sync_folder(paths.snapshots_folder)
    _switch(paths, moved / paths.published_file.name, log, os.symlink)
    for leftover in paths.snapshots_folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def remove_old_snapshots(paths: HomePaths, kept: int) -> None:
    """Remove all but the published snapshot and the newest of the others, `kept` in all. The caller holds the run lock.

    Not a part of publishing: to give the blocks of a large file back takes as long as to copy it.
    """
    current = paths.published_file.resolve().parent
    others = [folder for folder in paths.snapshots_folder.glob("*") if folder.name.isdecimal() and folder != current]
    others.sort(key=lambda folder: int(folder.name), reverse=True)
    for folder in others[kept - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)


def remove_other_snapshots(paths: HomePaths) -> None:
    """Remove every snapshot but the published one, half-made ones included. The caller holds the run lock.

    Raises:
        OSError: One cannot be removed.
    """
    current = paths.published_file.resolve().parent.name if paths.published_file.is_symlink() else ""
    if paths.snapshots_folder.exists():
        for folder in paths.snapshots_folder.iterdir():
            if folder.name != current:
                shutil.rmtree(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(paths: HomePaths, error: Exception) -> PublicationFailed:
    told = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
    return PublicationFailed(
        f"{paths.published_file} was not renewed: {told}. It still shows the state before; what was written is safe "
        "in the warehouse, and the next run publishes it."
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
