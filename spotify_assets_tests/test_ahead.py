import threading
from collections.abc import Generator

import pytest

from spotify_assets.ahead import one_ahead


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
