from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from spotify_assets.transforms import plays
from spotify_assets_tests.transforms.history import Lakehouse, Row, at, lakehouse_of, track


def _late(hour: int, minute: int, **told) -> Row:
    """A play on the evening of 15 June in Berlin, or after midnight from hour 22 on."""
    return track(datetime(2021, 6, 15, hour, minute, tzinfo=UTC), 60_000, **told)


def _changed(lakehouse: Lakehouse, rows: list[Row], column: str = "version") -> list[date]:
    before = lakehouse.days
    lakehouse.take(rows)
    lakehouse.write()
    return plays.changed_days(lakehouse.days.lazy(), before.lazy(), column).collect()["played_on"].to_list()


def test_there_is_a_day_for_every_date_from_the_first_play_to_today():
    lakehouse = lakehouse_of([track(at(0)), track(at(days=2))], today=date(2021, 6, 19))
    assert lakehouse.days.select("played_on", "plays").rows() == [
        (date(2021, 6, 15), 1),
        (date(2021, 6, 16), 0),
        (date(2021, 6, 17), 1),
        (date(2021, 6, 18), 0),
        (date(2021, 6, 19), 0),
    ]


def test_days_reach_to_the_last_play_where_that_is_after_today():
    lakehouse = lakehouse_of([track(at(0)), track(at(days=1))], today=date(2021, 6, 15))
    assert lakehouse.days["played_on"].max() == date(2021, 6, 16)


def test_a_new_play_changes_its_day_alone():
    lakehouse = lakehouse_of([track(at(0)), track(at(days=1)), track(at(days=2))])
    assert _changed(lakehouse, [track(at(days=1, hours=2), 31_000, name="Other", artist="New", album="New")]) == [
        date(2021, 6, 16)
    ]


def test_a_play_after_midnight_in_a_session_of_the_day_before_changes_both_days():
    lakehouse = lakehouse_of([_late(21, 50), track(at(days=-3))])
    assert _changed(lakehouse, [_late(22, 5)]) == [date(2021, 6, 15), date(2021, 6, 16)]
    assert _changed(lakehouse, [_late(22, 10, name="Other")]) == [date(2021, 6, 15), date(2021, 6, 16)]


def test_a_first_play_that_moves_changes_the_day_that_it_leaves():
    lakehouse = lakehouse_of([track(at(days=1)), track(at(days=2))])
    assert _changed(lakehouse, [track(at(0))]) == [date(2021, 6, 15), date(2021, 6, 16)]


def test_a_length_that_becomes_known_changes_the_days_whose_scrobbles_it_decides():
    lakehouse = lakehouse_of([track(at(0), 100_000, reason_end="endplay"), track(at(days=1), 1_000, name="Other")])
    assert _changed(lakehouse, [track(at(days=3), 190_000)]) == [date(2021, 6, 15), date(2021, 6, 18)]


def test_a_day_without_news_keeps_its_version_and_today_comes_anew():
    lakehouse = lakehouse_of([track(at(0))], today=date(2021, 6, 17))
    lakehouse.today = date(2021, 6, 18)
    assert _changed(lakehouse, []) == [date(2021, 6, 18)]


def test_another_session_gap_changes_the_days_of_the_sessions():
    lakehouse = lakehouse_of([track(at(0)), track(at(minutes=40)), track(at(days=1))])
    lakehouse.session_gap_minutes = 60
    assert _changed(lakehouse, []) == [date(2021, 6, 15)]


def test_another_zone_changes_the_days():
    lakehouse = lakehouse_of([track(at(0))], today=date(2021, 6, 15))
    lakehouse.zones = {"": "Asia/Tokyo"}
    assert _changed(lakehouse, []) == [date(2021, 6, 15)]


def test_a_superseded_row_changes_the_sources_of_its_day_and_not_its_version():
    lakehouse = lakehouse_of([track(at(0), album=None)])
    lakehouse.take([track(at(0))])
    lakehouse.write()
    weaker = [track(at(0), album=None, platform="ios", reason_end=None)]
    before = lakehouse.days
    assert _changed(lakehouse, weaker, "sources_hash") == [date(2021, 6, 15)]
    assert lakehouse.days["version"].to_list() == before["version"].to_list()


def test_a_day_that_leaves_is_a_changed_day():
    lakehouse = lakehouse_of([track(at(0)), track(at(days=1))])
    before = lakehouse.days
    lakehouse.history = lakehouse.history.filter(pl.col("row_id") == 2)
    lakehouse.write()
    changed = plays.changed_days(lakehouse.days.lazy(), before.lazy(), "version").collect()["played_on"].to_list()
    assert changed == [date(2021, 6, 15), date(2021, 6, 16)]
    assert lakehouse.plays["played_on"].to_list() == [date(2021, 6, 16)]


@pytest.mark.parametrize(
    ("change", "hours"), [(datetime(2021, 3, 28, 1, tzinfo=UTC), 23), (datetime(2021, 10, 31, 1, tzinfo=UTC), 25)]
)
def test_the_day_of_a_clock_change_has_23_or_25_hours_of_plays(change, hours):
    rows = [track(change + timedelta(hours=hour), 1_000) for hour in range(-40, 40)]
    lakehouse = lakehouse_of(rows, today=change.date())
    assert lakehouse.days.filter(played_on=change.date())["plays"].item() == hours
