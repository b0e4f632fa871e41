"""ReccoBeats over real HTTP: what is joined, what is refused, how long it is waited for."""

from __future__ import annotations

import time as real_time
from collections.abc import Callable

import pytest

from spotify_assets.demo.catalogue import DemoCatalogue
from spotify_assets.demo.providers import DemoReccoBeats, is_known
from spotify_assets.demo.spotify.faults import (
    ODD_BODIES,
    Fault,
    altered,
    answer,
    cut,
    odd_body,
    rate_limited,
    server_error,
    slow,
)
from spotify_assets.spotify.providers import (
    Budget,
    BudgetSpent,
    PoliteSession,
    ProviderUnavailable,
    QuestionRefused,
    ReccoBeats,
)
from spotify_assets_tests.spotify.providers.conftest import Time, features_of

Sessions = Callable[..., PoliteSession]


@pytest.fixture
def provider(reccobeats: DemoReccoBeats, session_with: Sessions) -> ReccoBeats:
    return ReccoBeats(session_with(reccobeats))


@pytest.fixture
def lot(catalogue: DemoCatalogue) -> list[str]:
    return [track.track_id for track in catalogue.tracks[:40]]


def test_features_are_joined_by_track_although_the_order_is_another_and_unknown_ids_are_left_out(
    provider: ReccoBeats, catalogue: DemoCatalogue, lot: list[str], budget: Budget
) -> None:
    told = provider.ask(lot, budget)
    expected = {
        track.track_id: features_of(track) for track in catalogue.tracks[:40] if is_known("reccobeats", track.isrc)
    }
    assert 10 < len(expected) < 40
    assert {row["track_id"]: row["energy"] for row in told.features.iter_rows(named=True)} == {
        track_id: features["energy"] for track_id, features in expected.items()
    }
    assert told.features["time_signature"].null_count() == told.features.height
    assert told.features["isrc"].null_count() == 0
    assert budget.requests_made == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("energy", 1.01),
        ("energy", float("nan")),
        ("energy", "0,5"),
        ("energy", {"value": 0.5}),
        ("energy", True),
        ("energy", 10**400),
        ("key", 12),
        ("key", 1.5),
        ("mode", 2),
        ("tempo", 0),
        ("loudness", 900),
        ("isrc", "\ud800"),
    ],
)
def test_a_value_that_cannot_be_used_is_null_and_counted(
    name: str,
    value: object,
    reccobeats: DemoReccoBeats,
    provider: ReccoBeats,
    lot: list[str],
    budget: Budget,
) -> None:
    reccobeats.faults.add(altered(lambda body: {"content": [{**item, name: value} for item in body["content"]]}))
    told = provider.ask(lot, budget)
    assert told.features.height > 10
    assert told.features[name].null_count() == told.features.height
    assert told.unusable_values == told.features.height


def test_a_track_without_any_usable_value_is_unknown(
    reccobeats: DemoReccoBeats, provider: ReccoBeats, lot: list[str], budget: Budget
) -> None:
    reccobeats.faults.add(altered(lambda body: {"content": [{"href": item["href"]} for item in body["content"]]}))
    assert provider.ask(lot, budget).features.is_empty()


@pytest.mark.parametrize("name", [*ODD_BODIES, "no href", "strange items"])
def test_an_odd_body_is_refused_and_never_taken_for_an_unknown_track(
    name: str, reccobeats: DemoReccoBeats, provider: ReccoBeats, lot: list[str], budget: Budget
) -> None:
    if name in ODD_BODIES:
        reccobeats.faults.add(odd_body(name))
    elif name == "no href":
        reccobeats.faults.add(altered(lambda body: {"content": [{**each, "href": None} for each in body["content"]]}))
    else:
        reccobeats.faults.add(answer(200, {"content": [None, 1, [], "x", {"href": "http://[/track/x"}]}))
    if name == "list":  # Without its envelope an empty list still says that none is known.
        assert provider.ask(lot, budget).features.is_empty()
    else:
        with pytest.raises(QuestionRefused):
            provider.ask(lot, budget)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 422])
