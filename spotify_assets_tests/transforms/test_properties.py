"""What must hold for any history, however nasty: few instants, few lengths, few names, so that rows collide often."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_assets_tests.transforms.history import (
    Lakehouse,
    Row,
    api_play,
    at,
    basic,
    told_poll,
    track,
    uri,
    without_uri,
)

pytestmark = pytest.mark.usefixtures("small_frames")

# Slow machines must not make a property flaky, and the first example compiles what the others use.
_ANY = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


_TITLES = (("Song", "Band"), ("SONG", "band"), ("Other", "Band"), (None, None))
_URIS = (None, uri("x"), uri("y"))
_REASONS = (
    {"reason_start": "clickrow", "reason_end": "trackdone"},
    {"reason_start": "clickrow", "reason_end": "fwdbtn"},
    {"reason_start": None, "reason_end": None},
)
_MOMENTS = (at(0), at(1), at(59), at(60), at(hours=9, minutes=59, seconds=59), at(hours=10, minutes=1), at(days=2))
_LENGTHS = (0, 31_000, 300_000)


@st.composite
def extended_rows(draw: st.DrawFn, moments: tuple[datetime, ...] = _MOMENTS) -> Row:
    name, artist = draw(st.sampled_from(_TITLES))
    ts = draw(st.sampled_from(moments))
    is_offline = ts == at(60) and draw(st.booleans())
    return track(
        ts,
        draw(st.sampled_from(_LENGTHS)),
        name=name,
        artist=artist,
        album=draw(st.sampled_from(("Album", None))) if name else None,
        track_uri=draw(st.sampled_from(_URIS)),
        platform=draw(st.sampled_from(("ios", None))),
        skipped=draw(st.sampled_from((None, False))),
        **draw(st.sampled_from(_REASONS)),
        **({"offline": True, "offline_timestamp": int(at(-86_400).timestamp())} if is_offline else _online(draw)),
    )


def _online(draw: st.DrawFn) -> dict:
    """What exports of different years wrote of a play with a connection; none of it means anything."""
    return {"offline_timestamp": draw(st.sampled_from((None, 0, int(at().timestamp()))))}


@st.composite
def podcast_rows(draw: st.DrawFn) -> Row:
    named = {"episode_name": "Episode", "show_name": "Show"}
    told = draw(st.sampled_from((None, uri("e", "episode"))))
    row = track(draw(st.sampled_from(_MOMENTS[:4])), 31_000, name=None, artist=None, album=None, track_uri=None)
    return {**row, **named, "episode_uri": told}


basic_rows = st.one_of(extended_rows(), podcast_rows()).flatmap(
    lambda row: st.sampled_from((basic(row), basic(row, mixed=True)))
)
any_rows = st.one_of(extended_rows(), extended_rows(), podcast_rows(), basic_rows)
any_export = st.lists(any_rows, max_size=6).flatmap(
    # Some rows told again: copies, which drawing from so many combinations would give too seldom.
    lambda rows: st.lists(st.sampled_from(rows), max_size=2).map(lambda again: rows + again) if rows else st.just(rows)
)


def _of(exports: list[list[Row]], **told: object) -> Lakehouse:
    lakehouse = Lakehouse(today=date(2021, 6, 18), **told)
    for rows in exports:
        lakehouse.take(rows)
    lakehouse.write()
    return lakehouse


def _assert_same_clean_tables(one: Lakehouse, other: Lakehouse) -> None:
    assert_frame_equal(one.plays, other.plays)
    columns = ["listener", "played_on", "version", "plays_hash", "plays"]
    assert_frame_equal(one.days.select(columns), other.days.select(columns))


@_ANY
@given(st.lists(any_export, min_size=1, max_size=3), st.data())
def test_the_order_of_exports_and_of_their_rows_does_not_matter(exports, data):
    shuffled = [data.draw(st.permutations(rows)) for rows in data.draw(st.permutations(exports))]
    _assert_same_clean_tables(_of(exports), _of(shuffled))


@_ANY
@given(st.lists(any_export, min_size=1, max_size=2), st.data())
def test_importing_the_same_exports_again_adds_nothing_and_changes_no_day(exports, data):
    lakehouse = _of(exports)
    plays, days = lakehouse.plays, lakehouse.days
    again = [lakehouse.take(data.draw(st.permutations(rows))) for rows in data.draw(st.permutations(exports))]
    assert [taken.rows_new for taken in again] == [0] * len(exports)
    assert lakehouse.write() == []
    assert_frame_equal(lakehouse.plays, plays)
    assert_frame_equal(lakehouse.days, days)


@_ANY
@given(st.lists(any_export, min_size=1, max_size=2))
def test_every_stored_row_stands_in_play_sources_once_and_is_a_copy_or_superseded(exports):
    lakehouse = Lakehouse(today=date(2021, 6, 18))
    for rows in exports:
        taken = lakehouse.take(rows)
        assert (taken.rows_in, taken.rows_in) == (len(rows), taken.rows_new + taken.rows_known)
    lakehouse.write()
    plays, sources = lakehouse.plays, lakehouse.sources
    rules = dict(sources["rule"].value_counts().iter_rows())
    assert sorted(sources["source_row"]) == sorted(lakehouse.history["row_id"])
    assert plays["play_id"].is_unique().all()
    assert set(sources["play_id"]) == set(plays["play_id"])
    assert rules.get("winner", 0) == plays.height
    assert rules.get("winner", 0) + rules.get("copy", 0) == plays["copies"].sum()


def _folded(row: Row) -> tuple[str | None, str | None] | None:
    creator, title = row.get("artist_name") or row.get("show_name"), row.get("track_name") or row.get("episode_name")
    return (creator and creator.casefold(), title and title.casefold()) if creator or title else None


@_ANY
@given(st.lists(any_export, min_size=1, max_size=3))
def test_every_told_play_exists_and_no_other(exports):
    lakehouse = Lakehouse()
    for rows in exports:
        lakehouse.take(rows)
    _, assigned, decided, _ = lakehouse.decide()
    assert sorted(decided["row_id"]) == sorted(assigned.filter(pl.col("rule") == "winner")["row_id"])
    extended, basic_counts = _expected_plays(exports)
    by_row = {row["row_id"]: row for row in lakehouse.history.iter_rows(named=True)}
    found: dict[tuple, int] = {}
    claimed: dict[tuple, int] = {}
    basic_found: dict[tuple, int] = {}
    for winner in decided.iter_rows(named=True):
        row = by_row[winner["row_id"]]
        minute = (row["ts"].replace(second=0), row["ms_played"], _folded(row))
        if row["kind"] == "extended":
            found[(row["ts"], row["ms_played"], row["track_uri"] or row["episode_uri"] or _folded(row))] = 1
            claimed[minute] = claimed.get(minute, 0) + winner["copies"]
        else:
            basic_found[minute] = winner["copies"]
    assert set(found) == extended
    assert basic_found == {
        minute: count - (claimed.get(minute, 0) if minute[2] else 0)
        for minute, count in basic_counts.items()
        if not minute[2] or count > claimed.get(minute, 0)
    }


def _expected_plays(exports: list[list[Row]]) -> tuple[set[tuple], dict[tuple, int]]:
    """Plays that extended history tells, by instant, length and URI or title; and the largest counts of account data.

    A title that some row with a URI bears in its bucket is no play of its own.
    """
    told = [row for rows in exports for row in rows if row["kind"] == "extended"]
    titled = {(row["ts"], row["ms_played"], _folded(row)) for row in told if row["track_uri"] or row.get("episode_uri")}
    extended = set()
    for row in told:
        bucket, uri_told = (row["ts"], row["ms_played"]), row["track_uri"] or row.get("episode_uri")
        if uri_told:
            extended.add((*bucket, uri_told))
        elif _folded(row) is None or (*bucket, _folded(row)) not in titled:
            extended.add((*bucket, _folded(row)))
    counts: dict[tuple, int] = {}
    for rows in exports:
        of_export: dict[tuple, int] = {}
        for row in rows:
            if row["kind"] == "basic":
                key = (row["ts"], row["ms_played"], _folded(row))
                of_export[key] = of_export.get(key, 0) + 1
        counts |= {key: max(count, counts.get(key, 0)) for key, count in of_export.items()}
    return extended, counts


@_ANY
@given(st.lists(any_export, min_size=2, max_size=2))
def test_writing_only_the_changed_days_after_each_import_equals_writing_everything(exports):
    step_by_step = Lakehouse(today=date(2021, 6, 18))
    for rows in exports:
        step_by_step.take(rows)
        step_by_step.write()
    at_once = Lakehouse(today=date(2021, 6, 18), history=step_by_step.history, imports=step_by_step.imports)
    at_once.write()
    assert_frame_equal(step_by_step.plays, at_once.plays)
    assert_frame_equal(step_by_step.sources, at_once.sources)
    assert_frame_equal(step_by_step.days, at_once.days)


_SPREAD = tuple(
    at(days=day, hours=hour, minutes=minute) for day in range(4) for hour in (-6, 8, 9, 11) for minute in (0, 25, 59)
)


@_ANY
@given(
    st.lists(st.one_of(extended_rows(_SPREAD), extended_rows(_SPREAD), podcast_rows()), min_size=1, max_size=12),
    st.lists(st.integers(0, 7), max_size=3),
    st.randoms(use_true_random=False),
)
def test_any_split_of_the_days_in_any_order_gives_the_same_daily_tables(rows, cuts, random):
    lakehouse = _of([rows])
    first, last = lakehouse.days["played_on"].min(), lakehouse.days["played_on"].max()
    starts = sorted({first, *(first + timedelta(days=cut) for cut in cuts if first + timedelta(days=cut) <= last)})
    ends = [start - timedelta(days=1) for start in starts[1:]] + [last]
    ranges = list(zip(starts, ends, strict=True))
    random.shuffle(ranges)
    parts = [lakehouse.daily(*days) for days in ranges]
    for name, table in lakehouse.daily().items():
        joined = pl.concat([part[name] for part in parts]).sort(table.columns[:3])
        assert_frame_equal(joined, table.sort(table.columns[:3]))


_HEARD_AT = tuple(moment + timedelta(seconds=apart) for moment in _MOMENTS for apart in (-200, 0.3, 59, 300))


@st.composite
def _heard(draw: st.DrawFn) -> Row:
    name, artist = draw(st.sampled_from(_TITLES))
    return api_play(
        draw(st.sampled_from(_HEARD_AT)),
        draw(st.sampled_from((None, 31_000, 300_000))),
        name=name,
        artist=artist,
        track_uri=draw(st.sampled_from(_URIS)),
        isrc=draw(st.sampled_from((None, "ISRC"))),
    )


@settings(_ANY, max_examples=20)
@given(
    st.lists(any_export, max_size=2),
    st.lists(_heard(), min_size=1, max_size=6, unique_by=lambda row: (row["played_at"], row["track_uri"])),
    st.data(),
)
def test_the_order_of_exports_and_of_what_the_api_told_does_not_matter(exports, heard, data):
    instants = sorted({row["played_at"] for row in heard})
    polls = [told_poll(instant + timedelta(minutes=5), instant, instant) for instant in instants]

    def taken(exports: list, heard: list, polls: list, is_heard_first: bool) -> Lakehouse:
        lakehouse = Lakehouse(today=date(2021, 6, 18))
        steps = [*((lakehouse.take, rows) for rows in exports if rows)]
        told = [(lakehouse.hear, heard[:3]), (lakehouse.poll, polls), (lakehouse.hear, heard[3:])]
        for step, rows in [*told, *steps] if is_heard_first else [*steps, *told]:
            step(rows)
        lakehouse.write()
        return lakehouse

    one = taken(exports, heard, polls, data.draw(st.booleans()))
    shuffled = (data.draw(st.permutations(rows)) for rows in (exports, heard, polls))
    other = taken(*shuffled, data.draw(st.booleans()))
    _assert_same_clean_tables(one, other)
    assert_frame_equal(one.coverage(), other.coverage())
    assert set(one.plays["source"]) <= {"extended", "basic", "api"}
    assert one.sources.height == one.history.height + one.api.height


_PLAYED = st.tuples(
    st.sampled_from([at(minutes=minute) for minute in (0, 1, 5, 40, 600)]),
    st.sampled_from(_LENGTHS),
    st.sampled_from(("Song", "Other", "Third")),
    st.sampled_from(_REASONS),
    st.integers(1, 2),
)


_UNTOLD = ["play_id", "track_uri", "track_id"]
_SAID_BY_ALL = ["ended_at", "started_at", "track_key", "ms_played", "artist_key", "copies"]


@_ANY
@given(
    st.lists(_PLAYED, min_size=1, max_size=8, unique_by=lambda played: played[:3]),
    st.sampled_from(("pre2020", "G0", "G2", "G3", "G3+", "basic", "basic and G1")),
)
def test_the_same_plays_told_in_another_generation_are_the_same_plays(played, generation):
    rows = [track(ts, ms, name=name, **reasons) for ts, ms, name, reasons, copies in played for _ in range(copies)]
    told_plays = {
        "pre2020": [{**without_uri(row), "generation": generation} for row in rows],
        "G0": [without_uri(row) for row in rows],
        "basic": [basic(row) for row in rows],
        "basic and G1": [*map(basic, rows), *rows],
    }.get(generation, [{**row, "generation": generation} for row in rows])
    plays, full = _of([told_plays]).plays, _of([rows]).plays
    if generation in ("pre2020", "G0"):
        plays, full = plays.drop(_UNTOLD), full.drop(_UNTOLD)
    elif generation == "basic":
        plays, full = plays.select(_SAID_BY_ALL), full.select(_SAID_BY_ALL)
    assert_frame_equal(plays.sort(_SAID_BY_ALL), full.sort(_SAID_BY_ALL))


_CLOCK_CHANGES = {
    "Europe/Berlin": (datetime(2021, 3, 28, 1, tzinfo=UTC), datetime(2021, 10, 31, 1, tzinfo=UTC)),
    "America/New_York": (datetime(2021, 3, 14, 7, tzinfo=UTC), datetime(2021, 11, 7, 6, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2021, 4, 3, 15, tzinfo=UTC), datetime(2021, 10, 2, 15, 30, tzinfo=UTC)),
}


@_ANY
@given(
    st.sampled_from([(zone, change) for zone, changes in _CLOCK_CHANGES.items() for change in changes]),
    st.lists(st.tuples(st.integers(-26 * 60, 26 * 60), st.sampled_from(_LENGTHS)), min_size=1, max_size=10),
)
def test_on_days_with_a_clock_change_every_play_counts_for_its_local_day_and_hour(changed, told):
    zone, change = changed
    rows = [track(change + timedelta(minutes=minutes), ms_played) for minutes, ms_played in told]
    lakehouse = Lakehouse(zones={"": zone}, today=change.date())
    lakehouse.take(rows)
    lakehouse.write()
    tables = lakehouse.daily()
    distinct = {(row["ts"], row["ms_played"]) for row in rows}
    local = [(ts.astimezone(ZoneInfo(zone)), ms_played) for ts, ms_played in distinct]
    hours: dict[tuple, list[int]] = {}
    days: dict[date, list[int]] = {}
    for ended, ms_played in local:
        hours.setdefault((ended.date(), ended.hour), []).append(ms_played)
        days.setdefault(ended.date(), []).append(ms_played)
    found_hours = tables["hours"].select("played_on", "hour", "plays", "ms_played").rows()
    assert found_hours == [(*key, len(lengths), sum(lengths)) for key, lengths in sorted(hours.items())]
    found_days = tables["listening"].filter(pl.col("plays") > 0).select("played_on", "plays", "ms_played").rows()
    assert found_days == [(day, len(lengths), sum(lengths)) for day, lengths in sorted(days.items())]
