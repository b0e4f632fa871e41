"""`glue sync` against a real server over HTTP, with tables that know nothing of Spotify."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spotify_assets.lakehouse import GlueReport, GlueSyncFailed, Manifest, MirrorFile, sync_glue
from spotify_assets.lakehouse.glue import sync_tables
from spotify_assets.lakehouse.glue_tables import GlueTable, wanted_tables
from spotify_assets.settings import BucketAddress, Settings
from spotify_assets_tests.lakehouse.example import Gauges, Readings
from spotify_assets_tests.lakehouse.glue_server import AwsServer, aws, running_aws

__all__ = ["aws", "running_aws"]

DATABASE = "gauges"
ADDRESS = BucketAddress("lake", "home")
MONTHS = tuple(f"{year}-{month:02}" for year in range(2010, 2020) for month in range(1, 13))


def manifest(*months: str, tables: dict[str, dict[str, Any]] | None = None) -> Manifest:
    keys = [f"example/readings/month={month}/part-0.parquet" for month in months]
    files = {key: MirrorFile(key, "example.readings", key[23:30], 1, 1, "", 1) for key in keys}
    return Manifest(1, files, tables or {})


def wanted(*months: str) -> list[GlueTable]:
    return wanted_tables(manifest(*months), [Readings, Gauges])


def with_columns(tables: list[GlueTable], name: str, *columns: tuple[str, str, str]) -> list[GlueTable]:
    return [replace(table, columns=columns) if table.name == name else table for table in tables]


class Catalogue:
    """A Glue database, and the names of all calls that a sync made."""

    def __init__(self, aws: AwsServer) -> None:
        self.client = aws.client("glue")
        self.calls: list[str] = []
        self.client.meta.events.register("before-call.glue.*", self._note)

    def _note(self, model: Any, **_: Any) -> None:
        self.calls.append(model.name)

    def sync(self, tables: list[GlueTable], address: BucketAddress = ADDRESS, **options: bool) -> GlueReport:
        self.calls.clear()
        return sync_tables(self.client, DATABASE, address, tables, **options)

    @property
    def writes(self) -> list[str]:
        return [name for name in self.calls if not name.startswith("Get")]

    def table(self, name: str) -> dict[str, Any]:
        return self.client.get_table(DatabaseName=DATABASE, Name=name)["Table"]

    def names(self) -> set[str]:
        return {table["Name"] for table in self.client.get_tables(DatabaseName=DATABASE)["TableList"]}

    def partitions(self, name: str) -> dict[str, dict[str, Any]]:
        pages = self.client.get_paginator("get_partitions").paginate(DatabaseName=DATABASE, TableName=name)
        return {each["Values"][0]: each["StorageDescriptor"] for page in pages for each in page["Partitions"]}


@pytest.fixture
def catalogue(aws: AwsServer) -> Catalogue:
    return Catalogue(aws)


def test_a_table_has_columns_with_comments_and_a_key_for_the_month(catalogue: Catalogue) -> None:
    catalogue.sync(wanted("2024-01"))
    table = catalogue.table("example_readings")
    assert table["StorageDescriptor"]["Columns"] == [
        {"Name": "gauge", "Type": "string", "Comment": "Which gauge."},
        {"Name": "read_at", "Type": "timestamp", "Comment": "When."},
        {"Name": "read_on", "Type": "date", "Comment": "Local date of read_at."},
        {"Name": "level", "Type": "bigint", "Comment": "Level in millimetres."},
        {"Name": "remark", "Type": "string", "Comment": "What was remarked."},
    ]
    assert [(key["Name"], key["Type"]) for key in table["PartitionKeys"]] == [("month", "string")]
    assert table["Description"] == "Readings of a gauge, replaced by day. Key: gauge, read_at."


def test_athena_finds_the_months_by_projection_and_reads_them_as_parquet(catalogue: Catalogue) -> None:
    catalogue.sync(wanted("2024-02", "2024-01"))
    table = catalogue.table("example_readings")
    assert table["TableType"] == "EXTERNAL_TABLE"
    storage = table["StorageDescriptor"]
    assert storage["Location"] == "s3://lake/home/example/readings/"
    assert storage["InputFormat"].endswith("MapredParquetInputFormat")
    assert storage["OutputFormat"].endswith("MapredParquetOutputFormat")
    assert storage["SerdeInfo"]["SerializationLibrary"].endswith("ParquetHiveSerDe")
    projection = {name: value for name, value in table["Parameters"].items() if "projection" in name}
    assert projection == {
        "projection.enabled": "true",
        "projection.month.type": "date",
        "projection.month.format": "yyyy-MM",
        "projection.month.range": "2024-01,NOW+1DAYS",
        "projection.month.interval": "1",
        "projection.month.interval.unit": "MONTHS",
    }
    assert table["Parameters"]["storage.location.template"] == "s3://lake/home/example/readings/month=${month}/"
    assert table["Parameters"]["classification"] == "parquet"


def test_a_small_table_has_neither_months_nor_projection(catalogue: Catalogue) -> None:
    catalogue.sync(wanted("2024-01"))
    table = catalogue.table("example_gauges")
    assert not table.get("PartitionKeys")
    assert not [name for name in table["Parameters"] if "projection" in name]
    assert table["StorageDescriptor"]["Location"] == "s3://lake/home/example/gauges/"


def test_every_month_of_the_manifest_is_registered_in_lots_of_a_hundred(catalogue: Catalogue) -> None:
    report = catalogue.sync(wanted(*MONTHS))
    assert report.partitions == len(MONTHS) == 120
    assert catalogue.writes.count("BatchCreatePartition") == 2
    stored = catalogue.partitions("example_readings")
    assert sorted(stored) == list(MONTHS)
    assert stored["2015-07"]["Location"] == "s3://lake/home/example/readings/month=2015-07/"


def test_a_second_sync_writes_nothing(catalogue: Catalogue) -> None:
    catalogue.sync(wanted(*MONTHS))
    report = catalogue.sync(wanted(*MONTHS))
    assert report.changes == ()
    assert catalogue.writes == []


def test_a_dry_run_tells_the_changes_and_writes_nothing(catalogue: Catalogue) -> None:
    told = catalogue.sync(wanted("2024-01"), dry_run=True)
    assert catalogue.writes == []
    done = catalogue.sync(wanted("2024-01"))
    assert told.changes == done.changes
    assert [f"{change.action} {change.what}" for change in done.changes] == [
        "create database gauges",
        "create table example_gauges",
        "create table example_readings",
        "create partitions of example_readings",
    ]


def test_columns_that_came_or_went_are_changed_in_the_table_and_its_partitions(catalogue: Catalogue) -> None:
    catalogue.sync(wanted(*MONTHS))
    columns = (("gauge", "VARCHAR", "Which gauge."), ("depth", "DOUBLE", "In metres."))
    report = catalogue.sync(with_columns(wanted(*MONTHS), "example_readings", *columns))
    assert [change.what for change in report.changes] == ["table example_readings", "partitions of example_readings"]
    assert "new: depth" in report.changes[0].why
    assert "gone: read_at, read_on, level, remark" in report.changes[0].why
    assert catalogue.writes == ["UpdateTable", "BatchUpdatePartition", "BatchUpdatePartition"]
    stored = [
        catalogue.table("example_readings")["StorageDescriptor"],
        *catalogue.partitions("example_readings").values(),
    ]
    assert {tuple(column["Name"] for column in each["Columns"]) for each in stored} == {("gauge", "depth")}


def test_a_new_comment_changes_the_table_alone(catalogue: Catalogue) -> None:
    catalogue.sync(wanted("2024-01"))
    columns = (("gauge", "VARCHAR", "Its name."), ("place", "VARCHAR", "Where it stands."))
    report = catalogue.sync(with_columns(wanted("2024-01"), "example_gauges", *columns))
    assert [change.why for change in report.changes] == ["commented anew: gauge"]
    assert catalogue.writes == ["UpdateTable"]
    assert catalogue.table("example_gauges")["StorageDescriptor"]["Columns"][0]["Comment"] == "Its name."


def test_months_that_left_the_mirror_are_removed_in_lots_of_twenty_five(catalogue: Catalogue) -> None:
    catalogue.sync(wanted(*MONTHS))
    report = catalogue.sync(wanted(*MONTHS[60:]))
    assert catalogue.writes == ["UpdateTable", *["BatchDeletePartition"] * 3]
    assert sorted(catalogue.partitions("example_readings")) == list(MONTHS[60:])
    assert report.changes[-1].why == "60: 2010-01 … 2014-12"


def test_a_table_that_nobody_declares_and_the_mirror_lacks_is_removed(catalogue: Catalogue) -> None:
    catalogue.sync(wanted("2024-01"))
    report = catalogue.sync(wanted_tables(manifest("2024-01"), [Readings]))
    assert [f"{change.action} {change.what}" for change in report.changes] == ["remove table example_gauges"]
    assert catalogue.names() == {"example_readings"}


def test_a_table_that_only_another_process_declares_is_told_from_the_manifest(catalogue: Catalogue) -> None:
    described = {
        "description": "Rain.",
        "key": ["fell_on"],
        "month_column": None,
        "sort": ["fell_on"],
        "columns": [{"name": "fell_on", "type": "DATE", "description": "Day."}],
    }
    catalogue.sync(wanted_tables(manifest(tables={"own.rain": described}), [Gauges]))
    assert catalogue.table("own_rain")["Description"] == "Rain. Key: fell_on."
    assert catalogue.table("own_rain")["StorageDescriptor"]["Columns"] == [
        {"Name": "fell_on", "Type": "date", "Comment": "Day."}
    ]


def test_tables_of_others_stay_as_they_are(catalogue: Catalogue) -> None:
    catalogue.sync(wanted("2024-01"))
    catalogue.client.create_table(DatabaseName=DATABASE, TableInput={"Name": "theirs", "Description": "Mine."})
    report = catalogue.sync(wanted_tables(manifest(), [Gauges]))
    assert [change.what for change in report.changes] == ["table example_readings"]
    assert catalogue.table("theirs")["Description"] == "Mine."


def test_a_table_of_somebody_else_in_the_way_stops_the_sync_before_it_writes(catalogue: Catalogue) -> None:
    catalogue.client.create_database(DatabaseInput={"Name": DATABASE})
    catalogue.client.create_table(DatabaseName=DATABASE, TableInput={"Name": "example_gauges"})
    with pytest.raises(GlueSyncFailed, match=r"example_gauges.*SPOTIFY_ASSETS_GLUE_DATABASE.*Nothing was changed"):
        catalogue.sync(wanted("2024-01"))
    assert catalogue.writes == []


def test_tables_of_another_mirror_are_changed_only_when_told_to_take_them_over(catalogue: Catalogue) -> None:
    catalogue.sync(wanted("2024-01"))
    moved = BucketAddress("new-lake", "")
    with pytest.raises(GlueSyncFailed, match=r"s3://lake/home.*--take-over"):
        catalogue.sync(wanted("2024-01"), moved)
    catalogue.sync(wanted("2024-01"), moved, takes_over=True)
    assert catalogue.table("example_gauges")["StorageDescriptor"]["Location"] == "s3://new-lake/example/gauges/"
    assert catalogue.partitions("example_readings")["2024-01"]["Location"] == (
        "s3://new-lake/example/readings/month=2024-01/"
    )
    assert catalogue.sync(wanted("2024-01"), moved).changes == ()


def test_parameters_that_others_added_survive_an_update(catalogue: Catalogue) -> None:
    catalogue.sync(wanted("2024-01"))
    stored = catalogue.table("example_gauges")
    kept = {name: stored[name] for name in ("Name", "StorageDescriptor", "TableType")}
    parameters = {**stored["Parameters"], "numRows": "7", "projection.enabled": "true"}
    changed = {**kept, "Description": "Touched.", "Parameters": parameters}
    catalogue.client.update_table(DatabaseName=DATABASE, TableInput=changed)
    catalogue.sync(wanted("2024-01"))
    repaired = catalogue.table("example_gauges")
    assert repaired["Parameters"] == {**stored["Parameters"], "numRows": "7"}
    assert repaired["Description"] == stored["Description"]


def test_a_table_that_gets_months_is_made_anew(catalogue: Catalogue) -> None:
    catalogue.sync([replace(table, is_monthly=False, months=()) for table in wanted("2024-01")])
    catalogue.sync(wanted("2024-01"))
    assert list(catalogue.partitions("example_readings")) == ["2024-01"]
    assert catalogue.sync(wanted("2024-01")).changes == ()


def test_a_database_that_a_template_made_is_used_and_left_as_it_is(catalogue: Catalogue) -> None:
    catalogue.client.create_database(DatabaseInput={"Name": DATABASE, "Description": "By a template."})
    catalogue.sync(wanted("2024-01"))
    assert catalogue.client.get_database(Name=DATABASE)["Database"]["Description"] == "By a template."
    assert catalogue.names() == {"example_gauges", "example_readings"}


def test_what_is_too_long_for_glue_is_cut_at_a_character(catalogue: Catalogue) -> None:
    catalogue.sync(with_columns(wanted(), "example_gauges", ("gauge", "VARCHAR", "é" * 200)))
    comment = catalogue.table("example_gauges")["StorageDescriptor"]["Columns"][0]["Comment"]
    assert comment == "é" * 126 + "…"


def test_a_monthly_table_with_a_column_month_is_refused() -> None:
    described = {
        "description": "Rain.",
        "key": [],
        "month_column": "fell_on",
        "sort": [],
        "columns": [{"name": "month", "type": "DATE", "description": "Day."}],
    }
    with pytest.raises(GlueSyncFailed, match=r"own\.rain has a column month"):
        wanted_tables(manifest(tables={"own.rain": described}), [])


@pytest.fixture
def settings(tmp_path: Path, aws: AwsServer) -> Settings:
    """Of a home whose mirror is on the server."""
    return Settings(home=tmp_path, mirror="s3://lake/home", timezone="UTC")


def test_a_mirror_in_a_folder_is_refused_with_what_to_set(settings: Settings) -> None:
    with pytest.raises(GlueSyncFailed, match=r"local folder.*SPOTIFY_ASSETS_MIRROR=s3://"):
        sync_glue(settings.model_copy(update={"mirror": ""}))


def test_a_missing_bucket_is_named(settings: Settings) -> None:
    with pytest.raises(GlueSyncFailed, match="there is no bucket lake"):
        sync_glue(settings)


def test_a_bucket_without_a_manifest_says_that_nothing_was_mirrored_yet(settings: Settings, aws: AwsServer) -> None:
    aws.make_bucket("lake")
    with pytest.raises(GlueSyncFailed, match=r"s3://lake/home has no manifest\.json"):
        sync_glue(settings)


def test_a_damaged_manifest_changes_nothing(settings: Settings, aws: AwsServer) -> None:
    aws.make_bucket("lake")
    aws.client("s3").put_object(Bucket="lake", Key="home/manifest.json", Body=b'{"format": 1')
    with pytest.raises(GlueSyncFailed, match=r"damaged.*Nothing was changed"):
        sync_glue(settings)


def test_without_credentials_it_says_which_variables_to_set(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(GlueSyncFailed, match=r"no keys.*AWS_ACCESS_KEY_ID.*SPOTIFY_ASSETS_MIRROR_PROFILE"):
        sync_glue(settings)


def test_an_unknown_profile_is_told(settings: Settings) -> None:
    with pytest.raises(GlueSyncFailed, match="SPOTIFY_ASSETS_MIRROR_PROFILE"):
        sync_glue(settings.model_copy(update={"mirror_profile": "nobody"}))


def test_without_a_region_it_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch, aws: AwsServer) -> None:
    aws.make_bucket("lake")
    aws.client("s3").put_object(Bucket="lake", Key="home/manifest.json", Body=manifest().to_json())
    with pytest.raises(GlueSyncFailed, match="SPOTIFY_ASSETS_MIRROR_REGION"):
        sync_glue(settings.model_copy(update={"mirror_region": ""}))


def test_a_server_that_does_not_answer_is_told_without_a_key(settings: Settings, aws: AwsServer) -> None:
    dead = settings.model_copy(update={"mirror_endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(GlueSyncFailed, match="does not answer") as told:
        sync_glue(dead)
    assert not [value for name, value in aws.variables.items() if name.startswith("AWS_") and value in str(told.value)]


@pytest.mark.parametrize("address", ["lake.example", "http://"])
def test_what_is_no_address_is_told(settings: Settings, address: str) -> None:
    with pytest.raises(GlueSyncFailed, match="SPOTIFY_ASSETS_MIRROR_ENDPOINT_URL"):
        sync_glue(settings.model_copy(update={"mirror_endpoint_url": address}))


def test_keys_that_aws_does_not_know_are_told_without_being_quoted(settings: Settings, aws: AwsServer) -> None:
    aws.make_bucket("lake")
    with aws.checking_permissions(), pytest.raises(GlueSyncFailed, match="does not accept the keys") as told:
        sync_glue(settings)
    assert aws.variables["AWS_ACCESS_KEY_ID"] not in str(told.value)


def test_a_user_without_the_permission_is_told_which_policy_to_attach(
    settings: Settings, aws: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.make_bucket("lake")
    iam = aws.client("iam")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    with (
        aws.checking_permissions(),
        pytest.raises(GlueSyncFailed, match=r"may not read s3://lake/home.*infra/aws\.yaml"),
    ):
        sync_glue(settings)
