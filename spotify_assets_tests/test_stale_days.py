"""After any step the daily tables equal a full rebuild, and what was stale before is what the rule promises.

The rule: a day of a daily table is stale when, for a listener, it came into the calendar or left it since the table was
built; or the rows of clean.plays that were played on it, or belong to a session that began on it, are others; or the
table's code version is another. No other day is. For daily.completeness it is the rows that were played on it alone,
and polls, gaps, outages and the coverage of the day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import dagster as dg
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from spotify_assets.lakehouse import run_session
from spotify_assets.listeners import parse_zones
from spotify_assets.schemas import raw, raw_api
from spotify_assets.state import State
from spotify_assets.transforms.coverage import DAY_EVIDENCE
from spotify_assets.transforms.zones import local_date
from spotify_assets_tests.living_home import GENERATIONS, Heard, LivingHome, write_export
from spotify_assets_tests.transforms.history import Lakehouse, api_play, failed_poll, polls_frame, told_poll

LISTENERS = ("Ann", "Bob")
ZONES = (
    "Europe/Berlin",
    "Pacific/Auckland",
    "Europe/Berlin; 2021-02-27 America/Los_Angeles",
    "America/Los_Angeles; 2021-02-26 Pacific/Auckland",
)
# Around the midnights of Auckland, Berlin and Los Angeles, with breaks of some minutes and of most of an hour.
MOMENTS = tuple(
    datetime(2021, 2, day, hour, minute, tzinfo=UTC)
    for day in (24, 26, 27)
    for hour, minute in ((7, 50), (8, 5), (10, 40), (11, 20), (22, 55), (23, 35), (23, 59))
)


class Step(NamedTuple):
    """Something that happens to a home.

    Attributes:
        what: For the report of a life that failed.
        take: Does it to a life and returns the config of the import that follows.
    """

    what: str
    take: Callable[[Life], dict[str, Any]]


Day = tuple[str, date]
Told = dict[str, dict[Day, list[tuple]]]


class Life:
    """A home, what happened to it, and what its tables must hold."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        now = datetime(2021, 2, 28, 9, tzinfo=UTC)
        self.home = LivingHome(folder / "home", instance, dict.fromkeys(LISTENERS, ZONES[0]), now)
        self.heard: dict[str, list[Heard]] = {listener: [] for listener in LISTENERS}
        self.folder = folder
        self.exports = 0
        self.told: Told = {}
        self.built_with = dict(self.home.code_versions)

    def rebuilt(self) -> Lakehouse:
        """Everything made anew from the raw rows, in memory and without a memory of what was."""
        zones = {listener: parse_zones(text) for listener, text in self.home.zones.items()}
        lakehouse = Lakehouse(
            zones=zones,
            session_gap_minutes=self.home.session_gap_minutes,
            today={listener: local_date(self.home.now, of_listener) for listener, of_listener in zones.items()},
            history=self.home.table("raw.streaming_history").select(raw.StreamingHistory.column_names()),
            imports=self.home.table("raw.imports"),
            api=self.home.table("raw.recently_played"),
            polls=self.home.table("raw.polls"),
        )
        lakehouse.write()
        return lakehouse

    def stale_by_the_rule(self, lakehouse: Lakehouse) -> set[tuple[str, date]]:
        told = _told_of_days(lakehouse)
        everything = {day for _, day in lakehouse.days.select("listener", "played_on").rows()}
        stale = set()
        for table, version in self.home.code_versions.items():
            now, before = (told_of[_kind(table)] for told_of in (told, self.told or {kind: {} for kind in told}))
            changed = {key[1] for key in now.keys() | before.keys() if now.get(key) != before.get(key)}
            changed |= everything if version != self.built_with[table] else set()
            stale |= {(table, day) for day in changed}
        return stale

    def live(self, step: Step) -> None:
        """Take a step, compare what is stale with the rule, build that, compare all with a full rebuild."""
        # Held open, the file is not opened anew for each of the hundred reads and writes of a step.
        with self.home.warehouse.get_connection():
            self._live(step)

    def _live(self, step: Step) -> None:
        # Before the home is looked at: the step may put another in its place.
        import_config = step.take(self)
        self.home.update_plays(**import_config)
        lakehouse = self.rebuilt()
        stale = set(self.home.warehouse.stale_days().select("table_name", "played_on").rows())
        assert stale == self.stale_by_the_rule(lakehouse)
        self.home.build_days(day for _, day in stale)
        self.told, self.built_with = _told_of_days(lakehouse), dict(self.home.code_versions)
        assert self.home.warehouse.stale_days().is_empty()
        frames = {"clean.plays": lakehouse.plays, "clean.play_sources": lakehouse.sources, "clean.days": lakehouse.days}
        frames |= {f"daily.{name}": frame for name, frame in lakehouse.daily().items()}
        self.assert_equal(frames)

    def finish(self) -> None:
        """Build all that is due in the way of the command line: what is made anew each time must agree too."""
        self.home.build()
        self.assert_equal({f"clean.{name}": frame for name, frame in self.rebuilt().catalogue().items()})

    def assert_equal(self, rebuilt: dict[str, pl.DataFrame]) -> None:
        for name, expected in rebuilt.items():
            found = self.home.table(name).select(expected.columns)
            assert _in_order(found) == _in_order(expected), f"{name} differs from a full rebuild"


