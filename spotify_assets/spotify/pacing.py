"""When Spotify may be asked: one request at a time in a whole home, not too fast, and not for ever.

The rate limit is a rolling window of 30 seconds for all that an app asks
(https://developer.spotify.com/documentation/web-api/concepts/rate-limits), whichever process does.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from spotify_assets.spotify.errors import TransientFailure

LONGEST_WAIT_SECONDS = 60.0
"""Spotify may have us wait as long inside a run; whoever shall wait longer asks again in another run."""

_LOCK_SECONDS = 180.0
_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.02
_FAILURES_IN_A_ROW = 3
_TIME_OUT = timedelta(minutes=5)


class Pace:
    """Turns to ask, for all threads and processes that name the same file.

    Args:
        lock_file: Made on first use. It holds the instant of the next turn, so that processes keep the pace together.
        requests_per_second: At most.
        now: Tells the instant (UTC).
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        lock_file: Path,
        requests_per_second: float,
        *,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._path = lock_file
        self._interval_seconds = 1.0 / requests_per_second
        self._now = now
        self._sleep = sleep

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until it is our turn, and have nobody else's be until the block ends.

        Raises:
            TransientFailure: Another process kept its turn for minutes, or the file cannot be used.
        """
        while True:
            with self._locked() as descriptor:
                wait_seconds = self._seconds_left(descriptor)
                if wait_seconds <= 0:
                    self._note_next(descriptor, self._interval_seconds)
                    yield
                    return
            # Not while the file is locked: who has just asked would always be the first to have it again.
            self._sleep(wait_seconds)

    def hold(self, seconds: float) -> None:
        """Have nobody's turn come for some time, at most `LONGEST_WAIT_SECONDS`."""
        with self._locked() as descriptor:
            if seconds > self._seconds_left(descriptor):
                self._note_next(descriptor, min(seconds, LONGEST_WAIT_SECONDS))

    def _seconds_left(self, descriptor: int) -> float:
        try:
            seconds = float(os.pread(descriptor, 64, 0)) - self._now().timestamp()
        except ValueError:
            return 0.0
        # A clock that was set back would have everybody wait for it.
        return seconds if seconds <= LONGEST_WAIT_SECONDS + self._interval_seconds else 0.0

    def _note_next(self, descriptor: int, seconds: float) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{self._now().timestamp() + seconds:.6f}".encode(), 0)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise TransientFailure(
                f"{self._path} cannot be opened: {error.strerror}. Nothing was asked of Spotify. Make the folder "
                "writable, or choose another home."
            ) from error
        try:
            self._lock(descriptor)
            yield descriptor
        finally:
            with suppress(OSError):
                # Closing alone would leave the lock to a child that was forked this very moment.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + _LOCK_SECONDS
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TransientFailure(
                        f"Another process holds {self._path} and has been asking Spotify for {_LOCK_SECONDS:.0f} s. "
                        "Nothing was asked. Wait until it has ended (or end it), then run this again."
                    ) from None
            except OSError as error:
                raise TransientFailure(
                    f"{self._path} lies on a file system without locks ({error.strerror}). Nothing was asked of "
                    "Spotify. Choose a home folder on a local disk."
                ) from error
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.5, _LONGEST_PAUSE_SECONDS)


class Patience:
    """How long a client goes on waiting for a Spotify that does not answer as it should.

    There are so many seconds for all of a run, whatever they are spent on: waiting as told, waiting before another try,
    waiting for answers that never came. Each good answer gives a second back. Without patience nothing is tried twice,
    and whatever has failed three times in a row is left alone for 5 minutes: so a run ends within two minutes when
    Spotify is down, and still bears an hour of which every other answer is an error.

    Args:
        seconds: At most.
        now: Tells the instant (UTC).
    """

    def __init__(self, seconds: float, *, now: Callable[[], datetime]) -> None:
        self._full_seconds = self._seconds = seconds
        self._now = now
        self._failures: Counter[str] = Counter()
        self._left_alone_until: dict[str, datetime] = {}

    def allows(self, seconds: float) -> bool:
        """Whether so long may be waited."""
        return seconds <= self._seconds

    def spend(self, seconds: float) -> None:
        """Count what was waited."""
        self._seconds = max(0.0, self._seconds - seconds)

    def answered(self, concerned: Iterable[str]) -> None:
        """Count a good answer for everything that it concerns, such as a bucket, a listener, Spotify itself."""
        self._seconds = min(self._full_seconds, self._seconds + 1.0)
        for each in concerned:
            self._failures.pop(each, None)

    def failed(self, concerned: Iterable[str]) -> None:
        """Count a request that came to nothing for everything that may be to blame."""
        for each in concerned:
            self._failures[each] += 1
            if self._failures[each] >= _FAILURES_IN_A_ROW:
                self._left_alone_until[each] = self._now() + _TIME_OUT
                # When that is over, one more failure is enough.
                self._failures[each] = _FAILURES_IN_A_ROW - 1

    def left_alone_until(self, concerned: Iterable[str]) -> datetime | None:
        """Until when nothing is asked, because something of it has failed again and again; None when it may be."""
        until = max(
            (self._left_alone_until[each] for each in concerned if each in self._left_alone_until), default=None
        )
        return until if until and until > self._now() else None
