"""Friendly views: what people open first, and a star of one fact and four dimensions for BI tools.

They are made from the clean tables of the same snapshot whenever they are read. What needs more than a SELECT belongs
in a table of its own.

Star: `my.fact_plays` joins each dimension on one column of the same name in both (`artist_sk`, `album_sk`, `track_sk`)
and `my.dim_calendar` on `played_on` = `date`. Every fact has exactly one row in every dimension: what has no artist,
album or track (podcasts, plays without names) joins the member `none`. So an inner join keeps each play, once.

The surrogate keys are a letter and 16 hexadecimal digits, made from the keys of the clean tables, not those keys
themselves, which are names: BI tools compare texts by a collation of their own
(https://learn.microsoft.com/power-bi/connect-data/desktop-data-types), and two names that it takes for one would break
a join. Not numbers: Excel and Looker Studio round those that are long enough to be unique.
"""

from __future__ import annotations

import dataframely as dy

from spotify_assets.schemas.table import (
    Layout,
    View,
    count,
    day,
    instant,
    local_time,
    number,
    text,
    whole_number,
    yes_or_no,
)

_PLAYS, _TRACKS, _ALBUMS, _ARTISTS = "clean.plays", "clean.tracks", "clean.albums", "clean.artists"
_GENRES, _FEATURES = "clean.artist_genres", "clean.track_features"

NO_MEMBER = "none"
"""Surrogate key of the member that stands for no artist, album or track: no other has a key of four letters."""

_NO_NAME = "(none)"


def _surrogate(kind: str, key: str) -> str:
    """SQL that makes a surrogate key from a key of the clean tables."""
    return f"coalesce('{kind}' || left(md5({key}), 16), '{NO_MEMBER}')"


def _track_sk(key: str) -> str:
    return _surrogate("t", key)


def _album_sk(key: str) -> str:
    return _surrogate("b", key)


def _artist_sk(key: str) -> str:
    return _surrogate("a", key)


_GENRES_BY_ARTIST = """
    SELECT artist_key,
        string_agg(genre, ', ' ORDER BY votes DESC NULLS LAST, genre) AS genres,
        first(genre ORDER BY votes DESC NULLS LAST, genre) AS main_genre
    FROM (SELECT artist_key, genre, max(votes) AS votes FROM {clean.artist_genres} GROUP BY ALL)
    GROUP BY artist_key
"""


def _layout(view: str, *, month_column: str | None = None, sort: tuple[str, ...] = ()) -> Layout:
    return Layout("my", view, month_column=month_column, sort=sort)


def _of_play(column: str, description: str, *, key: bool = False, nullable: bool = True) -> dy.String:
    return text(description, key=key, nullable=nullable, sources=[f"{_PLAYS}.{column}"])


class ListeningHistory(View):
    """Every play of a track, the short ones too. Podcasts and audiobooks are in my.podcast_history."""

    layout = _layout("listening_history", month_column="played_on", sort=("played_at", "id"))

    id = whole_number("The play: play_id in clean.plays.", key=True, sources=[f"{_PLAYS}.play_id"])
    track_uri = _of_play("track_uri", "Spotify URI of the track.")
    track_name = _of_play("track_name", "Name of the track.")
    artist_name = _of_play("artist_name", "Name of the artist.")
    album_name = _of_play("album_name", "Name of the album.")
    played_at = instant("When the play ended, as Spotify tells it.", sources=[f"{_PLAYS}.ended_at"])
    ms_played = whole_number(
        "How long it was played, in milliseconds; NULL where neither told nor to be estimated.",
        nullable=True,
        minimum=0,
        sources=[f"{_PLAYS}.ms_played"],
    )
    popularity = whole_number(
        "Popularity of the track, 0 to 100, as told last; NULL where nobody told.",
        nullable=True,
        sources=[f"{_TRACKS}.popularity"],
    )
    listener = _of_play("listener", "Who played it.", key=True)
    played_on = day("Local date of played_at.", sources=[f"{_PLAYS}.played_on"])
    played_at_local = local_time("played_at on the listener's clock.", sources=[f"{_PLAYS}.ended_at_local"])
    is_stream = yes_or_no("Played for 30 s or more.", nullable=True, sources=[f"{_PLAYS}.is_stream"])
    is_skip = yes_or_no("It was skipped.", nullable=True, sources=[f"{_PLAYS}.is_skip"])
    platform = _of_play("platform", "Device platform as Spotify words it.")
    country = _of_play("country", "Country of the connection.")

    query = """
        SELECT play.play_id AS id, play.track_uri, play.track_name, play.artist_name, play.album_name,
            play.ended_at AS played_at, play.ms_played, track.popularity, play.listener, play.played_on,
            play.ended_at_local AS played_at_local, play.is_stream, play.is_skip, play.platform, play.country
        FROM {clean.plays} AS play LEFT JOIN {clean.tracks} AS track ON track.track_key = play.track_key
        WHERE play.content_type = 'track'
    """


