"""`state.sqlite`: small facts that must outlive a run and be readable without opening the warehouse.

Which runs are in progress, the first day with data, a copy of the stale days, how much is published, what was asked
of Spotify and what it offers. Never what a person listened to.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

_BUSY_SECONDS = 30.0

_MIGRATIONS = (
    """
    CREATE TABLE runs (run_id TEXT PRIMARY KEY, lock_file TEXT NOT NULL, purpose TEXT NOT NULL) STRICT;
    CREATE TABLE stale_days (
        table_name TEXT NOT NULL, played_on TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (table_name, played_on)
    ) STRICT;
    CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    """,
    """
    CREATE TABLE quota_days (
        bucket TEXT NOT NULL, asked_on TEXT NOT NULL, requests INTEGER NOT NULL, daily_budget INTEGER NOT NULL,
        PRIMARY KEY (bucket, asked_on)
    ) STRICT;
    CREATE TABLE quota_blocks (
        bucket TEXT PRIMARY KEY, blocked_until TEXT NOT NULL, refusals INTEGER NOT NULL
    ) STRICT;
    """,
)
"""One script for each version of the file (`PRAGMA user_version`); released ones are never edited, only added to."""

BUILT_FROM = "built_from_change"
"""Note: up to which change of the raw tables everything is built."""

SPOTIFY_CAPABILITIES = "spotify_capabilities"
"""Note: what Spotify offers to the app."""

SPOTIFY_BACKLOGS = "what is still to be asked of spotify"
"""Note: what the last runs left to be asked for."""

_FIRST_DAY = "first_day"
_GOING_ON = (BUILT_FROM, SPOTIFY_CAPABILITIES, SPOTIFY_BACKLOGS, _FIRST_DAY)
_PUBLISHED = "published"


class StateError(Exception):
    """`state.sqlite` cannot be used; the text says why and what to do."""


class RunInProgress(NamedTuple):
    """A registered run: its id, the file it holds locked while it lives, and what it is for."""

    run_id: str
    lock_file: Path
    purpose: str


class StaleDay(NamedTuple):
    """A day of a daily table that is to be rebuilt, and why: new, changed, code or gone."""

    table_name: str
    played_on: date
    reason: str


class PublishedTable(NamedTuple):
    """What the published file holds of a table: rows, and the first and last day of those that have days."""

    rows: int
    first_day: date | None
    last_day: date | None


class Published(NamedTuple):
    """What the published file holds: when it was made (UTC), the number of the last change, and its tables by name."""

    published_at: datetime
    sequence: int
    tables: dict[str, PublishedTable]


class QuotaDay(NamedTuple):
    """Requests that were reserved in a bucket on a UTC date, and how many the last one of them found allowed."""

    bucket: str
    asked_on: date
    requests: int
    daily_budget: int


class QuotaBlock(NamedTuple):
    """Until when a bucket is blocked (UTC; perhaps past), and how often Spotify refused it since it last answered."""

    bucket: str
    blocked_until: datetime
    refusals: int


class Reservation(NamedTuple):
    """Whether a request may be sent; if not, either the bucket is blocked until then, or the day's budget is used."""

    is_granted: bool
    blocked_until: datetime | None = None


