"""Reading raw.tracks, albums and artists: only the telling of each id that counts, for most are told many times."""

import polars as pl

from spotify_assets.lakehouse import Transaction
from spotify_assets.schemas import Table, raw_api
from spotify_assets.transforms import objects


def read_told(transaction: Transaction, *, named_in: type[Table] | None = None) -> objects.Told:
    """What Spotify tells of every track, album and artist.

    Args:
        transaction: Where to read.
        named_in: Only those whose ids stand in this table; ids that it has no column for are left out altogether.
    """

    def chosen(table: type[Table], identifier: str) -> pl.DataFrame:
        return _chosen(transaction, table, identifier, named_in)

    return objects.Told(
        tracks=objects.tracks(chosen(raw_api.Tracks, "track_id")),
        albums=objects.albums(chosen(raw_api.Albums, "album_id")),
        artists=objects.artists(chosen(raw_api.Artists, "artist_id")),
    )


def _chosen(
    transaction: Transaction, table: type[Table], identifier: str, named_in: type[Table] | None
) -> pl.DataFrame:
    """Tellings to parse, as `objects.chosen_tellings` says, with their `object`."""
    schema = pl.Schema(
        {
            identifier: pl.String,
            "object_hash": pl.Int64,
            "told_at": pl.Datetime("us", "UTC"),
            "is_main": pl.Boolean,
            "object": pl.String,
        }
    )
    is_told = transaction.maximum(table, "told_at") is not None
    if not is_told or (named_in and (identifier not in named_in.columns() or _is_empty(transaction, named_in))):
        return schema.to_frame()
    name = table.qualified_name()
    only = f" SEMI JOIN {named_in.qualified_name()} USING ({identifier})" if named_in else ""
    # The objects of ten years are 100 MB: what a choice needs is found out by DuckDB, and only the chosen are read.
    tellings = transaction.query(
        f"SELECT {', '.join([identifier, *objects.TELLINGS])}, contains(object, '\"popularity\"') AS tells_popularity "
        f"FROM {name}{only}"
    )
    wanted = objects.chosen_tellings(tellings.lazy(), identifier).collect()
    return transaction.query(
        f"SELECT incoming_rows.*, stored.object FROM {name} AS stored "
        f"JOIN incoming_rows USING ({identifier}, object_hash)",
        incoming_rows=wanted,
    ).cast(dict(schema))


def _is_empty(transaction: Transaction, table: type[Table]) -> bool:
    return transaction.maximum(table, table.primary_key()[0]) is None
