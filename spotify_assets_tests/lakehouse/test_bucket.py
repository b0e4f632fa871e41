"""The mirror in a bucket: what is uploaded, what two runs and foreign objects do to it, and what is told of it."""

from __future__ import annotations

import json
import logging
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import AssetKey, DagsterInstance

from spotify_assets.clock import Clock
from spotify_assets.lakehouse import MirrorReport, Warehouse, run_session
from spotify_assets.lakehouse.mirror_events import MANIFEST_ASSET, UP_TO_DATE_CHECK, mirror_asset_key
from spotify_assets.lakehouse.mirror_reading import MirrorReader, open_mirror
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirroring import MirrorConfiguration, bring_up_to_date
from spotify_assets.lakehouse.purging import publish_alone, remove_everything
from spotify_assets.state import State
from spotify_assets_tests.lakehouse.example import (
    QUARTER,
    Gauges,
    Readings,
    fill,
    readings,
    update,
    warehouse_in,
)
from spotify_assets_tests.lakehouse.s3_servers import ACCESS_KEY, BUCKET, SECRET_KEY, Proxy, S3Server, proxy_to

FILES = [
    "lake/house/example/gauges/part-0.parquet",
    "lake/house/example/readings/month=2024-01/part-0.parquet",
    "lake/house/example/readings/month=2024-02/part-0.parquet",
    "lake/house/example/readings/month=2024-03/part-0.parquet",
]
MANIFEST = "lake/house/manifest.json"
ADDRESS = f"s3://{BUCKET}/lake/house"


def configuration(endpoint_url: str, **fields: Any) -> MirrorConfiguration:
    known = {"address": ADDRESS, "connect_timeout_seconds": 1.0, "read_timeout_seconds": 5.0}
    return MirrorConfiguration(**{**known, "endpoint_url": endpoint_url, **fields})


def warehouse_at(
    home: Path, server: S3Server | Proxy, *, kept: int = 3, bi_copies: str = "", **fields: Any
) -> Warehouse:
    fields = {"endpoint_url": server.endpoint_url, **fields}
    return warehouse_in(home, mirror=configuration(**fields), mirror_versions_kept=kept, bi_copies=bi_copies)


def reader_of(server: S3Server | Proxy, patience_seconds: float = 0.0) -> MirrorReader:
    return open_mirror(configuration(server.endpoint_url), patience_seconds=patience_seconds)


def session(warehouse: Warehouse, **arguments: Any) -> MirrorReport | None:
    """A session that writes nothing."""
    with run_session(warehouse, purpose="a test", **arguments) as opened:
        opened.begin()
    return opened.mirror_report


def state_of(warehouse: Warehouse) -> MirrorState:
    state = MirrorState.of(State(warehouse.paths.state_file))
    assert state is not None
    return state


def failure_of(warehouse: Warehouse) -> str:
    return state_of(warehouse).failure


def new_day(transaction) -> None:
    transaction.replace_days(Readings, readings([date(2024, 2, 3)], level=7), [date(2024, 2, 3)])


def without_march(transaction) -> None:
    transaction.replace_days(Readings, readings([]), (date(2024, 3, 1), date(2024, 3, 31)))


def put_keys(proxy: Proxy) -> list[str]:
    return [path.removeprefix(f"/{BUCKET}/") for method, path in proxy.requests if method == "PUT"]


def test_the_first_mirror_puts_every_file_and_the_manifest_last(tmp_path: Path, s3_server: S3Server) -> None:
    with proxy_to(s3_server.endpoint_url) as proxy:
        report = update(warehouse_at(tmp_path, proxy), fill)
    assert s3_server.keys() == [*FILES, MANIFEST]
    assert put_keys(proxy)[-1] == MANIFEST and sorted(put_keys(proxy)) == [*FILES, MANIFEST]
    assert report is not None and (report.files, report.written, report.unchanged, report.removed) == (4, 4, 0, 0)
    assert report.tables["example.readings"].files == 3 and report.written_bytes == report.size_bytes > 0


def test_an_unchanged_run_puts_nothing(tmp_path: Path, s3_server: S3Server) -> None:
    update(warehouse_at(tmp_path, s3_server), fill)
    with proxy_to(s3_server.endpoint_url) as proxy:
        assert session(warehouse_at(tmp_path, proxy)) is None
    assert {method for method, _ in proxy.requests} == {"GET"} and len(proxy.requests) == 2


