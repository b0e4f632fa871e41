"""The pipeline's own DuckDB file: opened by one process at a time, for as short as possible.

Nobody else should open it: notebooks read the published file (`publishing`, `reading`).
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from dagster import InitResourceContext
from dagster_duckdb import DuckDBResource
from pydantic import Field

from spotify_assets.lakehouse import compaction, staleness
from spotify_assets.lakehouse import session as sessions
from spotify_assets.lakehouse.definition import Catalog, StoredTables, set_up, sql_name
from spotify_assets.lakehouse.errors import LakehouseError, LockTimeout, NoSession, WriteFailed
from spotify_assets.lakehouse.locks import FileLock
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.lakehouse.transaction import Transaction, read_table
from spotify_assets.schemas import Table
from spotify_assets.schemas.meta import Changes
from spotify_assets.settings import HomePaths, Settings

_STORAGE_VERSION = "v1.4.0"
"""What DuckDB 2.0 writes by default cannot be opened by anything older, and BI drivers lag behind."""

_FOREIGN_LOCK = "Could not set lock on file"
_DISK_FAULTS = ("No space left", "File too large", "Could not write", "Could not truncate", "Disk quota", "max_temp")


@dataclass
class _KeptOpen:
    """What holds the file open between the transactions of a session, and what is stored in it."""

    connection: duckdb.DuckDBPyConnection
    lock: FileLock
    tables: StoredTables | None = None


_gates: dict[Path, threading.RLock] = {}
_open_connections: dict[Path, int] = {}
_kept_open: dict[Path, _KeptOpen] = {}
_gates_guard = threading.Lock()


class Warehouse(DuckDBResource):
    """The warehouse of a home.

    Example:
        >>> warehouse = Warehouse(home="/home/me/lakehouse")
        >>> with run_session(warehouse, purpose="import") as session:
        ...     session.begin()
        ...     with warehouse.transaction() as transaction:
        ...         transaction.append("raw.imports", frame)
    """

    home: str = Field(description="Home folder; every file lies in it.")
    database: str = Field(default="", description="Derived from home.")
    memory_limit: str = Field(default="200MB", description="Memory that DuckDB may use before it spills to disk.")
    lock_timeout_seconds: float = Field(default=600.0, description="How long to wait for other users of the home.")
    snapshots_kept: int = Field(default=3, description="Published snapshots kept, at least 3.")
    mirror: MirrorConfiguration = Field(default=MirrorConfiguration(), description="Where the mirror is kept.")
    mirror_versions_kept: int = Field(default=3, description="Versions of the mirror kept.")
    bi_copies: str = Field(default="", description="Formats of the BI copies in the mirror, joined by commas.")
    bi_copies_hours: float = Field(default=0.0, description="Hours for which they may show an older snapshot.")
    compaction_free_bytes: int = Field(
        default=32_000_000, description="Free bytes in the file, more than half of it, that are worth writing it anew."
    )
    days_table: str = Field(
        default="", description="Table (listener, played_on, version) that rules which days are stale."
    )
    code_versions: dict[str, str] = Field(
        default={}, description="Version of the code and settings of each daily table."
    )

    def __init__(self, **fields: Any) -> None:
        # An EnvVar is a str too, but no path until Dagster has resolved it.
        if type(fields.get("home")) is str:
            fields["database"] = str(HomePaths(Path(fields["home"])).warehouse_file)
        super().__init__(**fields)

    @classmethod
    def from_settings(
        cls, settings: Settings, *, days_table: str = "", code_versions: dict[str, str] | None = None
    ) -> Warehouse:
        return cls(
            home=str(settings.home),
            memory_limit=settings.warehouse_memory_limit,
            lock_timeout_seconds=settings.lock_timeout_seconds,
            snapshots_kept=settings.snapshots_kept,
            mirror=MirrorConfiguration.from_settings(settings),
            mirror_versions_kept=settings.mirror_versions_kept,
            bi_copies=settings.bi_copies,
            bi_copies_hours=settings.bi_copies_wait_hours,
            days_table=days_table,
            code_versions=code_versions or {},
        )

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    @property
    def paths(self) -> HomePaths:
        return HomePaths(Path(self.home).resolve())

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator[Warehouse]:
        """Keep a session open, and the run marked as living, for as long as Dagster uses the resource."""
        log = context.log.info if context.log else None
        with ExitStack() as stack:
            purpose = "a run"
            if context.run_id:
                purpose = f"run {context.run_id[:8]} of {context.run.job_name}" if context.run else "a run"
                stack.enter_context(sessions.living_run(self.paths, context.run_id, purpose))
            stack.enter_context(sessions.run_session(self, purpose=purpose, log=log, instance=context.instance))
            yield self

    def begin(self) -> None:
        """Take the run lock for the rest of the open session; call it before the first read that a write rests on.

        Raises:
            NoSession: No session is open for this home.
            LockTimeout: Another run held the lock for too long.
        """
        session = sessions.current_session(self.paths.home)
        if session is None:
            raise NoSession(
                f"no session is open for {self.home}; write inside a Dagster run, or inside `with "
                "run_session(warehouse, purpose=…)`"
            )
        session.begin()

    @contextmanager
    def get_connection(self, on_wait: Callable[[str], None] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the warehouse, its time zone UTC, closed at the end in any case.

        A session that has begun keeps the file itself open until it ends: each opening costs as much as a small
        table, each closing a checkpoint.

        Raises:
            LockTimeout: Another process had the warehouse open for longer than `lock_timeout_seconds`.
            LakehouseError: The file cannot be opened.
        """
        on_wait = on_wait or sessions.log_of(self.paths.home)
        deadline = time.monotonic() + self.lock_timeout_seconds
        path = self.paths.warehouse_file
        with self.exclusively(on_wait):
            if not self.is_open and path not in _kept_open:
                # What DuckDB spilled and a killed process could not clear away.
                shutil.rmtree(self.paths.spill_folder, ignore_errors=True)
                compaction.remove_unfinished(self.paths)
            connection = self._connect(path, deadline, on_wait)
            _open_connections[path] = _open_connections.get(path, 0) + 1
            try:
                self._keep_open()
                yield connection
            except BaseException:
                # After some errors DuckDB refuses everything until the file is opened anew.
                self.close()
                raise
            finally:
                _open_connections[path] -= 1
                connection.close()

    def _keep_open(self) -> None:
        path = self.paths.warehouse_file
        session = sessions.current_session(self.paths.home)
        if path in _kept_open or session is None or not session.has_begun:
            return
        lock = FileLock(self.paths.warehouse_lock_file)
        lock.acquire(self.lock_timeout_seconds)
        # Not a cursor: DuckDB 2.0 closes those with the connection that they are of.
        _kept_open[path] = _KeptOpen(duckdb.connect(str(path), config=self.configuration()), lock)

    def close(self) -> None:
        """Close the file that a session keeps open between its transactions, so that others can open or copy it."""
        if kept := _kept_open.pop(self.paths.warehouse_file, None):
            kept.connection.close()
            kept.lock.release()

    @contextmanager
    def look(self, on_wait: Callable[[str], None] | None = None) -> Iterator[tuple[duckdb.DuckDBPyConnection, Catalog]]:
        """A connection, and the catalogue of what is stored: as long as the file is kept open it is asked for once."""
        with self.get_connection(on_wait) as connection:
            kept = _kept_open.get(self.paths.warehouse_file)
            catalog = Catalog(connection, kept.tables if kept else None)
            yield connection, catalog
            if kept:
                kept.tables = catalog.tables

    @contextmanager
    def exclusively(self, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keep every other process and thread from opening the warehouse."""
        path = self.paths.warehouse_file
        with _gates_guard:
            gate = _gates.setdefault(path, threading.RLock())
        if not gate.acquire(timeout=self.lock_timeout_seconds):
            raise LockTimeout(
                f"another thread of process {os.getpid()} had the warehouse open for {self.lock_timeout_seconds:.0f} "
                "s. Nothing was written; run this again."
            )
        try:
            lock = FileLock(self.paths.warehouse_lock_file)
            with lock.held(self.lock_timeout_seconds, on_wait, purpose="writing"):
                yield
        finally:
            gate.release()

    @property
    def is_open(self) -> bool:
        """Whether this process has a connection to the warehouse."""
        return _open_connections.get(self.paths.warehouse_file, 0) > 0

    def exists(self) -> bool:
        return self.paths.warehouse_file.exists()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction: committed when the block ends, rolled back, DDL included, when it raises.

        Raises:
            WriteFailed: The disk is full or the like; what was there before is intact.
        """
        with self.look() as (connection, catalog):
            connection.begin()
            transaction = Transaction(connection, self.days_table, self.code_versions, catalog)
            try:
                yield transaction
                transaction.finish()
                connection.commit()
            except BaseException as error:
                with suppress(duckdb.Error):
                    connection.rollback()
                if isinstance(error, duckdb.Error) and (told := _disk_fault(error)):
                    raise WriteFailed(
                        f"the warehouse in {self.home} could not be written: {told}. All changes of this step were "
                        "taken back, and what was there before is intact. Free some space, then run this again."
                    ) from error
                raise
            if transaction.has_changed_anything:
                sessions.note_change(self.paths.home)

    @contextmanager
    def appending(self) -> Iterator[Transaction]:
        """A transaction under the run lock, which is given back at its end unless a session holds it: for work that
        waits most of its time for others, and must not keep a home's runs waiting too.

        Raises:
            LockTimeout: Another run held the lock for too long.
        """
        lock = FileLock(self.paths.run_lock_file)
        on_wait = sessions.log_of(self.paths.home)
        with lock.held(self.lock_timeout_seconds, on_wait, purpose="appending"), self.transaction() as transaction:
            yield transaction

    def read(
        self,
        table: type[Table] | str,
        columns: Sequence[str] | None = None,
        *,
        days: tuple[date, date] | None = None,
        day_columns: Sequence[str] = (),
        where: str = "",
        parameters: Sequence[Any] = (),
        distinct: bool = False,
    ) -> pl.DataFrame:
        """As `transaction.read_table`, in a connection of its own."""
        with self.look() as (connection, catalog):
            return read_table(
                connection,
                table,
                columns,
                days=days,
                day_columns=day_columns,
                where=where,
                parameters=parameters,
                distinct=distinct,
                catalog=catalog,
            )

    def counts(self, tables: Sequence[type[Table]]) -> dict[type[Table], int]:
        """Rows of some tables; 0 for those that were never written."""
        with self.look() as (connection, catalog):
            return {
                table: connection.execute(f"SELECT count(*) FROM {sql_name(table)}").fetchall()[0][0]
                if catalog.columns(table)
                else 0
                for table in tables
            }

    def last_change(self, schema: str, *, except_for: Collection[str] = ()) -> int:
        """Number of the newest change of a schema's tables (`schema.table`) but some; 0 when none was ever written."""
        changes = self.read(Changes, ["table_name", "sequence"])
        name = pl.col("table_name")
        counts = name.str.starts_with(f"{schema}.") & ~name.is_in(list(except_for))
        return changes.filter(counts)["sequence"].max() or 0

    def stale_days(self) -> pl.DataFrame:
        """As `staleness.stale_days`."""
        with self.look() as (connection, catalog):
            return staleness.stale_days(connection, self.days_table, self.code_versions, catalog)

    def first_day(self, stale: pl.DataFrame) -> date | None:
        """As `staleness.first_day`."""
        with self.look() as (connection, catalog):
            return staleness.first_day(connection, self.days_table, stale, catalog)

    def _connect(self, path: Path, deadline: float, on_wait: Callable[[str], None] | None) -> duckdb.DuckDBPyConnection:
        pause_seconds = 0.02
        told = False
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.paths.scratch_folder.mkdir(parents=True, exist_ok=True)
                connection = duckdb.connect(str(path), config=self.configuration())
                break
            except (duckdb.Error, OSError) as error:
                # Only a lock is worth waiting for: dagster-duckdb waits 102 s for a folder that does not exist.
                if _FOREIGN_LOCK not in str(error):
                    raise LakehouseError(
                        f"the warehouse {path} cannot be opened: {str(error).splitlines()[0]}"
                    ) from error
                if time.monotonic() >= deadline:
                    raise LockTimeout(
                        f"{path} is open in {_foreign_holder(error)}; waited {self.lock_timeout_seconds:.0f} s for "
                        "it. Nothing was written. Close it there, then run this again; to look at the data open "
                        f"{self.paths.published_file} instead, it may stay open as long as you like."
                    ) from None
                if on_wait and not told:
                    told = True
                    on_wait(f"Waiting for {path.name}, open in {_foreign_holder(error)} …")
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.5, 0.2)
        try:
            set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def storage_version(self) -> str:
        """The format of the file."""
        return _STORAGE_VERSION

    def configuration(self) -> dict[str, Any]:
        """How DuckDB is set up, the same for every connection of a process."""
        return {
            "storage_compatibility_version": _STORAGE_VERSION,
            "memory_limit": self.memory_limit,
            "temp_directory": str(self.paths.spill_folder),
            # Rows have no order in a table; keeping one would leave one core idle while inserting.
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            **self.connection_config,
        }


def _disk_fault(error: duckdb.Error) -> str:
    text = str(error)
    if any(fault in text for fault in _DISK_FAULTS):
        return "the disk is full, or a file may not grow any further"
    return ""


def _foreign_holder(error: Exception) -> str:
    process = re.search(r"\(PID (\d+)\)", str(error))
    program = re.search(r"held in (\S+)", str(error))
    name = f" ({Path(program.group(1)).name})" if program else ""
    return f"process {process.group(1)}{name}" if process else "another program"
