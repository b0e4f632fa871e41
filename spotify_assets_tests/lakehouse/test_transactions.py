from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.lakehouse import LakehouseError, LockTimeout, WriteRefused
from spotify_assets.lakehouse.validation import check_rules, conformed
from spotify_assets.schemas import Layout, Table
from spotify_assets.schemas.meta import Changes
from spotify_assets.schemas.table import day, text, whole_number
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.example import (
    DailyLevels,
    GaugeDays,
    GaugeDaysOfTwo,
    Gauges,
    RawReadings,
    Readings,
    days_between,
    raw_readings,
    readings,
    row_groups_of_readings,
    warehouse_in,
)

JANUARY = days_between(date(2024, 1, 1), date(2024, 1, 31))
WINDOW = (JANUARY[0], JANUARY[-1])


def changes_of(warehouse, table: type[Table]) -> dict[str, int]:
    rows = warehouse.read(Changes, where="table_name = ?", parameters=[table.qualified_name()])
    return dict(rows.select("month", "sequence").iter_rows())


def test_a_table_that_was_never_written_reads_as_an_empty_frame_with_its_types(tmp_path: Path) -> None:
    frame = warehouse_in(tmp_path).read(Readings, ["read_at", "level"])
    assert frame.is_empty()
    assert frame.schema == {"read_at": pl.Datetime("us", "UTC"), "level": pl.Int64}


def test_what_is_written_is_read_back_with_the_same_types(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    frame = readings(JANUARY)
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, frame, WINDOW)
    stored = warehouse.read("example.readings").sort("read_at")
    assert stored.equals(frame.sort("read_at")) and stored.schema == frame.schema


def test_a_query_sees_what_its_transaction_wrote_and_the_frame_it_is_given(tmp_path: Path) -> None:
    with warehouse_in(tmp_path).transaction() as transaction:
        transaction.append(Readings, readings(JANUARY))
        found = transaction.query(
            "SELECT count(*) AS rows FROM example.readings SEMI JOIN incoming_rows USING (read_on) WHERE read_on > ?",
            [JANUARY[1]],
            incoming_rows=pl.DataFrame({"read_on": JANUARY[:5]}),
        )
    assert found["rows"].to_list() == [readings(JANUARY[2:5]).height]


def test_only_the_days_asked_for_are_read(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, readings(JANUARY), WINDOW)
    frame = warehouse.read(Readings, ["read_on"], days=(JANUARY[3], JANUARY[4]), where="level > ?", parameters=[1])
    assert frame["read_on"].sort().to_list() == JANUARY[3:5]


def test_reading_a_column_that_is_not_declared_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="has no column nothing; it has gauge, read_at"):
        warehouse_in(tmp_path).read(Readings, ["nothing"])


def test_late_evening_rows_do_not_double_when_their_day_is_written_again(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    for _ in range(3):
        with warehouse.transaction() as transaction:
            transaction.replace_days(Readings, readings(JANUARY[:1]), (JANUARY[0], JANUARY[0]))
            transaction.replace_days(Readings, readings(JANUARY[1:2]), [JANUARY[1]])
    assert warehouse.read(Readings).height == 4


def test_rows_outside_the_window_are_refused_and_nothing_is_deleted(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, readings(JANUARY), WINDOW)
    with (
        pytest.raises(WriteRefused, match="2 of 6 rows lie outside 2024-01-01 to 2024-01-02"),
        warehouse.transaction() as transaction,
    ):
        transaction.replace_days(Readings, readings(JANUARY[:3], 9), (JANUARY[0], JANUARY[1]))
    assert warehouse.read(Readings)["level"].max() == 2
    assert warehouse.read(Readings).height == 62


def test_a_later_chunk_that_is_refused_takes_the_earlier_ones_back(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, readings(JANUARY), WINDOW)
    chunks = (row_groups_of_readings(JANUARY[0], 5), readings([date(2024, 2, 1)], 5))
    with pytest.raises(WriteRefused), warehouse.transaction() as transaction:
        transaction.replace_days(Readings, iter(chunks), WINDOW)
    assert warehouse.read(Readings)["level"].max() == 2


def test_a_refused_write_cannot_be_swallowed_and_half_committed(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with pytest.raises(WriteRefused, match="one of its writes failed"), warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 3))
        with contextlib.suppress(WriteRefused):
            transaction.append(RawReadings, raw_readings(5, 3).drop("level"))
    assert warehouse.read(RawReadings).is_empty()


