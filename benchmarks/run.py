"""`make bench`: floor and product by turns, compared before they are measured against each other.

    python -m benchmarks.run 100000 1000000 --rounds 3
    python -m benchmarks.run --rounds 3                    live data alone
    python -m benchmarks.run 1000000 --only mirror         one part alone: floor, mirror or live

For each size, in each round, every line a process of its own: the floor; the first import into an empty home; the same
export again; a later export that tells one new day; all days of all daily assets in one run. Then the mirror in a
bucket of an S3 server on this machine (`benchmarks.mirror`). Then the publication alone, of a file of about 50 MB. Then
live data: the first import of a million plays with and without 100,000 plays that
the Web API told of before, and two weeks on the demo Spotify against the truth (`benchmarks.live`). Shown is the round
of the median time, with the highest peak of memory of all rounds.
Writes results.json and, from it, docs/performance.md and docs/performance.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks import chart, cold, document, mirror, told
from benchmarks.compare import differences, stored_rows
from benchmarks.generate import History, generate

RESULTS = Path(__file__).parent / "results.json"
PUBLISHED_PLAYS = 215_000
"""Enough for a published file of about 50 MB."""

PARTS = ("floor", "mirror", "live")

MATCHED_AGAINST = 1_000_000
"""Rows of the export that plays of the Web API are matched against."""

Round = dict[str, dict[str, Any]]


class Different(Exception):
    """The product's numbers are wrong, so that its times say nothing."""


def measure_round(history: History, folder: Path) -> Round:
    """One round of one size in an empty folder.

    Raises:
        Different: The product's numbers are not the floor's, or an export that is known made new rows.
        cold.BenchmarkFailed: A process failed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    floor, home = folder / "floor", folder / "home"
    measured = {
        "floor": cold.run("floor", history.export, floor),
        "first": cold.run("product", "import", history.export, home),
    }
    _must_agree(floor, home, "after the first import")
    measured["first"] |= {"published_mb": _published_mb(home)}
    stored = stored_rows(home)
    measured["again"] = cold.run("product", "import", history.export, home)
    _must_agree(floor, home, "after the same export again")
    if stored_rows(home) != stored:
        raise Different(f"The same export again made {stored_rows(home) - stored:,} new rows.")
    measured["next_day"] = cold.run("product", "import", history.next_day, home)
    measured["rebuild"] = cold.run("product", "rebuild", home)
    cold.run("floor", history.export.parent, folder / "floor-and-next-day")
    _must_agree(folder / "floor-and-next-day", home, "after one new day and all days rebuilt")
    shutil.rmtree(folder)
    return measured


def _must_agree(floor: Path, home: Path, when: str) -> None:
    if found := differences(floor, home):
        raise Different("\n".join((f"Floor and product do not agree {when}:", *found)))


def _published_mb(home: Path) -> float:
    return (home / "lakehouse.duckdb").stat().st_size / 1e6


def measure_publication(history: History, folder: Path, rounds: int) -> dict[str, float]:
    """Seconds (median) and megabytes of a publication of about 50 MB, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    cold.run("product", "import", history.export, folder / "home")
    published = [cold.run("product", "publish", folder / "home")["publication"] for _ in range(rounds)]
    shutil.rmtree(folder)
    return {"seconds": median(one["seconds"] for one in published), "megabytes": published[-1]["megabytes"]}


def measure_matching(history: History, folder: Path, rounds: int) -> dict[str, Any]:
    """The first import with and without plays that the Web API told of before, by turns; each of the least time.

    Returns:
        export_rows; with_told and without, each with wall_seconds and processor_seconds of the whole import, and of
        `deciding` what is one play; published_matches (`told.match_quality`).
    """
    shutil.rmtree(folder, ignore_errors=True)
    recorded = told.write(told.tell(history), folder / "told")
    runs: dict[str, list[dict[str, Any]]] = {"with_told": [], "without": []}
    matches: dict[str, int] = {}
    for _ in range(rounds):
        for name, measured in runs.items():
            home = folder / name
            shutil.rmtree(home, ignore_errors=True)
            if name == "with_told":
                cold.run("product", "tell", recorded, home)
            measured.append(cold.run("product", "import", history.export, home))
        matches = told.match_quality(folder / "with_told", recorded / "truth.parquet")
    shutil.rmtree(folder)
    return {
        "export_rows": history.plays,
        "rounds": rounds,
        **{name: _least(measured) for name, measured in runs.items()},
        "matches": matches,
    }


