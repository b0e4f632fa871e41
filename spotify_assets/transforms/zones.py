"""Time zones of people who move: dated lists, such as Europe/Berlin and from 1 March 2021 on America/New_York."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import polars as pl

DatedZones = Sequence[tuple[date | None, str]]
"""IANA zones in the order of the dates from which they hold; the first holds from the beginning (None)."""


def zone_at(instant: datetime, zones: DatedZones) -> str:
    """The zone in force at an instant."""
    return next(zone for begin, zone in reversed(_with_begins(zones)) if begin is None or instant >= begin)


def local_date(instant: datetime, zones: DatedZones) -> date:
    """The calendar date at an instant, by the zone in force.

    >>> from datetime import UTC
    >>> local_date(datetime(2021, 3, 1, 5, 0, tzinfo=UTC), [(None, "Europe/Berlin"), (date(2021, 3, 1), "Asia/Tokyo")])
    datetime.date(2021, 3, 1)
    """
    return instant.astimezone(ZoneInfo(zone_at(instant, zones))).date()


def day_start(day: date, zones: DatedZones) -> datetime:
    """The first instant (UTC) of a calendar date, by the zone in force.

    >>> day_start(date(2021, 3, 1), [(None, "Europe/Berlin"), (date(2021, 3, 1), "Asia/Tokyo")]).isoformat()
    '2021-02-28T15:00:00+00:00'
    """
    begun = _with_begins(zones)
    ends = [*(begin for begin, _ in begun[1:]), None]
    starts = []
    for (begin, zone), end in zip(begun, ends, strict=True):
        midnight = datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
        start = midnight if begin is None else max(midnight, begin)
        if end is None or start < end:
            starts.append(start)
    return min(starts)


def local_times(zones: Mapping[str, DatedZones], columns: Sequence[str]) -> dict[str, pl.Expr]:
    """Expressions of `{column}_local`, the instants of `columns` on the wall clock of their row's `listener`."""
    listeners: dict[tuple[tuple[date | None, str], ...], list[str]] = {}
    for listener, of_listener in zones.items():
        listeners.setdefault(tuple(of_listener), []).append(listener)
    return {f"{column}_local": _local_time(column, listeners) for column in columns}


def _local_time(column: str, listeners: Mapping[tuple[tuple[date | None, str], ...], Sequence[str]]) -> pl.Expr:
    if len(listeners) < 2:
        # Most homes have one zone: nothing is to be told apart.
        return _on_wall_clock(column, next(iter(listeners), ((None, "UTC"),)))
    cases = [
        pl.when(pl.col("listener").is_in(names)).then(_on_wall_clock(column, zones))
        for zones, names in listeners.items()
    ]
    return pl.coalesce(cases)


def _on_wall_clock(column: str, zones: DatedZones) -> pl.Expr:
    instant = pl.col(column)
    shown = None
    for begin, zone in _with_begins(zones):
        local = instant.dt.convert_time_zone(zone).dt.replace_time_zone(None)
        shown = local if shown is None else pl.when(instant >= begin).then(local).otherwise(shown)
    return shown


def _with_begins(zones: DatedZones) -> list[tuple[datetime | None, str]]:
    """Each zone with the instant from which it holds: midnight of its date, on its own clocks."""
    return [(begin and datetime.combine(begin, time(), ZoneInfo(zone)).astimezone(UTC), zone) for begin, zone in zones]