def test_a_key_that_two_chunks_share_is_refused(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with pytest.raises(WriteRefused, match="not unique for 2 keys"), warehouse.transaction() as transaction:
        transaction.replace_days(
            Readings, [row_groups_of_readings(JANUARY[0]), readings(JANUARY[:1], gauge="gauge 7")], WINDOW
        )
    assert warehouse.read(Readings).is_empty()


def test_an_empty_frame_empties_its_days_and_makes_the_table(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    empty = pl.DataFrame({name: [] for name in Readings.column_names()})
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, empty, WINDOW)
    with warehouse.get_connection() as connection:
        assert connection.execute("SELECT count(*) FROM example.readings").fetchall() == [(0,)]
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, readings(JANUARY), WINDOW)
        transaction.replace_days(Readings, empty, [JANUARY[0], JANUARY[5]])
    assert warehouse.read(Readings).height == 58


def test_columns_are_written_by_name_whatever_their_order(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(Gauges, pl.DataFrame({"place": ["harbour"], "gauge": ["north"]}))
    assert warehouse.read(Gauges).rows() == [("north", "harbour")]


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pl.DataFrame({"gauge": ["a"]}), "columns place missing"),
        (pl.DataFrame({"gauge": ["a"], "place": ["b"], "more": [1]}), "columns more not in its schema"),
        (pl.DataFrame({"gauge": ["a"], "place": [1]}), "column place holds Int64, its schema says String"),
        (pl.DataFrame({"gauge": ["secret", "secret"], "place": [None, None]}), r"key \(gauge\) is not unique in 2"),
        (pl.DataFrame({"gauge": [None, "a"], "place": [None, None]}), "gauge is empty in 1 row"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_in_words_without_values(
    tmp_path: Path, frame: pl.DataFrame, told: str
) -> None:
    warehouse = warehouse_in(tmp_path)
    with pytest.raises(WriteRefused, match=told) as caught, warehouse.transaction() as transaction:
        transaction.replace(Gauges, frame)
    assert "secret" not in str(caught.value)


def test_a_number_too_large_for_its_column_is_refused_without_being_quoted() -> None:
    frame = raw_readings(0, 1).with_columns(level=pl.lit(2**100, dtype=pl.Int128))
    with pytest.raises(WriteRefused, match="do not fit") as caught:
        conformed(RawReadings, frame)
    assert str(2**100) not in str(caught.value)


def test_a_sum_of_duckdb_and_a_column_of_nulls_are_cast_to_the_declared_types() -> None:
    frame = pl.DataFrame({"row_id": [1], "read_at": [datetime(2024, 1, 1, tzinfo=UTC)], "level": [3]}).with_columns(
        pl.col("level").cast(pl.Int128), pl.col("read_at").dt.cast_time_unit("ms").dt.convert_time_zone("Asia/Tokyo")
    )
    assert conformed(RawReadings, frame).rows() == [(1, datetime(2024, 1, 1, tzinfo=UTC), 3)]
    assert conformed(Gauges, pl.DataFrame({"place": [None], "gauge": ["a"]})).schema["place"] == pl.String


def test_a_wall_clock_time_is_no_instant() -> None:
    frame = raw_readings(0, 1).with_columns(pl.col("read_at").dt.replace_time_zone(None))
    with pytest.raises(WriteRefused, match="read_at"):
        conformed(RawReadings, frame)


def test_a_broken_rule_of_several_columns_is_named_and_its_rows_counted() -> None:
    with pytest.raises(WriteRefused, match=r"remark_is_no_shout is broken in 1 row; level breaks its rule min|level"):
        check_rules(Readings, readings(JANUARY[:1]).with_columns(level=pl.lit(-1), remark=pl.lit("help!")))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", None]),
            st.integers(-1, 2),
            st.sampled_from([None, "x", "x!"]),
        ),
        max_size=6,
    )
)
def test_a_frame_is_refused_just_when_dataframely_refuses_it(rows: list[tuple[str, int, str]]) -> None:
    instant = datetime(2024, 1, 1, tzinfo=UTC)
    frame = pl.DataFrame(
        [(gauge, instant, instant.date(), level, remark) for gauge, level, remark in rows],
        schema=Readings.polars_schema(),
        orient="row",
    )
    try:
        check_rules(Readings, frame)
        is_accepted = True
    except WriteRefused:
        is_accepted = False
    assert is_accepted == Readings.is_valid(frame)


