"""Other processes for the tests: what they run, and a quick way to start them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import duckdb

from spotify_assets.lakehouse import FileLock, LakehouseError, connect, run_session
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets_tests.lakehouse.example import (
    Gauges,
    RawReadings,
    Readings,
    days_between,
    raw_readings,
    readings,
    warehouse_in,
)

_context = multiprocessing.get_context("forkserver")
# Importing the product takes seconds; the server has done it before it forks. It opens nothing and starts no thread.
# `spotify_assets.console` is left to the forked ones: it takes the width of the terminal when it is loaded.
_context.set_forkserver_preload(
    [
        "spotify_assets.commands",
        "spotify_assets.lakehouse.bucket_mirror",
        "rich.progress",
        "typer",
        "spotify_assets_tests.lakehouse.example",
        "dagster._core.execution.execute_in_process",
    ]
)


def start(function: Any, *arguments: Any, **named: Any) -> BaseProcess:
    process = _context.Process(target=function, args=arguments, kwargs=named, daemon=True)
    process.start()
    # An event that the caller forgets at once would be gone before the other process has it.
    process.arguments = arguments  # type: ignore[attr-defined]
    return process


def event() -> Any:
    return _context.Event()


def queue() -> Any:
    return _context.Queue()


def hold_lock(path: Path, held: Any, release: Any) -> None:
    with FileLock(path).held(10, purpose="a test"):
        held.set()
        release.wait(20)


def hold_database(path: Path, held: Any, release: Any) -> None:
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SELECT 1").fetchall()
        held.set()
        release.wait(20)


def write_database(path: Path, held: Any, release: Any) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("SELECT 1").fetchall()
        held.set()
        release.wait(20)


def append_often(home: Path, first: int, times: int) -> None:
    warehouse = warehouse_in(home)
    for number in range(times):
        with warehouse.transaction() as transaction:
            transaction.append(RawReadings, raw_readings(first + number, 1))


def run_again_and_again(home: Path, working: Any) -> None:
    """Sessions without end: each replaces two months by readings of one level, and appends as many raw rows."""
    from datetime import date

    warehouse = warehouse_in(home)
    days = days_between(date(2024, 1, 1), date(2024, 2, 29))
    for level in range(10_000):
        with run_session(warehouse, purpose="a test") as session:
            session.begin()
            with warehouse.transaction() as transaction:
                transaction.replace_days(Readings, readings(days, 2 * level), (days[0], days[-1]))
                stored = transaction.read(RawReadings, ["row_id"]).height
                transaction.append(RawReadings, raw_readings(stored, 50))
            working.set()


def mirror_again_and_again(home: Path, fields: dict[str, Any], environment: dict[str, str], working: Any) -> None:
    """Sessions without end, mirrored to a bucket: each replaces two tables by rows of one level."""
    from datetime import date

    import polars as pl

    os.environ.update(environment)
    warehouse = warehouse_in(home, mirror=MirrorConfiguration(**fields))
    days = days_between(date(2024, 1, 1), date(2024, 2, 29))
    stored = warehouse.read(Readings, ["level"])["level"].min()
    for level in range((stored or 0) + 1, 100_000):
        with run_session(warehouse, purpose="a test") as session:
            session.begin()
            with warehouse.transaction() as transaction:
                transaction.replace_days(Readings, readings(days, level), (days[0], days[-1]))
                transaction.replace(Gauges, pl.DataFrame({"gauge": ["a"], "place": [str(level)]}))
        working.set()


def hold_published(home: Path, held: Any, release: Any, answers: Any) -> None:
    """Open the published file once and ask it again and again until `release`; answers with the failures."""
    failures = 0
    with connect(home) as connection:
        before = connection.execute("SELECT count(*) FROM example.raw_readings").fetchall()
        held.set()
        while not release.is_set():
            try:
                now = connection.execute("SELECT count(*) FROM example.raw_readings").fetchall()
                failures += now != before
            except duckdb.Error:
                failures += 1
            time.sleep(0.01)
    answers.put(failures)


def reopen_published(home: Path, times: int, held: Any, answers: Any) -> None:
    """Open the published file `times` times; answers with the failures and the counts of rows that went back."""
    failures = 0
    steps_back = 0
    last = 0
    held.set()
    for _ in range(times):
        try:
            with connect(home) as connection:
                rows = connection.execute("SELECT count(*) FROM example.raw_readings").fetchall()[0][0]
            steps_back += rows < last
            last = rows
        except (duckdb.Error, LakehouseError):
            failures += 1
    answers.put((failures, steps_back))


def live_as_run(home: Path, run_id: str, living: Any) -> None:
    from spotify_assets.lakehouse import living_run
    from spotify_assets.settings import HomePaths

    with living_run(HomePaths(home), run_id, "a test"):
        living.set()
        time.sleep(20)


def count_threads(answers: Any) -> None:
    answers.put(len(list(Path("/proc/self/task").iterdir())))


def run_command(arguments: list[str], environment: dict[str, str], folder: Path, told: Path, complained: Path) -> None:
    """What `spotify-assets` does, what it says written to two files; leaves with its exit code."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["spotify-assets", *arguments]
    for stream, file in ((sys.stdout, told), (sys.stderr, complained)):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
    from spotify_assets.cli import main

    main()


