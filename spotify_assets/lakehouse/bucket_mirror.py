"""The mirror in a bucket: `{prefix}/{schema}/{table}/[month=YYYY-MM/]part-0.parquet` and `{prefix}/manifest.json`.

Keys are fixed, and the manifest is written last, on condition that nobody has written it since it was read: of two runs
at once one loses, says so, and compares anew the next time. Where the bucket keeps versions the manifest names the
version of every file, so that whoever follows it sees one run whole. Where it keeps none, its checksums tell a reader
that a file is another one already (`mirror_reading`).

A listing at the start of each update finds what is not as the manifest says, because a run was killed, lost against
another one, or somebody changed a file: that is written again.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from spotify_assets.lakehouse.bucket import Bucket, Content, Listed, Version, Written
from spotify_assets.lakehouse.errors import MirrorContested, MirrorError, MirrorRefused, ObjectChanged
from spotify_assets.lakehouse.mirror import (
    COPIES_VERSION_KEY,
    FILE_KEY,
    MANIFEST_KEY,
    OWNER,
    Manifest,
    NewerManifest,
)

_THREADS = 8
_BYTES_UNDER_WAY = 48_000_000
_LEFT_ALONE_FOR = timedelta(hours=1)
"""A file that no manifest names may be another run's, which has not come to its manifest yet."""

_TAKE_OVER = "SPOTIFY_ASSETS_MIRROR_TAKE_OVER=true for one run"