@given(st.lists(st.sampled_from([None, "x", "y"]), max_size=4), st.lists(st.sampled_from([None, "x", "y"]), max_size=4))
@settings(deadline=None, max_examples=25)
def test_a_table_replaced_by_the_rows_that_it_holds_counts_as_unchanged(
    tmp_path_factory: pytest.TempPathFactory, before: list[str | None], after: list[str | None]
) -> None:
    def frame(places: list[str | None]) -> pl.DataFrame:
        gauges = [f"gauge {number}" for number in range(len(places))]
        return pl.DataFrame({"gauge": gauges, "place": places}, schema=Gauges.polars_schema())

    warehouse = warehouse_in(tmp_path_factory.mktemp("home"))
    with warehouse.transaction() as transaction:
        transaction.replace(Gauges, frame(before))
    known = changes_of(warehouse, Gauges)
    with warehouse.transaction() as transaction:
        assert transaction.replace(Gauges, frame(after).reverse()) == len(after)
    assert (changes_of(warehouse, Gauges) == known) is (before == after)
    assert warehouse.read(Gauges).sort("gauge").equals(frame(after))


def test_replacing_a_table_leaves_nothing_of_the_old_rows(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.replace(Gauges, pl.DataFrame({"gauge": ["a", "b"], "place": ["x", "y"]}))
        transaction.replace(Gauges, pl.DataFrame({"gauge": ["c"], "place": ["z"]}))
    assert warehouse.read(Gauges).rows() == [("c", "z")]


def test_rows_are_deleted_by_the_columns_given_and_null_equals_null(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(Gauges, pl.DataFrame({"gauge": ["a", "b", "c"], "place": [None, "y", None]}))
        assert transaction.delete_rows(Gauges, pl.DataFrame({"place": [None, "nowhere"]})) == 2
    assert warehouse.read(Gauges)["gauge"].to_list() == ["b"]


def test_rows_are_updated_by_key_and_other_columns_stay(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 3))
        rows = transaction.update_rows(RawReadings, pl.DataFrame({"row_id": [1, 99], "level": [70, 71]}), ["row_id"])
    assert rows == 1
    assert warehouse.read(RawReadings).sort("row_id")["level"].to_list() == [0, 70, 2]


def test_two_updates_of_one_row_are_refused(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with (
        pytest.raises(WriteRefused, match="1 rows to set are equal in row_id"),
        warehouse.transaction() as transaction,
    ):
        transaction.update_rows(RawReadings, pl.DataFrame({"row_id": [1, 1], "level": [1, 2]}), ["row_id"])


def test_an_exception_takes_everything_back_new_tables_included(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with pytest.raises(ZeroDivisionError), warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 3))
        raise ZeroDivisionError
    with warehouse.get_connection() as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]


def test_every_write_notes_the_months_it_touched_with_a_rising_number(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 5))
        transaction.replace_days(Readings, readings([*JANUARY, date(2024, 2, 1)]), (JANUARY[0], date(2024, 2, 1)))
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, readings([]), [date(2024, 2, 1)])
        transaction.append(Gauges, pl.DataFrame({"gauge": ["a"], "place": ["x"]}))
    assert changes_of(warehouse, RawReadings) == {"2024-01": 1, "2024-02": 1}
    assert changes_of(warehouse, Readings) == {"2024-01": 1, "2024-02": 2}
    assert changes_of(warehouse, Gauges) == {"": 2}


def test_a_month_that_rows_leave_is_noted_when_rows_are_updated(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 2, datetime(2024, 1, 1, tzinfo=UTC)))
    moved = pl.DataFrame({"row_id": [0], "read_at": [datetime(2024, 3, 1, tzinfo=UTC)]})
    with warehouse.transaction() as transaction:
        transaction.update_rows(RawReadings, moved, ["row_id"])
    assert changes_of(warehouse, RawReadings) == {"2024-01": 2, "2024-03": 2}


