"""Objects of the Web API, whole, short, old or odd."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.transforms import objects
from spotify_assets_tests.transforms.telling import (
    TOLD_AT,
    Telling,
    artist_object,
    chosen,
    spotify_id,
    told_objects,
    track_object,
)

LATER = TOLD_AT + timedelta(days=1)


def _track(told: Any, **about: Any) -> dict[str, Any]:
    return told_objects(tracks=[Telling("x", told, **about)]).tracks.row(0, named=True)


def _album(**told: Any) -> dict[str, Any]:
    return told_objects(albums=[Telling("x", told)]).albums.row(0, named=True)


def _artist(**told: Any) -> dict[str, Any]:
    return told_objects(artists=[Telling("x", told)]).artists.row(0, named=True)


def test_a_track_tells_everything_that_the_old_rules_allow():
    row = _track(
        track_object(
            "Song",
            "Band",
            "Guest",
            explicit=True,
            disc_number=2,
            track_number=7,
            popularity=61,
            external_ids={"isrc": "USABC1234567"},
            available_markets=["DE"],
        )
    )
    assert (row["name"], row["duration_ms"], row["isrc"], row["explicit"]) == ("Song", 200_000, "USABC1234567", True)
    assert (row["disc_number"], row["track_number"]) == (2, 7)
    assert (row["popularity"], row["popularity_on"]) == (61, TOLD_AT.date())
    assert (row["album_id"], row["album_name"]) == (spotify_id("album"), "Album")
    assert [each["name"] for each in row["credits"]] == ["Band", "Guest"]


def test_what_the_new_rules_do_not_tell_is_null():
    row = _track(track_object(external_ids={"isrc": "USABC1234567"}))
    assert (row["popularity"], row["popularity_on"], row["explicit"]) == (None, None, None)
    assert row["isrc"] == "USABC1234567"


def test_a_later_short_telling_does_not_hide_the_whole_one():
    whole = Telling("x", track_object(external_ids={"isrc": "USABC1234567"}))
    short = Telling("x", {"name": "Song"}, told_at=LATER, is_simplified=True)
    row = told_objects(tracks=[short, whole]).tracks.row(0, named=True)
    assert row["isrc"] == "USABC1234567"


def test_of_whole_tellings_the_newest_counts():
    tellings = [Telling("x", track_object("Old")), Telling("x", track_object("New"), told_at=LATER)]
    for order in (tellings, tellings[::-1]):
        assert told_objects(tracks=order).tracks["name"].to_list() == ["New"]


def test_a_short_telling_counts_where_there_is_no_other():
    assert _track(track_object(), is_simplified=True)["duration_ms"] == 200_000


def test_popularity_stays_with_its_date_when_the_app_is_no_longer_told():
    tellings = [
        Telling("x", track_object("Old", popularity=40)),
        Telling("x", track_object("Old", popularity=50), told_at=TOLD_AT + timedelta(hours=1)),
        Telling("x", track_object("New"), told_at=LATER),
    ]
    row = told_objects(tracks=tellings).tracks.row(0, named=True)
    assert (row["name"], row["popularity"], row["popularity_on"]) == ("New", 50, TOLD_AT.date())


def test_no_more_than_two_tellings_of_an_id_are_parsed():
    tellings = [
        Telling("x", track_object(popularity=number), told_at=TOLD_AT + timedelta(days=number)) for number in range(9)
    ]
    assert chosen(tellings, "track_id").height == 1
    newest = Telling("x", track_object(), told_at=TOLD_AT + timedelta(days=99))
    assert chosen([*tellings, newest], "track_id").height == 2


@pytest.mark.parametrize("popularity", [-1, 101, "61", None, {}, 1e30])
def test_a_popularity_outside_its_scale_or_of_another_kind_is_none(popularity):
    row = _track(track_object(popularity=popularity))
    assert (row["popularity"], row["popularity_on"]) == (None, None)


@pytest.mark.parametrize(
    ("told", "isrc"),
    [("us-abc-12-34567", "USABC1234567"), (" USABC1234567", "USABC1234567"), ("", None), ("12345", None), (7, None)],
)
def test_an_isrc_is_written_one_way_or_is_none(told, isrc):
    assert _track(track_object(external_ids={"isrc": told}))["isrc"] == isrc


def test_a_length_of_zero_is_no_length():
    assert _track(track_object(duration_ms=0))["duration_ms"] is None


@pytest.mark.parametrize("told", [{}, [], None, "text", 5, {"album": None, "artists": None, "external_ids": None}])
def test_a_track_without_anything_is_a_track_of_which_nothing_is_known(told):
    row = _track(told)
    assert {name for name, value in row.items() if value is not None} == {"track_id"}


def test_one_odd_object_spoils_no_other():
    odd = {"name": ["a", "list"], "artists": {"no": "list"}, "album": "no object", "duration_ms": 1234}
    tracks = told_objects(tracks=[Telling("odd", odd), Telling("good", track_object())]).tracks.sort("track_id")
    assert tracks["name"].to_list() == ["Song", None]
    assert tracks["duration_ms"].to_list() == [200_000, 1234]


def test_half_a_character_is_replaced():
    assert _track({"name": "half \ud800", "album": 5})["name"] == "half ?"


@pytest.mark.parametrize(
    ("release_date", "precision", "day"),
    [
        ("1999", "year", date(1999, 1, 1)),
        ("1999-05", "month", date(1999, 5, 1)),
        ("1999-05-04", "day", date(1999, 5, 4)),
        ("0000", "year", None),
        ("1999-13", "month", None),
        ("1999", "day", None),
        (None, None, None),
        ("1999-05-04", None, None),
    ],
)
def test_a_release_date_is_kept_as_told_with_its_precision_and_the_first_day_of_it(release_date, precision, day):
    row = _album(release_date=release_date, release_date_precision=precision)
    assert (row["release_date"], row["release_date_precision"], row["released_on"]) == (release_date, precision, day)


@pytest.mark.parametrize(
    ("images", "url"),
    [
        ([{"url": "s", "width": 64}, {"url": "l", "width": 640}], "l"),
        ([{"url": "first"}, {"url": "second"}], "first"),
        ([{"width": 640}, {"url": "only", "width": 1}, None], "only"),
        ([], None),
        (None, None),
        ("x", None),
    ],
)
def test_the_widest_picture_is_named(images, url):
    assert _album(images=images)["image_url"] == url
    assert _artist(images=images)["image_url"] == url


def test_an_album_tells_type_tracks_label_and_code():
    row = _album(name="A", album_type="ALBUM", total_tracks=12, label="L", external_ids={"upc": "1"}, popularity=3)
    assert (row["album_type"], row["total_tracks"], row["label"], row["upc"]) == ("album", 12, "L", "1")
    assert (row["popularity"], row["popularity_on"]) == (3, TOLD_AT.date())


def test_followers_stay_with_popularity_when_the_app_is_no_longer_told():
    tellings = [
        Telling("x", artist_object("Band", popularity=70, followers={"href": None, "total": 12})),
        Telling("x", artist_object("Band", genres=["pop"]), told_at=LATER),
    ]
    row = told_objects(artists=tellings).artists.row(0, named=True)
    assert (row["popularity"], row["followers"], row["genres"]) == (70, 12, ["pop"])
    assert row["popularity_on"] == TOLD_AT.date()


def test_nothing_told_makes_frames_without_rows():
    told = told_objects()
    assert [told.tracks.height, told.albums.height, told.artists.height] == [0, 0, 0]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "id", "artists", "album", "popularity", "duration_ms", "external_ids", "isrc", "url"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(st.lists(_JSON, min_size=1, max_size=4))
def test_whatever_json_is_told_each_id_has_one_row(told):
    tellings = [Telling(f"x{number}", each) for number, each in enumerate(told)]
    result = told_objects(tellings, [Telling(each.identifier, each.told) for each in tellings], tellings)
    for frame in (result.tracks, result.albums, result.artists):
        assert frame.height == len(told)


_CREDITS = st.lists(st.none() | st.fixed_dictionaries({}, optional={"id": st.none() | st.text()}), max_size=2)
_AS_DOCUMENTED = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | st.text(),
        "explicit": st.none() | st.booleans(),
        "popularity": st.none() | st.integers(-(2**63), 2**63 - 1),
        "artists": st.none() | _CREDITS,
        "unknown": _JSON,
    },
)


@settings(deadline=None, max_examples=60)
@given(st.lists(_AS_DOCUMENTED, max_size=4))
def test_one_odd_object_changes_nothing_in_how_the_others_are_read(told):
    dtype = pl.Struct(
        {
            "name": pl.String,
            "explicit": pl.Boolean,
            "popularity": pl.Int64,
            "artists": pl.List(pl.Struct({"id": pl.String})),
        }
    )
    texts = pl.Series([json.dumps(each) for each in told], dtype=pl.String)
    beside_odd = objects.parsed(pl.concat([texts, pl.Series([json.dumps({"name": []})])]), dtype)
    assert beside_odd[:-1].to_list() == objects.parsed(texts, dtype).to_list()
