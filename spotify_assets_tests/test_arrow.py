import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_assets.arrow import ROW_GROUP_ROWS, in_row_groups


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 3 * ROW_GROUP_ROWS), max_size=5), st.sampled_from([1, 21]))
def test_frames_are_cut_to_row_groups_without_losing_a_row_or_their_order(heights: list[int], columns: int) -> None:
    rows = pl.DataFrame({f"column_{number}": pl.int_range(sum(heights), eager=True) for number in range(columns)})
    given_frames, start = [], 0
    for height in heights:
        given_frames.append(rows.slice(start, height))
        start += height
    made = list(in_row_groups(given_frames))
    assert_frame_equal(pl.concat([rows.clear(), *made]), rows)
    assert {frame.height for frame in made[:-1]} <= {ROW_GROUP_ROWS * (2 if columns == 1 else 1)}


@pytest.mark.parametrize("frames", [[], [pl.DataFrame({"number": []})]])
def test_nothing_is_cut_from_frames_without_rows(frames: list[pl.DataFrame]) -> None:
    assert list(in_row_groups(frames)) == []
