"""What stands beside exported files and says what they are: `manifest.json` for programs, `README.txt` for persons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from spotify_assets.lakehouse.definition import duckdb_type
from spotify_assets.own_data.snapshot import Snapshot
from spotify_assets.own_data.tables import Format
from spotify_assets.schemas import Table

MANIFEST, README = "manifest.json", "README.txt"


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export.

    Attributes:
        path: Below the export's folder, with forward slashes.
        rows: Rows, lines or entries of it.
        size_bytes: Its size.
        what: What it is, for a person.
        table: `schema.table`, where it is one.
    """

    path: str
    rows: int
    size_bytes: int
    what: str
    table: str | None = None


def manifest(
    snapshot: Snapshot,
    files: Sequence[ExportedFile],
    tables: dict[str, type[Table]],
    *,
    format: Format,
    listener: str | None,
    timezone: str,
) -> str:
    """`manifest.json`. It tells no time of its own: two exports of one version are equal."""
    published = snapshot.published_at.isoformat() + "Z" if snapshot.published_at else None
    content: dict[str, Any] = {
        "made_by": f"spotify_assets {version('spotify_assets')}",
        "lakehouse": {"sequence": snapshot.sequence, "published_at": published, "timezone": timezone},
        "listener": listener,
        "files": [],
    }
    for file in files:
        told = asdict(file)
        if file.table:
            table = tables[file.table]
            told |= {"format": format, "key": table.primary_key(), "columns": _columns(snapshot, table)}
        content["files"].append(told)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _columns(snapshot: Snapshot, table: type[Table]) -> list[dict[str, Any]]:
    columns = table.columns()
    return [
        {
            "name": name,
            "type": duckdb_type(table, name),
            "nullable": columns[name].nullable,
            "description": columns[name].description,
        }
        for name in snapshot.stored_columns(table)
    ]


def readme(
    snapshot: Snapshot,
    files: Sequence[ExportedFile],
    tables: dict[str, type[Table]],
    *,
    listener: str | None,
    timezone: str,
    round_trip: Sequence[str],
) -> str:
    """`README.txt`."""
    when = f", published {snapshot.published_at:%Y-%m-%d %H:%M} UTC" if snapshot.published_at else ""
    whose = f" of {listener}" if listener else ""
    lines = [
        f"Spotify data{whose}, exported by spotify_assets {version('spotify_assets')}",
        "",
        f"From version {snapshot.sequence} of the lakehouse{when}.",
        f"Local times and days are those of {timezone}, unless listeners.toml says otherwise.",
        "Instants are UTC, with a Z where they are text.",
        "",
    ]
    if round_trip:
        lines += ["What brings all plays into an empty lakehouse again, from this folder:", ""]
        lines += [f"    {command}" for command in round_trip]
        lines += [""]
    for file in files:
        if file.table is None:
            lines += [f"{file.path} ({file.rows:,})", f"    {file.what}", ""]
    for file in files:
        if file.table is not None:
            table = tables[file.table]
            lines += [f"{file.path} ({file.rows:,} rows)", f"    {file.what}"]
            if table.primary_key():
                lines.append(f"    Key: {', '.join(table.primary_key())}")
            lines += [
                f"      {column['name']}  {column['type']}{' or NULL' if column['nullable'] else ''}: "
                f"{column['description']}"
                for column in _columns(snapshot, table)
            ]
            lines.append("")
    return "\n".join(lines)
