"""Bringing clean.plays, clean.play_sources and clean.days up to date, as far as they can have changed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

import polars as pl

from spotify_assets import progress
from spotify_assets.ahead import one_ahead
from spotify_assets.arrow import RowGroups
from spotify_assets.assets.clean.evidence import Evidence, api_names
from spotify_assets.lakehouse import Transaction, lot_number
from spotify_assets.schemas import Table, clean, meta, raw, raw_api
from spotify_assets.transforms import api_plays
from spotify_assets.transforms import plays as transforms
from spotify_assets.transforms.stretches import Decided, Start, Stretches, earliest_change, start_for
from spotify_assets.transforms.zones import DatedZones, local_date

ROWS_PER_STRETCH = 60_000
"""Rows that are decided, and plays whose full rows are in memory, at once: a million would take a gigabyte."""

_HISTORY = raw.StreamingHistory.qualified_name()
_API = raw_api.RecentlyPlayed.qualified_name()
_PLAYS = clean.Plays.qualified_name()
_SOURCES = clean.PlaySources.qualified_name()
_KEYS = {"track_number": "track_key", "artist_number": "artist_key", "album_number": "album_key"}
_NOTHING_CHANGED = Start(date.max, datetime.max)

Read = Callable[..., pl.DataFrame]


class Unbalanced(Exception):
    """The plays do not tell of every source row exactly once."""


@dataclass(frozen=True)
class Update:
    """What was brought up to date.

    Attributes:
        listeners: People of whom plays are known.
        days: Rows of clean.days.
        days_written: Days of clean.plays that were changed.
        days_related: Days of clean.play_sources that were changed.
        intervals: Rows of clean.coverage.
        balance: Counts of the tables as they are now.
    """

    listeners: int
    days: int
    days_written: int
    days_related: int
    intervals: int
    balance: dict[str, int]


class _Days(NamedTuple):
    """All rows of some days of a table."""

    table: type[Table]
    rows: pl.DataFrame
    days: list[date]


def update_plays(
    transaction: Transaction,
    *,
    zones_of: Callable[[str], DatedZones],
    session_gap_minutes: int,
    outage_minutes: int,
    now: datetime,
    rows_per_stretch: int = ROWS_PER_STRETCH,
) -> Update:
    """Make clean.plays, clean.play_sources, clean.days and clean.coverage what the transforms make of the raw tables.

    Begins at the first day that can differ from what is stored, by what the stored rows were decided from.

    Raises:
        Unbalanced: A source row is missing, stands twice, or is neither a copy nor superseded.
    """
    with progress.stage("plays: read"):
        told = (raw.StreamingHistory, raw_api.RecentlyPlayed)
        listeners = pl.concat(transaction.read(table, ["listener"], distinct=True) for table in told)
        zones = {listener: zones_of(listener) for listener in listeners["listener"].unique().sort()}
        basis = _Basis(_last_change(transaction), transforms.rules_fingerprint(zones, session_gap_minutes))
        decided = transaction.read(meta.Decided, where="table_name = ?", parameters=[_PLAYS])
        is_new = decided.is_empty() or decided["sequence"].item() != basis.sequence
        evidence = Evidence.read(transaction, longest_silence=timedelta(minutes=outage_minutes), is_new=is_new)
        start = _start(transaction, basis, decided, evidence)
    days_before = transaction.read(clean.Days)
    sessions_before = transaction.read(meta.SessionDays)
    # Sums of the days that stay, then of those that are decided anew, then what is corrected.
    stays = pl.col("played_on") < (start.first_day if start else date.min)
    sums = [days_before.lazy().filter(stays)]
    sessions = [sessions_before.lazy().filter(stays)]
    if start != _NOTHING_CHANGED:
        with progress.stage("plays: read"):
            updating = _Updating(
                transaction, start, days_before, evidence, zones, session_gap_minutes, rows_per_stretch
            )
        with progress.stage("plays: write"):
            updating.write()
            sums += [part.filter(~stays) for part in updating.sums]
            sessions += [part.filter(~stays) for part in updating.sessions]
            for plays in updating.correct_scrobbles():
                sums.append(plays.select("listener", "played_on", plays_hash="play_hash"))
                sessions.append(transforms.session_sums(plays))
            _record(transaction, basis, is_whole=updating.has_rivals)
    elif is_new:
        _record(transaction, basis, is_whole=decided["is_whole"].item())
    _replace(transaction, clean.Coverage, evidence.coverage, evidence.coverage_before)
    if evidence.facts is not None:
        _replace(transaction, meta.TrackFacts, evidence.facts, evidence.facts_before)
    today = {listener: local_date(now, of_listener) for listener, of_listener in zones.items()}
    day_sums = transforms.added_up(transforms.DAY_SUMS, sums).collect().lazy()
    session_sums = transforms.added_up(transforms.SESSION_SUMS, sessions).collect().lazy()
    days = transforms.days(day_sums, session_sums, evidence.of_days(zones).lazy(), today=today).collect()
    _replace(transaction, clean.Days, days, days_before)
    _replace(transaction, meta.SessionDays, session_sums.cast({"plays_hash": pl.String}).collect(), sessions_before)
    with progress.stage("plays: balance"):
        balance = _balance(transaction)
    written, related = (
        transforms.changed_days(days.lazy(), days_before.lazy(), column).collect().height
        for column in ("plays_hash", "sources_hash")
    )
    return Update(len(zones), days.height, written, related, evidence.coverage.height, balance)


def _replace(transaction: Transaction, table: type[Table], rows: pl.DataFrame, before: pl.DataFrame) -> None:
    key = table.primary_key()
    if not rows.sort(key).equals(before.select(rows.columns).sort(key)):
        transaction.replace(table, rows)


class _Basis(NamedTuple):
    """What plays are decided from."""

    sequence: int
    rules: str


def _last_change(transaction: Transaction) -> int:
    names = [_HISTORY, _API, raw_api.Tracks.qualified_name()]
    changes = transaction.read(meta.Changes, ["sequence"], where="table_name IN (SELECT unnest(?))", parameters=[names])
    return changes["sequence"].max() or 0


def _start(transaction: Transaction, basis: _Basis, decided: pl.DataFrame, evidence: Evidence) -> Start | None:
    """Where the stored plays may begin to differ; None for everywhere."""
    if decided.is_empty() or decided["rules"].item() != basis.rules:
        return None
    changed = transaction.read(
        meta.Changes,
        ["month"],
        where="table_name IN (?, ?) AND sequence > ?",
        parameters=[_HISTORY, _API, decided["sequence"].item()],
    )
    months = (datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC) for month in changed["month"])
    instants = [*map(earliest_change, months), evidence.changed_from(transaction)]
    changed_from = min(filter(None, instants), default=None)
    if changed_from is None:
        return _NOTHING_CHANGED
    if decided["is_whole"].item() or transaction.maximum(clean.Plays, "ended_at") is None:
        return None
    return evidence.uncut(transaction, start_for(changed_from))


def _record(transaction: Transaction, basis: _Basis, *, is_whole: bool) -> None:
    decided = pl.DataFrame([(_PLAYS, *basis, is_whole)], schema=meta.Decided.polars_schema(), orient="row")
    transaction.delete_rows(meta.Decided, decided.select("table_name"))
    transaction.append(meta.Decided, decided)


class _Updating:
    """Decides from a start on and writes the days that differ.

    Attributes:
        sums: `transforms.day_sums` of what was written.
        sessions: `transforms.session_sums` of it.
        has_rivals: Rows differed in the artist of a play: who was told of last in the whole history decided.
    """

    def __init__(
        self,
        transaction: Transaction,
        start: Start | None,
        days_before: pl.DataFrame,
        evidence: Evidence,
        zones: Mapping[str, DatedZones],
        session_gap_minutes: int,
        rows_per_stretch: int,
    ) -> None:
        self.sums: list[pl.LazyFrame] = []
        self.sessions: list[pl.LazyFrame] = []
        self.has_rivals = False
        self._transaction = transaction
        self._read: Read = transaction.read
        self._start = start
        self._evidence = evidence
        self._listeners = list(zones)
        self._known = days_before.lazy().filter(pl.col("plays") > 0)
        self._stored_days = set(days_before.filter(pl.col("plays") > 0)["played_on"])
        self._rows_per_stretch = rows_per_stretch
        self._told: list[pl.DataFrame] = []
        self._asked: set[str] = set()
        told = transaction.read(raw.StreamingHistory, transforms.NAME_COLUMNS, distinct=True, **self._rows_from_start())
        if evidence.facts is not None:
            told = pl.concat([told, api_names(transaction, self._api_rows_from_start())])
        self._names = transforms.names(told.lazy()).collect()
        self._lengths = _Lengths.read(transaction, start, self._names)
        self._stretches = Stretches(
            names=self._names,
            assumed_lengths=self._lengths.assumed,
            zones=zones,
            session_gap_minutes=session_gap_minutes,
            told_last=self._told_last,
            before=_before(transaction, start, zones) if start else transforms.NOTHING,
            start=start,
            facts=evidence.facts,
        )

    def _rows_from_start(self) -> dict[str, Any]:
        return {"where": "ts >= ?", "parameters": [self._start.ts_from]} if self._start else {}

    def _api_rows_from_start(self) -> dict[str, Any]:
        return {"where": "played_at >= ?", "parameters": [self._start.ended_from]} if self._start else {}

    def write(self) -> None:
        """Decide, and write the days that differ."""
        for table in (clean.Plays, clean.PlaySources, clean.Coverage):
            # So that they exist, also where there is nothing to write.
            self._transaction.append(table, pl.DataFrame(schema=table.polars_schema()))
        _fill_new_column(self._transaction)
        plan = self._plan()
        appended = {clean.Plays: RowGroups(), clean.PlaySources: RowGroups()}
        with closing(one_ahead(self._decided_days(plan))) as written:
            for table, rows, days in (each for at_once in written for each in at_once):
                if self._stored_days.isdisjoint(days):
                    # Nothing to be deleted, which for the first import of ten years took as long as a tenth of writing.
                    for frame in appended[table].add(rows):
                        self._transaction.append(table, frame)
                else:
                    self._transaction.replace_days(table, rows, days)
        for table, groups in appended.items():
            for frame in groups.rest():
                self._transaction.append(table, frame)

    def _plan(self) -> list[tuple[datetime | None, datetime | None]]:
        """From when to when each stretch lasts: whole days, in which all rows of a minute lie."""
        ts = self._transaction.read(raw.StreamingHistory, ["ts"], **self._rows_from_start())
        if self._evidence.facts is not None:
            api = self._transaction.read(raw_api.RecentlyPlayed, ["played_at"], **self._api_rows_from_start())
            ts = pl.concat([ts, api.rename({"played_at": "ts"})])
        counts = ts.lazy().group_by(pl.col("ts").dt.date()).len().sort("ts").collect()
        starts = counts.group_by(lot_number(self._rows_per_stretch), maintain_order=True).agg(pl.col("ts").first())
        cuts = [datetime.combine(day, time(), UTC) for day in starts["ts"][1:]]
        return list(zip([self._start.ts_from if self._start else None, *cuts], [*cuts, None], strict=True))

    def _decided_days(self, plan: list[tuple[datetime | None, datetime | None]]) -> Generator[list[_Days]]:
        """What is to be written, as much of it at a time as is worth a thread's while.

        May be made in another thread than the one that writes: the rows of exports are read as they were committed.
        """
        after = self._start.first_day if self._start else date.min
        with self._transaction.committed() as self._read:
            for number, (first, until) in enumerate(plan):
                progress.report("Matching plays", number, len(plan))
                decided = self._stretches.take(*self._told_in(first, until))
                sums = (
                    transforms.day_sums(decided.plays.lazy(), decided.sources.lazy()).collect(engine="in-memory").lazy()
                )
                self.sums.append(sums)
                self.sessions.append(transforms.session_sums(decided.plays.lazy()).collect(engine="in-memory").lazy())
                before = decided.before or date.max
                is_new = pl.col("played_on").is_between(after, before, closed="left")
                if before > after:
                    yield from self._changed_days(decided, sums.filter(is_new), self._known.filter(is_new))
                    after = before

    def _told_in(
        self, first: datetime | None, until: datetime | None
    ) -> tuple[pl.DataFrame, datetime | None, pl.DataFrame | None]:
        """What `Stretches.take` takes."""
        columns = self._evidence.history_columns(until)
        history = self._read(raw.StreamingHistory, columns, **_between("ts", first, until))
        if self._evidence.facts is None:
            return history, until, None
        if "track_id" not in columns:
            history = history.with_columns(track_id=pl.lit(None, dtype=pl.String))
        rows = self._read(raw_api.RecentlyPlayed, api_plays.API_COLUMNS, **_between("played_at", first, until))
        return history, until, self._evidence.told(rows, self._names, self._listeners)

    def _changed_days(self, decided: Decided, sums: pl.LazyFrame, known: pl.LazyFrame) -> Iterator[list[_Days]]:
        hashes = pl.col("plays_hash", "sources_hash").cast(pl.String)
        told = sums.filter(pl.col("plays") > 0).with_columns(hashes)
        to_write = transforms.changed_days(told, known, "plays_hash").collect()
        plays = decided.plays.join(to_write, on="played_on", how="semi")
        counts = to_write.join(plays.group_by("played_on").len(), on="played_on", how="left").fill_null(0)
        to_relate = transforms.changed_days(told, known, "sources_hash").collect()
        sources = decided.sources.join(to_relate, on="played_on", how="semi")
        at_once = [_Days(clean.PlaySources, sources, to_relate["played_on"].to_list())]
        chunks = counts.sort("played_on").group_by(lot_number(self._rows_per_stretch), maintain_order=True)
        for _, days in chunks:
            of_days = plays.join(days, on="played_on", how="semi")
            yield [*at_once, _Days(clean.Plays, self._full_rows(of_days), days["played_on"].to_list())]
            at_once = []
        if at_once:
            yield at_once

    def _full_rows(self, plays: pl.DataFrame) -> pl.DataFrame:
        """clean.plays for decided plays."""
        told = plays.select(pl.col("ts").min().alias("first"), pl.col("ts").max().alias("last")).row(0)
        rows = self._read(raw.StreamingHistory, transforms.WRITTEN_COLUMNS, where="ts BETWEEN ? AND ?", parameters=told)
        if plays.select(api_plays.is_api().any()).item():
            of_api = self._read(
                raw_api.RecentlyPlayed,
                api_plays.WRITTEN_API_COLUMNS,
                where="played_at BETWEEN ? AND ?",
                parameters=told,
            )
            rows = pl.concat([rows, api_plays.written(of_api.lazy()).collect()], how="diagonal")
        assembled = transforms.assemble_plays(plays.lazy(), rows.lazy(), self._names.lazy())
        return (
            assembled.select(clean.Plays.column_names())
            .sort("played_on", "ended_at", "play_id")
            .collect(engine="in-memory")
        )

    def _told_last(self, artists: list[str]) -> pl.DataFrame:
        self.has_rivals = True
        unasked = sorted({*artists} - self._asked)
        if unasked:
            self._asked |= {*unasked}
            self._told.append(self._look_up_told_last(unasked))
        return pl.concat(self._told)

    def _look_up_told_last(self, artists: list[str]) -> pl.DataFrame:
        of_artists = "artist_name IN (SELECT unnest(?))"
        names = self._read(
            raw.StreamingHistory, transforms.NAME_COLUMNS, distinct=True, where=of_artists, parameters=[artists]
        )
        rows = self._read(
            raw.StreamingHistory,
            transforms.HISTORY_COLUMNS,
            where=f"ts IN (SELECT ts FROM {_HISTORY} WHERE {of_artists})",
            parameters=[artists],
        )
        return transforms.artists_told_last(rows.lazy(), transforms.names(names.lazy()), artists)

    def correct_scrobbles(self) -> list[pl.LazyFrame]:
        """Correct plays whose is_scrobble rests on a length that their track does not have, or has no more.

        Returns:
            The corrected plays: as they were, with the negative of their play_hash, and as they are.
        """
        wrong = self._lengths.wrong(self._stretches.lengths)
        if wrong.is_empty():
            return []
        plays = self._transaction.query(
            "SELECT listener, play_id, track_key, ms_played, is_finished, is_scrobble AS was_scrobble "
            f"FROM {_PLAYS} SEMI JOIN incoming_rows USING (track_key) WHERE source <> 'api'",
            incoming_rows=wrong.select("track_key"),
        )
        corrected = (
            plays.join(wrong, on="track_key")
            .with_columns(is_scrobble=transforms.is_scrobble())
            .filter(pl.col("is_scrobble").ne_missing(pl.col("was_scrobble")))
            .select("listener", "play_id", "is_scrobble")
        )
        if corrected.is_empty():
            return []
        # Hashes are added up modulo 2^64: the negative of one takes it away.
        formerly = self._hashed(corrected).with_columns(play_hash=pl.lit(0, dtype=pl.UInt64) - pl.col("play_hash"))
        self._transaction.update_rows(clean.Plays, corrected, on=["listener", "play_id"])
        return [formerly.lazy(), self._hashed(corrected).lazy()]

    def _hashed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Stored plays (listener, play_id) with their play_hash."""
        plays = self._transaction.query(
            f"SELECT plays.*, context_hash FROM {_PLAYS} AS plays SEMI JOIN incoming_rows USING (listener, play_id) "
            f"JOIN {_SOURCES} AS sources ON sources.play_id = plays.play_id AND sources.listener = plays.listener "
            f"AND rule = 'winner' JOIN {_HISTORY} AS history ON history.row_id = source_row",
            incoming_rows=rows,
        )
        return transforms.with_play_hash(plays.lazy()).collect(engine="in-memory")


