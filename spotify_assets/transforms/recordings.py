"""Which tracks hold the same recording.

Spotify gives a recording another id on each single, album and compilation: of published histories some 11 % of the ids
tell of a recording that another id tells of as well.
"""

from __future__ import annotations

import polars as pl

from spotify_assets.transforms.catalogue import track_uri
from spotify_assets.transforms.names import title_key
from spotify_assets.transforms.objects import Told

TOLERANCE_MS = 2_000
"""How far the lengths of one recording may lie apart: releases differ in the silence around it, mostly by less than a
second, while edits, live versions and remixes that keep the title seldom come that close."""

_KNOWN = pl.Schema(
    {
        "track_uri": pl.String,
        "track_id": pl.String,
        "track_key": pl.String,
        "track_name": pl.String,
        "artist_name": pl.String,
        "isrc": pl.String,
        "duration_ms": pl.Int64,
        "plays": pl.Int64,
        "ms_played": pl.Int64,
    }
)


def known_tracks(spelled: pl.LazyFrame, told: Told, features: pl.LazyFrame) -> pl.LazyFrame:
    """Every track URI that was played or that Spotify told of.

    Args:
        spelled: `catalogue.SPELLINGS`.
        told: What Spotify tells.
        features: raw.audio_features.

    Returns:
        track_uri, track_id, track_key, track_name, artist_name (the first), isrc, duration_ms, plays, ms_played; names
        and length as Spotify tells them, else as the plays do.
    """
    played = (
        spelled.filter(pl.col("track_uri").is_not_null())
        # What most plays say comes first, and is kept below.
        .sort("track_uri", -pl.col("plays"), "track_key", "track_name", "artist_name", nulls_last=True)
        .group_by("track_uri", maintain_order=True)
        .agg(
            pl.col("track_id", "track_key", "track_name", "artist_name").first(),
            pl.col("plays", "ms_played").sum(),
            pl.col("length_ms").max(),
        )
    )
    artist = pl.col("credits").list.get(0, null_on_oob=True).struct.field("name")
    told_tracks = told.tracks.lazy().select(
        track_uri(pl.col("track_id")).alias("track_uri"),
        told_id="track_id",
        told_key=title_key(artist, pl.col("name")),
        told_name="name",
        told_artist=artist,
        isrc="isrc",
        duration_ms="duration_ms",
    )
    of_providers = (
        features.filter("is_known", pl.col("isrc").is_not_null())
        .sort("track_id", "source")
        .unique("track_id", keep="first", maintain_order=True)
        .select("track_id", isrc_of_provider="isrc")
    )
    return (
        played.join(told_tracks, on="track_uri", how="full", coalesce=True)
        .with_columns(track_id=pl.coalesce("track_id", "told_id"))
        .join(of_providers, on="track_id", how="left")
        .select(
            "track_uri",
            "track_id",
            pl.coalesce("told_key", "track_key").alias("track_key"),
            pl.coalesce("told_name", "track_name").alias("track_name"),
            pl.coalesce("told_artist", "artist_name").alias("artist_name"),
            pl.coalesce("isrc", "isrc_of_provider").alias("isrc"),
            pl.coalesce("duration_ms", "length_ms").alias("duration_ms"),
            pl.col("plays").fill_null(0),
            pl.col("ms_played").fill_null(0),
        )
    )


def recording_tracks(known: pl.LazyFrame, overrides: pl.LazyFrame) -> pl.DataFrame:
    """The recording of each track, whatever the order of the rows.

    A track that the overrides name belongs to the recording of that label and to no other; the rules see only the
    rest. Tracks of one ISRC are one recording. Tracks of one first artist and title whose lengths lie within
    `TOLERANCE_MS` are, unless both have an ISRC: then these have decided. What is linked over others is linked, so a
    track without ISRC may join two that have different ones; `recordings` tells of them.

    Args:
        known: Result of `known_tracks`.
        overrides: track_uri (each once) and recording, the label.

    Returns:
        The columns of `known`, recording_id, rule and evidence.
    """
    tracks = known.join(overrides.select("track_uri", label="recording"), on="track_uri", how="left").collect()
    is_own = pl.col("label").is_not_null()
    free = tracks.filter(~is_own)
    linked = _linked(free)
    alone = free.join(linked, on="track_uri", how="anti")
    return pl.concat(
        [
            tracks.filter(is_own).select(
                *_KNOWN,
                (pl.lit("own:") + pl.col("label")).alias("recording_id"),
                pl.lit("own").alias("rule"),
                pl.col("label").alias("evidence"),
            ),
            linked.select(
                *_KNOWN,
                _identifier(pl.col("isrc").min().over("component"), pl.col("track_uri").min().over("component")),
                pl.when(pl.col("alike_by_isrc") > 1).then(pl.lit("isrc")).otherwise(pl.lit("names")).alias("rule"),
                _evidence().alias("evidence"),
            ),
            alone.select(
                *_KNOWN,
                _identifier(pl.col("isrc"), pl.col("track_uri")),
                pl.lit("alone").alias("rule"),
                pl.lit(None, dtype=pl.String).alias("evidence"),
            ),
        ]
    )


