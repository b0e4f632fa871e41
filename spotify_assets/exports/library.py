"""Reading the library and the playlists of an account data export.

Supported ages of the files:

- `YourLibrary.json`: an object of lists. `tracks` ({artist, album, track, uri}), `albums` ({artist, album, uri}),
  `shows` ({name, publisher, uri}), `episodes` ({name, show, uri}), `artists` ({name, uri}), `bannedTracks`,
  `bannedArtists`, `other` (URIs as plain texts) and lists that Spotify adds later; entries without URIs too.
- `Playlist*.json`, today: `playlists[]` with {name, lastModifiedDate, description, numberOfFollowers} and
  `items[]` of {track {trackName, artistName, albumName, trackUri}, episode {episodeName, showName, episodeUri},
  audiobook {…}, localTrack {uri}, addedDate}, unused ones null.
- Older ones: `tracks[]` instead of `items[]`; entries that hold trackName, artistName, albumName themselves, with or
  without URIs; a single playlist ({name, tracks | items}) as the whole file.

Every key may be missing. Only the columns named here are taken over: names of collaborators and owners never are.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import polars as pl

from spotify_assets.exports.damaged import decode
from spotify_assets.exports.finding import CHANGED, fingerprint, reason_of
from spotify_assets.exports.model import (
    LIBRARY_KINDS,
    REJECTED_SCHEMA,
    ExportFile,
    FileReport,
    LibraryRows,
    Problem,
)
from spotify_assets.exports.personal import DECODER, clean_json, smells_of_a_person
from spotify_assets.schemas.raw import LibraryItems, LibraryPlaylistItems
from spotify_assets.schemas.table import Table
from spotify_assets.texts import to_json, whole_text

_STORED_LATER = {"listener", "import_id", "row_id", "file_id", "occurrence"}
SECTIONS = {
    "tracks": "track",
    "albums": "album",
    "shows": "show",
    "episodes": "episode",
    "artists": "artist",
    "bannedTracks": "banned_track",
    "bannedArtists": "banned_artist",
}
_ITEM_NAMES = {"track": ("track", "name"), "banned_track": ("track", "name"), "album": ("album", "name")}
PLAYLIST_ITEM_KEYS = {
    "track": (("trackName", "name"), ("artistName", "artist"), ("trackUri", "uri")),
    "episode": (("episodeName", "name"), ("showName", "show"), ("episodeUri", "uri")),
    "audiobook": (
        ("audiobookName", "audiobookTitle", "chapterName", "name"),
        ("authorName", "author"),
        ("audiobookUri", "chapterUri", "uri"),
    ),
    "localTrack": (("trackName", "name"), ("artistName", "artist"), ("uri", "trackUri")),
}


def _columns(table: type[Table]) -> dict[str, pl.DataType]:
    return {name: dtype for name, dtype in table.polars_schema().items() if name not in _STORED_LATER}


LIBRARY_SCHEMA = pl.Schema(_columns(LibraryItems))
PLAYLISTS_SCHEMA = pl.Schema(_columns(LibraryPlaylistItems))


class _Unreadable(Exception):
    """A file cannot be taken in; the text says why."""


class _BadEntry(Exception):
    """One entry cannot be taken in; the text says why."""


def _text(value: Any) -> str | None:
    """A told text; empty ones, and whatever is no plain value, count as not told."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return whole_text(str(value)) or None


def _first_text(entry: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((text for key in keys if (text := _text(entry.get(key))) is not None), None)


def _whole_number(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    return number if abs(number) < 1 << 63 else None


def _hash(said: dict[str, Any]) -> int:
    """A stable 63-bit number of what an entry says."""
    text = json.dumps(list(said.values()), ensure_ascii=False, separators=(",", ":"))
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "little") >> 1


def _library_entry(item_type: str, entry: Any) -> dict[str, Any]:
    if isinstance(entry, str):
        text = _text(entry)
        is_uri = entry.startswith("spotify:")
        said = {"uri": text if is_uri else None, "item_name": None if is_uri else text}
        return {"item_type": item_type, **said, "creator_name": None, "album_name": None}
    if not isinstance(entry, dict):
        raise _BadEntry("The entry is not an object.")
    return {
        "item_type": item_type,
        "uri": _text(entry.get("uri")),
        "item_name": _first_text(entry, _ITEM_NAMES.get(item_type, ("name", "track", "album"))),
        "creator_name": _first_text(entry, ("artist", "publisher", "show", "author")),
        "album_name": _text(entry.get("album")) if item_type in ("track", "banned_track") else None,
    }


def _library_entries(content: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any] | str]]:
    """Each entry as it stands, with its columns or the reason why it is rejected."""
    for section, entries in content.items():
        if not isinstance(entries, list) or smells_of_a_person(section):
            continue
        item_type = SECTIONS.get(section, whole_text(section))
        for entry in entries:
            try:
                yield entry, _library_entry(item_type, entry)
            except _BadEntry as bad:
                yield entry, str(bad)


def _wrapped(told: Any) -> dict[str, Any] | None:
    """What stands under `track`, `episode`, …; a plain URI there counts as one."""
    if isinstance(told, str) and told.startswith("spotify:"):
        return {"uri": told}
    return told if isinstance(told, dict) else None


