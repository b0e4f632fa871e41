"""The job that brings the Glue Data Catalog up to date, and its schedule for those who want it every night."""

import dagster as dg

from spotify_assets.automation.jobs import GLUE_JOB, PURPOSE_TAG
from spotify_assets.lakehouse import GlueSyncFailed, living_run, sync_glue
from spotify_assets.settings import Settings

_CRON_SCHEDULE = "0 4 * * *"
_DESCRIPTION = "Bring the Glue database up to the schemas and the mirror on S3; needs SPOTIFY_ASSETS_MIRROR=s3://…"


def build_glue_job(settings: Settings) -> dg.JobDefinition:
    """The job `glue_sync`; it touches neither the lakehouse nor the mirror."""

    @dg.op(name="sync_glue_tables", description=_DESCRIPTION)
    def sync_glue_tables(context: dg.OpExecutionContext) -> None:
        with living_run(settings.paths, context.run_id, GLUE_JOB):
            try:
                report = sync_glue(settings)
            except GlueSyncFailed as error:
                raise dg.Failure(str(error), allow_retries=False) from None
        for change in report.changes:
            context.log.info(f"{change.action} {change.what} ({change.why})")
        context.log.info(
            f"Database {report.database}: {report.tables} tables, {report.partitions} partitions, "
            f"{len(report.changes)} changes."
        )

    @dg.job(name=GLUE_JOB, executor_def=dg.in_process_executor, description=_DESCRIPTION)
    def glue_sync() -> None:
        sync_glue_tables()

    return glue_sync


def build_glue_schedules(settings: Settings, job: dg.JobDefinition) -> list[dg.ScheduleDefinition]:
    """Every night after the one that builds, where the settings want it; else none: most have no Glue."""
    if not settings.glue_sync_nightly:
        return []
    return [
        dg.ScheduleDefinition(
            name=GLUE_JOB,
            job=job,
            cron_schedule=_CRON_SCHEDULE,
            execution_timezone=settings.zone_name,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            tags={PURPOSE_TAG: GLUE_JOB},
            description="Brings the Glue database up to date.",
        )
    ]
