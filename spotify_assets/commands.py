"""What the commands do, without a word to the terminal: `console` shows it, `cli` joins the two."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from spotify_assets import progress
from spotify_assets.automation import purging
from spotify_assets.automation.jobs import IMPORT_PURPOSE, REPLAY_PURPOSE
from spotify_assets.automation.purging import PurgePlan, PurgeReport
from spotify_assets.automation.restored import report_restored
from spotify_assets.automation.runs import Outcome, build_everything
from spotify_assets.clock import Clock
from spotify_assets.definitions import build_definitions, build_warehouse
from spotify_assets.instance import open_instance, prepare_home
from spotify_assets.lakehouse import Manifest, UnknownTable, restoring, scan_table
from spotify_assets.lakehouse.restoring import RestoreReport
from spotify_assets.listeners import Household
from spotify_assets.schemas import clean, tables
from spotify_assets.service import dagster_command
from spotify_assets.settings import Settings
from spotify_assets.spotify.sign_in_secret import forget_sign_in
from spotify_assets.state import State

if TYPE_CHECKING:
    from spotify_assets.lakehouse.mirror_downloading import DownloadReport
    from spotify_assets.lakehouse.mirror_verification import MirrorVerification, SyncReport

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Finished:
    """What a command's runs did.

    Attributes:
        outcome: The runs.
        report: Metadata of the import (`ImportReport.metadata`) or replay (`ReplayReport.metadata`), as plain values.
        failure: Why a run failed, for a person; empty when none did.
    """

    outcome: Outcome
    report: dict[str, Any] = field(default_factory=dict)
    failure: str = ""

    @property
    def problems(self) -> list[dict[str, Any]]:
        return self.report.get("problems", [])

    @property
    def has_damage(self) -> bool:
        return any(problem["is_damage"] for problem in self.problems)


def import_paths(settings: Settings, paths: Sequence[Path], *, clock: Clock | None = None) -> Finished:
    """Import exports and build what became stale.

    Args:
        settings: Of the home.
        paths: Zips, folders or files.
        clock: Tells the time; the machine's by default.

    Raises:
        HouseholdError: listeners.toml cannot be used, or does not name the listener.
    """
    Household.of(settings).check(settings.listener)
    absolute = [str(path.expanduser().absolute()) for path in paths]
    return build(settings, {"paths": absolute, "listener": settings.listener}, purpose=IMPORT_PURPOSE, clock=clock)


def forget(settings: Settings, import_id: int, *, clock: Clock | None = None) -> Finished:
    """Take an import back and build what became stale; `clock` as in `import_paths`."""
    return build(settings, {"forget_import_id": import_id}, purpose=f"imports forget {import_id}", clock=clock)


def replay_files(settings: Settings, paths: Sequence[Path]) -> Finished:
    """Take in recorded responses of Spotify and build what became stale; nothing is asked of anybody.

    Raises:
        HouseholdError: listeners.toml cannot be used.
    """
    absolute = [str(path.expanduser().absolute()) for path in paths]
    return build(settings, {}, purpose=REPLAY_PURPOSE, replay_config={"paths": absolute})


def build(
    settings: Settings,
    import_config: dict[str, Any],
    *,
    purpose: str,
    clock: Clock | None = None,
    replay_config: dict[str, Any] | None = None,
    asking_job: str = "",
    tags: Mapping[str, str] | None = None,
    rebuilt_from: date | None = None,
) -> Finished:
    """Run `automation.runs.build_everything` on a home, whose arguments these are; `clock` as in `import_paths`."""
    resources = {"clock": clock} if clock else {}
    with open_instance(settings) as instance:
        settings.remember_timezone()
        outcome = build_everything(
            lambda: build_definitions(settings, resource_overrides=resources),
            instance,
            build_warehouse(settings),
            State(settings.paths.state_file),
            import_config=import_config,
            replay_config=replay_config,
            asking_job=asking_job,
            run_config=_QUIET,
            purpose=purpose,
            tags=tags,
            rebuilt_from=rebuilt_from,
        )
    asset = ["raw", "streaming_history"] if import_config else ["raw", "api_responses"]
    return Finished(outcome, _report(outcome, asset), _failure(outcome))


def run_job(settings: Settings, job_name: str) -> Finished:
    """Run one of the home's jobs as it is."""
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def(job_name)
        outcome = Outcome([job.execute_in_process(_QUIET, instance=instance, raise_on_error=False)])
    return Finished(outcome, {}, _failure(outcome))


