"""The Parquet mirror: `{schema}/{table}/month=YYYY-MM/part-0.parquet`, with a manifest, for BI tools.

Made from the published snapshot, so that the warehouse stays free. Only months that changed since the manifest are
written, and of those only files whose bytes differ are put. Where files go is the business of a `MirrorTarget`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import duckdb
import polars as pl

from spotify_assets import progress
from spotify_assets.arrow import frame_of
from spotify_assets.lakehouse import home_facts
from spotify_assets.lakehouse.definition import Catalog, duckdb_type, literal, quoted, select, set_up, sql_name
from spotify_assets.lakehouse.errors import MirrorRefused
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.publishing import published_sequence, sync_folder
from spotify_assets.lakehouse.reading import open_snapshot, snapshot_file
from spotify_assets.lakehouse.transaction import WHOLE_TABLE
from spotify_assets.schemas import Table, tables
from spotify_assets.schemas.meta import Changes, Published
from spotify_assets.settings import HomePaths

_THREADS = 2
_ROWS_PER_LOT = 60_000
_SCRATCH = "mirror-"
_UNFINISHED = ".new-"
MANIFEST_KEY = "manifest.json"
OWNER = "lakehouse"
"""Name of the metadata that tells which lakehouse has put an object."""

COPIES_FOLDER = "bi"
COPIES_VERSION_KEY = f"{COPIES_FOLDER}/VERSION"
FILE_KEY = re.compile(
    rf"[^/]+/[^/]+/(month=\d{{4}}-\d{{2}}/)?part-0\.parquet|{COPIES_FOLDER}/([^/]+\.(parquet|csv\.gz)|VERSION)"
)
"""Keys that files of a mirror have: those of tables, and copies."""

_FORMAT = 2
_KNOWN_FORMATS = (1, 2)


class NewerManifest(ValueError):
    """The manifest was made by a newer version of this program."""


@dataclass(frozen=True)
class MirrorFile:
    """One Parquet file: where it lies below the mirror, what it holds, and its checksum.

    In a bucket also the ETag (without quotes) that the store gave it, and its version where the bucket keeps versions.
    """

    key: str
    table: str
    month: str
    rows: int
    size_bytes: int
    sha256: str
    change_sequence: int
    etag: str | None = None
    version_id: str | None = None

    @property
    def is_copy(self) -> bool:
        """Whether it is no part of a table's data set but a copy beside it (`Copies`), `table` no name of a table."""
        return "/" in self.table


