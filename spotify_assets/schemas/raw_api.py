"""What arrived from the Spotify Web API, and from others who tell more of the same tracks: responses, and the rows read
from them. Append-only.

Everything but `raw.api_responses` can be read anew from it, as long as it is kept. Objects (tracks, albums, artists)
stand here as they were told, each distinct telling once; what they mean is decided in `clean`.
"""

from __future__ import annotations

from spotify_assets.schemas.table import Layout, Table, count, day, instant, number, text, whole_number, yes_or_no

TRACK_ID_PATTERN = "^[0-9A-Za-z]{22}$"
"""https://developer.spotify.com/documentation/web-api/concepts/spotify-uris-ids"""

ISRC_PATTERN = "^[A-Z]{2}[A-Z0-9]{3}[0-9]{7}$"
"""https://isrc.ifpi.org/en/isrc-standard/structure"""


class ApiResponses(Table):
    """Every response of the Web API, without personal fields; a body that is equal to an earlier one is kept once."""

    layout = Layout("raw", "api_responses", month_column="fetched_at", sort=("fetched_at", "response_id"))

    response_id = whole_number("Hash of listener, endpoint, params and fetched_at.", key=True)
    listener = text("Whose token was used; empty for what was asked without a listener.")
    endpoint = text("Path below /v1 with names for what varies, such as /artists/{id}/albums.")
    params = text("JSON object, keys sorted: what varies in the path, and the query.")
    fetched_at = instant("When the response came.")
    status = whole_number("HTTP status.", minimum=100, maximum=599)
    body = text("The body as JSON; NULL where there was none, and where an earlier response has it.", nullable=True)
    same_body_as = whole_number("response_id of the earlier response whose body is equal.", nullable=True)
    body_hash = whole_number("Hash of the body, also where an earlier response has it.", nullable=True)


class Polls(Table):
    """Every look at a listener's last 50 plays, what came of it, and whether plays are provably missing."""

    layout = Layout("raw", "polls", month_column="polled_at", sort=("listener", "polled_at"))

    listener = text("Who was asked about.", key=True)
    polled_at = instant("When the response came, or was given up.", key=True)
    response_id = whole_number("raw.api_responses; NULL when none came.", nullable=True)
    outcome = text("told, rate_limited, unauthorized, forbidden or failed.")
    items = count("Plays that the response tells of.")
    items_new = count("Plays among them that were not stored before.")
    oldest_played_at = instant("The earliest of them.", nullable=True)
    newest_played_at = instant("The latest of them.", nullable=True)
    newest_known_at = instant("The latest play that was stored before.", nullable=True)
    is_full = yes_or_no("The page held as many plays as Spotify ever tells.")
    is_gap_provable = yes_or_no(
        "The page was full, and all of it newer than the newest play stored before: plays between may be missing."
    )


class RecentlyPlayed(Table):
    """Plays as GET /me/player/recently-played told them."""

    layout = Layout("raw", "recently_played", month_column="played_at", sort=("listener", "played_at", "row_id"))

    listener = text("Who played it.", key=True)
    played_at = instant("As told: the end of the play.", key=True)
    item_hash = whole_number("Hash of the URI, or without one of the names.", key=True)
    row_id = whole_number("Number of the row in this lakehouse.")
    fetched_at = instant("When it was told first.")
    response_id = whole_number("raw.api_responses: the response that told it first.")
    track_uri = text("Spotify URI; local files have one of their own kind.", nullable=True)
    track_id = text("Spotify id of the track; NULL for local files.", nullable=True)
    track_name = text("Name of the track.", nullable=True)
    artist_name = text("Name of the first artist.", nullable=True)
    album_name = text("Name of the album.", nullable=True)
    album_artist_name = text("Name of the album's first artist, whom exports name.", nullable=True)
    duration_ms = whole_number("Length of the track, in milliseconds.", nullable=True, minimum=0)
    isrc = text("International Standard Recording Code.", nullable=True)
    context_type = text("playlist, album, artist, collection, …", nullable=True)
    context_uri = text("What it was played from.", nullable=True)
    item = text("The whole item as JSON, without personal fields.")


class TopArtists(Table):
    """A listener's top artists as told, one ranking for each range and day on which it was asked for."""

    layout = Layout("raw", "top_artists", month_column="fetched_on")

    listener = text("Whose ranking it is.", key=True)
    time_range = text("short_term (about 4 weeks), medium_term (6 months) or long_term (a year).", key=True)
    fetched_on = day("UTC date of the snapshot; asked again on the same day it is replaced.", key=True)
    rank = whole_number("From 1.", key=True, minimum=1)
    fetched_at = instant("When it was told.")
    artist_id = text("Spotify id.", nullable=True)
    artist_name = text("Name.", nullable=True)


