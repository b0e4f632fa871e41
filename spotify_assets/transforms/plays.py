"""From source rows to plays.

`assign_rows` decides which source rows tell of one play, `told_plays` and `settled_plays` give each play its instants,
session and flags, `play_sources` keeps the lineage, `days` the version of each day, and `assemble_plays` adds the names
for the days that are to be written. All but the last see narrow frames only: a million rows of all columns cost more
than a gigabyte, the narrow frame a third of one.

`decide_plays` says what is right: it decides over the whole history at once. A home's history is decided in stretches
(`transforms.stretches`), with what is known of the time before each, and must come to the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from spotify_assets.schemas import clean
from spotify_assets.schemas.raw import SAYS
from spotify_assets.transforms import api_plays, coverage
from spotify_assets.transforms.hashing import as_identifier, as_text, text_hash, text_hashes, with_row_hash
from spotify_assets.transforms.names import with_keys
from spotify_assets.transforms.zones import DatedZones, local_times

HISTORY_TABLE = "raw.streaming_history"

HISTORY_COLUMNS = [
    "listener",
    "kind",
    "ts",
    "ms_played",
    "reason_end",
    "skipped",
    "offline",
    "offline_timestamp",
    "row_id",
    "occurrence",
    "uri_hash",
    "names_hash",
    "title_hash",
    "context_hash",
    "says",
]
"""Columns of raw.streaming_history that the decisions need."""

NAME_COLUMNS = ["names_hash", "track_name", "artist_name", "album_name"]
"""Columns of raw.streaming_history that name what was played; one row for each names_hash is enough."""

WRITTEN_COLUMNS = [
    "row_id",
    "track_uri",
    "track_id",
    "track_name",
    "artist_name",
    "album_name",
    "episode_uri",
    "episode_name",
    "show_name",
    "audiobook_uri",
    "audiobook_name",
    "chapter_name",
    "reason_start",
    "reason_end",
    "platform",
    "conn_country",
    "shuffle",
    "offline",
    "incognito_mode",
]
"""Columns of raw.streaming_history that clean.plays shows of the winning row."""

STREAM_MS = 30_000
SCROBBLE_MS = 240_000
SCROBBLE_LENGTH_MS = 30_000
SKIP_REASONS = ("fwdbtn", "backbtn")
FINISHED_REASON = "trackdone"
OFFLINE_SYNC_LIMIT = timedelta(days=30)
OFFLINE_CLOCK_TOLERANCE = timedelta(hours=1)

# A change of the rules below that gives other rows must raise this: it stands in every day's version.
_RULES_VERSION = 1


def _tells(*names: str) -> pl.Expr:
    return (pl.col("says") & sum(SAYS[name] for name in names)) != 0


def names(told: pl.LazyFrame) -> pl.LazyFrame:
    """One row for each names_hash: its names and keys, and a number for each key.

    Args:
        told: NAME_COLUMNS of raw.streaming_history; repetitions do not matter.

    Returns:
        names_hash, track_name, artist_name, album_name, track_key, artist_key, album_key; track_number,
        artist_number, album_number (`numbered`).
    """
    distinct = told.filter(pl.col("names_hash").is_not_null()).unique("names_hash")
    return with_keys(distinct).with_columns(
        track_number=numbered("track_key"), artist_number=numbered("artist_key"), album_number=numbered("album_key")
    )


def numbered(column: str) -> pl.Expr:
    """A number for each text, equal for equal texts within this process; NULL for NULL.

    Never stored: Polars may hash texts otherwise in its next release.
    """
    return pl.when(pl.col(column).is_not_null()).then(pl.col(column).hash())


_ASSIGNED = ["row_id", "winner_row_id", "rule", "copies"]

ToldLast = Callable[[list[str]], pl.DataFrame]
"""Given names of artists, when they were told of last: result of `artists_told_last` over the whole history."""


def assign_rows(history: pl.LazyFrame, names: pl.LazyFrame, told_last: ToldLast | None = None) -> pl.LazyFrame:
    """Which source rows tell of one play.

    Args:
        history: raw.streaming_history with HISTORY_COLUMNS, all rows of a listener's minute or none.
        names: Result of `names`.
        told_last: Asked only where rows that tell one play equally well differ in the artist; by default `history` is
            taken for the whole history.

    Returns:
        row_id, winner_row_id, rule (see clean.play_sources) and copies (of the play, on every row of it).

    Rows with equal listener, kind, ts and ms_played are one play when their URIs are equal; a row without URI joins
    the row with its creator and title. Two different tracks are two plays, however close. An account-data row is the
    extended row of the same minute, ms_played, creator and title, one to one.
    """
    single, crowded = _single_and_crowded(history)
    told_last = told_last or (lambda artists: _told_last(single, crowded, names, artists))
    shown = [*_ASSIGNED, "is_basic", "ts", "title"]
    settled = single.with_columns(winner_row_id="row_id", rule=pl.lit("winner"), copies=pl.lit(1, dtype=pl.Int64))
    ranked = _ranked(_with_told_last(crowded, names, told_last))
    assigned = _once(pl.concat([settled.select(shown), ranked.select(shown)]))
    is_basic = pl.col("is_basic")
    extended, basic = assigned.filter(~is_basic), _once(assigned.filter(is_basic))
    return pl.concat([extended.select(_ASSIGNED), _join_basic_to_extended(basic, extended).select(_ASSIGNED)])


def _once(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Compute what several branches need before they part.

    Left to the optimizer each branch got its own filters and columns pushed down to the source and computed the
    whole way again: sixteen seconds for a million rows instead of one.
    """
    return frame.collect(engine="in-memory").lazy()


