from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from spotify_assets.lakehouse import (
    LockTimeout,
    NoSession,
    PublicationFailed,
    connect,
    current_session,
    living_run,
    publish_if_changed,
    published_sequence,
    run_session,
)
from spotify_assets.lakehouse.publishing import WAITS_AT_MOST
from spotify_assets.schemas import Layout, Table
from spotify_assets.schemas.table import whole_number
from spotify_assets.settings import HomePaths
from spotify_assets.state import State, is_held
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.example import RawReadings, raw_readings, warehouse_in

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def append(warehouse, first: int, rows: int = 1) -> None:
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(first, rows))


def published_rows(home: Path) -> int:
    with connect(home) as connection:
        return connection.execute("SELECT count(*) FROM example.raw_readings").fetchall()[0][0]


def test_a_session_publishes_once_at_the_end_of_the_outermost(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with run_session(warehouse, purpose="import") as outer:
        for number in range(2):
            with run_session(warehouse, purpose="a run") as inner:
                assert inner is outer
                inner.begin()
                append(warehouse, number)
            assert published_sequence(warehouse.paths) == 0
            assert is_held(warehouse.paths.run_lock_file)
    assert published_rows(tmp_path) == 2
    assert outer.publication is not None and outer.publication.sequence == 2
    assert not is_held(warehouse.paths.run_lock_file)
    assert current_session(tmp_path) is None


def test_a_session_in_which_nothing_changed_publishes_nothing(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with run_session(warehouse, purpose="first") as session:
        session.begin()
    assert session.publication is None and not warehouse.paths.published_file.exists()
    with run_session(warehouse, purpose="second"):
        append(warehouse, 0)
    with run_session(warehouse, purpose="third") as session:
        session.begin()
    assert session.publication is None and session.mirror_report is None


def test_rows_appended_without_the_run_lock_are_published_at_the_end(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with run_session(warehouse, purpose="a fetch") as session:
        append(warehouse, 0)
        assert not is_held(warehouse.paths.run_lock_file)
    assert session.publication is not None and published_rows(tmp_path) == 1


def test_a_session_whose_body_raised_publishes_what_was_committed(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with pytest.raises(ZeroDivisionError), run_session(warehouse, purpose="a run") as session:
        session.begin()
        append(warehouse, 0)
        raise ZeroDivisionError
    assert published_rows(tmp_path) == 1


def test_what_a_killed_session_left_unpublished_is_published_by_the_next_that_begins(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    append(warehouse, 0)
    with run_session(warehouse, purpose="looks only"):
        pass
    assert published_sequence(warehouse.paths) == 0
    with run_session(warehouse, purpose="begins") as session:
        session.begin()
    assert published_rows(tmp_path) == 1


def test_a_snapshot_that_was_made_but_not_switched_to_is_made_again(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    append(warehouse, 0)
    half_made = warehouse.paths.snapshots_folder / "1"
    half_made.mkdir(parents=True)
    (half_made / "lakehouse.duckdb").write_text("half")
    (warehouse.paths.snapshots_folder / ".new-1").mkdir()
    publish_if_changed(warehouse, published_at=AT, log=print)
    assert published_rows(tmp_path) == 1
    assert [path.name for path in warehouse.paths.snapshots_folder.iterdir()] == ["1"]


def test_a_second_process_waits_for_the_run_lock_and_is_told_who_has_it(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, lock_timeout_seconds=0.3)
    held, release = processes.event(), processes.event()
    process = processes.start(processes.hold_lock, warehouse.paths.run_lock_file, held, release)
    assert held.wait(20)
    told: list[str] = []
    with (
        pytest.raises(LockTimeout, match=f"process {process.pid}"),
        run_session(warehouse, purpose="a run", log=told.append) as session,
    ):
        session.begin()
    assert "Waiting for run.lock" in told[0]
    release.set()
    process.join(10)


def test_appended_rows_are_kept_when_the_run_lock_cannot_be_had_at_the_end(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, lock_timeout_seconds=0.3)
    held, release = processes.event(), processes.event()
    process = processes.start(processes.hold_lock, warehouse.paths.run_lock_file, held, release)
    assert held.wait(20)
    told: list[str] = []
    with run_session(warehouse, purpose="a fetch", log=told.append):
        append(warehouse, 0)
    assert "Not published yet" in told[-1]
    release.set()
    process.join(10)
    with run_session(warehouse, purpose="next") as session:
        session.begin()
    assert published_rows(tmp_path) == 1


def test_beginning_without_a_session_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoSession, match="run_session"):
        warehouse_in(tmp_path).begin()


def test_an_error_while_publishing_does_not_hide_that_of_the_body(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    warehouse.paths.snapshots_folder.write_text("no folder")
    told: list[str] = []
    with pytest.raises(ZeroDivisionError), run_session(warehouse, purpose="a run", log=told.append) as session:
        session.begin()
        append(warehouse, 0)
        raise ZeroDivisionError
    assert "Not published yet" in told[0]
    with (
        pytest.raises(PublicationFailed, match="what was written is safe"),
        run_session(warehouse, purpose="a run") as session,
    ):
        session.begin()
    assert not is_held(warehouse.paths.run_lock_file)


def test_a_mirror_that_fails_is_told_and_repaired_by_the_next_session(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    warehouse.paths.mirror_folder.write_text("no folder")
    told: list[str] = []
    with run_session(warehouse, purpose="a run", log=told.append) as session:
        session.begin()
        append(warehouse, 0)
    assert session.publication is not None and "the next run tries again" in told[0]
    warehouse.paths.mirror_folder.unlink()
    with run_session(warehouse, purpose="a run") as session:
        session.begin()
    assert session.publication is None
    assert session.mirror_report is not None and session.mirror_report.written == 1


# Publishing


def publish(warehouse, first: int) -> Path:
    append(warehouse, first)
    publication = publish_if_changed(warehouse, published_at=AT, log=print)
    assert publication is not None
    return publication.path


def test_the_published_file_is_a_relative_symlink_to_a_read_only_file_of_its_own_name(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    snapshot = publish(warehouse, 0)
    assert warehouse.paths.published_file.readlink() == Path(".snapshots/1/lakehouse.duckdb")
    assert snapshot.stat().st_mode & 0o777 == 0o444
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    shutil.copytree(tmp_path, moved, symlinks=True)
    assert published_rows(moved) == 1


def test_what_is_published_is_told_in_the_file_itself(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    publish(warehouse, 0)
    with connect(tmp_path) as connection:
        rows = connection.execute("SELECT * FROM meta.published").fetchall()
    assert rows == [("example.raw_readings", 1, AT, 1, None, None, 0)]


def test_only_so_many_snapshots_are_kept_and_always_the_newest(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, snapshots_kept=3)
    for number in range(5):
        with run_session(warehouse, purpose="a run") as session:
            session.begin()
            append(warehouse, number)
    assert sorted(path.name for path in warehouse.paths.snapshots_folder.iterdir()) == ["3", "4", "5"]


def test_a_snapshot_that_a_killed_session_left_is_removed_by_the_next(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, snapshots_kept=3)
    for number in range(3):
        publish(warehouse, number)
    (warehouse.paths.snapshots_folder / "0").mkdir()
    with run_session(warehouse, purpose="the next") as session:
        session.begin()
    assert session.publication is None
    assert sorted(path.name for path in warehouse.paths.snapshots_folder.iterdir()) == ["1", "2", "3"]


def test_the_file_stays_open_for_a_session_and_is_closed_at_its_end(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)

    def others_can_open_it() -> bool:
        code = "import duckdb, sys; duckdb.connect(sys.argv[1], read_only=True)"
        command = [sys.executable, "-c", code, str(warehouse.paths.warehouse_file)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    with run_session(warehouse, purpose="a test") as session:
        session.begin()
        append(warehouse, 0)
        assert not others_can_open_it()
        warehouse.close()
        assert others_can_open_it()
        append(warehouse, 1)
    assert others_can_open_it()
    assert published_rows(tmp_path) == 2


def test_an_open_reader_keeps_its_snapshot_and_a_second_connect_sees_the_new_one(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    publish(warehouse, 0)
    with connect(tmp_path) as old:
        publish(warehouse, 1)
        with connect(tmp_path) as new:
            counts = [
                connection.execute("SELECT count(*) FROM example.raw_readings").fetchall()[0][0]
                for connection in (old, new)
            ]
    assert counts == [1, 2]


def test_publishing_is_refused_while_this_process_has_the_warehouse_open(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    append(warehouse, 0)
    with warehouse.get_connection(), pytest.raises(RuntimeError, match="has the warehouse open"):
        publish_if_changed(warehouse, published_at=AT, log=print)


def test_without_symlinks_a_plain_file_is_replaced_and_that_is_said(tmp_path: Path) -> None:
    def refuse(target: str, link: Path) -> None:
        raise OSError(1, "Operation not permitted")

    warehouse = warehouse_in(tmp_path)
    told: list[str] = []
    for number in range(2):
        append(warehouse, number)
        publish_if_changed(warehouse, published_at=AT, log=told.append, make_symlink=refuse)
    file = warehouse.paths.published_file
    assert file.is_file() and not file.is_symlink() and published_rows(tmp_path) == 2
    assert "without symlinks" in told[0]
    assert publish_if_changed(warehouse, published_at=AT, log=print) is None


def test_readers_never_fail_while_snapshots_are_published(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    publish(warehouse, 0)
    holding, reopening, release, answers = processes.event(), processes.event(), processes.event(), processes.queue()
    holder = processes.start(processes.hold_published, tmp_path, holding, release, answers)
    reopened = processes.queue()
    reopener = processes.start(processes.reopen_published, tmp_path, 200, reopening, reopened)
    assert holding.wait(20) and reopening.wait(20)
    for number in range(1, 16):
        publish(warehouse, number)
    assert reopened.get(timeout=60) == (0, 0)
    release.set()
    assert answers.get(timeout=20) == 0
    holder.join(10)
    reopener.join(10)
    assert published_rows(tmp_path) == 16


# Living and dead runs


def test_a_run_is_listed_while_it_lives_and_forgotten_when_it_ends(tmp_path: Path) -> None:
    paths = HomePaths(tmp_path)
    state = State(paths.state_file)
    with living_run(paths, "abc", "a test"), living_run(paths, "abc", "a test"):
        assert [run.run_id for run in state.runs()] == ["abc"]
        assert state.dead_runs() == []
    assert state.runs() == [] and list(paths.runs_folder.iterdir()) == []


def test_a_killed_run_is_found_dead(tmp_path: Path) -> None:
    living = processes.event()
    process = processes.start(processes.live_as_run, tmp_path, "abc", living)
    assert living.wait(20)
    state = State(HomePaths(tmp_path).state_file)
    assert state.dead_runs() == []
    process.kill()
    process.join(10)
    assert [run.run_id for run in state.dead_runs()] == ["abc"]


def test_a_program_that_wrote_published_and_read_exits_in_silence(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from spotify_assets.lakehouse import Warehouse, connect, run_session, scan_table
from spotify_assets_tests.lakehouse.example import RawReadings, raw_readings, warehouse_in
home = Path({str(tmp_path)!r})
warehouse = warehouse_in(home)
with run_session(warehouse, purpose="a test") as session:
    session.begin()
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 3))
        transaction.read(RawReadings)
with connect(home) as connection:
    assert connection.execute("SELECT count(*) FROM example.raw_readings").fetchall() == [(3,)]
frame = scan_table(home, "example.raw_readings")
assert frame.collect().height == 3
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_days_are_told_for_tables_that_have_them(tmp_path: Path) -> None:
    from spotify_assets_tests.lakehouse.example import DailyLevels, GaugeDays

    warehouse = warehouse_in(tmp_path, days_table="example.gauge_days", code_versions={"example.daily_levels": "1"})
    days = [date(2024, 1, 1), date(2024, 1, 2)]
    with warehouse.transaction() as transaction:
        transaction.replace(
            GaugeDays,
            pl.DataFrame([("me", each, "v") for each in days], schema=GaugeDays.polars_schema(), orient="row"),
        )
        levels = pl.DataFrame([("me", days[0], 3)], schema=DailyLevels.polars_schema(), orient="row")
        transaction.replace_days(DailyLevels, levels, [days[0]])
        transaction.record_day_versions(DailyLevels, days[0], days[0])
    publish_if_changed(warehouse, published_at=AT, log=print)
    with connect(tmp_path) as connection:
        told = connection.execute(
            "SELECT rows, first_day, last_day, lagging_days FROM meta.published WHERE table_name = ?",
            ["example.daily_levels"],
        ).fetchall()
    assert told == [(1, days[0], days[0], 1)]


class Looks(Table):
    """How often somebody looked at the gauge."""

    layout = Layout("example", "looks")

    look = whole_number("Number.", key=True)


CAN_WAIT = (Looks.qualified_name(),)


def look_at_gauge(warehouse, number: int, *, at: datetime, can_wait: tuple[str, ...] = CAN_WAIT):
    with run_session(warehouse, purpose="a look", clock=lambda: at, can_wait=can_wait) as session:
        session.begin()
        with warehouse.transaction() as transaction:
            transaction.append(Looks, pl.DataFrame({"look": [number]}))
    return session


def looks_published(home: Path) -> int:
    with connect(home) as connection:
        return connection.execute("SELECT count(*) FROM example.looks").fetchall()[0][0]


@pytest.fixture
def looked(tmp_path: Path):
    """A home whose published file, of noon, has one reading and one look."""
    warehouse = warehouse_in(tmp_path)
    append(warehouse, 1)
    look_at_gauge(warehouse, 1, at=AT)
    return warehouse


def test_changes_that_can_wait_are_not_published_and_not_mirrored_by_themselves(looked, tmp_path: Path) -> None:
    assert looks_published(tmp_path) == 1
    mirrored = (tmp_path / "mirror" / "current").resolve()
    session = look_at_gauge(looked, 2, at=AT + timedelta(minutes=30))
    assert session.publication is None and looks_published(tmp_path) == 1
    assert (tmp_path / "mirror" / "current").resolve() == mirrored
    assert looked.read(Looks).height == 2


def test_what_waited_is_published_with_the_next_real_change(looked, tmp_path: Path) -> None:
    look_at_gauge(looked, 2, at=AT + timedelta(minutes=30))
    with run_session(looked, purpose="a run", clock=lambda: AT + timedelta(minutes=40), can_wait=CAN_WAIT) as session:
        session.begin()
        append(looked, 2)
    assert session.publication is not None
    assert looks_published(tmp_path) == published_rows(tmp_path) == 2


def test_what_waited_long_is_published_without_another_change(looked, tmp_path: Path) -> None:
    look_at_gauge(looked, 2, at=AT + timedelta(minutes=30))
    look_at_gauge(looked, 3, at=AT + WAITS_AT_MOST)
    assert looks_published(tmp_path) == 3


def test_a_session_that_does_not_let_it_wait_publishes_it(looked, tmp_path: Path) -> None:
    look_at_gauge(looked, 2, at=AT + timedelta(minutes=30))
    look_at_gauge(looked, 3, at=AT + timedelta(minutes=31), can_wait=())
    assert looks_published(tmp_path) == 3
