"""Plays that the Web API told of: which of them exports tell too, and how long the others lasted.

https://developer.spotify.com/documentation/web-api/reference/get-recently-played tells when a play ended and what was
played, not for how long. An export that comes later tells the same play with its true length, by another clock and
maybe by another id of the same recording.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

from spotify_assets.schemas import raw_api
from spotify_assets.transforms.coverage import CLOCKS_APART, EXPORT, GAP
from spotify_assets.transforms.hashing import as_identifier, text_hashes, with_row_hash
from spotify_assets.transforms.names import title_key

API_TABLE = raw_api.RecentlyPlayed.qualified_name()

API_COLUMNS = [
    "listener",
    "played_at",
    "item_hash",
    "row_id",
    "track_id",
    "track_name",
    "artist_name",
    "album_name",
    "album_artist_name",
    "duration_ms",
    "isrc",
]
"""Columns of raw.recently_played that the decisions need."""

WRITTEN_API_COLUMNS = [
    "row_id",
    "track_uri",
    "track_id",
    "track_name",
    "artist_name",
    "album_name",
    "album_artist_name",
]
"""Columns of raw.recently_played that clean.plays shows of a play that no export tells."""

FACTS = pl.Schema({"track_id": pl.String, "isrc": pl.String, "duration_ms": pl.Int64})
"""Columns of what is known of tracks by their id (meta.track_facts)."""

LONGEST_TRACK = timedelta(days=1)
"""A length beyond this is none."""
UNKNOWN_LENGTH = timedelta(hours=1)
"""How far a play may reach, and how long it may have lasted, whose track's length is not known."""
CLOCK_TOLERANCE = timedelta(seconds=30)
"""How much earlier than an export's start the Web API may say that a play ended."""
FARTHEST = LONGEST_TRACK + CLOCKS_APART + CLOCK_TOLERANCE + timedelta(minutes=1)
"""No end that the Web API tells lies farther from the end of the same play as an export tells it."""

PAIRS = pl.Schema(
    {"row_id": pl.Int64, "winner_row_id": pl.Int64, "first": pl.Datetime("us", "UTC"), "last": pl.Datetime("us", "UTC")}
)
"""Columns of `candidates`."""

OF_EXPORT = "api_of_export"
"""Rule of a row of the Web API whose play an export tells."""

_BUCKET_US = 600_000_000
_MINUTE = timedelta(seconds=59, milliseconds=999)
_GOLDEN = 0x9E3779B97F4A7C15
_PLAY_SALT = 1


def api_row_id(row_id: pl.Expr) -> pl.Expr:
    """The number of a row of raw.recently_played among those of raw.streaming_history, and back: below zero."""
    return -1 - row_id


def is_api(row_id: str = "row_id") -> pl.Expr:
    """Whether a number, of all source rows, is that of a row of raw.recently_played."""
    return pl.col(row_id) < 0