def _flat_kind(entry: dict[str, Any]) -> str:
    """What an entry of the old age is, which holds the names itself."""
    if not {"episodeName", "episodeUri"}.isdisjoint(entry):
        return "episode"
    return "unknown" if {"trackName", "trackUri"}.isdisjoint(entry) else "track"


def _playlist_entry(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise _BadEntry("The entry is not an object.")
    kind, told = next(
        ((kind, told) for kind in PLAYLIST_ITEM_KEYS if (told := _wrapped(entry.get(kind))) is not None),
        (_flat_kind(entry), entry),
    )
    names, creators, uris = PLAYLIST_ITEM_KEYS.get(kind, (("name",), ("artist",), ("uri",)))
    uri = _first_text(told, uris)
    is_local = kind == "localTrack" or (uri or "").startswith("spotify:local:")
    return {
        "item_type": "local" if is_local else kind,
        "uri": uri,
        "item_name": _first_text(told, names),
        "creator_name": _first_text(told, creators),
        "album_name": _first_text(told, ("albumName", "album")),
        "added_on": _first_text(entry, ("addedDate", "addedAt")),
    }


_NO_ITEM = dict.fromkeys(("item_type", "uri", "item_name", "creator_name", "album_name", "added_on"))


def _playlist_entries(content: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any] | str]]:
    playlists = content.get("playlists", [content])
    if not isinstance(playlists, list):
        raise _Unreadable("its 'playlists' are not a list")
    for number, playlist in enumerate(playlists, start=1):
        if not isinstance(playlist, dict):
            yield playlist, "The playlist is not an object."
            continue
        told = {
            "playlist_name": _text(playlist.get("name")) or "",
            "playlist_description": _text(playlist.get("description")),
            "playlist_followers": _whole_number(playlist.get("numberOfFollowers")),
            "playlist_modified_on": _text(playlist.get("lastModifiedDate")),
            "playlist_number": number,
        }
        entries = next((playlist[key] for key in ("items", "tracks") if isinstance(playlist.get(key), list)), [])
        if not entries:
            yield playlist, {**told, "position": None, **_NO_ITEM}
        for position, entry in enumerate(entries, start=1):
            try:
                yield entry, {**told, "position": position, **_playlist_entry(entry)}
            except _BadEntry as bad:
                yield entry, str(bad)


def _content(file: ExportFile) -> dict[str, Any]:
    with file.path.open("rb") as opened:
        state = fingerprint(os.fstat(opened.fileno()))
        if file.fingerprint and state != file.fingerprint:
            raise _Unreadable(CHANGED)
        text = decode(opened.read()).strip()
        if fingerprint(os.fstat(opened.fileno())) != state:
            raise _Unreadable(CHANGED)
    broken = (
        "The file is {}, so nothing of it was taken in: part of a library would look like one from which things were "
        "removed. Unpack the zip again, or ask Spotify for a new export."
    )
    try:
        content, end = DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        raise _Unreadable(broken.format("truncated or not valid JSON")) from None
    if end != len(text):
        raise _Unreadable(broken.format("not valid JSON: there is more after its end"))
    if not isinstance(content, dict):
        raise _Unreadable(broken.format("not a JSON object"))
    return content


def read_library(file: ExportFile) -> LibraryRows:
    """Read a file of the kinds library and playlists; the module's description names the supported ages.

    A file that is not whole is refused altogether, with a `Problem`. An entry that is no object is rejected. Nothing
    is raised for bad input.

    Raises:
        ValueError: The file is of another kind.
    """
    if file.kind not in LIBRARY_KINDS:
        raise ValueError(f"{file.label} is no library file but {file.kind}")
    schema = LIBRARY_SCHEMA if file.kind == "library" else PLAYLISTS_SCHEMA
    rows: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    problems: list[Problem] = []
    try:
        content = _content(file)
        entries = list(_library_entries(content) if file.kind == "library" else _playlist_entries(content))
    except _Unreadable as fault:
        entries = []
        problems.append(Problem(file.label, str(fault), True))
    except OSError as error:
        entries = []
        problems.append(Problem(file.label, f"Not read: {reason_of(error)}. The other files were read.", True))
    for row_number, (entry, told) in enumerate(entries, start=1):
        if isinstance(told, str):
            row_json = clean_json(to_json(entry)) if isinstance(entry, dict) else None
            rejected.append({"row_number": row_number, "reason": told, "row_json": row_json, "is_damage": True})
        else:
            rows.append({**told, "row_number": row_number, "row_hash": _hash(told)})
    if rejected:
        problems.append(
            Problem(
                file.label,
                f"{len(rejected):,} of {len(entries):,} entries were rejected, the first is entry "
                f"{rejected[0]['row_number']:,}: {rejected[0]['reason']} The others were kept. Ask Spotify for a new "
                "export.",
                True,
            )
        )
    return LibraryRows(
        rows=pl.DataFrame(rows, schema=schema, orient="row"),
        rejected=pl.DataFrame(
            rejected,
            schema={name: dtype for name, dtype in REJECTED_SCHEMA.items() if name != "file_number"},
            orient="row",
        ),
        report=FileReport(file, None, len(entries), len(rejected), None, None, {}, problems),
    )