class BucketMirror:
    """A `MirrorTarget` in a bucket, for one update.

    Args:
        bucket: Where the mirror lies.
        home_id: Stands in the metadata of every object, so that it is known again without a manifest.
        versions_kept: Manifests, with all files that they name, that are kept in a bucket that keeps versions.
        versions_days: Days for which older ones are kept too.
        takes_over: Whether objects of others are written over.
        is_thorough: Everything old goes at once, and it is an error if it cannot: somebody's data is to be removed.
        log: Told what is odd, in sentences for persons.
    """

    def __init__(
        self,
        bucket: Bucket,
        home_id: str,
        *,
        versions_kept: int,
        versions_days: float,
        takes_over: bool = False,
        is_thorough: bool = False,
        log: Callable[[str], None],
    ) -> None:
        self._bucket = bucket
        self._home_id = home_id
        self._versions_kept = 1 if is_thorough else max(versions_kept, 1)
        self._versions_days = 0.0 if is_thorough else versions_days
        self._takes_over = takes_over
        self._is_thorough = is_thorough
        self._log = log
        self._uploads = Uploads(_THREADS, _BYTES_UNDER_WAY)
        self._etag: str | None = None
        self._keeps_versions = False
        self._has_committed = False
        self._listed: dict[str, Listed] = {}
        self._listed_at: datetime | None = None
        self._unnamed: dict[str, bool] = {}
        self._named: Mapping[str, str | None] = {}
        self._dropped: set[str] = set()
        self._put: dict[str, Written] = {}

    def read_manifest(self) -> Manifest | None:
        """See `MirrorTarget`.

        Raises:
            MirrorRefused: There is a manifest of something else, or one of a newer version of this program.
        """
        found = self._bucket.get(MANIFEST_KEY)
        self._etag = found.etag if found else None
        self._keeps_versions = found is not None and found.version_id is not None
        manifest = self._parsed(found) if found else None
        listed, self._listed_at = self._bucket.listing()
        self._listed = {each.key: each for each in listed if FILE_KEY.fullmatch(each.key)}
        files = manifest.files if manifest else {}
        self._named = {key: file.version_id for key, file in files.items()}
        unnamed = sorted(self._listed.keys() - files.keys())
        with ThreadPoolExecutor(_THREADS) as pool:
            self._unnamed = dict(zip(unnamed, pool.map(self._is_ours, unnamed), strict=True))
        if strangers := [key for key, is_ours in self._unnamed.items() if not is_ours]:
            self._log(
                f"{len(strangers)} files below {self._bucket.address} are not of this lakehouse and stay as they are, "
                f"{self._bucket.url(strangers[0])} for one. Whoever reads a table's whole folder reads them too."
            )
        if manifest is None:
            return None
        intact = {key: file for key, file in files.items() if self._is_as_put(key, file.etag, file.size_bytes)}
        if len(intact) < len(files):
            self._log(
                f"{len(files) - len(intact)} files below {self._bucket.address} are not as the manifest says: a run "
                "was cut off, or somebody changed them. They are written again."
            )
        return replace(manifest, files=intact)

    def put_file(self, key: str, source: Path) -> None:
        """See `MirrorTarget`; the upload goes on while the next file is made.

        Raises:
            MirrorRefused: Somebody else's object has that key.
        """
        if self._unnamed.get(key) is False and not self._takes_over:
            raise MirrorRefused(
                f"{self._bucket.url(key)} is there already and was not written by this lakehouse; it was not touched. "
                f"Move it away, or name another prefix with SPOTIFY_ASSETS_MIRROR; to write over it, set {_TAKE_OVER}"
            )
        if key == COPIES_VERSION_KEY:
            # Uploads overtake each other, and this one tells readers that the others are there.
            self._uploads.finish()
        content = source.read_bytes()
        self._uploads.submit(len(content), lambda: self._upload(key, content))

    def drop_keys(self, keys: Iterable[str]) -> None:
        """See `MirrorTarget`; they are removed when the manifest that does not name them is there."""
        self._dropped |= set(keys)

    def commit_manifest(self, manifest: Manifest) -> None:
        """See `MirrorTarget`.

        Raises:
            MirrorContested: Another run has written the manifest since it was read.
        """
        self._uploads.finish()
        files = {
            key: replace(file, etag=self._put[key].etag, version_id=self._put[key].version_id)
            if key in self._put
            else file
            for key, file in manifest.files.items()
        }
        content = replace(manifest, files=files).to_json().encode()
        sha256 = hashlib.sha256(content).digest()
        try:
            # Some stores take no notice of a condition: what they have is looked at as late as can be.
            found = self._bucket.get(MANIFEST_KEY)
            if (found.etag if found else None) != self._etag:
                raise ObjectChanged(self._bucket.url(MANIFEST_KEY))
            written = self._bucket.put(
                MANIFEST_KEY,
                content,
                metadata=self._metadata(sha256),
                sha256=sha256,
                content_type="application/json",
                if_match=self._etag,
                if_absent=self._etag is None,
            )
        except ObjectChanged:
            # The answer to the first try may have been lost, and the second one then finds our own manifest.
            found = self._bucket.get(MANIFEST_KEY)
            if found is None or found.content != content:
                raise MirrorContested(
                    "another run, perhaps on another machine, has written the mirror at the same time and was first"
                ) from None
            written = Written(found.etag, found.version_id)
        self._etag = written.etag
        self._keeps_versions = written.version_id is not None
        self._named = {key: file.version_id for key, file in files.items()}
        self._has_committed = True

    def remove_old_versions(self) -> None:
        """See `MirrorTarget`. What cannot be removed is told and stays, unless the mirror is thorough."""
        try:
            self._bucket.delete(sorted(self._dropped.union(self._left_over()) - self._named.keys()))
            if self._keeps_versions and (self._has_committed or self._is_thorough):
                self._bucket.delete(self._old_versions())
        except MirrorError as error:
            if self._is_thorough:
                raise
            self._log(f"The mirror is up to date, but what is old could not be removed from it: {error}.")

    def remove_everything(self) -> None:
        """See `MirrorTarget`.

        Raises:
            MirrorRefused: The manifest is another lakehouse's.
        """
        manifest = self.read_manifest()
        if manifest is not None and manifest.home_id != self._home_id:
            raise MirrorRefused(
                f"the mirror in {self._bucket.address} is another lakehouse's, and nothing was removed from it"
            )
        ours = {MANIFEST_KEY, *self._named, *(key for key, is_ours in self._unnamed.items() if is_ours)}
        # Last, so that what an interrupted removal left is still known to be ours.
        self._bucket.delete(sorted(ours - {MANIFEST_KEY}))
        versions = self._versions() if self._keeps_versions else {}
        gone = [key for key in versions if FILE_KEY.fullmatch(key) and (key in ours or self._was_ours(versions[key]))]
        for keys in (gone, [MANIFEST_KEY] if MANIFEST_KEY in versions else []):
            self._bucket.delete((key, version.version_id) for key in keys for version in versions[key])
        self._bucket.delete([] if versions else [MANIFEST_KEY])

    def close(self) -> None:
        """See `MirrorTarget`."""
        self._uploads.close()

    def _parsed(self, found: Content) -> Manifest | None:
        where = self._bucket.url(MANIFEST_KEY)
        try:
            return Manifest.from_json(found.content.decode())
        except NewerManifest:
            refusal = f"{where} was made by a newer version of this program: install that one"
        except ValueError:
            if self._is_damaged_one_of_ours(found):
                self._log(f"{where} is damaged: every file is written anew.")
                return None
            refusal = (
                f"{where} is no manifest of a lakehouse: somebody else keeps something there. Name another prefix with "
                "SPOTIFY_ASSETS_MIRROR"
            )
        if not self._takes_over:
            raise MirrorRefused(f"{refusal}; to write over it, set {_TAKE_OVER}. Nothing was changed there")
        self._log(f"{where} is somebody else's, or a newer version's, and is written over.")
        return None

    def _is_damaged_one_of_ours(self, found: Content) -> bool:
        if found.metadata.get(OWNER) == self._home_id:
            return True
        try:
            content = json.loads(found.content)
        except ValueError:
            # Nobody keeps on purpose what is cut off.
            return True
        return isinstance(content, dict) and content.get("home_id") == self._home_id

    def _is_ours(self, key: str) -> bool:
        return (self._bucket.metadata(key) or {}).get(OWNER) == self._home_id

    def _is_as_put(self, key: str, etag: str | None, size_bytes: int) -> bool:
        listed = self._listed.get(key)
        return listed is not None and (listed.etag, listed.size_bytes) == (etag, size_bytes)

    def _metadata(self, sha256: bytes) -> dict[str, str]:
        return {OWNER: self._home_id, "sha256": sha256.hex()}

    def _upload(self, key: str, content: bytes) -> None:
        sha256 = hashlib.sha256(content).digest()
        self._put[key] = self._bucket.put(key, content, metadata=self._metadata(sha256), sha256=sha256)

    def _left_over(self) -> list[str]:
        """Our files that no manifest names, of runs that were killed before their manifest or after it."""
        now = self._listed_at
        return [
            key
            for key, is_ours in self._unnamed.items()
            if is_ours
            and (self._is_thorough or (now is not None and now - self._listed[key].modified_at > _LEFT_ALONE_FOR))
        ]

    def _versions(self) -> dict[str, list[Version]]:
        return {
            key: versions
            for key, versions in self._bucket.versions().items()
            if key == MANIFEST_KEY or FILE_KEY.fullmatch(key)
        }

    def _old_versions(self) -> list[tuple[str, str]]:
        """Versions, newer ones in their place for long enough, that no manifest which is kept can name."""
        versions = self._versions()
        manifests = versions.pop(MANIFEST_KEY, [])
        if not manifests:
            return []
        # The store's own time: that of this machine may be wrong.
        kept_since = manifests[0].modified_at - timedelta(days=self._versions_days)
        kept = [
            version
            for number, version in enumerate(manifests)
            if number < self._versions_kept or manifests[number - 1].modified_at > kept_since
        ]
        oldest = kept[-1].modified_at
        old = [(MANIFEST_KEY, version.version_id) for version in manifests[len(kept) :]]
        for key, of_key in versions.items():
            is_named = key in self._named
            # A version was replaced when the next one came; a marker in the place of all is replaced by nothing.
            replaced = [None if version.is_latest else of_key[number - 1] for number, version in enumerate(of_key)]
            gone = [
                version
                for version, by in zip(of_key, replaced, strict=True)
                if version.version_id != self._named.get(key)
                and (
                    (version.is_marker and (self._is_thorough or version.modified_at < oldest))
                    if by is None
                    else (len(kept) == 1 or by.modified_at < oldest)
                )
            ]
            if gone and (is_named or self._was_ours(of_key)):
                # Oldest first: a marker that goes before what it hides would bring that back for an instant.
                old += [(key, version.version_id) for version in reversed(gone)]
        return old

    def _was_ours(self, versions: list[Version]) -> bool:
        """Whether we have put the newest version of an object that is deleted by now."""
        for version in versions:
            if not version.is_marker:
                found = self._bucket.get(version.key, version_id=version.version_id)
                return found is not None and found.metadata.get(OWNER) == self._home_id
        # Nothing but markers: whoever put what they hid, it is gone.
        return True


