"""What the export reader hands out: files, rows, reports and the things that a person must know.

Only plain records belong here; finding and reading belong in the other modules of this package.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

import polars as pl

HISTORY_KINDS = ("extended", "basic")
LIBRARY_KINDS = ("library", "playlists")


@dataclass(frozen=True)
class Limits:
    """Bounds against zip bombs and other nonsense.

    Spotify's history files are at most about 13 MB each and compress about twentyfold; the defaults leave room for
    much more than that and still stop a file that would fill the disk.

    Attributes:
        member_size_bytes: Largest single file, unpacked.
        export_size_bytes: Largest sum of the files taken from one zip, unpacked.
        members: Most members that a zip may list.
        compression_ratio: Most times that a member may grow when it is unpacked; not asked of files under 10 MB.
    """

    member_size_bytes: int = 1 << 30
    export_size_bytes: int = 8 << 30
    members: int = 50_000
    compression_ratio: int = 300


@dataclass(frozen=True)
class ExportFile:
    """One recognised file of an export, readable at `path` (members of zips are unpacked).

    Attributes:
        export_name: Name of the zip or folder, never a path.
        file_name: Path inside the zip or folder, with forward slashes.
        kind: extended, basic, library or playlists.
        sha256: Checksum of the bytes, hexadecimal.
        size_bytes: Size of the file, unpacked.
        path: Where to read the bytes.
        modified_at: UTC; the date that the zip gives for the member, or the file's own.
        export_number: Equal for the files of one export, from 0.
        fingerprint: State of the file on disk when its checksum was taken; empty when it is not known.
    """

    export_name: str
    file_name: str
    kind: str
    sha256: str
    size_bytes: int
    path: Path
    modified_at: datetime
    export_number: int
    fingerprint: tuple[int, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """How messages name the file."""
        return f"{self.export_name}/{self.file_name}"


@dataclass(frozen=True)
class Problem:
    """Something that a person must know.

    Attributes:
        file: The file as messages name it: `my_spotify_data.zip/…/Streaming_History_Audio_2019.json`.
        message: What was wrong, what was kept and what to do.
        is_damage: True when something is missing because of it (exit code not 0); False for a mere note.
    """

    file: str
    message: str
    is_damage: bool


@dataclass(frozen=True)
class Found:
    """What lies under the given paths. A context manager: leaving it removes what was unpacked.

    Attributes:
        files: The recognised files, each checksum once, ordered by export and name.
        ignored: Files that were left unread.
        repeated: Files with the same checksum as one in `files`.
        problems: What a person must know.
        unpacked: Folder of the unpacked members, None without any.
    """

    files: list[ExportFile]
    ignored: list[str]
    repeated: list[str]
    problems: list[Problem]
    unpacked: Path | None = None

    def close(self) -> None:
        """Remove what was unpacked; calling it again does no harm."""
        if self.unpacked is not None:
            shutil.rmtree(self.unpacked, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class FileReport:
    """What became of one file. `rows_in` is always the accepted rows plus `rows_rejected`.

    Attributes:
        file: The file.
        generation: Key generation (see `raw.streaming_history`); None for library files and unreadable ones.
        rows_in: Rows that the file holds.
        rows_rejected: Rows that were not accepted.
        first_ts: Earliest `ts` of the accepted rows, UTC.
        last_ts: Latest `ts` of the accepted rows, UTC.
        unknown_keys: Key that no known generation has -> rows that hold it.
        problems: What a person must know about this file.
    """

    file: ExportFile
    generation: str | None
    rows_in: int
    rows_rejected: int
    first_ts: datetime | None
    last_ts: datetime | None
    unknown_keys: dict[str, int]
    problems: list[Problem]


@dataclass(frozen=True)
class HistoryBatch:
    """The rows of a handful of history files.

    Attributes:
        rows: Accepted rows: `file_number` (position in the `files` argument, from 0), `row_number` (position in the
            file, from 1), the columns of `raw.streaming_history` from `kind` to `unknown_keys`, and `uri_hash`,
            `names_hash`, `title_hash`, `context_hash`; ordered by file and row.
        rejected: `file_number`, `row_number`, `reason` (a sentence), `row_json` (without personal fields; NULL for
            rows that are no JSON object), `is_damage` (False: a known defect of Spotify's own exports).
        reports: One for each file of the batch.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    reports: list[FileReport]


@dataclass(frozen=True)
class LibraryRows:
    """The entries of one library or playlist file.

    Attributes:
        rows: The columns of `raw.library_items` or `raw.library_playlist_items` that the file itself tells, with
            `row_number` and `row_hash`.
        rejected: As in `HistoryBatch`, without `file_number`.
        report: What became of the file.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    report: FileReport


REJECTED_SCHEMA = pl.Schema(
    {
        "file_number": pl.Int64,
        "row_number": pl.Int64,
        "reason": pl.String,
        "row_json": pl.String,
        "is_damage": pl.Boolean,
    }
)
