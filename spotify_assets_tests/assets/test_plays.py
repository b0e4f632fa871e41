from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from spotify_assets.assets.clean.plays import full_rows
from spotify_assets.definitions import build_warehouse
from spotify_assets.schemas import clean, raw
from spotify_assets.transforms import plays as transforms
from spotify_assets_tests.conftest import DEMO_ZONE, settings_of


def test_plays_are_made_some_whole_days_at_a_time(copy_of_demo_home: Path) -> None:
    warehouse = build_warehouse(settings_of(copy_of_demo_home))
    history = warehouse.read(raw.StreamingHistory, transforms.HISTORY_COLUMNS).lazy()
    told = warehouse.read(raw.StreamingHistory, transforms.NAME_COLUMNS, distinct=True)
    names = transforms.names(told.lazy()).collect()
    assigned = transforms.assign_rows(history, names.lazy()).collect()
    decided = (
        transforms.decide_plays(
            history, assigned.lazy(), names.lazy(), zones={"demo": [(None, DEMO_ZONE)]}, session_gap_minutes=30
        )
        .collect()
        .sort("played_on", "ended_at", "play_id")
    )
    with warehouse.transaction() as transaction:
        frames = list(full_rows(transaction, decided, names, plays_per_chunk=1000))
    assert len(frames) > 3
    assert max(frame.height for frame in frames) < 1200
    days = [set(frame["played_on"]) for frame in frames]
    assert sum(map(len, days)) == len(set().union(*days))
    assert_frame_equal(
        pl.concat(frames).sort("play_id"),
        warehouse.read(clean.Plays, clean.Plays.column_names()).sort("play_id"),
    )
