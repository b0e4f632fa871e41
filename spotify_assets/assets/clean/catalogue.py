"""Tables that are small enough to be made anew each time: the catalogue, the library, rankings and the calendar."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import polars as pl

from spotify_assets import progress
from spotify_assets.assets.clean.overrides import read_overrides
from spotify_assets.assets.clean.tellings import read_told
from spotify_assets.assets.table_asset import asset_key, columns_of, table_asset, table_out
from spotify_assets.lakehouse import Transaction, Warehouse
from spotify_assets.schemas import Table, clean, raw, raw_api
from spotify_assets.settings import HomePaths
from spotify_assets.transforms import calendar as calendar_transforms
from spotify_assets.transforms import catalogue as catalogue_transforms
from spotify_assets.transforms import features as feature_transforms
from spotify_assets.transforms import library as library_transforms
from spotify_assets.transforms import rankings as ranking_transforms
from spotify_assets.transforms import recordings as recording_transforms

RECORDINGS_FILE_CHECK = "recordings_file"

_CATALOGUE = (
    clean.Tracks,
    clean.Albums,
    clean.Artists,
    clean.TrackArtists,
    clean.ArtistGenres,
    clean.TrackFeatures,
    clean.Recordings,
    clean.RecordingTracks,
)
_RANKINGS = (clean.TopArtists, clean.TopTracks, clean.ArtistTopAlbums, clean.ArtistTopTracks)


def _keys(*tables: type[Table]) -> list[dg.AssetKey]:
    """Tables that a step reads itself: what the Web API fills need not be an asset of every code location."""
    return [asset_key(table) for table in tables]


def _ins_of(table: type[Table]) -> dict[str, dg.AssetIn]:
    """Rows of a table of the library, which file told them and when."""
    return {
        "items": columns_of(table, table.column_names()),
        "told": columns_of(
            raw.ToldRows, raw.ToldRows.column_names(), equal_to={"source_table": table.qualified_name()}
        ),
        "imports": columns_of(raw.Imports, ["listener", "file_id", "file_name", "kind", "snapshot_at"]),
    }


def _outs(*tables: type[Table], code_version: str = "1") -> dict[str, dg.AssetOut]:
    return {table.layout.table: table_out(table, code_version=code_version) for table in tables}


def _catalogue(transaction: Transaction, overrides: pl.DataFrame) -> dict[type[Table], pl.LazyFrame]:
    spelled = _spellings(transaction).lazy()
    told = read_told(transaction)
    features = transaction.read(raw_api.AudioFeatures).lazy()
    genres = transaction.read(raw_api.Genres).lazy()
    artists = catalogue_transforms.artists(spelled, told).collect().lazy()
    known = recording_transforms.known_tracks(spelled, told, features)
    held = recording_transforms.recording_tracks(known, overrides.lazy()).lazy()
    return {
        clean.Tracks: catalogue_transforms.tracks(spelled, told),
        clean.Albums: catalogue_transforms.albums(spelled, told),
        clean.Artists: artists,
        clean.TrackArtists: catalogue_transforms.track_artists(told),
        clean.ArtistGenres: catalogue_transforms.artist_genres(told, genres, artists),
        clean.TrackFeatures: feature_transforms.track_features(features),
        clean.Recordings: recording_transforms.recordings(held),
        clean.RecordingTracks: held.select(clean.RecordingTracks.column_names()),
    }


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


SHARED_TABLES: tuple[type[Table], ...] = (*_CATALOGUE, clean.Calendar)
"""Tables of this module that are made from the rows of all listeners together, so that they bear no listener."""


def rebuild_shared_tables(transaction: Transaction, paths: HomePaths) -> None:
    """Make SHARED_TABLES anew from the rows that the transaction sees."""
    for table, rows in _catalogue(transaction, read_overrides(paths.recordings_file).rows).items():
        transaction.replace(table, rows.collect())
    days = transaction.read(clean.Days, ["played_on"]).lazy()
    transaction.replace(clean.Calendar, calendar_transforms.calendar(days).collect())


def build_catalogue_assets(*, recordings_file: Path, markets: Mapping[str, str]) -> list[dg.AssetsDefinition]:
    """The catalogue, the rankings, the library and the calendar.

    Args:
        recordings_file: What the listeners say about recordings, see `read_overrides`.
        markets: Market by listener, of those who have one.
    """

    @dg.multi_asset(
        name="catalogue",
        outs=_outs(*_CATALOGUE, code_version="2"),
        deps=_keys(clean.Plays, raw_api.Tracks, raw_api.Albums, raw_api.Artists, raw_api.AudioFeatures, raw_api.Genres),
        check_specs=[
            dg.AssetCheckSpec(
                RECORDINGS_FILE_CHECK,
                asset=asset_key(clean.RecordingTracks),
                description="Every line of recordings.csv in the home folder, where there is one, can be used.",
            )
        ],
    )
    def catalogue(warehouse: Warehouse):
        warehouse.begin()
        overrides = read_overrides(recordings_file)
        with progress.stage("clean: read"), warehouse.transaction() as transaction:
            tables = _catalogue(transaction, overrides.rows)
        for table, rows in tables.items():
            yield dg.Output(rows, output_name=table.layout.table)
        yield dg.AssetCheckResult(
            asset_key=asset_key(clean.RecordingTracks),
            check_name=RECORDINGS_FILE_CHECK,
            passed=not overrides.faults,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"tracks": overrides.rows.height, "faults": "\n".join(overrides.faults)},
        )

    @dg.multi_asset(
        name="rankings",
        outs=_outs(*_RANKINGS),
        ins={"features": columns_of(clean.TrackFeatures, ["track_id", "tempo", "mode"])},
        deps=_keys(
            raw_api.TopArtists,
            raw_api.TopTracks,
            raw_api.ArtistAlbums,
            raw_api.ArtistTopTracks,
            raw_api.Tracks,
            raw_api.Albums,
        ),
    )
    def rankings(warehouse: Warehouse, features: pl.LazyFrame):
        with warehouse.transaction() as transaction:
            top_artists = transaction.read(raw_api.TopArtists).lazy()
            top_tracks = transaction.read(raw_api.TopTracks).lazy()
            albums_of_artists = transaction.read(raw_api.ArtistAlbums).lazy()
            tracks_of_artists = transaction.read(raw_api.ArtistTopTracks).lazy()
            albums = read_told(transaction, named_in=raw_api.ArtistAlbums).albums.lazy()
            tracks = read_told(transaction, named_in=raw_api.ArtistTopTracks).tracks.lazy()
        return (
            ranking_transforms.top_artists(top_artists),
            ranking_transforms.top_tracks(top_tracks),
            ranking_transforms.artist_top_albums(top_artists, albums_of_artists, albums),
            ranking_transforms.artist_top_tracks(top_artists, tracks_of_artists, tracks, features, markets),
        )

    @table_asset(clean.SavedTracks, ins=_ins_of(raw.LibraryItems), deps=_keys(raw_api.SavedTracks), code_version="2")
    def saved_tracks(
        warehouse: Warehouse, items: pl.LazyFrame, told: pl.LazyFrame, imports: pl.LazyFrame
    ) -> pl.LazyFrame:
        newest = library_transforms.newest_snapshot(items, told, imports, "library")
        return library_transforms.saved_tracks(newest, warehouse.read(raw_api.SavedTracks).lazy())

    @dg.multi_asset(
        name="playlists",
        outs=_outs(clean.Playlists, clean.PlaylistItems, code_version="2"),
        ins=_ins_of(raw.LibraryPlaylistItems),
        deps=_keys(raw_api.Playlists, raw_api.PlaylistItems),
    )
    def playlists(warehouse: Warehouse, items: pl.LazyFrame, told: pl.LazyFrame, imports: pl.LazyFrame):
        newest = library_transforms.newest_snapshot(items, told, imports, "playlists")
        with warehouse.transaction() as transaction:
            told_playlists = transaction.read(raw_api.Playlists).lazy()
            told_items = transaction.read(raw_api.PlaylistItems).lazy()
        return library_transforms.playlists(newest, told_playlists, told_items)

    @table_asset(clean.Calendar, ins={"days": columns_of(clean.Days, ["played_on"])})
    def calendar(days: pl.LazyFrame) -> pl.LazyFrame:
        return calendar_transforms.calendar(days)

    return [catalogue, rankings, saved_tracks, playlists, calendar]
