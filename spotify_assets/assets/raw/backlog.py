"""What is to be asked for next, as the tables tell it; the rules are in `transforms.backlog`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from spotify_assets.lakehouse import Transaction
from spotify_assets.schemas import Table, clean, raw, raw_api
from spotify_assets.spotify.model import Endpoint
from spotify_assets.transforms.backlog import credited, open_requests

_TOP_ARTISTS = 50
_TRACK_URI = "spotify:track:"

_OBJECT_TABLES: dict[str, tuple[type[Table], str]] = {
    "track": (raw_api.Tracks, "track_id"),
    "album": (raw_api.Albums, "album_id"),
    "artist": (raw_api.Artists, "artist_id"),
}
_CREDITS = {
    "album": "[json_extract_string(object, '$.album.id')]",
    "artist": "json_extract_string(object, '$.artists[*].id')",
}


def open_objects(transaction: Transaction, kind: str, *, is_simplified_enough: bool = False) -> pl.DataFrame:
    """Tracks, albums or artists of what the listeners played, saved or collected that are to be asked for.

    Exports tell the ids of tracks alone; those of albums and artists stand in track objects.

    Args:
        kind: track, album or artist.
        is_simplified_enough: What was told as a part of something else need not be asked for.

    Returns:
        object_id and ms_played, in the order in which to ask.
    """
    wanted = _wanted_tracks(transaction)
    if kind != "track":
        wanted = credited(wanted, _credits(transaction, kind))
    table, id_column = _OBJECT_TABLES[kind]
    condition = "true" if is_simplified_enough else "NOT is_simplified"
    told = transaction.read(table, [id_column], where=condition, distinct=True)
    missing = transaction.read(raw_api.MissingObjects, ["object_id"], where="kind = ?", parameters=(kind,))
    known = pl.concat([told.select(object_id=id_column), missing])
    return open_requests(wanted, known.lazy()).collect()


def _wanted_tracks(transaction: Transaction) -> pl.LazyFrame:
    played = transaction.read(clean.Plays, ["track_id", "ms_played"], where="track_id IS NOT NULL").lazy()
    parts = [played.group_by(object_id="track_id").agg(pl.col("ms_played").sum())]
    for table in (raw_api.RecentlyPlayed, raw_api.TopTracks, raw_api.SavedTracks):
        parts.append(_unplayed(transaction.read(table, ["track_id"], distinct=True), "track_id"))
    entries = transaction.read(raw_api.PlaylistItems, ["item_id"], where="item_type = 'track'", distinct=True)
    parts.append(_unplayed(entries, "item_id"))
    for table in (raw.LibraryItems, raw.LibraryPlaylistItems):
        uris = transaction.read(table, ["uri"], where=f"starts_with(uri, '{_TRACK_URI}')", distinct=True)
        parts.append(_unplayed(uris.with_columns(pl.col("uri").str.strip_prefix(_TRACK_URI)), "uri"))
    return pl.concat(parts).drop_nulls("object_id")


def _unplayed(frame: pl.DataFrame, column: str) -> pl.LazyFrame:
    return frame.lazy().select(object_id=column, ms_played=pl.lit(0, dtype=pl.Int64))


def _credits(transaction: Transaction, kind: str) -> pl.LazyFrame:
    """track_id and object_id of the albums or artists that track objects name."""
    if transaction.maximum(raw_api.Tracks, "fetched_at") is None:
        return pl.LazyFrame(schema={"track_id": pl.String, "object_id": pl.String})
    # In DuckDB: 75,000 track objects are 100 MB of JSON.
    named = transaction.query(
        f"SELECT DISTINCT track_id, unnest({_CREDITS[kind]}) AS object_id FROM {raw_api.Tracks.qualified_name()}"
    )
    return named.lazy().drop_nulls()


def top_artists_now(transaction: Transaction) -> list[tuple[str, str]]:
    """Id and name of the artists in the newest short-term ranking of each listener, the first ones first."""
    told = transaction.read(
        raw_api.TopArtists,
        ["listener", "fetched_on", "rank", "artist_id", "artist_name"],
        where="time_range = 'short_term' AND rank <= ? AND artist_id IS NOT NULL",
        parameters=(_TOP_ARTISTS,),
    )
    newest = told.filter(pl.col("fetched_on") == pl.col("fetched_on").max().over("listener"))
    ranked = newest.sort("rank", "artist_id").unique("artist_id", keep="first", maintain_order=True)
    return list(ranked.select("artist_id", "artist_name").iter_rows())


def asked_last(
    transaction: Transaction, endpoint: Endpoint, *names: str, statuses: Sequence[int] = (200, 404)
) -> dict[tuple[str, ...], datetime]:
    """When what was asked for last and answered with one of some statuses, by the values of some params.

    Answers count that tell nothing too (an artist without albums), as long as they are kept.
    """
    asked = transaction.read(
        raw_api.ApiResponses,
        ["params", "fetched_at"],
        where="endpoint = ? AND status IN (SELECT unnest(?))",
        parameters=(str(endpoint), list(statuses)),
    ).sort("fetched_at")
    told: dict[tuple[str, ...], datetime] = {}
    for text, fetched_at in asked.iter_rows():
        params = json.loads(text)
        told[tuple(str(params.get(name, "")) for name in names)] = fetched_at
    return told


def newest_list(transaction: Transaction, table: type[Table], *names: str) -> dict[tuple[str, ...], datetime]:
    """When each list of a table was told, by some of its columns."""
    frame = transaction.read(table, [*names, "fetched_at"], distinct=True).sort("fetched_at")
    return {row[:-1]: row[-1] for row in frame.iter_rows()}
