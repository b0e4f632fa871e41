"""The endpoints of the demo's Web API: who may ask, which bucket a request counts in, and what is answered.

Limits, scopes and cohorts: https://developer.spotify.com/documentation/web-api/reference/ and the migration guide
of February 2026. Error messages are those that users of the real API have reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from spotify_assets.demo.library import PlaylistEntry
from spotify_assets.demo.listener import TruePlay
from spotify_assets.demo.spotify.account import TIME_RANGES, AccountPlaylist, DemoAccount, milliseconds
from spotify_assets.demo.spotify.catalogue import BASE62, MARKETS
from spotify_assets.demo.spotify.cohorts import Cohort
from spotify_assets.demo.spotify.objects import API, Json, Objects, encoded, images, links, local_track
from spotify_assets.demo.spotify.tokens import Grant

if TYPE_CHECKING:
    from spotify_assets.demo.spotify.web_api import DemoSpotify

_ID_CHARACTERS = frozenset(BASE62)
JSON = "application/json; charset=utf-8"


class Refused(Exception):
    """An answer other than 200; ``body`` None is Spotify's error object with the message."""

    def __init__(
        self, status: int, message: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"Content-Type": JSON, **(headers or {})}
        self.body = encoded({"error": {"status": status, "message": message}}) if body is None else body


@dataclass(frozen=True)
class Call:
    """A request that may be answered."""

    demo: DemoSpotify
    params: Mapping[str, str]
    grant: Grant
    now: datetime
    url: str  # of the endpoint, as the client called it, without query

    @property
    def account(self) -> DemoAccount:
        return self.demo.accounts[self.grant.listener]

    @property
    def objects(self) -> Objects:
        return self.demo.objects

    @property
    def market(self) -> str | None:
        """The market that was asked for; ``from_token`` is that of the listener.

        :raises Refused: when there is no such market.
        """
        market = self.params.get("market") or self.params.get("country")
        if not market:
            return None
        if market == "from_token":
            return self.account.country if self.grant.listener else None
        if market.upper() not in MARKETS:
            raise Refused(400, "Invalid market code")
        return market.upper()

    def whole_number(self, name: str, default: int, lowest: int, highest: int) -> int:
        """:raises Refused: when it is out of its range, or no whole number."""
        text = self.params.get(name, "")
        if text == "":
            return default
        if not text.isascii() or not text.lstrip("-").isdigit() or not lowest <= int(text) <= highest:
            raise Refused(400, f"Invalid {name}")
        return int(text)

    def page(self, items: Sequence[Any], limit: int, told: Callable[[Any], Any], highest_offset: int = 100_000) -> Json:
        """The asked page of a list, with links to the pages beside it."""
        offset = self.whole_number("offset", 0, 0, highest_offset)

        def link(other: int) -> str:
            rest = {name: value for name, value in self.params.items() if name not in ("id", "offset", "limit")}
            return _address(self.url, {**rest, "offset": str(other), "limit": str(limit)})

        return {
            "href": link(offset),
            "items": [told(item) for item in items[offset : offset + limit]],
            "limit": limit,
            "next": link(offset + limit) if offset + limit < len(items) else None,
            "offset": offset,
            "previous": link(max(0, offset - limit)) if offset > 0 else None,
            "total": len(items),
        }


@dataclass(frozen=True)
class EndpointRule:
    """An endpoint: who may ask, which bucket it counts in, and how it answers.

    :param path: below /v1, with names for what varies.
    :param scopes: all of them are needed.
    :param is_personal: needs a listener's token.
    :param is_offered: to which cohorts; the others get 403, with this body if there is one.
    """

    path: str
    bucket: str
    answer: Callable[[Call], Json | bytes]
    scopes: frozenset[str] = frozenset()
    is_personal: bool = False
    is_offered: Callable[[Cohort], bool] = lambda cohort: True
    refusal_body: bytes | None = None


def _address(url: str, query: Mapping[str, str]) -> str:
    return f"{url}?{urlencode(query)}"


def _checked_id(object_id: str) -> str:
    if len(object_id) != 22 or not _ID_CHARACTERS.issuperset(object_id):
        raise Refused(400, "Invalid base62 id")
    return object_id


