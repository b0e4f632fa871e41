"""The home's Dagster instance: made on first use, telemetry off, shared by the command line and the UI."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

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


PROCESS_TAG = "spotify_assets/process"
"""Tag of a run: the process that executes it, as it stands in `state.sqlite`. A run's own entry there begins only when
its resources are made, and a process may be killed before."""


class HomeNotWritable(Exception):
    """The home folder cannot be written to; the message says where it is and what to do."""


def prepare_home(settings: Settings) -> HomePaths:
    """Make the home folder and the configuration of its Dagster instance; nothing that exists is touched.

    Raises:
        HomeNotWritable: The folder cannot be made or written to.
    """
    paths = settings.paths
    try:
        for folder in (paths.home, paths.dagster_folder, paths.inbox_folder(settings.listener)):
            folder.mkdir(parents=True, exist_ok=True)
        if not paths.dagster_configuration.exists():
            shipped = resources.files("spotify_assets").joinpath("dagster.yaml")
            paths.dagster_configuration.write_text(shipped.read_text())
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


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The home's instance. Runs whose process died are reported as failed first."""
    # Not at the top: it loads what writes to databases, which a command that opens no instance need not wait for.
    from spotify_assets.lakehouse.event_log import have_events_collected

    paths = prepare_home(settings)
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
