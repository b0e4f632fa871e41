"""A lock that lies with the mirror, so that two machines never run at once.

In a bucket it is the object `lock.json`, taken by a conditional write, renewed while the run lives, and marked as free
at its end. A run that was killed renews no more, and its lock may be taken over once it has expired, by the store's own
clock. In a folder it is the file `run.lock`, which the system unlocks with the process; between machines that holds as
far as the disk they share hands locks on (NFS 4 does, many others do not).
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from spotify_assets.lakehouse.errors import (
    LakehouseError,
    LockTimeout,
    MirrorError,
    MirrorLocked,
    MirrorLockLost,
    ObjectChanged,
)
from spotify_assets.lakehouse.locks import FileLock
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.settings import HomePaths

if TYPE_CHECKING:
    from spotify_assets.lakehouse.bucket import Bucket

LOCK_KEY = "lock.json"

_FOLDER_LOCK = "run.lock"
_RENEWALS_PER_LEASE = 3
_ATTEMPTS = 3
_SETTLING_SECONDS = 2.0
"""For a store that takes no notice of conditions: by then whoever wrote at the same time has written too."""


class MirrorLock(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Make sure that it is still held.

        Raises:
            MirrorLockLost: Another run has taken it over.
        """


class _Found(NamedTuple):
    """The lock object as it is: its ETag, and what it says as far as that can be read."""

    etag: str
    told: dict[str, Any]


