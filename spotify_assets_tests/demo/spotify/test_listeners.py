"""What the demo Spotify tells of a person: profile, top lists, saved tracks, playlists."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spotify_assets.demo.exports import write_library
from spotify_assets.demo.library import PlaylistEntry
from spotify_assets.demo.listener import TruePlay
from spotify_assets_tests.demo.spotify.conftest import NOW, Client


def _exported(plays: list[TruePlay], folder: Path) -> tuple[dict, list[dict]]:
    """(library, playlists) as the export of the same listener tells them."""
    write_library(plays, folder / "library.zip")
    with zipfile.ZipFile(folder / "library.zip") as archive:
        names = {Path(name).name: name for name in archive.namelist() if "MACOSX" not in name}
        library = json.loads(archive.read(names["YourLibrary.json"]))
        return library, json.loads(archive.read(names["Playlist1.json"]))["playlists"]


def test_a_development_app_is_told_little_of_the_profile(client: Client) -> None:
    assert set(client.told("/me")) == {
        *("account_id", "display_name", "external_urls", "href", "id", "images", "type", "uri")
    }


def test_an_extended_app_is_told_the_whole_profile(extended: Client) -> None:
    told = extended.told("/me")
    assert {"account_id", "country", "email", "product", "followers"} <= set(told)
    assert told["country"] == "DE"


def test_mail_and_country_need_scopes_of_their_own(extended: Client) -> None:
    token = extended.demo.tokens.issue("me", ["user-top-read"])
    assert {"country", "email", "product"}.isdisjoint(extended.told("/me", token=token))


def test_account_id_tells_listeners_apart(client: Client) -> None:
    assert client.told("/me")["account_id"] != client.told("/me", listener="you")["account_id"]


def test_top_tracks_are_ranked_by_plays_up_to_midnight(client: Client, plays: list[TruePlay]) -> None:
    midnight = NOW.replace(hour=0)
    counts: Counter[str] = Counter()
    for play in plays:
        if play.track is not None and midnight - timedelta(weeks=4) < play.ended_at <= midnight:
            counts[client.demo.catalogue.relinked(play.track).track_id] += 1
    told = [item["id"] for item in client.told("/me/top/tracks", time_range="short_term", limit=50)["items"]]
    assert len(told) == len(set(told)) == 50
    assert [counts[track_id] for track_id in told] == sorted(counts.values(), reverse=True)[:50]


def test_top_artists_count_every_credited_artist(client: Client, plays: list[TruePlay]) -> None:
    midnight = NOW.replace(hour=0)
    counts: Counter[str] = Counter()
    for play in plays:
        if play.track is not None and midnight - timedelta(days=365) < play.ended_at <= midnight:
            track = client.demo.catalogue.relinked(play.track)
            counts.update(artist.artist_id for artist in client.demo.catalogue.credits(track))
    told = [item["id"] for item in client.told("/me/top/artists", time_range="long_term", limit=50)["items"]]
    assert [counts[artist_id] for artist_id in told] == sorted(counts.values(), reverse=True)[:50]


def test_the_three_ranges_differ_and_the_middle_one_is_the_default(client: Client) -> None:
    ranges = ["short_term", "medium_term", "long_term"]
    told = [client.told("/me/top/tracks", time_range=name, limit=50)["items"] for name in ranges]
    assert told[0] != told[1] != told[2]
    assert client.told("/me/top/tracks", limit=50)["items"] == told[1]
    assert client.refused("/me/top/tracks", time_range="all_time")[0] == 400


def test_top_artists_lack_popularity_and_followers_in_development_only(client: Client, extended: Client) -> None:
    full = extended.told("/me/top/artists")["items"]
    assert all({"popularity", "followers", "genres"} <= set(artist) for artist in full)


def test_development_top_artists_have_no_popularity(client: Client) -> None:
    told = client.told("/me/top/artists")["items"]
    assert all({"popularity", "followers"}.isdisjoint(artist) for artist in told)
    assert all("genres" in artist for artist in told)


def test_saved_tracks_are_those_of_the_export(client: Client, plays: list[TruePlay], tmp_path: Path) -> None:
    client.clock.set(datetime(2025, 3, 1, tzinfo=UTC))
    library, _ = _exported(plays, tmp_path)
    saved = client.pages("/me/tracks", limit=50)
    assert {item["track"]["uri"] for item in saved} == {track["uri"] for track in library["tracks"]}
    assert [item["added_at"] for item in saved] == sorted((item["added_at"] for item in saved), reverse=True)


def test_what_will_be_saved_later_is_not_told_yet(client: Client) -> None:
    client.clock.set(datetime(2023, 1, 1, tzinfo=UTC))
    early = client.pages("/me/tracks", limit=50)
    assert early
    assert all(item["added_at"] <= "2023-01-01" for item in early)


def test_own_playlists_are_those_of_the_export(client: Client, plays: list[TruePlay], tmp_path: Path) -> None:
    client.clock.set(datetime(2025, 3, 1, tzinfo=UTC))
    _, exported = _exported(plays, tmp_path)
    me = client.told("/me")["id"]
    own = [each for each in client.pages("/me/playlists", limit=3) if each["owner"]["id"] == me]
    assert [each["name"] for each in own] == [each["name"] for each in exported]
    for told, truth in zip(own, exported, strict=True):
        items = client.pages(f"/playlists/{told['id']}/items", limit=20)
        assert told["items"]["total"] == len(items) == len(truth["items"])
        uris = [(each["item"] or {}).get("uri") for each in items]
        for uri, entry in zip(uris, truth["items"], strict=True):
            kinds = [entry[name] for name in ("track", "episode", "localTrack") if entry[name]]
            expected = [value for kind in kinds for name, value in kind.items() if name.lower().endswith("uri")]
            assert uri in (*expected, None)


def test_a_playlist_holds_tracks_an_episode_a_local_file_and_nothing(client: Client) -> None:
    client.clock.set(datetime(2025, 3, 1, tzinfo=UTC))
    playlist = client.demo.accounts["me"].playlists[0]
    entries = client.pages(f"/playlists/{playlist.playlist_id}/items", limit=50)
    kinds = Counter(entry["item"]["type"] if entry["item"] else None for entry in entries)
    assert kinds["track"] > 30
    assert kinds["episode"] == 1 and kinds[None] >= 1
    (local,) = [entry["item"] for entry in entries if entry["is_local"]]
    assert (local["id"], local["name"], local["artists"][0]["name"]) == (None, "Demo 1", "Skörvik")
    assert local["uri"].startswith("spotify:local:")


def test_entries_wrap_item_in_development(client: Client) -> None:
    playlist = client.demo.accounts["me"].playlists[0]
    (entry,) = client.told(f"/playlists/{playlist.playlist_id}/items", limit=1)["items"]
    assert set(entry) == {"added_at", "added_by", "is_local", "item"}
    assert client.refused(f"/playlists/{playlist.playlist_id}/tracks")[0] == 403


def test_entries_wrap_both_names_or_track_in_the_old_cohort(extended: Client) -> None:
    playlist = extended.demo.accounts["me"].playlists[0]
    (both,) = extended.told(f"/playlists/{playlist.playlist_id}/items", limit=1)["items"]
    assert both["item"] == both["track"]
    (old,) = extended.told(f"/playlists/{playlist.playlist_id}/tracks", limit=1)["items"]
    assert "item" not in old and old["track"] == both["track"]


def test_the_summary_of_a_playlist_has_another_name_in_each_cohort(client: Client) -> None:
    new = client.told("/me/playlists", limit=1)["items"][0]
    assert set(new["items"]) == {"href", "total"} and "tracks" not in new


def test_the_old_cohort_is_told_the_summary_as_tracks(extended: Client) -> None:
    old = extended.told("/me/playlists", limit=1)["items"][0]
    assert set(old["tracks"]) == {"href", "total"} and "items" not in old


def _by_owner(client: Client, owner: str) -> str:
    return next(each["id"] for each in client.told("/me/playlists")["items"] if each["owner"]["id"] == owner)


def test_a_development_app_may_not_read_playlists_of_others(client: Client) -> None:
    assert client.refused(f"/playlists/{_by_owner(client, 'demo-somebody')}/items") == (403, "Forbidden")
    assert client.told(f"/playlists/{_by_owner(client, 'demo-flatmate')}/items")["total"] > 50


def test_an_extended_app_may_read_playlists_of_others(extended: Client) -> None:
    assert extended.told(f"/playlists/{_by_owner(extended, 'demo-somebody')}/items")["items"]


@pytest.mark.parametrize("cohort", ["client", "extended"])
def test_editorial_playlists_are_hidden_from_everybody(cohort: str, request: pytest.FixtureRequest) -> None:
    client: Client = request.getfixturevalue(cohort)
    assert client.refused(f"/playlists/{_by_owner(client, 'spotify')}/items")[0] == 404


def test_a_changed_playlist_has_another_snapshot(client: Client) -> None:
    playlist = client.demo.accounts["me"].playlists[2]
    path = f"/playlists/{playlist.playlist_id}/items"

    def snapshots() -> dict[str, str]:
        return {each["id"]: each["snapshot_id"] for each in client.told("/me/playlists")["items"]}

    before = snapshots()
    assert snapshots() == before
    track = next(iter(client.demo.catalogue.tracks.values()))
    entry = PlaylistEntry("track", NOW, track=track)
    playlist.entries.append(entry)
    try:
        changed = {each for each, snapshot in snapshots().items() if snapshot != before[each]}
        assert changed == {playlist.playlist_id}
        assert client.pages(path)[-1]["item"]["uri"] == track.uri
        playlist.entries[-1] = replace(entry, added_at=NOW + timedelta(days=1))
        assert snapshots() == before
    finally:
        playlist.entries.pop()


def test_collaborative_playlists_need_their_scope(client: Client) -> None:
    token = client.demo.tokens.issue("me", ["playlist-read-private"])
    told = client.told("/me/playlists", token=token)["items"]
    assert not any(each["collaborative"] for each in told)
    assert any(each["collaborative"] for each in client.told("/me/playlists")["items"])
