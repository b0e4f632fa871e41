"""Exports of a play each, and ticks of sensors and schedules as the daemon has them evaluated."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.utils import make_new_run_id

from spotify_assets.clock import Clock
from spotify_assets.definitions import build_definitions
from spotify_assets.settings import Settings

TODAY = datetime.now(UTC).date()


def days_ago(number: int) -> date:
    return TODAY - timedelta(days=number)


def play(day: date, *, clock: str = "10:00:00") -> dict[str, object]:
    return {
        "ts": f"{day}T{clock}Z",
        "platform": "ios",
        "ms_played": 61000,
        "conn_country": "DE",
        "master_metadata_track_name": "Low Tide",
        "master_metadata_album_artist_name": "The Invented",
        "master_metadata_album_album_name": "Shores",
        "spotify_track_uri": "spotify:track:0000000000000000000001",
        "reason_start": "trackdone",
        "reason_end": "trackdone",
        "shuffle": False,
        "skipped": False,
        "offline": False,
        "offline_timestamp": None,
        "incognito_mode": False,
    }


def write_zip(path: Path, *plays: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MyData/Streaming_History_Audio_2024.json", json.dumps(plays))
    return path


def tick(
    settings: Settings,
    instance: dg.DagsterInstance,
    name: str,
    *,
    cursor: str | None = None,
    now: datetime | None = None,
    definitions: dg.Definitions | None = None,
):
    """Evaluate a sensor once, in the way of the code server."""
    clock = Clock(fixed_now=now.isoformat()) if now else Clock()
    definitions = definitions or build_definitions(settings, resource_overrides={"clock": clock})
    context = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        repository_def=definitions.get_repository_def(),
        resources={"clock": clock},
    )
    return definitions.resolve_sensor_def(name).evaluate_tick(context)


def execute(settings: Settings, instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """Run what a sensor asked for, in a freshly loaded code location as a run of the daemon does."""
    job = build_definitions(settings).resolve_job_def(request.job_name)
    return job.execute_in_process(
        run_config=request.run_config,
        instance=instance,
        tags=request.tags,
        asset_selection=request.asset_selection,
        raise_on_error=False,
    )


def remember_run(
    instance: dg.DagsterInstance, job_name: str, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None
) -> dg.DagsterRun:
    """A run of which only the record is there."""
    run = dg.DagsterRun(job_name=job_name, run_id=make_new_run_id(), status=status, tags=tags or {})
    return instance.run_storage.add_run(run)
