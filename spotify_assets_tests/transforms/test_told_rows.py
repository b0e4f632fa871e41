import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_assets.schemas import raw
from spotify_assets.transforms import told_rows

SCHEMA = pl.Schema({name: dtype for name, dtype in raw.ToldRows.polars_schema().items() if name != "rows"})


def frame(rows: list[tuple[int, str, int, int]]) -> pl.LazyFrame:
    return pl.LazyFrame(rows, schema=SCHEMA, orient="row")


small = st.integers(1, 9)


@given(st.lists(st.tuples(small, st.sampled_from("ab"), small, small), unique_by=lambda row: row[:3], max_size=60))
def test_runs_hold_the_rows_that_were_told_and_no_others(rows: list[tuple[int, str, int, int]]) -> None:
    told = frame(rows)
    runs = told_rows.in_runs(told)
    assert_frame_equal(told_rows.one_by_one(runs), told, check_row_order=False)
    assert runs.collect().select("file_id", "source_table", "row_id").is_duplicated().sum() == 0


def test_a_file_stored_as_it_was_told_is_one_run_and_a_row_left_out_begins_another() -> None:
    rows = [(1, "a", 100 + number, number) for number in range(1, 1001)]
    rows += [(2, "a", 2000, 1), (2, "a", 2001, 3), (2, "a", 2002, 4), (2, "b", 2003, 5)]
    runs = told_rows.in_runs(frame(rows)).collect()
    assert runs.rows() == [
        (1, "a", 101, 1, 1000),
        (2, "a", 2000, 1, 1),
        (2, "a", 2001, 3, 2),
        (2, "b", 2003, 5, 1),
    ]


def test_rows_of_a_home_from_before_runs_are_one_row_each() -> None:
    old = frame([(1, "a", 7, 1), (1, "a", 8, 2)]).with_columns(rows=pl.lit(None, dtype=pl.Int64))
    assert_frame_equal(told_rows.one_by_one(old), old.drop("rows"), check_row_order=False)
