import threading
from collections.abc import Generator

import pytest

from spotify_assets.ahead import one_ahead, several_ahead


def test_the_next_item_is_made_while_the_last_one_is_used() -> None:
    second_is_made = threading.Event()

    def items() -> Generator[int]:
        yield 1
        second_is_made.set()
        yield 2

    ahead = one_ahead(items())
    assert next(ahead) == 1
    assert second_is_made.wait(10)
    assert list(ahead) == [2]


def test_an_error_reaches_the_caller_after_the_items_before_it() -> None:
    def items() -> Generator[int]:
        yield 1
        raise ValueError("spoiled")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="spoiled"):
        next(ahead)


def test_items_are_closed_when_the_caller_goes_no_further() -> None:
    closed_by = []

    def items() -> Generator[int]:
        try:
            yield from range(10)
        finally:
            closed_by.append(threading.current_thread())

    ahead = one_ahead(items())
    next(ahead)
    ahead.close()
    assert len(closed_by) == 1


def test_a_lot_is_freed_as_soon_as_its_user_lets_it_go() -> None:
    class Lot:
        living = 0

        def __init__(self) -> None:
            Lot.living += 1

        def __del__(self) -> None:
            Lot.living -= 1

    most = 0
    for lot in one_ahead(Lot() for _ in range(20)):
        most = max(most, Lot.living)
        del lot
    assert most <= 3
    assert Lot.living == 0


def test_several_are_made_at_a_time_and_come_in_order() -> None:
    together = threading.Barrier(3, timeout=10)

    def make(number: int) -> int:
        if number < 3:
            together.wait()
        return number * number

    made = several_ahead(make, range(20), threads=3, at_most=4)
    assert list(made) == [(number, number * number) for number in range(20)]


def test_no_more_is_begun_than_the_caller_allows_but_always_something() -> None:
    begun: list[int] = []
    sizes = [1, 1, 9, 1, 1, 1]
    most = 0
    for used, (item, _) in enumerate(several_ahead(begun.append, sizes, threads=1, at_most=3, size=int)):
        # All that was begun by now and is not used yet, but for the one that the caller has.
        ahead = sizes[used + 1 : len(begun)]
        most = max(most, sum(ahead))
        assert sum(ahead) <= 3 or ahead == [9]
        assert item == sizes[used]
    assert most > 1 and begun == sizes


def test_what_fails_is_raised_in_its_place_and_nothing_more_is_begun() -> None:
    begun = []

    def make(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError("spoiled")
        return number

    made = several_ahead(make, range(100), threads=2, at_most=5)
    assert [next(made), next(made)] == [(0, 0), (1, 1)]
    with pytest.raises(ValueError, match="spoiled"):
        next(made)
    assert len(begun) <= 8
