from __future__ import annotations

import os
from pathlib import Path

import pytest

from spotify_assets.lakehouse import FileLock, LakehouseError, LockTimeout
from spotify_assets.state import is_held
from spotify_assets_tests.lakehouse import processes


def test_a_lock_may_be_taken_again_by_the_process_that_holds_it(tmp_path: Path) -> None:
    outer, inner = FileLock(tmp_path / "a.lock"), FileLock(tmp_path / "." / "a.lock")
    outer.acquire(0)
    inner.acquire(0)
    inner.release()
    assert is_held(tmp_path / "a.lock")
    outer.release()
    assert not is_held(tmp_path / "a.lock")


def test_whoever_waits_in_vain_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    held, release = processes.event(), processes.event()
    process = processes.start(processes.hold_lock, tmp_path / "run.lock", held, release)
    assert held.wait(20)
    told: list[str] = []
    with pytest.raises(LockTimeout, match=rf"run\.lock is held by process {process.pid} \(a test, since \d\d:\d\d\)"):
        FileLock(tmp_path / "run.lock").acquire(0.1, told.append)
    assert len(told) == 1 and str(process.pid) in told[0]
    release.set()
    process.join(10)


def test_a_lock_is_had_as_soon_as_its_holder_lets_go(tmp_path: Path) -> None:
    held, release = processes.event(), processes.event()
    process = processes.start(processes.hold_lock, tmp_path / "run.lock", held, release)
    assert held.wait(20)
    with FileLock(tmp_path / "run.lock").held(20, lambda _: release.set()):
        assert is_held(tmp_path / "run.lock")
    process.join(10)


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    held = processes.event()
    process = processes.start(processes.hold_lock, tmp_path / "run.lock", held, processes.event())
    assert held.wait(20)
    assert is_held(tmp_path / "run.lock")
    process.kill()
    process.join(10)
    assert not is_held(tmp_path / "run.lock")


def test_a_forked_child_neither_holds_nor_prolongs_its_parents_lock(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "run.lock")
    lock.acquire(0)
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(to_parent, b"y" if lock.is_mine else b"n")
        os.read(from_parent, 1)
        os._exit(0)
    childs_answer = os.read(from_child, 1)
    lock.release()
    is_prolonged = is_held(tmp_path / "run.lock")
    os.write(to_child, b".")
    os.waitpid(child, 0)
    for descriptor in (from_child, to_parent, from_parent, to_child):
        os.close(descriptor)
    assert childs_answer == b"n" and not is_prolonged


def test_a_lock_in_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LakehouseError, match=r"run\.lock"):
        FileLock(tmp_path / "file" / "run.lock").acquire(0)
