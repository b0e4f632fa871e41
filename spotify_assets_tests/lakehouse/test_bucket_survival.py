"""Writers that are killed, and readers beside them: whoever follows the manifest sees one run, whatever happens."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spotify_assets.lakehouse import Warehouse, publish_if_changed, run_session
from spotify_assets.lakehouse.errors import MirrorBeingRepaired
from spotify_assets.lakehouse.mirror_reading import MirrorChanged, MirrorReader, open_mirror
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirror_verification import verify_mirror
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.lakehouse.publishing import remove_old_snapshots
from spotify_assets.state import State
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.example import Gauges, Readings, days_between, readings, warehouse_in
from spotify_assets_tests.lakehouse.s3_servers import Proxy, S3Server, proxy_to

KILLS = 10
"""Of each kind of bucket."""

FORMATS = "parquet"
PAUSE_SECONDS = 0.01
TABLES = ["example.readings", "example.gauges"]
DAYS = days_between(date(2024, 1, 1), date(2024, 2, 29))
KEYS = [
    "house/bi/VERSION",
    "house/bi/example_gauges.parquet",
    "house/bi/example_readings_2024.parquet",
    "house/example/gauges/part-0.parquet",
    "house/example/readings/month=2024-01/part-0.parquet",
    "house/example/readings/month=2024-02/part-0.parquet",
    "house/manifest.json",
]


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


@dataclass
class Reads:
    """What a reader saw who read all the time: whole versions, mixed ones, and being told to wait."""

    whole: int = 0
    mixed: int = 0
    told: int = 0

    def note(self, reader: MirrorReader) -> None:
        try:
            found = levels(reader)
        except MirrorBeingRepaired:
            self.told += 1
        else:
            self.whole += len(found) == 1
            self.mixed += len(found) != 1


@contextmanager
def reading(server: S3Server) -> Iterator[Reads]:
    """A reader beside whatever happens in the block."""
    reads, is_over = Reads(), threading.Event()

    def read() -> Reads:
        reader = reader_of(server, 0.0)
        while not is_over.is_set():
            reads.note(reader)
            is_over.wait(0.2)
        return reads

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(read)
        try:
            yield reads
        finally:
            is_over.set()
            future.result()


def publish(warehouse: Warehouse, level: int) -> None:
    """Have every table say another level, and publish it; the mirror stays as it is."""
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, readings(DAYS, level), (DAYS[0], DAYS[-1]))
        transaction.replace(Gauges, pl.DataFrame({"gauge": ["a"], "place": [str(level)]}))
    publish_if_changed(warehouse, published_at=datetime.now(UTC), log=print)
    remove_old_snapshots(warehouse.paths, 3)


def run(warehouse: Warehouse) -> str:
    """A session that changes nothing itself; returns what kept the mirror from being brought up to date."""
    with run_session(warehouse, purpose="repair") as session:
        session.begin()
    state = MirrorState.of(State(warehouse.paths.state_file))
    return state.failure if state else "nothing was mirrored"


def kill_and_repair(home: Path, server: S3Server, kills: int, seed: int) -> Reads:
    """Kill an upload at so many moments, and have the next run repair it; the reads beside all of that."""
    chance = random.Random(seed)
    warehouse = warehouse_in(home, mirror=MirrorConfiguration(**fields_of(server)), bi_copies=FORMATS)
    with proxy_to(server.endpoint_url) as proxy:
        fields = {**fields_of(server), "endpoint_url": proxy.endpoint_url}
        upload = (processes.mirror_once, home, fields, FORMATS, environment())
        publish(warehouse, 1)
        run(warehouse)
        publish(warehouse, 2)
        proxy.fault = _slowly
        processes.start(*upload).join(30)
        requests = len(proxy.requests)
        with reading(server) as reads:
            # Making a client takes as long as all that is asked of it.
            reader = reader_of(server, 0.0)
            level, killed = 2, 0
            while killed < kills:
                level += 1
                publish(warehouse, level)
                process = _killed_at(proxy, chance.randint(1, requests), chance.uniform(0, 2 * PAUSE_SECONDS), upload)
                killed += process.exitcode == -signal.SIGKILL
                reads.note(reader)
                assert run(warehouse) == ""
                assert levels(reader) == {level}
                version = reader.version()
                # Copies included; another file than the manifest says is an error.
                assert all(version.content(file) for file in version.manifest.files.values())
        assert verify_mirror(warehouse.paths, warehouse.mirror).is_equal
        assert server.keys() == KEYS
    return reads


def _slowly(method: str, path: str, number: int) -> str:
    # One after the other, so that the moments lie all over the upload and not in its first instant.
    time.sleep(PAUSE_SECONDS)
    return ""


def _killed_at(proxy: Proxy, request: int, seconds: float, upload: tuple[Any, ...]) -> BaseProcess:
    """An upload that is killed so many seconds after its request of that number has come."""
    proxy.requests.clear()
    is_due = threading.Event()

    def watch(method: str, path: str, number: int) -> str:
        if number == request:
            is_due.set()
        return _slowly(method, path, number)

    proxy.fault = watch
    process = processes.start(*upload)
    while process.is_alive() and not is_due.wait(0.01):
        pass
    time.sleep(seconds)
    process.kill()
    process.join(10)
    return process


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_kills_at_random_moments_of_an_upload_are_repaired_and_nobody_reads_a_mixture(
    tmp_path: Path, s3_server: S3Server, keeps_versions: bool
) -> None:
    if keeps_versions:
        s3_server.keep_versions()
    reads = kill_and_repair(tmp_path, s3_server, KILLS, seed=3)
    assert reads.mixed == 0 and reads.whole > KILLS
    assert bool(reads.told) != keeps_versions


def test_two_processes_that_upload_at_once_mix_nothing_and_the_next_run_makes_it_whole(
    tmp_path: Path, s3_server: S3Server
) -> None:
    one, other = (
        warehouse_in(tmp_path / name, mirror=MirrorConfiguration(**fields_of(s3_server)), bi_copies=FORMATS)
        for name in ("one", "other")
    )
    taking_over = MirrorConfiguration(**fields_of(s3_server), takes_over=True)
    one_that_takes_over = warehouse_in(tmp_path / "one", mirror=taking_over, bi_copies=FORMATS)
    publish(one, 1)
    run(one)
    shutil.copytree(tmp_path / "one", tmp_path / "other", symlinks=True)
    with proxy_to(s3_server.endpoint_url) as proxy, reading(s3_server) as reads:
        # One after the other, whoever of the two asks.
        proxy.fault = _slowly
        fields = {**fields_of(s3_server), "endpoint_url": proxy.endpoint_url}
        for level in (2, 12):
            publish(one, level)
            publish(other, level + 1)
            both = [
                processes.start(processes.mirror_once, tmp_path / name, fields, FORMATS, environment())
                for name in ("one", "other")
            ]
            for process in both:
                process.join(60)
            # Whoever was second is told so: the mirror is the other's, which repairs it, until somebody takes it over.
            if told := run(one):
                assert "another machine has gone on with this lakehouse" in told
                assert run(other) == ""
                assert levels(reader_of(s3_server, 0.0)) == {level + 1}
                assert verify_mirror(other.paths, other.mirror).is_equal
                assert run(one_that_takes_over) == ""
            assert levels(reader_of(s3_server, 0.0)) == {level}
            assert verify_mirror(one.paths, one.mirror).is_equal
    assert reads.mixed == 0 and reads.whole


@pytest.mark.soak
def test_a_hundred_kills_of_uploads(
    tmp_path: Path, s3_server: S3Server, soak_share: float, tell_figure: Callable[[str, str], None]
) -> None:
    kills = max(1, round(50 * soak_share))
    without = kill_and_repair(tmp_path / "without", s3_server, kills, seed=5)
    for key in s3_server.keys(""):
        s3_server.client.delete_object(Bucket="lake", Key=key)
    s3_server.keep_versions()
    versioned = kill_and_repair(tmp_path / "with", s3_server, kills, seed=6)
    assert versioned.told == without.mixed == versioned.mixed == 0
    tell_figure(
        "kill -9 of uploads to a bucket",
        f"{2 * kills} kills: all repaired by the next run, {without.mixed + versioned.mixed} mixed of "
        f"{without.whole + versioned.whole} reads; without versions a reader was told to wait {without.told} times",
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
    until = time.monotonic() + 2.5
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
