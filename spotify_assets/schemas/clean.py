"""What happened: one row per play whatever source told of it, and the catalogue and library around the plays.

Tables of what a person did bear `listener`; catalogue tables describe tracks, albums and artists for everybody in
the home. Daily aggregates belong in `daily`.
"""

from __future__ import annotations

from spotify_assets.schemas.table import (
    Layout,
    Table,
    count,
    day,
    instant,
    local_time,
    number,
    text,
    whole_number,
    yes_or_no,
)

_HISTORY = "raw.streaming_history"
_API = "raw.recently_played"


class Plays(Table):
    """One row for each play, whatever sources told of it."""

    layout = Layout(
        "clean",
        "plays",
        day_column="played_on",
        month_column="played_on",
        sort=("ended_at", "play_id"),
        copied_by_year=True,
    )

    listener = text("Who played it.", key=True, sources=[f"{_HISTORY}.listener"])
    play_id = whole_number(
        "Hash of the winning source row: the same in every rebuild, another when a better source wins.",
        key=True,
        sources=[
            *(f"{_HISTORY}.{name}" for name in ("ts", "ms_played", "uri_hash", "names_hash")),
            *(f"{_API}.{name}" for name in ("played_at", "item_hash")),
        ],
    )
    played_on = day("Local date of ended_at: the day that the play counts for.", sources=[f"{_HISTORY}.ts"])
    started_at = instant(
        "When the play began: ended_at - ms_played, or the offline timestamp; ended_at where ms_played is NULL.",
        sources=[f"{_HISTORY}.ts", f"{_HISTORY}.ms_played", f"{_HISTORY}.offline_timestamp"],
    )
    ended_at = instant(
        "When the play ended; for offline plays the offline timestamp plus ms_played.",
        sources=[
            *(f"{_HISTORY}.{name}" for name in ("ts", "ms_played", "offline_timestamp")),
            f"{_API}.played_at",
        ],
    )
    started_at_local = local_time("started_at on the listener's clock.", sources=[f"{_HISTORY}.ts"])
    ended_at_local = local_time("ended_at on the listener's clock.", sources=[f"{_HISTORY}.ts"])
    ms_played = whole_number(
        "How long it was played, in milliseconds. The Web API does not tell: the time since the play before ended, at "
        "most the track's length; the length alone where plays between are provably missing; NULL where neither is "
        "known.",
        nullable=True,
        minimum=0,
        sources=[f"{_HISTORY}.ms_played", f"{_API}.duration_ms"],
    )
    is_ms_played_estimated = yes_or_no(
        "Only the Web API told of the play, so that ms_played is no more than estimated."
    )
    content_type = text("track, episode, audiobook or unknown (no name and no URI).")
    session_id = whole_number("The listening session, see daily.sessions.")
    session_started_on = day("played_on of the earliest-started play of the session.")
    is_first_play_of_track = yes_or_no(
        "No earlier play of this track_key by this listener; NULL without a key.", nullable=True
    )
    is_first_play_of_artist = yes_or_no("The same for artist_key.", nullable=True)
    is_first_play_of_album = yes_or_no("The same for album_key.", nullable=True)
    track_uri = text("Spotify URI of the track.", nullable=True, sources=[f"{_HISTORY}.track_uri"])
    track_id = text("Spotify id of the track; NULL for local files.", nullable=True, sources=[f"{_HISTORY}.track_id"])
    track_key = text(
        "Artist and track name, case-folded: the same for every release of a track.",
        nullable=True,
        sources=[f"{_HISTORY}.artist_name", f"{_HISTORY}.track_name"],
    )
    track_name = text("Name of the track.", nullable=True, sources=[f"{_HISTORY}.track_name"])
    artist_key = text("Artist name, case-folded.", nullable=True, sources=[f"{_HISTORY}.artist_name"])
    artist_name = text("Name of the artist as the source names it.", nullable=True, sources=[f"{_HISTORY}.artist_name"])
    album_key = text(
        "Artist and album name, case-folded.",
        nullable=True,
        sources=[f"{_HISTORY}.artist_name", f"{_HISTORY}.album_name"],
    )
    album_name = text("Name of the album.", nullable=True, sources=[f"{_HISTORY}.album_name"])
    episode_id = text("Spotify id of the podcast episode.", nullable=True, sources=[f"{_HISTORY}.episode_uri"])
    episode_name = text("Name of the podcast episode.", nullable=True, sources=[f"{_HISTORY}.episode_name"])
    show_name = text("Name of the podcast.", nullable=True, sources=[f"{_HISTORY}.show_name"])
    audiobook_id = text("Spotify id of the audiobook.", nullable=True, sources=[f"{_HISTORY}.audiobook_uri"])
    audiobook_name = text("Title of the audiobook.", nullable=True, sources=[f"{_HISTORY}.audiobook_name"])
    chapter_name = text("Title of the chapter.", nullable=True, sources=[f"{_HISTORY}.chapter_name"])
    reason_start = text("Why the play began.", nullable=True, sources=[f"{_HISTORY}.reason_start"])
    reason_end = text("Why the play ended.", nullable=True, sources=[f"{_HISTORY}.reason_end"])
    platform = text("Device platform as Spotify words it.", nullable=True, sources=[f"{_HISTORY}.platform"])
    country = text("Country of the connection.", nullable=True, sources=[f"{_HISTORY}.conn_country"])
    is_shuffle = yes_or_no("Shuffle was on.", nullable=True, sources=[f"{_HISTORY}.shuffle"])
    is_skip = yes_or_no(
        "`skipped` is true, or reason_end is fwdbtn or backbtn.",
        nullable=True,
        sources=[f"{_HISTORY}.skipped", f"{_HISTORY}.reason_end"],
    )
    is_offline = yes_or_no("Played without a connection.", nullable=True, sources=[f"{_HISTORY}.offline"])
    is_incognito = yes_or_no("Played in a private session.", nullable=True, sources=[f"{_HISTORY}.incognito_mode"])
    is_stream = yes_or_no("ms_played >= 30,000.", nullable=True, sources=[f"{_HISTORY}.ms_played"])
    is_scrobble = yes_or_no(
        "Played for 240 s; or the track is longer than 30 s and was played for half its length or to its end; NULL "
        "where that cannot be told.",
        nullable=True,
        sources=[f"{_HISTORY}.ms_played", f"{_HISTORY}.reason_end"],
    )
    is_finished = yes_or_no("reason_end is trackdone.", nullable=True, sources=[f"{_HISTORY}.reason_end"])
    source = text("Source of the winning row: extended, basic or api.", sources=[f"{_HISTORY}.kind"])
    copies = whole_number("Identical rows of the export that told this play; counts and times take it once.", minimum=1)
    is_unverified = yes_or_no(
        "Only the Web API told of the play although an export covers its time (clean.coverage).",
        sources=[f"{_API}.played_at", "clean.coverage.started_at", "clean.coverage.ended_at"],
    )


