"""The home's Dagster instance: made on first use, telemetry off, shared by the command line and the UI."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from spotify_assets.settings import HomePaths, Settings
from spotify_assets.state import State

# As the project's own workspace.yaml: an installed package has none, and `--module-name` gives another location name.
_WORKSPACE = """\
load_from:
  - python_module:
      module_name: spotify_assets.definitions
      location_name: spotify_assets
"""

_MARK = "# Newer versions of spotify-assets renew this file unless you edit it. What follows was written with sha256"

# Those that were written before the files bore the mark. None is ever added: a file with the mark tells by itself.
_UNMARKED_CONFIGURATIONS = frozenset(
    {
        "c88b3100a267b56300f2eea655e184fdc535b9507b166387bb72b5af2af8d52d",
        "05b605ee56dd043515dca41d85ea272e92d9f1192187c7497bdd6df26c7740ec",
        "6cb7ac576b77f646ea5258318a6996c93712d7e50afdd26c36b094a7a944a049",
        "da197a334dc7328f9915a726adc515992984e9364288c87c7b170da98124a903",
        "7166454e889a34f7418fbbd5db95c326a0c3c0db8bb4fb8799ca9f9ac053d0d7",
        "1079071ee336002ab2d8e3ca0ca627e35629432a0b1c3f6ae7951515c5ea4dba",
        "3cca65f449ac7ea21f533f36485ad9eed744d702f490696138d0473f7b3f5c72",
    }
)

PROCESS_TAG = "spotify_assets/process"
"""Tag of a run: the process that executes it, as it stands in `state.sqlite`. A run's own entry there begins only when
its resources are made, and a process may be killed before."""


class HomeNotWritable(Exception):
    """The home folder cannot be written to; the message says where it is and what to do."""


def prepare_home(settings: Settings) -> HomePaths:
    """Make the home folder and the configuration of its Dagster instance; nothing of a person's is touched.

    A dagster.yaml that another version of ours wrote is renewed, one that was edited stays as it is.

    Raises:
        HomeNotWritable: The folder cannot be made or written to.
    """
    paths = settings.paths
    try:
        for folder in (paths.home, paths.dagster_folder, paths.inbox_folder(settings.listener)):
            folder.mkdir(parents=True, exist_ok=True)
        _renew_configuration(paths.dagster_configuration)
        paths.dagster_workspace.write_text(_WORKSPACE)
        probe = paths.home / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HomeNotWritable(
            f"The home folder {paths.home} cannot be written to ({error.strerror or error}). Nothing was changed. "
            "Make it writable, or name another one with --home or SPOTIFY_ASSETS_HOME."
        ) from error
    return paths


def is_configuration_outdated(paths: HomePaths) -> bool:
    """Whether the home's dagster.yaml was edited and is not that of this version, so that it misses what is new."""
    try:
        written = paths.dagster_configuration.read_bytes()
    except FileNotFoundError:
        return False
    return not _is_as_written(written) and _first_line(written) != _first_line(_shipped_configuration())


def outdated_configuration_hint(paths: HomePaths) -> str:
    """What a person is told who edited a dagster.yaml that is outdated by now."""
    return (
        f"{paths.dagster_configuration} was edited and is kept as it is; it misses what this version would write. To "
        "get that too, move the file away: the next start writes a new one, in which you can make your changes again."
    )


def _renew_configuration(file: Path) -> None:
    shipped = _shipped_configuration()
    if file.exists():
        written = file.read_bytes()
        if written == shipped or not _is_as_written(written):
            return
    # A process that reads the file meanwhile, and one that is killed here, find one version or the other.
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as new:
            new.write(shipped)
            new.flush()
            os.fsync(new.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _shipped_configuration() -> bytes:
    text = resources.files("spotify_assets").joinpath("dagster.yaml").read_bytes()
    return _mark_of(text) + text


def _mark_of(text: bytes) -> bytes:
    return f"{_MARK} {hashlib.sha256(text).hexdigest()}.\n".encode()


def _first_line(text: bytes) -> bytes:
    return text.partition(b"\n")[0]


def _is_as_written(written: bytes) -> bool:
    """Whether some version of ours wrote the file, and nobody has edited it since."""
    mark, end_of_line, text = written.partition(b"\n")
    is_marked = mark + end_of_line == _mark_of(text)
    return is_marked or hashlib.sha256(written).hexdigest() in _UNMARKED_CONFIGURATIONS


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The home's instance. Runs whose process died are reported as failed first; shared sign-ins are fetched.

    Raises:
        HomeNotWritable: The home folder cannot be written to.
        TokensNotKept: The settings name a secret with sign-ins, and it cannot be used.
        WrongUse: The settings hold a sign-in that is none.
    """
    # Not at the top: it loads what writes to databases, which a command that opens no instance need not wait for.
    from spotify_assets.lakehouse.event_log import have_events_collected

    paths = prepare_home(settings)
    if settings.sign_in_secret:
        from spotify_assets.spotify.sign_in_secret import fetch_sign_ins

        fetch_sign_ins(settings)
    if settings.sign_in.get_secret_value():
        from spotify_assets.spotify.sign_in_setting import take_sign_ins

        take_sign_ins(settings)
    have_events_collected()
    instance = dg.DagsterInstance.from_config(str(paths.dagster_folder))
    report_dead_runs(instance, State(paths.state_file))
    return instance


def report_dead_runs(instance: dg.DagsterInstance, state: State) -> list[str]:
    """Report runs as failed whose process is gone: Dagster's default launcher never notices a killed one."""
    reported = []
    for dead in state.dead_runs():
        run = instance.get_run_by_id(dead.run_id)
        reported += _report(instance, [run] if run and not run.is_finished else [])
        reported += report_unfinished_runs(instance, dead.run_id)
        state.unregister_run(dead.run_id)
        dead.lock_file.unlink(missing_ok=True)
    return reported


def report_unfinished_runs(instance: dg.DagsterInstance, process_id: str) -> list[str]:
    """Report the runs as failed that a process, now gone, has started and not finished; returns their ids."""
    filters = dg.RunsFilter(tags={PROCESS_TAG: process_id}, statuses=NOT_FINISHED_STATUSES)
    return _report(instance, instance.get_runs(filters))


def _report(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> list[str]:
    for run in runs:
        instance.report_run_failed(
            run,
            "The process of this run ended without a word (killed, a full disk, or the machine went down). What it "
            "had committed is kept; run it again to build the rest.",
        )
    return [run.run_id for run in runs]
