"""One version of the mirror as a plain folder, for programs that list folders and cannot reach the store.

```
{folder}/clean/plays/month=2024-05/part-0.parquet    {folder}/bi/my_fact_plays.parquet    {folder}/manifest.json
```
The folder is built beside its place, every file compared with its checksum, and put there when it is whole. What an
earlier download has already is not fetched again, nor is what an interrupted one had fetched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from spotify_assets import progress
from spotify_assets.ahead import several_ahead
from spotify_assets.lakehouse.errors import DownloadFailed, DownloadRefused, MirrorError
from spotify_assets.lakehouse.locks import FileLock
from spotify_assets.lakehouse.mirror import MANIFEST_KEY, Manifest, MirrorFile
from spotify_assets.lakehouse.mirror_reading import MirrorChanged, MirrorReader, MirrorVersion
from spotify_assets.lakehouse.publishing import sync_folder

_THREADS = 8
_UNFINISHED = ".spotify-assets-download"
_BEFORE = ".before"


@dataclass(frozen=True)
class DownloadReport:
    """What a download brought.

    Attributes:
        folder: Where it is.
        snapshot_sequence: Number of the published file that it shows.
        files: Files that it has.
        size_bytes: Bytes that they have.
        fetched: Files that were fetched.
        fetched_bytes: Bytes that they have.
    """

    folder: Path
    snapshot_sequence: int
    files: int
    size_bytes: int
    fetched: int
    fetched_bytes: int


def download_mirror(
    reader: MirrorReader, folder: Path, *, at: str = "", copies_only: bool = False, home: Path | None = None
) -> DownloadReport:
    """Bring one version of a mirror into a folder, which shows the version before until then.

    Args:
        reader: Of the mirror.
        folder: A new or empty folder, or that of an earlier download.
        at: An older version, see `MirrorReader.version_named`; the newest by default.
        copies_only: Only the BI copies.
        home: Home of the lakehouse: the folder must not lie in it.

    Raises:
        DownloadRefused: The folder holds something else, and was not touched.
        DownloadFailed: It cannot be written, and is as it was.
        MirrorError: The mirror cannot be read; the folder is as it was.
        LockTimeout: Another download to that folder is at work.
    """
    target = folder.expanduser().absolute()
    try:
        return _download(reader, target, at, copies_only, home)
    except OSError as error:
        raise DownloadFailed(
            f"{target} could not be written: {error.strerror}. It is as it was; what was fetched already is kept "
            "beside it for the next try"
        ) from error


def _download(reader: MirrorReader, target: Path, at: str, copies_only: bool, home: Path | None) -> DownloadReport:
    _refuse_others(target, home)
    unfinished = target.with_name(f".{target.name}{_UNFINISHED}")
    unfinished.mkdir(parents=True, exist_ok=True)
    lock_file = unfinished.with_name(f"{unfinished.name}.lock")
    with FileLock(lock_file).held(0.2, purpose="download"):
        try:
            # Made again: the download before may have taken it away just now.
            unfinished.mkdir(exist_ok=True)
            report = _filled(reader, target, unfinished, at, copies_only)
            _switch(target, unfinished)
        finally:
            with suppress(OSError):
                unfinished.rmdir()
            if not unfinished.exists():
                lock_file.unlink(missing_ok=True)
    return report


def _filled(reader: MirrorReader, target: Path, unfinished: Path, at: str, copies_only: bool) -> DownloadReport:
    def fill(version: MirrorVersion) -> DownloadReport:
        return _fill(version, target, unfinished, copies_only)

    if not at:
        return reader.read(fill)
    try:
        return fill(reader.version_named(at))
    except MirrorChanged as error:
        raise MirrorError(f"version {at} of the mirror is not whole any more: {error}") from None


def _refuse_others(target: Path, home: Path | None) -> None:
    if home is not None and target.resolve().is_relative_to(home.resolve()):
        raise DownloadRefused(f"{target} lies in the lakehouse's own folder {home}; name another one with --to")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DownloadRefused(f"{target} is a link or a file; name a folder with --to. It was not touched")
    if not target.exists():
        return
    manifest = _manifest_of(target)
    known = {MANIFEST_KEY, *(manifest.files if manifest else ())}
    for path in sorted(target.rglob("*")):
        key = path.relative_to(target).as_posix()
        # What file managers leave everywhere begins with a dot.
        if path.is_file() and key not in known and not path.name.startswith("."):
            raise DownloadRefused(
                f"{target} holds {key}, which no download has put there and a download would remove; nothing was "
                "changed. Name an empty folder with --to, or move that away"
            )


def _manifest_of(folder: Path) -> Manifest | None:
    try:
        return Manifest.from_json((folder / MANIFEST_KEY).read_text())
    except (OSError, ValueError):
        return None


def _fill(version: MirrorVersion, target: Path, unfinished: Path, copies_only: bool) -> DownloadReport:
    """Make `unfinished` hold exactly what a version names."""
    manifest = version.manifest
    if copies_only:
        files = {key: file for key, file in manifest.files.items() if file.is_copy}
        if not files:
            raise MirrorError("the mirror has no BI copies; SPOTIFY_ASSETS_BI_COPIES=parquet makes them")
        manifest = replace(manifest, files=files, tables={})
    for path in sorted(unfinished.rglob("*"), reverse=True):
        if path.is_dir():
            with suppress(OSError):
                path.rmdir()
        elif path.relative_to(unfinished).as_posix() not in manifest.files:
            path.unlink()
    files = [manifest.files[key] for key in sorted(manifest.files)]
    fetched = fetched_bytes = 0
    brought = several_ahead(
        lambda file: _bring(version, file, target, unfinished), files, threads=_THREADS, at_most=2 * _THREADS
    )
    for number, (file, was_fetched) in enumerate(brought):
        progress.report("Downloading", number, len(files))
        fetched += was_fetched
        fetched_bytes += file.size_bytes if was_fetched else 0
    (unfinished / MANIFEST_KEY).write_text(manifest.to_json())
    sync_folder(unfinished)
    size_bytes = sum(file.size_bytes for file in files)
    return DownloadReport(target, manifest.snapshot_sequence, len(files), size_bytes, fetched, fetched_bytes)


def _bring(version: MirrorVersion, file: MirrorFile, target: Path, unfinished: Path) -> bool:
    """Have a file be there; returns whether it was fetched."""
    there = unfinished / file.key
    if _holds(there, file):
        return False
    there.parent.mkdir(parents=True, exist_ok=True)
    if _holds(target / file.key, file):
        _link(target / file.key, there)
        return False
    content = version.content(file)
    beside = there.with_name(f".{there.name}.part")
    beside.write_bytes(content)
    beside.replace(there)
    return True


def _holds(path: Path, file: MirrorFile) -> bool:
    """Whether a file is there already, to the last byte."""
    try:
        if path.stat().st_size != file.size_bytes:
            return False
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _switch(target: Path, unfinished: Path) -> None:
    """Put the new folder where the old one is. There is none for an instant, but never one that is half of each."""
    before = unfinished.with_name(f"{unfinished.name}{_BEFORE}")
    shutil.rmtree(before, ignore_errors=True)
    if target.exists():
        target.rename(before)
    unfinished.rename(target)
    sync_folder(target.parent)
    shutil.rmtree(before, ignore_errors=True)
