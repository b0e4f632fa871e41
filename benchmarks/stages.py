"""From stages that nest, and run beside each other in several threads, to seconds that can be added up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

START_UP = "start"
NOT_OF_THE_DATA = (START_UP, "event log", "dagster")
"""Stages that have nothing to do with anybody's plays; all others are the data's own way."""

Interval = tuple[float, float]


def summary(
    stages: Sequence[dict[str, Any]], memory_mb: Sequence[tuple[float, float]], began: float, ended: float
) -> dict[str, Any]:
    """What a process did with its time.

    Args:
        stages: name, thread, began and ended of each block that was measured.
        memory_mb: Instants and the resident megabytes at them.
        began, ended: Start and end of the process.

    Returns:
        stages: for each name, in the order of their beginnings, wall_seconds of the stage less those of the stages
        inside it, and peak_mb while it was at work. data_seconds: in which at least one of the data's own stages was
        at work. staged_seconds: likewise, any stage. start_up_seconds: until the stage `start` ended, or until the
        first stage began.
    """
    intervals: dict[str, list[Interval]] = {}
    for stage in sorted(stages, key=lambda stage: stage["began"]):
        intervals.setdefault(stage["name"], []).extend(_own(stage, stages))
    data = [part for name, parts in intervals.items() if name not in NOT_OF_THE_DATA for part in parts]
    start_up = [stage["ended"] for stage in stages if stage["name"] == START_UP]
    ready = min(start_up or [stage["began"] for stage in stages], default=ended)
    return {
        "stages": {
            name: {
                "wall_seconds": sum(last - first for first, last in parts),
                "peak_mb": _peak(memory_mb, parts),
            }
            for name, parts in intervals.items()
        },
        "data_seconds": covered(data),
        "staged_seconds": covered(part for parts in intervals.values() for part in parts),
        "start_up_seconds": ready - began,
    }


def covered(intervals: Iterable[Interval]) -> float:
    """Length of what the intervals cover, counted once.

    >>> covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
    4.0
    """
    total, reached = 0.0, float("-inf")
    for first, last in sorted(intervals):
        total += max(0.0, last - max(first, reached))
        reached = max(reached, last)
    return total


def _own(stage: dict[str, Any], stages: Sequence[dict[str, Any]]) -> list[Interval]:
    """When a stage was at work itself, and none inside it."""
    parts, reached = [], stage["began"]
    for inner in sorted((other for other in stages if _is_inside(other, stage)), key=lambda other: other["began"]):
        parts.append((reached, max(reached, inner["began"])))
        reached = max(reached, inner["ended"])
    return [*parts, (reached, stage["ended"])]


def _is_inside(inner: dict[str, Any], outer: dict[str, Any]) -> bool:
    return (
        inner is not outer
        and inner["thread"] == outer["thread"]
        and outer["began"] <= inner["began"]
        and inner["ended"] <= outer["ended"]
    )


def _peak(memory_mb: Sequence[tuple[float, float]], parts: Sequence[Interval]) -> float:
    within = [mb for instant, mb in memory_mb if any(first <= instant <= last for first, last in parts)]
    return max(within, default=0.0)
