"""`docs/data-dictionary.md`, written from the schemas: `make docs`, or `python -m spotify_assets.data_dictionary`."""

from __future__ import annotations

from collections.abc import Iterable

from spotify_assets.lakehouse.definition import duckdb_type
from spotify_assets.schemas import Table, View, tables, views

_SCHEMAS = {
    "raw": "What arrived, append-only.",
    "clean": "What happened: one row per play whatever source told of it.",
    "daily": "One partition per local day.",
    "my": "Views: made of the tables above whenever they are read, and over the same version.",
    "meta": "What the lakehouse knows about itself. Written by the lakehouse; mirrored for a restore.",
}


def data_dictionary(declared: Iterable[type[Table]] | None = None) -> str:
    """Every table and column as Markdown.

    Args:
        declared: The tables and views; all that are declared by default, an engineer's own included.
    """
    declared = list((*tables(), *views()) if declared is None else declared)
    lines = [
        "# Data dictionary",
        "",
        "Made from the schemas by `make docs`; a test fails when it is out of date. Instants (TIMESTAMPTZ) are UTC; "
        "only `*_local` columns are wall clock times. NULL means that no source tells it.",
    ]
    schema = None
    for table in declared:
        layout = table.layout
        if layout.schema != schema:
            schema = layout.schema
            lines += ["", f"## {schema}", "", _SCHEMAS.get(schema, "")]
        lines += ["", f"### {table.qualified_name()}", "", table.table_description(), ""]
        lines += [f"- Key: {', '.join(f'`{name}`' for name in table.primary_key())}"]
        if layout.day_column:
            lines.append(f"- Replaced by day: `{layout.day_column}`")
        if issubclass(table, View):
            lines.append(f"- Over {', '.join(f'`{read.qualified_name()}`' for read in table.inputs())}")
        elif layout.mirrored:
            month = f"one file per month of `{layout.month_column}`" if layout.month_column else "one file"
            lines.append(f"- Mirror: `{layout.schema}/{layout.table}/`, {month}")
        if layout.is_copied:
            name = layout.copy_name("YYYY" if layout.copied_by_year else "")
            lines.append(f"- BI copy: `bi/{name}.parquet` (`.csv.gz`)")
        lines += ["", "| column | type | NULL | meaning |", "|---|---|---|---|"]
        for name, column in table.columns().items():
            meaning = (column.description or "").replace("|", "\\|")
            sources = ", ".join(f"`{source}`" for source in table.sources_of(name))
            made_from = f" From {sources}." if sources else ""
            nullable = "yes" if column.nullable else ""
            lines.append(f"| `{name}` | {duckdb_type(table, name)} | {nullable} | {meaning}{made_from} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(data_dictionary(), end="")
