"""The code location: what Dagster loads, and that loading touches nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import yaml

from spotify_assets.automation.runs import day_ranges
from spotify_assets.clock import Clock
from spotify_assets.definitions import build_definitions
from spotify_assets.instance import prepare_home
from spotify_assets.schemas import daily, table_named
from spotify_assets.settings import Settings
from spotify_assets.state import State

ROOT = Path(__file__).parent.parent
PROMISED_COLUMNS: dict[str, list[str]] = json.loads((Path(__file__).parent / "promised_columns.json").read_text())


def test_the_definitions_can_be_loaded(settings: Settings) -> None:
    dg.Definitions.validate_loadable(build_definitions(settings))


def test_loading_the_code_location_creates_no_file_and_opens_no_database(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = (
        "import sys, duckdb\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, arguments: opened.append(arguments) if event == 'open' and "
        "'duckdb' in str(arguments[0]) and str(arguments[0]).endswith('.duckdb') else None)\n"
        "from spotify_assets.definitions import defs\n"
        "defs().get_all_job_defs() if hasattr(defs(), 'get_all_job_defs') else defs()\n"
        "print(len(opened))\n"
    )
    environment = {"SPOTIFY_ASSETS_HOME": str(home), "PATH": "/usr/bin:/bin", "DAGSTER_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert result.stdout.strip().endswith("0")
    assert not home.exists()


def test_every_place_that_names_the_code_location_agrees(settings: Settings) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    of_home = prepare_home(settings).dagster_workspace
    workspaces = [
        yaml.safe_load(file.read_text())["load_from"][0]["python_module"] for file in (ROOT / "workspace.yaml", of_home)
    ]
    names = {
        *((workspace["module_name"], workspace["location_name"]) for workspace in workspaces),
        (project["dagster"]["module_name"], project["dagster"]["code_location_name"]),
        (project["dg"]["project"]["code_location_target_module"], project["dg"]["project"]["code_location_name"]),
    }
    assert names == {("spotify_assets.definitions", "spotify_assets")}


def test_dg_checks_the_definitions() -> None:
    dg_command = Path(sys.executable).with_name("dg")
    result = subprocess.run([dg_command, "check", "defs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_without_dagster_home_the_code_location_says_that_its_history_is_temporary(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from spotify_assets.definitions import defs; defs()"],
        capture_output=True,
        text=True,
        env={"SPOTIFY_ASSETS_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=True,
    )
    assert "temporary" in result.stderr
    assert "spotify-assets ui" in result.stderr


def test_the_assets_are_these(settings: Settings) -> None:
    graph = build_definitions(settings).resolve_asset_graph()
    assert {key.to_user_string() for key in graph.materializable_asset_keys} == {
        *(
            f"raw/{name}"
            for name in (
                "streaming_history",
                "imports",
                "rejected_rows",
                "told_rows",
                "library_items",
                "library_playlist_items",
                "recently_played",
                "polls",
                "top_artists",
                "top_tracks",
                "saved_tracks",
                "playlists",
                "playlist_items",
                "tracks",
                "albums",
                "artists",
                "missing_objects",
                "artist_albums",
                "artist_top_tracks",
                "api_quota",
                "api_responses",
                "rejected_items",
                "audio_features",
                "genres",
            )
        ),
        *(
            f"clean/{name}"
            for name in (
                "plays",
                "play_sources",
                "days",
                "coverage",
                "tracks",
                "albums",
                "artists",
                "track_artists",
                "artist_genres",
                "track_features",
                "recordings",
                "recording_tracks",
                "top_artists",
                "top_tracks",
                "artist_top_albums",
                "artist_top_tracks",
                "saved_tracks",
                "playlists",
                "playlist_items",
                "calendar",
            )
        ),
        *(
            f"daily/{name}"
            for name in ("listening", "artists", "albums", "tracks", "hours", "sessions", "completeness")
        ),
    }


def test_jobs_sensors_and_the_schedule_are_these_and_the_latter_are_switched_on(settings: Settings) -> None:
    repository = build_definitions(settings).get_repository_def()
    jobs = {name for name in repository.job_names if not name.startswith("__")}
    asking = {"ask_recently_played", "ask_catalogue", "ask_top_lists", "ask_spotify"}
    building = {"import_exports", "replay_responses", "daily", "everything_due", "nightly"}
    assert jobs == {
        *asking,
        *building,
        "poll",
        "catalogue_backlog",
        "top_lists",
        "glue_sync",
        "mirror_verify",
        "mirror_sync",
    }
    assert {sensor.name: sensor.default_status for sensor in repository.sensor_defs} == {
        "alerts": dg.DefaultSensorStatus.RUNNING,
        "inbox": dg.DefaultSensorStatus.RUNNING,
        "stale_days": dg.DefaultSensorStatus.RUNNING,
    }
    schedules = {schedule.name: schedule.default_status for schedule in repository.schedule_defs}
    assert schedules == dict.fromkeys(
        ["nightly", "poll", "catalogue_backlog", "top_lists"], dg.DefaultScheduleStatus.RUNNING
    )


def test_glue_is_brought_up_to_date_every_night_where_the_settings_want_it(settings: Settings) -> None:
    wanted = settings.model_copy(update={"glue_sync_nightly": True})
    schedules = {each.name: each for each in build_definitions(wanted).get_repository_def().schedule_defs}
    assert schedules["glue_sync"].default_status == dg.DefaultScheduleStatus.RUNNING


def test_an_import_asks_nobody_on_the_internet(settings: Settings) -> None:
    definitions = build_definitions(settings)
    graph = definitions.resolve_asset_graph()
    selected = definitions.resolve_job_def("import_exports").asset_layer.selected_asset_keys
    assert dg.AssetKey(["raw", "streaming_history"]) in selected
    assert not [key for key in selected if "spotify_assets/asks" in graph.get(key).tags]


def test_an_asset_shows_the_columns_and_lineage_of_its_schema(settings: Settings) -> None:
    node = build_definitions(settings).resolve_asset_graph().get(dg.AssetKey(["daily", "listening"]))
    columns = node.metadata["dagster/column_schema"].schema.columns
    assert [column.name for column in columns] == daily.Listening.column_names()
    lineage = node.metadata["dagster/column_lineage"].column_lineage.deps_by_column
    assert lineage["streams"][0].column_name == "is_stream"
    assert lineage["streams"][0].asset_key == dg.AssetKey(["clean", "plays"])


@pytest.mark.parametrize(("name", "columns"), PROMISED_COLUMNS.items())
def test_the_columns_that_others_rely_on_come_first_and_in_order(name: str, columns: list[str]) -> None:
    assert table_named(name).column_names()[: len(columns)] == columns


def test_daily_partitions_begin_at_the_first_day_with_data_and_include_today(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    State(settings.paths.state_file).set_first_day(date(2019, 3, 4))
    graph = build_definitions(settings).resolve_asset_graph()
    partitions = graph.get(dg.AssetKey(["daily", "hours"])).partitions_def
    keys = partitions.get_partition_keys()
    assert keys[0] == "2019-03-04"
    assert keys[-1] == Clock().today(settings.zone_name).isoformat()


def test_day_ranges_are_joined_when_less_than_a_month_lies_between() -> None:
    days = [date(2024, 3, 1), date(2024, 1, 1), date(2024, 1, 20), date(2024, 8, 1)]
    assert day_ranges(days) == [
        (date(2024, 1, 1), date(2024, 1, 20)),
        (date(2024, 3, 1), date(2024, 3, 1)),
        (date(2024, 8, 1), date(2024, 8, 1)),
    ]
