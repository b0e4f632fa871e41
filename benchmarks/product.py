"""The product, as a person runs it, with a stopwatch on every stage that it reports.

    python -m benchmarks.cold product import EXPORT HOME     spotify-assets import EXPORT --home HOME
    python -m benchmarks.cold product tell FOLDER HOME       plays of the Web API, as polls would have left them
    python -m benchmarks.cold product rebuild HOME           every day of all daily assets, in one run of the job
    python -m benchmarks.cold product publish HOME           the published file once more, and nothing else
    python -m benchmarks.cold product due HOME               a run that finds nothing new
    python -m benchmarks.cold product verify HOME            spotify-assets mirror verify --home HOME
    python -m benchmarks.cold product restore HOME           spotify-assets restore --home HOME

Default settings, in this process. The last line of the output is an object, for `cold`.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from spotify_assets import progress


def command(*arguments: str | Path, home: Path) -> None:
    """What a command of `spotify-assets` does.

    Raises:
        SystemExit: It failed, or did not do all of it.
    """
    from spotify_assets.cli import app

    exit_code = app([*map(str, arguments), "--home", str(home)], standalone_mode=False)
    if exit_code:
        sys.exit(exit_code)


def due(home: Path) -> None:
    """A run of what is due, as the daemon starts them; the inbox is empty.

    Raises:
        SystemExit: The run failed.
    """
    from spotify_assets.automation.jobs import EVERYTHING_DUE_JOB
    from spotify_assets.commands import build
    from spotify_assets.settings import Settings

    if not build(Settings(home=home), {}, purpose=EVERYTHING_DUE_JOB).outcome.is_success:
        sys.exit(1)


def tell(told: Path, home: Path) -> None:
    """Let a home know plays of the Web API (`benchmarks.told.write`), as polls would have left them; publish them."""
    import polars as pl

    from spotify_assets.definitions import build_warehouse
    from spotify_assets.lakehouse import run_session
    from spotify_assets.schemas.raw_api import Polls, RecentlyPlayed
    from spotify_assets.settings import Settings

    warehouse = build_warehouse(Settings(home=home))
    with run_session(warehouse, purpose="benchmark") as session:
        session.begin()
        with warehouse.transaction() as transaction:
            transaction.append(RecentlyPlayed, pl.read_parquet(told / "plays.parquet"))
            transaction.append(Polls, pl.read_parquet(told / "polls.parquet"))


def rebuild(home: Path) -> dict[str, float]:
    """Build all daily assets for every day anew, stale or not, in one run, then publish.

    The run is the one that the Dagster UI starts for a range of partitions of the job.

    Returns:
        days, and run_seconds of the run alone.

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
        days = job.partitions_def.get_partition_keys()
        tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
        began = time.perf_counter()
        result = job.execute_in_process(
            {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=instance,
            raise_on_error=False,
            tags=tags,
        )
        if not result.success:
            sys.exit(1)
        return {"days": len(days), "run_seconds": time.perf_counter() - began}


def publish(home: Path) -> dict[str, float]:
    """Publish the warehouse as at the end of a run that changed one small table.

    Returns:
        seconds and megabytes of the publication.
    """
    from spotify_assets.definitions import build_warehouse
    from spotify_assets.lakehouse import run_session
    from spotify_assets.schemas.raw import Imports
    from spotify_assets.settings import Settings

    seconds: dict[str, float] = {}
    warehouse = build_warehouse(Settings(home=home))
    with (
        progress.measuring(lambda times: seconds.update({times.name: times.wall_seconds})),
        run_session(warehouse, purpose="benchmark") as session,
    ):
        session.begin()
        with warehouse.transaction() as transaction:
            transaction.mark_changed(Imports)
    return {"seconds": seconds["publish"], "megabytes": session.publication.size_bytes / 1e6}


def main() -> None:
    arguments = argparse.ArgumentParser(description="The product with a stopwatch.")
    commands = arguments.add_subparsers(dest="command", required=True)
    importing = commands.add_parser("import")
    importing.add_argument("export", type=Path)
    importing.add_argument("home", type=Path)
    telling = commands.add_parser("tell")
    telling.add_argument("told", type=Path)
    telling.add_argument("home", type=Path)
    for name in ("rebuild", "publish", "due", "verify", "restore"):
        commands.add_parser(name).add_argument("home", type=Path)
    told = arguments.parse_args()

    stages: list[dict[str, Any]] = []
    deciding = {"wall_seconds": 0.0, "processor_seconds": 0.0}

    def note(times: progress.StageTimes) -> None:
        ended = time.monotonic()
        began = ended - times.wall_seconds
        if times.name.startswith("plays: "):
            deciding["wall_seconds"] += times.wall_seconds
            deciding["processor_seconds"] += times.processor_seconds
        stages.append({"name": times.name, "thread": threading.get_ident(), "began": began, "ended": ended})

    result: dict[str, Any] = {}
    with progress.measuring(note):
        if told.command == "import":
            command("import", told.export, home=told.home)
        elif told.command == "tell":
            tell(told.told, told.home)
        elif told.command == "rebuild":
            result |= rebuild(told.home)
        elif told.command == "due":
            due(told.home)
        elif told.command == "verify":
            command("mirror", "verify", home=told.home)
        elif told.command == "restore":
            command("restore", home=told.home)
        else:
            result["publication"] = publish(told.home)
    print(json.dumps({**result, "deciding": deciding, "stages": stages}))


if __name__ == "__main__":
    main()
