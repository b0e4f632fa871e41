"""Tell whoever watches what long work is doing.

The command line listens to draw its progress bar; in the Dagster UI nobody does and the run page shows the steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

Listener = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: not known)."""

_listeners: list[Listener] = []


def report(what: str, done: int = 0, total: int = 0) -> None:
    """Tell all listeners."""
    for listener in _listeners:
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` called for as long as the context lasts."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@dataclass(frozen=True)
class StageTimes:
    """What a stage of the work took: seconds of the clock, and of the processor (all threads)."""

    name: str
    wall_seconds: float
    processor_seconds: float


_stage_listeners: list[Callable[[StageTimes], None]] = []


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measure a stage of the work for whoever listens, the benchmark above all; costs nothing else."""
    wall, processor = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        times = StageTimes(name, time.perf_counter() - wall, time.process_time() - processor)
        for listener in _stage_listeners:
            listener(times)


def staged(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """Measure the making of each item as a stage, not what is done with it."""
    making = iter(items)
    while True:
        with stage(name):
            item = next(making, None)
        if item is None:
            return
        yield item


@contextmanager
def measuring(listener: Callable[[StageTimes], None]) -> Iterator[None]:
    """Have `listener` called at the end of every stage for as long as the context lasts."""
    _stage_listeners.append(listener)
    try:
        yield
    finally:
        _stage_listeners.remove(listener)
