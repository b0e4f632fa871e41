"""The raw assets that ask Spotify: plays, rankings, libraries and playlists, and the catalogue around them.

Each step stores what came and ends successfully; `asking` says how. What need not be asked for is not: objects that
any payload told, lists that have not changed, entries of playlists whose version is known.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl

from spotify_assets.assets.raw import backlog
from spotify_assets.assets.raw.asking import (
    Absent,
    Asking,
    Spotify,
    Stopped,
    answered_check_spec,
    asking_spec,
    outcome_without_response,
)
from spotify_assets.assets.raw.responses import PagedList, bodies
from spotify_assets.assets.table_asset import asset_key
from spotify_assets.clock import Clock
from spotify_assets.lakehouse import Transaction, Warehouse
from spotify_assets.schemas import Table, raw_api
from spotify_assets.spotify.model import Endpoint
from spotify_assets.spotify.reading import MOST_PLAYS, page_of, search_for_artist, text_of
from spotify_assets.spotify.status import Backlog, note_backlog
from spotify_assets.state import State
from spotify_assets.transforms.backlog import done_on, is_due

TIME_RANGES = ("short_term", "medium_term", "long_term")
US_MARKET = "US"

ALBUM_TITLES = 5
"""How many different titles of an artist are wanted; further pages are asked for only to find them."""

_PAGE = 50
_NARROW_PAGE = 10
"""All that apps of the development cohort get of albums of an artist, and of a search."""

_ALBUM_PAGES = 3
_UNREADABLE_FOR = timedelta(days=30)
_UNVERSIONED_FOR = timedelta(days=1)

_BATCHES = {
    "track": (Endpoint.TRACKS, Endpoint.TRACK, 50),
    "album": (Endpoint.ALBUMS, Endpoint.ALBUM, 20),
    "artist": (Endpoint.ARTISTS, Endpoint.ARTIST, 50),
}
"""By kind: the endpoint for several ids, the one for a single id, and how many ids a request may name."""


def _step(name: str, tables: Sequence[type[Table]], *, after: Sequence[type[Table]] = ()) -> Any:
    """Decorate the step that fills `tables` with what Spotify answers; the first one bears the check.

    Its op is not named after a table: clean tables have the same names.
    """
    return dg.multi_asset(
        name=f"spotify_{name}",
        specs=[asking_spec(table, deps=after) for table in tables],
        check_specs=[answered_check_spec(tables[0])],
    )


def build_live_assets() -> list[dg.AssetsDefinition]:
    """The assets that ask Spotify for what listeners did, and for the tracks, albums and artists in it."""
    return [
        _recently_played(),
        _top_lists(),
        _saved_tracks(),
        _playlists(),
        _catalogue(),
        _artist_albums(),
        _artist_top_tracks(),
        _api_quota(),
    ]


def _recently_played() -> dg.AssetsDefinition:
    tables = (raw_api.RecentlyPlayed, raw_api.Polls)

    @_step("recently_played", tables)
    def recently_played(warehouse: Warehouse, clock: Clock, spotify: dg.ResourceParam[Spotify]):
        with Asking(spotify, warehouse, clock) as asking:
            for listener in spotify.listeners:
                try:
                    asking.ask(Endpoint.RECENTLY_PLAYED, {"limit": MOST_PLAYS}, listener)
                except Stopped as stopped:
                    if outcome := outcome_without_response(stopped.__cause__):
                        asking.note_unanswered_poll(listener, outcome)
        # A poll without news is no news for what is made of the plays.
        plays = warehouse.counts((raw_api.RecentlyPlayed,))[raw_api.RecentlyPlayed]
        yield from asking.results(tables, data_version=f"{plays} plays")

    return recently_played


def _top_lists() -> dg.AssetsDefinition:
    tables = (raw_api.TopArtists, raw_api.TopTracks)

    @_step("top_lists", tables)
    def top_lists(warehouse: Warehouse, clock: Clock, spotify: dg.ResourceParam[Spotify]):
        with Asking(spotify, warehouse, clock) as asking:
            for listener in spotify.listeners:
                for endpoint in (Endpoint.TOP_ARTISTS, Endpoint.TOP_TRACKS):
                    with asking.until_stopped():
                        for time_range in TIME_RANGES:
                            asking.ask(endpoint, {"time_range": time_range, "limit": _PAGE, "offset": 0}, listener)
        yield from asking.results(tables)

    return top_lists


def _saved_tracks() -> dg.AssetsDefinition:
    @_step("saved_tracks", (raw_api.SavedTracks,))
    def saved_tracks(warehouse: Warehouse, clock: Clock, spotify: dg.ResourceParam[Spotify]):
        with Asking(spotify, warehouse, clock) as asking:
            for listener in spotify.listeners:
                with asking.until_stopped():
                    asking.ask_list(PagedList(Endpoint.SAVED_TRACKS, listener), {}, limit=_PAGE)
        yield from asking.results((raw_api.SavedTracks,))

    return saved_tracks


def _playlists() -> dg.AssetsDefinition:
    tables = (raw_api.Playlists, raw_api.PlaylistItems)

    @_step("playlists", tables)
    def playlists(warehouse: Warehouse, clock: Clock, spotify: dg.ResourceParam[Spotify]):
        with Asking(spotify, warehouse, clock) as asking:
            for listener in spotify.listeners:
                with asking.until_stopped():
                    asking.ask(Endpoint.ME, {}, listener)
                    asking.ask_list(PagedList(Endpoint.PLAYLISTS, listener), {}, limit=_PAGE)
                    asking.store()
                    for playlist_id in _playlists_to_read(asking, listener):
                        list_ = PagedList(Endpoint.PLAYLIST_ITEMS, listener, (playlist_id,))
                        asking.ask_list(list_, {"id": playlist_id}, limit=_PAGE, accepts=(403,))
        yield from asking.results(tables)

    return playlists


def _playlists_to_read(asking: Asking, listener: str) -> list[str]:
    """Playlists whose entries may have changed: Spotify tells another version than the one that was read."""
    now = asking.clock.now()
    with asking.warehouse.transaction() as transaction:
        asked = backlog.asked_last(transaction, Endpoint.PLAYLIST_ITEMS, "id", statuses=(200, 403, 404))
        told = transaction.read(raw_api.Playlists, where="listener = ?", parameters=(listener,)).sort("position")

    def is_to_read(row: dict[str, Any]) -> bool:
        asked_at = asked.get((row["playlist_id"],))
        if row["items_total"] == 0:
            return False
        if row["is_readable"] is False:
            return is_due(asked_at, now, _UNREADABLE_FOR)
        if row["spotify_snapshot_id"] is None:
            return is_due(asked_at, now, _UNVERSIONED_FOR)
        return row["spotify_snapshot_id"] != row["items_snapshot_id"]

    return [row["playlist_id"] for row in told.iter_rows(named=True) if is_to_read(row)]


def _catalogue() -> dg.AssetsDefinition:
    tables = (raw_api.Tracks, raw_api.Albums, raw_api.Artists, raw_api.MissingObjects)
    # What these embed need not be asked for.
    embedding = (raw_api.RecentlyPlayed, raw_api.TopTracks, raw_api.SavedTracks, raw_api.PlaylistItems)

    @_step("catalogue", tables, after=embedding)
    def catalogue(warehouse: Warehouse, clock: Clock, spotify: dg.ResourceParam[Spotify]):
        metadata: dict[str, Any] = {}
        with Asking(spotify, warehouse, clock) as asking:
            for kind in _BATCHES:
                metadata |= _ask_objects(asking, kind)
        yield from asking.results(tables, metadata)

    return catalogue


def _ask_objects(asking: Asking, kind: str) -> dict[str, Any]:
    """Ask for what is wanted of a kind, most listened to first; returns what is left to ask for, as metadata."""
    batch, single, batch_size = _BATCHES[kind]
    wanted = _open(asking, kind)
    left = len(wanted)
    try:
        for start in range(0, len(wanted), batch_size):
            ids = wanted[start : start + batch_size]
            _ask_batch(asking, batch, ids)
            left -= len(ids)
    except Absent:
        batch, batch_size = single, 1
        # Asked for one by one, an album tells nothing that clean tables use beside what every track tells of it (the
        # label is left out for such apps): no quota is spent on it.
        wanted = _open(asking, kind, is_simplified_enough=True) if kind == "album" else wanted
        left = len(wanted)
        with asking.until_stopped():
            for object_id in wanted:
                asking.ask(single, {"id": object_id}, accepts=(400,))
                left -= 1
    except Stopped:
        pass
    told = _left(asking, f"{kind}s", batch, left, batch_size)
    return {f"{name}_of_{kind}s": value for name, value in told.items()}


def _open(asking: Asking, kind: str, *, is_simplified_enough: bool = False) -> list[str]:
    """Ids that are to be asked for, after what the answers so far told."""
    asking.store()
    with asking.warehouse.transaction() as transaction:
        wanted = backlog.open_objects(transaction, kind, is_simplified_enough=is_simplified_enough)
    return wanted["object_id"].to_list()


def _ask_batch(asking: Asking, endpoint: Endpoint, ids: Sequence[str]) -> None:
    response = asking.ask(endpoint, {"ids": ",".join(ids)}, accepts=(400,), is_optional=True)
    if response.status in (400, 404) and len(ids) > 1:
        # One impossible id spoils the whole request: halve until it stands alone and is noted as missing.
        for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
            _ask_batch(asking, endpoint, half)


def _artist_albums() -> dg.AssetsDefinition:
    @_step("artist_albums", (raw_api.ArtistAlbums,), after=(raw_api.TopArtists, raw_api.Tracks))
    def artist_albums(warehouse: Warehouse, clock: Clock, spotify: dg.ResourceParam[Spotify]):
        now = clock.now()
        with Asking(spotify, warehouse, clock) as asking:
            with warehouse.transaction() as transaction:
                asked = backlog.asked_last(transaction, Endpoint.ARTIST_ALBUMS, "id")
                told = backlog.newest_list(transaction, raw_api.ArtistAlbums, "artist_id")
                artists = backlog.top_artists_now(transaction)
            last = told | asked
            due = [artist_id for artist_id, _ in artists if is_due(last.get((artist_id,)), now)]
            left = len(due)
            with asking.until_stopped():
                for artist_id in due:
                    _ask_albums(asking, artist_id)
                    left -= 1
        told = _left(asking, "albums of top artists", Endpoint.ARTIST_ALBUMS, left)
        yield from asking.results((raw_api.ArtistAlbums,), told)

    return artist_albums


def _ask_albums(asking: Asking, artist_id: str) -> None:
    """Ask for an artist's albums until enough titles are told: releases of other markets repeat them."""
    titles: set[str] = set()
    for page in range(_ALBUM_PAGES):
        params = {"id": artist_id, "include_groups": "album", "limit": _NARROW_PAGE, "offset": page * _NARROW_PAGE}
        response = asking.ask(Endpoint.ARTIST_ALBUMS, params)
        place = page_of(response.params, response.body) if response.status == 200 else None
        if place is None or place.is_last:
            return
        entries = (entry for entry in response.body["items"] if isinstance(entry, dict))
        titles |= {name.casefold() for entry in entries if (name := text_of(entry.get("name")))}
        if len(titles) >= ALBUM_TITLES:
            return


