from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.generate import generate
from benchmarks.told import LEFT_OUT_EVERY, tell
from spotify_assets.schemas.raw_api import Polls, RecentlyPlayed


def test_what_the_web_api_told_of_a_generated_history_fits_the_raw_tables(tmp_path: Path) -> None:
    told = tell(generate(2_000, tmp_path), 1_000)
    assert told.plays.height == 1_000
    RecentlyPlayed.validate(told.plays.cast(RecentlyPlayed.polars_schema()))
    Polls.validate(told.polls)


def test_the_truth_names_the_play_of_the_export_unless_that_leaves_it_out(tmp_path: Path) -> None:
    told = tell(generate(2_000, tmp_path), 1_000)
    both = told.truth.join(told.plays, on="row_id")
    assert both["ts"].null_count() == 1_000 // LEFT_OUT_EVERY
    assert (both["played_at"] - both["ts"]).drop_nulls().dt.total_milliseconds().is_between(350, 650).all()


def test_a_history_that_is_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fewer than"):
        tell(generate(2_000, tmp_path), 3_000)