class _Lengths(NamedTuple):
    """Lengths of tracks (track_number, length_ms).

    Attributes:
        assumed: Of the whole history, as its rows tell: may be too long, where a row that tells a track's end does not
            win its play.
        before: As the plays before the start tell.
        stored: As all stored plays tell, with track_key: what the flags before the start rest on. None without start.
        names: Keys of the tracks from the start on.
    """

    assumed: pl.DataFrame
    before: pl.DataFrame
    stored: pl.DataFrame | None
    names: pl.DataFrame

    @classmethod
    def read(cls, transaction: Transaction, start: Start | None, names: pl.DataFrame) -> _Lengths:
        keys = names.select("track_key", "track_number").drop_nulls().unique()
        nothing = transforms.NO_LENGTHS
        before, stored = nothing, None
        if start:
            stored = transaction.query(
                "SELECT track_key, max(ms_played) FILTER (ended_at < ?) AS before_ms, max(ms_played) AS length_ms "
                f"FROM {_PLAYS} WHERE is_finished AND track_key IS NOT NULL GROUP BY ALL",
                [start.ended_from],
            ).with_columns(track_number=transforms.numbered("track_key"))
            before = stored.select("track_number", length_ms="before_ms").drop_nulls()
        if transaction.maximum(raw.StreamingHistory, "row_id") is None:
            return cls(nothing, before, stored, keys)
        told = transaction.query(
            f"SELECT names_hash, says, max(ms_played) AS ms_played FROM {_HISTORY} "
            "WHERE reason_end = ? AND names_hash IS NOT NULL AND ts >= coalesce(?, ts) GROUP BY ALL",
            [transforms.FINISHED_REASON, start.ts_from if start else None],
        )
        assumed = transforms.longest(pl.concat([before.lazy(), transforms.told_lengths(told.lazy(), names.lazy())]))
        return cls(assumed.collect(), before, stored, keys)

    def wrong(self, decided: pl.DataFrame) -> pl.DataFrame:
        """track_key and true length_ms of the tracks that plays may have been given another length of.

        Args:
            decided: `transforms.lengths` from the start on.
        """
        true = transforms.longest(pl.concat([self.before, decided]).lazy())
        number, length = "track_number", pl.col("length_ms")
        assumed = self.assumed.lazy().rename({"length_ms": "assumed_ms"})
        compared = true.join(assumed, on=number, how="full", coalesce=True)
        differs = length.ne_missing(pl.col("assumed_ms"))
        keys = self.names
        if self.stored is not None:
            stored = self.stored.lazy().select(number, stored_ms="length_ms")
            compared = compared.join(stored, on=number, how="full", coalesce=True)
            differs |= length.ne_missing(pl.col("stored_ms"))
            keys = pl.concat([keys, self.stored.select(keys.columns)]).unique(number)
        wrong = compared.filter(differs).join(keys.lazy(), on=number, how="inner")
        return wrong.select("track_key", "length_ms").collect()


