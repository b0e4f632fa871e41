"""Recorded responses of the Web API, written from what is stored: what `spotify-assets replay` takes.

Responses are kept as they came for some months only (`SPOTIFY_ASSETS_API_RESPONSES_DAYS`), the rows read from them for
ever. So what is kept is written as it is, and the rest is told anew from the rows:

- Every look at the last plays is a response again: with the plays that it told first in full, and of those that an
  earlier one had told no more than by what they are recognised: in full a year's looks would take a gigabyte. Where
  there were more entries than plays, one is told again, so that a full page stays full.
- Every telling of a track, album or artist is a response of its own endpoint, at its first and its last instant.
- So are Spotify's rankings, audio features and what Spotify did not know.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from spotify_assets import progress
from spotify_assets.lakehouse.definition import literal
from spotify_assets.own_data.snapshot import Snapshot
from spotify_assets.own_data.tables import of_listener
from spotify_assets.own_data.values import instant
from spotify_assets.schemas import clean, raw_api
from spotify_assets.spotify.model import Endpoint
from spotify_assets.texts import text_hash, to_json

_COMPRESSION = 5
_POLL_PARAMS = '{"limit":50}'
_STATUS_OF = {"unauthorized": 401, "forbidden": 403, "rate_limited": 429, "failed": 503}
"""A status of which raw.polls says the same."""

_OBJECTS = {
    "track": (raw_api.Tracks, Endpoint.TRACK),
    "album": (raw_api.Albums, Endpoint.ALBUM),
    "artist": (raw_api.Artists, Endpoint.ARTIST),
}

_NAMING = (clean.Plays, clean.Tracks, clean.Albums, clean.Artists)
"""Tables that say which objects a listener's plays name."""


def write_responses(snapshot: Snapshot, file: Path, listener: str | None) -> int:
    """Write the responses of everybody, or of one listener, as compressed JSON Lines; returns how many.

    Of what bears no listener (tracks, albums, artists) one listener gets what their plays name.
    """
    if not snapshot.has(raw_api.ApiResponses, raw_api.Polls, raw_api.RecentlyPlayed):
        return 0
    responses = 0
    # Without a time of its own in it the file is the same whenever it is written.
    with (
        file.open("xb") as stored,
        gzip.GzipFile("", "wb", _COMPRESSION, stored, mtime=0) as compressed,
    ):
        for line in _lines(snapshot, listener):
            compressed.write(line.encode() + b"\n")
            responses += 1
            if responses % 1_000 == 0:
                progress.report("Writing responses of Spotify", responses)
    if not responses:
        file.unlink()
    return responses


def _lines(snapshot: Snapshot, listener: str | None) -> Iterator[str]:
    # What is kept as it came stands first: of two lines with one question and instant the first is taken in.
    yield from _kept(snapshot, listener)
    yield from _polls(snapshot, listener)
    images = _images_of_albums(snapshot) if snapshot.has(raw_api.Albums) else {}
    for kind in _OBJECTS:
        yield from _objects(snapshot, kind, images, listener)
    yield from _missing(snapshot, listener)
    yield from _features(snapshot, listener)
    yield from _rankings(snapshot, listener)


def _line(whose: str, endpoint: str, params: str, fetched_at: str, status: int, body: str | None) -> str:
    """As `Response.to_json`, of a body that is text already."""
    told = {"listener": whose, "endpoint": endpoint, "params": json.loads(params)}
    told |= {"fetched_at": fetched_at, "status": status}
    return f'{json.dumps(told, ensure_ascii=False)[:-1]}, "body": {body or "null"}}}'


def _kept(snapshot: Snapshot, listener: str | None) -> Iterator[str]:
    query = f"""
        SELECT kept.listener, kept.endpoint, kept.params, {instant("kept.fetched_at")}, kept.status,
               coalesce(kept.body, holder.body)
        FROM raw.api_responses AS kept LEFT JOIN raw.api_responses AS holder
        ON holder.response_id = kept.same_body_as
        WHERE kept.endpoint <> {literal(Endpoint.RECENTLY_PLAYED)} AND {of_listener(listener, "kept.listener")}
        ORDER BY kept.fetched_at, kept.response_id"""
    for rows in snapshot.stream(query):
        for row in rows:
            yield _line(*row)


# Plays.


