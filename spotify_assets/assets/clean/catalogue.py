"""Tables that are small enough to be made anew each time: the catalogue, the library, rankings and the calendar."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import polars as pl

from spotify_assets import progress
from spotify_assets.assets.clean.overrides import read_overrides
from spotify_assets.assets.clean.tellings import read_told
from spotify_assets.assets.table_asset import asset_key, columns_of, table_asset, table_out, table_spec
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
        clean.RecordingTracks: held,
    }


def _rankings(transaction: Transaction, markets: Mapping[str, str]) -> dict[type[Table], pl.LazyFrame]:
    artists = transaction.read(raw_api.TopArtists).lazy()
    tracks = transaction.read(raw_api.TopTracks).lazy()
    albums_of_artists = transaction.read(raw_api.ArtistAlbums).lazy()
    tracks_of_artists = transaction.read(raw_api.ArtistTopTracks).lazy()
    told_albums = read_told(transaction, named_in=raw_api.ArtistAlbums).albums.lazy()
    told_tracks = read_told(transaction, named_in=raw_api.ArtistTopTracks).tracks.lazy()
    features = transaction.read(clean.TrackFeatures, ["track_id", "tempo", "mode"]).lazy()
    return {
        clean.TopArtists: ranking_transforms.top_artists(artists),
        clean.TopTracks: ranking_transforms.top_tracks(tracks),
        clean.ArtistTopAlbums: ranking_transforms.artist_top_albums(artists, albums_of_artists, told_albums),
        clean.ArtistTopTracks: ranking_transforms.artist_top_tracks(
            artists, tracks_of_artists, told_tracks, features, markets
        ),
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
    _replace(transaction, _catalogue(transaction, read_overrides(paths.recordings_file).rows))
    days = transaction.read(clean.Days, ["played_on"]).lazy()
    _replace(transaction, {clean.Calendar: calendar_transforms.calendar(days)})


def _replace(transaction: Transaction, tables: Mapping[type[Table], pl.LazyFrame]) -> dict[type[Table], int]:
    """Let the declared columns of frames be whole tables; returns their rows.

    All in the caller's transaction: one of its own for each of a dozen tables took as long as the tables did.
    """
    with progress.stage("clean: write"):
        return {
            table: transaction.replace(table, rows.select(table.column_names()).collect())
            for table, rows in tables.items()
        }


def _materialized(table: type[Table], rows: int, *checks: dg.AssetCheckResult) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        asset_key=asset_key(table), metadata={"dagster/row_count": rows}, check_results=list(checks)
    )


def build_catalogue_assets(*, recordings_file: Path, markets: Mapping[str, str]) -> list[dg.AssetsDefinition]:
    """The catalogue, the rankings, the library and the calendar.

    Args:
        recordings_file: What the listeners say about recordings, see `read_overrides`.
        markets: Market by listener, of those who have one.
    """

    @dg.multi_asset(
        name="catalogue",
        specs=[
            table_spec(
                table,
                deps=[
                    clean.Plays,
                    raw_api.Tracks,
                    raw_api.Albums,
                    raw_api.Artists,
                    raw_api.AudioFeatures,
                    raw_api.Genres,
                ],
                code_version="2",
            )
            for table in _CATALOGUE
        ],
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
        with warehouse.transaction() as transaction:
            with progress.stage("clean: read"):
                tables = _catalogue(transaction, overrides.rows)
            written = _replace(transaction, tables)
        check = dg.AssetCheckResult(
            asset_key=asset_key(clean.RecordingTracks),
            check_name=RECORDINGS_FILE_CHECK,
            passed=not overrides.faults,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"tracks": overrides.rows.height, "faults": "\n".join(overrides.faults)},
        )
        for table, rows in written.items():
            yield _materialized(table, rows, *([check] if table is clean.RecordingTracks else []))

    @dg.multi_asset(
        name="rankings",
        specs=[
            table_spec(clean.TopArtists, deps=[raw_api.TopArtists]),
            table_spec(clean.TopTracks, deps=[raw_api.TopTracks]),
            table_spec(clean.ArtistTopAlbums, deps=[raw_api.TopArtists, raw_api.ArtistAlbums, raw_api.Albums]),
            table_spec(
                clean.ArtistTopTracks,
                deps=[raw_api.TopArtists, raw_api.ArtistTopTracks, raw_api.Tracks, clean.TrackFeatures],
            ),
        ],
    )
    def rankings(warehouse: Warehouse):
        warehouse.begin()
        with warehouse.transaction() as transaction:
            with progress.stage("clean: read"):
                tables = _rankings(transaction, markets)
            written = _replace(transaction, tables)
        for table, rows in written.items():
            yield _materialized(table, rows)

    @table_asset(clean.SavedTracks, ins=_ins_of(raw.LibraryItems), deps=_keys(raw_api.SavedTracks), code_version="2")
    def saved_tracks(
        warehouse: Warehouse, items: pl.LazyFrame, told: pl.LazyFrame, imports: pl.LazyFrame
    ) -> pl.LazyFrame:
        newest = library_transforms.newest_snapshot(items, told, imports, "library")
        return library_transforms.saved_tracks(newest, warehouse.read(raw_api.SavedTracks).lazy())

    @dg.multi_asset(
        name="playlists",
        outs={
            table.layout.table: table_out(table, code_version="2") for table in (clean.Playlists, clean.PlaylistItems)
        },
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