def named_as_in_exports(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Let artist_name of rows of raw.recently_played be whom exports name, the album's artist; add names_hash.

    The hash serves this run alone: Polars may hash texts otherwise in its next release.
    """
    names = ["track_name", "artist_name", "album_name"]
    named = rows.with_columns(artist_name=pl.coalesce("album_artist_name", "artist_name"))
    hashed = with_row_hash(named, "names_hash", (pl.col(name).hash().reinterpret(signed=True) for name in names))
    is_named = pl.any_horizontal(pl.col(name).is_not_null() for name in names)
    return hashed.with_columns(names_hash=pl.when(is_named).then(pl.col("names_hash").reinterpret(signed=True)))


def told_by_api(
    rows: pl.LazyFrame, names: pl.LazyFrame, facts: pl.LazyFrame, coverage: pl.LazyFrame, listeners: Iterable[str]
) -> pl.LazyFrame:
    """What rows of raw.recently_played tell of their plays by themselves: columns of `plays.told_plays`, and more.

    Args:
        rows: raw.recently_played with API_COLUMNS.
        names: Result of `plays.names`, with the names of these rows.
        facts: What is known of tracks, FACTS; where a row does not tell its track's length or recording.
        coverage: clean.coverage.
        listeners: At least those of the rows.

    Returns:
        Besides: id_number, isrc_number and performed_number (title by the track's own artist) by which export rows are
        recognised; track_length_ms; ends_gap (a provable gap lies right before it); is_unverified (if no export tells
        of the play).
    """
    of_exports = coverage.filter(pl.col("kind") == EXPORT).select(
        "listener", covered_from="started_at", covered_until="ended_at"
    )
    gap_ends = coverage.filter(pl.col("kind") == GAP).select("listener", ended_at="ended_at", ends_gap=pl.lit(True))
    numbers = names.select("names_hash", "track_number", "artist_number", "album_number")
    told = (
        named_as_in_exports(_with_performed_number(rows))
        .join(numbers, on="names_hash", how="left")
        .join(facts, on="track_id", how="left", suffix="_known")
        .with_columns(
            row_id=api_row_id(pl.col("row_id")),
            ts="played_at",
            title_hash="item_hash",
            listener_hash=text_hashes("listener", listeners),
            ended_at="played_at",
            ms_played=pl.lit(None, dtype=pl.Int64),
            content=pl.lit(0, dtype=pl.Int8),
            is_skip=pl.lit(None, dtype=pl.Boolean),
            is_finished=pl.lit(None, dtype=pl.Boolean),
            is_basic=pl.lit(None, dtype=pl.Boolean),
            context_hash=pl.lit(None, dtype=pl.Int64),
            copies=pl.lit(1, dtype=pl.Int64),
            id_number=number(pl.col("track_id")),
            isrc_number=number(pl.coalesce(recording(pl.col("isrc")), "isrc_known")),
            track_length_ms=pl.coalesce(sane_length_ms("duration_ms"), sane_length_ms("duration_ms_known")),
        )
        .join(gap_ends, on=["listener", "ended_at"], how="left")
        .sort("ended_at")
        .join_asof(
            of_exports.sort("covered_from"),
            left_on="ended_at",
            right_on="covered_from",
            by="listener",
            check_sortedness=False,
        )
        .with_columns(
            pl.col("ends_gap").fill_null(False),
            is_unverified=(pl.col("ended_at") <= pl.col("covered_until")).fill_null(False),
            started_at="ended_at",
        )
    )
    identity = (pl.col("listener_hash"), pl.col("ended_at"), pl.col("item_hash"))
    return with_row_hash(told, "play_id", identity, salt=_PLAY_SALT).with_columns(as_identifier(pl.col("play_id")))


def _with_performed_number(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add the title's number by the track's own artist, where that is not the album's."""
    named = ["artist_name", "track_name"]
    performed = (
        rows.filter(pl.col("artist_name") != pl.col("album_artist_name"))
        .select(named)
        .unique()
        .with_columns(performed_number=number(title_key(pl.col("artist_name"), pl.col("track_name"))))
    )
    return rows.join(performed, on=named, how="left")


def number(text: pl.Expr) -> pl.Expr:
    """A number for each text, for this run alone; NULL for NULL."""
    return pl.when(text.is_not_null()).then(text.hash())


def recording(isrc: pl.Expr) -> pl.Expr:
    """An ISRC as it is compared; labels write it with hyphens and in small letters too."""
    plain = isrc.str.replace_all("-", "", literal=True).str.to_uppercase()
    return pl.when(plain != "").then(plain)


def sane_length_ms(column: str) -> pl.Expr:
    """A track's length; NULL where the API tells 0, as of local files, or more than a day."""
    limit = LONGEST_TRACK // timedelta(milliseconds=1)
    return pl.when(pl.col(column).is_between(1, limit)).then(column)


def candidates(exports: pl.DataFrame, api: pl.DataFrame) -> pl.DataFrame:
    """Which rows of the Web API may tell of which plays of exports.

    The same track by id, by ISRC, or by title and artist (the album's, or the track's own); told by the API between
    reach + 30 s before and 60 s after the end E. reach = min(max(ms_played, D), 2 D) where the track's length D is
    known, else min(ms_played, 1 h). E is ts or the corrected end of an offline play, whichever is nearer; of account
    data, which tell the minute, the nearest instant in it.

    Args:
        exports: row_id, listener_hash, ts, ended_at, ms_played, is_basic, play_id, track_number, id_number,
            isrc_number of plays that exports tell.
        api: Result of `told_by_api`.

    Returns:
        row_id of the API, winner_row_id of the play, first and last of their two ends; the nearest first, in an order
        that depends on what is told alone.
    """
    met = _met(exports, api)
    if met.is_empty():
        return PAIRS.to_frame()
    told = api[met["api_index"]].select("row_id", "ended_at", "title_hash", "track_length_ms", api_play_id="play_id")
    plays = exports[met["export_index"]].select(
        "ts", "ms_played", "is_basic", "play_id", winner_row_id="row_id", export_ended_at="ended_at"
    )
    pairs = pl.concat([told, plays, met.select("sameness")], how="horizontal")
    length, played, end = pl.col("track_length_ms"), pl.col("ms_played"), pl.col("ended_at")
    limit_ms = UNKNOWN_LENGTH // timedelta(milliseconds=1)
    known = pl.min_horizontal(pl.max_horizontal(played, length), 2 * length)
    reach_ms = pl.when(length.is_not_null()).then(known).otherwise(pl.min_horizontal(played, pl.lit(limit_ms)))
    last_told = pl.when("is_basic").then(pl.col("ts") + _MINUTE).otherwise("ts")
    after_ts = (end - pl.min_horizontal(pl.max_horizontal(end, "ts"), last_told)).dt.total_microseconds()
    after_end = (end - pl.col("export_ended_at")).dt.total_microseconds()
    is_nearer = (after_end.abs() < after_ts.abs()) | ((after_end.abs() == after_ts.abs()) & (after_end < after_ts))
    after = pl.when(is_nearer & ~pl.col("is_basic")).then(after_end).otherwise(after_ts)
    return (
        pairs.lazy()
        .with_columns(after=after, reach=reach_ms * 1000 + _us(CLOCK_TOLERANCE))
        .filter((pl.col("after") >= -pl.col("reach")) & (pl.col("after") <= _us(CLOCKS_APART)))
        .with_columns(distance=pl.col("after").abs())
        .sort("distance", "sameness", "ended_at", "export_ended_at", "title_hash", "api_play_id", "play_id")
        .select(
            "row_id",
            "winner_row_id",
            first=pl.min_horizontal("ended_at", "export_ended_at"),
            last=pl.max_horizontal("ended_at", "export_ended_at"),
        )
        .collect(engine="in-memory")
    )


def _us(time: timedelta) -> int:
    return time // timedelta(microseconds=1)


def _met(exports: pl.DataFrame, api: pl.DataFrame) -> pl.DataFrame:
    """Pairs of the same track some time apart: api_index, export_index and sameness (0 id, 1 ISRC, 2 names).

    Joined by pieces of time: of a popular track every play would meet every other one, ten million times in a year.
    """
    length_us = pl.coalesce(2 * pl.col("track_length_ms") * 1000, pl.lit(_us(UNKNOWN_LENGTH)))
    reach_us = pl.min_horizontal(length_us, pl.lit(_us(LONGEST_TRACK))) + _us(CLOCK_TOLERANCE)
    end = pl.col("ended_at").to_physical()
    earliest = end - _us(CLOCKS_APART + timedelta(minutes=1))
    buckets = pl.int_ranges(earliest // _BUCKET_US, (end + reach_us) // _BUCKET_US + 1)
    recognised = ["id_number", "isrc_number", "track_number", "performed_number"]
    told = (
        api.lazy()
        .select("listener_hash", *recognised, bucket=buckets, api_index=pl.int_range(pl.len(), dtype=pl.UInt32))
        .explode("bucket", empty_as_null=False)
    )
    named = ["id_number", "isrc_number", "track_number"]
    numbered = exports.lazy().select(
        "listener_hash", "ts", "ended_at", *named, export_index=pl.int_range(pl.len(), dtype=pl.UInt32)
    )
    at_ts = numbered.with_columns(bucket=pl.col("ts").to_physical() // _BUCKET_US)
    at_end = numbered.filter(pl.col("ts") != pl.col("ended_at")).with_columns(bucket=end // _BUCKET_US)
    near = (
        pl.concat([at_ts, at_end])
        .join(told.select("bucket").unique(), on="bucket", how="semi")
        .collect(engine="in-memory")
        .lazy()
    )
    told = told.collect(engine="in-memory").lazy()
    met = [
        _keyed(told, by_api, "api_index")
        .join(_keyed(near, by_export, "export_index"), on=["key", "bucket"], how="inner")
        .select("api_index", "export_index", sameness=pl.lit(sameness, dtype=pl.Int8))
        for sameness, (by_api, by_export) in enumerate(
            (
                ("id_number", "id_number"),
                ("isrc_number", "isrc_number"),
                ("track_number", "track_number"),
                ("performed_number", "track_number"),
            )
        )
    ]
    return (
        pl.concat(met).group_by("api_index", "export_index").agg(pl.col("sameness").min()).collect(engine="in-memory")
    )


def _keyed(rows: pl.LazyFrame, number: str, index: str) -> pl.LazyFrame:
    key = pl.col(number).xor(pl.col("listener_hash").reinterpret(signed=False) * pl.lit(_GOLDEN, dtype=pl.UInt64))
    return rows.filter(pl.col(number).is_not_null()).select("bucket", index, key=key)


def paired(pairs: pl.DataFrame) -> pl.DataFrame:
    """One to one, in the order of the pairs: row_id and winner_row_id.

    Args:
        pairs: Result of `candidates`.
    """
    is_alone = pl.col("row_id").is_unique() & pl.col("winner_row_id").is_unique()
    both = pairs.select("row_id", "winner_row_id").with_columns(is_alone=is_alone)
    taken: set[int] = set()
    chosen = []
    # Numbers of the API are below zero, so that one set does for both.
    for row_id, winner_row_id in both.filter(~pl.col("is_alone")).select("row_id", "winner_row_id").iter_rows():
        if row_id not in taken and winner_row_id not in taken:
            taken |= {row_id, winner_row_id}
            chosen.append((row_id, winner_row_id))
    contended = pl.DataFrame(chosen, schema={"row_id": pl.Int64, "winner_row_id": pl.Int64}, orient="row")
    return pl.concat([both.filter("is_alone").drop("is_alone"), contended])


def assigned(pairs: pl.DataFrame, api: pl.DataFrame) -> pl.DataFrame:
    """Which play each row of the Web API tells of: row_id, winner_row_id, rule, copies as of `plays.assign_rows`.

    Args:
        pairs: Result of `candidates`.
        api: Result of `told_by_api`.
    """
    is_met = pl.col("winner_row_id").is_not_null()
    return (
        api.select("row_id")
        .join(paired(pairs), on="row_id", how="left")
        .select(
            "row_id",
            winner_row_id=pl.coalesce("winner_row_id", "row_id"),
            rule=pl.when(is_met).then(pl.lit(OF_EXPORT)).otherwise(pl.lit("winner")),
            copies=pl.lit(1, dtype=pl.Int64),
        )
    )


def spans(pairs: pl.DataFrame, api: pl.DataFrame) -> pl.DataFrame:
    """Times (first, last) within which the plays cannot be parted without parting what must be decided together.

    Args:
        pairs: Result of `candidates`.
        api: Result of `told_by_api`.
    """
    # After a gap the length alone tells the start, maybe one before the end of the play before.
    long = api.filter(pl.col("ends_gap") & pl.col("track_length_ms").is_not_null()).select(
        first=pl.col("ended_at") - pl.duration(milliseconds="track_length_ms"), last="ended_at"
    )
    return pl.concat([pairs.select("first", "last"), long])


def cut(spans: pl.DataFrame, latest: datetime) -> datetime:
    """The latest instant, not after `latest`, such that of no span one end lies before it and the other not."""
    before = spans.lazy().filter(pl.col("first") < latest).sort("first")
    reached = pl.col("last").cum_max().shift(1)
    joined = (
        before.with_columns(group=(pl.col("first") > reached).fill_null(True).cum_sum())
        .group_by("group")
        .agg(pl.col("first").min(), pl.col("last").max())
        .filter(pl.col("last") >= latest)
        .collect(engine="in-memory")
    )
    return min(latest, joined["first"].min() or latest)


def written(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of raw.recently_played (WRITTEN_API_COLUMNS) as rows of raw.streaming_history are written."""
    return (
        named_as_in_exports(rows)
        .with_columns(row_id=api_row_id(pl.col("row_id")))
        .drop("album_artist_name", "names_hash")
    )


def with_estimates(plays: pl.LazyFrame, last: pl.DataFrame) -> pl.LazyFrame:
    """Give plays that only the Web API told of the length and start that can be estimated.

    Args:
        plays: Results of `plays.told_plays` and `told_by_api`: all plays of some time.
        last: listener_hash and ended_at of each listener's last play before.
    """
    only_api = is_api()
    length, since = pl.col("track_length_ms"), pl.col("since_ms")
    # Of a track of unknown length nobody can say that it filled a longer time.
    filled = pl.when(length.is_not_null() | (since <= UNKNOWN_LENGTH // timedelta(milliseconds=1))).then(since)
    after_gap = pl.col("ends_gap") & (since.is_null() | (since > 0))
    estimate = pl.when(after_gap).then(length).otherwise(pl.min_horizontal(length, filled))
    return (
        plays.sort("listener_hash", "ended_at", only_api, "title_hash", "play_id")
        .join(
            last.lazy().select("listener_hash", last_ended_at="ended_at"),
            on="listener_hash",
            how="left",
            maintain_order="left",
        )
        .with_columns(
            previous_ended_at=pl.col("ended_at").shift(1).over("listener_hash").fill_null(pl.col("last_ended_at"))
        )
        .with_columns(since_ms=(pl.col("ended_at") - pl.col("previous_ended_at")).dt.total_milliseconds())
        .with_columns(ms_played=pl.when(only_api).then(estimate).otherwise("ms_played"))
        .with_columns(
            started_at=pl.when(only_api)
            .then(pl.col("ended_at") - pl.duration(milliseconds=pl.col("ms_played").fill_null(0)))
            .otherwise("started_at")
        )
        .drop("last_ended_at", "previous_ended_at", "since_ms")
    )


TELLINGS = pl.Schema(
    {"track_id": pl.String, "fetched_at": pl.Datetime("us", "UTC"), "isrc": pl.String, "duration_ms": pl.Int64}
)
"""Columns of what was told of tracks, and when."""


def facts(tellings: pl.LazyFrame) -> pl.LazyFrame:
    """FACTS from TELLINGS: what was told of a track last."""
    sane = tellings.filter(pl.col("track_id").is_not_null()).select(
        "track_id",
        "fetched_at",
        isrc=recording(pl.col("isrc")),
        duration_ms=sane_length_ms("duration_ms"),
    )
    told = [
        sane.filter(pl.col(name).is_not_null())
        .sort("fetched_at", name)
        .unique("track_id", keep="last", maintain_order=True)
        .select("track_id", name)
        for name in ("isrc", "duration_ms")
    ]
    return told[0].join(told[1], on="track_id", how="full", coalesce=True).sort("track_id")


def changed_facts(now: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Tracks of which something else is known by now: track_id, isrc, isrc_before."""
    both = now.join(before, on="track_id", how="full", coalesce=True, suffix="_before")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in ("isrc", "duration_ms"))
    return both.filter(differs).select("track_id", "isrc", "isrc_before")


def retold(changed: pl.DataFrame, facts: pl.DataFrame, api: pl.DataFrame) -> tuple[datetime | None, pl.DataFrame]:
    """What may be decided otherwise now that more is known of tracks.

    Args:
        changed: Result of `changed_facts`.
        facts: What is known now.
        api: listener, played_at, track_id, isrc and duration_ms of raw.recently_played.

    Returns:
        When the first play ended whose own row leaves something to be known. And pairs of ids that may be one recording
        now, or may have been one before: track_id (that exports may tell) and api_track_id.
    """
    lacks = recording(pl.col("isrc")).is_null() | sane_length_ms("duration_ms").is_null()
    lacking = api.filter(lacks).join(changed, on="track_id", how="semi")["played_at"].min()
    known = facts.select("track_id", known_isrc="isrc")
    told = (
        api.join(known, on="track_id", how="left")
        .select(api_track_id="track_id", isrc=pl.coalesce(recording(pl.col("isrc")), "known_isrc"))
        .drop_nulls("isrc")
        .unique()
    )
    either = pl.concat([changed.select("track_id", "isrc"), changed.select("track_id", isrc="isrc_before")])
    pairs = either.drop_nulls("isrc").unique().join(told, on="isrc", how="inner")
    is_other = pl.col("api_track_id").ne_missing(pl.col("track_id"))
    return lacking, pairs.filter(is_other).select("track_id", "api_track_id").unique()


def first_near(pairs: pl.DataFrame, history: pl.DataFrame, api: pl.DataFrame, reach: timedelta) -> datetime | None:
    """The earliest `ts` at which an export tells of a track of a pair, and the API of the other one not long from it.

    Args:
        pairs: Of `retold`.
        history: listener, ts and track_id of raw.streaming_history.
        api: listener, played_at and track_id of raw.recently_played.
        reach: How long.
    """
    rows = history.join(pairs, on="track_id", how="inner").sort("ts")
    near = rows.join_asof(
        api.select("listener", "played_at", api_track_id="track_id").sort("played_at"),
        left_on="ts",
        right_on="played_at",
        by=["listener", "api_track_id"],
        strategy="nearest",
        tolerance=reach,
        check_sortedness=False,
    )
    return near.drop_nulls("played_at")["ts"].min()
