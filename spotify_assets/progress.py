"""Tell whoever watches what long work is doing.

The command line listens to draw its progress bar; in the Dagster UI nobody does and the run page shows the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
