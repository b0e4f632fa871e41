"""Daily aggregates: pure filters and groups of clean.plays, so that any split of a range gives the same rows."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

_DAY = ["listener", "played_on"]


def _rows() -> pl.Expr:
    return pl.len().cast(pl.Int64)


def _trues(column: str) -> pl.Expr:
    return pl.col(column).sum().cast(pl.Int64)


def _distinct(column: str) -> pl.Expr:
    return pl.col(column).drop_nulls().n_unique().cast(pl.Int64)


def _estimated() -> pl.Expr:
    return pl.col("ms_played").filter("is_ms_played_estimated").sum()


def _tracks_only(plays: pl.LazyFrame) -> pl.LazyFrame:
    return plays.filter(pl.col("content_type") == "track")


LISTENING_COLUMNS = [
    *_DAY,
    "started_at",
    "ended_at",
    "ms_played",
    "is_ms_played_estimated",
    "content_type",
    "is_first_play_of_track",
    "is_first_play_of_artist",
    "is_first_play_of_album",
    "track_key",
    "artist_key",
    "album_key",
    "is_shuffle",
    "is_skip",
    "is_offline",
    "is_incognito",
    "is_stream",
    "is_scrobble",
    "is_finished",
]
SESSION_COLUMNS = [
    "listener",
    "session_id",
    "session_started_on",
    "play_id",
    "content_type",
    "track_key",
    "started_at",
    "ended_at",
    "ms_played",
]
COMPLETENESS_COLUMNS = [*_DAY, "content_type", "source", "is_unverified", "ms_played", "is_ms_played_estimated"]
HOUR_COLUMNS = [*_DAY, "ended_at_local", "content_type", "is_stream", "ms_played"]


def listening(plays: pl.LazyFrame, session_plays: pl.LazyFrame, days: pl.LazyFrame) -> pl.LazyFrame:
    """daily.listening.

    Args:
        plays: clean.plays of the days, LISTENING_COLUMNS.
        session_plays: clean.plays whose session_started_on is one of the days, SESSION_COLUMNS.
        days: clean.days of the days: listener, played_on.
    """
    of_tracks = (
        _tracks_only(plays)
        .group_by(_DAY)
        .agg(
            plays=_rows(),
            streams=_trues("is_stream"),
            scrobbles=_trues("is_scrobble"),
            finished=_trues("is_finished"),
            skips=_trues("is_skip"),
            ms_played=pl.col("ms_played").sum(),
            ms_played_estimated=_estimated(),
            tracks=_distinct("track_key"),
            artists=_distinct("artist_key"),
            albums=_distinct("album_key"),
            new_tracks=_trues("is_first_play_of_track"),
            new_artists=_trues("is_first_play_of_artist"),
            new_albums=_trues("is_first_play_of_album"),
            shuffle_plays=_trues("is_shuffle"),
            offline_plays=_trues("is_offline"),
            incognito_plays=_trues("is_incognito"),
        )
    )
    of_all = plays.group_by(_DAY).agg(
        *(
            aggregate
            for kind in ("episode", "audiobook", "unknown")
            for is_kind in [pl.col("content_type") == kind]
            for aggregate in (
                is_kind.sum().cast(pl.Int64).alias(f"{kind}_plays"),
                pl.col("ms_played").filter(is_kind).sum().alias(f"{kind}_ms_played"),
            )
        ),
        first_started_at=pl.col("started_at").min(),
        last_ended_at=pl.col("ended_at").max(),
    )
    of_sessions = (
        sessions(session_plays)
        .group_by(_DAY)
        .agg(
            sessions=_rows(),
            longest_session_ms=(pl.col("ended_at") - pl.col("started_at")).max().dt.total_milliseconds(),
        )
    )
    instants = ("first_started_at", "last_ended_at")
    return (
        days.select(_DAY)
        .join(of_tracks, on=_DAY, how="left")
        .join(of_all, on=_DAY, how="left")
        .join(of_sessions, on=_DAY, how="left")
        .with_columns(pl.exclude(*_DAY, *instants).fill_null(0))
        .sort(_DAY)
    )


def completeness(plays: pl.LazyFrame, days: pl.LazyFrame) -> pl.LazyFrame:
    """daily.completeness.

    Args:
        plays: clean.plays of the days, COMPLETENESS_COLUMNS.
        days: clean.days of the days: listener, played_on and `coverage.DAY_EVIDENCE`.
    """
    is_api = pl.col("source") == "api"
    counts = (
        _tracks_only(plays)
        .group_by(_DAY)
        .agg(
            plays=_rows(),
            plays_verified=(~is_api).sum().cast(pl.Int64),
            plays_api_only=is_api.sum().cast(pl.Int64),
            plays_unverified=_trues("is_unverified"),
            ms_played=pl.col("ms_played").sum(),
            ms_played_estimated=_estimated(),
        )
        .with_columns(share_verified=pl.col("plays_verified") / pl.col("plays"))
    )
    counted = ("plays", "plays_verified", "plays_api_only", "plays_unverified", "ms_played", "ms_played_estimated")
    return days.join(counts, on=_DAY, how="left").with_columns(pl.col(counted).fill_null(0)).sort(_DAY)


def sessions(session_plays: pl.LazyFrame) -> pl.LazyFrame:
    """daily.sessions from clean.plays whose session_started_on is one of the days, SESSION_COLUMNS."""
    starts_first = pl.col("play_id").sort_by("started_at", "ended_at", "play_id")
    ends_last = pl.col("play_id").sort_by("ended_at", "started_at", "play_id")
    return (
        session_plays.group_by("listener", "session_id", played_on="session_started_on")
        .agg(
            started_at=pl.col("started_at").min(),
            ended_at=pl.col("ended_at").max(),
            plays=_rows(),
            tracks=pl.col("track_key").drop_nulls().n_unique().cast(pl.Int64),
            ms_played=pl.col("ms_played").sum(),
            first_play_id=starts_first.first(),
            last_play_id=ends_last.last(),
        )
        .sort("listener", "played_on", "session_id")
    )


def hours(plays: pl.LazyFrame) -> pl.LazyFrame:
    """daily.hours from clean.plays of the days, HOUR_COLUMNS."""
    return (
        _tracks_only(plays)
        .group_by(*_DAY, hour=pl.col("ended_at_local").dt.hour().cast(pl.Int64))
        .agg(plays=_rows(), streams=_trues("is_stream"), ms_played=pl.col("ms_played").sum())
        .sort(*_DAY, "hour")
    )


def _entity_columns(key: str, names: Sequence[str], is_first: str) -> list[str]:
    return [
        *_DAY,
        "content_type",
        key,
        *names,
        "ms_played",
        "is_ms_played_estimated",
        "is_stream",
        "is_skip",
        "is_finished",
        is_first,
    ]


_ARTIST = ("artist_key", ["artist_name"], "is_first_play_of_artist")
_ALBUM = ("album_key", ["album_name", "artist_key", "artist_name"], "is_first_play_of_album")
_TRACK = ("track_key", ["track_name", "artist_key", "artist_name"], "is_first_play_of_track")
ARTIST_COLUMNS = _entity_columns(*_ARTIST)
ALBUM_COLUMNS = _entity_columns(*_ALBUM)
TRACK_COLUMNS = _entity_columns(*_TRACK)


def artists(plays: pl.LazyFrame) -> pl.LazyFrame:
    """daily.artists from clean.plays of the days, ARTIST_COLUMNS."""
    return _entities(plays, *_ARTIST)


def albums(plays: pl.LazyFrame) -> pl.LazyFrame:
    """daily.albums from clean.plays of the days, ALBUM_COLUMNS."""
    return _entities(plays, *_ALBUM)


def tracks(plays: pl.LazyFrame) -> pl.LazyFrame:
    """daily.tracks from clean.plays of the days, TRACK_COLUMNS."""
    return _entities(plays, *_TRACK)


def _entities(plays: pl.LazyFrame, key: str, names: Sequence[str], is_first: str) -> pl.LazyFrame:
    spelled = (
        _tracks_only(plays)
        .filter(pl.col(key).is_not_null())
        .group_by(*_DAY, key, *names)
        .agg(
            plays=_rows(),
            streams=_trues("is_stream"),
            skips=_trues("is_skip"),
            finished=_trues("is_finished"),
            ms_played=pl.col("ms_played").sum(),
            ms_played_estimated=_estimated(),
            is_new=pl.col(is_first).fill_null(False).any(),
        )
    )

    # Hardly any name is spelled in two ways on one day: only those are worth sorting and grouping again.
    is_settled = pl.struct(*_DAY, key).hash().is_unique()
    spelled = spelled.with_columns(is_settled=is_settled).collect()
    settled = spelled.filter("is_settled")
    merged = (
        spelled.filter(~pl.col("is_settled"))
        .sort(*_DAY, key, -pl.col("plays"), *names, nulls_last=True)
        .group_by(*_DAY, key, maintain_order=True)
        .agg(
            pl.col(*names).first(),
            pl.col("plays", "streams", "skips", "finished", "ms_played", "ms_played_estimated").sum(),
            pl.col("is_new").any(),
        )
    )
    del spelled

    def rank(column: str) -> pl.Expr:
        return pl.col(column).rank("min", descending=True).over(_DAY).cast(pl.Int64)

    entities = pl.concat([settled.select(merged.columns), merged]).lazy()
    return entities.with_columns(rank_by_plays=rank("plays"), rank_by_ms_played=rank("ms_played"))
