"""Audio features of tracks: of several sources that know a track, one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from spotify_assets.schemas import clean, raw_api
from spotify_assets.transforms.features import track_features

_TOLD_AT = datetime(2026, 1, 2, tzinfo=UTC)


def _features(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    schema = raw_api.AudioFeatures.polars_schema()
    usual = {"track_id": "x", "fetched_at": _TOLD_AT, "is_known": True}
    full = [dict.fromkeys(schema) | usual | row for row in rows]
    frame = track_features(pl.LazyFrame(full, schema=schema)).select(clean.TrackFeatures.column_names())
    return clean.TrackFeatures.validate(frame.collect()).sort("track_uri").to_dicts()


def test_a_track_has_the_features_of_one_source_and_its_uri():
    (row,) = _features({"source": "reccobeats", "tempo": 120.5, "key": -1, "mode": 0, "valence": 0.25})
    assert (row["track_uri"], row["track_id"]) == ("spotify:track:x", "x")
    assert (row["tempo"], row["key"], row["mode"], row["valence"]) == (120.5, -1, 0, 0.25)
    assert (row["source"], row["fetched_at"]) == ("reccobeats", _TOLD_AT)


@pytest.mark.parametrize(
    ("sources", "preferred"),
    [
        (["reccobeats", "spotify", "own"], "own"),
        (["reccobeats", "spotify"], "spotify"),
        (["another", "reccobeats"], "reccobeats"),
    ],
)
def test_one_s_own_features_go_before_spotify_s_and_these_before_those_of_others(sources, preferred):
    for order in (sources, sources[::-1]):
        assert [row["source"] for row in _features(*({"source": source} for source in order))] == [preferred]


def test_what_the_preferred_source_does_not_tell_is_null_though_another_does():
    (row,) = _features({"source": "own", "tempo": 99.0}, {"source": "spotify", "tempo": 100.0, "time_signature": 4})
    assert (row["tempo"], row["time_signature"]) == (99.0, None)


def test_a_track_that_no_source_knows_has_no_row():
    assert _features({"source": "spotify", "is_known": False}) == []


def test_a_source_that_does_not_know_the_track_leaves_it_to_the_next():
    (row,) = _features({"source": "own", "is_known": False}, {"source": "reccobeats"})
    assert row["source"] == "reccobeats"
