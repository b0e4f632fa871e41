"""One partition per local day: what each listener heard on it. Only filtered and grouped from clean.plays.

Counts without a prefix are tracks only; podcast episodes, audiobooks and unknown plays have columns of their own.
"""

from __future__ import annotations

from spotify_assets.schemas.table import (
    Layout,
    Table,
    count,
    day,
    instant,
    number,
    text,
    whole_number,
    yes_or_no,
)

_PLAYS = "clean.plays"


def _layout(table: str) -> Layout:
    return Layout("daily", table, day_column="played_on", month_column="played_on")


class Listening(Table):
    """One row for every day of each listener from the first play to today, days without a play included."""

    layout = _layout("listening")

    listener = text("Who listened.", key=True, sources=["clean.days.listener"])
    played_on = day("Local date.", key=True, sources=["clean.days.played_on"])
    plays = count("Plays of tracks.", sources=[f"{_PLAYS}.play_id"])
    streams = count("Plays of tracks of 30 s or more.", sources=[f"{_PLAYS}.is_stream"])
    scrobbles = count("Plays of tracks that count as a scrobble.", sources=[f"{_PLAYS}.is_scrobble"])
    finished = count("Plays of tracks that ran to the end.", sources=[f"{_PLAYS}.is_finished"])
    skips = count("Plays of tracks that were skipped.", sources=[f"{_PLAYS}.is_skip"])
    ms_played = count("Listening time of tracks, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    ms_played_estimated = count(
        "The part of ms_played that is estimated.",
        sources=[f"{_PLAYS}.ms_played", f"{_PLAYS}.is_ms_played_estimated"],
    )
    tracks = count("Different tracks.", sources=[f"{_PLAYS}.track_key"])
    artists = count("Different artists.", sources=[f"{_PLAYS}.artist_key"])
    albums = count("Different albums.", sources=[f"{_PLAYS}.album_key"])
    new_tracks = count("Tracks played for the first time.", sources=[f"{_PLAYS}.is_first_play_of_track"])
    new_artists = count("Artists played for the first time.", sources=[f"{_PLAYS}.is_first_play_of_artist"])
    new_albums = count("Albums played for the first time.", sources=[f"{_PLAYS}.is_first_play_of_album"])
    sessions = count(
        "Sessions that began on this day, of all content types.",
        sources=[f"{_PLAYS}.session_id", f"{_PLAYS}.session_started_on"],
    )
    longest_session_ms = count(
        "Longest of them, ended_at - started_at, in milliseconds.",
        sources=[f"{_PLAYS}.session_id", f"{_PLAYS}.started_at", f"{_PLAYS}.ended_at"],
    )
    shuffle_plays = count("Plays of tracks with shuffle on.", sources=[f"{_PLAYS}.is_shuffle"])
    offline_plays = count("Plays of tracks without a connection.", sources=[f"{_PLAYS}.is_offline"])
    incognito_plays = count("Plays of tracks in a private session.", sources=[f"{_PLAYS}.is_incognito"])
    episode_plays = count("Plays of podcast episodes.", sources=[f"{_PLAYS}.content_type"])
    episode_ms_played = count("Listening time of episodes, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    audiobook_plays = count("Plays of audiobook chapters.", sources=[f"{_PLAYS}.content_type"])
    audiobook_ms_played = count("Listening time of audiobooks, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    unknown_plays = count("Plays without name and URI.", sources=[f"{_PLAYS}.content_type"])
    unknown_ms_played = count("Listening time of unknown plays, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    first_started_at = instant(
        "Start of the day's first play of any content type.", nullable=True, sources=[f"{_PLAYS}.started_at"]
    )
    last_ended_at = instant(
        "End of the day's last play of any content type.", nullable=True, sources=[f"{_PLAYS}.ended_at"]
    )


class Artists(Table):
    """What each listener heard of each artist on a day; a play is credited to the artist that its source names."""

    layout = _layout("artists")

    listener = text("Who listened.", key=True, sources=[f"{_PLAYS}.listener"])
    played_on = day("Local date.", key=True, sources=[f"{_PLAYS}.played_on"])
    artist_key = text("Artist name, case-folded.", key=True, sources=[f"{_PLAYS}.artist_key"])
    artist_name = text("The day's most-played spelling.", nullable=True, sources=[f"{_PLAYS}.artist_name"])
    plays = count("Plays of tracks.", sources=[f"{_PLAYS}.play_id"])
    streams = count("Plays of 30 s or more.", sources=[f"{_PLAYS}.is_stream"])
    skips = count("Plays that were skipped.", sources=[f"{_PLAYS}.is_skip"])
    finished = count("Plays that ran to the end.", sources=[f"{_PLAYS}.is_finished"])
    ms_played = count("Listening time, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    ms_played_estimated = count("The part of ms_played that is estimated.", sources=[f"{_PLAYS}.ms_played"])
    rank_by_plays = whole_number(
        "Place among the listener's artists of the day; equal ranks share the lowest number.", minimum=1
    )
    rank_by_ms_played = whole_number("The same by listening time.", minimum=1)
    is_new = yes_or_no("The artist's first play falls on this day.", sources=[f"{_PLAYS}.is_first_play_of_artist"])


class Albums(Table):
    """What each listener heard of each album on a day."""

    layout = _layout("albums")

    listener = text("Who listened.", key=True, sources=[f"{_PLAYS}.listener"])
    played_on = day("Local date.", key=True, sources=[f"{_PLAYS}.played_on"])
    album_key = text("Artist and album name, case-folded.", key=True, sources=[f"{_PLAYS}.album_key"])
    album_name = text("The day's most-played spelling.", nullable=True, sources=[f"{_PLAYS}.album_name"])
    artist_key = text("Artist name, case-folded.", nullable=True, sources=[f"{_PLAYS}.artist_key"])
    artist_name = text("The day's most-played spelling.", nullable=True, sources=[f"{_PLAYS}.artist_name"])
    plays = count("Plays of tracks.", sources=[f"{_PLAYS}.play_id"])
    streams = count("Plays of 30 s or more.", sources=[f"{_PLAYS}.is_stream"])
    skips = count("Plays that were skipped.", sources=[f"{_PLAYS}.is_skip"])
    finished = count("Plays that ran to the end.", sources=[f"{_PLAYS}.is_finished"])
    ms_played = count("Listening time, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    ms_played_estimated = count("The part of ms_played that is estimated.", sources=[f"{_PLAYS}.ms_played"])
    rank_by_plays = whole_number(
        "Place among the listener's albums of the day; equal ranks share the lowest number.", minimum=1
    )
    rank_by_ms_played = whole_number("The same by listening time.", minimum=1)
    is_new = yes_or_no("The album's first play falls on this day.", sources=[f"{_PLAYS}.is_first_play_of_album"])


class Tracks(Table):
    """What each listener heard of each track on a day."""

    layout = _layout("tracks")

    listener = text("Who listened.", key=True, sources=[f"{_PLAYS}.listener"])
    played_on = day("Local date.", key=True, sources=[f"{_PLAYS}.played_on"])
    track_key = text("Artist and track name, case-folded.", key=True, sources=[f"{_PLAYS}.track_key"])
    track_name = text("The day's most-played spelling.", nullable=True, sources=[f"{_PLAYS}.track_name"])
    artist_key = text("Artist name, case-folded.", nullable=True, sources=[f"{_PLAYS}.artist_key"])
    artist_name = text("The day's most-played spelling.", nullable=True, sources=[f"{_PLAYS}.artist_name"])
    plays = count("Plays of the track.", sources=[f"{_PLAYS}.play_id"])
    streams = count("Plays of 30 s or more.", sources=[f"{_PLAYS}.is_stream"])
    skips = count("Plays that were skipped.", sources=[f"{_PLAYS}.is_skip"])
    finished = count("Plays that ran to the end.", sources=[f"{_PLAYS}.is_finished"])
    ms_played = count("Listening time, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    ms_played_estimated = count("The part of ms_played that is estimated.", sources=[f"{_PLAYS}.ms_played"])
    rank_by_plays = whole_number(
        "Place among the listener's tracks of the day; equal ranks share the lowest number.", minimum=1
    )
    rank_by_ms_played = whole_number("The same by listening time.", minimum=1)
    is_new = yes_or_no("The track's first play falls on this day.", sources=[f"{_PLAYS}.is_first_play_of_track"])


class Hours(Table):
    """What each listener heard in each hour of the clock in which something was played."""

    layout = _layout("hours")

    listener = text("Who listened.", key=True, sources=[f"{_PLAYS}.listener"])
    played_on = day("Local date.", key=True, sources=[f"{_PLAYS}.played_on"])
    hour = whole_number(
        "Local hour of ended_at, 0 to 23; the hour that is repeated when clocks go back is one row.",
        key=True,
        minimum=0,
        maximum=23,
        sources=[f"{_PLAYS}.ended_at_local"],
    )
    plays = count("Plays of tracks.", sources=[f"{_PLAYS}.play_id"])
    streams = count("Plays of tracks of 30 s or more.", sources=[f"{_PLAYS}.is_stream"])
    ms_played = count("Listening time of tracks, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])


class Sessions(Table):
    """Listening sessions of all content types: plays without a break of 30 minutes (a setting), midnight or not."""

    layout = _layout("sessions")

    listener = text("Who listened.", key=True, sources=[f"{_PLAYS}.listener"])
    session_id = whole_number("Hash of listener and start.", key=True, sources=[f"{_PLAYS}.session_id"])
    played_on = day("played_on of the earliest-started play.", sources=[f"{_PLAYS}.session_started_on"])
    started_at = instant("Start of the first play.", sources=[f"{_PLAYS}.started_at"])
    ended_at = instant("Latest end of a play.", sources=[f"{_PLAYS}.ended_at"])
    plays = count("Plays.", sources=[f"{_PLAYS}.play_id"])
    tracks = count("Different tracks.", sources=[f"{_PLAYS}.track_key"])
    ms_played = count("Listening time, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    first_play_id = whole_number("The play that started first.", sources=[f"{_PLAYS}.play_id"])
    last_play_id = whole_number("The play that ended last.", sources=[f"{_PLAYS}.play_id"])


class Completeness(Table):
    """How well each day of each listener is told: by exports, by the Web API alone, or provably not in full."""

    layout = _layout("completeness")

    listener = text("Who listened.", key=True, sources=["clean.days.listener"])
    played_on = day("Local date.", key=True, sources=["clean.days.played_on"])
    plays = count("Plays of tracks; the Web API never tells of others.", sources=[f"{_PLAYS}.play_id"])
    plays_verified = count("Those of them that an export told.", sources=[f"{_PLAYS}.source"])
    share_verified = number(
        "plays_verified / plays; NULL on days without plays of tracks.",
        nullable=True,
        minimum=0,
        sources=[f"{_PLAYS}.source"],
    )
    plays_api_only = count("Those that only the Web API told of.", sources=[f"{_PLAYS}.source"])
    plays_unverified = count(
        "The part of plays_api_only in the time of an export, which ought to tell them too.",
        sources=[f"{_PLAYS}.is_unverified"],
    )
    ms_played = count("Listening time of tracks, in milliseconds.", sources=[f"{_PLAYS}.ms_played"])
    ms_played_estimated = count(
        "The part of ms_played that is estimated.",
        sources=[f"{_PLAYS}.ms_played", f"{_PLAYS}.is_ms_played_estimated"],
    )
    export_coverage = text(
        "How much of the day exports cover: whole, part or none.", sources=["clean.days.export_coverage"]
    )
    polls = count("Looks at the last 50 plays.", sources=["clean.days.polls"])
    polls_failed = count("Those of them that came to nothing.", sources=["clean.days.polls_failed"])
    gaps = count("Provable gaps that reach into the day (clean.coverage).", sources=["clean.days.gaps"])
    gap_ms = count("Their time on the day, in milliseconds.", sources=["clean.days.gap_ms"])
    outages = count("Outages that reach into the day (clean.coverage).", sources=["clean.days.outages"])
    outage_ms = count("Their time on the day, in milliseconds.", sources=["clean.days.outage_ms"])