class PodcastHistory(View):
    """Every play of a podcast episode or of a chapter of an audiobook."""

    layout = _layout("podcast_history", month_column="played_on", sort=("played_at", "id"))

    id = whole_number("The play: play_id in clean.plays.", key=True, sources=[f"{_PLAYS}.play_id"])
    content_type = _of_play("content_type", "episode or audiobook.", nullable=False)
    show_name = text(
        "Name of the podcast, or title of the audiobook.",
        nullable=True,
        sources=[f"{_PLAYS}.show_name", f"{_PLAYS}.audiobook_name"],
    )
    episode_name = text(
        "Name of the episode, or title of the chapter.",
        nullable=True,
        sources=[f"{_PLAYS}.episode_name", f"{_PLAYS}.chapter_name"],
    )
    played_at = instant("When the play ended.", sources=[f"{_PLAYS}.ended_at"])
    ms_played = whole_number(
        "How long it was played, in milliseconds.", nullable=True, minimum=0, sources=[f"{_PLAYS}.ms_played"]
    )
    listener = _of_play("listener", "Who played it.", key=True)
    played_on = day("Local date of played_at.", sources=[f"{_PLAYS}.played_on"])
    played_at_local = local_time("played_at on the listener's clock.", sources=[f"{_PLAYS}.ended_at_local"])

    query = """
        SELECT play_id AS id, content_type, coalesce(show_name, audiobook_name) AS show_name,
            coalesce(episode_name, chapter_name) AS episode_name, ended_at AS played_at, ms_played, listener, played_on,
            ended_at_local AS played_at_local
        FROM {clean.plays} WHERE content_type IN ('episode', 'audiobook')
    """


class MostPlayedArtists(View):
    """Each listener's artists over their whole history, the most played first."""

    layout = _layout("most_played_artists", sort=("listener", "rank", "artist_key"))

    listener = text("Who listened.", key=True, sources=[f"{_PLAYS}.listener"])
    rank = whole_number("Place by plays; equal ones share the lowest.", minimum=1, sources=[f"{_PLAYS}.play_id"])
    artist_name = text("The most-played spelling.", sources=[f"{_ARTISTS}.artist_name", f"{_PLAYS}.artist_name"])
    plays = count("Plays of tracks.", sources=[f"{_PLAYS}.play_id"])
    hours_played = number("Listening time, in hours.", minimum=0, sources=[f"{_PLAYS}.ms_played"])
    tracks = count("Different tracks.", sources=[f"{_PLAYS}.track_key"])
    first_played_at = instant("End of the first play.", sources=[f"{_PLAYS}.ended_at"])
    last_played_at = instant("End of the last play.", sources=[f"{_PLAYS}.ended_at"])
    genres = text("Genres, joined by commas.", nullable=True, sources=[f"{_GENRES}.genre"])
    artist_key = text("Joins clean.artists and daily.artists.", key=True, sources=[f"{_PLAYS}.artist_key"])

    query = f"""
        SELECT play.listener, rank() OVER (PARTITION BY play.listener ORDER BY play.plays DESC) AS rank,
            coalesce(artist.artist_name, play.spelling) AS artist_name, play.plays, play.ms / 3600000 AS hours_played,
            play.tracks, play.first_played_at, play.last_played_at, genre.genres, play.artist_key
        FROM (
            SELECT listener, artist_key, min(artist_name) AS spelling, count(*) AS plays,
                coalesce(sum(ms_played), 0) AS ms, count(DISTINCT track_key) AS tracks,
                min(ended_at) AS first_played_at, max(ended_at) AS last_played_at
            FROM {{clean.plays}} WHERE content_type = 'track' AND artist_key IS NOT NULL GROUP BY ALL
        ) AS play
        LEFT JOIN {{clean.artists}} AS artist ON artist.artist_key = play.artist_key
        LEFT JOIN ({_GENRES_BY_ARTIST}) AS genre ON genre.artist_key = play.artist_key
    """


class MostPlayedAlbums(View):
    """Each listener's albums over their whole history, the most played first."""

    layout = _layout("most_played_albums", sort=("listener", "rank", "album_key"))

    listener = text("Who listened.", key=True, sources=[f"{_PLAYS}.listener"])
    rank = whole_number("Place by plays; equal ones share the lowest.", minimum=1, sources=[f"{_PLAYS}.play_id"])
    album_name = text("The most-played spelling.", sources=[f"{_ALBUMS}.album_name", f"{_PLAYS}.album_name"])
    artist_name = text(
        "The artist's most-played spelling.",
        nullable=True,
        sources=[f"{_ALBUMS}.artist_name", f"{_PLAYS}.artist_name"],
    )
    plays = count("Plays of its tracks.", sources=[f"{_PLAYS}.play_id"])
    hours_played = number("Listening time, in hours.", minimum=0, sources=[f"{_PLAYS}.ms_played"])
    tracks = count("Different tracks.", sources=[f"{_PLAYS}.track_key"])
    first_played_at = instant("End of the first play.", sources=[f"{_PLAYS}.ended_at"])
    last_played_at = instant("End of the last play.", sources=[f"{_PLAYS}.ended_at"])
    released_on = day("First day of its release as told.", nullable=True, sources=[f"{_ALBUMS}.released_on"])
    album_key = text("Joins clean.albums and daily.albums.", key=True, sources=[f"{_PLAYS}.album_key"])

    query = """
        SELECT play.listener, rank() OVER (PARTITION BY play.listener ORDER BY play.plays DESC) AS rank,
            coalesce(album.album_name, play.spelling) AS album_name,
            coalesce(album.artist_name, play.artist_spelling) AS artist_name, play.plays,
            play.ms / 3600000 AS hours_played, play.tracks, play.first_played_at, play.last_played_at,
            album.released_on, play.album_key
        FROM (
            SELECT listener, album_key, min(album_name) AS spelling, min(artist_name) AS artist_spelling,
                count(*) AS plays, coalesce(sum(ms_played), 0) AS ms, count(DISTINCT track_key) AS tracks,
                min(ended_at) AS first_played_at, max(ended_at) AS last_played_at
            FROM {clean.plays} WHERE content_type = 'track' AND album_key IS NOT NULL GROUP BY ALL
        ) AS play
        LEFT JOIN {clean.albums} AS album ON album.album_key = play.album_key
    """


