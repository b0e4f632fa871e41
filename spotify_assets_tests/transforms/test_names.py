from __future__ import annotations

import polars as pl
import pytest

from spotify_assets.transforms.names import artist_key, title_key, with_keys


def _artist(name: str | None) -> str | None:
    return pl.select(artist_key(pl.lit(name, dtype=pl.String))).item()


def _title(artist: str | None, title: str | None) -> str | None:
    return pl.select(title_key(pl.lit(artist, dtype=pl.String), pl.lit(title, dtype=pl.String))).item()


@pytest.mark.parametrize("name", ["Björk", "BJÖRK", "  Björk\t", "Bjo\u0308rk"])
def test_an_artist_has_one_key_in_every_case_form_and_spacing(name):
    assert _artist(name) == "björk"


def test_runs_of_blanks_count_as_one():
    assert _artist("Nina \u00a0 Simone") == "nina simone"


@pytest.mark.parametrize("name", [None, "", " \n"])
def test_no_name_has_no_key(name):
    assert _artist(name) is None
    assert _title("Band", name) is None


def test_a_slash_in_a_name_cannot_be_taken_for_the_separator():
    assert _title("a / b", "c") != _title("a", "b / c")
    assert _title("AC/DC", "T.N.T.") == "ac//dc / t.n.t."


def test_a_title_without_artist_has_a_key_of_its_own():
    assert _title(None, "Song") == " / song"


def test_keys_of_a_frame_equal_the_keys_of_its_names():
    frame = pl.LazyFrame({"artist_name": ["A/B", None], "track_name": ["T", "U"], "album_name": [None, "V"]})
    assert with_keys(frame).select("artist_key", "track_key", "album_key").collect().rows() == [
        ("a//b", "a//b / t", None),
        (None, " / u", " / v"),
    ]
