from __future__ import annotations

import copy
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.chart import draw
from benchmarks.document import DOCUMENT, RESULTS, SOAK, mirror_lines, targets, text
from benchmarks.mirror import KINDS_OF_OBJECTS
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
        "live": _live(results, seconds),
        "mirror": {"1000000": _mirrored(slower=seconds, objects_without_news=int(seconds))},
    }


def _mirrored(*, slower: float, objects_without_news: int) -> dict:
    """The results of the mirror in a bucket, if that had made the import so many times slower."""

    def run(seconds: float, **put: dict) -> dict:
        nothing = {kind: {"objects": 0, "bytes": 0} for kind in KINDS_OF_OBJECTS}
        process = {"wall_seconds": seconds, "processor_seconds": seconds, "peak_mb": 500.0, "server_seconds": 5.0}
        return {**process, "uploads": nothing | put}

    months = {"objects": 11, "bytes": 70_000, "first": "2026-11", "last": "2026-11"}
    return {
        "folder": run(50.0),
        "bucket": run(50.0 * (1 + slower), copies={"objects": 55, "bytes": 40_000_000}),
        "unchanged": run(5.0, manifest={"objects": objects_without_news, "bytes": 0}),
        "next_day": run(7.0, months=months if slower < 1 else months | {"first": "2016-11"}),
        "verify": run(9.0),
        "restore": run(20.0) | {"tables": 34},
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
    assert [verdict for *_, verdict in slow] == ["**missed**"] * 11


def test_a_target_that_is_reached_is_called_so(results: dict) -> None:
    fast = targets(_as_if(results, seconds=0.09, again_seconds=0.02, peak_mb=500.0))
    assert [verdict for *_, verdict in fast] == ["reached"] * 11


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


def test_the_mirror_in_a_bucket_is_told_for_each_size_that_was_measured(results: dict) -> None:
    mirrored = _mirrored(slower=0.1, objects_without_news=0)
    told = text({**results, "mirror": {"100000": mirrored, "1000000": mirrored}}, None)
    assert "| what | 100,000 plays | 1,000,000 plays |" in told
    for line in ("… as many times as long | 1.10 × | 1.10 × |", "11 (0.1 MB) files of 2026-11", "34 tables equal"):
        assert line in told
    assert "reached" in "\n".join(mirror_lines(1_000_000, mirrored))


def test_a_document_without_figures_of_the_mirror_has_no_section_of_it(results: dict) -> None:
    assert "## The mirror in a bucket" not in text({**results, "mirror": {}}, None)