class Uploads:
    """Work on threads, of which no more is under way than so many bytes.

    Args:
        threads: How many work at a time.
        bytes_under_way: What may wait or be worked on; a single larger piece is worked on alone.
    """

    def __init__(self, threads: int, bytes_under_way: int) -> None:
        self._threads = threads
        self._room = bytes_under_way
        self._used = 0
        self._changed = threading.Condition()
        self._pool: ThreadPoolExecutor | None = None
        self._futures: set[Future[None]] = set()
        self._failure: BaseException | None = None

    def submit(self, size_bytes: int, work: Callable[[], None]) -> None:
        """Have something done, once there is room for it.

        Raises:
            BaseException: What was submitted earlier has failed, and how.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._used or self._used + size_bytes <= self._room)
            self._raise_failure()
            self._used += size_bytes
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="mirror")
            future = self._pool.submit(work)
            self._futures.add(future)
        future.add_done_callback(lambda done: self._end(done, size_bytes))

    def finish(self) -> None:
        """Wait until all is done.

        Raises:
            BaseException: Something has failed, and how.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._futures)
            self._raise_failure()
        self.close()

    def close(self) -> None:
        """Forget what has not begun, and wait for the rest."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _end(self, done: Future[None], size_bytes: int) -> None:
        try:
            failure = done.exception()
        except CancelledError:
            failure = None
        with self._changed:
            self._futures.discard(done)
            self._used -= size_bytes
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
