"""The run lock, and what happens when its holder ends: publish, then mirror.

A session spans a Dagster run, or the two runs of an import. Sessions of one process and home join, so that only the
outermost one publishes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from spotify_assets import progress
from spotify_assets.lakehouse import bi_copies, mirror, mirroring, publishing
from spotify_assets.lakehouse.errors import LockTimeout
from spotify_assets.lakehouse.leftovers import remove_leftovers
from spotify_assets.lakehouse.locks import FileLock
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.settings import HomePaths
from spotify_assets.state import State

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from spotify_assets.lakehouse.warehouse import Warehouse

Log = Callable[[str], None]

_LOOK_SECONDS = 0.2

_logger = logging.getLogger(__name__)
_sessions: dict[Path, RunSession] = {}
_living_runs: dict[tuple[Path, str], int] = {}
_guard = threading.RLock()
_ending = threading.Lock()


class RunSession:
    """A stretch of work on one home; `run_session` opens it.

    Attributes:
        publication: What was published at its end, None when nothing had changed.
        mirror_report: What the mirror wrote at its end, None when it had nothing to do or failed.
    """

    def __init__(
        self, warehouse: Warehouse, purpose: str, clock: Callable[[], datetime], can_wait: Collection[str] = ()
    ) -> None:
        self.publication: publishing.Publication | None = None
        self.mirror_report: mirror.MirrorReport | None = None
        self._warehouse = warehouse
        self._purpose = purpose
        self._clock = clock
        self._can_wait = can_wait
        self._logs: list[Log] = []
        self._instances: list[DagsterInstance] = []
        self._depth = 0
        self._has_begun = False
        self._has_changed = False
        self._lock = FileLock(warehouse.paths.run_lock_file)
        self._begin_guard = threading.Lock()

    @property
    def has_begun(self) -> bool:
        """Whether it holds the run lock."""
        return self._has_begun

    def begin(self) -> None:
        """Take `run.lock` and hold it to the end of the outermost session; a second call does nothing.

        Raises:
            LockTimeout: Another run held it for too long.
        """
        with self._begin_guard:
            if not self._has_begun:
                self._lock.acquire(self._warehouse.lock_timeout_seconds, self.log, purpose=self._purpose)
                self._has_begun = True

    def log(self, message: str) -> None:
        (self._logs[-1] if self._logs else _logger.info)(message)

    def _end(self, body_failed: bool) -> None:
        try:
            if not self._has_begun:
                if not self._has_changed:
                    return
                self.begin()
            with progress.stage("publish"):
                self.publication = publishing.publish_if_changed(
                    self._warehouse, published_at=self._clock(), log=self.log, can_wait=self._can_wait
                )
        except Exception as error:
            if not body_failed and self._has_begun:
                raise
            # What was written is safe, and the next session publishes it: never hide the first error behind this one.
            self.log(f"Not published yet: {error}")
        else:
            with progress.stage("mirror"):
                self.mirror_report, _ = self._mirror()
            # Also when nothing was published: a run may have been killed before it could.
            publishing.remove_old_snapshots(self._warehouse.paths, self._warehouse.snapshots_kept)
        finally:
            self._warehouse.close()
            if self._has_begun:
                self._has_begun = False
                self._lock.release()

    def sync_mirror(self, doubted: Collection[str] = ()) -> tuple[mirror.MirrorReport | None, MirrorState | None]:
        """Bring the mirror up to the published file before the session ends, BI copies that may wait included.

        Args:
            doubted: As of `mirror.update_mirror`.

        Returns:
            What was written (None: nothing, or it failed), and how the mirror stands now.
        """
        return self._mirror(doubted, copies_hours=0.0)

    def _mirror(
        self, doubted: Collection[str] = (), copies_hours: float | None = None
    ) -> tuple[mirror.MirrorReport | None, MirrorState | None]:
        warehouse = self._warehouse
        hours = warehouse.bi_copies_hours if copies_hours is None else copies_hours
        report, state, is_other_standing = mirroring.bring_up_to_date(
            warehouse.paths,
            warehouse.mirror,
            warehouse.mirror_versions_kept,
            log=self.log,
            now=self._clock,
            memory_limit=warehouse.memory_limit,
            copies=bi_copies.BiCopies.of_setting(warehouse.bi_copies, hours),
            doubted=doubted,
        )
        if state is not None and self._instances and (report is not None or is_other_standing):
            from spotify_assets.lakehouse.mirror_events import report_update

            try:
                report_update(
                    self._instances[-1],
                    warehouse.paths,
                    warehouse.mirror,
                    report,
                    state,
                    is_other_standing=is_other_standing,
                )
            except Exception as error:
                # The history is not worth a run that has done everything it was there for.
                self.log(f"Dagster's history does not show how the mirror stands: {error}")
        return report, state


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def run_session(
    warehouse: Warehouse,
    *,
    purpose: str,
    log: Log | None = None,
    clock: Callable[[], datetime] = _now,
    can_wait: Collection[str] = (),
    instance: DagsterInstance | None = None,
) -> Iterator[RunSession]:
    """A session on a home; joins the one that this process has open already.

    At the end of the outermost session, also when its body raised, what changed since the last publication is
    published and mirrored. That is found by comparing numbers stored on disk, so that a session also repairs what a
    killed one left behind.

    Args:
        purpose: Told to those who wait for the lock.
        log: Told, in sentences for persons, whom the session waits for and what could not be published.
        clock: Gives the instant of the publication.
        can_wait: Tables (`schema.table`) whose changes alone need not be published at the end of this session, see
            `publishing.publish_if_changed`; the outermost session decides.
        instance: Told what the mirror wrote, and how it stands.

    Raises:
        PublicationFailed: The body went well, publishing did not; what was written is kept.
    """
    home = warehouse.paths.home
    with _guard:
        session = _sessions.setdefault(home, RunSession(warehouse, purpose, clock, can_wait))
        session._depth += 1
        if log:
            session._logs.append(log)
        if instance:
            session._instances.append(instance)
    body_failed = True
    try:
        yield session
        body_failed = False
    finally:
        with _guard:
            session._depth -= 1
            is_outermost = session._depth == 0
            if is_outermost:
                del _sessions[home]
        try:
            if is_outermost:
                with _ending:
                    session._end(body_failed)
        finally:
            if log:
                session._logs.remove(log)
            if instance:
                session._instances.remove(instance)


def current_session(home: Path) -> RunSession | None:
    """The session that this process has open on a home."""
    with _guard:
        return _sessions.get(home)


def note_change(home: Path) -> None:
    """Tell the open session, if there is one, that a transaction changed something."""
    if session := current_session(home):
        session._has_changed = True


def log_of(home: Path) -> Log:
    """Where messages about waiting go."""
    session = current_session(home)
    return session.log if session else _logger.info


@contextmanager
def living_run(paths: HomePaths, run_id: str, purpose: str) -> Iterator[None]:
    """Hold a lock on a file of the run's own, named in `state.sqlite`: a run whose file is unlocked is dead."""
    state = State(paths.state_file)
    remove_leftovers(paths)
    lock_file = paths.runs_folder / f"{run_id}.lock"
    lock = FileLock(lock_file)
    key = (paths.home, run_id)
    with _guard:
        _living_runs[key] = _living_runs.get(key, 0) + 1
        if _living_runs[key] == 1:
            try:
                # Not at once: whoever looks for leftovers holds each file for an instant.
                lock.acquire(_LOOK_SECONDS, purpose=purpose)
            except LockTimeout:
                # Another process executes another step of the same run, and shows that the run lives.
                _living_runs[key] -= 1
                lock = None
            else:
                state.register_run(run_id, lock_file, purpose)
    try:
        yield
    finally:
        if lock is not None:
            with _guard:
                _living_runs[key] -= 1
                if _living_runs[key] == 0:
                    del _living_runs[key]
                    state.unregister_run(run_id)
                    lock_file.unlink(missing_ok=True)
                    lock.release()
