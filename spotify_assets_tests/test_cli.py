"""The command line as a person uses it: real processes, wrong input above all."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spotify_assets.settings import HomePaths
from spotify_assets.spotify.credentials import Credentials, keep_credentials
from spotify_assets.spotify.status import Backlog, note_backlog
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets.state import State
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.spotify.token_processes import a_sign_in

Run = Callable[..., subprocess.CompletedProcess[str]]

# A few days ago: each day from the first play to today is a partition of six tables.
DAY = (datetime.now(UTC) - timedelta(days=5)).date()


def at(clock: str, *, days_later: int = 0) -> str:
    return f"{DAY + timedelta(days=days_later)}T{clock}Z"


ROW = {
    "ts": at("10:00:00"),
    "platform": "ios",
    "ms_played": 61000,
    "conn_country": "DE",
    "master_metadata_track_name": "Low Tide",
    "master_metadata_album_artist_name": "The Invented",
    "master_metadata_album_album_name": "Shores",
    "spotify_track_uri": "spotify:track:0000000000000000000001",
    "reason_start": "trackdone",
    "reason_end": "trackdone",
    "shuffle": False,
    "skipped": False,
    "offline": False,
    "offline_timestamp": None,
    "incognito_mode": False,
}


def row(**changes: object) -> dict[str, object]:
    return {**ROW, **changes}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables of somebody with a home of his own."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("SPOTIFY_ASSETS_")}
    given.pop("DAGSTER_HOME", None)
    return given | {"SPOTIFY_ASSETS_HOME": str(tmp_path / "home"), "SPOTIFY_ASSETS_TIMEZONE": "UTC", "COLUMNS": "200"}


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Run:
    """Run `spotify-assets` in an empty folder: a process of its own, forked from one that has loaded the program."""
    streams = tmp_path_factory.mktemp("streams")

    def run_command(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        told, complained = streams / "stdout", streams / "stderr"
        words = [str(argument) for argument in arguments]
        process = processes.start(processes.run_command, words, environment | variables, tmp_path, told, complained)
        process.join(120)
        return checked(subprocess.CompletedProcess(words, process.exitcode, told.read_text(), complained.read_text()))

    return run_command


def checked(result: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert "Traceback" not in result.stdout + result.stderr
    assert "nanobind" not in result.stderr
    return result


def history(folder: Path, *rows: object, name: str = "Streaming_History_Audio_2024.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(list(rows)))
    return folder


def test_an_import_says_what_came_in_and_where_the_lakehouse_is(tmp_path: Path, environment: dict[str, str]) -> None:
    export = history(tmp_path / "export", row(), row(ts=at("11:00:00")))
    command = [Path(sys.executable).with_name("spotify-assets"), "import", export]
    finished = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    result = checked(finished)
    assert result.returncode == 0, result.stderr
    assert "2 new rows" in result.stdout
    assert str(tmp_path / "home" / "lakehouse.duckdb") in result.stdout


def test_importing_again_says_that_nothing_is_new(tmp_path: Path, run: Run) -> None:
    export = history(tmp_path / "export", row())
    run("import", export)
    result = run("import", export)
    assert result.returncode == 0
    assert "0 new rows" in result.stdout


def test_a_guessed_time_zone_is_said_aloud(tmp_path: Path, run: Run) -> None:
    result = run("import", history(tmp_path / "export", row()), SPOTIFY_ASSETS_TIMEZONE="")
    assert "SPOTIFY_ASSETS_TIMEZONE" in result.stderr


def test_a_known_defect_of_spotify_s_exports_is_set_aside_without_alarm(tmp_path: Path, run: Run) -> None:
    result = run("import", history(tmp_path / "export", row(), row(ms_played=-4_000_000_000_000_000_000)))
    assert result.returncode == 0
    assert "rejected 1" in result.stdout


def test_what_is_no_export_is_named_and_the_good_file_beside_it_is_kept(tmp_path: Path, run: Run) -> None:
    contents = {
        "nothing.json": b"",
        "words.json": b"these are words",
        "numbers.json": b"[1, 2, 3]",
        "other.json": b'[{"name": "x"}]',
        "none.json": b"[]",
        "broken.zip": b"PK\x03\x04 and then nothing",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    result = run("import", *(tmp_path / name for name in contents), history(tmp_path / "export", row()))
    assert result.returncode == 3
    told = {name: [line for line in result.stderr.splitlines() if name in line] for name in contents}
    assert all(told.values()), told
    assert "empty" in told["nothing.json"][0]
    assert "JSON" in told["words.json"][0]
    assert "1 new rows" in result.stdout


def test_a_path_that_does_not_exist_fails_in_words(tmp_path: Path, run: Run) -> None:
    result = run("import", tmp_path / "nowhere.zip")
    assert result.returncode == 1
    assert "nowhere.zip" in result.stderr


def test_a_truncated_file_keeps_its_rows_before_the_cut_and_the_exit_code_says_so(tmp_path: Path, run: Run) -> None:
    whole = json.dumps([row(ts=at(f"10:{minute:02}:00")) for minute in range(30)], indent=1)
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "Streaming_History_Audio_2024.json").write_text(whole[: len(whole) // 2])
    result = run("import", folder)
    assert result.returncode == 3
    assert "Streaming_History_Audio_2024.json" in result.stderr
    assert "14 new rows" in result.stdout or "15 new rows" in result.stdout


def test_a_row_that_is_damaged_is_named_with_its_number(tmp_path: Path, run: Run) -> None:
    result = run("import", history(tmp_path / "export", row(), row(ts=at("10:00:00", days_later=1), ms_played="many")))
    assert result.returncode == 3
    assert "1 new rows" in result.stdout
    assert "Streaming_History_Audio_2024.json" in result.stderr
    assert "Row 2" in result.stderr


def test_two_accounts_in_one_folder_are_told_apart_and_neither_is_taken(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "family"
    history(folder, row(username="someone-a"), name="Streaming_History_Audio_2023.json")
    history(folder, row(username="someone-b", ms_played=5), name="Streaming_History_Audio_2024.json")
    result = run("import", folder)
    assert result.returncode == 1
    assert "--listener" in result.stderr
    assert "someone" not in result.stdout + result.stderr


def test_a_member_name_that_climbs_out_of_the_zip_writes_nothing_outside(tmp_path: Path, run: Run) -> None:
    with zipfile.ZipFile(tmp_path / "sly.zip", "w") as archive:
        archive.writestr("../../Streaming_History_Audio_2024.json", json.dumps([row()]))
        archive.writestr("MyData/Streaming_History_Audio_2023.json", json.dumps([row(ts=at("09:00:00"))]))
    result = run("import", tmp_path / "sly.zip")
    assert "new rows" in result.stdout
    assert not list(tmp_path.parent.glob("Streaming_History*"))
    assert {path.name for path in tmp_path.iterdir()} == {"home", "sly.zip"}


def test_a_home_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run("import", history(tmp_path / "export", row()), "--home", tmp_path / "file" / "home")
    assert result.returncode == 1
    assert "--home" in result.stderr


def test_a_wrong_time_zone_is_named(tmp_path: Path, run: Run) -> None:
    result = run("status", SPOTIFY_ASSETS_TIMEZONE="Mars/Olympus")
    assert result.returncode == 2
    assert "SPOTIFY_ASSETS_TIMEZONE" in result.stderr
    assert "Mars/Olympus" in result.stderr


def test_status_prints_the_home_also_when_there_is_nothing_in_it(tmp_path: Path, run: Run) -> None:
    result = run("status")
    assert result.returncode == 0
    assert str(tmp_path / "home") in result.stdout
    assert "spotify-assets import" in result.stdout


def test_status_says_of_everybody_how_their_sign_in_stands_and_what_spotify_refuses(tmp_path: Path, run: Run) -> None:
    home = HomePaths(tmp_path / "home")
    now = datetime.now(UTC)
    home.home.mkdir()
    home.listeners_file.write_text("".join(f'[[listener]]\nname = "{name}"\n' for name in ("Ann", "Ben", "Cem", "Dee")))
    assert "nobody; exports need no sign-in" in run("status").stdout
    keep_credentials(home, Credentials("0123456789abcdef0123456789abcdef"))
    for name, days in (("Ann", 0), ("Ben", 160), ("Cem", 200)):
        sign_in = a_sign_in(authorized_at=now - timedelta(days=days), accounts=frozenset({"hash-of-account"}))
        TokenFolder(home.tokens_folder).write(name, sign_in)
    state = State(home.state_file)
    state.block_bucket("albums", lambda refusals: now + timedelta(hours=5))
    note_backlog(state, Backlog("albums", 12, now.date() + timedelta(days=2)))
    told = run("status").stdout
    for words in (
        "Ann is signed in until",
        "The sign-in of Ben ends on",
        "The sign-in of Cem has ended",
        "Dee is not signed in to Spotify",
        "spotify-assets login --listener Dee",
        "has not been asked yet",
        "albums 0 of ",
        f"refused by Spotify until {now + timedelta(hours=5):%Y-%m-%d %H:%M} UTC",
        f"albums 12 (done on {now.date() + timedelta(days=2)})",
    ):
        assert words in " ".join(told.split()), words
    for secret in ("of-nobody", "0123456789abcdef", "hash-of-account"):
        assert secret not in told


def test_imports_lists_the_ledger_and_forget_takes_one_back(tmp_path: Path, run: Run) -> None:
    run("import", history(tmp_path / "export", row()))
    listed = run("imports")
    assert "Streaming_History_Audio_2024.json" in listed.stdout
    forgotten = run("imports", "forget", "1", "--yes")
    assert forgotten.returncode == 0, forgotten.stderr
    assert "1 rows" in forgotten.stdout
    assert "Nothing has been imported" in run("imports").stdout


def test_forgetting_an_unknown_import_names_those_there_are(tmp_path: Path, run: Run) -> None:
    run("import", history(tmp_path / "export", row()))
    result = run("imports", "forget", "7", "--yes")
    assert result.returncode == 1
    assert "no import 7" in result.stderr


def test_a_run_of_the_command_line_stands_in_the_home_s_dagster_instance(tmp_path: Path, run: Run) -> None:
    import dagster as dg

    run("import", history(tmp_path / "export", row()))
    with dg.DagsterInstance.from_config(str(tmp_path / "home" / "dagster")) as instance:
        jobs = sorted(record.dagster_run.job_name for record in instance.get_run_records())
        partitions = instance.get_materialized_partitions(dg.AssetKey(["daily", "listening"]))
    assert jobs == ["daily", "import_exports"]
    assert DAY.isoformat() in partitions


def test_a_play_that_a_wrong_clock_dated_tomorrow_waits_for_its_day(tmp_path: Path, run: Run) -> None:
    tomorrow = datetime.now(UTC) + timedelta(hours=23, minutes=59)
    result = run("import", history(tmp_path / "export", row(), row(ts=tomorrow.strftime("%Y-%m-%dT%H:%M:%SZ"))))
    assert result.returncode == 0, result.stderr
    assert "2 new rows" in result.stdout


def test_a_port_that_is_taken_is_named_at_once(tmp_path: Path, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run("ui", "--port", str(port))
    assert result.returncode == 2 and str(port) in result.stderr and "taken" in result.stderr
