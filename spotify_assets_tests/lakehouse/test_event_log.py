"""The batched event log holds the same events and gives the same answers as the stock one, whatever happens."""

import itertools
import json
import multiprocessing
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events import (
    AssetMaterializationPlannedData,
    AssetObservationData,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._serdes import serialize_value
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spotify_assets.lakehouse.event_log import BatchedSqliteEventLogStorage

STOCK = "telemetry: {enabled: false}\npython_logs: {python_log_level: INFO}\n"
SHIPPED = resources.files("spotify_assets").joinpath("dagster.yaml").read_text()

DAYS = 20
BATCH = 16
RANGE_RUN = "11111111-1111-4111-8111-111111111111"
WHOLE_RUN = "22222222-2222-4222-8222-222222222222"
FAILED_RUN = "33333333-3333-4333-8333-333333333333"
DAY_RUN = "44444444-4444-4444-8444-444444444444"
RUNS = (RANGE_RUN, WHOLE_RUN, FAILED_RUN, DAY_RUN)

partitions = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-06-01")
keys = partitions.get_partition_keys()
by_range = {
    "partitions_def": partitions,
    "backfill_policy": dg.BackfillPolicy.single_run(),
    "code_version": "1",
    "io_manager_key": "nowhere",
}


class Nowhere(dg.IOManager):
    """Stores nothing; every partition gets metadata of its own."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        if context.has_asset_partitions and context.step_context.has_tag("per partition"):
            for number, key in enumerate(context.asset_partition_keys):
                context.step_context.add_asset_metadata(
                    {"rows": number}, asset_key=context.asset_key, partition_key=key
                )

    def load_input(self, context: dg.InputContext) -> None:
        return None


@dg.asset(**by_range)
def first() -> object:
    return object()


@dg.asset(**by_range, deps=[first])
def second(context: dg.AssetExecutionContext) -> None:
    context.log.info("words of the asset")
    context.log_event(dg.AssetObservation("elsewhere", metadata={"seen": 1}))


@dg.asset(**by_range, deps=[second])
def third(context: dg.AssetExecutionContext) -> None:
    if context.run_id == FAILED_RUN:
        raise ValueError("the third one fails")


@dg.asset(code_version="1", io_manager_key="nowhere", check_specs=[dg.AssetCheckSpec("is_whole", asset="whole")])
def whole() -> Iterator[dg.Output | dg.AssetCheckResult]:
    yield dg.Output(None, metadata={"rows": 7}, tags={"kind": "example"})
    yield dg.AssetCheckResult(check_name="is_whole", passed=False, severity=dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset=first, blocking=True)
def is_first() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, metadata={"days": DAYS})


definitions = dg.Definitions(
    assets=[first, second, third, whole],
    asset_checks=[is_first],
    jobs=[dg.define_asset_job("days", [first, second, third]), dg.define_asset_job("once", [whole])],
    resources={"nowhere": Nowhere()},
    executor=dg.in_process_executor,
)


def run_days(instance: dg.DagsterInstance, run_id: str, begin: int, end: int, **tags: str) -> bool:
    tags = {"dagster/asset_partition_range_start": keys[begin], "dagster/asset_partition_range_end": keys[end], **tags}
    job = definitions.resolve_job_def("days")
    return job.execute_in_process(instance=instance, run_id=run_id, tags=tags, raise_on_error=False).success


def live_a_little(instance: dg.DagsterInstance) -> None:
    """Every kind of event that matters: a range, a check, a failure, one partition, and events without a run."""
    assert run_days(instance, RANGE_RUN, 0, DAYS - 1, **{"per partition": "yes"})
    once = definitions.resolve_job_def("once")
    assert once.execute_in_process(instance=instance, run_id=WHOLE_RUN).success
    assert not run_days(instance, FAILED_RUN, DAYS - 5, DAYS + 15)
    days = definitions.resolve_job_def("days")
    assert days.execute_in_process(instance=instance, run_id=DAY_RUN, partition_key=keys[3]).success
    tags = {"dagster/data_version": "abc"}
    instance.report_runless_asset_event(dg.AssetMaterialization("first", partition=keys[80], tags=tags))
    instance.report_runless_asset_event(dg.AssetObservation("whole", metadata={"seen": 2}))


@contextmanager
def opened(home: Path, configuration: str = SHIPPED) -> Iterator[dg.DagsterInstance]:
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(configuration)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@contextmanager
def environment(subset: bool) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_EVENT_BATCH_SIZE", str(BATCH))
        patch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "true" if subset else "false")
        yield


@dataclass(frozen=True)
class Pair:
    stock: dg.DagsterInstance
    batched: dg.DagsterInstance
    is_planned_as_subset: bool


@pytest.fixture(
    scope="module",
    # As the package sets it, and as Dagster does by itself.
    params=[
        pytest.param(True, id="planned_as_subset"),
        pytest.param(False, id="every_partition_planned", marks=pytest.mark.long),
    ],
)
def homes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folders `stock` and `batched`, in which the same things happened."""
    folder = tmp_path_factory.mktemp("instances_of_subset" if request.param else "instances")
    with environment(subset=request.param):
        for name, configuration in (("stock", STOCK), ("batched", SHIPPED)):
            with opened(folder / name, configuration) as instance:
                live_a_little(instance)
        yield folder


def planned_as_subset(homes: Path) -> bool:
    return homes.name.startswith("instances_of_subset")


@pytest.fixture
def pair(homes: Path) -> Iterator[Pair]:
    """Both instances, to be read."""
    with opened(homes / "stock", STOCK) as stock, opened(homes / "batched") as batched:
        assert type(stock.event_log_storage) is SqliteEventLogStorage
        assert type(batched.event_log_storage) is BatchedSqliteEventLogStorage
        yield Pair(stock, batched, planned_as_subset(homes))


@pytest.fixture
def pair_of_copies(homes: Path, tmp_path: Path) -> Iterator[Pair]:
    """Both instances, to be changed."""
    for name in ("stock", "batched"):
        shutil.copytree(homes / name, tmp_path / name)
    with opened(tmp_path / "stock", STOCK) as stock, opened(tmp_path / "batched") as batched:
        yield Pair(stock, batched, planned_as_subset(homes))


DURATION_OR_PROCESS = re.compile(r"\b[\d.:]+m?s\b|\(pid: \d+\)|0x[0-9a-f]+")
VARYING = {"timestamp", "pid", "labels", "log_key", "file_key", "duration_ms", "marker_start", "marker_end", "url"}


def plain(value: Any) -> Any:
    """What an event says, without the moment and the place it was said."""
    if isinstance(value, EventLogEntry):
        return plain(json.loads(serialize_value(value)))
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if name not in VARYING}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return DURATION_OR_PROCESS.sub("…", value) if isinstance(value, str) else value