@dataclass(frozen=True)
class Manifest:
    """What a version of the mirror holds: its files and, by table, a description and the columns.

    `home_id` tells which lakehouse has written it, `revision` which of its updates: another one each time. Both are
    empty where the mirror is a part of its home.

    Attributes:
        copies: What `Copies` tells of the files that are copies.
        changes: Numbers of the last changes (`meta.changes`), by table and month, where no file tells them. None in
            manifests that were made before a restore needed them.
        published_at: When the published file was made that it shows, ISO 8601; empty when that is not known.
        home: What a restored home needs besides tables (`home_facts`).
    """

    snapshot_sequence: int
    files: dict[str, MirrorFile] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    home_id: str = ""
    revision: str = ""
    copies: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, dict[str, int]] | None = None
    published_at: str = ""
    home: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One text for one content."""
        files = [
            {name: value for name, value in asdict(self.files[key]).items() if value is not None}
            for key in sorted(self.files)
        ]
        content = {
            "format": _FORMAT,
            "home_id": self.home_id,
            "revision": self.revision,
            "snapshot_sequence": self.snapshot_sequence,
            "tables": dict(sorted(self.tables.items())),
            "copies": self.copies,
            "changes": self.changes,
            "published_at": self.published_at,
            "home": self.home,
            "files": files,
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Raises ValueError when the text is no manifest, NewerManifest when it is one of a format of the future."""
        content = json.loads(text)
        try:
            if content["format"] not in _KNOWN_FORMATS:
                is_newer = type(content["format"]) is int and content["format"] > _FORMAT and "home_id" in content
                told = f"manifest format {content['format']} is unknown"
                raise NewerManifest(told) if is_newer else ValueError(told)
            files = [MirrorFile(**file) for file in content["files"]]
            return cls(
                content["snapshot_sequence"],
                {file.key: file for file in files},
                content["tables"],
                content.get("home_id", ""),
                content.get("revision", ""),
                content.get("copies", {}),
                content.get("changes"),
                content.get("published_at", ""),
                content.get("home", {}),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the manifest lacks or has an unknown entry: {error}") from error


class MirrorTarget(Protocol):
    """Where a mirror lies. Nothing that was put or dropped shows before `commit_manifest`, where that can be had."""

    def read_manifest(self) -> Manifest | None:
        """The last committed manifest without files that are gone; None when there is none to go by."""

    def put_file(self, key: str, source: Path) -> None:
        """Store a file under a key, replacing what is there; may move `source` away, or store it some time later."""

    def drop_keys(self, keys: Iterable[str]) -> None:
        """Remove files; missing ones are no error."""

    def commit_manifest(self, manifest: Manifest) -> None:
        """Write the manifest, last of all, and let the new version show."""

    def remove_old_versions(self) -> None:
        """Remove the versions that are not kept any longer: a run may have been killed before it could."""

    def remove_everything(self) -> None:
        """Remove the manifest, every file of the mirror and all of their versions; nothing of anybody else's."""

    def close(self) -> None:
        """Stop what is under way after a failure, and let go of what is held."""


@dataclass
class TableReport:
    """What an update did to a table: files, rows and bytes it has now; written, found unchanged and removed files."""

    files: int = 0
    rows: int = 0
    size_bytes: int = 0
    written: int = 0
    written_bytes: int = 0
    unchanged: int = 0
    removed: int = 0


class CopyPlan(Protocol):
    """What is to be done about copies: `obsolete` keys go, `description` stands in the manifest."""

    obsolete: set[str]
    description: dict[str, Any]
    is_due: bool

    def make(self, folder: Path) -> list[tuple[MirrorFile, Path]]:
        """Make what is due in a folder, in the order in which it is to be put.

        Raises:
            duckdb.Error: Something cannot be read.
            polars.exceptions.PolarsError: A file cannot be written.
        """


class Copies(Protocol):
    """Files made from the same snapshot that no table's data set is made of (`bi_copies`)."""

    def compare(self, connection: duckdb.DuckDBPyConnection, old: Manifest, sequence: int) -> CopyPlan:
        """What is to be done so that the copies show the snapshot of this number."""


@dataclass(frozen=True)
class MirrorReport:
    """What an update did: files and bytes the mirror has now; files written, found unchanged and removed.

    `tables` tells the same by table (`schema.table`), of those that have files or had some. `revision` is that of the
    manifest.
    """

    files: int
    size_bytes: int
    written: int
    unchanged: int
    removed: int
    snapshot_sequence: int = 0
    tables: dict[str, TableReport] = field(default_factory=dict)
    revision: str = ""

    @property
    def written_bytes(self) -> int:
        return sum(table.written_bytes for table in self.tables.values())


class LocalFolder:
    """A mirror in a folder: each version is a folder of hard links, `current` a symlink that switches.

    ```
    current -> versions/7
    versions/7/manifest.json
    versions/7/daily/artists/month=2024-05/part-0.parquet
    ```
    """

    def __init__(self, folder: Path, versions_kept: int) -> None:
        self._folder = folder
        self._versions_kept = max(versions_kept, 1)
        self._unfinished: Path | None = None
        self._unsynced: list[Path] = []

    def read_manifest(self) -> Manifest | None:
        current = self._current()
        if current is None:
            return None
        try:
            manifest = Manifest.from_json((current / MANIFEST_KEY).read_text())
        except (OSError, ValueError):
            return None
        intact = {key: file for key, file in manifest.files.items() if _size(current / key) == file.size_bytes}
        return replace(manifest, files=intact)

    def put_file(self, key: str, source: Path) -> None:
        target = self._version() / key
        target.parent.mkdir(parents=True, exist_ok=True)
        # All versions share the bytes of a file: make it hard to change them in place.
        source.chmod(0o444)
        self._unsynced.append(target)
        try:
            # Never written in place, which would change every version that has a link to the file.
            source.replace(target)
        except OSError:
            beside = target.with_name(f".{target.name}")
            shutil.copyfile(source, beside)
            beside.chmod(0o444)
            beside.replace(target)

    def drop_keys(self, keys: Iterable[str]) -> None:
        version = self._version()
        for key in keys:
            (version / key).unlink(missing_ok=True)
            for folder in (version / key).parents:
                if folder == version:
                    break
                with suppress(OSError):
                    folder.rmdir()

    def commit_manifest(self, manifest: Manifest) -> None:
        unfinished = self._version()
        # Not file by file while they come: a thousand times the disk would be waited for, with the processors idle.
        while self._unsynced:
            _sync_file(self._unsynced.pop())
        file = unfinished / MANIFEST_KEY
        file.unlink(missing_ok=True)
        file.write_text(manifest.to_json())
        _sync_file(file)
        finished = unfinished.with_name(unfinished.name.removeprefix(_UNFINISHED))
        unfinished.rename(finished)
        self._unfinished = None
        sync_folder(finished.parent)
        link = self._folder / f"{_UNFINISHED}current"
        link.unlink(missing_ok=True)
        link.symlink_to(finished.relative_to(self._folder))
        link.replace(self._folder / "current")
        sync_folder(self._folder)

    def remove_old_versions(self) -> None:
        current = self._current()
        numbers = [number for number in self._version_numbers() if current is None or number != int(current.name)]
        for number in numbers[self._versions_kept - 1 :]:
            shutil.rmtree(self._folder / "versions" / str(number), ignore_errors=True)

    def remove_everything(self) -> None:
        for name in ("current", "versions", f"{_UNFINISHED}current"):
            path = self._folder / name
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)

    def close(self) -> None:
        self._unsynced.clear()
        self._unfinished = None

    def _current(self) -> Path | None:
        link = self._folder / "current"
        return link.resolve() if link.is_symlink() and link.exists() else None

    def _version_numbers(self) -> list[int]:
        """Newest first."""
        names = [folder.name for folder in (self._folder / "versions").iterdir()]
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def _version(self) -> Path:
        """The folder of the version in the making; at first it holds a link to every file of the current one."""
        if self._unfinished is not None:
            return self._unfinished
        versions = self._folder / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        for leftover in versions.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        current = self._current()
        number = max([0, *self._version_numbers()]) + 1
        unfinished = versions / f"{_UNFINISHED}{number}"
        unfinished.mkdir()
        manifest = self.read_manifest()
        for key in manifest.files if manifest and current else ():
            target = unfinished / key
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(current / key, target)
            except OSError:
                shutil.copy2(current / key, target)
        self._unfinished = unfinished
        return unfinished


