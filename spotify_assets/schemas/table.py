"""The base of every table's schema: what a table is called, where its rows lie and what a column means.

Here belongs what holds for all tables. A table's own columns belong in the module of its DuckDB schema
(`raw`, `clean`, `daily`, `meta`, views in `my`); reading or writing anything belongs in `spotify_assets.lakehouse`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import dataframely as dy
import polars as pl


@dataclass(frozen=True)
class Layout:
    """Where a table lives and how its rows are laid out.

    Attributes:
        schema: DuckDB schema, Dagster group and mirror folder: raw, clean, daily, insights or meta.
        table: Name inside the schema.
        day_column: DATE column by which days are replaced, None for tables that are replaced whole or appended.
        month_column: DATE or TIMESTAMPTZ column whose month names the mirror's file; None puts the whole table
            into one file.
        sort: Columns that order the rows of a mirrored file; the primary key unless given.
        mirrored: Whether the Parquet mirror holds the table.
        copied_by_year: Whether the BI copy of the table is one file for each year of `month_column`.
    """

    schema: str
    table: str
    day_column: str | None = None
    month_column: str | None = None
    sort: tuple[str, ...] = ()
    mirrored: bool = True
    copied_by_year: bool = False

    @property
    def is_bookkeeping(self) -> bool:
        """Whether nobody but the lakehouse itself reads the table: a mirror holds it for a restore alone."""
        return self.schema == "meta"

    @property
    def is_shown(self) -> bool:
        """Whether readers of the mirror are told of the table."""
        return self.mirrored and not self.is_bookkeeping

    @property
    def is_copied(self) -> bool:
        """Whether there is a BI copy: of whatever readers are shown and not merely what arrived."""
        return self.is_shown and self.schema != "raw"

    def copy_name(self, year: str = "") -> str:
        """Name of a BI copy's file, without its ending: `clean_tracks`, `clean_plays_2024`."""
        return "_".join(filter(None, (self.schema, self.table, year)))

    def is_copy_name(self, name: str) -> bool:
        """Whether `copy_name` may give this."""
        return re.fullmatch(re.escape(self.copy_name()) + (r"_\d+" if self.copied_by_year else ""), name) is not None


def _share_copies(one: Layout, other: Layout) -> bool:
    return (
        one.is_copied
        and other.is_copied
        and (one.is_copy_name(other.copy_name()) or other.is_copy_name(one.copy_name()))
    )


_registered: dict[str, type[Table]] = {}
_registered_views: dict[str, type[View]] = {}


class Table(dy.Schema):
    """A table of the lakehouse. A subclass declares `layout` and its columns; its docstring describes it.

    Declaring it is enough to make it known: `tables()` names it, and with it the warehouse, the mirror, the Dagster
    UI and the data dictionary.

    Raises:
        ValueError: Two different classes declare one table, or two tables whose BI copies would be one file.
    """

    layout: ClassVar[Layout]

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "layout" not in cls.__dict__:
            return
        known = {**_registered, **_registered_views}.get(cls.qualified_name())
        if known and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(
                f"{cls.__module__}.{cls.__qualname__} and {known.__module__}.{known.__qualname__} both declare the "
                f"table {cls.qualified_name()}; give one of them another name in its layout"
            )
        for other in (*_registered.values(), *_registered_views.values()):
            if other.qualified_name() != cls.qualified_name() and _share_copies(cls.layout, other.layout):
                raise ValueError(
                    f"the BI copies of {cls.qualified_name()} and {other.qualified_name()} would be one file; give one "
                    "of them another name in its layout"
                )
        cls._register()

    @classmethod
    def _register(cls) -> None:
        _registered[cls.qualified_name()] = cls

    @classmethod
    def qualified_name(cls) -> str:
        """`schema.table`, as DuckDB and `dagster/table_name` write it."""
        return f"{cls.layout.schema}.{cls.layout.table}"

    @classmethod
    def table_description(cls) -> str:
        """First paragraph of the docstring, on one line."""
        return " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split())

    @classmethod
    def sort_columns(cls) -> list[str]:
        return list(cls.layout.sort) or cls.primary_key() or cls.column_names()

    @classmethod
    def columns(cls) -> dict[str, dy.Column]:
        """Columns by name, in the declared order."""
        return dict(_columns(cls))

    @classmethod
    def polars_schema(cls) -> pl.Schema:
        """Column names and Polars types, in the declared order."""
        return _polars_schema(cls)

    @classmethod
    def sources_of(cls, column: str) -> tuple[str, ...]:
        """Columns (`schema.table.column`) that `column` is made from."""
        return (cls.columns()[column].metadata or {}).get("sources", ())


