"""The calendar that plays are joined with."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from spotify_assets.schemas import clean
from spotify_assets.transforms.calendar import calendar


def _calendar(*days: date) -> pl.DataFrame:
    return calendar(pl.LazyFrame({"played_on": list(days)}, schema={"played_on": pl.Date})).collect()


def _day(day: date) -> dict[str, Any]:
    return _calendar(day).row(0, named=True)


def test_every_date_from_the_first_to_the_last_day_is_there_once():
    dates = _calendar(date(2021, 3, 3), date(2021, 2, 27), date(2021, 2, 27))["date"].to_list()
    assert dates == [date(2021, 2, 27) + timedelta(days=number) for number in range(5)]


def test_a_leap_day_is_there():
    assert date(2024, 2, 29) in _calendar(date(2024, 2, 28), date(2024, 3, 1))["date"].to_list()


def test_no_days_make_an_empty_calendar():
    assert _calendar().is_empty()


def test_the_columns_are_those_of_the_schema():
    cast = _calendar(date(2021, 1, 1)).select(clean.Calendar.column_names()).cast(clean.Calendar.polars_schema())
    assert cast.height == 1


@pytest.mark.parametrize(
    ("day", "iso_year", "iso_week"),
    [
        (date(2021, 1, 3), 2020, 53),
        (date(2021, 1, 4), 2021, 1),
        (date(2024, 12, 30), 2025, 1),
        (date(2020, 12, 31), 2020, 53),
    ],
)
def test_weeks_at_the_turn_of_the_year_belong_to_their_iso_year(day, iso_year, iso_week):
    row = _day(day)
    assert (row["iso_year"], row["iso_week"], row["year"]) == (iso_year, iso_week, day.year)


def test_weekdays_are_named_in_english_and_numbered_from_monday():
    week = _calendar(date(2021, 6, 14), date(2021, 6, 20))
    names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    assert week.select("weekday", "weekday_name").rows() == list(enumerate(names, 1))


def test_saturday_and_sunday_are_the_weekend():
    assert _calendar(date(2021, 6, 14), date(2021, 6, 20))["is_weekend"].to_list() == [False] * 5 + [True] * 2


@pytest.mark.parametrize(
    ("day", "quarter", "month_name"),
    [
        (date(2021, 1, 1), 1, "January"),
        (date(2021, 3, 31), 1, "March"),
        (date(2021, 4, 1), 2, "April"),
        (date(2021, 12, 31), 4, "December"),
    ],
)
def test_months_are_named_in_english_and_belong_to_a_quarter(day, quarter, month_name):
    row = _day(day)
    told = (row["quarter"], row["month_name"], row["month"], row["day_of_month"])
    assert told == (quarter, month_name, day.month, day.day)
