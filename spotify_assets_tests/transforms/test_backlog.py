"""What is asked for next, and when all of it will have been."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_assets.transforms.backlog import credited, done_on, is_due, open_requests
from spotify_assets_tests.spotify.payloads import NOON


def spotify_id(number: int) -> str:
    return f"{number:022}"


def ids(*numbers: int) -> pl.LazyFrame:
    return pl.LazyFrame({"object_id": [spotify_id(number) for number in numbers]}, schema={"object_id": pl.String})


def times(*rows: tuple[int, int]) -> pl.LazyFrame:
    told = [(spotify_id(number), ms_played) for number, ms_played in rows]
    return pl.LazyFrame(told, schema={"object_id": pl.String, "ms_played": pl.Int64}, orient="row")


def test_what_is_listened_to_most_comes_first_and_ties_go_by_id() -> None:
    wanted = times((3, 5), (1, 9), (2, 5), (3, 1))
    assert open_requests(wanted, ids()).collect().rows() == [
        (spotify_id(1), 9),
        (spotify_id(3), 6),
        (spotify_id(2), 5),
    ]


def test_ids_that_spotify_cannot_know_are_not_asked_for() -> None:
    wanted = pl.LazyFrame(
        {"object_id": ["short", "spotify:local:x", "ä" * 22, spotify_id(1)], "ms_played": [1, 2, 3, 4]}
    )
    assert open_requests(wanted, ids()).collect()["object_id"].to_list() == [spotify_id(1)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99))), st.sets(st.integers(0, 9)))
def test_everything_wanted_is_known_or_asked_for_once(wanted: list[tuple[int, int]], known: set[int]) -> None:
    asked = open_requests(times(*wanted), ids(*known)).collect()
    assert sorted(asked["object_id"]) == sorted({spotify_id(number) for number, _ in wanted if number not in known})
    assert asked["ms_played"].to_list() == sorted(asked["ms_played"], reverse=True)


def test_an_album_has_the_listening_time_of_all_of_its_tracks() -> None:
    names = pl.LazyFrame({"track_id": [spotify_id(1), spotify_id(2), spotify_id(2)], "object_id": ["x", "x", "y"]})
    told = credited(times((1, 10), (2, 5), (2, 1), (3, 99)), names).collect()
    assert sorted(told.group_by("object_id").agg(pl.col("ms_played").sum()).rows()) == [("x", 16), ("y", 6)]


@pytest.mark.parametrize(
    ("length", "ids_per_request", "daily_budget", "days"),
    [(0, 50, 400, 0), (0, 1, None, 0), (1, 50, 400, 1), (400, 1, 400, 1), (401, 1, 400, 2), (50_001, 50, 500, 3)],
)
def test_a_backlog_is_done_when_its_requests_fit_into_so_many_days(
    length: int, ids_per_request: int, daily_budget: int | None, days: int
) -> None:
    assert done_on(length, ids_per_request, daily_budget, date(2026, 3, 1)) == date(2026, 3, 1 + days)


def test_without_a_known_budget_there_is_no_date() -> None:
    assert done_on(5, 1, None, date(2026, 3, 1)) is None


def test_lists_are_due_when_they_were_never_asked_for_or_30_days_ago() -> None:
    assert is_due(None, NOON)
    assert not is_due(NOON - timedelta(days=29, hours=23), NOON)
    assert is_due(NOON - timedelta(days=30), NOON)
