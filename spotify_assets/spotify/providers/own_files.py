"""A listener's own audio features and genres: a CSV or a Parquet file in the home folder.

Made by hand, by a spreadsheet, by Exportify or from a published data set: so the names of columns, their order, the
separator and the encoding may vary. A row that cannot be used is named with its number and left out; the rest is taken.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from spotify_assets.spotify.providers.features import FEATURES, VALUES, checked_features
from spotify_assets.spotify.providers.model import ArtistQuestion, Budget, FeaturesTold, Genre, GenresTold

_ROWS_PER_CHUNK = 50_000
_ROWS_NAMED = 20
_SEPARATORS = (",", ";", "\t", "|")
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_UNREADABLE = "\ufffd"

_ALIASES = {"bpm": "tempo", "length_ms": "duration_ms", "meter": "time_signature"}
# In order of preference: a data set with an `id` of its own rows has the track's under a longer name.
_TRACK_NAMES = (
    "spotify_track_uri",
    "track_uri",
    "spotify_uri",
    "spotify_track_id",
    "spotify_id",
    "track_id",
    "uri",
    "id",
)
_ARTIST_NAMES = ("artist_name", "artist", "artist_names", "artists", "name")
_GENRE_NAMES = ("genre", "genre_name", "genres")


@dataclass
class Rejections:
    """Rows that cannot be used.

    Attributes:
        rows: Number and reason of each. In a CSV the number is that of the line, in a Parquet file that of the row.
    """

    rows: list[tuple[int, str]] = field(default_factory=list)

    def sentence(self, file: Path, taken: int) -> str:
        """What a person must know; empty when all rows could be used."""
        if not self.rows:
            return ""
        named = "; ".join(f"row {number}: {reason}" for number, reason in sorted(self.rows)[:_ROWS_NAMED])
        more = f"; and {len(self.rows) - _ROWS_NAMED:,} more" if len(self.rows) > _ROWS_NAMED else ""
        return (
            f"{file.name}: {len(self.rows):,} rows cannot be used, {taken:,} are taken. {named}{more}. "
            "Mend or delete these rows; the file is read again in every run."
        )


class FileUnusable(Exception):
    """Nothing can be taken from a file; the message says why."""


class OwnFeatures:
    """Audio features from `{home}/audio_features.csv` or `.parquet`, an `AudioFeatureProvider`.

    Args:
        files: The files to look for; the first that exists is read.
    """

    source = "own"
    attribution = "Audio features from the listener's own file"
    tracks_per_request = 1_000_000_000
    is_local = True

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def ask(self, track_ids: Sequence[str], budget: Budget) -> FeaturesTold:
        """As `AudioFeatureProvider.ask`; a file that cannot be read tells nothing, and `problems` says why.

        `counts`: `own_rows` and `own_rows_rejected` of the file, whatever tracks they are about.
        """
        told = [FEATURES.to_frame()]
        file, problems = _existing(self._files)
        if file is None:
            return FeaturesTold(told[0], has_answered=False)
        wanted = pl.DataFrame({"track_id": track_ids}, schema={"track_id": pl.String})
        rejections = Rejections()
        taken, unusable_values = 0, 0
        seen = pl.Series("track_id", [], pl.String)
        try:
            for chunk in _chunks(file, _names_of_features(), ("track_id",), rejections):
                usable = _usable(chunk, seen, rejections)
                taken += usable.height
                seen = pl.concat([seen, usable["track_id"]])
                usable = usable.join(wanted, on="track_id", how="semi")
                unusable_values += usable["unusable_values"].sum()
                told.append(usable.select(FEATURES.names()))
        except FileUnusable as error:
            problems.append(f"{file.name}: {error} What it told before is kept.")
            return FeaturesTold(told[0], problems=tuple(problems), has_answered=False)
        problems.append(rejections.sentence(file, taken))
        counts = {"own_rows": taken + len(rejections.rows), "own_rows_rejected": len(rejections.rows)}
        return FeaturesTold(pl.concat(told), unusable_values, tuple(filter(None, problems)), counts)


class OwnGenres:
    """Genres from `{home}/genres.csv` or `.parquet`, one artist and one genre in a row, a `GenreProvider`.

    Args:
        files: The files to look for; the first that exists is read.
    """

    source = "own"
    attribution = "Genres from the listener's own file"
    needs_isrc = False
    is_local = True

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def ask(self, questions: Sequence[ArtistQuestion], budget: Budget) -> GenresTold:
        """As `GenreProvider.ask`; names are compared without regard to case and outer white space. `problems` and
        `counts` are as in `OwnFeatures.ask`."""
        file, problems = _existing(self._files)
        if file is None:
            return GenresTold({}, has_answered=False)
        rejections = Rejections()
        told: dict[str, dict[str, None]] = {}
        taken = 0
        columns = {**_every_name(_ARTIST_NAMES, "artist_name"), **_every_name(_GENRE_NAMES, "genre")}
        try:
            for chunk in _chunks(file, columns, ("artist_name", "genre"), rejections):
                for row, artist, genre in chunk.select("row", "artist_name", "genre").iter_rows():
                    fault = _fault_of_genre(artist, genre)
                    if fault or genre.strip() in told.get(_folded(artist), ()):
                        rejections.rows.append((row, fault or "it is there already"))
                        continue
                    told.setdefault(_folded(artist), {})[genre.strip()] = None
                    taken += 1
        except FileUnusable as error:
            problems.append(f"{file.name}: {error} What it told before is kept.")
            return GenresTold({}, tuple(problems), has_answered=False)
        problems.append(rejections.sentence(file, taken))
        genres = {
            question.artist_name: [Genre(name) for name in sorted(told[_folded(question.artist_name)])]
            for question in questions
            if _folded(question.artist_name) in told
        }
        counts = {"own_rows": taken + len(rejections.rows), "own_rows_rejected": len(rejections.rows)}
        return GenresTold(genres, tuple(filter(None, problems)), counts)


def _existing(files: Sequence[Path]) -> tuple[Path | None, list[str]]:
    existing = [file for file in files if file.is_file()]
    ignored = ", ".join(file.name for file in existing[1:])
    problems = [f"{ignored} is not read, because {existing[0].name} is there too. Keep one of them."] if ignored else []
    return (existing[0] if existing else None), problems


def _usable(chunk: pl.DataFrame, seen: pl.Series, rejections: Rejections) -> pl.DataFrame:
    """Rows of a chunk with a Spotify id that no earlier usable row has, and at least one usable value."""

    def without(frame: pl.DataFrame, is_bad: pl.Expr, reason: str) -> pl.DataFrame:
        frame = frame.with_columns(is_bad=is_bad)
        rejections.rows += [(row, reason) for row in frame.filter("is_bad")["row"]]
        return frame.filter(~pl.col("is_bad")).drop("is_bad")

    track_id = pl.col("track_id")
    found = track_id.str.strip_chars().str.extract(r"(?:^|[:/])([0-9A-Za-z]{22})(?:\?.*)?$", 1)
    rows = without(chunk.with_columns(track_id=found), track_id.is_null(), "no Spotify id or URI of a track")
    rows = without(checked_features(rows), ~pl.col("is_usable"), "no usable value")
    is_repeated = track_id.is_in(seen.implode()) | ~track_id.is_first_distinct()
    return without(rows, is_repeated, "a track that an earlier row tells")


def _fault_of_genre(artist: str | None, genre: str | None) -> str:
    if not artist or not artist.strip():
        return "no artist"
    if not genre or not genre.strip():
        return "no genre"
    if _UNREADABLE in artist or _UNREADABLE in genre:
        return "letters that are not UTF-8 (save the file as UTF-8)"
    return ""


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _plain(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())


def _every_name(names: Sequence[str], column: str) -> dict[str, str]:
    return {_plain(name): column for name in names}


def _names_of_features() -> dict[str, str]:
    values = {_plain(name): name for name in (*VALUES, "isrc")}
    return {
        **_every_name(_TRACK_NAMES, "track_id"),
        **values,
        **{_plain(alias): name for alias, name in _ALIASES.items()},
    }


def _chosen(header: Sequence[str], names: Mapping[str, str]) -> dict[str, int]:
    """Place of each known column; of several names for one column the one that `names` gives first."""
    places: dict[str, int] = {}
    plain = [_plain(name) for name in header]
    for name, column in names.items():
        if column not in places and name in plain:
            places[column] = plain.index(name)
    return places


def _chunks(
    file: Path, names: Mapping[str, str], needed: Sequence[str], rejections: Rejections
) -> Iterator[pl.DataFrame]:
    """Rows of a file, with their number as `row` and the columns that `names` knows; texts if it is a CSV.

    Raises:
        FileUnusable: It cannot be read, or lacks a needed column.
    """
    try:
        if file.suffix == ".parquet":
            yield from _parquet_chunks(file, names, needed)
        else:
            yield from _csv_chunks(file, names, needed, rejections)
    except OSError as error:
        raise FileUnusable(f"it cannot be read ({error.strerror or type(error).__name__}).") from error


def _check_columns(places: Mapping[str, int], names: Mapping[str, str], needed: Sequence[str]) -> None:
    for column in needed:
        if column not in places:
            allowed = ", ".join(name for name, meant in names.items() if meant == column)
            raise FileUnusable(
                f"none of its columns is the {column.replace('_', ' ')} (in any spelling: {allowed}); "
                "the first line must name them."
            )


def _parquet_chunks(file: Path, names: Mapping[str, str], needed: Sequence[str]) -> Iterator[pl.DataFrame]:
    try:
        scan = pl.scan_parquet(file)
        header = scan.collect_schema().names()
        places = _chosen(header, names)
        _check_columns(places, names, needed)
        wanted = scan.select(pl.col(header[place]).alias(column) for column, place in places.items())
        rows = scan.select(pl.len()).collect().item()
        for start in range(0, rows, _ROWS_PER_CHUNK):
            chunk = wanted.slice(start, _ROWS_PER_CHUNK).collect()
            unfit = [column for column in needed if chunk.schema[column] not in (pl.String, pl.Categorical)]
            if unfit:
                raise FileUnusable(f"its column {header[places[unfit[0]]]} holds no texts.")
            chunk = chunk.with_columns(pl.col(pl.Categorical).cast(pl.String))
            yield chunk.with_columns(row=pl.int_range(start + 1, start + 1 + chunk.height, dtype=pl.Int64))
    except pl.exceptions.PolarsError as error:
        raise FileUnusable("it is no Parquet file, or damaged.") from error


def _csv_chunks(
    file: Path, names: Mapping[str, str], needed: Sequence[str], rejections: Rejections
) -> Iterator[pl.DataFrame]:
    with file.open("rb") as binary:
        start = binary.read(4)
    encoding = next((name for mark, name in _ENCODINGS if start.startswith(mark)), "utf-8")
    with file.open(encoding=encoding, errors="replace") as lines:
        numbered = enumerate(lines, start=1)
        _, first = next(((row, line) for row, line in numbered if line.strip()), (0, ""))
        separator = max(_SEPARATORS, key=lambda each: len(_chosen(_fields(first, each), names)))
        header = _fields(first, separator)
        places = _chosen(header, names)
        _check_columns(places, names, needed)
        yield from _csv_rows(numbered, separator, len(header), places, rejections)


def _csv_rows(
    numbered: Iterator[tuple[int, str]],
    separator: str,
    width: int,
    places: Mapping[str, int],
    rejections: Rejections,
) -> Iterator[pl.DataFrame]:
    schema = {"row": pl.Int64, **dict.fromkeys(places, pl.String)}
    waiting: list[tuple[int | str, ...]] = []
    for row, line in numbered:
        if not line.strip():
            continue
        fields = _fields(line, separator)
        if len(fields) > width and not any(each.strip() for each in fields[width:]):
            del fields[width:]
        if len(fields) != width:
            reason = f"{len(fields)} fields, the first line names {width}; a quotation mark may be missing"
            rejections.rows.append((row, reason))
            continue
        waiting.append((row, *(fields[place] for place in places.values())))
        if len(waiting) == _ROWS_PER_CHUNK:
            yield _frame(waiting, schema, separator)
            waiting = []
    yield _frame(waiting, schema, separator)


def _frame(rows: list[tuple[int | str, ...]], schema: Mapping[str, type[pl.DataType]], separator: str) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    if separator == ",":
        return frame
    # Spreadsheets that separate by something else do so because the comma is in the numbers.
    numbers = [name for name in frame.columns if name in VALUES]
    return frame.with_columns(pl.col(numbers).str.replace(",", ".", literal=True))


def _fields(line: str, separator: str) -> list[str]:
    """The fields of one line. A record never goes beyond its line: a quotation mark that is missing at its end would
    swallow all that follow."""
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []
