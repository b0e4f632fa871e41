"""What is exported brings an empty home to the same plays."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_assets.assets.raw.replay import forget_responses
from spotify_assets.commands import import_paths, replay_files
from spotify_assets.lakehouse import run_session, scan_table
from spotify_assets.own_data import ExportRequest, export_own_data
from spotify_assets.schemas import daily, raw, raw_api, tables
from spotify_assets.settings import Settings
from spotify_assets.spotify.model import Endpoint, Response
from spotify_assets.transforms.coverage import IMPORT_COLUMNS, POLL_COLUMNS, coverage
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.exports import samples
from spotify_assets_tests.exports.samples import basic, g0, g2, g3
from spotify_assets_tests.own_data.raw_homes import RawHome
from spotify_assets_tests.spotify.payloads import (
    album,
    artist,
    local_track,
    minutes,
    page,
    play,
    poll,
    response,
    track,
)

_GENERATIONS = {"g0": g0, "g2": g2, "g3": g3}


def told(generation: str, minute: int, title: str, repeated: int = 1, **words: Any) -> list[dict[str, Any]]:
    """A play as a generation of exports tells it."""
    uri = f"spotify:track:{title:0<22}"
    ended_at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=minute, minutes=minute)
    if generation == "basic":
        row = basic(endTime=f"{ended_at:%Y-%m-%d %H:%M}", trackName=title)
    else:
        row = _GENERATIONS[generation](ts=f"{ended_at:%Y-%m-%dT%H:%M:%SZ}", master_metadata_track_name=title, **words)
        if "spotify_track_uri" in row:
            row["spotify_track_uri"] = uri
    return [row] * repeated


@st.composite
def exports(draw: st.DrawFn) -> list[dict[str, list[dict[str, Any]]]]:
    """Imports, one after the other; each of some exports of one name, maybe with files that came before."""
    files = []
    for number in range(draw(st.integers(1, 4))):
        generation = draw(st.sampled_from(("g0", "g2", "g3", "basic")))
        rows: list[dict[str, Any]] = []
        for _ in range(draw(st.integers(1, 6))):
            words: dict[str, Any] = {}
            if generation != "basic" and draw(st.booleans()):
                words = {"reason_end": draw(st.sampled_from(("fwdbtn", None))), "a_new_key": draw(st.integers(0, 2))}
            rows += told(
                generation,
                draw(st.integers(0, 4)),
                draw(st.sampled_from(("a", "b"))),
                draw(st.integers(1, 3)),
                **words,
            )
        name = "StreamingHistory_music_0" if generation == "basic" else f"Streaming_History_Audio_{number}"
        files.append((f"{name}.json", rows))
    imports = []
    for _ in range(draw(st.integers(1, 3))):
        chosen = draw(st.lists(st.integers(0, len(files) - 1), min_size=1, max_size=3))
        imports.append(
            {f"{place}/my_spotify_data/{files[each][0]}": files[each][1] for place, each in enumerate(chosen)}
        )
    return imports


def exported_into(home: RawHome, other: RawHome) -> None:
    """Let an empty home take in what another one exports, as its README says."""
    folder, _ = home.export("spotify")
    for place in sorted((folder / "spotify").iterdir()):
        if place.is_dir():
            other.import_paths([place], place.name)
    if (responses := folder / "spotify" / "responses.jsonl.gz").exists():
        other.replay_file(responses)


def covered(home: RawHome) -> pl.DataFrame:
    imports = home.warehouse.read(raw.Imports, IMPORT_COLUMNS)
    return coverage(home.warehouse.read(raw_api.Polls, POLL_COLUMNS), imports, longest_silence=timedelta(hours=3))


@hypothesis_settings(deadline=None, max_examples=4)
@given(imports=exports())
def test_rows_repetitions_and_coverage_of_any_exports_come_back(imports: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home, other = RawHome(Path(folder) / "home"), RawHome(Path(folder) / "other")
        for files in imports:
            home.import_files(files)
        exported_into(home, other)
        told_first, told_again = (
            each.table(raw.StreamingHistory).drop("generation").sort(pl.all()) for each in (home, other)
        )
        assert_frame_equal(told_again, told_first)
        assert_frame_equal(covered(other), covered(home))


def polls(listener: str, *, first: int = 0) -> list[Response]:
    """Looks at the last plays over two days: full pages, a gap, failures, a play told twice, a local file."""
    plays = [play(track(f"t{number % 7}", by=f"by{number % 3}"), minutes(first + 20 * number)) for number in range(120)]
    plays[11] = play(local_track("mine"), minutes(first + 20 * 11))
    looks = []
    for number in (*range(3, 60, 4), 118):
        newest_first = [*reversed(plays[max(0, number - 50) : number])]
        # Another popularity is another telling of the track.
        newest_first[0] = play(track(f"t{(number - 1) % 7}", popularity=number), minutes(first + 20 * (number - 1)))
        looks.append(poll(newest_first, minutes(first + 20 * number), listener))
    looks.append(poll([plays[4], plays[4], plays[3]], minutes(first + 20 * 5 + 1), listener))
    looks.append(poll([], minutes(first - 60), listener))
    failed = minutes(first + 20 * 10 + 1)
    looks.append(response(Endpoint.RECENTLY_PLAYED, None, failed, listener=listener, status=429, limit=50))
    return looks


CATALOGUE = [
    response(Endpoint.TRACK, track("t1", explicit=True), minutes(100), listener="", id="t1Id"),
    response(
        Endpoint.ALBUM, album("t1 LP", label="L", external_ids={"upc": "1"}), minutes(101), listener="", id="t1 LPId"
    ),
    response(
        Endpoint.ARTIST, artist("by1", followers={"total": 5}, genres=["g"]), minutes(102), listener="", id="by1Id"
    ),
    response(Endpoint.TRACK, None, minutes(103), listener="", status=404, id="goneId"),
    page(Endpoint.TOP_ARTISTS, [artist("by1"), artist("by2")], minutes(104), listener="ann", time_range="short_term"),
    page(Endpoint.TOP_TRACKS, [track("t1"), track("t2")], minutes(105), listener="ann", time_range="long_term"),
    page(Endpoint.SAVED_TRACKS, [{"added_at": "2020-01-01T00:00:00Z", "track": track("s")}], minutes(106)),
]
OF_RESPONSES = (
    raw_api.RecentlyPlayed,
    raw_api.Polls,
    raw_api.Tracks,
    raw_api.Albums,
    raw_api.Artists,
    raw_api.MissingObjects,
    raw_api.TopArtists,
    raw_api.TopTracks,
    raw_api.SavedTracks,
)


@pytest.mark.parametrize("are_forgotten", [False, True], ids=["kept", "forgotten"])
def test_plays_looks_and_objects_of_the_web_api_come_back_whether_their_responses_are_kept_or_not(
    tmp_path: Path, are_forgotten: bool
) -> None:
    home, other = RawHome(tmp_path / "home"), RawHome(tmp_path / "other")
    home.replay_lines([*polls("ann"), *polls("bob", first=7), *CATALOGUE])
    if are_forgotten:
        with run_session(home.warehouse, purpose="test") as session:
            session.begin()
            with home.warehouse.transaction() as transaction:
                assert forget_responses(transaction, datetime.now(UTC)) > 30
    exported_into(home, other)
    for table in OF_RESPONSES:
        # Who told an object first is told by another endpoint in its stead.
        left_out = [name for name in ("endpoint",) if name in table.column_names()]
        assert_frame_equal(
            other.table(table).drop(left_out).sort(pl.all()), home.table(table).drop(left_out).sort(pl.all())
        )
    assert home.table(raw_api.Polls)["is_gap_provable"].sum() == 2


def test_of_one_listener_nothing_of_the_others_is_told(tmp_path: Path) -> None:
    home, other = RawHome(tmp_path / "home"), RawHome(tmp_path / "other")
    home.import_files({"e/Streaming_History_Audio_1.json": told("g2", 1, "a")}, "ann")
    home.import_files({"e/Streaming_History_Audio_1.json": told("g2", 2, "secret")}, "bob")
    home.replay_lines([*polls("ann"), *polls("bob", first=7)])
    folder, _ = home.export("spotify", listener="ann")
    assert sorted(path.name for path in (folder / "spotify").iterdir()) == ["ann", "responses.jsonl.gz"]
    other.import_paths([folder / "spotify" / "ann"])
    other.replay_file(folder / "spotify" / "responses.jsonl.gz")
    assert other.table(raw_api.Polls)["listener"].unique().to_list() == ["ann"]
    assert other.table(raw.StreamingHistory)["track_name"].to_list() == ["a"]


# Whole homes.

_EVERYTHING = [
    *("clean.plays", "clean.play_sources", "clean.coverage", "clean.tracks", "clean.albums", "clean.artists"),
    *("clean.saved_tracks", "clean.top_artists", "clean.calendar"),
    *(each.qualified_name() for each in tables() if each.__module__ == daily.__name__),
]
_DAY = (datetime.now(UTC) - timedelta(days=4)).replace(hour=9, minute=0, second=0, microsecond=0)
_LISTENERS = '[[listener]]\nname = "ann"\nzones = "America/New_York"\n\n[[listener]]\nname = "bob"\n'


def heard(hours: Sequence[float], title: str = "t1", **words: Any) -> list[dict[str, Any]]:
    instants = (_DAY + timedelta(hours=each) for each in hours)
    uri = f"spotify:track:{title}Id" + "0" * (20 - len(title))
    return [
        g2(ts=f"{at:%Y-%m-%dT%H:%M:%SZ}", master_metadata_track_name=title, spotify_track_uri=uri, **words)
        for at in instants
    ]


def taken_in(settings: Settings, folder: Path) -> None:
    """What README.txt of an export says."""
    for place in sorted(path for path in (folder / "spotify").iterdir() if path.is_dir()):
        named = settings.model_copy(update={"listener": place.name})
        finished = import_paths(named, [place])
        assert finished.outcome.is_success, finished.failure
    replayed = replay_files(settings, [folder / "spotify" / "responses.jsonl.gz"])
    assert replayed.outcome.is_success, replayed.failure


@pytest.mark.long
def test_a_home_of_two_comes_back_from_its_export_play_for_play_and_day_for_day(tmp_path: Path) -> None:
    home, other = settings_of(tmp_path / "home", listener="ann"), settings_of(tmp_path / "other", listener="ann")
    home.home.mkdir()
    home.paths.listeners_file.write_text(_LISTENERS)
    zips = [
        samples.write_zip(
            tmp_path / f"{number}" / "my_spotify_data.zip", {f"Streaming_History_Audio_{number}.json": rows}
        )
        for number, rows in enumerate(
            (
                [*heard([0, 1, 1, 2]), *heard([30], "t2", skipped=True)],
                [*heard([0, 1, 1, 1, 2.5]), *heard([40], 'a "nasty" one,\n')],
            )
        )
    ]
    assert import_paths(home, zips).outcome.is_success
    of_bob = samples.write_zip(tmp_path / "bob.zip", {"Streaming_History_Audio_9.json": heard([3, 4])})
    assert import_paths(home.model_copy(update={"listener": "bob"}), [of_bob]).outcome.is_success
    of_api = []
    for listener in ("ann", "bob"):
        plays = [play(track(f"t{hour % 3}"), _DAY + timedelta(hours=hour)) for hour in range(70, 20, -1)]
        of_api += [poll(plays[each:], _DAY + timedelta(hours=70 - each, minutes=1), listener) for each in (40, 5, 0)]
    recording = tmp_path / "day.jsonl"
    recording.write_text("".join(f"{each.to_json()}\n" for each in of_api))
    assert replay_files(home, [recording]).outcome.is_success
    folder = tmp_path / "out"
    report = export_own_data(home, ExportRequest(folder))
    assert {f"{name}.csv" for name in _EVERYTHING} <= {file.path for file in report.files}
    other.home.mkdir()
    other.paths.listeners_file.write_text((folder / "spotify" / "listeners.toml").read_text())
    taken_in(other, folder)
    for name in _EVERYTHING:
        frames = [scan_table(each.home, name).drop("source_row", strict=False).collect() for each in (home, other)]
        expected, came_back = (frame.sort(pl.all()) for frame in frames)
        assert expected.height or name in ("clean.saved_tracks", "clean.top_artists"), name
        assert_frame_equal(came_back, expected)
    plays = scan_table(other.home, "clean.plays").collect()
    assert plays["copies"].max() == 3 and set(plays["source"]) == {"extended", "api"}
