from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.transforms.zones import DatedZones, local_date, local_times
from spotify_assets_tests.transforms.history import Lakehouse, track

MOVED_WEST: DatedZones = [(None, "Europe/Berlin"), (date(2021, 3, 1), "America/New_York")]
MOVED_EAST: DatedZones = [(None, "America/Los_Angeles"), (date(2021, 3, 1), "Pacific/Auckland")]


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def _shown(zones: dict[str, DatedZones], *plays: tuple[str, datetime]) -> list[datetime]:
    frame = pl.DataFrame(
        {"listener": [listener for listener, _ in plays], "ended_at": [instant for _, instant in plays]},
        schema={"listener": pl.String, "ended_at": pl.Datetime("us", "UTC")},
    )
    return frame.select(**local_times(zones, ["ended_at"]))["ended_at_local"].to_list()


@pytest.mark.parametrize(
    ("zones", "instant", "local"),
    [
        # Midnight in New York is 05:00 UTC, when the clocks in Berlin show six.
        (MOVED_WEST, _utc(2021, 3, 1, 4, 59), datetime(2021, 3, 1, 5, 59)),
        (MOVED_WEST, _utc(2021, 3, 1, 5, 0), datetime(2021, 3, 1, 0, 0)),
        # Midnight in Auckland is 11:00 UTC of the day before, when it is three at night in Los Angeles.
        (MOVED_EAST, _utc(2021, 2, 28, 10, 59), datetime(2021, 2, 28, 2, 59)),
        (MOVED_EAST, _utc(2021, 2, 28, 11, 0), datetime(2021, 3, 1, 0, 0)),
    ],
)
def test_a_dated_zone_is_in_force_from_midnight_on_its_own_clocks(zones, instant, local):
    assert _shown({"ann": zones}, ("ann", instant)) == [local]
    assert local_date(instant, zones) == local.date()


def test_a_listener_who_moves_leaves_the_times_of_the_others_alone():
    instant = _utc(2021, 3, 1, 12)
    zones = {"ann": MOVED_WEST, "ben": MOVED_WEST[:1], "cleo": [(None, "America/New_York")]}
    assert _shown(zones, *((name, instant) for name in zones)) == [
        datetime(2021, 3, 1, 7),
        datetime(2021, 3, 1, 13),
        datetime(2021, 3, 1, 7),
    ]


def test_a_home_without_listeners_has_no_local_times():
    assert _shown({}) == []


_ZONES = ["Europe/Berlin", "America/New_York", "Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata", "UTC"]


@settings(deadline=None, max_examples=100)
@given(
    names=st.lists(st.sampled_from(_ZONES), min_size=1, max_size=4),
    begins=st.lists(st.dates(date(2020, 1, 2), date(2022, 1, 1)), min_size=3, max_size=3, unique=True),
    hours=st.lists(st.integers(0, 24 * 800), min_size=1, max_size=20),
)
def test_the_day_of_a_play_is_the_date_on_the_clocks_of_the_zone_in_force(names, begins, hours):
    zones = list(zip([None, *sorted(begins)], names, strict=False))
    instants = [_utc(2019, 12, 1) + timedelta(hours=hour) for hour in hours]
    shown = _shown({"ann": zones}, *(("ann", instant) for instant in instants))
    assert [local.date() for local in shown] == [local_date(instant, zones) for instant in instants]
    for instant, local in zip(instants, shown, strict=True):
        assert local in {instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for zone in names}


def test_a_zone_that_is_dated_changes_the_days_from_its_date_on_alone():
    rows = [track(_utc(2021, 2, 27, 3)), track(_utc(2021, 3, 2, 3)), track(_utc(2021, 3, 5, 20))]
    lakehouse = Lakehouse(today=date(2021, 3, 6))
    lakehouse.take(rows)
    lakehouse.write()
    lakehouse.zones = {"": MOVED_WEST}
    assert lakehouse.write() == [date(2021, 3, 1), date(2021, 3, 2), date(2021, 3, 5)]
    assert lakehouse.plays["played_on"].to_list() == [date(2021, 2, 27), date(2021, 3, 1), date(2021, 3, 5)]
