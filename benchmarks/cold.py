"""Runs a benchmark in a process of its own and measures that from outside, until the process has gone.

python -m benchmarks.cold floor EXPORT EMPTY_FOLDER
python -m benchmarks.cold product import EXPORT HOME
python -m benchmarks.cold product rebuild HOME
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.floor import ZONE

ROOT = Path(__file__).parent.parent


class BenchmarkFailed(Exception):
    """A process did not end well; the message is what it said."""


def run(name: str, *arguments: str | Path) -> dict[str, Any]:
    """Run a benchmark in a new process.

    Args:
        name: floor or product.
        arguments: Of its command line.

    Returns:
        What the process printed as the last line, an object, and `wall_seconds`, `processor_seconds` (user and
        system, children included), `peak_mb` (of memory that was resident; of the largest process, if it had
        children). Instants of `stages` are seconds from the start of the process.

    Raises:
        BenchmarkFailed: The process ended with another exit code than 0.
    """
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = process.stdout.read()
    # The kernel's own account of the process, which no import or exit can hide from.
    _, status, usage = os.wait4(process.pid, 0)
    wall_seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise BenchmarkFailed(f"{' '.join(command[1:])} ended with {process.returncode}:\n{output}")
    result = json.loads(output.splitlines()[-1])
    for stage in result.get("stages", ()):
        stage["began"] -= began
        stage["ended"] -= began
    return {
        **result,
        "wall_seconds": wall_seconds,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        # Linux counts kilobytes, macOS bytes.
        "peak_mb": usage.ru_maxrss / (1_000_000 if sys.platform == "darwin" else 1_000 / 1.024),
    }


def _environment() -> dict[str, str]:
    """Default settings but for the zone: no setting of the caller's shell may reach the product."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SPOTIFY_ASSETS_", "DAGSTER_"))}
    return {**own, "SPOTIFY_ASSETS_TIMEZONE": ZONE}


if __name__ == "__main__":
    print(json.dumps(run(*sys.argv[1:]), indent=2))