def _known(call: Call, known: Mapping[str, Any], object_id: str) -> Any:
    """The thing with this id; None when Spotify does not know it."""
    thing = known.get(_checked_id(object_id))
    return None if thing is None or call.demo.catalogue.is_gone(object_id) else thing


def _one(call: Call, known: Mapping[str, Any]) -> Any:
    thing = _known(call, known, call.params["id"])
    if thing is None:
        raise Refused(404, "Resource not found")
    return thing


def _many(call: Call, known: Mapping[str, Any], most: int) -> list[Any]:
    ids = call.params.get("ids", "").split(",")
    if ids == [""]:
        raise Refused(400, "Missing required field: ids")
    if len(ids) > most:
        raise Refused(400, "Too many ids requested")
    return [_known(call, known, object_id) for object_id in ids]


def _me(call: Call) -> Json:
    account, scopes = call.account, call.grant.scopes
    told: Json = {
        "display_name": f"Demo {account.name}",
        **links("user", account.user_id),
        "account_id": account.account_id,
        "images": images(account.user_id, (300, 64)),
        "followers": {"href": None, "total": account.followers},
    }
    if "user-read-private" in scopes:
        told |= {
            "country": account.country,
            "product": "premium",
            "explicit_content": {"filter_enabled": False, "filter_locked": False},
        }
    if "user-read-email" in scopes:
        told["email"] = f"{account.name}@example.invalid"
    return call.demo.cohort.told("user", told)


def _recently_played(call: Call) -> bytes:
    limit = call.whole_number("limit", 20, 1, 50)
    if "after" in call.params and "before" in call.params:
        raise Refused(400, "Only one of after and before may be given")
    after = call.whole_number("after", -1, 0, 10**14)
    before = call.whole_number("before", 10**15, 0, 10**14)
    played = [(milliseconds(play.ended_at), play) for play in call.account.last_plays(call.now)]
    matching = [(instant, play) for instant, play in played if after < instant < before]
    page = matching[:limit]
    query = {"limit": str(limit)}
    cursors = {name: call.params[name] for name in ("after", "before") if name in call.params}
    told: Json = {
        "href": _address(call.url, {**cursors, **query}),
        "limit": limit,
        "next": None,
        "cursors": None,
    }
    if page:
        told["cursors"] = {"after": str(page[0][0]), "before": str(page[-1][0])}
    if len(matching) > limit:
        told["next"] = _address(call.url, {"before": str(page[-1][0]), **query})
    # Tracks are encoded once: for a year of polls the same 50 plays were written over and over.
    items = b",".join(_play(call, play) for _, play in page)
    return encoded(told)[:-1] + b',"items":[' + items + b"]}"


def _play(call: Call, play: TruePlay) -> bytes:
    context = call.account.context_of(play)
    told_context = None
    if context is not None:
        kind, uri = context
        object_id = uri.rsplit(":", 1)[1]
        told_context = {
            "type": kind,
            "href": f"{API}/me/tracks" if kind == "collection" else f"{API}/{kind}s/{object_id}",
            "external_urls": {"spotify": f"https://open.spotify.com/{kind}/{object_id}"},
            "uri": uri,
        }
    instant = play.ended_at.astimezone(UTC)
    played_at = f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"
    rest = encoded({"played_at": played_at, "context": told_context})
    return b'{"track":' + call.objects.encoded_played_track(play.track) + b"," + rest[1:]


def _top(call: Call) -> tuple[list[Any], list[Any]]:
    time_range = call.params.get("time_range", "medium_term")
    if time_range not in TIME_RANGES:
        raise Refused(400, "Invalid time range")
    return call.account.top(time_range, call.now, call.demo.catalogue)


def _top_tracks(call: Call) -> Json:
    tracks, _ = _top(call)
    return call.page(tracks, call.whole_number("limit", 20, 1, 50), call.objects.track)


def _top_artists(call: Call) -> Json:
    _, artists = _top(call)
    return call.page(artists, call.whole_number("limit", 20, 1, 50), call.objects.artist)


def _saved_tracks(call: Call) -> Json:
    market = call.market

    def told(saved: Any) -> Json:
        track, added_at = saved
        return {"added_at": _instant(added_at), "track": call.objects.track(track, market)}

    return call.page(call.account.saved_tracks(call.now), call.whole_number("limit", 20, 1, 50), told)