@dataclass(frozen=True)
class _Part:
    """A file that may have to be written: a month of a table, or the whole of it."""

    table: type[Table]
    month: str
    change_sequence: int

    @property
    def key(self) -> str:
        layout = self.table.layout
        month = f"month={self.month}/" if layout.month_column else ""
        return f"{layout.schema}/{layout.table}/{month}part-0.parquet"


def update_mirror(
    paths: HomePaths,
    target: MirrorTarget,
    *,
    log: Callable[[str], None],
    memory_limit: str = "200MB",
    keeps_undeclared: bool = True,
    home_id: str = "",
    known: MirrorState | None = None,
    promise: Callable[[str], None] = lambda revision: None,
    takes_over: bool = False,
    copies: Copies | None = None,
    home: dict[str, Any] | None = None,
    doubted: Collection[str] = (),
) -> MirrorReport | None:
    """Bring a mirror up to the published snapshot. The caller holds the run lock.

    Args:
        memory_limit: Memory that DuckDB may use before it spills to disk; by default it would keep all that it read.
        keeps_undeclared: Tables that no schema declares in this process keep their files: another process may know
            them, and writes them anew when they are gone.
        home_id: Which lakehouse this is; empty where the mirror is a part of the home, and can be no other's.
        known: What this home remembers of the mirror. Where the manifest is not the one that it wrote last, another
            machine may have written it, and changes have the same numbers in both: every file is compared.
        promise: Told the revision of the manifest to come, before it can be there.
        takes_over: Whether another lakehouse's mirror is written over.
        copies: Makes the files beside the tables; without it they stay as they are.
        home: What a restored home needs besides tables (`home_facts`); without it that stays as it is.
        doubted: Keys whose files are not to be relied on (`mirror_verification`): what belongs there is made and put
            anew, and what else is there goes.

    Returns:
        None when the mirror is up to date already.

    Raises:
        MirrorRefused: The mirror is another lakehouse's, or another machine has gone on with this one.
        Exception: Whatever went wrong; the mirror shows its last version, and the next update repairs it.
    """
    for leftover in paths.scratch_folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with closing(target):
        manifest = target.read_manifest()
        if manifest is not None and doubted:
            intact = {key: file for key, file in manifest.files.items() if key not in doubted}
            manifest = replace(manifest, files=intact)
        sequence = published_sequence(paths)
        if manifest is not None and not _is_to_go_by(
            manifest, sequence, home_id, known or MirrorState("", ""), takes_over, log
        ):
            manifest = Manifest(0, manifest.files, {})
        old = manifest or Manifest(0)
        with closing(open_snapshot(snapshot_file(paths))) as connection:
            for setting, value in (("memory_limit", memory_limit), ("temp_directory", str(paths.spill_folder))):
                connection.execute(f"SET {setting} = {literal(value)}").fetchall()
            described, parts, obsolete = _compare(connection, old, keeps_undeclared)
            plan = copies.compare(connection, old, sequence) if copies else None
            is_complete = manifest is not None and not (parts or obsolete or doubted or (plan and plan.is_due))
            is_same_home = home is None or home_facts.are_equal(old.home, home)
            if is_complete and is_same_home and old.snapshot_sequence == sequence and old.tables == described:
                target.remove_old_versions()
                return None
            paths.scratch_folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=paths.scratch_folder) as scratch:
                new = Manifest(
                    sequence,
                    {},
                    described,
                    home_id,
                    uuid.uuid4().hex if home_id else "",
                    old.copies,
                    changes_of(connection, Catalog(connection)),
                    published_at.isoformat() if (published_at := published_at_of(connection)) else "",
                    old.home if home is None else home,
                )
                promise(new.revision)
                told = log if keeps_undeclared else None
                return _write(connection, target, old, new, parts, obsolete, plan, Path(scratch), told, doubted)


