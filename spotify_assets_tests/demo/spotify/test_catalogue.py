from __future__ import annotations

import re
from collections import Counter
from datetime import date

import pytest

from spotify_assets.demo.catalogue import fold
from spotify_assets.demo.listener import DemoListener, TruePlay
from spotify_assets.demo.spotify.catalogue import WholeCatalogue, audio_features
from spotify_assets_tests.demo.spotify.conftest import Client

UNKNOWN_ID = "0" * 22


@pytest.fixture(scope="module")
def catalogue(listener: DemoListener, plays: list[TruePlay]) -> WholeCatalogue:
    first_played_on: dict[str, date] = {}
    for play in plays:
        if play.track is not None:
            first_played_on.setdefault(play.track.album.album_id, play.started_at.date())
    return WholeCatalogue([listener.catalogue], first_played_on)


def test_every_id_has_22_characters_and_stands_for_one_thing(catalogue: WholeCatalogue) -> None:
    ids = [*catalogue.tracks, *catalogue.albums, *catalogue.artists]
    assert len(ids) == len(set(ids)) > 5000
    assert all(re.fullmatch(r"[0-9A-Za-z]{22}", each) for each in ids)


def test_the_same_listener_gives_the_same_catalogue(listener: DemoListener, catalogue: WholeCatalogue) -> None:
    again = WholeCatalogue([listener.catalogue])
    assert again.tracks == catalogue.tracks and again.albums == catalogue.albums


def test_an_album_has_as_many_tracks_as_it_says(catalogue: WholeCatalogue) -> None:
    for album in catalogue.albums.values():
        assert [track.track_number for track in catalogue.tracks_of(album)] == list(range(1, album.total_tracks + 1))


def test_release_dates_of_every_precision_are_there_and_none_is_after_the_first_play(
    catalogue: WholeCatalogue, plays: list[TruePlay]
) -> None:
    kinds: Counter[str] = Counter()
    for play in plays:
        if play.track is not None:
            released, precision = catalogue.release_date(play.track.album)
            kinds["0000" if released == "0000" else precision] += 1
            assert released <= f"{play.started_at:%Y-%m-%d}"
            assert len(released) == {"year": 4, "month": 7, "day": 10}[precision]
    assert set(kinds) == {"0000", "year", "month", "day"}


def test_upcs_have_a_true_check_digit_and_are_nearly_unique(catalogue: WholeCatalogue) -> None:
    upcs = [catalogue.upc(album) for album in catalogue.albums.values()]
    assert len(set(upcs)) > 0.999 * len(upcs)
    for upc in upcs:
        assert re.fullmatch(r"\d{12}", upc)
        assert sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(upc)) % 10 == 0


def test_the_artist_whom_the_export_names_is_always_credited(catalogue: WholeCatalogue) -> None:
    first, numbers = Counter(), Counter()
    for track in catalogue.tracks.values():
        credited = catalogue.credits(track)
        assert track.artist in credited and len(set(credited)) == len(credited)
        numbers[len(credited)] += 1
        first[credited[0] == track.artist] += 1
    assert numbers[2] > numbers[3] > 0
    assert first[False] > 0


def test_all_ids_of_one_recording_have_the_same_credits_and_sound(catalogue: WholeCatalogue) -> None:
    several = [tracks for tracks in catalogue.tracks_by_isrc.values() if len(tracks) > 1]
    assert len(several) > 200
    for tracks in several:
        assert len({frozenset(artist.artist_id for artist in catalogue.credits(track)) for track in tracks}) == 1
        assert all(audio_features(track) == audio_features(tracks[0]) for track in tracks)


def test_one_title_stands_twice_in_many_discographies(catalogue: WholeCatalogue) -> None:
    doubled = 0
    for artist in catalogue.artists.values():
        titles = Counter(fold(album.name) for group, album in catalogue.discography(artist) if group == "album")
        doubled += max(titles.values(), default=0) > 1
    assert doubled > 30


def test_audio_features_keep_their_ranges(catalogue: WholeCatalogue) -> None:
    shares = ("acousticness", "danceability", "energy", "instrumentalness", "liveness", "speechiness", "valence")
    keys, missing = set(), 0
    for track in list(catalogue.tracks.values())[:3000]:
        told = audio_features(track)
        if told is None:
            missing += 1
            continue
        assert all(0 <= told[name] <= 1 for name in shares)
        assert told["mode"] in (0, 1) and 60 <= told["tempo"] <= 190 and -23 <= told["loudness"] <= -3
        keys.add(told["key"])
    assert keys == set(range(-1, 12))
    assert 100 < missing < 300


def test_some_tracks_are_gone_and_some_are_not_available_everywhere(catalogue: WholeCatalogue) -> None:
    tracks = list(catalogue.tracks.values())
    assert 0 < sum(catalogue.is_gone(track.track_id) for track in tracks) < 0.02 * len(tracks)
    assert 0 < sum(not catalogue.is_available(track, "US") for track in tracks) < 0.05 * len(tracks)