def _instant(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _playlists(call: Call) -> Json:
    limit = call.whole_number("limit", 20, 1, 50)
    may_read_shared = "playlist-read-collaborative" in call.grant.scopes
    visible = [each for each in call.account.playlists if may_read_shared or not each.is_collaborative]
    return call.page(visible, limit, lambda each: _playlist(call, each))


def _playlist(call: Call, playlist: AccountPlaylist) -> Json:
    identity = links("playlist", playlist.playlist_id)
    is_own = playlist.owner == call.account.user_id
    display_name = f"Demo {call.account.name}" if is_own else playlist.owner.title()
    entries = playlist.entries_at(call.now)
    return {
        **identity,
        "collaborative": playlist.is_collaborative,
        "description": playlist.description,
        "images": images(playlist.playlist_id, (640,)) if entries else [],
        "name": playlist.name,
        "owner": {**links("user", playlist.owner), "display_name": display_name},
        "public": playlist.is_public,
        "snapshot_id": playlist.snapshot_id(call.now),
        call.demo.cohort.playlist_summary: {"href": f"{identity['href']}/items", "total": len(entries)},
    }


def _playlist_items(call: Call) -> Json:
    return _entries(call, 50, call.demo.cohort.playlist_entry)


def _playlist_tracks(call: Call) -> Json:
    return _entries(call, 100, ("track",))


def _entries(call: Call, most: int, names: tuple[str, ...]) -> Json:
    limit = call.whole_number("limit", min(20, most), 1, most)
    playlist = call.account.playlist(_checked_id(call.params["id"]))
    # Editorial playlists are hidden from every app since November 2024.
    if playlist is None or playlist.owner == "spotify":
        raise Refused(404, "Resource not found")
    is_readable = playlist.is_own or playlist.is_collaborative or call.demo.cohort.reads_playlists_of_others
    if not is_readable:
        raise Refused(403, "Forbidden")
    market = call.market

    def told(entry: PlaylistEntry) -> Json:
        added = _entry(call, entry, market)
        return {
            "added_at": _instant(entry.added_at),
            "added_by": links("user", playlist.owner),
            "is_local": entry.kind == "local",
            **dict.fromkeys(names, added),
        }

    return call.page(playlist.entries_at(call.now), limit, told)


def _entry(call: Call, entry: PlaylistEntry, market: str | None) -> Json | None:
    if entry.track is not None and not call.demo.catalogue.is_gone(entry.track.track_id):
        return call.objects.track(entry.track, market)
    if entry.episode is not None:
        return call.objects.episode(entry.episode)
    if entry.local_uri is not None:
        return call.demo.cohort.told("track", local_track(entry.local_uri))
    return None


def _track(call: Call) -> Json:
    return call.objects.track(_one(call, call.demo.catalogue.tracks), call.market)


def _tracks(call: Call) -> Json:
    market = call.market
    tracks = _many(call, call.demo.catalogue.tracks, 50)
    return {"tracks": [track and call.objects.track(track, market) for track in tracks]}


def _album(call: Call) -> Json:
    return call.objects.album(_one(call, call.demo.catalogue.albums), call.market)


def _albums(call: Call) -> Json:
    market = call.market
    albums = _many(call, call.demo.catalogue.albums, 20)
    return {"albums": [album and call.objects.album(album, market) for album in albums]}


def _artist(call: Call) -> Json:
    return call.objects.artist(_one(call, call.demo.catalogue.artists))


def _artists(call: Call) -> Json:
    artists = _many(call, call.demo.catalogue.artists, 50)
    return {"artists": [artist and call.objects.artist(artist) for artist in artists]}


def _artist_albums(call: Call) -> Json:
    most, default = call.demo.cohort.artist_albums_limit
    limit = call.whole_number("limit", default, 1, most)
    artist = _one(call, call.demo.catalogue.artists)
    all_groups = ("album", "single", "compilation", "appears_on")
    groups = [name for name in call.params.get("include_groups", "").split(",") if name] or list(all_groups)
    if not set(groups) <= set(all_groups):
        raise Refused(400, "Invalid album type")
    discography = [each for each in call.demo.catalogue.discography(artist) if each[0] in groups]
    return call.page(discography, limit, lambda each: call.objects.album_of_discography(*each))


def _artist_top_tracks(call: Call) -> Json:
    catalogue, market = call.demo.catalogue, call.market
    artist = _one(call, catalogue.artists)
    tracks = catalogue.most_popular(catalogue.tracks_of_artist(artist), market)[:10]
    return {"tracks": [call.objects.track(track, market) for track in tracks]}


def _audio_features(call: Call) -> Json:
    tracks = _many(call, call.demo.catalogue.tracks, 100)
    return {"audio_features": [track and call.objects.audio_features(track) for track in tracks]}


def _search(call: Call) -> Json:
    most, default = call.demo.cohort.search_limit
    limit = call.whole_number("limit", default, 1, most)
    query = call.params.get("q", "").strip()
    kinds = call.params.get("type", "").split(",")
    if not query:
        raise Refused(400, "No search query")
    if not set(kinds) <= {"track", "album", "artist", "playlist", "show", "episode", "audiobook"}:
        raise Refused(400, "Bad search type field")
    market, search, objects = call.market, call.demo.search, call.objects
    found: dict[str, tuple[Sequence[Any], Callable[[Any], Any]]] = {}
    if "track" in kinds:
        found["tracks"] = search.tracks(query, market), lambda track: objects.track(track, market)
    if "album" in kinds:
        found["albums"] = search.albums(query), objects.album_mention
    if "artist" in kinds:
        found["artists"] = search.artists(query), objects.artist
    return {name: call.page(things, limit, told, highest_offset=1000) for name, (things, told) in found.items()}


def _not_there(call: Call) -> Json:
    raise Refused(404, "Resource not found")


def _rule(path: str, bucket: str, answer: Callable[[Call], Json | bytes], *scopes: str, **rest: Any) -> EndpointRule:
    return EndpointRule(path, bucket, answer, frozenset(scopes), path.startswith("/me"), **rest)


_BATCH = {"is_offered": lambda cohort: cohort.has_batches}

ENDPOINTS = (
    _rule("/me", "me", _me),
    _rule("/me/player/recently-played", "recently-played", _recently_played, "user-read-recently-played"),
    _rule("/me/top/tracks", "top", _top_tracks, "user-top-read"),
    _rule("/me/top/artists", "top", _top_artists, "user-top-read"),
    _rule("/me/tracks", "library", _saved_tracks, "user-library-read"),
    _rule("/me/playlists", "playlists", _playlists, "playlist-read-private"),
    _rule("/tracks/{id}", "tracks", _track),
    _rule("/tracks", "tracks", _tracks, **_BATCH),
    _rule("/albums/{id}", "albums", _album),
    _rule("/albums", "albums", _albums, **_BATCH),
    _rule("/artists/{id}", "artists", _artist),
    _rule("/artists", "artists", _artists, **_BATCH),
    _rule("/artists/{id}/albums", "artist-albums", _artist_albums),
    _rule(
        "/artists/{id}/top-tracks",
        "artist-top-tracks",
        _artist_top_tracks,
        is_offered=lambda cohort: cohort.has_top_tracks,
    ),
    _rule(
        "/audio-features",
        "audio-features",
        _audio_features,
        is_offered=lambda cohort: cohort.has_audio_features,
        refusal_body=b"",
    ),
    _rule("/search", "search", _search),
    _rule("/artists/{id}/related-artists", "absent", _not_there),
    _rule("/recommendations", "absent", _not_there),
    _rule("/audio-analysis/{id}", "absent", _not_there, is_offered=lambda cohort: False),
    _rule("/browse/featured-playlists", "absent", _not_there, is_offered=lambda cohort: False),
    EndpointRule("/playlists/{id}/items", "playlists", _playlist_items, frozenset({"playlist-read-private"}), True),
    EndpointRule(
        "/playlists/{id}/tracks",
        "playlists",
        _playlist_tracks,
        frozenset({"playlist-read-private"}),
        True,
        is_offered=lambda cohort: "track" in cohort.playlist_entry,
    ),
)
"""Every endpoint that the demo knows, with its bucket and scopes."""
