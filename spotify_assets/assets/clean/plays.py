"""clean.plays, clean.play_sources and clean.days: one step, because they are one decision."""

from collections.abc import Generator
from contextlib import closing

import dagster as dg
import polars as pl

from spotify_assets import progress
from spotify_assets.ahead import one_ahead
from spotify_assets.assets.table_asset import asset_key, table_spec
from spotify_assets.clock import Clock
from spotify_assets.lakehouse import Transaction, Warehouse, lot_number
from spotify_assets.listeners import Household
from spotify_assets.schemas import clean, raw
from spotify_assets.transforms import plays as transforms
from spotify_assets.transforms.zones import local_date

PLAYS_PER_CHUNK = 60_000
"""Plays whose full rows are in memory at once: a million of them would take more than a gigabyte."""

BALANCE_CHECK = "sources_balance"


def build_plays_asset(*, household: Household, session_gap_minutes: int) -> dg.AssetsDefinition:
    """The asset of clean.plays, clean.play_sources and clean.days.

    Args:
        household: Time zones of the listeners.
        session_gap_minutes: Silence after which a new session begins.
    """

    @dg.multi_asset(
        name="plays",
        specs=[
            table_spec(clean.Plays, deps=[raw.StreamingHistory]),
            table_spec(clean.PlaySources, deps=[raw.StreamingHistory]),
            table_spec(clean.Days, deps=[raw.StreamingHistory]),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                BALANCE_CHECK,
                asset=asset_key(clean.Plays),
                description=(
                    "Every source row stands in clean.play_sources exactly once, and the rows of exports equal the "
                    "copies of export plays plus the superseded ones. Checked before the commit: days that do not "
                    "balance are never written."
                ),
            )
        ],
    )
    def plays(context: dg.AssetExecutionContext, warehouse: Warehouse, clock: Clock):
        warehouse.begin()
        with warehouse.transaction() as transaction:
            progress.report("Matching plays")
            with progress.stage("plays: read"):
                history = transaction.read(raw.StreamingHistory, transforms.HISTORY_COLUMNS)
                told_names = transaction.read(raw.StreamingHistory, transforms.NAME_COLUMNS, distinct=True)
            with progress.stage("plays: decide"):
                names = transforms.names(told_names.lazy()).collect()
                del told_names
                assigned = transforms.assign_rows(history.lazy(), names.lazy()).collect()
                zones = {name: household.zones_of(name) for name in history["listener"].unique()}
                decided = transforms.decide_plays(
                    history.lazy(),
                    assigned.lazy(),
                    names.lazy(),
                    zones=zones,
                    session_gap_minutes=session_gap_minutes,
                    # The streaming engine, which Polars would choose, holds half as much again here.
                ).collect(engine="in-memory")
                rows_of_exports, plays_of_history = history.height, decided.height
                del history
                sources = transforms.play_sources(assigned.lazy(), decided.lazy()).collect()
                del assigned
                now = clock.now()
                today = {name: local_date(now, of_listener) for name, of_listener in zones.items()}
                days = transforms.days(decided.lazy(), sources.lazy(), today=today).collect()
                known = transaction.read(clean.Days).lazy()
                to_write = transforms.changed_days(days.lazy(), known, "plays_hash").collect()["played_on"].to_list()
                to_relate = transforms.changed_days(days.lazy(), known, "sources_hash").collect()["played_on"].to_list()
                changed = decided.filter(pl.col("played_on").is_in(to_write))
                del decided
                changed = changed.sort("played_on", "ended_at", "play_id")
            with progress.stage("plays: write"):
                with closing(one_ahead(full_rows(transaction, changed, names))) as frames:
                    transaction.replace_days(clean.Plays, frames, to_write)
                changed_sources = sources.filter(pl.col("played_on").is_in(to_relate))
                transaction.replace_days(clean.PlaySources, changed_sources, to_relate)
                if not days.equals(known.collect()):
                    transaction.replace(clean.Days, days)
            with progress.stage("plays: balance"):
                balance = _balance(transaction, rows_of_exports)
        yield dg.MaterializeResult(
            asset_key=asset_key(clean.Plays),
            metadata={
                "dagster/row_count": plays_of_history,
                "days_written": len(to_write),
                "listeners": len(zones),
            },
            check_results=[dg.AssetCheckResult(check_name=BALANCE_CHECK, passed=True, metadata=balance)],
        )
        yield dg.MaterializeResult(
            asset_key=asset_key(clean.PlaySources),
            metadata={"dagster/row_count": sources.height, "days_written": len(to_relate)},
        )
        yield dg.MaterializeResult(asset_key=asset_key(clean.Days), metadata={"dagster/row_count": days.height})

    return plays


def full_rows(
    transaction: Transaction, changed: pl.DataFrame, names: pl.DataFrame, plays_per_chunk: int = PLAYS_PER_CHUNK
) -> Generator[pl.DataFrame]:
    """clean.plays for decided plays in the order of their days: some whole days at a time, at least one.

    May be made in another thread than the one that writes: the rows of exports are read as they were committed.
    """
    days_in_order = changed.group_by("played_on", maintain_order=True).len()
    days_in_order = days_in_order.with_columns(chunk=lot_number(plays_per_chunk))
    written = 0
    with transaction.committed() as read:
        for rows_of_chunk in days_in_order.group_by("chunk", maintain_order=True).agg(pl.col("len").sum())["len"]:
            plays = changed.slice(written, rows_of_chunk)
            told = plays.select(pl.col("ts").min().alias("first"), pl.col("ts").max().alias("last")).row(0)
            rows = read(raw.StreamingHistory, transforms.WRITTEN_COLUMNS, where="ts between ? and ?", parameters=told)
            assembled = transforms.assemble_plays(plays.lazy(), rows.lazy(), names.lazy())
            del rows
            yield assembled.select(clean.Plays.column_names()).collect().sort("ended_at", "play_id")
            written += plays.height
            progress.report("Writing plays", written, changed.height)


def _balance(transaction: Transaction, rows_of_exports: int) -> dict[str, int]:
    """Count what the transaction has written.

    Raises:
        dagster.Failure: A source row is missing, stands twice, or is neither a copy nor superseded.
    """
    sources = transaction.read(clean.PlaySources, ["source_row", "rule"])
    plays = transaction.read(clean.Plays, ["play_id", "source", "copies"])
    copies = int(plays.filter(pl.col("source") != "api")["copies"].sum())
    superseded = sources.filter(pl.col("rule").is_in(["superseded", "basic_of_extended"])).height
    counts = {
        "rows_of_exports": rows_of_exports,
        "source_rows": sources.height,
        "distinct_source_rows": sources["source_row"].n_unique(),
        "plays": plays.height,
        "distinct_plays": plays["play_id"].n_unique(),
        "copies": copies,
        "superseded": superseded,
    }
    is_even = (
        rows_of_exports == counts["source_rows"] == counts["distinct_source_rows"] == copies + superseded
        and counts["plays"] == counts["distinct_plays"]
    )
    if not is_even:
        raise dg.Failure(
            description=(
                f"The plays do not balance with the rows of exports ({counts}). Nothing was written: clean.plays is "
                "as it was before this run. This is a defect of the transform, please report it with these counts."
            ),
            allow_retries=False,
        )
    return counts