class MostPlayedTracks(View):
    """Each listener's tracks over their whole history, the most played first."""

    layout = _layout("most_played_tracks", sort=("listener", "rank", "track_key"))

    listener = text("Who listened.", key=True, sources=[f"{_PLAYS}.listener"])
    rank = whole_number("Place by plays; equal ones share the lowest.", minimum=1, sources=[f"{_PLAYS}.play_id"])
    track_name = text("The most-played spelling.", sources=[f"{_TRACKS}.track_name", f"{_PLAYS}.track_name"])
    artist_name = text(
        "The artist's most-played spelling.",
        nullable=True,
        sources=[f"{_TRACKS}.artist_name", f"{_PLAYS}.artist_name"],
    )
    album_name = text("The album it was mostly played from.", nullable=True, sources=[f"{_TRACKS}.album_name"])
    plays = count("Plays.", sources=[f"{_PLAYS}.play_id"])
    hours_played = number("Listening time, in hours.", minimum=0, sources=[f"{_PLAYS}.ms_played"])
    first_played_at = instant("End of the first play.", sources=[f"{_PLAYS}.ended_at"])
    last_played_at = instant("End of the last play.", sources=[f"{_PLAYS}.ended_at"])
    popularity = whole_number("0 to 100, as told last.", nullable=True, sources=[f"{_TRACKS}.popularity"])
    track_uri = text("Its most-played URI.", nullable=True, sources=[f"{_TRACKS}.track_uri"])
    track_key = text("Joins clean.tracks and daily.tracks.", key=True, sources=[f"{_PLAYS}.track_key"])

    query = """
        SELECT play.listener, rank() OVER (PARTITION BY play.listener ORDER BY play.plays DESC) AS rank,
            coalesce(track.track_name, play.spelling) AS track_name,
            coalesce(track.artist_name, play.artist_spelling) AS artist_name, track.album_name, play.plays,
            play.ms / 3600000 AS hours_played, play.first_played_at, play.last_played_at, track.popularity,
            track.track_uri, play.track_key
        FROM (
            SELECT listener, track_key, min(track_name) AS spelling, min(artist_name) AS artist_spelling,
                count(*) AS plays, coalesce(sum(ms_played), 0) AS ms,
                min(ended_at) AS first_played_at, max(ended_at) AS last_played_at
            FROM {clean.plays} WHERE content_type = 'track' AND track_key IS NOT NULL GROUP BY ALL
        ) AS play
        LEFT JOIN {clean.tracks} AS track ON track.track_key = play.track_key
    """


def _feature(column: str, description: str) -> dy.Float64:
    return number(description, nullable=True, sources=[f"{_FEATURES}.{column}"])


class TrackFeatures(View):
    """One row for each track that was played, with its names and, where somebody told them, its audio features."""

    layout = _layout("track_features", sort=("track_key",))

    track_uri = text(
        "The URI that the features were told of; the most-played one where none were.",
        nullable=True,
        sources=[f"{_FEATURES}.track_uri", f"{_TRACKS}.track_uri", f"{_PLAYS}.track_uri"],
    )
    track_name = text("Name of the track.", nullable=True, sources=[f"{_TRACKS}.track_name"])
    artist_name = text("Name of the artist.", nullable=True, sources=[f"{_TRACKS}.artist_name"])
    album_name = text("The album it was mostly played from.", nullable=True, sources=[f"{_TRACKS}.album_name"])
    plays = count("Plays over all listeners of the home.", sources=[f"{_TRACKS}.plays"])
    popularity = whole_number("0 to 100, as told last.", nullable=True, sources=[f"{_TRACKS}.popularity"])
    danceability = _feature("danceability", "0 to 1.")
    energy = _feature("energy", "0 to 1.")
    speechiness = _feature("speechiness", "0 to 1.")
    acousticness = _feature("acousticness", "0 to 1.")
    instrumentalness = _feature("instrumentalness", "0 to 1.")
    liveness = _feature("liveness", "0 to 1.")
    valence = _feature("valence", "0 to 1.")
    key = whole_number("Pitch class: 0 is C, -1 none.", nullable=True, sources=[f"{_FEATURES}.key"])
    mode = whole_number("1 major, 0 minor.", nullable=True, sources=[f"{_FEATURES}.mode"])
    loudness = _feature("loudness", "Decibels.")
    tempo = _feature("tempo", "Beats per minute.")
    time_signature = whole_number("Beats in a bar.", nullable=True, sources=[f"{_FEATURES}.time_signature"])
    duration_ms = whole_number(
        "Length, in milliseconds.",
        nullable=True,
        sources=[f"{_TRACKS}.duration_ms", f"{_FEATURES}.duration_ms", f"{_TRACKS}.length_ms"],
    )
    source = text("own, spotify or reccobeats; NULL without features.", nullable=True, sources=[f"{_FEATURES}.source"])
    track_key = text("Joins clean.tracks.", key=True, sources=[f"{_TRACKS}.track_key"])
    track_sk = text("Joins my.dim_track.", sources=[f"{_TRACKS}.track_key"])

    query = f"""
        SELECT coalesce(feature.track_uri, track.track_uri) AS track_uri, track.track_name, track.artist_name,
            track.album_name, track.plays, track.popularity, feature.danceability, feature.energy, feature.speechiness,
            feature.acousticness, feature.instrumentalness, feature.liveness, feature.valence, feature.key,
            feature.mode, feature.loudness, feature.tempo, feature.time_signature,
            coalesce(track.duration_ms, feature.duration_ms, track.length_ms) AS duration_ms, feature.source,
            track.track_key, {_track_sk("track.track_key")} AS track_sk
        FROM {{clean.tracks}} AS track
        LEFT JOIN (
            SELECT DISTINCT ON (played.track_key) played.track_key, told.*
            FROM {{clean.track_features}} AS told
            JOIN (
                SELECT track_key, track_uri, count(*) AS plays FROM {{clean.plays}}
                WHERE track_key IS NOT NULL AND track_uri IS NOT NULL GROUP BY ALL
            ) AS played ON played.track_uri = told.track_uri
            ORDER BY played.track_key, played.plays DESC, told.track_uri
        ) AS feature ON feature.track_key = track.track_key
    """