def test_an_unchanged_run_puts_no_copy_either_and_a_copy_that_somebody_changed_is_put_again(
    tmp_path: Path, s3_server: S3Server
) -> None:
    warehouse = warehouse_in(tmp_path, mirror=configuration(s3_server.endpoint_url), bi_copies="parquet,csv")
    update(warehouse, fill)
    assert session(warehouse) is None
    s3_server.put("lake/house/bi/example_gauges.csv.gz", b"changed")
    s3_server.put("lake/house/bi/example_gauges.txt", b"somebody else's")
    report = session(warehouse)
    assert report is not None and report.tables["bi/example_gauges"].written > 0
    assert s3_server.read("lake/house/bi/example_gauges.csv.gz") != b"changed"
    remove_everything(warehouse, print)
    assert s3_server.keys() == ["lake/house/bi/example_gauges.txt"]


def test_rows_written_again_as_they_were_upload_no_file(tmp_path: Path, s3_server: S3Server) -> None:
    update(warehouse_at(tmp_path, s3_server), fill)
    with proxy_to(s3_server.endpoint_url) as proxy:
        report = update(warehouse_at(tmp_path, proxy), fill)
    assert report is not None and (report.written, report.unchanged) == (0, 4)
    assert put_keys(proxy) == [MANIFEST]


def test_a_new_day_uploads_its_month_only(tmp_path: Path, s3_server: S3Server) -> None:
    update(warehouse_at(tmp_path, s3_server), fill)
    with proxy_to(s3_server.endpoint_url) as proxy:
        report = update(warehouse_at(tmp_path, proxy), new_day)
    assert put_keys(proxy) == [FILES[2], MANIFEST]
    assert report is not None and (report.written, report.unchanged) == (1, 3)


def test_copies_that_did_not_change_are_not_put_again_and_their_version_comes_last(
    tmp_path: Path, s3_server: S3Server
) -> None:
    with proxy_to(s3_server.endpoint_url) as proxy:
        # Slow but for VERSION, so that it would overtake them.
        proxy.fault = lambda method, path, number: time.sleep(0.2 * path.endswith((".parquet", ".gz"))) or ""
        update(warehouse_at(tmp_path, proxy, bi_copies="parquet,csv"), fill)
    copies = [key for key in s3_server.keys("") if "/bi/" in key]
    assert len(copies) == 5
    assert put_keys(proxy)[-2:] == ["lake/house/bi/VERSION", MANIFEST]
    with proxy_to(s3_server.endpoint_url) as proxy:
        warehouse = warehouse_at(tmp_path, proxy, bi_copies="parquet,csv")
        assert session(warehouse) is None and put_keys(proxy) == []
        update(
            warehouse, lambda transaction: transaction.replace(Gauges, pl.DataFrame({"gauge": ["c"], "place": ["z"]}))
        )
    assert sorted(put_keys(proxy)) == [
        *(f"lake/house/bi/{name}" for name in ("VERSION", "example_gauges.csv.gz", "example_gauges.parquet")),
        FILES[0],
        MANIFEST,
    ]


