"""Removing what tells of one listener from the SQLite files of a home's Dagster instance.

Dagster itself deletes rows, and leaves their bytes in the files, the last materialization of each asset and the
records of checks where they are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from spotify_assets.automation.jobs import IMPORT_JOB
from spotify_assets.state import delete_told, sweep_database

_BUSY_SECONDS = 30.0


class DagsterHistory:
    """Runs, events and ticks of a home.

    Args:
        folder: The instance's folder.
        is_told: Whether a text tells of the listener.
        without_name: A text without what tells of the listener.
        is_default: Whether imports that name no listener are the listener's.
    """

    def __init__(
        self, folder: Path, is_told: Callable[[str], bool], without_name: Callable[[str], str], *, is_default: bool
    ) -> None:
        self._runs_file = folder / "history" / "runs.db"
        self._schedules_file = folder / "schedules" / "schedules.db"
        self._shards_folder = folder / "history" / "runs"
        self._index_file = self._shards_folder / "index.db"
        self._is_told = is_told
        self._without_name = without_name
        self._is_default = is_default

    def runs(self) -> set[str]:
        """Ids of runs whose record, tags or events tell of the listener."""
        found: set[str] = set()
        for run_id, job, body in self._select(self._runs_file, "SELECT run_id, pipeline_name, run_body FROM runs"):
            if self._is_told(body) or (self._is_default and _names_nobody(job, body)):
                found.add(run_id)
        found |= self._told_in(self._runs_file, "SELECT run_id, value FROM run_tags")
        found |= self._told_in(self._index_file, "SELECT run_id, event FROM event_logs")
        for shard in self._shards():
            if shard.stem not in found and self._told_in(shard, "SELECT run_id, event FROM event_logs"):
                found.add(shard.stem)
        return found

    def every_run(self) -> set[str]:
        """Ids of all runs."""
        told = self._select(self._runs_file, "SELECT run_id FROM runs")
        return {run_id for (run_id,) in told} | {shard.stem for shard in self._shards()}

    def remove(self, runs: set[str]) -> None:
        """Remove runs with their events, ticks and requests that tell of the listener, and the bytes of both.

        Raises:
            StateError: Another process keeps using a file.
        """
        for run_id in runs:
            for suffix in ("", "-wal", "-shm", "-journal"):
                (self._shards_folder / f"{run_id}.db{suffix}").unlink(missing_ok=True)
        with self._open(self._index_file) as connection:
            if connection:
                self._clean_index(connection, runs)
        with self._open(self._runs_file) as connection:
            if connection:
                for table in ("run_tags", "runs"):
                    _delete(connection, table, "run_id", runs)
                for table in ("bulk_actions", "backfill_tags", "kvs"):
                    self._delete_told(connection, table)
        with self._open(self._schedules_file) as connection:
            if connection:
                self._delete_told(connection, "job_ticks")
                # A schedule that somebody turned on stays on.
                for table, column in (("instigators", "instigator_body"), ("jobs", "job_body")):
                    self._rewrite(connection, table, column)

    def _clean_index(self, connection: sqlite3.Connection, runs: set[str]) -> None:
        for table in ("event_logs", "asset_check_executions", "pending_steps", "concurrency_slots"):
            _delete(connection, table, "run_id", runs)
        connection.execute("DELETE FROM asset_event_tags WHERE event_id NOT IN (SELECT id FROM event_logs)")
        columns = "rowid, asset_key, last_run_id, last_materialization"
        for row_id, asset_key, run_id, last in connection.execute(f"SELECT {columns} FROM asset_keys").fetchall():
            if run_id not in runs and _run_of(last) not in runs and not self._is_told(last or ""):
                continue
            newest = connection.execute(
                "SELECT run_id, event, timestamp FROM event_logs WHERE asset_key = ? AND "
                "dagster_event_type = 'ASSET_MATERIALIZATION' ORDER BY id DESC LIMIT 1",
                [asset_key],
            ).fetchone()
            if newest is None:
                connection.execute("DELETE FROM asset_keys WHERE rowid = ?", [row_id])
            else:
                connection.execute(
                    "UPDATE asset_keys SET last_run_id = ?, last_materialization = ?, last_materialization_timestamp "
                    "= ?, cached_status_data = NULL WHERE rowid = ?",
                    [*newest, row_id],
                )

    def _delete_told(self, connection: sqlite3.Connection, table: str) -> None:
        if _columns(connection, table):
            delete_told(connection, table, self._is_told)

    def _rewrite(self, connection: sqlite3.Connection, table: str, column: str) -> None:
        if not _columns(connection, table):
            return
        for row_id, body in connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
            if body and self._is_told(body):
                values = [self._without_name(body), row_id]
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", values)

    def _shards(self) -> list[Path]:
        return sorted(path for path in self._shards_folder.glob("*.db") if path != self._index_file)

    def _told_in(self, file: Path, query: str) -> set[str]:
        return {run_id for run_id, text in self._select(file, query) if self._is_told(text or "")}

    def _select(self, file: Path, query: str) -> Iterator[tuple[Any, ...]]:
        if not file.exists():
            return
        with closing(sqlite3.connect(file, timeout=_BUSY_SECONDS)) as connection:
            try:
                cursor = connection.execute(query)
            except sqlite3.OperationalError as error:
                # A process that was killed while it made the file left it without tables.
                if "no such table" not in str(error):
                    raise
                return
            yield from cursor

    @contextmanager
    def _open(self, file: Path) -> Iterator[sqlite3.Connection | None]:
        if not file.exists():
            yield None
            return
        with closing(sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            sweep_database(connection, file)


def _names_nobody(job: str, body: str) -> bool:
    """Whether a run imported something without saying whose it is, as one may in the Dagster UI."""
    if job != IMPORT_JOB:
        return False
    config = json.loads(body).get("run_config") or {}
    step = config.get("ops", {}).get("streaming_history", {}).get("config", {})
    return bool(step.get("paths")) and not step.get("listener")


def _run_of(event: str | None) -> str | None:
    try:
        return json.loads(event or "{}").get("run_id")
    except ValueError:
        return None


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})").fetchall()]


def _delete(connection: sqlite3.Connection, table: str, column: str, values: set[str]) -> None:
    if column in _columns(connection, table):
        connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(value,) for value in values])
