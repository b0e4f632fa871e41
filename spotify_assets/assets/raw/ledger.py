"""One import, whole or not at all: match, store, tell the ledger, check the sums."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import dagster as dg
import polars as pl

from spotify_assets import progress
from spotify_assets.exports import (
    READER_VERSION,
    ExportFile,
    FileReport,
    Found,
    HistoryBatch,
    Problem,
    read_history,
    read_library,
)
from spotify_assets.lakehouse import Transaction, lot_number
from spotify_assets.schemas import Table, raw
from spotify_assets.transforms import streaming_history, told_rows

_HISTORY_KINDS = ("extended", "basic")
_LIBRARY_TABLES: dict[str, type[Table]] = {"library": raw.LibraryItems, "playlists": raw.LibraryPlaylistItems}
_ROW_TABLES: tuple[type[Table], ...] = (raw.StreamingHistory, *_LIBRARY_TABLES.values())

ROWS_PER_MATCH = 200_000
"""A million rows and what is decided of them take 0.7 GB at once."""


@dataclass
class ImportReport:
    """What one import did, for the run's metadata and the command line.

    Attributes:
        import_id: Number of the import; 0 when nothing was recorded.
        files: Rows of raw.imports that it added, as dictionaries.
        ignored: Files that were left unread.
        repeated: Files that came in twice with this import.
        problems: What a person must know.
    """

    import_id: int = 0
    files: list[dict[str, Any]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    forgotten_rows: int = 0

    def rows(self, column: str) -> int:
        return sum(file[column] for file in self.files)

    def metadata(self) -> dict[str, Any]:
        """The report as metadata of a materialization: names of files and counts, nothing that a person heard."""
        counts = {name: self.rows(name) for name in ("rows_in", "rows_new", "rows_known", "rows_rejected")}
        return {
            "import_id": self.import_id,
            "forgotten_rows": self.forgotten_rows,
            **counts,
            "files": dg.MetadataValue.json(
                [
                    {
                        **{name: file[name] for name in ("export_name", "file_name", "kind", "generation", *counts)},
                        "unknown_keys": json.loads(file["unknown_keys"] or "{}"),
                    }
                    for file in self.files
                ]
            ),
            "ignored": dg.MetadataValue.json(self.ignored),
            "repeated": dg.MetadataValue.json(self.repeated),
            "rejected_by_reason": dg.MetadataValue.json(self.rejected_by_reason),
            "problems": dg.MetadataValue.json(
                [
                    {"file": problem.file, "message": problem.message, "is_damage": problem.is_damage}
                    for problem in self.problems
                ]
            ),
        }


def _next_number(transaction: Transaction, table: type[Table], column: str) -> int:
    highest = transaction.maximum(table, column)
    return 1 if highest is None else highest + 1


def import_exports(
    transaction: Transaction,
    found: Found,
    *,
    listener: str,
    imported_at: datetime,
    rows_per_match: int = ROWS_PER_MATCH,
) -> ImportReport:
    """Take in what `find_exports` found.

    Files known by sha256 are not read again: their rows are known, and the ledger says so.

    Args:
        rows_per_match: Rows of an export that are matched with what is stored at once, at least those of a day.

    Raises:
        dagster.Failure: The sums of a file do not balance; the transaction is then rolled back.
    """
    report = ImportReport(ignored=list(found.ignored), repeated=list(found.repeated), problems=list(found.problems))
    if not found.files:
        return report
    report.import_id = _next_number(transaction, raw.Imports, "import_id")
    ledger = transaction.read(raw.Imports)
    known = {row["sha256"]: row for row in ledger.filter(pl.col("listener") == listener).iter_rows(named=True)}
    next_file_id = _next_number(transaction, raw.Imports, "file_id")
    file_ids: dict[str, int] = {}
    for file in found.files:
        if file.sha256 in known:
            file_ids[file.sha256] = known[file.sha256]["file_id"]
        else:
            file_ids[file.sha256] = next_file_id
            next_file_id += 1

    to_read: list[ExportFile] = []
    for file in found.files:
        if file.sha256 in known and not _must_be_read_again(transaction, known[file.sha256], imported_at):
            report.files.append(_known_file(file, known[file.sha256], report.import_id, imported_at))
        else:
            to_read.append(file)

    context = _Import(transaction, listener, report.import_id, imported_at, file_ids, report, rows_per_match)
    context.take_history([file for file in to_read if file.kind in _HISTORY_KINDS])
    context.take_libraries([file for file in to_read if file.kind in _LIBRARY_TABLES])
    _set_snapshots(report.files, found.files, file_ids)
    _check_balance(report.files)
    if report.files:
        transaction.append(raw.Imports, pl.DataFrame(report.files, schema=raw.Imports.polars_schema()))
    else:
        report.import_id = 0
    return report


def _must_be_read_again(transaction: Transaction, known: dict[str, Any], imported_at: datetime) -> bool:
    """Whether reading a known file anew could give other rows: a newer reader, or rows that lay in the future."""
    if known["reader_version"] < READER_VERSION:
        return True
    if not known["rows_rejected"] or imported_at <= known["imported_at"] + timedelta(hours=1):
        return False
    reasons = transaction.read(raw.RejectedRows, ["reason"], where="file_id = ?", parameters=(known["file_id"],))
    return bool(reasons["reason"].str.contains("after the import").any())


def _known_file(file: ExportFile, known: dict[str, Any], import_id: int, imported_at: datetime) -> dict[str, Any]:
    return {
        **known,
        "import_id": import_id,
        "imported_at": imported_at,
        "file_name": file.file_name,
        "export_name": file.export_name,
        "rows_new": 0,
        "rows_known": known["rows_in"] - known["rows_rejected"],
    }


def _set_snapshots(rows: list[dict[str, Any]], files: Sequence[ExportFile], file_ids: dict[str, int]) -> None:
    """Date library files: the last play of their export, or failing that the file's own time.

    A file's time changes when it is copied; the history beside it does not.
    """
    of_file = {file_ids[file.sha256]: file for file in files}
    last_ts: dict[int, datetime] = {}
    for row in rows:
        if row["last_ts"] is not None:
            number = of_file[row["file_id"]].export_number
            last_ts[number] = max(row["last_ts"], last_ts.get(number, row["last_ts"]))
    for row in rows:
        if row["kind"] in _LIBRARY_TABLES and row["snapshot_at"] is None:
            file = of_file[row["file_id"]]
            row["snapshot_at"] = last_ts.get(file.export_number, file.modified_at)


def _check_balance(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        if row["rows_in"] != row["rows_new"] + row["rows_known"] + row["rows_rejected"]:
            raise dg.Failure(
                description=(
                    f"{row['file_name']} does not balance: {row['rows_in']} rows in, {row['rows_new']} new, "
                    f"{row['rows_known']} known, {row['rows_rejected']} rejected. Nothing of this import was stored. "
                    "This is a defect of the importer, please report it with these counts."
                ),
                allow_retries=False,
            )


def _is_unread(report: FileReport) -> bool:
    """Whether nothing could be taken from a file: recorded, its checksum would count as known for ever."""
    return report.rows_in == 0 and any(problem.is_damage for problem in report.problems)


@dataclass
class _Import:
    """An import in progress."""

    transaction: Transaction
    listener: str
    import_id: int
    imported_at: datetime
    file_ids: dict[str, int]
    report: ImportReport
    rows_per_match: int

    def take_history(self, files: list[ExportFile]) -> None:
        """Store the history of each export in turn and match it with what is stored."""
        size_bytes = sum(file.size_bytes for file in files)
        read_bytes = 0

        def on_progress(done_bytes: int) -> None:
            progress.report("Reading plays", read_bytes + done_bytes, size_bytes)

        for export_number in sorted({file.export_number for file in files}):
            of_export = [file for file in files if file.export_number == export_number]
            self._take_export(of_export, on_progress)
            read_bytes += sum(file.size_bytes for file in of_export)

    def _take_export(self, files: list[ExportFile], on_progress: Any) -> None:
        first_row_id = _next_number(self.transaction, raw.StreamingHistory, "row_id")
        reports: list[FileReport] = []
        batches = read_history(files, imported_at=self.imported_at, on_progress=on_progress)
        with progress.stage("store"):
            self.transaction.append(raw.StreamingHistory, self._rows(batches, files, first_row_id, reports))
        with progress.stage("match"):
            matched = self._match(first_row_id)
        for file_report in reports:
            id_ = self.file_ids[file_report.file.sha256]
            self.report.problems.extend(file_report.problems)
            if _is_unread(file_report):
                continue
            rows_new, rows_known = matched.get(id_, (0, 0))
            self._record(file_report, rows_new=rows_new, rows_known=rows_known)

    def _rows(
        self,
        batches: Iterator[HistoryBatch],
        files: list[ExportFile],
        first_row_id: int,
        reports: list[FileReport],
    ) -> Iterator[pl.DataFrame]:
        """Rows of raw.streaming_history; stores the rejected ones and extends `reports` on the way."""
        file_id = pl.col("file_number").replace_strict(
            {number: self.file_ids[file.sha256] for number, file in enumerate(files)}, return_dtype=pl.Int64
        )
        next_row_id = first_row_id
        for batch in progress.staged("parse", batches):
            reports.extend(batch.reports)
            self._reject(batch.rejected.with_columns(file_id=file_id), files)
            rows = batch.rows.with_columns(
                listener=pl.lit(self.listener),
                import_id=pl.lit(self.import_id, dtype=pl.Int64),
                file_id=file_id,
                row_id=pl.int_range(next_row_id, next_row_id + pl.len(), dtype=pl.Int64),
                occurrence=pl.lit(1, dtype=pl.Int64),
                says=streaming_history.says(),
            )
            next_row_id += rows.height
            yield rows.select(raw.StreamingHistory.column_names())

    def _match(self, first_row_id: int) -> dict[int, tuple[int, int]]:
        """Decide which of the rows just stored were known, take those out again, and note who told what.

        Rows are only ever known by rows of the same instant, so that a stretch of time can be matched by itself: all
        of a large export at once took more memory than anything else.

        Returns:
            Rows that are new and rows that were known, by file_id.
        """
        counts: dict[int, tuple[int, int]] = {}
        just_stored = self.transaction.read(
            raw.StreamingHistory, ["file_id", "ts"], where="row_id >= ?", parameters=(first_row_id,)
        )
        self._forget_told(raw.StreamingHistory, just_stored.select(pl.col("file_id").unique()))
        days = just_stored.group_by(day=pl.col("ts").dt.date()).len().sort("day")
        del just_stored
        stretches = days.group_by(lot_number(self.rows_per_match).alias("lot"), maintain_order=True)
        for _, first, last in stretches.agg(first=pl.col("day").min(), last=pl.col("day").max()).rows():
            decisions = self._match_stretch(first_row_id, first, last)
            counted = decisions.group_by("file_id").agg(new=pl.col("is_new").sum(), rows=pl.len())
            for file_id, new, rows in counted.iter_rows():
                rows_new, rows_known = counts.get(file_id, (0, 0))
                counts[file_id] = (rows_new + new, rows_known + rows - new)
        return counts

    def _match_stretch(self, first_row_id: int, first: date, last: date) -> pl.DataFrame:
        """As `_match`, for rows of the days (UTC) from `first` to `last`: file_id and is_new of each of them."""
        span = (datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC))
        incoming = self.transaction.read(
            raw.StreamingHistory,
            ["file_id", "row_number", *streaming_history.STORED_COLUMNS],
            where="row_id >= ? and ts between ? and ?",
            parameters=(first_row_id, *span),
        )
        stored = self.transaction.read(
            raw.StreamingHistory,
            streaming_history.STORED_COLUMNS,
            where="listener = ? and row_id < ? and ts between ? and ?",
            parameters=(self.listener, first_row_id, *span),
        )
        # The order in which a database hands its rows over must not decide which of two equal rows is the new one.
        decisions = streaming_history.match_export(incoming.sort("row_id"), stored.sort("row_id")).join(
            incoming.select("row_id", "file_id", "row_number"), on="row_id"
        )
        self.transaction.delete_rows(raw.StreamingHistory, decisions.filter(~pl.col("is_new")).select("row_id"))
        self.transaction.update_rows(
            raw.StreamingHistory,
            decisions.filter(pl.col("is_new") & (pl.col("occurrence") > 1)).select("row_id", "occurrence"),
            on=["row_id"],
        )
        self._tell(raw.StreamingHistory, decisions.select("file_id", "row_number", row_id="told_row_id"))
        return decisions.select("file_id", "is_new")

    def _tell(self, table: type[Table], told: pl.DataFrame) -> None:
        """Note that files told rows."""
        # Two rows of a file that say nothing new may both be known by one stored row.
        told = told.sort("row_number").unique(["file_id", "row_id"], keep="first", maintain_order=True)
        name = pl.lit(table.qualified_name()).alias("source_table")
        runs = told_rows.in_runs(told.lazy().with_columns(name)).collect()
        self.transaction.append(raw.ToldRows, runs.select(raw.ToldRows.column_names()))

    def _forget_told(self, table: type[Table], file_ids: pl.DataFrame) -> None:
        """Forget what an earlier reading of the same files noted."""
        name = pl.lit(table.qualified_name()).alias("source_table")
        self.transaction.delete_rows(raw.ToldRows, file_ids.with_columns(name))

    def _reject(self, rejected: pl.DataFrame, files: list[ExportFile]) -> None:
        if rejected.is_empty():
            return
        names = {self.file_ids[file.sha256]: file.file_name for file in files}
        self.transaction.delete_rows(raw.RejectedRows, rejected.select(pl.col("file_id").unique()))
        self.transaction.append(
            raw.RejectedRows,
            rejected.with_columns(
                listener=pl.lit(self.listener),
                import_id=pl.lit(self.import_id, dtype=pl.Int64),
                file_name=pl.col("file_id").replace_strict(names, return_dtype=pl.String),
            ).select(raw.RejectedRows.column_names()),
        )
        # "ms_played is negative (-4)." and "… (-7)." are one reason.
        reasons = rejected.select(pl.col("reason").str.replace(r" \(.*\)\.?$", ""))
        for reason, rows in reasons.group_by("reason").len().iter_rows():
            self.report.rejected_by_reason[reason] = self.report.rejected_by_reason.get(reason, 0) + rows

    def _record(self, file_report: FileReport, *, rows_new: int, rows_known: int) -> None:
        file = file_report.file
        self.report.files.append(
            {
                "listener": self.listener,
                "import_id": self.import_id,
                "file_name": file.file_name,
                "sha256": file.sha256,
                "kind": file.kind,
                "generation": file_report.generation,
                "rows_in": file_report.rows_in,
                "rows_new": rows_new,
                "rows_known": rows_known,
                "rows_rejected": file_report.rows_rejected,
                "first_ts": file_report.first_ts,
                "last_ts": file_report.last_ts,
                "imported_at": self.imported_at.astimezone(UTC),
                "export_name": file.export_name,
                "file_id": self.file_ids[file.sha256],
                "unknown_keys": json.dumps(file_report.unknown_keys) if file_report.unknown_keys else None,
                "snapshot_at": None,
                "reader_version": READER_VERSION,
            }
        )

    def take_libraries(self, files: list[ExportFile]) -> None:
        """Store library and playlist files: entries that an earlier file told are known."""
        for file in files:
            table = _LIBRARY_TABLES[file.kind]
            library = read_library(file)
            self.report.problems.extend(library.report.problems)
            if _is_unread(library.report):
                continue
            file_id = self.file_ids[file.sha256]
            key = ["row_hash", "occurrence"]
            rows = library.rows.with_columns(occurrence=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("row_hash"))
            stored = self.transaction.read(table, ["row_id", *key], where="listener = ?", parameters=(self.listener,))
            matched = rows.join(stored, on=key, how="left", maintain_order="left")
            next_row_id = _next_number(self.transaction, table, "row_id")
            is_new = pl.col("row_id").is_null()
            matched = matched.with_columns(
                is_new=is_new,
                row_id=pl.coalesce("row_id", next_row_id - 1 + is_new.cast(pl.Int64).cum_sum()),
                listener=pl.lit(self.listener),
                import_id=pl.lit(self.import_id, dtype=pl.Int64),
                file_id=pl.lit(file_id, dtype=pl.Int64),
            )
            new = matched.filter("is_new")
            self.transaction.append(table, new.select(table.column_names()))
            self._forget_told(table, matched.select(pl.col("file_id").unique()))
            self._tell(table, matched.select("file_id", "row_number", "row_id"))
            self._reject(library.rejected.with_columns(file_id=pl.lit(file_id, dtype=pl.Int64)), [file])
            self._record(library.report, rows_new=new.height, rows_known=matched.height - new.height)


def forget_import(transaction: Transaction, import_id: int) -> ImportReport:
    """Take an import back.

    Its files are forgotten unless another import brought them too; rows that no other file told go, the rest stay.

    Raises:
        dagster.Failure: There is no such import.
    """
    ledger = transaction.read(raw.Imports)
    gone = ledger.filter(pl.col("import_id") == import_id)
    if gone.is_empty():
        known = ", ".join(str(id_) for id_ in ledger["import_id"].unique().sort()) or "none"
        raise dg.Failure(
            description=f"There is no import {import_id}. Nothing was changed. Imports are: {known} "
            "(`spotify-assets imports` lists them).",
            allow_retries=False,
        )
    kept = ledger.filter(pl.col("import_id") != import_id)
    lost_files = gone.join(kept, on="file_id", how="anti").select("file_id").unique()
    transaction.delete_rows(raw.Imports, gone.select("import_id").unique())
    transaction.delete_rows(raw.RejectedRows, lost_files)
    _hand_over(transaction, raw.RejectedRows, import_id, kept)

    forgotten_rows = 0
    told = told_rows.one_by_one(transaction.read(raw.ToldRows).lazy()).collect()
    still_told = told.join(lost_files, on="file_id", how="anti")
    earliest = kept.group_by("file_id").agg(pl.col("import_id").min())
    for table in _ROW_TABLES:
        of_table = pl.col("source_table") == table.qualified_name()
        lost_rows = (
            told.filter(of_table)
            .join(still_told.filter(of_table), on="row_id", how="anti")
            .select(pl.col("row_id").unique())
        )
        transaction.delete_rows(table, lost_rows)
        forgotten_rows += lost_rows.height
        # A row that stays was told by another import: from now on by the earliest of those.
        orphans = (
            transaction.read(table, ["row_id"], where="import_id = ?", parameters=(import_id,))
            .join(still_told.filter(of_table), on="row_id")
            .join(earliest, on="file_id")
        )
        transaction.update_rows(
            table,
            orphans.sort("import_id", "file_id")
            .unique("row_id", keep="first", maintain_order=True)
            .select("row_id", "import_id", "file_id", "row_number"),
            on=["row_id"],
        )
    transaction.delete_rows(raw.ToldRows, lost_files)
    return ImportReport(import_id=import_id, forgotten_rows=forgotten_rows)


def _hand_over(transaction: Transaction, table: type[Table], import_id: int, kept: pl.DataFrame) -> None:
    """Let quarantined rows of files that other imports brought too belong to the earliest of those."""
    files = transaction.read(table, ["file_id"], where="import_id = ?", parameters=(import_id,)).unique()
    earliest = kept.join(files, on="file_id").group_by("file_id").agg(pl.col("import_id").min())
    transaction.update_rows(table, earliest, on=["file_id"])