_TOP_ARTISTS, _TOP_TRACKS = "clean.top_artists", "clean.top_tracks"
_TOP_ALBUMS_OF, _TOP_TRACKS_OF = "clean.artist_top_albums", "clean.artist_top_tracks"
_RANGES = "short_term (about 4 weeks), medium_term (6 months) or long_term (a year)."


class TopArtists(View):
    """Each listener's newest top artists by Spotify's own reckoning; my.most_played_artists is by the plays here."""

    layout = _layout("top_artists", sort=("listener", "time_range", "rank"))

    listener = text("Whose ranking it is.", key=True, sources=[f"{_TOP_ARTISTS}.listener"])
    time_range = text(_RANGES, key=True, sources=[f"{_TOP_ARTISTS}.time_range"])
    rank = whole_number("From 1.", key=True, minimum=1, sources=[f"{_TOP_ARTISTS}.rank"])
    artist_name = text("Name.", nullable=True, sources=[f"{_TOP_ARTISTS}.artist_name"])
    movement = whole_number("Ranks won since the ranking before.", nullable=True, sources=[f"{_TOP_ARTISTS}.movement"])
    is_new = yes_or_no("The ranking before does not have it.", nullable=True, sources=[f"{_TOP_ARTISTS}.is_new"])
    genres = text("Genres, joined by commas.", nullable=True, sources=[f"{_GENRES}.genre"])
    popularity = whole_number("0 to 100, as told last.", nullable=True, sources=[f"{_ARTISTS}.popularity"])
    followers = whole_number("Followers, as told last.", nullable=True, sources=[f"{_ARTISTS}.followers"])
    artist_id = text("Spotify id.", nullable=True, sources=[f"{_TOP_ARTISTS}.artist_id"])
    artist_sk = text("Joins my.dim_artist, where the artist was played.", sources=[f"{_TOP_ARTISTS}.artist_key"])
    ranked_on = day("UTC date of the ranking.", sources=[f"{_TOP_ARTISTS}.fetched_on"])

    query = f"""
        SELECT top.listener, top.time_range, top.rank, top.artist_name, top.movement, top.is_new, genre.genres,
            artist.popularity, artist.followers, top.artist_id, {_artist_sk("top.artist_key")} AS artist_sk,
            top.fetched_on AS ranked_on
        FROM {{clean.top_artists}} AS top
        LEFT JOIN {{clean.artists}} AS artist ON artist.artist_key = top.artist_key
        LEFT JOIN ({_GENRES_BY_ARTIST}) AS genre ON genre.artist_key = top.artist_key
        WHERE top.is_latest
    """


