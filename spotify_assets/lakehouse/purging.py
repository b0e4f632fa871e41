"""Removing one listener from everything that the lakehouse stores: warehouse, snapshots and mirror.

Nothing is deleted in place, because freed blocks keep their bytes: the warehouse is written anew without the
listener's rows, and every older copy of it goes. Each step can be repeated, so that a killed purge is finished by the
next one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from spotify_assets.lakehouse import bi_copies, compaction, mirroring, publishing
from spotify_assets.lakehouse.definition import literal, quoted, sql_name
from spotify_assets.lakehouse.errors import WriteFailed
from spotify_assets.lakehouse.transaction import Transaction, next_sequence
from spotify_assets.lakehouse.warehouse import Warehouse
from spotify_assets.schemas import tables
from spotify_assets.schemas.meta import Changes, Published
from spotify_assets.settings import HomePaths

Log = Callable[[str], None]

_LISTENER = "listener"


@dataclass(frozen=True)
class TableRules:
    """What happens to tables that have no column `listener`, or rows in which it is empty.

    Attributes:
        linked: `schema.table` -> condition in SQL that is true for rows of the listener, whose name is `$listener`.
        shared: Given the stored tables, `schema.table` -> condition in SQL that is true for rows which are nobody's own
            and go with the listener.
        rebuilt: Tables that `rebuild` makes anew from the rows that stay.
        rebuild: Writes them, in a transaction that sees only the rows that stay, for the home of these paths.
    """

    linked: Mapping[str, str]
    shared: Callable[[Collection[str]], Mapping[str, str]]
    rebuilt: frozenset[str]
    rebuild: Callable[[Transaction, HomePaths], None]


@dataclass(frozen=True)
class Census:
    """Rows of one listener by table, and whether anybody else has any."""

    rows: dict[str, int]
    has_others: bool


def census(warehouse: Warehouse, listener: str, rules: TableRules) -> Census:
    """Count a listener's rows."""
    if not warehouse.exists():
        return Census({}, has_others=False)
    with warehouse.get_connection() as connection:
        database = connection.execute("SELECT current_database()").fetchall()[0][0]
        return _census(connection, database, listener, rules)


def _census(connection: duckdb.DuckDBPyConnection, database: str, listener: str, rules: TableRules) -> Census:
    rows: dict[str, int] = {}
    has_others = False
    for schema, table in compaction.stored_tables(connection, database):
        condition = _condition(connection, database, schema, table, listener, rules)
        if condition is None:
            continue
        is_nobodys = "false" if f"{schema}.{table}" in rules.linked else f"coalesce({_LISTENER} = '', false)"
        mine, others = connection.execute(
            f"SELECT count(*) FILTER (WHERE {condition}), count(*) FILTER (WHERE NOT {condition} AND NOT {is_nobodys}) "
            f"FROM {quoted(schema)}.{quoted(table)}"
        ).fetchall()[0]
        has_others |= others > 0
        if mine:
            rows[f"{schema}.{table}"] = mine
    return Census(rows, has_others)


def _condition(
    connection: duckdb.DuckDBPyConnection, database: str, schema: str, table: str, listener: str, rules: TableRules
) -> str | None:
    """What is true for the listener's rows of a table; None for tables that belong to nobody."""
    name = f"{schema}.{table}"
    if name in rules.linked:
        return _of_listener(rules.linked[name], listener)
    has_listener = connection.execute(
        "SELECT count(*) FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? AND table_name = ? "
        "AND column_name = ?",
        [database, schema, table, _LISTENER],
    ).fetchall()[0][0]
    return f"coalesce({_LISTENER} = {literal(listener)}, false)" if has_listener else None


def _of_listener(condition: str, listener: str) -> str:
    return f"coalesce({condition.replace('$listener', literal(listener))}, false)"


