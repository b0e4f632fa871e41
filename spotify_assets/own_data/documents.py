"""One JSON document per play and per artist, with everything that belongs to it inside: for document stores.

`_id` is what MongoDB and its like take as the key (https://www.mongodb.com/docs/manual/core/document/#the-_id-field).
It is a text, because numbers of 63 bits are more than JavaScript can tell apart.
"""

from __future__ import annotations

from pathlib import Path

from spotify_assets.own_data.errors import ExportRefused
from spotify_assets.own_data.snapshot import Snapshot
from spotify_assets.own_data.tables import of_listener, write_lines
from spotify_assets.own_data.values import instant, plain, struct
from spotify_assets.schemas import Table, clean

NEEDED = (clean.Plays, clean.Tracks, clean.Albums, clean.Artists, clean.ArtistGenres)

PLAYS, ARTISTS = "plays.jsonl", "artists.jsonl"

DESCRIPTIONS = {
    PLAYS: "One document for each play: the columns of clean.plays, with track, album, artist (and its genres), "
    "episode and audiobook as objects, null where the play has none. _id is listener and play_id.",
    ARTISTS: "One document for each artist that was played: genres as a list, albums as a list of objects, each with "
    "its tracks; plays, ms_played and first and last play of each, of the listeners that the export is of. _id is "
    "artist_key. Tracks whose plays name no album stand under an album without a key.",
}

_NAMED = {
    "track": ("track_key", "track_uri", "track_id", "track_name"),
    "album": ("album_key", "album_name"),
    "artist": ("artist_key", "artist_name"),
    "episode": ("episode_id", "episode_name", "show_name"),
    "audiobook": ("audiobook_id", "audiobook_name", "chapter_name"),
}
"""Columns of clean.plays that stand in an object of their own."""

_OF_TRACK = ("duration_ms", "isrc", "explicit", "disc_number", "track_number", "popularity", "release_date")
_OF_ALBUM = ("album_id", "album_type", "release_date", "released_on", "total_tracks", "label", "upc", "image_url")
_OF_ARTIST = ("artist_id", "popularity", "followers", "image_url")
_GENRES = """
    genres AS (
        SELECT artist_key, list(DISTINCT genre ORDER BY genre) AS genres FROM clean.artist_genres GROUP BY ALL)"""


def check_documents(snapshot: Snapshot) -> None:
    """
    Raises:
        ExportRefused: The published file lacks a table that documents are made of.
    """
    missing = [table.qualified_name() for table in NEEDED if not snapshot.has(table)]
    if missing:
        raise ExportRefused(
            f"Documents cannot be made: the lakehouse has no {', '.join(missing)} yet. Nothing was exported. Import "
            "something first."
        )


def write_plays(snapshot: Snapshot, file: Path, listener: str | None) -> int:
    """Write `PLAYS`, month after month, in the order of listener and end; returns how many there are."""
    nested = {name for names in _NAMED.values() for name in names}
    fields = {"_id": "plays.listener || '/' || plays.play_id"}
    for name in snapshot.stored_columns(clean.Plays):
        if name not in nested:
            fields[name] = plain(clean.Plays, name, "plays.")
    own = {kind: {_within(kind, name): f"plays.{name}" for name in names} for kind, names in _NAMED.items()}
    own["track"] |= _told(snapshot, clean.Tracks, "tracks", _OF_TRACK)
    own["album"] |= _told(snapshot, clean.Albums, "albums", _OF_ALBUM)
    own["artist"] |= _told(snapshot, clean.Artists, "artists", _OF_ARTIST) | {
        "genres": "coalesce(genres.genres, []::VARCHAR[])"
    }
    for kind, names in _NAMED.items():
        known = " OR ".join(f"plays.{name} IS NOT NULL" for name in names)
        fields[kind] = f"CASE WHEN {known} THEN {struct(own[kind])} END"
    queries = (
        f"""
        WITH {_GENRES}
        SELECT to_json({struct(fields)})
        FROM (FROM clean.plays WHERE {slice}) AS plays
        LEFT JOIN clean.tracks AS tracks USING (track_key)
        LEFT JOIN clean.albums AS albums ON albums.album_key = plays.album_key
        LEFT JOIN clean.artists AS artists ON artists.artist_key = plays.artist_key
        LEFT JOIN genres ON genres.artist_key = plays.artist_key
        WHERE {of_listener(listener, "plays.listener")}
        ORDER BY plays.listener, plays.ended_at, plays.play_id"""
        for slice in snapshot.slices(clean.Plays)
    )
    return write_lines(snapshot, queries, file, what=PLAYS, total=snapshot.rows[clean.Plays.qualified_name()])


