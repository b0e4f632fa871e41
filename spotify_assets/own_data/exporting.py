"""An export as a whole: written beside its place, put there when it is complete, refused where something lies."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

import duckdb

from spotify_assets import progress
from spotify_assets.own_data import documents
from spotify_assets.own_data.description import MANIFEST, README, ExportedFile, manifest, readme
from spotify_assets.own_data.errors import ExportFailed, ExportRefused
from spotify_assets.own_data.history import write_history
from spotify_assets.own_data.responses import write_responses
from spotify_assets.own_data.selection import ROUND_TRIP, Selection, select
from spotify_assets.own_data.snapshot import Snapshot, open_for_export
from spotify_assets.own_data.tables import Format, write_table
from spotify_assets.schemas import Table
from spotify_assets.settings import Settings

_UNFINISHED = ".unfinished-export-"
_RESPONSES = "responses.jsonl.gz"
_SHOWN = 5


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    Attributes:
        folder: Where the files go; made if need be.
        tables: Names as `selection.select` knows them; none: the default, or documents alone.
        format: How tables are written.
        listener: Whose rows, in tables that have a column for it; None for everybody's.
        documents: Write plays and artists as documents.
        is_forced: Replace an earlier export and files of the same names.
    """

    folder: Path
    tables: tuple[str, ...] = ()
    format: Format = "csv"
    listener: str | None = None
    documents: bool = False
    is_forced: bool = False


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Attributes:
        folder: Where it is.
        sequence: Number of the last change that the published file holds.
        published_at: When that was published, UTC.
        files: Files, without manifest and README.
        commands: What brings the plays into an empty home; none where that was not part of the export.
    """

    folder: Path
    sequence: int
    published_at: datetime | None
    files: tuple[ExportedFile, ...]
    commands: tuple[str, ...]


def export_own_data(settings: Settings, request: ExportRequest) -> ExportReport:
    """Write an export; see `ExportRequest`.

    Everything comes from one version of the published file, so that the files agree with each other.

    Raises:
        NothingPublished: The home has no published file.
        ExportRefused: A name or listener is unknown, or something lies where files would go. Nothing was written.
        ExportFailed: It could not be written to its end. Nothing of it was put in place.
    """
    folder = request.folder.expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise ExportRefused(f"{folder} is no folder. Nothing was exported. Name a folder with --to.")
    is_new = not folder.exists()
    unfinished = folder / f"{_UNFINISHED}{os.getpid()}"
    try:
        _remove_leftovers(folder)
        unfinished.mkdir(parents=True)
        try:
            return _export(settings, request, folder, unfinished)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            if is_new:
                # An export that failed or was refused leaves nothing behind.
                with suppress(OSError):
                    folder.rmdir()
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise ExportFailed(
            f"The export into {folder} could not be written to its end: {told}. Files that are there are whole. Free "
            "some space or name another folder, then export again."
        ) from error


def _export(settings: Settings, request: ExportRequest, folder: Path, unfinished: Path) -> ExportReport:
    with open_for_export(settings.paths, unfinished / "spill") as snapshot:
        _check_listener(snapshot, request.listener)
        only_documents = request.documents and not request.tables
        chosen = Selection((), False) if only_documents else select(request.tables, snapshot.rows)
        if request.documents:
            documents.check_documents(snapshot)
        if not request.is_forced:
            _refuse_what_is_there(folder, request, chosen)
        place = unfinished / "files"
        place.mkdir()
        files = _write_tables(snapshot, chosen, place, request)
        if request.documents:
            files += _write_documents(snapshot, place, request.listener)
        commands: list[str] = []
        if chosen.round_trip:
            written, commands = _write_round_trip(settings, snapshot, place / ROUND_TRIP, request.listener)
            files += written
        tables: dict[str, type[Table]] = {table.qualified_name(): table for table in chosen.tables}
        whose = {"listener": request.listener, "timezone": settings.zone_name}
        described = {
            README: readme(snapshot, files, tables, round_trip=commands, **whose),
            MANIFEST: manifest(snapshot, files, tables, format=request.format, **whose),
        }
        for name, text in described.items():
            (place / name).write_text(text, encoding="utf-8")
        _put_in_place(place, folder, [*(file.path for file in files), *described])
        return ExportReport(folder, snapshot.sequence, snapshot.published_at, tuple(files), tuple(commands))


def _check_listener(snapshot: Snapshot, listener: str | None) -> None:
    if listener is not None and listener not in (known := snapshot.listeners()):
        raise ExportRefused(
            f"The lakehouse knows nothing of a listener {listener}. Nothing was exported. Known are: "
            f"{', '.join(known) or 'nobody'}."
        )


def _refuse_what_is_there(folder: Path, request: ExportRequest, chosen: Selection) -> None:
    names = [_file_name(table, request.format) for table in chosen.tables]
    names += [documents.PLAYS, documents.ARTISTS] if request.documents else []
    names += [ROUND_TRIP] if chosen.round_trip else []
    there = [name for name in (*names, README, MANIFEST) if (folder / name).exists()]
    if there:
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        raise ExportRefused(
            f"{folder} has {', '.join(there[:_SHOWN])}{more} already. Nothing was exported. Name another folder, or "
            "replace what is there with --force."
        )


def _file_name(table: type[Table], format: Format) -> str:
    return f"{table.qualified_name()}.{format}"


def _write_tables(snapshot: Snapshot, chosen: Selection, place: Path, request: ExportRequest) -> list[ExportedFile]:
    files = []
    for table in chosen.tables:
        file = place / _file_name(table, request.format)
        rows = write_table(snapshot, table, file, request.format, request.listener)
        name, what = table.qualified_name(), table.table_description()
        files.append(ExportedFile(file.name, rows, file.stat().st_size, what, name))
    return files


def _write_documents(snapshot: Snapshot, place: Path, listener: str | None) -> list[ExportedFile]:
    files = []
    for name, write in ((documents.PLAYS, documents.write_plays), (documents.ARTISTS, documents.write_artists)):
        rows = write(snapshot, place / name, listener)
        files.append(ExportedFile(name, rows, (place / name).stat().st_size, documents.DESCRIPTIONS[name]))
    return files


def _write_round_trip(
    settings: Settings, snapshot: Snapshot, place: Path, listener: str | None
) -> tuple[list[ExportedFile], list[str]]:
    """Everything that an empty home needs, and the commands that take it in."""
    place.mkdir()
    files: list[ExportedFile] = []
    commands: list[str] = []

    def add(path: str, rows: int, what: str) -> None:
        files.append(ExportedFile(f"{ROUND_TRIP}/{path}", rows, (place / path).stat().st_size, what))

    household = (settings.paths.listeners_file, "Who the listeners are and where they lived.")
    recordings = (settings.paths.recordings_file, "Which tracks are one recording, by your own word.")
    # Whoever takes one person's data gets no list of the others.
    for source, what in (household, recordings) if listener is None else ():
        if source.exists():
            shutil.copyfile(source, place / source.name)
            add(source.name, len(source.read_bytes().splitlines()), f"{what} Copy it into the home first.")
            commands.append(f"cp {ROUND_TRIP}/{source.name} HOME/")
    commands.insert(0, f"export SPOTIFY_ASSETS_TIMEZONE={settings.zone_name} SPOTIFY_ASSETS_HOME=HOME")
    history = write_history(snapshot, place, listener)
    for file in history:
        add(file.path, file.rows, "An export in Spotify's format, as it was imported, without its personal fields.")
    for whose in dict.fromkeys(PurePosixPath(file.path).parts[0] for file in history):
        commands.append(f"spotify-assets import --listener {shlex.quote(whose)} {shlex.quote(f'{ROUND_TRIP}/{whose}')}")
    if responses := write_responses(snapshot, place / _RESPONSES, listener):
        add(_RESPONSES, responses, "What Spotify's Web API told, one response a line.")
        commands.append(f"spotify-assets replay {ROUND_TRIP}/{_RESPONSES}")
    return files, commands


def _put_in_place(place: Path, folder: Path, paths: Sequence[str]) -> None:
    """Move finished files to where they belong, each at once; the manifest, written last, says that all are there."""
    progress.report("Putting the files in place")
    for path in paths:
        with (place / path).open("rb") as written:
            os.fsync(written.fileno())
    earlier = _files_of_earlier_export(folder)
    (folder / MANIFEST).unlink(missing_ok=True)
    if (place / ROUND_TRIP).exists() and (folder / ROUND_TRIP).exists():
        # What an earlier export left in there would be imported with this one.
        shutil.rmtree(folder / ROUND_TRIP)
    for path in earlier - set(paths):
        (folder / path).unlink(missing_ok=True)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).replace(folder / path)


def _files_of_earlier_export(folder: Path) -> set[str]:
    """Paths that the folder's manifest names, those that do not lie in the folder left out."""
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        paths = {str(file["path"]) for file in told["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    root = folder.resolve()
    return {path for path in paths if root in (folder / path).resolve().parents}


def _remove_leftovers(folder: Path) -> None:
    """Remove what exports left here that were killed."""
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        process = leftover.name.removeprefix(_UNFINISHED)
        if process.isdecimal() and not _is_alive(int(process)):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
