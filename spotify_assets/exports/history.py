"""Reading streaming history: files in, accepted rows, rejected rows and a report for each file out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import duckdb
import polars as pl

from spotify_assets.ahead import one_ahead
from spotify_assets.arrow import FrameStream, frame_of
from spotify_assets.exports import normalising
from spotify_assets.exports.damaged import Scan, decode, readable_objects, scan
from spotify_assets.exports.finding import CHANGED, fingerprint, reason_of
from spotify_assets.exports.model import (
    HISTORY_KINDS,
    REJECTED_SCHEMA,
    ExportFile,
    FileReport,
    HistoryBatch,
    Problem,
)
from spotify_assets.exports.personal import clean_json, clean_object
from spotify_assets.schemas.raw import StreamingHistory
from spotify_assets.texts import to_json

BATCH_BYTES = 64_000_000
"""JSON parsed at once: enough for every core to have a file, little enough to keep the peak of memory low."""

_PLAN_BYTES = 64 * 1024
_TAIL_BYTES = 1024
_HASHES = ("uri_hash", "names_hash", "title_hash", "context_hash")
_TOLD = tuple(
    name
    for name in StreamingHistory.column_names()
    if name not in {"listener", "import_id", "row_id", "file_id", "row_number", "occurrence", "says", *_HASHES}
)
ROWS_SCHEMA = pl.Schema(
    {
        "file_number": pl.Int64,
        "row_number": pl.Int64,
        **{name: StreamingHistory.polars_schema()[name] for name in (*_TOLD, *_HASHES)},
    }
)
"""Columns of `HistoryBatch.rows`."""


@dataclass(frozen=True)
class _Plan:
    """How one file is to be read: `way` is proven, exact or scanned (see `normalising`)."""

    number: int
    file: ExportFile
    way: str
    keys: tuple[str, ...]
    first_rows: list[dict[str, Any]] = field(repr=False)
    state: tuple[int, ...]


@dataclass
class _Outcome:
    """What reading one file gave."""

    plan: _Plan
    generation: str
    rows: pl.DataFrame
    rejected: pl.DataFrame
    unknown_keys: dict[str, int]
    fault: str | None = None


def _make_plan(number: int, file: ExportFile) -> _Plan:
    """Look at the first rows and the end of a file.

    Raises:
        OSError: The file cannot be read.
    """
    with file.path.open("rb") as opened:
        state = fingerprint(os.fstat(opened.fileno()))
        head = opened.read(_PLAN_BYTES)
        opened.seek(max(0, state[0] - _TAIL_BYTES))
        tail = opened.read(_TAIL_BYTES)
    text = decode(head)
    first_rows = [row for row, _ in zip(readable_objects(text), range(3), strict=False)]
    # DuckDB takes a list that ends after a comma for complete.
    if not text.lstrip().startswith("[") or not tail.rstrip().endswith(b"]") or not first_rows:
        way = "scanned"
    elif set(first_rows[0]) <= normalising.known_keys(file.kind):
        way = "proven"
    else:
        way = "exact"
    keys = tuple(sorted(first_rows[0])) if way == "proven" else ()
    return _Plan(number, file, way, keys, first_rows, state)


def _generation(plan: _Plan, keys: frozenset[str], unknown_keys: dict[str, int]) -> str:
    if plan.file.kind == "basic":
        name = plan.file.file_name.rsplit("/", 1)[-1].lower()
        is_split = any(part in name for part in ("_music_", "_podcast_", "_audiobook_"))
        has_split_keys = not keys.isdisjoint({"podcastName", "episodeName", "audiobookName", "chapterName"})
        return "basic" if is_split or has_split_keys else "basic_mixed"
    if any(key.startswith("audiobook_") for key in keys):
        return "G3+" if unknown_keys else "G3"
    if keys.isdisjoint({"spotify_track_uri", "spotify_episode_uri"}):
        tells_old_style = any(
            isinstance(row.get("ms_played"), str) or str(row.get("ts", "")).endswith("UTC") for row in plan.first_rows
        )
        # Both ages tell places; only the older one writes numbers as texts.
        return "pre2020" if tells_old_style else "G0"
    if not keys.isdisjoint({"username", "ip_addr_decrypted", "user_agent_decrypted"}):
        return "G1"
    return "G2"


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    # Otherwise a folder `.tmp` may appear wherever the program was started.
    connection.execute("SET temp_directory = ''")
    for statement in normalising.HASH_TABLES:
        connection.execute(statement)
    return connection


class _Reader:
    def __init__(self, connection: duckdb.DuckDBPyConnection, imported_at: datetime) -> None:
        self._connection = connection
        self._imported_at = imported_at

    def read(self, plans: list[_Plan]) -> list[_Outcome]:
        """Read files that share kind, way and keys; what spoils the lot is read more tolerantly, then by itself."""
        way, kind = plans[0].way, plans[0].file.kind
        if way == "scanned":
            return [self._scanned(plan) for plan in plans]
        paths = [plan.file.path for plan in plans]
        try:
            if way == "proven":
                source, available = normalising.proven_source(paths, plans[0].keys), plans[0].keys
            else:
                source, available = normalising.exact_source(kind, paths), tuple(normalising.KEYS[kind])
            self._tell(kind, source, available)
            if way == "proven" and not self._is_proven(len(plans[0].keys)):
                raise _NotProven
            keys = self._keys(kind, source) if way == "exact" else {}
            return self._outcomes(plans, keys)
        except (duckdb.Error, UnicodeError, _NotProven):
            # The message of DuckDB quotes the row with the person's data: it is dropped, the next way tells better.
            if way == "proven":
                return self.read([replace(plan, way="exact") for plan in plans])
            if len(plans) > 1:
                return [outcome for plan in plans for outcome in self.read([plan])]
            return self.read([replace(plans[0], way="scanned")])

    def _tell(self, kind: str, source: str, available: Sequence[str]) -> None:
        statement = normalising.told_table(kind, source, available, imported_at=self._imported_at)
        self._connection.execute(statement).fetchall()

    def _is_proven(self, key_count: int) -> bool:
        parts = self._connection.execute(normalising.PARTS_QUERY).fetchall()
        return all(most_keys == key_count and without == 0 for _, _, _, most_keys, without in parts)

    def _keys(self, kind: str, source: str) -> dict[int, frozenset[str]]:
        keys: dict[int, set[str]] = {}
        for part, key in self._connection.execute(normalising.keys_query(kind, source)).fetchall():
            keys.setdefault(part, set()).add(key)
        return {part: frozenset(names) for part, names in keys.items()}

    def _scanned(self, plan: _Plan) -> _Outcome:
        scanned = scan(plan.file.path.read_bytes())
        good = [row for row in scanned.rows if row.json_text is not None]
        frame = pl.DataFrame(
            {"number": [row.row_number for row in good], "json": [row.json_text for row in good]},
            schema={"number": pl.Int64, "json": pl.String},
        ).select(pl.lit(0, pl.Int64).alias("part"), "number", "json")
        self._connection.register("scanned", FrameStream(frame))
        kind = plan.file.kind
        source = normalising.scanned_source(kind)
        self._tell(kind, source, tuple(normalising.KEYS[kind]))
        (outcome,) = self._outcomes([plan], self._keys(kind, source))
        self._connection.unregister("scanned")
        outcome.fault = scanned.fault
        outcome.rejected = pl.concat([outcome.rejected, _unreadable(plan.number, scanned)]).sort("row_number")
        return outcome

    def _clean_unknown_keys(self) -> dict[int, Counter[str]]:
        """Rewrite the unknown keys in `told` without what is personal, and count them for each part."""
        found = self._connection.execute(normalising.UNKNOWN_QUERY).fetchall()
        if not found:
            return {}
        counts: dict[int, Counter[str]] = {}
        cleaned: dict[str, str] = {}
        for part, text, rows in found:
            told = clean_object(text) or {}
            cleaned[text] = to_json(told)
            counter = counts.setdefault(part, Counter())
            for key in told:
                counter[key] += rows
        frame = pl.DataFrame({"dirty": list(cleaned), "clean": list(cleaned.values())}, schema_overrides=_TEXT_PAIR)
        self._connection.register("cleaned", FrameStream(frame))
        self._connection.execute(
            "UPDATE told SET unknown_keys = cleaned.clean FROM cleaned WHERE told.unknown_keys = cleaned.dirty"
        ).fetchall()
        self._connection.unregister("cleaned")
        return counts

    def _outcomes(self, plans: list[_Plan], keys: dict[int, frozenset[str]]) -> list[_Outcome]:
        """Fetch what `told` holds, file by file."""
        unknown = self._clean_unknown_keys()
        for statement in normalising.extend_hash_tables():
            self._connection.execute(statement).fetchall()
        first = {part: position for part, position, *_ in self._connection.execute(normalising.PARTS_QUERY).fetchall()}
        rows = self._frame(normalising.accepted_query(), first)
        rejected = self._frame(normalising.REJECTED_QUERY, first)
        self._connection.execute(normalising.FORGET).fetchall()
        outcomes = []
        for part, plan in enumerate(plans):
            part_keys = keys.get(part, frozenset(plan.keys))
            part_unknown = dict(sorted(unknown.get(part, {}).items()))
            generation = _generation(plan, part_keys, part_unknown)
            part_rows = _part(rows, part).with_columns(
                pl.lit(plan.number, pl.Int64).alias("file_number"),
                pl.lit(plan.file.kind).alias("kind"),
                pl.lit(generation).alias("generation"),
            )
            part_rows = part_rows.select(pl.col(name).cast(dtype) for name, dtype in ROWS_SCHEMA.items())
            part_rejected = _rejected(_part(rejected, part), plan.number)
            outcomes.append(_Outcome(plan, generation, part_rows, part_rejected, part_unknown))
        return outcomes

    def _frame(self, query: str, first: dict[int, int]) -> pl.DataFrame:
        """A query's rows by part and `row_number`: the told number, or the position after the file's first row."""
        frame = frame_of(self._connection.sql(query))
        starts = pl.DataFrame(
            {"part": list(first), "first": list(first.values())}, schema={"part": pl.Int64, "first": pl.Int64}
        )
        numbered = frame.join(starts, on="part", how="left", maintain_order="left").with_columns(
            pl.coalesce("number", pl.col("position") - pl.col("first") + 1).alias("row_number")
        )
        # DuckDB promises no order after a join, but keeps it; sorting a million wide rows for nothing is dear.
        in_order = numbered["position"].is_sorted() and numbered["part"].is_sorted()
        return numbered if in_order else numbered.sort("part", "row_number")


_TEXT_PAIR = {"dirty": pl.String, "clean": pl.String}


class _NotProven(Exception):
    """A file holds keys that its first row does not have."""


def _part(frame: pl.DataFrame, part: int) -> pl.DataFrame:
    """The rows of one file as a slice, without copying them."""
    start = frame["part"].search_sorted(part, side="left")
    return frame.slice(start, frame["part"].search_sorted(part, side="right") - start)


def _rejected(frame: pl.DataFrame, file_number: int) -> pl.DataFrame:
    cleaned = [clean_json(text) for text in frame["row_json"]]
    return frame.with_columns(
        pl.lit(file_number, pl.Int64).alias("file_number"), pl.Series("row_json", cleaned, pl.String)
    ).select(pl.col(name).cast(dtype) for name, dtype in REJECTED_SCHEMA.items())


def _unreadable(file_number: int, scanned: Scan) -> pl.DataFrame:
    bad = [row for row in scanned.rows if row.reason is not None]
    return pl.DataFrame(
        {
            "file_number": [file_number] * len(bad),
            "row_number": [row.row_number for row in bad],
            "reason": [row.reason for row in bad],
            "row_json": [None] * len(bad),
            "is_damage": [True] * len(bad),
        },
        schema=REJECTED_SCHEMA,
    )


def _problems(outcome: _Outcome) -> list[Problem]:
    damaged = outcome.rejected.filter("is_damage")
    if damaged.is_empty() and outcome.fault is None:
        return []
    kept = f"The {outcome.rows.height:,} good rows were kept."
    remedy = "Unpack the zip again, or ask Spotify for a new export and import that as well."
    said = []
    if outcome.fault is not None:
        said.append(f"The file is damaged: {outcome.fault}.")
    if not damaged.is_empty():
        number, reason = damaged.row(0, named=True)["row_number"], damaged.row(0, named=True)["reason"]
        count = damaged.height
        said.append(
            f"Row {number:,} was rejected: {reason}"
            if count == 1
            else f"{count:,} rows were rejected, the first is row {number:,}: {reason}"
        )
    return [Problem(outcome.plan.file.label, " ".join((*said, kept, remedy)), True)]


def _report(outcome: _Outcome) -> FileReport:
    rows_rejected = outcome.rejected.height
    return FileReport(
        file=outcome.plan.file,
        generation=outcome.generation,
        rows_in=outcome.rows.height + rows_rejected,
        rows_rejected=rows_rejected,
        first_ts=outcome.rows["ts"].min(),
        last_ts=outcome.rows["ts"].max(),
        unknown_keys=outcome.unknown_keys,
        problems=_problems(outcome),
    )


def _nothing(file: ExportFile, message: str) -> FileReport:
    return FileReport(file, None, 0, 0, None, None, {}, [Problem(file.label, message, True)])


def _batches(plans: list[_Plan]) -> Iterator[list[_Plan]]:
    """Files that can be read by one statement, in lots of about `BATCH_BYTES`."""
    lot: list[_Plan] = []
    size_bytes = 0
    for plan in sorted(plans, key=lambda plan: (plan.file.kind, plan.way, plan.keys, plan.number)):
        alike = not lot or (lot[0].file.kind, lot[0].way, lot[0].keys) == (plan.file.kind, plan.way, plan.keys)
        if lot and (not alike or size_bytes + plan.file.size_bytes > BATCH_BYTES):
            yield lot
            lot, size_bytes = [], 0
        lot.append(plan)
        size_bytes += plan.file.size_bytes
    if lot:
        yield lot


def _state_on_disk(plan: _Plan) -> tuple[int, ...] | None:
    try:
        return fingerprint(plan.file.path.stat())
    except OSError:
        return None


def _batch(outcomes: list[_Outcome], reports: list[FileReport]) -> HistoryBatch:
    return HistoryBatch(
        pl.concat([ROWS_SCHEMA.to_frame(), *(outcome.rows for outcome in outcomes)], rechunk=False),
        pl.concat([REJECTED_SCHEMA.to_frame(), *(outcome.rejected for outcome in outcomes)]),
        reports,
    )


def read_history(
    files: Sequence[ExportFile],
    *,
    imported_at: datetime,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[HistoryBatch]:
    """Read streaming history, a handful of files at a time.

    Every file is in exactly one batch, every row of a file is accepted or rejected. One bad file never spoils
    another. A batch is handed out only after it is certain that its files did not change meanwhile.

    Args:
        files: Files of the kinds extended and basic, as `find_exports` gives them.
        imported_at: When the import began, with a time zone; rows that ended more than a day later are rejected.
        on_progress: Called with the number of bytes read so far.

    Raises:
        ValueError: A file is of another kind, or `imported_at` has no time zone.
    """
    if imported_at.tzinfo is None:
        raise ValueError("imported_at needs a time zone")
    for file in files:
        if file.kind not in HISTORY_KINDS:
            raise ValueError(f"{file.label} is not streaming history but {file.kind}")
    return one_ahead(_read_history(files, imported_at, on_progress))


def _read_history(
    files: Sequence[ExportFile], imported_at: datetime, on_progress: Callable[[int], None] | None
) -> Generator[HistoryBatch]:
    plans: list[_Plan] = []
    unread: list[FileReport] = []
    for number, file in enumerate(files):
        try:
            plan = _make_plan(number, file)
        except OSError as error:
            unread.append(_nothing(file, f"Not read: {reason_of(error)}. The other files were read."))
            continue
        if file.fingerprint and plan.state != file.fingerprint:
            unread.append(_nothing(file, CHANGED))
        else:
            plans.append(plan)
    if unread:
        yield _batch([], unread)
    read_bytes = 0
    with _connect() as connection:
        reader = _Reader(connection, imported_at)
        for lot in _batches(plans):
            outcomes, reports = [], []
            for outcome in _read_lot(reader, lot):
                if isinstance(outcome, FileReport):
                    reports.append(outcome)
                elif _state_on_disk(outcome.plan) != outcome.plan.state:
                    reports.append(_nothing(outcome.plan.file, CHANGED))
                else:
                    outcomes.append(outcome)
                    reports.append(_report(outcome))
            yield _batch(outcomes, reports)
            read_bytes += sum(plan.file.size_bytes for plan in lot)
            if on_progress is not None:
                on_progress(read_bytes)


def _read_lot(reader: _Reader, lot: list[_Plan]) -> list[_Outcome | FileReport]:
    try:
        return list(reader.read(lot))
    except OSError as error:
        if len(lot) > 1:
            return [one for plan in lot for one in _read_lot(reader, [plan])]
        return [_nothing(lot[0].file, f"Not read: {reason_of(error)}. The other files were read.")]
