"""The library and playlists of each listener, as the newer of the newest export and the Web API tells them.

A list tells all of it at one moment: what the newer one does not have was removed. What only the older one tells of
the same URI, such as the instant when it was added, is kept beside.
"""

from __future__ import annotations

import polars as pl

from spotify_assets.transforms import told_rows
from spotify_assets.transforms.names import title_key, with_keys

_ID = r"^spotify:[a-z]+:([0-9A-Za-z]{22})$"
_EXPORT, _API = "export", "api"
_OLDER, _OF_API = "_older", "_of_api"


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


def saved_tracks(items: pl.LazyFrame, told: pl.LazyFrame) -> pl.LazyFrame:
    """clean.saved_tracks.

    Args:
        items: The newest snapshot of raw.library_items.
        told: raw.saved_tracks. Where it has no rows of a listener the Web API has told nothing, and the export holds.
    """
    of_export = (
        items.filter(pl.col("item_type") == "track")
        .sort("listener", "row_number", "row_id")
        .select(
            "listener",
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("listener").alias("saved_track_number"),
            "snapshot_at",
            pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias("added_at"),
            pl.lit(_EXPORT).alias("source"),
            track_uri="uri",
            track_id=pl.col("uri").str.extract(_ID),
            track_name="item_name",
            artist_name="creator_name",
            album_name="album_name",
        )
    )
    of_api = told.select(
        "listener",
        "position",
        "snapshot_at",
        "added_at",
        pl.lit(_API).alias("source"),
        *("track_uri", "track_id", "track_name", "artist_name", "album_name"),
    ).rename({"position": "saved_track_number"})
    both = pl.concat([of_export, of_api])
    newer = _newer(both.select("listener", "source", "snapshot_at"))
    filled = ["added_at", "track_name", "artist_name", "album_name"]
    others = (
        both.filter(pl.col("track_uri").is_not_null())
        .join(newer, on=["listener", "source"], how="anti")
        .sort("listener", "track_uri", "saved_track_number")
        .unique(["listener", "track_uri"], keep="first", maintain_order=True)
        .select("listener", "track_uri", *filled)
    )
    return (
        both.join(newer, on=["listener", "source"], how="semi")
        .join(others, on=["listener", "track_uri"], how="left", suffix=_OLDER)
        .with_columns(pl.coalesce(name, name + _OLDER) for name in filled)
        .drop(name + _OLDER for name in filled)
        .pipe(with_keys)
        .sort("listener", "saved_track_number")
    )


def _newer(lists: pl.LazyFrame) -> pl.LazyFrame:
    """Which source tells of each listener last; of equals the Web API, which tells more.

    Args:
        lists: listener, source and snapshot_at.

    Returns:
        listener, source and snapshot_at.
    """
    return (
        lists.group_by("listener", "source")
        .agg(pl.col("snapshot_at").max())
        .sort("listener", "snapshot_at", "source", descending=[False, True, False])
        .unique("listener", keep="first", maintain_order=True)
    )