def _report(outcome: Outcome, asset: list[str]) -> dict[str, Any]:
    for result in outcome.results:
        for event in result.get_asset_materialization_events():
            if event.asset_key and event.asset_key.path == asset:
                metadata = event.materialization.metadata
                return {name: getattr(value, "data", getattr(value, "value", None)) for name, value in metadata.items()}
    return {}


def _failure(outcome: Outcome) -> str:
    for result in outcome.results:
        if result.success:
            continue
        for event in result.all_events:
            if event.is_step_failure:
                return _reason(event)
        return f"Run {result.run_id} failed."
    return ""


def _reason(event: Any) -> str:
    """The words of the innermost error; a traceback stays in the run's log."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error.cause is not None:
        error = error.cause
    return error.message.strip()


def restore(
    settings: Settings, *, source: str | None = None, at: str | None = None, clock: Clock | None = None
) -> RestoreReport:
    """Rebuild a home's lakehouse from its mirror.

    Args:
        settings: Of the home, which has no lakehouse.
        source: `s3://bucket/prefix`, or a folder; the settings' mirror by default.
        at: An older version of the mirror; the newest by default.
        clock: Tells the time; the machine's by default.

    Raises:
        RestoreRefused: The home has a lakehouse already, or there is no such mirror or version.
        RestoreFailed: Something cannot be read or written; the home has no lakehouse, as before.
        MirrorError: The mirror cannot be used; the text says why.
    """

    def tell(report: RestoreReport, manifest: Manifest) -> RestoreReport:
        remarks = list(report.remarks)
        try:
            with open_instance(settings) as instance:
                report_restored(instance, build_definitions(settings), build_warehouse(settings), report, manifest)
        except Exception as error:
            # The history is not worth a lakehouse.
            remarks.append(f"The Dagster UI does not show what was restored until it is built anew: {error}")
        for name, told in report.settings_told.items():
            if (present := settings.ruling.get(name)) is not None and present != told:
                remarks.append(
                    f"SPOTIFY_ASSETS_{name.upper()} was {told} in the lost lakehouse and is {present} now; the next "
                    "run builds anew what depends on it."
                )
        known_until, listeners = _told_by_plays(settings)
        if listeners and settings.listener not in listeners and not Household.of(settings).listeners:
            remarks.append(
                f"The plays are those of {', '.join(listeners)}; what comes in now would be kept as those of "
                f"{settings.listener}. Set SPOTIFY_ASSETS_LISTENER to the name they have."
            )
        return replace(report, known_until=known_until, remarks=tuple(remarks))

    return restoring.restore(
        build_warehouse(settings),
        restoring.origin_of(settings, source),
        at=at,
        now=(clock or Clock()).now,
        log=progress.report,
        tell=tell,
    )


def _told_by_plays(settings: Settings) -> tuple[datetime | None, list[str]]:
    """When the newest play ended (UTC), and whose plays there are."""
    with suppress(UnknownTable):
        plays = scan_table(settings.home, clean.Plays.qualified_name()).select("listener", "ended_at")
        newest = plays.group_by("listener").agg(pl.col("ended_at").max()).sort("listener").collect()
        return newest["ended_at"].max(), newest["listener"].to_list()
    return None, []


def spotify_offer(settings: Settings, listener: str) -> str:
    """What Spotify offers to the app of a home, in words; asked where that is not known, with ten requests at most.

    Args:
        settings: Of the home.
        listener: Whose sign-in to ask with; empty for the app's own token.
    """
    from spotify_assets.spotify.errors import SpotifyError
    from spotify_assets.spotify.sign_in import signed_in_client

    client = signed_in_client(settings, now=Clock().now, sleep=time.sleep)
    assert client is not None, "somebody has just signed in"
    try:
        return client.capabilities(listener).text
    except SpotifyError as error:
        return f"What Spotify offers to this app could not be asked just now; runs find out. {error}"


def is_port_free(port: int) -> bool:
    """Whether a server may listen on a port of 127.0.0.1: Dagster would wait for it without a word."""
    with socket.socket() as probe:
        # As servers do: connections that have ended a moment ago are none.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def serve_ui(settings: Settings, port: int) -> int:
    """Run the Dagster UI and daemon on 127.0.0.1 until they are stopped; returns their exit code."""
    paths = prepare_home(settings)
    with open_instance(settings):
        pass
    command = dagster_command(paths, port)
    with subprocess.Popen(command, cwd=paths.home, env=settings.process_environment()) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has told Dagster too.
            process.wait()
            return 0
        except SystemExit:
            # Killed, it would leave its own children: web server, daemon and code servers.
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


def plan_purge(settings: Settings, listener: str) -> PurgePlan:
    """What `purge_listener` would remove.

    Raises:
        PurgeRefused: Nothing is known of that listener.
    """
    warehouse = build_warehouse(settings)
    plan = purging.plan_purge(settings.paths, warehouse, listener, default_listener=settings.listener)
    if plan.is_empty:
        known = ", ".join(purging.known_listeners(settings.paths, warehouse)) or "nobody"
        raise purging.PurgeRefused(
            f"{settings.home} knows nothing of a listener {listener}. Nothing was removed. Known are: {known}."
        )
    return plan


def purge_listener(settings: Settings, listener: str) -> PurgeReport:
    """Remove a person from the home, see `automation.purging`, and from the secret with the sign-ins."""
    # First: a task elsewhere would fetch it from there and ask for the person's plays again.
    forget_sign_in(settings, listener)
    return purging.purge(
        settings.paths,
        build_warehouse(settings),
        listener,
        default_listener=settings.listener,
        now=Clock().now(),
    )


def verify_home_mirror(settings: Settings, names: Sequence[str] = (), *, is_quick: bool = False) -> MirrorVerification:
    """Compare a home's mirror with its published file; the arguments and errors of `verify_mirror`."""
    from spotify_assets.lakehouse.mirror_verification import verify_mirror

    warehouse = build_warehouse(settings)
    return verify_mirror(
        warehouse.paths, warehouse.mirror, names=names, is_quick=is_quick, memory_limit=warehouse.memory_limit
    )