def _relinked(client: Client) -> tuple[str, str]:
    catalogue = client.demo.catalogue
    return next(
        (track_id, other.track_id)
        for track_id, track in catalogue.tracks.items()
        if (other := catalogue.relinked(track)) is not track
        and not catalogue.is_gone(track_id)
        and catalogue.is_available(track, "DE")
    )


def test_where_a_market_is_known_a_relinked_track_has_another_id(client: Client) -> None:
    asked, linked = _relinked(client)
    assert client.told(f"/tracks/{asked}")["id"] == asked
    told = client.told(f"/tracks/{asked}", market="DE")
    assert (told["id"], told["is_playable"]) == (linked, True)
    assert "linked_from" not in told


def test_only_the_old_cohort_is_told_where_a_track_was_linked_from(extended: Client) -> None:
    asked, linked = _relinked(extended)
    told = extended.told(f"/tracks/{asked}", market="from_token")
    assert (told["id"], told["linked_from"]["id"]) == (linked, asked)


def test_relinked_plays_are_told_under_the_other_id(client: Client, plays: list[TruePlay]) -> None:
    catalogue = client.demo.catalogue
    play = next(play for play in plays if play.track and catalogue.relinked(play.track) is not play.track)
    client.clock.set(play.told_at)
    told = client.told("/me/player/recently-played", limit=50)["items"]
    (track,) = [item["track"] for item in told if item["track"]["name"] == play.track.name][:1]
    assert track["id"] == catalogue.relinked(play.track).track_id != play.track.track_id
    assert track["external_ids"]["isrc"] == play.track.isrc


def test_a_development_app_misses_fields_rather_than_finding_null(client: Client) -> None:
    track_id = next(iter(client.demo.catalogue.tracks))
    track = client.told(f"/tracks/{track_id}")
    assert {"popularity", "available_markets", "linked_from"}.isdisjoint(track)
    assert track["external_ids"]["isrc"]
    album = client.told(f"/albums/{track['album']['id']}")
    assert {"label", "popularity", "available_markets"}.isdisjoint(album)
    assert album["external_ids"]["upc"] and album["genres"] == []
    artist = client.told(f"/artists/{track['artists'][0]['id']}")
    assert {"popularity", "followers"}.isdisjoint(artist)


def test_an_extended_app_is_told_every_field(extended: Client) -> None:
    track_id = next(iter(extended.demo.catalogue.tracks))
    track = extended.told(f"/tracks/{track_id}")
    assert 0 <= track["popularity"] <= 100 and track["available_markets"]
    album = extended.told(f"/albums/{track['album']['id']}")
    assert album["label"] and album["tracks"]["total"] == album["total_tracks"]
    artist = extended.told(f"/artists/{track['artists'][0]['id']}")
    assert artist["followers"]["total"] > 0


@pytest.mark.parametrize(("kind", "most"), [("tracks", 50), ("albums", 20), ("artists", 50)])
def test_batches_answer_in_order_with_null_for_what_is_unknown(extended: Client, kind: str, most: int) -> None:
    ids = list(getattr(extended.demo.catalogue, kind))[:most]
    ids[1] = UNKNOWN_ID
    told = extended.told(f"/{kind}", ids=",".join(ids))[kind]
    assert [each and each["id"] for each in told] == [None if each == UNKNOWN_ID else each for each in ids]
    assert extended.refused(f"/{kind}", ids=",".join([*ids, ids[0]])) == (400, "Too many ids requested")


@pytest.mark.parametrize("kind", ["tracks", "albums", "artists"])
def test_a_development_app_may_not_ask_for_batches(client: Client, kind: str) -> None:
    assert client.refused(f"/{kind}", ids=UNKNOWN_ID) == (403, "Forbidden")


@pytest.mark.parametrize("kind", ["tracks", "albums", "artists"])
def test_an_unknown_id_is_not_found_and_a_wrong_one_refused(client: Client, kind: str) -> None:
    assert client.refused(f"/{kind}/{UNKNOWN_ID}")[0] == 404
    assert client.refused(f"/{kind}/no-such-id") == (400, "Invalid base62 id")


def test_a_track_can_be_removed_and_brought_back(extended: Client) -> None:
    catalogue = extended.demo.catalogue
    track_id = next(each for each in catalogue.tracks if not catalogue.is_gone(each))
    catalogue.remove(track_id)
    assert extended.refused(f"/tracks/{track_id}")[0] == 404
    assert extended.told("/tracks", ids=track_id) == {"tracks": [None]}
    catalogue.bring_back(track_id)
    assert extended.told(f"/tracks/{track_id}")["id"] == track_id


def _prolific_artist(client: Client) -> str:
    by_artist = client.demo.catalogue.albums_of_artist
    return max(by_artist, key=lambda each: (len(by_artist[each]), each))


def test_development_pages_of_artist_albums_end_at_ten(client: Client) -> None:
    path = f"/artists/{_prolific_artist(client)}/albums"
    assert client.refused(path, limit=20) == (400, "Invalid limit")
    page = client.told(path)
    assert page["limit"] == len(page["items"]) == 5
    assert all("album_group" not in album for album in page["items"])
    whole = client.pages(path, limit=10, include_groups="album,single,compilation")
    assert {album["id"] for album in whole} == {
        album.album_id for album in client.demo.catalogue.albums_of_artist[_prolific_artist(client)]
    }


