"""Small tables for the tests of the lakehouse, which knows nothing of Spotify, and frames for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from spotify_assets.arrow import ROW_GROUP_ROWS
from spotify_assets.lakehouse import MirrorReport, Warehouse, run_session
from spotify_assets.lakehouse.transaction import Transaction
from spotify_assets.schemas import Layout, Table
from spotify_assets.schemas.table import count, day, instant, text, whole_number


class Readings(Table):
    """Readings of a gauge, replaced by day."""

    layout = Layout(
        "example", "readings", day_column="read_on", month_column="read_on", sort=("read_at",), copied_by_year=True
    )

    gauge = text("Which gauge.", key=True)
    read_at = instant("When.", key=True)
    read_on = day("Local date of read_at.", sources=["example.raw_readings.read_at"])
    level = whole_number("Level in millimetres.", minimum=0)
    remark = text("What was remarked.", nullable=True)

    @dy.rule()
    def remark_is_no_shout(cls) -> pl.Expr:
        return ~pl.col("remark").str.ends_with("!")


class RawReadings(Table):
    """Readings as they came, appended."""

    layout = Layout("example", "raw_readings", month_column="read_at", sort=("row_id",))

    row_id = whole_number("Number.", key=True)
    read_at = instant("When.")
    level = whole_number("Level in millimetres.")


class Gauges(Table):
    """Every gauge, replaced as a whole."""

    layout = Layout("example", "gauges", sort=("gauge",))

    gauge = text("Which gauge.", key=True)
    place = text("Where it stands.", nullable=True)


class GaugeDays(Table):
    """Versions of days."""

    layout = Layout("example", "gauge_days", sort=("listener", "played_on"))

    listener = text("Whose day.", key=True)
    played_on = day("Local date.", key=True)
    version = text("Version.")


class DailyLevels(Table):
    """Levels by day."""

    layout = Layout("example", "daily_levels", day_column="played_on", month_column="played_on")

    listener = text("Whose day.", key=True)
    played_on = day("Local date.", key=True)
    readings = count("Readings.")


class GaugeDaysOfTwo(Table):
    """Versions of days, of which a daily table has its own."""

    layout = Layout("example", "gauge_days_of_two", sort=("listener", "played_on"))

    listener = text("Whose day.", key=True)
    played_on = day("Local date.", key=True)
    version = text("Version.")
    daily_levels_version = text("Version for example.daily_levels.")


def warehouse_in(home: Path, **fields: object) -> Warehouse:
    return Warehouse(home=str(home), **{"lock_timeout_seconds": 20.0, "memory_limit": "200MB", **fields})


def readings(days: list[date], level: int = 1, gauge: str = "north") -> pl.DataFrame:
    """Two readings for each day: at noon UTC, and late in the evening in Berlin, which is another day in UTC or not."""
    rows = []
    for each in days:
        noon = datetime(each.year, each.month, each.day, 12, tzinfo=UTC)
        rows.append((gauge, noon, each, level, None))
        # Counts for the day before by the local calendar, although its instant lies on the next UTC date.
        rows.append((gauge, noon + timedelta(hours=13), each, level + 1, "late"))
    return pl.DataFrame(rows, schema=Readings.polars_schema(), orient="row")


def row_groups_of_readings(day: date, level: int = 1) -> pl.DataFrame:
    """The readings of so many gauges on one day that DuckDB writes them apart from all others."""
    gauges = pl.DataFrame({"number": range(ROW_GROUP_ROWS)})
    crossed = readings([day], level).join(gauges, how="cross")
    return crossed.with_columns(gauge=pl.format("gauge {}", "number")).drop("number")


def raw_readings(first: int, rows: int, at: datetime = datetime(2024, 1, 31, 22, tzinfo=UTC)) -> pl.DataFrame:
    return pl.DataFrame(
        [(number, at + timedelta(hours=number), number % 7) for number in range(first, first + rows)],
        schema=RawReadings.polars_schema(),
        orient="row",
    )


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


QUARTER = days_between(date(2024, 1, 1), date(2024, 3, 31))


def fill(transaction: Transaction, days: Sequence[date] = QUARTER) -> None:
    """Readings on each of the days, and two gauges."""
    transaction.replace_days(Readings, readings(list(days)), (days[0], days[-1]))
    transaction.replace(Gauges, pl.DataFrame({"gauge": ["b", "a"], "place": [None, "x"]}))


def update(warehouse: Warehouse, *writes: Callable[[Transaction], None], **of_session: Any) -> MirrorReport | None:
    """Let each of `writes` write in one session, and return what its mirror did."""
    with run_session(warehouse, purpose="a test", **of_session) as session:
        session.begin()
        with warehouse.transaction() as transaction:
            for write in writes:
                write(transaction)
    return session.mirror_report


def current(warehouse: Warehouse) -> Path:
    """The newest version of a mirror in the home's own folder."""
    return (warehouse.paths.mirror_folder / "current").resolve()


def files_of(folder: Path) -> dict[str, bytes]:
    """Every Parquet file by its path in the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}
