"""`spotify-assets restore` on whole homes: after histories by chance, and what goes on afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_assets.automation.runs import build_everything
from spotify_assets.commands import import_paths, restore
from spotify_assets.definitions import build_definitions, build_warehouse
from spotify_assets.demo import DemoPackages
from spotify_assets.instance import open_instance
from spotify_assets.lakehouse import run_session
from spotify_assets.lakehouse.mirror_events import MANIFEST_ASSET, UP_TO_DATE_CHECK
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.settings import HomePaths, Settings
from spotify_assets.state import BUILT_FROM, State
from spotify_assets_tests.conftest import DEMO_LAST_DAY, DEMO_ZONE, settings_of
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.s3_servers import S3Server
from spotify_assets_tests.lakehouse.stored_rows import differences
from spotify_assets_tests.living_home import Heard, LivingHome, write_export
from spotify_assets_tests.spotify.payloads import minutes, play, poll, track
from spotify_assets_tests.test_replay import record

NOW = datetime(2021, 3, 9, 12, tzinfo=UTC)
ZONES = {"me": "Europe/Berlin; 2021-03-05 America/New_York", "Ann": "Pacific/Auckland"}
OF_THE_MOMENT = {"meta.published": ("published_at",)}
"""When a file was published is the one thing in which two homes with one history differ."""


def lose(home: Path, *, mirror: Path | None = None) -> Path:
    """Keep what was lost aside, and leave nothing, or the mirror that is a part of the home."""
    lost = home.with_name(f"{home.name}-lost-{time.monotonic_ns()}")
    shutil.copytree(home, lost, symlinks=True)
    shutil.rmtree(home)
    if mirror:
        shutil.copytree(lost / mirror.relative_to(home), mirror, symlinks=True)
    return lost


def known_by_sensors(home: Path) -> dict[str, Any]:
    """What sensors, schedules and `status` read."""
    state = State(HomePaths(home).state_file)
    published = state.published()
    assert published is not None
    return {
        "first_day": state.first_day(),
        "stale_days": state.stale_days(),
        "published": (published.sequence, published.tables),
        "built_from": state.note(BUILT_FROM),
    }


def test_a_demo_home_comes_back_whole_and_dagster_shows_it(
    copy_of_demo_home: Path, demo_packages: DemoPackages
) -> None:
    here = settings_of(copy_of_demo_home)
    with open_instance(here) as instance:
        before = _materialized(instance, here)
    lost = lose(here.home, mirror=here.paths.mirror_folder)
    report = restore(Settings(home=here.home, listener="demo"))
    assert differences(lost, here.home) == []
    assert known_by_sensors(here.home) == known_by_sensors(lost)
    assert here.paths.timezone_file.read_text().strip() == DEMO_ZONE
    assert report.known_until is not None and report.known_until.date() == DEMO_LAST_DAY
    with open_instance(here) as instance:
        assert _materialized(instance, here) == before
        shown = instance.get_latest_materialization_event(dg.AssetKey(["mirror", "clean", "plays"]))
        assert shown is not None and shown.asset_materialization is not None
        assert shown.asset_materialization.metadata["uploaded"].value == 0
        check = dg.AssetCheckKey(MANIFEST_ASSET, UP_TO_DATE_CHECK)
        (record_of_check,) = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
        assert record_of_check.status.value == "SUCCEEDED"
    known = import_paths(here, [demo_packages.paths[-1]])
    assert not known.failure and known.report["rows_new"] == 0 and known.outcome.built_days == 0


def _materialized(instance: dg.DagsterInstance, here: Settings) -> dict[str, set[str]]:
    """Partitions of each asset of which Dagster knows rows; an asset without partitions has the one of no name."""
    graph = build_definitions(here).resolve_asset_graph()
    known = {}
    for key in graph.materializable_asset_keys:
        if graph.get(key).partitions_def:
            known[key.to_user_string()] = instance.get_materialized_partitions(key)
        elif instance.get_latest_materialization_event(key):
            known[key.to_user_string()] = {""}
    # Of tables that nothing was asked for, runs tell too: there is no file of them in the mirror.
    return {name: keys for name, keys in known.items() if name.split("/")[0] != "raw"}


def test_the_command_restores_tells_how_old_it_is_and_refuses_a_second_time(
    copy_of_demo_home: Path, tmp_path: Path
) -> None:
    mirror = copy_of_demo_home / "mirror"

    def run(*arguments: str) -> tuple[int, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SPOTIFY_ASSETS_")}
        command = [Path(sys.executable).with_name("spotify-assets"), "restore", *arguments]
        environment |= {"SPOTIFY_ASSETS_SESSION_GAP_MINUTES": "45", "COLUMNS": "200"}
        answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
        return answer.returncode, answer.stdout + answer.stderr

    home = tmp_path / "new"
    code, told = run("--home", str(home), "--from", str(mirror))
    assert code == 0, told
    for words in (
        f"Restored from {mirror}: snapshot",
        "what came later is not in it",
        f"Plays are known until {DEMO_LAST_DAY}",
        f"this home is mirrored to {home}/mirror",
        "SPOTIFY_ASSETS_SESSION_GAP_MINUTES was 30 in the lost lakehouse and is 45 now",
        "The plays are those of demo; what comes in now would be kept as those of me",
        "run spotify-assets login again",
    ):
        assert words in told
    assert not (home / "tokens").exists()
    code, told = run("--home", str(home), "--from", str(mirror))
    assert code == 1 and "has a lakehouse already" in told and "Traceback" not in told


@pytest.mark.long
def test_a_home_that_is_mirrored_to_a_bucket_goes_on_with_that_mirror(
    copy_of_demo_home: Path, s3_server: S3Server
) -> None:
    here = settings_of(copy_of_demo_home, mirror="s3://lake/demo", mirror_endpoint_url=s3_server.endpoint_url)
    with run_session(build_warehouse(here), purpose="the first mirror") as session:
        session.begin()
    lost = lose(here.home)
    report = restore(here)
    assert report.is_own_mirror and differences(lost, here.home) == []
    keys = s3_server.keys("demo/")
    before = s3_server.read("demo/manifest.json")
    with run_session(build_warehouse(here), purpose="nothing") as session:
        session.begin()
    assert session.publication is None and session.mirror_report is None
    state = MirrorState.of(State(here.paths.state_file))
    assert state is not None and not state.failure
    assert s3_server.keys("demo/") == keys and s3_server.read("demo/manifest.json") == before


instants = st.integers(0, 200).map(lambda hours: NOW - timedelta(hours=hours, minutes=7 * (hours % 5)))
heard = st.builds(
    Heard,
    ended_at=instants,
    ms_played=st.sampled_from([20_000, 180_000]),
    title=st.sampled_from(["One", "Two", "Three"]),
    artist=st.sampled_from(["Ann", "Bob"]),
)
plays = st.lists(heard, min_size=1, max_size=6, unique_by=lambda each: each.ended_at)
imports = st.tuples(st.just("import"), plays, st.sampled_from(["G1", "G3", "basic"]), st.sampled_from(["me", "Ann"]))
polls = st.tuples(st.just("poll"), st.lists(st.integers(0, 3000), min_size=1, max_size=5, unique=True))
forgets = st.tuples(st.just("forget"), st.integers(0, 3))
kills = st.tuples(st.just("kill"), plays, st.floats(0, 1.5))


@dataclass
class History:
    """Two homes that are to live through the same, once the first has been lost."""

    folder: Path
    instance: dg.DagsterInstance
    steps: int = 0

    def home(self, name: str) -> LivingHome:
        return LivingHome(self.folder / name, self.instance, ZONES, now=NOW, bi_copies="parquet")

    def files(self, step: tuple[Any, ...]) -> Path:
        """The export or recording of a step."""
        self.steps += 1
        if step[0] == "poll":
            told = [play(track(f"t{minute}"), minutes(minute)) for minute in sorted(step[1], reverse=True)]
            return record(self.folder / f"{self.steps}.jsonl", [poll(told, minutes(3001))])
        generation = step[2] if step[0] == "import" else "G3"
        return write_export(self.folder / f"{self.steps}.zip", step[1], generation)

    def take(self, step: tuple[Any, ...], *names: str) -> None:
        """Let a step happen to some homes."""
        file = self.files(step) if step[0] != "forget" else None
        for name in names:
            home = self.home(name)
            if step[0] == "kill":
                home.definitions()
                _kill_import(home, file, seconds=step[2])
                self._build(home)
            elif step[0] == "poll":
                self._build(home, replay_config={"paths": [str(file)]})
            elif step[0] == "import":
                outcome = home.build(paths=[str(file)], listener=step[3])
                assert outcome.is_success
            else:
                numbers = home.table("raw.imports")["import_id"].sort().to_list() if home.warehouse.exists() else []
                if numbers:
                    home.build(forget_import_id=numbers[step[1] % len(numbers)])

    def _build(self, home: LivingHome, **named: Any) -> None:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        state = State(home.settings.paths.state_file)
        outcome = build_everything(
            home.definitions, self.instance, home.warehouse, state, import_config={}, run_config=quiet, **named
        )
        assert outcome.is_success


def _kill_import(home: LivingHome, export: Path, seconds: float) -> None:
    working = processes.event()
    process = processes.start(processes.import_exports, home.folder, [export], working, timezone=home.timezone)
    assert working.wait(60)
    time.sleep(seconds)
    process.kill()
    process.join(10)


def live_and_restore(history: list[tuple[Any, ...]], afterwards: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        lived = History(Path(folder), instance)
        for step in history:
            lived.take(step, "home")
        home = lived.home("home")
        lost = lose(home.folder, mirror=home.settings.paths.mirror_folder)
        restore(home.settings)
        assert differences(lost, home.folder) == []
        assert known_by_sensors(home.folder) == known_by_sensors(lost)
        for step in afterwards:
            lived.take(step, "home", lost.name)
            assert differences(lost, home.folder, ignored=OF_THE_MOMENT) == []
            assert known_by_sensors(home.folder) == known_by_sensors(lost)


AN_EVENING = [Heard(NOW - timedelta(days=3, minutes=5 * number)) for number in range(12)]


def test_what_is_restored_equals_what_was_lost_after_an_import_a_poll_and_a_kill_and_goes_on_alike() -> None:
    live_and_restore(
        [("import", AN_EVENING[:8], "G1", "me"), ("kill", AN_EVENING[2:], 0.4), ("poll", [5, 1440])],
        [("import", AN_EVENING, "G3", "Ann")],
    )


@pytest.mark.soak
def test_many_histories_with_kills(soak_share: float, tell_figure: Callable[[str, str], None]) -> None:
    # A history of nothing publishes nothing.
    first = ("import", [Heard(NOW - timedelta(days=8))], "G3", "me")
    examples = max(1, round(60 * soak_share))

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        history=st.lists(st.one_of(imports, polls, forgets, kills), min_size=2, max_size=5),
        afterwards=st.lists(st.one_of(imports, polls, forgets), min_size=1, max_size=2),
    )
    def check(history: list[tuple[Any, ...]], afterwards: list[tuple[Any, ...]]) -> None:
        live_and_restore([first, *history], afterwards)

    check()
    tell_figure("histories restored, different from the lost home", f"{examples} restored, 0 different")
