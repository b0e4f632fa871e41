from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from spotify_assets.automation.partitions import daily_partitions
from spotify_assets.cli import app
from spotify_assets.console import explain
from spotify_assets.listeners import Household, HouseholdError
from spotify_assets.settings import Settings
from spotify_assets_tests.conftest import settings_of

ANN = '[[listener]]\nname = "Ann"\nzones = "Europe/Berlin; 2021-03-01 America/New_York"\nmarket = "DE"\n'
BOB = '[[listener]]\nname = "Bob"\nzones = "Pacific/Auckland"\n'


@pytest.fixture
def told(settings: Settings) -> Settings:
    return _told(settings, ANN + BOB)


def _told(settings: Settings, text: str) -> Settings:
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.paths.listeners_file.write_text(text, encoding="utf-8")
    return settings


def test_a_household_has_names_dated_zones_and_markets(told: Settings) -> None:
    ann, bob = Household.of(told).listeners
    assert (ann.name, ann.market) == ("Ann", "DE")
    assert ann.zones == ((None, "Europe/Berlin"), (date(2021, 3, 1), "America/New_York"))
    assert (bob.name, bob.market, bob.zones) == ("Bob", None, ((None, "Pacific/Auckland"),))


def test_without_a_file_everybody_has_the_zone_of_the_settings(settings: Settings) -> None:
    household = Household.of(settings)
    household.check("anybody")
    assert household.listeners == ()
    assert household.zones_of("anybody") == ((None, settings.zone_name),)


def test_a_listener_without_zones_has_the_zone_of_the_settings(settings: Settings) -> None:
    assert Household.of(_told(settings, '[[listener]]\nname = "Ann"\n')).zones_of("Ann") == ((None, "Europe/Berlin"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[[listener]]\nname = "Ann"\nzone = "Europe/Berlin"',
            r"'Ann', zone: an unknown key; known are name, zo",
        ),
        ('[[listener]]\nname = "Ann"\nzones = "Europe/Bärlin"', r"'Ann', zones: 'Europe/Bärlin' is not an IANA"),
        ('[[listener]]\nname = "Ann"\nzones = ""', r"'Ann', zones: the first zone holds from the beginning"),
        ('[[listener]]\nname = "Ann"\nzones = "2020-01-01 UTC"', r"'Ann', zones: the first zone holds from the beginn"),
        (
            '[[listener]]\nname = "Ann"\nzones = "UTC; Asia/Tokyo"',
            r"'Ann', zones: after the first zone, write the da",
        ),
        ('[[listener]]\nname = "Ann"\nzones = "UTC; 2020-13-01 UTC"', r"'Ann', zones: '2020-13-01' is no date"),
        (
            '[[listener]]\nname = "Ann"\nzones = "UTC; 2021-01-02 Asia/Tokyo; 2021-01-01 UTC"',
            r"'Ann', zones: 2021-01-01 does not come after 2021-01-02; put the dates in order",
        ),
        ('[[listener]]\nname = "Ann"\nzones = ["UTC"]', r"'Ann', zones: write a text"),
        ('[[listener]]\nname = "Ann"\nmarket = "de"', r"'Ann', market: write the two capital letters"),
        ('[[listener]]\nname = "../Ann"', r"'../Ann', name: a listener's name is one word"),
        ('[[listener]]\nname = ".."', r"'..', name: a listener's name is one word"),
        ("[[listener]]\nname = 7", r"number 1, name: write a text in quotes"),
        ('[[listener]]\nmarket = "DE"', r"number 1, name: it is missing"),
        (BOB + '[[listener]]\nname = "bob "', r"'bob', name: stands there twice"),
        ("", "names nobody: write a table"),
        ('listener = "Ann"', "names nobody: write a table"),
        ('[Ann]\nzones = "UTC"', r"'Ann' means nothing here: each listener is a table \[\[listener\]\]"),
        ("[[listener\n", "cannot be read: .*line 1"),
    ],
)
def test_a_file_that_cannot_be_meant_is_told_with_listener_key_and_remedy(
    settings: Settings, text: str, words: str
) -> None:
    with pytest.raises(HouseholdError, match=words) as raised:
        Household.of(_told(settings, text))
    assert str(raised.value).startswith(str(settings.paths.listeners_file))


def test_a_name_that_the_household_does_not_have_is_refused(told: Settings) -> None:
    with pytest.raises(HouseholdError, match=r"does not name the listener 'Cleo'; it names Ann, Bob\. .*--listener"):
        Household.of(told).check("Cleo")


def test_the_command_line_tells_a_household_error_without_a_traceback(told: Settings, capsys) -> None:
    result = CliRunner().invoke(app, ["import", "x.zip", "--home", str(told.home), "--listener", "Cleo"])
    assert isinstance(result.exception, HouseholdError)
    assert explain(result.exception, told.home / "logs") == 2
    complaint = capsys.readouterr().err
    assert "does not name the listener 'Cleo'" in complaint and "Traceback" not in complaint
    assert not (told.home / "logs").exists()


def test_status_shows_the_household(told: Settings) -> None:
    shown = CliRunner().invoke(app, ["status", "--home", str(told.home)], env={"COLUMNS": "150"}).output
    assert "Ann: Europe/Berlin; 2021-03-01 America/New_York, market DE" in shown
    assert "Bob: Pacific/Auckland" in shown


@pytest.mark.parametrize(
    ("now", "last_day"),
    [
        (datetime(2026, 1, 10, 10, 59, tzinfo=UTC), "2026-01-10"),
        (datetime(2026, 1, 10, 11, 0, tzinfo=UTC), "2026-01-11"),
    ],
)
def test_partition_keys_end_with_the_latest_today_of_the_household(
    told: Settings, now: datetime, last_day: str
) -> None:
    partitions = daily_partitions(told, now)
    with dg.partition_loading_context(effective_dt=now):
        assert partitions.get_last_partition_key() == last_day


def test_partition_keys_follow_a_listener_who_moved(tmp_path: Path) -> None:
    settings = _told(settings_of(tmp_path), ANN.replace("America/New_York", "Asia/Tokyo"))
    before, after = datetime(2021, 2, 27, 12, tzinfo=UTC), datetime(2021, 3, 2, 12, tzinfo=UTC)
    assert daily_partitions(settings, before).timezone == "Europe/Berlin"
    assert daily_partitions(settings, after).timezone == "Asia/Tokyo"
