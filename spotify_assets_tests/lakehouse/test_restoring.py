"""A lakehouse that is lost and rebuilt from its mirror, in a folder and in a bucket; what is refused, and kills."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spotify_assets.lakehouse import LakehouseError, MirrorError, Warehouse, connect, run_session
from spotify_assets.lakehouse.errors import RestoreFailed, RestoreRefused
from spotify_assets.lakehouse.mirror_reading import open_mirror, open_source
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirroring import MirrorConfiguration, home_id
from spotify_assets.lakehouse.purging import TableRules, publish_alone, rewrite_without
from spotify_assets.lakehouse.restoring import RestoreOrigin, RestoreReport, origin_of, restore
from spotify_assets.settings import HomePaths, Settings
from spotify_assets.state import State
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.example import (
    DailyLevels,
    GaugeDays,
    Readings,
    days_between,
    fill,
    readings,
    update,
    warehouse_in,
)
from spotify_assets_tests.lakehouse.s3_servers import S3Server, proxy_to
from spotify_assets_tests.lakehouse.stored_rows import differences

ADDRESS = "s3://lake/house"
DAYS = days_between(date(2024, 1, 1), date(2024, 1, 5))
STALENESS = {"days_table": "example.gauge_days", "code_versions": {"example.daily_levels": "1"}}
KILLS, SOAKED_KILLS = 3, 100


def now() -> datetime:
    return datetime(2024, 5, 1, 12, tzinfo=UTC)


def fill_days(transaction) -> None:
    """Five days of which one changes after its daily rows are built."""
    for version in ("a", "b"):
        days = [("me", day, version if day == DAYS[2] else "a") for day in DAYS]
        transaction.replace(GaugeDays, pl.DataFrame(days, schema=GaugeDays.polars_schema(), orient="row"))
        if version == "a":
            built = pl.DataFrame([("me", day, 1) for day in DAYS], schema=DailyLevels.polars_schema(), orient="row")
            transaction.replace_days(DailyLevels, built, (DAYS[0], DAYS[-1]))
            transaction.record_day_versions(DailyLevels, DAYS[0], DAYS[-1])


def new_day(transaction) -> None:
    transaction.replace_days(Readings, readings([date(2024, 2, 3)], level=7), [date(2024, 2, 3)])


def without_march(transaction) -> None:
    transaction.replace_days(Readings, readings([]), (date(2024, 3, 1), date(2024, 3, 31)))


def restored(
    warehouse: Warehouse, source: Warehouse | None = None, at: str | None = None, is_own: bool = True, **named: Any
) -> RestoreReport:
    """Restore a home from its mirror, or from that of another one."""
    of = source or warehouse
    origin = RestoreOrigin("the mirror", open_source(of.mirror, of.paths), is_own)
    return restore(warehouse, origin, at=at, now=now, log=print, **named)


def lose(warehouse: Warehouse) -> Path:
    """Keep what was lost aside and leave nothing but the mirror."""
    home = warehouse.paths.home
    lost = home.with_name(f"{home.name}-lost")
    shutil.copytree(home, lost, symlinks=True)
    for path in home.iterdir():
        if path != warehouse.paths.mirror_folder:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return lost


def bucket_warehouse(home: Path, server: S3Server, **fields: Any) -> Warehouse:
    mirror = MirrorConfiguration(address=ADDRESS, endpoint_url=server.endpoint_url, connect_timeout_seconds=1.0)
    return warehouse_in(home, mirror=mirror, **{**STALENESS, **fields})


@pytest.fixture(params=["folder", "bucket", "bucket with versions"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """A home with a history: months that changed and one that lost its rows, days of which one is stale."""
    if request.param == "folder":
        made = warehouse_in(tmp_path / "home", **STALENESS)
    else:
        server = request.getfixturevalue("s3_server")
        if request.param.endswith("versions"):
            server.keep_versions()
        made = bucket_warehouse(tmp_path / "home", server)
    update(made, fill, fill_days)
    update(made, new_day)
    update(made, without_march)
    return made


def test_what_is_restored_equals_what_was_lost(warehouse: Warehouse) -> None:
    known = State(warehouse.paths.state_file)
    before = (known.published(), known.first_day(), known.stale_days())
    lost = lose(warehouse)
    report = restored(warehouse)
    assert differences(lost, warehouse.paths.home) == []
    state = State(warehouse.paths.state_file)
    assert (state.published(), state.first_day(), state.stale_days()) == before
    assert [day.played_on for day in state.stale_days()] == [DAYS[2]] and state.first_day() == DAYS[0]
    assert report.rows["example.readings"] == 120 and report.published_at == before[0].published_at
    assert report.is_complete and not report.remarks
    assert not list(warehouse.paths.scratch_folder.rglob("*.*"))


def test_what_is_restored_goes_on_as_the_lost_one_would_have(warehouse: Warehouse) -> None:
    lost = lose(warehouse)
    restored(warehouse)
    with run_session(warehouse, purpose="nothing") as session:
        session.begin()
    assert session.publication is None and session.mirror_report is None
    other = warehouse_in(lost, **STALENESS)
    for each in (other, warehouse):
        with each.transaction() as transaction:
            new_day(transaction)
    report = update(warehouse)
    update(other)
    assert report is not None and report.written == 0, "the same rows were there already"
    assert differences(lost, warehouse.paths.home, ignored={"meta.published": ("published_at",)}) == []


def test_a_mirror_elsewhere_is_read_only_and_the_home_has_one_of_its_own(warehouse: Warehouse, tmp_path: Path) -> None:
    update(warehouse)
    other = warehouse_in(tmp_path / "other", **STALENESS)
    assert not restored(other, warehouse, is_own=False).is_own_mirror
    assert differences(warehouse.paths.home, other.paths.home) == []
    report = update(other)
    assert report is not None and report.written == report.files
    if warehouse.mirror.address:
        assert home_id(other.paths) != home_id(warehouse.paths)


def test_an_older_version_is_restored_and_the_mirror_follows(warehouse: Warehouse) -> None:
    source = open_source(warehouse.mirror, warehouse.paths)
    kept = list(source.manifests())
    shutil.rmtree(lose(warehouse))
    if not kept:
        with pytest.raises(RestoreRefused, match=r"has no version 1\. It keeps no older versions"):
            restored(warehouse, at="1")
        return
    assert len(kept) == 3
    oldest = kept[-1]
    with pytest.raises(RestoreRefused, match=f"no version none. It has: {kept[0].version_id} .snapshot 3, 20"):
        restored(warehouse, at="none")
    assert not warehouse.exists()
    report = restored(warehouse, at=oldest.version_id)
    assert report.snapshot_sequence == 1 and report.rows["example.readings"] == 182
    # As many changes as the mirror had, and more: none of its files may be taken for one of this home's.
    with warehouse.transaction() as transaction:
        transaction.replace_days(Readings, readings(DAYS[:1], level=3), DAYS[:1])
    for level in range(3):
        with warehouse.transaction() as transaction:
            transaction.replace_days(Readings, readings(DAYS[1:2], level=level), DAYS[1:2])
    update(warehouse)
    lost = lose(warehouse)
    restored(warehouse)
    assert differences(lost, warehouse.paths.home) == []


def test_an_older_version_is_found_by_the_number_of_its_snapshot(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.keep_versions()
    warehouse = bucket_warehouse(tmp_path / "home", s3_server)
    update(warehouse, fill)
    update(warehouse, without_march)
    other = warehouse_in(tmp_path / "other")
    assert restored(other, warehouse, at="1", is_own=False).rows["example.readings"] == 182


def test_a_version_of_which_a_file_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home")
    update(warehouse, fill)
    update(warehouse, without_march)
    (warehouse.paths.mirror_folder / "versions/1/example/readings/month=2024-03/part-0.parquet").unlink()
    lose(warehouse)
    with pytest.raises(RestoreFailed, match=r"not whole any more: .*month=2024-03.* is gone"):
        restored(warehouse, at="1")
    _is_empty(warehouse)


def test_an_older_version_is_restored_where_the_newest_is_damaged(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home")
    update(warehouse, fill)
    update(warehouse, without_march)
    manifest = warehouse.paths.mirror_folder / "versions/2/manifest.json"
    manifest.unlink()
    manifest.write_text("{")
    shutil.rmtree(lose(warehouse))
    with pytest.raises(MirrorError, match="damaged"):
        restored(warehouse)
    assert restored(warehouse, at="1").rows["example.readings"] == 182
    update(warehouse)
    lose(warehouse)
    assert restored(warehouse).rows["example.readings"] == 182


def test_a_home_with_a_lakehouse_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home")
    update(warehouse, fill)
    copy = tmp_path / "copy"
    shutil.copytree(warehouse.paths.home, copy, symlinks=True)
    with pytest.raises(RestoreRefused, match=r"has a lakehouse already.*mv "):
        restored(warehouse)
    assert differences(copy, warehouse.paths.home) == []


def test_a_published_file_that_is_newer_than_the_mirror_is_not_replaced(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home")
    update(warehouse, fill)
    mirror = tmp_path / "mirror"
    shutil.copytree(warehouse.paths.mirror_folder, mirror, symlinks=True)
    update(warehouse, new_day)
    shutil.rmtree(warehouse.paths.warehouse_file.parent)
    with pytest.raises(RestoreRefused, match=r"is newer \(snapshot 2\) than the mirror \(snapshot 1\)"):
        restored(warehouse, warehouse_in(tmp_path / "none", mirror=MirrorConfiguration(address=str(mirror))))
    restored(warehouse)
    assert warehouse.exists()


@pytest.mark.parametrize("source", ["nowhere", "https://example.com/mirror", "s3://lake/nothing", "s3://x"])
def test_a_place_without_a_mirror_is_refused_in_words(tmp_path: Path, s3_server: S3Server, source: str) -> None:
    settings = Settings(home=tmp_path / "home", mirror_endpoint_url=s3_server.endpoint_url)
    with pytest.raises(LakehouseError, match=r"there is no mirror in|--from cannot be used"):
        restore(Warehouse.from_settings(settings), origin_of(settings, source), now=now, log=print)
    assert not (tmp_path / "home").exists()


def test_a_bucket_that_does_not_answer_is_told_of(tmp_path: Path, s3_keys: None) -> None:
    settings = Settings(home=tmp_path / "home", mirror_endpoint_url="http://127.0.0.1:9")
    with pytest.raises(MirrorError, match="does not answer"):
        restore(Warehouse.from_settings(settings), origin_of(settings, ADDRESS), now=now, log=print)
    assert not (tmp_path / "home").exists()


def test_a_plain_copy_of_a_mirror_is_a_mirror(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home")
    update(warehouse, fill)
    shutil.copytree(warehouse.paths.mirror_folder / "current", tmp_path / "copy")
    settings = Settings(home=tmp_path / "other")
    for source in (tmp_path / "copy", warehouse.paths.mirror_folder / "current"):
        shutil.rmtree(settings.home, ignore_errors=True)
        restore(Warehouse.from_settings(settings), origin_of(settings, str(source)), now=now, log=print)
        assert differences(warehouse.paths.home, settings.home) == []


def changed_manifest(warehouse: Warehouse, change: Callable[[dict[str, Any]], object]) -> None:
    file = warehouse.paths.mirror_folder / "current/manifest.json"
    content = json.loads(file.read_text())
    change(content)
    file.unlink()
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content.update(format=99), "newer version of this program"),
        (lambda content: content.pop("files"), "is damaged"),
        (lambda content: content["tables"].pop("example.gauges"), "files of example.gauges"),
        (lambda content: content["tables"]["example.gauges"].pop("columns"), "does not describe example.gauges"),
        (lambda content: content["tables"]["example.gauges"]["columns"][0].update(type="BLOB"), "does not describe"),
        (lambda content: content["files"][0].update(rows=3), "2 rows of example.gauges instead of 3"),
        (lambda content: content["files"][0].update(sha256="0"), "being repaired: example/gauges.*is another one"),
    ],
)
def test_a_damaged_manifest_leaves_nothing_behind(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    warehouse = warehouse_in(tmp_path / "home")
    update(warehouse, fill)
    changed_manifest(warehouse, change)
    lose(warehouse)
    with pytest.raises(MirrorError, match=told):
        restored(warehouse, patience_seconds=0.0)
    _is_empty(warehouse)


def _is_empty(warehouse: Warehouse) -> None:
    """Nothing of a lakehouse is there, and nothing was left in the scratch folder."""
    paths = warehouse.paths
    assert not warehouse.exists() and not paths.published_file.is_symlink()
    for folder in (paths.scratch_folder, paths.snapshots_folder):
        assert not folder.exists() or not list(folder.iterdir())


def test_columns_of_another_version_come_back_as_they_were_and_the_next_write_adds_the_new(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home")
    update(warehouse, fill)
    folder = warehouse.paths.mirror_folder / "current/example/gauges"
    frame = pl.read_parquet(folder / "part-0.parquet").drop("place").with_columns(height=pl.lit(3, pl.Int64))
    (folder / "part-0.parquet").unlink()
    frame.write_parquet(folder / "part-0.parquet")
    content = (folder / "part-0.parquet").read_bytes()

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][0].update(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        columns = manifest["tables"]["example.gauges"]["columns"]
        columns[1] = {"name": "height", "type": "BIGINT", "description": "Of another version."}

    changed_manifest(warehouse, change)
    lose(warehouse)
    restored(warehouse)
    assert warehouse.read("example.gauges")["place"].to_list() == [None, None]
    new = pl.DataFrame({"gauge": ["c"], "place": ["y"]})
    update(warehouse, lambda transaction: transaction.append("example.gauges", new))
    with warehouse.get_connection() as connection:
        rows = connection.execute("SELECT gauge, place, height FROM example.gauges ORDER BY gauge").fetchall()
    assert rows == [("a", None, 3), ("b", None, 3), ("c", "y", None)]


def test_a_table_that_no_schema_declares_here_comes_back_too(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home")
    update(warehouse, fill)

    def rename(manifest: dict[str, Any]) -> None:
        manifest["tables"]["engineers.own"] = manifest["tables"].pop("example.gauges")
        manifest["files"][0]["table"] = "engineers.own"

    changed_manifest(warehouse, rename)
    lose(warehouse)
    assert restored(warehouse).rows["engineers.own"] == 2
    with warehouse.get_connection() as connection:
        assert connection.execute("SELECT gauge FROM engineers.own ORDER BY 1").fetchall() == [("a",), ("b",)]


def test_a_mirror_without_bookkeeping_is_restored_and_every_day_is_stale(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home", **STALENESS)
    update(warehouse, fill, fill_days)

    def as_before(manifest: dict[str, Any]) -> None:
        for name in ("changes", "published_at", "home"):
            del manifest[name]
        del manifest["tables"]["meta.day_versions"]
        manifest["files"] = [file for file in manifest["files"] if file["table"] != "meta.day_versions"]

    changed_manifest(warehouse, as_before)
    lose(warehouse)
    report = restored(warehouse)
    assert not report.is_complete and report.published_at is None
    assert [day.played_on for day in State(warehouse.paths.state_file).stale_days()] == DAYS
    with run_session(warehouse, purpose="nothing") as session:
        session.begin()
    assert session.publication is None
    assert session.mirror_report is not None, "the bookkeeping is mirrored from now on"
    with warehouse.transaction() as transaction:
        new_day(transaction)
    assert warehouse.last_change("example") == 2


def test_zone_household_and_recordings_come_back_and_files_that_are_there_stay(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home", settings_told={"timezone": "Asia/Tokyo", "session_gap_minutes": "9"})
    paths = warehouse.paths
    paths.home.mkdir()
    household = '# mine\n[[listener]]\nname = "Zoë \\\\ 1"\nzones = "Europe/Berlin"\n'
    paths.listeners_file.write_text(household, encoding="utf-8")
    paths.recordings_file.write_text("track_id,recording\na,b\n")
    State(paths.state_file).reserve_request("search", now(), 10)
    State(paths.state_file).set_note("spotify_capabilities", "{}")
    State(paths.state_file).set_note("anything else", "secret")
    update(warehouse, fill)
    lost = lose(warehouse)
    report = restored(warehouse)
    assert paths.timezone_file.read_text() == "Asia/Tokyo\n"
    assert "# mine" not in paths.listeners_file.read_text(encoding="utf-8")
    assert 'name = "Zoë \\\\ 1"' in paths.listeners_file.read_text(encoding="utf-8")
    assert paths.recordings_file.read_bytes() == HomePaths(lost).recordings_file.read_bytes()
    state = State(paths.state_file)
    assert [each.requests for each in state.quota_days()] == [1]
    assert (state.note("spotify_capabilities"), state.note("anything else")) == ("{}", None)
    assert report.settings_told == {"timezone": "Asia/Tokyo", "session_gap_minutes": "9"} and not report.remarks
    shutil.rmtree(lost)
    lose(warehouse)
    paths.listeners_file.write_text('[[listener]]\nname = "Bob"\n')
    (remark,) = restored(warehouse).remarks
    assert "listeners.toml was here already" in remark and "Bob" in paths.listeners_file.read_text()


def test_a_change_of_the_household_is_mirrored_and_requests_alone_are_not(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home")
    update(warehouse, fill)
    State(warehouse.paths.state_file).reserve_request("search", now(), 10)
    assert update(warehouse) is None
    warehouse.paths.listeners_file.write_text('[[listener]]\nname = "Ann"\n')
    report = update(warehouse)
    assert report is not None and report.written == 0
    assert update(warehouse) is None


def test_a_listener_who_was_purged_is_not_restored(tmp_path: Path) -> None:
    warehouse = warehouse_in(tmp_path / "home", **STALENESS)
    update(warehouse, fill_days)
    days = pl.DataFrame(
        [(name, DAYS[0], "a") for name in ("me", "Ann")], schema=GaugeDays.polars_schema(), orient="row"
    )

    def add_ann(transaction) -> None:
        transaction.replace(GaugeDays, days)
        transaction.record_day_versions(DailyLevels, DAYS[0], DAYS[-1])

    update(warehouse, add_ann)
    reader = open_mirror(warehouse.mirror, warehouse.paths)
    assert set(reader.table("meta.day_versions")["listener"]) == {"me", "Ann"}
    rules = TableRules({}, lambda stored: {}, frozenset(), lambda transaction, paths: None)
    rewrite_without(warehouse, "Ann", rules, print)
    publish_alone(warehouse, published_at=now(), log=print)
    assert set(reader.table("meta.day_versions")["listener"]) == {"me"}
    lost = lose(warehouse)
    restored(warehouse)
    assert differences(lost, warehouse.paths.home) == []


def test_what_begins_anew_after_a_killed_restore_does_not_write_over_the_mirror(
    tmp_path: Path, s3_server: S3Server
) -> None:
    warehouse = bucket_warehouse(tmp_path / "home", s3_server)
    update(warehouse, fill_days)
    lose(warehouse)

    class Killed(BaseException):
        pass

    def kill(*_: object) -> RestoreReport:
        raise Killed

    with pytest.raises(Killed):
        restored(warehouse, tell=kill)
    assert not warehouse.exists()
    update(warehouse, fill)
    with connect(warehouse.paths.home) as connection:
        shown = connection.execute("SELECT count(*) FROM example.readings").fetchall()
    assert shown == [(182,)], "the file of the killed restore, of the same number, is not taken for this one"
    state = MirrorState.of(State(warehouse.paths.state_file))
    assert state is not None and "another lakehouse has written it" in state.failure


def kill_and_restore(home: Path, lost: Path, server: S3Server, kills: int, seed: int) -> int:
    """Kill so many restores and repeat each; returns how many had come to their end."""
    chance = random.Random(seed)
    warehouse = bucket_warehouse(home, server)
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    fields = {"address": ADDRESS, "endpoint_url": server.endpoint_url}
    ended = 0
    for _ in range(kills):
        working = processes.event()
        process = processes.start(processes.restore_home, home, fields, STALENESS, environment, working)
        assert working.wait(60)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.join(10)
        if warehouse.exists():
            ended += 1
        else:
            restored(warehouse)
        assert differences(lost, home) == []
        with run_session(warehouse, purpose="nothing") as session:
            session.begin()
        assert session.publication is None and session.mirror_report is None
        shutil.rmtree(home)
    return ended


def test_a_killed_restore_leaves_no_lakehouse_or_a_whole_one(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = bucket_warehouse(tmp_path / "home", s3_server)
    update(warehouse, fill, fill_days)
    lost = lose(warehouse)
    kill_and_restore(tmp_path / "home", lost, s3_server, KILLS, seed=5)


@pytest.mark.soak
def test_killed_restores(
    tmp_path: Path, s3_server: S3Server, soak_share: float, tell_figure: Callable[[str, str], None]
) -> None:
    warehouse = bucket_warehouse(tmp_path / "home", s3_server)
    update(warehouse, fill, fill_days)
    lost = lose(warehouse)
    kills = max(1, round(SOAKED_KILLS * soak_share))
    ended = kill_and_restore(tmp_path / "home", lost, s3_server, kills, seed=6)
    tell_figure("restores killed, lost or half done", f"{kills} killed ({ended} after their end), 0 lost, 0 half done")


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path) -> None:
    source = warehouse_in(tmp_path / "source")
    update(source, fill)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        warehouse = warehouse_in(small / "home")
        with pytest.raises(RestoreFailed, match=r"could not be restored.*Nothing was left behind"):
            restored(warehouse, source, is_own=False)
        _is_empty(warehouse)
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        restored(warehouse, source, is_own=False)
        assert differences(source.paths.home, warehouse.paths.home) == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_mirror_that_is_written_meanwhile_is_read_from_its_next_version(tmp_path: Path, s3_server: S3Server) -> None:
    warehouse = bucket_warehouse(tmp_path / "home", s3_server)
    update(warehouse, fill)
    has_changed = []

    def change(method: str, path: str, number: int) -> str:
        if method == "GET" and "month=2024-02" in path and not has_changed:
            has_changed.append(path)
            update(warehouse, new_day)
        return ""

    with proxy_to(s3_server.endpoint_url) as proxy:
        proxy.fault = change
        other = warehouse_in(tmp_path / "other", **STALENESS)
        source = open_source(MirrorConfiguration(address=ADDRESS, endpoint_url=proxy.endpoint_url))
        report = restore(other, RestoreOrigin("the mirror", source, is_own=False), now=now, log=print)
    assert has_changed and report.snapshot_sequence == 2
    assert differences(warehouse.paths.home, other.paths.home) == []
