"""Make the next item while the last one is used: either work by itself leaves a core idle half of the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


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


def several_ahead(
    make: Callable[[Item], Made],
    items: Iterable[Item],
    *,
    threads: int,
    at_most: int,
    size: Callable[[Item], int] = lambda item: 1,
) -> Generator[tuple[Item, Made]]:
    """Each item with what is made of it, in their order, while threads make what comes next.

    What making raises reaches the caller in its place. When the caller goes no further, nothing more is begun.

    Args:
        make: Called in any of the threads.
        items: Whatever is to be made something of.
        threads: How many things are made at a time.
        at_most: Begun is no more than that ahead of the caller, by `size`; one item always is.
        size: What an item counts for.
    """
    waiting: deque[tuple[Item, Future[Made]]] = deque()
    ahead = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        try:
            for item in items:
                while waiting and ahead + size(item) > at_most:
                    ahead -= size(waiting[0][0])
                    yield _first(waiting)
                waiting.append((item, pool.submit(make, item)))
                ahead += size(item)
            while waiting:
                yield _first(waiting)
        finally:
            for _, future in waiting:
                future.cancel()


def _first(waiting: deque[tuple[Item, Future[Made]]]) -> tuple[Item, Made]:
    """What was begun first, with nobody left here who holds it."""
    item, future = waiting.popleft()
    return item, future.result()


def _next(items: Generator[Item]) -> list[Item]:
    """The next item alone in a list, or nothing. Only who takes it out of there holds it: Python keeps the result of
    a future for as long as the future."""
    return list(islice(items, 1))
