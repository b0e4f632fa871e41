from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.transforms import coverage
from spotify_assets.transforms.zones import day_start, local_date
from spotify_assets_tests.transforms.history import Lakehouse, Row, api_play, at, basic, failed_poll, told_poll, track


def _coverage(*, exports: list[list[Row]] = (), polls: list[Row] = (), kind: str = "gap", **told) -> list[tuple]:
    lakehouse = Lakehouse(**told)
    for rows in exports:
        lakehouse.take(rows)
    lakehouse.poll(list(polls))
    return lakehouse.coverage().filter(kind=kind).select("started_at", "ended_at").rows()


def _page(first: float, last: float, *, is_full: bool = True) -> Row:
    """A response with plays that ended from hour `first` to hour `last`."""
    return told_poll(at(hours=last, minutes=1), at(hours=first), at(hours=last), is_full=is_full)


def _hours(*spans: tuple[float, float]) -> list[tuple[datetime, datetime]]:
    return [(at(hours=first), at(hours=last)) for first, last in spans]


def test_between_a_response_and_a_full_later_one_is_a_gap() -> None:
    assert _coverage(polls=[_page(0, 1), _page(3, 4)]) == _hours((1, 3))


def test_a_response_that_reaches_back_to_the_one_before_leaves_no_gap() -> None:
    assert _coverage(polls=[_page(0, 1), _page(1, 4)]) == []


def test_a_response_that_is_not_full_tells_all_that_there_is() -> None:
    assert _coverage(polls=[_page(0, 1), _page(3, 4, is_full=False)]) == []


def test_before_the_first_response_nothing_is_provable() -> None:
    assert _coverage(polls=[_page(3, 4)]) == []


def test_a_gap_before_which_a_play_was_known_needs_no_earlier_response() -> None:
    poll = _page(3, 4) | {"newest_known_at": at(hours=1), "is_gap_provable": True}
    assert _coverage(polls=[poll]) == _hours((1, 3))


@given(st.permutations([_page(0, 1), _page(3, 4), _page(2, 3), _page(6, 7), _page(8, 9, is_full=False)]))
@settings(deadline=None, max_examples=20)
def test_gaps_are_the_same_in_whatever_order_responses_are_taken_in(polls) -> None:
    assert _coverage(polls=polls) == _hours((1, 2), (4, 6))


def test_a_failed_poll_tells_nothing_of_plays() -> None:
    assert _coverage(polls=[_page(0, 1), failed_poll(at(hours=2)), _page(1, 4)]) == []


@pytest.mark.parametrize(
    ("first", "last", "left"),
    [(0, 4, []), (0, 2, [(2, 3)]), (2, 4, [(1, 2)]), (1.5, 2, [(1, 1.5), (2, 3)]), (5, 6, [(1, 3)])],
)
def test_an_export_closes_the_part_of_a_gap_that_it_covers(first, last, left) -> None:
    rows = [track(at(hours=first)), track(at(hours=last))]
    assert _coverage(exports=[rows], polls=[_page(0, 1), _page(3, 4)]) == _hours(*left)


def test_an_export_whose_last_play_ends_the_gap_closes_it_though_clocks_differ() -> None:
    rows = [track(at(0)), track(at(hours=3, seconds=-59))]
    assert _coverage(exports=[rows], polls=[_page(0, 1), _page(3, 4)]) == []


def test_exports_that_overlap_cover_one_time_and_account_data_cover_theirs() -> None:
    exports = [
        [track(at(0)), track(at(hours=2))],
        [track(at(hours=1)), track(at(hours=3))],
        [basic(track(at(hours=5))), basic(track(at(hours=6)))],
    ]
    assert _coverage(exports=exports, kind="export") == _hours((0, 3), (5, 6))


def test_an_outage_is_a_time_without_success_longer_than_the_setting() -> None:
    polls = [_page(0, 0), failed_poll(at(hours=1)), _page(0, 2), _page(0, 5), failed_poll(at(hours=6))]
    polls = [poll | {"polled_at": poll["polled_at"].replace(minute=0)} for poll in polls]
    assert _coverage(polls=polls, kind="outage") == _hours((2, 5))


def test_an_outage_lasts_as_long_as_polls_fail() -> None:
    polls = [told_poll(at(0), at(0), at(0)), failed_poll(at(hours=1)), failed_poll(at(hours=3))]
    assert _coverage(polls=polls, kind="outage") == _hours((0, 3))


