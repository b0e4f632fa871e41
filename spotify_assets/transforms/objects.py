"""Track, album and artist objects of the Web API, read from the JSON text in which raw.tracks, albums and artists keep
them.

Every field may be absent or null: apps of the new rules are not told popularity, followers or labels, and what is told
as part of something else is short. What is of another kind than Spotify documents counts as not told.
https://developer.spotify.com/documentation/web-api/reference/get-track
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

_CREDITS = pl.List(pl.Struct({"id": pl.String, "name": pl.String}))
_IMAGES = pl.List(pl.Struct({"url": pl.String, "width": pl.Int64}))
_TRACK = pl.Struct(
    {
        "name": pl.String,
        "duration_ms": pl.Int64,
        "explicit": pl.Boolean,
        "disc_number": pl.Int64,
        "track_number": pl.Int64,
        "popularity": pl.Int64,
        "external_ids": pl.Struct({"isrc": pl.String}),
        "artists": _CREDITS,
        "album": pl.Struct({"id": pl.String, "name": pl.String, "artists": _CREDITS}),
    }
)
_ALBUM = pl.Struct(
    {
        "name": pl.String,
        "album_type": pl.String,
        "release_date": pl.String,
        "release_date_precision": pl.String,
        "total_tracks": pl.Int64,
        "label": pl.String,
        "popularity": pl.Int64,
        "external_ids": pl.Struct({"upc": pl.String}),
        "images": _IMAGES,
    }
)
_ARTIST = pl.Struct(
    {
        "name": pl.String,
        "popularity": pl.Int64,
        "followers": pl.Struct({"total": pl.Int64}),
        "genres": pl.List(pl.String),
        "images": _IMAGES,
    }
)

TELLINGS = pl.Schema({"object_hash": pl.Int64, "told_at": pl.Datetime("us", "UTC"), "is_simplified": pl.Boolean})
"""Columns, besides the id, of raw.tracks, albums and artists by which a telling is chosen."""

_FIRST_DAYS = {"year": (4, "-01-01"), "month": (7, "-01"), "day": (10, "")}
"""How many characters of a release date count, and what completes them, by release_date_precision."""


@dataclass(frozen=True)
class Told:
    """What Spotify tells, one row for each id.

    Attributes:
        tracks: Result of `tracks`.
        albums: Result of `albums`.
        artists: Result of `artists`.
    """

    tracks: pl.DataFrame
    albums: pl.DataFrame
    artists: pl.DataFrame


def chosen_tellings(tellings: pl.LazyFrame, identifier: str) -> pl.LazyFrame:
    """Which tellings of each id must be read, so that no other object is parsed.

    The newest whole one, or the newest short one where there is no other. Where that does not tell popularity, because
    the app came under the new rules, the newest that does as well.

    Args:
        tellings: The id, `TELLINGS` and `tells_popularity`.
        identifier: Column of the id.

    Returns:
        The id, object_hash, told_at and is_main.
    """
    columns = [identifier, "object_hash", "told_at"]
    newest = ["told_at", "object_hash"]

    def first(rows: pl.LazyFrame, *by: str) -> pl.LazyFrame:
        descending = [name in newest for name in (identifier, *by)]
        return rows.sort(identifier, *by, descending=descending).unique(identifier, keep="first", maintain_order=True)

    main = first(tellings, "is_simplified", *newest)
    popular = first(tellings.filter("tells_popularity"), *newest).join(
        main.filter("tells_popularity"), on=identifier, how="anti"
    )
    return pl.concat(
        [main.select(*columns, is_main=pl.lit(True)), popular.select(*columns, is_main=pl.lit(False))], how="vertical"
    )


def tracks(chosen: pl.DataFrame) -> pl.DataFrame:
    """What track objects tell.

    Args:
        chosen: Result of `chosen_tellings` of raw.tracks, with `object`.

    Returns:
        track_id, name, duration_ms, isrc, explicit, disc_number, track_number, popularity, popularity_on, album_id,
        album_name, credits and album_credits (lists of id and name).
    """
    album = pl.col("album").struct
    return _with_popularity(_decoded(chosen, _TRACK), "track_id").select(
        "track_id",
        "name",
        pl.when(pl.col("duration_ms") > 0).then("duration_ms").alias("duration_ms"),
        _normal_isrc(pl.col("external_ids").struct.field("isrc")).alias("isrc"),
        "explicit",
        "disc_number",
        "track_number",
        "popularity",
        "popularity_on",
        album.field("id").alias("album_id"),
        album.field("name").alias("album_name"),
        pl.col("artists").alias("credits"),
        album.field("artists").alias("album_credits"),
    )


def albums(chosen: pl.DataFrame) -> pl.DataFrame:
    """What album objects tell.

    Args:
        chosen: Result of `chosen_tellings` of raw.albums, with `object`.

    Returns:
        album_id, name, album_type, release_date, release_date_precision, released_on, total_tracks, label, upc,
        popularity, popularity_on, image_url.
    """
    decoded = _with_popularity(_decoded(chosen, _ALBUM), "album_id")
    return decoded.select(
        "album_id",
        "name",
        pl.col("album_type").str.to_lowercase(),
        "release_date",
        "release_date_precision",
        _first_day(pl.col("release_date"), pl.col("release_date_precision")).alias("released_on"),
        pl.when(pl.col("total_tracks") >= 0).then("total_tracks").alias("total_tracks"),
        "label",
        pl.col("external_ids").struct.field("upc").alias("upc"),
        "popularity",
        "popularity_on",
        _widest("images").alias("image_url"),
    )


def artists(chosen: pl.DataFrame) -> pl.DataFrame:
    """What artist objects tell.

    Args:
        chosen: Result of `chosen_tellings` of raw.artists, with `object`.

    Returns:
        artist_id, name, popularity, popularity_on, followers, genres (a list), told_at, image_url.
    """
    decoded = _decoded(chosen, _ARTIST).with_columns(pl.col("followers").struct.field("total").alias("followers"))
    return _with_popularity(decoded, "artist_id", "followers").select(
        "artist_id",
        "name",
        "popularity",
        "popularity_on",
        pl.when(pl.col("followers") >= 0).then("followers").alias("followers"),
        "genres",
        "told_at",
        _widest("images").alias("image_url"),
    )


def _decoded(chosen: pl.DataFrame, dtype: pl.Struct) -> pl.DataFrame:
    return chosen.drop("object").hstack(parsed(chosen["object"], dtype).struct.unnest())


def parsed(objects: pl.Series, dtype: pl.Struct) -> pl.Series:
    """JSON objects as structs of declared fields; what is absent or of another kind is NULL."""
    try:
        return objects.str.json_decode(dtype)
    except pl.exceptions.ComputeError:
        # One object in which a list stands for a text, and Polars decodes none of the column.
        return pl.Series(objects.name, [_conformed(_loaded(text), dtype) for text in objects], dtype=dtype)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _conformed(value: Any, dtype: pl.DataType) -> Any:
    """The parts of a JSON value that are of the declared kind."""
    if isinstance(dtype, pl.Struct):
        if not isinstance(value, dict):
            return None
        return {field.name: _conformed(value.get(field.name), field.dtype) for field in dtype.fields}
    if isinstance(dtype, pl.List):
        return [_conformed(each, dtype.inner) for each in value] if isinstance(value, list) else None
    if dtype == pl.Int64:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63
        return int(value) if is_number else None
    if dtype == pl.String:
        # JSON can say half a character (a lone surrogate), a frame cannot.
        return value.encode(errors="replace").decode() if isinstance(value, str) else None
    return value if isinstance(value, bool) else None


def _with_popularity(decoded: pl.DataFrame, identifier: str, *told_beside: str) -> pl.DataFrame:
    """One row for each id: the main telling, with popularity (and what is told beside it) of the newest that has it."""
    names = ["popularity", *told_beside]
    decoded = decoded.with_columns(
        pl.when(pl.col("popularity").is_between(0, 100)).then("popularity").alias("popularity")
    ).with_columns(pl.when(pl.col("popularity").is_not_null()).then(pl.col("told_at").dt.date()).alias("popularity_on"))
    older = decoded.filter(~pl.col("is_main")).select(identifier, *names, "popularity_on")
    return (
        decoded.filter("is_main")
        .join(older, on=identifier, how="left", suffix="_older", maintain_order="left")
        .with_columns(pl.coalesce(name, f"{name}_older") for name in (*names, "popularity_on"))
    )


def _widest(images: str) -> pl.Expr:
    """URL of the widest picture; the first one told where widths are not."""
    pictures = pl.col(images).list.eval(pl.element().filter(pl.element().struct.field("url").is_not_null()))
    widths = pictures.list.eval(pl.element().struct.field("width").fill_null(0))
    return pictures.list.get(widths.list.arg_max(), null_on_oob=True).struct.field("url")


def _normal_isrc(isrc: pl.Expr) -> pl.Expr:
    """An ISRC without hyphens, in capitals; NULL for what is none (ISO 3901: country, registrant, year, number)."""
    normal = isrc.str.replace_all(r"[\s-]", "").str.to_uppercase()
    return pl.when(normal.str.contains(r"^[A-Z]{2}[A-Z0-9]{3}\d{7}$")).then(normal)


def _first_day(release_date: pl.Expr, precision: pl.Expr) -> pl.Expr:
    days = [
        pl.when(precision == name).then(release_date.str.slice(0, length) + pl.lit(rest))
        for name, (length, rest) in _FIRST_DAYS.items()
    ]
    # 0000 is Spotify's way of saying that nobody knows; it would be a year of the calendar.
    return pl.when(~release_date.str.starts_with("0000")).then(
        pl.coalesce(days).str.to_date("%Y-%m-%d", strict=False, exact=True)
    )
