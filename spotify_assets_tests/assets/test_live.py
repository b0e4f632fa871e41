"""What the raw assets ask Spotify for, what they do not, and that nothing it does stops a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from spotify_assets.assets.raw import Spotify, build_live_assets
from spotify_assets.assets.raw.backlog import open_objects
from spotify_assets.assets.raw.responses import take_responses
from spotify_assets.clock import Clock
from spotify_assets.lakehouse import LakehouseIOManager, Warehouse
from spotify_assets.schemas import Table, clean, raw_api
from spotify_assets.spotify.model import Endpoint
from spotify_assets.spotify.status import Backlog, backlogs
from spotify_assets.state import State
from spotify_assets_tests.assets.small_spotify import SmallClient, SmallSpotify, batches, by_id, listed, serving
from spotify_assets_tests.spotify.payloads import NOON, album, artist, minutes, page, play, told_instant, track

BY_ASSET = {key: asset for asset in build_live_assets() for key in asset.keys}


def spotify_id(number: int, kind: str = "t") -> str:
    return f"{kind}{number:021}"


def track_of(number: int, **told: Any) -> dict[str, Any]:
    of = track(f"song {number}") | {"id": spotify_id(number), "uri": f"spotify:track:{spotify_id(number)}"}
    by = artist("Ann") | {"id": spotify_id(number % 3, "a"), "uri": f"spotify:artist:{spotify_id(number % 3, 'a')}"}
    released = album("LP") | {"id": spotify_id(number % 2, "l"), "uri": f"spotify:album:{spotify_id(number % 2, 'l')}"}
    return of | {"artists": [by], "album": released | {"artists": [by]}} | told


@dataclass
class Home:
    """A home, and the Spotify that it asks."""

    spotify: SmallSpotify
    url: str
    warehouse: Warehouse
    now: datetime = NOON
    expired: frozenset[str] = frozenset()
    listeners: tuple[str, ...] = ("ann",)

    def run(self, *tables: type[Table]) -> dg.ExecuteInProcessResult:
        """Materialize the steps of some tables."""
        assets = list(dict.fromkeys(BY_ASSET[dg.AssetKey(["raw", table.layout.table])] for table in tables))
        client = SmallClient(self.url, self.now, self.expired)
        self.spotify.asked.clear()
        return dg.materialize(
            assets,
            resources={
                "warehouse": self.warehouse,
                "lakehouse_io_manager": LakehouseIOManager(warehouse=self.warehouse),
                "clock": Clock(fixed_now=self.now.isoformat()),
                "spotify": Spotify(client, self.listeners, daily_budget=lambda endpoint: 100),
            },
        )

    def column(self, table: type[Table], name: str) -> list[Any]:
        return self.warehouse.read(table).sort(table.primary_key())[name].to_list()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    spotify = SmallSpotify()
    with serving(spotify) as url:
        yield Home(spotify, url, Warehouse(home=str(tmp_path / "home")))


def check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def metadata(result: dg.ExecuteInProcessResult, table: type[Table]) -> dict[str, Any]:
    for event in result.get_asset_materialization_events():
        if event.asset_key == dg.AssetKey(["raw", table.layout.table]):
            return {name: value.value for name, value in event.materialization.metadata.items()}
    raise LookupError(table)


def test_a_poll_stores_the_plays_and_one_without_news_is_no_news(home: Home) -> None:
    plays = [play(track_of(number), minutes(-number)) for number in range(3)]
    home.spotify.answers[Endpoint.RECENTLY_PLAYED] = lambda path, query: (200, {"items": plays, "next": None})
    versions = []
    for _ in range(2):
        result = home.run(raw_api.RecentlyPlayed)
        (event, _) = result.get_asset_materialization_events()
        versions.append(event.materialization.tags["dagster/data_version"])
        home.now += timedelta(minutes=30)
    assert home.spotify.asked == [("/me/player/recently-played", {"limit": "50"})]
    assert home.column(raw_api.Polls, "items_new") == [3, 0]
    assert versions[0] == versions[1]


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [("quota", "rate_limited"), ("expired", "unauthorized"), ("down", "failed"), ("refused", "forbidden")],
)
def test_a_poll_that_failed_is_stored_with_its_outcome_and_a_check_says_what_to_do(
    home: Home, trouble: str, outcome: str
) -> None:
    home.spotify.quota = {Endpoint.RECENTLY_PLAYED: 0} if trouble == "quota" else {}
    home.spotify.is_down = trouble == "down"
    home.expired = frozenset({"ann"}) if trouble == "expired" else frozenset()
    result = home.run(raw_api.RecentlyPlayed)
    assert result.success
    assert home.column(raw_api.Polls, "outcome") == [outcome]
    assert not check(result).passed
    words = {"quota": "2026-03-02", "expired": "spotify-assets login", "down": "out of order", "refused": "not offer"}
    assert words[trouble] in check(result).description


def test_a_poll_that_is_answered_with_something_else_says_where_that_is_kept(home: Home) -> None:
    home.spotify.answers[Endpoint.RECENTLY_PLAYED] = lambda path, query: (200, {"plays": "many"})
    result = home.run(raw_api.RecentlyPlayed)
    assert result.success and home.column(raw_api.Polls, "outcome") == ["failed"]
    assert not check(result).passed and "raw.rejected_items" in check(result).description


def test_each_listener_is_asked_for_and_one_without_sign_in_keeps_nobody_else_waiting(home: Home) -> None:
    home.spotify.answers[Endpoint.RECENTLY_PLAYED] = lambda path, query: (200, {"items": [play(track_of(1), NOON)]})
    home.listeners, home.expired = ("ann", "bob"), frozenset({"ann"})
    result = home.run(raw_api.RecentlyPlayed)
    assert home.column(raw_api.RecentlyPlayed, "listener") == ["bob"]
    assert "ann" in check(result).description and "bob" not in check(result).description


def test_rankings_are_asked_for_in_three_ranges(home: Home) -> None:
    home.spotify.answers[Endpoint.TOP_ARTISTS] = listed([artist(str(number)) for number in range(60)])
    home.spotify.answers[Endpoint.TOP_TRACKS] = listed([track_of(number) for number in range(60)])
    assert check(home.run(raw_api.TopArtists)).passed
    assert len(home.spotify.asked) == 6
    for table in (raw_api.TopArtists, raw_api.TopTracks):
        told = home.warehouse.read(table).group_by("time_range").agg(pl.col("rank").max(), pl.len())
        assert sorted(told.rows()) == [(name, 50, 50) for name in ("long_term", "medium_term", "short_term")]


def test_a_library_that_has_not_changed_costs_one_request(home: Home) -> None:
    library = [{"added_at": told_instant(NOON), "track": track_of(number)} for number in range(120)]
    home.spotify.answers[Endpoint.SAVED_TRACKS] = listed(library)
    counts = []
    for _ in range(2):
        home.run(raw_api.SavedTracks)
        counts.append(len(home.spotify.asked))
        home.now += timedelta(days=1)
    home.spotify.answers[Endpoint.SAVED_TRACKS] = listed(library[1:])
    home.run(raw_api.SavedTracks)
    assert [*counts, len(home.spotify.asked)] == [3, 1, 3]
    assert len(home.column(raw_api.SavedTracks, "position")) == 119


def test_a_library_that_a_quota_cut_is_read_on_from_there(home: Home) -> None:
    library = [{"added_at": told_instant(NOON), "track": track_of(number)} for number in range(220)]
    home.spotify.answers[Endpoint.SAVED_TRACKS] = listed(library)
    home.spotify.quota = {Endpoint.SAVED_TRACKS: 3}
    result = home.run(raw_api.SavedTracks)
    assert result.success and not check(result).passed
    assert home.column(raw_api.SavedTracks, "position") == []
    home.now += timedelta(days=1)
    home.spotify.quota = {}
    home.run(raw_api.SavedTracks)
    assert [query["offset"] for _, query in home.spotify.asked] == ["0", "150", "200"]
    assert home.column(raw_api.SavedTracks, "position") == list(range(1, 221))


def playlist(name: str, version: str, owner: str = "ann1") -> dict[str, Any]:
    return {
        "type": "playlist",
        "id": name,
        "name": name,
        "snapshot_id": version,
        "owner": {"id": owner},
        "items": {"total": 1},
    }


def test_entries_are_asked_for_only_when_the_version_of_a_playlist_is_another(home: Home) -> None:
    def items(path: str, query: dict[str, str]) -> tuple[int, Any]:
        is_foreign = "foreign" in path
        return (403, {"error": {}}) if is_foreign else listed([{"item": track_of(1)}])(path, query)

    home.spotify.answers = {
        Endpoint.ME: lambda path, query: (200, {"id": "ann1", "type": "user"}),
        Endpoint.PLAYLISTS: listed([playlist("own", "v1"), playlist("foreign", "w1", "x")]),
        Endpoint.PLAYLIST_ITEMS: items,
    }
    result = home.run(raw_api.Playlists)
    assert check(result).passed
    assert home.spotify.paths() == ["/me", "/me/playlists", "/playlists/own/items", "/playlists/foreign/items"]
    assert home.column(raw_api.Playlists, "is_own") == [False, True]
    assert home.column(raw_api.Playlists, "is_readable") == [False, True]
    home.now += timedelta(days=1)
    home.run(raw_api.Playlists)
    assert home.spotify.paths() == ["/me", "/me/playlists"]
    home.now += timedelta(days=1)
    home.spotify.answers[Endpoint.PLAYLISTS] = listed([playlist("own", "v2"), playlist("foreign", "w1", "x")])
    home.run(raw_api.Playlists)
    assert home.spotify.paths() == ["/me", "/me/playlists", "/playlists/own/items"]
    assert home.column(raw_api.Playlists, "items_snapshot_id") == [None, "v2"]


def played(transaction: Any, ms_played_by_track: dict[str, int]) -> None:
    """Rows of clean.plays that say this and nothing else."""
    zero = {pl.String: "", pl.Int64: 1, pl.Boolean: False, pl.Date: NOON.date(), pl.Datetime: NOON}
    naive = {"started_at_local", "ended_at_local"}
    rows = []
    for number, (track_id, ms_played) in enumerate(ms_played_by_track.items()):
        row = {
            name: None if clean.Plays.columns()[name].nullable else zero[dtype.base_type()]
            for name, dtype in clean.Plays.polars_schema().items()
        }
        row |= {name: NOON.replace(tzinfo=None) for name in naive}
        rows.append(row | {"play_id": number, "track_id": track_id, "ms_played": ms_played})
    transaction.append(clean.Plays, pl.DataFrame(rows, schema=clean.Plays.polars_schema()))


def wanted(home: Home, count: int) -> dict[str, dict[str, Any]]:
    """So many tracks that were played and are known by their ids alone, as after an import; the first ones most."""
    with home.warehouse.transaction() as transaction:
        played(transaction, {spotify_id(number): 1_000 * (count - number) for number in range(count)})
    return {spotify_id(number): track_of(number) for number in range(count)}


def extended(tracks: dict[str, Any]) -> dict[str, Any]:
    albums = {spotify_id(n, "l"): album("LP", label="x") | {"id": spotify_id(n, "l")} for n in range(2)}
    artists = {spotify_id(n, "a"): artist("A", popularity=5) | {"id": spotify_id(n, "a")} for n in range(3)}
    return {
        Endpoint.TRACKS: batches("tracks", tracks),
        Endpoint.ALBUMS: batches("albums", albums),
        Endpoint.ARTISTS: batches("artists", artists),
    }


def test_batches_are_asked_for_where_the_app_may_and_nothing_twice(home: Home) -> None:
    tracks = wanted(home, 120)
    del tracks[spotify_id(7)]
    home.spotify.answers = extended(tracks)
    assert check(home.run(raw_api.Tracks)).passed
    assert home.spotify.paths() == ["/tracks"] * 3 + ["/albums", "/artists"]
    assert home.column(raw_api.MissingObjects, "object_id") == [spotify_id(7)]
    result = home.run(raw_api.Tracks)
    assert home.spotify.asked == []
    assert metadata(result, raw_api.Tracks)["backlog_of_tracks"] == 0


def test_single_calls_go_where_batches_may_not_and_albums_that_tracks_told_are_left(home: Home) -> None:
    tracks = wanted(home, 5)
    artists = {spotify_id(n, "a"): artist("A", images=[]) | {"id": spotify_id(n, "a")} for n in range(3)}
    home.spotify.answers = {Endpoint.TRACK: by_id(tracks), Endpoint.ARTIST: by_id(artists)}
    assert check(home.run(raw_api.Tracks)).passed
    singles = [path for path in home.spotify.paths() if path.count("/") == 2]
    assert singles == [f"/tracks/{spotify_id(n)}" for n in range(5)] + [
        f"/artists/{spotify_id(n, 'a')}" for n in range(3)
    ]
    home.run(raw_api.Tracks)
    assert [path for path in home.spotify.paths() if path.count("/") == 2] == []


def test_a_quota_stops_one_bucket_and_the_next_run_goes_on_with_what_is_listened_to_most(home: Home) -> None:
    tracks = wanted(home, 30)
    artists = {spotify_id(n, "a"): artist("A", images=[]) | {"id": spotify_id(n, "a")} for n in range(3)}
    home.spotify.answers = {Endpoint.TRACK: by_id(tracks), Endpoint.ARTIST: by_id(artists)}
    home.spotify.quota = {Endpoint.TRACK: 12}
    result = home.run(raw_api.Tracks)
    assert result.success and "2026-03-02" in check(result).description
    assert len(home.column(raw_api.Tracks, "track_id")) == 12
    assert f"/artists/{spotify_id(0, 'a')}" in home.spotify.paths()
    told = metadata(result, raw_api.Tracks)
    assert (told["backlog_of_tracks"], told["done_on_of_tracks"]) == (18, "2026-03-02")
    assert Backlog("tracks", 18, date(2026, 3, 2)) in backlogs(State(home.warehouse.paths.state_file))
    home.now += timedelta(days=1)
    home.spotify.quota = {}
    home.run(raw_api.Tracks)
    assert home.spotify.paths()[1:3] == [f"/tracks/{spotify_id(12)}", f"/tracks/{spotify_id(13)}"]
    assert len(home.column(raw_api.Tracks, "track_id")) == 30


def test_one_impossible_id_in_a_batch_is_found_and_never_asked_for_again(home: Home) -> None:
    tracks = wanted(home, 6)

    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        if spotify_id(3) in query["ids"]:
            return 400, {"error": {"status": 400, "message": "Invalid base62 id"}}
        return batches("tracks", tracks)(path, query)

    home.spotify.answers = extended(tracks) | {Endpoint.TRACKS: answer}
    assert check(home.run(raw_api.Tracks)).passed
    assert len(home.column(raw_api.Tracks, "track_id")) == 5
    assert home.column(raw_api.MissingObjects, "object_id") == [spotify_id(3)]


def test_albums_and_artists_are_ordered_by_the_listening_time_of_their_tracks(home: Home) -> None:
    wanted(home, 4)
    with home.warehouse.transaction() as transaction:
        for number in range(4):
            take_responses(transaction, [page(Endpoint.TOP_TRACKS, [track_of(number)], minutes(number))])
        albums = open_objects(transaction, "album")
        artists = open_objects(transaction, "artist")
        assert open_objects(transaction, "track").is_empty()
        assert open_objects(transaction, "album", is_simplified_enough=True).is_empty()
    assert albums.rows() == [(spotify_id(0, "l"), 6_000), (spotify_id(1, "l"), 4_000)]
    assert artists.rows() == [(spotify_id(0, "a"), 5_000), (spotify_id(1, "a"), 3_000), (spotify_id(2, "a"), 2_000)]


def with_top_artists(home: Home, *names: str) -> None:
    with home.warehouse.transaction() as transaction:
        ranking = page(Endpoint.TOP_ARTISTS, [artist(name) for name in names], home.now, time_range="short_term")
        take_responses(transaction, [ranking])


def test_albums_of_the_top_artists_are_asked_for_until_five_titles_and_again_after_30_days(home: Home) -> None:
    with_top_artists(home, "Ann", "Bob", "Gone")
    many = [album(f"x{number}") for number in range(30)]
    repeated = [album("same", id=f"s{number}") for number in range(15)]

    def albums(path: str, query: dict[str, str]) -> tuple[int, Any]:
        if "Gone" in path:
            return 404, {"error": {"status": 404}}
        return listed(many if "Ann" in path else repeated)(path, query)

    home.spotify.answers[Endpoint.ARTIST_ALBUMS] = albums
    assert check(home.run(raw_api.ArtistAlbums)).passed
    assert home.spotify.paths() == [f"/artists/{name}Id/albums" for name in ("Ann", "Bob", "Bob", "Gone")]
    assert all(query["limit"] == "10" for _, query in home.spotify.asked)
    home.now += timedelta(days=29)
    home.run(raw_api.ArtistAlbums)
    assert home.spotify.asked == []
    home.now += timedelta(days=2)
    home.run(raw_api.ArtistAlbums)
    assert len(home.spotify.asked) == 4


def test_top_tracks_are_found_by_search_where_the_endpoint_is_absent(home: Home) -> None:
    with_top_artists(home, "Ann")
    found = {"tracks": {"items": [track("x"), track("y", "Anna")], "total": 2}}
    home.spotify.answers[Endpoint.SEARCH] = lambda path, query: (200, found)
    home.spotify.answers[Endpoint.ME] = lambda path, query: (200, {"id": "a", "country": "DE"})
    home.spotify.answers[Endpoint.PLAYLISTS] = listed([])
    home.run(raw_api.Playlists)
    assert check(home.run(raw_api.ArtistTopTracks)).passed
    searches = [query for path, query in home.spotify.asked if path == "/search"]
    assert [(query["q"], query["market"], query["limit"]) for query in searches] == [
        ('artist:"Ann"', "US", "10"),
        ('artist:"Ann"', "DE", "10"),
    ]
    told = home.warehouse.read(raw_api.ArtistTopTracks).sort("market")
    assert told.select("artist_id", "market", "track_id", "is_from_search").rows() == [
        ("AnnId", "DE", "xId", True),
        ("AnnId", "US", "xId", True),
    ]
    home.run(raw_api.ArtistTopTracks)
    assert home.spotify.asked == []


def test_top_tracks_are_asked_for_where_the_app_may(home: Home) -> None:
    with_top_artists(home, "Ann")
    home.spotify.answers[Endpoint.ARTIST_TOP_TRACKS] = lambda path, query: (200, {"tracks": [track("x")]})
    home.run(raw_api.ArtistTopTracks)
    assert home.spotify.asked == [("/artists/AnnId/top-tracks", {"market": "US"})]
    assert home.column(raw_api.ArtistTopTracks, "is_from_search") == [False]


def test_a_spotify_that_is_out_of_order_fails_no_step(home: Home) -> None:
    home.spotify.is_down = True
    result = home.run(raw_api.RecentlyPlayed, raw_api.TopArtists, raw_api.SavedTracks, raw_api.Playlists)
    assert result.success
    assert all("out of order" in each.description for each in result.get_asset_check_evaluations())


def test_what_came_before_a_crash_is_stored(home: Home) -> None:
    tracks = wanted(home, 25)
    answer: Callable[[str, dict[str, str]], tuple[int, Any]] = by_id(tracks)

    def crashing(path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path.endswith(spotify_id(17)):
            raise ConnectionAbortedError
        return answer(path, query)

    home.spotify.answers = {Endpoint.TRACK: crashing}
    with pytest.raises(Exception, match=r"Remote end closed|Connection aborted"):
        home.run(raw_api.Tracks)
    assert len(home.column(raw_api.Tracks, "track_id")) == 17
