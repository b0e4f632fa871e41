"""Writers that are killed, and readers beside them: whoever follows the manifest sees one run, whatever happens."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spotify_assets.lakehouse import run_session
from spotify_assets.lakehouse.errors import MirrorBeingRepaired
from spotify_assets.lakehouse.mirror_reading import MirrorChanged, MirrorReader, open_mirror
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.state import State
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.example import Gauges, Readings, warehouse_in
from spotify_assets_tests.lakehouse.s3_servers import S3Server

KILLS = 5
TABLES = ["example.readings", "example.gauges"]


def fields_of(server: S3Server) -> dict[str, object]:
    return {"address": "s3://lake/house", "endpoint_url": server.endpoint_url, "read_timeout_seconds": 10.0}


def reader_of(server: S3Server, patience_seconds: float) -> MirrorReader:
    return open_mirror(MirrorConfiguration(**fields_of(server)), patience_seconds=patience_seconds)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def levels(reader: MirrorReader) -> set[int]:
    """The levels that are found in all tables of one version: one, if that is one run's."""
    tables = reader.tables(TABLES)
    assert tables["example.readings"].height == 120
    found = tables["example.readings"]["level"]
    # The late reading of each day is one higher.
    return {found.min(), found.max() - 1, *(int(place) for place in tables["example.gauges"]["place"])}


def kill_and_repair(home: Path, server: S3Server, kills: int, seed: int) -> tuple[int, int]:
    """Kill a writer so many times; returns how often a reader was told to wait, and how often it read."""
    chance = random.Random(seed)
    told = read = 0
    warehouse = warehouse_in(home, mirror=MirrorConfiguration(**fields_of(server)))
    before = 0
    for _ in range(kills):
        working = processes.event()
        process = processes.start(processes.mirror_again_and_again, home, fields_of(server), environment(), working)
        assert working.wait(60)
        time.sleep(chance.uniform(0, 0.6))
        process.kill()
        process.join(10)
        try:
            assert len(levels(reader_of(server, 0.0))) == 1
            read += 1
        except MirrorBeingRepaired:
            told += 1
        with run_session(warehouse, purpose="repair") as session:
            session.begin()
        state = MirrorState.of(State(warehouse.paths.state_file))
        assert state is not None and not state.failure
        reader = reader_of(server, 0.0)
        assert reader.table("example.readings").equals(warehouse.read(Readings).sort("read_at"))
        assert reader.table("example.gauges").equals(warehouse.read(Gauges))
        level = warehouse.read(Readings)["level"].min()
        assert level > before
        before = level
        assert server.keys() == [
            "house/example/gauges/part-0.parquet",
            "house/example/readings/month=2024-01/part-0.parquet",
            "house/example/readings/month=2024-02/part-0.parquet",
            "house/manifest.json",
        ]
    return told, read


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_kills_at_random_moments_of_an_upload_are_repaired(
    tmp_path: Path, s3_server: S3Server, keeps_versions: bool
) -> None:
    if keeps_versions:
        s3_server.keep_versions()
    told, _ = kill_and_repair(tmp_path, s3_server, KILLS, seed=3)
    assert not (keeps_versions and told)


@pytest.mark.soak
def test_a_hundred_kills_of_uploads(
    tmp_path: Path, s3_server: S3Server, soak_share: float, tell_figure: Callable[[str, str], None]
) -> None:
    kills = max(1, round(50 * soak_share))
    told, read = kill_and_repair(tmp_path / "without", s3_server, kills, seed=5)
    s3_server.keep_versions()
    for key in s3_server.keys(""):
        s3_server.client.delete_object(Bucket="lake", Key=key)
    told_with_versions, _ = kill_and_repair(tmp_path / "with", s3_server, kills, seed=6)
    assert told_with_versions == 0
    tell_figure(
        "kill -9 of uploads to a bucket",
        f"{2 * kills} kills: all repaired by the next run, 0 mixed reads; without versions a reader was told to wait "
        f"after {told} of {told + read}",
    )


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_a_reader_beside_a_writer_never_mixes_two_runs(
    tmp_path: Path, s3_server: S3Server, keeps_versions: bool
) -> None:
    if keeps_versions:
        s3_server.keep_versions()
    working = processes.event()
    process = processes.start(processes.mirror_again_and_again, tmp_path, fields_of(s3_server), environment(), working)
    assert working.wait(60)
    reader = reader_of(s3_server, 10.0)
    seen: list[set[int]] = []
    until = time.monotonic() + 4
    while time.monotonic() < until:
        seen.append(levels(reader))
    process.kill()
    process.join(10)
    assert all(len(each) == 1 for each in seen)
    assert len(set().union(*seen)) > 1


def test_without_checksums_the_readings_would_have_been_mixed(tmp_path: Path, s3_server: S3Server) -> None:
    """What the readers above are spared can be seen: files do change under the manifest that names them."""
    working = processes.event()
    process = processes.start(processes.mirror_again_and_again, tmp_path, fields_of(s3_server), environment(), working)
    assert working.wait(60)
    reader = reader_of(s3_server, 10.0)
    changed = 0
    until = time.monotonic() + 20
    while not changed and time.monotonic() < until:
        version = reader.version()
        try:
            version.table("example.gauges")
            time.sleep(0.05)
            version.table("example.readings")
        except MirrorChanged:
            changed += 1
    process.kill()
    process.join(10)
    assert changed