def import_exports(home: Path, exports: list[Path], working: Any, answers: Any = None, **settings: Any) -> None:
    """The whole of `spotify-assets import`; answers with the rows that were new, or the words of what went wrong."""
    from spotify_assets.commands import import_paths
    from spotify_assets.settings import Settings

    working.set()
    try:
        finished = import_paths(Settings(home=home, **settings), exports)
        answer = finished.failure or finished.report["rows_new"]
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    if answers is not None:
        answers.put(answer)


def read_published(home: Path, table: str, held: Any, release: Any, answers: Any) -> None:
    """Open the published file again and again until `release`; answers with (times, failures)."""
    times = failures = 0
    while not release.is_set():
        try:
            with connect(home) as connection:
                connection.execute(f"SELECT count(*) FROM {table}").fetchall()
            times += 1
        except (duckdb.Error, LakehouseError):
            failures += 1
        held.set()
    answers.put((times, failures))


def hold_table(home: Path, table: str, held: Any, release: Any, answers: Any) -> None:
    """Open the published file once and ask it again and again until `release`; answers with (1, failures)."""
    failures = 0
    with connect(home) as connection:
        before = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        held.set()
        while not release.is_set():
            try:
                failures += connection.execute(f"SELECT count(*) FROM {table}").fetchall() != before
            except duckdb.Error:
                failures += 1
            time.sleep(0.01)
    answers.put((1, failures))


def import_and_take_back(home: Path, export: Path, runs: int, done: Any, answers: Any, **settings: Any) -> None:
    """Import an export and take the import back, by turns; answers with the runs that failed."""
    from spotify_assets.commands import forget, import_paths
    from spotify_assets.settings import Settings

    failures = 0
    number = 0
    for turn in range(runs):
        try:
            if turn % 2 == 0:
                finished = import_paths(Settings(home=home, **settings), [export])
                number = finished.report["import_id"]
            else:
                finished = forget(Settings(home=home, **settings), number)
            failures += bool(finished.failure)
        except Exception:
            failures += 1
    done.set()
    answers.put(failures)


def restore_home(
    home: Path,
    fields: dict[str, Any],
    warehouse_fields: dict[str, Any],
    environment: dict[str, str],
    working: Any,
) -> None:
    """Restore a home from its mirror in a bucket."""
    from datetime import UTC, datetime

    from spotify_assets.lakehouse.mirror_reading import open_source
    from spotify_assets.lakehouse.restoring import RestoreOrigin, restore

    os.environ.update(environment)
    mirror = MirrorConfiguration(**fields)
    warehouse = warehouse_in(home, mirror=mirror, **warehouse_fields)
    source = open_source(mirror)
    source.manifest_text(None)
    working.set()
    restore(warehouse, RestoreOrigin("the mirror", source, is_own=True), now=lambda: datetime.now(UTC), log=print)
