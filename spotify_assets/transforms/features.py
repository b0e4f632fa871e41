"""Audio features of tracks: of several sources that know a track, one."""

from __future__ import annotations

import polars as pl

from spotify_assets.transforms.catalogue import track_uri

PREFERRED_SOURCES = ("own", "spotify", "reccobeats")
"""Sources of raw.audio_features, the best first; one that is not named here comes after them."""


def track_features(rows: pl.LazyFrame) -> pl.LazyFrame:
    """clean.track_features from raw.audio_features.

    A track's features are all of one source: numbers of two models beside each other would look comparable and are
    not. What the listener brought is preferred, because bringing it was a decision; then Spotify, who made the scales
    and measured the track itself; then ReccoBeats, which estimates on the same scales and tells no time signature.
    """
    known = {name: position for position, name in enumerate(PREFERRED_SOURCES)}
    preference = pl.col("source").replace_strict(known, default=len(known), return_dtype=pl.Int64)
    return (
        rows.filter("is_known")
        .sort("track_id", preference, "source")
        .unique("track_id", keep="first", maintain_order=True)
        .with_columns(track_uri=track_uri(pl.col("track_id")))
    )
