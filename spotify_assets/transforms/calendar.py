"""The calendar that plays are joined with."""

from __future__ import annotations

import polars as pl

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def calendar(days: pl.LazyFrame) -> pl.LazyFrame:
    """clean.calendar: every date from the first to the last of clean.days (column played_on)."""
    date = pl.col("date")
    return (
        days.select(
            date=pl.date_ranges(pl.col("played_on").min(), pl.col("played_on").max()),
        )
        .explode("date", empty_as_null=False)
        .drop_nulls()
        .select(
            "date",
            iso_year=date.dt.iso_year(),
            iso_week=date.dt.week(),
            year=date.dt.year(),
            quarter=date.dt.quarter(),
            month=date.dt.month(),
            # Names are written out: the platform's locale would give other names on other machines.
            month_name=date.dt.month().replace_strict(dict(enumerate(_MONTHS, 1)), return_dtype=pl.String),
            day_of_month=date.dt.day(),
            weekday=date.dt.weekday(),
            weekday_name=date.dt.weekday().replace_strict(dict(enumerate(_WEEKDAYS, 1)), return_dtype=pl.String),
            is_weekend=date.dt.weekday() >= 6,
        )
    )
