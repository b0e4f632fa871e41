"""What ran last, what runs next and what is stale: read without loading an asset or opening a DuckDB file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus

from spotify_assets.automation.jobs import (
    ALERTS_SENSOR,
    ASKING_JOBS,
    INBOX_SENSOR,
    NIGHTLY_SCHEDULE,
    STALE_DAYS_SENSOR,
)
from spotify_assets.automation.nightly import next_night
from spotify_assets.automation.run_history import last_runs
from spotify_assets.instance import is_configuration_outdated
from spotify_assets.settings import Settings
from spotify_assets.state import Published, StaleDay, State, is_held

# The schedules that ask Spotify bear the names of their jobs.
_OURS = (NIGHTLY_SCHEDULE, STALE_DAYS_SENSOR, INBOX_SENSOR, ALERTS_SENSOR, *ASKING_JOBS)

_SILENCE_OF_THE_DEAD = timedelta(minutes=3)
"""The daemon gives a sign of life every half minute; Dagster itself calls it dead only after half an hour."""


class LastRun(NamedTuple):
    """A run that ended, or that goes on, at an instant (UTC), and how: SUCCESS, FAILURE, STARTED …"""

    at: datetime
    status: str


class StaleTables(NamedTuple):
    """Tables of which the same number of days, between the same days, is stale for one reason."""

    tables: list[str]
    reason: str
    days: int
    first: date
    last: date


@dataclass(frozen=True)
class Overview:
    """The state of a home's work.

    Attributes:
        published: What the published file holds, None when there is none.
        stale: What is stale and why.
        in_progress: What the living runs are for.
        last_runs: By job name: import_exports (of an export), poll, nightly, everything_due.
        daemon_seen_at: Last sign of life of the daemon.
        is_daemon_alive: Whether that was just now.
        next_night: When the nightly schedule is due, in the listener's zone; None when it is switched off.
        switched_off: Names of our sensors and schedules that someone switched off.
        is_configuration_outdated: Whether dagster.yaml was edited and misses what this version would write.
    """

    published: Published | None = None
    stale: list[StaleTables] = field(default_factory=list)
    in_progress: list[str] = field(default_factory=list)
    last_runs: dict[str, LastRun] = field(default_factory=dict)
    daemon_seen_at: datetime | None = None
    is_daemon_alive: bool = False
    next_night: datetime | None = None
    switched_off: list[str] = field(default_factory=list)
    is_configuration_outdated: bool = False


def look_at(settings: Settings, now: datetime) -> Overview:
    """The overview of a home; nothing is made where nothing is.

    Args:
        settings: Settings of the home.
        now: The time now.
    """
    paths = settings.paths
    state = State(paths.state_file) if paths.state_file.exists() else None
    of_state = {
        "published": state.published() if state and paths.published_file.exists() else None,
        "stale": stale_tables(state.stale_days()) if state else [],
        "in_progress": [run.purpose or run.run_id for run in state.runs() if is_held(run.lock_file)] if state else [],
    }
    night = next_night(now, settings.zone_name)
    if not paths.dagster_configuration.exists():
        return Overview(**of_state, next_night=night)
    with dg.DagsterInstance.from_config(str(paths.dagster_folder)) as instance:
        switched_off = [
            one.instigator_name
            for one in instance.all_instigator_state(instigator_statuses={InstigatorStatus.STOPPED})
            if one.instigator_name in _OURS
        ]
        signs = [sign.timestamp for sign in instance.get_daemon_heartbeats().values()]
        seen_at = datetime.fromtimestamp(max(signs), UTC) if signs else None
        return Overview(
            **of_state,
            last_runs={
                job_name: LastRun(record.update_timestamp, record.dagster_run.status.value)
                for job_name, record in last_runs(instance).items()
            },
            daemon_seen_at=seen_at,
            is_daemon_alive=seen_at is not None and now - seen_at < _SILENCE_OF_THE_DEAD,
            next_night=None if NIGHTLY_SCHEDULE in switched_off else night,
            switched_off=sorted(set(switched_off)),
            is_configuration_outdated=is_configuration_outdated(paths),
        )


def stale_tables(stale: list[StaleDay]) -> list[StaleTables]:
    """Stale days by reason; tables that are stale alike stand together."""
    days: dict[tuple[str, str], list[date]] = {}
    for day in stale:
        days.setdefault((day.reason, day.table_name), []).append(day.played_on)
    alike: dict[tuple[str, int, date, date], list[str]] = {}
    for (reason, table_name), of_table in sorted(days.items()):
        alike.setdefault((reason, len(of_table), min(of_table), max(of_table)), []).append(table_name)
    return [StaleTables(tables, *told) for told, tables in alike.items()]
