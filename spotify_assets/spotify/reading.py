"""What a response tells: rows of raw tables, and what could not be read, with a reason for a person.

Pure functions; any JSON whatever may be given. What the rows of several responses make together (pages of a list,
plays that were told twice) is decided where they are stored. The payloads are those of
https://developer.spotify.com/documentation/web-api, with what its documentation leaves out: fields that an app may not
see are absent, and nearly everything may be null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from spotify_assets.schemas.raw_api import AudioFeatures
from spotify_assets.spotify.model import Endpoint, Response
from spotify_assets.texts import text_hash, to_json

MOST_PLAYS = 50
"""https://developer.spotify.com/documentation/web-api/reference/get-recently-played: no more are ever told."""

ASKED_FOR_WITHOUT_LIMIT = 20
_OLDEST = datetime(2006, 1, 1, tzinfo=UTC)
_LARGEST_EXACT = 2**53

_KINDS = ("track", "album", "artist")
_VOLATILE_OF_A_TRACK = ("available_markets",)
_LEFT_OUT_OF_ITS_ALBUM = ("available_markets", "images")
_LEFT_OUT_OF_AN_ALBUM = ("available_markets", "tracks")
_ONLY_IN_FULL = {
    "track": {"external_ids"},
    "album": {"external_ids", "label", "tracks"},
    "artist": {"followers", "genres", "images", "popularity"},
}

Row = dict[str, Any]


class Odd(ValueError):
    """A part of a response cannot be taken in; the text says why, to follow a colon."""


@dataclass(frozen=True)
class Rejected:
    """A part that could not be taken in: its place in the list, from 1 (0: the whole), why, and the part."""

    position: int
    reason: str
    part: Any


@dataclass(frozen=True)
class Told:
    """An object (track, album or artist) as it was told.

    Attributes:
        kind: track, album or artist.
        object_id: Spotify id under which it was told, or asked for.
        is_simplified: Told as a part of something else, without what only its own endpoint tells.
        json: The object.
    """

    kind: str
    object_id: str
    is_simplified: bool
    json: str


@dataclass
class Reading:
    """What one response tells.

    Attributes:
        items: Entries of its list; 1 for a single object, and for a body that is something else. Each is told or
            rejected.
        told: How many of them were taken in.
        rejected: The others; and at position 0 the whole body, where it is not what the endpoint answers with.
        rows: Rows of the endpoint's own table, without listener and response; `position` (or `rank`) where it has one.
        objects: Every track, album and artist in it.
        missing: Kind and id of what was asked for and is not known.
        instants: When the plays were, of recently played ones; as many as could be read, rejected ones too.
    """

    items: int = 0
    told: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    objects: list[Told] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    instants: list[datetime] = field(default_factory=list)


def read(response: Response) -> Reading:
    """Read a response whose body has no personal fields any more."""
    reading = Reading()
    reading.objects = list(_objects(response.body))
    reader = _READERS.get(response.endpoint)
    if response.status == 200 and reader is not None:
        try:
            reader(response, reading)
        except Odd as odd:
            reading.items += 1
            reason = f"The body is not what {response.endpoint} answers with: {odd}."
            reading.rejected.append(Rejected(0, reason, response.body))
    elif response.status == 404 or (response.status == 400 and response.endpoint in _BY_ID):
        reading.missing = list(_unknown_to_spotify(response))
    return reading


def _unknown_to_spotify(response: Response) -> Iterator[tuple[str, str]]:
    """Of a request for one object that Spotify does not know, or whose id it finds impossible."""
    if (kind := _SINGLE.get(response.endpoint)) and (object_id := text_of(response.params.get("id"))):
        yield kind, object_id
    if (kind := _BATCHES.get(response.endpoint)) and len(asked := _asked_ids(response)) == 1:
        yield kind, asked[0]


def owned_playlists(response: Response, own_ids: frozenset[str]) -> dict[str, bool]:
    """Which of the playlists in a response belong to the listener whose ids are given; before personal fields go."""
    if response.endpoint != Endpoint.PLAYLISTS or not own_ids or not isinstance(response.body, dict):
        return {}
    entries = response.body.get("items")
    owned: dict[str, bool] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("owner"), dict):
            _, playlist_id = _uri_and_id(entry, "playlist")
            if playlist_id and (owner := text_of(entry["owner"].get("id"))):
                owned[playlist_id] = owner in own_ids
    return owned


