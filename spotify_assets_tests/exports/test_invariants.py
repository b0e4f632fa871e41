"""Whatever the bytes are: nothing is raised, and every row is accepted or rejected."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.exports import find_exports, read_library
from spotify_assets_tests.exports.samples import SECRETS, basic, g1, g3, read, write

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["2020-01-01T00:00:00Z", "12.0", "1e30", "true", "spotify:track:0123456789ABCDEFGHIJab"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)
ROWS = st.one_of(
    st.builds(lambda changes: g3(**changes), st.dictionaries(st.sampled_from(sorted(g3())), VALUES, max_size=3)),
    st.builds(lambda changes: g1(**changes), st.dictionaries(st.text(max_size=6), VALUES, max_size=2)),
    VALUES,
)
MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["cut", "flip", "insert", "remove"]), st.floats(0, 1), st.binary(min_size=1, max_size=4)),
    max_size=3,
)


def mutate(data: bytes, mutations: list[tuple[str, float, bytes]]) -> bytes:
    for what, where, extra in mutations:
        position = int(where * len(data))
        if what == "cut":
            data = data[:position]
        elif what == "flip":
            data = data[:position] + extra + data[position + len(extra) :]
        elif what == "insert":
            data = data[:position] + extra + data[position:]
        else:
            data = data[:position] + data[position + len(extra) :]
    return data


def check_balance(content: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file_name, data in content.items():
            write(folder / "d" / file_name, data)
        result = read(folder / "d", scratch=folder / "s")
        for report in result.reports:
            assert report.rows_rejected <= report.rows_in
        assert sum(report.rows_in for report in result.reports) == result.rows.height + result.rejected.height
        assert sum(report.rows_rejected for report in result.reports) == result.rejected.height
        if result.rows.height or result.rejected.height:
            places = [*result.rows.select("file_number", "row_number").rows()]
            places += result.rejected.select("file_number", "row_number").rows()
            assert len(set(places)) == len(places)
        assert len(result.reports) == len(result.found.files)


FILES = 4
"""Files of one example: opening a database takes longer than reading some more small files with it."""


def four(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(strategy, min_size=FILES, max_size=FILES)


@settings(max_examples=80 // FILES, deadline=None)
@given(four(st.tuples(st.lists(ROWS, min_size=1, max_size=6), st.sampled_from([None, 1]), MUTATIONS)))
def test_rows_in_is_accepted_plus_rejected_for_any_bytes(files: list[tuple]) -> None:
    content = {"endsong_9.json": json.dumps([g3()]).encode()}
    for number, (rows, indent, mutations) in enumerate(files):
        data = json.dumps(rows, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
        content[f"endsong_{number}.json"] = mutate(data, mutations)
    check_balance(content)


BASIC_ROWS = st.lists(
    st.builds(lambda changes: basic(**changes), st.dictionaries(st.sampled_from(sorted(basic())), VALUES))
)


@settings(max_examples=80 // FILES, deadline=None)
@given(four(BASIC_ROWS))
def test_rows_of_a_whole_file_are_counted_one_by_one(files: list[list[dict[str, Any]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, rows in enumerate(files):
            first = basic(trackName=f"of file {number}")
            write(folder / "d" / f"StreamingHistory{number}.json", json.dumps([first, *rows]))
        result = read(folder / "d", scratch=folder / "s")
        for report in result.reports:
            number = result.found.files.index(report.file)
            assert report.rows_in == len(files[number]) + 1
            numbers = [
                row_number
                for frame in (result.rows, result.rejected)
                for row_number in frame.filter(file_number=number)["row_number"]
            ]
            assert sorted(numbers) == list(range(1, report.rows_in + 1))


UNKNOWN = st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.integers(0, 9), st.text(max_size=3)), max_size=3)
ABSENT = st.sets(st.sampled_from(sorted(set(g3()) - {"ts", "ms_played"})), max_size=4)


@settings(max_examples=80 // FILES, deadline=None)
@given(four(st.tuples(UNKNOWN, st.integers(0, 9), ABSENT, st.integers(0, 9))))
def test_no_unknown_key_is_ever_missed(cases: list[tuple[dict, int, set[str], int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected: dict[str, tuple[int, list[str]]] = {}
        for number, (unknown, place, absent, absent_place) in enumerate(cases):
            rows = [g3(ms_played=number) for _ in range(10)]
            for key in absent:
                del rows[absent_place][key]
            unknown = {key: value for key, value in unknown.items() if key not in g1() and key not in g3()}
            rows[place].update(unknown)
            write(folder / "d" / f"endsong_{number}.json", json.dumps(rows, ensure_ascii=False, indent=number or None))
            expected[f"endsong_{number}.json"] = (place + 1, sorted(unknown))
        result = read(folder / "d", scratch=folder / "s")
        assert sum(report.rows_in for report in result.reports) == 10 * len(result.found.files)
        for report in result.reports:
            place, keys = expected[report.file.file_name]
            assert report.unknown_keys == dict.fromkeys(keys, 1)
            row = result.rows.filter(file_number=result.found.files.index(report.file), row_number=place)
            told = row["unknown_keys"][0]
            assert sorted(json.loads(told) if told else {}) == keys


@settings(max_examples=80, deadline=None)
@given(MUTATIONS.filter(bool))
def test_no_damaged_zip_raises(mutations: list) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MyData/endsong_0.json", json.dumps([g3(ms_played=number) for number in range(50)]))
        archive.writestr("MyData/endsong_1.json", json.dumps([g3()]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder / "my_spotify_data.zip", mutate(buffer.getvalue(), mutations))
        with find_exports([path], scratch=folder / "s") as found:
            assert found.files or any(problem.is_damage for problem in found.problems)


@settings(max_examples=80, deadline=None)
@given(
    st.recursive(
        VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    st.sampled_from(["tracks", "albums", "playlists", "other", "new"]),
    MUTATIONS,
)
def test_no_library_raises(value: Any, section: str, mutations: list) -> None:
    content = {"playlists" if section == "playlists" else "tracks": [{"name": "x"}], section: [value]}
    file_name = "Playlist1.json" if section == "playlists" else "YourLibrary.json"
    data = mutate(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass"), mutations)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder / file_name, data)
        with find_exports([path], scratch=folder / "s") as found:
            for file in found.files:
                if file.kind in ("library", "playlists"):
                    result = read_library(file)
                    assert result.report.rows_in == result.rows.height + result.rejected.height


@settings(max_examples=80 // FILES, deadline=None)
@given(four(st.floats(0, 1)))
def test_no_personal_value_leaves_a_file_that_was_cut(cuts: list[float]) -> None:
    rows = [g1(), g1(ms_played="soon"), g1(ts="x", note={"city": SECRETS[3]})]
    data = json.dumps(rows).encode()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, cut in enumerate(cuts):
            write(folder / "d" / f"endsong_{number}.json", data[: int(cut * len(data))])
        told = read(folder / "d", scratch=folder / "s").everything_told()
        assert not [secret for secret in SECRETS if secret in told]