def records(found: Any) -> list[Any]:
    return [(record.storage_id, plain(record.event_log_entry)) for record in getattr(found, "records", found)]


def asset_keys() -> list[dg.AssetKey]:
    return [dg.AssetKey(name) for name in ("first", "second", "third", "whole", "elsewhere")]


def asset_records(instance: dg.DagsterInstance) -> list[Any]:
    return sorted(
        (
            record.asset_entry.asset_key.to_string(),
            record.asset_entry.last_run_id,
            record.asset_entry.last_materialization_storage_id,
            plain(record.asset_entry.last_materialization),
            record.asset_entry.asset_details,
        )
        for record in instance.get_asset_records(asset_keys())
    )


def status_cache(instance: dg.DagsterInstance) -> list[Any]:
    answers = []
    for name in ("first", "second", "third"):
        cached = get_and_update_asset_status_cache_value(instance, dg.AssetKey(name), partitions)
        assert cached is not None
        answers.append(
            (
                sorted(cached.deserialize_materialized_partition_subsets(partitions).get_partition_keys()),
                sorted(cached.deserialize_failed_partition_subsets(partitions).get_partition_keys()),
                sorted(cached.deserialize_in_progress_partition_subsets(partitions).get_partition_keys()),
                cached.latest_storage_id,
            )
        )
    return answers