def own_ids(response: Response) -> frozenset[str]:
    """The ids under which Spotify knows the listener, as GET /me tells them; before personal fields go."""
    if response.endpoint != Endpoint.ME or not isinstance(response.body, dict):
        return frozenset()
    return frozenset(filter(None, (text_of(response.body.get(name)) for name in ("id", "account_id"))))


@dataclass(frozen=True)
class PageOf:
    """Where a page stands in its list.

    Attributes:
        offset: Entries before it.
        limit: Entries that it could hold.
        total: Entries of the whole list as told, None where it is not.
        is_last: Nothing comes after it.
    """

    offset: int
    limit: int
    total: int | None
    is_last: bool


def page_of(params: Mapping[str, Any], body: Any) -> PageOf | None:
    """Where a page stands; None when the body is no page.

    >>> page_of({"limit": 50, "offset": 50}, {"items": [], "total": 60, "next": None})
    PageOf(offset=50, limit=50, total=60, is_last=True)
    """
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        return None
    offset = _offset(params, body)
    entries = len(body["items"])
    limit = whole_of(body.get("limit")) or _number_in(params.get("limit")) or entries or ASKED_FOR_WITHOUT_LIMIT
    total = whole_of(body.get("total"))
    limit = max(limit, entries)
    # Totals count entries that are never told; `next` knows where the list ends.
    is_end = not body["next"] if "next" in body else total is None or offset + limit >= total
    return PageOf(offset, limit, total, is_last=is_end or entries == 0)


def offset_asked(params: Mapping[str, Any]) -> int | None:
    """The offset that was asked for; None where none was."""
    return _number_in(params.get("offset"))


# Values: what is not of the kind that it should be counts as not told.


def text_of(value: Any) -> str | None:
    """A text that says something, else None."""
    return value if isinstance(value, str) and value.strip() else None


def whole_of(value: Any) -> int | None:
    """A whole number that is not negative, else None."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < _LARGEST_EXACT else None


def instant_of(value: Any) -> datetime | None:
    """An instant as Spotify writes it, with or without fractions of a second, else None.

    >>> instant_of("2025-03-01T12:30:05Z")
    datetime.datetime(2025, 3, 1, 12, 30, 5, tzinfo=datetime.timezone.utc)
    """
    if not isinstance(value, str) or len(value) <= len("2025-03-01"):
        return None
    try:
        told = datetime.fromisoformat(value)
        return (told.replace(tzinfo=UTC) if told.tzinfo is None else told).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _yes_or_no(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _number_of(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number_in(value: Any) -> int | None:
    """A number of the query, which recorded responses may hold as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return whole_of(value)


def _offset(params: Mapping[str, Any], body: Any) -> int:
    if (asked := offset_asked(params)) is not None:
        return asked
    return (whole_of(body.get("offset")) if isinstance(body, dict) else None) or 0


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Odd(f"{what} is {_kind_of(value)}")
    return value


def _kind_of(value: Any) -> str:
    kinds = {type(None): "null", bool: "a yes or no", int: "a number", float: "a number", str: "a text"}
    return kinds.get(type(value), "a list" if isinstance(value, list) else "an object")


def _list_in(body: Any, *path: str) -> list[Any]:
    value = body
    for name in path:
        value = _object(value, "the body" if value is body else "a part of it").get(name)
    if not isinstance(value, list):
        raise Odd(f"`{'.'.join(path)}` is {_kind_of(value)} where a list should be")
    return value


def _first_name(values: Any) -> str | None:
    """The name of the first object of a list."""
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return text_of(values[0].get("name"))
    return None


def _take_each(reading: Reading, entries: list[Any], row_of: Callable[[int, Any], Row | None]) -> None:
    """Make a row of each entry, or reject it."""
    reading.items += len(entries)
    for position, entry in enumerate(entries, 1):
        try:
            row = row_of(position, entry)
        except Odd as odd:
            reading.rejected.append(Rejected(position, _sentence(str(odd)), entry))
        else:
            reading.told += 1
            if row is not None:
                reading.rows.append(row)


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:] + "."


# Tracks wherever they are told of.


@dataclass(frozen=True)
class _Track:
    """What a track object says of itself, as far as it does."""

    uri: str | None
    track_id: str | None
    name: str | None
    artist_name: str | None
    album_name: str | None
    album_artist_name: str | None
    duration_ms: int | None
    isrc: str | None

    @property
    def identity(self) -> str:
        return self.uri or "\0".join((self.artist_name or "", self.name or "", self.album_name or ""))


