from __future__ import annotations

from datetime import date

import pytest

from spotify_assets.demo.listener import DemoListener, TruePlay


@pytest.fixture(scope="session")
def listener() -> DemoListener:
    """Three years over the change of the unit of offline_timestamp and the first audiobooks."""
    return DemoListener(first_day=date(2022, 2, 1), last_day=date(2025, 1, 31), plays_per_day=22.0)


@pytest.fixture(scope="session")
def plays(listener: DemoListener) -> list[TruePlay]:
    return listener.plays()
