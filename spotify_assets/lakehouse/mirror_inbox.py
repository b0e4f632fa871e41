"""The inbox that lies with the mirror, `{mirror}/inbox/{listener}/`: zips for machines that nobody sits at.

What was taken in goes to `done/`, what could not be used to `damaged/` with a text beside it that says why, so that no
run tries it again. Names there bear a part of the content's checksum: Spotify calls every export `my_spotify_data.zip`.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol

from spotify_assets.lakehouse.errors import MirrorError
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.settings import HomePaths, usable_listener_name

if TYPE_CHECKING:
    from spotify_assets.lakehouse.bucket import Bucket

INBOX = "inbox"
DONE, DAMAGED = "done", "damaged"


class Dropped(NamedTuple):
    """A zip that waits: whose it is, its name, its key below the mirror, its state, and since when it is so (UTC)."""

    listener: str
    name: str
    key: str
    state: str
    modified_at: datetime


class Inbox(Protocol):
    """Where zips wait."""

    def entries(self) -> Iterator[tuple[str, str, datetime]]:
        """Key below the mirror, state and last change (UTC) of every file."""

    def fetch(self, key: str, target: Path) -> bool:
        """Copy a file; False when it is gone.

        Raises:
            MirrorError: It cannot be read.
        """

    def put_away(self, key: str, state: str, target_key: str, note: str, file: Path) -> None:
        """Move a file that was fetched to `file`, unless there is another one in its place by now.

        Raises:
            MirrorError: It cannot be moved.
        """

    def remove(self, listener: str) -> None:
        """Remove everything of a listener, older versions included.

        Raises:
            MirrorError: Something cannot be removed.
        """


class BucketInbox:
    """The inbox of a mirror in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def entries(self) -> Iterator[tuple[str, str, datetime]]:
        """See `Inbox`."""
        listed, _ = self._bucket.listing(f"{INBOX}/")
        yield from ((each.key, each.etag, each.modified_at) for each in listed)

    def fetch(self, key: str, target: Path) -> bool:
        """See `Inbox`."""
        found = self._bucket.get(key)
        if found is None:
            return False
        target.write_bytes(found.content)
        return True

    def put_away(self, key: str, state: str, target_key: str, note: str, file: Path) -> None:
        """See `Inbox`."""
        self._bucket.put(target_key, file.read_bytes(), content_type="application/zip")
        if note:
            self._bucket.put(f"{target_key}.txt", f"{note}\n".encode(), content_type="text/plain; charset=utf-8")
        listed, _ = self._bucket.listing(key)
        if any(each.key == key and each.etag == state for each in listed):
            self._bucket.delete([key])

    def remove(self, listener: str) -> None:
        """See `Inbox`."""
        below = f"{INBOX}/{listener}/"
        versions = self._bucket.versions(below)
        self._bucket.delete((key, version.version_id) for key, of_key in versions.items() for version in of_key)
        listed, _ = self._bucket.listing(below)
        self._bucket.delete(each.key for each in listed)


class FolderInbox:
    """The inbox of a mirror in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> Iterator[tuple[str, str, datetime]]:
        """See `Inbox`."""
        for path in sorted((self._folder / INBOX).rglob("*")):
            if path.is_file():
                key = path.relative_to(self._folder).as_posix()
                yield key, self._state_of(path), datetime.fromtimestamp(path.stat().st_mtime, UTC)

    def fetch(self, key: str, target: Path) -> bool:
        """See `Inbox`."""
        try:
            shutil.copyfile(self._folder / key, target)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise MirrorError(f"{self._folder / key} cannot be read: {error.strerror}") from error
        return True

    def put_away(self, key: str, state: str, target_key: str, note: str, file: Path) -> None:
        """See `Inbox`."""
        source, target = self._folder / key, self._folder / target_key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if note:
                target.with_name(f"{target.name}.txt").write_text(f"{note}\n")
            if self._state_of(source) == state:
                source.replace(target)
        except OSError as error:
            raise MirrorError(f"{source} cannot be moved: {error.strerror}") from error

    def remove(self, listener: str) -> None:
        """See `Inbox`."""
        folder = self._folder / INBOX / listener
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise MirrorError(f"{folder} cannot be removed: {error.strerror}") from error

    def _state_of(self, path: Path) -> str:
        status = path.stat()
        return f"{status.st_size}-{status.st_mtime_ns}"


def inbox_of(paths: HomePaths, configuration: MirrorConfiguration) -> Inbox:
    """The inbox of a home's mirror.

    Raises:
        MirrorError: The bucket's address or the account cannot be used.
    """
    if configuration.is_bucket:
        return BucketInbox(configuration.bucket())
    return FolderInbox(configuration.folder(paths))


def waiting_zips(inbox: Inbox) -> tuple[list[Dropped], list[str]]:
    """What waits, the oldest first, and a sentence for everything that lies there and is not looked at.

    Raises:
        MirrorError: The inbox cannot be read.
    """
    dropped, strange = [], []
    for key, state, modified_at in inbox.entries():
        parts = PurePosixPath(key).parts[1:]
        if not parts or key.endswith("/") or parts[-1].startswith("."):
            continue
        if len(parts) > 2 and parts[1] in (DONE, DAMAGED):
            continue
        if len(parts) != 2 or not parts[1].lower().endswith(".zip"):
            strange.append(f"{key} is not looked at: zips belong into {INBOX}/LISTENER/, and nothing else does.")
            continue
        try:
            listener = usable_listener_name(parts[0])
        except ValueError as error:
            strange.append(f"{key} is not looked at: {error}.")
            continue
        dropped.append(Dropped(listener, parts[1], key, state, modified_at))
    return sorted(dropped, key=lambda each: (each.modified_at, each.key)), strange


def put_away(inbox: Inbox, dropped: Dropped, file: Path, place: str, note: str = "") -> str:
    """Move a zip that was fetched to `file` to DONE or DAMAGED, with a text beside it; returns its new key.

    Raises:
        MirrorError: It cannot be moved.
    """
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    name = PurePosixPath(dropped.name)
    folder = PurePosixPath(dropped.key).parent
    target = f"{folder}/{place}/{name.stem}-{digest[:12]}{name.suffix}"
    inbox.put_away(dropped.key, dropped.state, target, note, file)
    return target
