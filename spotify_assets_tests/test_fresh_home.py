"""A home with nothing in it: everything runs, nothing fails, and the next step is named."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from spotify_assets.automation.runs import build_everything
from spotify_assets.definitions import build_definitions, build_warehouse
from spotify_assets.instance import open_instance, prepare_home, report_dead_runs
from spotify_assets.lakehouse import scan_table
from spotify_assets.settings import Settings
from spotify_assets.state import State
from spotify_assets_tests.conftest import settings_of


def test_everything_due_succeeds_and_says_how_to_get_an_export(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def("everything_due")
        result = job.execute_in_process(instance=instance)
        events = instance.all_logs(result.run_id)
    assert result.success
    assert any("spotify-assets import" in (event.user_message or "") for event in events)


def test_everything_can_be_materialized_without_a_sign_in_and_each_check_says_how_to(settings: Settings) -> None:
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance)
    assert result.success
    asked = [check for check in result.get_asset_check_evaluations() if check.check_name == "spotify_answered"]
    refused = {check.asset_key.path[1] for check in asked if not check.passed}
    assert {"recently_played", "top_artists", "saved_tracks", "playlists"} <= refused
    assert all("spotify-assets login" in check.description for check in asked if not check.passed)


def test_the_check_of_the_missing_export_fails_without_failing_the_run(settings: Settings) -> None:
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def("import_exports")
        result = job.execute_in_process(instance=instance)
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert result.success
    assert not checks["has_an_export"].passed
    assert checks["has_an_export"].severity == dg.AssetCheckSeverity.WARN
    assert "privacy" in checks["has_an_export"].description


def test_materializing_any_range_of_days_of_an_empty_lakehouse_succeeds(settings: Settings) -> None:
    with open_instance(settings) as instance:
        definitions = build_definitions(settings)
        definitions.resolve_job_def("import_exports").execute_in_process(instance=instance)
        days = definitions.resolve_asset_graph().get(dg.AssetKey(["daily", "hours"])).partitions_def
        keys = days.get_partition_keys()
        result = definitions.resolve_job_def("daily").execute_in_process(
            instance=instance,
            tags={"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]},
        )
    assert result.success
    assert scan_table(settings.home, "daily.listening").collect().is_empty()


def test_an_export_can_be_imported_with_a_path_in_the_launchpad_s_config(
    settings: Settings, demo_packages, tmp_path: Path
) -> None:
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def("import_exports")
        result = job.execute_in_process(
            {"ops": {"streaming_history": {"config": {"paths": [str(demo_packages.older_extended.target)]}}}},
            instance=instance,
        )
        assert result.success
        outcome = build_everything(
            lambda: build_definitions(settings),
            instance,
            build_warehouse(settings),
            State(settings.paths.state_file),
        )
    assert outcome.is_success
    assert outcome.built_days > 300
    found = scan_table(settings.home, "daily.listening").collect()
    assert found["plays"].sum() > 0


def test_a_run_whose_process_died_is_reported_as_failed_at_the_next_start(settings: Settings) -> None:
    paths = prepare_home(settings)
    state = State(paths.state_file)
    with open_instance(settings) as instance:
        run = instance.create_run_for_job(
            build_definitions(settings).resolve_job_def("import_exports"), status=dg.DagsterRunStatus.STARTED
        )
        paths.runs_folder.mkdir(parents=True, exist_ok=True)
        lock_file = paths.runs_folder / f"{run.run_id}.lock"
        lock_file.touch()
        state.register_run(run.run_id, lock_file, "a run that was killed")
        assert report_dead_runs(instance, state) == [run.run_id]
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert state.dead_runs() == []


def test_the_zone_of_an_import_is_remembered_for_a_ui_that_is_started_without_it(tmp_path: Path) -> None:
    told = settings_of(tmp_path, timezone="Asia/Tokyo")
    told.remember_timezone()
    untold = Settings(home=tmp_path, timezone=None)
    assert untold.zone_name == "Asia/Tokyo"
    assert not untold.is_timezone_guessed


@pytest.mark.parametrize("name", ["", "  ", "a/b", 'x"y'])
def test_a_listener_s_name_that_cannot_be_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="listener"):
        settings_of(tmp_path, listener=name)
