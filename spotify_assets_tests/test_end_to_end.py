"""From packages to tables, against what really happened to the demo listener."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

import spotify_assets
from spotify_assets.arrow import frame_of
from spotify_assets.clock import Clock
from spotify_assets.commands import Finished, forget, import_paths
from spotify_assets.demo import DemoPackages
from spotify_assets.demo.expected import (
    expected_artists,
    expected_hours,
    expected_listening,
    expected_plays,
    expected_sessions,
)
from spotify_assets.demo.exports import Defects, write_basic_history, write_extended_history
from spotify_assets.demo.listener import DemoListener, TruePlay
from spotify_assets.lakehouse import scan_table
from spotify_assets.schemas import tables
from spotify_assets.settings import Settings
from spotify_assets_tests.conftest import DEMO_ZONE, settings_of

Import = Callable[..., Finished]
COMPARED_SCHEMAS = ("clean", "daily")
# Every day to today is a partition of each daily table: two years and more of nothing, for each import of this module.
CLOCK = Clock(fixed_now="2024-04-06T12:00:00+00:00")


@pytest.fixture(scope="module")
def plays() -> list[TruePlay]:
    """Half a year that holds a change of the clocks in each direction would be long; these days hold March's."""
    return DemoListener(
        seed=11, first_day=date(2024, 3, 28), last_day=date(2024, 4, 4), timezone=DEMO_ZONE, plays_per_day=40.0
    ).plays()


@pytest.fixture
def import_into(settings: Settings) -> Import:
    """Import paths into the empty home."""
    return lambda *paths: import_paths(settings, paths, clock=CLOCK)


def table(settings: Settings, name: str) -> pl.DataFrame:
    return scan_table(settings.home, name).collect()


def content(settings: Settings) -> dict[str, pl.DataFrame]:
    """The clean and daily tables without what names rows of raw, in a comparable order."""
    names = [each.qualified_name() for each in tables() if each.layout.schema in COMPARED_SCHEMAS]
    with spotify_assets.connect(settings.home) as lakehouse:
        frames = {name: frame_of(lakehouse.table(name)) for name in names if name != "clean.play_sources"}
    without = {
        name: frame.drop("source_row", "snapshot_at", "sources_hash", strict=False) for name, frame in frames.items()
    }
    return {name: frame.sort(frame.columns, nulls_last=True) for name, frame in without.items()}


def assert_same_content(left: dict[str, pl.DataFrame], right: dict[str, pl.DataFrame]) -> None:
    assert left.keys() == right.keys()
    for name, frame in left.items():
        assert frame.equals(right[name]), f"{name} differs"


def rows_of(frame: pl.DataFrame, columns: list[str]) -> list[tuple]:
    return sorted(frame.select(columns).rows(), key=repr)


def expected_rows(rows: list[dict], columns: list[str]) -> list[tuple]:
    return sorted((tuple(row[name] for name in columns) for row in rows), key=repr)


def test_the_packages_of_the_demo_listener_give_every_play_once(demo_home: Path, demo_packages: DemoPackages) -> None:
    settings, expected = settings_of(demo_home), demo_packages.expected
    found = table(settings, "clean.plays")
    assert found.height == expected.plays
    assert found["play_id"].n_unique() == expected.plays
    assert found.filter(pl.col("source") == "extended").height == expected.extended_plays
    assert found["copies"].sum() == expected.copies


def test_the_ledger_of_the_demo_balances(demo_home: Path, demo_packages: DemoPackages) -> None:
    settings, expected = settings_of(demo_home), demo_packages.expected
    imports = table(settings, "raw.imports")
    history = imports.filter(pl.col("kind").is_in(["extended", "basic"]))
    assert (imports["rows_in"] == imports["rows_new"] + imports["rows_known"] + imports["rows_rejected"]).all()
    assert history["rows_in"].sum() == expected.rows
    assert history["rows_rejected"].sum() == expected.rejected_rows
    assert table(settings, "raw.rejected_rows").height == expected.rejected_rows
    raw_rows = table(settings, "raw.streaming_history").height
    sources = table(settings, "clean.play_sources")
    superseded = sources.filter(pl.col("rule").is_in(["superseded", "basic_of_extended"])).height
    assert raw_rows == history["rows_new"].sum() == sources.height == sources["source_row"].n_unique()
    assert raw_rows == table(settings, "clean.plays")["copies"].sum() + superseded


