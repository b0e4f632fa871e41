"""One partition for each local day, today included."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from spotify_assets.clock import Clock
from spotify_assets.listeners import Household
from spotify_assets.settings import Settings
from spotify_assets.state import State
from spotify_assets.transforms.zones import zone_at

DAYS_BEFORE_THE_FIRST_EXPORT = 30


def foremost_zone(household: Household, now: datetime) -> str:
    """The zone, of those in force for a listener, where it is latest: no listener's today comes before its own."""
    return max((zone_at(now, zones) for zones in household.all_zones()), key=lambda zone: _clock_in(zone, now))


def _clock_in(zone_name: str, now: datetime) -> tuple[datetime, str]:
    # The name decides between equal clocks, so that the order of the file is of no account.
    return now.astimezone(ZoneInfo(zone_name)).replace(tzinfo=None), zone_name


def daily_partitions(settings: Settings, now: datetime | None = None) -> dg.DailyPartitionsDefinition:
    """Keys are calendar labels, each listener's own local dates.

    Args:
        settings: Of the home. The keys begin with its first day with data, or 30 days ago while there is none, and
            end with the latest today of its listeners.
        now: The instant, UTC; the clock's by default.

    Raises:
        HouseholdError: listeners.toml cannot be used.
    """
    now = now or Clock().now()
    zone_name = foremost_zone(Household.of(settings), now)
    known = State(settings.paths.state_file).first_day() if settings.paths.state_file.exists() else None
    first = known or now.astimezone(ZoneInfo(zone_name)).date() - timedelta(days=DAYS_BEFORE_THE_FIRST_EXPORT)
    return dg.DailyPartitionsDefinition(start_date=first.isoformat(), timezone=zone_name, end_offset=1)