class PlaySources(Table):
    """Every accepted source row of a play, exactly once, and why it belongs to that play."""

    layout = Layout(
        "clean",
        "play_sources",
        day_column="played_on",
        month_column="played_on",
        sort=("source_table", "source_row"),
    )

    play_id = whole_number("The play.", sources=["clean.plays.play_id"])
    source_table = text("Table of the source row, such as raw.streaming_history.", key=True)
    source_row = whole_number("row_id in that table.", key=True, sources=[f"{_HISTORY}.row_id", f"{_API}.row_id"])
    rule = text(
        "winner (gives the play its values), copy (identical row of the same export), superseded (says less than the "
        "winner), basic_of_extended (the account data's row of an extended play) or api_of_export (the Web API's row "
        "of a play that an export tells)."
    )
    listener = text("Whose play it is.", sources=["clean.plays.listener"])
    played_on = day("Day of the play.", sources=["clean.plays.played_on"])


class Days(Table):
    """Every day of each listener from the first play to today, and the version of what is known of it."""

    layout = Layout("clean", "days", sort=("listener", "played_on"))

    listener = text("Whose day it is.", key=True)
    played_on = day("Local date.", key=True)
    version = text(
        "Hash over all plays that count for the day or whose session began on it: another version means other rows."
    )
    plays_hash = text("Hash over the plays that count for the day alone; tells which days of clean.plays to rewrite.")
    sources_hash = text("Hash over their source rows; tells which days of clean.play_sources to rewrite.")
    plays = count("Plays that count for the day, of every content type.")
    completeness_version = text(
        "As version, for daily.completeness: hash over the plays that count for the day and over what follows here."
    )
    polls = count("Looks at the last 50 plays on the day.", sources=["raw.polls.polled_at"])
    polls_failed = count("Those of them that came to nothing.", sources=["raw.polls.outcome"])
    gaps = count("Provable gaps that reach into the day.", sources=["clean.coverage.kind"])
    gap_ms = count("Their time on the day, in milliseconds.", sources=["clean.coverage.started_at"])
    outages = count("Outages that reach into the day.", sources=["clean.coverage.kind"])
    outage_ms = count("Their time on the day, in milliseconds.", sources=["clean.coverage.started_at"])
    export_coverage = text(
        "How much of the day exports cover: whole, part (the days of an export's first and last row) or none.",
        sources=["clean.coverage.started_at", "clean.coverage.ended_at"],
    )


class Coverage(Table):
    """From when to when a listener's plays are told by exports, are provably missing, or went unwatched."""

    layout = Layout("clean", "coverage", sort=("listener", "kind", "started_at"))

    listener = text("Whose plays.", key=True)
    kind = text(
        "export: from the first to the last row of an export, overlapping ones joined. gap: plays between may be "
        "missing, because the Web API tells the last 50 only, and no export covers that time. outage: no look at the "
        "last plays succeeded for longer than the setting.",
        key=True,
    )
    started_at = instant(
        "export: ts of its first row. gap: end of the last play told before it. outage: the last success.",
        key=True,
        sources=["raw.imports.first_ts", "raw.polls.newest_played_at", "raw.polls.polled_at"],
    )
    ended_at = instant(
        "export: ts of its last row. gap: end of the first play told after it, or where an export begins. outage: the "
        "next success, or the last failure where none came yet.",
        sources=["raw.imports.last_ts", "raw.polls.oldest_played_at", "raw.polls.polled_at"],
    )


