"""Runs a benchmark in a process of its own and measures that from outside, until the process has gone.

python -m benchmarks.cold floor EXPORT EMPTY_FOLDER
python -m benchmarks.cold product import EXPORT HOME
python -m benchmarks.cold product rebuild HOME
python -m benchmarks.cold product publish HOME
python -m benchmarks.cold product tell FOLDER HOME
python -m benchmarks.cold product due HOME
python -m benchmarks.cold product verify HOME
python -m benchmarks.cold product restore HOME
python -m benchmarks.cold live EMPTY_FOLDER
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.floor import ZONE
from benchmarks.stages import summary

ROOT = Path(__file__).parent.parent
SAMPLED_EVERY_SECONDS = 0.01
_OF_THE_CALLER = ("SPOTIFY_ASSETS_", "DAGSTER_", "AWS_")


class BenchmarkFailed(Exception):
    """A process did not end well; the message is what it said."""


def run(name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a benchmark in a new process.

    Args:
        name: floor, product or live.
        arguments: Of its command line.
        environment: Further variables; default settings without them.

    Returns:
        wall_seconds, processor_seconds (user and system, children included) and peak_mb (resident memory, megabytes
        of 10^6 bytes) of the process; what it printed as its last line, an object; for its stages see
        `stages.summary`.

    Raises:
        BenchmarkFailed: The process ended with another exit code than 0.
    """
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        own = {**_environment(), **(environment or {})}
        process = subprocess.Popen(command, cwd=ROOT, env=own, stdout=output, stderr=subprocess.STDOUT)
        memory_mb = _watch(process.pid)
        # The kernel's own account of the process, which no import and no exit can hide from.
        _, status, usage = os.wait4(process.pid, 0)
        ended = time.monotonic()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    if process.returncode != 0:
        raise BenchmarkFailed(f"{' '.join(command[1:])} ended with {process.returncode}:\n{said}")
    result = json.loads(said.splitlines()[-1])
    measured = {
        "wall_seconds": ended - began,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        # Linux counts in kibibytes, macOS in bytes.
        "peak_mb": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6,
    }
    if "stages" in result:
        measured |= summary(result.pop("stages"), memory_mb, began, ended)
    return {**measured, **result}


def _environment() -> dict[str, str]:
    """Default settings but for the zone: no setting of the caller's shell may reach the product."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_CALLER)}
    return {**own, "SPOTIFY_ASSETS_TIMEZONE": ZONE}


def _watch(process_id: int) -> list[tuple[float, float]]:
    """Instants and resident megabytes of a process, until it ends."""
    samples = []
    process = psutil.Process(process_id)
    # Nobody else waits for the process, so it stays to be seen as a zombie.
    while process.status() != psutil.STATUS_ZOMBIE:
        with suppress(psutil.Error):
            samples.append((time.monotonic(), process.memory_info().rss / 1e6))
        time.sleep(SAMPLED_EVERY_SECONDS)
    return samples


if __name__ == "__main__":
    print(json.dumps(run(*sys.argv[1:]), indent=2))
