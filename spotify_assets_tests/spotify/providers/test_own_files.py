"""A listener's own files: what may vary in them, and that no row is lost silently."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_assets.spotify.providers import (
    ArtistQuestion,
    Budget,
    FeaturesTold,
    Genre,
    GenresTold,
    OwnFeatures,
    OwnGenres,
)

IDS = [f"{number:022d}" for number in range(6)]
BUDGET = Budget(0, 0)


def features(file: Path, content: str | bytes, track_ids: list[str] = IDS) -> FeaturesTold:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return OwnFeatures([file]).ask(track_ids, BUDGET)


def genres(file: Path, content: str | bytes, *artists: str) -> GenresTold:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return OwnGenres([file]).ask([ArtistQuestion(name) for name in artists], BUDGET)


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    return tmp_path / "audio_features.csv"


@pytest.mark.parametrize(
    "text",
    [
        "track_id,energy,tempo\n{id},0.5,120\n",
        "Tempo;Energy;Spotify Track Id\r\n120;0.5;{id}\r\n",
        '\ufeffTrack URI,Track Name,Energy,Tempo\nspotify:track:{id},"a, b",.5,1.2e2\n',
        "uri\tBPM\tENERGY\nhttps://open.spotify.com/track/{id}?si=abc\t120,0\t0,5\n",
        "\n\nid,track_id,energy,tempo\n1,{id},0.5,120,,\n",
        "SpotifyID|ener-gy|tempo\r{id}| 0.5 |120",
    ],
)
def test_names_order_separators_and_number_formats_may_vary(text: str, csv_file: Path) -> None:
    told = features(csv_file, text.replace("{id}", IDS[0]))
    assert told.problems == ()
    assert told.features.select("track_id", "energy", "tempo").rows() == [(IDS[0], 0.5, 120.0)]


def test_a_spreadsheet_s_utf_16_is_read(csv_file: Path) -> None:
    assert features(csv_file, f"id\tenergy\n{IDS[0]}\t0.5\n".encode("utf-16")).features.height == 1


def test_words_for_key_and_mode_are_read(csv_file: Path) -> None:
    told = features(csv_file, f"id,key,mode\n{IDS[0]},C#,Major\n{IDS[1]},Bb,minor\n{IDS[2]},-1,0\n")
    assert told.features.select("key", "mode").rows() == [(1, 1), (10, 0), (-1, 0)]


def test_a_missing_value_is_null_and_an_unusable_one_is_counted(csv_file: Path) -> None:
    told = features(csv_file, f"id,energy,tempo,key\n{IDS[0]},,0,3\n{IDS[1]},NaN,120,12\n{IDS[2]},0,1e400,\n")
    assert told.features.select("energy", "tempo", "key").rows() == [
        (None, None, 3),
        (None, 120.0, None),
        (0, None, None),
    ]
    assert told.unusable_values == 4


def test_every_bad_row_is_named_and_the_rest_is_taken(csv_file: Path) -> None:
    told = features(
        csv_file,
        f'id,name,energy\nnonsense,x,0.5\n{IDS[0]},"x,0.5\n{IDS[1]},x,0.5,0.6\n{IDS[2]},x,\n\n{IDS[2]},x,0.25\n'
        f"{IDS[2]},x,0.75\n{IDS[3]},y,1\n",
    )
    assert told.features.select("track_id", "energy").rows() == [(IDS[2], 0.25), (IDS[3], 1.0)]
    assert told.counts == {"own_rows": 7, "own_rows_rejected": 5}
    assert [int(row) for row in re.findall(r"row (\d+):", told.problems[0])] == [2, 3, 4, 5, 8]
    assert "audio_features.csv" in told.problems[0]


def test_a_file_with_thousands_of_bad_rows_names_twenty(csv_file: Path) -> None:
    told = features(csv_file, "id,energy\n" + "x,1\n" * 3000)
    assert len(re.findall(r"row \d+:", told.problems[0])) == 20
    assert "2,980 more" in told.problems[0]


@pytest.mark.parametrize("content", [b"", b"\n", b"energy,tempo\n1,2\n", b"\x00\xff\xfe\x80" * 50])
def test_a_file_without_a_column_of_ids_says_which_names_would_do(content: bytes, csv_file: Path) -> None:
    told = features(csv_file, content)
    assert not told.has_answered
    assert "trackuri" in told.problems[0]


def test_no_file_is_no_problem(csv_file: Path) -> None:
    told = OwnFeatures([csv_file]).ask(IDS, BUDGET)
    assert told.problems == ()
    assert not told.has_answered


def test_of_two_files_the_first_is_read_and_the_other_named(csv_file: Path) -> None:
    other = csv_file.with_suffix(".parquet")
    pl.DataFrame({"id": IDS, "energy": 0.75}).write_parquet(other)
    csv_file.write_text(f"id,energy\n{IDS[0]},0.5\n")
    told = OwnFeatures([csv_file, other]).ask(IDS, BUDGET)
    assert told.features["energy"].to_list() == [0.5]
    assert "audio_features.parquet is not read" in told.problems[0]


def test_only_tracks_that_are_asked_for_are_told(csv_file: Path) -> None:
    text = "id,energy\n" + "".join(f"{track_id},0.5\n" for track_id in IDS)
    assert features(csv_file, text, IDS[1:3]).features["track_id"].to_list() == IDS[1:3]


def test_parquet_columns_of_any_type_are_read_or_counted(tmp_path: Path) -> None:
    file = tmp_path / "audio_features.parquet"
    pl.DataFrame(
        {
            "Spotify URI": [f"spotify:track:{IDS[0]}", IDS[1], None],
            "energy": pl.Series([0.5, float("nan"), 0.1], dtype=pl.Float32),
            "key": pl.Series([1, 2, 3], dtype=pl.UInt8),
            "tempo": ["120", "fast", None],
            "valence": [[0.5], [], None],
            "mode": pl.Series(["Major", "minor", "major"], dtype=pl.Categorical),
        }
    ).write_parquet(file)
    told = OwnFeatures([file]).ask(IDS, BUDGET)
    assert told.features.select("energy", "key", "tempo", "valence", "mode").rows() == [
        (0.5, 1, 120.0, None, 1),
        (None, 2, None, None, 0),
    ]
    assert told.unusable_values == 4
    assert "row 3: no Spotify id" in told.problems[0]


@given(content=st.binary(max_size=200) | st.binary(max_size=30).map(lambda part: b"PAR1" + part + b"PAR1"))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_no_parquet_file_is_told_and_nothing_else_happens(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "audio_features.parquet"
    file.write_bytes(content)
    told = OwnFeatures([file]).ask(IDS, BUDGET)
    assert not told.has_answered
    assert "Parquet" in told.problems[0]


def test_a_parquet_file_that_was_cut_off_tells_nothing(tmp_path: Path) -> None:
    file = tmp_path / "audio_features.parquet"
    pl.DataFrame({"id": IDS, "energy": 0.75}).write_parquet(file)
    whole = file.read_bytes()
    for size in range(0, len(whole), 7):
        file.write_bytes(whole[:size])
        assert not OwnFeatures([file]).ask(IDS, BUDGET).has_answered


junk = st.text(max_size=12) | st.sampled_from(
    [*IDS, f"spotify:track:{IDS[0]}", "0.5", "1", "-1", "", '"', '""', ",", ";", "\t", "NaN", "1e999", "\x00", "\u2028"]
)
lines = st.lists(st.lists(junk, min_size=1, max_size=6).map(",".join), max_size=30)


@given(lines=lines, ending=st.sampled_from(["\n", "\r\n", "\r"]))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_taken_and_rows_rejected_are_the_rows_of_the_file(lines: list[str], ending: str, csv_file: Path) -> None:
    text = ending.join(["id,energy,key,isrc", *lines]).encode("utf-8", "replace")
    told = features(csv_file, text)
    rows = [line for line in re.split("\r\n|\n|\r", text.decode())[1:] if line.strip()]
    assert told.counts["own_rows"] == len(rows)
    assert told.counts["own_rows"] - told.counts["own_rows_rejected"] == told.features.height
    assert bool(told.problems) == bool(told.counts["own_rows_rejected"])


@given(lines=lines)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_of_genres_taken_and_rejected_are_the_rows_of_the_file(lines: list[str], csv_file: Path) -> None:
    text = "\n".join(["artist,genre", *lines]).encode("utf-8", "replace")
    told = genres(csv_file, text)
    rows = [line for line in re.split("\r\n|\n|\r", text.decode())[1:] if line.strip()]
    assert told.counts["own_rows"] == len(rows)


column = st.sampled_from(["id", "energy", "key", "mode", "tempo", "isrc", "genre"])
values = st.none() | st.integers(-(2**40), 2**40) | st.floats() | junk | st.booleans() | st.binary(max_size=9)


@given(table=st.dictionaries(column, st.lists(values, min_size=4, max_size=4), min_size=1, max_size=5))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_parquet_file_is_taken_rejected_or_refused_as_a_whole(table: dict[str, list], tmp_path: Path) -> None:
    file = tmp_path / "audio_features.parquet"
    frame = pl.DataFrame({name: pl.Series(each, strict=False) for name, each in table.items()})
    frame = frame.select(pl.exclude(pl.Object))
    frame.write_parquet(file)
    told = OwnFeatures([file]).ask(IDS, BUDGET)
    if told.has_answered:
        assert told.counts["own_rows"] == frame.height
        assert told.counts["own_rows"] - told.counts["own_rows_rejected"] == told.features.height
    else:
        assert told.problems


def test_genres_are_matched_without_regard_to_case_and_blanks(csv_file: Path) -> None:
    told = genres(
        csv_file, "Artist;Genre\n  the  ODD Ones;dub\nThe odd ones;Jazz\nNobody;pop\n", "The Odd Ones", "Else"
    )
    assert told.genres == {"The Odd Ones": [Genre("Jazz"), Genre("dub")]}
    assert told.problems == ()


def test_bad_rows_of_genres_are_named(csv_file: Path) -> None:
    told = genres(csv_file, b"artist,genre\nA,\n,dub\nA,dub\na, dub \nBj\xf6rk,pop\nA,dub,x\n", "A")
    assert told.genres == {"A": [Genre("dub")]}
    assert [int(row) for row in re.findall(r"row (\d+):", told.problems[0])] == [2, 3, 5, 6, 7]
    assert "UTF-8" in told.problems[0]
