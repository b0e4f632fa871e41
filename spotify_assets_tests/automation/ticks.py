"""One look of a sensor or schedule, as the daemon has it taken."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.utils import make_new_run_id

from spotify_assets.clock import Clock
from spotify_assets.definitions import build_definitions
from spotify_assets.settings import Settings


class Daemon:
    """Takes the looks of one home's sensors, and remembers their cursors between them."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, now: datetime | None = None) -> None:
        self.instance = instance
        self._clock = Clock()
        if now:
            self.move_clock_to(now)
        self._repository = build_definitions(settings).get_repository_def()
        self._cursors: dict[str, str | None] = {}

    def move_clock_to(self, now: datetime) -> None:
        self._clock = Clock(fixed_now=now.isoformat())

    def look(self, sensor_name: str) -> Any:
        """What the sensor answers: `run_requests`, `skip_message`."""
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self._cursors.get(sensor_name),
            repository_def=self._repository,
            sensor_name=sensor_name,
            resources={"clock": self._clock},
        )
        answer = self._repository.get_sensor_def(sensor_name).evaluate_tick(context)
        self._cursors[sensor_name] = answer.cursor or self._cursors.get(sensor_name)
        return answer

    def due(self, schedule_name: str, at: datetime) -> Any:
        """What the schedule answers when it is asked at its time."""
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=at,
            repository_def=self._repository,
            resources={"clock": self._clock},
        )
        return self._repository.get_schedule_def(schedule_name).evaluate_tick(context)

    def schedule(self, name: str) -> dg.ScheduleDefinition:
        return self._repository.get_schedule_def(name)


def remember_run(
    instance: dg.DagsterInstance, job_name: str, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None
) -> dg.DagsterRun:
    """A run of which only the record is there."""
    run = dg.DagsterRun(job_name=job_name, run_id=make_new_run_id(), status=status, tags=tags or {})
    return instance.run_storage.add_run(run)