CHECKS = [dg.AssetCheckKey(dg.AssetKey("first"), "is_first"), dg.AssetCheckKey(dg.AssetKey("whole"), "is_whole")]


def check_history(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> list[Any]:
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=500)
    return [
        (record.run_id, record.status, record.partition, record.event and plain(record.event)) for record in history
    ]


def evaluated_checks(instance: dg.DagsterInstance) -> list[Any]:
    """All but the plans: of these the stock log writes one for each partition, which nothing ever answers."""
    planned = AssetCheckExecutionRecordStatus.PLANNED
    return [[record for record in check_history(instance, check) if record[1] != planned] for check in CHECKS]


def latest_checks(instance: dg.DagsterInstance) -> list[Any]:
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(CHECKS)
    return [(latest[check].run_id, latest[check].status, plain(latest[check].event)) for check in CHECKS]


def latest_materializations(instance: dg.DagsterInstance) -> list[Any]:
    latest = instance.get_latest_materialization_events(asset_keys())
    return [(key.to_string(), event and plain(event)) for key, event in sorted(latest.items())]


def event_tags(instance: dg.DagsterInstance) -> list[Any]:
    found = [instance.event_log_storage.get_event_tags_for_asset(key) for key in asset_keys()]
    return [sorted(sorted(tags.items()) for tags in of_asset) for of_asset in found]


def step_statistics(instance: dg.DagsterInstance) -> list[Any]:
    return [
        [(step.step_key, step.status, step.attempts, len(step.materialization_events)) for step in steps]
        for steps in (sorted(instance.get_run_step_stats(run), key=lambda step: step.step_key) for run in RUNS)
    ]


def run_statistics(instance: dg.DagsterInstance) -> list[Any]:
    found = [instance.get_run_stats(run) for run in RUNS]
    return [(run.steps_succeeded, run.steps_failed, run.materializations, run.expectations) for run in found]


QUESTIONS: dict[str, Callable[[dg.DagsterInstance], Any]] = {
    "records for run": lambda instance: [records(instance.get_records_for_run(run)) for run in RUNS],
    "logs for run": lambda instance: [
        [plain(entry) for entry in instance.event_log_storage.get_logs_for_run(run)] for run in RUNS
    ],
    "pages of a run": lambda instance: records(
        instance.get_records_for_run(
            RANGE_RUN, cursor=instance.get_records_for_run(RANGE_RUN, limit=30).cursor, limit=30
        )
    ),
    "run statistics": run_statistics,
    "step statistics": step_statistics,
    "partitions of a run": lambda instance: instance.event_log_storage.get_asset_partitions_for_run(RANGE_RUN),
    "materialized partitions": lambda instance: [instance.get_materialized_partitions(key) for key in asset_keys()],
    "status by partition": lambda instance: [
        instance.get_status_by_partition(key, keys[:90], partitions) for key in asset_keys()[:3]
    ],
    "status cache": status_cache,
    "asset records": asset_records,
    "asset keys": lambda instance: sorted(instance.all_asset_keys()),
    "fetched materializations": lambda instance: [
        records(instance.fetch_materializations(key, limit=500)) for key in asset_keys()
    ],
    "one partition's materializations": lambda instance: records(
        instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey("first"), asset_partitions=[keys[3]]), limit=5
        )
    ),
    "fetched observations": lambda instance: [
        records(instance.fetch_observations(key, limit=500)) for key in asset_keys()
    ],
    "planned materializations": lambda instance: [
        records(instance.get_event_records(dg.EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION_PLANNED, key)))
        for key in asset_keys()
    ],
    "latest planned": lambda instance: [
        (found := instance.event_log_storage.get_latest_planned_materialization_info(key))
        and (found.storage_id, found.run_id)
        for key in asset_keys()
    ],
    "latest materializations": latest_materializations,
    "latest storage ids": lambda instance: [
        instance.event_log_storage.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION)
        for key in asset_keys()
    ],
    "data version of a partition": lambda instance: (
        instance.get_latest_data_version_record(dg.AssetKey("first"), partition_key=keys[80]).storage_id
    ),
    "event tags": event_tags,
    "evaluated checks": evaluated_checks,
    "latest checks": latest_checks,
    "run status changes": lambda instance: [
        [record.storage_id for record in instance.fetch_run_status_changes(kind, limit=50).records]
        for kind in (DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE)
    ],
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_has_the_answer_of_the_stock_log(pair: Pair, question: str) -> None:
    expected = QUESTIONS[question](pair.stock)
    assert expected
    assert QUESTIONS[question](pair.batched) == expected


