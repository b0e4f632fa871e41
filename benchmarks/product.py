"""The product, as a person runs it, with a stopwatch on every stage that it reports.

    python -m benchmarks.cold product import EXPORT HOME     spotify-assets import EXPORT --home HOME
    python -m benchmarks.cold product rebuild HOME           every day of all daily assets, in one run of the job

Default settings, in this process. The last line of the output is an object: stages, days (rebuilt) and exit_code.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from spotify_assets import progress


def import_export(export: Path, home: Path) -> None:
    """What `spotify-assets import` does.

    Raises:
        SystemExit: The import failed or left rows out.
    """
    from spotify_assets.cli import app

    exit_code = app(["import", str(export), "--home", str(home)], standalone_mode=False)
    if exit_code:
        sys.exit(exit_code)


def rebuild(home: Path) -> int:
    """Build all daily assets for every day anew, stale or not, in one run, and publish; returns the days.

    The run is the one that the Dagster UI starts for a range of partitions of the job.

    Raises:
        SystemExit: The run failed.
    """
    from spotify_assets.automation.jobs import DAILY_JOB
    from spotify_assets.definitions import build_definitions, build_warehouse
    from spotify_assets.instance import open_instance
    from spotify_assets.lakehouse import run_session
    from spotify_assets.settings import Settings

    settings = Settings(home=home)
    with open_instance(settings) as instance, run_session(build_warehouse(settings), purpose="benchmark"):
        job = build_definitions(settings).resolve_job_def(DAILY_JOB)
        first, last = (
            job.partitions_def.get_first_partition_key(),
            job.partitions_def.get_last_partition_key(),
        )
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        result = job.execute_in_process(
            {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=instance,
            raise_on_error=False,
            tags=tags,
        )
        if not result.success:
            sys.exit(1)
        return len(job.partitions_def.get_partition_keys())


def main() -> None:
    arguments = argparse.ArgumentParser(description="The product with a stopwatch.")
    commands = arguments.add_subparsers(dest="command", required=True)
    importing = commands.add_parser("import")
    importing.add_argument("export", type=Path)
    importing.add_argument("home", type=Path)
    commands.add_parser("rebuild").add_argument("home", type=Path)
    told = arguments.parse_args()

    stages: list[dict[str, Any]] = []

    def note(times: progress.StageTimes) -> None:
        ended = time.monotonic()
        stages.append(
            {
                "name": times.name,
                "began": ended - times.wall_seconds,
                "ended": ended,
                "processor_seconds": times.processor_seconds,
            }
        )

    days = None
    with progress.measuring(note):
        if told.command == "import":
            import_export(told.export, told.home)
        else:
            days = rebuild(told.home)
    print(json.dumps({"stages": stages, "days": days}))


if __name__ == "__main__":
    main()
