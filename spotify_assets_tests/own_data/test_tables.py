"""Tables as files: whatever stands in them comes back, in one order, from one version."""

from __future__ import annotations

import csv
import json
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_assets.arrow import frame_of
from spotify_assets.lakehouse import NothingPublished, scan_table
from spotify_assets.own_data import ExportRefused, ExportRequest, export_own_data
from spotify_assets.own_data.snapshot import open_for_export
from spotify_assets.schemas import Table, clean, raw, raw_api
from spotify_assets_tests.own_data.raw_homes import RawHome, append

AT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
INSTANT = "2026-03-01T12:00:00.000005Z"
NASTY = [
    '"',
    '""',
    "\r",
    "\n",
    "\r\n",
    ",",
    ";",
    "\t",
    " a ",
    "",
    "'",
    "\\",
    "NULL",
    "null",
    "𝄞🎧",
    "\u2028",
    "é",
    "#",
    "7",
]
texts = st.one_of(
    st.sampled_from(NASTY),
    st.lists(st.sampled_from(NASTY), max_size=4).map("".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
)


def genres(rows: list[tuple[str, str | None]]) -> pl.DataFrame:
    """Rows of raw.genres with these names and askers."""
    return pl.DataFrame(
        [("own", name, "g", None if number % 2 else number, asked, AT) for number, (name, asked) in enumerate(rows)],
        schema=raw_api.Genres.polars_schema(),
        orient="row",
    )


def home_of(folder: Path, rows: list[tuple[str, str | None]]) -> RawHome:
    home = RawHome(folder / "home")
    append(home, raw_api.Genres, genres(rows))
    return home


def as_stored(frame: pl.DataFrame) -> pl.DataFrame:
    frame = frame.with_columns(pl.col("fetched_at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_zone="UTC"))
    return frame.cast(dict(raw_api.Genres.polars_schema()))


AS_TEXT = dict.fromkeys(raw_api.Genres.column_names(), pl.String) | {"votes": pl.Int64}


@settings(deadline=None, max_examples=8)
@given(rows=st.lists(st.tuples(texts, st.none() | texts), min_size=1, max_size=30, unique_by=lambda row: row[0]))
def test_any_text_comes_back_from_csv_and_json_lines_as_polars_and_duckdb_read_them(
    rows: list[tuple[str, str | None]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = home_of(Path(folder), rows)
        expected = genres(rows).sort("source", "artist_name", "genre")
        told, _ = home.export("raw.genres")
        lines, _ = home.export("raw.genres", format="jsonl", folder=Path(folder) / "lines")
        csv_file, jsonl_file = told / "raw.genres.csv", lines / "raw.genres.jsonl"
        assert_frame_equal(as_stored(pl.read_csv(csv_file, schema=AS_TEXT)), expected)
        assert_frame_equal(as_stored(pl.read_ndjson(jsonl_file, schema=AS_TEXT)), expected)
        columns = {name: "BIGINT" if name == "votes" else "VARCHAR" for name in AS_TEXT}
        with duckdb.connect() as connection:
            read_csv = (
                f"FROM read_csv('{csv_file}', columns={columns}, header=true, delim=',', quote='\"', escape='\"', "
                "auto_detect=false, allow_quoted_nulls=false, parallel=false)"
            )
            assert_frame_equal(as_stored(frame_of(connection.sql(read_csv))), expected)
            read_json = f"FROM read_json('{jsonl_file}', columns={columns}, format='newline_delimited')"
            assert_frame_equal(as_stored(frame_of(connection.sql(read_json))), expected)


def test_csv_is_as_the_standard_says_and_json_lines_keep_numbers_numbers(tmp_path: Path) -> None:
    home = home_of(tmp_path, [('Say "a,\nb"', None), ("b", "")])
    told, _ = home.export("raw.genres")
    assert (told / "raw.genres.csv").read_bytes() == (
        "source,artist_name,genre,votes,asked_by,fetched_at\r\n"
        f'own,"Say ""a,\nb""",g,0,,{INSTANT}\r\n'
        f'own,b,g,,"",{INSTANT}\r\n'
    ).encode()
    lines, _ = home.export("raw.genres", format="jsonl", folder=tmp_path / "lines")
    first, second = map(json.loads, (lines / "raw.genres.jsonl").read_text().splitlines())
    assert first == {
        "source": "own",
        "artist_name": 'Say "a,\nb"',
        "genre": "g",
        "votes": 0,
        "asked_by": None,
        "fetched_at": INSTANT,
    }
    assert second["votes"] is None and second["asked_by"] == ""


def test_parquet_has_the_types_of_the_schema(tmp_path: Path) -> None:
    rows = [("b", "x"), ("a", None)]
    told, _ = home_of(tmp_path, rows).export("raw.genres", format="parquet")
    frame = pl.read_parquet(told / "raw.genres.parquet")
    assert_frame_equal(frame, genres(rows).sort("artist_name"))


@pytest.mark.parametrize("format", ["csv", "parquet", "jsonl"])
def test_two_exports_of_one_version_are_equal_byte_for_byte(demo_home: Path, tmp_path: Path, format: str) -> None:
    home = RawHome(demo_home)
    for name in ("one", "two"):
        request = ExportRequest(tmp_path / name, ("clean.plays", "daily.hours"), format)
        export_own_data(home.settings, request)
    names = [file.name for file in sorted((tmp_path / "one").iterdir())]
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_every_row_is_exported_once_in_the_order_of_time(demo_home: Path, tmp_path: Path) -> None:
    told = tmp_path / "out"
    export_own_data(RawHome(demo_home).settings, ExportRequest(told, ("clean.plays",)))
    with (told / "clean.plays.csv").open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    stored = scan_table(demo_home, "clean.plays").select("play_id").collect()
    assert sorted(int(row["play_id"]) for row in rows) == stored["play_id"].sort().to_list()
    instants = [row["ended_at"] for row in rows]
    assert instants == sorted(instants)


@pytest.mark.parametrize("table", [clean.Plays, raw.StreamingHistory, clean.Tracks])
def test_the_slices_of_a_large_table_hold_every_row_once(demo_home: Path, tmp_path: Path, table: type[Table]) -> None:
    with open_for_export(RawHome(demo_home).settings.paths, tmp_path) as snapshot:
        name = table.qualified_name()
        slices = snapshot.slices(table, rows_at_once=100)
        rows = [snapshot.all(f"SELECT count(*) FROM {name} WHERE {each}")[0][0] for each in slices]
        assert sum(rows) == snapshot.rows[name] > 100
        assert (len(slices) > 12) == (table.layout.month_column is not None)


def test_the_manifest_and_the_readme_say_what_each_file_is_and_of_which_version(
    demo_home: Path, tmp_path: Path
) -> None:
    told = tmp_path / "out"
    report = export_own_data(RawHome(demo_home).settings, ExportRequest(told, ("daily.hours",)))
    manifest = json.loads((told / "manifest.json").read_text())
    assert manifest["lakehouse"]["sequence"] == report.sequence > 0
    (file,) = manifest["files"]
    assert (file["path"], file["table"], file["key"]) == (
        "daily.hours.csv",
        "daily.hours",
        ["listener", "played_on", "hour"],
    )
    assert file["rows"] == report.files[0].rows > 0
    assert file["columns"][0] == {
        "name": "listener",
        "type": "VARCHAR",
        "nullable": False,
        "description": "Who listened.",
    }
    readme = (told / "README.txt").read_text()
    assert "daily.hours.csv" in readme and "Who listened." in readme and f"version {report.sequence}" in readme


def test_only_the_listener_that_is_named_is_exported(tmp_path: Path) -> None:
    home = RawHome(tmp_path / "home")
    ranking = [(who, "short_term", date(2026, 3, 1), 1, AT, None, f"{who}'s") for who in ("ann", "bob")]
    append(home, raw_api.TopArtists, pl.DataFrame(ranking, schema=raw_api.TopArtists.polars_schema(), orient="row"))
    told, _ = home.export("raw.top_artists", listener="bob")
    assert pl.read_csv(told / "raw.top_artists.csv")["artist_name"].to_list() == ["bob's"]
    with pytest.raises(ExportRefused, match=r"nothing of a listener eve.* Known are: ann, bob"):
        home.export("raw.top_artists", listener="eve", folder=tmp_path / "eve")
    assert not (tmp_path / "eve").exists()


def test_nothing_is_overwritten_unless_forced_and_then_nothing_old_stays(tmp_path: Path) -> None:
    home = home_of(tmp_path, [("a", None)])
    told, _ = home.export("raw.genres")
    (told / "own notes.txt").write_text("mine")
    before = {file.name: file.read_bytes() for file in told.iterdir()}
    with pytest.raises(ExportRefused, match=r"has raw\.genres\.csv, README\.txt, manifest\.json already.*--force"):
        home.export("raw.genres")
    assert {file.name: file.read_bytes() for file in told.iterdir()} == before
    home.export("raw.genres", format="jsonl", is_forced=True)
    assert sorted(file.name for file in told.iterdir()) == [
        "README.txt",
        "manifest.json",
        "own notes.txt",
        "raw.genres.jsonl",
    ]


def test_a_manifest_that_names_files_elsewhere_has_none_of_them_removed(tmp_path: Path) -> None:
    home = home_of(tmp_path, [("a", None)])
    told, _ = home.export("raw.genres")
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    (told / "manifest.json").write_text(json.dumps({"files": [{"path": "../precious.txt"}, {"path": str(precious)}]}))
    home.export("raw.genres", is_forced=True)
    assert precious.exists()


def test_what_a_killed_export_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    home = home_of(tmp_path, [("a", None)])
    left = tmp_path / "home-out" / ".unfinished-export-999999999"
    left.mkdir(parents=True)
    told, _ = home.export("raw.genres")
    assert sorted(file.name for file in told.iterdir()) == ["README.txt", "manifest.json", "raw.genres.csv"]


def test_names_that_are_nearly_right_are_answered_with_the_right_ones(tmp_path: Path) -> None:
    home = home_of(tmp_path, [("a", None)])
    for wrong, right in (("clean.play", "clean.plays"), ("listening", "daily.listening"), ("dayly", "daily")):
        with pytest.raises(ExportRefused, match=rf"no table {wrong}\. Did you mean .*{right}"):
            home.export(wrong)
    with pytest.raises(ExportRefused, match=r"no table clean\.plays yet"):
        home.export("clean.plays")
    assert not (tmp_path / "home-out").exists()


def test_a_home_without_anything_published_says_so(tmp_path: Path) -> None:
    with pytest.raises(NothingPublished):
        export_own_data(RawHome(tmp_path / "home").settings, ExportRequest(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_documents_hold_track_album_artist_and_genres_inside(demo_home: Path, tmp_path: Path) -> None:
    told = tmp_path / "out"
    export_own_data(RawHome(demo_home).settings, ExportRequest(told, documents=True))
    plays = [json.loads(line) for line in (told / "plays.jsonl").read_text().splitlines()]
    stored = scan_table(demo_home, "clean.plays").collect()
    assert len(plays) == len({play["_id"] for play in plays}) == stored.height
    of_track = next(play for play in plays if play["content_type"] == "track" and play["album"])
    assert of_track["_id"] == f"demo/{of_track['play_id']}"
    assert of_track["track"]["name"] and of_track["artist"]["genres"] == [] and of_track["episode"] is None
    artists = [json.loads(line) for line in (told / "artists.jsonl").read_text().splitlines()]
    tracks = stored.filter(pl.col("artist_key").is_not_null() & (pl.col("content_type") == "track"))
    assert {artist["_id"] for artist in artists} == set(tracks["artist_key"])
    assert sum(artist["plays"] for artist in artists) == tracks.height
    for artist in artists:
        inside = [track["plays"] for album in artist["albums"] for track in album["tracks"]]
        assert sum(inside) == artist["plays"]
