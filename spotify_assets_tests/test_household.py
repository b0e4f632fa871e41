"""Two listeners on either side of the date line and one who moves, from exports to daily tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from spotify_assets_tests.living_home import Heard, LivingHome, write_export

ZONES = {
    "Ann": "Pacific/Auckland",
    "Bob": "America/Los_Angeles",
    "Cleo": "Europe/Berlin; 2021-03-01 America/New_York",
}


def _february(day: int) -> date:
    return date(2021, 2, day)


def _march(day: int) -> date:
    return date(2021, 3, day)


def _heard(*instants: tuple[int, int, int, int]) -> list[Heard]:
    """Plays that ended at month, day, hour and minute of 2021, UTC."""
    return [Heard(datetime(2021, *instant, tzinfo=UTC)) for instant in instants]


# In Auckland midnight falls between these two, in Los Angeles it is past two and past three at night.
ACROSS_MIDNIGHT = _heard((2, 28, 10, 30), (2, 28, 11, 30))
# The move is at 05:00 UTC of 1 March, when New York's clocks show midnight and Berlin's six.
ACROSS_THE_MOVE = _heard((2, 28, 22, 30), (3, 1, 4, 30), (3, 1, 5, 30), (3, 2, 3, 0), (3, 2, 5, 10))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivingHome]:
    """A home of the three, built when Auckland already had 3 March. To be read, not changed."""
    folder = tmp_path_factory.mktemp("household")
    with dg.DagsterInstance.ephemeral() as instance:
        home = LivingHome(folder / "home", instance, ZONES, now=datetime(2021, 3, 2, 20, tzinfo=UTC))
        for listener in ZONES:
            plays = ACROSS_THE_MOVE if listener == "Cleo" else ACROSS_MIDNIGHT
            home.build(paths=[str(write_export(folder / f"{listener}.zip", plays, "G3"))], listener=listener)
        yield home


def test_every_listener_has_days_of_their_own_up_to_their_own_today(built: LivingHome) -> None:
    listening = built.table("daily.listening").sort("listener", "played_on")
    assert listening.select("listener", "played_on", "plays").rows() == [
        ("Ann", _february(28), 1),
        ("Ann", _march(1), 1),
        ("Ann", _march(2), 0),
        ("Ann", _march(3), 0),
        ("Bob", _february(28), 2),
        ("Bob", _march(1), 0),
        ("Bob", _march(2), 0),
        ("Cleo", _february(28), 1),
        ("Cleo", _march(1), 3),
        ("Cleo", _march(2), 1),
    ]


def test_hours_are_those_of_the_clock_where_the_listener_was(built: LivingHome) -> None:
    hours = built.table("daily.hours").sort("listener", "played_on", "hour")
    assert hours.select("listener", "played_on", "hour").rows() == [
        ("Ann", _february(28), 23),
        ("Ann", _march(1), 0),
        ("Bob", _february(28), 2),
        ("Bob", _february(28), 3),
        ("Cleo", _february(28), 23),
        ("Cleo", _march(1), 0),
        ("Cleo", _march(1), 5),
        ("Cleo", _march(1), 22),
        ("Cleo", _march(2), 0),
    ]


def test_first_plays_and_sessions_are_each_listeners_own(built: LivingHome) -> None:
    listening = built.table("daily.listening").filter(plays=0).select("sessions", "new_tracks").unique()
    assert listening.rows() == [(0, 0)]
    first = built.table("daily.tracks").filter("is_new").sort("listener")
    assert first.select("listener", "played_on").rows() == [(name, _february(28)) for name in ZONES]
    sessions = built.table("daily.sessions").group_by("listener").len().sort("listener")
    assert sessions.rows() == [("Ann", 2), ("Bob", 2), ("Cleo", 5)]


def test_nothing_is_stale_when_all_is_built_and_partitions_end_with_the_latest_today(built: LivingHome) -> None:
    assert built.warehouse.stale_days().is_empty()
    partitions = built.definitions().resolve_job_def("daily").partitions_def
    with dg.partition_loading_context(effective_dt=built.now):
        assert partitions.get_partition_keys() == ["2021-02-28", "2021-03-01", "2021-03-02", "2021-03-03"]


def test_an_import_for_somebody_else_is_refused_in_words(built: LivingHome, tmp_path: Path) -> None:
    export = write_export(tmp_path / "x.zip", ACROSS_MIDNIGHT, "G3")
    with pytest.raises(dg.Failure, match="does not name the listener 'Dan'; it names Ann, Bob, Cleo"):
        built.update_plays(paths=[str(export)], listener="Dan")
    assert "Dan" not in built.table("raw.imports")["listener"].to_list()


@pytest.mark.long
def test_another_list_of_zones_makes_the_days_stale_from_the_move_on(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        home = LivingHome(tmp_path / "home", instance, ZONES, now=datetime(2021, 3, 2, 20, tzinfo=UTC))
        export = write_export(tmp_path / "cleo.zip", ACROSS_THE_MOVE, "G3")
        home.build(paths=[str(export)], listener="Cleo")
        stayed = replace(home, zones={**ZONES, "Cleo": "Europe/Berlin"})
        stayed.update_plays()
        assert stayed.warehouse.stale_days()["played_on"].unique().sort().to_list() == [_march(1), _march(2)]
        stayed.build()
        listening = stayed.table("daily.listening").sort("played_on")
        assert listening.select("played_on", "plays").rows() == [
            (_february(28), 1),
            (_march(1), 2),
            (_march(2), 2),
        ]