def _single_and_crowded(history: pl.LazyFrame) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Rows alone in their bucket, and all others with their play and standing."""
    rows = _once(_with_bucket(history))
    return rows.filter("is_single"), _once(_with_standing(_grouped(_once(rows.filter(~pl.col("is_single"))))))


def _bits(column: str) -> pl.Expr:
    return pl.col(column).reinterpret(signed=True)


def _with_bucket(history: pl.LazyFrame) -> pl.LazyFrame:
    """The columns that decide what is one play, and two hashes.

    bucket: equal for equal listener, kind, ts and ms_played. title: equal for equal listener, minute, ms_played,
    creator and title, by which account data and extended history meet.
    """
    rows = history.select(
        "row_id",
        "ts",
        "uri_hash",
        "names_hash",
        "title_hash",
        "context_hash",
        "occurrence",
        "says",
        "ms_played",
        is_basic=pl.col("kind") == "basic",
        # Numbers serve this run alone: Polars may hash texts otherwise in its next release.
        listener_number=pl.col("listener").hash().reinterpret(signed=True),
        minute=pl.col("ts").to_physical() // 60_000_000,
    )
    rows = with_row_hash(rows, "bucket", map(pl.col, ("listener_number", "is_basic", "ts", "ms_played")))
    rows = with_row_hash(rows, "title", map(pl.col, ("listener_number", "minute", "ms_played", "title_hash")))
    return rows.drop("minute", "ms_played").with_columns(
        pl.when(pl.col("title_hash").is_not_null()).then("title"), is_single=pl.col("bucket").is_unique()
    )


def _grouped(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add `play`, equal for rows of one play, and `repetition`, which of its repetitions in an export a row is.

    `repetition` is NULL for a row without URI that rows with URI tell better: such rows are numbered from 1 by their
    title, so that numbers up to the count of what is told with URIs say nothing new. Where several URIs bear one
    title, rows without URI join the smallest: any rule will do that does not depend on the order of the imports.
    """
    has_uri = pl.col("uri_hash").is_not_null()
    with_uri = rows.filter(has_uri)
    told_times = with_uri.group_by("bucket", "uri_hash").agg(told_times=pl.col("occurrence").n_unique().cast(pl.Int64))
    adopters = (
        with_uri.filter(pl.col("title_hash").is_not_null())
        .select("bucket", "title_hash", "uri_hash")
        .unique()
        .join(told_times, on=["bucket", "uri_hash"], how="inner")
        .group_by("bucket", "title_hash")
        .agg(adopting_uri=pl.col("uri_hash").min(), told_times=pl.col("told_times").sum())
    )
    surplus = pl.col("occurrence") - pl.col("told_times")
    rows = rows.join(adopters, on=["bucket", "title_hash"], how="left").with_columns(
        has_uri=has_uri,
        uri=pl.coalesce("uri_hash", "adopting_uri"),
        # Below zero, lest the first row of the surplus be taken for the first row with URI.
        repetition=pl.when(has_uri | pl.col("adopting_uri").is_null())
        .then("occurrence")
        .otherwise(pl.when(surplus > 0).then(-surplus)),
    )
    title = pl.when(pl.col("uri").is_null()).then("title_hash")
    return with_row_hash(rows, "play", (_bits("bucket"), pl.col("uri"), title))


