"""One partition per local day. Each asset filters and groups clean.plays; a range of days is one run."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import dagster as dg
import polars as pl

from spotify_assets import progress
from spotify_assets.ahead import one_ahead
from spotify_assets.assets.table_asset import columns_of, table_asset
from spotify_assets.lakehouse import Lot, Lots
from spotify_assets.schemas import Table, clean, daily
from spotify_assets.transforms import checks
from spotify_assets.transforms import daily as transforms
from spotify_assets.transforms.coverage import DAY_EVIDENCE

CODE_VERSIONS: dict[str, str] = {
    table.qualified_name(): "1"
    for table in (
        daily.Listening,
        daily.Artists,
        daily.Albums,
        daily.Tracks,
        daily.Hours,
        daily.Sessions,
        daily.Completeness,
    )
}
"""Raise a version when the transform gives other rows: every day of that table is then built anew."""

CHECK_NAME = "equals_plays"


def build_daily_assets(partitions_def: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of the daily schema.

    Args:
        partitions_def: One partition for each local day.
    """

    def daily_asset(table: type[Table], **ins: dg.AssetIn) -> Any:
        return table_asset(
            table,
            ins=ins,
            partitions_def=partitions_def,
            code_version=CODE_VERSIONS[table.qualified_name()],
            check_specs=[
                dg.AssetCheckSpec(
                    CHECK_NAME,
                    asset=[table.layout.schema, table.layout.table],
                    blocking=True,
                    description="Plays and listening time of every day of the run equal those of clean.plays.",
                )
            ],
        )

    def plays_of_days(columns: list[str]) -> dg.AssetIn:
        return columns_of(clean.Plays, columns, day_columns=["played_on"])

    plays_of_sessions = columns_of(clean.Plays, transforms.SESSION_COLUMNS, day_columns=["session_started_on"])

    # A session belongs to the day on which it began: the plays of its next day are needed to know its length.
    plays_of_days_and_sessions = columns_of(
        clean.Plays,
        list(dict.fromkeys((*transforms.LISTENING_COLUMNS, *transforms.SESSION_COLUMNS))),
        day_columns=["played_on", "session_started_on"],
    )

    @daily_asset(
        daily.Listening,
        plays=plays_of_days_and_sessions,
        days=columns_of(clean.Days, ["listener", "played_on"], day_columns=["played_on"]),
    )
    def listening(plays: Lots, days: pl.LazyFrame):
        def build(lot: Lot):
            of_lot = days.filter(pl.col("played_on").is_between(lot.first, lot.last))
            of_days = lot.rows.join(of_lot, on=["listener", "played_on"], how="semi")
            begun = of_lot.rename({"played_on": "session_started_on"})
            of_sessions = lot.rows.join(begun, on=["listener", "session_started_on"], how="semi")
            rows = transforms.listening(of_days, of_sessions, of_lot).collect()
            return rows, checks.listening_balance(rows.lazy(), of_days)

        return _built(daily.Listening, plays, build)

    @daily_asset(daily.Artists, plays=plays_of_days(transforms.ARTIST_COLUMNS))
    def artists(plays: Lots):
        return _built_entities(daily.Artists, plays, transforms.artists, "artist_key")

    @daily_asset(daily.Albums, plays=plays_of_days(transforms.ALBUM_COLUMNS))
    def albums(plays: Lots):
        return _built_entities(daily.Albums, plays, transforms.albums, "album_key")

    @daily_asset(daily.Tracks, plays=plays_of_days(transforms.TRACK_COLUMNS))
    def tracks(plays: Lots):
        return _built_entities(daily.Tracks, plays, transforms.tracks, "track_key")

    @daily_asset(daily.Hours, plays=plays_of_days(transforms.HOUR_COLUMNS))
    def hours(plays: Lots):
        return _built_entities(daily.Hours, plays, transforms.hours)

    @daily_asset(daily.Sessions, session_plays=plays_of_sessions)
    def sessions(session_plays: Lots):
        def build(lot: Lot):
            rows = transforms.sessions(lot.rows).collect()
            return rows, checks.sessions_balance(rows.lazy(), lot.rows)

        return _built(daily.Sessions, session_plays, build)

    @daily_asset(
        daily.Completeness,
        plays=plays_of_days(transforms.COMPLETENESS_COLUMNS),
        days=columns_of(clean.Days, ["listener", "played_on", *DAY_EVIDENCE], day_columns=["played_on"]),
    )
    def completeness(plays: Lots, days: pl.LazyFrame):
        def build(lot: Lot):
            of_lot = days.filter(pl.col("played_on").is_between(lot.first, lot.last))
            rows = transforms.completeness(lot.rows, of_lot).collect()
            return rows, checks.tracks_balance(rows.lazy(), lot.rows)

        return _built(daily.Completeness, plays, build)

    return [listening, artists, albums, tracks, hours, sessions, completeness]


def _built(
    table: type[Table], plays: Lots, build: Callable[[Lot], tuple[pl.DataFrame, checks.Balance]]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """The rows of all days, and the result of their check once they are written.

    A day needs no other day, so that some are built while those before them are written. Days that do not balance are
    never written: a blocking check alone would run after the write.

    Raises:
        dagster.Failure: The sums differ; the write is taken back.
    """
    balance = checks.Balance(0, 0, 0, ())

    def built(lots: Iterator[Lot]) -> Generator[pl.DataFrame]:
        nonlocal balance
        for lot in lots:
            with progress.stage("daily: transform"):
                rows, of_lot = build(lot)
            _refuse_uneven(table, of_lot)
            balance += of_lot
            yield rows

    def frames() -> Iterator[pl.DataFrame]:
        with plays.opened() as lots, closing(one_ahead(built(lots))) as made:
            yield from made

    yield dg.MaterializeResult(value=frames())
    yield dg.AssetCheckResult(
        check_name=CHECK_NAME,
        passed=True,
        metadata={"plays": balance.plays, "ms_played": balance.ms_played, "groups": balance.rows},
    )


def _built_entities(
    table: type[Table], plays: Lots, transform: Callable[[pl.LazyFrame], pl.LazyFrame], key: str | None = None
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    def build(lot: Lot):
        rows = transform(lot.rows).collect()
        return rows, checks.tracks_balance(rows.lazy(), lot.rows, key)

    return _built(table, plays, build)


def _refuse_uneven(table: type[Table], balance: checks.Balance) -> None:
    if balance.is_even:
        return
    named = ", ".join(balance.differing_days[:10])
    raise dg.Failure(
        description=(
            f"{table.qualified_name()} does not equal clean.plays on {len(balance.differing_days)} days ({named}). "
            "Nothing was written and the days keep their former rows. This is a defect of the transform, please "
            "report it; with `spotify-assets import` the days are tried again."
        ),
        allow_retries=False,
    )
