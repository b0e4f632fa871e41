"""The library and playlists as the newest export of each listener tells them."""

from __future__ import annotations

import polars as pl

from spotify_assets.transforms import told_rows
from spotify_assets.transforms.names import artist_key, title_key

_ID = r"^spotify:[a-z]+:([0-9A-Za-z]{22})$"


def newest_snapshot(rows: pl.LazyFrame, told: pl.LazyFrame, imports: pl.LazyFrame, kind: str) -> pl.LazyFrame:
    """The rows of each listener's newest library or playlist files, with `snapshot_at`.

    A library file tells the whole library at one moment: what an older file told and the newest does not was
    removed. Playlists may be spread over several files of one export, which share their moment.

    Args:
        rows: raw.library_items or raw.library_playlist_items.
        told: raw.told_rows of that table.
        imports: raw.imports.
        kind: raw.imports.kind of the files: library or playlists.
    """
    files = imports.filter((pl.col("kind") == kind) & pl.col("snapshot_at").is_not_null())
    newest = (
        files.filter(pl.col("snapshot_at") == pl.col("snapshot_at").max().over("listener"))
        .select("file_id", "file_name", "snapshot_at")
        .sort("file_id", "file_name")
        .unique("file_id", keep="first", maintain_order=True)
    )
    # The same export may have been taken in twice. Equal entries of Playlist1.json and Playlist2.json are two.
    once = ["row_id", "file_name"] if kind == "playlists" else ["row_id"]
    return (
        told_rows.one_by_one(told)
        .join(newest, on="file_id", how="inner")
        .select("row_id", "row_number", pl.col("file_name").str.extract(r"([^/]*)$"), "snapshot_at")
        .sort("row_id", "file_name")
        .unique(once, keep="first", maintain_order=True)
        # The place in the newest file counts, not the one in the file that told the entry first.
        .join(rows.drop("row_number"), on="row_id", how="inner")
    )


def saved_tracks(items: pl.LazyFrame) -> pl.LazyFrame:
    """clean.saved_tracks from the newest snapshot of raw.library_items."""
    return (
        items.filter(pl.col("item_type") == "track")
        .sort("listener", "row_number", "row_id")
        .select(
            "listener",
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("listener").alias("saved_track_number"),
            track_uri="uri",
            track_id=pl.col("uri").str.extract(_ID),
            track_key=title_key(pl.col("creator_name"), pl.col("item_name")),
            track_name="item_name",
            artist_key=artist_key(pl.col("creator_name")),
            artist_name="creator_name",
            album_key=title_key(pl.col("creator_name"), pl.col("album_name")),
            album_name="album_name",
            snapshot_at="snapshot_at",
        )
    )


def _identified(items: pl.LazyFrame) -> pl.LazyFrame:
    """Add playlist_id: the name, and from the second playlist of a name on a number that makes it the only one."""
    key = ["listener", "file_name", "playlist_number", "playlist_name"]
    playlists = items.select(key).unique().sort(key).collect()
    taken = set(playlists.select("listener", "playlist_name").iter_rows())
    named: set[tuple[str, str]] = set()
    identifiers = []
    for listener, name in playlists.select("listener", "playlist_name").iter_rows():
        identifier, number = name, 1
        while (listener, identifier) in (named if number == 1 else taken):
            number += 1
            identifier = f"{name} ({number})"
        named.add((listener, identifier))
        taken.add((listener, identifier))
        identifiers.append(identifier)
    return items.join(
        playlists.with_columns(playlist_id=pl.Series(identifiers, dtype=pl.String)).lazy(), on=key, how="inner"
    )


def _as_day(text: str) -> pl.Expr:
    return pl.col(text).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)


def playlists(items: pl.LazyFrame) -> pl.LazyFrame:
    """clean.playlists from the newest snapshot of raw.library_playlist_items."""
    return (
        _identified(items)
        .group_by("listener", "playlist_id")
        .agg(
            pl.col("playlist_name", "snapshot_at").first(),
            description=pl.col("playlist_description").drop_nulls().first(),
            followers=pl.col("playlist_followers").max(),
            modified_on=_as_day("playlist_modified_on").max(),
            items=pl.col("position").count().cast(pl.Int64),
        )
        .sort("listener", "playlist_id")
    )


def playlist_items(items: pl.LazyFrame) -> pl.LazyFrame:
    """clean.playlist_items from the newest snapshot of raw.library_playlist_items."""
    key = title_key(pl.col("creator_name"), pl.col("item_name"))
    return (
        _identified(items)
        .filter(pl.col("position").is_not_null())
        .select(
            "listener",
            "playlist_id",
            "position",
            "item_type",
            item_uri="uri",
            item_name="item_name",
            creator_name="creator_name",
            album_name="album_name",
            track_key=pl.when(pl.col("item_type").is_in(["track", "local"])).then(key),
            added_on=_as_day("added_on"),
        )
        .sort("listener", "playlist_id", "position")
    )