def test_a_check_of_a_range_is_planned_once_and_its_evaluation_takes_the_place_of_the_plan(pair: Pair) -> None:
    in_stock, in_batched = (
        [record for record in check_history(instance, CHECKS[0]) if record[0] == RANGE_RUN]
        for instance in (pair.stock, pair.batched)
    )
    planned = [record for record in in_stock if record[1] == AssetCheckExecutionRecordStatus.PLANNED]
    assert len(planned) == DAYS
    if pair.is_planned_as_subset:
        assert in_batched == in_stock[:1]
    else:
        assert in_batched == in_stock


def test_a_wiped_asset_is_forgotten_as_in_the_stock_log(pair_of_copies: Pair) -> None:
    for instance in (pair_of_copies.stock, pair_of_copies.batched):
        instance.wipe_assets([dg.AssetKey("second")])
    for question in ("asset keys", "materialized partitions", "fetched materializations", "records for run"):
        assert QUESTIONS[question](pair_of_copies.batched) == QUESTIONS[question](pair_of_copies.stock)
    assert not pair_of_copies.batched.get_materialized_partitions(dg.AssetKey("second"))


def test_a_deleted_run_is_forgotten_as_in_the_stock_log(pair_of_copies: Pair) -> None:
    for instance in (pair_of_copies.stock, pair_of_copies.batched):
        instance.delete_run(RANGE_RUN)
    for question in ("materialized partitions", "fetched materializations", "event tags", "asset records"):
        assert QUESTIONS[question](pair_of_copies.batched) == QUESTIONS[question](pair_of_copies.stock)
    assert pair_of_copies.batched.get_records_for_run(RANGE_RUN).records == []


def test_the_stock_log_reads_what_the_batched_one_wrote(pair_of_copies: Pair, tmp_path: Path) -> None:
    with opened(tmp_path / "batched", STOCK) as instance:
        assert type(instance.event_log_storage) is SqliteEventLogStorage
        for question in ("records for run", "asset records", "evaluated checks", "latest checks"):
            assert QUESTIONS[question](instance) == QUESTIONS[question](pair_of_copies.stock)


def dump(folder: Path) -> dict[str, Any]:
    """Every row of every shard, but for the moments at which rows were made."""
    told: dict[str, Any] = {}
    columns = {
        "event_logs": "id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition",
        "asset_keys": "asset_key, last_materialization, last_run_id, last_materialization_timestamp, asset_details",
        "asset_event_tags": "asset_key, key, value, event_id, event_timestamp",
        "asset_check_executions": "asset_key, check_name, partition, run_id, execution_status, evaluation_event, "
        "evaluation_event_storage_id, materialization_event_storage_id",
    }
    for shard in sorted(folder.glob("*.db")):
        with closing(sqlite3.connect(shard)) as connection:
            for table, names in columns.items():
                rows = connection.execute(f"SELECT {names} FROM {table} ORDER BY id").fetchall()
                told[f"{shard.name} {table}"] = rows
    return told