@dataclass(frozen=True)
class _Poll:
    """A row of raw.polls, with what is kept of its response."""

    polled_at: datetime
    told_at: str
    outcome: str
    items: int
    oldest: datetime | None
    newest: datetime | None
    params: str | None
    status: int | None


@dataclass(frozen=True)
class _Plays:
    """All plays that the Web API told of a listener, in the order of time: when they ended, when they were told first,
    and by what they are recognised, as JSON.
    """

    played_at: list[datetime]
    told_first_at: list[datetime]
    brief: list[str]

    def known_at(self, poll: _Poll) -> Iterator[int]:
        """Numbers of the plays in the time that a look tells of, as far as they were known by then, newest first."""
        begin = bisect_left(self.played_at, poll.oldest) if poll.oldest else 0
        end = bisect_right(self.played_at, poll.newest) if poll.newest else 0
        for number in range(end - 1, begin - 1, -1):
            if self.told_first_at[number] <= poll.polled_at:
                yield number


def _utc(column: str) -> str:
    return f"{column} AT TIME ZONE 'UTC'"


def _polls(snapshot: Snapshot, listener: str | None) -> Iterator[str]:
    listeners = snapshot.all(
        "SELECT listener FROM raw.polls UNION SELECT listener FROM raw.recently_played ORDER BY listener"
    )
    for (whose,) in listeners:
        if listener in (None, whose):
            yield from _polls_of(snapshot, whose)


def _polls_of(snapshot: Snapshot, whose: str) -> Iterator[str]:
    plays = _plays_of(snapshot, whose)
    told = _told_in_full(snapshot, whose)
    at, in_full = next(told, (None, {}))
    for poll in _polls_stored(snapshot, whose):
        while at is not None and at < poll.polled_at:
            yield _unknown_poll(whose, at, in_full)
            at, in_full = next(told, (None, {}))
        if poll.outcome != "told":
            status = poll.status if poll.status not in (None, 200, 204) else _STATUS_OF.get(poll.outcome, 503)
            body = None
        else:
            status = poll.status or 200
            items = _items(poll, plays, in_full if at == poll.polled_at else {})
            body = None if status != 200 else f'{{"items": [{", ".join(items)}]}}'
        params = poll.params or _POLL_PARAMS
        yield _line(whose, Endpoint.RECENTLY_PLAYED, params, poll.told_at, status, body)
        if at == poll.polled_at and poll.outcome == "told":
            at, in_full = next(told, (None, {}))
    while at is not None:
        yield _unknown_poll(whose, at, in_full)
        at, in_full = next(told, (None, {}))


def _unknown_poll(whose: str, at: datetime, in_full: dict[datetime, list[str]]) -> str:
    """Plays of which no look is known."""
    items = (item for played_at in sorted(in_full, reverse=True) for item in in_full[played_at])
    body = f'{{"items": [{", ".join(items)}]}}'
    # Another question than that of a look at the same instant, or one of the two would be taken for the other.
    return _line(whose, Endpoint.RECENTLY_PLAYED, '{"limit":49}', _text(at), 200, body)


def _text(at: datetime) -> str:
    return f"{at.isoformat(timespec='microseconds')}Z"


def _items(poll: _Poll, plays: _Plays, in_full: dict[datetime, list[str]]) -> list[str]:
    """The entries of a look, as many as there were."""
    left = {played_at: list(items) for played_at, items in in_full.items()}
    entries: list[tuple[datetime, str]] = []
    for number in plays.known_at(poll):
        played_at = plays.played_at[number]
        if plays.told_first_at[number] != poll.polled_at:
            entries.append((played_at, plays.brief[number]))
        elif left.get(played_at):
            entries.append((played_at, left[played_at].pop(0)))
    entries += [(played_at, item) for played_at, items in left.items() for item in items]
    entries.sort(key=lambda entry: entry[0], reverse=True)
    known = {played_at for played_at, _ in entries}
    ends = [] if poll.oldest is None else [poll.oldest]
    ends += [] if poll.newest is None else [poll.newest]
    placed = [f'{{"played_at": "{_text(each)}", "track": null}}' for each in dict.fromkeys(ends) if each not in known]
    if poll.oldest is None and poll.items:
        # An instant that could not be read: without it the oldest one would count as known.
        placed.append('{"played_at": null, "track": null}')
    missing = poll.items - len(entries) - len(placed)
    # Spotify tells a play twice at times; what else there was cannot be known any more.
    filler = next((plays.brief[number] for number in plays.known_at(poll)), '{"track": null}')
    if missing < 0:
        entries = _without_briefest(entries, -missing, plays)
    return [*(item for _, item in entries), *placed, *[filler] * max(missing, 0)]