def test_the_stored_table_has_comments_and_no_nulls_where_none_may_be(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(Gauges, pl.DataFrame({"gauge": ["a"], "place": [None]}))
    with warehouse.get_connection() as connection:
        comment = connection.execute("SELECT comment FROM duckdb_tables() WHERE table_name = 'gauges'").fetchall()
        columns = connection.execute(
            "SELECT column_name, comment, is_nullable FROM duckdb_columns() WHERE table_name = 'gauges'"
        ).fetchall()
    assert comment == [("Every gauge, replaced as a whole. Key: gauge.",)]
    assert columns == [("gauge", "Which gauge.", False), ("place", "Where it stands.", True)]


def test_a_column_that_the_schema_gained_is_added(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.get_connection() as connection:
        connection.execute(
            "CREATE SCHEMA example; CREATE TABLE example.gauges (gauge VARCHAR, owner VARCHAR NOT NULL); "
            "INSERT INTO example.gauges VALUES ('old', 'me')"
        ).fetchall()
    assert warehouse.read(Gauges).rows() == [("old", None)]
    with warehouse.transaction() as transaction:
        transaction.append(Gauges, pl.DataFrame({"gauge": ["new"], "place": ["harbour"]}))
    assert sorted(warehouse.read(Gauges).rows()) == [("new", "harbour"), ("old", None)]


def test_a_column_that_changed_its_type_is_told_and_kept(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.get_connection() as connection:
        connection.execute(
            "CREATE SCHEMA example; CREATE TABLE example.gauges (gauge BIGINT, place VARCHAR); "
            "INSERT INTO example.gauges VALUES (7, 'x')"
        ).fetchall()
    with (
        pytest.raises(WriteRefused, match="gauge is BIGINT in the warehouse and VARCHAR in the schema"),
        warehouse.transaction() as transaction,
    ):
        transaction.append(Gauges, pl.DataFrame({"gauge": ["new"], "place": ["harbour"]}))
    with warehouse.transaction() as transaction:
        transaction.replace(Gauges, pl.DataFrame({"gauge": ["new"], "place": ["harbour"]}))
    assert warehouse.read(Gauges).rows() == [("new", "harbour")]


def test_a_type_that_business_tools_cannot_read_is_refused_by_name(tmp_path: Path) -> None:
    import dataframely as dy

    class Odd(Table):
        """A table with an unsigned number."""

        layout = Layout("odd", "odd", mirrored=False)
        size = dy.UInt32()

    with (
        pytest.raises(TypeError, match=r"odd\.odd\.size is declared as UInt32"),
        warehouse_in(tmp_path).transaction() as transaction,
    ):
        transaction.append(Odd, pl.DataFrame({"size": [1]}, schema={"size": pl.UInt32}))


def test_a_foreign_program_that_opened_the_warehouse_is_named(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path, lock_timeout_seconds=0.5)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 3))
    held, release = processes.event(), processes.event()
    process = processes.start(processes.hold_database, warehouse.paths.warehouse_file, held, release)
    assert held.wait(20)
    with pytest.raises(LockTimeout, match=rf"is open in process {process.pid} .*Close it there.*lakehouse\.duckdb"):
        warehouse.read(RawReadings)
    release.set()
    process.join(10)
    assert warehouse.read(RawReadings).height == 3


def test_a_foreign_program_that_ends_is_waited_for(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 3))
    held, release = processes.event(), processes.event()
    process = processes.start(processes.hold_database, warehouse.paths.warehouse_file, held, release)
    assert held.wait(20)
    told: list[str] = []

    def let_go(message: str) -> None:
        told.append(message)
        release.set()

    with warehouse.get_connection(let_go) as connection:
        assert connection.execute("SELECT count(*) FROM example.raw_readings").fetchall() == [(3,)]
    assert str(process.pid) in told[0]
    process.join(10)


def test_processes_that_write_at_once_take_turns(tmp_path: Path) -> None:
    both = [processes.start(processes.append_often, tmp_path, first, 8) for first in (0, 1000)]
    for process in both:
        process.join(60)
    warehouse = warehouse_in(tmp_path)
    assert [process.exitcode for process in both] == [0, 0]
    assert warehouse.read(RawReadings)["row_id"].sort().to_list() == [*range(8), *range(1000, 1008)]
    assert max(changes_of(warehouse, RawReadings).values()) == 16


def test_a_home_that_is_a_file_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(LakehouseError, match="cannot be opened"):
        warehouse_in(tmp_path / "home").read(RawReadings)


