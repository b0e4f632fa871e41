"""What is written for people is true: dictionary, extension guide, notebook, README."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import nbformat
import pytest
import yaml
from dagster._utils.schedules import is_valid_cron_string
from nbclient import NotebookClient

from spotify_assets.assets.raw.responses import take_responses
from spotify_assets.data_dictionary import data_dictionary
from spotify_assets.lakehouse import Warehouse
from spotify_assets.schemas import tables, views
from spotify_assets.settings import Settings
from spotify_assets_tests.spotify.payloads import minutes, play, poll, track

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / "docs" / "examples" / "github-actions.yml"
# Tests of the lakehouse declare tables of their own in the same process.
OWN_TABLES = [table for table in (*tables(), *views()) if table.__module__.startswith("spotify_assets.")]


def test_the_data_dictionary_is_up_to_date() -> None:
    assert (ROOT / "docs" / "data-dictionary.md").read_text() == data_dictionary(OWN_TABLES), "run `make docs`"


def test_every_column_is_described() -> None:
    missing = [
        f"{table.qualified_name()}.{name}"
        for table in OWN_TABLES
        for name, column in table.columns().items()
        if not column.description
    ]
    assert missing == []


def test_every_source_of_a_column_exists() -> None:
    known = {f"{table.qualified_name()}.{name}" for table in OWN_TABLES for name in table.column_names()}
    named = {source for table in OWN_TABLES for name in table.column_names() for source in table.sources_of(name)}
    assert named <= known


def test_the_table_of_the_extension_guide_is_found_everywhere_with_no_other_edit(copy_of_demo_home: Path) -> None:
    guide = (ROOT / "docs" / "extending.md").read_text()
    module = re.search(r"```python\n(# my_tables\.py\n.*?)```", guide, re.DOTALL).group(1)
    folder = copy_of_demo_home.parent
    (folder / "my_tables.py").write_text(module)
    program = """
import dagster as dg
import my_tables
from spotify_assets.data_dictionary import data_dictionary

node = my_tables.defs.resolve_asset_graph().get(dg.AssetKey(["daily", "countries"]))
print("columns:", [column.name for column in node.metadata["dagster/column_schema"].schema.columns])
print("lineage:", sorted(node.metadata["dagster/column_lineage"].column_lineage.deps_by_column))
print("dictionary:", "daily.countries" in data_dictionary())
days = node.partitions_def.get_partition_keys()
result = my_tables.defs.resolve_job_def("daily").execute_in_process(
    asset_selection=[dg.AssetKey(["daily", "countries"])],
    tags={"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]},
)
print("built:", result.success)
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={
            **os.environ,
            "SPOTIFY_ASSETS_HOME": str(copy_of_demo_home),
            "SPOTIFY_ASSETS_TIMEZONE": "Europe/Berlin",
            "DAGSTER_HOME": str(copy_of_demo_home / "dagster"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    told = dict(line.split(": ", 1) for line in result.stdout.splitlines() if ": " in line)
    assert told["columns"] == "['listener', 'played_on', 'country', 'plays']"
    assert "country" in told["lineage"]
    assert told["dictionary"] == told["built"] == "True"
    with duckdb.connect(str(copy_of_demo_home / "lakehouse.duckdb"), read_only=True) as lakehouse:
        stored = lakehouse.sql("select sum(plays)::bigint from daily.countries").fetchall()[0]
        plays = lakehouse.sql("select count(country) from clean.plays").fetchall()[0]
        comment = lakehouse.sql(
            "select comment from duckdb_columns() where table_name = 'countries' and column_name = 'country'"
        ).fetchall()[0]
    assert stored == plays
    assert comment == ("Country of the connection.",)
    files = list((copy_of_demo_home / "mirror" / "current" / "daily" / "countries").rglob("*.parquet"))
    assert files


def test_the_notebook_runs_on_the_demo(demo_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPOTIFY_ASSETS_HOME", str(demo_home))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(ROOT / "notebooks" / "tour.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120).execute()
    charts = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(charts) == 3


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "tour.ipynb", as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)


def test_the_queries_of_the_guide_can_be_asked_of_the_responses(tmp_path: Path) -> None:
    plays = [play(track("a", popularity=40), minutes(0), {"type": "album"}), play(track("b"), minutes(-4))]
    warehouse = Warehouse(home=str(tmp_path))
    with warehouse.transaction() as transaction:
        take_responses(transaction, [poll(plays, minutes(5)), poll(plays, minutes(35)), poll(plays[:1], minutes(1))])
        queries = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "spotify.md").read_text(), re.DOTALL)
        answers = [transaction.query(query).rows() for query in queries]
    assert answers[0] == [("a", 40), ("b", None)]
    assert answers[1] == [("/me/player/recently-played", 200, 3, 2, minutes(35))]
    assert sorted(answers[2]) == [("album", 1), ("none", 1)]


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_setting_that_the_readme_names_exists() -> None:
    from spotify_assets.settings import Settings

    named = set(re.findall(r"SPOTIFY_ASSETS_([A-Z_]+)", (ROOT / "README.md").read_text()))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_workflow_for_a_ci_service_runs_what_is_due_one_at_a_time_with_settings_that_there_are() -> None:
    # YAML 1.1 reads `on` as true.
    workflow = {str(name): told for name, told in yaml.safe_load(WORKFLOW.read_text()).items()}
    assert is_valid_cron_string(workflow["True"]["schedule"][0]["cron"])
    assert workflow["concurrency"] == {"group": "spotify", "cancel-in-progress": False}
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    (step,) = [step for step in job["steps"] if "spotify-assets run" in step.get("run", "")]
    ours = {name for name in step["env"] if name.startswith("SPOTIFY_ASSETS_")}
    assert {name.removeprefix("SPOTIFY_ASSETS_").lower() for name in ours} <= set(Settings.model_fields)
    for name, value in step["env"].items():
        is_secret = any(word in name for word in ("SIGN_IN", "CLIENT", "KEY"))
        assert ("secrets." in value) == is_secret, name
    guide = (ROOT / "docs" / "hosted.md").read_text()
    assert [name for name in step["env"] if name not in guide and name != "SINCE"] == []


@pytest.mark.parametrize(("code", "left_with"), [(0, 0), (1, 1), (3, 3), (75, 0)])
def test_the_step_of_the_workflow_fails_where_a_person_is_to_hear_of_it(
    code: int, left_with: int, tmp_path: Path
) -> None:
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    (script,) = [step["run"] for step in job["steps"] if "spotify-assets run" in step.get("run", "")]
    program = tmp_path / "spotify-assets"
    program.write_text(f'#!/bin/sh\n[ "$*" = "run --since 2024-01-31" ] && exit {code}\nexit 9\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SINCE": "2024-01-31", "SPOTIFY_ASSETS_MIRROR": "s3://lake"}
    done = subprocess.run(["bash", "-e", "-c", script], env=environment, check=False, timeout=20)
    assert done.returncode == left_with