class TopTracks(View):
    """Each listener's newest top tracks by Spotify's own reckoning; my.most_played_tracks is by the plays here."""

    layout = _layout("top_tracks", sort=("listener", "time_range", "rank"))

    listener = text("Whose ranking it is.", key=True, sources=[f"{_TOP_TRACKS}.listener"])
    time_range = text(_RANGES, key=True, sources=[f"{_TOP_TRACKS}.time_range"])
    rank = whole_number("From 1.", key=True, minimum=1, sources=[f"{_TOP_TRACKS}.rank"])
    track_name = text("Name.", nullable=True, sources=[f"{_TOP_TRACKS}.track_name"])
    artist_name = text("First artist.", nullable=True, sources=[f"{_TOP_TRACKS}.artist_name"])
    album_name = text(
        "The album it was mostly played from; NULL where it was not played.",
        nullable=True,
        sources=[f"{_TRACKS}.album_name"],
    )
    movement = whole_number("Ranks won since the ranking before.", nullable=True, sources=[f"{_TOP_TRACKS}.movement"])
    is_new = yes_or_no("The ranking before does not have it.", nullable=True, sources=[f"{_TOP_TRACKS}.is_new"])
    popularity = whole_number("0 to 100, as told last.", nullable=True, sources=[f"{_TRACKS}.popularity"])
    track_uri = text("Spotify URI.", nullable=True, sources=[f"{_TOP_TRACKS}.track_uri"])
    track_sk = text("Joins my.dim_track, where the track was played.", sources=[f"{_TOP_TRACKS}.track_key"])
    ranked_on = day("UTC date of the ranking.", sources=[f"{_TOP_TRACKS}.fetched_on"])

    query = f"""
        SELECT top.listener, top.time_range, top.rank, top.track_name, top.artist_name, track.album_name, top.movement,
            top.is_new, track.popularity, top.track_uri, {_track_sk("top.track_key")} AS track_sk,
            top.fetched_on AS ranked_on
        FROM {{clean.top_tracks}} AS top LEFT JOIN {{clean.tracks}} AS track ON track.track_key = top.track_key
        WHERE top.is_latest
    """


class ArtistTopAlbums(View):
    """The first albums of each of a listener's top artists, as Spotify lists them."""

    layout = _layout("artist_top_albums", sort=("listener", "artist_rank", "artist_id", "position"))

    listener = text("Whose top artist it is.", key=True, sources=[f"{_TOP_ALBUMS_OF}.listener"])
    artist_rank = whole_number("Rank of the artist.", minimum=1, sources=[f"{_TOP_ALBUMS_OF}.artist_rank"])
    artist_name = text("Name of the artist.", nullable=True, sources=[f"{_TOP_ALBUMS_OF}.artist_name"])
    position = whole_number("In Spotify's order, from 1.", key=True, sources=[f"{_TOP_ALBUMS_OF}.position"])
    album_name = text("Name of the album.", sources=[f"{_TOP_ALBUMS_OF}.album_name"])
    release_date = text(
        "As told: 1999, 1999-05 or 1999-05-04.", nullable=True, sources=[f"{_TOP_ALBUMS_OF}.release_date"]
    )
    total_tracks = whole_number("Tracks of the album.", nullable=True, sources=[f"{_TOP_ALBUMS_OF}.total_tracks"])
    artist_id = text("Spotify id of the artist.", key=True, sources=[f"{_TOP_ALBUMS_OF}.artist_id"])
    album_id = text("Spotify id of the album.", sources=[f"{_TOP_ALBUMS_OF}.album_id"])

    query = """
        SELECT listener, artist_rank, artist_name, position, album_name, release_date, total_tracks, artist_id, album_id
        FROM {clean.artist_top_albums}
    """


class ArtistTopTracks(View):
    """Top tracks of each of a listener's top artists, in each market that was asked for."""

    layout = _layout("artist_top_tracks", sort=("listener", "market", "artist_rank", "artist_id", "position"))

    listener = text("Whose top artist it is.", key=True, sources=[f"{_TOP_TRACKS_OF}.listener"])
    market = text("ISO 3166-1 alpha-2.", key=True, sources=[f"{_TOP_TRACKS_OF}.market"])
    artist_rank = whole_number("Rank of the artist.", minimum=1, sources=[f"{_TOP_TRACKS_OF}.artist_rank"])
    artist_name = text("Name of the artist.", nullable=True, sources=[f"{_TOP_TRACKS_OF}.artist_name"])
    position = whole_number("From 1.", key=True, minimum=1, sources=[f"{_TOP_TRACKS_OF}.position"])
    track_name = text("Name of the track.", nullable=True, sources=[f"{_TOP_TRACKS_OF}.track_name"])
    duration_text = text("Length as MM:SS.", nullable=True, sources=[f"{_TOP_TRACKS_OF}.duration_text"])
    bpm = number("Beats per minute.", nullable=True, sources=[f"{_TOP_TRACKS_OF}.bpm"])
    mode_name = text("Major or Minor.", nullable=True, sources=[f"{_TOP_TRACKS_OF}.mode_name"])
    artist_id = text("Spotify id of the artist.", key=True, sources=[f"{_TOP_TRACKS_OF}.artist_id"])
    track_uri = text("Spotify URI of the track.", sources=[f"{_TOP_TRACKS_OF}.track_uri"])

    query = """
        SELECT listener, market, artist_rank, artist_name, position, track_name, duration_text, bpm, mode_name,
            artist_id, track_uri
        FROM {clean.artist_top_tracks}
    """


_SAVED, _PLAYLISTS, _ITEMS = "clean.saved_tracks", "clean.playlists", "clean.playlist_items"