def rewrite_without(warehouse: Warehouse, listener: str, rules: TableRules, log: Log) -> list[str]:
    """Write the warehouse anew without a listener's rows; the caller holds the run lock.

    Returns:
        Tables that bear no listener and are unknown to `rules`: they may hold anything, so they are left empty.

    Raises:
        WriteFailed: The new file cannot be written; the old one stays.
    """
    emptied: list[str] = []
    try:
        with compaction.successor(warehouse, log) as connection:
            connection.execute(f"COPY FROM DATABASE {compaction.OLD} TO {compaction.NEW} (SCHEMA)").fetchall()
            connection.execute(f"USE {compaction.OLD}").fetchall()
            sequence = next_sequence(connection)
            stored = compaction.stored_tables(connection, compaction.OLD)
            shared = rules.shared({f"{schema}.{table}" for schema, table in stored})
            for schema, table in stored:
                name = f"{schema}.{table}"
                if name in shared:
                    condition = _of_listener(shared[name], listener)
                else:
                    condition = _condition(connection, compaction.OLD, schema, table, listener, rules)
                if condition is None:
                    # What changed and what is published is told anew below, and when the file is published.
                    if name not in rules.rebuilt and schema != Changes.layout.schema:
                        emptied.append(name)
                    continue
                quoted_name = f"{quoted(schema)}.{quoted(table)}"
                connection.execute(
                    f"INSERT INTO {compaction.NEW}.{quoted_name} SELECT * FROM {compaction.OLD}.{quoted_name} "
                    f"WHERE NOT {condition}"
                ).fetchall()
                _refuse_wrong_copy(connection, quoted_name, condition)
            connection.execute(f"USE {compaction.NEW}").fetchall()
            _rebuild(connection, warehouse, rules, sequence)
    except duckdb.Error as error:
        raise WriteFailed(
            f"the warehouse in {warehouse.home} could not be written anew: {str(error).splitlines()[0]}. It is as it "
            "was; run this again."
        ) from error
    return emptied


def _refuse_wrong_copy(connection: duckdb.DuckDBPyConnection, name: str, condition: str) -> None:
    (old, removed), (new, _) = (
        connection.execute(f"SELECT count(*), count(*) FILTER (WHERE {given}) FROM {database}.{name}").fetchall()[0]
        for database, given in ((compaction.OLD, condition), (compaction.NEW, "false"))
    )
    if new != old - removed:
        raise WriteFailed(f"{name} would have {new:,} rows instead of {old - removed:,}; the warehouse is as it was")


def _rebuild(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, rules: TableRules, sequence: int) -> None:
    stored = {f"{schema}.{table}" for schema, table in compaction.stored_tables(connection, compaction.NEW)}
    connection.begin()
    transaction = Transaction(connection, warehouse.days_table, warehouse.code_versions)
    rules.rebuild(transaction, warehouse.paths)
    for table in tables():
        # A row less in a month is no row in the mirror's list of changes: every file is compared anew.
        if table.qualified_name() in stored and table not in (Changes, Published):
            transaction.mark_changed(table)
    transaction.finish()
    if Changes.qualified_name() in stored:
        # Numbers of snapshots rise for ever: a reader tells by them which of two is newer.
        transaction.execute(f"UPDATE {sql_name(Changes)} SET sequence = ?", [sequence])
    connection.commit()


def publish_alone(warehouse: Warehouse, *, published_at: datetime, log: Log) -> None:
    """Publish and mirror the warehouse and remove every older snapshot and mirror version; under the run lock.

    Raises:
        PublicationFailed: The published file still shows the state before.
        Exception: The mirror could not be written; its last version still shows.
    """
    paths = warehouse.paths
    publishing.publish_if_changed(warehouse, published_at=published_at, log=log)
    publishing.remove_other_snapshots(paths)
    mirroring.bring_up_to_date(
        paths,
        warehouse.mirror,
        1,
        log=log,
        now=lambda: published_at,
        memory_limit=warehouse.memory_limit,
        is_thorough=True,
        copies=bi_copies.BiCopies.of_setting(warehouse.bi_copies, keeps_undeclared=False),
        settings_told=warehouse.settings_told,
    )


def remove_everything(warehouse: Warehouse, log: Log) -> None:
    """Remove warehouse, snapshots, published file and mirror; the caller holds the run lock.

    Raises:
        MirrorError: The mirror is in a bucket and could not be removed; nothing else was.
    """
    paths = warehouse.paths
    if warehouse.mirror.address:
        target = mirroring.mirror_target(paths, warehouse.mirror, 1, log=log, is_thorough=True)
        target.remove_everything()
        paths.mirror_owner_file.unlink(missing_ok=True)
    with warehouse.exclusively():
        warehouse.close()
        paths.published_file.unlink(missing_ok=True)
        for folder in (paths.snapshots_folder, paths.mirror_folder):
            if folder.exists():
                shutil.rmtree(folder)
        compaction.remove_unfinished(paths)
        paths.warehouse_file.with_name(paths.warehouse_file.name + ".wal").unlink(missing_ok=True)
        # Last: as long as it is there, a purge that was killed knows that it has not finished.
        paths.warehouse_file.unlink(missing_ok=True)
