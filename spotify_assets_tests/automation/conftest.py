"""A home with one play of five days ago."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from spotify_assets.commands import import_paths
from spotify_assets.instance import open_instance
from spotify_assets.settings import Settings
from spotify_assets_tests.automation.ticks import days_ago, play, write_zip
from spotify_assets_tests.conftest import settings_of


@pytest.fixture(scope="session")
def built_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To be copied, not changed."""
    folder = tmp_path_factory.mktemp("one-play")
    finished = import_paths(
        settings_of(folder / "home", timezone="UTC"), [write_zip(folder / "a.zip", play(days_ago(5)))]
    )
    assert finished.outcome.is_success, finished.failure
    return folder / "home"


@pytest.fixture
def settings(built_home: Path, tmp_path: Path) -> Settings:
    """Settings of a home in which everything is built."""
    shutil.copytree(built_home, tmp_path / "home", symlinks=True)
    return settings_of(tmp_path / "home", timezone="UTC")


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as instance:
        yield instance
