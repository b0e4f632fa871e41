"""Exports in Spotify's own format, written from what is stored of them: what `spotify-assets import` takes.

One folder for each export that was imported, numbered in that order, because two things hang on which export told a
row: how often a play was repeated (the larger count of all exports, never the sum), and for what time exports vouch
(`clean.coverage`). A row stands as the stored one that told it or knew it: with all keys of the newest generation, and
without the personal fields, which are not stored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from spotify_assets import progress
from spotify_assets.exports.library import PLAYLIST_ITEM_KEYS, SECTIONS
from spotify_assets.exports.normalising import BASIC_KEYS, EXTENDED_KEYS
from spotify_assets.exports.recognition import is_history_name
from spotify_assets.lakehouse.definition import literal, quoted
from spotify_assets.own_data.snapshot import ROWS_SORTED_AT_ONCE, Snapshot
from spotify_assets.own_data.tables import of_listener
from spotify_assets.own_data.values import struct
from spotify_assets.schemas import raw

_HISTORY = raw.StreamingHistory.qualified_name()
_LIBRARY_TABLES = {"library": raw.LibraryItems, "playlists": raw.LibraryPlaylistItems}
_TOLD = "memory.main.told"
"""Not in the attached file, which is read-only, and not a temporary table, which only one cursor would see."""

_STANDARD_NAMES = {
    "extended": "Streaming_History_Audio.json",
    "basic": "StreamingHistory.json",
    "library": "YourLibrary.json",
    "playlists": "Playlist.json",
}
_MIXED_KEYS = ("endTime", "artistName", "trackName", "msPlayed")
"""All that account data told before it had files for podcasts."""


@dataclass(frozen=True)
class _File:
    """A file of an export, as raw.imports knows it; instants are UTC, without a zone."""

    file_id: int
    name: str
    kind: str
    generation: str | None
    first_ts: datetime | None
    last_ts: datetime | None
    snapshot_at: datetime | None

    @property
    def is_history(self) -> bool:
        return self.kind not in _LIBRARY_TABLES


@dataclass
class _Export:
    """An export as it was imported: its files, and which of them no earlier export had."""

    listener: str
    files: list[_File] = field(default_factory=list)
    new: list[_File] = field(default_factory=list)


@dataclass(frozen=True)
class Written:
    """A file that was written: its path below the folder of the exports, and its rows."""

    path: str
    rows: int


def write_history(snapshot: Snapshot, folder: Path, listener: str | None) -> list[Written]:
    """Write the exports of everybody, or of one listener, into `{folder}/{listener}/{number}/`."""
    if not snapshot.has(raw.StreamingHistory, raw.Imports, raw.ToldRows):
        return []
    written: list[Written] = []
    numbers: dict[str, int] = {}
    for export in _exports(snapshot, listener):
        numbers[export.listener] = number = numbers.get(export.listener, 0) + 1
        for path, rows in _write_export(snapshot, export, folder / export.listener, f"{number:04}"):
            written.append(Written(path.relative_to(folder).as_posix(), rows))
    return written


def _exports(snapshot: Snapshot, listener: str | None) -> Iterator[_Export]:
    ledger = snapshot.all(
        "SELECT listener, import_id, export_name, file_id, file_name, kind, generation, first_ts AT TIME ZONE 'UTC', "
        "last_ts AT TIME ZONE 'UTC', snapshot_at AT TIME ZONE 'UTC' FROM raw.imports "
        f"WHERE {of_listener(listener)} ORDER BY listener, import_id, export_name, file_id"
    )
    exports: dict[tuple[str, int, str], _Export] = {}
    seen: set[int] = set()
    for whose, import_id, export_name, file_id, *told in ledger:
        export = exports.setdefault((whose, import_id, export_name), _Export(whose))
        file = _File(file_id, *told)
        export.files.append(file)
        if file_id not in seen:
            seen.add(file_id)
            export.new.append(file)
    for export in exports.values():
        if export.new or any(file.first_ts for file in export.files):
            yield export


def _write_export(snapshot: Snapshot, export: _Export, folder: Path, number: str) -> Iterator[tuple[Path, int]]:
    progress.report(f"Writing the export {export.listener}/{number}")
    _find_told_rows(snapshot, export)
    parts = _parts(snapshot, export.new)
    for position, files in enumerate(parts, 1):
        place = _part_folder(folder, number, position)
        names: set[str] = set()
        for file in files:
            path = place / _free_name(file, names)
            write = _write_library if not file.is_history else _write_rows_of
            if rows := write(snapshot, file, path):
                names.add(path.name)
                yield path, rows
    for kind in ("extended", "basic"):
        of_kind = [file for file in export.files if file.kind == kind and file.first_ts]
        if of_kind and _span(of_kind) != _span(file for file in of_kind if file in export.new):
            # Files that an earlier export had already are not written again; what this one vouches for is.
            parts.append([])
            path = _part_folder(folder, number, len(parts)) / _STANDARD_NAMES[kind]
            yield path, _write_rows(snapshot, of_kind[0], path, [_rows_at(of_kind, *_span(of_kind))])


def _part_folder(folder: Path, number: str, position: int) -> Path:
    """Every part of an export bears its name, so that all of them vouch for one stretch of time."""
    return folder / number if position == 1 else folder / f"{number}-{position:02}" / number


def _parts(snapshot: Snapshot, files: Collection[_File]) -> list[list[_File]]:
    """Files as they may stand in one folder.

    Every zip of Spotify's is called my_spotify_data.zip, and the ledger knows no more of it: what was imported at once
    under one name may be several exports. Put together, a row of one would repeat its other telling in another. So
    files that tell a play twice, in one row or in two of one number, are set apart.
    """
    parts: list[list[_File]] = [[]]
    for file in files:
        free = (part for part in parts if not any(_tell_one_play(snapshot, file, other) for other in part))
        part = next(free, None)
        if part is None:
            parts.append(part := [])
        part.append(file)
    return parts


def _tell_one_play(snapshot: Snapshot, file: _File, other: _File) -> bool:
    """Whether two files tell one play, so that no export can hold both."""
    if file.kind != other.kind or not all((file.first_ts, file.last_ts, other.first_ts, other.last_ts)):
        return False
    # Nearly all files of an export are of years of their own, and need not be read.
    begin, end = max(file.first_ts, other.first_ts), min(file.last_ts, other.last_ts)
    if begin > end:
        return False
    told = f"""
        SELECT row_id, ts, ms_played, occurrence, uri_hash, title_hash
        FROM {_TOLD} AS told JOIN {_HISTORY} AS history USING (row_id)
        WHERE ts BETWEEN {_literal(begin)} AND {_literal(end)} AND told.file_id = """
    ((is_one,),) = snapshot.all(
        f"""
        WITH these AS ({told}{file.file_id}), those AS ({told}{other.file_id})
        SELECT EXISTS (FROM these JOIN those USING (row_id)) OR EXISTS (
            FROM these JOIN those USING (ts, ms_played, occurrence)
            WHERE these.uri_hash = those.uri_hash OR (
                (these.uri_hash IS NULL OR those.uri_hash IS NULL) AND these.title_hash = those.title_hash))"""
    )
    return is_one


def _literal(instant: datetime) -> str:
    return f"TIMESTAMPTZ '{instant:%Y-%m-%d %H:%M:%S.%f}+00'"


def _span(files: Iterable[_File]) -> tuple[datetime | None, datetime | None]:
    told = [file for file in files if file.first_ts and file.last_ts]
    return min((file.first_ts for file in told), default=None), max((file.last_ts for file in told), default=None)


def _free_name(file: _File, taken: Collection[str]) -> str:
    """The name that the file had, where it tells what the file is and no other has it."""
    name = PurePosixPath(file.name.replace("\\", "/")).name
    if not (file.is_history and is_history_name(name) and name.endswith(".json")):
        name = _STANDARD_NAMES[file.kind]
    while name in taken:
        name = f"{name.removesuffix('.json')}_{file.file_id}.json"
    return name


def _find_told_rows(snapshot: Snapshot, export: _Export) -> None:
    """Make the table `_TOLD` (row_id, file_id, row_number) of the rows of history that an export's files told."""
    ids = ", ".join(str(file.file_id) for file in export.files)
    snapshot.connection.execute(
        f"""
        CREATE OR REPLACE TABLE {_TOLD} AS
        SELECT file_id, row_id + place AS row_id, row_number + place AS row_number
        FROM (SELECT *, unnest(range(coalesce(rows, 1))) AS place FROM lakehouse.raw.told_rows
              WHERE source_table = {literal(_HISTORY)} AND file_id IN ({ids}))"""
    ).fetchall()


