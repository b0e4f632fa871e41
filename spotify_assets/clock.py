"""The one place where the time of day is read. Transforms never do: they are handed an instant or a date."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import dagster as dg


class Clock(dg.ConfigurableResource):
    """The time now; or a fixed one, so that a rebuild of yesterday gives yesterday's answer."""

    fixed_now: str | None = None

    def now(self) -> datetime:
        """The instant, UTC."""
        return datetime.fromisoformat(self.fixed_now).astimezone(UTC) if self.fixed_now else datetime.now(UTC)

    def today(self, zone_name: str) -> date:
        """The calendar date in a time zone."""
        return self.now().astimezone(ZoneInfo(zone_name)).date()
