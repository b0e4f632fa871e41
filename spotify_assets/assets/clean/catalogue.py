"""Tables that are small enough to be made anew each time: the catalogue, the library and the calendar."""

import dagster as dg
import polars as pl

from spotify_assets import progress
from spotify_assets.assets.table_asset import asset_key, columns_of, table_asset, table_out
from spotify_assets.lakehouse import Transaction, Warehouse
from spotify_assets.schemas import Table, clean, raw
from spotify_assets.transforms import calendar as calendar_transforms
from spotify_assets.transforms import catalogue as catalogue_transforms
from spotify_assets.transforms import library as library_transforms

_IMPORTS = columns_of(raw.Imports, ["listener", "file_id", "file_name", "kind", "snapshot_at"])


def _told_rows_of(table: type[Table]) -> dg.AssetIn:
    return columns_of(raw.ToldRows, raw.ToldRows.column_names(), equal_to={"source_table": table.qualified_name()})


def _outs(*tables: type[Table]) -> dict[str, dg.AssetOut]:
    return {table.layout.table: table_out(table) for table in tables}


def _catalogue(transaction: Transaction) -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    spelled = _spellings(transaction).lazy()
    return (
        catalogue_transforms.tracks(spelled),
        catalogue_transforms.albums(spelled),
        catalogue_transforms.artists(spelled),
    )


def _spellings(transaction: Transaction) -> pl.DataFrame:
    """The ways in which tracks were named in clean.plays, `catalogue_transforms.SPELLINGS`.

    Counted by DuckDB: to read the names of ten years into frames took three times as long.
    """
    schema = catalogue_transforms.SPELLINGS
    if transaction.maximum(clean.Plays, "ended_at") is None:
        return schema.to_frame()
    spelled = transaction.query(
        f"SELECT {', '.join(catalogue_transforms.NAMES)}, count(*) AS plays, sum(ms_played) AS ms_played, "
        "max(ms_played) FILTER (is_finished) AS length_ms, min(ended_at) AS first_played_at, "
        f"max(ended_at) AS last_played_at FROM {clean.Plays.qualified_name()} WHERE content_type = 'track' GROUP BY ALL"
    )
    return spelled.cast(dict(schema))


SHARED_TABLES: tuple[type[Table], ...] = (clean.Tracks, clean.Albums, clean.Artists, clean.Calendar)
"""Tables of this module that are made from the rows of all listeners together, so that they bear no listener."""


def rebuild_shared_tables(transaction: Transaction) -> None:
    """Make SHARED_TABLES anew from the plays and days that are stored."""
    days = transaction.read(clean.Days, ["played_on"]).lazy()
    for table, rows in zip(SHARED_TABLES, (*_catalogue(transaction), calendar_transforms.calendar(days)), strict=True):
        transaction.replace(table, rows.collect())


def build_catalogue_assets() -> list[dg.AssetsDefinition]:
    """clean.tracks, albums, artists, saved_tracks, playlists, playlist_items and calendar."""

    @dg.multi_asset(
        name="catalogue",
        outs=_outs(clean.Tracks, clean.Albums, clean.Artists),
        deps=[asset_key(clean.Plays)],
    )
    def catalogue(warehouse: Warehouse):
        with progress.stage("clean: read"), warehouse.transaction() as transaction:
            return _catalogue(transaction)

    @table_asset(
        clean.SavedTracks,
        ins={
            "items": columns_of(raw.LibraryItems, raw.LibraryItems.column_names()),
            "told": _told_rows_of(raw.LibraryItems),
            "imports": _IMPORTS,
        },
    )
    def saved_tracks(items: pl.LazyFrame, told: pl.LazyFrame, imports: pl.LazyFrame) -> pl.LazyFrame:
        return library_transforms.saved_tracks(library_transforms.newest_snapshot(items, told, imports, "library"))

    @dg.multi_asset(
        name="playlists",
        outs=_outs(clean.Playlists, clean.PlaylistItems),
        ins={
            "items": columns_of(raw.LibraryPlaylistItems, raw.LibraryPlaylistItems.column_names()),
            "told": _told_rows_of(raw.LibraryPlaylistItems),
            "imports": _IMPORTS,
        },
    )
    def playlists(items: pl.LazyFrame, told: pl.LazyFrame, imports: pl.LazyFrame):
        newest = library_transforms.newest_snapshot(items, told, imports, "playlists")
        return library_transforms.playlists(newest), library_transforms.playlist_items(newest)

    @table_asset(clean.Calendar, ins={"days": columns_of(clean.Days, ["played_on"])})
    def calendar(days: pl.LazyFrame) -> pl.LazyFrame:
        return calendar_transforms.calendar(days)

    return [catalogue, saved_tracks, playlists, calendar]
