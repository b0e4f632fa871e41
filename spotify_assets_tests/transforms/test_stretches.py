from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_assets.transforms import api_plays, plays
from spotify_assets.transforms.stretches import Stretches, earliest_change
from spotify_assets_tests.transforms.history import Lakehouse, Row, api_play, at, lakehouse_of, told_poll, track
from spotify_assets_tests.transforms.long_histories import LISTENERS, ZONES, heard, learned, tellings, told_rows

pytestmark = pytest.mark.usefixtures("small_frames")

_ANY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def _in_stretches(lakehouse: Lakehouse, zones: dict, cuts: list[datetime]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Plays and sources of all stretches."""
    history = lakehouse.history.select(*plays.HISTORY_COLUMNS, "track_id")
    names, assigned, _, _ = lakehouse.decide()
    told = plays.told_plays(history.lazy(), assigned.lazy(), names.lazy(), zones)
    has_api = not lakehouse.api.is_empty()
    api = lakehouse.told_by_api(names) if has_api else None
    stretches = Stretches(
        names=names,
        assumed_lengths=plays.lengths(told).collect(),
        zones=zones,
        session_gap_minutes=lakehouse.session_gap_minutes,
        told_last=lambda artists: plays.artists_told_last(history.lazy(), names.lazy(), artists),
        facts=lakehouse.known_facts() if has_api else None,
    )
    decided = []
    for first, until in zip([None, *cuts], [*cuts, None], strict=True):
        is_in = pl.col("ts").is_between(first or at(days=-999), until or at(days=999), closed="left")
        of_stretch = [None if rows is None else rows.filter(is_in) for rows in (history, api)]
        decided.append(stretches.take(of_stretch[0], until, of_stretch[1]))
    days = [set(part.plays["played_on"]) for part in decided]
    assert sum(map(len, days)) == len(set().union(*days)), "a day was told twice"
    return pl.concat(part.plays for part in decided), pl.concat(part.sources for part in decided)


@_ANY
@given(
    st.lists(st.tuples(st.sampled_from(LISTENERS), told_rows(renames=True)), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(LISTENERS), heard()), max_size=2),
    learned,
    st.sampled_from(ZONES),
    st.sets(st.integers(-1, 125)),
)
def test_a_history_in_stretches_has_the_plays_of_the_whole(exports, heard_by, told_of_tracks, zones_of_bob, cut_days):
    zones = dict(zip(LISTENERS, (ZONES[0], zones_of_bob), strict=True))
    lakehouse = Lakehouse(zones=zones, facts=tellings(told_of_tracks))
    for listener, rows in exports:
        lakehouse.take(rows, listener=listener)
    for listener, (told, polls) in heard_by:
        lakehouse.hear(told, listener=listener)
        lakehouse.poll(polls, listener=listener)
    _assert_same(lakehouse, zones, [datetime.combine(at(days=day).date(), time(), UTC) for day in sorted(cut_days)])


def _assert_same(lakehouse: Lakehouse, zones: dict, cuts: list[datetime]) -> None:
    found, found_sources = _in_stretches(lakehouse, zones, cuts)
    _, _, decided, sources = lakehouse.decide()
    assert_frame_equal(found.sort("row_id"), decided.sort("row_id"))
    key = ["source_table", "source_row"]
    assert_frame_equal(found_sources.sort(key), sources.sort(key))
    assert sources.height == lakehouse.history.height + lakehouse.api.height


_UNTIL = datetime(2021, 8, 1, tzinfo=UTC)
_SETTLED = (
    earliest_change(_UNTIL) - api_plays.FARTHEST,
    earliest_change(_UNTIL),
    earliest_change(_UNTIL) - api_plays.LONGEST_TRACK,
)
_SECONDS = st.integers(-300, 300)
_SYNCED_LAST = plays.OFFLINE_SYNC_LIMIT - timedelta(seconds=200)


@_ANY
@given(
    st.lists(
        st.tuples(
            st.one_of(_SECONDS, st.sampled_from((-7200, 220))),
            st.sampled_from((0, 31_000, 200_000)),
            st.sampled_from((None, timedelta(0), _SYNCED_LAST)),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda told: told[0],
    ),
    st.lists(st.tuples(_SECONDS, st.sampled_from((200_000, 200_000, 86_000_000))), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from(_SETTLED),
)
def test_plays_that_may_be_matched_with_each_other_are_settled_at_once(told, heard_at, has_gaps, settled_before):
    exports = []
    for seconds, played, synced_after in told:
        row = track(settled_before + timedelta(seconds=seconds), played)
        if synced_after is not None:
            begun = int(row["ts"].timestamp()) - played // 1000
            row |= {"ts": row["ts"] + synced_after, "offline": True, "offline_timestamp": begun}
        exports.append(row)
    lakehouse = Lakehouse()
    lakehouse.take([*exports, track(_UNTIL + timedelta(days=40), name="Last")])
    plays_told = [api_play(settled_before + timedelta(seconds=seconds + 0.3), length) for seconds, length in heard_at]
    lakehouse.hear(plays_told)
    if has_gaps:
        instants = sorted({row["played_at"] for row in plays_told})
        lakehouse.poll([told_poll(instant + timedelta(minutes=1), instant, instant) for instant in instants])
    _assert_same(lakehouse, {"me": ZONES[0]}, [_UNTIL, _UNTIL + timedelta(days=10)])


def test_a_play_of_the_last_days_is_not_decided_before_a_later_sync_can_tell_of_it() -> None:
    rows: list[Row] = [track(at(days=day)) for day in (0, 20, 60)]
    lakehouse = lakehouse_of(rows)
    names = plays.names(lakehouse.history.lazy().select(plays.NAME_COLUMNS)).collect()
    stretches = Stretches(
        names=names,
        assumed_lengths=plays.NO_LENGTHS,
        zones={"me": ZONES[0]},
        session_gap_minutes=30,
        told_last=lambda artists: pl.DataFrame(),
    )
    history = lakehouse.history.select(plays.HISTORY_COLUMNS)
    first = stretches.take(history[:2], at(days=21))
    assert first.plays.is_empty()
    second = stretches.take(history[:0], at(days=33))
    assert second.plays["played_on"].to_list() == [at().date()]
    assert second.before == (at(days=33) - timedelta(days=31)).date()
