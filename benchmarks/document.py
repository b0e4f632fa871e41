"""docs/performance.md, written from results.json and soak.json and nothing else: a test holds it to that.

python -m benchmarks.document
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.stages import NOT_OF_THE_DATA

FOLDER = Path(__file__).parent
RESULTS, SOAK = FOLDER / "results.json", FOLDER / "soak.json"
DOCUMENT = FOLDER.parent / "docs" / "performance.md"

TARGET_PLAYS, LARGEST_PLAYS = "1000000", "10000000"
ACTIONS = {
    "first": "first import",
    "again": "same export again",
    "next_day": "one new day",
    "rebuild": "all days rebuilt",
}

Size = dict[str, Any]


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1000:.2f} GB"


def _ratio(value: float, base: float, of: str) -> str:
    return f"{value / base:.2f} × {of} ({_seconds(value)})"


def _mark(is_reached: bool) -> str:
    return "reached" if is_reached else "**missed**"


def _after_start_up(run: Size) -> float:
    return run["wall_seconds"] - run["start_up_seconds"]


MATCHING_SECONDS = 2.0


def _matching(live: dict[str, Any]) -> tuple[float, float, float]:
    """Seconds of the clock and of the processor that plays of the Web API cost the deciding, and how many times as long
    that took."""
    with_told, without = (live["matching"][name]["deciding"] for name in ("with_told", "without"))
    wall, processor = (with_told[name] - without[name] for name in ("wall_seconds", "processor_seconds"))
    return wall, processor, with_told["wall_seconds"] / without["wall_seconds"]


MIRROR_RATIO = 1.3


def _bytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 50_000 else f"{count / 1e3:,.1f} kB"


def _put(uploads: dict[str, Any], kind: str) -> str:
    """Objects and bytes that were put."""
    return f"{uploads[kind]['objects']:,} ({_bytes(uploads[kind]['bytes'])})"


def _all_put(uploads: dict[str, Any]) -> int:
    return sum(of_kind["objects"] for of_kind in uploads.values())


def _months_put(uploads: dict[str, Any]) -> str:
    first, last = (uploads["months"].get(end, "no month") for end in ("first", "last"))
    return f"{_put(uploads, 'months')} files of {first if first == last else f'{first} to {last}'}"


def mirror_targets(size: Size) -> list[tuple[str, str, str, bool]]:
    """What, the figure that must be reached, the measured one, and whether it is reached."""
    folder, bucket, day = (size[name] for name in ("folder", "bucket", "next_day"))
    months, put_without_news = day["uploads"]["months"], _all_put(size["unchanged"]["uploads"])
    return [
        (
            "the first import, mirrored to an S3 server on this machine",
            f"<= {MIRROR_RATIO} × to a folder",
            _ratio(bucket["wall_seconds"], folder["wall_seconds"], "to a folder"),
            bucket["wall_seconds"] <= MIRROR_RATIO * folder["wall_seconds"],
        ),
        (
            "one new day uploads to it, beside the BI copies",
            "files of that month, and small tables",
            f"{_months_put(day['uploads'])}, {_put(day['uploads'], 'tables')} tables",
            bool(months["objects"]) and months["first"] == months["last"],
        ),
        ("a run without news uploads", "0 objects", f"{put_without_news} objects", put_without_news == 0),
    ]


def targets(results: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """What, the figure that must be reached, the measured one, and whether it is reached."""
    size, largest = results["sizes"].get(TARGET_PLAYS), results["sizes"].get(LARGEST_PLAYS)
    rows: list[tuple[str, str, str, str]] = []

    def row(what: str, must: str, measured: str, is_reached: bool) -> None:
        rows.append((what, must, measured, _mark(is_reached)))

    if size:
        floor, first, again = (size[name] for name in ("floor", "first", "again"))
        floor_seconds, seconds, data = floor["wall_seconds"], first["wall_seconds"], first["data_seconds"]
        row(
            "the data's own way (parse, match, write, transform, publish, mirror)",
            "<= 3 × the floor, aim 1.5 ×",
            _ratio(data, floor_seconds, "the floor"),
            data <= 3 * floor_seconds,
        )
        row(
            "the whole import, ten years of all daily assets and their events included",
            "<= 7 × the floor, aim 4 ×",
            _ratio(seconds, floor_seconds, "the floor"),
            seconds <= 7 * floor_seconds,
        )
        peak = max(size[name]["peak_mb"] for name in ACTIONS)
        row("peak memory", "<= 1 GB, aim 0.6 GB", _memory(peak), peak <= 1000)
    if largest:
        peak = max(largest[name]["peak_mb"] for name in ACTIONS)
        row("peak memory at 10,000,000 plays", "<= 1.5 GB", _memory(peak), peak <= 1500)
    if size:
        row(
            "the same export again (0 new rows)",
            "<= 0.7 × the first, aim 0.3 ×",
            _ratio(again["wall_seconds"], seconds, "the first"),
            again["wall_seconds"] <= 0.7 * seconds,
        )
        new_day, rebuild = _after_start_up(size["next_day"]), size["rebuild"]
        row("one new day, after start-up", "<= 1 s", _seconds(new_day), new_day <= 1)
        row(
            f"all {rebuild['days']:,} days of all daily assets in one run",
            "<= 12 s, aim 8 s",
            f"{_seconds(rebuild['run_seconds'])} the run, {_seconds(rebuild['wall_seconds'])} the whole process",
            rebuild["run_seconds"] <= 12,
        )
    published = results["publication"]
    row(
        f"publish {published['megabytes']:.0f} MB",
        "< 0.1 s at 50 MB",
        f"{published['seconds']:.3f} s",
        published["seconds"] / published["megabytes"] < 0.1 / 50,
    )
    if mirrored := results.get("mirror", {}).get(TARGET_PLAYS):
        for target in mirror_targets(mirrored):
            row(*target)
    if live := results.get("live"):
        wall, processor, times = _matching(live)
        row(
            f"{live['matching']['matches']['told']:,} plays of the Web API matched against "
            f"{live['matching']['export_rows']:,} rows",
            f"<= {MATCHING_SECONDS:.0f} s above import",
            f"{_seconds(wall)} ({_seconds(processor)} of the processor), deciding takes {times:.2f} × as long",
            wall <= MATCHING_SECONDS,
        )
    return rows


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]], *, numbers_from: int = 1) -> list[str]:
    rule = ["---" if column < numbers_from else "---:" for column in range(len(header))]
    return ["| " + " | ".join(cells) + " |" for cells in (header, tuple(rule), *rows)]


def _stage_rows(size: Size) -> list[tuple[str, ...]]:
    names = dict.fromkeys(name for action in ACTIONS for name in size[action]["stages"])
    rows = []
    for name in names:
        shown = f"*{name}*" if name in NOT_OF_THE_DATA else name
        peak = size["first"]["stages"].get(name, {}).get("peak_mb")
        stages = (size[action]["stages"].get(name) for action in ACTIONS)
        seconds = (f"{stage['wall_seconds']:.2f}" if stage else "" for stage in stages)
        rows.append((shown, *seconds, f"{peak:,.0f}" if peak else ""))

    def of_all(name: str, figure: Any, peak: str = "") -> None:
        rows.append((name, *(f"{figure(size[action]):.2f}" for action in ACTIONS), peak))

    of_all("*between the stages*", lambda run: run["wall_seconds"] - run["staged_seconds"])
    of_all("**whole process**", lambda run: run["wall_seconds"], f"**{size['first']['peak_mb']:,.0f}**")
    of_all("its processor seconds", lambda run: run["processor_seconds"])
    of_all("the data's own way", lambda run: run["data_seconds"])
    return rows


def _growth_rows(sizes: dict[str, Size]) -> list[tuple[str, ...]]:
    return [
        (
            f"{int(plays):,}",
            f"{size['files']:,} files, {size['size_mb']:,.0f} MB",
            f"{size['floor']['wall_seconds']:.2f}",
            f"{size['floor']['peak_mb']:,.0f}",
            f"{size['first']['wall_seconds']:.2f}",
            f"{size['first']['wall_seconds'] / size['floor']['wall_seconds']:.2f}",
            f"{size['first']['data_seconds'] / size['floor']['wall_seconds']:.2f}",
            f"{size['first']['peak_mb']:,.0f}",
            f"{size['again']['wall_seconds']:.2f}",
            f"{size['next_day']['wall_seconds']:.2f} ({_after_start_up(size['next_day']):.2f})",
            f"{size['rebuild']['wall_seconds']:.2f}",
            f"{size['first']['published_mb']:,.0f}",
        )
        for plays, size in sizes.items()
    ]


_INTRODUCTION = """\
# Performance

