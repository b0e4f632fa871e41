"""The way back: a lakehouse rebuilt from its mirror, on a machine that has nothing else.

Everything is made beside, in the scratch folder: a warehouse, its snapshot, the state. Then it moves into the home, the
warehouse last of all and in one step. Whatever goes wrong before, and a kill at any moment, leaves a home without a
lakehouse, and the restore can be repeated.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from spotify_assets import progress
from spotify_assets.ahead import several_ahead
from spotify_assets.arrow import FrameStream
from spotify_assets.lakehouse import home_facts, publishing
from spotify_assets.lakehouse.definition import create, literal, polars_type, quoted, sql_name
from spotify_assets.lakehouse.errors import (
    MirrorError,
    PublicationFailed,
    RestoreFailed,
    RestoreRefused,
)
from spotify_assets.lakehouse.locks import FileLock
from spotify_assets.lakehouse.mirror import MANIFEST_KEY, Manifest, MirrorFile
from spotify_assets.lakehouse.mirror_reading import (
    FolderSource,
    MirrorChanged,
    MirrorReader,
    MirrorSource,
    MirrorVersion,
    NoSuchVersion,
    open_source,
)
from spotify_assets.lakehouse.mirror_state import RESTORED_OLDER, MirrorState
from spotify_assets.lakehouse.mirroring import MirrorConfiguration, set_home_id
from spotify_assets.lakehouse.transaction import WHOLE_TABLE
from spotify_assets.lakehouse.warehouse import Warehouse
from spotify_assets.schemas.meta import Changes, DayVersions
from spotify_assets.settings import HomePaths, Settings, bucket_and_prefix, is_address
from spotify_assets.state import State, StateError

Log = Callable[[str], None]

_STAGING = "restore"
_THREADS = 8
_BYTES_AT_ONCE = 32_000_000
_FILES_AT_ONCE = 64


@dataclass(frozen=True)
class RestoreReport:
    """What a restore brought back.

    Attributes:
        address: Where the mirror is.
        snapshot_sequence: Number of the published file that the mirror shows.
        published_at: When that was made (UTC): what came later is not in it. None when the mirror does not tell.
        rows: Rows by table (`schema.table`).
        files: Files that were read.
        size_bytes: Their bytes.
        is_own_mirror: Whether it is the mirror of this home from now on.
        is_complete: Whether the mirror had the lakehouse's bookkeeping too; else the next run builds every day anew.
        settings_told: Settings by name that ruled what stands in the tables.
        known_until: The newest instant of which the tables tell (UTC), where the caller has looked.
        remarks: Sentences for a person: what differs from the lost home, what could not be told to others.
    """

    address: str
    snapshot_sequence: int
    published_at: datetime | None
    rows: dict[str, int]
    files: int
    size_bytes: int
    is_own_mirror: bool
    is_complete: bool
    settings_told: dict[str, str] = field(default_factory=dict)
    known_until: datetime | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RestoreOrigin:
    """The mirror that a home is restored from.

    Attributes:
        address: `s3://bucket/prefix` or a folder, for persons.
        source: Reads it.
        is_own: Whether it is the home's own mirror from now on.
    """

    address: str
    source: MirrorSource
    is_own: bool


def origin_of(settings: Settings, source: str | None) -> RestoreOrigin:
    """The mirror to restore a home from.

    Args:
        settings: Of the home.
        source: `s3://bucket/prefix` or a folder: a mirror, or a plain copy of one; the settings' mirror by default.

    Raises:
        RestoreRefused: No such place can be meant.
        MirrorError: The account cannot be used.
    """
    own = MirrorConfiguration.from_settings(settings)
    if source is None:
        return RestoreOrigin(settings.mirror_address, open_source(own, settings.paths), is_own=True)
    if not is_address(source):
        folder = Path(source).expanduser().resolve()
        is_own = str(folder) == str(Path(settings.mirror_address).resolve())
        return RestoreOrigin(str(folder), FolderSource(folder), is_own)
    try:
        address = "s3://" + "/".join(filter(None, bucket_and_prefix(source)))
    except ValueError as error:
        raise RestoreRefused(f"--from cannot be used: {error}, or the path of a folder. Nothing was changed") from None
    named = MirrorConfiguration(**{**own.model_dump(), "address": address})
    return RestoreOrigin(address, open_source(named), address == settings.mirror_address)


def restore(
    warehouse: Warehouse,
    origin: RestoreOrigin,
    *,
    at: str | None = None,
    now: Callable[[], datetime],
    log: Log,
    tell: Callable[[RestoreReport, Manifest], RestoreReport] | None = None,
    patience_seconds: float = 15.0,
) -> RestoreReport:
    """Rebuild a home's warehouse, published file and state from a mirror.

    Args:
        warehouse: Of the home; there must be none yet.
        origin: Where the mirror is.
        at: An older version of it: a folder's number, a VersionId of the manifest, or the number of a snapshot.
        now: Gives the instant where the mirror does not tell when it was published.
        log: Told, in sentences for persons, whom the restore waits for.
        tell: Called when all but the warehouse is in its place; its answer is the report.
        patience_seconds: How long the mirror may be between two versions before that is an error.

    Raises:
        RestoreRefused: The home has a lakehouse, or there is no such version.
        RestoreFailed: Something cannot be read or written; the home has no lakehouse, as before.
        MirrorError: There is no mirror, it is damaged, being repaired, or of a newer version of this program.
        LockTimeout: A run is at work on the home.
    """
    reader = MirrorReader(origin.source, patience_seconds=patience_seconds)
    if not at and origin.source.manifest_text(None) is None:
        raise RestoreRefused(
            f"there is no mirror in {origin.address}: it has no {MANIFEST_KEY}. Say where it is with --from "
            "(s3://bucket/prefix, or a folder) or with SPOTIFY_ASSETS_MIRROR. Nothing was changed"
        )
    try:
        chosen = reader.version_named(at) if at else reader.version()
    except NoSuchVersion as error:
        raise RestoreRefused(f"{error}. Nothing was changed") from None
    _refuse_existing(warehouse.paths, chosen.manifest)
    lock = FileLock(warehouse.paths.run_lock_file)
    with lock.held(warehouse.lock_timeout_seconds, log, purpose="restore"):
        _refuse_existing(warehouse.paths, chosen.manifest)
        staging = warehouse.paths.scratch_folder / _STAGING
        try:

            def fill(version: MirrorVersion) -> tuple[MirrorVersion, dict[str, int]]:
                shutil.rmtree(staging, ignore_errors=True)
                return version, _fill(_staged(warehouse, staging), version)

            version, rows = _of_one_version(reader, chosen if at else None, fill)
            return _finish(warehouse, _staged(warehouse, staging), origin, version.manifest, rows, now, log, tell)
        except (duckdb.Error, OSError) as error:
            raise _failed(warehouse.paths, error) from error
        except (PublicationFailed, StateError) as error:
            raise _failed(warehouse.paths, error.__cause__ or error) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _staged(warehouse: Warehouse, folder: Path) -> Warehouse:
    return Warehouse(
        home=str(folder),
        memory_limit=warehouse.memory_limit,
        lock_timeout_seconds=warehouse.lock_timeout_seconds,
        days_table=warehouse.days_table,
        code_versions=warehouse.code_versions,
    )


def _of_one_version(
    reader: MirrorReader,
    chosen: MirrorVersion | None,
    fill: Callable[[MirrorVersion], tuple[MirrorVersion, dict[str, int]]],
) -> tuple[MirrorVersion, dict[str, int]]:
    if chosen is None:
        return reader.read(fill)
    try:
        return fill(chosen)
    except MirrorChanged as error:
        raise RestoreFailed(
            f"that version of the mirror is not whole any more: {error}. Choose a newer one, or leave out --at. "
            "Nothing was restored"
        ) from None


def _refuse_existing(paths: HomePaths, manifest: Manifest) -> None:
    if paths.warehouse_file.exists():
        raise RestoreRefused(
            f"{paths.home} has a lakehouse already, which a restore would replace; nothing was changed. Name another "
            f"home with --home, or move this one away (for example: mv '{paths.home}' '{paths.home}-old')"
        )
    published = publishing.published_sequence(paths)
    if published > manifest.snapshot_sequence:
        raise RestoreRefused(
            f"{paths.published_file} is newer (snapshot {published}) than the mirror (snapshot "
            f"{manifest.snapshot_sequence}), and perhaps the only copy of what came last; nothing was changed. Move it "
            f"away with {paths.snapshots_folder}, then restore again"
        )


def _fill(staged: Warehouse, version: MirrorVersion) -> dict[str, int]:
    """Write every table of a version into an empty warehouse; returns their rows."""
    manifest = version.manifest
    total = sum(file.rows for file in manifest.files.values() if not file.is_copy)
    rows: dict[str, int] = {}
    with staged.get_connection() as connection:
        # Rows that lie together by day are skipped together when a day is read.
        connection.execute("SET preserve_insertion_order = true").fetchall()
        for name in sorted(manifest.tables):
            files = version.files(name)
            _create(connection, name, manifest)
            rows[name] = 0
            for lot, paths in _fetched(version, files, staged.paths.scratch_folder):
                progress.report(f"Restoring {name}", sum(rows.values()), total)
                rows[name] += _insert(connection, name, manifest, lot, paths)
        if strays := {file.table for file in manifest.files.values() if not file.is_copy} - rows.keys():
            raise _damaged(f"it names files of {', '.join(sorted(strays))} and does not describe that")
        _note_changes(connection, manifest)
    return rows


def _columns(name: str, manifest: Manifest) -> list[tuple[str, str, bool]]:
    """Name, type and whether NULL may stand there, of every column; refuses what is no such description."""
    schema, _, table = name.partition(".")
    try:
        columns = [
            (each["name"], each["type"], each.get("nullable", True)) for each in manifest.tables[name]["columns"]
        ]
        for _, type_name, _ in columns:
            polars_type(type_name)
    except (KeyError, TypeError, AttributeError):
        columns = []
    if not (schema and table and columns):
        raise _damaged(f"it does not describe {name} as it should")
    return columns


def _create(connection: duckdb.DuckDBPyConnection, name: str, manifest: Manifest) -> None:
    """Make a table as the mirror describes it: what the schemas of another version say of it, the next write sees."""
    schema, _, table = name.partition(".")
    full_name = f"{quoted(schema)}.{quoted(table)}"
    columns = ", ".join(
        f"{quoted(column)} {type_name}{'' if nullable else ' NOT NULL'}"
        for column, type_name, nullable in _columns(name, manifest)
    )
    described = manifest.tables[name]
    key = ", ".join(described.get("key") or ())
    comment = f"{described.get('description', '')}{f' Key: {key}.' if key else ''}"
    statements = [
        f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}",
        f"CREATE TABLE {full_name} ({columns})",
        f"COMMENT ON TABLE {full_name} IS {literal(comment)}",
        *(
            f"COMMENT ON COLUMN {full_name}.{quoted(each['name'])} IS {literal(each.get('description') or '')}"
            for each in described["columns"]
        ),
    ]
    connection.execute(";".join(statements)).fetchall()


def _fetched(
    version: MirrorVersion, files: Sequence[MirrorFile], scratch: Path
) -> Iterator[tuple[list[MirrorFile], list[Path]]]:
    """Files in lots, as they lie in a folder of ours: DuckDB reads what was compared with its checksum, nothing else.

    The next ones are fetched while a lot is taken in: a bucket answers a request in some hundredths of a second.
    """
    lot: list[MirrorFile] = []
    paths: list[Path] = []
    with closing(
        several_ahead(version.content, files, threads=_THREADS, at_most=_BYTES_AT_ONCE, size=_share)
    ) as fetched:
        for file, content in fetched:
            path = scratch / f"{len(paths)}.parquet"
            path.write_bytes(content)
            del content
            lot.append(file)
            paths.append(path)
            if file is files[-1] or sum(map(_share, lot)) >= _BYTES_AT_ONCE:
                yield lot, paths
                for path in paths:
                    path.unlink()
                lot, paths = [], []


def _share(file: MirrorFile) -> int:
    """What a file counts for in a lot, in bytes: of small ones there are not too many either."""
    return max(file.size_bytes, _BYTES_AT_ONCE // _FILES_AT_ONCE)


def _insert(
    connection: duckdb.DuckDBPyConnection, name: str, manifest: Manifest, lot: list[MirrorFile], paths: list[Path]
) -> int:
    schema, _, table = name.partition(".")
    columns = ", ".join(quoted(column) for column, _, _ in _columns(name, manifest))
    read = ", ".join(literal(str(path)) for path in paths)
    written = connection.execute(
        f"INSERT INTO {quoted(schema)}.{quoted(table)} ({columns}) SELECT {columns} FROM "
        f"read_parquet([{read}], hive_partitioning = false)"
    ).fetchall()[0][0]
    expected = sum(file.rows for file in lot)
    if written != expected:
        raise _damaged(f"{lot[0].key} and what follows have {written:,} rows of {name} instead of {expected:,}")
    return written


def _note_changes(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    """Have the numbers of changes go on where the mirror ended, also where it was made without the bookkeeping."""
    create(connection, Changes)
    changes = {
        (file.table, file.month): file.change_sequence
        for file in manifest.files.values()
        if not file.is_copy and file.change_sequence > 0
    }
    for name, of_table in (manifest.changes or {}).items():
        changes |= {(name, month): number for month, number in of_table.items()}
    if manifest.changes is None:
        changes[DayVersions.qualified_name(), WHOLE_TABLE] = manifest.snapshot_sequence
    rows = [(*key, number) for key, number in sorted(changes.items())]
    frame = pl.DataFrame(rows, schema=Changes.polars_schema(), orient="row")
    incoming = FrameStream(frame)  # noqa: F841
    connection.execute(f"INSERT INTO {sql_name(Changes)} BY NAME SELECT * FROM incoming").fetchall()


def _finish(
    warehouse: Warehouse,
    staged: Warehouse,
    origin: RestoreOrigin,
    manifest: Manifest,
    rows: dict[str, int],
    now: Callable[[], datetime],
    log: Log,
    tell: Callable[[RestoreReport, Manifest], RestoreReport] | None,
) -> RestoreReport:
    paths = warehouse.paths
    published_at = datetime.fromisoformat(manifest.published_at) if manifest.published_at else None
    progress.report("Publishing")
    made = publishing.publish_if_changed(staged, published_at=published_at or now(), log=log)
    assert made is not None, "every manifest has the number of a change"
    files = [file for file in manifest.files.values() if not file.is_copy]
    report = RestoreReport(
        address=origin.address,
        snapshot_sequence=manifest.snapshot_sequence,
        published_at=published_at,
        rows=rows,
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files),
        is_own_mirror=origin.is_own,
        is_complete=manifest.changes is not None,
        settings_told=dict(manifest.home.get("settings", {})),
        remarks=tuple(home_facts.adopt(paths, manifest.home)),
    )
    with warehouse.exclusively(log):
        # Somebody may have looked into the empty home meanwhile and made a file in which there is nothing.
        _refuse_existing(paths, manifest)
        publishing.adopt_snapshot(paths, made.path.parent, log)
        _hand_over_state(staged, warehouse, origin, manifest, now)
        if tell:
            report = tell(report, manifest)
        _sync(staged.paths.warehouse_file)
        staged.paths.warehouse_file.replace(paths.warehouse_file)
        publishing.sync_folder(paths.warehouse_file.parent)
    return report


def _hand_over_state(
    staged: Warehouse, warehouse: Warehouse, origin: RestoreOrigin, manifest: Manifest, now: Callable[[], datetime]
) -> None:
    paths = warehouse.paths
    known, state = State(staged.paths.state_file), State(paths.state_file)
    if (published := known.published()) is not None:
        state.set_published(published)
    if (first_day := known.first_day()) is not None:
        state.set_first_day(first_day)
    state.replace_stale_days(known.stale_days())
    if not origin.is_own:
        return
    if manifest.home_id:
        set_home_id(paths, manifest.home_id)
    try:
        is_newest = MirrorReader(origin.source).version().manifest == manifest
    except MirrorError:
        # An older one was restored because the newest is damaged.
        is_newest = False
    MirrorState(
        warehouse.mirror.link(paths),
        now().isoformat(),
        snapshot_sequence=manifest.snapshot_sequence,
        files=len(manifest.files),
        size_bytes=sum(file.size_bytes for file in manifest.files.values()),
        # Of an older version every file is compared anew: numbers of changes are given a second time.
        revision=manifest.revision if is_newest else f"{RESTORED_OLDER}{manifest.snapshot_sequence}",
    ).note(state)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(what: str) -> MirrorError:
    return MirrorError(
        f"the mirror is damaged: {what}. Nothing was restored. An older version may be whole: see --at in "
        "docs/restore.md"
    )


def _failed(paths: HomePaths, error: BaseException) -> RestoreFailed:
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
    return RestoreFailed(
        f"the lakehouse could not be restored into {paths.home}: {told}. Nothing was left behind; free some space or "
        "mend what is said, then restore again"
    )
