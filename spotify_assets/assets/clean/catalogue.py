"""Tables that are small enough to be made anew each time: the catalogue, the library and the calendar."""

from collections.abc import Iterable

import dagster as dg
import polars as pl

from spotify_assets.assets.table_asset import columns_of, table_asset, table_out
from spotify_assets.lakehouse import Lots, Transaction
from spotify_assets.schemas import Table, clean, raw
from spotify_assets.transforms import calendar as calendar_transforms
from spotify_assets.transforms import catalogue as catalogue_transforms
from spotify_assets.transforms import library as library_transforms

_IMPORTS = columns_of(raw.Imports, ["listener", "file_id", "file_name", "kind", "snapshot_at"])


def _told_rows_of(table: type[Table]) -> dg.AssetIn:
    """A million rows of history are told for each hundred of the library."""
    return columns_of(raw.ToldRows, raw.ToldRows.column_names(), equal_to={"source_table": table.qualified_name()})


def _outs(*tables: type[Table]) -> dict[str, dg.AssetOut]:
    return {table.layout.table: table_out(table) for table in tables}


def _catalogue(plays: Iterable[pl.LazyFrame]) -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    parts = [catalogue_transforms.spellings(rows).collect().lazy() for rows in plays]
    spelled = catalogue_transforms.joined_spellings(parts).collect().lazy()
    return (
        catalogue_transforms.tracks(spelled),
        catalogue_transforms.albums(spelled),
        catalogue_transforms.artists(spelled),
    )


SHARED_TABLES: tuple[type[Table], ...] = (clean.Tracks, clean.Albums, clean.Artists, clean.Calendar)
"""Tables of this module that are made from the rows of all listeners together, so that they bear no listener."""


def rebuild_shared_tables(transaction: Transaction) -> None:
    """Make SHARED_TABLES anew from the plays and days that are stored."""
    plays = transaction.read(clean.Plays, catalogue_transforms.PLAY_COLUMNS).lazy()
    days = transaction.read(clean.Days, ["played_on"]).lazy()
    for table, rows in zip(SHARED_TABLES, (*_catalogue([plays]), calendar_transforms.calendar(days)), strict=True):
        transaction.replace(table, rows.collect())


def build_catalogue_assets() -> list[dg.AssetsDefinition]:
    """clean.tracks, albums, artists, saved_tracks, playlists, playlist_items and calendar."""

    @dg.multi_asset(
        name="catalogue",
        outs=_outs(clean.Tracks, clean.Albums, clean.Artists),
        ins={"plays": columns_of(clean.Plays, catalogue_transforms.PLAY_COLUMNS)},
    )
    def catalogue(plays: Lots):
        return _catalogue(lot.rows for lot in plays)

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
