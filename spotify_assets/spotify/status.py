"""How we stand with Spotify, for a person; asks nobody."""

from __future__ import annotations

from datetime import datetime

from spotify_assets.settings import Settings
from spotify_assets.spotify.capabilities import capability_memory
from spotify_assets.spotify.quota import QuotaLedger
from spotify_assets.state import State


def status_lines(settings: Settings, *, now: datetime, application: str = "") -> list[str]:
    """What Spotify offers to this app, and what was asked of it today.

    Args:
        settings: The home's settings.
        now: The instant (UTC).
        application: The app's client id.

    Raises:
        StateError: `state.sqlite` cannot be used.
    """
    ledger = QuotaLedger(State(settings.paths.state_file), settings.budgets)
    return [capability_memory(settings, application).load().text, ledger.text(now)]