class SavedTracks(View):
    """The tracks in each listener's library, and how often each was played."""

    layout = _layout("saved_tracks", sort=("listener", "saved_track_number"))

    listener = text("Whose library it is.", key=True, sources=[f"{_SAVED}.listener"])
    saved_track_number = whole_number("Place in the list, from 1.", key=True, sources=[f"{_SAVED}.saved_track_number"])
    track_name = text("Name of the track.", nullable=True, sources=[f"{_SAVED}.track_name"])
    artist_name = text("Name of the artist.", nullable=True, sources=[f"{_SAVED}.artist_name"])
    album_name = text("Name of the album.", nullable=True, sources=[f"{_SAVED}.album_name"])
    added_at = instant("When it was saved, where the Web API told.", nullable=True, sources=[f"{_SAVED}.added_at"])
    plays = count("The listener's plays of the track.", sources=[f"{_PLAYS}.play_id"])
    last_played_at = instant("End of the last of them.", nullable=True, sources=[f"{_PLAYS}.ended_at"])
    track_uri = text("Spotify URI.", nullable=True, sources=[f"{_SAVED}.track_uri"])
    track_sk = text("Joins my.dim_track, where the track was played.", sources=[f"{_SAVED}.track_key"])

    query = f"""
        SELECT saved.listener, saved.saved_track_number, saved.track_name, saved.artist_name, saved.album_name,
            saved.added_at, coalesce(played.plays, 0) AS plays, played.last_played_at, saved.track_uri,
            {_track_sk("saved.track_key")} AS track_sk
        FROM {{clean.saved_tracks}} AS saved
        LEFT JOIN (
            SELECT listener, track_key, count(*) AS plays, max(ended_at) AS last_played_at
            FROM {{clean.plays}} WHERE track_key IS NOT NULL GROUP BY ALL
        ) AS played ON played.listener = saved.listener AND played.track_key = saved.track_key
    """


class PlaylistItems(View):
    """The entries of each listener's playlists, in order."""

    layout = _layout("playlist_items", sort=("listener", "playlist_id", "position"))

    listener = text("Whose playlist it is.", key=True, sources=[f"{_ITEMS}.listener"])
    playlist_name = text("Name of the playlist.", nullable=True, sources=[f"{_PLAYLISTS}.playlist_name"])
    position = whole_number("Place in the playlist, from 1.", key=True, minimum=1, sources=[f"{_ITEMS}.position"])
    item_type = text("track, episode, audiobook, local or unknown.", sources=[f"{_ITEMS}.item_type"])
    item_name = text("Name of the entry.", nullable=True, sources=[f"{_ITEMS}.item_name"])
    creator_name = text("Artist, show or author.", nullable=True, sources=[f"{_ITEMS}.creator_name"])
    album_name = text("Album of a track.", nullable=True, sources=[f"{_ITEMS}.album_name"])
    added_on = day("Added on.", nullable=True, sources=[f"{_ITEMS}.added_on"])
    item_uri = text("Spotify URI.", nullable=True, sources=[f"{_ITEMS}.item_uri"])
    playlist_id = text("Tells playlists of one name apart.", key=True, sources=[f"{_ITEMS}.playlist_id"])
    track_sk = text("Joins my.dim_track, where the track was played.", sources=[f"{_ITEMS}.track_key"])

    query = f"""
        SELECT item.listener, playlist.playlist_name, item.position, item.item_type, item.item_name, item.creator_name,
            item.album_name, item.added_on, item.item_uri, item.playlist_id,
            {_track_sk("item.track_key")} AS track_sk
        FROM {{clean.playlist_items}} AS item
        LEFT JOIN {{clean.playlists}} AS playlist
            ON playlist.listener = item.listener AND playlist.playlist_id = item.playlist_id
    """


class FactPlays(View):
    """The star's fact: one row for each play of any content type."""

    layout = _layout("fact_plays", month_column="played_on", sort=("ended_at", "play_id"))

    play_id = whole_number("The play.", key=True, sources=[f"{_PLAYS}.play_id"])
    listener = _of_play("listener", "Who played it.", key=True)
    played_on = day("Local date of ended_at; joins my.dim_calendar.date.", sources=[f"{_PLAYS}.played_on"])
    track_sk = text("Joins my.dim_track.", sources=[f"{_PLAYS}.track_key"])
    artist_sk = text("Joins my.dim_artist.", sources=[f"{_PLAYS}.artist_key"])
    album_sk = text("Joins my.dim_album.", sources=[f"{_PLAYS}.album_key"])
    started_at = instant("When the play began.", sources=[f"{_PLAYS}.started_at"])
    ended_at = instant("When the play ended.", sources=[f"{_PLAYS}.ended_at"])
    ended_at_local = local_time("ended_at on the listener's clock.", sources=[f"{_PLAYS}.ended_at_local"])
    hour = whole_number("Local hour of ended_at, 0 to 23.", minimum=0, maximum=23, sources=[f"{_PLAYS}.ended_at_local"])
    content_type = _of_play("content_type", "track, episode, audiobook or unknown.", nullable=False)
    ms_played = whole_number(
        "How long it was played, in milliseconds.", nullable=True, minimum=0, sources=[f"{_PLAYS}.ms_played"]
    )
    is_ms_played_estimated = yes_or_no("ms_played is estimated.", sources=[f"{_PLAYS}.is_ms_played_estimated"])
    is_stream = yes_or_no("Played for 30 s or more.", nullable=True, sources=[f"{_PLAYS}.is_stream"])
    is_scrobble = yes_or_no("Counts as a scrobble.", nullable=True, sources=[f"{_PLAYS}.is_scrobble"])
    is_skip = yes_or_no("It was skipped.", nullable=True, sources=[f"{_PLAYS}.is_skip"])
    is_finished = yes_or_no("It ran to the end.", nullable=True, sources=[f"{_PLAYS}.is_finished"])
    is_shuffle = yes_or_no("Shuffle was on.", nullable=True, sources=[f"{_PLAYS}.is_shuffle"])
    is_offline = yes_or_no("Played without a connection.", nullable=True, sources=[f"{_PLAYS}.is_offline"])
    platform = _of_play("platform", "Device platform as Spotify words it.")
    country = _of_play("country", "Country of the connection.")
    show_name = _of_play("show_name", "Name of the podcast.")
    episode_name = _of_play("episode_name", "Name of the podcast episode.")
    session_id = whole_number("The listening session, see daily.sessions.", sources=[f"{_PLAYS}.session_id"])

    query = f"""
        SELECT play_id, listener, played_on, {_track_sk("track_key")} AS track_sk,
            {_artist_sk("artist_key")} AS artist_sk, {_album_sk("album_key")} AS album_sk, started_at, ended_at,
            ended_at_local, hour(ended_at_local) AS hour, content_type, ms_played, is_ms_played_estimated, is_stream,
            is_scrobble, is_skip, is_finished, is_shuffle, is_offline, platform, country, show_name, episode_name,
            session_id
        FROM {{clean.plays}}
    """