def _without_briefest(entries: list[tuple[datetime, str]], surplus: int, plays: _Plays) -> list[tuple[datetime, str]]:
    """Leave out entries that another response tells in full, but none at either end."""
    brief = set(plays.brief)
    kept: list[tuple[datetime, str]] = []
    for number, entry in enumerate(entries):
        if surplus and 0 < number < len(entries) - 1 and entry[1] in brief:
            surplus -= 1
        else:
            kept.append(entry)
    return kept


def _plays_of(snapshot: Snapshot, whose: str) -> _Plays:
    plays = _Plays([], [], [])
    query = f"""
        SELECT {_utc("played_at")}, {_utc("fetched_at")}, {instant("played_at")}, track_uri, track_name, artist_name,
               album_name
        FROM raw.recently_played WHERE listener = {literal(whose)} ORDER BY played_at, fetched_at, item_hash"""
    for rows in snapshot.stream(query):
        for played_at, fetched_at, told, uri, name, artist, album in rows:
            names = {"name": name, "artists": [{"name": artist}], "album": {"name": album}}
            plays.played_at.append(played_at)
            plays.told_first_at.append(fetched_at)
            plays.brief.append(to_json({"played_at": told, "track": {"uri": uri} if uri else names}))
    return plays


def _told_in_full(snapshot: Snapshot, whose: str) -> Iterator[tuple[datetime, dict[datetime, list[str]]]]:
    """For each instant at which plays were told first: the plays in full, by when they ended."""
    query = f"""
        SELECT {_utc("fetched_at")}, {_utc("played_at")}, item FROM raw.recently_played
        WHERE listener = {literal(whose)} ORDER BY fetched_at, played_at, item_hash"""
    rows = (row for lot in snapshot.stream(query) for row in lot)
    for fetched_at, of_response in groupby(rows, key=lambda row: row[0]):
        told: dict[datetime, list[str]] = {}
        for _, played_at, item in of_response:
            told.setdefault(played_at, []).append(item)
        yield fetched_at, told


def _polls_stored(snapshot: Snapshot, whose: str) -> Iterator[_Poll]:
    query = f"""
        SELECT {_utc("polled_at")}, {instant("polled_at")}, outcome, items, {_utc("oldest_played_at")},
               {_utc("newest_played_at")}, kept.params, kept.status
        FROM raw.polls LEFT JOIN raw.api_responses AS kept USING (response_id)
        WHERE polls.listener = {literal(whose)} ORDER BY polled_at"""
    for rows in snapshot.stream(query):
        for row in rows:
            yield _Poll(*row)


# Tracks, albums and artists.


def _named_by(listener: str | None, kind: str) -> str:
    """A condition for SQL: objects that the plays of a listener name."""
    if listener is None:
        return "true"
    keys = f"SELECT {kind}_key FROM clean.plays WHERE {of_listener(listener)}"
    ids = f"SELECT {kind}_id FROM clean.{kind}s WHERE {kind}_key IN ({keys})"
    if kind == "track":
        ids += f" UNION ALL SELECT track_id FROM clean.plays WHERE {of_listener(listener)}"
    return f"{kind}_id IN (SELECT * FROM ({ids}) AS named(id) WHERE id IS NOT NULL)"


def _objects(snapshot: Snapshot, kind: str, images: dict[tuple[str, int], str], listener: str | None) -> Iterator[str]:
    table, endpoint = _OBJECTS[kind]
    if not snapshot.has(table) or (listener and not snapshot.has(*_NAMING)):
        return
    query = f"""
        SELECT {kind}_id, {instant("fetched_at")}, CASE WHEN told_at > fetched_at THEN {instant("told_at")} END, object,
               row_number() OVER (PARTITION BY {kind}_id ORDER BY fetched_at, object_hash)
        FROM {table.qualified_name()} WHERE {_named_by(listener, kind)} ORDER BY {kind}_id, fetched_at, object_hash"""
    for rows in snapshot.stream(query):
        for object_id, fetched_at, told_at, object_, number in rows:
            # Several tellings of one id may be of one instant: each is an answer to a question of its own.
            params = to_json({"id": object_id} | ({"telling": number} if number > 1 else {}))
            body = _with_images(object_, images) if kind == "track" else object_
            yield _line("", endpoint, params, fetched_at, 200, body)
            if told_at:
                yield _line("", endpoint, params, told_at, 200, body)