def _days(lakehouse: Lakehouse) -> dict[date, dict]:
    lakehouse.write()
    return {row["played_on"]: row for row in lakehouse.daily()["completeness"].iter_rows(named=True)}


def test_a_gap_and_an_outage_over_midnight_belong_to_both_days() -> None:
    lakehouse = Lakehouse()
    evening, morning = (datetime(2021, 6, 15, hour, tzinfo=UTC) for hour in (20, 23))
    lakehouse.hear([api_play(evening), api_play(morning)])
    lakehouse.poll([told_poll(instant, instant, instant) for instant in (evening, morning)])
    days = _days(lakehouse)
    for day, hours in ((date(2021, 6, 15), 2), (date(2021, 6, 16), 1)):
        told = days[day]
        assert (told["gaps"], told["gap_ms"], told["outages"], told["outage_ms"]) == (1, hours * 3_600_000) * 2
        assert (told["polls"], told["polls_failed"]) == (1, 0)


def test_a_day_is_covered_whole_only_between_the_days_of_the_first_and_the_last_row() -> None:
    lakehouse = Lakehouse()
    lakehouse.take([track(at(days=day)) for day in (0, 3)])
    covered = [day["export_coverage"] for day in _days(lakehouse).values()]
    assert covered == ["part", "whole", "whole", "part", "none", "none"]


def test_plays_of_a_day_are_counted_by_who_tells_of_them() -> None:
    lakehouse = Lakehouse()
    lakehouse.take([track(at(0)), track(at(minutes=10), name="Other"), track(at(days=1))])
    lakehouse.hear([api_play(at(0.5)), api_play(at(minutes=30), name="Third"), api_play(at(minutes=-30), name="Early")])
    lakehouse.poll([failed_poll(at(0), "rate_limited"), told_poll(at(60), at(0), at(0))])
    told = _days(lakehouse)[at(0).date()]
    assert (told["plays"], told["plays_verified"], told["plays_api_only"], told["plays_unverified"]) == (4, 2, 2, 1)
    assert (told["share_verified"], told["polls"], told["polls_failed"]) == (0.5, 2, 1)
    assert (told["ms_played"], told["ms_played_estimated"]) == (800_000, 400_000)


def test_on_a_day_without_plays_no_share_is_verified() -> None:
    lakehouse = Lakehouse()
    lakehouse.take([track(at(0)), track(at(days=2))])
    assert _days(lakehouse)[at(days=1).date()]["share_verified"] is None


_ZONES = (
    [(None, "Europe/Berlin")],
    [(None, "America/Sao_Paulo")],
    [(None, "Pacific/Auckland"), (date(2021, 7, 16), "America/Los_Angeles")],
    [(None, "America/Los_Angeles"), (date(2018, 11, 3), "Asia/Tokyo")],
)


@given(st.sampled_from(_ZONES), st.dates(date(2018, 1, 1), date(2021, 12, 31)))
def test_a_day_starts_where_its_date_begins_on_the_listeners_clock(zones, day) -> None:
    start = day_start(day, zones)
    assert local_date(start, zones) == day
    assert local_date(start - timedelta(microseconds=1), zones) == day - timedelta(days=1)


def test_the_first_difference_is_where_plays_may_be_decided_otherwise() -> None:
    def covered(*spans: tuple[float, float], kind: str = "export") -> pl.DataFrame:
        rows = [("me", kind, *span) for span in _hours(*spans)]
        return pl.DataFrame(rows, schema=Lakehouse().coverage().schema, orient="row")

    assert coverage.first_difference(covered((0, 2), (5, 6)), covered((0, 2), (5, 6))) is None
    assert coverage.first_difference(covered((0, 2)), covered((0, 9))) == at(hours=2)
    assert coverage.first_difference(covered((0, 2), (5, 6)), covered((5, 6))) == at(hours=0)
    assert coverage.first_difference(covered(), covered((3, 4), kind="outage")) is None


def test_a_clock_change_makes_the_covered_day_longer_and_still_whole() -> None:
    lakehouse = Lakehouse(today=date(2021, 11, 2))
    change = datetime(2021, 10, 31, 1, tzinfo=UTC)
    lakehouse.take([track(change - timedelta(days=2)), track(change + timedelta(days=2))])
    assert _days(lakehouse)[change.astimezone(ZoneInfo("Europe/Berlin")).date()]["export_coverage"] == "whole"