class TopTracks(Table):
    """A listener's top tracks as told, one ranking for each range and day on which it was asked for."""

    layout = Layout("raw", "top_tracks", month_column="fetched_on")

    listener = text("Whose ranking it is.", key=True)
    time_range = text("short_term (about 4 weeks), medium_term (6 months) or long_term (a year).", key=True)
    fetched_on = day("UTC date of the snapshot; asked again on the same day it is replaced.", key=True)
    rank = whole_number("From 1.", key=True, minimum=1)
    fetched_at = instant("When it was told.")
    track_id = text("Spotify id; NULL for local files.", nullable=True)
    track_uri = text("Spotify URI.", nullable=True)
    track_name = text("Name.", nullable=True)
    artist_name = text("Name of the first artist.", nullable=True)


class Tracks(Table):
    """Track objects, each distinct telling once, whatever response they came in."""

    layout = Layout("raw", "tracks", sort=("track_id", "fetched_at", "object_hash"))

    track_id = text("Spotify id under which it was told.", key=True)
    object_hash = whole_number("Hash of the object.", key=True)
    fetched_at = instant("When this telling came first.")
    told_at = instant("When it came last, to the day (UTC): then or later on that day.")
    endpoint = text("raw.api_responses.endpoint that told it first.")
    is_simplified = yes_or_no("Told without external_ids: as part of an album.")
    object = text("The track object as JSON; its album without images and markets.")


class Albums(Table):
    """Album objects, each distinct telling once, whatever response they came in."""

    layout = Layout("raw", "albums", sort=("album_id", "fetched_at", "object_hash"))

    album_id = text("Spotify id.", key=True)
    object_hash = whole_number("Hash of the object.", key=True)
    fetched_at = instant("When this telling came first.")
    told_at = instant("When it came last, to the day (UTC): then or later on that day.")
    endpoint = text("raw.api_responses.endpoint that told it first.")
    is_simplified = yes_or_no("Told as part of a track or a list: without label, external_ids and tracks.")
    object = text("The album object as JSON, without its tracks.")


class Artists(Table):
    """Artist objects, each distinct telling once, whatever response they came in."""

    layout = Layout("raw", "artists", sort=("artist_id", "fetched_at", "object_hash"))

    artist_id = text("Spotify id.", key=True)
    object_hash = whole_number("Hash of the object.", key=True)
    fetched_at = instant("When this telling came first.")
    told_at = instant("When it came last, to the day (UTC): then or later on that day.")
    endpoint = text("raw.api_responses.endpoint that told it first.")
    is_simplified = yes_or_no("Told as part of a track or an album: name and id only.")
    object = text("The artist object as JSON.")


class MissingObjects(Table):
    """Ids that Spotify was asked for and does not know (any more), so that they are not asked for again and again."""

    layout = Layout("raw", "missing_objects")

    kind = text("track, album or artist.", key=True)
    object_id = text("Spotify id.", key=True)
    fetched_at = instant("When it was asked for last.")
    status = whole_number("HTTP status, 200 for a null in a batch.")


class ArtistAlbums(Table):
    """An artist's albums in Spotify's order, as told; a later telling replaces the earlier one of the same list."""

    layout = Layout("raw", "artist_albums")

    artist_id = text("Spotify id of the artist.", key=True)
    album_groups = text("include_groups that were asked for, such as album.", key=True)
    market = text("Market that was asked for; empty for none.", key=True)
    position = whole_number("From 1.", key=True, minimum=1)
    album_id = text("Spotify id of the album.")
    fetched_at = instant("When it was told.")


class ArtistTopTracks(Table):
    """An artist's top tracks in a market, as told; a later telling replaces the earlier one of the same list."""

    layout = Layout("raw", "artist_top_tracks")

    artist_id = text("Spotify id of the artist.", key=True)
    market = text("ISO 3166-1 alpha-2.", key=True)
    position = whole_number("From 1.", key=True, minimum=1)
    track_id = text("Spotify id of the track.")
    is_from_search = yes_or_no("Found by search, because the app may not ask for top tracks.")
    fetched_at = instant("When it was told.")


class SavedTracks(Table):
    """The tracks in a listener's library as GET /me/tracks told them, one snapshot of all after another."""

    layout = Layout("raw", "saved_tracks")

    listener = text("Whose library it is.", key=True)
    position = whole_number("Place in the list, newest first, from 1.", key=True, minimum=1)
    snapshot_at = instant("When its first page came: the moment that the rows describe.")
    added_at = instant("When the listener saved it.", nullable=True)
    track_id = text("Spotify id; NULL for local files.", nullable=True)
    track_uri = text("Spotify URI.", nullable=True)
    track_name = text("Name of the track.", nullable=True)
    artist_name = text("Name of the first artist.", nullable=True)
    album_name = text("Name of the album.", nullable=True)