def write_artists(snapshot: Snapshot, file: Path, listener: str | None) -> int:
    """Write `ARTISTS`, in the order of their keys; returns how many there are."""
    track = {
        "key": "track_key",
        "name": "any_value(tracks.track_name)",
        **{
            name: f"any_value({told})"
            for name, told in _told(snapshot, clean.Tracks, "tracks", ("track_uri", "track_id", *_OF_TRACK)).items()
        },
        **_counts("heard"),
    }
    album = {
        "key": "album_key",
        "name": "any_value(albums.album_name)",
        **{name: f"any_value({told})" for name, told in _told(snapshot, clean.Albums, "albums", _OF_ALBUM).items()},
        **_counts("of_tracks"),
        "tracks": "list(track ORDER BY track_key)",
    }
    artist = {
        "_id": "artist_key",
        "name": "any_value(artists.artist_name)",
        **{name: f"any_value({told})" for name, told in _told(snapshot, clean.Artists, "artists", _OF_ARTIST).items()},
        "genres": "coalesce(any_value(genres.genres), []::VARCHAR[])",
        **_counts("of_albums"),
        "albums": "list(album ORDER BY album_key NULLS LAST)",
    }
    query = f"""
        WITH {_GENRES},
        heard AS (
            SELECT artist_key, album_key, track_key, count(*) AS plays, sum(ms_played) AS ms_played,
                   min(ended_at) AS first_played_at, max(ended_at) AS last_played_at
            FROM clean.plays
            WHERE artist_key IS NOT NULL AND content_type = 'track' AND {of_listener(listener)} GROUP BY ALL),
        of_tracks AS (
            SELECT heard.artist_key, heard.album_key, track_key, {struct(track)} AS track, {_sums("heard")}
            FROM heard LEFT JOIN clean.tracks AS tracks USING (track_key)
            GROUP BY heard.artist_key, heard.album_key, track_key),
        of_albums AS (
            SELECT of_tracks.artist_key, album_key, {struct(album)} AS album, {_sums("of_tracks")}
            FROM of_tracks LEFT JOIN clean.albums AS albums USING (album_key)
            GROUP BY of_tracks.artist_key, album_key)
        SELECT to_json({struct(artist)})
        FROM of_albums
        LEFT JOIN clean.artists AS artists USING (artist_key)
        LEFT JOIN genres USING (artist_key)
        GROUP BY artist_key
        ORDER BY artist_key"""
    total = snapshot.rows[clean.Artists.qualified_name()]
    return write_lines(snapshot, [query], file, what=ARTISTS, total=total)


def _sums(rows: str) -> str:
    return (
        f"sum({rows}.plays) AS plays, sum({rows}.ms_played) AS ms_played, "
        f"min({rows}.first_played_at) AS first_played_at, max({rows}.last_played_at) AS last_played_at"
    )


def _counts(rows: str) -> dict[str, str]:
    """`_sums` as fields of an object."""
    return {
        "plays": f"sum({rows}.plays)::BIGINT",
        "ms_played": f"coalesce(sum({rows}.ms_played), 0)::BIGINT",
        "first_played_at": instant(f"min({rows}.first_played_at)"),
        "last_played_at": instant(f"max({rows}.last_played_at)"),
    }


def _within(kind: str, column: str) -> str:
    """`track_name` inside of a track is its `name`."""
    return column.removeprefix(f"{kind}_")


def _told(snapshot: Snapshot, table: type[Table], alias: str, columns: tuple[str, ...]) -> dict[str, str]:
    """What a table of the catalogue tells, named as inside of its object."""
    kind = table.layout.table.removesuffix("s")
    stored = snapshot.stored_columns(table)
    return {_within(kind, name): plain(table, name, f"{alias}.") for name in columns if name in stored}