def _in_order(frame: pl.DataFrame) -> list[tuple]:
    return frame.sort(frame.columns, nulls_last=True).rows()


def _kind(table: str) -> str:
    return "completeness" if table == "daily.completeness" else "plays"


def _told_of_days(lakehouse: Lakehouse) -> Told:
    """The rows of clean.plays that count for each day of each listener, and what daily.completeness is made from."""
    days = lakehouse.days.select("listener", "played_on", pl.struct(DAY_EVIDENCE)).rows()
    told: dict[Day, list[tuple]] = {(listener, day): [] for listener, day, _ in days}
    completeness = {(listener, day): [tuple(evidence.values())] for listener, day, evidence in days}
    for play in lakehouse.plays.sort("play_id").iter_rows(named=True):
        for day in {play["played_on"], play["session_started_on"]}:
            told[play["listener"], day].append(tuple(play.values()))
        completeness[play["listener"], play["played_on"]].append(tuple(play.values()))
    return {"plays": told, "completeness": completeness}


@st.composite
def _plays(draw: st.DrawFn) -> list[Heard]:
    def heard() -> Heard:
        told = {
            "platform": draw(st.sampled_from(("ios", "windows"))),
            "reason_end": draw(st.sampled_from(("trackdone", "fwdbtn", "endplay"))),
            "master_metadata_album_album_name": draw(st.sampled_from(("Album", "ALBUM"))),
        }
        return Heard(
            draw(st.sampled_from(MOMENTS)),
            draw(st.sampled_from((5_000, 50_000, 200_000, 2_400_000))),
            draw(st.sampled_from(("Title", "TITLE", "Other"))),
            draw(st.sampled_from(("Artist", "ARTIST", "Band"))),
            tuple(told.items()),
        )

    return [heard() for _ in range(draw(st.integers(1, 5)))]


@st.composite
def _import(draw: st.DrawFn) -> Step:
    """Some plays, late or not, or all that the listener ever heard once more, in a generation of exports."""
    listener, generation = draw(st.sampled_from(LISTENERS)), draw(st.sampled_from(GENERATIONS))
    plays, is_whole = draw(_plays()), draw(st.booleans())

    def step(life: Life) -> dict[str, Any]:
        life.heard[listener] += plays
        life.exports += 1
        export = life.folder / f"{life.exports}.zip"
        write_export(export, life.heard[listener] if is_whole else plays, generation)
        return {"paths": [str(export)], "listener": listener}

    return Step(f"{listener} imports {'all and ' if is_whole else ''}{plays} as {generation}", step)


