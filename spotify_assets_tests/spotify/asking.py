"""Processes that ask Spotify for one home: `python -m spotify_assets_tests.spotify.asking URL HOME TIMES BUDGET`.

Prints how many requests were answered and how many refused.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from spotify_assets.settings import DAILY_BUDGETS
from spotify_assets.spotify.capabilities import CapabilityMemory
from spotify_assets.spotify.client import SpotifyClient
from spotify_assets.spotify.errors import QuotaBlocked
from spotify_assets.spotify.model import Endpoint, Request
from spotify_assets.spotify.quota import QuotaLedger
from spotify_assets.state import State
from spotify_assets_tests.spotify.scripted_api import CountedTokens


def start(url: str, home: Path, times: int, budget: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__, url, str(home), str(times), str(budget)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def ask(url: str, home: Path, times: int, budget: int) -> tuple[int, int]:
    state = State(home / "state.sqlite")
    client = SpotifyClient(
        CountedTokens(),
        QuotaLedger(state, DAILY_BUDGETS | {"artists": budget}),
        CapabilityMemory(state, "test"),
        home / "spotify.lock",
        now=lambda: datetime.now(UTC),
        sleep=time.sleep,
        api_url=url,
        requests_per_second=200.0,
    )
    answered = refused = 0
    for _ in range(times):
        try:
            client.fetch(Request(Endpoint.ARTIST, {"id": "a1"}))
            answered += 1
        except QuotaBlocked:
            refused += 1
    return answered, refused


if __name__ == "__main__":
    print(*ask(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