class State:
    """The state of a home. Every call is a short transaction of its own; several processes may call at once.

    Args:
        path: The file; made on first use, readable by its owner alone.

    Raises:
        StateError: From any call: the file is damaged, cannot be written or was made by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def register_run(self, run_id: str, lock_file: Path, purpose: str = "") -> None:
        """Remember a run that holds `lock_file` locked for as long as it lives."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (run_id, str(lock_file), purpose))

    def unregister_run(self, run_id: str) -> None:
        """Forget a run; unknown ones are no error."""
        with self._writing() as connection:
            connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))

    def runs(self) -> list[RunInProgress]:
        """Every registered run, living or dead."""
        with self._reading() as connection:
            rows = connection.execute("SELECT run_id, lock_file, purpose FROM runs ORDER BY run_id").fetchall()
        return [RunInProgress(run_id, Path(lock_file), purpose) for run_id, lock_file, purpose in rows]

    def dead_runs(self) -> list[RunInProgress]:
        """Registered runs whose process has ended without a word: nobody holds their file."""
        unlocked = [run for run in self.runs() if not is_held(run.lock_file)]
        # A run that ends well unregisters before it lets go of its file, perhaps just while we looked.
        registered = {run.run_id for run in self.runs()} if unlocked else set()
        return [run for run in unlocked if run.run_id in registered]

    def first_day(self) -> date | None:
        """The first day with data, None when nothing was imported yet."""
        text = self.note(_FIRST_DAY)
        return date.fromisoformat(text) if text else None

    def set_first_day(self, day: date | None) -> bool:
        """Remember the first day with data; returns whether it is another one than before."""
        text = day.isoformat() if day else ""
        if (self.note(_FIRST_DAY) or "") == text:
            return False
        self.set_note(_FIRST_DAY, text)
        return True

    def replace_stale_days(self, rows: Iterable[tuple[str, date, str]]) -> None:
        """Let `rows` (table_name, played_on, reason) be the copy of the stale days."""
        stale = [StaleDay(*row) for row in rows]
        if not stale and not self.stale_days():
            return
        with self._writing() as connection:
            connection.execute("DELETE FROM stale_days")
            connection.executemany(
                "INSERT INTO stale_days VALUES (?, ?, ?)",
                ((table_name, played_on.isoformat(), reason) for table_name, played_on, reason in stale),
            )

    def stale_days(self) -> list[StaleDay]:
        """The copy of the stale days, by table and day."""
        with self._reading() as connection:
            rows = connection.execute("SELECT * FROM stale_days ORDER BY table_name, played_on").fetchall()
        return [StaleDay(name, date.fromisoformat(day), reason) for name, day, reason in rows]

    def set_published(self, published: Published) -> None:
        """Remember what the published file holds, so that nobody need open it to be told."""
        tables = {
            name: [table.rows, *(day and day.isoformat() for day in table[1:])]
            for name, table in published.tables.items()
        }
        self.set_note(_PUBLISHED, json.dumps([published.published_at.isoformat(), published.sequence, tables]))

    def published(self) -> Published | None:
        """What the published file holds, None before the first publication."""
        text = self.note(_PUBLISHED)
        if not text:
            return None
        published_at, sequence, tables = json.loads(text)
        return Published(
            datetime.fromisoformat(published_at),
            sequence,
            {
                name: PublishedTable(rows, *(day and date.fromisoformat(day) for day in days))
                for name, (rows, *days) in tables.items()
            },
        )

    def reserve_request(self, bucket: str, now: datetime, daily_budget: int) -> Reservation:
        """Count one request of a bucket, if it may be sent at all."""
        now = now.astimezone(UTC)
        asked_on = now.date().isoformat()
        with self._writing() as connection:
            block = _quota_block(connection, bucket)
            if block and block.blocked_until > now:
                return Reservation(False, block.blocked_until)
            row = connection.execute(
                "SELECT requests FROM quota_days WHERE bucket = ? AND asked_on = ?", (bucket, asked_on)
            ).fetchone()
            requests = row[0] if row else 0
            if requests >= daily_budget:
                return Reservation(False)
            connection.execute(
                "INSERT OR REPLACE INTO quota_days VALUES (?, ?, ?, ?)", (bucket, asked_on, requests + 1, daily_budget)
            )
        return Reservation(True)

    def block_bucket(self, bucket: str, until: Callable[[int], datetime]) -> datetime:
        """Have nothing be reserved in a bucket for some time; never shortens an earlier block.

        Args:
            until: Tells until when, given how often the bucket was refused before since it last answered.

        Returns:
            Until when the bucket is blocked (UTC).
        """
        with self._writing() as connection:
            block = _quota_block(connection, bucket)
            refusals = block.refusals if block else 0
            blocked_until = until(refusals).astimezone(UTC)
            if block:
                blocked_until = max(block.blocked_until, blocked_until)
            connection.execute(
                "INSERT OR REPLACE INTO quota_blocks VALUES (?, ?, ?)",
                (bucket, blocked_until.isoformat(), refusals + 1),
            )
        return blocked_until

    def forget_refusals(self, bucket: str) -> None:
        """Count a bucket's refusals from 0 again: it has answered."""
        with self._writing() as connection:
            connection.execute("UPDATE quota_blocks SET refusals = 0 WHERE bucket = ?", (bucket,))

    def quota_days(self) -> list[QuotaDay]:
        """What was reserved, by bucket and day."""
        with self._reading() as connection:
            rows = connection.execute("SELECT * FROM quota_days ORDER BY bucket, asked_on").fetchall()
        return [QuotaDay(bucket, date.fromisoformat(day), *counts) for bucket, day, *counts in rows]

    def quota_blocks(self) -> dict[str, QuotaBlock]:
        """By bucket the last block, perhaps past."""
        with self._reading() as connection:
            rows = connection.execute("SELECT * FROM quota_blocks ORDER BY bucket").fetchall()
        return {row[0]: _block_of(row) for row in rows}

    def note(self, key: str) -> str | None:
        """What was noted under `key`."""
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_note(self, key: str, value: str | None) -> None:
        """Note a text under `key`; None forgets it."""
        with self._writing() as connection:
            if value is None:
                connection.execute("DELETE FROM notes WHERE key = ?", (key,))
            else:
                connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))

    def going_on(self) -> dict[str, Any]:
        """What a home needs to go on elsewhere and no table tells.

        What was asked of Spotify, what it offers, and the first day: that outlives a history that was forgotten.
        """
        with self._reading() as connection:
            return {
                "quota_days": connection.execute("SELECT * FROM quota_days ORDER BY bucket, asked_on").fetchall(),
                "quota_blocks": connection.execute("SELECT * FROM quota_blocks ORDER BY bucket").fetchall(),
                "notes": dict(
                    connection.execute(
                        f"SELECT key, value FROM notes WHERE key IN ({', '.join('?' * len(_GOING_ON))}) ORDER BY key",
                        _GOING_ON,
                    ).fetchall()
                ),
            }

    def go_on(self, told: Mapping[str, Any]) -> None:
        """Take over what `going_on` told; where this home has asked too, the larger count holds."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO quota_days VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "requests = max(requests, excluded.requests)",
                told.get("quota_days", ()),
            )
            connection.executemany(
                "INSERT INTO quota_blocks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
                "blocked_until = max(blocked_until, excluded.blocked_until), "
                "refusals = max(refusals, excluded.refusals)",
                told.get("quota_blocks", ()),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO notes VALUES (?, ?)",
                [(key, value) for key, value in told.get("notes", {}).items() if key in _GOING_ON],
            )

    def forget(self, is_told: Callable[[str], bool]) -> int:
        """Delete every row that has a text of which `is_told` is true; returns how many. See `sweep`."""
        with self._writing() as connection:
            return sum(delete_told(connection, table, is_told) for table in _table_names(connection))

    def clear(self) -> None:
        """Forget everything but the runs in progress. See `sweep`."""
        with self._writing() as connection:
            for table in _table_names(connection):
                if table != "runs":
                    connection.execute(f'DELETE FROM "{table}"')

    def sweep(self) -> None:
        """Have nothing that was deleted be left in the bytes of the file.

        Raises:
            StateError: Another process keeps reading the file.
        """
        with self._connected() as connection:
            sweep_database(connection, self._path)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite would make the file readable for everybody, and gives its side files the same permissions.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
                self._migrate(connection)
                yield connection
        except OSError as error:
            raise StateError(
                f"{self._path} cannot be opened: {error.strerror}. Make the folder writable, or choose another home."
            ) from error
        except sqlite3.Error as error:
            raise StateError(
                f"{self._path} cannot be used: {error}. It holds nothing that was listened to; if this stays, move "
                "it away: the next run makes a new one."
            ) from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if self._version(connection) == len(_MIGRATIONS):
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        version = self._version(connection)
        try:
            for script in _MIGRATIONS[version:]:
                for statement in script.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _version(self, connection: sqlite3.Connection) -> int:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_MIGRATIONS):
            raise StateError(
                f"{self._path} was made by a newer version of this program (format {version}, known are "
                f"{len(_MIGRATIONS)}). Nothing was changed; install the newer version."
            )
        return version


def sweep_database(connection: sqlite3.Connection, path: Path) -> None:
    """Write a SQLite file anew, without the bytes of rows that were deleted, and empty its write-ahead log.

    Raises:
        StateError: Another process keeps using the file.
    """
    try:
        connection.execute("VACUUM")
        is_busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        is_busy = True
    if is_busy:
        raise StateError(
            f"{path.name} is in use by another process, so that deleted rows are still in its bytes. Stop the Dagster "
            "UI and every run on this home, then run this again."
        )


def _quota_block(connection: sqlite3.Connection, bucket: str) -> QuotaBlock | None:
    row = connection.execute("SELECT * FROM quota_blocks WHERE bucket = ?", (bucket,)).fetchone()
    return _block_of(row) if row else None


def _block_of(row: tuple[str, str, int]) -> QuotaBlock:
    bucket, blocked_until, refusals = row
    return QuotaBlock(bucket, datetime.fromisoformat(blocked_until), refusals)


def _table_names(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return [name for (name,) in rows.fetchall()]


def delete_told(connection: sqlite3.Connection, table: str, is_told: Callable[[str], bool]) -> int:
    """Delete the rows of a table that have a text of which `is_told` is true; returns how many."""
    rows = connection.execute(f'SELECT rowid, * FROM "{table}"').fetchall()
    told = [(row[0],) for row in rows if any(isinstance(value, str) and is_told(value) for value in row[1:])]
    connection.executemany(f'DELETE FROM "{table}" WHERE rowid = ?', told)
    return len(told)


def is_held(path: Path) -> bool:
    """Whether any process, this one included, holds the lock on `path`; False when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
