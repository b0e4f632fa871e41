"""What is due when nobody keeps a schedule: the tables tell, since a machine that was just set up remembers no run."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from spotify_assets.automation.jobs import CATALOGUE_JOB, POLL_JOB, TOP_LISTS_JOB
from spotify_assets.automation.runs import has_unbuilt_news
from spotify_assets.lakehouse import Warehouse
from spotify_assets.listeners import Household
from spotify_assets.schemas import clean, raw_api
from spotify_assets.spotify.model import Endpoint
from spotify_assets.state import State
from spotify_assets.transforms.zones import local_date

ASKED_AGAIN_AFTER = {
    POLL_JOB: timedelta(),
    TOP_LISTS_JOB: timedelta(hours=23),
    CATALOGUE_JOB: timedelta(minutes=55),
}
"""Spotify tells the last 50 plays only, so that they are asked for whenever there is a run. For the rest the pace of
the schedules holds, less what an hour's run may be early."""

_ENDPOINTS = {
    POLL_JOB: [Endpoint.RECENTLY_PLAYED],
    TOP_LISTS_JOB: [Endpoint.TOP_ARTISTS, Endpoint.TOP_TRACKS],
}


def due_jobs(warehouse: Warehouse, now: datetime) -> list[str]:
    """The jobs that are to ask Spotify, in order, by what it answered when."""
    if not warehouse.exists():
        return list(ASKED_AGAIN_AFTER)
    asked = warehouse.read(
        raw_api.ApiResponses,
        ["endpoint", "fetched_at"],
        where="fetched_at > ?",
        parameters=[now - max(ASKED_AGAIN_AFTER.values())],
    )
    endpoint = pl.col("endpoint")
    others = ~endpoint.is_in([each for endpoints in _ENDPOINTS.values() for each in endpoints])
    last = {
        job_name: asked.filter(endpoint.is_in(_ENDPOINTS[job_name]) if job_name in _ENDPOINTS else others)[
            "fetched_at"
        ].max()
        for job_name in ASKED_AGAIN_AFTER
    }
    return [name for name, wait in ASKED_AGAIN_AFTER.items() if last[name] is None or now - last[name] >= wait]


def is_building_due(warehouse: Warehouse, state: State, household: Household, now: datetime) -> bool:
    """Whether something came in that is not built yet, days are stale, or a listener's new day has begun."""
    if not warehouse.exists():
        return False
    if has_unbuilt_news(warehouse, state):
        return True
    days = warehouse.read(clean.Days, ["listener", "played_on"])
    last = dict(days.group_by("listener").agg(pl.col("played_on").max()).iter_rows())
    today = {listener: local_date(now, household.zones_of(listener)) for listener in last}
    if any(today[listener] > day for listener, day in last.items()):
        return True
    # A clock that went ahead can date a play tomorrow: that day has to wait.
    stale = warehouse.stale_days()["played_on"]
    return bool(today) and not stale.is_empty() and stale.min() <= max(today.values())