def _rows_at(files: Iterable[_File], *instants: datetime | None) -> str:
    """One row of the files at each of some instants."""
    ids = ", ".join(str(file.file_id) for file in files)
    at = ", ".join(_literal(instant) for instant in instants if instant)
    return (
        f"SELECT min(row_id) AS row_id, min(told.row_number) AS row_number FROM {_TOLD} AS told "
        f"JOIN {_HISTORY} AS history USING (row_id) WHERE told.file_id IN ({ids}) AND ts IN ({at}) GROUP BY ts"
    )


def _write_rows_of(snapshot: Snapshot, file: _File, path: Path) -> int:
    of_file = f"FROM {_TOLD} WHERE file_id = {file.file_id}"
    ((last,),) = snapshot.all(f"SELECT coalesce(max(row_number), 0) {of_file}")
    parts = range(1, last + 1, ROWS_SORTED_AT_ONCE)
    wanted = (
        f"SELECT row_id, row_number {of_file} AND row_number BETWEEN {first} AND {first + ROWS_SORTED_AT_ONCE - 1}"
        for first in parts
    )
    return _write_rows(snapshot, file, path, wanted)


def _write_rows(snapshot: Snapshot, file: _File, path: Path, wanted: Iterable[str]) -> int:
    """Write rows of history as one file of Spotify's; returns how many, no file where there are none."""
    text = f"to_json({struct(_fields(file))})::VARCHAR"
    queries = (
        f"""
        SELECT CASE WHEN history.unknown_keys IS NULL OR history.unknown_keys = '{{}}' THEN {text}
               ELSE left({text}, -1) || ',' || history.unknown_keys[2:] END
        FROM ({each}) AS wanted JOIN {_HISTORY} AS history USING (row_id)
        ORDER BY wanted.row_number, row_id"""
        for each in wanted
    )
    rows_written = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="") as opened:
        for rows in chain.from_iterable(map(snapshot.stream, queries)):
            opened.write(",\n" if rows_written else "[\n")
            opened.write(",\n".join(line for (line,) in rows))
            rows_written += len(rows)
            progress.report(f"Writing {_HISTORY}", rows_written)
        # Two exports may tell the very same rows: files of equal bytes would come in as one, and the later export
        # would vouch for nothing.
        opened.write("\n]\n" + "\n" * int(path.parent.name))
    if not rows_written:
        path.unlink()
    return rows_written