def _is_to_go_by(
    manifest: Manifest,
    sequence: int,
    home_id: str,
    known: MirrorState,
    takes_over: bool,
    log: Callable[[str], None],
) -> bool:
    """Whether the numbers of changes in a manifest are this home's own; else every file is compared.

    Raises:
        MirrorRefused: Writing would lose what another lakehouse, or this one on another machine, has put there.
    """
    if home_id and manifest.home_id != home_id:
        if not takes_over:
            raise MirrorRefused(
                "another lakehouse has written it, or this one before it lost its warehouse. Nothing was changed "
                "there. Name another place with SPOTIFY_ASSETS_MIRROR, or restore the lakehouse from it; to write "
                "over it, set SPOTIFY_ASSETS_MIRROR_TAKE_OVER=true for one run"
            )
        log("The mirror was another lakehouse's and is taken over: every file is compared anew.")
        return False
    if manifest.revision not in (known.own_revisions or {""}):
        # An older one that somebody put back tells of nothing that this home has not known.
        has_gone_on = bool(known.own_revisions) and manifest.snapshot_sequence > known.snapshot_sequence
        if home_id and has_gone_on and not known.has_gone_back and not takes_over:
            raise MirrorRefused(
                "another machine has gone on with this lakehouse and written there since this home last did (snapshot "
                f"{manifest.snapshot_sequence}; this home's was {known.snapshot_sequence}). Nothing was changed there. "
                "`spotify-assets run` brings this home up to it, or says how to keep both where this home has "
                "something of its own; to write over it, set SPOTIFY_ASSETS_MIRROR_TAKE_OVER=true for one run"
            )
        log("The mirror was not last written by this home, as far as it knows: every file is compared anew.")
        return False
    if manifest.snapshot_sequence > sequence:
        log("The mirror was made from another warehouse: every file is compared anew.")
        return False
    return True


