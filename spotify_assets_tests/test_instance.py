"""The home's Dagster instance is made once and kept up to date, and what a person changes in it stays."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from spotify_assets.automation.overview import look_at
from spotify_assets.automation.runs import build_everything
from spotify_assets.definitions import build_definitions, build_warehouse
from spotify_assets.instance import open_instance, prepare_home
from spotify_assets.lakehouse.event_log import BatchedSqliteEventLogStorage
from spotify_assets.settings import Settings
from spotify_assets.state import State


def use_another_storage(settings: Settings) -> None:
    """Replace the event log by a `storage:` block, as for Postgres."""
    configuration = prepare_home(settings).dagster_configuration
    folder = settings.home / "elsewhere"
    configuration.write_text(f"telemetry: {{enabled: false}}\nstorage:\n  sqlite:\n    base_dir: {folder}\n")


def test_a_fresh_home_has_the_batched_event_log(settings: Settings) -> None:
    with open_instance(settings) as instance:
        assert type(instance.event_log_storage) is BatchedSqliteEventLogStorage


def test_an_edited_configuration_is_never_overwritten(settings: Settings) -> None:
    use_another_storage(settings)
    edited = settings.paths.dagster_configuration.read_text()
    for _ in range(2):
        with open_instance(settings):
            pass
    assert settings.paths.dagster_configuration.read_text() == edited


def test_everything_is_built_on_another_storage(settings: Settings) -> None:
    use_another_storage(settings)
    with open_instance(settings) as instance:
        assert type(instance.event_log_storage) is SqliteEventLogStorage
        outcome = build_everything(
            lambda: build_definitions(settings), instance, build_warehouse(settings), State(settings.paths.state_file)
        )
        runs = {run.run_id for run in instance.get_runs()}
    assert outcome.is_success
    assert runs == {result.run_id for result in outcome.results}
    assert (settings.home / "elsewhere" / "history").is_dir()


def test_dagster_collects_events_whatever_the_storage(settings: Settings) -> None:
    use_another_storage(settings)
    code = (
        "import os\nfrom spotify_assets.instance import open_instance\nfrom spotify_assets.settings import Settings\n"
        "with open_instance(Settings()):\n    print(os.environ['DAGSTER_EVENT_BATCH_SIZE'])"
    )
    clean = {name: value for name, value in settings.process_environment().items() if not name.startswith("DAGSTER_E")}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5000"]


def fresh_configuration(settings: Settings) -> bytes:
    return prepare_home(settings).dagster_configuration.read_bytes()


def marked(text: bytes, like: bytes) -> bytes:
    """Another text under the first line that a version of ours would have given it."""
    mark, _, told = like.partition(b"\n")
    sums = [hashlib.sha256(each).hexdigest().encode() for each in (told, text)]
    assert mark.count(sums[0]) == 1
    return mark.replace(*sums) + b"\n" + text


def is_hinted(settings: Settings) -> bool:
    return look_at(settings, datetime.now(UTC)).is_configuration_outdated


FIRST_EVER = b"""\
# The instance that `spotify-assets` keeps in its home folder starts from this file.
telemetry:
  enabled: false
"""


@pytest.mark.parametrize("is_marked", [False, True])
def test_a_configuration_that_an_older_version_wrote_is_renewed(settings: Settings, is_marked: bool) -> None:
    fresh = fresh_configuration(settings)
    file = settings.paths.dagster_configuration
    file.write_bytes(marked(b"telemetry: {enabled: false}\n", like=fresh) if is_marked else FIRST_EVER)
    with open_instance(settings) as instance:
        assert type(instance.event_log_storage) is BatchedSqliteEventLogStorage
    assert file.read_bytes() == fresh
    assert [path for path in file.parent.iterdir() if file.name in path.name] == [file]
    assert not is_hinted(settings)


def test_an_edited_configuration_of_an_older_version_is_kept_and_status_says_what_to_do(settings: Settings) -> None:
    file = settings.paths.dagster_configuration
    edited = marked(FIRST_EVER, like=fresh_configuration(settings)).replace(b"enabled: false", b"enabled: true")
    file.write_bytes(edited)
    with open_instance(settings):
        pass
    assert file.read_bytes() == edited
    assert is_hinted(settings)
    command = [Path(sys.executable).with_name("spotify-assets"), "status", "--home", settings.home]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "".join(told.split()).count("waseditedandiskeptasitis") == 1
    file.unlink()
    fresh_configuration(settings)
    assert not is_hinted(settings)


def test_an_edited_configuration_of_this_version_is_kept_without_a_word(settings: Settings) -> None:
    edited = fresh_configuration(settings).replace(b"enabled: false", b"enabled: true", 1)
    settings.paths.dagster_configuration.write_bytes(edited)
    assert fresh_configuration(settings) == edited
    assert not is_hinted(settings)


def test_a_configuration_that_is_up_to_date_is_not_touched(settings: Settings) -> None:
    file = prepare_home(settings).dagster_configuration
    before = file.stat()
    prepare_home(settings)
    after = file.stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
