"""The lock that lies with a mirror: one run at a time, whatever becomes of its holder."""

from __future__ import annotations

import functools
import json
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spotify_assets.lakehouse import MirrorLocked, MirrorLockLost
from spotify_assets.lakehouse.bucket import Bucket
from spotify_assets.lakehouse.mirror_lock import LOCK_KEY, BucketLock, MirrorLock, mirror_lock
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.settings import HomePaths
from spotify_assets_tests.lakehouse.s3_servers import S3Server, proxy_to

KEY = f"mine/{LOCK_KEY}"


@functools.cache
def bucket(endpoint_url: str) -> Bucket:
    """One for all: to make boto3's client takes as long as some of these leases."""
    return MirrorConfiguration(address="s3://lake/mine", endpoint_url=endpoint_url).bucket()


def lock_of(server: S3Server, *, lease_seconds: float = 60, told: list[str] | None = None) -> BucketLock:
    return BucketLock(
        bucket(server.endpoint_url),
        purpose="a test",
        lease_seconds=lease_seconds,
        now=lambda: datetime.now(UTC),
        log=(told if told is not None else []).append,
    )


def test_while_one_holds_it_nobody_else_gets_it_and_then_the_next_one_does(s3_server: S3Server) -> None:
    with lock_of(s3_server).held() as lock:
        with pytest.raises(MirrorLocked, match=r"a test, since .* expires after"):
            lock_of(s3_server).acquire()
        lock.check()
        told = json.loads(s3_server.read(KEY))
        assert told["purpose"] == "a test" and told["taken_at"] < told["expires_at"] and told["owner"]
    assert json.loads(s3_server.read(KEY))["owner"] == ""
    with lock_of(s3_server).held():
        pass


def test_it_is_given_back_after_a_failure(s3_server: S3Server) -> None:
    with pytest.raises(ZeroDivisionError), lock_of(s3_server).held():
        raise ZeroDivisionError
    lock_of(s3_server).acquire()


def test_one_that_is_not_renewed_is_taken_over_and_its_holder_hears_of_it(s3_server: S3Server) -> None:
    slow = lock_of(s3_server, lease_seconds=2)
    slow.acquire()
    with pytest.raises(MirrorLocked):
        lock_of(s3_server, lease_seconds=1).acquire()
    # The store tells instants in seconds.
    time.sleep(3.1)
    fast = lock_of(s3_server)
    fast.acquire()
    slow.renew()
    with pytest.raises(MirrorLockLost, match="taken over"):
        slow.check()
    slow.release()
    fast.check()
    with pytest.raises(MirrorLocked):
        lock_of(s3_server).acquire()


def test_one_that_is_renewed_outlasts_its_expiry(s3_server: S3Server) -> None:
    with lock_of(s3_server, lease_seconds=3).held() as lock:
        time.sleep(4.1)
        with pytest.raises(MirrorLocked):
            lock_of(s3_server).acquire()
        lock.check()


def test_an_answer_that_is_lost_does_not_lock_a_run_out_of_its_own_lock(s3_server: S3Server) -> None:
    with proxy_to(s3_server.endpoint_url) as proxy:
        lost: list[str] = []

        def fault(method: str, path: str, number: int) -> str:
            # The first time that it is taken, and the first time that it is renewed.
            if method == "PUT" and len(lost) < 2 and (not lost or number > 6):
                lost.append(path)
                return "lose answer"
            return ""

        proxy.fault = fault
        lock = lock_of(S3Server(proxy.endpoint_url))
        lock.acquire()
        for _ in range(3):
            lock.renew()
        lock.check()
        lock.release()
        assert len(lost) == 2
    assert json.loads(s3_server.read(KEY))["owner"] == ""


def test_what_cannot_be_read_in_its_place_counts_until_it_is_old(s3_server: S3Server) -> None:
    s3_server.put(KEY, b"somebody's")
    with pytest.raises(MirrorLocked):
        lock_of(s3_server).acquire()
    time.sleep(2.1)
    lock_of(s3_server, lease_seconds=1).acquire()


def test_a_bucket_that_keeps_versions_keeps_one_of_the_lock(s3_server: S3Server) -> None:
    s3_server.keep_versions()
    for _ in range(3):
        with lock_of(s3_server).held() as lock:
            lock.renew()
    assert s3_server.versions(KEY) == [(KEY, False)]


def test_a_store_that_ignores_conditions_is_told_of_and_locks_all_but_the_same_instant(
    signing_server: S3Server,
) -> None:
    told: list[str] = []
    with lock_of(signing_server, told=told).held() as lock:
        with pytest.raises(MirrorLocked):
            lock_of(signing_server).acquire()
        # What another run would have put, had it looked just before.
        signing_server.put(KEY, json.dumps({"owner": "another"}).encode())
        lock.renew()
        with pytest.raises(MirrorLockLost):
            lock.check()
    assert "takes no notice of conditional writes" in told[0]
    assert json.loads(signing_server.read(KEY)) == {"owner": "another"}


def test_a_mirror_in_a_folder_has_a_lock_of_the_system(tmp_path: Path) -> None:
    def locked() -> AbstractContextManager[MirrorLock]:
        return mirror_lock(
            HomePaths(tmp_path / "home"),
            MirrorConfiguration(address=str(tmp_path / "shared")),
            purpose="a test",
            lease_seconds=60,
            now=lambda: datetime.now(UTC),
            log=print,
        )

    with locked() as lock:
        lock.check()
        assert (tmp_path / "shared" / "run.lock").exists()
    with locked():
        pass
