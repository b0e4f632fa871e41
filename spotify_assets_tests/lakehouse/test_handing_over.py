"""Homes that take turns with one mirror: which is the newer one, and what becomes of the other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotify_assets.lakehouse import LakehouseError, MirrorDiverged, MirrorError, Warehouse, run_session
from spotify_assets.lakehouse.handing_over import Succession, lakehouse_set_aside, succession
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.state import State
from spotify_assets_tests.lakehouse.example import RawReadings, raw_readings, warehouse_in


class Homes:
    """Homes of one lakehouse, with a mirror in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def at(self, name: str) -> Warehouse:
        return warehouse_in(self.folder / name, mirror=MirrorConfiguration(address=str(self.folder / "mirror")))

    def write(self, name: str, *, is_mirrored: bool = True) -> None:
        """Append a row, and mirror it unless the mirror cannot be written."""
        warehouse = self.at(name)
        mirror = self.folder / "mirror"
        away = self.folder / "away"
        if not is_mirrored:
            mirror.rename(away)
            mirror.write_text("no folder")
        with run_session(warehouse, purpose="a test") as session:
            session.begin()
            with warehouse.transaction() as transaction:
                rows = transaction.read(RawReadings, ["row_id"]).height
                transaction.append(RawReadings, raw_readings(rows, 1))
        if not is_mirrored:
            mirror.unlink()
            away.rename(mirror)

    def copy(self, name: str, to: str) -> None:
        shutil.copytree(self.folder / name, self.folder / to, symlinks=True)


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    homes = Homes(tmp_path)
    homes.write("first")
    homes.copy("first", "second")
    yield homes


def test_a_home_that_wrote_the_mirror_last_goes_on_with_its_own(homes: Homes) -> None:
    assert succession(homes.at("first")) == Succession.OWN
    homes.write("first", is_mirrored=False)
    assert succession(homes.at("first")) == Succession.OWN, "what the mirror lacks, the next run writes"


def test_an_empty_home_takes_what_the_mirror_holds(homes: Homes) -> None:
    assert succession(homes.at("empty")) == Succession.RESTORE
    shutil.rmtree(homes.folder / "mirror")
    assert succession(homes.at("empty")) == Succession.OWN


def test_a_home_that_another_one_has_overtaken_takes_its_rows_unless_it_has_own_ones(homes: Homes) -> None:
    homes.write("second")
    assert succession(homes.at("first")) == Succession.REPLACE
    homes.write("first", is_mirrored=False)
    with pytest.raises(MirrorDiverged, match="changes that the mirror does not have"):
        succession(homes.at("first"))


def test_a_home_whose_run_was_killed_after_its_manifest_knows_it_for_its_own(homes: Homes) -> None:
    paths = homes.at("first").paths
    before = State(paths.state_file).note("mirror")
    homes.write("first")
    after = MirrorState.of(State(paths.state_file))
    assert before and after
    State(paths.state_file).set_note("mirror", before)
    with pytest.raises(MirrorDiverged):
        succession(homes.at("first"))
    promised = MirrorState.of(State(paths.state_file))
    assert promised
    MirrorState(**{**vars(promised), "pending_revision": after.revision}).note(State(paths.state_file))
    assert succession(homes.at("first")) == Succession.OWN


def test_the_mirror_of_another_lakehouse_is_no_successor(homes: Homes) -> None:
    shutil.rmtree(homes.folder / "second")
    homes.write("second", is_mirrored=False)
    assert succession(homes.at("second")) == Succession.OWN


def test_a_damaged_manifest_is_told_and_not_taken_for_another_machine_s(homes: Homes) -> None:
    manifest = homes.folder / "mirror" / "current" / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{")
    with pytest.raises(MirrorError, match="damaged"):
        succession(homes.at("first"))
    homes.write("first")
    assert succession(homes.at("first")) == Succession.OWN


def test_a_lakehouse_that_is_set_aside_comes_back_when_the_new_one_cannot_be_made(homes: Homes) -> None:
    warehouse = homes.at("first")
    paths = warehouse.paths
    with pytest.raises(LakehouseError, match="no luck"), lakehouse_set_aside(paths):
        assert not warehouse.exists() and not paths.published_file.exists()
        paths.warehouse_file.parent.mkdir()
        paths.warehouse_file.write_text("half of one")
        raise LakehouseError("no luck")
    assert warehouse.counts([RawReadings])[RawReadings] == 1 and paths.published_file.exists()
    assert not list(paths.home.glob(".set-aside*"))


def test_one_that_was_killed_while_the_new_one_was_made_has_the_old_one_again(homes: Homes) -> None:
    homes.write("second")
    paths = homes.at("first").paths
    (paths.home / ".set-aside").mkdir()
    for path in (paths.published_file, paths.snapshots_folder, paths.warehouse_file.parent):
        path.rename(paths.home / ".set-aside" / path.name)
    assert succession(homes.at("first")) == Succession.REPLACE
    assert homes.at("first").counts([RawReadings])[RawReadings] == 1


def test_what_came_into_a_home_after_that_stays(homes: Homes) -> None:
    homes.write("second")
    paths = homes.at("first").paths
    (paths.home / ".set-aside").mkdir()
    for path in (paths.published_file, paths.snapshots_folder, paths.warehouse_file.parent):
        path.rename(paths.home / ".set-aside" / path.name)
    homes.write("first", is_mirrored=False)
    homes.write("first", is_mirrored=False)
    assert succession(homes.at("first")) == Succession.OWN, "a new lakehouse, which the mirror refuses"
    assert homes.at("first").counts([RawReadings])[RawReadings] == 2
    assert not (paths.home / ".set-aside").exists()
