from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_assets.transforms import plays
from spotify_assets.transforms.stretches import Stretches
from spotify_assets_tests.transforms.history import Lakehouse, Row, at, lakehouse_of, track
from spotify_assets_tests.transforms.long_histories import LISTENERS, ZONES, told_rows

pytestmark = pytest.mark.usefixtures("small_frames")

_ANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def _in_stretches(lakehouse: Lakehouse, zones: dict, cuts: list[datetime]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Plays and sources of all stretches."""
    history = lakehouse.history.select(plays.HISTORY_COLUMNS)
    names, assigned, _, _ = lakehouse.decide()
    told = plays.told_plays(history.lazy(), assigned.lazy(), names.lazy(), zones)
    stretches = Stretches(
        names=names,
        assumed_lengths=plays.lengths(told).collect(),
        zones=zones,
        session_gap_minutes=lakehouse.session_gap_minutes,
        told_last=lambda artists: plays.artists_told_last(history.lazy(), names.lazy(), artists),
    )
    decided = []
    for first, until in zip([None, *cuts], [*cuts, None], strict=True):
        is_in = pl.col("ts").is_between(first or at(days=-999), until or at(days=999), closed="left")
        decided.append(stretches.take(history.filter(is_in), until))
    days = [set(part.plays["played_on"]) for part in decided]
    assert sum(map(len, days)) == len(set().union(*days)), "a day was told twice"
    return pl.concat(part.plays for part in decided), pl.concat(part.sources for part in decided)


@_ANY
@given(
    st.lists(st.tuples(st.sampled_from(LISTENERS), told_rows(renames=True)), min_size=1, max_size=3),
    st.sampled_from(ZONES),
    st.sets(st.integers(-1, 125)),
)
def test_a_history_in_stretches_has_the_plays_of_the_whole(exports, zones_of_bob, cut_days):
    zones = dict(zip(LISTENERS, (ZONES[0], zones_of_bob), strict=True))
    lakehouse = Lakehouse(zones=zones)
    for listener, rows in exports:
        lakehouse.take(rows, listener=listener)
    cuts = [datetime.combine(at(days=day).date(), time(), UTC) for day in sorted(cut_days)]
    found, found_sources = _in_stretches(lakehouse, zones, cuts)
    _, _, decided, sources = lakehouse.decide()
    assert_frame_equal(found.sort("row_id"), decided.sort("row_id"))
    assert_frame_equal(found_sources.sort("source_row"), sources.sort("source_row"))


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
