"""Tracks, albums and artists as the plays name them, with what Spotify and others tell of them.

The plays decide which rows there are, and names make their keys; ids and what is told under them are columns beside.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from spotify_assets.transforms.names import artist_key, fold, title_key
from spotify_assets.transforms.objects import Told

NAMES = ["track_key", "track_name", "artist_key", "artist_name", "album_key", "album_name", "track_uri", "track_id"]
"""Columns of clean.plays that name a track."""

SPELLINGS = pl.Schema(
    {
        **dict.fromkeys(NAMES, pl.String),
        "plays": pl.Int64,
        "ms_played": pl.Int64,
        "length_ms": pl.Int64,
        "first_played_at": pl.Datetime("us", "UTC"),
        "last_played_at": pl.Datetime("us", "UTC"),
    }
)
"""Columns of spellings: one row for each way in which tracks were named in clean.plays, with number of plays, listening
time, longest finished play, first and last end."""


def _totals() -> list[pl.Expr]:
    return [
        pl.col("plays").sum(),
        pl.col("ms_played").sum(),
        pl.col("first_played_at").min(),
        pl.col("last_played_at").max(),
    ]


def _most_played(spelled: pl.LazyFrame, key: str, columns: Sequence[str]) -> pl.LazyFrame:
    """For each key the combination of `columns` with most plays; the smallest of equals."""
    return (
        spelled.group_by(key, *columns)
        .agg(pl.col("plays").sum())
        .sort(pl.col(key), -pl.col("plays"), *columns, nulls_last=True)
        .unique(key, keep="first", maintain_order=True)
        .select(key, *columns)
    )


def track_uri(track_id: pl.Expr) -> pl.Expr:
    """URI of a track."""
    return pl.lit("spotify:track:") + track_id


def _link(kind: str, identifier: str) -> pl.Expr:
    return (pl.lit(f"https://open.spotify.com/{kind}/") + pl.col(identifier)).alias("spotify_url")


def tracks(spelled: pl.LazyFrame, told: Told) -> pl.LazyFrame:
    """clean.tracks from `SPELLINGS` and what Spotify tells."""
    releases = told.albums.lazy().select("album_id", "release_date", "release_date_precision")
    of_uris = told.tracks.lazy().select(
        "track_id",
        pl.col("credits").list.get(0, null_on_oob=True).struct.field("id").alias("artist_id"),
        "album_id",
        "duration_ms",
        "isrc",
        "explicit",
        "disc_number",
        "track_number",
        "popularity",
        "popularity_on",
    )
    of_tracks = spelled.filter(pl.col("track_key").is_not_null())
    return (
        of_tracks.group_by("track_key")
        .agg(*_totals(), pl.col("length_ms").max())
        .join(_most_played(of_tracks, "track_key", ["track_name", "artist_key", "artist_name"]), on="track_key")
        .join(
            _most_played(of_tracks.filter(pl.col("album_key").is_not_null()), "track_key", ["album_key", "album_name"]),
            on="track_key",
            how="left",
        )
        .join(
            _most_played(of_tracks.filter(pl.col("track_uri").is_not_null()), "track_key", ["track_uri", "track_id"]),
            on="track_key",
            how="left",
        )
        .join(of_uris, on="track_id", how="left")
        .join(releases, on="album_id", how="left")
        .with_columns(_link("track", "track_id"))
        .sort("track_key")
    )


def albums(spelled: pl.LazyFrame, told: Told) -> pl.LazyFrame:
    """clean.albums from `SPELLINGS` and what Spotify tells."""
    of_albums = spelled.filter(pl.col("album_key").is_not_null())
    return (
        of_albums.group_by("album_key")
        .agg(*_totals(), tracks=pl.col("track_key").drop_nulls().n_unique().cast(pl.Int64))
        .join(_most_played(of_albums, "album_key", ["album_name", "artist_key", "artist_name"]), on="album_key")
        .join(_album_ids(of_albums, told.tracks.lazy()), on="album_key", how="left")
        .join(told.albums.lazy().drop("name"), on="album_id", how="left")
        .with_columns(_link("album", "album_id"))
        .sort("album_key")
    )


def _album_ids(of_albums: pl.LazyFrame, told_tracks: pl.LazyFrame) -> pl.LazyFrame:
    """For each album_key the id of the album on which most of its plays were: of one with that name where there is one.

    An export may name an album as it was called when it was played, so that a name that fits none proves nothing.
    """
    artist = pl.col("album_credits").list.get(0, null_on_oob=True).struct.field("name")
    on_albums = told_tracks.filter(pl.col("album_id").is_not_null()).select(
        "track_id", "album_id", told_key=title_key(artist, pl.col("album_name"))
    )
    return (
        of_albums.join(on_albums, on="track_id")
        .group_by("album_key", "album_id")
        .agg(pl.col("plays").sum(), is_named_so=(pl.col("told_key") == pl.col("album_key")).any())
        .sort("album_key", "is_named_so", "plays", "album_id", descending=[False, True, True, False])
        .unique("album_key", keep="first", maintain_order=True)
        .select("album_key", "album_id")
    )


def artists(spelled: pl.LazyFrame, told: Told) -> pl.LazyFrame:
    """clean.artists from `SPELLINGS` and what Spotify tells."""
    of_artists = spelled.filter(pl.col("artist_key").is_not_null())
    return (
        of_artists.group_by("artist_key")
        .agg(
            *_totals(),
            tracks=pl.col("track_key").drop_nulls().n_unique().cast(pl.Int64),
            albums=pl.col("album_key").drop_nulls().n_unique().cast(pl.Int64),
        )
        .join(_most_played(of_artists, "artist_key", ["artist_name"]), on="artist_key")
        .join(_artist_ids(of_artists, told), on="artist_key", how="left")
        .join(
            told.artists.lazy().select("artist_id", "popularity", "popularity_on", "followers", "image_url"),
            on="artist_id",
            how="left",
        )
        .with_columns(_link("artist", "artist_id"))
        .sort("artist_key")
    )


def _artist_ids(of_artists: pl.LazyFrame, told: Told) -> pl.LazyFrame:
    """For each artist_key the id of the artist of this name who is credited on most of its plays.

    Where none is, the id of the only artist of this name whom Spotify has told of; two who share a name prove nothing.
    """
    credited = pl.concat(_credited(told.tracks.lazy(), credits) for credits in ("credits", "album_credits"))
    by_plays = (
        of_artists.join(credited.unique(), on=["track_id", "artist_key"])
        .group_by("artist_key", "artist_id")
        .agg(pl.col("plays").sum())
        .sort("artist_key", "plays", "artist_id", descending=[False, True, False])
        .unique("artist_key", keep="first", maintain_order=True)
        .select("artist_key", "artist_id")
    )
    by_name = (
        told.artists.lazy()
        .select("artist_id", artist_key=artist_key(pl.col("name")))
        .filter(pl.len().over("artist_key") == 1)
        .join(by_plays, on="artist_key", how="anti")
        .select("artist_key", "artist_id")
    )
    return pl.concat([by_plays, by_name])


def _credited(told_tracks: pl.LazyFrame, credits: str) -> pl.LazyFrame:
    """track_id, artist_id and artist_key of everybody whom a list of credits names."""
    artist = pl.col(credits).struct
    return (
        told_tracks.select("track_id", credits)
        .explode(credits)
        .select("track_id", artist.field("id").alias("artist_id"), artist_key(artist.field("name")).alias("artist_key"))
        .drop_nulls()
    )


def track_artists(told: Told) -> pl.LazyFrame:
    """clean.track_artists from what Spotify tells."""
    artist = pl.col("credits").struct
    return (
        told.tracks.lazy()
        .select("track_id", "credits")
        .explode("credits")
        .select(
            "track_id",
            track_uri(pl.col("track_id")).alias("track_uri"),
            artist.field("id").alias("artist_id"),
            artist.field("name").alias("artist_name"),
        )
        .filter(pl.any_horizontal(pl.col("artist_id", "artist_name").is_not_null()))
        .with_columns(
            position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("track_id"),
            artist_key=artist_key(pl.col("artist_name")),
        )
    )


def artist_genres(told: Told, of_others: pl.LazyFrame, known_artists: pl.LazyFrame) -> pl.LazyFrame:
    """clean.artist_genres.

    Args:
        told: What Spotify tells.
        of_others: raw.genres.
        known_artists: artist_key and artist_id of clean.artists.
    """
    of_spotify = (
        told.artists.lazy()
        .select("artist_id", "genres", artist_name="name", fetched_at="told_at")
        .explode("genres")
        .select(
            pl.lit("spotify").alias("source"),
            "artist_name",
            pl.col("genres").alias("genre"),
            pl.lit(None, dtype=pl.Int64).alias("votes"),
            "fetched_at",
            "artist_id",
        )
    )
    others = of_others.select(
        "source", "artist_name", "genre", "votes", "fetched_at", artist_id=pl.lit(None, dtype=pl.String)
    )
    return (
        pl.concat([of_spotify, others])
        .with_columns(artist_key=artist_key(pl.col("artist_name")), genre=fold(pl.col("genre")))
        .filter(pl.all_horizontal(pl.col("artist_key", "genre").is_not_null()))
        .join(known_artists.select("artist_key", known_id="artist_id"), on="artist_key", how="left")
        .with_columns(
            is_other=pl.col("artist_id").ne(pl.col("known_id")).fill_null(False),
            artist_id=pl.coalesce("artist_id", "known_id"),
        )
        # Of two artists who share a name, the one who was played gives the row.
        .sort(
            "artist_key", "genre", "source", "is_other", -pl.col("votes"), "artist_id", "artist_name", nulls_last=True
        )
        .unique(["artist_key", "genre", "source"], keep="first", maintain_order=True)
    )
