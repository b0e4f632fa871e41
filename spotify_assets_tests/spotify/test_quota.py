from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spotify_assets.schemas.raw_api import ApiQuota
from spotify_assets.settings import DAILY_BUDGETS, Settings
from spotify_assets.spotify.errors import QuotaBlocked
from spotify_assets.spotify.model import Endpoint
from spotify_assets.spotify.quota import BUCKETS, Bucket, QuotaLedger
from spotify_assets.state import State
from spotify_assets_tests.spotify.scripted_api import BEGIN

DAY = timedelta(days=1)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state.sqlite")


def test_every_endpoint_counts_in_a_bucket_that_has_a_budget() -> None:
    assert set(BUCKETS) == set(Endpoint)
    assert set(BUCKETS.values()) == set(Bucket) == set(DAILY_BUDGETS)


def test_a_days_budget_is_what_may_be_reserved_and_the_next_day_has_another(state: State) -> None:
    ledger = QuotaLedger(state, {"search": 2})
    ledger.reserve(Bucket.SEARCH, BEGIN)
    assert ledger.remaining(Bucket.SEARCH, BEGIN) == 1
    ledger.reserve(Bucket.SEARCH, BEGIN)
    with pytest.raises(QuotaBlocked) as caught:
        ledger.reserve(Bucket.SEARCH, BEGIN)
    assert caught.value.until == datetime(2026, 3, 2, tzinfo=UTC) and ledger.remaining(Bucket.SEARCH, BEGIN) == 0
    ledger.reserve(Bucket.SEARCH, BEGIN + DAY)


def test_days_are_those_of_utc_whatever_the_clock_bears(state: State) -> None:
    ledger = QuotaLedger(state, {"search": 1})
    ledger.reserve(Bucket.SEARCH, datetime(2026, 3, 1, 23, tzinfo=UTC))
    with pytest.raises(QuotaBlocked):
        ledger.reserve(Bucket.SEARCH, datetime(2026, 3, 2, 1, tzinfo=timezone(timedelta(hours=9))))


def test_a_bucket_without_a_budget_is_not_asked(state: State) -> None:
    with pytest.raises(QuotaBlocked):
        QuotaLedger(state, {"search": 0}).reserve(Bucket.SEARCH, BEGIN)


def test_a_later_shorter_refusal_does_not_open_a_bucket_early(state: State) -> None:
    ledger = QuotaLedger(state, DAILY_BUDGETS)
    ledger.block(Bucket.SEARCH, BEGIN, retry_after_seconds=86_400, is_quota=True)
    told = ledger.block(Bucket.SEARCH, BEGIN, retry_after_seconds=60, is_quota=False)
    assert told.until == ledger.blocked_until(Bucket.SEARCH, BEGIN) == BEGIN + DAY
    assert ledger.blocked_until(Bucket.SEARCH, BEGIN + DAY) is None
    assert ledger.blocked_until(Bucket.TRACKS, BEGIN) is None


def test_the_ledger_is_told_as_rows_of_its_table(state: State) -> None:
    ledger = QuotaLedger(state, {"search": 5, "tracks": 7})
    for instant in (BEGIN - DAY, BEGIN, BEGIN):
        ledger.reserve(Bucket.SEARCH, instant)
    ledger.reserve(Bucket.TRACKS, BEGIN)
    ledger.block(Bucket.SEARCH, BEGIN, retry_after_seconds=3600, is_quota=True)
    rows = ledger.rows(BEGIN)
    assert [(row["bucket"], row["requests"], row["blocked_until"] is not None) for row in rows] == [
        ("search", 1, False),
        ("search", 2, True),
        ("tracks", 1, False),
    ]
    told = ApiQuota.validate(pl.DataFrame(rows), cast=True)
    assert told["daily_budget"].to_list() == [5, 5, 7]
    assert not any(row["blocked_until"] for row in ledger.rows(BEGIN + DAY))


def test_single_budgets_may_be_set() -> None:
    budgets = Settings(daily_budgets=" artists=500,search = 0 ,").budgets
    assert (budgets["artists"], budgets["search"], budgets["tracks"]) == (500, 0, 400)


@pytest.mark.parametrize("text", ["artists", "artists=-1", "artists=many", "nonsense=3", "artists=1.5"])
def test_a_budget_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="no budget"):
        Settings(daily_budgets=text)


@pytest.mark.parametrize("url", ["http://api.spotify.com/v1", "http://0.0.0.0:80/v1", "api.spotify.com", "ftp://x/"])
def test_tokens_are_not_sent_where_others_could_read_them(url: str) -> None:
    with pytest.raises(ValidationError, match="https"):
        Settings(api_url=url)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.sampled_from(["search", "tracks"])),
        st.tuples(
            st.just("block"),
            st.sampled_from(["search", "tracks"]),
            st.one_of(st.none(), st.floats(0, 200_000)),
            st.booleans(),
        ),
        st.tuples(st.just("answered"), st.sampled_from(["search", "tracks"])),
        st.tuples(st.just("pass"), st.floats(-3_600, 100_000)),
        st.tuples(st.just("another run"), st.integers(0, 4)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_whatever_happens_no_day_has_more_than_its_budget_and_nothing_is_asked_while_blocked(
    steps: list[tuple],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state, now, budget = State(Path(folder) / "state.sqlite"), BEGIN, 2
        ledger = QuotaLedger(state, {"search": budget, "tracks": budget})
        granted: Counter[tuple] = Counter()
        blocked_until: dict[str, datetime] = {}
        for kind, *rest in steps:
            if kind == "pass":
                now += timedelta(seconds=rest[0])
            elif kind == "another run":
                budget = rest[0]
                ledger = QuotaLedger(state, {"search": budget, "tracks": budget})
            elif kind == "answered":
                ledger.answered(Bucket(rest[0]))
            elif kind == "block":
                bucket, seconds, is_quota = rest
                told = ledger.block(Bucket(bucket), now, retry_after_seconds=seconds, is_quota=is_quota)
                if seconds is not None:
                    blocked_until[bucket] = max(blocked_until.get(bucket, now), now + timedelta(seconds=seconds))
                assert told.until >= blocked_until.get(bucket, now)
                blocked_until[bucket] = told.until
            else:
                day = (rest[0], now.date())
                try:
                    ledger.reserve(Bucket(rest[0]), now)
                except QuotaBlocked as refusal:
                    assert refusal.until > now
                    assert granted[day] >= budget or blocked_until[rest[0]] > now
                else:
                    granted[day] += 1
                    assert granted[day] <= budget and blocked_until.get(rest[0], now) <= now
        assert Counter({(each.bucket, each.asked_on): each.requests for each in state.quota_days()}) == granted