def _fields(file: _File) -> dict[str, str]:
    keys = EXTENDED_KEYS if file.kind == "extended" else BASIC_KEYS
    wanted = _MIXED_KEYS if file.generation == "basic_mixed" else keys
    told = {key: f"history.{quoted(column)}" for key, column in keys.items() if key in wanted}
    whole = "history.ts AT TIME ZONE 'UTC'"
    fraction = f"CASE WHEN microsecond({whole}) % 1000000 = 0 THEN '' ELSE strftime({whole}, '.%f') END"
    if file.kind == "extended":
        told["ts"] = f"strftime({whole}, '%Y-%m-%dT%H:%M:%S') || {fraction} || 'Z'"
    else:
        seconds = f"CASE WHEN microsecond({whole}) = 0 THEN '' ELSE strftime({whole}, ':%S') || {fraction} END"
        told["endTime"] = f"strftime({whole}, '%Y-%m-%d %H:%M') || {seconds}"
    return told


def _write_library(snapshot: Snapshot, file: _File, path: Path) -> int:
    table = _LIBRARY_TABLES[file.kind]
    if not snapshot.has(table):
        return 0
    names = table.column_names()
    entries = [
        dict(zip(names, row, strict=True))
        for row in snapshot.all(
            f"""
            SELECT {", ".join(f"stored.{quoted(name)}" for name in names)}
            FROM (SELECT row_id + place AS row_id, row_number + place AS told_number
                  FROM (SELECT *, unnest(range(coalesce(rows, 1))) AS place FROM raw.told_rows
                        WHERE source_table = {literal(table.qualified_name())} AND file_id = {file.file_id})) AS told
            JOIN {table.qualified_name()} AS stored USING (row_id) ORDER BY told_number"""
        )
    ]
    if not entries:
        return 0
    content = _library(entries) if file.kind == "library" else _playlists(entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if file.snapshot_at is not None:
        # An export without history is dated by its files.
        os.utime(path, (file.snapshot_at.replace(tzinfo=UTC).timestamp(),) * 2)
    return len(entries)


def _library(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """YourLibrary.json, see `exports.library`."""
    section_of = {item_type: section for section, item_type in SECTIONS.items()}
    content: dict[str, list[Any]] = {}
    for entry in entries:
        kind = entry["item_type"]
        is_track = kind in ("track", "banned_track")
        creator = {"show": "publisher", "episode": "show"}.get(kind, "artist")
        told = {creator: entry["creator_name"], "uri": entry["uri"]}
        told |= {"album": entry["album_name"]} if is_track else {}
        told["track" if is_track else "album" if kind == "album" else "name"] = entry["item_name"]
        content.setdefault(section_of.get(kind, kind), []).append(told)
    return content


def _playlists(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Playlist.json, see `exports.library`."""
    playlists: dict[int, dict[str, Any]] = {}
    for entry in entries:
        playlist = playlists.setdefault(
            entry["playlist_number"],
            {
                "name": entry["playlist_name"],
                "lastModifiedDate": entry["playlist_modified_on"],
                "items": [],
                "description": entry["playlist_description"],
                "numberOfFollowers": entry["playlist_followers"],
            },
        )
        if entry["position"] is not None:
            playlist["items"].append(_playlist_item(entry))
    return {"playlists": list(playlists.values())}


def _playlist_item(entry: dict[str, Any]) -> dict[str, Any]:
    kind = "localTrack" if entry["item_type"] == "local" else entry["item_type"]
    names, creators, uris = PLAYLIST_ITEM_KEYS.get(kind, (("name",), ("artist",), ("uri",)))
    told = {
        names[0]: entry["item_name"],
        creators[0]: entry["creator_name"],
        uris[0]: entry["uri"],
        "albumName": entry["album_name"],
    }
    is_known = kind in PLAYLIST_ITEM_KEYS
    return ({kind: told} if is_known else told) | {"addedDate": entry["added_on"]}