Written by `make bench` from `benchmarks/results.json`; a test fails when it is out of date.

What a history of ten years costs, measured against a *floor*: one hand-tuned DuckDB script
([floor.py](../benchmarks/floor.py)) that parses the same files, drops exact copies, makes two daily aggregates and
writes a DuckDB file and Parquet. The floor keeps no ledger, matches nothing, explains nothing and emits no events; it
is the least that the machine lets one get away with. The product is `spotify-assets import` with default settings, to
the published file and the mirror, with every asset (seven daily tables, where the floor has two), every day and all of
Dagster's events.

![Where the time goes, and how time and memory grow](performance.svg)"""


def _live_rows(live: dict[str, Any]) -> list[tuple[str, str]]:
    """What, and the figure."""
    matching, demo = live["matching"], live["demo"]
    wall, processor, times = _matching(live)
    whole = matching["with_told"]["processor_seconds"] - matching["without"]["processor_seconds"]
    met, before, after, polls = matching["matches"], demo["before_export"], demo["after_export"], demo["polls"]
    rows = [
        (
            f"{met['told']:,} plays of the Web API matched against {matching['export_rows']:,} rows",
            f"{_seconds(wall)} above the same import without ({_seconds(processor)} of the processor; the whole import "
            f"{_seconds(whole)}); deciding takes {times:.2f} × as long",
        ),
        ("… of them", f"{met['matched']:,} matched, {met['matched_wrongly']:,} wrongly; {met['missed']:,} missed"),
        (
            f"{demo['days']} days polled every 30 minutes, an hour of errors, two days without",
            f"{polls['told']:,} polls answered, {polls['failed']:,} failed; {polls['requests']:,} requests, "
            f"{polls['seconds_waited']:,.0f} s waited ({polls['seconds_waited_for_errors']:,.0f} s for errors)",
        ),
        (
            "before the export",
            f"{before['plays']:,} plays of the {before['truth_told_by_api']:,} that Spotify tells of (truth: "
            f"{before['truth']:,} with podcasts and the like), {before['api_only']:,} by the Web API only; provable "
            f"gaps: {before['gaps']}",
        ),
        (
            "after the export",
            f"{after['plays']:,} plays, {after['plays_not_as_truth']:,} other than the truth; {after['matched']:,} "
            f"matched, {after['matched_wrongly']:,} wrongly; {after['missed']:,} missed, {after['api_only']:,} by the "
            f"Web API only; provable gaps: {after['gaps']}",
        ),
    ]
    for cohort, backlog in demo["backlog"].items():
        requests = sorted(backlog["requests"].items())
        counts = (_requests(bucket, count, backlog["entities"].get(bucket)) for bucket, count in requests)
        rows.append(
            (
                f"catalogue and library, app of the {cohort} cohort",
                f"{sum(backlog['requests'].values()):,} requests: {', '.join(counts)}; "
                f"{backlog['seconds_waited']:,.0f} s waited, done on day {backlog['days']}; asked again: "
                f"{backlog['again']} for the catalogue",
            )
        )
    return rows


def _requests(bucket: str, count: int, entities: int | None) -> str:
    return f"{bucket} {count}" + (f" (of {entities}, {count / entities:.2f} each)" if entities else "")


def live_lines(live: dict[str, Any]) -> list[str]:
    """Live data in some lines, for the terminal."""
    return [f"{what}: {figure}" for what, figure in _live_rows(live)]


_LIVE = """\
## Live data