def test_artist_albums_come_by_group_and_newest_first(extended: Client) -> None:
    albums = extended.told(f"/artists/{_prolific_artist(extended)}/albums", limit=50)["items"]
    order = ["album", "single", "compilation", "appears_on"]
    keys = [(order.index(album["album_group"]), album["release_date"]) for album in albums]
    assert [group for group, _ in keys] == sorted(group for group, _ in keys)
    for number in range(4):
        dates = [released for group, released in keys if group == number]
        assert dates == sorted(dates, reverse=True)


def test_top_tracks_differ_between_markets(extended: Client) -> None:
    path = f"/artists/{_prolific_artist(extended)}/top-tracks"
    american, german = (extended.told(path, market=market)["tracks"] for market in ("US", "DE"))
    assert len(american) == len(german) == 10
    assert [track["id"] for track in american] != [track["id"] for track in german]
    assert extended.refused(path, market="XX") == (400, "Invalid market code")


def test_a_development_app_may_not_ask_for_top_tracks_but_can_search_for_them(client: Client) -> None:
    artist_id = _prolific_artist(client)
    name = client.demo.catalogue.artists[artist_id].name
    assert client.refused(f"/artists/{artist_id}/top-tracks", market="US") == (403, "Forbidden")
    found = client.told("/search", q=f'artist:"{name}"', type="track", market="US", limit=10)["tracks"]["items"]
    by_them = [track for track in found if any(artist["id"] == artist_id for artist in track["artists"])]
    assert 5 <= len(by_them) <= len(found) == 10


def test_search_finds_tracks_by_isrc_and_albums_by_upc(client: Client) -> None:
    catalogue = client.demo.catalogue
    track = next(track for track in catalogue.tracks.values() if not catalogue.is_gone(track.track_id))
    found = client.told("/search", q=f"isrc:{track.isrc}", type="track")["tracks"]["items"]
    assert track.track_id in [each["id"] for each in found]
    assert {each["external_ids"]["isrc"] for each in found} == {track.isrc}
    upc = catalogue.upc(track.album)
    albums = client.told("/search", q=f"upc:{upc}", type="album")["albums"]["items"]
    assert [catalogue.upc(catalogue.albums[album["id"]]) for album in albums] == [upc]


def test_search_finds_odd_names_whatever_their_symbols(client: Client) -> None:
    for artist in client.demo.catalogue.artists.values():
        if artist.name.isascii() and artist.name.replace(" ", "").isalpha():
            continue
        found = client.told("/search", q=f'artist:"{artist.name}"', type="artist")["artists"]["items"]
        assert artist.artist_id in [each["id"] for each in found]


def test_search_looks_for_free_words_in_all_names(client: Client) -> None:
    told = client.told("/search", q="river", type="track,album,artist")
    assert set(told) == {"tracks", "albums", "artists"}
    for track in told["tracks"]["items"]:
        names = [track["name"], track["album"]["name"], *(artist["name"] for artist in track["artists"])]
        assert any("river" in name.lower() for name in names)


def test_search_pages_are_limited(client: Client) -> None:
    assert client.refused("/search", q="river", type="track", limit=11) == (400, "Invalid limit")
    assert client.refused("/search", q="river", type="track", offset=1001) == (400, "Invalid offset")
    assert client.refused("/search", type="track")[0] == 400
    assert client.refused("/search", q="river", type="song")[0] == 400
    assert client.told("/search", q="river", type="track")["tracks"]["limit"] == 5


def test_an_extended_app_finds_fifty_at_once(extended: Client) -> None:
    assert len(extended.told("/search", q="river", type="track", limit=50)["tracks"]["items"]) == 50
    assert extended.refused("/search", q="river", type="track", limit=51) == (400, "Invalid limit")


def test_audio_features_answer_for_a_hundred_ids(extended: Client) -> None:
    catalogue = extended.demo.catalogue
    ids = [each for each in catalogue.tracks if not catalogue.is_gone(each)][:99]
    told = extended.told("/audio-features", ids=",".join([*ids, UNKNOWN_ID]))["audio_features"]
    assert told[-1] is None
    for track_id, features in zip(ids, told, strict=False):
        assert (features is None) == (audio_features(catalogue.tracks[track_id]) is None)
        assert features is None or features["id"] == track_id
    assert extended.refused("/audio-features", ids=",".join([UNKNOWN_ID] * 101))[0] == 400


def test_audio_features_are_refused_with_an_empty_body_in_development(client: Client) -> None:
    response = client.ask("/audio-features", ids=UNKNOWN_ID)
    assert (response.status_code, response.content) == (403, b"")


@pytest.mark.parametrize(
    "path", ["/recommendations", f"/artists/{UNKNOWN_ID}/related-artists", "/browse/featured-playlists"]
)
def test_endpoints_that_are_gone_answer_403_or_404(client: Client, path: str) -> None:
    assert client.ask(path).status_code in (403, 404)
