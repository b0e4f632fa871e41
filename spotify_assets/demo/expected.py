"""The answers that the tables must give, worked out in plain Python from what really happened.

Nothing here knows how the tables are made: the rules are those of the data dictionary (daily tables count tracks
only where a column has no prefix, a session ends after 30 minutes of silence, ...), things are named by their
names, and rows are dicts with the column names of the tables. Columns that are keys made from names are left
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import itemgetter
from zoneinfo import ZoneInfo

from spotify_assets.demo.exports import WrittenExport
from spotify_assets.demo.listener import TruePlay

Row = dict[str, object]

STREAM_MS = 30_000
SCROBBLE_MS = 240_000
SESSION_GAP_MS = 30 * 60_000


@dataclass(frozen=True, slots=True)
class ExpectedCounts:
    """What must come out when some exports of one listener are imported together, in any order.

    :param plays: distinct plays.
    :param extended_plays: those told by an extended export; the extended row wins.
    :param basic_plays: those told by a basic export only.
    :param copies: sum of `copies` over all plays: of one play, the largest number of rows in any one export
        that
        has the winning kind.
    :param rows: history rows in all the files.
    :param rejected_rows: rows that must stand in the quarantine.
    """

    plays: int
    extended_plays: int
    basic_plays: int
    copies: int
    rows: int
    rejected_rows: int


def expected_copies(exports: Iterable[WrittenExport]) -> dict[int, int]:
    """play_number -> `copies`: the largest count of any one export of the winning kind, never the sum."""
    extended: dict[int, int] = {}
    basic: dict[int, int] = {}
    for export in exports:
        copies = extended if export.kind == "extended" else basic
        for play_number, count in export.copies.items():
            copies[play_number] = max(count, copies.get(play_number, 0))
    return basic | extended


def expected_counts(exports: Sequence[WrittenExport]) -> ExpectedCounts:
    copies = expected_copies(exports)
    extended = {number for export in exports if export.kind == "extended" for number in export.copies}
    return ExpectedCounts(
        plays=len(copies),
        extended_plays=len(extended),
        basic_plays=len(copies) - len(extended),
        copies=sum(copies.values()),
        rows=sum(export.rows for export in exports),
        rejected_rows=sum(len(export.defect_rows) for export in exports),
    )


def expected_rejections(exports: Iterable[WrittenExport]) -> dict[str, int]:
    """reason -> rows that must be rejected for it."""
    reasons: dict[str, int] = {}
    for export in exports:
        for row in export.defect_rows:
            reasons[row.reason] = reasons.get(row.reason, 0) + 1
    return reasons


def expected_plays(plays: Iterable[TruePlay], *, timezone: str, session_gap_ms: int = SESSION_GAP_MS) -> list[Row]:
    """Rows of `clean.plays` for plays told by an extended export, ordered by (ended_at, started_at,
    play_number).

    Columns: play_number, played_on, started_at, ended_at, started_at_local, ended_at_local (without zone),
    ms_played, is_ms_played_estimated, content_type, session (a number from 0), session_started_on,
    is_first_play_of_track, is_first_play_of_artist, is_first_play_of_album, track_uri, track_name,
    artist_name, album_name, episode_name, show_name, audiobook_name, chapter_name, reason_start, reason_end,
    platform, country, is_shuffle, is_skip, is_offline, is_incognito, is_stream, is_scrobble, is_finished,
    source.

    A track is (artist name, track name), an album (artist name, album name); firsts are of tracks only. The
    length of a track is the longest `ms_played` among its plays with reason_end "trackdone". `is_scrobble`
    without a length is None, but False where no length could make it true: at most 15 s, not to the end.
    """
    zone = ZoneInfo(timezone)
    ordered = sorted(plays, key=lambda play: (play.ended_at, play.started_at, play.play_number))
    lengths: dict[tuple[str, str], int] = {}
    for play in ordered:
        if play.track is not None and play.reason_end == "trackdone":
            track = (play.track.album.artist.name, play.track.name)
            lengths[track] = max(play.ms_played, lengths.get(track, 0))

    gap = timedelta(milliseconds=session_gap_ms)
    session = -1
    latest_end = None
    session_rows: list[Row] = []
    seen: set[tuple[str, ...]] = set()
    rows: list[Row] = []
    for play in ordered:
        ended_at_local = play.ended_at.astimezone(zone).replace(tzinfo=None)
        played_on = ended_at_local.date()
        if latest_end is None or play.started_at - latest_end >= gap:
            _close_session(session_rows)
            session += 1
            session_rows = []
            latest_end = play.ended_at
        else:
            latest_end = max(latest_end, play.ended_at)
        track = play.track
        is_first_of_track = is_first_of_artist = is_first_of_album = False
        artist_name = album_name = track_name = None
        length_ms = None
        if track is not None:
            track_name, album_name, artist_name = track.name, track.album.name, track.album.artist.name
            length_ms = lengths.get((artist_name, track_name))
            is_first_of_track = _is_new(seen, "track", artist_name, track_name)
            is_first_of_artist = _is_new(seen, "artist", artist_name)
            is_first_of_album = _is_new(seen, "album", artist_name, album_name)
        row: Row = {
            "play_number": play.play_number,
            "played_on": played_on,
            "started_at": play.started_at,
            "ended_at": play.ended_at,
            "started_at_local": play.started_at.astimezone(zone).replace(tzinfo=None),
            "ended_at_local": ended_at_local,
            "ms_played": play.ms_played,
            "is_ms_played_estimated": False,
            "content_type": play.content_type,
            "session": session,
            "session_started_on": played_on,
            "is_first_play_of_track": is_first_of_track,
            "is_first_play_of_artist": is_first_of_artist,
            "is_first_play_of_album": is_first_of_album,
            "track_uri": None if track is None else track.uri,
            "track_name": track_name,
            "artist_name": artist_name,
            "album_name": album_name,
            "episode_name": None if play.episode is None else play.episode.name,
            "show_name": None if play.episode is None else play.episode.show.name,
            "audiobook_name": None if play.chapter is None else play.chapter.audiobook.name,
            "chapter_name": None if play.chapter is None else play.chapter.name,
            "reason_start": play.reason_start,
            "reason_end": play.reason_end,
            "platform": play.platform,
            "country": play.country,
            "is_shuffle": play.shuffle,
            "is_skip": play.skipped or play.reason_end in ("fwdbtn", "backbtn"),
            "is_offline": play.offline,
            "is_incognito": play.incognito,
            "is_stream": play.ms_played >= STREAM_MS,
            "is_scrobble": is_scrobble(play.ms_played, length_ms, play.reason_end),
            "is_finished": play.reason_end == "trackdone",
            "source": "extended",
        }
        rows.append(row)
        session_rows.append(row)
    _close_session(session_rows)
    return rows


def _is_new(seen: set[tuple[str, ...]], *what: str) -> bool:
    is_new = what not in seen
    seen.add(what)
    return is_new


def _close_session(rows: list[Row]) -> None:
    if rows:
        started_on = min(rows, key=lambda row: (row["started_at"], row["ended_at"]))["played_on"]
        for row in rows:
            row["session_started_on"] = started_on


def is_scrobble(ms_played: int, length_ms: int | None, reason_end: str | None) -> bool | None:
    """True from 240 s on, or of something longer than 30 s: half of it, or its end. None where
    undecidable."""
    if ms_played >= SCROBBLE_MS:
        return True
    if length_ms is not None:
        return length_ms > 30_000 and (2 * ms_played >= length_ms or reason_end == "trackdone")
    if ms_played <= 15_000 and reason_end is not None and reason_end != "trackdone":
        return False
    return None


def expected_listening(rows: Sequence[Row], *, through: date | None = None) -> list[Row]:
    """Rows of `daily.listening` from the rows of `expected_plays`: one for each day from the first play to
    ``through`` (the last play's day when None), zeros included.

    Unprefixed counts, `shuffle_plays`, `offline_plays` and `incognito_plays` are of tracks; sessions,
    `first_started_at` and `last_ended_at` are of all content types. A day without a session has
    `longest_session_ms` 0.
    """
    by_day: dict[date, list[Row]] = {}
    for row in rows:
        by_day.setdefault(row["played_on"], []).append(row)
    session_ms = _session_lengths(rows)
    listening = []
    day = min(by_day, default=None)
    last_day = max(by_day, default=None) if through is None else through
    while day is not None and day <= last_day:
        today = by_day.get(day, [])
        tracks = _tracks(today)
        listening.append(
            {
                "played_on": day,
                "plays": len(tracks),
                "streams": _count(tracks, "is_stream"),
                "scrobbles": _count(tracks, "is_scrobble"),
                "finished": _count(tracks, "is_finished"),
                "skips": _count(tracks, "is_skip"),
                "ms_played": _total_ms(tracks),
                "ms_played_estimated": 0,
                "tracks": len(_distinct(tracks, "artist_name", "track_name")),
                "artists": len(_distinct(tracks, "artist_name")),
                "albums": len(_distinct(tracks, "artist_name", "album_name")),
                "new_tracks": _count(tracks, "is_first_play_of_track"),
                "new_artists": _count(tracks, "is_first_play_of_artist"),
                "new_albums": _count(tracks, "is_first_play_of_album"),
                "sessions": len(session_ms.get(day, [])),
                "longest_session_ms": max(session_ms.get(day, []), default=0),
                "shuffle_plays": _count(tracks, "is_shuffle"),
                "offline_plays": _count(tracks, "is_offline"),
                "incognito_plays": _count(tracks, "is_incognito"),
                **_other_content(today),
                "first_started_at": min((row["started_at"] for row in today), default=None),
                "last_ended_at": max((row["ended_at"] for row in today), default=None),
            }
        )
        day += timedelta(days=1)
    return listening


def _session_lengths(rows: Sequence[Row]) -> dict[date, list[int]]:
    """session_started_on -> milliseconds from the first start to the last end of each of its sessions."""
    days: dict[int, date] = {}
    starts: dict[int, datetime] = {}
    ends: dict[int, datetime] = {}
    for row in rows:
        session, started_at, ended_at = row["session"], row["started_at"], row["ended_at"]
        if session not in days:
            days[session], starts[session], ends[session] = row["session_started_on"], started_at, ended_at
        else:
            starts[session] = min(started_at, starts[session])
            ends[session] = max(ended_at, ends[session])
    lengths: dict[date, list[int]] = {}
    for session, day in days.items():
        length_ms = (ends[session] - starts[session]) // timedelta(milliseconds=1)
        lengths.setdefault(day, []).append(length_ms)
    return lengths


def _other_content(rows: Sequence[Row]) -> Row:
    counts: Row = {}
    for content_type in ("episode", "audiobook", "unknown"):
        these = [row for row in rows if row["content_type"] == content_type]
        counts[f"{content_type}_plays"] = len(these)
        counts[f"{content_type}_ms_played"] = _total_ms(these)
    return counts


def expected_artists(rows: Sequence[Row]) -> list[Row]:
    """Rows of `daily.artists`, ordered by day and name."""
    return _ranked(rows, ("artist_name",), "is_first_play_of_artist")


def expected_albums(rows: Sequence[Row]) -> list[Row]:
    """Rows of `daily.albums`, ordered by day and names."""
    return _ranked(rows, ("album_name", "artist_name"), "is_first_play_of_album")


def expected_tracks(rows: Sequence[Row]) -> list[Row]:
    """Rows of `daily.tracks`, ordered by day and names."""
    return _ranked(rows, ("track_name", "artist_name"), "is_first_play_of_track")


def _ranked(rows: Sequence[Row], names: tuple[str, ...], first_flag: str) -> list[Row]:
    key_of = itemgetter("played_on", *names)
    totals: dict[tuple[object, ...], list[int]] = {}
    for row in _tracks(rows):
        key = key_of(row)
        total = totals.get(key)
        if total is None:
            total = totals[key] = [0, 0, 0, 0, 0, 0]
        total[0] += 1
        total[1] += row["is_stream"]
        total[2] += row["is_skip"]
        total[3] += row["is_finished"]
        total[4] += row["ms_played"]
        total[5] += row[first_flag]
    days: dict[object, list[Row]] = {}
    for key in sorted(totals):
        plays, streams, skips, finished, ms_played, firsts = totals[key]
        days.setdefault(key[0], []).append(
            {
                "played_on": key[0],
                **dict(zip(names, key[1:], strict=True)),
                "plays": plays,
                "streams": streams,
                "skips": skips,
                "finished": finished,
                "ms_played": ms_played,
                "ms_played_estimated": 0,
                "rank_by_plays": 0,
                "rank_by_ms_played": 0,
                "is_new": firsts > 0,
            }
        )
    for today in days.values():
        for measure in ("plays", "ms_played"):
            values = sorted((row[measure] for row in today), reverse=True)
            # Equal values share the lowest rank; filling from the back leaves the first place of each value.
            ranks = {value: len(values) - place for place, value in enumerate(reversed(values))}
            for row in today:
                row[f"rank_by_{measure}"] = ranks[row[measure]]
    return [row for today in days.values() for row in today]


def expected_hours(rows: Sequence[Row]) -> list[Row]:
    """Rows of `daily.hours` (tracks only), ordered by day and hour.

    A repeated hour of a clock change is one row.
    """
    groups: dict[tuple[date, int], list[Row]] = {}
    for row in rows:
        if row["content_type"] == "track":
            groups.setdefault((row["played_on"], row["ended_at_local"].hour), []).append(row)
    return [
        {
            "played_on": played_on,
            "hour": hour,
            "plays": len(these),
            "streams": _count(these, "is_stream"),
            "ms_played": _total_ms(these),
        }
        for (played_on, hour), these in sorted(groups.items())
    ]


def expected_sessions(rows: Sequence[Row]) -> list[Row]:
    """Rows of `daily.sessions` (all content types) in order of time.

    The columns of the table but for `session_id`, which is the number of `expected_plays`, here `session`;
    `first_play_number` and `last_play_number` stand for the play ids. `tracks` counts distinct tracks.
    """
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["session"], []).append(row)
    sessions = []
    for session, these in groups.items():
        first = min(these, key=_by_start)
        last = max(these, key=_by_end)
        sessions.append(
            {
                "session": session,
                "played_on": first["played_on"],
                "started_at": first["started_at"],
                "ended_at": last["ended_at"],
                "plays": len(these),
                "tracks": len(_distinct(_tracks(these), "artist_name", "track_name")),
                "ms_played": _total_ms(these),
                "first_play_number": first["play_number"],
                "last_play_number": last["play_number"],
            }
        )
    return sessions


def _by_start(row: Row) -> tuple[object, ...]:
    return (row["started_at"], row["ended_at"], row["play_number"])


def _by_end(row: Row) -> tuple[object, ...]:
    return (row["ended_at"], row["started_at"], row["play_number"])


def _tracks(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["content_type"] == "track"]


def _distinct(rows: Iterable[Row], *names: str) -> set[tuple[object, ...]]:
    return set(map(itemgetter(*names), rows))


def _count(rows: Iterable[Row], flag: str) -> int:
    return [row[flag] for row in rows].count(True)


def _total_ms(rows: Iterable[Row]) -> int:
    return sum([row["ms_played"] for row in rows])
