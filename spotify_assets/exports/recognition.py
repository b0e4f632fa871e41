"""What a file is, told from its first bytes and, where these are broken, from its name.

Spotify has renamed its files several times and people rename them too, so the content decides. Only a small head of
a file is looked at: the personal files that lie beside the history are never read further.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from spotify_assets.exports.damaged import decode

HEAD_BYTES = 8 * 1024

_HISTORY_NAME = re.compile(r"(streaming_?history.*|endsong_.*)\.json", re.IGNORECASE)
_LIBRARY_NAME = re.compile(r"yourlibrary.*\.json", re.IGNORECASE)
_PLAYLIST_NAME = re.compile(r"playlist.*\.json", re.IGNORECASE)
_KEY = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:')
_FIRST_KEY = re.compile(r'\{\s*"((?:[^"\\]|\\.)*)"\s*:\s*(.)', re.DOTALL)
_LIBRARY_SECTIONS = frozenset(
    ("tracks", "albums", "shows", "episodes", "artists", "bannedTracks", "bannedArtists", "other")
)
_PLAYLIST_LISTS = re.compile(r'"(?:items|tracks)"\s*:\s*\[')
_PLAYLIST_ENTRY_KEYS = frozenset(("track", "trackName", "trackUri", "episode", "localTrack", "audiobook"))
_EXTENDED_MARKS = frozenset(
    ("master_metadata_track_name", "spotify_track_uri", "conn_country", "reason_start", "incognito_mode")
)
_BASIC_MARKS = frozenset(("trackName", "artistName", "episodeName", "podcastName", "audiobookName"))


@dataclass(frozen=True)
class Recognition:
    """What a head of a file tells.

    Attributes:
        kind: extended, basic, library, playlists, or None when the file is nothing that is read here.
        description: What the file seems to be, for a person: "empty", "not JSON", …
        is_named_history: Whether the file's name says that it is streaming history.
        is_empty_list: Whether the file holds an empty list and nothing else.
    """

    kind: str | None
    description: str
    is_named_history: bool = False
    is_empty_list: bool = False


def is_history_name(name: str) -> bool:
    """Whether Spotify names streaming history so: `Streaming_History_*`, `StreamingHistory*`, `endsong_*`."""
    return _HISTORY_NAME.fullmatch(name) is not None


def _history_kind(keys: set[str], *, is_named_history: bool) -> str | None:
    if {"ts", "ms_played"} <= keys:
        return "extended"
    if {"endTime", "msPlayed"} <= keys:
        return "basic"
    # Whole rows may lack a key; then two other marks of the format must be there.
    needed = 1 if is_named_history else 2
    if keys & {"ts", "ms_played"} and len(keys & _EXTENDED_MARKS) >= needed:
        return "extended"
    if keys & {"endTime", "msPlayed"} and len(keys & _BASIC_MARKS) >= needed:
        return "basic"
    if is_named_history:
        if keys & ({"ts", "ms_played"} | _EXTENDED_MARKS):
            return "extended"
        if keys & ({"endTime", "msPlayed"} | _BASIC_MARKS):
            return "basic"
    return None


def _object_kind(name: str, text: str, keys: set[str]) -> str | None:
    first = _FIRST_KEY.match(text)
    if first is not None and first[2] == "[":
        if first[1] == "playlists":
            return "playlists"
        if first[1] in _LIBRARY_SECTIONS:
            return "library"
    if _LIBRARY_NAME.fullmatch(name):
        return "library"
    if _PLAYLIST_NAME.fullmatch(name):
        return "playlists"
    if "name" in keys and _PLAYLIST_LISTS.search(text) and keys & _PLAYLIST_ENTRY_KEYS:
        return "playlists"
    return None


def recognise(name: str, head: bytes, size_bytes: int) -> Recognition:
    """Tell what a file is.

    Args:
        name: The file's name, without folders.
        head: Its first bytes (`HEAD_BYTES` are enough).
        size_bytes: Size of the whole file.
    """
    is_named_history = is_history_name(name)

    def answer(kind: str | None, description: str, *, is_empty_list: bool = False) -> Recognition:
        return Recognition(kind, description, is_named_history, is_empty_list)

    text = decode(head).strip(" \t\r\n\x00")
    if not text:
        return answer(None, "an empty file" if size_bytes == len(head) else "not JSON")
    keys = {match[1] for match in _KEY.finditer(text)}
    if text[0] == "[" or is_named_history:
        kind = _history_kind(keys, is_named_history=is_named_history)
        if kind is not None:
            return answer(kind, "streaming history")
    if text[0] == "[":
        rest = text[1:].lstrip()
        if rest == "]" and size_bytes == len(head):
            return answer(None, "an empty list", is_empty_list=True)
        if rest[:1] in ("{", "]", "", "[", '"') or rest[:1].isdigit() or rest[:4] in ("true", "fals", "null"):
            return answer(None, "a list of other things than plays")
        return answer(None, "not JSON")
    if text[0] == "{":
        kind = _object_kind(name, text, keys)
        if kind is not None:
            return answer(kind, "library" if kind == "library" else "playlists")
        return answer(None, "a JSON object, but neither streaming history, nor a library, nor playlists")
    return answer(None, "not JSON")
