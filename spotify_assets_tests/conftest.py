"""What several test modules share: homes, and one demo lakehouse that they only read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from filelock import FileLock

from spotify_assets.commands import Finished, import_paths
from spotify_assets.demo import DemoPackages, write_demo_packages
from spotify_assets.settings import Settings

DEMO_LAST_DAY = date(2025, 11, 9)
DEMO_ZONE = "Europe/Berlin"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """Path of an installed Chrome or Chromium."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_browser():
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no Chrome or Chromium: apt-get install chromium, or chrome.com"))


def settings_of(home: Path, **settings: object) -> Settings:
    return Settings(home=home, **{"timezone": DEMO_ZONE, "listener": "demo", **settings})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty home."""
    return settings_of(tmp_path / "home")


@pytest.fixture(scope="session")
def demo_packages(tmp_path_factory: pytest.TempPathFactory) -> DemoPackages:
    """Two years of a quiet demo listener: an older package, a full one and the account data."""
    folder = tmp_path_factory.mktemp("packages")
    return write_demo_packages(folder, last_day=DEMO_LAST_DAY, years=2, timezone=DEMO_ZONE, plays_per_day=12.0)


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory, demo_packages: DemoPackages) -> Path:
    """A home into which the demo packages were imported, once for all test processes. To be read, not changed."""
    home = tmp_path_factory.getbasetemp().parent / "demo-home"
    with FileLock(f"{home}.lock"):
        if not (home / "lakehouse.duckdb").exists():
            finished = import_paths(settings_of(home), demo_packages.paths)
            assert finished.outcome.is_success, finished.failure
    return home


@pytest.fixture
def copy_of_demo_home(demo_home: Path, tmp_path: Path) -> Path:
    """A demo home to change."""
    shutil.copytree(demo_home, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


@pytest.fixture
def import_into(settings: Settings) -> Callable[..., Finished]:
    """Import paths into the empty home."""

    def run(*paths: Path) -> Finished:
        return import_paths(settings, paths)

    return run
