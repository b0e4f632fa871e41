"""Dagster's SQLite event log, written a batch at a time.

Here belongs how events of runs reach the disk. What the events say is Dagster's business, and every question about
them is answered by the class that this one extends.

Dagster can collect the events of a range of partitions and hand them over together, but its SQLite event log then
stores them one by one, each with connections, statements and transactions of its own
(https://github.com/dagster-io/dagster/issues/19829). Ten years of daily partitions in one run take minutes that way.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy
from dagster import DagsterInstance, Field, StringSource
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool, Pool, StaticPool

from spotify_assets import progress
from spotify_assets.lakehouse.event_texts import serialized


def have_events_collected() -> None:
    """Tell Dagster to collect events, and to plan a range by one event for all its partitions.

    Dagster asks the environment for both at every event, and neither can be said in `dagster.yaml`. Every process that
    writes events (webserver, daemon, code server, run) loads this module because `dagster.yaml` names it; where it
    names another storage, `instance.open_instance` calls this: one year of daily partitions in Postgres took 145 s
    without it and 5 s with it.
    """
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "5000")
    os.environ.setdefault("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "true")


have_events_collected()

_ASSET_EVENT_NAMES = frozenset(event_type.value for event_type in ASSET_EVENTS)
_RUN_SHARDS_KEPT_OPEN = 3

# SQLAlchemy's own way looks at each value of each row in Python, twice: once for each shard.
_INSERT_EVENT = """
    INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_STATEMENTS = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
_REVISION = "SELECT version_num FROM alembic_version"
_RUNLESS_EVENTS = f"CREATE TEMP VIEW event_logs AS SELECT * FROM main.event_logs WHERE run_id = '{RUNLESS_RUN_ID}'"
_INSERT_TAG = "INSERT INTO asset_event_tags (event_id, asset_key, key, value, event_timestamp) VALUES (?, ?, ?, ?, ?)"


class _Row(NamedTuple):
    """A row of `event_logs`."""

    run_id: str
    event: str
    dagster_event_type: str
    timestamp: str
    step_key: str | None
    asset_key: str | None
    partition: str | None


@dataclass(frozen=True)
class _OpenShard:
    """A shard's engine, which keeps its one connection open, and the file and process it was opened for."""

    engine: Engine
    inode: int | None
    process_id: int


# What a forked child got from its parent: SQLite forbids to use and even to close it there, so it is kept for ever.
_left_by_parent: list[_OpenShard] = []


