"""The text of an event is, to the byte, what Dagster's `serialize_value` gives, whatever the events are."""

from __future__ import annotations

import math
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.utils import MultiPartitionKey
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._serdes import serialize_value
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.lakehouse import event_texts


def materialization(
    partition: str | None = "2024-01-01",
    timestamp: float = 1_700_000_000.25,
    metadata: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
    **fields: Any,
) -> EventLogEntry:
    told = dg.AssetMaterialization(["daily", "hours"], partition=partition, metadata=metadata or {}, tags=tags or {})
    event = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name="daily",
        step_key="daily__hours",
        logging_tags={"run_id": "run", "step_key": "daily__hours"},
        event_specific_data=StepMaterializationData(told),
        message="Materialized value daily hours.",
        pid=7,
    )
    entry = {"level": 10, "user_message": "", "run_id": "run", "step_key": "daily__hours", "job_name": "daily"} | fields
    return EventLogEntry(error_info=None, timestamp=timestamp, dagster_event=event, **entry)


# Values that are equal in Python and differ as JSON are what a comparison could take for each other.
values = st.sampled_from(
    [0, 0.0, -0.0, 1, 1.0, True, False, "1", "", 'ä\u2028"\\', [1], [1.0], {"a": 1, "b": True}, {"b": True, "a": 1}]
) | st.builds(dg.TimestampMetadataValue, st.just(1.0))
keys = st.sampled_from(["rows", "seconds", "partition", "timestamp"])
timestamps = st.floats(0, 4e9) | st.sampled_from([0.0, -0.0, 1e22, 5e-324, math.inf])
events = st.builds(
    materialization,
    partition=st.none() | st.dates().map(str) | st.text(max_size=5) | st.just(MultiPartitionKey({"a": "1", "b": "2"})),
    timestamp=timestamps,
    metadata=st.dictionaries(keys, values, max_size=2),
    tags=st.dictionaries(keys, st.sampled_from(["1", "x"]), max_size=1),
    run_id=st.sampled_from(["run", "run", "other"]),
    level=st.sampled_from([10, 10, "DEBUG"]),
)


@given(batch=st.lists(events, min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_whatever_a_batch_holds_its_texts_are_those_of_dagster(batch: list[EventLogEntry]) -> None:
    assert event_texts.serialized(batch) == [serialize_value(event) for event in batch]


@given(
    days=st.lists(st.tuples(st.dates().map(str) | st.text(min_size=1, max_size=5), timestamps), min_size=3),
    metadata=st.dictionaries(keys, values, max_size=3),
)
@settings(max_examples=50, deadline=None)
def test_alike_events_have_the_texts_of_dagster(days: list[tuple[str, float]], metadata: dict[str, Any]) -> None:
    batch = [materialization(partition, timestamp, metadata) for partition, timestamp in days]
    assert event_texts.serialized(batch) == [serialize_value(event) for event in batch]


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0.0, -0.0), ([1], [1.0]), ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
)
def test_equal_values_of_other_kinds_are_told_apart(one: Any, other: Any) -> None:
    assert one == other
    batch = [materialization(f"2024-01-0{day}", metadata={"value": one}) for day in (1, 2, 3)]
    batch.insert(1, materialization("2024-01-09", metadata={"value": other}))
    assert event_texts.serialized(batch) == [serialize_value(event) for event in batch]


def test_events_that_are_no_materializations_of_a_partition_are_serialized_one_by_one() -> None:
    word = EventLogEntry(None, 20, "words", "run", 1.0, "step", "daily", None)
    batch = [word, materialization(None), word, materialization()]
    assert event_texts.serialized(batch) == [serialize_value(event) for event in batch]
