"""Old runs go, and nothing that a person can still ask about goes with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from spotify_assets.automation.run_history import last_runs, prune_run_history
from spotify_assets.instance import open_instance
from spotify_assets.settings import Settings
from spotify_assets_tests.automation.ticks import remember_run
from spotify_assets_tests.conftest import settings_of

PARTITIONS = dg.DailyPartitionsDefinition(start_date="2024-01-01")
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
KEYS = [dg.AssetKey("plays"), dg.AssetKey("listening")]


@dg.asset
def plays() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 3}, data_version=dg.DataVersion("a"))


@dg.asset(
    partitions_def=PARTITIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("is_sound", asset="listening")],
)
def listening() -> dg.MaterializeResult:
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="is_sound")])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty home."""
    return settings_of(tmp_path / "home")


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as opened:
        yield opened


def build(instance: dg.DagsterInstance, start: str, end: str) -> list[str]:
    """A run of each asset; the ids of the runs."""
    results = [
        dg.materialize([plays], instance=instance),
        dg.materialize([listening], instance=instance, tags={RANGE_START: start, RANGE_END: end}),
    ]
    assert all(result.success for result in results)
    return [result.run_id for result in results]


def known(instance: dg.DagsterInstance) -> dict[str, Any]:
    """All that the pages of the assets say of what was built last."""
    log = instance.event_log_storage
    return {
        "last": {key: instance.get_latest_materialization_event(key) for key in KEYS},
        "partitions": instance.get_materialized_partitions(KEYS[1]),
        "events": log.get_latest_storage_id_by_partition(KEYS[1], dg.DagsterEventType.ASSET_MATERIALIZATION),
        "versions": instance.get_latest_data_version_record(KEYS[0]),
        "checks": {
            key: (record.status, record.event)
            for key, record in log.get_latest_asset_check_execution_by_key(
                [dg.AssetCheckKey(KEYS[1], "is_sound")]
            ).items()
        },
        "tags": {str(tags) for tags in log.get_event_tags_for_asset(KEYS[0])},
    }


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=5)


def shards(settings: Settings) -> set[str]:
    return {path.name.split(".")[0] for path in (settings.paths.dagster_folder / "history" / "runs").glob("*.db*")}


def test_after_pruning_every_last_materialization_is_as_known_as_before(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    build(instance, "2024-01-01", "2024-01-20")
    build(instance, "2024-01-15", "2024-01-31")
    before = known(instance)
    assert len(before["partitions"]) == 31 and before["versions"] and before["checks"]
    assert prune_run_history(instance, soon()) == 4
    assert instance.get_runs() == []
    assert known(instance) == before
    with open_instance(settings) as another:
        assert known(another) == before


def test_pruned_runs_leave_no_file_no_event_and_no_tag(settings: Settings, instance: dg.DagsterInstance) -> None:
    run_ids = build(instance, "2024-01-01", "2024-01-20")
    rebuilt = build(instance, "2024-01-01", "2024-01-20")
    assert set(run_ids + rebuilt) <= shards(settings)
    prune_run_history(instance, soon())
    assert not set(run_ids + rebuilt) & shards(settings)
    materializations = instance.fetch_materializations(KEYS[1], limit=1000).records
    assert {record.run_id for record in materializations} == {rebuilt[1]}
    assert len(materializations) == 20
    assert instance.get_run_tags(["dagster/asset_partition_range_start"]) == []


def test_younger_runs_stay_with_all_their_events(settings: Settings, instance: dg.DagsterInstance) -> None:
    run_ids = build(instance, "2024-01-01", "2024-01-02")
    events = len(instance.all_logs(run_ids[1]))
    assert prune_run_history(instance, datetime.now(UTC) - timedelta(days=30)) == 0
    assert len(instance.all_logs(run_ids[1])) == events > 0
    assert {run.run_id for run in instance.get_runs()} == set(run_ids)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
def test_a_run_that_has_not_ended_is_never_pruned(status: dg.DagsterRunStatus, instance: dg.DagsterInstance) -> None:
    run = remember_run(instance, "daily", status)
    assert prune_run_history(instance, soon()) == 0
    assert instance.get_run_by_id(run.run_id) is not None


def test_the_last_import_and_the_last_night_can_still_be_told_when_they_are_old(instance: dg.DagsterInstance) -> None:
    tags = {"spotify_assets/purpose": "import"}
    runs = [
        remember_run(instance, job_name, dg.DagsterRunStatus.SUCCESS, tags)
        for job_name in ("import_exports", "nightly", "import_exports", "nightly")
    ]
    assert prune_run_history(instance, soon()) == 2
    assert {record.dagster_run.run_id for record in last_runs(instance).values()} == {run.run_id for run in runs[2:]}


def test_pruning_again_finds_nothing(instance: dg.DagsterInstance) -> None:
    build(instance, "2024-01-01", "2024-01-02")
    prune_run_history(instance, soon())
    assert prune_run_history(instance, soon()) == 0


def test_what_is_built_after_a_pruning_is_known(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    build(instance, "2024-01-01", "2024-01-02")
    prune_run_history(instance, soon())
    run_ids = build(instance, "2024-01-02", "2024-01-03")
    assert instance.get_latest_materialization_event(KEYS[0]).run_id == run_ids[0]
    assert instance.get_materialized_partitions(KEYS[1]) == {"2024-01-01", "2024-01-02", "2024-01-03"}
