"""Spotify's own rankings: a listener's top artists and tracks over time, and what the top artists are known for."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from spotify_assets.transforms.catalogue import track_uri
from spotify_assets.transforms.names import artist_key, fold, title_key

FAVOURITES = 50
"""Artists at the head of a listener's short-term ranking whose albums and tracks are told."""
ALBUMS_OF_ARTIST = 5
COMMON_MARKET = "US"
"""Market in which the top tracks of every listener's artists are told, so that they can be compared."""

_RANKING = ["listener", "time_range", "fetched_on"]


def top_artists(rankings: pl.LazyFrame) -> pl.LazyFrame:
    """clean.top_artists from raw.top_artists."""
    keyed = rankings.with_columns(artist_key=artist_key(pl.col("artist_name")))
    return _moved(keyed, pl.coalesce("artist_id", "artist_key"))


def top_tracks(rankings: pl.LazyFrame) -> pl.LazyFrame:
    """clean.top_tracks from raw.top_tracks."""
    keyed = rankings.with_columns(track_key=title_key(pl.col("artist_name"), pl.col("track_name")))
    return _moved(keyed, pl.coalesce("track_id", "track_uri", "track_key"))


def _moved(rankings: pl.LazyFrame, identity: pl.Expr) -> pl.LazyFrame:
    """Add previous_rank, movement, is_new and is_latest; the ranking before may be of any earlier day."""
    of_range = ["listener", "time_range"]
    days = (
        rankings.select(_RANKING)
        .unique()
        .sort(_RANKING)
        .with_columns(
            previous_on=pl.col("fetched_on").shift().over(of_range),
            is_latest=pl.col("fetched_on") == pl.col("fetched_on").max().over(of_range),
        )
    )
    identified = rankings.with_columns(identity=identity)
    before = identified.group_by(*_RANKING, "identity").agg(previous_rank=pl.col("rank").min())
    return (
        identified.join(days, on=_RANKING)
        .join(
            before.rename({"fetched_on": "previous_on"}),
            on=[*of_range, "previous_on", "identity"],
            how="left",
        )
        .with_columns(
            movement=pl.col("previous_rank") - pl.col("rank"),
            is_new=pl.when(pl.col("previous_on").is_not_null()).then(pl.col("previous_rank").is_null()),
        )
    )


def favourites(top: pl.LazyFrame) -> pl.LazyFrame:
    """The artists in each listener's newest short-term ranking.

    Args:
        top: raw.top_artists.

    Returns:
        listener, artist_id, artist_name, artist_rank.
    """
    return (
        top.filter((pl.col("time_range") == "short_term") & (pl.col("rank") <= FAVOURITES))
        .filter(pl.col("fetched_on") == pl.col("fetched_on").max().over("listener"))
        .filter(pl.col("artist_id").is_not_null())
        .sort("listener", "rank")
        .unique(["listener", "artist_id"], keep="first", maintain_order=True)
        .select("listener", "artist_id", "artist_name", artist_rank="rank")
    )


def artist_top_albums(top: pl.LazyFrame, albums: pl.LazyFrame, told: pl.LazyFrame) -> pl.LazyFrame:
    """clean.artist_top_albums: the first five of type album in Spotify's order, one for each title.

    An artist may have been asked for with several groups (none means all) and markets: the list that was asked for
    albums alone counts, else one that holds them among others; of equals the newest.

    Args:
        top: raw.top_artists.
        albums: raw.artist_albums.
        told: Result of `objects.albums`.
    """
    lists = (
        albums.filter((pl.col("album_groups") == "") | pl.col("album_groups").str.split(",").list.contains("album"))
        .group_by("artist_id", "album_groups", "market")
        .agg(pl.col("fetched_at").max())
        .sort(
            "artist_id",
            pl.col("album_groups") != "album",
            -pl.col("fetched_at").to_physical(),
            "album_groups",
            "market",
        )
        .unique("artist_id", keep="first", maintain_order=True)
    )
    title = fold(pl.col("name"))
    return (
        albums.join(lists.drop("fetched_at"), on=["artist_id", "album_groups", "market"])
        .join(told, on="album_id")
        .filter((pl.col("album_type") == "album") & title.is_not_null())
        .sort("artist_id", "position")
        .unique(["artist_id", title], keep="first", maintain_order=True)
        .with_columns(position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("artist_id"))
        .filter(pl.col("position") <= ALBUMS_OF_ARTIST)
        .join(favourites(top), on="artist_id")
        .select(
            "listener",
            "artist_id",
            "position",
            "artist_name",
            "artist_rank",
            "album_id",
            "release_date",
            "release_date_precision",
            "total_tracks",
            "fetched_at",
            album_name="name",
        )
    )


def artist_top_tracks(
    top: pl.LazyFrame, tracks: pl.LazyFrame, told: pl.LazyFrame, features: pl.LazyFrame, markets: Mapping[str, str]
) -> pl.LazyFrame:
    """clean.artist_top_tracks: in the common market, and in the listener's.

    Args:
        top: raw.top_artists.
        tracks: raw.artist_top_tracks.
        told: Result of `objects.tracks`.
        features: clean.track_features.
        markets: Market by listener, of those who have one.
    """
    own_market = pl.col("listener").replace_strict(dict(markets), default=None, return_dtype=pl.String)
    return (
        tracks.join(favourites(top), on="artist_id")
        .filter((pl.col("market") == COMMON_MARKET) | (pl.col("market") == own_market))
        .join(told.select("track_id", "duration_ms", track_name="name"), on="track_id", how="left")
        .join(features.select("track_id", "mode", bpm="tempo"), on="track_id", how="left")
        .with_columns(
            track_uri=track_uri(pl.col("track_id")),
            duration_text=_minutes_and_seconds(pl.col("duration_ms")),
            mode_name=pl.col("mode").replace_strict({1: "Major", 0: "Minor"}, default=None, return_dtype=pl.String),
        )
    )


def _minutes_and_seconds(duration_ms: pl.Expr) -> pl.Expr:
    """MM:SS, longer than two digits from 100 minutes on."""
    seconds = duration_ms // 1000
    parts = [part.cast(pl.String).str.zfill(2) for part in (seconds // 60, seconds % 60)]
    return pl.concat_str(parts, separator=":")