def _track(value: Any) -> _Track:
    """Read a track object.

    Raises:
        Odd: It tells of no track.
    """
    told = _object(value, "the track")
    uri, track_id = _uri_and_id(told, "track")
    if told.get("type") == "episode" or (uri or "").startswith("spotify:episode:"):
        raise Odd("it is a podcast episode, not a track")
    name = text_of(told.get("name"))
    if uri is None and name is None:
        raise Odd("the track has neither a URI nor a name")
    album = told.get("album") if isinstance(told.get("album"), dict) else {}
    codes = told.get("external_ids") if isinstance(told.get("external_ids"), dict) else {}
    return _Track(
        uri,
        track_id,
        name,
        _first_name(told.get("artists")),
        text_of(album.get("name")),
        _first_name(album.get("artists")),
        whole_of(told.get("duration_ms")),
        text_of(codes.get("isrc")),
    )


def _uri_and_id(told: Mapping[str, Any], kind: str) -> tuple[str | None, str | None]:
    """URI and id of an object; one is made from the other where only one is told. Local files have no id."""
    uri, object_id = text_of(told.get("uri")), text_of(told.get("id"))
    if told.get("is_local") is True or (uri or "").startswith("spotify:local:"):
        return uri, None
    prefix = f"spotify:{kind}:"
    if uri is None and object_id is not None:
        uri = prefix + object_id
    if object_id is None and uri is not None and uri.startswith(prefix):
        object_id = uri.removeprefix(prefix) or None
    return uri, object_id


# The endpoints.


def _recently_played(response: Response, reading: Reading) -> None:
    latest = response.fetched_at + timedelta(days=1)

    def row_of(position: int, entry: Any) -> Row:
        told = _object(entry, "the play")
        played_at = instant_of(told.get("played_at"))
        if played_at is None:
            raise Odd("`played_at` is no instant")
        if not _OLDEST <= played_at <= latest:
            raise Odd("`played_at` lies before Spotify began, or after the response came")
        reading.instants.append(played_at)
        track = _track(told.get("track"))
        context = told.get("context") if isinstance(told.get("context"), dict) else {}
        return {
            "played_at": played_at,
            "item_hash": text_hash(track.identity),
            "track_uri": track.uri,
            "track_id": track.track_id,
            "track_name": track.name,
            "artist_name": track.artist_name,
            "album_name": track.album_name,
            "album_artist_name": track.album_artist_name,
            "duration_ms": track.duration_ms,
            "isrc": track.isrc,
            "context_type": text_of(context.get("type")),
            "context_uri": text_of(context.get("uri")),
            "item": to_json(told),
        }

    _take_each(reading, _list_in(response.body, "items"), row_of)


def _top_artists(response: Response, reading: Reading) -> None:
    offset = _offset(response.params, response.body)

    def row_of(position: int, entry: Any) -> Row:
        told = _object(entry, "the artist")
        _, artist_id = _uri_and_id(told, "artist")
        name = text_of(told.get("name"))
        if artist_id is None and name is None:
            raise Odd("the artist has neither an id nor a name")
        return {"rank": offset + position, "artist_id": artist_id, "artist_name": name}

    _take_each(reading, _list_in(response.body, "items"), row_of)


def _top_tracks(response: Response, reading: Reading) -> None:
    offset = _offset(response.params, response.body)

    def row_of(position: int, entry: Any) -> Row:
        track = _track(entry)
        return {
            "rank": offset + position,
            "track_id": track.track_id,
            "track_uri": track.uri,
            "track_name": track.name,
            "artist_name": track.artist_name,
        }

    _take_each(reading, _list_in(response.body, "items"), row_of)


def _saved_tracks(response: Response, reading: Reading) -> None:
    offset = _offset(response.params, response.body)

    def row_of(position: int, entry: Any) -> Row:
        told = _object(entry, "the entry")
        track = _track(told.get("item", told.get("track")))
        return {
            "position": offset + position,
            "added_at": _added_at(told),
            "track_id": track.track_id,
            "track_uri": track.uri,
            "track_name": track.name,
            "artist_name": track.artist_name,
            "album_name": track.album_name,
        }

    _take_each(reading, _list_in(response.body, "items"), row_of)