class DimTrack(View):
    """The star's tracks: one row for each that was played, and `none`."""

    layout = _layout("dim_track", sort=("track_sk",))

    track_sk = text("Surrogate key; none for plays without a track.", key=True, sources=[f"{_PLAYS}.track_key"])
    track_name = text("The most-played spelling.", sources=[f"{_TRACKS}.track_name", f"{_PLAYS}.track_name"])
    artist_name = text("Name of the artist.", nullable=True, sources=[f"{_TRACKS}.artist_name"])
    album_name = text("The album it was mostly played from.", nullable=True, sources=[f"{_TRACKS}.album_name"])
    duration_ms = whole_number(
        "Length, in milliseconds.", nullable=True, sources=[f"{_TRACKS}.duration_ms", f"{_TRACKS}.length_ms"]
    )
    explicit = yes_or_no("Marked as explicit.", nullable=True, sources=[f"{_TRACKS}.explicit"])
    popularity = whole_number("0 to 100, as told last.", nullable=True, sources=[f"{_TRACKS}.popularity"])
    isrc = text("International Standard Recording Code.", nullable=True, sources=[f"{_TRACKS}.isrc"])
    track_uri = text("Its most-played URI.", nullable=True, sources=[f"{_TRACKS}.track_uri"])
    spotify_url = text("Link to the track.", nullable=True, sources=[f"{_TRACKS}.spotify_url"])
    track_key = text("Joins clean.tracks and daily.tracks.", nullable=True, sources=[f"{_PLAYS}.track_key"])

    query = f"""
        SELECT {_track_sk("member.track_key")} AS track_sk, coalesce(member.track_name, '{_NO_NAME}') AS track_name,
            member.artist_name, member.album_name, member.duration_ms, member.explicit, member.popularity, member.isrc,
            member.track_uri, member.spotify_url, member.track_key
        FROM (
            SELECT track_key, track_name, artist_name, album_name, coalesce(duration_ms, length_ms) AS duration_ms,
                explicit, popularity, isrc, track_uri, spotify_url
            FROM {{clean.tracks}}
            UNION ALL BY NAME
            SELECT play.track_key, min(play.track_name) AS track_name, min(play.artist_name) AS artist_name
            FROM {{clean.plays}} AS play ANTI JOIN {{clean.tracks}} AS known ON known.track_key = play.track_key
            WHERE play.track_key IS NOT NULL GROUP BY play.track_key
            UNION ALL BY NAME
            SELECT NULL::VARCHAR AS track_key
        ) AS member
    """


class DimArtist(View):
    """The star's artists: one row for each that was played, and `none`."""

    layout = _layout("dim_artist", sort=("artist_sk",))

    artist_sk = text("Surrogate key; none for plays without an artist.", key=True, sources=[f"{_PLAYS}.artist_key"])
    artist_name = text("The most-played spelling.", sources=[f"{_ARTISTS}.artist_name", f"{_PLAYS}.artist_name"])
    main_genre = text("The genre that most people name, or the first.", nullable=True, sources=[f"{_GENRES}.genre"])
    genres = text("All genres, joined by commas.", nullable=True, sources=[f"{_GENRES}.genre"])
    popularity = whole_number("0 to 100, as told last.", nullable=True, sources=[f"{_ARTISTS}.popularity"])
    followers = whole_number("Followers, as told last.", nullable=True, sources=[f"{_ARTISTS}.followers"])
    image_url = text("Address of a picture.", nullable=True, sources=[f"{_ARTISTS}.image_url"])
    spotify_url = text("Link to the artist.", nullable=True, sources=[f"{_ARTISTS}.spotify_url"])
    artist_key = text("Joins clean.artists and daily.artists.", nullable=True, sources=[f"{_PLAYS}.artist_key"])

    query = f"""
        SELECT {_artist_sk("member.artist_key")} AS artist_sk,
            coalesce(member.artist_name, '{_NO_NAME}') AS artist_name, genre.main_genre, genre.genres,
            member.popularity, member.followers, member.image_url, member.spotify_url, member.artist_key
        FROM (
            SELECT artist_key, artist_name, popularity, followers, image_url, spotify_url FROM {{clean.artists}}
            UNION ALL BY NAME
            SELECT play.artist_key, min(play.artist_name) AS artist_name
            FROM {{clean.plays}} AS play ANTI JOIN {{clean.artists}} AS known ON known.artist_key = play.artist_key
            WHERE play.artist_key IS NOT NULL GROUP BY play.artist_key
            UNION ALL BY NAME
            SELECT NULL::VARCHAR AS artist_key
        ) AS member
        LEFT JOIN ({_GENRES_BY_ARTIST}) AS genre ON genre.artist_key = member.artist_key
    """