class BatchedSqliteEventLogStorage(SqliteEventLogStorage, ConfigurableClass):
    """The stock SQLite event log, faster: the same files, events and answers, but for the plans of checks.

    * A batch of asset events of one run is one transaction in the run's shard and one in the index shard, and each
      event is serialised once for both. Every other batch is stored the stock way.
    * Connections stay open between statements, with `synchronous=NORMAL`: a killed process loses nothing; a power cut
      may take the last moments of the history, and leaves no damaged file (https://sqlite.org/pragma.html#pragma_synchronous).
    * Where a range is planned by one event, so are its checks: the table of their executions then has one row for a
      check and run, which the evaluation fills in, and none for each partition. The page of a check shows one line.
    * Events without a run stand in the index shard only.

    In `dagster.yaml`:

        event_log_storage:
          module: spotify_assets.lakehouse.event_log
          class: BatchedSqliteEventLogStorage
          config: {}

    Args:
        base_dir: Folder of the shards. Without it they lie where Dagster's own would: `history/runs` in the instance's
            folder, whatever that is; the folder can then be moved with its `dagster.yaml`.
        inst_data: How Dagster says again, in another process, what was configured here.
    """

    def __init__(self, base_dir: str | None = None, inst_data: ConfigurableClassData | None = None) -> None:
        self._open_shards: OrderedDict[str, _OpenShard] = OrderedDict()
        self._tables_seen: set[str] = set()
        self._is_set_up = False
        self._inst_data = inst_data
        # Unlike `dispose`, which nobody need call, this also runs when the process ends.
        self._closing = weakref.finalize(self, _close_all, self._open_shards)
        if base_dir is not None:
            self._set_up(base_dir)

    def _set_up(self, base_dir: str) -> None:
        super().__init__(base_dir, self._inst_data)
        # Left by the stock log, and by this one before it kept these events in the index shard, where they stand too.
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path_for_shard(RUNLESS_RUN_ID)}{suffix}").unlink(missing_ok=True)
        self._is_set_up = True

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchedSqliteEventLogStorage:
        return cls(inst_data=inst_data, **config_value)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Called by Dagster before anything else; tells the folder when the configuration does not."""
        if not self._is_set_up:
            self._set_up(str(Path(instance.root_directory) / "history" / "runs"))
        super().register_instance(instance)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event; one without a run in the index shard only.

        The daemon reports such events for every asset, the UI when somebody wipes one. The stock way also gives them a
        shard of the name `.db`: a hidden file, which its own `wipe` and its migrations never find.
        """
        if event.run_id != RUNLESS_RUN_ID:
            super().store_event(event)
            return
        kind = event.dagster_event_type if event.is_dagster_event else None
        with self.index_connection() as index:
            event_id = index.execute(self.prepare_insert_event(event)).inserted_primary_key[0]
            if kind in ASSET_EVENTS:
                self._store_asset_event_tags(index, [event], [event_id])
                self._store_asset_event(index, event, event_id)
        if kind in ASSET_CHECK_EVENTS:
            self.store_asset_check_event(event, event_id)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store a batch: asset events of one run together, anything else the stock way."""
        if not _is_of_asset_events_of_one_run(events):
            super().store_event_batch(events)
            return
        with progress.stage("event log"):
            self._store_asset_events(events)

    def _store_asset_events(self, events: Sequence[EventLogEntry]) -> None:
        rows = [self._row(event, text) for event, text in zip(events, serialized(events), strict=True)]
        run_id = events[0].run_id
        with self._db_lock:
            # Outside in: the run's shard is committed first, as the stock way does. Nothing is committed when either
            # shard refuses: Dagster then stores the events one by one, and those already there would stand twice.
            with ExitStack() as shards:
                index = shards.enter_context(self._transaction(INDEX_SHARD_NAME))
                if run_id != RUNLESS_RUN_ID:
                    shards.enter_context(self._transaction(run_id)).exec_driver_sql(_INSERT_EVENT, rows)
                index.exec_driver_sql(_INSERT_EVENT, rows)
                self._note_assets(index, events, rows)
            if run_id != RUNLESS_RUN_ID:
                self._tell_watchers(run_id)

    def _row(self, event: EventLogEntry, text: str) -> _Row:
        """As `_event_to_row`."""
        told = event.dagster_event
        key = told.asset_key
        return _Row(
            event.run_id,
            text,
            told.event_type_value,
            # As SQLAlchemy writes it, which never leaves out the microseconds.
            self._event_insert_timestamp(event).isoformat(sep=" ", timespec="microseconds"),
            told.step_key,
            key.to_string() if key else None,
            told.partition or None,
        )

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        planned = event.dagster_event.event_specific_data
        plans_subsets = self.supports_partition_subset_in_asset_materialization_planned_events
        if plans_subsets and planned.partitions_subset and len(planned.partitions_subset) > 1:
            # Dagster names the partitions of the run for every check, also for one that is evaluated once for all of
            # them: the stock way then stores a plan for each partition that no evaluation ever follows, 22,000 rows
            # of 2 kB for ten years of six assets.
            once = AssetCheckEvaluationPlanned(asset_key=planned.asset_key, check_name=planned.check_name)
            event = event._replace(dagster_event=event.dagster_event._replace(event_specific_data=once))
        super()._store_asset_check_evaluation_planned(event, event_id)

    def _note_assets(self, index: Connection, events: Sequence[EventLogEntry], rows: Sequence[_Row]) -> None:
        # A writer is alone in its transaction, so the ids of one statement follow each other.
        last_id = index.execute(sqlalchemy.select(sqlalchemy.func.max(SqlEventLogStorageTable.c.id))).scalar_one()
        ids = range(last_id - len(events) + 1, last_id + 1)
        tags = [
            (event_id, row.asset_key, name, value, row.timestamp)
            for event_id, event, row in zip(ids, events, rows, strict=True)
            for name, value in self._tags_for_asset_event(event).items()
        ]
        if tags and self.has_table(AssetEventTagsTable.name):
            index.exec_driver_sql(_INSERT_TAG, tags)
        # The table of assets keeps the last of each: but a materialization, an observation and a plan write different
        # columns of it, so that the last event of all is not enough.
        last: dict[tuple[str | None, str], tuple[EventLogEntry, int]] = {}
        for event, row, event_id in zip(events, rows, ids, strict=True):
            kind = (row.asset_key, row.dagster_event_type)
            last.pop(kind, None)
            last[kind] = (event, event_id)
        for event, event_id in last.values():
            self._store_asset_event(index, event, event_id)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            with self._transaction(shard) as connection:
                changes_before = _changes(connection)
                yield connection
                has_changed = _changes(connection) != changes_before
            if has_changed and shard != INDEX_SHARD_NAME:
                self._tell_watchers(shard)

    @contextmanager
    def _transaction(self, shard: str) -> Iterator[Connection]:
        if shard == RUNLESS_RUN_ID:
            with self._runless_events() as connection:
                yield connection
            return
        with self._engine(shard).connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _runless_events(self) -> Iterator[Connection]:
        """What reads as the shard of the events without a run, and cannot be written to."""
        engine = self._new_engine(INDEX_SHARD_NAME, NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(_RUNLESS_EVENTS)
            yield connection
        engine.dispose()

    def _engine(self, shard: str) -> Engine:
        path = Path(self.path_for_shard(shard))
        held = self._open_shards.get(shard)
        if held is not None:
            if held.process_id == os.getpid() and held.inode == _inode(path):
                self._open_shards.move_to_end(shard)
                return held.engine
            _close(self._open_shards.pop(shard))
            self._initialized_dbs.discard(shard)
        # The lock around every use lets one thread at a time come here.
        engine = self._new_engine(shard, StaticPool, check_same_thread=False)
        with engine.connect():
            # Made while a connection is open: else each of its dozen statements would end with a checkpoint.
            if shard not in self._initialized_dbs:
                self._make_tables(shard)
            self._open_shards[shard] = _OpenShard(engine, _inode(path), os.getpid())
        runs = [name for name in self._open_shards if name != INDEX_SHARD_NAME]
        for name in runs[:-_RUN_SHARDS_KEPT_OPEN]:
            _close(self._open_shards.pop(name))
        return engine

    def _make_tables(self, shard: str) -> None:
        # The stock way makes tables on a second connection while a first one is open: not on an engine that has one.
        engine = self._new_engine(shard, NullPool)
        if shard == INDEX_SHARD_NAME or not self._make_tables_of_index(engine):
            self._initdb(engine)
        engine.dispose()
        self._initialized_dbs.add(shard)

    def _make_tables_of_index(self, engine: Engine) -> bool:
        """Make the tables of the index shard in a run's new one; False when that cannot be done.

        The stock way reads the forty files of Dagster's migrations to find that a new shard needs none of them, twice:
        0.1 s for every run.
        """
        # Not on the connection that is kept open: a batch may be in the middle of a transaction there.
        index_engine = self._new_engine(INDEX_SHARD_NAME, NullPool)
        with index_engine.connect() as index:
            statements = [text for (text,) in index.exec_driver_sql(_STATEMENTS)]
            has_revision = any("alembic_version" in text for text in statements)
            revisions = [tuple(row) for row in index.exec_driver_sql(_REVISION)] if has_revision else []
        if len(revisions) != 1:
            return False
        with suppress(sqlalchemy.exc.DatabaseError), engine.connect() as connection, connection.begin():
            # pysqlite begins no transaction before DDL, so that two processes could make half of the tables each.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            if not connection.exec_driver_sql(_STATEMENTS).fetchall():
                for statement in statements:
                    connection.exec_driver_sql(statement)
                connection.exec_driver_sql("INSERT INTO alembic_version (version_num) VALUES (?)", revisions[0])
            return connection.exec_driver_sql(_REVISION).fetchone() is not None
        return False

    def _new_engine(self, shard: str, pool: type[Pool], **arguments: Any) -> Engine:
        engine = sqlalchemy.create_engine(
            self.conn_string_for_shard(shard),
            poolclass=pool,
            # Dagster prints what goes wrong with a batch: without the values of a thousand events.
            hide_parameters=True,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, **arguments},
        )
        sqlalchemy.event.listen(engine, "connect", _make_commits_cheap)
        return engine

    def _tell_watchers(self, run_id: str) -> None:
        # `watch` waits for a change of the shard's file. As long as a connection is open, only the write-ahead log
        # beside it changes: without this touch the UI's run page would stand still until the next checkpoint.
        with suppress(FileNotFoundError):
            os.utime(self.path_for_shard(run_id))

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables_seen and super().has_table(table_name):
            self._tables_seen.add(table_name)
        return table_name in self._tables_seen

    def wipe(self) -> None:
        with self._db_lock:
            _close_all(self._open_shards)
        super().wipe()

    def dispose(self) -> None:
        super().dispose()
        with self._db_lock:
            _close_all(self._open_shards)


def _is_of_asset_events_of_one_run(events: Sequence[EventLogEntry]) -> bool:
    return (
        len(events) > 0
        and all(isinstance(event, EventLogEntry) for event in events)
        and all(
            event.dagster_event is not None and event.dagster_event.event_type_value in _ASSET_EVENT_NAMES
            for event in events
        )
        and len({event.run_id for event in events}) == 1
    )


def _make_commits_cheap(connection: Any, _record: Any) -> None:
    # Two processes that make a shard at once refuse each other this; Dagster's own making of the tables says it again.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _changes(connection: Connection) -> int:
    return connection.connection.dbapi_connection.total_changes


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _close(shard: _OpenShard) -> None:
    if shard.process_id == os.getpid():
        shard.engine.dispose()
    else:
        _left_by_parent.append(shard)


def _close_all(shards: OrderedDict[str, _OpenShard]) -> None:
    while shards:
        _close(shards.popitem()[1])
