"""Reading and writing tables of the warehouse, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Any

import duckdb
import polars as pl

from spotify_assets.arrow import FrameStream, frame_of, in_row_groups
from spotify_assets.lakehouse import staleness
from spotify_assets.lakehouse.definition import (
    Catalog,
    as_table,
    bring_up_to_date,
    create,
    declared_columns,
    quoted,
    select,
    set_up,
    sql_name,
)
from spotify_assets.lakehouse.errors import WriteRefused
from spotify_assets.lakehouse.validation import check_rules, conformed
from spotify_assets.schemas import Table
from spotify_assets.schemas.meta import Changes, DayVersions, Published

WHOLE_TABLE = ""
"""The `month` of tables that the mirror keeps in one file."""

_INCOMING = "incoming_rows"


def read_table(
    connection: duckdb.DuckDBPyConnection,
    table: type[Table] | str,
    columns: Sequence[str] | None = None,
    *,
    days: tuple[date, date] | None = None,
    day_columns: Sequence[str] = (),
    where: str = "",
    parameters: Sequence[Any] = (),
    distinct: bool = False,
    catalog: Catalog | None = None,
) -> pl.DataFrame:
    """Rows of a table with the types of its schema, in no particular order.

    Args:
        columns: The columns to read, all by default; name them, wide tables are costly.
        days: First and last day to read, both included.
        day_columns: The DATE columns of which one must lie in `days`; the layout's own by default.
        where: A condition in SQL, its values as `?`.
        parameters: The values of `where`.
        distinct: Leave out rows that are equal to another one.
        catalog: The stored tables, if they were asked for already.

    Returns:
        An empty frame with the right columns when the table was never written.
    """
    table = as_table(table)
    stored = (catalog or Catalog(connection)).columns(table)
    names = list(columns) if columns is not None else table.column_names()
    statement = select(table, stored, names)
    if distinct:
        statement = statement.replace("SELECT ", "SELECT DISTINCT ", 1)
    schema = pl.Schema({name: table.polars_schema()[name] for name in names})
    if not stored:
        return schema.to_frame()
    conditions = [f"({where})"] if where else []
    if days is not None:
        # Not a parameter: a statement with parameters is computed as a whole before the first row is handed over.
        in_days = (_between(column, *days) for column in _day_columns(table, day_columns))
        conditions.append(f"({' OR '.join(in_days)})")
    if conditions:
        statement += f" WHERE {' AND '.join(conditions)}"
    relation = connection.sql(statement, params=list(parameters)) if parameters else connection.sql(statement)
    frame = frame_of(relation)
    return frame if frame.schema == schema else frame.cast(dict(schema))


class Transaction:
    """What can be done to the warehouse in one transaction; `Warehouse.transaction()` opens it.

    Every write checks the rows against the table's schema first, makes the table when it is missing, and notes which
    months changed. When a write fails the whole transaction is void, even if the caller catches the error.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        days_table: str,
        code_versions: Mapping[str, str],
        catalog: Catalog | None = None,
    ) -> None:
        self.connection = connection
        self._catalog = catalog or Catalog(connection)
        self._days_table = days_table
        self._code_versions = code_versions
        self._up_to_date: set[str] = set()
        self._changed: set[tuple[str, str]] = set()
        self._failure: BaseException | None = None

    @property
    def has_changed_anything(self) -> bool:
        return bool(self._changed)

    def read(
        self,
        table: type[Table] | str,
        columns: Sequence[str] | None = None,
        *,
        days: tuple[date, date] | None = None,
        day_columns: Sequence[str] = (),
        where: str = "",
        parameters: Sequence[Any] = (),
        distinct: bool = False,
    ) -> pl.DataFrame:
        """As `read_table`; sees what this transaction has written."""
        return read_table(
            self.connection,
            table,
            columns,
            days=days,
            day_columns=day_columns,
            where=where,
            parameters=parameters,
            distinct=distinct,
            catalog=self._catalog,
        )

    @contextmanager
    def committed(self) -> Iterator[Callable[..., pl.DataFrame]]:
        """`read_table` beside this transaction, for another thread: sees nothing of what the transaction wrote."""
        with self.connection.cursor() as cursor:
            set_up(cursor)
            yield partial(read_table, cursor, catalog=Catalog(cursor))

    def query(
        self, sql: str, parameters: Sequence[Any] = (), *, incoming_rows: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """What `read` cannot ask for: the answer to a SELECT; sees what this transaction has written.

        Args:
            incoming_rows: A frame that the statement may select from, as `incoming_rows`.
        """
        if incoming_rows is not None:
            incoming_rows = FrameStream(incoming_rows)
        return frame_of(self.connection.sql(sql, params=list(parameters) or None))

    def maximum(self, table: type[Table] | str, column: str) -> Any:
        """The largest value of a column; None for a table without rows."""
        table = as_table(table)
        if not self._catalog.columns(table):
            return None
        return self.execute(f"SELECT max({quoted(column)}) FROM {sql_name(table)}")[0][0]

    def append(self, table: type[Table] | str, frames: pl.DataFrame | Iterable[pl.DataFrame]) -> int:
        """Add rows, a frame or frames one after the other; returns how many.

        Raises:
            WriteRefused: The rows do not fit the schema. Whether a key is stored already is not looked at.
        """
        table = as_table(table)
        with self._writing(table):
            return sum(self._insert(table, frame) for frame in _one_by_one(frames))

    def replace(self, table: type[Table] | str, frame: pl.DataFrame) -> int:
        """Let `frame` be the whole table; returns its number of rows. Columns may have changed their type.

        A table that holds just these rows is left as it is, and counts as unchanged: a run that finds nothing new is to
        publish and upload nothing.

        Raises:
            WriteRefused: The rows do not fit the schema.
        """
        table = as_table(table)
        with self._writing(table, prepare=False):
            frame = conformed(table, frame)
            check_rules(table, frame)
            stored = self._catalog.columns(table)
            if stored == declared_columns(table) and self._holds(table, frame):
                return frame.height
            if stored:
                self._note_stored_months(table, stored, "true")
                self._run(f"DROP TABLE {sql_name(table)}")
            create(self.connection, table)
            self._catalog.note_created(table)
            self._up_to_date.add(table.qualified_name())
            if table.layout.month_column is None:
                self._note(table, WHOLE_TABLE)
            return self._insert(table, frame, is_checked=True)

    def replace_days(
        self,
        table: type[Table] | str,
        frames: pl.DataFrame | Iterable[pl.DataFrame],
        days: tuple[date, date] | Sequence[date],
    ) -> int:
        """Let `frames` be all rows of the given days; returns how many they are.

        Args:
            frames: A frame, or frames one after the other, so that never all of them are in memory. The days are
                deleted after the first frame is made.
            days: A tuple of first and last day, both included; or a list of single days.

        Raises:
            WriteRefused: A row lies outside the days, or does not fit the schema; nothing was deleted.
        """
        table = as_table(table)
        day_column = _day_columns(table)[0]
        remaining = _one_by_one(frames)
        with self._writing(table):
            first = next(remaining, None)
            if first is not None:
                first = self._checked(table, first)
                _refuse_other_days(table, first, day_column, days)
            condition = _on_days(day_column, days)
            self._note_stored_months(table, self._catalog.columns(table), condition)
            if table.layout.month_column is None:
                self._note(table, WHOLE_TABLE)
            self._run(f"DELETE FROM {sql_name(table)} WHERE {condition}")
            if first is None:
                return 0
            shared = _SharedDays(day_column, first)
            rows = self._insert(table, first, is_checked=True)
            del first
            for frame in remaining:
                frame = self._checked(table, frame)
                _refuse_other_days(table, frame, day_column, days)
                shared.note(frame)
                rows += self._insert(table, frame, is_checked=True)
            if day_column in table.primary_key() and shared.are_known:
                self._refuse_repeated_keys(table, _on_days(day_column, sorted(shared.days)))
            elif shared.frames > 1:
                self._refuse_repeated_keys(table, condition)
            return rows

    def delete_rows(self, table: type[Table] | str, keys: pl.DataFrame) -> int:
        """Delete the rows that equal a row of `keys` in all of its columns (NULL equals NULL); returns how many."""
        table = as_table(table)
        with self._writing(table):
            keys = conformed(table, keys, keys.columns)
            if keys.is_empty():
                return 0
            equal = " AND ".join(
                f"stored.{quoted(name)} IS NOT DISTINCT FROM given.{quoted(name)}" for name in keys.columns
            )
            condition = f"EXISTS (SELECT 1 FROM {_INCOMING} AS given WHERE {equal})"
            self._note_stored_months(table, self._catalog.columns(table), condition, keys)
            rows = self._run(f"DELETE FROM {sql_name(table)} AS stored WHERE {condition}", keys)
            if rows and table.layout.month_column is None:
                self._note(table, WHOLE_TABLE)
            return rows

    def update_rows(self, table: type[Table] | str, frame: pl.DataFrame, on: Sequence[str]) -> int:
        """Set the other columns of `frame` in the stored rows that equal it in the columns `on`.

        Returns:
            How many stored rows were set; rows of `frame` that match none are left out.

        Raises:
            WriteRefused: Two rows of `frame` are equal in `on`, or values do not fit the schema.
        """
        table = as_table(table)
        others = [name for name in frame.columns if name not in on]
        with self._writing(table):
            frame = conformed(table, frame, frame.columns)
            check_rules(table, frame, frame.columns)
            repeated = frame.height - frame.select(on).n_unique()
            if repeated:
                raise WriteRefused(
                    f"{table.qualified_name()} was not changed: {repeated:,} rows to set are equal in "
                    f"{', '.join(on)}. The table is as before."
                )
            if frame.is_empty() or not others:
                return 0
            equal = " AND ".join(f"stored.{quoted(name)} IS NOT DISTINCT FROM given.{quoted(name)}" for name in on)
            assignments = ", ".join(f"{quoted(name)} = given.{quoted(name)}" for name in others)
            stored = self._catalog.columns(table)
            self._note_stored_months(table, stored, f"EXISTS (SELECT 1 FROM {_INCOMING} AS given WHERE {equal})", frame)
            rows = self._run(
                f"UPDATE {sql_name(table)} AS stored SET {assignments} FROM {_INCOMING} AS given WHERE {equal}", frame
            )
            if rows:
                if table.layout.month_column in others:
                    self._note_months(table, frame)
                elif table.layout.month_column is None:
                    self._note(table, WHOLE_TABLE)
            return rows

    def record_day_versions(self, table: type[Table] | str, first: date, last: date) -> None:
        """Remember that a daily table was rebuilt from what the days table says of `first` to `last` now.

        Raises:
            KeyError: The warehouse was given no code version for that table.
        """
        table = as_table(table)
        name = table.qualified_name()
        if name not in self._code_versions:
            raise KeyError(f"{name} has no code version; code_versions names {', '.join(self._code_versions)}")
        with self._guarded():
            staleness.record_day_versions(
                self.connection, self._days_table, name, self._code_versions[name], first, last, self._catalog
            )
            for month in pl.date_range(first.replace(day=1), last, "1mo", eager=True):
                self._note(DayVersions, f"{month:%Y-%m}")

    def stale_days(self) -> pl.DataFrame:
        """As `staleness.stale_days`; sees what this transaction has written."""
        return staleness.stale_days(self.connection, self._days_table, self._code_versions, self._catalog)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rare rest. Call `mark_changed` for what it changes, or neither snapshot nor mirror will know."""
        with self._guarded():
            return self.connection.execute(sql, list(parameters)).fetchall()

    def mark_changed(self, table: type[Table] | str) -> None:
        """Have the mirror write every month of a table anew."""
        table = as_table(table)
        with self._guarded():
            stored = self._catalog.columns(table)
            self._note_stored_months(table, stored, "true")
            if table.layout.month_column is None:
                self._note(table, WHOLE_TABLE)

    def finish(self) -> None:
        """Note what changed; called before the commit.

        Raises:
            WriteRefused: An earlier write failed and its error was swallowed.
        """
        if self._failure is not None:
            raise WriteRefused("the transaction was rolled back, because one of its writes failed") from self._failure
        if not self._changed:
            return
        bring_up_to_date(self.connection, Changes, self._catalog)
        last = next_sequence(self.connection, self._catalog)
        changes = pl.DataFrame(
            [(name, month, last) for name, month in sorted(self._changed)], schema=Changes.polars_schema(), orient="row"
        )
        self._run(
            f"DELETE FROM {sql_name(Changes)} AS stored WHERE EXISTS (SELECT 1 FROM {_INCOMING} AS given "
            "WHERE given.table_name = stored.table_name AND given.month = stored.month)",
            changes,
        )
        self._run(f"INSERT INTO {sql_name(Changes)} BY NAME SELECT * FROM {_INCOMING}", changes)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if self._failure is not None:
            raise WriteRefused("an earlier write of this transaction failed; nothing more can be written in it")
        try:
            yield
        except BaseException as error:
            self._failure = error
            raise

    @contextmanager
    def _writing(self, table: type[Table], *, prepare: bool = True) -> Iterator[None]:
        with self._guarded():
            if prepare and table.qualified_name() not in self._up_to_date:
                bring_up_to_date(self.connection, table, self._catalog)
                self._up_to_date.add(table.qualified_name())
            yield

    def _fetch(self, statement: str, incoming: pl.DataFrame | None = None) -> list[tuple[Any, ...]]:
        """Run a statement, which may select from `_INCOMING`, and fetch its answer whole: DuckDB 2.0 refuses the next
        one while an answer is pending."""
        # DuckDB finds the frame by the name of this variable. A registered one is a view, and a transaction keeps
        # views, the dropped ones too, to its end: a million plays stored in lots took 0.4 GB that way.
        incoming_rows = None if incoming is None else FrameStream(incoming)  # noqa: F841
        return self.connection.execute(statement).fetchall()

    def _run(self, statement: str, incoming: pl.DataFrame | None = None) -> int:
        """As `_fetch`; returns the number of rows that the statement changed."""
        answer = self._fetch(statement, incoming)
        return int(answer[0][0]) if answer and isinstance(answer[0][0], int) else 0

    def _holds(self, table: type[Table], frame: pl.DataFrame) -> bool:
        """Whether these are the rows of a stored table, in whatever order."""
        if self._fetch(f"SELECT count(*) FROM {sql_name(table)}") != [(frame.height,)]:
            return False
        names = ", ".join(quoted(name) for name in table.column_names())
        return not self._fetch(
            f"SELECT 1 FROM (SELECT {names} FROM {sql_name(table)} EXCEPT ALL SELECT {names} FROM {_INCOMING}) LIMIT 1",
            frame,
        )

    def _checked(self, table: type[Table], frame: pl.DataFrame) -> pl.DataFrame:
        frame = conformed(table, frame)
        check_rules(table, frame)
        return frame

    def _insert(self, table: type[Table], frame: pl.DataFrame, *, is_checked: bool = False) -> int:
        if not is_checked:
            frame = self._checked(table, frame)
        if frame.is_empty():
            return 0
        self._note_months(table, frame)
        self._run(f"INSERT INTO {sql_name(table)} BY NAME SELECT * FROM {_INCOMING}", frame)
        return frame.height

    def _refuse_repeated_keys(self, table: type[Table], condition: str) -> None:
        """The check of each frame cannot see a key that two frames share."""
        key = ", ".join(quoted(name) for name in table.primary_key())
        if not key or condition == "false":
            return
        repeated = self.connection.execute(
            f"SELECT count(*) FROM (SELECT {key} FROM {sql_name(table)} WHERE {condition} GROUP BY ALL "
            "HAVING count(*) > 1)"
        ).fetchall()[0][0]
        if repeated:
            raise WriteRefused(
                f"{table.qualified_name()} was not written: the key ({', '.join(table.primary_key())}) is not unique "
                f"for {repeated:,} keys. The table is as before."
            )

    def _note(self, table: type[Table], month: str) -> None:
        self._changed.add((table.qualified_name(), month))

    def _note_months(self, table: type[Table], frame: pl.DataFrame) -> None:
        column = table.layout.month_column
        if column is None:
            self._note(table, WHOLE_TABLE)
            return
        months = frame.get_column(column).cast(pl.Date).unique()
        if months.null_count():
            raise WriteRefused(
                f"{table.qualified_name()} was not written: {column} names the month of a row and is empty in "
                f"{frame.get_column(column).null_count():,} rows. The table is as before."
            )
        for month in months.dt.strftime("%Y-%m").unique():
            self._note(table, month)

    def _note_stored_months(
        self,
        table: type[Table],
        stored: dict[str, tuple[str, bool, str]],
        condition: str,
        incoming: pl.DataFrame | None = None,
    ) -> None:
        column = table.layout.month_column
        if column is None or column not in stored:
            return
        months = self._fetch(
            f"SELECT DISTINCT strftime(month, '%Y-%m') FROM (SELECT DISTINCT date_trunc('month', "
            f"stored.{quoted(column)}) AS month FROM {sql_name(table)} AS stored WHERE {condition})",
            incoming,
        )
        for (month,) in months:
            if month is not None:
                self._note(table, month)


def next_sequence(connection: duckdb.DuckDBPyConnection, catalog: Catalog | None = None) -> int:
    """One more than any number that a change or a snapshot ever had."""
    catalog = catalog or Catalog(connection)
    return max(_largest(connection, Changes, catalog), _largest(connection, Published, catalog)) + 1


def last_change(
    connection: duckdb.DuckDBPyConnection, catalog: Catalog | None = None, *, except_for: Collection[str] = ()
) -> int:
    """Number of the newest change of any table (`schema.table`) but some; 0 when nothing was ever written."""
    return _largest(connection, Changes, catalog or Catalog(connection), except_for)


def last_publication(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> int:
    """Number of the newest snapshot that was made of this warehouse; 0 when none was."""
    return _largest(connection, Published, catalog)


def _largest(
    connection: duckdb.DuckDBPyConnection, table: type[Table], catalog: Catalog, except_for: Collection[str] = ()
) -> int:
    if not catalog.columns(table):
        return 0
    return connection.execute(
        f"SELECT coalesce(max(sequence), 0) FROM {sql_name(table)} WHERE NOT list_contains(?, table_name)",
        [list(except_for)],
    ).fetchall()[0][0]


class _SharedDays:
    """The days of which several frames have rows, as long as the frames come in the order of their days."""

    def __init__(self, day_column: str, first: pl.DataFrame) -> None:
        self.frames = 1
        self.days: set[date] = set()
        self.are_known = True
        self._day_column = day_column
        self._last = first[day_column].max()

    def note(self, frame: pl.DataFrame) -> None:
        days = frame[self._day_column]
        self.frames += 1
        self.are_known &= days.min() >= self._last
        if days.min() == self._last:
            self.days.add(days.min())
        self._last = days.max()


def _one_by_one(frames: pl.DataFrame | Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    return iter([frames]) if isinstance(frames, pl.DataFrame) else in_row_groups(frames)


def _day_columns(table: type[Table], named: Sequence[str] = ()) -> list[str]:
    columns = list(named) or [table.layout.day_column]
    for column in columns:
        if column is None:
            raise ValueError(f"{table.qualified_name()} has no day column; name one, or read the table as a whole")
        if table.polars_schema().get(column) != pl.Date():
            raise ValueError(f"{table.qualified_name()}.{column} is no DATE column")
    return columns


def _between(column: str, first: date, last: date) -> str:
    return f"{quoted(column)} BETWEEN DATE '{first.isoformat()}' AND DATE '{last.isoformat()}'"


def _on_days(column: str, days: tuple[date, date] | Sequence[date]) -> str:
    if isinstance(days, tuple):
        return _between(column, *days)
    if not days:
        return "false"
    return f"{quoted(column)} IN ({', '.join(f'DATE {chr(39)}{day.isoformat()}{chr(39)}' for day in days)})"


def _refuse_other_days(
    table: type[Table], frame: pl.DataFrame, column: str, days: tuple[date, date] | Sequence[date]
) -> None:
    given = pl.col(column)
    inside = given.is_between(*days) if isinstance(days, tuple) else given.is_in(list(days))
    outside = frame.select((~inside.fill_null(False)).sum()).item()
    if outside:
        told = f"{days[0]} to {days[1]}" if isinstance(days, tuple) else f"the {len(days):,} days to write"
        raise WriteRefused(
            f"{table.qualified_name()} was not written: {outside:,} of {frame.height:,} rows lie outside "
            f"{told} (column {column}). The table is as before."
        )
