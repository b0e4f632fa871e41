"""Temporary files that killed processes left behind, and how they are told from those of living ones."""

from __future__ import annotations

import shutil
from contextlib import suppress

from spotify_assets.settings import HomePaths
from spotify_assets.state import State, is_held


def remove_leftovers(paths: HomePaths) -> None:
    """Remove scratch folders and lock files of processes that have ended without a word.

    Who makes a file in the scratch folder has registered a run, or holds the run lock, before. So what was there
    before nobody was found alive belongs to nobody. Half-made snapshots, mirror versions and warehouse files are
    removed by the next one that makes such a thing, and what DuckDB spilled by the next one that opens the warehouse.
    """
    entries = paths.scratch_folder.iterdir() if paths.scratch_folder.exists() else ()
    scratch = [path for path in entries if path != paths.spill_folder]
    lock_files = list(paths.runs_folder.glob("*.lock")) if paths.runs_folder.exists() else []
    if not scratch and not lock_files:
        return
    registered = State(paths.state_file).runs()
    known = {run.lock_file for run in registered}
    for lock_file in lock_files:
        if lock_file not in known and not is_held(lock_file):
            lock_file.unlink(missing_ok=True)
    if is_held(paths.run_lock_file) or any(is_held(run.lock_file) for run in registered):
        return
    for path in scratch:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
