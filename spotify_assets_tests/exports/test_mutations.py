"""Thousands of spoiled exports: none crashes the reader or the ledger, and every row is accounted for."""

from __future__ import annotations

import os
import random
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spotify_assets.assets.raw.ledger import import_exports
from spotify_assets.exports import find_exports
from spotify_assets.lakehouse import Warehouse
from spotify_assets.schemas import raw
from spotify_assets_tests.exports.mutations import mutated, originals
from spotify_assets_tests.exports.samples import IMPORTED_AT, write
from spotify_assets_tests.lakehouse import processes

SEED = 20_261_121
FILES_OF_A_FOLDER = 40
MUTATIONS, SOAKED_MUTATIONS = 120, 10_000


def take_in(folder: Path, files: dict[str, tuple[bytes, int | None]], warehouse: Warehouse) -> tuple[int, int]:
    """Import a folder of files and check the sums; returns rows in, and files of which the rows could be counted."""
    for name, (data, _) in files.items():
        write(folder / name, data)
    with find_exports([folder], scratch=folder.with_name("scratch")) as found, warehouse.transaction() as transaction:
        report = import_exports(transaction, found, listener="demo", imported_at=IMPORTED_AT)
    named = [file.file_name for file in found.files]
    told = " ".join(problem.file for problem in report.problems)
    for name in files:
        is_left_unread = any(name in each for each in (*found.ignored, *found.repeated))
        # A folder whose files name two accounts is refused as a whole, and that is said of the folder.
        is_refused = any(problem.file == folder.name and problem.is_damage for problem in report.problems)
        assert name in named or is_left_unread or name in told or is_refused, name
    counted = 0
    rows = {row["file_name"]: row for row in report.files}
    for row in report.files:
        assert row["rows_in"] == row["rows_new"] + row["rows_known"] + row["rows_rejected"]
    for name, (_, expected) in files.items():
        if expected is not None and name in rows and rows[name]["kind"] in ("extended", "basic"):
            assert rows[name]["rows_in"] == expected, name
            counted += 1
    return report.rows("rows_in"), counted


def assert_stored(warehouse: Warehouse) -> None:
    imports = warehouse.read(raw.Imports)
    new = dict(imports.group_by("kind").agg(pl.col("rows_new").sum()).iter_rows())
    stored = warehouse.counts([raw.StreamingHistory, raw.LibraryItems, raw.LibraryPlaylistItems, raw.RejectedRows])
    assert stored[raw.StreamingHistory] == new.get("extended", 0) + new.get("basic", 0)
    assert stored[raw.LibraryItems] == new.get("library", 0)
    assert stored[raw.LibraryPlaylistItems] == new.get("playlists", 0)
    # A file that came in again is rejected once.
    assert stored[raw.RejectedRows] == imports.unique("file_id")["rows_rejected"].sum()


def take_in_mutations_apart(folder: Path, mutations: int, seed: int, answers: Any) -> None:
    try:
        answers.put(take_in_mutations(folder, mutations, seed))
    except BaseException:
        answers.put(f"seed {seed}: {traceback.format_exc()}")


def take_in_mutations(folder: Path, mutations: int, seed: int) -> tuple[int, int]:
    chance = random.Random(seed)
    print(f"seed {seed}")
    files = originals()
    warehouse = Warehouse(home=str(folder / "home"))
    rows_in = counted = 0
    for first in range(0, mutations, FILES_OF_A_FOLDER):
        batch = {}
        for number in range(first, min(first + FILES_OF_A_FOLDER, mutations)):
            name, data, rows = mutated(chance, files)
            stem, _, suffix = name.partition(" ")[2].rpartition(".")
            batch[f"{stem}_{number}.{suffix}"] = (data, rows)
        rows, countable = take_in(folder / f"folder-{first}", batch, warehouse)
        rows_in, counted = rows_in + rows, counted + countable
    assert_stored(warehouse)
    return rows_in, counted


@pytest.mark.long
def test_spoiled_exports_crash_nothing_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    rows_in, counted = take_in_mutations(tmp_path, MUTATIONS, SEED)
    assert rows_in > MUTATIONS and counted > MUTATIONS / 10


@pytest.mark.soak
def test_ten_thousand_spoiled_exports(
    tmp_path: Path, soak_share: float, tell_figure: Callable[[str, str], None]
) -> None:
    mutations = max(FILES_OF_A_FOLDER, round(SOAKED_MUTATIONS * soak_share))
    workers = os.cpu_count() or 1
    answers = processes.queue()
    started = time.monotonic()
    for number in range(workers):
        arguments = (tmp_path / str(number), mutations // workers, SEED + 1 + number, answers)
        processes.start(take_in_mutations_apart, *arguments)
    results = [answers.get(timeout=7200) for _ in range(workers)]
    seconds = time.monotonic() - started
    assert all(isinstance(result, tuple) for result in results), results
    rows_in, counted = (sum(result[index] for result in results) for index in (0, 1))
    mutations = mutations // workers * workers
    tell_figure(
        "mutated exports",
        f"{mutations:,} files, {rows_in:,} rows ({counted:,} files counted independently), {mutations / seconds:.0f} "
        "files/s: no crash, every row accounted for",
    )