_TABLE_IN_QUERY = re.compile(r"\{(\w+\.\w+)\}")


class View(Table):
    """A look at tables, in the published file and among the BI copies; its rows are stored nowhere else.

    A subclass declares `layout`, its columns (the primary key tells rows apart and orders the copies) and `query`.
    `views()` names it; `tables()`, and with it the warehouse and the mirror, does not.

    Attributes:
        query: A SELECT of the declared columns, in DuckDB's SQL; tables stand in braces: `FROM {clean.plays} AS play`.
            What the warehouse does not have yet is a table without rows there, or a column of NULLs.
    """

    query: ClassVar[str]

    @classmethod
    def _register(cls) -> None:
        _registered_views[cls.qualified_name()] = cls

    @classmethod
    def inputs(cls) -> tuple[type[Table], ...]:
        """The tables that it looks at.

        Raises:
            KeyError: One is not declared.
        """
        return tuple(table_named(name) for name in dict.fromkeys(_TABLE_IN_QUERY.findall(cls.query)))

    @classmethod
    def query_from(cls, relation: Callable[[type[Table]], str]) -> str:
        """The query with what `relation` says in the place of each table."""
        return _TABLE_IN_QUERY.sub(lambda match: relation(table_named(match.group(1))), cls.query)


# Both are asked for thousands of times in the smallest import, and dataframely walks the class each time.


@cache
def _columns(table: type[Table]) -> dict[str, dy.Column]:
    return super(Table, table).columns()


@cache
def _polars_schema(table: type[Table]) -> pl.Schema:
    return pl.Schema({name: column.dtype for name, column in table.columns().items()})


def tables() -> tuple[type[Table], ...]:
    """Every declared table, in the order of declaration."""
    return tuple(_registered.values())


def views() -> tuple[type[View], ...]:
    """Every declared view, in the order of declaration."""
    return tuple(_registered_views.values())


def table_named(qualified_name: str) -> type[Table]:
    """The schema of `schema.table`.

    Raises:
        KeyError: No schema declares that table; the message names those that are declared.
    """
    try:
        return _registered[qualified_name]
    except KeyError:
        raise KeyError(
            f"no schema declares the table {qualified_name}; declared are {', '.join(sorted(_registered))}"
        ) from None


def _metadata(sources: Sequence[str]) -> dict[str, Any] | None:
    return {"sources": tuple(sources)} if sources else None


def text(description: str, *, key: bool = False, nullable: bool = False, sources: Sequence[str] = ()) -> dy.String:
    return dy.String(
        description=description, primary_key=key, nullable=nullable and not key, metadata=_metadata(sources)
    )


def whole_number(
    description: str,
    *,
    key: bool = False,
    nullable: bool = False,
    minimum: int | None = None,
    maximum: int | None = None,
    sources: Sequence[str] = (),
) -> dy.Int64:
    return dy.Int64(
        description=description,
        primary_key=key,
        nullable=nullable and not key,
        min=minimum,
        max=maximum,
        metadata=_metadata(sources),
    )


def count(description: str, *, sources: Sequence[str] = ()) -> dy.Int64:
    """A number of things or of milliseconds that cannot be negative or NULL."""
    return whole_number(description, minimum=0, sources=sources)


def number(
    description: str,
    *,
    nullable: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    sources: Sequence[str] = (),
) -> dy.Float64:
    return dy.Float64(description=description, nullable=nullable, min=minimum, max=maximum, metadata=_metadata(sources))


def yes_or_no(description: str, *, nullable: bool = False, sources: Sequence[str] = ()) -> dy.Bool:
    return dy.Bool(description=description, nullable=nullable, metadata=_metadata(sources))


def day(description: str, *, key: bool = False, nullable: bool = False, sources: Sequence[str] = ()) -> dy.Date:
    return dy.Date(description=description, primary_key=key, nullable=nullable and not key, metadata=_metadata(sources))


def instant(description: str, *, key: bool = False, nullable: bool = False, sources: Sequence[str] = ()) -> dy.Datetime:
    """TIMESTAMPTZ: UTC, microseconds."""
    return dy.Datetime(
        description=description,
        primary_key=key,
        nullable=nullable and not key,
        time_zone="UTC",
        time_unit="us",
        metadata=_metadata(sources),
    )


def local_time(description: str, *, nullable: bool = False, sources: Sequence[str] = ()) -> dy.Datetime:
    """TIMESTAMP: the listener's wall clock, without zone, microseconds."""
    return dy.Datetime(description=description, nullable=nullable, time_unit="us", metadata=_metadata(sources))