@pytest.fixture(scope="module")
def entries(homes: Path) -> list[EventLogEntry]:
    with opened(homes / "stock", STOCK) as instance:
        return [
            record.event_log_entry
            for run in (RANGE_RUN, WHOLE_RUN, FAILED_RUN)
            for record in instance.get_records_for_run(run).records
        ]


@pytest.fixture(scope="module")
def dump_of_stock(entries: list[EventLogEntry], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("one_by_one")
    stock = SqliteEventLogStorage(str(folder))
    for entry in entries:
        stock.store_event(entry)
    return dump(folder)


@given(data=st.data())
@settings(max_examples=3, deadline=None, phases=[Phase.generate])
def test_however_events_are_cut_into_batches_the_tables_are_those_of_the_stock_log(
    entries: list[EventLogEntry],
    dump_of_stock: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(entries) - 1), max_size=20)))
    folder = tmp_path_factory.mktemp("batches")
    batched = BatchedSqliteEventLogStorage(str(folder))
    # Plans of checks as in the stock log too: that they can be one is another test's.
    with environment(subset=False):
        for begin, end in itertools.pairwise([0, *cuts, len(entries)]):
            batched.store_event_batch(entries[begin:end])
    batched.dispose()
    assert dump(folder) == dump_of_stock


FRESHNESS = FreshnessStateChange(
    key=dg.AssetKey("whole"),
    new_state=FreshnessState.NOT_APPLICABLE,
    previous_state=FreshnessState.UNKNOWN,
    state_change_timestamp=1.0,
)


def live_without_runs(instance: dg.DagsterInstance) -> None:
    """What the freshness daemon, the UI and a person report about assets."""
    for event in (
        FRESHNESS,
        dg.AssetMaterialization("whole", tags={"dagster/data_version": "abc"}),
        dg.AssetObservation("whole"),
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey("whole"), check_name="is_whole", passed=True),
    ):
        instance._report_runless_asset_event(event)
    # Nothing is forgotten by it, so that all that was said can be compared.
    instance.wipe_assets([dg.AssetKey("elsewhere")])


def told_without_runs(instance: dg.DagsterInstance) -> dict[str, Any]:
    kinds = (DagsterEventType.ASSET_CHECK_EVALUATION, DagsterEventType.ASSET_WIPED, DagsterEventType.RUN_START)
    asked = ("asset keys", "asset records", "fetched materializations", "event tags", "evaluated checks")
    of_kinds = [instance.get_event_records(dg.EventRecordsFilter(kind)) for kind in kinds]
    return {
        **{question: QUESTIONS[question](instance) for question in asked},
        "by kind": [[plain(record.event_log_entry) for record in of_kind] for of_kind in of_kinds],
        "freshness": instance.get_freshness_state_records([dg.AssetKey("whole")])[dg.AssetKey("whole")].freshness_state,
        "logs": [plain(event) for event in instance.event_log_storage.get_logs_for_run(RUNLESS_RUN_ID)],
    }


def shards(home: Path) -> set[str]:
    return {path.name for path in (home / "history" / "runs").iterdir() if path.suffix != ".db-shm"}


def test_events_without_a_run_make_no_shard_of_their_own(tmp_path: Path) -> None:
    with opened(tmp_path / "stock", STOCK) as stock, opened(tmp_path / "batched") as batched:
        for instance in (stock, batched):
            live_without_runs(instance)
        expected = told_without_runs(stock)
        assert all(expected.values()) and len(expected["logs"]) == 5
        assert told_without_runs(batched) == expected
    assert ".db" in shards(tmp_path / "stock")
    assert shards(tmp_path / "batched") == {"index.db"}


