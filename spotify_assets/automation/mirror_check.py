"""The check that the mirror is up to date, for whoever runs it by hand; every run's end reports the same one."""

import dagster as dg

from spotify_assets.lakehouse import published_sequence
from spotify_assets.lakehouse.mirror_events import MANIFEST_ASSET, UP_TO_DATE_CHECK, standing
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.settings import HomePaths
from spotify_assets.state import State


def build_mirror_check(paths: HomePaths, configuration: MirrorConfiguration) -> dg.AssetChecksDefinition:
    """A check that reads what the last run has noted; it asks no store and fails nothing else."""

    @dg.asset_check(
        asset=MANIFEST_ASSET,
        name=UP_TO_DATE_CHECK,
        blocking=False,
        description="The mirror holds what the published file holds. If not, the next run that ends catches up.",
    )
    def mirror_up_to_date() -> dg.AssetCheckResult:
        state = MirrorState.of(State(paths.state_file))
        sequence = published_sequence(paths)
        if state is None:
            passed, told = sequence == 0, {"failure": "nothing was mirrored yet"} if sequence else {}
        else:
            is_there = state.address == configuration.link(paths)
            passed = is_there and not state.failure and state.snapshot_sequence == sequence
            told = standing(state) | {"published": sequence}
            if not is_there:
                told["failure"] = f"nothing was mirrored to {configuration.link(paths)} yet"
        return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=told)

    return mirror_up_to_date