def _before(transaction: Transaction, start: Start, zones: Mapping[str, DatedZones]) -> transforms.Before:
    """What the stored plays tell of the time before the start."""
    last = transaction.query(
        "SELECT listener, max(ended_at) AS ended_at, arg_max(session_id, ended_at) AS session_id, "
        f"arg_max(session_started_on, ended_at) AS session_started_on FROM {_PLAYS} WHERE ended_at < ? GROUP BY ALL",
        [start.ended_from],
    )
    hashed = transforms.text_hashes("listener", zones).alias("listener_hash")
    known = {}
    for number, key in _KEYS.items():
        first = transaction.query(
            f"SELECT listener, {key} FROM {_PLAYS} WHERE is_first_play_of_{key.removesuffix('_key')} AND ended_at < ?",
            [start.ended_from],
        )
        heard = transforms.heard(pl.col("listener_hash"), transforms.numbered(key))
        known[number] = first.with_columns(hashed).select(heard=heard)
    return transforms.Before(last.with_columns(hashed).select(transforms.NOTHING.last.columns), known)


def _between(column: str, first: datetime | None, until: datetime | None) -> dict[str, Any]:
    bounds = [(f"{column} {sign} ?", bound) for sign, bound in ((">=", first), ("<", until)) if bound]
    return {"where": " AND ".join(sql for sql, _ in bounds), "parameters": [bound for _, bound in bounds]}