def test_others_read_the_folder_as_a_data_set(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    options = {
        "aws_endpoint_url": s3_server.endpoint_url,
        "aws_allow_http": "true",
        "aws_access_key_id": ACCESS_KEY,
        "aws_secret_access_key": SECRET_KEY,
        "aws_region": "us-east-1",
    }
    found = pl.read_parquet(f"{ADDRESS}/example/readings/**/*.parquet", storage_options=options, hive_partitioning=True)
    assert found.drop("month").sort("read_at").equals(warehouse.read(Readings).sort("read_at"))


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_whoever_follows_the_manifest_reads_what_the_warehouse_has(
    tmp_path: Path, s3_server: S3Server, keeps_versions: bool
) -> None:
    if keeps_versions:
        s3_server.keep_versions()
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    update(warehouse, new_day)
    tables = reader_of(s3_server).tables(["example.readings", "example.gauges"])
    assert tables["example.readings"].equals(warehouse.read(Readings).sort("read_at"))
    assert tables["example.gauges"].equals(warehouse.read(Gauges).sort("gauge"))
    files = json.loads(s3_server.read(MANIFEST))["files"]
    assert all(("version_id" in file) == keeps_versions and file["etag"] for file in files)


def test_a_version_of_the_manifest_is_read_as_it_was(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.keep_versions()
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    before = warehouse.read(Readings).sort("read_at")
    version_id = s3_server.client.head_object(Bucket=BUCKET, Key=MANIFEST)["VersionId"]
    update(warehouse, new_day, without_march)
    reader = reader_of(s3_server)
    assert reader.version(version_id).table("example.readings").equals(before)
    assert not reader.version().table("example.readings").equals(before)


def test_a_month_without_rows_goes_when_the_manifest_names_it_no_longer(tmp_path: Path, s3_server: S3Server) -> None:
    update(warehouse_at(tmp_path, s3_server), fill)
    with proxy_to(s3_server.endpoint_url) as proxy:
        report = update(warehouse_at(tmp_path, proxy), without_march)
    assert s3_server.keys() == [*FILES[:3], MANIFEST]
    assert report is not None and report.removed == 1
    methods = [method for method, _ in proxy.requests]
    assert methods.index("PUT") < methods.index("POST")


def test_a_file_that_was_to_go_when_a_run_was_killed_is_removed_by_a_later_one(
    tmp_path: Path, s3_server: S3Server
) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    with proxy_to(s3_server.endpoint_url) as proxy:
        proxy.fault = lambda method, path, number: "503 SlowDown" if method == "POST" else ""
        report = update(warehouse_at(tmp_path, proxy), without_march)
    assert report is not None and failure_of(warehouse) == "" and FILES[3] in s3_server.keys("")
    assert reader_of(s3_server).table("example.readings").equals(warehouse.read(Readings).sort("read_at"))
    # Not at once: it may be another run's that has not come to its manifest yet.
    session(warehouse)
    assert FILES[3] in s3_server.keys("")


def test_of_two_runs_at_once_one_loses_and_the_next_of_the_other_repairs(tmp_path: Path, s3_server: S3Server) -> None:
    one = tmp_path / "one"
    update(warehouse_at(one, s3_server), fill)
    shutil.copytree(one, tmp_path / "other", symlinks=True)
    other = warehouse_at(tmp_path / "other", s3_server)
    unheard = warehouse_at(tmp_path / "other", s3_server, endpoint_url="http://127.0.0.1:9")
    update(unheard, lambda transaction: transaction.replace(Gauges, pl.DataFrame({"gauge": ["c"], "place": ["z"]})))
    clock = Clock()
    with proxy_to(s3_server.endpoint_url) as proxy:

        def other_is_faster(method: str, path: str, number: int) -> str:
            if method == "PUT":
                proxy.fault = lambda *request: ""
                report, _, _ = bring_up_to_date(other.paths, other.mirror, 3, log=print, now=clock.now)
                assert report is not None
            return ""

        proxy.fault = other_is_faster
        loser = warehouse_at(one, proxy)
        assert update(loser, new_day) is None
    assert "at the same time" in failure_of(loser)
    reader = reader_of(s3_server)
    # The loser has put February; without versions that is told, and never taken for the winner's.
    with pytest.raises(Exception, match="being repaired"):
        reader.table("example.readings")
    assert reader.table("example.gauges")["gauge"].to_list() == ["c"]
    assert session(other) is not None
    assert reader.table("example.readings").equals(other.read(Readings).sort("read_at"))
    assert reader.table("example.gauges")["gauge"].to_list() == ["c"]


def test_a_home_that_another_machine_has_overtaken_loses_nothing_of_what_that_one_wrote(
    tmp_path: Path, s3_server: S3Server
) -> None:
    one = warehouse_at(tmp_path / "one", s3_server)
    update(one, fill)
    shutil.copytree(tmp_path / "one", tmp_path / "other", symlinks=True)
    other = warehouse_at(tmp_path / "other", s3_server)
    update(other, lambda transaction: transaction.replace(Gauges, pl.DataFrame({"gauge": ["c"], "place": ["z"]})))
    reader = reader_of(s3_server)
    assert update(one, new_day) is None
    assert "another machine has gone on with this lakehouse" in failure_of(one)
    assert reader.table("example.gauges")["gauge"].to_list() == ["c"]
    taking_over = warehouse_at(tmp_path / "one", s3_server, takes_over=True)
    assert session(taking_over) is not None and failure_of(one) == ""
    assert reader.table("example.readings").equals(one.read(Readings).sort("read_at"))
    assert reader.table("example.gauges").equals(one.read(Gauges).sort("gauge"))


def test_a_manifest_whose_answer_was_lost_counts_as_written(tmp_path: Path, s3_server: S3Server) -> None:
    with proxy_to(s3_server.endpoint_url) as proxy:
        lost: list[int] = []

        def lose_one(method: str, path: str, number: int) -> str:
            if method == "PUT" and path.endswith("manifest.json") and not lost:
                lost.append(number)
                return "lose answer"
            return ""

        proxy.fault = lose_one
        report = update(warehouse_at(tmp_path, proxy), fill)
    assert report is not None and lost


def test_another_lakehouse_is_refused_and_taken_over_when_told(tmp_path: Path, s3_server: S3Server) -> None:
    update(warehouse_at(tmp_path / "one", s3_server), fill)
    before = {key: s3_server.read(key) for key in s3_server.keys("")}
    other = warehouse_at(tmp_path / "other", s3_server)
    assert update(other, new_day) is None
    assert "another lakehouse" in failure_of(other) and "TAKE_OVER" in failure_of(other)
    assert {key: s3_server.read(key) for key in s3_server.keys("")} == before
    report = session(warehouse_at(tmp_path / "other", s3_server, takes_over=True))
    assert report is not None and s3_server.keys() == [FILES[2], MANIFEST]
    assert failure_of(other) == "" and session(other) is None


def test_a_home_that_lost_its_warehouse_does_not_write_over_what_is_left(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    for folder in (".warehouse", ".snapshots"):
        shutil.rmtree(tmp_path / folder)
    (tmp_path / "lakehouse.duckdb").unlink()
    update(warehouse, new_day)
    assert "restore the lakehouse" in failure_of(warehouse)
    assert s3_server.keys() == [*FILES, MANIFEST]


def test_objects_of_others_are_left_alone(tmp_path: Path, s3_server: S3Server) -> None:
    foreign = ["lake/house/example/readings/month=1999-01/part-0.parquet", "lake/house/inbox/me/a.zip", "lake/x"]
    for key in foreign:
        s3_server.put(key, b"somebody's")
    warehouse = warehouse_at(tmp_path, s3_server)
    told: list[str] = []
    with run_session(warehouse, purpose="a test", log=told.append) as opened:
        opened.begin()
        with warehouse.transaction() as transaction:
            fill(transaction)
    update(warehouse, without_march)
    assert [s3_server.read(key) for key in foreign] == [b"somebody's"] * 3
    assert [line for line in told if "month=1999-01" in line]


def test_an_object_of_another_under_one_of_our_keys_is_refused(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.put(FILES[1], b"somebody's")
    warehouse = warehouse_at(tmp_path, s3_server)
    assert update(warehouse, fill) is None
    assert FILES[1] in failure_of(warehouse) and s3_server.read(FILES[1]) == b"somebody's"
    assert MANIFEST not in s3_server.keys("")
    assert session(warehouse_at(tmp_path, s3_server, takes_over=True)) is not None


@pytest.mark.parametrize("content", [b'{"name": "my web page", "icons": []}', b"[1, 2]", b'{"format": "x"}'])
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, s3_server: S3Server, content: bytes) -> None:
    s3_server.put(MANIFEST, content)
    warehouse = warehouse_at(tmp_path, s3_server)
    assert update(warehouse, fill) is None
    assert "no manifest of a lakehouse" in failure_of(warehouse)
    assert s3_server.keys() == [MANIFEST] and s3_server.read(MANIFEST) == content


def test_a_manifest_of_a_newer_version_is_refused(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    s3_server.put(MANIFEST, s3_server.read(MANIFEST).replace(b'"format": 2', b'"format": 3'))
    session(warehouse)
    assert "newer version" in failure_of(warehouse)


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe\x00", None])
def test_a_manifest_that_is_lost_or_damaged_is_written_again(
    tmp_path: Path, s3_server: S3Server, damage: bytes | None
) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    if damage is None:
        s3_server.client.delete_object(Bucket=BUCKET, Key=MANIFEST)
    else:
        s3_server.put(MANIFEST, damage)
    with pytest.raises(Exception, match=r"damaged|no mirror"):
        reader_of(s3_server).table("example.readings")
    report = session(warehouse)
    assert report is not None and report.files == 4 and failure_of(warehouse) == ""
    assert reader_of(s3_server).table("example.readings").height == 2 * len(QUARTER)


def test_an_older_manifest_that_somebody_put_back_is_replaced(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    older = s3_server.read(MANIFEST)
    update(warehouse, new_day)
    s3_server.put(MANIFEST, older)
    with pytest.raises(Exception, match="being repaired"):
        reader_of(s3_server).table("example.readings")
    assert session(warehouse) is not None and failure_of(warehouse) == ""
    assert reader_of(s3_server).table("example.readings").equals(warehouse.read(Readings).sort("read_at"))


def test_a_file_that_somebody_changed_or_deleted_is_written_again(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path, s3_server)
    update(warehouse, fill)
    s3_server.put(FILES[1], b"x" * len(s3_server.read(FILES[1])))
    s3_server.client.delete_object(Bucket=BUCKET, Key=FILES[0])
    with pytest.raises(Exception, match="being repaired"):
        reader_of(s3_server).table("example.readings")
    report = session(warehouse)
    assert report is not None and (report.written, report.unchanged) == (2, 2)
    assert reader_of(s3_server).table("example.readings").height == 2 * len(QUARTER)


FAULTS = {
    "busy": lambda method, path, number: "503 SlowDown" if number % 3 == 1 else "",
    "cut request": lambda method, path, number: "cut request" if method == "PUT" and number % 2 else "",
    "cut answer": lambda method, path, number: "cut answer" if number % 3 == 1 else "",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_now_and_then_is_asked_again(tmp_path: Path, s3_server: S3Server, fault: str) -> None:
    with proxy_to(s3_server.endpoint_url) as proxy:
        proxy.fault = FAULTS[fault]
        warehouse = warehouse_at(tmp_path, proxy, max_attempts=6)
        for _ in range(4):
            update(warehouse, fill)
            if not failure_of(warehouse):
                break
    assert failure_of(warehouse) == ""
    assert reader_of(s3_server).table("example.readings").height == 2 * len(QUARTER)


@pytest.mark.parametrize("fault", ["cut request", "503 SlowDown", "500 InternalError"])
def test_a_store_that_stops_in_the_middle_is_told_and_repaired_by_the_next_run(
    tmp_path: Path, s3_server: S3Server, fault: str
) -> None:
    update(warehouse_at(tmp_path, s3_server), fill)
    with proxy_to(s3_server.endpoint_url) as proxy:
        proxy.fault = lambda method, path, number: fault if path.endswith("month=2024-02/part-0.parquet") else ""
        broken = warehouse_at(tmp_path, proxy, max_attempts=2)
        assert (
            update(
                broken,
                lambda transaction: transaction.replace_days(
                    Readings, readings(QUARTER, level=4), (QUARTER[0], QUARTER[-1])
                ),
            )
            is None
        )
    assert "does not answer" in failure_of(broken) or "busy or broken" in failure_of(broken)
    assert broken.read(Readings)["level"].min() == 4
    assert session(warehouse_at(tmp_path, s3_server)) is not None
    assert reader_of(s3_server).table("example.readings")["level"].min() == 4


@pytest.mark.parametrize("fault", ["refused", "silence"])
def test_a_dead_store_costs_seconds_and_the_lakehouse_is_published(
    tmp_path: Path, s3_server: S3Server, fault: str
) -> None:
    with proxy_to(s3_server.endpoint_url) as proxy:
        proxy.fault = lambda method, path, number: "silence"
        fields = {"read_timeout_seconds": 1.0} if fault == "silence" else {"endpoint_url": "http://127.0.0.1:9"}
        warehouse = warehouse_at(tmp_path, proxy, **fields)
        told: list[str] = []
        started = time.monotonic()
        with run_session(warehouse, purpose="a test", log=told.append) as opened:
            opened.begin()
            with warehouse.transaction() as transaction:
                fill(transaction)
        assert time.monotonic() - started < 20
    assert opened.publication is not None and opened.mirror_report is None
    assert "does not answer" in told[-1] and "next run" in told[-1]
    assert state_of(warehouse).failing_since
    assert session(warehouse_at(tmp_path, s3_server)) is not None
    assert failure_of(warehouse) == ""


ANSWERS = {
    "403 AccessDenied": "s3:PutObject",
    "403 RequestTimeTooSkewed": "clock",
    "403 InvalidAccessKeyId": "AWS_ACCESS_KEY_ID",
    "400 ExpiredToken": "AWS_SESSION_TOKEN",
    "400 AuthorizationHeaderMalformed": "SPOTIFY_ASSETS_MIRROR_REGION",
    "404 NoSuchBucket": "there is no bucket lake",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_refusal_says_what_to_do_and_repeats_nothing_of_the_stores_words(
    tmp_path: Path, s3_server: S3Server, answer: str
) -> None:
    with proxy_to(s3_server.endpoint_url) as proxy:
        proxy.fault = lambda method, path, number: answer
        warehouse = warehouse_at(tmp_path, proxy)
        update(warehouse, fill)
    assert ANSWERS[answer] in failure_of(warehouse)
    assert ACCESS_KEY not in failure_of(warehouse)


def test_a_missing_bucket_is_named(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path, s3_server, address="s3://nowhere-at-all/x")
    update(warehouse, fill)
    assert "there is no bucket nowhere-at-all" in failure_of(warehouse)
    assert f"aws s3 mb s3://nowhere-at-all --endpoint-url {s3_server.endpoint_url})" in failure_of(warehouse)


def test_missing_keys_and_an_unknown_profile_are_named(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = warehouse_at(tmp_path, s3_server, profile_name="nobody")
    update(warehouse, fill)
    assert "profile nobody" in failure_of(warehouse)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    session(warehouse_at(tmp_path, s3_server))
    assert "no keys for s3://lake/lake/house were found" in failure_of(warehouse)


def test_a_store_that_checks_signatures_takes_the_mirror_and_refuses_wrong_keys(
    tmp_path: Path, signing_server: S3Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    warehouse = warehouse_at(tmp_path, signing_server)
    assert update(warehouse, fill) is not None and update(warehouse, new_day) is not None
    assert session(warehouse) is None and update(warehouse, without_march) is not None
    assert reader_of(signing_server).table("example.readings").equals(warehouse.read(Readings).sort("read_at"))
    assert signing_server.keys() == [*FILES[:3], MANIFEST]

    wrong = SECRET_KEY.replace("secret", "wrong0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", wrong)
    told: list[str] = []
    with caplog.at_level(logging.INFO), DagsterInstance.local_temp(str(tmp_path)) as instance:
        refused = warehouse_at(tmp_path, signing_server)
        with run_session(refused, purpose="a test", log=told.append, instance=instance) as opened:
            opened.begin()
        assert opened.mirror_report is None and "does not accept the keys" in failure_of(refused)
    with pytest.raises(Exception, match="does not accept the keys") as raised:
        reader_of(signing_server).version()
    texts = [*told, caplog.text, repr(refused), str(raised.getrepr(chain=True))]
    texts += [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    for secret in (ACCESS_KEY, SECRET_KEY, wrong):
        assert not [text for text in texts if secret in text]


def test_old_versions_go_and_those_that_a_kept_manifest_names_stay(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.keep_versions()
    warehouse = warehouse_at(tmp_path, s3_server, kept=2, versions_days=0.0)
    for level in range(1, 5):
        gauges = pl.DataFrame({"gauge": ["a"], "place": [str(level)]})
        update(warehouse, lambda transaction, gauges=gauges: transaction.replace(Gauges, gauges))
        # A store tells instants in seconds.
        time.sleep(1.05)
    ids = [
        each["VersionId"] for each in s3_server.client.list_object_versions(Bucket=BUCKET, Prefix=MANIFEST)["Versions"]
    ]
    reader = reader_of(s3_server)
    assert [reader.version(each).table("example.gauges")["place"].to_list() for each in ids] == [["4"], ["3"]]
    # A third may have been replaced in the very second of the oldest manifest.
    assert len([key for key, _ in s3_server.versions() if key == FILES[0]]) <= 3


def test_versions_that_are_young_enough_stay(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.keep_versions()
    warehouse = warehouse_at(tmp_path, s3_server, kept=1, versions_days=30.0)
    for write in (fill, new_day, without_march):
        update(warehouse, write)
    assert len([key for key, _ in s3_server.versions() if key == MANIFEST]) == 3
    assert (FILES[3], False) in s3_server.versions()


def test_foreign_versions_below_the_prefix_stay(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.keep_versions()
    for key in ("lake/house/other.txt", "lake/house/a/b/part-0.parquet"):
        s3_server.put(key, b"1")
        s3_server.client.delete_object(Bucket=BUCKET, Key=key)
    before = s3_server.versions()
    warehouse = warehouse_at(tmp_path, s3_server, kept=1, versions_days=0.0)
    for write in (fill, without_march):
        update(warehouse, write)
        time.sleep(1.05)
    assert set(before) <= set(s3_server.versions())


def test_after_a_purge_no_old_version_is_left(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.keep_versions()
    warehouse = warehouse_at(tmp_path, s3_server, kept=3)
    for write in (fill, new_day, without_march):
        update(warehouse, write)
    with run_session(warehouse, purpose="purge") as opened:
        opened.begin()
        with warehouse.transaction() as transaction:
            new = readings([date(2024, 2, 3)], level=9)
            transaction.replace_days(Readings, new, (QUARTER[0], QUARTER[-1]))
        publish_alone(warehouse, published_at=opened._clock(), log=opened.log)
    assert s3_server.versions() == [(FILES[0], False), (FILES[2], False), (MANIFEST, False)]


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_the_mirror_goes_with_the_lakehouse_and_what_is_foreign_stays(
    tmp_path: Path, s3_server: S3Server, keeps_versions: bool
) -> None:
    if keeps_versions:
        s3_server.keep_versions()
    s3_server.put("lake/house/other.txt", b"1")
    warehouse = warehouse_at(tmp_path, s3_server, bi_copies="parquet")
    update(warehouse, fill)
    update(warehouse, without_march)
    remove_everything(warehouse, print)
    assert s3_server.versions() == [("lake/house/other.txt", False)]
    assert not warehouse.exists()


def test_the_dagster_ui_shows_what_was_written_and_how_the_mirror_stands(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = warehouse_at(tmp_path / "home", s3_server)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:

        def run(warehouse: Warehouse, *writes: Any) -> None:
            with run_session(warehouse, purpose="a test", instance=instance) as opened:
                opened.begin()
                with warehouse.transaction() as transaction:
                    for write in writes:
                        write(transaction)

        def shown(key: AssetKey) -> dict[str, Any]:
            event = instance.get_latest_materialization_event(key)
            assert event is not None and event.asset_materialization is not None
            return {name: value.value for name, value in event.asset_materialization.metadata.items()}

        def check() -> Any:
            records = instance.event_log_storage.get_asset_check_execution_history(_check_key(), limit=1)
            return records[0].event.dagster_event.asset_check_evaluation_data

        run(warehouse, fill)
        run(warehouse, new_day)
        of_table = shown(mirror_asset_key(Readings))
        assert of_table["objects"] == f"{ADDRESS}/example/readings"
        assert (of_table["files"], of_table["uploaded"], of_table["skipped"]) == (3, 1, 2)
        assert 0 < of_table["uploaded_bytes"] < of_table["bytes"]
        assert shown(MANIFEST_ASSET)["uploaded"] == 1
        assert check().passed
        run(warehouse_at(tmp_path / "home", s3_server, endpoint_url="http://127.0.0.1:9"), without_march)
        assert not check().passed and "does not answer" in check().description
        run(warehouse)
        assert check().passed and shown(MANIFEST_ASSET)["removed"] == 1


def _check_key() -> Any:
    from dagster import AssetCheckKey

    return AssetCheckKey(MANIFEST_ASSET, UP_TO_DATE_CHECK)
