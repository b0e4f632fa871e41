"""The stored texts of events that differ in their partition and moment only.

Here belongs how the events of a batch become JSON without being taken apart one by one: Dagster's `serialize_value`
walks through some eighty values of a materialization, and a range of ten years has thousands that are alike in all but
two. What is stored is, to the byte, what `serialize_value` gives.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dagster._core.definitions.events import AssetMaterialization
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._serdes import serialize_value

# Nothing that an event could say by chance: each stands in for one value and must come out once.
_PARTITION = "partition 5d1f3a52-7c0e-4b7e-9f5e-2f3a1c9d8e07"
_TIMESTAMP = -7.256318840579711e-301


def serialized(events: Sequence[EventLogEntry]) -> list[str]:
    """`serialize_value` of every event; those that resemble the first one cost a twentieth."""
    mould = _Mould.of(events[0]) if len(events) > 2 else None
    texts = [mould.cast(event) if mould else None for event in events]
    # What the first event proves for the mould is proved once more by another of the batch.
    cast = [number for number, text in enumerate(texts) if text is not None]
    if cast and texts[cast[-1]] != serialize_value(events[cast[-1]]):
        texts = [None] * len(events)
    return [serialize_value(event) if text is None else text for event, text in zip(events, texts, strict=True)]


class _Mould:
    """The text of one materialization with two gaps, for its partition and its timestamp."""

    def __init__(self, model: EventLogEntry, pieces: tuple[str, str, str]) -> None:
        self._model = model
        self._before, self._between, self._after = pieces

    @classmethod
    def of(cls, event: EventLogEntry) -> _Mould | None:
        """A mould that gives back the text of `event`, or None for an event that none is known for."""
        if not _is_materialization_of_partition(event):
            return None
        model = _with(event, _PARTITION, _TIMESTAMP)
        before, *after_partition = serialize_value(model).split(json.dumps(_PARTITION))
        if len(after_partition) != 1:
            return None
        between, *after_timestamp = after_partition[0].split(json.dumps(_TIMESTAMP))
        if len(after_timestamp) != 1:
            return None
        mould = cls(model, (before, between, after_timestamp[0]))
        return mould if mould.cast(event) == serialize_value(event) else None

    def cast(self, event: EventLogEntry) -> str | None:
        """The text of an event; None when it differs from the model in more than partition and timestamp."""
        if not _is_materialization_of_partition(event) or not _is_same(
            _with(event, _PARTITION, _TIMESTAMP), self._model
        ):
            return None
        partition = event.dagster_event.event_specific_data.materialization.partition
        return "".join((self._before, json.dumps(partition), self._between, json.dumps(event.timestamp), self._after))


def _is_materialization_of_partition(event: EventLogEntry) -> bool:
    if type(event) is not EventLogEntry or type(event.timestamp) is not float:
        return False
    if type(event.dagster_event) is not DagsterEvent:
        return False
    data = event.dagster_event.event_specific_data
    # A key of several dimensions is a text that bears more than its characters.
    return (
        type(data) is StepMaterializationData
        and type(data.materialization) is AssetMaterialization
        and type(data.materialization.partition) is str
    )


def _with(event: EventLogEntry, partition: str, timestamp: float) -> EventLogEntry:
    data = event.dagster_event.event_specific_data
    materialization = data.materialization._replace(partition=partition)
    data = data._replace(materialization=materialization)
    return event._replace(timestamp=timestamp, dagster_event=event.dagster_event._replace(event_specific_data=data))


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are stored alike. Equality is not enough: 1, 1.0 and True are equal, so are 0.0 and -0.0."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is str or kind is int:
        return one == other
    if kind is float:
        return repr(one) == repr(other)
    if kind is dict:
        # The order counts: metadata is stored as a list of entries.
        return (
            list(one) == list(other)
            and list(map(type, one)) == list(map(type, other))
            and all(map(_is_same, one.values(), other.values()))
        )
    if kind is list:
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, tuple):
        # Dagster's records are tuples that refuse to be asked for their length and their values.
        return tuple.__len__(one) == tuple.__len__(other) and all(
            map(_is_same, tuple.__iter__(one), tuple.__iter__(other))
        )
    return False