def test_the_shard_without_a_name_that_the_stock_log_left_is_removed_and_its_events_stay(tmp_path: Path) -> None:
    with opened(tmp_path, STOCK) as stock:
        stock.report_runless_asset_event(dg.AssetMaterialization("whole"))
        left = [plain(event) for event in stock.event_log_storage.get_logs_for_run(RUNLESS_RUN_ID)]
    assert ".db" in shards(tmp_path)
    with opened(tmp_path) as batched:
        assert [plain(event) for event in batched.event_log_storage.get_logs_for_run(RUNLESS_RUN_ID)] == left
    assert shards(tmp_path) == {"index.db"}


def test_a_question_about_events_without_a_run_makes_no_shard(tmp_path: Path) -> None:
    with opened(tmp_path) as instance:
        assert instance.event_log_storage.get_logs_for_run(RUNLESS_RUN_ID) == []
        assert instance.get_event_records(dg.EventRecordsFilter(DagsterEventType.RUN_START)) == []
    assert shards(tmp_path) == {"index.db"}


def test_a_batch_of_events_without_a_run_is_stored_like_them(tmp_path: Path) -> None:
    batch = materializations(RUNLESS_RUN_ID, 3)
    with opened(tmp_path) as instance:
        instance.event_log_storage.store_event_batch(batch)
        assert instance.event_log_storage.get_logs_for_run(RUNLESS_RUN_ID) == batch
    assert shards(tmp_path) == {"index.db"}


def materializations(run_id: str, count: int) -> list[EventLogEntry]:
    """Events of a run, `count` partitions of one asset."""
    return [
        EventLogEntry(
            error_info=None,
            level=10,
            user_message="",
            run_id=run_id,
            timestamp=1_700_000_000.0 + number,
            step_key="many",
            job_name="days",
            dagster_event=DagsterEvent(
                event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                job_name="days",
                step_key="many",
                event_specific_data=StepMaterializationData(
                    dg.AssetMaterialization("many", partition=f"p{number}", tags={"dagster/data_version": "1"})
                ),
            ),
        )
        for number in range(count)
    ]


def of_kind(entry: EventLogEntry, kind: DagsterEventType, data: Any) -> EventLogEntry:
    event = entry.get_dagster_event()._replace(event_type_value=kind.value, event_specific_data=data)
    return entry._replace(dagster_event=event)


def test_an_observation_after_a_materialization_does_not_hide_it(tmp_path: Path) -> None:
    entries = materializations(DAY_RUN, 3)
    observed = AssetObservationData(dg.AssetObservation("many"))
    planned = AssetMaterializationPlannedData(dg.AssetKey("many"))
    entries[1] = of_kind(entries[1], DagsterEventType.ASSET_OBSERVATION, observed)
    entries[2] = of_kind(entries[2], DagsterEventType.ASSET_MATERIALIZATION_PLANNED, planned)
    stock, batched = SqliteEventLogStorage(str(tmp_path / "a")), BatchedSqliteEventLogStorage(str(tmp_path / "b"))
    stock.store_event_batch(entries)
    batched.store_event_batch(entries)
    batched.dispose()
    assert dump(tmp_path / "b") == dump(tmp_path / "a")


