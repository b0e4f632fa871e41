from __future__ import annotations

import pytest

from benchmarks.stages import covered, summary


def _stage(name: str, began: float, ended: float, thread: int = 1) -> dict:
    return {"name": name, "thread": thread, "began": began, "ended": ended}


def _seconds(*stages: dict) -> dict[str, float]:
    told = summary(stages, [], 0.0, 20.0)["stages"]
    return {name: stage["wall_seconds"] for name, stage in told.items()}


def test_a_stage_is_told_without_those_inside_it() -> None:
    seconds = _seconds(_stage("parse", 2, 3), _stage("store", 4, 6), _stage("import", 1, 8))
    assert seconds == {"import": 4.0, "parse": 1.0, "store": 2.0}


def test_a_stage_within_a_stage_within_a_stage_is_taken_off_once() -> None:
    assert _seconds(_stage("c", 3, 4), _stage("b", 2, 5), _stage("a", 1, 7)) == {"a": 3.0, "b": 2.0, "c": 1.0}


def test_repetitions_of_a_stage_are_added_up() -> None:
    assert _seconds(_stage("parse", 1, 2), _stage("parse", 5, 7)) == {"parse": 3.0}


def test_stages_of_two_threads_are_not_inside_each_other_and_count_once_in_the_whole() -> None:
    told = summary([_stage("store", 2, 4, thread=2), _stage("parse", 1, 5)], [], 0.0, 6.0)
    assert {name: stage["wall_seconds"] for name, stage in told["stages"].items()} == {"parse": 4.0, "store": 2.0}
    assert told["data_seconds"] == told["staged_seconds"] == 4.0


def test_start_up_and_events_are_not_the_datas_own_way() -> None:
    stages = [_stage("start", 0.5, 2), _stage("event log", 3, 4), _stage("daily: write", 2.5, 6)]
    told = summary(stages, [], 0.0, 7.0)
    assert told["data_seconds"] == 2.5
    assert told["staged_seconds"] == 5.0
    assert told["start_up_seconds"] == 2.0


def test_without_a_stage_of_that_name_start_up_lasts_until_the_first_one() -> None:
    assert summary([_stage("find", 3, 4)], [], 1.0, 7.0)["start_up_seconds"] == 2.0


def test_memory_of_a_stage_is_the_highest_while_it_was_at_work() -> None:
    memory = [(0.5, 900.0), (1.5, 100.0), (2.5, 300.0), (3.5, 200.0)]
    told = summary([_stage("inner", 2, 3), _stage("outer", 1, 4)], memory, 0.0, 5.0)["stages"]
    assert told["inner"]["peak_mb"] == 300.0
    assert told["outer"]["peak_mb"] == 200.0


@pytest.mark.parametrize(
    ("intervals", "seconds"), [([], 0.0), ([(1, 2)], 1.0), ([(1, 4), (2, 3)], 3.0), ([(3, 5), (1, 4), (7, 8)], 5.0)]
)
def test_overlapping_times_count_once(intervals: list[tuple[float, float]], seconds: float) -> None:
    assert covered(intervals) == seconds