class DimAlbum(View):
    """The star's albums: one row for each that was played, and `none`."""

    layout = _layout("dim_album", sort=("album_sk",))

    album_sk = text("Surrogate key; none for plays without an album.", key=True, sources=[f"{_PLAYS}.album_key"])
    album_name = text("The most-played spelling.", sources=[f"{_ALBUMS}.album_name", f"{_PLAYS}.album_name"])
    artist_name = text("Name of the artist.", nullable=True, sources=[f"{_ALBUMS}.artist_name"])
    album_type = text("album, single or compilation.", nullable=True, sources=[f"{_ALBUMS}.album_type"])
    released_on = day("First day of its release as told.", nullable=True, sources=[f"{_ALBUMS}.released_on"])
    label = text("Record label.", nullable=True, sources=[f"{_ALBUMS}.label"])
    total_tracks = whole_number("Tracks that it has.", nullable=True, sources=[f"{_ALBUMS}.total_tracks"])
    popularity = whole_number("0 to 100, as told last.", nullable=True, sources=[f"{_ALBUMS}.popularity"])
    image_url = text("Address of the cover.", nullable=True, sources=[f"{_ALBUMS}.image_url"])
    spotify_url = text("Link to the album.", nullable=True, sources=[f"{_ALBUMS}.spotify_url"])
    album_key = text("Joins clean.albums and daily.albums.", nullable=True, sources=[f"{_PLAYS}.album_key"])

    query = f"""
        SELECT {_album_sk("member.album_key")} AS album_sk, coalesce(member.album_name, '{_NO_NAME}') AS album_name,
            member.artist_name, member.album_type, member.released_on, member.label, member.total_tracks,
            member.popularity, member.image_url, member.spotify_url, member.album_key
        FROM (
            SELECT album_key, album_name, artist_name, album_type, released_on, label, total_tracks, popularity,
                image_url, spotify_url
            FROM {{clean.albums}}
            UNION ALL BY NAME
            SELECT play.album_key, min(play.album_name) AS album_name, min(play.artist_name) AS artist_name
            FROM {{clean.plays}} AS play ANTI JOIN {{clean.albums}} AS known ON known.album_key = play.album_key
            WHERE play.album_key IS NOT NULL GROUP BY play.album_key
            UNION ALL BY NAME
            SELECT NULL::VARCHAR AS album_key
        ) AS member
    """


class DimCalendar(View):
    """The star's dates: every one of the years in which something was played, as BI tools want of a date table."""

    layout = _layout("dim_calendar", sort=("date",))

    date = day("Joins my.fact_plays.played_on.", key=True, sources=[f"{_PLAYS}.played_on", "clean.calendar.date"])
    year = whole_number("Calendar year.")
    quarter = whole_number("1 to 4.", minimum=1, maximum=4)
    year_quarter = text("Such as 2024-Q2; sorts as time does.")
    month = whole_number("1 to 12.", minimum=1, maximum=12)
    month_name = text("English name.")
    year_month = text("Such as 2024-05.")
    iso_year = whole_number("ISO 8601 week-numbering year.")
    iso_week = whole_number("ISO 8601 week, 1 to 53.", minimum=1, maximum=53)
    year_week = text("ISO 8601, such as 2024-W05.")
    day_of_month = whole_number("Day of the month.", minimum=1, maximum=31)
    day_of_year = whole_number("Day of the year.", minimum=1, maximum=366)
    weekday = whole_number("1 Monday to 7 Sunday.", minimum=1, maximum=7)
    weekday_name = text("English name.")
    is_weekend = yes_or_no("Saturday or Sunday.")

    query = """
        SELECT date, year(date) AS year, quarter(date) AS quarter,
            strftime(date, '%Y-Q') || quarter(date) AS year_quarter, month(date) AS month,
            monthname(date) AS month_name, strftime(date, '%Y-%m') AS year_month, isoyear(date) AS iso_year,
            week(date) AS iso_week, strftime(date, '%G-W%V') AS year_week, day(date) AS day_of_month,
            dayofyear(date) AS day_of_year, isodow(date) AS weekday, dayname(date) AS weekday_name,
            isodow(date) >= 6 AS is_weekend
        FROM (
            SELECT unnest(generate_series(
                date_trunc('year', min(known)), date_trunc('year', max(known)) + INTERVAL 1 YEAR - INTERVAL 1 DAY,
                INTERVAL 1 DAY
            ))::DATE AS date
            FROM (SELECT played_on AS known FROM {clean.plays} UNION ALL SELECT date FROM {clean.calendar})
        )
    """
