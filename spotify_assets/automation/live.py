"""When Spotify is asked: the jobs that ask and build what came of it, and their schedules.

A schedule never asks in the name of somebody who is not signed in, and never opens a browser or waits for a person.
"""

from collections.abc import Callable
from datetime import timedelta

import dagster as dg

from spotify_assets.automation.jobs import CATALOGUE_JOB, POLL_JOB, PURPOSE_TAG, TOP_LISTS_JOB
from spotify_assets.clock import Clock
from spotify_assets.settings import Settings
from spotify_assets.spotify.credentials import CredentialsUnusable, credentials_of
from spotify_assets.spotify.token_folder import Standing, TokenFolder, sign_in_state

CRON_SCHEDULES = {POLL_JOB: "*/30 * * * *", CATALOGUE_JOB: "7 * * * *", TOP_LISTS_JOB: "20 4 * * *"}
"""Spotify tells the last 50 plays only, and half an hour holds fewer. The catalogue is a matter of its daily budget; a
ranking changes once a day."""

_MISSED_AFTER = {
    POLL_JOB: timedelta(minutes=25),
    CATALOGUE_JOB: timedelta(minutes=55),
    TOP_LISTS_JOB: timedelta(hours=23),
}
"""A tick that comes later than this has a younger one behind it. A machine that is off every night asks for the
rankings in the morning."""

_DESCRIPTIONS = {
    POLL_JOB: "Asks Spotify for the last plays of everybody who is signed in; builds what is new.",
    CATALOGUE_JOB: "Asks for tracks, albums, artists, features, libraries and playlists, within the day's quota.",
    TOP_LISTS_JOB: "Asks for the top artists and tracks of everybody who is signed in.",
}


def build_live_jobs(
    ask_and_build: Callable[[dg.OpExecutionContext, str], None],
) -> list[dg.JobDefinition]:
    """The jobs `poll`, `catalogue_backlog` and `top_lists`.

    Args:
        ask_and_build: Runs the steps that ask, named by the job, then builds what became stale if anything came.
    """
    return [_job(name, ask_and_build) for name in CRON_SCHEDULES]


def _job(name: str, ask_and_build: Callable[[dg.OpExecutionContext, str], None]) -> dg.JobDefinition:
    @dg.op(name=f"ask_for_{name}", description=_DESCRIPTIONS[name])
    def ask(context: dg.OpExecutionContext) -> None:
        ask_and_build(context, name)

    @dg.job(name=name, executor_def=dg.in_process_executor, description=_DESCRIPTIONS[name])
    def job() -> None:
        ask()

    return job


def build_live_schedules(settings: Settings, jobs: list[dg.JobDefinition]) -> list[dg.ScheduleDefinition]:
    """The schedules of `build_live_jobs`, switched on."""
    return [_schedule(settings, job) for job in jobs]


def _schedule(settings: Settings, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=job.name,
        job=job,
        cron_schedule=CRON_SCHEDULES[job.name],
        execution_timezone=settings.zone_name,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=_DESCRIPTIONS[job.name],
    )
    def schedule(context: dg.ScheduleEvaluationContext, clock: Clock) -> dg.RunRequest | dg.SkipReason:
        if reason := reason_not_to_ask(settings, job.name, clock):
            return dg.SkipReason(reason)
        if clock.now() - context.scheduled_execution_time > _MISSED_AFTER[job.name]:
            # A machine that was off is told of each tick that it missed: what was played since is told by one answer.
            return dg.SkipReason("This one was missed; the next asks for the same.")
        return dg.RunRequest(tags={PURPOSE_TAG: job.name})

    return schedule


def reason_not_to_ask(settings: Settings, job_name: str, clock: Clock) -> str:
    """Why there is nobody to ask for, in words; empty when there is."""
    folder = TokenFolder(settings.paths.tokens_folder)
    states = [sign_in_state(folder, listener, now=clock.now()) for listener in folder.listeners()]
    if any(state.standing in (Standing.GOOD, Standing.ENDING) for state in states):
        return ""
    if job_name == CATALOGUE_JOB:
        try:
            credentials = credentials_of(settings)
        except CredentialsUnusable as error:
            return str(error)
        if (credentials and credentials.client_secret) or settings.genre_providers:
            return ""
    return " ".join(state.message for state in states) or (
        "Nobody is signed in to Spotify. `spotify-assets login` changes that; exports need no sign-in."
    )