@pytest.mark.parametrize("generation", [*(pytest.param(name, marks=pytest.mark.long) for name in ("G1", "G2")), "G3"])
def test_an_extended_export_gives_the_plays_that_really_happened(
    generation: str, plays: list[TruePlay], tmp_path: Path, settings: Settings, import_into: Import
) -> None:
    export = write_extended_history(
        plays, tmp_path / "export.zip", generation=generation, defects=Defects.typical(), seed=3
    )
    finished = import_into(export.target)
    assert finished.outcome.is_success, finished.failure
    told = [play for play in plays if play.play_number in export.copies]
    truth = expected_plays(told, timezone=DEMO_ZONE)
    columns = [name for name in table(settings, "clean.plays").columns if name in truth[0] and name != "session_id"]
    assert {"played_on", "started_at", "ended_at_local", "is_scrobble", "is_first_play_of_album"} <= set(columns)
    assert rows_of(table(settings, "clean.plays"), columns) == expected_rows(truth, columns)
    last = table(settings, "clean.days")["played_on"].max()
    for name, rows in {
        "daily.listening": expected_listening(truth, through=last),
        "daily.artists": expected_artists(truth),
        "daily.hours": expected_hours(truth),
    }.items():
        found = table(settings, name)
        columns = [column for column in found.columns if column in rows[0]]
        assert rows_of(found, columns) == expected_rows(rows, columns), name
    sessions = expected_sessions(truth)
    columns = ["played_on", "started_at", "ended_at", "plays", "ms_played"]
    assert rows_of(table(settings, "daily.sessions"), columns) == expected_rows(sessions, columns)


def test_importing_the_same_export_again_adds_nothing_and_changes_nothing(
    plays: list[TruePlay], tmp_path: Path, settings: Settings, import_into: Import
) -> None:
    export = write_extended_history(plays, tmp_path / "export.zip", generation="G3", defects=Defects.typical())
    import_into(export.target)
    before = content(settings)
    again = import_into(export.target)
    assert again.report["rows_new"] == 0
    assert again.report["rows_known"] == export.accepted_rows
    assert again.outcome.built_days == 0
    assert_same_content(content(settings), before)


def test_a_zip_beside_its_own_unzipped_folder_counts_once(
    plays: list[TruePlay], tmp_path: Path, settings: Settings, import_into: Import
) -> None:
    write_extended_history(plays, tmp_path / "both" / "export.zip", generation="G2")
    folder = write_extended_history(plays, tmp_path / "both" / "unzipped", generation="G2")
    finished = import_into(tmp_path / "both")
    assert finished.report["rows_new"] == folder.accepted_rows
    assert len(finished.report["repeated"]) == len(folder.files)
    assert (table(settings, "clean.plays")["copies"] >= 1).all()
    assert table(settings, "clean.plays").height == folder.plays


@pytest.mark.long
def test_packages_give_the_same_lakehouse_in_any_order(plays: list[TruePlay], tmp_path: Path) -> None:
    third = len(plays) // 3
    older = write_extended_history(plays[: 2 * third], tmp_path / "older.zip", generation="G0")
    newer = write_extended_history(
        plays[third:], tmp_path / "newer.zip", generation="G3", defects=Defects(duplicate_share=0.05)
    )
    basic = write_basic_history(plays[third:], tmp_path / "basic.zip")
    targets = [older.target, newer.target, basic.target]
    backwards, at_once = (settings_of(tmp_path / name, bi_copies="") for name in ("backwards", "at once"))
    for target in reversed(targets):
        assert import_paths(backwards, [target], clock=CLOCK).outcome.is_success
    assert import_paths(at_once, targets, clock=CLOCK).outcome.is_success
    assert_same_content(content(backwards), content(at_once))


def test_a_later_overlapping_export_adds_only_what_is_new(
    plays: list[TruePlay], tmp_path: Path, settings: Settings, import_into: Import
) -> None:
    half = len(plays) // 2
    import_into(write_extended_history(plays[:half], tmp_path / "a.zip", generation="G1").target)
    later = write_extended_history(plays, tmp_path / "b.zip", generation="G3")
    finished = import_into(later.target)
    # Audiobooks are told by G3 only, where G1 has a row without a name.
    told_by_both = {play.play_number for play in plays[:half] if play.content_type != "audiobook"}
    assert finished.report["rows_known"] >= len(told_by_both & later.copies.keys())
    assert table(settings, "clean.plays").height == later.plays


