"""What the Dagster UI shows of a table: its columns, what they mean, and which columns they are made from."""

from __future__ import annotations

from dagster import (
    AssetKey,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableConstraints,
    TableSchema,
)

from spotify_assets.lakehouse.definition import duckdb_type
from spotify_assets.schemas import Table


def column_schema(table: type[Table]) -> TableSchema:
    """Value of `dagster/column_schema`: types as in DuckDB, descriptions, keys, bounds and where NULL may stand."""
    key = table.primary_key()
    columns = []
    for name, column in table.columns().items():
        bounds = [
            f"{sign} {bound:,}" if isinstance(bound, (int, float)) else f"{sign} {bound}"
            for sign, bound in ((">=", getattr(column, "min", None)), ("<=", getattr(column, "max", None)))
            if bound is not None
        ]
        columns.append(
            TableColumn(
                name=name,
                type=duckdb_type(table, name),
                description=column.description,
                constraints=TableColumnConstraints(
                    nullable=column.nullable,
                    unique=key == [name],
                    other=(["key"] if name in key else []) + bounds,
                ),
            )
        )
    constraints = TableConstraints(other=[f"key: {', '.join(key)}"]) if key else None
    return TableSchema(columns=columns, constraints=constraints)


def column_lineage(table: type[Table]) -> TableColumnLineage | None:
    """Value of `dagster/column_lineage`, None when no column names its sources."""
    dependencies = {
        name: [_dependency(source) for source in table.sources_of(name)]
        for name in table.column_names()
        if table.sources_of(name)
    }
    return TableColumnLineage(deps_by_column=dependencies) if dependencies else None


def _dependency(source: str) -> TableColumnDep:
    schema, table, column = source.split(".")
    return TableColumnDep(asset_key=AssetKey([schema, table]), column_name=column)
