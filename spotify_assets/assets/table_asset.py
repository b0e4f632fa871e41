"""How a table becomes an asset: its key, group, columns and lineage come from its schema.

An engineer's own table is declared with the same two functions, see docs/extending.md.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from spotify_assets.lakehouse import column_lineage, column_schema
from spotify_assets.schemas import Table, View

IO_MANAGER_KEY = "lakehouse_io_manager"


def asset_key(table: type[Table]) -> dg.AssetKey:
    return dg.AssetKey([table.layout.schema, table.layout.table])


def columns_of(
    table: type[Table],
    columns: Sequence[str],
    *,
    day_columns: Sequence[str] = (),
    equal_to: Mapping[str, str] | None = None,
) -> dg.AssetIn:
    """An input of some columns of a table.

    Args:
        table: The table to read.
        columns: The columns that the asset needs.
        day_columns: DATE columns; a daily asset then reads only rows of which one lies in the days of its run.
        equal_to: Texts by column; other rows are not read.
    """
    metadata: dict[str, Any] = {"columns": list(columns)}
    if day_columns:
        metadata["day_columns"] = list(day_columns)
    if equal_to:
        metadata["equal_to"] = dict(equal_to)
    return dg.AssetIn(key=asset_key(table), metadata=metadata)


def _metadata(table: type[Table]) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "dagster/table_name": table.qualified_name(),
        "dagster/column_schema": dg.MetadataValue.table_schema(column_schema(table)),
    }
    lineage = column_lineage(table)
    if lineage:
        metadata["dagster/column_lineage"] = dg.MetadataValue.column_lineage(lineage)
    return metadata


def table_spec(table: type[Table], *, deps: Iterable[type[Table]] = (), code_version: str = "1") -> dg.AssetSpec:
    """The asset of a table that a step writes itself; others load it with the I/O manager."""
    spec = dg.AssetSpec(
        key=asset_key(table),
        deps=[asset_key(dependency) for dependency in deps],
        description=table.table_description(),
        group_name=table.layout.schema,
        kinds={"duckdb", "parquet", "polars"},
        code_version=code_version,
        metadata=_metadata(table),
    )
    return spec.with_io_manager_key(IO_MANAGER_KEY)


def view_spec(view: type[View]) -> dg.AssetSpec:
    """A view in the lineage: no run makes it, it shows the tables that it looks at."""
    return dg.AssetSpec(
        key=asset_key(view),
        deps=[asset_key(table) for table in view.inputs()],
        description=view.table_description(),
        group_name=view.layout.schema,
        kinds={"duckdb", "view"},
        metadata=_metadata(view),
    )


def table_out(table: type[Table], *, code_version: str = "1") -> dg.AssetOut:
    """A table that is one of several returned by one step, stored by the I/O manager."""
    return dg.AssetOut(
        key=asset_key(table),
        description=table.table_description(),
        group_name=table.layout.schema,
        kinds={"duckdb", "parquet", "polars"},
        io_manager_key=IO_MANAGER_KEY,
        code_version=code_version,
        metadata=_metadata(table),
    )


def table_asset(
    table: type[Table],
    *,
    ins: Mapping[str, dg.AssetIn] | None = None,
    partitions_def: dg.PartitionsDefinition | None = None,
    code_version: str = "1",
    deps: Sequence[dg.AssetKey] = (),
    check_specs: Sequence[dg.AssetCheckSpec] = (),
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorate a function that returns the rows of `table` as a Polars frame.

    Args:
        table: The schema that the rows are cast to and checked against.
        ins: Inputs by parameter name, see `columns_of`.
        partitions_def: Daily partitions for a table by day; a range of days is built in one run.
        code_version: Raise it when the code gives other rows: every day of a daily table becomes stale.
        deps: Assets that the function reads itself.
        check_specs: Checks that the function reports.
    """

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        with warnings.catch_warnings():
            # Ranges in one run are marked beta in Dagster 1.13; one run for each of 3,650 days is no alternative.
            warnings.simplefilter("ignore", dg.BetaWarning)
            return dg.asset(
                function,
                key=asset_key(table),
                ins=ins,
                deps=list(deps),
                description=table.table_description(),
                group_name=table.layout.schema,
                kinds={"duckdb", "parquet", "polars"},
                io_manager_key=IO_MANAGER_KEY,
                metadata=_metadata(table),
                partitions_def=partitions_def,
                backfill_policy=dg.BackfillPolicy.single_run() if partitions_def else None,
                code_version=code_version,
                check_specs=list(check_specs),
            )

    return decorate