def _compare(
    connection: duckdb.DuckDBPyConnection, old: Manifest, keeps_undeclared: bool
) -> tuple[dict[str, dict[str, Any]], list[_Part], set[str]]:
    """The tables as they are declared now, the parts to write, and the keys of files that are to go."""
    declared = {table.qualified_name(): table for table in tables()}
    catalog = Catalog(connection)
    changes = changes_of(connection, catalog)
    mirrored = {name: table for name, table in declared.items() if table.layout.mirrored and catalog.columns(table)}
    described = {name: table for name, table in old.tables.items() if keeps_undeclared and name not in declared}
    described |= {name: _description(table) for name, table in mirrored.items()}
    obsolete = {
        file.key
        for file in old.files.values()
        if file.table not in mirrored and not file.is_copy and (file.table in declared or not keeps_undeclared)
    }
    parts = []
    for name, table in mirrored.items():
        is_monthly = table.layout.month_column is not None
        known = {month: number for month, number in changes.get(name, {}).items() if bool(month) == is_monthly}
        is_same_shape = old.tables.get(name) == described[name]
        if not is_same_shape and is_monthly:
            known = {month: known.get(month, 0) for month in _stored_months(connection, table)} | known
        if not is_monthly:
            known = known or {WHOLE_TABLE: 0}
        candidates = [_Part(table, month, number) for month, number in sorted(known.items())]
        keys = {part.key for part in candidates}
        obsolete |= {file.key for file in old.files.values() if file.table == name and file.key not in keys}
        changed = [part for part in candidates if not is_same_shape or part.change_sequence > old.snapshot_sequence]
        missing = [part for part in candidates if part not in changed and part.key not in old.files]
        if missing and is_monthly:
            # A month that lost its last row has no file; for ever to look for one would be a new version each time.
            stored = _stored_months(connection, table, _in_months(table, missing))
            missing = [part for part in missing if part.month in stored]
        parts += sorted(changed + missing, key=lambda part: part.month)
    return described, parts, obsolete


def _write(
    connection: duckdb.DuckDBPyConnection,
    target: MirrorTarget,
    old: Manifest,
    new: Manifest,
    parts: list[_Part],
    obsolete: set[str],
    plan: CopyPlan | None,
    scratch: Path,
    log: Callable[[str], None] | None,
    doubted: Collection[str],
) -> MirrorReport:
    """Write `new`, which has no files yet."""
    files = {key: file for key, file in old.files.items() if key not in obsolete}
    removed = set(obsolete)
    written: set[str] = set()
    file = scratch / "part.parquet"
    for number, (part, made) in enumerate(_made(connection, parts)):
        progress.report("Mirroring", number, len(parts))
        if made is None:
            if files.pop(part.key, None):
                removed.add(part.key)
            continue
        before = files.get(part.key)
        files[part.key] = made.file
        if before is not None and before.sha256 == made.file.sha256:
            files[part.key] = replace(made.file, etag=before.etag, version_id=before.version_id)
            continue
        file.write_bytes(made.content)
        target.put_file(part.key, file)
        written.add(part.key)
    if plan and plan.is_due and (made_copies := _made_copies(plan, scratch, log)) is not None:
        new = replace(new, copies=plan.description)
        removed |= plan.obsolete
        files = {key: known for key, known in files.items() if key not in plan.obsolete}
        for made_copy, source in made_copies:
            before = files.get(made_copy.key)
            if before is not None and before.sha256 == made_copy.sha256:
                files[made_copy.key] = replace(made_copy, etag=before.etag, version_id=before.version_id)
                continue
            files[made_copy.key] = made_copy
            target.put_file(made_copy.key, source)
            written.add(made_copy.key)
    if gone := removed.union(doubted) - files.keys():
        target.drop_keys(sorted(gone))
    new = replace(new, changes=_untold(new.changes or {}, files.values()))
    target.commit_manifest(replace(new, files=files))
    target.remove_old_versions()
    return _report(replace(new, files=files), written, {key: old.files[key] for key in removed})


