"""The sensor that takes in what is dropped into the inbox."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from spotify_assets.instance import prepare_home
from spotify_assets.lakehouse import scan_table
from spotify_assets.settings import Settings
from spotify_assets_tests.automation.ticks import days_ago, execute, play, tick, write_zip
from spotify_assets_tests.lakehouse import processes

Look = Callable[..., object]


@pytest.fixture
def inbox(settings: Settings) -> Path:
    prepare_home(settings)
    return settings.paths.inbox_folder(settings.listener)


@pytest.fixture
def look(settings: Settings, instance: dg.DagsterInstance) -> Look:
    """A tick that remembers what the one before did."""
    cursor = None

    def look(times: int = 1, **arguments):
        nonlocal cursor
        for _ in range(times):
            data = tick(settings, instance, "inbox", cursor=cursor, **arguments)
            cursor = data.cursor
        return data

    return look


def finish(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> str:
    @dg.job(name="import_exports")
    def stands_for_an_import() -> None: ...

    return instance.create_run_for_job(stands_for_an_import, tags=request.tags, status=status).run_id


def paths_of(request: dg.RunRequest) -> list[str]:
    return request.run_config["ops"]["streaming_history"]["config"]["paths"]


def test_the_folder_of_the_default_listener_is_made_at_start(inbox: Path) -> None:
    assert inbox.is_dir()


def test_a_zip_is_taken_in_once_it_did_not_change_between_two_ticks(inbox: Path, look: Look) -> None:
    path = write_zip(inbox / "my_spotify_data.zip", play(days_ago(2)))
    assert "does not change any more" in look().skip_message
    with path.open("ab") as growing:
        growing.write(b"\0")
    assert "does not change any more" in look().skip_message
    write_zip(path, play(days_ago(2)))
    look()
    (request,) = look().run_requests
    assert request.job_name == "import_exports"
    assert paths_of(request) == [str(path)]


def test_what_was_taken_in_stays_where_it_is_and_is_not_taken_in_again(
    settings: Settings, inbox: Path, look: Look, instance: dg.DagsterInstance
) -> None:
    path = write_zip(inbox / "my_spotify_data.zip", play(days_ago(2)))
    (request,) = look(2).run_requests
    assert execute(settings, instance, request).success
    assert path.exists()
    assert scan_table(settings.home, "raw.streaming_history").collect()["listener"].to_list() == ["demo", "demo"]
    assert look(3).skip_message == "Nothing new in the inbox."


def test_an_equal_file_under_another_name_or_only_touched_is_not_taken_in_again(
    inbox: Path, look: Look, instance: dg.DagsterInstance
) -> None:
    path = write_zip(inbox / "a.zip", play(days_ago(2)))
    (request,) = look(2).run_requests
    finish(instance, request, dg.DagsterRunStatus.SUCCESS)
    shutil.copy(path, inbox / "b.zip")
    os.utime(path, (1, 1))
    data = look(3)
    assert data.run_requests == []
    assert data.skip_message == "Nothing new in the inbox."


def test_the_same_file_of_two_listeners_is_two_imports(
    settings: Settings, inbox: Path, look: Look, instance: dg.DagsterInstance
) -> None:
    for name in ("ada", "ben"):
        write_zip(settings.paths.inbox_folder(name) / "a.zip", play(days_ago(2)))
    listeners = []
    for ticks in (2, 1):
        (request,) = look(ticks).run_requests
        finish(instance, request, dg.DagsterRunStatus.SUCCESS)
        listeners.append(request.run_config["ops"]["streaming_history"]["config"]["listener"])
    assert listeners == ["ada", "ben"]


def test_one_import_runs_at_a_time_and_the_others_wait_in_line(
    inbox: Path, look: Look, instance: dg.DagsterInstance
) -> None:
    write_zip(inbox / "a.zip", play(days_ago(2)))
    write_zip(inbox / "b.zip", play(days_ago(3)))
    (request,) = look(2).run_requests
    assert paths_of(request) == [str(inbox / "a.zip")]
    run_id = finish(instance, request, dg.DagsterRunStatus.STARTED)
    assert "a.zip is being imported" in look().skip_message
    assert "b.zip is next" in look().skip_message
    instance.report_run_failed(instance.get_run_by_id(run_id))
    (request,) = look().run_requests
    assert paths_of(request) == [str(inbox / "b.zip")]


def test_nothing_is_taken_in_while_another_run_is_at_work(settings: Settings, inbox: Path, look: Look) -> None:
    write_zip(inbox / "a.zip", play(days_ago(2)))
    held, release = processes.event(), processes.event()
    holder = processes.start(processes.hold_lock, settings.paths.run_lock_file, held, release)
    assert held.wait(20)
    reason = look(2).skip_message
    release.set()
    holder.join(20)
    assert "run.lock is held" in reason
    assert len(look().run_requests) == 1


def test_a_zip_that_was_cut_off_is_named_and_looked_at_again_only_when_it_changes(inbox: Path, look: Look) -> None:
    path = write_zip(inbox / "cut.zip", play(days_ago(2)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut.zip is no whole zip" in look(2).skip_message
    assert "cut.zip is no whole zip" in look(2).skip_message
    path.write_bytes(whole)
    assert len(look(2).run_requests) == 1


def test_an_import_that_failed_is_tried_again_after_an_hour_and_three_times_in_all(
    inbox: Path, look: Look, instance: dg.DagsterInstance
) -> None:
    write_zip(inbox / "a.zip", play(days_ago(2)))
    now = datetime.now(UTC)
    look(now=now)
    for attempt in range(3):
        now += timedelta(hours=2)
        (request,) = look(now=now).run_requests
        run_id = finish(instance, request, dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(instance.get_run_by_id(run_id))
        if attempt < 2:
            assert run_id[:8] in look().skip_message
    assert "could not be imported in 3 runs" in look(now=now + timedelta(days=1)).skip_message


def test_an_import_that_somebody_canceled_does_not_begin_again(
    inbox: Path, look: Look, instance: dg.DagsterInstance
) -> None:
    write_zip(inbox / "a.zip", play(days_ago(2)))
    (request,) = look(2).run_requests
    finish(instance, request, dg.DagsterRunStatus.CANCELED)
    assert look(now=datetime.now(UTC) + timedelta(days=2)).skip_message == "Nothing new in the inbox."


def test_an_unzipped_folder_and_a_single_file_are_exports_too(
    inbox: Path, look: Look, instance: dg.DagsterInstance
) -> None:
    (inbox / "MyData").mkdir()
    (inbox / "MyData" / "Streaming_History_Audio_2024.json").write_text(json.dumps([play(days_ago(2))]))
    (inbox / "Streaming_History_Audio_2023.json").write_text(json.dumps([play(days_ago(3))]))
    taken = []
    for ticks in (2, 1):
        (request,) = look(ticks).run_requests
        finish(instance, request, dg.DagsterRunStatus.SUCCESS)
        taken += paths_of(request)
    assert taken == [str(inbox / "MyData"), str(inbox / "Streaming_History_Audio_2023.json")]
    (inbox / "MyData" / "Streaming_History_Audio_2025.json").write_text(json.dumps([play(days_ago(1))]))
    assert paths_of(look(2).run_requests[0]) == [str(inbox / "MyData")]


def test_loose_files_are_taken_in_together_as_one_export(inbox: Path, look: Look, instance: dg.DagsterInstance) -> None:
    paths = [inbox / f"Streaming_History_Audio_{number}.json" for number in range(3)]
    for path in paths:
        path.write_text(json.dumps([play(days_ago(2))]))
        assert not look().run_requests
    (request,) = look().run_requests
    assert paths_of(request) == [str(path) for path in paths]
    finish(instance, request, dg.DagsterRunStatus.SUCCESS)
    assert look(2).skip_message == "Nothing new in the inbox."


def test_a_broken_zip_keeps_no_other_waiting(inbox: Path, look: Look) -> None:
    (inbox / "a.zip").write_bytes(b"PK and then the copy broke off")
    whole = write_zip(inbox / "b.zip", play(days_ago(2)))
    assert paths_of(look(2).run_requests[0]) == [str(whole)]


def test_unfinished_downloads_and_hidden_files_are_left_alone(inbox: Path, look: Look) -> None:
    for name in ("a.zip.crdownload", "b.zip.part", ".c.zip", "notes.txt"):
        (inbox / name).write_bytes(b"PK")
    assert look(2).skip_message == "Nothing new in the inbox."


def test_an_export_outside_of_a_listener_s_folder_is_pointed_out(settings: Settings, inbox: Path, look: Look) -> None:
    write_zip(settings.paths.inbox / "a.zip", play(days_ago(2)))
    assert "a.zip lies in the inbox itself" in look(2).skip_message


def test_the_cursor_holds_neither_names_of_files_nor_of_listeners(
    settings: Settings, inbox: Path, instance: dg.DagsterInstance
) -> None:
    write_zip(settings.paths.inbox_folder("nobody-else") / "secret-name.zip", play(days_ago(2)))
    cursor = None
    for _ in range(2):
        cursor = tick(settings, instance, "inbox", cursor=cursor).cursor
    assert "nobody-else" not in cursor
    assert "secret-name" not in cursor