def _least(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The least of each time: what a difference of two times is taken of must not hold what others were at."""
    times = ("wall_seconds", "processor_seconds")
    return {
        **{name: min(run[name] for run in runs) for name in times},
        "deciding": {name: min(run["deciding"][name] for run in runs) for name in times},
    }


def measure_live(folder: Path) -> dict[str, Any]:
    """`benchmarks.live` in a process of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    measured = cold.run("live", folder)
    shutil.rmtree(folder)
    return measured


def measure_rounds(
    measure: Callable[[History, Path], Round], history: History, folder: Path, rounds: int, of_what: str = ""
) -> Round:
    """Rounds of one size, `combined`."""
    measured = []
    for number in range(rounds):
        print(f"{history.plays:,} plays, {of_what}round {number + 1} of {rounds} …", flush=True)
        measured.append(measure(history, folder / "run"))
    return combined(measured)


def combined(rounds: list[Round]) -> Round:
    """Each action as in the round of its median time, but with the highest peak of memory of all rounds."""
    result: Round = {}
    for action in rounds[0]:
        runs = sorted((one[action] for one in rounds), key=lambda run: run["wall_seconds"])
        result[action] = {**runs[(len(runs) - 1) // 2], "peak_mb": max(run["peak_mb"] for run in runs)}
    return result


def machine() -> dict[str, Any]:
    """What the figures depend on; nothing that tells whose machine it is."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("dagster", "duckdb", "polars")},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def rounded(value: Any) -> Any:
    """Four digits after the point are more than any of these figures is worth."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return value


def keep(results: dict[str, Any]) -> None:
    """Write results.json and what is made from it; sizes measured before on this very machine stay."""
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if before.get("machine") == results["machine"]:
        of_sizes = {name: {**before.get(name, {}), **results[name]} for name in ("sizes", "mirror")}
        results = {**before, **results, **of_sizes}
    elif not results["sizes"]:
        raise SystemExit("Other figures are of another machine: measure all of them with `make bench`.")
    for name in ("sizes", "mirror"):
        results[name] = dict(sorted(results[name].items(), key=lambda item: int(item[0])))
    RESULTS.write_text(json.dumps(rounded(results), indent=1) + "\n")
    document.write()
    chart.write()


def main() -> None:
    arguments = argparse.ArgumentParser(description="Measure the product against the floor.")
    arguments.add_argument("sizes", type=int, nargs="*", help="rows of the histories")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", choices=PARTS, action="append", help="a part; all of them by default")
    arguments.add_argument("--data", type=Path, default=Path(".bench"), help="folder of generated histories")
    asked = arguments.parse_args()
    folder = asked.data.absolute()
    parts = asked.only or PARTS
    results: dict[str, Any] = {"machine": machine(), "sizes": {}, "mirror": {}}
    sizes, mirrors = results["sizes"], results["mirror"]
    if os.getloadavg()[0] > 0.5:
        print(f"Others are at work on this machine (load {os.getloadavg()[0]:.1f}): the figures will be too high.")
    try:
        for plays in asked.sizes:
            history = generate(plays, folder)
            if "floor" in parts:
                measured = measure_rounds(measure_round, history, folder, asked.rounds)
                files = list(history.export.rglob("*.json"))
                size_mb = sum(file.stat().st_size for file in files) / 1e6
                sizes[str(plays)] = {"rounds": asked.rounds, "files": len(files), "size_mb": size_mb, **measured}
                print(document.outline(plays, sizes[str(plays)]), flush=True)
            if "mirror" in parts:
                measured = measure_rounds(mirror.measure_round, history, folder, asked.rounds, "mirror, ")
                mirrors[str(plays)] = {"rounds": asked.rounds, **measured}
                print("\n".join(document.mirror_lines(plays, mirrors[str(plays)])), flush=True)
        if sizes:
            published = generate(PUBLISHED_PLAYS, folder)
            results["publication"] = measure_publication(published, folder / "run", asked.rounds)
        if "live" in parts:
            print(f"{told.PLAYS:,} plays of the Web API against {MATCHED_AGAINST:,} rows …", flush=True)
            matching = measure_matching(generate(MATCHED_AGAINST, folder), folder / "run", asked.rounds)
            print("Two weeks on the demo Spotify …", flush=True)
            results["live"] = {"matching": matching, "demo": measure_live(folder / "run")}
            print("\n".join(document.live_lines(results["live"])), flush=True)
    except (Different, mirror.NotEqual, cold.BenchmarkFailed) as error:
        sys.exit(str(error))
    keep(results)


if __name__ == "__main__":
    main()
