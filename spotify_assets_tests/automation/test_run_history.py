"""Old runs go, what was built last stays known."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from spotify_assets.automation.run_history import prune_run_history
from spotify_assets.commands import import_paths
from spotify_assets.definitions import build_definitions
from spotify_assets.settings import Settings
from spotify_assets_tests.automation.ticks import days_ago, play, write_zip
from spotify_assets_tests.conftest import settings_of

pytestmark = pytest.mark.long

ASSET_PAGE = """
query { assetNodes {
  assetKey { path }
  assetMaterializations(limit: 1) { runId partition runOrError { __typename } }
  partitionStats { numMaterialized numFailed numMaterializing }
  assetPartitionStatuses { __typename ... on TimePartitionStatuses { ranges { status startKey endKey } } }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status runId } } } }
} }
"""


@pytest.fixture(scope="module")
def much_built_home(built_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with six runs: six days were built, then two of them again for late plays."""
    home = tmp_path_factory.mktemp("much-built") / "home"
    shutil.copytree(built_home, home, symlinks=True)
    for number in (1, 2):
        export = write_zip(home.parent / f"{number}.zip", play(days_ago(number)))
        assert import_paths(settings_of(home, timezone="UTC"), [export]).outcome.is_success
    return home


@pytest.fixture
def settings(much_built_home: Path, tmp_path: Path) -> Settings:
    shutil.copytree(much_built_home, tmp_path / "home", symlinks=True)
    return settings_of(tmp_path / "home", timezone="UTC")


def known(instance: dg.DagsterInstance, settings: Settings) -> dict[str, Any]:
    """All that can be asked of the last materializations, checks and partitions."""
    told: dict[str, Any] = {}
    graph = build_definitions(settings).resolve_asset_graph()
    for key in sorted(graph.get_all_asset_keys()):
        event = instance.get_latest_materialization_event(key)
        if event is None:
            # Nobody was asked yet.
            continue
        ids = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        tags = instance.event_log_storage.get_latest_tags_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
        )
        told[key.to_user_string()] = (
            event.run_id,
            event.asset_materialization.metadata,
            sorted(instance.get_materialized_partitions(key)),
            dict(ids),
            {partition: dict(of_partition) for partition, of_partition in tags.items()},
        )
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
    told["checks"] = {str(key): (record.id, record.run_id, record.status) for key, record in checks.items()}
    return told


def in_a_month() -> datetime:
    return datetime.now(UTC) + timedelta(days=31)


def test_the_last_of_every_asset_partition_and_check_stays_known(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    before = known(instance, settings)
    assert len(before["daily/listening"][2]) == 6
    assert prune_run_history(instance, in_a_month()) == 5
    assert known(instance, settings) == before
    assert prune_run_history(instance, in_a_month()) == 0


def test_the_files_of_old_runs_are_gone_and_the_index_keeps_only_the_last_events(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    shards = settings.paths.dagster_folder / "history" / "runs"
    prune_run_history(instance, in_a_month())
    (last_import,) = (record.dagster_run for record in instance.get_run_records())
    assert last_import.tags["spotify_assets/purpose"] == "import"
    assert {path.stem for path in shards.glob("*-*.db")} == {last_import.run_id}
    assert instance.get_run_tags(["spotify_assets/purpose"]) == [("spotify_assets/purpose", {"import"})]
    listening = dg.AssetKey(["daily", "listening"])
    records = instance.fetch_materializations(listening, limit=1000).records
    assert sorted(record.partition_key for record in records) == [str(days_ago(number)) for number in range(5, -1, -1)]


def test_young_runs_and_runs_in_progress_are_not_touched(settings: Settings, instance: dg.DagsterInstance) -> None:
    assert prune_run_history(instance, datetime.now(UTC) - timedelta(days=1)) == 0
    assert len(instance.get_run_records()) == 6
    job = build_definitions(settings).resolve_job_def("daily")
    running = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    prune_run_history(instance, in_a_month())
    assert instance.get_run_by_id(running.run_id) is not None
    assert len(instance.get_run_records()) == 2


def test_the_pages_of_assets_still_know_every_partition(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.own_environment().items():
        monkeypatch.setenv(name, value)

    def ask() -> dict[str, Any]:
        target = ModuleTarget("spotify_assets.definitions", None, None, "spotify_assets")
        with WorkspaceProcessContext(instance, target) as process:
            answer = execute_dagster_graphql(process.create_request_context(), ASSET_PAGE)
        assert not answer.errors, answer.errors
        return {"/".join(node["assetKey"]["path"]): node for node in answer.data["assetNodes"]}

    before = ask()
    assert before["daily/hours"]["partitionStats"] == {"numMaterialized": 6, "numFailed": 0, "numMaterializing": 0}
    prune_run_history(instance, in_a_month())
    after = ask()
    assert json.dumps(after["daily/hours"]).count("RunNotFoundError") == 1
    # What the mirror wrote is reported by no run at all, so that there is none before either.
    names_of_runs = ("RunNotFoundError", "Run")
    assert json.dumps(after).replace(*names_of_runs) == json.dumps(before).replace(*names_of_runs)


def test_a_home_that_only_had_nights_keeps_the_last_one(settings: Settings, instance: dg.DagsterInstance) -> None:
    nightly = build_definitions(settings.model_copy(update={"run_history_days": 1})).resolve_job_def("nightly")
    result = nightly.execute_in_process(instance=instance)
    assert result.success
    prune_run_history(instance, in_a_month())
    jobs = {record.dagster_run.job_name for record in instance.get_run_records()}
    assert jobs == {"nightly", "import_exports"}