Plays that the Web API told of meet the export that comes later. A million rows are imported into two homes, into one of
them after the last 100,000 of their plays were told ([told.py](../benchmarks/told.py)); compared is how long it takes
to decide what is one play. The floor does not know the Web API. The rest is of two invented weeks on the demo Spotify
over real HTTP ([live.py](../benchmarks/live.py)), by its own clock: what was waited is counted, not sat through."""

_MIRROR = """\
## The mirror in a bucket

The same home, once with its mirror in a folder and once in a bucket of an S3 server over HTTP on this machine, by
turns ([mirror.py](../benchmarks/mirror.py)). The server is moto's, in Python and a process of its own: it shares the
processors with what is measured, and what it takes of them is told, for a store that is elsewhere takes none of it. The
bucket keeps versions, and what was uploaded is counted by them.

A table is uploaded month by month, or as one file where it is small. BI copies (`bi/…`) are whole files by their
nature: one new day replaces those of every table and view that it touches (of `clean.plays` that of its year), which is
why they are counted apart. `SPOTIFY_ASSETS_BI_COPIES_HOURS=24` has them replaced once a day,
`SPOTIFY_ASSETS_BI_COPIES=none` never. What is restored is compared with the published file that was lost, every row of
every table, by hashes: one difference, and `make bench` fails without a figure."""


def _mirror_rows(size: Size) -> list[tuple[str, str]]:
    """What, and the figure."""
    folder, bucket, unchanged, day = (size[name] for name in ("folder", "bucket", "unchanged", "next_day"))
    put, put_on_day = bucket["uploads"], day["uploads"]

    def process(run: Size) -> str:
        return (
            f"{_seconds(run['wall_seconds'])}, {_seconds(run['processor_seconds'])} of the processor, "
            f"{_memory(run['peak_mb'])}"
        )

    return [
        ("first import, mirror in a folder", process(folder)),
        ("first import, mirror in a bucket", process(bucket)),
        ("… as many times as long", f"{bucket['wall_seconds'] / folder['wall_seconds']:.2f} ×"),
        ("… the server's part of the processor", _seconds(bucket["server_seconds"])),
        (
            "… objects put",
            f"{_put(put, 'months')} months, {_put(put, 'tables')} whole tables, {_put(put, 'copies')} BI copies, "
            f"{_put(put, 'manifest')} manifest",
        ),
        ("a run without news", f"{process(unchanged)}; {_all_put(unchanged['uploads'])} objects put"),
        ("one new day", process(day)),
        ("… objects put", f"{_months_put(put_on_day)}, {_put(put_on_day, 'tables')} whole tables, the manifest"),
        ("… and BI copies", _put(put_on_day, "copies")),
        ("`mirror verify`, every file read", process(size["verify"])),
        ("`restore` into an empty home", f"{process(size['restore'])}; {size['restore']['tables']} tables equal"),
    ]


def mirror_lines(plays: int, size: Size) -> list[str]:
    """The mirror in a bucket in some lines, for the terminal."""
    targets_reached = (
        f"  {what} ({must}): {measured}, {_mark(is_reached)}"
        for what, must, measured, is_reached in mirror_targets(size)
    )
    return [f"{plays:,} plays:", *(f"  {what}: {figure}" for what, figure in _mirror_rows(size)), *targets_reached]


_METHOD = """\
## How it is measured

