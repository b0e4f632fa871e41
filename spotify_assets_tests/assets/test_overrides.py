"""recordings.csv: what a listener says about recordings, and how a file that cannot be used is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotify_assets.assets.clean.overrides import read_overrides

_ID = "4uLU6hMCjMI75M1A2tKUQC"
_URI = f"spotify:track:{_ID}"


def _read(folder: Path, text: str | bytes) -> tuple[dict[str, str], tuple[str, ...]]:
    file = folder / "recordings.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    overrides = read_overrides(file)
    return dict(overrides.rows.iter_rows()), overrides.faults


def test_without_a_file_nothing_is_said(tmp_path):
    overrides = read_overrides(tmp_path / "recordings.csv")
    assert overrides.rows.is_empty() and overrides.faults == ()


@pytest.mark.parametrize(
    "track",
    [
        _URI,
        f"https://open.spotify.com/track/{_ID}",
        f"https://open.spotify.com/intl-de/track/{_ID}?si=abc",
        f"  {_URI} ",
    ],
)
def test_a_track_is_named_by_its_uri_or_link(track, tmp_path):
    assert _read(tmp_path, f"track_uri,recording\n{track},Mine\n") == ({_URI: "Mine"}, ())


def test_a_local_file_is_named_by_its_uri(tmp_path):
    assert _read(tmp_path, "track_uri,recording\nspotify:local:a:b:c:1,Mine\n")[0] == {"spotify:local:a:b:c:1": "Mine"}


@pytest.mark.parametrize(
    "text",
    [
        f"recording,note,track_uri\nMine,x,{_URI}\n",
        f"track_uri;recording\n{_URI};Mine\n",
        f"\ufefftrack_uri,recording\r\n{_URI},Mine\r\n\r\n,\r\n",
        f'track_uri,recording\n{_URI},"Mine"',
    ],
)
def test_spreadsheets_may_write_it_their_way(text, tmp_path):
    assert _read(tmp_path, text) == ({_URI: "Mine"}, ())


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("something,Mine", "no URI of a track"),
        ("spotify:album:4uLU6hMCjMI75M1A2tKUQC,Mine", "no URI of a track"),
        (f"{_URI},", "recording is empty"),
        (f"{_URI}", "recording is empty"),
    ],
)
def test_a_line_that_cannot_be_used_is_left_out_and_named_by_its_number_alone(line, why, tmp_path):
    rows, faults = _read(tmp_path, f"track_uri,recording\n{line}\nspotify:local:x,Other\n")
    assert rows == {"spotify:local:x": "Other"}
    (fault,) = faults
    assert "line 2" in fault and why in fault and "Mine" not in fault and line not in fault


def test_a_track_that_stands_there_twice_keeps_its_first_recording(tmp_path):
    rows, faults = _read(tmp_path, f"track_uri,recording\n{_URI},One\n{_URI},Two\n{_URI},One\n")
    assert rows == {_URI: "One"}
    assert len(faults) == 1 and "line 3" in faults[0]


@pytest.mark.parametrize(
    "text", ["", "track,label\nx,y\n", b"\xff\xfe\x00", "track_uri,recording\n\x00" + "x" * 200_000]
)
def test_a_file_that_is_no_such_table_says_so_and_says_nothing_about_recordings(text, tmp_path):
    rows, faults = _read(tmp_path, text)
    assert rows == {} and len(faults) == 1 and "recordings.csv" in faults[0]
