"""How the mirror's tables are told to the AWS Glue Data Catalog: names, types, folders, partition projection.

Here belongs what a table looks like in Glue; reading and writing anything there belongs in `glue`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from spotify_assets.lakehouse.definition import duckdb_type, table_comment
from spotify_assets.lakehouse.errors import GlueSyncFailed
from spotify_assets.lakehouse.mirror import Manifest
from spotify_assets.schemas import Table
from spotify_assets.settings import BucketAddress

GLUE_TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "int",
    "BIGINT": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    # Glue has no type with a zone for Parquet: Athena shows these in UTC, as they are stored.
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}
"""Types of Glue's columns, which are Hive's, by DuckDB type
(https://docs.aws.amazon.com/athena/latest/ug/data-types.html)."""

_MONTH = "month"
APPLICATION = "spotify_assets"
OWNER = "managed_by"
MIRROR = f"{APPLICATION}.mirror"
SCHEMA_VERSION = f"{APPLICATION}.schema_version"
_SOURCE = f"{APPLICATION}.table"
_FORMATS = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
}
_SERDE = {
    "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    "Parameters": {"serialization.format": "1"},
}

# Limits of the API (https://docs.aws.amazon.com/glue/latest/webapi/API_Operations.html).
_COMMENT_BYTES = 255
_DESCRIPTION_BYTES = 2048


@dataclass(frozen=True)
class GlueTable:
    """A table as Glue is to know it.

    Attributes:
        schema: Schema and folder of the mirror.
        table: Name inside the schema.
        comment: Description and key.
        is_monthly: Whether it has a folder for each month.
        columns: Name, DuckDB type and comment of each column.
        months: Months (YYYY-MM) of which the mirror has a file, ascending.
    """

    schema: str
    table: str
    comment: str
    is_monthly: bool
    columns: tuple[tuple[str, str, str], ...]
    months: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Glue's name: `{schema}_{table}`, in small letters as Athena wants it."""
        return f"{self.schema}_{self.table}".lower()

    @property
    def folder(self) -> str:
        return f"{self.schema}/{self.table}/"

    def month_folder(self, month: str) -> str:
        return f"{self.folder}{_MONTH}={month}/"


def wanted_tables(manifest: Manifest, declared: Iterable[type[Table]]) -> list[GlueTable]:
    """Every mirrored table: as it is declared, else as the manifest describes it.

    The mirror may hold tables that another process declares (an engineer's own): they are as much of it.

    Raises:
        GlueSyncFailed: A table cannot be told to Glue: a column is called like the partition, or two names are one.
    """
    declared = list(declared)
    known = {table.qualified_name() for table in declared}
    wanted = [_declared_table(table) for table in declared if table.layout.mirrored]
    wanted += [_described_table(name, told) for name, told in manifest.tables.items() if name not in known]
    for table in wanted:
        if table.is_monthly and any(name.lower() == _MONTH for name, _, _ in table.columns):
            raise GlueSyncFailed(
                f"{table.schema}.{table.table} has a column {_MONTH}, and its files lie in folders of that name: "
                "Athena could read neither. Give the column another name. Nothing was changed."
            )
    repeated = [name for name, count in Counter(table.name for table in wanted).items() if count > 1]
    if repeated:
        raise GlueSyncFailed(f"Two tables would be called {repeated[0]} in Glue: rename one. Nothing was changed.")
    months: dict[str, set[str]] = {}
    for file in manifest.files.values():
        if match := re.fullmatch(rf"(.+/){_MONTH}=(\d{{4}}-\d\d)/[^/]+", file.key):
            months.setdefault(match[1], set()).add(match[2])
    return [
        replace(table, months=tuple(sorted(months.get(table.folder, ())))) if table.is_monthly else table
        for table in sorted(wanted, key=lambda table: table.name)
    ]


def table_input(table: GlueTable, address: BucketAddress) -> dict[str, Any]:
    """The `TableInput` of a table.

    Raises:
        GlueSyncFailed: A column has a type that Glue does not know.
    """
    columns = [
        {"Name": name.lower(), "Type": _glue_type(table, name, dtype), "Comment": _cut(comment, _COMMENT_BYTES)}
        for name, dtype, comment in table.columns
    ]
    month = {"Name": _MONTH, "Type": "string", "Comment": "Month of the rows, YYYY-MM; name it to read less."}
    described = json.dumps([table.comment, table.is_monthly, columns], sort_keys=True)
    parameters = {
        "EXTERNAL": "TRUE",
        "classification": "parquet",
        OWNER: APPLICATION,
        MIRROR: address.root,
        _SOURCE: f"{table.schema}.{table.table}",
        SCHEMA_VERSION: hashlib.sha256(described.encode()).hexdigest()[:16],
    }
    if table.is_monthly:
        first = table.months[0] if table.months else "NOW-1MONTHS"
        parameters |= {
            "projection.enabled": "true",
            f"projection.{_MONTH}.type": "date",
            f"projection.{_MONTH}.format": "yyyy-MM",
            # Athena's clock is UTC: a listener ahead of it is in the next month up to 14 hours earlier.
            f"projection.{_MONTH}.range": f"{first},NOW+1DAYS",
            f"projection.{_MONTH}.interval": "1",
            f"projection.{_MONTH}.interval.unit": "MONTHS",
            "storage.location.template": address.url(table.month_folder(f"${{{_MONTH}}}")),
        }
    return {
        "Name": table.name,
        "Description": _cut(table.comment, _DESCRIPTION_BYTES),
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "PartitionKeys": [month] if table.is_monthly else [],
        "StorageDescriptor": {
            "Columns": columns,
            "Location": address.url(table.folder),
            **_FORMATS,
            "SerdeInfo": _SERDE,
        },
    }


def partition_input(table: GlueTable, month: str, address: BucketAddress) -> dict[str, Any]:
    """The `PartitionInput` of a month. Without comments: who rewords one shall not have every month written anew."""
    columns = [
        {"Name": name.lower(), "Type": _glue_type(table, name, dtype), "Comment": ""}
        for name, dtype, _ in table.columns
    ]
    return {
        "Values": [month],
        "StorageDescriptor": {
            "Columns": columns,
            "Location": address.url(table.month_folder(month)),
            **_FORMATS,
            "SerdeInfo": _SERDE,
        },
    }


def _declared_table(table: type[Table]) -> GlueTable:
    columns = tuple(
        (name, duckdb_type(table, name), column.description or "") for name, column in table.columns().items()
    )
    layout = table.layout
    return GlueTable(layout.schema, layout.table, table_comment(table), layout.month_column is not None, columns)


def _described_table(qualified_name: str, told: dict[str, Any]) -> GlueTable:
    schema, _, name = qualified_name.partition(".")
    comment = told["description"] + (f" Key: {', '.join(told['key'])}." if told["key"] else "")
    columns = tuple((column["name"], column["type"], column["description"]) for column in told["columns"])
    return GlueTable(schema, name, comment, told["month_column"] is not None, columns)


def _glue_type(table: GlueTable, column: str, dtype: str) -> str:
    try:
        return GLUE_TYPES[dtype]
    except KeyError:
        raise GlueSyncFailed(
            f"{table.schema}.{table.table}.{column} is {dtype}, which Glue does not know. Nothing was changed."
        ) from None


def _cut(text: str, size_bytes: int) -> str:
    """One line of so many bytes at most."""
    line = " ".join(text.split())
    if len(line.encode()) <= size_bytes:
        return line
    mark = "…"
    return line.encode()[: size_bytes - len(mark.encode())].decode(errors="ignore").rstrip() + mark