def test_a_refusal_is_no_answer(
    status: int, reccobeats: DemoReccoBeats, provider: ReccoBeats, lot: list[str], budget: Budget
) -> None:
    reccobeats.faults.add(answer(status, {"error": "no"}, headers={"Location": "https://elsewhere.invalid/"}))
    with pytest.raises(QuestionRefused, match=str(status)):
        provider.ask(lot, budget)
    assert len(reccobeats.requests) == 1


@pytest.mark.parametrize("make_fault", [rate_limited, server_error, cut])
def test_what_fails_twice_is_tried_a_third_time(
    make_fault: Callable[..., Fault],
    reccobeats: DemoReccoBeats,
    provider: ReccoBeats,
    lot: list[str],
    budget: Budget,
    time: Time,
) -> None:
    reccobeats.faults.add(make_fault(None if make_fault is rate_limited else 502, times=2))
    assert not provider.ask(lot, budget).features.is_empty()
    assert time.slept == [1, 2]
    assert budget.requests_made == 3


@pytest.mark.parametrize(
    ("retry_after", "waited"),
    [("7", [7]), ("Sun, 01 Mar 2026 12:00:09 GMT", [9]), ("soon", [1]), ("-3", []), ("nan", [1])],
)
def test_it_is_waited_as_long_as_asked_for(
    retry_after: str,
    waited: list[float],
    reccobeats: DemoReccoBeats,
    provider: ReccoBeats,
    lot: list[str],
    budget: Budget,
    time: Time,
) -> None:
    reccobeats.faults.add(answer(429, {}, headers={"Retry-After": retry_after}, times=1))
    assert not provider.ask(lot, budget).features.is_empty()
    assert [seconds for seconds in time.slept if seconds] == waited


def test_a_long_wait_is_left_to_the_next_run(
    reccobeats: DemoReccoBeats, provider: ReccoBeats, lot: list[str], budget: Budget, time: Time
) -> None:
    reccobeats.faults.add(rate_limited(3600))
    with pytest.raises(ProviderUnavailable, match="429"):
        provider.ask(lot, budget)
    assert time.slept == []


def test_a_slow_answer_is_given_up_when_the_run_has_no_time_left(
    reccobeats: DemoReccoBeats, lot: list[str], session_with: Sessions
) -> None:
    reccobeats.faults.add(slow(1, times=1))
    began = real_time.monotonic()
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        ReccoBeats(session_with(reccobeats, answer_seconds=0.5)).ask(lot, Budget(60, 0.5))
    assert real_time.monotonic() - began < 0.95


def test_nobody_at_the_address_is_told_without_the_address(lot: list[str], time: Time, budget: Budget) -> None:
    session = PoliteSession(
        "ReccoBeats",
        "http://127.0.0.1:9",
        user_agent="a test",
        seconds_between_requests=0,
        now=lambda: pytest.fail("no header to read"),
        sleep=time.sleep,
    )
    with pytest.raises(ProviderUnavailable) as told:
        ReccoBeats(session).ask(lot, budget)
    assert str(told.value) == "ReccoBeats cannot be reached (ConnectionError)."


def test_requests_keep_their_pace(
    reccobeats: DemoReccoBeats, session_with: Sessions, lot: list[str], time: Time
) -> None:
    provider = ReccoBeats(session_with(reccobeats, pace_seconds=1.0))
    budget = Budget(60, 45, time.monotonic)
    for track_id in lot[:5]:
        provider.ask([track_id], budget)
    assert time.slept == [1, 1, 1, 1]


def test_a_run_asks_no_more_than_its_budget(provider: ReccoBeats, lot: list[str], reccobeats: DemoReccoBeats) -> None:
    budget = Budget(2, 45)
    provider.ask(lot[:20], budget)
    provider.ask(lot[20:], budget)
    with pytest.raises(BudgetSpent):
        provider.ask(lot, budget)
    assert len(reccobeats.requests) == 2


def test_the_stand_in_refuses_more_than_forty_ids(reccobeats: DemoReccoBeats, session_with: Sessions) -> None:
    status, _ = session_with(reccobeats).get("/audio-features", {"ids": ",".join(["x" * 22] * 41)}, Budget(1, 9))
    assert status == 400
