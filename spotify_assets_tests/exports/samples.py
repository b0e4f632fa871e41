"""Small export files for the tests of the reader, in Spotify's own formats."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from spotify_assets.exports import FileReport, Found, find_exports, read_history

IMPORTED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
TRACK_URI = "spotify:track:0123456789ABCDEFGHIJab"
EPISODE_URI = "spotify:episode:0123456789ABCDEFGHIJcd"
SECRETS = ("listener-of-the-test", "192.0.2.77", "Agent-Smith/1.0", "Secretville", "48.858844", "Region-X")


def core(**changes: Any) -> dict[str, Any]:
    """A row with the keys that all generations since 2021 share."""
    return {
        "ts": "2020-01-01T00:00:00Z",
        "platform": "Android OS 10",
        "ms_played": 180_000,
        "conn_country": "DE",
        "master_metadata_track_name": "Title",
        "master_metadata_album_artist_name": "Artist",
        "master_metadata_album_album_name": "Album",
        "spotify_track_uri": TRACK_URI,
        "episode_name": None,
        "episode_show_name": None,
        "spotify_episode_uri": None,
        "reason_start": "trackdone",
        "reason_end": "trackdone",
        "shuffle": False,
        "skipped": None,
        "offline": False,
        "offline_timestamp": 1_577_836_620,
        "incognito_mode": False,
        **changes,
    }


def g2(**changes: Any) -> dict[str, Any]:
    return {**core(), "ip_addr": SECRETS[1], **changes}


def g1(**changes: Any) -> dict[str, Any]:
    personal = {"username": SECRETS[0], "ip_addr_decrypted": SECRETS[1], "user_agent_decrypted": SECRETS[2]}
    return {**core(), **personal, **changes}


def g3(**changes: Any) -> dict[str, Any]:
    audiobook = ("audiobook_title", "audiobook_uri", "audiobook_chapter_uri", "audiobook_chapter_title")
    return {**g2(), **dict.fromkeys(audiobook), **changes}


def g0(**changes: Any) -> dict[str, Any]:
    row = {key: value for key, value in g1().items() if not key.endswith("_uri")}
    return {**row, "city": SECRETS[3], "region": SECRETS[5], **changes}


def pre2020(**changes: Any) -> dict[str, Any]:
    geography = {"metro_code": "0", "longitude": "2.29", "latitude": SECRETS[4]}
    return {**g0(), "ts": "2013-10-09 20:03:57 UTC", "ms_played": "5969", **geography, **changes}


def basic(**changes: Any) -> dict[str, Any]:
    return {
        "endTime": "2020-01-01 00:00",
        "artistName": "Artist",
        "trackName": "Title",
        "msPlayed": 180_000,
        **changes,
    }


def write(path: Path, content: Any) -> Path:
    """Write text, bytes or (as pretty-printed JSON) anything else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
        path.write_text(text, encoding="utf-8", newline="")
    return path


def write_zip(path: Path, members: dict[str, Any], *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, str | bytes) else json.dumps(content))
    return path


class Read:
    """All that reading some paths gave, in one piece."""

    def __init__(self, found: Found, batches: Sequence[Any]) -> None:
        self.found = found
        self.rows = pl.concat([batch.rows for batch in batches]) if batches else pl.DataFrame()
        self.rejected = pl.concat([batch.rejected for batch in batches]) if batches else pl.DataFrame()
        self.reports: list[FileReport] = [report for batch in batches for report in batch.reports]
        self.problems = [*found.problems, *(problem for report in self.reports for problem in report.problems)]

    @property
    def damage(self) -> list[str]:
        return [f"{problem.file}: {problem.message}" for problem in self.problems if problem.is_damage]

    def column(self, name: str) -> list[Any]:
        return self.rows[name].to_list()

    def everything_told(self) -> str:
        """All text that leaves the reader, for the search after personal values."""
        return " ".join((self.rows.write_json(), self.rejected.write_json(), repr(self.reports), repr(self.found)))


def read(*paths: Path, scratch: Path) -> Read:
    with find_exports(paths, scratch=scratch) as found:
        history = [file for file in found.files if file.kind in ("extended", "basic")]
        return Read(found, list(read_history(history, imported_at=IMPORTED_AT)))


def read_rows(folder: Path, content: Any, *, name: str = "Streaming_History_Audio_2020_0.json") -> Read:
    """Read one history file with this content."""
    return read(write(folder / "export" / name, content), scratch=folder / "scratch")
