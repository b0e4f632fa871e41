"""Rows as an import leaves them, written without one."""

from __future__ import annotations

from collections.abc import Sequence

import dataframely as dy
import polars as pl

from spotify_assets.demo.catalogue import DemoTrack
from spotify_assets.lakehouse import Warehouse
from spotify_assets.schemas import Table, clean
from spotify_assets_tests.spotify.providers.conftest import NOW


def filled(table: type[Table], rows: Sequence[dict]) -> pl.DataFrame:
    """Rows with something in every column that may not be NULL."""
    something = {pl.String: "x", pl.Int64: 1, pl.Float64: 0.0, pl.Boolean: False, pl.Date: NOW.date()}

    def usual(column: dy.Column) -> object:
        if column.nullable:
            return None
        if isinstance(column.dtype, pl.Datetime):
            return NOW if column.dtype.time_zone else NOW.replace(tzinfo=None)
        return something[type(column.dtype)]

    every = {name: usual(column) for name, column in table.columns().items()}
    return pl.DataFrame([{**every, **row} for row in rows], schema=table.polars_schema())


def store_plays(warehouse: Warehouse, played: Sequence[DemoTrack]) -> None:
    """One play of each track; the first one was listened to longest."""
    rows = [
        {
            "play_id": number,
            "content_type": "track",
            "track_id": track.track_id,
            "artist_name": track.artist.name,
            "ms_played": 1_000 + len(played) - number,
        }
        for number, track in enumerate(played)
    ]
    with warehouse.transaction() as transaction:
        transaction.append(clean.Plays, filled(clean.Plays, rows))
