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
    text,
    whole_number,
    yes_or_no,
)

_HISTORY = "raw.streaming_history"
_API = "raw.recently_played"


class Plays(Table):
    """One row for each play, whatever sources told of it."""

    layout = Layout("clean", "plays", day_column="played_on", month_column="played_on", sort=("ended_at", "play_id"))

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


class Tracks(Table):
    """One row for each track_key that anybody in the home has played."""

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


class Albums(Table):
    """One row for each album_key that anybody in the home has played."""

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


class Artists(Table):
    """One row for each artist_key that anybody in the home has played."""

    layout = Layout("clean", "artists", sort=("artist_key",))

    artist_key = text("Artist name, case-folded.", key=True, sources=[f"{_PLAYS}.artist_key"])
    artist_name = text("The most-played spelling.", nullable=True, sources=[f"{_PLAYS}.artist_name"])
    tracks = count("Different track_keys played.", sources=[f"{_PLAYS}.track_key"])
    albums = count("Different album_keys played.", sources=[f"{_PLAYS}.album_key"])
    plays = count("Plays over all listeners of the home.", sources=[f"{_PLAYS}.play_id"])
    ms_played = count("Listening time over all listeners, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    first_played_at = instant("End of the first play.", sources=[f"{_PLAYS}.ended_at"])
    last_played_at = instant("End of the last play.", sources=[f"{_PLAYS}.ended_at"])


_ITEMS = "raw.library_items"


class SavedTracks(Table):
    """The tracks in each listener's library, as the newest export of it tells."""

    layout = Layout("clean", "saved_tracks", sort=("listener", "saved_track_number"))

    listener = text("Whose library it is.", key=True, sources=[f"{_ITEMS}.listener"])
    saved_track_number = whole_number("Position in the file, from 1.", key=True, sources=["raw.told_rows.row_number"])
    track_uri = text("Spotify URI.", nullable=True, sources=[f"{_ITEMS}.uri"])
    track_id = text("Spotify id.", nullable=True, sources=[f"{_ITEMS}.uri"])
    track_key = text(
        "Artist and track name, case-folded; joins clean.tracks.",
        nullable=True,
        sources=[f"{_ITEMS}.item_name"],
    )
    track_name = text("Name of the track.", nullable=True, sources=[f"{_ITEMS}.item_name"])
    artist_key = text("Artist name, case-folded.", nullable=True, sources=[f"{_ITEMS}.creator_name"])
    artist_name = text("Name of the artist.", nullable=True, sources=[f"{_ITEMS}.creator_name"])
    album_key = text("Artist and album name, case-folded.", nullable=True, sources=[f"{_ITEMS}.album_name"])
    album_name = text("Name of the album.", nullable=True, sources=[f"{_ITEMS}.album_name"])
    snapshot_at = instant("The moment that the export describes.", sources=["raw.imports.snapshot_at"])


_PLAYLIST_ITEMS = "raw.library_playlist_items"


class Playlists(Table):
    """Each listener's playlists, as the newest export of them tells."""

    layout = Layout("clean", "playlists", sort=("listener", "playlist_id"))

    listener = text("Whose playlist it is.", key=True, sources=[f"{_PLAYLIST_ITEMS}.listener"])
    playlist_id = text(
        "The playlist's name, and a number where a listener has several of that name: exports tell no id.",
        key=True,
        sources=[f"{_PLAYLIST_ITEMS}.playlist_name"],
    )
    playlist_name = text("Name of the playlist.", sources=[f"{_PLAYLIST_ITEMS}.playlist_name"])
    description = text("Its description.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.playlist_description"])
    followers = whole_number("Followers.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.playlist_followers"])
    modified_on = day("Last modified on.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.playlist_modified_on"])
    items = count("Entries.", sources=[f"{_PLAYLIST_ITEMS}.position"])
    snapshot_at = instant("The moment that the export describes.", sources=["raw.imports.snapshot_at"])


class PlaylistItems(Table):
    """The entries of clean.playlists, in order."""

    layout = Layout("clean", "playlist_items", sort=("listener", "playlist_id", "position"))

    listener = text("Whose playlist it is.", key=True, sources=[f"{_PLAYLIST_ITEMS}.listener"])
    playlist_id = text("The playlist.", key=True, sources=[f"{_PLAYLIST_ITEMS}.playlist_name"])
    position = whole_number(
        "Place in the playlist, from 1.", key=True, minimum=1, sources=[f"{_PLAYLIST_ITEMS}.position"]
    )
    item_type = text("track, episode, audiobook, local or unknown.", sources=[f"{_PLAYLIST_ITEMS}.item_type"])
    item_uri = text("Spotify URI; older exports tell none.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.uri"])
    item_name = text(
        "Name of the track, episode or audiobook.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.item_name"]
    )
    creator_name = text("Artist, show or author.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.creator_name"])
    album_name = text("Album of a track.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.album_name"])
    track_key = text(
        "Joins clean.tracks; NULL for other items.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.item_name"]
    )
    added_on = day("Added on.", nullable=True, sources=[f"{_PLAYLIST_ITEMS}.added_on"])


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
