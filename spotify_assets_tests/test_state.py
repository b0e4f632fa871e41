from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from spotify_assets.lakehouse import FileLock
from spotify_assets.state import _MIGRATIONS, State, StateError
from spotify_assets_tests.lakehouse import processes


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "home" / "state.sqlite")


def test_a_fresh_state_knows_nothing(state: State) -> None:
    assert (state.runs(), state.first_day(), state.stale_days(), state.note("x")) == ([], None, [], None)


def test_only_its_owner_may_read_the_file(state: State, tmp_path: Path) -> None:
    state.set_note("a", "b")
    assert (tmp_path / "home" / "state.sqlite").stat().st_mode & 0o777 == 0o600


def test_runs_whose_file_nobody_holds_are_dead(state: State, tmp_path: Path) -> None:
    (tmp_path / "dead.lock").touch()
    state.register_run("dead", tmp_path / "dead.lock", "import")
    state.register_run("gone", tmp_path / "gone.lock", "import")
    state.register_run("living", tmp_path / "living.lock", "import")
    with FileLock(tmp_path / "living.lock").held(0):
        assert [run.run_id for run in state.dead_runs()] == ["dead", "gone"]
    state.unregister_run("gone")
    assert [run.run_id for run in state.dead_runs()] == ["dead", "living"]


def test_moving_the_first_day_is_told(state: State) -> None:
    assert state.set_first_day(date(2015, 1, 2))
    assert not state.set_first_day(date(2015, 1, 2))
    assert state.first_day() == date(2015, 1, 2)
    assert state.set_first_day(None) and state.first_day() is None


def test_stale_days_are_replaced_as_a_whole(state: State) -> None:
    state.replace_stale_days([("daily.b", date(2024, 1, 2), "new"), ("daily.a", date(2024, 1, 3), "code")])
    state.replace_stale_days([("daily.a", date(2024, 1, 3), "gone"), ("daily.a", date(2024, 1, 1), "new")])
    assert [tuple(day) for day in state.stale_days()] == [
        ("daily.a", date(2024, 1, 1), "new"),
        ("daily.a", date(2024, 1, 3), "gone"),
    ]


def test_stale_days_that_cannot_be_stored_leave_the_old_ones(state: State) -> None:
    state.replace_stale_days([("daily.a", date(2024, 1, 1), "new")])
    with pytest.raises(StateError):
        state.replace_stale_days([("daily.b", date(2024, 1, 1), "new")] * 2)
    assert [day.table_name for day in state.stale_days()] == ["daily.a"]


def test_notes_are_kept_until_they_are_forgotten(state: State) -> None:
    state.set_note("reloaded_at", "yesterday")
    assert state.note("reloaded_at") == "yesterday"
    state.set_note("reloaded_at", None)
    assert state.note("reloaded_at") is None


def test_a_file_of_a_newer_version_is_left_alone(state: State, tmp_path: Path) -> None:
    state.set_note("a", "b")
    with sqlite3.connect(tmp_path / "home" / "state.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="newer version"):
        state.note("a")


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StateError, match="move it away"):
        State(tmp_path / "state.sqlite").runs()


def note_often(path: Path, name: str) -> None:
    for number in range(20):
        State(path).set_note(f"{name}{number}", name)


def test_several_processes_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    both = [processes.start(note_often, path, name) for name in ("a", "b")]
    for process in both:
        process.join(60)
    state = State(path)
    assert [process.exitcode for process in both] == [0, 0]
    assert all(state.note(f"{name}{number}") == name for name in "ab" for number in range(20))


def test_a_file_of_an_earlier_version_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with sqlite3.connect(path) as connection:
        for statement in _MIGRATIONS[0].split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO notes VALUES ('first_day', '2015-01-02')")
        connection.execute("PRAGMA user_version = 1")
    state = State(path)
    assert state.reserve_request("artists", datetime(2026, 3, 1, tzinfo=UTC), 1).is_granted
    assert state.first_day() == date(2015, 1, 2)