def _fill_new_column(transaction: Transaction) -> None:
    """Plays of homes that are older than the column: of none of them the Web API told."""
    if transaction.execute(f"SELECT count(*) FROM {_PLAYS} WHERE is_unverified IS NULL")[0][0]:
        transaction.execute(f"UPDATE {_PLAYS} SET is_unverified = false WHERE is_unverified IS NULL")
        transaction.mark_changed(clean.Plays)


def _balance(transaction: Transaction) -> dict[str, int]:
    """Count what is stored.

    That every source row stands in clean.play_sources once, and every play has one winner, is told by sums of hashes:
    to look for each by its number would take more than all the rest of a new day.

    Raises:
        Unbalanced: A source row is missing, stands twice, or is neither a copy nor superseded; or a play is missing or
            stands twice.
    """
    rows_of_exports, export_hashes = _rows_and_hashes(transaction, raw.StreamingHistory)
    rows_of_api, api_hashes = _rows_and_hashes(transaction, raw_api.RecentlyPlayed)
    of_api = f"source_table = '{_API}'"
    sources = transaction.query(
        f"SELECT count(*) AS source_rows, count(*) FILTER ({of_api}) AS api_rows, "
        f"sum(hash(source_row)) FILTER (NOT {of_api}) AS export_hashes, "
        f"sum(hash(source_row)) FILTER ({of_api}) AS api_hashes, "
        "count(*) FILTER (rule IN ('superseded', 'basic_of_extended')) AS superseded, "
        "count(*) FILTER (rule = 'winner') AS winners, sum(hash(play_id)) FILTER (rule = 'winner') AS play_hashes "
        f"FROM {_SOURCES}"
    ).row(0, named=True)
    plays = transaction.query(
        "SELECT count(*) AS plays, sum(hash(play_id)) AS hashes, "
        f"coalesce(sum(copies) FILTER (source <> 'api'), 0)::BIGINT AS copies FROM {_PLAYS}"
    ).row(0, named=True)
    counts = {
        "rows_of_exports": rows_of_exports,
        "rows_of_api": rows_of_api,
        **{name: sources[name] for name in ("source_rows", "winners", "superseded")},
        **{name: plays[name] for name in ("plays", "copies")},
    }
    is_even = (
        rows_of_exports == sources["source_rows"] - sources["api_rows"] == plays["copies"] + sources["superseded"]
        and rows_of_api == sources["api_rows"]
        and (export_hashes, api_hashes) == (sources["export_hashes"], sources["api_hashes"])
        and plays["plays"] == sources["winners"]
        and plays["hashes"] == sources["play_hashes"]
    )
    if not is_even:
        raise Unbalanced(
            f"The plays do not balance with the rows that tell of them ({counts}). Nothing was written: clean.plays is "
            "as it was before this run. This is a defect of the transform, please report it with these counts."
        )
    return counts


def _rows_and_hashes(transaction: Transaction, table: type[Table]) -> tuple[int, int | None]:
    if transaction.maximum(table, "row_id") is None:
        return 0, None
    counted = transaction.query(f"SELECT count(*), sum(hash(row_id)) FROM {table.qualified_name()}")
    return counted.row(0)