def _artist_top_tracks() -> dg.AssetsDefinition:
    @_step("artist_top_tracks", (raw_api.ArtistTopTracks,), after=(raw_api.TopArtists, raw_api.ArtistAlbums))
    def artist_top_tracks(warehouse: Warehouse, clock: Clock, spotify: dg.ResourceParam[Spotify]):
        now = clock.now()
        with Asking(spotify, warehouse, clock) as asking:
            with warehouse.transaction() as transaction:
                asked = backlog.asked_last(transaction, Endpoint.ARTIST_TOP_TRACKS, "id", "market")
                told = backlog.newest_list(transaction, raw_api.ArtistTopTracks, "artist_id", "market")
                searched = backlog.asked_last(transaction, Endpoint.SEARCH, "q", "market")
                artists = backlog.top_artists_now(transaction)
                markets = _markets(transaction, spotify)
            last = told | asked
            due = [
                (artist_id, name, market)
                for artist_id, name in artists
                for market in markets
                if is_due(last.get((artist_id, market)), now)
                and is_due(searched.get((search_for_artist(name or ""), market)), now)
            ]
            left, endpoint = _ask_top_tracks(asking, due)
        told = _left(asking, "top tracks of top artists", endpoint, left)
        yield from asking.results((raw_api.ArtistTopTracks,), told)

    return artist_top_tracks


