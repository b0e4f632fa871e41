"""The jobs that the Dagster UI offers and the command line runs."""

from collections.abc import Callable

import dagster as dg

IMPORT_JOB = "import_exports"
DAILY_JOB = "daily"
EVERYTHING_DUE_JOB = "everything_due"


def build_jobs(build_everything_due: Callable[[dg.OpExecutionContext], None]) -> list:
    """Jobs over the assets.

    Args:
        build_everything_due: Imports nothing new, but brings clean and every stale day up to date.
    """
    schemas = dg.AssetSelection.groups("raw", "clean")
    import_exports = dg.define_asset_job(
        IMPORT_JOB,
        selection=schemas,
        description="Take in exports named in the config (or none) and rebuild the clean tables.",
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

    return [import_exports, daily, everything_due]
