"""What the demo Spotify allows: a quota for each bucket of endpoints, and a rate for all of them."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

DAY = timedelta(days=1)
DAILY_CEILINGS: Mapping[str, int] = {"artist-albums": 100, "artists": 600, "search": 300, "library": 100}
"""Requests a day after which users saw a bucket locked for 24 hours, by bucket; other buckets were not seen locked."""


class DemoQuota:
    """Counts requests by bucket, and locks a bucket for a day when its ceiling is passed.

    A day begins with the first request after the day or the lock before. ``ceilings`` may be changed at any
    time; a bucket without a ceiling is never locked, unless by hand.

    :param calls_extend_lock: a request to a locked bucket begins the 24 hours anew.
    """

    def __init__(
        self, now: Callable[[], datetime], ceilings: Mapping[str, int], *, calls_extend_lock: bool = True
    ) -> None:
        self._now = now
        self.ceilings = dict(ceilings)
        self.calls_extend_lock = calls_extend_lock
        self._day_began: dict[str, datetime] = {}
        self._used: Counter[str] = Counter()
        self._locked_until: dict[str, datetime] = {}

    def locked_until(self, bucket: str) -> datetime | None:
        """When the bucket opens again; None when it is open."""
        until = self._locked_until.get(bucket)
        return until if until is not None and until > self._now() else None

    def lock(self, bucket: str, duration: timedelta = DAY) -> None:
        """Lock a bucket by hand."""
        self._locked_until[bucket] = self._now() + duration

    def unlock(self, bucket: str) -> None:
        """Open a bucket and forget what was counted."""
        self._locked_until.pop(bucket, None)
        self._day_began.pop(bucket, None)
        self._used.pop(bucket, None)

    def clear(self) -> None:
        """Open all buckets and forget what was counted."""
        self._locked_until.clear()
        self._day_began.clear()
        self._used.clear()

    def used(self, bucket: str) -> int:
        """Requests of the current day."""
        return self._used[bucket]

    def refuse(self, bucket: str) -> int | None:
        """Count one request; seconds to wait (Retry-After) when it is refused, None when it may pass."""
        now = self._now()
        if self.locked_until(bucket) is not None:
            if self.calls_extend_lock:
                self._locked_until[bucket] = max(self._locked_until[bucket], now + DAY)
            return _seconds(self._locked_until[bucket] - now)
        was_locked = self._locked_until.pop(bucket, None) is not None
        if was_locked or bucket not in self._day_began or now - self._day_began[bucket] >= DAY:
            self._day_began[bucket] = now
            self._used[bucket] = 0
        self._used[bucket] += 1
        if self._used[bucket] > self.ceilings.get(bucket, math.inf):
            self.lock(bucket)
            return _seconds(DAY)
        return None


class RateLimit:
    """At most ``requests`` within a rolling window of all endpoints together; None for no limit."""

    def __init__(self, now: Callable[[], datetime], requests: int | None, window_seconds: int = 30) -> None:
        self._now = now
        self.requests = requests
        self.window = timedelta(seconds=window_seconds)
        self._passed: deque[datetime] = deque()

    def refuse(self) -> int | None:
        """Count one request; seconds to wait (Retry-After) when it is refused, None when it may pass."""
        if self.requests is None:
            return None
        now = self._now()
        while self._passed and self._passed[0] <= now - self.window:
            self._passed.popleft()
        if len(self._passed) >= self.requests:
            return _seconds(self._passed[0] + self.window - now)
        self._passed.append(now)
        return None


def _seconds(duration: timedelta) -> int:
    return max(1, math.ceil(duration.total_seconds()))