def report_of(manifest: Manifest) -> MirrorReport:
    """What a manifest names, as an update tells that had nothing to write."""
    return _report(manifest, set(), {})


def _report(manifest: Manifest, written: set[str], removed: dict[str, MirrorFile]) -> MirrorReport:
    files = manifest.files
    tables: dict[str, TableReport] = {}
    for key, file in files.items():
        table = tables.setdefault(file.table, TableReport())
        table.files += 1
        table.rows += file.rows
        table.size_bytes += file.size_bytes
        table.written += key in written
        table.written_bytes += file.size_bytes if key in written else 0
        table.unchanged += key not in written
    for file in removed.values():
        tables.setdefault(file.table, TableReport()).removed += 1
    return MirrorReport(
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files.values()),
        written=len(written),
        unchanged=len(files) - len(written),
        removed=len(removed),
        snapshot_sequence=manifest.snapshot_sequence,
        tables=dict(sorted(tables.items())),
        revision=manifest.revision,
    )


def _made_copies(
    plan: CopyPlan, scratch: Path, log: Callable[[str], None] | None
) -> list[tuple[MirrorFile, Path]] | None:
    """None when they cannot be made: the mirror proper, of which a lakehouse is restored, must not wait for them.

    Raises:
        duckdb.Error, polars.exceptions.PolarsError: There is no `log`, because the old ones must not stay.
    """
    try:
        return plan.make(scratch)
    except (duckdb.Error, pl.exceptions.PolarsError) as error:
        if log is None:
            raise
        log(f"The BI copies were not renewed and show what they showed before: {str(error).splitlines()[0]}")
        return None


@dataclass(frozen=True)
class _Made:
    """A file that was made, not yet stored."""

    file: MirrorFile
    content: bytes = field(repr=False)


def _made(connection: duckdb.DuckDBPyConnection, parts: list[_Part]) -> Iterator[tuple[_Part, _Made | None]]:
    """Each part with its file; None for months without rows.

    Months that follow each other are read together: a month is a small part of the blocks that DuckDB must unpack for
    it, and by themselves the 1,500 months of ten years took three times as long.
    """
    if not parts:
        return
    catalog = Catalog(connection)
    cursors = [connection.cursor() for _ in range(_THREADS)]
    lots = [
        (lot, select(table, catalog.columns(table)))
        for table, of_table in groupby(parts, key=lambda part: part.table)
        for lot in _lots(connection, table, list(of_table))
    ]
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            free = list(cursors)

            def make(lot: list[_Part], statement: str) -> list[tuple[_Part, _Made | None]]:
                cursor = free.pop()
                try:
                    return _make(cursor, lot, statement)
                finally:
                    free.append(cursor)

            for cursor in cursors:
                set_up(cursor)
            waiting: deque[Future[list[tuple[_Part, _Made | None]]]] = deque()
            try:
                for lot in lots:
                    waiting.append(pool.submit(make, *lot))
                    if len(waiting) > _THREADS:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        for cursor in cursors:
            cursor.close()


def _lots(connection: duckdb.DuckDBPyConnection, table: type[Table], parts: list[_Part]) -> Iterator[list[_Part]]:
    """Parts of a table in lots of about `_ROWS_PER_LOT` rows."""
    if table.layout.month_column is None:
        yield from ([part] for part in parts)
        return
    rows = _stored_months(connection, table, _in_months(table, parts))
    lot: list[_Part] = []
    rows_of_lot = 0
    for part in parts:
        rows_of_part = rows.get(part.month, 0)
        if lot and rows_of_lot + rows_of_part > _ROWS_PER_LOT:
            yield lot
            lot, rows_of_lot = [], 0
        lot.append(part)
        rows_of_lot += rows_of_part
    if lot:
        yield lot


