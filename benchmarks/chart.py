"""docs/performance.svg, drawn from results.json: where the time goes, and how time and memory grow.

python -m benchmarks.chart
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from benchmarks.document import ACTIONS, DOCUMENT, RESULTS, TARGET_PLAYS
from benchmarks.stages import NOT_OF_THE_DATA

CHART = DOCUMENT.with_suffix(".svg")
SMALLEST_SHARE = 0.03
"""Stages that take less of every bar are drawn as one."""

_FLOOR, _PRODUCT, _DATA, _LIMIT, _TEXT = "#6b7280", "#1d4ed8", "#0d9488", "#dc2626", "#1f2937"
_STAGES = (
    *("#0f766e", "#14b8a6", "#5eead4", "#1e3a8a", "#3b82f6", "#93c5fd", "#6d28d9", "#a78bfa", "#ddd6fe"),
    *("#be185d", "#f472b6", "#fbcfe8", "#4d7c0f", "#84cc16", "#bef264", "#0e7490", "#67e8f9"),
)
_OTHERS, _BETWEEN = "smaller stages", "between stages (Dagster, Python)"
_GREYS = {_OTHERS: "#c7cdd6", _BETWEEN: "#e5e7eb"}
_NOT_OF_THE_DATA = ("#f87171", "#fb923c", "#facc15")


def draw(results: dict[str, Any]) -> Figure:
    """The chart of what `run` measured."""
    sizes = results["sizes"]
    shown = TARGET_PLAYS if TARGET_PLAYS in sizes else max(sizes, key=int)
    figure = Figure(figsize=(10.5, 8.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    _draw_stages(above.subplots(), int(shown), sizes[shown])
    left, right = below.subplots(1, 2)
    _draw_growth(left, sizes, "wall_seconds", 1, "Time", "seconds")
    _draw_growth(right, sizes, "peak_mb", 1000, "Peak memory", "GB")
    return figure


def _segments(run: dict[str, Any]) -> dict[str, float]:
    """Seconds of each stage; what runs beside another shares the time with it, so that a bar is as long as it took."""
    seconds = {name: stage["wall_seconds"] for name, stage in run["stages"].items()}
    share = run["staged_seconds"] / sum(seconds.values()) if seconds else 0.0
    return {name: value * share for name, value in seconds.items()}


def _bars(size: dict[str, Any]) -> dict[str, dict[str, float]]:
    """For each bar the seconds of its segments."""
    stages = {shown: _segments(size[action]) for action, shown in ACTIONS.items()}
    walls = {shown: size[action]["wall_seconds"] for action, shown in ACTIONS.items()}
    large = {
        name
        for shown, segments in stages.items()
        for name, seconds in segments.items()
        if seconds >= SMALLEST_SHARE * walls[shown]
    }
    return {
        shown: {
            **{name: seconds for name, seconds in segments.items() if name in large},
            _OTHERS: sum(seconds for name, seconds in segments.items() if name not in large),
            _BETWEEN: walls[shown] - sum(segments.values()),
        }
        for shown, segments in stages.items()
    }


def _draw_stages(axes: Axes, plays: int, size: dict[str, Any]) -> None:
    longest = max(size[action]["wall_seconds"] for action in ACTIONS)
    bars = _bars(size)
    names = list(dict.fromkeys(name for bar in bars.values() for name in bar if name not in _GREYS))
    data, other = ([name for name in names if (name in NOT_OF_THE_DATA) == flag] for flag in (False, True))
    colours = dict(zip(data, _STAGES * 3, strict=False)) | dict(zip(other, _NOT_OF_THE_DATA, strict=False)) | _GREYS
    axes.barh(["floor"], size["floor"]["wall_seconds"], color=_FLOOR, height=0.62, label="the floor")
    for name, colour in colours.items():
        starts = [_before(bar, name, colours) for bar in bars.values()]
        widths = [bar.get(name, 0.0) for bar in bars.values()]
        axes.barh(list(bars), widths, left=starts, color=colour, height=0.62, label=name, edgecolor="white", lw=0.6)
    floor_seconds = size["floor"]["wall_seconds"]
    axes.axvline(floor_seconds, color=_FLOOR, lw=1, ls=(0, (4, 3)), zorder=0)
    for row, run in enumerate([size["floor"], *(size[action] for action in ACTIONS)]):
        text = f"{run['wall_seconds']:.1f} s"
        if row:
            text += f"   {run['wall_seconds'] / floor_seconds:.1f} × floor"
        axes.text(run["wall_seconds"] + longest * 0.01, row, text, va="center", color=_TEXT, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.17)
    axes.set_xlabel("seconds")
    axes.set_title(f"Where the time goes: {plays:,} plays of ten years", loc="left", fontweight="bold")
    axes.figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    _tidy(axes, "x")


def _before(bar: dict[str, float], name: str, order: dict[str, str]) -> float:
    earlier = list(order)[: list(order).index(name)]
    return sum(bar.get(other, 0.0) for other in earlier)


def _draw_growth(axes: Axes, sizes: dict[str, Any], figure: str, unit: float, title: str, label: str) -> None:
    plays = [int(size) for size in sizes]
    lines = {
        "first import": ([size["first"][figure] for size in sizes.values()], _PRODUCT, "o-"),
        "floor": ([size["floor"][figure] for size in sizes.values()], _FLOOR, "s--"),
    }
    if figure == "wall_seconds":
        data = [size["first"]["data_seconds"] for size in sizes.values()]
        lines["the data's own way"] = (data, _DATA, "^-")
    for name, (values, colour, style) in lines.items():
        scaled = [value / unit for value in values]
        axes.plot(plays, scaled, style, color=colour, label=name, lw=1.8, ms=5)
        for at, value in zip(plays, scaled, strict=True):
            below = name == "floor"
            axes.annotate(
                f"{value:.2g}" if value < 10 else f"{value:.0f}",
                (at, value),
                textcoords="offset points",
                xytext=(0, -13 if below else 7),
                ha="center",
                fontsize=8,
                color=colour,
            )
    axes.set_xscale("log")
    if figure == "wall_seconds":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.axhline(1.0, color=_LIMIT, lw=1, ls=":")
        axes.axhline(1.5, color=_LIMIT, lw=1, ls=":")
        axes.annotate("limit at 1 M", (plays[0], 1.0), xytext=(-8, 3), textcoords="offset points", color=_LIMIT, size=8)
        axes.annotate(
            "limit at 10 M", (plays[0], 1.5), xytext=(-8, 3), textcoords="offset points", color=_LIMIT, size=8
        )
        axes.set_ylim(0, max(1.7, *(max(values) / unit * 1.15 for values, _, _ in lines.values())))
    axes.margins(x=0.12, y=0.18)
    axes.set_xticks(plays, [f"{count:,}" for count in plays])
    axes.minorticks_off()
    axes.set_xlabel("plays")
    axes.set_ylabel(label)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.legend(frameon=False, fontsize=8)
    _tidy(axes, "y")


def _tidy(axes: Axes, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#e5e7eb", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_TEXT)


def write(path: Path = CHART) -> None:
    """Draw the chart into a file, SVG or PNG by its name."""
    # Without these every drawing of the same figures would be another file.
    with matplotlib.rc_context({"svg.hashsalt": "spotify_assets", "svg.fonttype": "path"}):
        metadata = {"Date": None} if path.suffix == ".svg" else None
        draw(json.loads(RESULTS.read_text())).savefig(path, metadata=metadata, dpi=110)


if __name__ == "__main__":
    write()
