"""Files that are their owner's business alone: whole or not there, never readable for others, one writer at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from spotify_assets.spotify.errors import TokensNotKept

LOCK_NAME = ".lock"
UNFINISHED_NAME = ".unfinished"
"""What a killed writer leaves; the next one removes it. Its name tells of nobody."""

# Longer than a refresh with all its retries takes.
_LOCK_SECONDS = 90.0


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Be the only process (and thread) that writes to a folder; inside, it may be entered again.

    Raises:
        TokensNotKept: The folder cannot be written to, or another process held it all the while.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_NAME, mode=0o600, is_singleton=True)
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        raise TokensNotKept(
            f"Another process holds {folder / LOCK_NAME} for more than {_LOCK_SECONDS:.0f} s. Nothing was changed; end "
            "it, then try again."
        ) from None
    except OSError as error:
        raise TokensNotKept(
            f"{folder} cannot be written to: {error.strerror or error}. What was there is kept; make it writable, "
            "then try again."
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_private(file: Path, content: str, *, beside: Path) -> None:
    """Replace a file in one step; nobody else can read it, not even for a moment, and a kill leaves the old one.

    Args:
        file: The file.
        content: Its text.
        beside: A folder of the same file system for what is unfinished; others may not write there meanwhile, see
            `sole_writer`.

    Raises:
        TokensNotKept: It cannot be written; the old file is as it was.
    """
    unfinished = beside / UNFINISHED_NAME
    try:
        # One left by a kill may have been given to others since.
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content.encode())
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
        _sync_folder(file.parent)
    except OSError as error:
        raise TokensNotKept(
            f"{file} cannot be written: {error.strerror or error}. The old file, if there was one, is as it was; make "
            "room or the folder writable, then try again."
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """A renamed file may be the old one again after a power cut, until its folder is on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
