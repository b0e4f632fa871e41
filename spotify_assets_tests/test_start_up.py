"""What a command loads before it answers: Dagster takes a second, Polars, DuckDB and their friends another."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from spotify_assets import lakehouse
from spotify_assets.instance import open_instance
from spotify_assets.settings import Settings
from spotify_assets_tests.exports import samples

OF_TABLES = {"polars", "duckdb", "dataframely", "numpy", "pyarrow", "dagster_duckdb", "dagster_aws", "boto3"}
OF_WORK = {*OF_TABLES, "dagster", "sqlalchemy", "pydantic_settings", "spotipy", "tzlocal"}


TELLING = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
sys.argv[0] = "spotify-assets"
from spotify_assets.cli import main
main()
"""


def imported_by(*arguments: str, **variables: str) -> set[str]:
    """Names of all modules that a command of ours has imported when it ends, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPOTIFY_ASSETS_")}
    done = subprocess.run(
        [sys.executable, "-c", TELLING, *arguments],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["import", "--help"], ["service", "--help"], ["--version"]])
def test_a_command_that_only_tells_of_itself_loads_nothing_to_work_with(arguments: list[str]) -> None:
    assert imported_by(*arguments) & OF_WORK == set()


def test_a_press_of_tab_loads_nothing_to_work_with() -> None:
    pressed = {"_SPOTIFY_ASSETS_COMPLETE": "complete_bash", "COMP_WORDS": "spotify-assets st", "COMP_CWORD": "1"}
    assert imported_by(**pressed) & OF_WORK == set()


def test_status_loads_dagster_but_nothing_that_reads_tables(settings: Settings) -> None:
    with open_instance(settings):
        pass
    imported = imported_by("status", "--home", str(settings.home))
    assert "spotify_assets.lakehouse.event_log" in imported
    assert imported & {*OF_TABLES, "spotify_assets.definitions"} == set()


def test_an_import_loads_nothing_of_aws_where_the_mirror_is_a_folder(settings: Settings, tmp_path: Path) -> None:
    export = samples.write_zip(
        tmp_path / "export.zip",
        {"Streaming_History_Audio_2021_0.json": [samples.g3(ts=f"{datetime.now(UTC):%Y-%m-%d}T00:00:00Z")]},
    )
    imported = imported_by("import", str(export), "--home", str(settings.home))
    assert "spotify_assets.lakehouse.mirror" in imported
    assert imported & {"dagster_aws", "boto3", "botocore"} == set()


def test_every_name_of_the_lakehouse_is_what_type_checkers_are_told_it_is() -> None:
    source = Path(lakehouse.__file__).read_text()
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    told = {
        alias.name: node.module for node in imports if node.module.startswith("spotify_assets") for alias in node.names
    }
    assert sorted(told) == sorted(lakehouse.__all__)
    for name, module in told.items():
        assert getattr(lakehouse, name) is getattr(import_module(module), name)


def test_a_name_that_the_lakehouse_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = lakehouse.no_such_thing