def _images_of_albums(snapshot: Snapshot) -> dict[tuple[str, int], str]:
    """The images of each album as a track tells it, by id and hash of the rest."""
    images: dict[tuple[str, int], str] = {}
    for rows in snapshot.stream(
        "SELECT album_id, object FROM raw.albums WHERE is_simplified ORDER BY album_id, fetched_at, object_hash"
    ):
        for album_id, object_ in rows:
            album = json.loads(object_)
            if "images" in album:
                told = to_json(album.pop("images"))
                images[album_id, text_hash(to_json(album))] = told
    return images


def _with_images(track: str, images: dict[tuple[str, int], str]) -> str:
    """Put back the images of a track's album: stored without them, it would be another telling of the album."""
    told: dict[str, Any] = json.loads(track)
    album = told.get("album")
    if isinstance(album, dict) and isinstance(album.get("id"), str):
        found = images.get((album["id"], text_hash(to_json(album))))
        if found is not None:
            album["images"] = json.loads(found)
            return to_json(told)
    return track


# What no list tells.


def _missing(snapshot: Snapshot, listener: str | None) -> Iterator[str]:
    if listener is None and snapshot.has(raw_api.MissingObjects):
        query = f"SELECT kind, object_id, {instant('fetched_at')}, status FROM raw.missing_objects ORDER BY ALL"
        for kind, object_id, fetched_at, status in snapshot.all(query):
            if kind in _OBJECTS:
                yield _line(
                    "", _OBJECTS[kind][1], to_json({"id": object_id}), fetched_at, 400 if status == 400 else 404, None
                )


def _features(snapshot: Snapshot, listener: str | None) -> Iterator[str]:
    if not snapshot.has(raw_api.AudioFeatures) or (listener and not snapshot.has(*_NAMING)):
        return
    told = [name for name in snapshot.stored_columns(raw_api.AudioFeatures) if name not in ("source", "is_known")]
    fields = ", ".join(f"{literal('id' if name == 'track_id' else name)}: {name}" for name in told if "_at" not in name)
    query = f"""
        SELECT track_id, {instant("fetched_at")}, CASE WHEN is_known THEN to_json({{{fields}}}) ELSE 'null' END
        FROM raw.audio_features WHERE source = 'spotify' AND {_named_by(listener, "track")} ORDER BY track_id"""
    for rows in snapshot.stream(query):
        for track_id, fetched_at, entry in rows:
            body = f'{{"audio_features": [{entry}]}}'
            yield _line("", Endpoint.AUDIO_FEATURES, to_json({"ids": track_id}), fetched_at, 200, body)


def _rankings(snapshot: Snapshot, listener: str | None) -> Iterator[str]:
    # Without type and URI an entry is a place in a ranking, and no telling of a track or an artist.
    names = "'name': track_name, 'artists': [{'name': artist_name}]"
    entries = {
        Endpoint.TOP_ARTISTS: (raw_api.TopArtists, "{'id': artist_id, 'name': artist_name}"),
        Endpoint.TOP_TRACKS: (
            raw_api.TopTracks,
            f"CASE WHEN track_id IS NULL THEN to_json({{'uri': track_uri, {names}}}) "
            f"ELSE to_json({{'id': track_id, {names}}}) END",
        ),
    }
    for endpoint, (table, entry) in entries.items():
        if not snapshot.has(table):
            continue
        query = f"""
            SELECT listener, time_range, {instant("max(fetched_at)")},
                   to_json({{'items': list({entry} ORDER BY rank)}})
            FROM {table.qualified_name()} AS ranking
            WHERE {of_listener(listener)} AND NOT EXISTS (
                FROM raw.api_responses AS kept WHERE kept.endpoint = {literal(endpoint)} AND kept.status = 200
                AND kept.listener = ranking.listener
                AND (kept.fetched_at AT TIME ZONE 'UTC')::DATE = ranking.fetched_on
                AND coalesce(kept.params->>'$.time_range', 'medium_term') = ranking.time_range)
            GROUP BY listener, time_range, fetched_on ORDER BY listener, time_range, fetched_on"""
        for rows in snapshot.stream(query):
            for whose, time_range, fetched_at, body in rows:
                yield _line(whose, endpoint, to_json({"time_range": time_range}), fetched_at, 200, body)