def _make(cursor: duckdb.DuckDBPyConnection, lot: list[_Part], statement: str) -> list[tuple[_Part, _Made | None]]:
    table = lot[0].table
    column = table.layout.month_column
    if column is not None:
        statement += f" WHERE {_in_months(table, lot)}"
    order = table.sort_columns()
    # Rows that are equal in the sort columns would otherwise lie as DuckDB's threads happened to hand them over.
    order += [name for name in table.primary_key() or table.column_names() if name not in order]
    if column is None:
        # A whole table may be large, and DuckDB can sort on disk.
        statement += f" ORDER BY {', '.join(f'{quoted(name)} NULLS FIRST' for name in order)}"
    frame = frame_of(cursor.sql(statement)).cast(dict(table.polars_schema()))
    if column is None:
        return [(lot[0], _file(lot[0], frame))]
    month = pl.col(column).dt.strftime("%Y-%m")
    frame = frame.sort(pl.col(column).dt.truncate("1mo"), *order)
    months = frame.select(month.alias("month"))["month"].rle()
    slices: dict[str, pl.DataFrame] = {}
    start = 0
    for run in months.to_list():
        slices[run["value"]] = frame.slice(start, run["len"])
        start += run["len"]
    return [(part, _file(part, slices[part.month]) if part.month in slices else None) for part in lot]


def _file(part: _Part, frame: pl.DataFrame) -> _Made:
    buffer = io.BytesIO()
    # One chunk: where chunks end shows in the bytes.
    # Level 1: a fiftieth larger than Polars' default and made in nine tenths of the time.
    frame.rechunk().write_parquet(buffer, compression="zstd", compression_level=1)
    content = buffer.getvalue()
    return _Made(
        MirrorFile(
            key=part.key,
            table=part.table.qualified_name(),
            month=part.month,
            rows=frame.height,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            change_sequence=part.change_sequence,
        ),
        content,
    )


def _in_months(table: type[Table], parts: list[_Part]) -> str:
    """A condition in SQL on the months of the parts, and those between them."""
    column = quoted(table.layout.month_column or "")
    # A DATE compared with an instant is cast in the session's zone, which is UTC.
    return f"{column} >= DATE '{parts[0].month}-01' AND {column} < DATE '{parts[-1].month}-01' + INTERVAL 1 MONTH"


def _stored_months(
    connection: duckdb.DuckDBPyConnection, table: type[Table], condition: str = "true"
) -> dict[str, int]:
    """Rows of each month of a table, of those that meet a condition in SQL."""
    column = quoted(table.layout.month_column or "")
    rows = connection.execute(
        f"SELECT strftime(month, '%Y-%m'), rows FROM (SELECT date_trunc('month', {column}) AS month, count(*) AS rows "
        f"FROM {sql_name(table)} WHERE {column} IS NOT NULL AND {condition} GROUP BY ALL) ORDER BY ALL"
    ).fetchall()
    return dict(rows)


def _description(table: type[Table]) -> dict[str, Any]:
    return {
        "description": table.table_description(),
        "key": table.primary_key(),
        "month_column": table.layout.month_column,
        "sort": table.sort_columns(),
        "columns": [
            {
                "name": name,
                "type": duckdb_type(table, name),
                "nullable": column.nullable,
                "description": column.description or "",
            }
            for name, column in table.columns().items()
        ],
    }


def changes_of(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> dict[str, dict[str, int]]:
    """Number of the last change by table and month."""
    changes: dict[str, dict[str, int]] = {}
    if catalog.columns(Changes):
        rows = connection.execute(
            f"SELECT table_name, month, sequence FROM {sql_name(Changes)} ORDER BY ALL"
        ).fetchall()
        for name, month, number in rows:
            changes.setdefault(name, {})[month] = number
    return changes


def _untold(changes: dict[str, dict[str, int]], files: Iterable[MirrorFile]) -> dict[str, dict[str, int]]:
    """Changes of which no file tells: of months that lost their rows, of tables that are not mirrored."""
    told = {(file.table, file.month, file.change_sequence) for file in files}
    untold = {
        name: {month: number for month, number in of_table.items() if (name, month, number) not in told}
        for name, of_table in changes.items()
    }
    return {name: of_table for name, of_table in untold.items() if of_table}


def published_at_of(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """When a snapshot was published (UTC)."""
    told = connection.execute(f"SELECT max(published_at) FROM {sql_name(Published)}").fetchall()[0][0]
    return told and told.astimezone(UTC)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
