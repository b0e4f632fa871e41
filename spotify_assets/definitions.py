"""The code location: every asset, job and resource of this project.

`build_definitions` is what production, the command line and the tests share; `defs` is what Dagster loads.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from spotify_assets.assets.clean import build_catalogue_assets, build_plays_asset
from spotify_assets.assets.daily import CODE_VERSIONS, build_daily_assets
from spotify_assets.assets.raw import (
    NO_EXPORT,
    Spotify,
    build_export_assets,
    build_live_assets,
    build_provider_assets,
    build_responses_asset,
)
from spotify_assets.assets.table_asset import IO_MANAGER_KEY, view_spec
from spotify_assets.automation.alerts import build_alerts_sensor
from spotify_assets.automation.freshness import with_freshness
from spotify_assets.automation.glue import build_glue_job, build_glue_schedules
from spotify_assets.automation.inbox import build_inbox_sensor
from spotify_assets.automation.jobs import (
    ASKING_JOBS,
    DAILY_JOB,
    EVERYTHING_DUE_JOB,
    IMPORT_JOB,
    NIGHTLY_JOB,
    PURPOSE_TAG,
    build_jobs,
)
from spotify_assets.automation.live import build_live_jobs, build_live_schedules
from spotify_assets.automation.mirror_check import build_mirror_check
from spotify_assets.automation.mirror_jobs import build_mirror_equality_check, build_mirror_jobs
from spotify_assets.automation.nightly import build_nightly_schedule
from spotify_assets.automation.partitions import daily_partitions
from spotify_assets.automation.run_history import prune_run_history
from spotify_assets.automation.runs import Outcome, build_everything
from spotify_assets.automation.stale_days import LOADED_FROM_TAG, build_stale_days_sensor
from spotify_assets.clock import Clock
from spotify_assets.lakehouse import LakehouseIOManager, Warehouse, living_run
from spotify_assets.lakehouse.mirror_events import mirror_asset_specs, with_mirror_link
from spotify_assets.listeners import Household
from spotify_assets.schemas import clean, tables, views
from spotify_assets.settings import Settings
from spotify_assets.spotify.providers import build_providers
from spotify_assets.state import State


def build_warehouse(settings: Settings) -> Warehouse:
    """The warehouse resource of a home."""
    return Warehouse.from_settings(settings, days_table=clean.Days.qualified_name(), code_versions=CODE_VERSIONS)


def build_definitions(
    settings: Settings | None = None,
    *,
    extra_assets: Sequence[Any] = (),
    resource_overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """Definitions of a home.

    Args:
        settings: Settings of the home; from the environment by default.
        extra_assets: Assets of an engineer's own, see docs/extending.md.
        resource_overrides: Resources to use in place of the project's: warehouse, lakehouse_io_manager, clock,
            spotify, providers.

    Raises:
        HouseholdError: listeners.toml cannot be used.
    """
    settings = settings or Settings()
    household = Household.of(settings)
    warehouse = build_warehouse(settings)
    resources: dict[str, Any] = {
        "warehouse": warehouse,
        IO_MANAGER_KEY: LakehouseIOManager(warehouse=warehouse),
        "clock": Clock(),
        **(resource_overrides or {}),
    }
    resources.setdefault("spotify", build_spotify(settings, now=resources["clock"].now))
    resources.setdefault("providers", build_providers(settings, now=resources["clock"].now))

    partitions = daily_partitions(settings, resources["clock"].now())

    def rebuild() -> dg.Definitions:
        return build_definitions(settings, extra_assets=extra_assets, resource_overrides=resource_overrides)

    mirror = warehouse.mirror
    jobs = {job.name: job for job in build_jobs(_everything_due(settings, rebuild), _old_runs_pruned(settings))}
    live_jobs = build_live_jobs(_asked_and_built(settings, rebuild))
    glue_job = build_glue_job(settings)
    return dg.Definitions(
        assets=[
            *dg.map_asset_specs(
                functools.partial(with_mirror_link, settings.paths, mirror),
                [
                    build_export_assets(
                        listener=settings.listener, household=household, scratch_folder=settings.paths.scratch_folder
                    ),
                    *with_freshness(
                        [
                            *build_live_assets(),
                            *build_provider_assets(),
                            build_responses_asset(household=household, days_kept=settings.api_responses_days),
                        ],
                        settings,
                    ),
                    build_plays_asset(
                        household=household,
                        session_gap_minutes=settings.session_gap_minutes,
                        outage_minutes=settings.outage_minutes,
                    ),
                    *build_catalogue_assets(recordings_file=settings.paths.recordings_file, markets=household.markets),
                    *build_daily_assets(partitions),
                ],
            ),
            *mirror_asset_specs(tables(), settings.paths, mirror),
            *(view_spec(view) for view in views()),
            *extra_assets,
        ],
        asset_checks=[build_mirror_check(settings.paths, mirror), build_mirror_equality_check(warehouse)],
        jobs=[*jobs.values(), *live_jobs, glue_job, *build_mirror_jobs(warehouse)],
        schedules=[
            build_nightly_schedule(settings.zone_name, jobs[NIGHTLY_JOB]),
            *build_live_schedules(settings, live_jobs),
            *build_glue_schedules(settings, glue_job),
        ],
        sensors=[
            build_alerts_sensor(settings),
            build_inbox_sensor(settings, jobs[IMPORT_JOB]),
            build_stale_days_sensor(settings, partitions, [jobs[DAILY_JOB], jobs[EVERYTHING_DUE_JOB]]),
        ],
        resources=resources,
        executor=dg.in_process_executor,
    )


def build_spotify(
    settings: Settings, *, now: Callable[[], datetime], sleep: Callable[[float], None] = time.sleep
) -> dg.ResourceDefinition:
    """What steps have of Spotify, made anew for each run: nobody to ask, as long as no app is known.

    Args:
        settings: The home's settings.
        now: Tells the instant (UTC).
        sleep: Waits for so many seconds.

    Raises:
        HouseholdError: listeners.toml cannot be used.
    """
    household = Household.of(settings)
    listeners = [listener.name for listener in household.listeners] or [settings.listener]

    def make(_: dg.InitResourceContext) -> Spotify:
        # Loaded where it is needed only: spotipy takes as long as a tenth of every start.
        from spotify_assets.spotify.client import SpotifyClient
        from spotify_assets.spotify.credentials import CredentialsUnusable, credentials_of
        from spotify_assets.spotify.quota import BUCKETS
        from spotify_assets.spotify.sign_in import token_source

        try:
            credentials = credentials_of(settings)
            tokens = token_source(settings, now=now)
        except CredentialsUnusable as error:
            return Spotify(None, listeners, household.markets, trouble=f"{str(error).rstrip('.')}.")
        if credentials is None:
            return Spotify(None, listeners, household.markets)
        client = SpotifyClient.of_home(settings, tokens, now=now, sleep=sleep, application=credentials.client_id)
        return Spotify(
            client,
            listeners,
            household.markets,
            daily_budget=lambda endpoint: client.ledger.daily_budget(BUCKETS[endpoint]),
            quota_rows=lambda: client.ledger.rows(now()),
        )

    return dg.ResourceDefinition(make, description="Whoever asks Spotify.")


def _asked_and_built(
    settings: Settings, rebuild: Callable[[], dg.Definitions]
) -> Callable[[dg.OpExecutionContext, str], None]:
    def ask_and_build(context: dg.OpExecutionContext, name: str) -> None:
        with living_run(settings.paths, context.run_id, name):
            outcome = build_everything(
                rebuild,
                context.instance,
                build_warehouse(settings),
                State(settings.paths.state_file),
                asking_job=ASKING_JOBS[name],
                purpose=name,
            )
        _require_success(outcome)
        came = len(outcome.results) > 1
        context.log.info(f"Something new came; {outcome.built_days} days are built." if came else "Nothing new came.")

    return ask_and_build


def _require_success(outcome: Outcome) -> None:
    if not outcome.is_success:
        failed = ", ".join(result.run_id for result in outcome.results if not result.success)
        raise dg.Failure(f"Run {failed} failed; its page says why. What the others built is published.")


def _everything_due(
    settings: Settings, rebuild: Callable[[], dg.Definitions]
) -> Callable[[dg.OpExecutionContext], None]:
    def build(context: dg.OpExecutionContext) -> None:
        state = State(settings.paths.state_file)
        first_day = state.first_day()
        shown_from = context.run.tags.get(LOADED_FROM_TAG) or (first_day and first_day.isoformat())
        purpose = context.run.tags.get(PURPOSE_TAG, EVERYTHING_DUE_JOB)
        with living_run(settings.paths, context.run_id, purpose):
            outcome = build_everything(rebuild, context.instance, build_warehouse(settings), state, purpose=purpose)
        _require_success(outcome)
        context.log.info(f"{outcome.built_days} days were stale and are built.")
        if state.first_day() is None:
            context.log.warning(NO_EXPORT)
        elif state.first_day().isoformat() != shown_from:
            context.log.warning(
                f"The first day with data is now {state.first_day()}. Press Reload on the Deployment page, so that "
                "the UI shows all daily partitions."
            )

    return build


def _old_runs_pruned(settings: Settings) -> Callable[[dg.OpExecutionContext], None]:
    def prune(context: dg.OpExecutionContext) -> None:
        before = Clock().now() - timedelta(days=settings.run_history_days)
        with living_run(settings.paths, context.run_id, NIGHTLY_JOB):
            runs = prune_run_history(context.instance, before)
        context.log.info(f"{runs} runs ended before {before:%Y-%m-%d} and are deleted.")

    return prune


def _warn_of_temporary_history(settings: Settings) -> None:
    if settings.dagster_home is None:
        logging.getLogger("spotify_assets").warning(
            "DAGSTER_HOME is not set: the runs shown here are temporary and gone when Dagster stops. "
            "Run `spotify-assets ui` instead to keep them in the home folder %s.",
            settings.home,
        )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    settings = Settings()
    _warn_of_temporary_history(settings)
    return build_definitions(settings)
