"""What several test modules share: homes, and one demo lakehouse that they only read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from filelock import FileLock

from spotify_assets.commands import import_paths
from spotify_assets.demo import DemoPackages, write_demo_packages
from spotify_assets.settings import Settings
from spotify_assets_tests.lakehouse.s3_servers import moto_address, s3_keys, s3_server, signing_server

__all__ = ["moto_address", "s3_keys", "s3_server", "signing_server"]

# Every day up to today is a partition of each daily table, and Dagster is told of each: no history of long ago.
DEMO_LAST_DAY = date(2026, 11, 9)
DEMO_ZONE = "Europe/Berlin"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """Path of an installed Chrome or Chromium."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


SOAK_FIGURES = Path(__file__).parent.parent / "benchmarks" / "soak.json"
_figures = pytest.StashKey[list[dict[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak-share", type=float, default=1.0, help="Share of the kills, runs and mutations of `make soak` to do."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_figures] = []


@pytest.fixture
def soak_share(request: pytest.FixtureRequest) -> float:
    """How much of a soak to do; 1 is all of it."""
    return request.config.getoption("--soak-share")


@pytest.fixture
def tell_figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Have a figure (what was measured, what came out) stand in the table at the end and in benchmarks/soak.json."""

    def tell(what: str, figure: str) -> None:
        request.config.stash[_figures].append({"what": what, "figure": figure})

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash[_figures]
    if not figures:
        return
    width = max(len(each["what"]) for each in figures)
    terminalreporter.section("soak")
    for each in figures:
        terminalreporter.write_line(f"{each['what']:{width}}  {each['figure']}")
    if config.getoption("--soak-share") == 1.0:
        # One soak at a time may be run: the figures of the others stay.
        known = {each["what"]: each for each in _stored_figures()}
        known |= {each["what"]: each for each in figures}
        SOAK_FIGURES.write_text(json.dumps(list(known.values()), indent=1, ensure_ascii=False) + "\n")


def _stored_figures() -> list[dict[str, str]]:
    return json.loads(SOAK_FIGURES.read_text()) if SOAK_FIGURES.exists() else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A test process takes one module after the other: those of whole homes, which take longest, must not be the last.
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)
    if find_browser():
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no Chrome or Chromium: apt-get install chromium, or chrome.com"))


def settings_of(home: Path, **settings: object) -> Settings:
    return Settings(home=home, **{"timezone": DEMO_ZONE, "listener": "demo", **settings})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty home, which makes no BI copies: a sixth of what a small import takes."""
    return settings_of(tmp_path / "home", bi_copies="")


@pytest.fixture(scope="session")
def demo_packages(tmp_path_factory: pytest.TempPathFactory) -> DemoPackages:
    """A year of a quiet demo listener: an older package, a full one and the account data."""
    folder = tmp_path_factory.mktemp("packages")
    return write_demo_packages(folder, last_day=DEMO_LAST_DAY, years=1, timezone=DEMO_ZONE, plays_per_day=12.0)


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory, demo_packages: DemoPackages, worker_id: str) -> Path:
    """A home into which the demo packages were imported, once for all test processes. To be read, not changed."""
    folder = tmp_path_factory.getbasetemp()
    # Without other processes the folder above is that of all runs there ever were.
    home = (folder if worker_id == "master" else folder.parent) / "demo-home"
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