class Playlists(Table):
    """A listener's playlists as GET /me/playlists told them last."""

    layout = Layout("raw", "playlists")

    listener = text("Whose list of playlists it is.", key=True)
    playlist_id = text("Spotify id.", key=True)
    position = whole_number("Place in the list, from 1.", minimum=1)
    snapshot_at = instant("When the list's first page came.")
    playlist_name = text("Name.", nullable=True)
    description = text("Description.", nullable=True)
    spotify_snapshot_id = text("Spotify's version of the playlist: while it stays, its items do.", nullable=True)
    items_snapshot_id = text("The version whose items are in raw.playlist_items.", nullable=True)
    items_total = whole_number("Entries as told.", nullable=True, minimum=0)
    is_own = yes_or_no("The listener owns it.", nullable=True)
    is_collaborative = yes_or_no("Several people may edit it.", nullable=True)
    is_public = yes_or_no("It is public.", nullable=True)
    is_readable = yes_or_no("Its items could be read; NULL until they were asked for.", nullable=True)


class PlaylistItems(Table):
    """The entries of raw.playlists, of the version that was read last."""

    layout = Layout("raw", "playlist_items")

    listener = text("Whose list of playlists it is.", key=True)
    playlist_id = text("The playlist.", key=True)
    position = whole_number("Place in the playlist, from 1.", key=True, minimum=1)
    item_type = text("track, episode, local or unknown (a null entry).")
    item_uri = text("Spotify URI.", nullable=True)
    item_id = text("Spotify id.", nullable=True)
    item_name = text("Name of the track or episode.", nullable=True)
    creator_name = text("First artist, or the show.", nullable=True)
    album_name = text("Album of a track.", nullable=True)
    added_at = instant("When it was added.", nullable=True)
    fetched_at = instant("When it was told.")


class AudioFeatures(Table):
    """Audio features of tracks as providers told them, and which tracks a provider does not know."""

    layout = Layout("raw", "audio_features")

    track_id = text("Spotify id.", key=True)
    source = text("spotify, reccobeats or own.", key=True)
    fetched_at = instant("When it was told last.")
    is_known = yes_or_no("The provider knows the track; one that does not is asked again after 30 days.")
    danceability = number("0 to 1.", nullable=True, minimum=0, maximum=1)
    energy = number("0 to 1.", nullable=True, minimum=0, maximum=1)
    speechiness = number("0 to 1.", nullable=True, minimum=0, maximum=1)
    acousticness = number("0 to 1.", nullable=True, minimum=0, maximum=1)
    instrumentalness = number("0 to 1.", nullable=True, minimum=0, maximum=1)
    liveness = number("0 to 1.", nullable=True, minimum=0, maximum=1)
    valence = number("0 to 1.", nullable=True, minimum=0, maximum=1)
    key = whole_number("Pitch class: 0 is C, -1 none.", nullable=True, minimum=-1, maximum=11)
    mode = whole_number("1 major, 0 minor.", nullable=True, minimum=0, maximum=1)
    loudness = number("Decibels.", nullable=True, minimum=-100, maximum=20)
    tempo = number("Beats per minute; Spotify's 0 for no beat is NULL.", nullable=True, minimum=1, maximum=1_000)
    time_signature = whole_number("Beats in a bar.", nullable=True, minimum=1, maximum=16)
    duration_ms = whole_number(
        "Length as the provider tells it, in milliseconds.", nullable=True, minimum=1, maximum=86_400_000
    )
    isrc = text("As the provider tells it.", nullable=True)


class Genres(Table):
    """Genres of artists as providers told them; a row with an empty genre says that a provider knows none."""

    layout = Layout("raw", "genres")

    source = text("musicbrainz or own; what Spotify tells stands in raw.artists.", key=True)
    artist_name = text("The artist as Spotify names it.", key=True)
    genre = text("The genre; empty where the provider knows none.", key=True)
    votes = whole_number("How many people say so, where the provider counts.", nullable=True)
    asked_by = text("What the provider was asked with: a name, or ISRCs joined by commas.", nullable=True)
    fetched_at = instant("When it was told last.")


class ApiQuota(Table):
    """The quota ledger at the end of the last run: what was asked in each bucket on each day, and what is locked."""

    layout = Layout("raw", "api_quota")

    bucket = text("Endpoints that share a quota, such as artists.", key=True)
    asked_on = day("UTC date.", key=True)
    requests = count("Requests reserved on that day.")
    daily_budget = count("Requests that the settings allow in a day.")
    blocked_until = instant("Until when Spotify refuses the bucket, if it does.", nullable=True)


class RejectedItems(Table):
    """Quarantine: parts of responses that could not be taken in, and why."""

    layout = Layout("raw", "rejected_items")

    response_id = whole_number("raw.api_responses.", key=True)
    position = whole_number("Place in the list of the response, from 1; 0 for the whole.", key=True)
    listener = text("Whose response it is; empty for what was asked without a listener.")
    endpoint = text("raw.api_responses.endpoint.")
    fetched_at = instant("When it came.")
    reason = text("Why it was rejected, for a person.")
    item = text("The part as JSON, without personal fields.", nullable=True)


WRITTEN_AT_EVERY_QUESTION: tuple[type[Table], ...] = (Polls, ApiResponses, ApiQuota, MissingObjects, RejectedItems)
"""Tables that tell of the asking: they change whatever was answered, and a change of them alone is no news."""
