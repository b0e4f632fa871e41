"""Tracks, albums and artists as the plays name them, and what Spotify and others tell of them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from spotify_assets.schemas import clean, raw_api
from spotify_assets.transforms import catalogue
from spotify_assets_tests.transforms.history import Lakehouse, Row, at, basic, lakehouse_of, track, uri, without_uri
from spotify_assets_tests.transforms.telling import Telling, artist_object, spotify_id, told_objects, track_object

pytestmark = pytest.mark.usefixtures("small_frames")


def _catalogue(*rows: Row) -> dict[str, pl.DataFrame]:
    return lakehouse_of(rows).catalogue()


def _only(table: pl.DataFrame) -> dict[str, Any]:
    assert table.height == 1
    return table.row(0, named=True)


def test_there_is_one_row_for_each_track_album_and_artist():
    tables = _catalogue(
        track(at(0)), track(at(300), name="Other"), track(at(600)), track(at(900), artist="Other Band", album=None)
    )
    assert tables["tracks"]["track_key"].to_list() == ["band / other", "band / song", "other band / song"]
    assert tables["albums"]["album_key"].to_list() == ["band / album"]
    assert tables["artists"]["artist_key"].to_list() == ["band", "other band"]


@pytest.mark.parametrize("table", ["tracks", "albums", "artists"])
def test_plays_and_listening_time_are_summed_up_and_dated(table):
    row = _only(_catalogue(track(at(0), 1000), track(at(days=1), 2000))[table])
    assert (row["plays"], row["ms_played"]) == (2, 3000)
    assert (row["first_played_at"], row["last_played_at"]) == (at(0), at(days=1))


def test_a_play_counts_once_whatever_its_copies():
    assert _only(_catalogue(*[track()] * 3)["tracks"])["plays"] == 1


def test_the_most_played_spelling_is_the_name():
    rows = [track(at(0), name="SONG", artist="BAND", album="ALBUM"), track(at(300)), track(at(600))]
    tables = _catalogue(*rows)
    assert _only(tables["tracks"])["track_name"] == "Song"
    assert _only(tables["albums"])["album_name"] == "Album"
    assert _only(tables["artists"])["artist_name"] == "Band"


def test_of_spellings_played_equally_often_the_same_wins_in_any_order():
    rows = [track(at(0), name="SONG"), track(at(300), name="Song")]
    assert [_only(_catalogue(*order)["tracks"])["track_name"] for order in (rows, rows[::-1])] == ["SONG", "SONG"]


def test_a_track_stands_on_the_album_that_it_was_mostly_played_from():
    rows = [track(at(0), album="Single"), track(at(300), album="Album"), track(at(600), album="Album")]
    row = _only(_catalogue(*rows)["tracks"])
    assert (row["album_key"], row["album_name"]) == ("band / album", "Album")


def test_plays_without_an_album_do_not_hide_the_album():
    rows = [basic(track(at(minutes=number))) for number in range(3)]
    assert _only(_catalogue(*rows, track(at(minutes=10)))["tracks"])["album_name"] == "Album"


def test_a_track_has_its_most_played_uri_and_the_id_of_it():
    rows = [track(at(0), track_uri=uri("x")), track(at(300), track_uri=uri("y")), track(at(600), track_uri=uri("y"))]
    row = _only(_catalogue(*rows)["tracks"])
    assert (row["track_uri"], row["track_id"]) == (uri("y"), uri("y").removeprefix("spotify:track:"))


def test_plays_without_a_uri_do_not_hide_the_uri():
    rows = [without_uri(track(at(0))), without_uri(track(at(300))), track(at(600), track_uri=uri("x"))]
    assert _only(_catalogue(*rows)["tracks"])["track_uri"] == uri("x")


def test_a_track_that_no_source_gave_a_uri_has_none():
    row = _only(_catalogue(without_uri(track(at(0), album=None)))["tracks"])
    assert [row[name] for name in ("track_uri", "track_id", "album_key", "album_name")] == [None] * 4


def test_the_length_of_a_track_is_its_longest_finished_play():
    rows = [track(at(0), 200_000), track(at(300), 190_000), track(at(900), 300_000, reason_end="endplay")]
    assert _only(_catalogue(*rows)["tracks"])["length_ms"] == 200_000


def test_a_track_that_was_never_finished_has_no_length():
    assert _only(_catalogue(track(at(0), reason_end="fwdbtn"))["tracks"])["length_ms"] is None


def test_different_tracks_of_an_album_and_albums_of_an_artist_are_counted():
    rows = [track(at(0)), track(at(300), name="Other"), track(at(600), name="Other", album="Second")]
    tables = _catalogue(*rows)
    assert tables["albums"].select("album_key", "tracks").rows() == [("band / album", 2), ("band / second", 1)]
    assert tables["artists"].select("tracks", "albums").rows() == [(2, 2)]


def test_plays_of_all_listeners_of_the_home_count():
    lakehouse = Lakehouse()
    for listener in ("me", "you"):
        lakehouse.take([track()], listener=listener)
    lakehouse.write()
    assert _only(lakehouse.catalogue()["artists"])["plays"] == 2


def test_episodes_and_tracks_without_names_are_not_in_the_catalogue():
    nameless = {"name": None, "artist": None, "album": None}
    episode = track(at(0), **nameless, track_uri=None, episode_name="Episode", show_name="Show")
    tables = _catalogue(episode, track(at(300), **nameless))
    assert [tables[name].height for name in ("tracks", "albums", "artists")] == [0, 0, 0]


def test_a_renamed_artist_stands_under_the_new_name_alone():
    older = [track(at(0), artist="Old Band", track_uri=uri("x"))]
    newer = [track(ts, artist="New Band", track_uri=uri("x")) for ts in (at(0), at(days=1))]
    tables = lakehouse_of(older, newer).catalogue()
    assert tables["artists"]["artist_key"].to_list() == ["new band"]
    assert tables["tracks"]["track_key"].to_list() == ["new band / song"]


# What Spotify and others tell


def _id_of(track_uri: str) -> str:
    return track_uri.removeprefix("spotify:track:")


def _telling(name: str, told: Any, **about: Any) -> Telling:
    return Telling(_id_of(uri(name)), told, **about)


def _with_told(*rows: Row, **told: Any) -> dict[str, pl.DataFrame]:
    return lakehouse_of(rows).catalogue(told_objects(**told))


def test_a_track_bears_what_is_told_of_its_most_played_uri():
    rows = [track(at(0), track_uri=uri("x")), track(at(300), track_uri=uri("y")), track(at(600), track_uri=uri("y"))]
    tellings = [
        _telling("x", track_object(duration_ms=1)),
        _telling("y", track_object("Song", "Band", "Guest", duration_ms=2, popularity=9, explicit=False)),
    ]
    row = _only(_with_told(*rows, tracks=tellings)["tracks"])
    assert (row["duration_ms"], row["explicit"], row["popularity"]) == (2, False, 9)
    assert (row["artist_id"], row["album_id"]) == (spotify_id("band"), spotify_id("album"))
    assert row["spotify_url"] == f"https://open.spotify.com/track/{_id_of(uri('y'))}"


def test_a_track_bears_the_release_of_the_album_of_its_uri():
    album = Telling("album", {"release_date": "1999-05", "release_date_precision": "month"})
    row = _only(_with_told(track(track_uri=uri("x")), tracks=[_telling("x", track_object())], albums=[album])["tracks"])
    assert (row["release_date"], row["release_date_precision"]) == ("1999-05", "month")


def test_what_is_told_adds_no_row_and_changes_no_name_count_or_time():
    rows = [track(at(0), track_uri=uri("x")), without_uri(track(at(300), name="Other"))]
    tellings = [_telling("x", track_object("Renamed", "Somebody")), _telling("unplayed", track_object())]
    before, after = _catalogue(*rows), _with_told(*rows, tracks=tellings)
    for name in ("tracks", "albums", "artists"):
        kept = before[name].columns[: before[name].columns.index("last_played_at") + 1]
        assert after[name].select(kept).equals(before[name].select(kept)), name


def test_an_album_bears_what_is_told_of_the_album_on_which_its_plays_were():
    told = {
        "album_type": "compilation",
        "release_date": "0000",
        "release_date_precision": "year",
        "total_tracks": 3,
        "label": "Label",
        "images": [{"url": "cover", "width": 640}],
    }
    tables = _with_told(
        track(track_uri=uri("x")), tracks=[_telling("x", track_object())], albums=[Telling("album", told)]
    )
    row = _only(tables["albums"])
    assert (row["album_id"], row["album_type"], row["total_tracks"]) == (spotify_id("album"), "compilation", 3)
    assert (row["release_date"], row["release_date_precision"], row["released_on"]) == ("0000", "year", None)
    assert (row["label"], row["image_url"], row["popularity"]) == ("Label", "cover", None)


def test_an_album_of_the_name_goes_before_one_that_was_played_more():
    rows = [track(at(0), track_uri=uri("x")), *(track(at(300 * n), name="B", track_uri=uri("y")) for n in (1, 2))]
    tellings = [_telling("x", track_object()), _telling("y", track_object("B", album="Album (Deluxe)"))]
    assert _only(_with_told(*rows, tracks=tellings)["albums"])["album_id"] == spotify_id("album")


def test_an_album_that_was_renamed_since_has_an_id_all_the_same():
    row = _only(_with_told(track(track_uri=uri("x")), tracks=[_telling("x", track_object(album="New Name"))])["albums"])
    assert row["album_id"] == spotify_id("new name")


def test_an_artist_bears_what_is_told_of_the_artist_of_this_name_who_is_credited():
    told = artist_object("Band", popularity=70, followers={"total": 5}, images=[{"url": "face", "width": 1}])
    tables = _with_told(
        track(track_uri=uri("x")),
        tracks=[_telling("x", track_object("Song", "Guest", "BAND"))],
        artists=[Telling("band", told), Telling("guest", artist_object("Guest", popularity=1))],
    )
    row = _only(tables["artists"])
    assert (row["artist_id"], row["popularity"], row["followers"], row["image_url"]) == (
        spotify_id("band"),
        70,
        5,
        "face",
    )
    assert row["spotify_url"] == f"https://open.spotify.com/artist/{spotify_id('band')}"


def test_the_artist_of_the_album_counts_where_the_track_credits_others():
    album = {"id": "a", "name": "Album", "artists": [{"id": "ofalbum", "name": "Band"}]}
    tables = _with_told(track(track_uri=uri("x")), tracks=[_telling("x", track_object("Song", "Guest", album=album))])
    assert _only(tables["artists"])["artist_id"] == "ofalbum"


def test_an_artist_whom_no_play_credits_is_known_by_a_name_that_only_one_has():
    only = [Telling("a", artist_object("BAND")), Telling("b", artist_object("Other"))]
    two = [*only, Telling("c", artist_object("band"))]
    ids = [_only(_with_told(track(), artists=artists)["artists"])["artist_id"] for artists in (only, two)]
    assert ids == [spotify_id("a"), None]


def test_null_artists_and_missing_albums_are_taken_as_not_told():
    told = {"name": "Song", "artists": [None, {}, {"name": "Band", "id": None}], "album": None}
    tables = _with_told(track(track_uri=uri("x")), tracks=[_telling("x", told)])
    assert _only(tables["tracks"])["album_id"] is None
    assert _only(tables["artists"])["artist_id"] is None


def test_all_credited_artists_of_a_track_are_named_in_order():
    told = told_objects(tracks=[Telling("x", track_object("Song", "Band", "Guest", "Another"))])
    rows = catalogue.track_artists(told).collect().select(clean.TrackArtists.column_names()).sort("position")
    assert rows["artist_name"].to_list() == ["Band", "Guest", "Another"]
    assert rows.row(1, named=True) == {
        "track_id": spotify_id("x"),
        "position": 2,
        "track_uri": f"spotify:track:{spotify_id('x')}",
        "artist_id": spotify_id("guest"),
        "artist_key": "guest",
        "artist_name": "Guest",
    }


def test_null_credits_leave_no_hole():
    credits = [None, {"id": None, "name": None}, {"id": "a"}, {"name": "B"}]
    told = told_objects(tracks=[Telling("x", {"artists": credits}), Telling("y", {"artists": []})])
    rows = catalogue.track_artists(told).collect().sort("position")
    assert rows.select("position", "artist_id", "artist_name").rows() == [(1, "a", None), (2, None, "B")]


def _genres(
    artists: list[Telling], others: list[tuple[str, str, str]] = (), known: dict[str, str] | None = None
) -> list[tuple[Any, ...]]:
    """Rows (artist_key, genre, source, artist_id) of clean.artist_genres."""
    schema = raw_api.Genres.polars_schema()
    rows = [
        {"source": source, "artist_name": name, "genre": genre, "votes": 1, "fetched_at": at(0)}
        for source, name, genre in others
    ]
    frame = catalogue.artist_genres(
        told_objects(artists=artists),
        pl.LazyFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema),
        pl.LazyFrame(list((known or {}).items()), schema=["artist_key", "artist_id"], orient="row").cast(pl.String),
    )
    table = clean.ArtistGenres.validate(frame.select(clean.ArtistGenres.column_names()).collect())
    return table.sort("artist_key", "genre", "source").select("artist_key", "genre", "source", "artist_id").rows()


def test_genres_of_spotify_and_of_others_stand_beside_each_other():
    rows = _genres([Telling("a", artist_object("Band", genres=["Dream Pop"]))], [("musicbrainz", "BAND", "dream pop")])
    assert rows == [
        ("band", "dream pop", "musicbrainz", None),
        ("band", "dream pop", "spotify", spotify_id("a")),
    ]


def test_a_genre_of_another_source_bears_the_id_of_the_artist_who_was_played():
    assert _genres([], [("own", "Band", "pop")], {"band": "id"}) == [("band", "pop", "own", "id")]


def test_an_artist_without_genres_has_no_row():
    artists = [Telling("a", artist_object("A", genres=[])), Telling("b", artist_object("B", genres=None))]
    assert _genres(artists, [("musicbrainz", "C", "")]) == []


def test_of_two_artists_of_a_name_the_genres_of_the_one_who_was_played_are_told():
    artists = [Telling(name, artist_object("Band", genres=["pop"])) for name in ("a", "b")]
    assert _genres(artists, known={"band": spotify_id("b")}) == [("band", "pop", "spotify", spotify_id("b"))]