def _ask_top_tracks(asking: Asking, due: Sequence[tuple[str, str | None, str]]) -> tuple[int, Endpoint]:
    """Ask for the top tracks, where the app may not for what a search finds; returns how many were not asked for, and
    which endpoint answers."""
    left, endpoint = len(due), Endpoint.ARTIST_TOP_TRACKS
    with asking.until_stopped():
        for artist_id, name, market in due:
            if endpoint == Endpoint.ARTIST_TOP_TRACKS:
                try:
                    asking.ask(endpoint, {"id": artist_id, "market": market}, is_optional=True)
                except Absent:
                    endpoint = Endpoint.SEARCH
            if endpoint == Endpoint.SEARCH and name:
                query = {"q": search_for_artist(name), "type": "track", "market": market, "limit": _NARROW_PAGE}
                asking.ask(endpoint, query)
            left -= 1
    return left, endpoint


def _markets(transaction: Transaction, spotify: Spotify) -> list[str]:
    """The US, and the markets of the listeners: told in listeners.toml, else the country of their profile."""
    told = dict(spotify.markets)
    profiles = transaction.read(
        raw_api.ApiResponses,
        ["response_id", "listener", "fetched_at"],
        where="endpoint = ? AND status = 200",
        parameters=(str(Endpoint.ME),),
    ).sort("fetched_at")
    newest = dict(profiles.select("listener", "response_id").iter_rows())
    countries = bodies(transaction, newest.values())
    for listener, response_id in newest.items():
        body = countries[response_id]
        if isinstance(body, dict) and (country := text_of(body.get("country"))):
            told.setdefault(listener, country)
    return list(dict.fromkeys((US_MARKET, *(told[name] for name in spotify.listeners if name in told))))


