from __future__ import annotations

import copy
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.chart import draw
from benchmarks.document import DOCUMENT, RESULTS, SOAK, targets, text
from benchmarks.run import combined


@pytest.fixture
def results() -> dict:
    return json.loads(RESULTS.read_text())


def test_the_performance_document_is_what_the_results_give(results: dict) -> None:
    soak = json.loads(SOAK.read_text()) if SOAK.exists() else None
    assert DOCUMENT.read_text() == text(results, soak), "run `make bench` or `make docs`"


def test_every_size_is_in_the_growth_table(results: dict) -> None:
    for plays in results["sizes"]:
        assert f"| {int(plays):,} |" in text(results, None)


def test_soak_figures_stand_beside_the_others(results: dict) -> None:
    assert "| kill -9 | 200, nothing lost |" in text(results, [{"what": "kill -9", "figure": "200, nothing lost"}])


def _as_if(results: dict, *, seconds: float, again_seconds: float, peak_mb: float) -> dict:
    """The results, if everything at a million plays had taken so long."""
    size = results["sizes"]["1000000"]
    for action in ("first", "again", "next_day", "rebuild"):
        size[action] |= {"wall_seconds": seconds, "data_seconds": seconds, "start_up_seconds": 0.0, "peak_mb": peak_mb}
    size["again"]["wall_seconds"] = again_seconds
    size["rebuild"]["run_seconds"] = seconds
    return {**results, "sizes": {"1000000": size}, "publication": {"seconds": seconds, "megabytes": 50.0}} | {
        "live": _live(results, seconds)
    }


def _live(results: dict, seconds: float) -> dict:
    """The results of live data, if matching had taken so long."""
    deciding = {
        name: {"wall_seconds": took, "processor_seconds": took}
        for name, took in (("without", 10.0), ("with_told", 10.0 + seconds))
    }
    matching = results["live"]["matching"]
    runs = {name: matching[name] | {"deciding": took} for name, took in deciding.items()}
    return results["live"] | {"matching": matching | runs}


def test_a_target_that_is_missed_is_called_so(results: dict) -> None:
    slow = targets(_as_if(results, seconds=1_000.0, again_seconds=900.0, peak_mb=5_000.0))
    assert [verdict for *_, verdict in slow] == ["**missed**"] * 8


def test_a_target_that_is_reached_is_called_so(results: dict) -> None:
    fast = targets(_as_if(results, seconds=0.09, again_seconds=0.02, peak_mb=500.0))
    assert [verdict for *_, verdict in fast] == ["reached"] * 8


def test_the_round_of_the_median_time_is_shown_with_the_highest_peak() -> None:
    rounds = [
        {"floor": {"wall_seconds": seconds, "peak_mb": peak}}
        for seconds, peak in ((3.0, 500.0), (1.0, 700.0), (2.0, 600.0))
    ]
    assert combined(rounds) == {"floor": {"wall_seconds": 2.0, "peak_mb": 700.0}}


def test_the_chart_draws_every_size(results: dict, tmp_path: Path) -> None:
    grown = copy.deepcopy(results["sizes"]["1000000"])
    results["sizes"]["10000000"] = grown
    draw(results).savefig(tmp_path / "chart.svg")
    assert ElementTree.parse(tmp_path / "chart.svg").getroot().tag.endswith("svg")


def test_requests_and_matches_of_live_data_are_told_for_both_cohorts(results: dict) -> None:
    told = text(results, None)
    assert "## Live data" in told
    for cohort in ("development", "extended"):
        assert f"app of the {cohort} cohort" in told