def playlists(
    items: pl.LazyFrame, told_playlists: pl.LazyFrame, told_items: pl.LazyFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """clean.playlists and clean.playlist_items.

    Exports tell no ids: the n-th playlist of a name in an export is the n-th of that name that the Web API tells of.
    Which playlists there are is told by the newer of both; the entries of each by whoever told them last, for the Web
    API may know of a playlist and not be allowed to read it.

    Args:
        items: The newest snapshot of raw.library_playlist_items.
        told_playlists: raw.playlists.
        told_items: raw.playlist_items.
    """
    of_export = _of_export(items)
    of_api = _of_api(told_playlists, told_items)
    lists = pl.concat([each.select("listener", "source", "snapshot_at") for each in (of_export, of_api)])
    pair = ["listener", "playlist_name", "nth"]
    known = (
        of_export.drop("source")
        .join(of_api.drop("source"), on=pair, how="full", coalesce=True, suffix=_OF_API)
        .join(_newer(lists).rename({"snapshot_at": "newer_at"}), on="listener")
        .filter(
            pl.when(pl.col("source") == _API)
            .then(pl.col("spotify_playlist_id").is_not_null())
            .otherwise(pl.col("playlist_number").is_not_null())
        )
        .with_columns(
            pl.when(pl.col("source") == _EXPORT).then("file_name").alias("place_file"),
            pl.when(pl.col("source") == _API).then("position").otherwise("playlist_number").alias("place_number"),
            items_source=pl.when(pl.col("items_at") >= pl.col("snapshot_at"))
            .then(pl.lit(_API))
            .when(pl.col("snapshot_at").is_not_null())
            .then(pl.lit(_EXPORT))
            .when(pl.col("items_at").is_not_null())
            .then(pl.lit(_API)),
        )
        .collect()
    )
    known = _identified(known)
    entries = _entries(known.lazy(), items, told_items).collect()
    counts = entries.group_by("listener", "playlist_id").agg(items=pl.len().cast(pl.Int64))
    listed = (
        known.join(counts, on=["listener", "playlist_id"], how="left")
        .with_columns(
            pl.col("items").fill_null(0),
            pl.coalesce("description", "description" + _OF_API).alias("description"),
            snapshot_at="newer_at",
        )
        .select(*_PLAYLIST_COLUMNS)
        .sort("listener", "playlist_id")
    )
    return listed, entries


_PLAYLIST_COLUMNS = (
    "listener",
    "playlist_id",
    "playlist_name",
    "description",
    "followers",
    "modified_on",
    "items",
    "snapshot_at",
    "spotify_playlist_id",
    "total_items",
    "is_own",
    "is_collaborative",
    "is_public",
    "source",
)


def _of_export(items: pl.LazyFrame) -> pl.LazyFrame:
    key = ["listener", "file_name", "playlist_number", "playlist_name"]
    return (
        items.group_by(key)
        .agg(
            pl.col("snapshot_at").first(),
            description=pl.col("playlist_description").drop_nulls().first(),
            followers=pl.col("playlist_followers").max(),
            modified_on=_as_day("playlist_modified_on").max(),
        )
        .sort(key)
        .with_columns(nth=pl.int_range(pl.len()).over("listener", "playlist_name"), source=pl.lit(_EXPORT))
    )


def _of_api(told_playlists: pl.LazyFrame, told_items: pl.LazyFrame) -> pl.LazyFrame:
    """What the Web API tells; `items_at` is the moment of which its entries are known to be, NULL when they are not."""
    key = ["listener", "playlist_id"]
    fetched = told_items.group_by(key).agg(pl.col("fetched_at").max())
    is_current = pl.col("items_snapshot_id") == pl.col("spotify_snapshot_id")
    return (
        told_playlists.join(fetched, on=key, how="left")
        .sort("listener", "position", "playlist_id")
        .select(
            "listener",
            "position",
            "snapshot_at",
            pl.when(pl.col("description") != "").then("description").alias("description"),
            "is_own",
            "is_collaborative",
            "is_public",
            pl.coalesce("playlist_name", "playlist_id").alias("playlist_name"),
            pl.when(pl.col("items_snapshot_id").is_not_null())
            .then(pl.when(is_current).then("snapshot_at").otherwise("fetched_at"))
            .alias("items_at"),
            pl.lit(_API).alias("source"),
            spotify_playlist_id="playlist_id",
            total_items="items_total",
        )
        .with_columns(nth=pl.int_range(pl.len()).over("listener", "playlist_name"))
    )


def _identified(known: pl.DataFrame) -> pl.DataFrame:
    """Add playlist_id: the name, and from the second playlist of a name on a number that makes it the only one."""
    known = known.sort("listener", "place_file", "place_number", "playlist_name")
    taken = set(known.select("listener", "playlist_name").iter_rows())
    named: set[tuple[str, str]] = set()
    identifiers = []
    for listener, name in known.select("listener", "playlist_name").iter_rows():
        identifier, number = name, 1
        while (listener, identifier) in (named if number == 1 else taken):
            number += 1
            identifier = f"{name} ({number})"
        named.add((listener, identifier))
        taken.add((listener, identifier))
        identifiers.append(identifier)
    return known.with_columns(playlist_id=pl.Series(identifiers, dtype=pl.String))


def _as_day(text: str) -> pl.Expr:
    return pl.col(text).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)


def _entries(known: pl.LazyFrame, items: pl.LazyFrame, told_items: pl.LazyFrame) -> pl.LazyFrame:
    told = ["position", "item_type", "item_uri", "item_name", "creator_name", "album_name", "added_on", "added_at"]
    key = ["listener", "playlist_id"]
    of_export = (
        items.filter(pl.col("position").is_not_null())
        .join(known, on=["listener", "file_name", "playlist_number", "playlist_name"], suffix="_of_playlist")
        .with_columns(
            added_on=_as_day("added_on"), added_at=pl.lit(None, dtype=pl.Datetime("us", "UTC")), item_uri="uri"
        )
        .select(*key, "items_source", pl.lit(_EXPORT).alias("source"), *told)
    )
    of_api = (
        told_items.rename({"playlist_id": "spotify_playlist_id"})
        .join(
            known.select("listener", "playlist_id", "spotify_playlist_id", "items_source"),
            on=["listener", "spotify_playlist_id"],
        )
        .with_columns(added_on=pl.col("added_at").dt.date())
        .select(*key, "items_source", pl.lit(_API).alias("source"), *told)
    )
    # A playlist may hold a track several times: its n-th entry here is the n-th there.
    both = (
        pl.concat([of_export, of_api])
        .sort(*key, "source", "position")
        .with_columns(nth=pl.int_range(pl.len()).over(*key, "source", "item_uri"))
    )
    is_told_last = pl.col("source") == pl.col("items_source")
    pair = [*key, "item_uri", "nth"]
    filled = ["item_name", "creator_name", "album_name", "added_on", "added_at"]
    title = title_key(pl.col("creator_name"), pl.col("item_name"))
    return (
        both.filter(is_told_last)
        .join(both.filter(~is_told_last).select(*pair, *filled), on=pair, how="left", suffix=_OLDER)
        .with_columns(pl.coalesce(name, name + _OLDER) for name in filled)
        .with_columns(track_key=pl.when(pl.col("item_type").is_in(["track", "local"])).then(title))
        .select(*key, "source", *told, "track_key")
        .sort(*key, "position")
    )
