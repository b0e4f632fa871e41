"""Frames of assets in and out of the warehouse: whole tables, or the days of a run."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import date
from typing import Any

import polars as pl
from dagster import ConfigurableIOManager, InputContext, MetadataValue, OutputContext

from spotify_assets import progress
from spotify_assets.lakehouse.dagster_metadata import column_lineage, column_schema
from spotify_assets.lakehouse.definition import quoted
from spotify_assets.lakehouse.errors import WriteRefused
from spotify_assets.lakehouse.lots import Lots
from spotify_assets.lakehouse.mirror_events import mirror_link
from spotify_assets.lakehouse.warehouse import Warehouse
from spotify_assets.schemas import Table, table_named

_DETAILED_PARTITIONS = 62
"""Up to so many partitions of a run get a row count of their own and all that is known of the write; beyond, every
event says the table's row count only. Each further entry costs 130 bytes, twice, for each of 22,000 events."""


class LakehouseIOManager(ConfigurableIOManager):
    """Stores what an asset returns in the table that its key names, `[schema, table]`, and loads it again.

    An asset returns a DataFrame or LazyFrame, or an iterator of DataFrames where they are large: Dagster keeps what it
    was given to the end of a run, and an iterator is empty by then. None means that it wrote the table itself.
    Without partitions the frame becomes the whole table. With daily partitions, the rows of the run's days are
    replaced in one transaction, and rows outside those days refused; a range of days in one run is one write.

    An input's metadata may name `columns` and `day_columns` (lists): when the consuming asset is partitioned by day,
    only rows of which one of these lies in the run's days are loaded.
    `AssetIn(metadata={"columns": ["played_on", "ms_played"], "day_columns": ["played_on"]})`
    `equal_to` (texts by column) leaves other rows unread. A parameter annotated with `Lots`, instead of a frame, reads
    them some days at a time.
    """

    warehouse: Warehouse

    def handle_output(
        self, context: OutputContext, obj: pl.DataFrame | pl.LazyFrame | Iterator[pl.DataFrame] | None
    ) -> None:
        if obj is None:
            return
        table = _table_of(context.asset_key.path)
        keys = sorted(context.asset_partition_keys) if context.has_asset_partitions else []
        # Whatever happens to the write: frames may be made from an open connection.
        with closing(_frames(obj, table)) as frames:
            made = pl.concat(frames) if len(keys) <= _DETAILED_PARTITIONS else frames
            with progress.stage(f"{table.layout.schema}: write"):
                self._store(context, table, keys, made)

    def _store(
        self,
        context: OutputContext,
        table: type[Table],
        keys: list[str],
        frames: pl.DataFrame | Iterator[pl.DataFrame],
    ) -> None:
        self.warehouse.begin()
        started = time.monotonic()
        name = table.qualified_name()
        with self.warehouse.transaction() as transaction:
            if keys:
                days = [_day(key, name) for key in keys]
                is_gapless = (days[-1] - days[0]).days + 1 == len(days)
                written = transaction.replace_days(table, frames, (days[0], days[-1]) if is_gapless else days)
                if name in self.warehouse.code_versions:
                    for first, last in _stretches(days):
                        transaction.record_day_versions(table, first, last)
            else:
                written = transaction.replace(table, frames)
            rows = transaction.execute(f'SELECT count(*) FROM "{table.layout.schema}"."{table.layout.table}"')[0][0]
        seconds = time.monotonic() - started
        if len(keys) > _DETAILED_PARTITIONS:
            context.log.info(f"{name}: {written:,} rows of {len(keys):,} days written in {seconds:.1f} s")
        context.add_output_metadata(self._metadata(table, keys, written, rows, seconds))
        if 1 < len(keys) <= _DETAILED_PARTITIONS:
            self._count_partitions(context, table, keys, frames)

    def load_input(self, context: InputContext) -> pl.DataFrame | pl.LazyFrame | Lots:
        table = _table_of(context.asset_key.path)
        metadata = context.definition_metadata or {}
        columns = _value(metadata.get("columns"))
        day_columns = _value(metadata.get("day_columns")) or []
        wanted = context.dagster_type.typing_type
        self.warehouse.begin()
        days = _days_to_load(context, table, day_columns)
        if wanted is Lots:
            return Lots(
                self.warehouse,
                table,
                columns or table.column_names(),
                day_columns or [table.layout.day_column],
                days,
            )
        with progress.stage(f"{table.layout.schema}: read"):
            equal_to = _value(metadata.get("equal_to")) or {}
            frame = self.warehouse.read(
                table,
                columns,
                days=days,
                day_columns=day_columns,
                where=" AND ".join(f"{quoted(column)} = ?" for column in equal_to),
                parameters=list(equal_to.values()),
            )
        return frame.lazy() if wanted is pl.LazyFrame else frame

    def _metadata(self, table: type[Table], keys: list[str], written: int, rows: int, seconds: float) -> dict[str, Any]:
        metadata: dict[str, Any] = {"dagster/row_count": rows}
        if len(keys) == 1:
            metadata["dagster/partition_row_count"] = written
        if len(keys) <= _DETAILED_PARTITIONS:
            metadata["dagster/table_name"] = table.qualified_name()
            metadata["rows_written"] = written
            metadata["seconds"] = round(seconds, 3)
            metadata["dagster/uri"] = self.warehouse.paths.published_file.as_uri()
            if table.layout.is_shown:
                metadata["mirror"] = mirror_link(self.warehouse.paths, self.warehouse.mirror, table.qualified_name())
            metadata["dagster/column_schema"] = MetadataValue.table_schema(column_schema(table))
            if lineage := column_lineage(table):
                metadata["dagster/column_lineage"] = MetadataValue.column_lineage(lineage)
        return metadata

    def _count_partitions(
        self, context: OutputContext, table: type[Table], keys: list[str], frame: pl.DataFrame
    ) -> None:
        counts = dict(frame.group_by(table.layout.day_column).len().iter_rows())
        for key in keys:
            context.step_context.add_asset_metadata(
                {"dagster/partition_row_count": int(counts.get(date.fromisoformat(key), 0))},
                asset_key=context.asset_key,
                partition_key=key,
            )


