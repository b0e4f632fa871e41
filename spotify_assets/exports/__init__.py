"""Recognising and reading Spotify's privacy exports.

`find_exports` looks through zips, folders and files and tells which of them are read; `read_history` gives the rows
of streaming history, `read_library` those of the library and the playlists. Personal fields are dropped here and
leave this package in no form. Format: https://support.spotify.com/article/understanding-my-data/ and
`docs/spotify.md`.

Storing anything, and deciding which rows are already known, belongs elsewhere: nothing here knows the warehouse.
"""

from __future__ import annotations

from spotify_assets.exports.finding import find_exports
from spotify_assets.exports.history import read_history
from spotify_assets.exports.library import read_library
from spotify_assets.exports.model import (
    ExportFile,
    FileReport,
    Found,
    HistoryBatch,
    LibraryRows,
    Limits,
    Problem,
)

READER_VERSION: int = 1
"""Raised when the reader makes other rows of the same bytes; files read by an older one are read again."""

__all__ = [
    "READER_VERSION",
    "ExportFile",
    "FileReport",
    "Found",
    "HistoryBatch",
    "LibraryRows",
    "Limits",
    "Problem",
    "find_exports",
    "read_history",
    "read_library",
]
