"""Which days of which daily table are older than what is known of those days.

A table with a row (listener, day, version) for every day rules; `meta.day_versions` remembers, for each daily table,
the version and the code that its rows were made from. A daily table that depends on something else than the others has
a version of its own: a column `{table}_version` of the table that rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import duckdb
import polars as pl

from spotify_assets.arrow import frame_of
from spotify_assets.lakehouse.definition import (
    Catalog,
    StoredColumns,
    as_table,
    bring_up_to_date,
    literal,
    quoted,
    sql_name,
)
from spotify_assets.schemas.meta import DayVersions

STALE_DAYS_SCHEMA = pl.Schema({"table_name": pl.String, "played_on": pl.Date, "reason": pl.String})


def stale_days(
    connection: duckdb.DuckDBPyConnection,
    days_table: str,
    code_versions: Mapping[str, str],
    catalog: Catalog | None = None,
) -> pl.DataFrame:
    """Days to rebuild: `table_name, played_on, reason`, ordered, one row for a day whatever the listeners.

    Reasons, the first that holds for any listener: `new` (never built), `changed` (other rows by now), `code` (other
    code or settings), `gone` (the day left the days table).
    """
    if not days_table or not code_versions:
        return STALE_DAYS_SCHEMA.to_frame()
    days = as_table(days_table)
    catalog = catalog or Catalog(connection)
    stored = catalog.columns(days)
    versions = "".join(f"WHEN {literal(table)} THEN {_version_column(table, stored)} " for table in code_versions)
    wanted = (
        f"SELECT codes.*, listener, played_on, CASE table_name {versions}END AS version FROM codes, {sql_name(days)}"
        if stored
        else "SELECT codes.*, '' AS listener, DATE '1970-01-01' AS played_on, '' AS version FROM codes WHERE false"
    )
    recorded = (
        f"SELECT table_name, listener, played_on, version, code_version FROM {sql_name(DayVersions)}"
        if catalog.columns(DayVersions)
        else "SELECT '' AS table_name, '' AS listener, DATE '1970-01-01' AS played_on, '' AS version, "
        "'' AS code_version WHERE false"
    )
    codes = ", ".join(f"({literal(table)}, {literal(version)})" for table, version in code_versions.items())
    relation = connection.sql(
        f"""
        WITH codes(table_name, code_version) AS (VALUES {codes}),
        wanted AS ({wanted}),
        recorded AS (SELECT recorded.* FROM ({recorded}) AS recorded SEMI JOIN codes USING (table_name)),
        compared AS (
            SELECT table_name, played_on, CASE
                WHEN recorded.version IS NULL THEN 1
                WHEN wanted.version IS NULL THEN 4
                WHEN wanted.version <> recorded.version THEN 2
                WHEN wanted.code_version <> recorded.code_version THEN 3
            END AS reason
            FROM wanted FULL JOIN recorded USING (table_name, listener, played_on)
        )
        SELECT table_name, played_on, ['new', 'changed', 'code', 'gone'][min(reason)] AS reason
        FROM compared WHERE reason IS NOT NULL GROUP BY ALL ORDER BY table_name, played_on
        """
    )
    return frame_of(relation).cast(dict(STALE_DAYS_SCHEMA))


def _version_column(table_name: str, days_columns: StoredColumns) -> str:
    own = f"{table_name.split('.')[-1]}_version"
    return quoted(own if own in days_columns else "version")


def first_day(
    connection: duckdb.DuckDBPyConnection, days_table: str, stale: pl.DataFrame, catalog: Catalog | None = None
) -> date | None:
    """The first day with data, where partitions begin; None when there is none.

    A stale day before it, which lost its rows when an import was taken back, needs its partition once more.
    """
    days = as_table(days_table) if days_table else None
    known = (
        connection.execute(f"SELECT min(played_on) FROM {sql_name(days)}").fetchall()[0][0]
        if days and (catalog or Catalog(connection)).columns(days)
        else None
    )
    return min((day for day in (known, stale["played_on"].min()) if day is not None), default=None)


def record_day_versions(
    connection: duckdb.DuckDBPyConnection,
    days_table: str,
    table_name: str,
    code_version: str,
    first: date,
    last: date,
    catalog: Catalog,
) -> None:
    """Remember that `table_name` was rebuilt for the days from `first` to `last`, both included."""
    bring_up_to_date(connection, DayVersions, catalog)
    days = as_table(days_table)
    connection.execute(
        f"DELETE FROM {sql_name(DayVersions)} WHERE table_name = ? AND played_on BETWEEN ? AND ?",
        [table_name, first, last],
    ).fetchall()
    if stored := catalog.columns(days):
        version = _version_column(table_name, stored)
        connection.execute(
            f"INSERT INTO {sql_name(DayVersions)} BY NAME SELECT ? AS table_name, listener, played_on, {version} AS "
            f"version, ? AS code_version FROM {sql_name(days)} WHERE played_on BETWEEN ? AND ?",
            [table_name, code_version, first, last],
        ).fetchall()
