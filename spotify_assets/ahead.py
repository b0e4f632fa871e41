"""Make the next item while the last one is used: either work by itself leaves a core idle half of the time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Generator[Item]) -> Iterator[Item]:
    """The items, each made in a thread while the caller uses the one before; two are in memory at most.

    What the generator raises reaches the caller in its place. When the caller goes no further, the generator is closed
    once it has made what it was at.
    """
    with closing(items), ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        upcoming = thread.submit(_next, items)
        try:
            while made := upcoming.result():
                upcoming = thread.submit(_next, items)
                yield made.pop()
        finally:
            wait([upcoming])


def _next(items: Generator[Item]) -> list[Item]:
    """The next item alone in a list, or nothing. Only who takes it out of there holds it: Python keeps the result of
    a future for as long as the future."""
    return list(islice(items, 1))
