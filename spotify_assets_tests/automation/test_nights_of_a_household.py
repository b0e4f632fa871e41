"""Nights of a household whose listeners live on either side of the date line: nobody's day is left open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from spotify_assets.automation.nightly import next_night
from spotify_assets.instance import open_instance
from spotify_assets.settings import Settings
from spotify_assets_tests.automation.ticks import tick
from spotify_assets_tests.living_home import Heard, LivingHome, write_export

pytestmark = pytest.mark.long

AUCKLAND, LOS_ANGELES = "Pacific/Auckland", "America/Los_Angeles"


@pytest.fixture(
    scope="module", params=[(AUCKLAND, LOS_ANGELES), (LOS_ANGELES, AUCKLAND)], ids=["other is behind", "other is ahead"]
)
def after_a_night(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LivingHome:
    """Ann, whose zone is that of the settings, and Bob on the other side, both with a play of 30 May 2021.

    The night, which the clock still shows, found Bob's today not over. To be copied, not changed.
    """
    zone, other_zone = request.param
    folder = tmp_path_factory.mktemp("nights")
    with open_instance(Settings(home=folder / "home")) as instance:
        zones = {"Ann": zone, "Bob": other_zone}
        home = LivingHome(folder / "home", instance, zones, now=datetime(2021, 5, 31, 9, tzinfo=UTC), timezone=zone)
        for listener in zones:
            export = write_export(folder / f"{listener}.zip", [Heard(datetime(2021, 5, 30, 8, tzinfo=UTC))], "G3")
            home.update_plays(paths=[str(export)], listener=listener)
        let_a_night_pass(home)
    return home


@pytest.fixture
def home(after_a_night: LivingHome, tmp_path: Path) -> Iterator[LivingHome]:
    folder = tmp_path / "home"
    shutil.copytree(after_a_night.folder, folder, symlinks=True)
    with open_instance(Settings(home=folder)) as instance:
        yield replace(after_a_night, folder=folder, instance=instance)


def let_a_night_pass(home: LivingHome) -> None:
    """What the schedule does when it is due next."""
    home.now = next_night(home.now.astimezone(UTC), home.timezone) + timedelta(seconds=20)
    assert home.definitions().resolve_job_def("nightly").execute_in_process(instance=home.instance).success


def today(home: LivingHome, listener: str) -> date:
    return home.now.astimezone(ZoneInfo(home.zones[listener])).date()


def hear_in_the_last_minute_of(home: LivingHome, listener: str, day: date) -> None:
    """A play that is imported ten minutes after the day's end; only the plays are brought up to date."""
    midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(home.zones[listener]))
    assert home.now < midnight < next_night(home.now.astimezone(UTC), home.timezone)
    home.now = midnight + timedelta(minutes=10)
    heard = Heard((midnight - timedelta(minutes=1)).astimezone(UTC))
    export = write_export(home.folder.parent / f"{listener}-{day}.zip", [heard], "G3")
    home.update_plays(paths=[str(export)], listener=listener)


def plays_of(home: LivingHome, listener: str) -> dict[date, int]:
    listening = home.table("daily.listening").filter(listener=listener).sort("played_on")
    return dict(listening.select("played_on", "plays").iter_rows())


def assert_that_all_is_built_up_to_everybody_s_own_today(home: LivingHome) -> None:
    for listener in home.zones:
        days = list(plays_of(home, listener))
        # 08:00 UTC of 30 May is that day in both places.
        assert days == [date(2021, 5, 30) + timedelta(days=number) for number in range(len(days))]
        assert days[-1] == today(home, listener)
    assert home.warehouse.stale_days().is_empty()


def test_a_night_builds_everybody_s_days_up_to_their_own_today(after_a_night: LivingHome) -> None:
    assert_that_all_is_built_up_to_everybody_s_own_today(after_a_night)


def test_a_day_that_a_night_found_open_is_built_by_the_sensor_once_it_is_over(home: LivingHome) -> None:
    open_day = today(home, "Bob")
    assert plays_of(home, "Bob")[open_day] == 0
    hear_in_the_last_minute_of(home, "Bob", open_day)
    definitions = home.definitions()
    now = home.now.astimezone(UTC)
    (request,) = tick(home.settings, home.instance, "stale_days", now=now, definitions=definitions).run_requests
    job = definitions.resolve_job_def(request.job_name)
    job.execute_in_process(instance=home.instance, tags=request.tags, asset_selection=request.asset_selection)
    assert plays_of(home, "Bob")[open_day] == 1
    assert_that_all_is_built_up_to_everybody_s_own_today(home)


def test_a_day_that_a_night_found_open_is_built_by_the_next_one_where_no_sensor_looked(home: LivingHome) -> None:
    open_day = today(home, "Bob")
    hear_in_the_last_minute_of(home, "Bob", open_day)
    let_a_night_pass(home)
    assert plays_of(home, "Bob")[open_day] == 1
    assert_that_all_is_built_up_to_everybody_s_own_today(home)