```sh
make bench                  # 100,000 and 1,000,000 plays, three rounds
make bench-10m              # 10,000,000 plays as well: 8 GB of exports, 30 GB of free disk
make bench SIZES=1000000 ROUNDS=1
make bench PARTS="--only mirror"
make soak                   # the figures under "Soak"
```

- The export is invented ([generate.py](../benchmarks/generate.py)): 16,000 rows a file, 23 keys, ten years, taste
  after Zipf's law, podcasts, audiobooks, nameless rows, rows of 0 ms, exact copies. The same on every machine.
- Every figure is of a process of its own, from its start until it is gone, by the kernel's account
  ([cold.py](../benchmarks/cold.py)). Floor and product take turns. Shown is the round of the median time, with the
  highest peak of memory of all rounds. Files are in the page cache.
- Before any ratio is told the numbers are compared ([compare.py](../benchmarks/compare.py)): all plays and their
  milliseconds, those of each day, those of each artist on each day; in the published file, the mirror and the floor's
  own files; after the first import, after the same export again, and after a new day with all days rebuilt. One
  difference, and `make bench` fails without a figure.
- A stage is what the product itself reports (`spotify_assets.progress.stage`), less the stages inside it. Stages that
  run beside each other are told in full, so that they may add up to more than the process took; the data's own way
  counts such seconds once."""


def text(results: dict[str, Any], soak: list[dict[str, str]] | None) -> str:
    """The document.

    Args:
        results: What `run` measured.
        soak: What `make soak` measured: what and figure of each; None before it was run.
    """
    about = results["machine"]
    sizes = results["sizes"]
    lines = [_INTRODUCTION, "", "## Targets", ""]
    if TARGET_PLAYS in sizes:
        lines += [f"At {int(TARGET_PLAYS):,} plays; the floor takes {_floor(sizes[TARGET_PLAYS])}.", ""]
    lines += _table(("what", "must reach", "measured", ""), targets(results), numbers_from=4)
    shown = TARGET_PLAYS if TARGET_PLAYS in sizes else max(sizes, key=int)
    lines += ["", f"## Where the time goes: {int(shown):,} plays", ""]
    lines += ["Seconds of the clock in each stage; those in italics are not the data's own way.", ""]
    lines += _table(("stage", *ACTIONS.values(), "peak MB, first import"), _stage_rows(sizes[shown]))
    lines += ["", "## How time and memory grow", ""]
    header = ("plays", "export", "floor s", "floor MB", "first import s", "× floor", "data's own way × floor")
    header += ("first import MB", "again s", "new day s (after start-up)", "all days rebuilt s", "published MB")
    lines += [*_table(header, _growth_rows(sizes)), ""]
    if live := results.get("live"):
        lines += [_LIVE, "", *_table(("what", "figure"), _live_rows(live), numbers_from=2), ""]
    if mirrored := results.get("mirror"):
        columns = zip(*(_mirror_rows(size) for size in mirrored.values()), strict=True)
        rows = [(of_sizes[0][0], *(figure for _, figure in of_sizes)) for of_sizes in columns]
        header = ("what", *(f"{int(plays):,} plays" for plays in mirrored))
        lines += [_MIRROR, "", *_table(header, rows, numbers_from=len(header)), ""]
    lines += [_METHOD, "", "## Machine", ""]
    lines += [
        f"{about['processor']}, {about['cores']} cores, {about['memory_gb']} GB of memory; {about['system']}; Python "
        f"{about['python']}, Dagster {about['dagster']}, DuckDB {about['duckdb']}, Polars {about['polars']}."
    ]
    lines += ["", "## Soak", ""]
    if soak:
        lines += _table(("what", "figure"), [(one["what"], one["figure"]) for one in soak], numbers_from=2)
    else:
        lines += ["`make soak` has not been run yet."]
    return "\n".join(lines) + "\n"


def _floor(size: Size) -> str:
    return f"{_seconds(size['floor']['wall_seconds'])} and {_memory(size['floor']['peak_mb'])}"


def outline(plays: int, size: Size) -> str:
    """One size in some lines, for the terminal."""
    runs = [f"{plays:,} plays: floor {_floor(size)}"]
    runs += [
        f"  {shown}: {_seconds(size[action]['wall_seconds'])}, {_memory(size[action]['peak_mb'])}"
        for action, shown in ACTIONS.items()
    ]
    return "\n".join(runs)


def write() -> None:
    """Write the document."""
    soak = json.loads(SOAK.read_text()) if SOAK.exists() else None
    DOCUMENT.write_text(text(json.loads(RESULTS.read_text()), soak), encoding="utf-8")


if __name__ == "__main__":
    write()
