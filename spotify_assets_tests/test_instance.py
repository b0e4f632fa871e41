"""The home's Dagster instance is made once, and what a person changes in it stays."""

from __future__ import annotations

import subprocess
import sys

from dagster._core.storage.event_log import SqliteEventLogStorage

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
