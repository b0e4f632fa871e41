"""What a listener says about recordings: `recordings.csv` in the home folder.

```csv
track_uri,recording
spotify:track:4uLU6hMCjMI75M1A2tKUQC,Never Gonna Give You Up
https://open.spotify.com/track/7GhIk7Il098yCjg4BQjzvb,Never Gonna Give You Up
spotify:track:6K4t31amVTZDgR3sKmwUJJ,Another song of that ISRC
```

Tracks of one label are one recording, whatever Spotify tells of them; a label of its own sets a track apart. The
columns may be divided by semicolons, as some spreadsheets do, and others beside the two are left alone.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

_SCHEMA = pl.Schema({"track_uri": pl.String, "recording": pl.String})
_TRACK = re.compile(
    r"(?:spotify:track:|https://open\.spotify\.com/(?:intl-[a-z-]+/)?track/)([0-9A-Za-z]{22})(?:\?\S*)?", re.ASCII
)
_LOCAL = "spotify:local:"


@dataclass(frozen=True)
class Overrides:
    """What the file says.

    Attributes:
        rows: track_uri (each once) and recording, the label.
        faults: What could not be used, in sentences; lines are named by their number and never quoted.
    """

    rows: pl.DataFrame
    faults: tuple[str, ...] = ()


def read_overrides(file: Path) -> Overrides:
    """The overrides of a home; none where there is no file.

    A line that cannot be used is left out, and a track that stands there twice keeps its first label.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return Overrides(_SCHEMA.to_frame())
    except (OSError, UnicodeDecodeError) as error:
        return Overrides(_SCHEMA.to_frame(), (f"{file} cannot be read: {error}.",))
    header = text.partition("\n")[0]
    lines = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in header and "," not in header else ",")
    names = [(name or "").strip() for name in lines.fieldnames or ()]
    missing = [name for name in _SCHEMA if name not in names]
    if missing:
        return Overrides(
            _SCHEMA.to_frame(), (f"{file} has no column {', '.join(missing)}: its first line names the columns.",)
        )
    lines.fieldnames = names
    labels: dict[str, str] = {}
    faults: list[str] = []
    try:
        for line in lines:
            if fault := _take(line, labels):
                faults.append(f"{file}, line {lines.line_num}: {fault}")
    except csv.Error as error:
        faults.append(f"{file}, line {lines.line_num}: {error}; it and what follows is left out.")
    return Overrides(pl.DataFrame(list(labels.items()), schema=_SCHEMA, orient="row"), tuple(faults))


def _take(line: dict[str, str | None], labels: dict[str, str]) -> str | None:
    """Add a line to `labels`; says what is wrong with one that cannot be used."""
    told, label = ((line.get(name) or "").strip() for name in _SCHEMA)
    if not told and not label:
        return None
    match = _TRACK.fullmatch(told)
    uri = f"spotify:track:{match[1]}" if match else told
    if not match and not told.startswith(_LOCAL):
        return "track_uri is no URI of a track, such as spotify:track:4uLU6hMCjMI75M1A2tKUQC; the line is left out."
    if not label:
        return "recording is empty: write any name for the recording; the line is left out."
    if labels.setdefault(uri, label) != label:
        return "the track stands there already with another recording; the first one holds."
    return None
