"""Locks between processes, on files of their own.

`flock` goes away with the process that holds it, however that ends, and unlike DuckDB's own POSIX locks it does not
vanish when the holder opens and closes the same file a second time.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from spotify_assets.lakehouse.errors import LakehouseError, LockTimeout

_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.05


@dataclass
class _Held:
    descriptor: int
    depth: int


_held: dict[Path, _Held] = {}
_guard = threading.RLock()


def _forget_in_child() -> None:
    """A forked child shares the parent's open files: without this it would keep the parent's locks alive."""
    global _guard
    _guard = threading.RLock()
    for held in _held.values():
        with suppress(OSError):
            os.close(held.descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


class FileLock:
    """An exclusive lock between processes; inside the process that holds it, it may be taken again and again.

    The file stays where it is when the lock is released: removing it would let two processes lock two files of one
    name.

    Example:
        >>> with FileLock(home / "run.lock").held(timeout_seconds=600, purpose="import"):
        ...     ...
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def acquire(
        self,
        timeout_seconds: float,
        on_wait: Callable[[str], None] | None = None,
        *,
        purpose: str = "",
    ) -> None:
        """Take the lock, waiting for it if need be.

        Args:
            timeout_seconds: How long to wait; 0 tries once.
            on_wait: Told once, in a sentence for persons, who holds the lock.
            purpose: Shown to those who wait.

        Raises:
            LockTimeout: Somebody else held it all the while.
            LakehouseError: The file cannot be made, or its file system has no locks.
        """
        deadline = time.monotonic() + timeout_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        told = False
        while not self._try(purpose):
            if time.monotonic() >= deadline:
                raise LockTimeout(
                    f"{self.path.name} is held by {self.holder()}; waited {timeout_seconds:.0f} s for it. Nothing "
                    "was written. Wait until that has ended (or end it), then run this again."
                )
            if on_wait and not told:
                told = True
                on_wait(f"Waiting for {self.path.name}, held by {self.holder()} …")
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.5, _LONGEST_PAUSE_SECONDS)

    def release(self) -> None:
        """Give back one `acquire`; the last one frees the lock."""
        with _guard:
            held = _held.get(self.path)
            if held is None:
                return
            held.depth -= 1
            if held.depth == 0:
                del _held[self.path]
                with suppress(OSError):
                    os.ftruncate(held.descriptor, 0)
                    # Closing alone would leave the lock to a child that was forked this very moment.
                    fcntl.flock(held.descriptor, fcntl.LOCK_UN)
                os.close(held.descriptor)

    @contextmanager
    def held(
        self, timeout_seconds: float, on_wait: Callable[[str], None] | None = None, *, purpose: str = ""
    ) -> Iterator[None]:
        """`acquire` and `release` around a block."""
        self.acquire(timeout_seconds, on_wait, purpose=purpose)
        try:
            yield
        finally:
            self.release()

    @property
    def is_mine(self) -> bool:
        """Whether this process holds it."""
        with _guard:
            return self.path in _held

    def holder(self) -> str:
        """Who holds it, in words: `process 1234 (import, since 12:03)`."""
        try:
            told = json.loads(self.path.read_text())
            since = datetime.fromtimestamp(self.path.stat().st_mtime).strftime("%H:%M")
            purpose = f"{told['purpose']}, " if told["purpose"] else ""
            return f"process {told['pid']} ({purpose}since {since})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def _try(self, purpose: str) -> bool:
        with _guard:
            if self.path in _held:
                _held[self.path].depth += 1
                return True
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise LakehouseError(
                    f"the lock file {self.path} cannot be opened: {error.strerror}. Nothing was written. Make the "
                    "folder writable, or choose another home folder."
                ) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except OSError as error:
                os.close(descriptor)
                raise LakehouseError(
                    f"{self.path} lies on a file system without locks ({error.strerror}). Nothing was written. "
                    "Choose a home folder on a local disk."
                ) from error
            if not _is_same_file(descriptor, self.path):
                # Removed as a leftover while we were opening it: whoever locks the name now would not meet us.
                os.close(descriptor)
                return False
            _held[self.path] = _Held(descriptor, depth=1)
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "purpose": purpose}).encode(), 0)
            return True


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