def test_a_damaged_warehouse_is_named(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    warehouse.paths.warehouse_file.parent.mkdir(parents=True)
    warehouse.paths.warehouse_file.write_bytes(b"not a database" * 1000)
    with pytest.raises(LakehouseError, match=r"warehouse\.duckdb cannot be opened"):
        warehouse.read(RawReadings)


def test_older_duckdb_can_open_the_warehouse(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    with warehouse.get_connection() as connection:
        tags = connection.execute("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchall()
    assert "v1.4.0" in str(tags)


def test_what_a_killed_process_spilled_is_cleared_away(tmp_path: Path) -> None:
    spilled = tmp_path / ".scratch" / "duckdb" / "duckdb_temp_storage.tmp"
    spilled.parent.mkdir(parents=True)
    spilled.write_text("left over")
    warehouse_in(tmp_path).read(RawReadings)
    assert not spilled.exists()


# Stale days


def day_versions(days: list[date], version: str, listener: str = "me") -> pl.DataFrame:
    return pl.DataFrame([(listener, each, version) for each in days], schema=GaugeDays.polars_schema(), orient="row")


def stale_warehouse(home: Path, code: str = "1"):
    return warehouse_in(home, days_table="example.gauge_days", code_versions={"example.daily_levels": code})


def test_days_are_stale_when_new_changed_gone_or_made_by_other_code(tmp_path: Path) -> None:
    days = JANUARY[:4]
    warehouse = stale_warehouse(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.replace(GaugeDays, day_versions(days[:3], "v1"))
        transaction.record_day_versions(DailyLevels, days[0], days[3])
        assert transaction.stale_days().is_empty()
        versions = pl.concat(
            [day_versions(days[:1], "v1"), day_versions(days[1:2], "v2"), day_versions(days[3:], "v1")]
        )
        transaction.replace(GaugeDays, versions)
    name = "example.daily_levels"
    assert warehouse.stale_days().rows() == [
        (name, days[1], "changed"),
        (name, days[2], "gone"),
        (name, days[3], "new"),
    ]
    assert stale_warehouse(tmp_path, "2").stale_days().rows()[0] == (name, days[0], "code")


def test_recording_days_that_are_gone_makes_them_fresh(tmp_path: Path) -> None:
    warehouse = stale_warehouse(tmp_path)
    with warehouse.transaction() as transaction:
        transaction.replace(GaugeDays, day_versions(JANUARY[:2], "v1"))
        transaction.record_day_versions(DailyLevels, JANUARY[0], JANUARY[1])
        transaction.replace(GaugeDays, day_versions(JANUARY[:1], "v1"))
        transaction.record_day_versions(DailyLevels, JANUARY[1], JANUARY[1])
        assert transaction.stale_days().is_empty()


def test_a_day_of_several_listeners_is_stale_once(tmp_path: Path) -> None:
    warehouse = stale_warehouse(tmp_path)
    with warehouse.transaction() as transaction:
        both = pl.concat([day_versions(JANUARY[:2], "v1"), day_versions(JANUARY[:2], "v1", "you")])
        transaction.replace(GaugeDays, both)
    assert warehouse.stale_days().height == 2


def test_a_daily_table_may_have_a_version_of_its_own(tmp_path: Path) -> None:
    codes = {"example.daily_levels": "1", "example.readings": "1"}
    warehouse = warehouse_in(tmp_path, days_table="example.gauge_days_of_two", code_versions=codes)

    def version(own: str) -> pl.DataFrame:
        told = ("me", JANUARY[0], "v1", own)
        return pl.DataFrame([told], schema=GaugeDaysOfTwo.polars_schema(), orient="row")

    with warehouse.transaction() as transaction:
        transaction.replace(GaugeDaysOfTwo, version("a"))
        for table in (DailyLevels, Readings):
            transaction.record_day_versions(table, JANUARY[0], JANUARY[0])
        assert transaction.stale_days().is_empty()
        transaction.replace(GaugeDaysOfTwo, version("b"))
    assert warehouse.stale_days().rows() == [("example.daily_levels", JANUARY[0], "changed")]


class Wide(Table):
    """A table whose day is not its month."""

    layout = Layout("example", "wide", day_column="made_on", month_column="sold_on", mirrored=False)
    number = whole_number("Number.", key=True)
    made_on = day("Made.")
    sold_on = day("Sold.", nullable=True)
    name = text("Name.", nullable=True)


def test_a_row_without_a_month_is_refused_where_the_month_names_the_file(tmp_path: Path) -> None:
    frame = pl.DataFrame([(1, JANUARY[0], None, "x")], schema=Wide.polars_schema(), orient="row")
    with (
        pytest.raises(WriteRefused, match="sold_on names the month"),
        warehouse_in(tmp_path).transaction() as transaction,
    ):
        transaction.append(Wide, frame)


def test_months_are_those_of_the_month_column_in_utc(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path)
    tokyo = timezone(timedelta(hours=9))
    with warehouse.transaction() as transaction:
        transaction.append(RawReadings, raw_readings(0, 1, datetime(2024, 2, 1, 3, tzinfo=tokyo).astimezone(UTC)))
        transaction.append(
            Wide, pl.DataFrame([(1, JANUARY[0], date(2024, 5, 1), "x")], schema=Wide.polars_schema(), orient="row")
        )
    with warehouse.transaction() as transaction:
        transaction.replace_days(Wide, Wide.polars_schema().to_frame(), [JANUARY[0]])
    assert changes_of(warehouse, RawReadings) == {"2024-01": 1}
    assert changes_of(warehouse, Wide) == {"2024-05": 2}


def test_nothing_is_retried_when_an_sql_statement_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(duckdb.Error), warehouse_in(tmp_path).transaction() as transaction:
        transaction.execute("SELECT nonsense")
