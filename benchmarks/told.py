"""Plays that the Web API told of before the export of a generated history came.

A listener who was polled every 30 minutes for as long as 100,000 plays last, about a year of a history of a million. As
Spotify does, the Web API tells of tracks only, by a clock of its own, in milliseconds; some under an id that the export
does not know (relinked: title and artist must do), some that the export leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.generate import FOLDER, ROWS_PER_FILE, History, lengths_ms
from spotify_assets.arrow import frame_of
from spotify_assets.schemas.raw_api import Polls, RecentlyPlayed

PLAYS = 100_000
RELINKED_EVERY, LEFT_OUT_EVERY = 100, 250
POLLED_EVERY = timedelta(minutes=30)
LATER = timedelta(milliseconds=350)
"""What the clock of the Web API tells later than that of exports, at the least."""


@dataclass(frozen=True)
class Told:
    """What the Web API told of a history.

    Attributes:
        plays: Rows of raw.recently_played.
        polls: Rows of raw.polls.
        truth: row_id of the plays, and ts and uri of the play in the export; NULL where the export leaves it out.
    """

    plays: pl.DataFrame
    polls: pl.DataFrame
    truth: pl.DataFrame


def tell(history: History, count: int = PLAYS, listener: str = "me") -> Told:
    """The last plays of a history, as the Web API told of them.

    Raises:
        ValueError: The history is too short.
    """
    heard = _heard(history, count)
    if heard.height < count:
        raise ValueError(f"A history of {history.plays:,} rows has fewer than {count:,} plays of tracks.")
    number = pl.int_range(pl.len(), dtype=pl.Int64)
    is_relinked, is_left_out = number % RELINKED_EVERY == 1, number % LEFT_OUT_EVERY == 2
    told = heard.with_columns(
        row_id=number + 1,
        played_at=pl.col("ts") + LATER + pl.duration(milliseconds=number % 7 * 50),
        track_id=pl.when(is_relinked | is_left_out)
        .then(pl.col("track_id").str.replace("^00", pl.when(is_relinked).then(pl.lit("zz")).otherwise(pl.lit("yy"))))
        .otherwise("track_id"),
        # A play that no row of the export tells of has a title that none has.
        track_name=pl.when(is_left_out).then(pl.col("track_name") + " (left out)").otherwise("track_name"),
        is_left_out=is_left_out,
    )
    plays = told.select(
        pl.lit(listener).alias("listener"),
        "played_at",
        item_hash=pl.col("track_id").hash().reinterpret(signed=True),
        row_id="row_id",
        fetched_at=pl.col("played_at").dt.truncate(POLLED_EVERY) + POLLED_EVERY,
        response_id=pl.lit(1, dtype=pl.Int64),
        track_uri="spotify:track:" + pl.col("track_id"),
        track_id="track_id",
        track_name="track_name",
        artist_name="artist_name",
        album_name="album_name",
        album_artist_name="artist_name",
        duration_ms="length_ms",
        isrc=pl.when("is_left_out").then(pl.lit("DEB01")).otherwise(pl.lit("DEA01")) + pl.col("track_id").str.tail(7),
        context_type=pl.lit(None, dtype=pl.String),
        context_uri=pl.lit(None, dtype=pl.String),
        item=pl.concat_str(pl.lit('{"track":{"id":"'), "track_id", pl.lit('"}}')),
    )
    truth = told.select(
        "row_id",
        ts=pl.when(~pl.col("is_left_out")).then("ts"),
        uri=pl.when(~pl.col("is_left_out")).then("uri"),
    )
    return Told(plays, _polls(plays), truth)


def _heard(history: History, count: int) -> pl.DataFrame:
    """The last plays of tracks that lasted, oldest first, of which no other one ended in the same second."""
    files = sorted((history.export / FOLDER).glob("*.json"), key=lambda file: int(file.stem.rpartition("_")[2]))
    enough = files[-(count * 3 // 2 // ROWS_PER_FILE + 1) :]
    with duckdb.connect() as connection:
        rows = connection.sql(
            "SELECT ts, master_metadata_track_name AS track_name, master_metadata_album_artist_name AS artist_name, "
            "master_metadata_album_album_name AS album_name, spotify_track_uri AS uri FROM read_json(?, format = "
            "'array', columns = {ts: 'TIMESTAMP', ms_played: 'BIGINT', master_metadata_track_name: 'VARCHAR', "
            "master_metadata_album_artist_name: 'VARCHAR', master_metadata_album_album_name: 'VARCHAR', "
            "spotify_track_uri: 'VARCHAR'}) WHERE spotify_track_uri IS NOT NULL AND ms_played > 0",
            params=[[str(file) for file in enough]],
        )
        heard = frame_of(rows)
    return (
        heard.with_columns(pl.col("ts").dt.replace_time_zone("UTC"))
        .join(lengths_ms(), on="uri", how="inner")
        .sort("ts", "uri")
        .unique("ts", keep="first", maintain_order=True)
        .tail(count)
        .with_columns(track_id=pl.col("uri").str.slice(len("spotify:track:")))
    )


def _polls(plays: pl.DataFrame) -> pl.DataFrame:
    """A poll every 30 minutes; those without plays since the last one told of nothing new."""
    seen = plays.group_by("listener", polled_at="fetched_at").agg(
        items_new=pl.len().cast(pl.Int64), oldest=pl.col("played_at").min(), newest=pl.col("played_at").max()
    )
    first, last = seen.select(first=pl.col("polled_at").min(), last=pl.col("polled_at").max()).row(0)
    every = pl.DataFrame({"polled_at": pl.datetime_range(first, last, POLLED_EVERY, eager=True)})
    return (
        every.join(seen, on="polled_at", how="left")
        .sort("polled_at")
        .select(
            pl.lit(plays["listener"][0]).alias("listener"),
            "polled_at",
            response_id=pl.lit(1, dtype=pl.Int64),
            outcome=pl.lit("told"),
            items=pl.lit(50, dtype=pl.Int64),
            items_new=pl.col("items_new").fill_null(0),
            oldest_played_at=pl.col("oldest").forward_fill(),
            newest_played_at=pl.col("newest").forward_fill(),
            newest_known_at=pl.col("newest").forward_fill().shift(1),
            is_full=pl.lit(True),
            is_gap_provable=pl.lit(False),
        )
        .cast(Polls.polars_schema())
    )


def write(told: Told, folder: Path) -> Path:
    """Keep it for other processes: plays.parquet, polls.parquet, truth.parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    told.plays.cast(RecentlyPlayed.polars_schema()).write_parquet(folder / "plays.parquet")
    told.polls.write_parquet(folder / "polls.parquet")
    told.truth.write_parquet(folder / "truth.parquet")
    return folder


MATCHES = """
    SELECT count(*) AS told,
           count(*) FILTER (rule = 'api_of_export') AS matched,
           count(*) FILTER (rule = 'api_of_export' AND (truth.ts IS NULL OR truth.ts IS DISTINCT FROM plays.ended_at
                            OR truth.uri IS DISTINCT FROM plays.track_uri)) AS matched_wrongly,
           count(*) FILTER (rule <> 'api_of_export' AND truth.ts IS NOT NULL) AS missed
    FROM clean.play_sources AS sources
    JOIN read_parquet(?) AS truth ON truth.row_id = sources.source_row
    JOIN clean.plays AS plays ON plays.play_id = sources.play_id AND plays.listener = sources.listener
    WHERE source_table = 'raw.recently_played'"""


def match_quality(home: Path, truth: Path) -> dict[str, int]:
    """told, matched, matched_wrongly and missed: how the plays of the Web API met those of the export."""
    with duckdb.connect(str((home / "lakehouse.duckdb").resolve()), read_only=True) as published:
        answer = published.execute(MATCHES, [str(truth)])
        return dict(zip((column[0] for column in answer.description), answer.fetchall()[0], strict=True))
