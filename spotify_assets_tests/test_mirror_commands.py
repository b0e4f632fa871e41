"""`spotify-assets mirror …`, the jobs `mirror_verify` and `mirror_sync`, and the check of each mirrored table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from spotify_assets.definitions import build_definitions
from spotify_assets.instance import open_instance
from spotify_assets.lakehouse.mirror_events import EQUAL_CHECK, MANIFEST_ASSET
from spotify_assets.settings import Settings
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.lakehouse import processes

HOURS = dg.AssetKey(["mirror", "daily", "hours"])
ARTISTS = dg.AssetKey(["mirror", "daily", "artists"])


def run(settings: Settings, *words: object) -> tuple[int, str, str]:
    folder = settings.home.parent
    told, complained = folder / "stdout", folder / "stderr"
    environment = {**os.environ, **settings.own_environment(), "COLUMNS": "200"}
    process = processes.start(processes.run_command, [*map(str, words)], environment, folder, told, complained)
    process.join(120)
    assert process.exitcode is not None and "Traceback" not in complained.read_text()
    return process.exitcode, told.read_text(), complained.read_text()


@pytest.fixture
def damaged(copy_of_demo_home: Path) -> Settings:
    """A demo home of whose mirror one file lacks its last rows."""
    file = _file_of_hours(copy_of_demo_home)
    frame = pl.read_parquet(file, hive_partitioning=False).head(3)
    file.unlink()
    frame.write_parquet(file)
    return settings_of(copy_of_demo_home)


def _file_of_hours(home: Path) -> Path:
    return sorted((home / "mirror/current/daily/hours").rglob("part-0.parquet"))[0]


def test_the_commands_tell_what_differs_repair_it_and_fetch_the_mirror(damaged: Settings, tmp_path: Path) -> None:
    code, told, complained = run(damaged, "mirror", "verify")
    assert code == 1 and "mirror sync" in complained
    assert "changed: daily/hours/month=" in complained and "is another file than the manifest says" in complained
    lines = {words[0]: words[1:] for words in (line.split() for line in told.splitlines()) if words}
    assert lines["daily.hours"][-2:] == ["1", "difference"] and lines["clean.plays"][-1] == "equal"
    assert lines["clean.plays"][2] == lines["clean.plays"][3]

    code, told, _ = run(damaged, "mirror", "sync")
    assert code == 0 and "files: 1 put" in told and "equals the published file" in told
    code, told, complained = run(damaged, "mirror", "verify", "clean.plays", "bi", "--quick")
    assert code == 0 and "daily.hours" not in told and "equals" in told
    code, _, complained = run(damaged, "mirror", "verify", "clean.nothing")
    assert code == 1 and "there is no mirrored table clean.nothing" in complained

    code, told, _ = run(damaged, "mirror", "download", "--to", tmp_path / "plain")
    assert code == 0 and "Downloaded to" in told
    plays = pl.read_parquet(tmp_path / "plain/clean/plays/**/*.parquet")
    assert plays.height == pl.read_parquet(damaged.paths.mirror_folder / "current/clean/plays/**/*.parquet").height
    code, _, complained = run(damaged, "mirror", "download", "--to", damaged.home / "x")
    assert code == 2 and "own folder" in complained


def job(settings: Settings, instance: dg.DagsterInstance, name: str) -> dg.ExecuteInProcessResult:
    return build_definitions(settings).resolve_job_def(name).execute_in_process(instance=instance, raise_on_error=False)


def failure_of(result: dg.ExecuteInProcessResult) -> Any:
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    return failed.step_failure_data.user_failure_data


def latest_check(instance: dg.DagsterInstance, key: dg.AssetKey) -> bool:
    check = dg.AssetCheckKey(key, EQUAL_CHECK)
    record = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)[0]
    assert record.event is not None and record.event.dagster_event is not None
    return record.event.dagster_event.asset_check_evaluation_data.passed


def test_the_jobs_fail_with_the_table_that_differs_and_repair_it(damaged: Settings) -> None:
    with open_instance(damaged) as instance:
        result = job(damaged, instance, "mirror_verify")
        failure = failure_of(result)
        records = failure.metadata["tables"].records
        differing = {record.data["table"]: record.data for record in records if record.data["differences"]}
        assert list(differing) == ["daily.hours"]
        assert "daily/hours/month=" in failure.description
        assert not latest_check(instance, HOURS)
        assert latest_check(instance, ARTISTS) and latest_check(instance, MANIFEST_ASSET)

        assert job(damaged, instance, "mirror_sync").success
        assert latest_check(instance, HOURS)
        assert job(damaged, instance, "mirror_verify").success


def test_a_single_table_is_checked_from_its_page(damaged: Settings) -> None:
    def check(*keys: dg.AssetKey) -> dict[dg.AssetKey, bool]:
        selection = dg.AssetSelection.checks(*(dg.AssetCheckKey(key, EQUAL_CHECK) for key in keys))
        alone = dg.Definitions(jobs=[dg.define_asset_job("look", selection=selection)])
        definitions = dg.Definitions.merge(build_definitions(damaged), alone)
        result = definitions.resolve_job_def("look").execute_in_process()
        return {each.asset_key: each.passed for each in result.get_asset_check_evaluations()}

    assert check(ARTISTS) == {ARTISTS: True}
    assert check(ARTISTS, HOURS) == {ARTISTS: True, HOURS: False}
    (damaged.paths.mirror_folder / "current/manifest.json").unlink()
    assert check(ARTISTS, MANIFEST_ASSET) == {ARTISTS: False, MANIFEST_ASSET: False}


def test_on_a_fresh_home_no_check_fails_and_the_jobs_say_what_to_do(settings: Settings) -> None:
    with open_instance(settings) as instance:
        result = job(settings, instance, "mirror_verify")
        assert "nothing is published" in failure_of(result).description
