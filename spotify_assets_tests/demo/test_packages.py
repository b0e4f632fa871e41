from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from spotify_assets.demo import DemoPackages, write_demo_packages

LAST_DAY = date(2025, 6, 15)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> DemoPackages:
    return write_demo_packages(tmp_path_factory.mktemp("packages"), last_day=LAST_DAY, years=2, plays_per_day=12.0)


def test_three_packages_are_written(packages: DemoPackages) -> None:
    assert [path.name for path in packages.paths] == ["my_spotify_data.zip"] * 3
    assert all(path.stat().st_size > 10_000 for path in packages.paths)
    assert [(export.kind, export.generation) for export in packages.exports] == [
        ("extended", "G1"),
        ("extended", "G3"),
        ("account", "basic"),
    ]


def test_the_older_package_is_wholly_told_again_by_the_full_one(packages: DemoPackages) -> None:
    assert packages.older_extended.copies.keys() < packages.full_extended.copies.keys()


def test_only_the_account_data_tells_of_the_last_two_weeks(packages: DemoPackages) -> None:
    border = LAST_DAY - timedelta(days=14)
    zone = ZoneInfo(packages.listener.timezone)
    late = {play.play_number for play in packages.plays if play.told_at.astimezone(zone).date() > border}
    assert late.isdisjoint(packages.full_extended.copies)
    assert packages.expected.basic_plays == len(late & packages.account_data.copies.keys()) > 0


def test_the_expected_total_is_every_play_that_some_package_tells(packages: DemoPackages) -> None:
    told = set().union(*(export.copies for export in packages.exports))
    untold = [play for play in packages.plays if play.play_number not in told]
    assert packages.expected.plays == len(told) == len(packages.plays) - len(untold)
    assert all(play.content_type == "unknown" for play in untold)


def test_the_same_arguments_give_the_same_packages(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_demo_packages(tmp_path / name, last_day=LAST_DAY, years=1, plays_per_day=6.0)
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.zip")}
        for name in ("first", "second")
    )
    assert len(first) == 3
    assert first == second


def test_a_listener_may_go_on_after_the_packages(tmp_path: Path) -> None:
    live_until = LAST_DAY + timedelta(days=10)
    packages = write_demo_packages(tmp_path, last_day=LAST_DAY, years=1, plays_per_day=6.0, live_until=live_until)
    zone = ZoneInfo(packages.listener.timezone)
    assert max(play.told_at for play in packages.plays).astimezone(zone).date() <= LAST_DAY
    later = [play for play in packages.listener.plays() if play.told_at.astimezone(zone).date() > LAST_DAY]
    assert len(later) > 10
    told = set().union(*(export.copies for export in packages.exports))
    assert told.isdisjoint(play.play_number for play in later)


def test_a_listener_may_not_stop_before_the_packages(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="before the packages do"):
        write_demo_packages(tmp_path, last_day=LAST_DAY, live_until=LAST_DAY - timedelta(days=1))


def test_less_than_a_year_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one year"):
        write_demo_packages(tmp_path, last_day=LAST_DAY, years=0)
