from collections.abc import Iterator

import polars as pl
import pytest


@pytest.fixture(scope="module")
def small_frames() -> Iterator[None]:
    """Hundreds of frames of a few rows: the engine for large ones takes twice as long to get going."""
    with pl.Config() as config:
        config.set_engine_affinity("in-memory")
        yield