def _identifier(isrc: pl.Expr, uri: pl.Expr) -> pl.Expr:
    return pl.coalesce(pl.lit("isrc:") + isrc, uri).alias("recording_id")


def _evidence() -> pl.Expr:
    by_isrc = pl.when(pl.col("alike_by_isrc") > 1).then(pl.lit("ISRC ") + pl.col("isrc"))
    seconds = (pl.col("duration_ms") / 1000).round(1).cast(pl.String)
    by_names = pl.when(pl.col("alike_by_names") > 1).then(pl.col("track_key") + pl.lit(", ") + seconds + pl.lit(" s"))
    return pl.concat_list(by_isrc, by_names).list.drop_nulls().list.join("; ")


def _linked(free: pl.DataFrame) -> pl.DataFrame:
    """The tracks that another one is linked with: by how many of them, and which component they are in.

    Most tracks are not, so that only few are sorted and searched.
    """
    has_twin = pl.col("isrc").is_not_null() & pl.col("isrc").is_duplicated()
    clusters = _clusters(free)
    linked = (
        free.join(clusters, on="track_uri", how="left", maintain_order="left")
        .filter(has_twin | pl.col("cluster").is_not_null())
        .with_row_index("row")
        .with_columns(
            # What nothing links has a group or a cluster of its own.
            group=pl.coalesce(pl.lit("isrc:") + pl.col("isrc"), "track_uri").rank("dense").cast(pl.Int64),
            cluster=pl.coalesce("cluster", -1 - pl.col("row").cast(pl.Int64)),
        )
        .with_columns(alike_by_isrc=pl.len().over("group"), alike_by_names=pl.len().over("cluster"))
    )
    return linked.with_columns(component=_components(linked["group"], linked["cluster"]))


def _clusters(free: pl.DataFrame) -> pl.DataFrame:
    """track_uri and `cluster` of the tracks that names and lengths link with another one.

    In the order of their lengths, neighbours are linked when one without ISRC is near enough to both: then all that
    lie between a track without ISRC and any other near it are linked.
    """
    lengths = pl.col("duration_ms")
    without_isrc = pl.when(pl.col("isrc").is_null()).then("duration_ms")
    is_linked = (pl.col("before").shift() >= lengths - TOLERANCE_MS) | (
        pl.col("after") <= lengths.shift() + TOLERANCE_MS
    )
    return (
        free.filter(pl.col("track_key").is_not_null() & lengths.is_not_null())
        .filter(pl.col("track_key").is_duplicated())
        .sort("track_key", "duration_ms", "track_uri")
        .with_columns(
            before=without_isrc.forward_fill().over("track_key"),
            after=without_isrc.backward_fill().over("track_key"),
            begins=pl.col("track_key") != pl.col("track_key").shift(),
        )
        .with_columns(cluster=(pl.col("begins") | ~is_linked.fill_null(False)).fill_null(True).cum_sum().cast(pl.Int64))
        .filter(pl.col("cluster").is_duplicated())
        .select("track_uri", "cluster")
    )


def _components(groups: pl.Series, clusters: pl.Series) -> pl.Series:
    """A number for each row, equal where rows are linked by groups and clusters in turn."""
    pairs = pl.DataFrame({"group": groups, "cluster": clusters})
    # A cluster within one group links nothing further.
    links = pairs.unique().filter(pl.len().over("cluster") > 1)
    parents: dict[int, int] = {}

    def root(group: int) -> int:
        while (parent := parents.get(group, group)) != group:
            parents[group] = parents.get(parent, parent)
            group = parent
        return group

    for linked in links.group_by("cluster").agg("group")["group"]:
        first, *others = linked.to_list()
        for other in others:
            parents[root(other)] = root(first)
    roots = {group: root(group) for group in parents}
    return groups.replace(list(roots), list(roots.values()))


def recordings(tracks: pl.LazyFrame) -> pl.LazyFrame:
    """clean.recordings from the result of `recording_tracks`."""
    by_isrc = (
        tracks.filter(pl.col("isrc").is_not_null())
        .group_by("recording_id", "isrc")
        .agg(pl.col("plays").sum())
        .sort("recording_id", -pl.col("plays"), "isrc")
        .group_by("recording_id", maintain_order=True)
        .agg(
            pl.col("isrc").first(),
            isrcs=pl.len().cast(pl.Int64),
            conflicting_isrcs=pl.when(pl.len() > 1).then(pl.col("isrc").sort().str.join(", ")),
        )
    )
    return (
        tracks.sort("recording_id", -pl.col("plays"), "track_uri")
        .group_by("recording_id", maintain_order=True)
        .agg(
            pl.col("track_key", "track_name", "artist_name", "duration_ms").first(),
            pl.col("plays", "ms_played").sum(),
            tracks=pl.len().cast(pl.Int64),
        )
        .join(by_isrc, on="recording_id", how="left")
        .with_columns(pl.col("isrcs").fill_null(0))
    )
