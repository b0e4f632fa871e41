"""Which rows about tracks, albums and artists stay when a person is purged: those that others' rows name.

Tables of the catalogue bear no listener. A track stands there because somebody played or kept it, and where that was
the person who goes, the row would go on telling so. What others have named stays: asking for it anew takes weeks.
"""

from __future__ import annotations

from collections.abc import Collection

from spotify_assets.schemas import Table, raw, raw_api

_OTHERS = "listener <> $listener"
_TRACK_NAMES: dict[type[Table], str] = {
    raw.StreamingHistory: "track_id",
    raw.LibraryItems: "right(uri, 22)",
    raw.LibraryPlaylistItems: "right(uri, 22)",
    raw_api.RecentlyPlayed: "track_id",
    raw_api.TopTracks: "track_id",
    raw_api.SavedTracks: "track_id",
    raw_api.PlaylistItems: "item_id",
}
_ARTIST_NAMES: dict[type[Table], str] = {
    raw.StreamingHistory: "artist_name",
    raw.LibraryItems: "creator_name",
    raw.LibraryPlaylistItems: "creator_name",
    raw_api.RecentlyPlayed: "artist_name",
    raw_api.TopArtists: "artist_name",
    raw_api.TopTracks: "artist_name",
    raw_api.SavedTracks: "artist_name",
    raw_api.PlaylistItems: "creator_name",
}
_NOT_OF_CATALOGUE = "listener <> '' AND (endpoint LIKE '/me%' OR endpoint LIKE '/playlists/%')"

TABLES: frozenset[str] = frozenset(
    table.qualified_name()
    for table in (
        raw_api.Tracks,
        raw_api.Albums,
        raw_api.Artists,
        raw_api.MissingObjects,
        raw_api.ArtistAlbums,
        raw_api.ArtistTopTracks,
        raw_api.AudioFeatures,
        raw_api.Genres,
        raw_api.ApiQuota,
        raw_api.ApiResponses,
        raw_api.RejectedItems,
    )
)
"""Tables that `conditions` has a condition for."""


def conditions(stored: Collection[str]) -> dict[str, str]:
    """A condition in SQL for each of TABLES: true for rows that nobody but `$listener` has named.

    Responses about the catalogue stay when every id that they were asked with is named by others. Searches go: they
    were asked with a name. `raw.api_quota` tells of no track.

    Args:
        stored: `schema.table` of the tables that the warehouse has; a condition may mention no other.
    """

    def union(*selects: tuple[type[Table], str]) -> str:
        told = [select for table, select in selects if table.qualified_name() in stored]
        rows = " UNION ALL ".join(told) or "SELECT NULL::VARCHAR AS name"
        return f"(SELECT name FROM ({rows}) AS named(name) WHERE name IS NOT NULL)"

    def of_others(names: dict[type[Table], str]) -> list[tuple[type[Table], str]]:
        return [
            (table, f"SELECT {name} FROM {table.qualified_name()} WHERE {_OTHERS}") for table, name in names.items()
        ]

    favourites = union(*of_others({raw_api.TopArtists: "artist_id"}))

    def of_favourites(table: type[Table], name: str) -> tuple[type[Table], str]:
        return table, f"SELECT {name} FROM {table.qualified_name()} WHERE artist_id IN {favourites}"

    tracks = union(*of_others(_TRACK_NAMES), of_favourites(raw_api.ArtistTopTracks, "track_id"))

    def told_by_tracks(path: str) -> tuple[type[Table], str]:
        found = f"json_extract_string(object, '$.{path}')"
        name = f"unnest({found})" if "*" in path else found
        return raw_api.Tracks, f"SELECT {name} FROM {raw_api.Tracks.qualified_name()} WHERE track_id IN {tracks}"

    albums = union(told_by_tracks("album.id"), of_favourites(raw_api.ArtistAlbums, "album_id"))
    artists = union(
        *of_others({raw_api.TopArtists: "artist_id"}),
        told_by_tracks("artists[*].id"),
        told_by_tracks("album.artists[*].id"),
    )
    objects = f"(SELECT name FROM {tracks} UNION ALL SELECT name FROM {albums} UNION ALL SELECT name FROM {artists})"
    artist_names = union(*of_others(_ARTIST_NAMES), told_by_tracks("artists[*].name"))
    asked = "string_split(coalesce(params->>'ids', params->>'id', ''), ',')"
    responses = (
        f"listener = $listener OR NOT ({_NOT_OF_CATALOGUE}) AND "
        f"EXISTS (SELECT 1 FROM (SELECT unnest({asked}) AS id) AS asked WHERE id NOT IN {objects})"
    )
    rejected = f"listener = $listener OR NOT ({_NOT_OF_CATALOGUE})"
    by_table: dict[type[Table], str] = {
        raw_api.Tracks: f"track_id NOT IN {tracks}",
        raw_api.Albums: f"album_id NOT IN {albums}",
        raw_api.Artists: f"artist_id NOT IN {artists}",
        raw_api.MissingObjects: f"object_id NOT IN {objects}",
        raw_api.ArtistAlbums: f"artist_id NOT IN {favourites}",
        raw_api.ArtistTopTracks: f"artist_id NOT IN {favourites}",
        raw_api.AudioFeatures: f"track_id NOT IN {tracks}",
        raw_api.Genres: f"artist_name NOT IN {artist_names}",
        raw_api.ApiQuota: "false",
        raw_api.ApiResponses: responses,
        raw_api.RejectedItems: rejected,
    }
    return {table.qualified_name(): condition for table, condition in by_table.items()}