class BucketLock:
    """The lock of a mirror in a bucket.

    Args:
        bucket: Where the mirror lies.
        purpose: Told to those who find it locked.
        lease_seconds: After so much time without a renewal others may take it over.
        now: Tells the instant (UTC), for persons; what has expired is decided by the store's clock.
        log: Told what is odd, in sentences for persons.
    """

    def __init__(
        self,
        bucket: Bucket,
        *,
        purpose: str,
        lease_seconds: float,
        now: Callable[[], datetime],
        log: Callable[[str], None],
    ) -> None:
        self._bucket = bucket
        self._purpose = purpose
        self._lease_seconds = lease_seconds
        self._now = now
        self._log = log
        self._owner = uuid.uuid4().hex
        self._taken_at = now()
        self._etag = ""
        self._keeps_versions = False
        self._minds_conditions = True
        self._is_lost = False
        self._renewing = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[BucketLock]:
        """Take the lock, renew it as long as the block lasts, then give it back.

        Raises:
            MirrorLocked: Another run holds it.
            MirrorError: The store cannot be asked.
        """
        self.acquire()
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew_until, args=(ended,), name="mirror lock", daemon=True)
        renewing.start()
        try:
            yield self
        finally:
            ended.set()
            renewing.join()
            self.release()

    def acquire(self) -> None:
        """Take the lock if it is free, or if whoever held it has let it expire.

        Raises:
            MirrorLocked: Another run holds it, or was faster.
            MirrorError: The store cannot be asked.
        """
        for _ in range(_ATTEMPTS):
            found = self._found()
            if found is not None and found.told.get("owner") == self._owner:
                # The answer to the first try was lost: it is ours.
                self._etag = found.etag
                return
            if found is not None and found.told.get("owner") and not self._has_expired(found):
                raise self._locked(found.told)
            try:
                self._put(self._content(), after=found.etag if found else None)
            except ObjectChanged:
                continue
            self._settle()
            return
        raise MirrorLocked(
            f"several runs want the mirror in {self._bucket.address} at this moment. Nothing was done here; run this "
            "again later."
        )

    def renew(self) -> None:
        """Put the expiry off.

        Raises:
            MirrorError: The store cannot be asked just now.
        """
        with self._renewing:
            if self._is_lost:
                return
            if not self._minds_conditions and not self._is_mine():
                self._is_lost = True
                return
            try:
                self._put(self._content(), after=self._etag)
            except ObjectChanged:
                # The answer to the renewal before may have been lost.
                found = self._found()
                self._is_lost = found is None or found.told.get("owner") != self._owner
                if not self._is_lost and found is not None:
                    self._etag = found.etag

    def release(self) -> None:
        """Give the lock back. What hinders that is told: it expires by itself."""
        with self._renewing:
            if self._is_lost:
                return
            try:
                if self._minds_conditions or self._is_mine():
                    # Not deleted: no condition keeps that from removing the lock of somebody who took it over.
                    self._put({"owner": "", "released_at": self._now().isoformat()}, after=self._etag)
                if self._keeps_versions:
                    versions = self._bucket.versions(LOCK_KEY).get(LOCK_KEY, [])
                    self._bucket.delete((LOCK_KEY, each.version_id) for each in versions if not each.is_latest)
            except ObjectChanged:
                self._is_lost = True
            except MirrorError as error:
                self._log(
                    f"The lock of the mirror could not be given back: {error}. Others have to wait for "
                    f"{self._lease_seconds:.0f} s."
                )

    def check(self) -> None:
        """See `MirrorLock`."""
        if self._is_lost:
            raise MirrorLockLost(
                f"another run has taken over the lock of the mirror in {self._bucket.address}, because this one did "
                f"not renew it for {self._lease_seconds:.0f} s (a machine that slept, a network that was down). What "
                "this run committed is kept in its home; run it again to go on."
            )

    def _renew_until(self, ended: threading.Event) -> None:
        while not ended.wait(self._lease_seconds / _RENEWALS_PER_LEASE):
            try:
                self.renew()
            except MirrorError as error:
                self._log(f"The lock of the mirror could not be renewed just now: {error}.")

    def _found(self) -> _Found | None:
        content = self._bucket.get(LOCK_KEY)
        if content is None:
            return None
        try:
            told = json.loads(content.content)
        except ValueError:
            told = None
        # What cannot be read was written by somebody who means something by it: it counts until it has expired.
        return _Found(content.etag, told if isinstance(told, dict) else {"owner": "unknown"})

    def _has_expired(self, found: _Found) -> bool:
        listed, store_now = self._bucket.listing(LOCK_KEY)
        of_lock = next((each for each in listed if each.key == LOCK_KEY), None)
        if of_lock is None or of_lock.etag != found.etag or store_now is None:
            return False
        try:
            lease = timedelta(seconds=float(found.told["lease_seconds"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            lease = timedelta(seconds=self._lease_seconds)
        return store_now - of_lock.modified_at > lease

    def _is_mine(self) -> bool:
        found = self._found()
        return found is not None and found.told.get("owner") == self._owner

    def _settle(self) -> None:
        """Find out whether the store minds conditions; if not, whether somebody else wrote at the same moment."""
        try:
            self._put(self._content(), after=None)
        except ObjectChanged:
            return
        self._minds_conditions = False
        self._log(
            f"The store of {self._bucket.address} takes no notice of conditional writes: of two runs that begin within "
            f"{_SETTLING_SECONDS:.0f} s of each other both may go on, and the one that comes to the manifest second is "
            "refused only if it looks in time. Have runs begin at different minutes there."
        )
        time.sleep(_SETTLING_SECONDS)
        found = self._found()
        if found is None or found.told.get("owner") != self._owner:
            raise self._locked(found.told if found else {})

    def _put(self, content: dict[str, Any], *, after: str | None) -> None:
        written = self._bucket.put(
            LOCK_KEY,
            (json.dumps(content, indent=1) + "\n").encode(),
            content_type="application/json",
            if_match=after,
            if_absent=after is None,
        )
        self._etag = written.etag
        self._keeps_versions = written.version_id is not None

    def _content(self) -> dict[str, Any]:
        now = self._now()
        return {
            "owner": self._owner,
            "purpose": self._purpose,
            "taken_at": self._taken_at.isoformat(),
            "renewed_at": now.isoformat(),
            "lease_seconds": self._lease_seconds,
            "expires_at": (now + timedelta(seconds=self._lease_seconds)).isoformat(),
        }

    def _locked(self, told: dict[str, Any]) -> MirrorLocked:
        since, until = (str(told.get(name, "an unknown instant"))[:19] for name in ("taken_at", "expires_at"))
        return MirrorLocked(
            f"another run ({told.get('purpose') or 'unknown'}, since {since} UTC) holds the lock "
            f"{self._bucket.url(LOCK_KEY)}. Nothing was done here. It ends with that run; if that was killed, it "
            f"expires after {until} UTC, and the next run takes it over."
        )


class _FolderLock:
    """The lock of a mirror in a folder: it cannot be lost."""

    def check(self) -> None:
        """See `MirrorLock`."""


@contextmanager
def mirror_lock(
    paths: HomePaths,
    configuration: MirrorConfiguration,
    *,
    purpose: str,
    lease_seconds: float,
    now: Callable[[], datetime],
    log: Callable[[str], None],
) -> Iterator[MirrorLock]:
    """Hold the lock of a home's mirror; the arguments are those of `BucketLock`.

    Raises:
        MirrorLocked: Another run holds it.
        MirrorError: It cannot be taken, because the store or the folder cannot be used.
    """
    if configuration.is_bucket:
        lock = BucketLock(configuration.bucket(), purpose=purpose, lease_seconds=lease_seconds, now=now, log=log)
        with lock.held():
            yield lock
        return
    file_lock = FileLock(configuration.folder(paths) / _FOLDER_LOCK)
    try:
        file_lock.acquire(0, purpose=purpose)
    except LockTimeout:
        raise MirrorLocked(
            f"{file_lock.path} is held by {file_lock.holder()}: another run is at work. Nothing was done here; run "
            "this again later."
        ) from None
    except LakehouseError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise MirrorError(f"{file_lock.path} cannot be locked: {reason}") from None
    try:
        yield _FolderLock()
    finally:
        file_lock.release()