def _added_at(told: Mapping[str, Any]) -> datetime | None:
    # Playlists that are older than the field tell 1970-01-01T00:00:00Z.
    added_at = instant_of(told.get("added_at"))
    return added_at if added_at is not None and added_at >= _OLDEST else None


def _playlists(response: Response, reading: Reading) -> None:
    offset = _offset(response.params, response.body)

    def row_of(position: int, entry: Any) -> Row:
        told = _object(entry, "the playlist")
        _, playlist_id = _uri_and_id(told, "playlist")
        if playlist_id is None:
            raise Odd("the playlist has no id")
        summary = next((told[name] for name in ("items", "tracks") if isinstance(told.get(name), dict)), {})
        return {
            "position": offset + position,
            "playlist_id": playlist_id,
            "playlist_name": text_of(told.get("name")),
            "description": text_of(told.get("description")),
            "spotify_snapshot_id": text_of(told.get("snapshot_id")),
            "items_total": whole_of(summary.get("total")),
            "is_collaborative": _yes_or_no(told.get("collaborative")),
            "is_public": _yes_or_no(told.get("public")),
        }

    _take_each(reading, _list_in(response.body, "items"), row_of)


def _playlist_items(response: Response, reading: Reading) -> None:
    offset = _offset(response.params, response.body)
    if text_of(response.params.get("id")) is None:
        raise Odd("its params do not say of which playlist (`id`)")

    def row_of(position: int, entry: Any) -> Row:
        told = {} if entry is None else _object(entry, "the entry")
        item_type, item = _playlist_item(told)
        kind = "episode" if item_type == "episode" else "track"
        uri, item_id = _uri_and_id(item, kind)
        album, show = (item.get(name) if isinstance(item.get(name), dict) else {} for name in ("album", "show"))
        creator = text_of(show.get("name")) if item_type == "episode" else _first_name(item.get("artists"))
        return {
            "position": offset + position,
            "item_type": item_type,
            "item_uri": uri,
            "item_id": item_id,
            "item_name": text_of(item.get("name")),
            "creator_name": creator,
            "album_name": text_of(album.get("name")),
            "added_at": _added_at(told),
        }

    _take_each(reading, _list_in(response.body, "items"), row_of)


