"""One partition for each local day, today included."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg

from spotify_assets.clock import Clock
from spotify_assets.settings import Settings
from spotify_assets.state import State

DAYS_BEFORE_THE_FIRST_EXPORT = 30


def first_day(settings: Settings) -> date:
    """The first day with data, or 30 days ago while there is none."""
    known = State(settings.paths.state_file).first_day() if settings.paths.state_file.exists() else None
    return known or Clock().today(settings.zone_name) - timedelta(days=DAYS_BEFORE_THE_FIRST_EXPORT)


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Keys are calendar labels: the listener's local dates, from the first day with data to today."""
    return dg.DailyPartitionsDefinition(
        start_date=first_day(settings).isoformat(), timezone=settings.zone_name, end_offset=1
    )
