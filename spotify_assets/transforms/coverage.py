"""From when to when a listener's plays are told, provably missing or unwatched, and what that means for each day.

A response with the last plays tells all plays from its oldest to its newest one. Between two such stretches plays may
be missing, and provably so where the later response was full: it would have told of earlier plays if it could. Told
from the stretches, not from what was stored at the time, this is the same in whatever order responses were taken in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import islice, pairwise, zip_longest

import polars as pl

from spotify_assets.schemas import clean
from spotify_assets.transforms.zones import DatedZones, day_start, local_date, local_times

POLL_COLUMNS = [
    "listener",
    "polled_at",
    "outcome",
    "oldest_played_at",
    "newest_played_at",
    "newest_known_at",
    "is_full",
    "is_gap_provable",
]
"""Columns of raw.polls that are needed."""

IMPORT_COLUMNS = ["listener", "import_id", "export_name", "kind", "first_ts", "last_ts"]
"""Columns of raw.imports that are needed."""

CLOCKS_APART = timedelta(seconds=60)
"""How much later than an export the Web API may say that a play ended."""

EXPORT, GAP, OUTAGE = "export", "gap", "outage"
_WHOLE, _PART, _NONE = "whole", "part", "none"
_INTERVAL = ["listener", "started_at", "ended_at"]
_COUNTS = ["polls", "polls_failed", "gaps", "gap_ms", "outages", "outage_ms"]

DAY_EVIDENCE = [*_COUNTS, "export_coverage"]
"""Columns of `day_evidence` beside listener and day, as clean.days has them."""


def coverage(polls: pl.DataFrame, imports: pl.DataFrame, *, longest_silence: timedelta) -> pl.DataFrame:
    """clean.coverage.

    Args:
        polls: raw.polls with POLL_COLUMNS.
        imports: raw.imports with IMPORT_COLUMNS.
        longest_silence: An outage is a longer time without a successful poll.
    """
    exports = _exports(imports)
    told = {EXPORT: exports, GAP: _uncovered(_gaps(polls), exports), OUTAGE: _outages(polls, longest_silence)}
    rows = pl.concat(
        intervals.select(pl.lit(kind).alias("kind"), *_INTERVAL) for kind, intervals in told.items()
    ).select(clean.Coverage.column_names())
    return rows.cast(dict(clean.Coverage.polars_schema())).sort("listener", "kind", "started_at")


def _exports(imports: pl.DataFrame) -> pl.DataFrame:
    """The time of each export from its first to its last row, overlapping ones joined."""
    of_history = pl.col("kind").is_in(["extended", "basic"]) & pl.col("first_ts").is_not_null()
    ordered = (
        imports.filter(of_history)
        .group_by("listener", "import_id", "export_name", "kind")
        .agg(started_at=pl.col("first_ts").min(), ended_at=pl.col("last_ts").max())
        .sort("listener", "started_at")
    )
    reached = pl.col("ended_at").cum_max().shift(1).over("listener")
    return (
        ordered.with_columns(group=(pl.col("started_at") > reached).fill_null(True).cum_sum())
        .group_by("listener", "group")
        .agg(pl.col("started_at").min(), pl.col("ended_at").max())
        .select(_INTERVAL)
        .sort(_INTERVAL)
    )


def _gaps(polls: pl.DataFrame) -> pl.DataFrame:
    """Times between what two responses told, of which the later one was full."""
    stretches = polls.filter(pl.col("oldest_played_at").is_not_null()).select(
        "listener", "is_full", first="oldest_played_at", last="newest_played_at"
    )
    # A play that was known before counts as told, also where the response that told it is not there any more.
    known = polls.filter(pl.col("is_gap_provable") & pl.col("newest_known_at").is_not_null()).select(
        "listener", is_full=pl.lit(False), first="newest_known_at", last="newest_known_at"
    )
    ordered = pl.concat([stretches, known]).sort("listener", "first", "is_full")
    reached = pl.col("last").cum_max().shift(1).over("listener")
    return (
        ordered.with_columns(started_at=reached)
        .filter(pl.col("is_full") & (pl.col("first") > pl.col("started_at")))
        .select("listener", "started_at", ended_at="first")
    )


def _uncovered(gaps: pl.DataFrame, exports: pl.DataFrame) -> pl.DataFrame:
    """The parts of gaps that no export tells of."""
    of_listener: dict[str, list[tuple[datetime, datetime]]] = {}
    for listener, first, last in exports.rows():
        of_listener.setdefault(listener, []).append((first, last))
    left = [
        (listener, *part)
        for listener, first, last in gaps.rows()
        for part in _without(first, last, of_listener.get(listener, []))
    ]
    return pl.DataFrame(left, schema=gaps.schema, orient="row")


def _without(
    first: datetime, last: datetime, covered: Iterable[tuple[datetime, datetime]]
) -> Iterator[tuple[datetime, datetime]]:
    shortest = timedelta(0)
    for begin, end in covered:
        if end > first and begin < last:
            if begin - first > max(shortest, CLOCKS_APART):
                yield first, begin
            # The play that ends the gap is the export's last one, by the other clock.
            first, shortest = max(first, end), CLOCKS_APART
    if last - first > shortest:
        yield first, last


def _outages(polls: pl.DataFrame, longest: timedelta) -> pl.DataFrame:
    rows = []
    ordered = polls.select("listener", "polled_at", is_success=pl.col("outcome") == "told").sort(
        "listener", "polled_at"
    )
    for (listener,), of_listener in ordered.group_by("listener", maintain_order=True):
        successes = of_listener.filter("is_success")["polled_at"].to_list()
        if successes:
            # Ongoing as far as failures tell; of a computer that is switched off nobody knows until it is on again.
            instants = [*successes, max(successes[-1], of_listener["polled_at"][-1])]
            rows += [(listener, first, last) for first, last in pairwise(instants) if last - first > longest]
    instant = pl.Datetime("us", "UTC")
    return pl.DataFrame(rows, schema={"listener": pl.String, "started_at": instant, "ended_at": instant}, orient="row")


def first_difference(before: pl.DataFrame, now: pl.DataFrame) -> datetime | None:
    """The earliest instant from which on plays may be decided otherwise by another clean.coverage; None for none."""
    differences = []
    bounds, bounds_before = _bounds(now), _bounds(before)
    for key in bounds.keys() | bounds_before.keys():
        pairs = zip_longest(bounds.get(key, []), bounds_before.get(key, []))
        differences += [min(filter(None, pair)) for pair in islice((pair for pair in pairs if pair[0] != pair[1]), 1)]
    return min(differences, default=None)


def _bounds(coverage: pl.DataFrame) -> dict[tuple[str, str], list[datetime]]:
    """Begins and ends by turns, of exports and gaps of each listener. Outages decide nothing about plays."""
    bounds: dict[tuple[str, str], list[datetime]] = {}
    ordered = coverage.filter(pl.col("kind") != OUTAGE).sort("started_at")
    for listener, kind, first, last in ordered.select("listener", "kind", "started_at", "ended_at").rows():
        bounds.setdefault((listener, kind), []).extend((first, last))
    return bounds


def day_evidence(polls: pl.DataFrame, coverage: pl.DataFrame, zones: Mapping[str, DatedZones]) -> pl.DataFrame:
    """What clean.days tells of each day besides its plays, for days of which there is anything to tell.

    Args:
        polls: raw.polls with POLL_COLUMNS.
        coverage: Result of `coverage`.
        zones: Of each listener whose days are asked for.

    Returns:
        listener, played_on, DAY_EVIDENCE.
    """
    key = ["listener", "played_on"]
    told = polls.filter(pl.col("listener").is_in(list(zones)))
    polled = (
        told.with_columns(**local_times(zones, ["polled_at"]))
        .group_by("listener", played_on=pl.col("polled_at_local").dt.date())
        .agg(polls=pl.len().cast(pl.Int64), polls_failed=(pl.col("outcome") != "told").sum().cast(pl.Int64))
    )
    parts = [
        (listener, day, kind, ms, is_whole)
        for listener, kind, first, last in coverage.rows()
        if listener in zones
        for day, ms, is_whole in _days_of(first, last, zones[listener])
    ]
    schema = {"listener": pl.String, "played_on": pl.Date, "kind": pl.String, "ms": pl.Int64, "is_whole": pl.Boolean}
    is_gap, is_outage = pl.col("kind") == GAP, pl.col("kind") == OUTAGE
    of_export = pl.col("is_whole").filter(pl.col("kind") == EXPORT)
    of_days = (
        pl.DataFrame(parts, schema=schema, orient="row")
        .group_by(key)
        .agg(
            gaps=is_gap.sum().cast(pl.Int64),
            gap_ms=pl.col("ms").filter(is_gap).sum(),
            outages=is_outage.sum().cast(pl.Int64),
            outage_ms=pl.col("ms").filter(is_outage).sum(),
            export_coverage=pl.when(of_export.any())
            .then(pl.lit(_WHOLE))
            .when(of_export.len() > 0)
            .then(pl.lit(_PART))
            .otherwise(pl.lit(_NONE)),
        )
    )
    return with_no_evidence(polled.join(of_days, on=key, how="full", coalesce=True)).select(*key, *DAY_EVIDENCE)


def with_no_evidence(days: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame | pl.LazyFrame:
    """Fill DAY_EVIDENCE where nothing is known."""
    return days.with_columns(pl.col(_COUNTS).fill_null(0), pl.col("export_coverage").fill_null(_NONE))


def evidence_numbers() -> list[pl.Expr]:
    """DAY_EVIDENCE as whole numbers."""
    coverage = pl.col("export_coverage").replace_strict({_NONE: 0, _PART: 1, _WHOLE: 2}, return_dtype=pl.Int64)
    return [*map(pl.col, _COUNTS), coverage]


def _days_of(first: datetime, last: datetime, zones: DatedZones) -> Iterator[tuple[date, int, bool]]:
    """Each local day of a time, how much of it, and whether all of it."""
    day = local_date(first, zones)
    begin = day_start(day, zones)
    while begin < last:
        following = day + timedelta(days=1)
        end = day_start(following, zones)
        part = min(last, end) - max(first, begin)
        if part > timedelta(0):
            yield day, part // timedelta(milliseconds=1), part == end - begin
        day, begin = following, end
