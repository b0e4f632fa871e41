"""How old what Spotify told may grow before the UI shows it in yellow and in red.

A home of which nobody can ask (exports only, or signed out) has no such policies: it would be red for ever, and nothing
in it is wrong. A sign-in that has ended is another matter: somebody wants what does not come any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

import dagster as dg

from spotify_assets.assets import ASKS_TAG
from spotify_assets.automation.jobs import CATALOGUE_JOB, POLL_JOB, POLLED, RANKED, TOP_LISTS_JOB
from spotify_assets.settings import Settings
from spotify_assets.spotify.credentials import CredentialsUnusable, credentials_of
from spotify_assets.spotify.token_folder import TokenFolder

POLICIES = {
    POLL_JOB: dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=2), fail_window=timedelta(hours=24)),
    CATALOGUE_JOB: dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=12), fail_window=timedelta(days=2)),
    TOP_LISTS_JOB: dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=36), fail_window=timedelta(days=4)),
}
"""By the job that asks. Windows, no deadlines: a machine may be off at any hour of the day."""


def with_freshness(assets: Iterable[dg.AssetsDefinition], settings: Settings) -> list[dg.AssetsDefinition]:
    """The same assets; those whose steps ask, for somebody who is there, with a freshness policy.

    It is decided when definitions are loaded: after the first sign-in, with the next start or Reload of the UI.
    """
    jobs = _jobs_that_ask(settings)
    if not jobs:
        return list(assets)
    return [each.map_asset_specs(_policy_given(jobs)) for each in assets]


def _jobs_that_ask(settings: Settings) -> frozenset[str]:
    """The jobs for which there is somebody to ask for."""
    if TokenFolder(settings.paths.tokens_folder).listeners():
        return frozenset(POLICIES)
    try:
        credentials = credentials_of(settings)
    except CredentialsUnusable:
        return frozenset({CATALOGUE_JOB})
    return frozenset({CATALOGUE_JOB}) if credentials and credentials.client_secret else frozenset()


def _policy_given(jobs: frozenset[str]) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
    def give(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = spec.key.to_user_string()
        job = POLL_JOB if name in POLLED else TOP_LISTS_JOB if name in RANKED else CATALOGUE_JOB
        if ASKS_TAG not in spec.tags or job not in jobs:
            return spec
        return spec.replace_attributes(freshness_policy=POLICIES[job])

    return give
