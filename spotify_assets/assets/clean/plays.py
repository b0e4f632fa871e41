"""clean.plays, clean.play_sources, clean.days and clean.coverage: one step, because they are one decision."""

import dagster as dg

from spotify_assets.assets.clean.deciding import Unbalanced, update_plays
from spotify_assets.assets.table_asset import asset_key, table_spec
from spotify_assets.clock import Clock
from spotify_assets.lakehouse import Warehouse
from spotify_assets.listeners import Household
from spotify_assets.schemas import clean, raw, raw_api

BALANCE_CHECK = "sources_balance"


def build_plays_asset(*, household: Household, session_gap_minutes: int, outage_minutes: int) -> dg.AssetsDefinition:
    """The asset of clean.plays, clean.play_sources, clean.days and clean.coverage.

    Args:
        household: Time zones of the listeners.
        session_gap_minutes: Silence after which a new session begins.
        outage_minutes: Time without a successful poll after which an outage is told.
    """
    known = [raw.StreamingHistory, raw.Imports, raw_api.RecentlyPlayed, raw_api.Polls, raw_api.Tracks]

    @dg.multi_asset(
        name="plays",
        specs=[
            table_spec(clean.Plays, deps=known),
            table_spec(clean.PlaySources, deps=known),
            table_spec(clean.Days, deps=known),
            table_spec(clean.Coverage, deps=[raw.Imports, raw_api.Polls]),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                BALANCE_CHECK,
                asset=asset_key(clean.Plays),
                description=(
                    "Every row of exports and of the Web API stands in clean.play_sources exactly once, and the rows "
                    "of exports equal the copies of export plays plus the superseded ones. Checked before the commit: "
                    "days that do not balance are never written."
                ),
            )
        ],
    )
    def plays(context: dg.AssetExecutionContext, warehouse: Warehouse, clock: Clock):
        warehouse.begin()
        with warehouse.transaction() as transaction:
            try:
                update = update_plays(
                    transaction,
                    zones_of=household.zones_of,
                    session_gap_minutes=session_gap_minutes,
                    outage_minutes=outage_minutes,
                    now=clock.now(),
                )
            except Unbalanced as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error
        yield dg.MaterializeResult(
            asset_key=asset_key(clean.Plays),
            metadata={
                "dagster/row_count": update.balance["plays"],
                "days_written": update.days_written,
                "listeners": update.listeners,
            },
            check_results=[dg.AssetCheckResult(check_name=BALANCE_CHECK, passed=True, metadata=update.balance)],
        )
        yield dg.MaterializeResult(
            asset_key=asset_key(clean.PlaySources),
            metadata={"dagster/row_count": update.balance["source_rows"], "days_written": update.days_related},
        )
        yield dg.MaterializeResult(asset_key=asset_key(clean.Days), metadata={"dagster/row_count": update.days})
        yield dg.MaterializeResult(
            asset_key=asset_key(clean.Coverage), metadata={"dagster/row_count": update.intervals}
        )

    return plays