def _playlist_item(told: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Type and object of an entry. Entries used to wrap `track`, now `item`; some payloads carry both."""
    given = [told[name] for name in ("item", "track") if told.get(name) is not None]
    if not given:
        return "unknown", {}
    item = next((each for each in given if isinstance(each, dict)), None)
    if item is None:
        raise Odd(f"the entry holds {_kind_of(given[0])} where a track or an episode should be")
    uri = text_of(item.get("uri")) or ""
    if told.get("is_local") is True or item.get("is_local") is True or uri.startswith("spotify:local:"):
        return "local", {**item, "is_local": True}
    if item.get("type") == "episode" or uri.startswith("spotify:episode:"):
        return "episode", item
    if text_of(item.get("id")) is None and not uri and text_of(item.get("name")) is None:
        return "unknown", {}
    return "track", item


def _artist_albums(response: Response, reading: Reading) -> None:
    offset = _offset(response.params, response.body)
    if text_of(response.params.get("id")) is None:
        raise Odd("its params do not say of which artist (`id`)")

    def row_of(position: int, entry: Any) -> Row:
        _, album_id = _uri_and_id(_object(entry, "the album"), "album")
        if album_id is None:
            raise Odd("the album has no id")
        return {"position": offset + position, "album_id": album_id}

    _take_each(reading, _list_in(response.body, "items"), row_of)


def _artist_top_tracks(response: Response, reading: Reading) -> None:
    artist_id = text_of(response.params.get("id"))
    if artist_id is None:
        raise Odd("its params do not say of which artist (`id`)")

    def row_of(position: int, entry: Any) -> Row:
        _, track_id = _uri_and_id(_object(entry, "the track"), "track")
        if track_id is None:
            raise Odd("the track has no id")
        return {"artist_id": artist_id, "position": position, "track_id": track_id, "is_from_search": False}

    _take_each(reading, _list_in(response.body, "tracks"), row_of)


_BY_ARTIST = re.compile(r'^artist:"([^"]*)"$')


def search_for_artist(name: str) -> str:
    """The query that finds tracks of an artist.

    >>> search_for_artist('"Weird" Al')
    'artist:"Weird Al"'
    """
    return f'artist:"{_searched_name(name)}"'


def _searched_name(name: str) -> str:
    return " ".join(name.replace('"', " ").split())


def _search(response: Response, reading: Reading) -> None:
    """Tracks found by an artist's name stand in for the top tracks of each artist of that very name."""
    asked = _BY_ARTIST.match(str(response.params.get("q", "")))
    offset = _offset(response.params, response.body)
    places: dict[str, int] = {}

    def row_of(position: int, entry: Any) -> None:
        told = _object(entry, "the track")
        _, track_id = _uri_and_id(told, "track")
        if track_id is None:
            raise Odd("the track has no id")
        credited = told.get("artists") if isinstance(told.get("artists"), list) else []
        for artist_id in dict.fromkeys(_ids_of(credited, asked.group(1) if asked and not offset else None)):
            places[artist_id] = places.get(artist_id, 0) + 1
            reading.rows.append(
                {
                    "artist_id": artist_id,
                    "position": places[artist_id],
                    "track_id": track_id,
                    "is_from_search": True,
                }
            )

    body = _object(response.body, "the body")
    if "tracks" in body:
        _take_each(reading, _list_in(body, "tracks", "items"), row_of)


def _ids_of(artists: list[Any], name: str | None) -> Iterator[str]:
    for artist in artists:
        if name is not None and isinstance(artist, dict) and (told := text_of(artist.get("name"))):
            _, artist_id = _uri_and_id(artist, "artist")
            if artist_id and _searched_name(told).casefold() == name.casefold():
                yield artist_id


_WHOLE_FEATURES = ("mode", "time_signature", "duration_ms")
_FEATURES = (
    "danceability",
    "energy",
    "speechiness",
    "acousticness",
    "instrumentalness",
    "liveness",
    "valence",
    "loudness",
    "tempo",
)


def _audio_features(response: Response, reading: Reading) -> None:
    asked = _asked_ids(response)

    def row_of(position: int, entry: Any) -> Row:
        if entry is None:
            if position > len(asked):
                raise Odd("it is null, and its params do not say for which track (`ids`)")
            return {"track_id": asked[position - 1], "is_known": False}
        told = _object(entry, "the track's features")
        _, track_id = _uri_and_id(told, "track")
        if track_id is None:
            raise Odd("the features have no id of a track")
        whole = {name: _in_range(name, whole_of(told.get(name))) for name in _WHOLE_FEATURES}
        key = -1 if told.get("key") == -1 else _in_range("key", whole_of(told.get("key")))
        shares = {name: _in_range(name, _number_of(told.get(name))) for name in _FEATURES}
        return {"track_id": track_id, "is_known": True, **shares, **whole, "key": key}

    _take_each(reading, _list_in(response.body, "audio_features"), row_of)


def _in_range(name: str, value: Any) -> Any:
    """A feature, None where there is none.

    Raises:
        Odd: It lies where no such feature can.
    """
    column = AudioFeatures.columns()[name]
    if value is None or (value == 0 and column.min):
        return None
    if (column.min is not None and value < column.min) or (column.max is not None and value > column.max):
        raise Odd(f"`{name}` lies outside of its range")
    return value


def _asked_ids(response: Response) -> list[str]:
    ids = response.params.get("ids", "")
    return [each.strip() for each in ids.split(",")] if isinstance(ids, str) and ids else []


def _batch(kind: str, name: str) -> Callable[[Response, Reading], None]:
    def take(response: Response, reading: Reading) -> None:
        entries = _list_in(response.body, name)
        asked = _asked_ids(response)

        def row_of(position: int, entry: Any) -> None:
            id_asked = asked[position - 1] if len(asked) == len(entries) else None
            if entry is None:
                if id_asked is None:
                    raise Odd("it is null, and its params do not say for which id (`ids`)")
                reading.missing.append((kind, id_asked))
            else:
                _take_object(reading, kind, entry, id_asked)

        _take_each(reading, entries, row_of)

    return take


def _single(kind: str) -> Callable[[Response, Reading], None]:
    def take(response: Response, reading: Reading) -> None:
        reading.items = 1
        try:
            _take_object(reading, kind, response.body, text_of(response.params.get("id")))
        except Odd as odd:
            reading.rejected.append(Rejected(0, _sentence(str(odd)), response.body))
        else:
            reading.told = 1

    return take


def _take_object(reading: Reading, kind: str, value: Any, id_asked: str | None) -> None:
    """Note the object under the id that was asked for as well: Spotify answers with another one where a track is
    replaced by an equal one in the listener's market (https://developer.spotify.com/documentation/web-api/concepts/track-relinking)."""
    told = _object(value, f"the {kind}")
    object_id = _id_of(kind, told)
    if object_id is None:
        raise Odd(f"the {kind} has no id, or no name")
    if id_asked is not None and id_asked != object_id:
        reading.objects.append(_told(kind, id_asked, told))


# Objects, wherever they stand.


def _objects(value: Any) -> Iterator[Told]:
    """Every track, album and artist in a body, each distinct telling once."""
    seen: set[tuple[str, str, str]] = set()
    waiting = [value]
    while waiting:
        part = waiting.pop()
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += [each for each in inner if isinstance(each, dict | list)]
        if isinstance(part, dict) and isinstance(part.get("name"), str):
            for kind in _KINDS:
                if (object_id := _id_of(kind, part)) is not None:
                    told = _told(kind, object_id, part)
                    if (kind, object_id, told.json) not in seen:
                        seen.add((kind, object_id, told.json))
                        yield told


def _id_of(kind: str, told: Mapping[str, Any]) -> str | None:
    """The id of an object of this kind, None when it is none. A mere link (`linked_from`, a context) has no name."""
    if told.get("type", kind) != kind or not isinstance(told.get("name"), str):
        return None
    uri, object_id = _uri_and_id(told, kind)
    is_told = told.get("type") == kind or ((uri or "").startswith(f"spotify:{kind}:") and "uri" in told)
    return object_id if is_told else None


def _told(kind: str, object_id: str, told: Mapping[str, Any]) -> Told:
    if kind == "track":
        kept = {name: value for name, value in told.items() if name not in _VOLATILE_OF_A_TRACK}
        if isinstance(album := told.get("album"), dict):
            kept["album"] = {name: value for name, value in album.items() if name not in _LEFT_OUT_OF_ITS_ALBUM}
    elif kind == "album":
        kept = {name: value for name, value in told.items() if name not in _LEFT_OUT_OF_AN_ALBUM}
    else:
        kept = dict(told)
    return Told(kind, object_id, not _ONLY_IN_FULL[kind] & told.keys(), to_json(kept))


_SINGLE: dict[str, str] = {
    Endpoint.TRACK: "track",
    Endpoint.ALBUM: "album",
    Endpoint.ARTIST: "artist",
    Endpoint.ARTIST_ALBUMS: "artist",
    Endpoint.ARTIST_TOP_TRACKS: "artist",
}
"""What is missing when the endpoint answers that it does not know the id."""

_BY_ID = frozenset(
    {Endpoint.TRACK, Endpoint.ALBUM, Endpoint.ARTIST, Endpoint.TRACKS, Endpoint.ALBUMS, Endpoint.ARTISTS}
)
"""Endpoints that nothing but an id is asked of: what they find impossible (400) is the id."""

_BATCHES: dict[str, str] = {Endpoint.TRACKS: "track", Endpoint.ALBUMS: "album", Endpoint.ARTISTS: "artist"}

_READERS: dict[str, Callable[[Response, Reading], None]] = {
    Endpoint.RECENTLY_PLAYED: _recently_played,
    Endpoint.TOP_ARTISTS: _top_artists,
    Endpoint.TOP_TRACKS: _top_tracks,
    Endpoint.SAVED_TRACKS: _saved_tracks,
    Endpoint.PLAYLISTS: _playlists,
    Endpoint.PLAYLIST_ITEMS: _playlist_items,
    Endpoint.TRACK: _single("track"),
    Endpoint.TRACKS: _batch("track", "tracks"),
    Endpoint.ALBUM: _single("album"),
    Endpoint.ALBUMS: _batch("album", "albums"),
    Endpoint.ARTIST: _single("artist"),
    Endpoint.ARTISTS: _batch("artist", "artists"),
    Endpoint.ARTIST_ALBUMS: _artist_albums,
    Endpoint.ARTIST_TOP_TRACKS: _artist_top_tracks,
    Endpoint.AUDIO_FEATURES: _audio_features,
    Endpoint.SEARCH: _search,
}
