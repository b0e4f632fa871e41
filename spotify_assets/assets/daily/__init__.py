"""One partition per local day. Each asset filters and groups clean.plays; a range of days is one run."""

from typing import Any

import dagster as dg
import polars as pl

from spotify_assets.assets.table_asset import columns_of, table_asset
from spotify_assets.schemas import Table, clean, daily
from spotify_assets.transforms import checks
from spotify_assets.transforms import daily as transforms

CODE_VERSIONS: dict[str, str] = {
    table.qualified_name(): "1"
    for table in (daily.Listening, daily.Artists, daily.Albums, daily.Tracks, daily.Hours, daily.Sessions)
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
    def listening(plays: pl.LazyFrame, days: pl.LazyFrame):
        of_days = plays.join(days, on=["listener", "played_on"], how="semi")
        begun = days.rename({"played_on": "session_started_on"})
        of_sessions = plays.join(begun, on=["listener", "session_started_on"], how="semi")
        rows = transforms.listening(of_days, of_sessions, days).collect()
        return _checked(daily.Listening, rows, checks.listening_balance(rows.lazy(), of_days))

    @daily_asset(daily.Artists, plays=plays_of_days(transforms.ARTIST_COLUMNS))
    def artists(plays: pl.LazyFrame):
        rows = transforms.artists(plays).collect()
        return _checked(daily.Artists, rows, checks.tracks_balance(rows.lazy(), plays, "artist_key"))

    @daily_asset(daily.Albums, plays=plays_of_days(transforms.ALBUM_COLUMNS))
    def albums(plays: pl.LazyFrame):
        rows = transforms.albums(plays).collect()
        return _checked(daily.Albums, rows, checks.tracks_balance(rows.lazy(), plays, "album_key"))

    @daily_asset(daily.Tracks, plays=plays_of_days(transforms.TRACK_COLUMNS))
    def tracks(plays: pl.LazyFrame):
        rows = transforms.tracks(plays).collect()
        return _checked(daily.Tracks, rows, checks.tracks_balance(rows.lazy(), plays, "track_key"))

    @daily_asset(daily.Hours, plays=plays_of_days(transforms.HOUR_COLUMNS))
    def hours(plays: pl.LazyFrame):
        rows = transforms.hours(plays).collect()
        return _checked(daily.Hours, rows, checks.tracks_balance(rows.lazy(), plays))

    @daily_asset(daily.Sessions, session_plays=plays_of_sessions)
    def sessions(session_plays: pl.LazyFrame):
        rows = transforms.sessions(session_plays).collect()
        return _checked(daily.Sessions, rows, checks.sessions_balance(rows.lazy(), session_plays))

    return [listening, artists, albums, tracks, hours, sessions]


def _checked(table: type[Table], rows: pl.DataFrame, balance: checks.Balance) -> dg.MaterializeResult:
    """The rows with the result of their check; days that do not balance are never written.

    Raises:
        dagster.Failure: The sums differ. A blocking check alone would run after the write.
    """
    if not balance.is_even:
        named = ", ".join(balance.differing_days[:10])
        raise dg.Failure(
            description=(
                f"{table.qualified_name()} does not equal clean.plays on {len(balance.differing_days)} days ({named}). "
                "Nothing was written and the days keep their former rows. This is a defect of the transform, please "
                "report it; with `spotify-assets import` the days are tried again."
            ),
            allow_retries=False,
        )
    return dg.MaterializeResult(
        value=rows,
        check_results=[
            dg.AssetCheckResult(
                check_name=CHECK_NAME,
                passed=True,
                metadata={"plays": balance.plays, "ms_played": balance.ms_played, "groups": balance.rows},
            )
        ],
    )
