"""Which tracks hold the same recording: by the listener's word, by ISRC, by names and length, or none but itself."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.schemas import clean, raw_api
from spotify_assets.transforms import catalogue, recordings
from spotify_assets.transforms.names import title_key
from spotify_assets_tests.transforms.telling import Telling, spotify_id, told_objects, track_object

_ISRCS = ("DEABC1234567", "USABC1234567", "ZZABC1234567")


@dataclass(frozen=True)
class Track:
    """A track as `known_tracks` gives it."""

    uri: str
    isrc: str | None = None
    seconds: float | None = 200.0
    name: str = "Song"
    artist: str = "Band"
    plays: int = 1


def _known(tracks: list[Track]) -> pl.LazyFrame:
    rows = [
        {
            "track_uri": each.uri,
            "track_id": each.uri,
            "track_name": each.name,
            "artist_name": each.artist,
            "isrc": each.isrc,
            "duration_ms": None if each.seconds is None else int(each.seconds * 1000),
            "plays": each.plays,
            "ms_played": 1000 * each.plays,
        }
        for each in tracks
    ]
    schema = {name: dtype for name, dtype in recordings._KNOWN.items() if name != "track_key"}
    return pl.LazyFrame(rows, schema=schema).with_columns(
        track_key=title_key(pl.col("artist_name"), pl.col("track_name"))
    )


def _held(tracks: list[Track], overrides: dict[str, str] | None = None) -> pl.DataFrame:
    labels = pl.LazyFrame(
        list((overrides or {}).items()), schema={"track_uri": pl.String, "recording": pl.String}, orient="row"
    )
    return recordings.recording_tracks(_known(tracks), labels)


def _together(tracks: list[Track], overrides: dict[str, str] | None = None) -> set[str]:
    """The URIs of each recording joined to a word: `{"ab", "c"}`."""
    held = _held(tracks, overrides).sort("track_uri").group_by("recording_id").agg("track_uri")
    return {"".join(sorted(uris)) for uris in held["track_uri"]}


def _recordings(tracks: list[Track], overrides: dict[str, str] | None = None) -> list[dict[str, Any]]:
    made = recordings.recordings(_held(tracks, overrides).lazy()).select(clean.Recordings.column_names()).collect()
    return clean.Recordings.validate(made).sort("recording_id").to_dicts()


def _rules(tracks: list[Track], overrides: dict[str, str] | None = None) -> list[tuple[str, str, str | None]]:
    held = clean.RecordingTracks.validate(_held(tracks, overrides).select(clean.RecordingTracks.column_names()))
    return held.sort("track_uri").select("track_uri", "rule", "evidence").rows()


def test_tracks_of_one_isrc_are_one_recording_whatever_they_are_called():
    tracks = [Track("a", _ISRCS[0]), Track("b", _ISRCS[0], 300, "Song (Live)", "Other")]
    assert _together(tracks) == {"ab"}
    assert _rules(tracks) == [("a", "isrc", f"ISRC {_ISRCS[0]}"), ("b", "isrc", f"ISRC {_ISRCS[0]}")]


def test_without_an_isrc_names_and_length_decide():
    tracks = [Track("a"), Track("b", seconds=201.5, name=" SONG"), Track("c", seconds=250), Track("d", name="Other")]
    assert _together(tracks) == {"ab", "c", "d"}
    assert _rules(tracks)[:2] == [("a", "names", "band / song, 200.0 s"), ("b", "names", "band / song, 201.5 s")]


def test_a_track_that_nothing_is_like_is_alone():
    assert _rules([Track("a", _ISRCS[0])]) == [("a", "alone", None)]


@pytest.mark.parametrize(("apart", "together"), [(2.0, {"ab"}), (2.001, {"a", "b"})])
def test_lengths_may_lie_two_seconds_apart(apart, together):
    assert _together([Track("a"), Track("b", seconds=200 + apart)]) == together


def test_two_different_isrcs_are_two_recordings_though_names_and_length_are_equal():
    assert _together([Track("a", _ISRCS[0]), Track("b", _ISRCS[1])]) == {"a", "b"}


def test_names_link_a_track_without_an_isrc_with_one_that_has_one():
    tracks = [Track("a", _ISRCS[0]), Track("b")]
    assert _together(tracks) == {"ab"}
    assert [rule for _, rule, _ in _rules(tracks)] == ["names", "names"]


def test_without_a_length_names_prove_nothing():
    assert _together([Track("a", seconds=None), Track("b", seconds=None), Track("c")]) == {"a", "b", "c"}


def test_what_is_linked_over_others_is_linked():
    chain = [
        Track("a", _ISRCS[0], name="One"),
        Track("b", _ISRCS[0], name="Two"),
        Track("c", None, name="Two"),
        Track("d", _ISRCS[1], name="Two", seconds=201),
        Track("e", _ISRCS[1], name="Three"),
        Track("f", None, name="Three"),
    ]
    assert _together(chain) == {"abcdef"}


def test_lengths_are_linked_over_others_only_where_a_track_without_isrc_is_near_both():
    near = [Track("a", _ISRCS[0], 200), Track("b", None, 201.5), Track("c", _ISRCS[1], 203)]
    far = [Track("a", _ISRCS[0], 200), Track("b", None, 202.5), Track("c", _ISRCS[1], 204)]
    assert (_together(near), _together(far)) == ({"abc"}, {"a", "bc"})


def test_conflicting_isrcs_of_one_recording_are_told():
    (row,) = _recordings([Track("a", _ISRCS[1], plays=5), Track("b"), Track("c", _ISRCS[0])])
    assert (row["isrc"], row["isrcs"]) == (_ISRCS[1], 2)
    assert row["conflicting_isrcs"] == f"{_ISRCS[0]}, {_ISRCS[1]}"
    assert row["recording_id"] == f"isrc:{_ISRCS[0]}"


def test_one_isrc_is_no_conflict_and_none_neither():
    rows = _recordings([Track("a", _ISRCS[0]), Track("b", _ISRCS[0]), Track("c", name="Other")])
    assert [(row["isrcs"], row["conflicting_isrcs"]) for row in rows] == [(0, None), (1, None)]


def test_a_recording_is_called_like_its_most_played_track_and_sums_all_up():
    (row,) = _recordings([Track("a", _ISRCS[0], name="Few", plays=2), Track("b", _ISRCS[0], name="Many", plays=3)])
    assert (row["track_name"], row["tracks"], row["plays"], row["ms_played"]) == ("Many", 2, 5, 5000)


# The listener's own word


def test_tracks_of_one_label_are_one_recording():
    tracks = [Track("a", _ISRCS[0]), Track("b", _ISRCS[1], 500, "Other")]
    assert _together(tracks, {"a": "mine", "b": "mine"}) == {"ab"}
    assert _rules(tracks, {"a": "mine", "b": "mine"}) == [("a", "own", "mine"), ("b", "own", "mine")]
    assert {row["recording_id"] for row in _recordings(tracks, {"a": "mine", "b": "mine"})} == {"own:mine"}


def test_a_label_of_its_own_sets_a_track_apart_from_those_of_its_isrc():
    tracks = [Track(uri, _ISRCS[0]) for uri in "abc"]
    assert _together(tracks, {"b": "another"}) == {"ac", "b"}


def test_a_labelled_track_links_no_others():
    tracks = [Track("a", _ISRCS[0], name="One"), Track("b", _ISRCS[0], name="Two"), Track("c", None, name="Two")]
    assert _together(tracks, {"b": "another"}) == {"a", "b", "c"}


def test_a_label_that_looks_like_another_recording_is_none():
    tracks = [Track("a", _ISRCS[0]), Track("b")]
    assert _together(tracks, {"b": f"isrc:{_ISRCS[0]}"}) == {"a", "b"}


def test_a_label_for_an_unknown_track_adds_nothing():
    assert _together([Track("a")], {"z": "mine"}) == {"a"}


# Where tracks are known from


_FEATURES = raw_api.AudioFeatures.polars_schema()


def _from(
    played: list[dict[str, Any]], tellings: list[Telling], features: list[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    spelled = pl.LazyFrame(
        [dict.fromkeys(catalogue.SPELLINGS) | {"plays": 1, "ms_played": 10} | row for row in played],
        schema=catalogue.SPELLINGS,
    )
    of_providers = pl.LazyFrame(
        [dict.fromkeys(_FEATURES) | {"is_known": True, "source": "own"} | row for row in features], schema=_FEATURES
    )
    known = recordings.known_tracks(spelled, told_objects(tracks=tellings), of_providers)
    return known.sort("track_uri").collect().to_dicts()


def _played(name: str, **told: Any) -> dict[str, Any]:
    identifier = spotify_id(name)
    names = {"track_key": "band / played", "track_name": "Played", "artist_name": "Band", "length_ms": 1000}
    return {"track_uri": f"spotify:track:{identifier}", "track_id": identifier, **names, **told}


def test_what_spotify_tells_of_a_track_goes_before_what_the_plays_do():
    (row,) = _from([_played("x")], [Telling("x", track_object("Told", external_ids={"isrc": _ISRCS[0]}))])
    assert (row["track_key"], row["duration_ms"], row["isrc"]) == ("band / told", 200_000, _ISRCS[0])
    assert row["plays"] == 1


def test_a_track_that_was_only_played_has_names_and_length_of_its_plays():
    (row,) = _from([_played("x"), _played("x", track_name="PLAYED", length_ms=900, plays=3)], [])
    assert (row["track_key"], row["track_name"], row["duration_ms"]) == ("band / played", "PLAYED", 1000)
    assert (row["plays"], row["ms_played"], row["isrc"]) == (4, 20, None)


def test_a_track_that_was_never_played_is_known_too():
    (row,) = _from([], [Telling("x", track_object())])
    assert (row["track_uri"], row["plays"], row["ms_played"]) == (f"spotify:track:{spotify_id('x')}", 0, 0)


def test_a_provider_of_features_may_tell_the_isrc_that_spotify_does_not():
    features = [{"track_id": spotify_id(name), "isrc": _ISRCS[1]} for name in "xyz"]
    told = [Telling("y", track_object(external_ids={"isrc": _ISRCS[0]}))]
    assert [row["isrc"] for row in _from([_played("x")], told, features)] == [_ISRCS[1], _ISRCS[0]]


def test_a_local_file_is_a_track_without_an_id():
    (row,) = _from([_played("x", track_uri="spotify:local:a", track_id=None)], [])
    assert (row["track_uri"], row["track_id"]) == ("spotify:local:a", None)


# Invariants

_tracks = st.lists(
    st.builds(
        Track,
        uri=st.sampled_from("abcdefghijkl"),
        isrc=st.none() | st.sampled_from(_ISRCS),
        seconds=st.none() | st.integers(0, 8).map(lambda number: 200 + number / 2),
        name=st.sampled_from(["Song", "Other"]),
        plays=st.integers(0, 3),
    ),
    max_size=10,
    unique_by=lambda each: each.uri,
)
_labels = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["one", "two"]), max_size=4)


def _are_linked(one: Track, other: Track) -> bool:
    if one.isrc and other.isrc:
        return one.isrc == other.isrc
    if one.seconds is None or other.seconds is None:
        return False
    return one.name == other.name and abs(one.seconds - other.seconds) <= recordings.TOLERANCE_MS / 1000


def _expected(tracks: list[Track], labels: dict[str, str]) -> set[str]:
    """Components by comparing every pair."""
    parts = {each.uri: {each.uri} for each in tracks}
    for one, other in combinations(tracks, 2):
        named = (labels.get(one.uri), labels.get(other.uri))
        if named[0] == named[1] if any(named) else _are_linked(one, other):
            joined = parts[one.uri] | parts[other.uri]
            parts |= dict.fromkeys(joined, joined)
    return {"".join(sorted(part)) for part in parts.values()}


@settings(deadline=None, max_examples=150)
@given(_tracks, _labels)
def test_recordings_are_what_comparing_every_pair_gives(tracks, labels):
    assert _together(tracks, labels) == _expected(tracks, labels)


@settings(deadline=None, max_examples=60)
@given(_tracks, _labels, st.randoms())
def test_the_order_of_the_rows_changes_nothing(tracks, labels, chance: random.Random):
    shuffled = chance.sample(tracks, len(tracks))
    first, second = (_held(rows, labels).sort("track_uri") for rows in (tracks, shuffled))
    assert first.equals(second)
    first, second = (_recordings(rows, labels) for rows in (tracks, shuffled))
    assert first == second


@settings(deadline=None, max_examples=60)
@given(_tracks, _labels)
def test_every_track_is_in_one_recording_and_every_recording_has_its_tracks(tracks, labels):
    held = _held(tracks, labels)
    assert sorted(held["track_uri"]) == sorted(each.uri for each in tracks)
    made = _recordings(tracks, labels)
    assert {row["recording_id"]: row["tracks"] for row in made} == dict(held.group_by("recording_id").len().iter_rows())
    assert sum(row["plays"] for row in made) == sum(each.plays for each in tracks)


@settings(deadline=None, max_examples=60)
@given(_tracks, _labels)
def test_labelling_every_recording_as_it_is_changes_nothing(tracks, labels):
    held = _held(tracks, labels)
    as_it_is = dict(held.select("track_uri", "recording_id").iter_rows())
    assert _together(tracks, as_it_is) == _together(tracks, labels)
