"""What is dropped into the inbox is taken in once, when it is complete, and stays where it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import dagster as dg
import pytest

from spotify_assets.instance import prepare_home
from spotify_assets.lakehouse import FileLock
from spotify_assets.settings import Settings
from spotify_assets_tests.automation.ticks import Daemon, remember_run

STATUS = dg.DagsterRunStatus


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    prepare_home(settings)
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def daemon(settings: Settings, instance: dg.DagsterInstance) -> Daemon:
    return Daemon(settings, instance)


@pytest.fixture
def inbox(settings: Settings, instance: dg.DagsterInstance) -> Path:
    return settings.paths.inbox_folder(settings.listener)


def zip_file(path: Path, text: str = "[]") -> Path:
    with ZipFile(path, "w") as opened:
        opened.writestr("Streaming_History_Audio_2024_0.json", text)
    return path


def taken_in(answer: Any) -> list[dict[str, Any]]:
    return [request.run_config["ops"]["streaming_history"]["config"] for request in answer.run_requests or []]


def looks(daemon: Daemon, times: int = 2) -> list[dict[str, Any]]:
    """What some looks have imported, each import going well before the next look."""
    imports = []
    for _ in range(times):
        answer = daemon.look("inbox")
        for request in answer.run_requests or []:
            remember_run(daemon.instance, "import_exports", STATUS.SUCCESS, dict(request.tags))
        imports += taken_in(answer)
    return imports


def test_every_home_has_an_inbox_of_its_listener(inbox: Path) -> None:
    assert inbox.is_dir()


def test_an_empty_inbox_starts_nothing(daemon: Daemon, inbox: Path) -> None:
    assert daemon.look("inbox").skip_message == "Nothing new in the inbox."


def test_a_zip_is_taken_in_once_it_did_not_change_between_two_looks(daemon: Daemon, inbox: Path) -> None:
    path = zip_file(inbox / "my_spotify_data.zip")
    assert taken_in(daemon.look("inbox")) == []
    assert taken_in(daemon.look("inbox")) == [{"paths": [str(path)], "listener": "demo"}]
    assert path.exists()


def test_a_zip_that_is_still_being_copied_is_waited_for(daemon: Daemon, inbox: Path, tmp_path: Path) -> None:
    whole = zip_file(tmp_path / "whole.zip", "[]" * 5000).read_bytes()
    target = inbox / "my_spotify_data.zip"
    for part in (60, 120):
        target.write_bytes(whole[:part])
        answer = daemon.look("inbox")
        assert not answer.run_requests and "does not change any more" in answer.skip_message
    target.write_bytes(whole)
    assert len(looks(daemon)) == 1


def test_a_broken_zip_is_named_and_tried_again_only_when_it_changes(daemon: Daemon, inbox: Path) -> None:
    target = inbox / "my_spotify_data.zip"
    target.write_bytes(b"PK\x03\x04 and then the download broke off")
    assert looks(daemon, 3) == []
    assert "my_spotify_data.zip is no whole zip file" in daemon.look("inbox").skip_message
    zip_file(target)
    assert len(looks(daemon)) == 1


def test_a_broken_zip_does_not_keep_others_waiting(daemon: Daemon, inbox: Path) -> None:
    (inbox / "a.zip").write_bytes(b"broken")
    whole = zip_file(inbox / "b.zip")
    assert [config["paths"] for config in looks(daemon)] == [[str(whole)]]


def test_what_was_taken_in_is_not_taken_in_again(daemon: Daemon, inbox: Path) -> None:
    path = zip_file(inbox / "my_spotify_data.zip")
    assert len(looks(daemon, 4)) == 1
    os.utime(path)
    assert looks(daemon, 3) == []


def test_an_equal_file_of_another_name_is_not_taken_in_again(daemon: Daemon, inbox: Path) -> None:
    path = zip_file(inbox / "my_spotify_data.zip")
    assert len(looks(daemon, 4)) == 1
    (inbox / "my_spotify_data (1).zip").write_bytes(path.read_bytes())
    assert looks(daemon, 3) == []


def test_an_import_that_failed_is_tried_again_later_but_not_for_ever(
    settings: Settings, instance: dg.DagsterInstance, inbox: Path
) -> None:
    zip_file(inbox / "my_spotify_data.zip")
    daemon = Daemon(settings, instance)
    daemon.look("inbox")
    for attempt in range(3):
        (request,) = daemon.look("inbox").run_requests
        remember_run(instance, "import_exports", STATUS.FAILURE, dict(request.tags))
        if attempt == 0:
            assert "tried again" in daemon.look("inbox").skip_message
            daemon.move_clock_to(datetime.now(UTC) + timedelta(hours=2))
    assert "left alone" in daemon.look("inbox").skip_message


def test_an_unzipped_folder_is_taken_in_as_one_export(daemon: Daemon, inbox: Path) -> None:
    folder = inbox / "Spotify Extended Streaming History"
    folder.mkdir()
    for number in range(3):
        (folder / f"Streaming_History_Audio_{number}.json").write_text("[]")
        assert looks(daemon, 1) == []
    assert [config["paths"] for config in looks(daemon)] == [[str(folder)]]


def test_loose_files_are_taken_in_together_as_one_export(daemon: Daemon, inbox: Path) -> None:
    paths = [inbox / f"Streaming_History_Audio_{number}.json" for number in range(3)]
    for path in paths:
        path.write_text("[]")
    assert [config["paths"] for config in looks(daemon, 3)] == [[str(path) for path in paths]]


def test_hidden_files_and_unfinished_downloads_are_left_alone(daemon: Daemon, inbox: Path) -> None:
    for name in (".my_spotify_data.zip", "my_spotify_data.zip.part", "my_spotify_data.zip.crdownload", "notes.txt"):
        (inbox / name).write_bytes(b"something")
    assert looks(daemon, 3) == []


def test_each_listener_has_a_folder_and_what_lies_beside_them_is_told(daemon: Daemon, inbox: Path) -> None:
    other = inbox.parent / "someone else"
    other.mkdir()
    zip_file(other / "a.zip")
    zip_file(inbox.parent / "lost.zip")
    assert [config["listener"] for config in looks(daemon)] == ["someone else"]
    assert "lost.zip lies in the inbox itself" in daemon.look("inbox").skip_message


def test_two_exports_are_taken_in_one_after_the_other(daemon: Daemon, inbox: Path) -> None:
    first, second = zip_file(inbox / "a.zip", "[1]"), zip_file(inbox / "b.zip", "[2]")
    assert [config["paths"] for config in looks(daemon, 4)] == [[str(first)], [str(second)]]


def test_nothing_is_taken_in_while_a_run_is_at_work(daemon: Daemon, inbox: Path, settings: Settings) -> None:
    zip_file(inbox / "a.zip")
    with FileLock(settings.paths.run_lock_file).held(0, purpose="nightly"):
        assert looks(daemon, 3) == []
        assert "nightly" in daemon.look("inbox").skip_message
    assert len(looks(daemon, 1)) == 1