def _table_of(path: Sequence[str]) -> type[Table]:
    return table_named(".".join(path))


def _frames(obj: Any, table: type[Table]) -> Generator[pl.DataFrame]:
    if isinstance(obj, Generator):
        return obj
    if isinstance(obj, pl.LazyFrame):
        obj = obj.collect()
    if isinstance(obj, pl.DataFrame):
        obj = iter([obj])
    if isinstance(obj, Iterator):
        return (frame for frame in obj)
    raise WriteRefused(
        f"{table.qualified_name()} was not written: its asset returned {type(obj).__name__}; return a polars "
        "DataFrame, a LazyFrame or an iterator of DataFrames, or None when the asset has written the table itself"
    )


def _day(key: str, name: str) -> date:
    try:
        return date.fromisoformat(key)
    except ValueError:
        raise WriteRefused(
            f"{name} is partitioned by {key!r}, which is no day; tables with a day column take daily partitions "
            "(YYYY-MM-DD)"
        ) from None


def _stretches(days: list[date]) -> list[tuple[date, date]]:
    """First and last day of each run of consecutive days."""
    stretches: list[tuple[date, date]] = []
    for day in days:
        if stretches and (day - stretches[-1][1]).days == 1:
            stretches[-1] = (stretches[-1][0], day)
        else:
            stretches.append((day, day))
    return stretches


def _days_to_load(context: InputContext, table: type[Table], day_columns: Sequence[str]) -> tuple[date, date] | None:
    """The days of the consuming step; None to load the whole table."""
    if not day_columns and not (context.has_asset_partitions and table.layout.day_column):
        return None
    try:
        step = context.step_context
    except Exception:
        return None
    if step.run_partitions_def is None or not step.has_partitions:
        return None
    if not day_columns:
        # Dagster's own mapping from the consumer's partitions to those of the input.
        keys = sorted(context.asset_partition_keys)
        return (_day(keys[0], table.qualified_name()), _day(keys[-1], table.qualified_name())) if keys else None
    key_range = step.partition_key_range
    return _day(key_range.start, table.qualified_name()), _day(key_range.end, table.qualified_name())


def _value(metadata: Any) -> Any:
    return metadata.value if isinstance(metadata, MetadataValue) else metadata