def _left(asking: Asking, kind: str, endpoint: Endpoint, length: int, ids_per_request: int = 1) -> dict[str, Any]:
    """Metadata of a backlog: its length, how many requests a day it may cost, and when it will be done; noted for
    `spotify-assets status` as well."""
    budget = asking.spotify.daily_budget(endpoint)
    done = done_on(length, ids_per_request, budget, asking.clock.now().date())
    note_backlog(State(asking.warehouse.paths.state_file), Backlog(kind, length, done))
    return {
        "backlog": length,
        "requests_a_day": budget if budget is not None else "not known",
        "done_on": done.isoformat() if done else "not known",
    }


def _api_quota() -> dg.AssetsDefinition:
    last_to_ask = (
        raw_api.Polls,
        raw_api.TopTracks,
        raw_api.SavedTracks,
        raw_api.PlaylistItems,
        raw_api.Artists,
        raw_api.ArtistTopTracks,
        raw_api.AudioFeatures,
    )

    @dg.multi_asset(name="spotify_quota", specs=[asking_spec(raw_api.ApiQuota, deps=last_to_ask)])
    def api_quota(warehouse: Warehouse, spotify: dg.ResourceParam[Spotify]):
        ledger = pl.DataFrame(list(spotify.quota_rows()), schema=raw_api.ApiQuota.polars_schema(), orient="row")
        by = raw_api.ApiQuota.primary_key()
        with warehouse.appending() as transaction:
            if not transaction.read(raw_api.ApiQuota).sort(by).equals(ledger.sort(by)):
                transaction.replace(raw_api.ApiQuota, ledger)
        yield dg.MaterializeResult(asset_key=asset_key(raw_api.ApiQuota), metadata={"dagster/row_count": ledger.height})

    return api_quota
