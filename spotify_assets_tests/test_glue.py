"""`spotify-assets glue sync` and the job `glue_sync`, over the mirror of the demo and all declared tables."""

from __future__ import annotations

import os
import re
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest

from spotify_assets.definitions import build_definitions
from spotify_assets.instance import open_instance
from spotify_assets.lakehouse import Manifest
from spotify_assets.lakehouse.glue_tables import table_input, wanted_tables
from spotify_assets.schemas import Table, tables
from spotify_assets.settings import BucketAddress, Settings
from spotify_assets_tests.bi_guides import as_glue_names_them
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.glue_server import AwsServer, aws, running_aws

__all__ = ["aws", "running_aws"]

ROOT = Path(__file__).parent.parent
# Tests of the lakehouse declare tables of their own in the same process.
MIRRORED = [table for table in tables() if table.__module__.startswith("spotify_assets.") and table.layout.is_shown]
GUIDE = (ROOT / "docs" / "aws.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)

# What Athena reads from Parquet, written down a second time on purpose.
TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "boolean",
    "BIGINT": "bigint",
    "DOUBLE": "double",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}


def columns_in_glue(table: type[Table]) -> list[dict[str, str]]:
    (wanted,) = wanted_tables(Manifest(0), [table])
    return table_input(wanted, BucketAddress("lake", "spotify"))["StorageDescriptor"]["Columns"]


@pytest.mark.parametrize("table", MIRRORED, ids=lambda table: table.qualified_name())
def test_glue_has_the_types_that_a_parquet_file_of_the_table_has(table: type[Table], tmp_path: Path) -> None:
    pl.DataFrame(schema=table.polars_schema()).write_parquet(tmp_path / "part-0.parquet")
    with duckdb.connect() as connection:
        rows = connection.execute(f"DESCRIBE SELECT * FROM '{tmp_path}/part-0.parquet'").fetchall()
    assert [(each["Name"], each["Type"]) for each in columns_in_glue(table)] == [
        (row[0], TYPES[row[1]]) for row in rows
    ]


@pytest.mark.parametrize("table", MIRRORED, ids=lambda table: table.qualified_name())
def test_every_column_has_a_comment_that_glue_takes(table: type[Table]) -> None:
    for column in columns_in_glue(table):
        assert 0 < len(column["Comment"].encode()) <= 255, column


@pytest.fixture
def mirrored_demo(aws: AwsServer, demo_home: Path, tmp_path: Path) -> Settings:
    """A home whose mirror is the demo's, in a bucket; Glue looks at its manifest alone."""
    aws.make_bucket("lake")
    manifest = (demo_home / "mirror" / "current" / "manifest.json").read_bytes()
    aws.client("s3").put_object(Bucket="lake", Key="spotify/manifest.json", Body=manifest)
    return Settings(home=tmp_path / "home", mirror="s3://lake/spotify", timezone="UTC")


def run(settings: Settings, *words: str) -> tuple[int, str, str]:
    folder = settings.home.parent
    told, complained = folder / "stdout", folder / "stderr"
    environment = {**os.environ, **settings.own_environment(), "COLUMNS": "200"}
    process = processes.start(processes.run_command, list(words), environment, folder, told, complained)
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode, told.read_text(), complained.read_text()


def test_the_command_tells_makes_and_then_finds_nothing_to_do(mirrored_demo: Settings, aws: AwsServer) -> None:
    code, told, _ = run(mirrored_demo, "glue", "sync", "--dry-run")
    assert code == 0
    assert "+ table clean_plays" in told and "nothing was written" in told
    assert aws.client("glue").get_databases()["DatabaseList"] == []
    code, told, _ = run(mirrored_demo, "glue", "sync")
    assert code == 0 and "changes made" in told
    names = {each["Name"] for each in aws.client("glue").get_tables(DatabaseName="spotify_assets")["TableList"]}
    assert {f"{table.layout.schema}_{table.layout.table}" for table in MIRRORED} <= names
    code, told, _ = run(mirrored_demo, "glue", "sync")
    assert code == 0 and "Nothing to change" in told


def test_the_months_of_the_mirror_are_the_partitions(mirrored_demo: Settings, aws: AwsServer, demo_home: Path) -> None:
    assert run(mirrored_demo, "glue", "sync")[0] == 0
    stored = aws.client("glue").get_partitions(DatabaseName="spotify_assets", TableName="clean_plays")["Partitions"]
    folders = (demo_home / "mirror" / "current" / "clean" / "plays").iterdir()
    assert sorted(each["Values"][0] for each in stored) == sorted(folder.name[6:] for folder in folders)


def test_a_local_mirror_is_complained_of_in_words(settings: Settings) -> None:
    code, _, complained = run(settings, "glue", "sync")
    assert code == 1
    assert "SPOTIFY_ASSETS_MIRROR=s3://" in complained and "Traceback" not in complained


@pytest.mark.parametrize("name", ["Lake", "1st", "my-lake", ""])
def test_a_name_that_athena_would_want_in_quotes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a database"):
        Settings(glue_database=name)


def sync_by_job(settings: Settings) -> dg.ExecuteInProcessResult:
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def("glue_sync")
        return job.execute_in_process(instance=instance, raise_on_error=False)


def test_the_job_makes_the_tables(mirrored_demo: Settings, aws: AwsServer) -> None:
    assert sync_by_job(mirrored_demo).success
    assert aws.client("glue").get_table(DatabaseName="spotify_assets", Name="daily_listening")["Table"]


def test_the_job_fails_with_what_to_set_where_the_mirror_is_local(settings: Settings) -> None:
    result = sync_by_job(settings)
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "SPOTIFY_ASSETS_MIRROR=s3://" in failed.step_failure_data.user_failure_data.description


@pytest.fixture(scope="module")
def as_athena_sees_it(demo_home: Path) -> duckdb.DuckDBPyConnection:
    """The mirror of the demo under the names that Glue gives its tables."""
    return as_glue_names_them(demo_home / "mirror" / "current", MIRRORED)


def test_the_guide_has_queries() -> None:
    assert len(QUERIES) >= 4


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.splitlines()[0])
def test_the_queries_of_the_guide_answer(query: str, as_athena_sees_it: duckdb.DuckDBPyConnection) -> None:
    assert as_athena_sees_it.execute(query).fetchall()