@st.composite
def _poll(draw: st.DrawFn) -> Step:
    """A look at the last plays, which tells of some of which exports may tell too, or fails."""
    listener, plays = draw(st.sampled_from(LISTENERS)), draw(_plays())
    late_seconds, is_full, fails = draw(st.sampled_from((0.3, 45, 300))), draw(st.booleans()), draw(st.booleans())

    def step(life: Life) -> dict[str, Any]:
        lakehouse = Lakehouse(api=life.home.table("raw.recently_played"))
        before = lakehouse.api
        instants = [play.ended_at + timedelta(seconds=late_seconds) for play in plays]
        told = [
            api_play(instant, 200_000, name=play.title, artist=play.artist)
            for instant, play in zip(instants, plays, strict=True)
        ]
        polls = [told_poll(max(instants) + timedelta(minutes=10), min(instants), max(instants), is_full=is_full)]
        if fails:
            told, polls = [], [failed_poll(max(instants))]
        lakehouse.hear(told, listener=listener)
        with life.home.warehouse.transaction() as transaction:
            transaction.append(raw_api.RecentlyPlayed, lakehouse.api.join(before, on="row_id", how="anti"))
            transaction.append(raw_api.Polls, polls_frame(polls, listener=listener))
        return {}

    return Step(f"{listener}'s last plays are {plays}, or are not told: {fails}", step)


@st.composite
def _forget(draw: st.DrawFn) -> Step:
    number = draw(st.integers(0, 5))

    def step(life: Life) -> dict[str, Any]:
        imports = life.home.table("raw.imports")["import_id"].unique().sort().to_list()
        return {"forget_import_id": imports[number % len(imports)]} if imports else {}

    return Step(f"forget import {number}", step)


@st.composite
def _setting(draw: st.DrawFn) -> Step:
    """Another session gap, other zones, or a later time of day."""
    zones = dict(zip(LISTENERS, draw(st.tuples(*[st.sampled_from(ZONES)] * 2)), strict=True))
    gap, hours = draw(st.sampled_from((5, 30, 60))), draw(st.sampled_from((3, 26, 70)))
    what = draw(
        st.sampled_from((f"a session gap of {gap} minutes", f"zones {zones}", f"the clock {hours} hours forward"))
    )

    def step(life: Life) -> dict[str, Any]:
        if what.startswith("zones"):
            life.home = replace(life.home, zones=zones)
        elif what.startswith("the clock"):
            life.home = replace(life.home, now=life.home.now + timedelta(hours=hours))
        else:
            life.home = replace(life.home, session_gap_minutes=gap)
        return {}

    return Step(f"set {what}", step)


@st.composite
def _code(draw: st.DrawFn) -> Step:
    table = draw(st.sampled_from(("daily.listening", "daily.tracks", "daily.completeness")))

    def step(life: Life) -> dict[str, Any]:
        versions = dict(life.home.code_versions)
        life.home = replace(life.home, code_versions={**versions, table: f"{versions[table]}+"})
        return {}

    return Step(f"another version of {table}", step)


def _lives(steps: int) -> st.SearchStrategy[list[Step]]:
    any_step = st.one_of(_import(), _import(), _poll(), _poll(), _setting(), _setting(), _forget(), _code())
    later = st.lists(any_step, min_size=steps - 1, max_size=steps - 1)
    return st.builds(lambda first, others: [first, *others], _import(), later)


def _any(examples: int, *, derandomize: bool = True) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=derandomize,
        suppress_health_check=list(HealthCheck),
        # A step takes a second: to look for the smallest failing life would take an hour.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
    )


def _live(steps: list[Step], *, is_finished: bool) -> None:
    with TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance, pl.Config() as config:
        config.set_engine_affinity("in-memory")
        life = Life(Path(folder), instance)
        # Partitions from here on, so that the definitions need not be made anew after every step.
        State(life.home.settings.paths.state_file).set_first_day(date(2021, 2, 20))
        # One session for the whole life: it is published once, at its end.
        with run_session(life.home.warehouse, purpose="test"):
            for step in steps:
                life.live(step)
            if is_finished:
                life.finish()


@_any(2)
@given(_lives(4))
def test_after_any_step_incremental_equals_a_full_rebuild(steps: list[Step]) -> None:
    _live(steps, is_finished=False)


@pytest.mark.long
@_any(1)
@given(_lives(6))
def test_what_everything_due_builds_equals_a_full_rebuild(steps: list[Step]) -> None:
    _live(steps, is_finished=True)


@pytest.mark.soak
@_any(150, derandomize=False)
@given(_lives(10))
def test_after_ten_steps_incremental_still_equals_a_full_rebuild(steps: list[Step]) -> None:
    _live(steps, is_finished=True)