def test_an_empty_batch_stores_nothing(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    storage.store_event_batch([])
    assert [path.name for path in tmp_path.glob("*.db")] == ["index.db"]


def test_a_batch_that_the_index_refuses_leaves_no_half_in_the_run(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    with closing(sqlite3.connect(tmp_path / "index.db")) as connection:
        connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON asset_event_tags BEGIN SELECT RAISE(FAIL, 'refused'); END"
        )
    with pytest.raises(Exception, match="refused") as caught:
        storage.store_event_batch(materializations(DAY_RUN, 5))
    assert "dagster/data_version" not in str(caught.value)
    storage.dispose()
    assert not any(dump(tmp_path).values())


def count_events(shard: Path) -> int:
    with closing(sqlite3.connect(shard)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT count(*) FROM event_logs").fetchone()[0]


def store_again_and_again(folder: str, working: Any) -> None:
    storage = BatchedSqliteEventLogStorage(folder)
    entries = materializations(RANGE_RUN, BATCH)
    while True:
        storage.store_event_batch(entries)
        working.set()


def test_a_killed_process_leaves_whole_batches_in_both_shards(tmp_path: Path) -> None:
    chance = random.Random(3)
    spawning = multiprocessing.get_context("spawn")
    before = 0
    for _ in range(3):
        working = spawning.Event()
        process = spawning.Process(target=store_again_and_again, args=(str(tmp_path), working))
        process.start()
        assert working.wait(60)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.join(10)
        in_run, in_index = count_events(tmp_path / f"{RANGE_RUN}.db"), count_events(tmp_path / "index.db")
        assert in_run % BATCH == 0 and in_index % BATCH == 0
        # Killed between the two commits, a batch stands in the run only: three times at most.
        assert 0 <= in_run - in_index <= 3 * BATCH
        assert in_index > before
        before = in_index
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    assert storage.get_materialized_partitions(dg.AssetKey("many")) == {f"p{number}" for number in range(BATCH)}


def test_two_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    def write(run_id: str) -> None:
        storage = BatchedSqliteEventLogStorage(str(tmp_path))
        for _ in range(10):
            storage.store_event_batch(materializations(run_id, BATCH))
            storage.store_event(materializations(run_id, 1)[0])

    threads = [threading.Thread(target=write, args=(run,)) for run in (RANGE_RUN, DAY_RUN)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count_events(tmp_path / "index.db") == 2 * 10 * (BATCH + 1)


def test_a_forked_child_does_not_touch_its_parents_connections(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    storage.store_event_batch(materializations(DAY_RUN, 2))
    child = os.fork()
    if child == 0:
        try:
            storage.store_event_batch(materializations(DAY_RUN, 3))
            storage.dispose()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    storage.store_event_batch(materializations(DAY_RUN, 4))
    assert len(storage.get_logs_for_run(DAY_RUN)) == 2 + 3 + 4
    assert count_events(tmp_path / "index.db") == 2 + 3 + 4


def test_a_shard_removed_by_another_process_is_made_anew(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    storage.store_event_batch(materializations(DAY_RUN, 2))
    for path in tmp_path.glob(f"{DAY_RUN}.db*"):
        path.unlink()
    storage.store_event_batch(materializations(DAY_RUN, 3))
    assert len(storage.get_logs_for_run(DAY_RUN)) == 3


def tables(shard: Path) -> list[Any]:
    with closing(sqlite3.connect(shard)) as connection:
        return [
            connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall(),
            connection.execute("SELECT version_num FROM alembic_version").fetchall(),
            connection.execute("PRAGMA journal_mode").fetchall(),
        ]


def test_a_run_s_shard_has_the_tables_and_the_revision_of_the_stock_one(tmp_path: Path) -> None:
    stock, batched = SqliteEventLogStorage(str(tmp_path / "a")), BatchedSqliteEventLogStorage(str(tmp_path / "b"))
    for storage in (stock, batched):
        storage.store_event_batch(materializations(DAY_RUN, 2))
    batched.dispose()
    assert tables(tmp_path / "b" / f"{DAY_RUN}.db") == tables(tmp_path / "a" / f"{DAY_RUN}.db")


def test_a_run_s_shard_is_made_the_stock_way_when_the_index_bears_no_revision(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    with closing(sqlite3.connect(tmp_path / "index.db")) as connection:
        connection.execute("DROP TABLE alembic_version")
        connection.commit()
    storage.store_event_batch(materializations(DAY_RUN, 2))
    assert len(storage.get_logs_for_run(DAY_RUN)) == 2
    storage.dispose()
    assert tables(tmp_path / f"{DAY_RUN}.db")[1]


def make_shard(folder: str, start: Any) -> None:
    storage = BatchedSqliteEventLogStorage(folder)
    start.wait(60)
    storage.store_event_batch(materializations(DAY_RUN, 2))


def test_two_processes_may_make_a_shard_at_once(tmp_path: Path) -> None:
    spawning = multiprocessing.get_context("spawn")
    start = spawning.Barrier(2)
    processes = [spawning.Process(target=make_shard, args=(str(tmp_path), start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert count_events(tmp_path / f"{DAY_RUN}.db") == 4


def test_only_a_few_shards_stay_open(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    for number in range(8):
        storage.store_event_batch(materializations(f"run-{number}", 2))
    assert len(list(tmp_path.glob("run-*.db-wal"))) < 8
    storage.dispose()
    assert list(tmp_path.glob("*-wal")) == []


@pytest.mark.parametrize("watching", [SqliteEventLogStorage, BatchedSqliteEventLogStorage])
def test_a_watcher_hears_of_every_event_while_the_writer_goes_on(
    tmp_path: Path, watching: type[SqliteEventLogStorage]
) -> None:
    writer, watcher = BatchedSqliteEventLogStorage(str(tmp_path)), watching(str(tmp_path))
    writer.store_event(materializations(DAY_RUN, 1)[0])
    heard: list[str] = []
    all_heard = threading.Event()

    def hear(entry: EventLogEntry, cursor: str) -> None:
        heard.append(cursor)
        if len(heard) == 1 + BATCH + 1:
            all_heard.set()

    watcher.watch(DAY_RUN, None, hear)
    writer.store_event_batch(materializations(DAY_RUN, BATCH))
    writer.store_event(materializations(DAY_RUN, 1)[0])
    assert all_heard.wait(30)
    watcher.end_watch(DAY_RUN, hear)
    watcher.dispose()


def test_the_shards_lie_where_the_stock_ones_would(tmp_path: Path) -> None:
    with opened(tmp_path / "home") as instance:
        assert type(instance.event_log_storage) is BatchedSqliteEventLogStorage
    assert (tmp_path / "home" / "history" / "runs" / "index.db").exists()


def test_a_base_dir_may_be_configured(tmp_path: Path) -> None:
    with opened(tmp_path / "home", SHIPPED.replace("config: {}", f"config: {{base_dir: {tmp_path / 'elsewhere'}}}")):
        assert (tmp_path / "elsewhere" / "index.db").exists()


def test_a_home_that_was_moved_keeps_its_history(tmp_path: Path) -> None:
    with opened(tmp_path / "old") as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("whole"))
    (tmp_path / "old").rename(tmp_path / "new")
    with opened(tmp_path / "new") as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey("whole")) is not None
    assert not (tmp_path / "old").exists()


def test_dagster_home_finds_it_and_another_process_gets_it_by_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path):
        pass
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance, dg.DagsterInstance.from_ref(instance.get_ref()) as other:
        instance.report_runless_asset_event(dg.AssetMaterialization("whole"))
        assert type(other.event_log_storage) is BatchedSqliteEventLogStorage
        assert other.get_latest_materialization_event(dg.AssetKey("whole")) is not None


def variables_after_loading(**variables: str) -> list[str]:
    code = (
        "import os, spotify_assets.lakehouse.event_log\n"
        "print(os.environ['DAGSTER_EVENT_BATCH_SIZE'])\n"
        "print(os.environ['DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS'])"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_E")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_loading_the_module_has_dagster_collect_events() -> None:
    assert variables_after_loading() == ["5000", "true"]


def test_what_somebody_set_in_the_environment_is_left_alone() -> None:
    set_before = {"DAGSTER_EVENT_BATCH_SIZE": "7", "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "false"}
    assert variables_after_loading(**set_before) == ["7", "false"]


def test_the_terminal_shows_failures_and_no_line_per_partition(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with environment(subset=True), opened(tmp_path) as instance:
        run_days(instance, FAILED_RUN, 0, 9)
        partitions_told = instance.get_materialized_partitions(dg.AssetKey("first"))
    shown = capfd.readouterr().err
    assert len(partitions_told) == 10
    assert "ASSET_MATERIALIZATION" not in shown
    assert "the third one fails" in shown
    assert "words of the asset" in shown
