"""The schedule that closes yesterday.

It closes nobody's day by name: it builds every listener's days up to their own today, and all that is stale. Where
three o'clock finds somebody's day not over, the plays still to come make it stale again, for the sensor or the next
night.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from spotify_assets.automation.jobs import NIGHTLY_JOB, NIGHTLY_SCHEDULE, PURPOSE_TAG
from spotify_assets.clock import Clock

HOUR = 3


def next_night(now: datetime, zone_name: str) -> datetime:
    """When the schedule is due next, in the listener's zone.

    >>> next_night(datetime(2025, 1, 1, 12, tzinfo=UTC), "Europe/Berlin").isoformat()
    '2025-01-02T03:00:00+01:00'
    """
    local = now.astimezone(ZoneInfo(zone_name))
    tonight = local.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    # Both in one zone: days of the calendar are added, not 24 hours.
    return tonight if local < tonight else tonight + timedelta(days=1)


def build_nightly_schedule(zone_name: str, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Every night at three, one for the whole household.

    Args:
        zone_name: IANA time zone of the settings.
        job: The job `nightly`.
    """

    @dg.schedule(
        name=NIGHTLY_SCHEDULE,
        job=job,
        cron_schedule=f"0 {HOUR} * * *",
        execution_timezone=zone_name,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Closes yesterday: builds all that is due, today's first rows included, and prunes old runs.",
    )
    def nightly(context: dg.ScheduleEvaluationContext, clock: Clock) -> dg.RunRequest | dg.SkipReason:
        due = context.scheduled_execution_time
        # A machine that was off for a week is told of every night it missed: one run does the work of all.
        if clock.now() >= next_night(due.astimezone(UTC) + timedelta(minutes=1), zone_name):
            return dg.SkipReason("This night was missed; the run of a later one does its work too.")
        return dg.RunRequest(tags={PURPOSE_TAG: NIGHTLY_JOB})

    return nightly
