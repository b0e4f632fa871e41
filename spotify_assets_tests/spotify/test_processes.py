from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from spotify_assets.settings import DAILY_BUDGETS
from spotify_assets.spotify.quota import Bucket, QuotaLedger
from spotify_assets.state import State
from spotify_assets_tests.spotify import asking
from spotify_assets_tests.spotify.scripted_api import Said, ScriptedApi


def test_two_processes_of_a_home_never_exceed_a_budget_nor_ask_at_once(
    url: str, api: ScriptedApi, tmp_path: Path
) -> None:
    both = [asking.start(url, tmp_path, times=25, budget=30) for _ in range(2)]
    told = [process.communicate(timeout=120)[0].split() for process in both]
    answered, refused = (sum(int(each[place]) for each in told) for place in (0, 1))
    # Unless the day ended meanwhile, in which case there are two budgets.
    days = {day.asked_on: day.requests for day in State(tmp_path / "state.sqlite").quota_days()}
    assert max(days.values()) <= 30 and answered + refused == 50
    assert answered == len(api.seen) == sum(days.values())
    assert len(days) > 1 or answered == 30
    assert api.most_at_once == 1


def test_a_process_that_is_killed_while_it_waits_for_an_answer_has_counted_and_holds_nothing(
    url: str, api: ScriptedApi, tmp_path: Path
) -> None:
    api.script = [Said(200, {}, seconds_before=5.0)]
    process = asking.start(url, tmp_path, times=1, budget=30)
    assert api.arrived.wait(60)
    process.kill()
    process.communicate(timeout=60)
    ledger = QuotaLedger(State(tmp_path / "state.sqlite"), DAILY_BUDGETS | {"artists": 30})
    assert [row["requests"] for row in ledger.rows(datetime.now(UTC))] == [1]
    assert asking.ask(url, tmp_path, times=1, budget=30) == (1, 0)
    assert ledger.remaining(Bucket.ARTISTS, datetime.now(UTC)) in (28, 29)
