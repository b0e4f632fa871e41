"""The jobs that the Dagster UI offers and the command line runs."""

from collections.abc import Callable

import dagster as dg

from spotify_assets.assets import ASKS_TAG

IMPORT_JOB = "import_exports"
REPLAY_JOB = "replay_responses"
DAILY_JOB = "daily"
EVERYTHING_DUE_JOB = "everything_due"
NIGHTLY_JOB = "nightly"
POLL_JOB, CATALOGUE_JOB, TOP_LISTS_JOB = "poll", "catalogue_backlog", "top_lists"
ASK_EVERYTHING_JOB = "ask_spotify"
GLUE_JOB = "glue_sync"
MIRROR_VERIFY_JOB, MIRROR_SYNC_JOB = "mirror_verify", "mirror_sync"

POLLED = ("raw/recently_played", "raw/polls")
RANKED = ("raw/top_artists", "raw/top_tracks")
"""The assets of the jobs `poll` and `top_lists`; whatever else asks belongs to `catalogue_backlog`."""

ASKING_JOBS = {
    POLL_JOB: "ask_recently_played",
    CATALOGUE_JOB: "ask_catalogue",
    TOP_LISTS_JOB: "ask_top_lists",
}
"""Jobs over the assets that ask, by the job that runs them and builds what came of it."""

NIGHTLY_SCHEDULE = "nightly"
INBOX_SENSOR = "inbox"
STALE_DAYS_SENSOR = "stale_days"
ALERTS_SENSOR = "alerts"

PURPOSE_TAG = "spotify_assets/purpose"
"""Tag that says why a run was started: one of the purposes below, or the name of the job that started it."""
IMPORT_PURPOSE, REPLAY_PURPOSE, STALE_DAYS_PURPOSE = "import", "replay", "stale_days"


def build_jobs(
    build_everything_due: Callable[[dg.OpExecutionContext], None],
    prune_run_history: Callable[[dg.OpExecutionContext], None],
) -> list:
    """Jobs over the assets.

    Args:
        build_everything_due: Imports nothing new, but brings clean and every stale day up to date.
        prune_run_history: Deletes runs that are older than the settings keep them.
    """
    # An import asks nobody on the internet.
    asks = dg.AssetSelection.tag(ASKS_TAG, "spotify") | dg.AssetSelection.tag(ASKS_TAG, "providers")
    schemas = dg.AssetSelection.groups("raw", "clean") - asks
    import_exports = dg.define_asset_job(
        IMPORT_JOB,
        selection=schemas,
        description="Take in exports named in the config (or none) and rebuild the clean tables.",
    )
    replay_responses = dg.define_asset_job(
        REPLAY_JOB,
        selection=dg.AssetSelection.assets("raw/api_responses", "raw/rejected_items"),
        description="Take in recorded responses of Spotify named in the config; without any, remove those that aged.",
    )
    polled = dg.AssetSelection.assets(*POLLED)
    ranked = dg.AssetSelection.assets(*RANKED)
    asking_jobs = [
        dg.define_asset_job(ASKING_JOBS[POLL_JOB], selection=polled, description="Ask for everybody's last plays."),
        dg.define_asset_job(ASKING_JOBS[TOP_LISTS_JOB], selection=ranked, description="Ask for everybody's top lists."),
        dg.define_asset_job(
            ASKING_JOBS[CATALOGUE_JOB],
            selection=asks - polled - ranked,
            description="Ask for libraries, tracks, albums, artists, features and genres.",
        ),
    ]
    ask_everything = dg.define_asset_job(
        ASK_EVERYTHING_JOB, selection=asks, description="Ask Spotify, and providers, for everything at once."
    )
    daily = dg.define_asset_job(
        DAILY_JOB,
        selection=dg.AssetSelection.groups("daily"),
        description="Build the daily tables for a day or a range of days, in one run.",
    )

    @dg.op(description="Rebuild what an import, a setting or a new day has made stale; publish once.")
    def build_what_is_due(context: dg.OpExecutionContext) -> None:
        build_everything_due(context)

    @dg.job(
        name=EVERYTHING_DUE_JOB,
        executor_def=dg.in_process_executor,
        description="Bring everything up to date: clean tables, then every stale day. Needs no config.",
    )
    def everything_due() -> None:
        build_what_is_due()

    @dg.op(description="Delete runs that ended long ago; what was built last stays known.")
    def prune_old_runs(context: dg.OpExecutionContext) -> None:
        prune_run_history(context)

    @dg.job(
        name=NIGHTLY_JOB,
        executor_def=dg.in_process_executor,
        description="Close yesterday: build everything that is due, and delete the history of old runs.",
    )
    def nightly() -> None:
        # Neither waits for the other: a night that cannot build must not let the history grow.
        prune_old_runs()
        build_what_is_due()

    return [import_exports, replay_responses, *asking_jobs, ask_everything, daily, everything_due, nightly]
