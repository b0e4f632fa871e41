"""The whole product against kill -9, full disks, foreign locks and other users of the home.

Each victim is a process of its own that does what `spotify-assets import` does, forked from a server that has loaded
the program and opened nothing; some are the command itself.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from spotify_assets.definitions import build_warehouse
from spotify_assets.demo.exports import Defects, write_account_data, write_extended_history
from spotify_assets.demo.listener import DemoListener
from spotify_assets.lakehouse import scan_table
from spotify_assets.schemas import raw, tables
from spotify_assets.settings import HomePaths, Settings
from spotify_assets.state import State
from spotify_assets_tests.lakehouse import processes

SEED = 20_261_121
DAYS = 6
KILLS, SOAKED_KILLS = 8, 190
KILLS_OF_THE_COMMAND, SOAKED_KILLS_OF_THE_COMMAND = 1, 10
KILLS_IN_A_ROW = 4
SETTINGS = {"timezone": "UTC", "listener": "demo"}

Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class Course:
    """Exports that follow one another, and the home of somebody whose imports were never killed.

    Attributes:
        exports: Exports, oldest first; each tells again what the one before told.
        homes: The home before each import, and after the last one.
        contents: What `homes` hold.
        seconds: How long each import took.
    """

    exports: list[Path]
    homes: list[Path]
    contents: list[dict[str, list]]
    seconds: list[float]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    folder = tmp_path_factory.mktemp("course")
    last_day = datetime.now(UTC).date() - timedelta(days=1)
    plays = DemoListener(
        first_day=last_day - timedelta(days=DAYS), last_day=last_day, timezone="UTC", plays_per_day=15.0
    ).plays()
    half, most = plays[: len(plays) // 2], plays[: len(plays) * 3 // 4]
    exports = [
        write_extended_history(half, folder / "1.zip", generation="G1").target,
        write_extended_history(most, folder / "2.zip", generation="G3", defects=Defects.typical()).target,
        write_account_data(plays, folder / "3.zip").target,
    ]
    home = folder / "home"
    homes, seconds = [folder / "before-1"], []
    homes[0].mkdir()
    for number, export in enumerate(exports, 1):
        seconds.append(run_to_the_end(home, export))
        homes.append(folder / f"after-{number}")
        shutil.copytree(home, homes[-1], symlinks=True)
    return Course(exports, homes, [content(each) for each in homes], seconds)


def run_to_the_end(home: Path, *exports: Path) -> float:
    working, answers = processes.event(), processes.queue()
    process = processes.start(processes.import_exports, home, list(exports), working, answers, **SETTINGS)
    assert working.wait(60)
    started = time.monotonic()
    answer = answers.get(timeout=120)
    process.join(30)
    assert isinstance(answer, int), answer
    return time.monotonic() - started


def content(home: Path) -> dict[str, list]:
    """The clean and daily tables without numbers that depend on the order in which rows came in."""
    if not (home / "lakehouse.duckdb").exists():
        return {}
    rows = {}
    for table in tables():
        if table.layout.schema in ("clean", "daily"):
            frame = scan_table(home, table.qualified_name()).collect()
            frame = frame.drop(
                [name for name in ("source_row", "snapshot_at", "sources_hash") if name in frame.columns]
            )
            rows[table.qualified_name()] = sorted(frame.rows(), key=repr)
    return rows


def assert_balanced(home: Path) -> int:
    """Published file and warehouse open, each row is accounted for once; returns the rows that are stored."""
    settings = Settings(home=home, **SETTINGS)
    if settings.paths.published_file.exists():
        published = {name: scan_table(home, name).collect() for name in ("raw.imports", "raw.streaming_history")}
        assert_ledger(published["raw.imports"], published["raw.streaming_history"])
        plays = scan_table(home, "clean.plays").collect()
        assert plays["play_id"].n_unique() == plays.height
        listening = scan_table(home, "daily.listening").collect()
        assert listening.height == 0 or listening["plays"].sum() <= plays.height
    warehouse = build_warehouse(settings)
    if not warehouse.exists():
        return 0
    stored = warehouse.read(raw.StreamingHistory)
    assert_ledger(warehouse.read(raw.Imports), stored)
    rejected = warehouse.read(raw.RejectedRows).height
    imports = warehouse.read(raw.Imports).unique("file_id")
    assert rejected == imports["rows_rejected"].sum()
    return stored.height


def assert_ledger(imports: pl.DataFrame, stored: pl.DataFrame) -> None:
    assert (imports["rows_in"] == imports["rows_new"] + imports["rows_known"] + imports["rows_rejected"]).all()
    of_history = imports.filter(pl.col("kind").is_in(["extended", "basic"]))
    assert of_history["rows_new"].sum() == stored.height == stored["row_id"].n_unique()


def assert_tidy(home: Path) -> None:
    """Nothing temporary is left, and no more versions than one that was never killed keeps."""
    paths = HomePaths(home)
    assert [path for path in paths.scratch_folder.iterdir() if path != paths.spill_folder] == []
    assert not list(paths.spill_folder.glob("*"))
    assert list(paths.runs_folder.iterdir()) == []
    assert len(list(paths.snapshots_folder.iterdir())) <= 3
    assert len(list((paths.mirror_folder / "versions").iterdir())) <= 3
    assert sorted(path.name for path in paths.warehouse_file.parent.iterdir()) == ["warehouse.duckdb", "warehouse.lock"]
    assert not [path for path in home.rglob("*") if ".new" in path.name]
    assert State(paths.state_file).runs() == []
    with dg.DagsterInstance.from_config(str(paths.dagster_folder)) as instance:
        assert [run.run_id for run in instance.get_runs() if not run.is_finished] == []


def assert_repaired(home: Path, course: Course, number: int) -> None:
    run_to_the_end(home, course.exports[number])
    assert_balanced(home)
    assert content(home) == course.contents[number + 1]
    mirrored = pl.read_parquet(home / "mirror/current/clean/plays/**/*.parquet")
    assert mirrored.height == scan_table(home, "clean.plays").collect().height
    assert_tidy(home)


def test_the_server_that_victims_are_forked_from_has_one_thread() -> None:
    answers = processes.queue()
    processes.start(processes.count_threads, answers).join(60)
    assert answers.get(timeout=10) <= 2, "one, and one that this queue started"


def kill_again_and_again(course: Course, folder: Path, kills: int, seed: int) -> tuple[int, int]:
    """Kill imports, some times in a row, then let one end; returns kills and repairs."""
    chance = random.Random(seed)
    print(f"seed {seed}")
    done = repairs = 0
    while done < kills:
        number = repairs % len(course.exports)
        home = folder / str(repairs)
        shutil.copytree(course.homes[number], home, symlinks=True)
        rows = 0
        for _ in range(KILLS_IN_A_ROW):
            if done == kills:
                break
            working = processes.event()
            arguments = (home, [course.exports[number]], working)
            process = processes.start(processes.import_exports, *arguments, **SETTINGS)
            assert working.wait(60)
            time.sleep(chance.uniform(0, course.seconds[number]))
            process.kill()
            process.join(30)
            done += process.exitcode == -9
            stored = assert_balanced(home)
            assert stored >= rows
            rows = stored
        assert_repaired(home, course, number)
        repairs += 1
        shutil.rmtree(home)
    return done, repairs


def test_kills_at_random_moments_of_an_import_lose_nothing_and_the_next_import_repairs(
    course: Course, tmp_path: Path
) -> None:
    done, _ = kill_again_and_again(course, tmp_path, KILLS, SEED)
    assert done == KILLS


def start_command(home: Path, *exports: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPOTIFY_ASSETS_")}
    environment |= {"SPOTIFY_ASSETS_TIMEZONE": "UTC", "SPOTIFY_ASSETS_LISTENER": "demo", "COLUMNS": "300"}
    command = Path(sys.executable).with_name("spotify-assets")
    return subprocess.Popen(
        [command, "import", "--home", home, *exports],
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_the_command(course: Course, folder: Path, kills: int, seed: int) -> int:
    chance = random.Random(seed)
    done = 0
    for attempt in range(10 * kills):
        if done == kills:
            break
        number = attempt % len(course.exports)
        home = folder / str(attempt)
        shutil.copytree(course.homes[number], home, symlinks=True)
        before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
        process = start_command(home, course.exports[number])
        # From the first thing that it writes on: loading the program takes as long as the import itself.
        while process.poll() is None and before == {path: path.stat().st_mtime_ns for path in home.rglob("*")}:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, course.seconds[number]))
        process.kill()
        process.communicate(timeout=30)
        done += process.returncode == -9
        assert_balanced(home)
        assert_repaired(home, course, number)
        shutil.rmtree(home)
    return done


@pytest.mark.long
def test_the_command_itself_may_be_killed(course: Course, tmp_path: Path) -> None:
    assert kill_the_command(course, tmp_path, KILLS_OF_THE_COMMAND, SEED) == KILLS_OF_THE_COMMAND


@pytest.mark.soak
def test_many_kills(course: Course, tmp_path: Path, soak_share: float, tell_figure: Tell) -> None:
    done, repairs = kill_again_and_again(course, tmp_path, max(1, round(SOAKED_KILLS * soak_share)), SEED + 1)
    commands = kill_the_command(course, tmp_path, max(1, round(SOAKED_KILLS_OF_THE_COMMAND * soak_share)), SEED + 2)
    tell_figure(
        "kill -9 at random moments of an import",
        f"{done + commands} kills ({commands} of the command), {repairs + commands} repairs: nothing lost or doubled",
    )


# Other users


def test_two_imports_and_a_notebook_at_once(course: Course, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(course.homes[1], home, symlinks=True)
    holding, release, failures = processes.event(), processes.event(), processes.queue()
    reader = processes.start(processes.read_published, home, "clean.plays", holding, release, failures)
    assert holding.wait(30)
    answers = [processes.queue(), processes.queue()]
    both = [
        processes.start(processes.import_exports, home, [export], processes.event(), answer, **SETTINGS)
        for export, answer in zip(course.exports[1:], answers, strict=True)
    ]
    told = [answer.get(timeout=120) for answer in answers]
    for process in both:
        process.join(30)
    release.set()
    reopened, failed = failures.get(timeout=30)
    reader.join(10)
    assert all(isinstance(each, int) for each in told), told
    assert failed == 0 and reopened > 0
    assert_balanced(home)
    assert content(home) == course.contents[-1]
    assert_tidy(home)


def imports_beside_readers(course: Course, home: Path, runs: int) -> tuple[int, int]:
    """Import and take back by turns while one reader holds and one reopens; returns reopenings and failures."""
    shutil.copytree(course.homes[1], home, symlinks=True)
    release = processes.event()
    readers = []
    for function in (processes.read_published, processes.hold_table):
        holding, failures = processes.event(), processes.queue()
        readers.append((processes.start(function, home, "clean.plays", holding, release, failures), failures))
        assert holding.wait(30)
    done, answers = processes.event(), processes.queue()
    runner = processes.start(processes.import_and_take_back, home, course.exports[1], runs, done, answers, **SETTINGS)
    failed_runs = answers.get(timeout=60 + 20 * runs)
    runner.join(30)
    release.set()
    reopened = failed = 0
    for reader, failures in readers:
        count, wrong = failures.get(timeout=30)
        reopened, failed = reopened + count, failed + wrong
        reader.join(10)
    return reopened, failed + failed_runs


@pytest.mark.long
def test_readers_and_runs_never_fail_beside_one_another(course: Course, tmp_path: Path) -> None:
    reopened, failed = imports_beside_readers(course, tmp_path / "home", 4)
    assert failed == 0 and reopened > 0


@pytest.mark.soak
def test_readers_beside_many_runs(course: Course, tmp_path: Path, soak_share: float, tell_figure: Tell) -> None:
    runs = max(1, round(100 * soak_share))
    reopened, failed = imports_beside_readers(course, tmp_path / "home", runs)
    tell_figure("readers that hold and reopen", f"{runs} runs, {reopened:,} times opened: {failed} failures")
    assert failed == 0


def test_a_warehouse_opened_by_another_program_is_waited_for_and_the_program_is_named(
    course: Course, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(course.homes[1], home, symlinks=True)
    held, release = processes.event(), processes.event()
    process = processes.start(processes.write_database, HomePaths(home).warehouse_file, held, release)
    assert held.wait(30)
    command = start_command(home, course.exports[1], SPOTIFY_ASSETS_LOCK_TIMEOUT_SECONDS="0.5")
    _, told = command.communicate(timeout=120)
    release.set()
    process.join(10)
    assert command.returncode == 1
    assert f"process {process.pid} (python" in told and "Close it there" in told and "Traceback" not in told
    assert_repaired(home, course, 1)


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root; the lakehouse's own tests of a full disk run anyway")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def resize(disk: Path, size_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_bytes // 1024}k", str(disk)], check=True)


def used_bytes(disk: Path) -> int:
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def fill_the_disk(course: Course, disk: Path, rooms_bytes: list[int]) -> list[str]:
    """Import with so much room left, then with enough; returns what was said where the room was too small."""
    told = []
    print(f"imports take {', '.join(f'{seconds:.1f}' for seconds in course.seconds)} s")
    for room_bytes in rooms_bytes:
        home = disk / "home"
        shutil.copytree(course.homes[1], home, symlinks=True)
        resize(disk, used_bytes(disk) + room_bytes)
        command = start_command(home, course.exports[1])
        _, said = command.communicate(timeout=120)
        resize(disk, 64_000_000)
        assert "Traceback" not in said, said
        print(room_bytes, command.returncode, said)
        if command.returncode:
            told.append(said.strip().splitlines()[-1])
        assert_balanced(home)
        assert_repaired(home, course, 1)
        shutil.rmtree(home)
    return told


@pytest.mark.long
def test_a_disk_that_is_full_in_the_middle_of_an_import_is_told_and_nothing_is_lost(
    course: Course, small_disk: Path
) -> None:
    told = fill_the_disk(course, small_disk, [300_000, 4_000_000])
    assert told
    assert all("disk is full" in each and "run this again" in each for each in told), told


@pytest.mark.soak
def test_disks_that_are_full_at_any_moment(
    course: Course, small_disk: Path, soak_share: float, tell_figure: Tell
) -> None:
    steps = max(2, round(40 * soak_share))
    rooms = [round(8_000_000 * number / steps) for number in range(steps)]
    told = fill_the_disk(course, small_disk, rooms)
    assert all("disk is full" in each or "No space left" in each for each in told), told
    tell_figure(
        "a disk that fills up", f"{steps} imports, {len(told)} of them stopped by it: nothing lost, all repaired"
    )