_PLAYS = "clean.plays"
_TRACK, _ALBUM, _ARTIST = "raw.tracks.object", "raw.albums.object", "raw.artists.object"


class Tracks(Table):
    """One row for each track_key that anybody in the home has played; what Spotify tells is of its most-played URI."""

    layout = Layout("clean", "tracks", sort=("track_key",))

    track_key = text("Artist and track name, case-folded.", key=True, sources=[f"{_PLAYS}.track_key"])
    track_name = text("The most-played spelling.", nullable=True, sources=[f"{_PLAYS}.track_name"])
    artist_key = text("Artist name, case-folded.", nullable=True, sources=[f"{_PLAYS}.artist_key"])
    artist_name = text("The most-played spelling.", nullable=True, sources=[f"{_PLAYS}.artist_name"])
    album_key = text("The album it was mostly played from.", nullable=True, sources=[f"{_PLAYS}.album_key"])
    album_name = text("Name of that album.", nullable=True, sources=[f"{_PLAYS}.album_name"])
    track_uri = text("Its most-played URI.", nullable=True, sources=[f"{_PLAYS}.track_uri"])
    track_id = text("Spotify id of that URI.", nullable=True, sources=[f"{_PLAYS}.track_id"])
    length_ms = whole_number(
        "Length: the longest ms_played among its plays that ended with trackdone; NULL without one.",
        nullable=True,
        sources=[f"{_PLAYS}.ms_played", f"{_PLAYS}.reason_end"],
    )
    plays = count("Plays over all listeners of the home.", sources=[f"{_PLAYS}.play_id"])
    ms_played = count("Listening time over all listeners, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    first_played_at = instant("End of the first play.", sources=[f"{_PLAYS}.ended_at"])
    last_played_at = instant("End of the last play.", sources=[f"{_PLAYS}.ended_at"])
    artist_id = text("Spotify id of the first credited artist.", nullable=True, sources=[_TRACK])
    album_id = text("Spotify id of the album that the URI stands on.", nullable=True, sources=[_TRACK])
    duration_ms = whole_number(
        "Length as Spotify tells it, in milliseconds.", nullable=True, minimum=0, sources=[_TRACK]
    )
    isrc = text("International Standard Recording Code.", nullable=True, sources=[_TRACK])
    explicit = yes_or_no("Marked as explicit.", nullable=True, sources=[_TRACK])
    disc_number = whole_number("Disc of the album, from 1.", nullable=True, sources=[_TRACK])
    track_number = whole_number("Place on the disc, from 1.", nullable=True, sources=[_TRACK])
    popularity = whole_number(
        "0 to 100, as told last; apps of the new rules are not told.",
        nullable=True,
        minimum=0,
        maximum=100,
        sources=[_TRACK],
    )
    popularity_on = day("UTC date on which popularity was told.", nullable=True, sources=["raw.tracks.told_at"])
    release_date = text(
        "Release of that album as told: 1999, 1999-05 or 1999-05-04; 0000 is unknown.", nullable=True, sources=[_ALBUM]
    )
    release_date_precision = text("year, month or day.", nullable=True, sources=[_ALBUM])
    spotify_url = text("Link to the track.", nullable=True, sources=[f"{_PLAYS}.track_id"])


class Albums(Table):
    """One row for each album_key that anybody in the home has played, and what Spotify tells of it."""

    layout = Layout("clean", "albums", sort=("album_key",))

    album_key = text("Artist and album name, case-folded.", key=True, sources=[f"{_PLAYS}.album_key"])
    album_name = text("The most-played spelling.", nullable=True, sources=[f"{_PLAYS}.album_name"])
    artist_key = text("Artist name, case-folded.", nullable=True, sources=[f"{_PLAYS}.artist_key"])
    artist_name = text("The most-played spelling.", nullable=True, sources=[f"{_PLAYS}.artist_name"])
    tracks = count("Different track_keys played from it.", sources=[f"{_PLAYS}.track_key"])
    plays = count("Plays over all listeners of the home.", sources=[f"{_PLAYS}.play_id"])
    ms_played = count("Listening time over all listeners, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    first_played_at = instant("End of the first play.", sources=[f"{_PLAYS}.ended_at"])
    last_played_at = instant("End of the last play.", sources=[f"{_PLAYS}.ended_at"])
    album_id = text(
        "Spotify id of the album of this name that most plays were on; of another name where none has it.",
        nullable=True,
        sources=[_TRACK, f"{_PLAYS}.track_id"],
    )
    album_type = text("album, single or compilation.", nullable=True, sources=[_ALBUM])
    release_date = text("As told: 1999, 1999-05 or 1999-05-04; 0000 is unknown.", nullable=True, sources=[_ALBUM])
    release_date_precision = text("year, month or day.", nullable=True, sources=[_ALBUM])
    released_on = day("First day of that year or month, or that day.", nullable=True, sources=[_ALBUM])
    total_tracks = whole_number("Tracks that the album has.", nullable=True, minimum=0, sources=[_ALBUM])
    label = text("Record label; apps of the new rules are not told.", nullable=True, sources=[_ALBUM])
    upc = text("Universal Product Code.", nullable=True, sources=[_ALBUM])
    popularity = whole_number(
        "0 to 100, as told last; apps of the new rules are not told.",
        nullable=True,
        minimum=0,
        maximum=100,
        sources=[_ALBUM],
    )
    popularity_on = day("UTC date on which popularity was told.", nullable=True, sources=["raw.albums.told_at"])
    image_url = text("Address of the widest cover; the picture itself is not kept.", nullable=True, sources=[_ALBUM])
    spotify_url = text("Link to the album.", nullable=True, sources=[_TRACK])


class Artists(Table):
    """One row for each artist_key that anybody in the home has played, and what Spotify tells of the artist."""

    layout = Layout("clean", "artists", sort=("artist_key",))

    artist_key = text("Artist name, case-folded.", key=True, sources=[f"{_PLAYS}.artist_key"])
    artist_name = text("The most-played spelling.", nullable=True, sources=[f"{_PLAYS}.artist_name"])
    tracks = count("Different track_keys played.", sources=[f"{_PLAYS}.track_key"])
    albums = count("Different album_keys played.", sources=[f"{_PLAYS}.album_key"])
    plays = count("Plays over all listeners of the home.", sources=[f"{_PLAYS}.play_id"])
    ms_played = count("Listening time over all listeners, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    first_played_at = instant("End of the first play.", sources=[f"{_PLAYS}.ended_at"])
    last_played_at = instant("End of the last play.", sources=[f"{_PLAYS}.ended_at"])
    artist_id = text(
        "Spotify id: of the artist of this name who is credited on most plays, else of the only one of this name.",
        nullable=True,
        sources=[_TRACK, _ARTIST, f"{_PLAYS}.track_id"],
    )
    popularity = whole_number(
        "0 to 100, as told last; apps of the new rules are not told.",
        nullable=True,
        minimum=0,
        maximum=100,
        sources=[_ARTIST],
    )
    popularity_on = day(
        "UTC date on which popularity and followers were told.", nullable=True, sources=["raw.artists.told_at"]
    )
    followers = whole_number(
        "Followers, as told last; apps of the new rules are not told.", nullable=True, minimum=0, sources=[_ARTIST]
    )
    image_url = text("Address of the widest picture; the picture itself is not kept.", nullable=True, sources=[_ARTIST])
    spotify_url = text("Link to the artist.", nullable=True, sources=[_TRACK, _ARTIST])


class TrackArtists(Table):
    """The credited artists of every track that Spotify told of, in Spotify's order."""

    layout = Layout("clean", "track_artists")

    track_id = text("Spotify id of the track.", key=True, sources=["raw.tracks.track_id"])
    position = whole_number("Place among the credits, from 1.", key=True, minimum=1, sources=[_TRACK])
    track_uri = text("Spotify URI of the track.", sources=["raw.tracks.track_id"])
    artist_id = text("Spotify id of the artist.", nullable=True, sources=[_TRACK])
    artist_key = text("Artist name, case-folded; joins clean.artists.", nullable=True, sources=[_TRACK])
    artist_name = text("Name of the artist.", nullable=True, sources=[_TRACK])


class ArtistGenres(Table):
    """Genres of artists and who says so; an artist of whom nobody knows a genre has no row."""

    layout = Layout("clean", "artist_genres")

    artist_key = text(
        "Artist name, case-folded; joins clean.artists.", key=True, sources=[_ARTIST, "raw.genres.artist_name"]
    )
    genre = text("The genre, case-folded.", key=True, sources=[_ARTIST, "raw.genres.genre"])
    source = text("spotify, musicbrainz or own.", key=True, sources=["raw.genres.source"])
    artist_name = text("Name of the artist.", sources=[_ARTIST, "raw.genres.artist_name"])
    artist_id = text("Spotify id of the artist.", nullable=True, sources=[_ARTIST])
    votes = whole_number(
        "How many people say so, where the source counts.", nullable=True, sources=["raw.genres.votes"]
    )
    fetched_at = instant("When it was told last.", sources=["raw.artists.told_at", "raw.genres.fetched_at"])


_FEATURES = "raw.audio_features"


class TrackFeatures(Table):
    """Audio features of each track, all of one source; NULL is what that source does not tell."""

    layout = Layout("clean", "track_features")

    track_uri = text("Spotify URI.", key=True, sources=[f"{_FEATURES}.track_id"])
    track_id = text("Spotify id.", sources=[f"{_FEATURES}.track_id"])
    danceability = number("0 to 1.", nullable=True, sources=[f"{_FEATURES}.danceability"])
    energy = number("0 to 1.", nullable=True, sources=[f"{_FEATURES}.energy"])
    speechiness = number("0 to 1.", nullable=True, sources=[f"{_FEATURES}.speechiness"])
    acousticness = number("0 to 1.", nullable=True, sources=[f"{_FEATURES}.acousticness"])
    instrumentalness = number("0 to 1.", nullable=True, sources=[f"{_FEATURES}.instrumentalness"])
    liveness = number("0 to 1.", nullable=True, sources=[f"{_FEATURES}.liveness"])
    valence = number("0 to 1.", nullable=True, sources=[f"{_FEATURES}.valence"])
    key = whole_number(
        "Pitch class: 0 is C, -1 none.", nullable=True, minimum=-1, maximum=11, sources=[f"{_FEATURES}.key"]
    )
    mode = whole_number("1 major, 0 minor.", nullable=True, minimum=0, maximum=1, sources=[f"{_FEATURES}.mode"])
    loudness = number("Decibels.", nullable=True, sources=[f"{_FEATURES}.loudness"])
    tempo = number("Beats per minute.", nullable=True, sources=[f"{_FEATURES}.tempo"])
    time_signature = whole_number("Beats in a bar.", nullable=True, sources=[f"{_FEATURES}.time_signature"])
    duration_ms = whole_number(
        "Length as the source tells it, in milliseconds.",
        nullable=True,
        minimum=0,
        sources=[f"{_FEATURES}.duration_ms"],
    )
    source = text(
        "own, spotify or reccobeats: the first of these that knows the track.", sources=[f"{_FEATURES}.source"]
    )
    fetched_at = instant("When it was told last.", sources=[f"{_FEATURES}.fetched_at"])


class Recordings(Table):
    """What was recorded once, however many tracks hold it: one row for each recording that was played or told of."""

    layout = Layout("clean", "recordings")

    recording_id = text(
        "own: and the label in recordings.csv, isrc: and the smallest ISRC, else the smallest URI of its tracks.",
        key=True,
    )
    track_key = text(
        "Artist and title of its most-played track, case-folded.",
        nullable=True,
        sources=[f"{_PLAYS}.track_key", _TRACK],
    )
    track_name = text("Title of its most-played track.", nullable=True, sources=[f"{_PLAYS}.track_name", _TRACK])
    artist_name = text("First artist of that track.", nullable=True, sources=[f"{_PLAYS}.artist_name", _TRACK])
    duration_ms = whole_number(
        "Length of that track, in milliseconds.",
        nullable=True,
        minimum=0,
        sources=["clean.recording_tracks.duration_ms"],
    )
    isrc = text("The ISRC that most plays bear.", nullable=True, sources=["clean.recording_tracks.isrc"])
    isrcs = count("Different ISRCs of its tracks.", sources=["clean.recording_tracks.isrc"])
    conflicting_isrcs = text(
        "All of them, where they are several: Spotify tells of several recordings, names and lengths of one.",
        nullable=True,
        sources=["clean.recording_tracks.isrc"],
    )
    tracks = count("Track URIs that hold it.", sources=["clean.recording_tracks.track_uri"])
    plays = count("Plays over all listeners of the home.", sources=[f"{_PLAYS}.play_id"])
    ms_played = count("Listening time over all listeners, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])


class RecordingTracks(Table):
    """Which recording each track URI holds, by which rule and on what evidence."""

    layout = Layout("clean", "recording_tracks")

    track_uri = text("Spotify URI.", key=True, sources=[f"{_PLAYS}.track_uri", "raw.tracks.track_id"])
    recording_id = text("The recording.", sources=["clean.recordings.recording_id"])
    track_id = text("Spotify id; NULL for local files.", nullable=True, sources=[f"{_PLAYS}.track_id"])
    rule = text(
        "own (recordings.csv says so), isrc (another track of the recording has the same ISRC), names (another has the "
        "same first artist and title and about the same length, and the ISRC of one of them is unknown) or alone."
    )
    evidence = text("The label, the ISRC, or names and length, by which the track belongs there.", nullable=True)
    isrc = text(
        "As Spotify tells it, else as the source of audio features does.",
        nullable=True,
        sources=[_TRACK, f"{_FEATURES}.isrc"],
    )
    duration_ms = whole_number(
        "Length as Spotify tells it, else the longest play that ended with trackdone, in milliseconds.",
        nullable=True,
        minimum=0,
        sources=[_TRACK, f"{_PLAYS}.ms_played"],
    )
    plays = count("Plays over all listeners of the home.", sources=[f"{_PLAYS}.play_id"])


_TOP_ARTISTS, _TOP_TRACKS = "raw.top_artists", "raw.top_tracks"


class TopArtists(Table):
    """A listener's top artists by Spotify's own reckoning, and how they moved since the ranking before."""

    layout = Layout("clean", "top_artists", month_column="fetched_on")

    listener = text("Whose ranking it is.", key=True, sources=[f"{_TOP_ARTISTS}.listener"])
    time_range = text(
        "short_term (about 4 weeks), medium_term (6 months) or long_term (a year).",
        key=True,
        sources=[f"{_TOP_ARTISTS}.time_range"],
    )
    fetched_on = day("UTC date of the ranking.", key=True, sources=[f"{_TOP_ARTISTS}.fetched_on"])
    rank = whole_number("From 1.", key=True, minimum=1, sources=[f"{_TOP_ARTISTS}.rank"])
    artist_id = text("Spotify id.", nullable=True, sources=[f"{_TOP_ARTISTS}.artist_id"])
    artist_key = text(
        "Artist name, case-folded; joins clean.artists.", nullable=True, sources=[f"{_TOP_ARTISTS}.artist_name"]
    )
    artist_name = text("Name.", nullable=True, sources=[f"{_TOP_ARTISTS}.artist_name"])
    previous_rank = whole_number(
        "Rank in the ranking before of the same range.", nullable=True, minimum=1, sources=[f"{_TOP_ARTISTS}.rank"]
    )
    movement = whole_number(
        "Ranks won since then; lost ones are negative.", nullable=True, sources=[f"{_TOP_ARTISTS}.rank"]
    )
    is_new = yes_or_no(
        "The ranking before does not have it; NULL in the first ranking.",
        nullable=True,
        sources=[f"{_TOP_ARTISTS}.artist_id"],
    )
    is_latest = yes_or_no("It stands in the newest ranking of the range.", sources=[f"{_TOP_ARTISTS}.fetched_on"])
    fetched_at = instant("When it was told.", sources=[f"{_TOP_ARTISTS}.fetched_at"])


class TopTracks(Table):
    """A listener's top tracks by Spotify's own reckoning, and how they moved since the ranking before."""

    layout = Layout("clean", "top_tracks", month_column="fetched_on")

    listener = text("Whose ranking it is.", key=True, sources=[f"{_TOP_TRACKS}.listener"])
    time_range = text(
        "short_term (about 4 weeks), medium_term (6 months) or long_term (a year).",
        key=True,
        sources=[f"{_TOP_TRACKS}.time_range"],
    )
    fetched_on = day("UTC date of the ranking.", key=True, sources=[f"{_TOP_TRACKS}.fetched_on"])
    rank = whole_number("From 1.", key=True, minimum=1, sources=[f"{_TOP_TRACKS}.rank"])
    track_uri = text("Spotify URI.", nullable=True, sources=[f"{_TOP_TRACKS}.track_uri"])
    track_id = text("Spotify id; NULL for local files.", nullable=True, sources=[f"{_TOP_TRACKS}.track_id"])
    track_key = text(
        "Artist and track name, case-folded; joins clean.tracks.", nullable=True, sources=[f"{_TOP_TRACKS}.track_name"]
    )
    track_name = text("Name.", nullable=True, sources=[f"{_TOP_TRACKS}.track_name"])
    artist_name = text("Name of the first artist.", nullable=True, sources=[f"{_TOP_TRACKS}.artist_name"])
    previous_rank = whole_number(
        "Rank in the ranking before of the same range.", nullable=True, minimum=1, sources=[f"{_TOP_TRACKS}.rank"]
    )
    movement = whole_number(
        "Ranks won since then; lost ones are negative.", nullable=True, sources=[f"{_TOP_TRACKS}.rank"]
    )
    is_new = yes_or_no(
        "The ranking before does not have it; NULL in the first ranking.",
        nullable=True,
        sources=[f"{_TOP_TRACKS}.track_id"],
    )
    is_latest = yes_or_no("It stands in the newest ranking of the range.", sources=[f"{_TOP_TRACKS}.fetched_on"])
    fetched_at = instant("When it was told.", sources=[f"{_TOP_TRACKS}.fetched_at"])


class ArtistTopAlbums(Table):
    """The first five albums, one for each title, of each of a listener's 50 top artists of the last weeks."""

    layout = Layout("clean", "artist_top_albums")

    listener = text("Whose top artist it is.", key=True, sources=[f"{_TOP_ARTISTS}.listener"])
    artist_id = text("Spotify id of the artist.", key=True, sources=[f"{_TOP_ARTISTS}.artist_id"])
    position = whole_number("In Spotify's order, 1 to 5.", key=True, minimum=1, sources=["raw.artist_albums.position"])
    artist_name = text("Name of the artist.", nullable=True, sources=[f"{_TOP_ARTISTS}.artist_name"])
    artist_rank = whole_number("Rank of the artist.", minimum=1, sources=[f"{_TOP_ARTISTS}.rank"])
    album_id = text("Spotify id of the album.", sources=["raw.artist_albums.album_id"])
    album_name = text("Name of the album.", sources=[_ALBUM])
    release_date = text("As told: 1999, 1999-05 or 1999-05-04; 0000 is unknown.", nullable=True, sources=[_ALBUM])
    release_date_precision = text("year, month or day.", nullable=True, sources=[_ALBUM])
    total_tracks = whole_number("Tracks that the album has.", nullable=True, minimum=0, sources=[_ALBUM])
    fetched_at = instant("When the list was told.", sources=["raw.artist_albums.fetched_at"])


class ArtistTopTracks(Table):
    """Top tracks of each of a listener's 50 top artists of the last weeks, in the United States and the own market."""

    layout = Layout("clean", "artist_top_tracks")

    listener = text("Whose top artist it is.", key=True, sources=[f"{_TOP_ARTISTS}.listener"])
    artist_id = text("Spotify id of the artist.", key=True, sources=[f"{_TOP_ARTISTS}.artist_id"])
    market = text(
        "US, or the listener's in listeners.toml; ISO 3166-1 alpha-2.",
        key=True,
        sources=["raw.artist_top_tracks.market"],
    )
    position = whole_number("From 1.", key=True, minimum=1, sources=["raw.artist_top_tracks.position"])
    artist_name = text("Name of the artist.", nullable=True, sources=[f"{_TOP_ARTISTS}.artist_name"])
    artist_rank = whole_number("Rank of the artist.", minimum=1, sources=[f"{_TOP_ARTISTS}.rank"])
    track_id = text("Spotify id of the track.", sources=["raw.artist_top_tracks.track_id"])
    track_uri = text("Spotify URI of the track.", sources=["raw.artist_top_tracks.track_id"])
    track_name = text("Name of the track.", nullable=True, sources=[_TRACK])
    duration_ms = whole_number("Length, in milliseconds.", nullable=True, minimum=0, sources=[_TRACK])
    duration_text = text("Length as MM:SS, seconds cut.", nullable=True, sources=[_TRACK])
    bpm = number("Beats per minute.", nullable=True, sources=["clean.track_features.tempo"])
    mode_name = text("Major or Minor.", nullable=True, sources=["clean.track_features.mode"])
    is_from_search = yes_or_no(
        "Found by search, because the app may not ask for top tracks.", sources=["raw.artist_top_tracks.is_from_search"]
    )
    fetched_at = instant("When the list was told.", sources=["raw.artist_top_tracks.fetched_at"])


_ITEMS = "raw.library_items"
_SAVED = "raw.saved_tracks"


class SavedTracks(Table):
    """The tracks in each listener's library, as the newer of the newest export and the Web API tells."""

    layout = Layout("clean", "saved_tracks", sort=("listener", "saved_track_number"))

    listener = text("Whose library it is.", key=True, sources=[f"{_ITEMS}.listener", f"{_SAVED}.listener"])
    saved_track_number = whole_number(
        "Place in the export's file, or in Spotify's list (newest first), from 1.",
        key=True,
        sources=["raw.told_rows.row_number", f"{_SAVED}.position"],
    )
    track_uri = text("Spotify URI.", nullable=True, sources=[f"{_ITEMS}.uri", f"{_SAVED}.track_uri"])
    track_id = text("Spotify id.", nullable=True, sources=[f"{_ITEMS}.uri", f"{_SAVED}.track_id"])
    track_key = text(
        "Artist and track name, case-folded; joins clean.tracks.",
        nullable=True,
        sources=[f"{_ITEMS}.item_name", f"{_SAVED}.track_name"],
    )
    track_name = text("Name of the track.", nullable=True, sources=[f"{_ITEMS}.item_name", f"{_SAVED}.track_name"])
    artist_key = text(
        "Artist name, case-folded.", nullable=True, sources=[f"{_ITEMS}.creator_name", f"{_SAVED}.artist_name"]
    )
    artist_name = text(
        "Name of the artist.", nullable=True, sources=[f"{_ITEMS}.creator_name", f"{_SAVED}.artist_name"]
    )
    album_key = text(
        "Artist and album name, case-folded.", nullable=True, sources=[f"{_ITEMS}.album_name", f"{_SAVED}.album_name"]
    )
    album_name = text("Name of the album.", nullable=True, sources=[f"{_ITEMS}.album_name", f"{_SAVED}.album_name"])
    snapshot_at = instant(
        "The moment that the winning list describes.", sources=["raw.imports.snapshot_at", f"{_SAVED}.snapshot_at"]
    )
    added_at = instant(
        "When it was saved; only the Web API tells it, of tracks that it has told of.",
        nullable=True,
        sources=[f"{_SAVED}.added_at"],
    )
    source = text("export or api: whose list is the newer.")


_PLAYLIST_ITEMS = "raw.library_playlist_items"
_API_PLAYLISTS, _API_ITEMS = "raw.playlists", "raw.playlist_items"


class Playlists(Table):
    """Each listener's playlists, as the newer of the newest export and the Web API tells."""

    layout = Layout("clean", "playlists", sort=("listener", "playlist_id"))

    listener = text(
        "Whose playlist it is.", key=True, sources=[f"{_PLAYLIST_ITEMS}.listener", f"{_API_PLAYLISTS}.listener"]
    )
    playlist_id = text(
        "The playlist's name, and a number where a listener has several of that name: exports tell no id.",
        key=True,
        sources=[f"{_PLAYLIST_ITEMS}.playlist_name", f"{_API_PLAYLISTS}.playlist_name"],
    )
    playlist_name = text(
        "Name of the playlist; its Spotify id where it has none.",
        sources=[f"{_PLAYLIST_ITEMS}.playlist_name", f"{_API_PLAYLISTS}.playlist_name"],
    )
    description = text(
        "Its description.",
        nullable=True,
        sources=[f"{_PLAYLIST_ITEMS}.playlist_description", f"{_API_PLAYLISTS}.description"],
    )
    followers = whole_number(
        "Followers; only exports tell them.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.playlist_followers"]
    )
    modified_on = day(
        "Last modified on; only exports tell it.",
        nullable=True,
        sources=[f"{_PLAYLIST_ITEMS}.playlist_modified_on"],
    )
    items = count("Entries in clean.playlist_items.", sources=[f"{_PLAYLIST_ITEMS}.position", f"{_API_ITEMS}.position"])
    snapshot_at = instant(
        "The moment that the winning list of playlists describes.",
        sources=["raw.imports.snapshot_at", f"{_API_PLAYLISTS}.snapshot_at"],
    )
    spotify_playlist_id = text(
        "Spotify id; an export's playlist has the id of the Web API's of the same name.",
        nullable=True,
        sources=[f"{_API_PLAYLISTS}.playlist_id"],
    )
    total_items = whole_number(
        "Entries as the Web API counts them, also where it does not tell which.",
        nullable=True,
        minimum=0,
        sources=[f"{_API_PLAYLISTS}.items_total"],
    )
    is_own = yes_or_no("The listener owns it.", nullable=True, sources=[f"{_API_PLAYLISTS}.is_own"])
    is_collaborative = yes_or_no(
        "Several people may edit it.", nullable=True, sources=[f"{_API_PLAYLISTS}.is_collaborative"]
    )
    is_public = yes_or_no("It is public.", nullable=True, sources=[f"{_API_PLAYLISTS}.is_public"])
    source = text("export or api: whose list of playlists is the newer.")


class PlaylistItems(Table):
    """The entries of clean.playlists, in order, as the newer telling of each playlist has them."""

    layout = Layout("clean", "playlist_items", sort=("listener", "playlist_id", "position"))

    listener = text(
        "Whose playlist it is.", key=True, sources=[f"{_PLAYLIST_ITEMS}.listener", f"{_API_ITEMS}.listener"]
    )
    playlist_id = text(
        "The playlist.",
        key=True,
        sources=[f"{_PLAYLIST_ITEMS}.playlist_name", f"{_API_PLAYLISTS}.playlist_name"],
    )
    position = whole_number(
        "Place in the playlist, from 1.",
        key=True,
        minimum=1,
        sources=[f"{_PLAYLIST_ITEMS}.position", f"{_API_ITEMS}.position"],
    )
    item_type = text(
        "track, episode, audiobook, local or unknown.",
        sources=[f"{_PLAYLIST_ITEMS}.item_type", f"{_API_ITEMS}.item_type"],
    )
    item_uri = text(
        "Spotify URI; older exports tell none.",
        nullable=True,
        sources=[f"{_PLAYLIST_ITEMS}.uri", f"{_API_ITEMS}.item_uri"],
    )
    item_name = text(
        "Name of the track, episode or audiobook.",
        nullable=True,
        sources=[f"{_PLAYLIST_ITEMS}.item_name", f"{_API_ITEMS}.item_name"],
    )
    creator_name = text(
        "Artist, show or author.",
        nullable=True,
        sources=[f"{_PLAYLIST_ITEMS}.creator_name", f"{_API_ITEMS}.creator_name"],
    )
    album_name = text(
        "Album of a track.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.album_name", f"{_API_ITEMS}.album_name"]
    )
    track_key = text(
        "Joins clean.tracks; NULL for other items.",
        nullable=True,
        sources=[f"{_PLAYLIST_ITEMS}.item_name", f"{_API_ITEMS}.item_name"],
    )
    added_on = day(
        "Added on: as an export tells it, or the UTC date of added_at.",
        nullable=True,
        sources=[f"{_PLAYLIST_ITEMS}.added_on", f"{_API_ITEMS}.added_at"],
    )
    added_at = instant(
        "When it was added; only the Web API tells it, of entries that it has told of.",
        nullable=True,
        sources=[f"{_API_ITEMS}.added_at"],
    )
    source = text("export or api: who told the entries of this playlist last.")


class Calendar(Table):
    """One row for each date from the first play of the home to today."""

    layout = Layout("clean", "calendar", sort=("date",))

    date = day("The date; joins played_on.", key=True, sources=["clean.days.played_on"])
    iso_year = whole_number("ISO 8601 week-numbering year.")
    iso_week = whole_number("ISO 8601 week, 1 to 53.", minimum=1, maximum=53)
    year = whole_number("Calendar year.")
    quarter = whole_number("Quarter, 1 to 4.", minimum=1, maximum=4)
    month = whole_number("Month, 1 to 12.", minimum=1, maximum=12)
    month_name = text("English name of the month.")
    day_of_month = whole_number("Day of the month.", minimum=1, maximum=31)
    weekday = whole_number("ISO weekday: 1 Monday to 7 Sunday.", minimum=1, maximum=7)
    weekday_name = text("English name of the weekday.")
    is_weekend = yes_or_no("Saturday or Sunday.")