def _with_standing(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add `standing`, how well a row tells its play, and whether no row of the play tells more.

    Only such candidates are stored in whatever order the exports came; a row that another one outdoes is not stored
    when it comes later. What decides between candidates must therefore be taken from candidates alone.
    """
    # Old account data tells podcasts as tracks of an artist.
    is_named_by_kind = _tells("episode_name", "show_name", "audiobook_name", "chapter_name")
    standing = (
        pl.col("has_uri").cast(pl.Int64) * 1000
        + is_named_by_kind.cast(pl.Int64) * 100
        + pl.col("says").bitwise_count_ones().cast(pl.Int64)
    )
    rows = rows.with_columns(standing=standing)
    return rows.with_columns(is_candidate=pl.col("standing") == pl.col("standing").max().over("play"))


_NAMED = ["listener_number", "names_hash", "ts"]


def _with_told_last(crowded: pl.LazyFrame, names: pl.LazyFrame, told_last: ToldLast) -> pl.LazyFrame:
    """Add artist_name and told_last to the candidates for one play that differ in the artist.

    After an artist was renamed the name in the newer export, which reaches further, wins for all of the artist's
    plays.
    """
    differ = pl.col("names_hash").min().over("play") != pl.col("names_hash").max().over("play")
    contended = crowded.filter("is_candidate").select("row_id", "listener_number", "play", "names_hash").filter(differ)
    rivals = (
        contended.join(names.select("names_hash", "artist_name"), on="names_hash", how="left")
        .filter(pl.col("artist_name").n_unique().over("play") > 1)
        .collect(engine="in-memory")
    )
    artists = rivals["artist_name"].drop_nulls().unique().sort().to_list()
    if not artists:
        return crowded.with_columns(
            artist_name=pl.lit(None, pl.String), told_last=pl.lit(None, pl.Datetime("us", "UTC"))
        )
    told = rivals.join(told_last(artists), on=["listener_number", "artist_name"], how="left")
    return crowded.join(told.lazy().select("row_id", "artist_name", "told_last"), on="row_id", how="left")


def artists_told_last(history: pl.LazyFrame, names: pl.LazyFrame, artists: list[str]) -> pl.DataFrame:
    """When artists were told of last, by rows that tell a play as well as any other row of it.

    Args:
        history: raw.streaming_history with HISTORY_COLUMNS: every row of the instants at which one of them was told of.
        names: Result of `names`.
        artists: Names as told.

    Returns:
        listener_number, artist_name, told_last.
    """
    return _told_last(*_single_and_crowded(history), names, artists)


def _told_last(single: pl.LazyFrame, crowded: pl.LazyFrame, names: pl.LazyFrame, artists: list[str]) -> pl.DataFrame:
    told = pl.concat([single.select(_NAMED), crowded.filter("is_candidate").select(_NAMED)])
    of_artists = names.filter(pl.col("artist_name").is_in(artists)).select("names_hash", "artist_name")
    return (
        told.join(of_artists, on="names_hash", how="inner")
        .group_by("listener_number", "artist_name")
        .agg(told_last=pl.col("ts").max())
        .collect(engine="in-memory")
    )


def _ranked(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Choose the winner of each play and tell its copies from rows that say less."""
    descending = {"standing": True, "told_last": True}
    by = ["standing", "told_last", "artist_name", "names_hash", "context_hash", "row_id"]
    ranked = rows.sort(by, descending=[descending.get(name, False) for name in by], nulls_last=True).with_columns(
        winner_row_id=pl.col("row_id").first().over("play"),
        is_first=pl.struct("play", "repetition").is_first_distinct(),
        title=pl.col("title").first().over("play"),
    )
    is_copy = pl.col("is_first") & pl.col("repetition").is_not_null()
    return ranked.with_columns(
        rule=pl.when(pl.col("row_id") == pl.col("winner_row_id"))
        .then(pl.lit("winner"))
        .when(is_copy)
        .then(pl.lit("copy"))
        .otherwise(pl.lit("superseded")),
        copies=is_copy.sum().over("play").cast(pl.Int64),
    )


def _join_basic_to_extended(basic: pl.LazyFrame, extended: pl.LazyFrame) -> pl.LazyFrame:
    """Pair the repetitions of account-data plays with those of extended plays, one to one."""
    number = pl.int_range(pl.len()).over("title").alias("number")
    is_repetition = pl.col("rule") != "superseded"
    claimable = (
        extended.filter(is_repetition)
        .join(basic.select("title").drop_nulls().unique(), on="title", how="semi")
        .sort("ts", "winner_row_id", "row_id")
        .select("title", number, extended_winner_row_id="winner_row_id", extended_copies="copies")
    )
    paired = (
        basic.filter(is_repetition & pl.col("title").is_not_null())
        # The winner stays free the longest: what is left over must still have one.
        .sort(pl.col("rule") == "winner", "row_id")
        .with_columns(number)
        .join(claimable, on=["title", "number"], how="inner")
        .select("row_id", "winner_row_id", "extended_winner_row_id", "extended_copies")
    )
    plays_paired = paired.group_by("winner_row_id").agg(
        paired_rows=pl.len().cast(pl.Int64),
        first_extended=pl.col("extended_winner_row_id").sort_by("row_id").first(),
        first_extended_copies=pl.col("extended_copies").sort_by("row_id").first(),
    )
    # Superseded rows of a play that is paired whole go where its first repetition goes.
    is_paired_whole = pl.col("paired_rows") == pl.col("copies")
    return (
        basic.join(plays_paired, on="winner_row_id", how="left")
        .join(paired.drop("winner_row_id"), on="row_id", how="left")
        .with_columns(
            goes_to=pl.coalesce("extended_winner_row_id", pl.when(is_paired_whole).then("first_extended")),
            goes_to_copies=pl.coalesce("extended_copies", pl.when(is_paired_whole).then("first_extended_copies")),
        )
        .with_columns(
            winner_row_id=pl.coalesce("goes_to", "winner_row_id"),
            rule=pl.when(pl.col("goes_to").is_not_null()).then(pl.lit("basic_of_extended")).otherwise("rule"),
            copies=pl.coalesce("goes_to_copies", pl.col("copies") - pl.col("paired_rows").fill_null(0)),
        )
    )


def decide_plays(
    history: pl.LazyFrame,
    assigned: pl.LazyFrame,
    names: pl.LazyFrame,
    *,
    zones: Mapping[str, DatedZones],
    session_gap_minutes: int,
    facts: pl.LazyFrame | None = None,
    api: pl.DataFrame | None = None,
) -> pl.LazyFrame:
    """All that is known of each play of a whole history but its texts.

    Args:
        history: raw.streaming_history with HISTORY_COLUMNS.
        assigned: Result of `assign_rows`.
        names: Result of `names`.
        zones: Time zones of each listener. Local times, and with them the day of a play, are told by the zone that is
            in force at the instant; a dated zone is from 00:00 of its date on its own clocks.
        session_gap_minutes: Silence from the latest end so far to the next start that ends a session.
        facts: What is known of tracks (`api_plays.FACTS`), if there are plays that the Web API told of.
        api: Result of `api_plays.told_by_api`.

    Returns:
        One row for each play: row_id, ts and names_hash of the winner, the columns of clean.plays that need no text,
        context_hash, and play_hash (UInt64 over all that the play says).
    """
    told = _once(told_plays(history, assigned, names, zones, facts))
    only_api = None
    if api is not None:
        of_api = api_plays.assigned(api_plays.candidates(told.collect(), api), api)
        only_api = api.lazy().join(of_api.lazy().filter(pl.col("rule") == "winner"), on="row_id", how="semi")
    settled = settled_plays(
        told,
        lengths=lengths(told),
        before=NOTHING,
        zones=zones,
        session_gap_minutes=session_gap_minutes,
        only_api=only_api,
    )
    return as_decided(settled)


def told_plays(
    history: pl.LazyFrame,
    assigned: pl.LazyFrame,
    names: pl.LazyFrame,
    listeners: Iterable[str],
    facts: pl.LazyFrame | None = None,
) -> pl.LazyFrame:
    """What the winning rows tell of their plays by themselves, for `settled_plays`.

    Args:
        history: raw.streaming_history with HISTORY_COLUMNS.
        assigned: Result of `assign_rows`.
        names: Result of `names`.
        listeners: At least those of the history.
        facts: What is known of tracks (`api_plays.FACTS`), where plays are to be matched with those of the Web API:
            adds id_number and isrc_number, and needs track_id of the history.
    """
    winners = assigned.filter(pl.col("rule") == "winner").select("row_id", "copies")
    numbers = names.select("names_hash", *_NUMBERS)
    plays = (
        _with_instants(history.join(winners, on="row_id", how="inner").join(numbers, on="names_hash", how="left"))
        .with_columns(
            listener_hash=text_hashes("listener", listeners),
            is_basic=pl.col("kind") == "basic",
            content=_content(),
            is_skip=_is_skip(),
            is_finished=pl.col("reason_end") == FINISHED_REASON,
        )
        .with_columns(pl.when(pl.col("content") == _TRACK).then(pl.col(*_NUMBERS)))
    )
    identity = map(pl.col, ("is_basic", "listener_hash", "ts", "ms_played", "uri_hash", "names_hash"))
    plays = with_row_hash(plays, "play_id", identity).with_columns(as_identifier(pl.col("play_id")))
    if facts is not None:
        isrc_number = api_plays.number(pl.col("isrc"))
        plays = plays.join(facts.select("track_id", "isrc"), on="track_id", how="left").with_columns(
            id_number=api_plays.number(pl.col("track_id")), isrc_number=isrc_number
        )
        return plays.select(*_TOLD, "id_number", "isrc_number")
    # Only what is decided on goes through the sort: each column that passes it costs as much as most of the rules.
    return plays.select(*_TOLD)


def lengths(told: pl.LazyFrame) -> pl.LazyFrame:
    """track_number and length_ms of the tracks that were played to their end: the longest such play of anybody."""
    finished = told.filter(pl.col("is_finished") & pl.col("track_number").is_not_null())
    return longest(finished.select("track_number", length_ms="ms_played"))


def told_lengths(finished: pl.LazyFrame, names: pl.LazyFrame) -> pl.LazyFrame:
    """`lengths`, as all rows tell them that say a track was finished, whether they win their play or not.

    Args:
        finished: names_hash, says and ms_played of rows of raw.streaming_history; of rows that are equal in the first
            two the longest is enough.
        names: Result of `names`.
    """
    of_tracks = finished.filter(_content() == _TRACK).join(names, on="names_hash", how="inner")
    return longest(of_tracks.filter(pl.col("track_number").is_not_null()).select("track_number", length_ms="ms_played"))


def longest(lengths: pl.LazyFrame) -> pl.LazyFrame:
    """The longest length_ms of each track_number."""
    return lengths.group_by("track_number").agg(pl.col("length_ms").max())


@dataclass(frozen=True)
class Before:
    """What is known of the time before some plays.

    Attributes:
        last: listener_hash, ended_at, session_id and session_started_on of each listener's last play.
        known: For track_number, artist_number and album_number what each listener has heard: column `heard`, of which
            `heard` makes the value.
    """

    last: pl.DataFrame
    known: Mapping[str, pl.DataFrame]


def heard(listener_hash: pl.Expr, number: pl.Expr) -> pl.Expr:
    """One number for a listener and what was heard."""
    return number.xor(listener_hash.reinterpret(signed=False) * pl.lit(0x9E3779B97F4A7C15, dtype=pl.UInt64))


def settled_plays(
    told: pl.LazyFrame,
    *,
    lengths: pl.LazyFrame,
    before: Before,
    zones: Mapping[str, DatedZones],
    session_gap_minutes: int,
    only_api: pl.LazyFrame | None = None,
) -> pl.LazyFrame:
    """Give plays their local times, sessions and flags, in the order of listeners and ends.

    Args:
        told: Result of `told_plays`: all plays of some time. Of the plays whose session or play_hash is used, later
            rows must tell no earlier start.
        lengths: As `lengths` of the whole history.
        before: What is known of the time before.
        zones: See `decide_plays`.
        session_gap_minutes: See `decide_plays`.
        only_api: Rows of `api_plays.told_by_api` whose plays no export tells, for the same time.
    """
    if only_api is not None:
        both = pl.concat([told, only_api.select(*_TOLD, *_TOLD_BY_API)], how="diagonal")
        told = api_plays.with_estimates(both.drop("id_number", "isrc_number", strict=False), before.last)
    plays = (
        # Of plays of one instant the title decides which was first: a play's id is another in every key generation.
        told.sort("listener_hash", "ended_at", "started_at", "title_hash", "play_id")
        .with_columns(**local_times(zones, ["started_at", "ended_at"]))
        .with_columns(played_on=pl.col("ended_at_local").dt.date())
    )
    plays = _with_first_plays(_with_sessions(plays, before.last, session_gap_minutes), before.known)
    plays = plays.join(lengths, on="track_number", how="left", maintain_order="left")
    if only_api is not None:
        # What it lasted is estimated from this length: another one says nothing of it.
        plays = plays.with_columns(length_ms=pl.when(api_plays.is_api()).then("track_length_ms").otherwise("length_ms"))
    plays = with_play_hash(plays.with_columns(is_stream=pl.col("ms_played") >= STREAM_MS, is_scrobble=is_scrobble()))
    if only_api is None:
        return plays.with_columns(is_unverified=pl.lit(False))
    told_more = (pl.col("play_hash").reinterpret(signed=True), pl.col("ms_played"), pl.col("is_unverified"))
    return with_row_hash(plays, "api_hash", told_more).with_columns(
        pl.col("is_unverified").fill_null(False),
        play_hash=pl.when(api_plays.is_api()).then("api_hash").otherwise("play_hash"),
    )


def with_play_hash(plays: pl.LazyFrame) -> pl.LazyFrame:
    """Add play_hash to plays with their columns of clean.plays and their winning row's context_hash."""
    hashed = (
        "play_id",
        "started_at",
        "ended_at",
        "started_at_local",
        "ended_at_local",
        "session_id",
        "session_started_on",
        "is_first_play_of_track",
        "is_first_play_of_artist",
        "is_first_play_of_album",
        "context_hash",
        "is_skip",
        "is_scrobble",
        "copies",
    )
    return with_row_hash(plays, "play_hash", map(pl.col, hashed), salt=_RULES_VERSION)


def as_decided(settled: pl.LazyFrame) -> pl.LazyFrame:
    """The result of `settled_plays` in the words of clean.plays, see `decide_plays`."""
    return settled.select(
        "row_id",
        "ts",
        "names_hash",
        "listener",
        "play_id",
        "played_on",
        "started_at",
        "ended_at",
        "started_at_local",
        "ended_at_local",
        "ms_played",
        pl.col("is_basic").is_null().alias("is_ms_played_estimated"),
        pl.col("content").replace_strict(dict(enumerate(CONTENT_TYPES)), return_dtype=pl.String).alias("content_type"),
        "session_id",
        "session_started_on",
        "is_first_play_of_track",
        "is_first_play_of_artist",
        "is_first_play_of_album",
        "is_skip",
        "is_stream",
        "is_scrobble",
        "is_finished",
        pl.when("is_basic")
        .then(pl.lit("basic"))
        .when(pl.col("is_basic").is_null())
        .then(pl.lit("api"))
        .otherwise(pl.lit("extended"))
        .alias("source"),
        "copies",
        "is_unverified",
        "play_hash",
    )


def rules_fingerprint(zones: Mapping[str, DatedZones], session_gap_minutes: int) -> str:
    """What rules the plays besides the rows of exports: another fingerprint may mean other plays anywhere."""
    told_zones = {
        listener: [(begin and begin.isoformat(), zone) for begin, zone in of_listener]
        for listener, of_listener in zones.items()
    }
    # Polars brings its own time zones.
    rules = [_RULES_VERSION, pl.__version__, session_gap_minutes, told_zones]
    return str(text_hash(json.dumps(rules, sort_keys=True)))


CONTENT_TYPES = ("track", "episode", "audiobook", "unknown")
_TRACK, _EPISODE, _AUDIOBOOK, _UNKNOWN = range(4)

_NUMBERS = ["track_number", "artist_number", "album_number"]
_TOLD = [
    "row_id",
    "ts",
    "names_hash",
    "title_hash",
    "listener",
    "listener_hash",
    "play_id",
    "started_at",
    "ended_at",
    "ms_played",
    "content",
    *_NUMBERS,
    "is_skip",
    "is_finished",
    "is_basic",
    "context_hash",
    "copies",
]
_TOLD_BY_API = ["track_length_ms", "ends_gap", "is_unverified"]


def _with_instants(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add started_at and ended_at. An offline play was written at its sync; its own clock tells when it began."""
    told = pl.col("offline_timestamp")
    milliseconds = pl.when(told > 100_000_000_000).then(told).when(told >= 1_000_000_000).then(told * 1000)
    # Junk beyond the year 2286 would overflow the conversion.
    begun = pl.from_epoch(pl.when(milliseconds < 10_000_000_000_000).then(milliseconds), time_unit="ms")
    ts, start = pl.col("ts"), pl.col("started_at")
    is_true = (
        pl.col("offline") & (start >= ts - OFFLINE_SYNC_LIMIT) & (start <= ts + OFFLINE_CLOCK_TOLERANCE)
    ).fill_null(False)
    played = pl.duration(milliseconds=pl.col("ms_played"))
    return (
        rows.with_columns(started_at=begun.dt.replace_time_zone("UTC").cast(pl.Datetime("us", "UTC")))
        .with_columns(pl.when(is_true).then(start))
        .with_columns(
            started_at=start.fill_null(ts - played),
            ended_at=pl.when(start.is_null()).then(ts).otherwise(start + played),
        )
    )


def _content() -> pl.Expr:
    """Index into CONTENT_TYPES."""
    # A URI is the surer sign: rows of one kind were seen with names of another.
    signs = (
        (_TRACK, ("track_uri",)),
        (_EPISODE, ("episode_uri",)),
        (_AUDIOBOOK, ("audiobook_uri", "chapter_uri")),
        (_TRACK, ("track_name", "artist_name", "album_name")),
        (_EPISODE, ("episode_name", "show_name")),
        (_AUDIOBOOK, ("audiobook_name", "author_name", "chapter_name")),
    )
    shown = [pl.when(_tells(*fields)).then(pl.lit(content, dtype=pl.Int8)) for content, fields in signs]
    return pl.coalesce(*shown, pl.lit(_UNKNOWN, dtype=pl.Int8))


def _is_skip() -> pl.Expr:
    # For years `skipped` was NULL or always false, so that the reason is the better witness; alone it must do.
    is_skip = pl.col("skipped").fill_null(False) | pl.col("reason_end").is_in(SKIP_REASONS)
    return pl.coalesce(is_skip, "skipped")


def is_scrobble() -> pl.Expr:
    """From ms_played, is_finished and the track's length_ms, which is the same for all listeners of the home."""
    played, finished, length = pl.col("ms_played"), pl.col("is_finished"), pl.col("length_ms")
    is_long = length > SCROBBLE_LENGTH_MS
    # Half of any length over 30 s is over 15 s: a shorter play is none of half a track, however long that is.
    is_half = pl.when(played * 2 <= SCROBBLE_LENGTH_MS).then(False).otherwise(played * 2 >= length)
    return (played >= SCROBBLE_MS) | (is_long & is_half) | (is_long & finished)


def _with_sessions(plays: pl.LazyFrame, last: pl.DataFrame, session_gap_minutes: int) -> pl.LazyFrame:
    """Add session_id and session_started_on to plays in the order of their ends.

    A session ends where all that is still to come starts at least the gap after the latest end so far. Told from the
    ends this is the rule that walks from start to start, and the order serves the first plays as well.
    """
    gap = timedelta(minutes=session_gap_minutes)
    next_start = pl.col("next_start")
    is_first = (pl.col("listener_hash") != pl.col("listener_hash").shift(1)).fill_null(True)
    open_sessions = last.lazy().select("listener_hash", pl.exclude("listener_hash").name.prefix("open_"))
    plays = (
        plays.join(open_sessions, on="listener_hash", how="left", maintain_order="left")
        .with_columns(
            next_start=pl.col("started_at").cum_min(reverse=True).over("listener_hash"),
            is_first=is_first,
            last_ended_at=pl.when(is_first).then("open_ended_at").otherwise(pl.col("ended_at").shift(1)),
        )
        .with_columns(
            begins=(next_start - pl.col("last_ended_at") >= gap).fill_null(True),
            # The play that starts next need not be the one that ends next.
            next_day=pl.when(pl.col("started_at") == next_start).then("played_on").backward_fill(),
        )
    )
    begun = with_row_hash(plays, "begun_id", map(pl.col, ("listener_hash", "next_start")))

    def told(begun: pl.Expr, carried: str) -> pl.Expr:
        return pl.when("begins").then(begun).when("is_first").then(carried).forward_fill()

    return begun.with_columns(
        session_id=told(as_identifier(pl.col("begun_id")), "open_session_id"),
        session_started_on=told(pl.col("next_day"), "open_session_started_on"),
    )


def _with_first_plays(plays: pl.LazyFrame, known: Mapping[str, pl.DataFrame]) -> pl.LazyFrame:
    """Add the flags of first plays to plays in the order of listeners and ends."""

    def first(number: str) -> pl.Expr:
        of_listener = heard(pl.col("listener_hash"), pl.col(number))
        is_new = of_listener.is_first_distinct() & ~of_listener.is_in(known[number]["heard"].implode())
        is_known = pl.when(pl.col(number).is_not_null()).then(is_new)
        return pl.when(pl.col("content") == _TRACK).then(is_known).otherwise(False)

    return plays.with_columns(
        is_first_play_of_track=first("track_number"),
        is_first_play_of_artist=first("artist_number"),
        is_first_play_of_album=first("album_number"),
    )


NO_LENGTHS = pl.DataFrame(schema={"track_number": pl.UInt64, "length_ms": pl.Int64})
"""`lengths` of no plays."""

NOTHING = Before(
    pl.DataFrame(
        schema={
            "listener_hash": pl.Int64,
            "ended_at": pl.Datetime("us", "UTC"),
            "session_id": pl.Int64,
            "session_started_on": pl.Date,
        }
    ),
    {number: pl.DataFrame(schema={"heard": pl.UInt64}) for number in _NUMBERS},
)
"""Before the first play."""


def play_sources(assigned: pl.LazyFrame, plays: pl.LazyFrame) -> pl.LazyFrame:
    """clean.play_sources from the results of `assign_rows` (and `api_plays.assigned`) and `decide_plays`."""
    is_api = api_plays.is_api()
    return assigned.join(
        plays.select("play_id", "listener", "played_on", winner_row_id="row_id"),
        on="winner_row_id",
        how="inner",
    ).select(
        "play_id",
        pl.when(is_api).then(pl.lit(api_plays.API_TABLE)).otherwise(pl.lit(HISTORY_TABLE)).alias("source_table"),
        pl.when(is_api).then(api_plays.api_row_id(pl.col("row_id"))).otherwise("row_id").alias("source_row"),
        "rule",
        "listener",
        "played_on",
    )


def day_sums(plays: pl.LazyFrame, sources: pl.LazyFrame) -> pl.LazyFrame:
    """For each listener's day with plays the sums of which its row of clean.days is made.

    Sums of parts of the plays may be added up (`added_up`).

    Args:
        plays: Result of `decide_plays`, or some of its rows.
        sources: Result of `play_sources` for them.

    Returns:
        listener, played_on, plays, plays_hash, sources_hash (UInt64).
    """
    counted = plays.select("listener", "played_on", plays=pl.lit(1, dtype=pl.Int64), plays_hash="play_hash")
    rules = pl.col("rule").replace_strict(
        {"winner": 0, "copy": 1, "superseded": 2, "basic_of_extended": 3, api_plays.OF_EXPORT: 4},
        return_dtype=pl.Int64,
    )
    row = pl.col("source_row")
    is_api = pl.col("source_table") == api_plays.API_TABLE
    row_ids = pl.when(is_api).then(api_plays.api_row_id(row)).otherwise(row)
    told = with_row_hash(sources, "sources_hash", (pl.col("play_id"), row_ids, rules))
    parts = (counted, told.select("listener", "played_on", "sources_hash"))
    return added_up(DAY_SUMS, (part.group_by("listener", "played_on").agg(pl.all().sum()) for part in parts))


def session_sums(plays: pl.LazyFrame) -> pl.LazyFrame:
    """For each listener's day the plays of sessions that began on another day; may be added up.

    Args:
        plays: Result of `decide_plays`, or some of its rows.

    Returns:
        listener, played_on, session_started_on, plays_hash (UInt64).
    """
    of_other_days = plays.filter(pl.col("session_started_on") != pl.col("played_on"))
    return added_up(SESSION_SUMS, [of_other_days.rename({"play_hash": "plays_hash"})])


DAY_SUMS = pl.Schema(
    {
        "listener": pl.String,
        "played_on": pl.Date,
        "plays": pl.Int64,
        "plays_hash": pl.UInt64,
        "sources_hash": pl.UInt64,
    }
)
"""Columns of `day_sums`."""

SESSION_SUMS = pl.Schema(
    {"listener": pl.String, "played_on": pl.Date, "session_started_on": pl.Date, "plays_hash": pl.UInt64}
)
"""Columns of `session_sums`."""


def added_up(schema: pl.Schema, sums: Iterable[pl.LazyFrame]) -> pl.LazyFrame:
    """The sums (`DAY_SUMS`, `SESSION_SUMS`) of plays from those of their parts, whose hashes may be texts."""
    columns = [pl.col(name).cast(dtype) for name, dtype in schema.items()]
    parts = [part.select(pl.col(name) for name in part.collect_schema() if name in schema) for part in sums]
    keys = [name for name in schema if name in ("listener", "played_on", "session_started_on")]
    joined = pl.concat([pl.LazyFrame(schema=schema), *parts], how="diagonal_relaxed").select(columns)
    return joined.group_by(keys).agg(pl.all().sum())


def days(
    sums: pl.LazyFrame, sessions: pl.LazyFrame, evidence: pl.LazyFrame, *, today: Mapping[str, date]
) -> pl.LazyFrame:
    """clean.days: every day of each listener from the first play to today, with the versions of its rows.

    Args:
        sums: Result of `day_sums`.
        sessions: Result of `session_sums`.
        evidence: Result of `coverage.day_evidence`.
        today: Local date of each listener.
    """
    current = pl.LazyFrame(
        {"listener": list(today), "today": list(today.values())},
        schema={"listener": pl.String, "today": pl.Date},
    )
    every_day = (
        sums.filter(pl.col("plays") > 0)
        .group_by("listener")
        .agg(first=pl.col("played_on").min(), last=pl.col("played_on").max())
        .join(current, on="listener", how="left")
        .select("listener", played_on=pl.date_ranges("first", pl.max_horizontal("last", "today")))
        .explode("played_on", empty_as_null=False)
    )
    begun = sessions.group_by("listener", played_on="session_started_on").agg(begun_hash=pl.col("plays_hash").sum())
    key = ["listener", "played_on"]
    zero = pl.lit(0, dtype=pl.UInt64)
    versioned = (
        every_day.join(sums, on=key, how="left")
        .join(begun, on=key, how="left")
        .with_columns(pl.col("plays_hash", "begun_hash", "sources_hash").fill_null(zero), pl.col("plays").fill_null(0))
    )
    versioned = coverage.with_no_evidence(versioned.join(evidence, on=key, how="left"))
    plays_hash, begun_hash = (pl.col(name).reinterpret(signed=True) for name in ("plays_hash", "begun_hash"))
    versioned = with_row_hash(versioned, "version", (plays_hash, begun_hash, pl.col("plays")))
    told = (plays_hash, pl.col("plays"), *coverage.evidence_numbers())
    versioned = with_row_hash(versioned, "completeness_version", told)
    hashes = ("version", "plays_hash", "sources_hash", "completeness_version")
    return versioned.with_columns(as_text(pl.col(name)) for name in hashes).select(clean.Days.column_names()).sort(key)


def changed_days(new: pl.LazyFrame, old: pl.LazyFrame, hash_column: str) -> pl.LazyFrame:
    """The dates (column played_on) on which `hash_column` of clean.days differs, days that came or went included."""
    key = ["listener", "played_on"]
    both = new.select(*key, hash_column).join(
        old.select(*key, hash_column), on=key, how="full", coalesce=True, suffix="_old"
    )
    differs = pl.col(hash_column).ne_missing(pl.col(f"{hash_column}_old"))
    return both.filter(differs).select("played_on").unique().sort("played_on")


def assemble_plays(plays: pl.LazyFrame, rows: pl.LazyFrame, names: pl.LazyFrame) -> pl.LazyFrame:
    """clean.plays for some of the plays.

    Args:
        plays: Rows of `decide_plays`.
        rows: Their winning rows, WRITTEN_COLUMNS of raw.streaming_history and `api_plays.written`.
        names: Result of `names`.
    """
    keys = ("track_key", "artist_key", "album_key")
    return (
        plays.join(rows, on="row_id", how="inner")
        .join(names.select("names_hash", *keys), on="names_hash", how="left")
        .with_columns(
            pl.when(pl.col("content_type") == "track").then(pl.col(*keys)),
            episode_id=pl.col("episode_uri").str.extract(r"^spotify:episode:([0-9A-Za-z]{22})$"),
            audiobook_id=pl.col("audiobook_uri").str.extract(r"([0-9A-Za-z]{22})$"),
            country=pl.col("conn_country"),
            is_shuffle=pl.col("shuffle"),
            is_offline=pl.col("offline"),
            is_incognito=pl.col("incognito_mode"),
        )
    )