@pytest.mark.long
def test_forgetting_an_import_leaves_what_another_import_told(
    plays: list[TruePlay], tmp_path: Path, settings: Settings, import_into: Import
) -> None:
    half = len(plays) // 2
    first = write_extended_history(plays[:half], tmp_path / "a.zip", generation="G3")
    whole = write_extended_history(plays, tmp_path / "b.zip", generation="G3")
    import_into(first.target)
    only_first = content(settings)
    import_into(whole.target)
    forgotten = forget(settings, 2, clock=CLOCK)
    assert forgotten.outcome.is_success, forgotten.failure
    assert_same_content(content(settings), only_first)
    again = import_into(whole.target)
    assert again.report["rows_new"] == whole.accepted_rows - first.accepted_rows
    forget(settings, 1, clock=CLOCK)
    assert table(settings, "clean.plays").height == whole.plays
    assert table(settings, "raw.imports")["import_id"].unique().to_list() == [2]


def test_forgetting_the_only_import_leaves_an_empty_lakehouse_that_still_works(
    plays: list[TruePlay], tmp_path: Path, settings: Settings, import_into: Import
) -> None:
    export = write_extended_history(plays, tmp_path / "a.zip", generation="G3")
    import_into(export.target)
    forget(settings, 1, clock=CLOCK)
    for name in ("raw.streaming_history", "raw.imports", "raw.told_rows", "clean.plays", "daily.listening"):
        assert table(settings, name).is_empty(), name
    assert import_into(export.target).report["rows_new"] == export.accepted_rows


@pytest.mark.long
def test_a_notebook_may_hold_the_published_file_while_imports_go_on(
    plays: list[TruePlay], tmp_path: Path, settings: Settings, import_into: Import
) -> None:
    step = len(plays) // 3
    import_into(write_extended_history(plays[:step], tmp_path / "0.zip", generation="G3").target)
    held = duckdb.connect(str(settings.paths.published_file), read_only=True)
    try:
        before = held.sql("select count(*) from clean.plays").fetchall()[0]
        for number in range(2, 4):
            export = write_extended_history(plays[: number * step], tmp_path / f"{number}.zip", generation="G3")
            assert import_into(export.target).outcome.is_success
            assert held.sql("select count(*) from clean.plays").fetchall()[0] == before
            with spotify_assets.connect(settings.home) as reopened:
                assert reopened.sql("select count(*) from clean.plays").fetchall()[0] == (export.plays,)
    finally:
        held.close()


def test_a_table_is_a_lazy_frame(demo_home: Path) -> None:
    frame = spotify_assets.table("daily.artists", home=demo_home)
    assert isinstance(frame, pl.LazyFrame)
    assert frame.select(pl.col("plays").sum()).collect().item() > 0


def test_personal_fields_are_nowhere_in_the_home(demo_home: Path) -> None:
    """The demo exports carry documentation addresses (203.0.113.x), user names and user agents."""
    suspicious = (b"203.0.113.", b"username", b"user_agent", b"ip_addr", b"metro_code", b"longitude")
    files = [
        path
        for path in demo_home.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and path.suffix in {".duckdb", ".parquet", ".db", ".sqlite", ".json"}
    ]
    assert files
    for path in files:
        data = path.read_bytes()
        for word in suspicious[:1]:
            assert word not in data, f"{word!r} in {path.name}"
    with spotify_assets.connect(demo_home) as lakehouse:
        names = lakehouse.sql("select column_name from duckdb_columns()").fetchall()
    assert not {name for (name,) in names} & {word.decode() for word in suspicious[1:]}


def test_the_mirror_holds_what_the_lakehouse_holds(demo_home: Path) -> None:
    settings = settings_of(demo_home)
    with spotify_assets.connect(demo_home) as lakehouse:
        names = lakehouse.sql("select schema_name || '.' || table_name from duckdb_tables()").fetchall()
    written = {name for (name,) in names}
    assert {"raw.imports", "clean.plays", "daily.completeness"} <= written
    for declared in tables():
        if not declared.layout.mirrored or declared.qualified_name() not in written:
            continue
        folder = settings.paths.mirror_folder / "current" / declared.layout.schema / declared.layout.table
        stored = table(settings, declared.qualified_name()).height
        files = list(folder.rglob("*.parquet"))
        mirrored = duckdb.read_parquet([str(file) for file in files]).shape[0] if files else 0
        assert mirrored == stored, declared.qualified_name()
