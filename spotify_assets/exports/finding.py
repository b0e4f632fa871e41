"""Finding the files of privacy exports under the paths that a person names, and unpacking what lies in zips.

An export is one zip, or the nearest folder that holds history or library files. Zips inside folders are read, zips
inside zips are not.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import struct
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from spotify_assets.exports.model import ExportFile, Found, Limits, Problem
from spotify_assets.exports.personal import DECODER
from spotify_assets.exports.recognition import HEAD_BYTES, Recognition, is_history_name, recognise

_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 1 << 10
_RATIO_FREE_BYTES = 10_000_000
_READING_THREADS = 2
_USERNAME = re.compile(rb'"username"\s*:\s*("(?:[^"\\]|\\.)*")')
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, NotImplementedError, ValueError),
)
"""What `zipfile` raises for damaged, protected and exotic archives (https://docs.python.org/3/library/zipfile.html)."""


class _FileFault(Exception):
    """A file cannot be taken in; the text says why and what to do."""


class _FullDisk(Exception):
    """Nothing more can be unpacked."""


@dataclass(frozen=True)
class _Candidate:
    """A recognised file, not yet read."""

    export_key: str
    export_name: str
    file_name: str
    kind: str
    path: Path
    member: zipfile.ZipInfo | None = None

    @property
    def label(self) -> str:
        return f"{self.export_name}/{self.file_name}"


@dataclass(frozen=True)
class _Loaded:
    candidate: _Candidate
    file: ExportFile
    accounts: frozenset[str] = field(repr=False)


def fingerprint(state: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written to or replaced: size, modification and change time, inode, device."""
    return (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev)


def reason_of(error: OSError) -> str:
    """Why the operating system refused, for a person, without the path."""
    if isinstance(error, PermissionError):
        return "it may not be read (permission denied)"
    return f"the system refused it ({(error.strerror or type(error).__name__).lower()})"


class _Search:
    """The state of one `find_exports`: what is found so far and what was wrong."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.candidates: list[_Candidate] = []
        self.ignored: list[str] = []
        self.problems: list[Problem] = []
        self.seen: set[tuple[int, int]] = set()

    def damage(self, file: str, message: str) -> None:
        self.problems.append(Problem(file, message, True))

    def note(self, file: str, message: str) -> None:
        self.problems.append(Problem(file, message, False))

    def _is_new(self, state: os.stat_result) -> bool:
        identity = (state.st_dev, state.st_ino)
        if identity in self.seen:
            return False
        self.seen.add(identity)
        return True

    def look_at(self, path: Path) -> None:
        """Search a path that a person named."""
        name = path.name or path.resolve().name or str(path)
        try:
            state = path.stat()
        except FileNotFoundError:
            self.damage(name, "There is nothing at this path. Check how it is written.")
            return
        except OSError as error:
            self.damage(name, f"Not read: {reason_of(error)}. Check the path and its permissions.")
            return
        if stat.S_ISDIR(state.st_mode):
            self._look_into_folder(path, name, state)
        elif not stat.S_ISREG(state.st_mode):
            self.damage(name, "Not read: it is neither a file nor a folder. Name a zip, a folder or a JSON file.")
        elif self._is_new(state):
            self._look_at_file(path, name, state, is_named=True)

    def _look_into_folder(self, folder: Path, name: str, state: os.stat_result) -> None:
        before = (len(self.candidates), len(self.problems))
        known = len(self.seen)
        self._walk(folder, name, state)
        if (len(self.candidates), len(self.problems)) == before and len(self.seen) > known:
            self.damage(
                name,
                "No file of a Spotify export lies in this folder. Name the folder or zip that Spotify sent "
                "(my_spotify_data.zip).",
            )

    def _walk(self, folder: Path, label: str, state: os.stat_result) -> None:
        folders = [(folder, label, state)]
        while folders:
            folder, label, state = folders.pop()
            if not self._is_new(state):
                continue
            try:
                entries = sorted(folder.iterdir())
            except OSError as error:
                self.damage(label, f"The folder was left out: {reason_of(error)}. The other files were read.")
                continue
            inner: list[tuple[Path, str, os.stat_result]] = []
            for entry in entries:
                entry_label = f"{label}/{entry.name}"
                if entry.name == "__MACOSX" or entry.name.startswith("._"):
                    continue
                try:
                    entry_state = entry.stat()
                except OSError as error:
                    if is_history_name(entry.name):
                        self.damage(entry_label, f"Not read: {reason_of(error)}. The other files were read.")
                    else:
                        self.ignored.append(entry_label)
                    continue
                if stat.S_ISDIR(entry_state.st_mode):
                    inner.append((entry, entry_label, entry_state))
                elif not stat.S_ISREG(entry_state.st_mode) or entry.suffix.lower() not in (".json", ".zip"):
                    self.ignored.append(entry_label)
                elif self._is_new(entry_state):
                    self._look_at_file(entry, entry_label, entry_state, is_named=False)
            folders.extend(reversed(inner))

    def _look_at_file(self, path: Path, label: str, state: os.stat_result, *, is_named: bool) -> None:
        try:
            with path.open("rb") as opened:
                head = opened.read(HEAD_BYTES)
        except OSError as error:
            if is_named or is_history_name(path.name) or path.suffix.lower() == ".zip":
                self.damage(label, f"Not read: {reason_of(error)}. Check its permissions.")
            else:
                self.ignored.append(label)
            return
        if head.startswith(b"PK") or path.suffix.lower() == ".zip":
            self._look_into_zip(path, label, is_named=is_named)
            return
        recognition = recognise(path.name, head, state.st_size)
        folder = path.absolute().parent
        folder_name = folder.name or "folder"
        if recognition.kind is None:
            self._not_recognised(label, recognition, is_named=is_named)
        elif state.st_size > self.limits.member_size_bytes:
            self.damage(label, self._too_large(state.st_size))
        else:
            self.candidates.append(_Candidate(str(folder.resolve()), folder_name, path.name, recognition.kind, path))

    def _too_large(self, size_bytes: int) -> str:
        return (
            f"Not read: it holds {size_bytes:,} bytes, more than the {self.limits.member_size_bytes:,} that a file "
            "of an export may hold. Spotify's own files are far smaller; ask Spotify for a new export."
        )

    def _not_recognised(self, label: str, recognition: Recognition, *, is_named: bool) -> None:
        if is_named:
            self.damage(
                label,
                f"Not a file of a Spotify export: it is {recognition.description}. Name the zip or folder that "
                "Spotify sent, or a streaming history file.",
            )
        elif recognition.is_named_history and recognition.is_empty_list:
            self.note(label, "The file holds an empty list: there was nothing to read.")
        elif recognition.is_named_history:
            self.damage(
                label,
                f"Its name says streaming history, but it is {recognition.description}. Nothing of it was read, the "
                "other files were. Unpack the zip again or ask Spotify for a new export.",
            )
        else:
            self.ignored.append(label)

    def _look_into_zip(self, path: Path, label: str, *, is_named: bool) -> None:
        candidates = len(self.candidates)
        problems = len(self.problems)
        try:
            with zipfile.ZipFile(path) as archive:
                self._look_at_members(path, label, archive)
        except _FileFault as fault:
            self.damage(label, str(fault))
        except OSError as error:
            self.damage(label, f"Not read: {reason_of(error)}.")
        except _ZIP_ERRORS:
            message = (
                "Not a readable zip: it is truncated, damaged or no zip at all. Nothing of it was read. Download it "
                "again from Spotify's link."
            )
            # A broken zip that merely lies in the folder may have nothing to do with Spotify.
            is_ours = is_named or "spotify" in path.name.lower()
            self.problems.append(Problem(label, message, is_ours))
        else:
            if (len(self.candidates), len(self.problems)) == (candidates, problems) and is_named:
                self.damage(
                    label,
                    "No file of a Spotify export lies in this zip. Spotify's own is called my_spotify_data.zip.",
                )

    def _look_at_members(self, path: Path, label: str, archive: zipfile.ZipFile) -> None:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > self.limits.members:
            raise _FileFault(
                f"Not read: the zip lists {len(members):,} files, more than the {self.limits.members:,} that an "
                "export may hold. Unpack it yourself and name the folder with the history."
            )
        total = 0
        is_protected = False
        for member in sorted(members, key=lambda member: member.filename):
            name = member.filename.replace("\\", "/")
            parts = name.split("/")
            if "__MACOSX" in parts or parts[-1].startswith("._"):
                continue
            member_label = f"{label}/{name}"
            if name.startswith("/") or ".." in parts or ":" in parts[0]:
                self.damage(
                    member_label,
                    "Not read: its name leads outside the zip, which Spotify's own files never do. The other files "
                    "were read.",
                )
                continue
            if not name.lower().endswith(".json"):
                self.ignored.append(member_label)
                continue
            if member.flag_bits & 0x1:
                is_protected = True
                continue
            try:
                with archive.open(member) as opened:
                    head = opened.read(HEAD_BYTES)
            except (*_ZIP_ERRORS, OSError):
                if is_history_name(parts[-1]):
                    self.damage(member_label, _DAMAGED_MEMBER)
                else:
                    self.ignored.append(member_label)
                continue
            recognition = recognise(parts[-1], head, member.file_size)
            if recognition.kind is None:
                self._not_recognised(member_label, recognition, is_named=False)
                continue
            total += member.file_size
            if member.file_size > self.limits.member_size_bytes:
                self.damage(member_label, self._too_large(member.file_size))
            elif total > self.limits.export_size_bytes:
                self.damage(
                    member_label,
                    f"Not read: the files of this zip unpack to more than {self.limits.export_size_bytes:,} bytes. "
                    "The files before it were read. Unpack the zip yourself and name the folder.",
                )
            else:
                self.candidates.append(_Candidate(str(path.resolve()), path.name, name, recognition.kind, path, member))
        if is_protected:
            raise _FileFault(
                "Files in this zip are protected with a password and were not read. Unpack it yourself and name "
                "the folder."
            )


_DAMAGED_MEMBER = (
    "Not read: the zip is damaged here. The other files were read. Download the zip again from Spotify's link."
)


class _Loader:
    """Reads every candidate once: checksum, usernames and, for members of zips, the unpacked copy."""

    def __init__(self, scratch: Path, limits: Limits, on_progress: Callable[[int], None] | None) -> None:
        self.scratch = scratch
        self.limits = limits
        self.on_progress = on_progress
        self.unpacked: Path | None = None
        self.is_disk_full = False
        self._read_bytes = 0
        self._number = 0
        self._lock = threading.Lock()

    def _place(self) -> Path:
        with self._lock:
            if self.unpacked is None:
                self.scratch.mkdir(parents=True, exist_ok=True)
                self.unpacked = Path(tempfile.mkdtemp(prefix="export-", dir=self.scratch))
            self._number += 1
            return self.unpacked / f"{self._number}.json"

    def _progress(self, size_bytes: int) -> None:
        if self.on_progress is not None:
            with self._lock:
                self._read_bytes += size_bytes
                self.on_progress(self._read_bytes)

    def load(self, candidate: _Candidate, export_number: int) -> _Loaded | Problem:
        try:
            if candidate.member is None:
                return self._load_file(candidate, export_number)
            return self._load_member(candidate, candidate.member, export_number)
        except _FileFault as fault:
            return Problem(candidate.label, str(fault), True)
        except _FullDisk as fault:
            self.is_disk_full = True
            return Problem(candidate.label, str(fault), True)
        except _ZIP_ERRORS:
            return Problem(candidate.label, _DAMAGED_MEMBER, True)
        except OSError as error:
            return Problem(candidate.label, f"Not read: {reason_of(error)}. The other files were read.", True)

    def _read(self, opened: IO[bytes], candidate: _Candidate, target: IO[bytes] | None) -> tuple[str, int, set[str]]:
        """Checksum, size and usernames of an open file, copied to `target` on the way."""
        checksum = hashlib.sha256()
        size_bytes = 0
        names: set[bytes] = set()
        overlap = b""
        packed_bytes = None if candidate.member is None else max(candidate.member.compress_size, 1)
        while chunk := opened.read(_CHUNK_BYTES):
            size_bytes += len(chunk)
            if size_bytes > self.limits.member_size_bytes:
                raise _FileFault("Not read: it unpacks to more bytes than the zip says. Ask Spotify for a new export.")
            if (
                packed_bytes is not None
                and size_bytes > _RATIO_FREE_BYTES
                and size_bytes > self.limits.compression_ratio * packed_bytes
            ):
                raise _FileFault(
                    f"Not read: it grows more than {self.limits.compression_ratio} times when it is unpacked, as "
                    "only a file made to fill disks does. Ask Spotify for a new export."
                )
            checksum.update(chunk)
            if candidate.kind == "extended":
                window = overlap + chunk
                if b'"username"' in window:
                    names.update(match[1] for match in _USERNAME.finditer(window))
                overlap = window[-_OVERLAP_BYTES:]
            if target is not None:
                try:
                    target.write(chunk)
                except OSError as error:
                    raise self._refusal(error) from None
            self._progress(len(chunk))
        return checksum.hexdigest(), size_bytes, _usernames(names)

    def _refusal(self, error: OSError) -> Exception:
        if error.errno in _FULL_DISK:
            return _FullDisk(
                "Not read: the disk is full, so that the zip cannot be unpacked. Free some space, or unpack it "
                "elsewhere and name the folder. Files that were read before are kept."
            )
        return _FileFault(f"Not read: it cannot be unpacked, {reason_of(error)}.")

    def _load_file(self, candidate: _Candidate, export_number: int) -> _Loaded:
        with candidate.path.open("rb") as opened:
            before = os.fstat(opened.fileno())
            checksum, size_bytes, accounts = self._read(opened, candidate, None)
            after = os.fstat(opened.fileno())
        if fingerprint(before) != fingerprint(after) or size_bytes != after.st_size:
            raise _FileFault(CHANGED)
        return _Loaded(
            candidate,
            ExportFile(
                export_name=candidate.export_name,
                file_name=candidate.file_name,
                kind=candidate.kind,
                sha256=checksum,
                size_bytes=size_bytes,
                path=candidate.path,
                modified_at=datetime.fromtimestamp(after.st_mtime, UTC),
                export_number=export_number,
                fingerprint=fingerprint(after),
            ),
            frozenset(accounts),
        )

    def _load_member(self, candidate: _Candidate, member: zipfile.ZipInfo, export_number: int) -> _Loaded:
        if self.is_disk_full:
            raise _FileFault("Not read: the disk is full (see above).")
        with candidate.path.open("rb") as packed:
            before = os.fstat(packed.fileno())
            with zipfile.ZipFile(packed) as archive, archive.open(member) as opened:
                try:
                    place = self._place()
                    target = place.open("xb")
                except OSError as error:
                    raise self._refusal(error) from None
                try:
                    with target:
                        checksum, size_bytes, accounts = self._read(opened, candidate, target)
                except BaseException:
                    place.unlink(missing_ok=True)
                    raise
            after = os.fstat(packed.fileno())
        if fingerprint(before) != fingerprint(after):
            raise _FileFault(CHANGED)
        try:
            modified_at = datetime(*member.date_time, tzinfo=UTC)
        except ValueError:
            modified_at = datetime.fromtimestamp(after.st_mtime, UTC)
        return _Loaded(
            candidate,
            ExportFile(
                export_name=candidate.export_name,
                file_name=candidate.file_name,
                kind=candidate.kind,
                sha256=checksum,
                size_bytes=size_bytes,
                path=place,
                modified_at=modified_at,
                export_number=export_number,
                fingerprint=fingerprint(place.stat()),
            ),
            frozenset(accounts),
        )


CHANGED = (
    "The file changed while it was being read, so nothing of it was taken in. Wait until it is fully written and "
    "import it again."
)


def _usernames(literals: set[bytes]) -> set[str]:
    names = set()
    for literal in literals:
        try:
            names.add(DECODER.decode(literal.decode("utf-8", "replace")))
        except ValueError:
            continue
    return names - {""}


def _one_account_only(loaded: list[_Loaded]) -> tuple[list[_Loaded], list[Problem]]:
    """Leave out the exports that tell of different accounts, for nobody can say which one is the listener's."""
    accounts: dict[int, set[str]] = {}
    for one in loaded:
        accounts.setdefault(one.file.export_number, set()).update(one.accounts)
    if len(set().union(*accounts.values())) < 2:
        return loaded, []
    kept = [one for one in loaded if not accounts[one.file.export_number]]
    problems = []
    for number, names in sorted(accounts.items()):
        files = [one for one in loaded if one.file.export_number == number]
        if not names:
            continue
        if len(names) > 1:
            message = (
                f"The {len(files)} files of this export belong to two accounts or more, so none of them was taken in. "
                "Put each account's files into a folder of its own and import each with its own --listener."
            )
        else:
            message = (
                "The exports of this import belong to two accounts or more, so that it cannot be known which is "
                f"whose: none of the {len(files)} files of this one was taken in. Import each export with its own "
                "--listener."
            )
        problems.append(Problem(files[0].file.export_name, message, True))
    return kept, problems


def find_exports(
    paths: Sequence[Path],
    *,
    scratch: Path,
    limits: Limits | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Found:
    """Find the files of privacy exports under `paths`: zips, folders and single files, mixed and in any order.

    Files are told by content (`recognition`). Each is read once here, for its checksum; members of zips are unpacked
    on the way under numbers, never under their own names. Nothing is raised for bad input: what could not be read is
    a `Problem`, and the other files go on.

    Args:
        paths: What a person named.
        scratch: Folder for unpacked members; a folder of its own is made in it when one is needed.
        limits: Bounds for unpacking.
        on_progress: Called with the number of bytes read so far.

    Returns:
        What was found; a context manager that removes the unpacked members.
    """
    limits = limits or Limits()
    search = _Search(limits)
    for path in sorted(set(paths), key=lambda path: str(path.absolute())):
        search.look_at(path)
    candidates = sorted(search.candidates, key=lambda one: (one.export_name, one.export_key, one.file_name))
    numbers: dict[str, int] = {}
    for candidate in candidates:
        numbers.setdefault(candidate.export_key, len(numbers))
    loader = _Loader(scratch, limits, on_progress)
    problems = list(search.problems)
    loaded: list[_Loaded] = []
    try:
        with ThreadPoolExecutor(_READING_THREADS, thread_name_prefix="export") as threads:
            for result in threads.map(loader.load, candidates, [numbers[one.export_key] for one in candidates]):
                if isinstance(result, Problem):
                    problems.append(result)
                else:
                    loaded.append(result)
    except BaseException:
        Found([], [], [], [], loader.unpacked).close()
        raise
    repeated: list[str] = []
    first_of: dict[str, _Loaded] = {}
    for one in loaded:
        if one.file.sha256 in first_of:
            repeated.append(one.file.label)
        else:
            first_of[one.file.sha256] = one
    kept, conflicts = _one_account_only(list(first_of.values()))
    return Found(
        files=[one.file for one in kept],
        ignored=sorted(search.ignored),
        repeated=repeated,
        problems=problems + conflicts,
        unpacked=loader.unpacked,
    )