def sync_home_mirror(settings: Settings, *, is_quick: bool = False, log: Callable[[str], None]) -> SyncReport:
    """Bring a home's mirror up to date and repair it, see `sync_mirror`; the Dagster UI shows what came of it."""
    from spotify_assets.lakehouse.mirror_events import mirror_asset_specs, report_verification
    from spotify_assets.lakehouse.mirror_verification import sync_mirror

    warehouse = build_warehouse(settings)
    with open_instance(settings) as instance:
        report = sync_mirror(warehouse, is_quick=is_quick, log=log, clock=Clock().now, instance=instance)
        keys = [spec.key for spec in mirror_asset_specs(tables(), warehouse.paths, warehouse.mirror)]
        report_verification(instance, keys, report.after)
    return report


def download_home_mirror(
    settings: Settings, folder: Path, *, at: str = "", copies_only: bool = False
) -> DownloadReport:
    """Bring a version of a home's mirror into a folder; the arguments and errors of `download_mirror`."""
    from spotify_assets.lakehouse.mirror_downloading import download_mirror
    from spotify_assets.lakehouse.mirror_reading import open_mirror

    warehouse = build_warehouse(settings)
    reader = open_mirror(warehouse.mirror, warehouse.paths)
    return download_mirror(reader, folder, at=at, copies_only=copies_only, home=settings.home)
