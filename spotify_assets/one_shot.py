"""Everything that is due, done once: what schedules, sensors and a mirror do for a home, for machines without a daemon.

`run_once` takes the lock of the mirror, begins with the newest lakehouse there is (the home's or the mirror's), takes
in what lies in the inboxes, asks Spotify, builds, mirrors, and tells what needs a person.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spotify_assets import commands, progress
from spotify_assets.assets.raw.asking import ANSWERED_CHECK
from spotify_assets.automation.due import due_jobs, is_building_due
from spotify_assets.automation.inbox import INBOX_TAG, fault_of_zip, look_into
from spotify_assets.automation.jobs import ASKING_JOBS, GLUE_JOB, IMPORT_PURPOSE, NIGHTLY_JOB, POLLED
from spotify_assets.automation.live import reason_not_to_ask
from spotify_assets.automation.run_history import prune_run_history
from spotify_assets.clock import Clock
from spotify_assets.commands import Finished
from spotify_assets.definitions import build_warehouse
from spotify_assets.instance import open_instance, prepare_home
from spotify_assets.lakehouse import FileLock, MirrorError, published_sequence, run_session
from spotify_assets.lakehouse.handing_over import Succession, lakehouse_set_aside, succession
from spotify_assets.lakehouse.mirror_inbox import DAMAGED, DONE, Dropped, Inbox, inbox_of, put_away, waiting_zips
from spotify_assets.lakehouse.mirror_lock import MirrorLock, mirror_lock
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.listeners import Household, HouseholdError
from spotify_assets.settings import Settings
from spotify_assets.spotify.credentials import CredentialsUnusable, credentials_of
from spotify_assets.spotify.sign_in_setting import outdated_sign_ins
from spotify_assets.spotify.token_folder import Standing, TokenFolder, sign_in_state
from spotify_assets.state import State

if TYPE_CHECKING:
    from spotify_assets.lakehouse.restoring import RestoreReport

PURPOSE = "run"

_INBOX_NOTE = "inbox of one-shot runs"
_SETTLES_WITHIN_SECONDS = 1.0
"""Between two looks that tell whether a file is still being copied into the inbox."""

_MAY_BE_UNFINISHED = timedelta(minutes=10)
"""A zip in a folder that is not whole may still be on its way; in a bucket every object is."""


@dataclass(frozen=True)
class TakenIn:
    """An export that was taken in.

    Attributes:
        listener: Whose.
        name: Of the file.
        rows_new: Rows that nothing had told before.
    """

    listener: str
    name: str
    rows_new: int


@dataclass
class RunReport:
    """What a run did.

    Attributes:
        restored: What was restored from the mirror before anything else; None when the home had the newest lakehouse.
        taken_in: Exports from the inboxes.
        asked: By job that asked: whether anything came that had to be built.
        built_days: Days that were built.
        is_night: Whether what nights do was due and done.
        notes: Sentences for a person, about nothing that has to be done.
        needs: Sentences about what needs a person.
        failures: Why a run failed, for a person.
    """

    restored: RestoreReport | None = None
    taken_in: list[TakenIn] = field(default_factory=list)
    asked: dict[str, bool] = field(default_factory=dict)
    built_days: int = 0
    is_night: bool = False
    notes: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def run_once(settings: Settings, *, since: date | None = None, clock: Clock | None = None) -> RunReport:
    """Do all that is due on a home, once.

    Args:
        settings: Of the home.
        since: Days from this one on are built anew although they are not stale.
        clock: Tells the time; the machine's by default.

    Raises:
        MirrorLocked: Another run is at work on the same mirror.
        MirrorLockLost: Another run took the lock over meanwhile; what was committed is kept.
        LockTimeout: Another run is at work on the same home.
        MirrorDiverged: Both home and mirror have what the other has not.
        LakehouseError: There is no lakehouse here and none can be had from the mirror, or it cannot be published.
        HouseholdError: listeners.toml cannot be used.
        HomeNotWritable: The home folder cannot be written to.
    """
    return _Run(settings, since, clock).execute()


class _Run:
    def __init__(self, settings: Settings, since: date | None, clock: Clock | None) -> None:
        self._settings = settings
        self._since = since
        self._clock = clock or Clock()
        self._given_clock = clock
        self._paths = settings.paths
        self._warehouse = build_warehouse(settings)
        self._state = State(settings.paths.state_file)
        self._lock: MirrorLock | None = None
        self._report = RunReport()

    def execute(self) -> RunReport:
        prepare_home(self._settings)
        with ExitStack() as stack:
            # Held from here to the end: between two of its parts no other run of this home may begin.
            stack.enter_context(
                FileLock(self._paths.run_lock_file).held(self._settings.lock_timeout_seconds, purpose=PURPOSE)
            )
            self._take_lock(stack)
            self._begin_with_the_newest()
            self._household = Household.of(self._settings)
            self._empty_the_inbox_of_the_mirror()
            self._empty_the_inbox_of_the_home()
            self._ask_and_build()
            self._look_at_sign_ins()
            self._look_at_the_mirror()
        return self._report

    def _take_lock(self, stack: ExitStack) -> None:
        lock = mirror_lock(
            self._paths,
            self._warehouse.mirror,
            purpose=PURPOSE,
            lease_seconds=self._settings.mirror_lock_seconds,
            now=self._clock.now,
            log=self._report.notes.append,
        )
        try:
            self._lock = stack.enter_context(lock)
        except MirrorError as error:
            if not self._warehouse.exists():
                raise MirrorError(
                    f"There is no lakehouse in {self._paths.home}, and the mirror from which it could be restored "
                    f"cannot be used: {str(error).rstrip('.')}. Nothing was done."
                ) from error
            # What is played meanwhile would be lost: the home gathers it, and the mirror catches up.
            self._report.needs.append(
                f"The mirror cannot be used, so that nothing kept another machine from running too: "
                f"{str(error).rstrip('.')}."
            )

    def _begin_with_the_newest(self) -> None:
        if self._lock is None:
            return
        try:
            what = succession(self._warehouse)
        except MirrorError as error:
            if not self._warehouse.exists():
                raise
            # One that is damaged is written anew; for any other one the end of the run has the words.
            self._note(f"Whether another machine has run since could not be told: {str(error).rstrip('.')}.")
            return
        if what == Succession.OWN:
            return
        progress.report("Restoring from the mirror")
        if what == Succession.RESTORE:
            self._report.restored = commands.restore(self._settings, clock=self._given_clock)
            return
        self._report.notes.append("Another machine has run since this one did; this home was brought up to it.")
        with lakehouse_set_aside(self._paths):
            self._report.restored = commands.restore(self._settings, clock=self._given_clock)

    def _empty_the_inbox_of_the_mirror(self) -> None:
        if self._lock is None:
            return
        try:
            inbox = inbox_of(self._paths, self._warehouse.mirror)
            dropped, strange = waiting_zips(inbox)
            self._report.notes += strange
            for each in dropped:
                self._lock.check()
                self._take_in_from_the_mirror(inbox, each)
        except MirrorError as error:
            self._report.needs.append(f"The inbox of the mirror could not be emptied: {str(error).rstrip('.')}.")

    def _take_in_from_the_mirror(self, inbox: Inbox, dropped: Dropped) -> None:
        try:
            self._household.check(dropped.listener)
        except HouseholdError as error:
            self._report.needs.append(f"{dropped.key} stays where it is: {error}")
            return
        progress.report(f"Taking in {dropped.name}")
        self._paths.scratch_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="inbox-", dir=self._paths.scratch_folder) as folder:
            file = Path(folder) / dropped.name
            if not inbox.fetch(dropped.key, file):
                return
            if fault := fault_of_zip(file):
                if self._clock.now() - dropped.modified_at < _MAY_BE_UNFINISHED and not self._is_bucket:
                    self._report.notes.append(f"{dropped.key} is not whole yet; the next run looks again.")
                    return
                target = put_away(inbox, dropped, file, DAMAGED, fault)
                self._report.needs.append(f"{fault} It was set aside as {target}.")
                return
            finished = self._import(dropped.listener, [file])
            self._put_away(inbox, dropped, file, finished)

    def _put_away(self, inbox: Inbox, dropped: Dropped, file: Path, finished: Finished) -> None:
        problems = _problems(finished)
        is_stored = bool(finished.outcome.results) and finished.outcome.results[0].success
        if not is_stored or not finished.report.get("files") or finished.has_damage:
            note = finished.failure if not is_stored else problems or "There is nothing in it that could be read."
            target = put_away(inbox, dropped, file, DAMAGED, note)
            self._report.needs.append(
                f"{dropped.name} of {dropped.listener} was set aside as {target}: {note} Move it back to try it again."
            )
        elif not self._is_mirrored():
            # On a machine that is thrown away, what is only in its home is lost.
            self._report.notes.append(f"{dropped.key} stays in the inbox until the mirror holds what it told.")
        else:
            put_away(inbox, dropped, file, DONE)

    def _empty_the_inbox_of_the_home(self) -> None:
        memory: dict[str, Any] = json.loads(self._state.note(_INBOX_NOTE) or "{}")
        told_before = {entry.get("fault") for entry in memory.get("seen", {}).values()}
        has_waited = False
        while True:
            with open_instance(self._settings) as instance:
                look = look_into(self._paths.inbox, memory, instance, self._clock.now(), is_busy=False)
            self._state.set_note(_INBOX_NOTE, json.dumps(memory, sort_keys=True))
            if look.next is not None:
                self._check_lock()
                progress.report(f"Taking in {look.next.name}")
                finished = self._import(look.next.listener, list(look.next.paths), {INBOX_TAG: look.content})
                if finished.has_damage:
                    self._report.needs.append(f"{look.next.name} of {look.next.listener}: {_problems(finished)}")
            elif not has_waited and any(not entry.keys() & {"content", "fault"} for entry in memory["seen"].values()):
                has_waited = True
                time.sleep(_SETTLES_WITHIN_SECONDS)
            else:
                break
        faults = {entry.get("fault") for entry in memory["seen"].values()} - told_before
        for sentence in look.waiting:
            (self._report.needs if sentence in faults else self._report.notes).append(sentence)

    def _import(self, listener: str, paths: list[Path], tags: dict[str, str] | None = None) -> Finished:
        config = {"paths": [str(path) for path in paths], "listener": listener}
        finished = commands.build(self._settings, config, purpose=IMPORT_PURPOSE, clock=self._given_clock, tags=tags)
        self._take_note_of(finished)
        if finished.report.get("files"):
            self._report.taken_in.append(TakenIn(listener, paths[0].name, finished.report["rows_new"]))
        return finished

    def _ask_and_build(self) -> None:
        with self._session():
            for job_name in due_jobs(self._warehouse, self._clock.now()):
                if reason := reason_not_to_ask(self._settings, job_name, self._clock):
                    self._note(reason)
                    continue
                self._check_lock()
                progress.report(f"Asking Spotify: {job_name}")
                finished = commands.build(
                    self._settings, {}, purpose=job_name, clock=self._given_clock, asking_job=ASKING_JOBS[job_name]
                )
                self._report.asked[job_name] = len(finished.outcome.results) > 1
                self._take_note_of(finished)
            self._check_lock()
            now = self._clock.now()
            is_due = is_building_due(self._warehouse, self._state, self._household, now)
            if is_due or (self._since and self._warehouse.exists()):
                progress.report("Building what is due")
                self._take_note_of(
                    commands.build(
                        self._settings,
                        {},
                        purpose=NIGHTLY_JOB,
                        clock=self._given_clock,
                        rebuilt_from=self._since,
                    )
                )
                self._report.is_night = True
        if self._report.is_night:
            with open_instance(self._settings) as instance:
                prune_run_history(instance, self._clock.now() - timedelta(days=self._settings.run_history_days))
            if self._settings.glue_sync_nightly:
                self._take_note_of(commands.run_job(self._settings, GLUE_JOB))

    @contextmanager
    def _session(self) -> Iterator[None]:
        # Nothing can wait: what is not in the mirror when this ends is lost with a machine that is thrown away.
        with (
            open_instance(self._settings) as instance,
            run_session(
                self._warehouse,
                purpose=PURPOSE,
                log=self._note,
                clock=self._clock.now,
                instance=instance,
            ),
        ):
            yield

    def _look_at_sign_ins(self) -> None:
        settings, folder = self._settings, TokenFolder(self._paths.tokens_folder)
        names = [each.name for each in self._household.listeners] or [settings.listener]
        try:
            credentials = credentials_of(settings)
        except CredentialsUnusable as error:
            self._need(str(error))
            return
        signed_in = folder.listeners()
        # A home of exports only, or an app that asks for what is nobody's own, is as its owner wants it.
        is_wanted = bool(signed_in or settings.sign_in_secret or settings.sign_in.get_secret_value()) or (
            credentials is not None and not credentials.client_secret
        )
        if credentials is None and is_wanted:
            self._need(
                "No Spotify app is named here, so that nobody can be asked for: set SPOTIPY_CLIENT_ID (and "
                "SPOTIPY_CLIENT_SECRET, where it was set for the sign-in)."
            )
        for listener in dict.fromkeys([*names, *signed_in]):
            state = sign_in_state(folder, listener, now=self._clock.now())
            if state.standing == Standing.ENDING:
                self._note(state.message)
            elif state.standing != Standing.GOOD and is_wanted:
                self._need(state.message)
        for listener in outdated_sign_ins(settings):
            self._need(
                f"Spotify has given {listener} another token than the one in SPOTIFY_ASSETS_SIGN_IN, which may soon be "
                f"refused. Put into it what {folder.file_of(listener)} holds, or sign in with the app's client secret: "
                "such a token stays (docs/hosted.md)."
            )

    def _look_at_the_mirror(self) -> None:
        known = MirrorState.of(self._state)
        if known is not None and known.failure:
            self._need(
                f"The mirror is not up to date: {known.failure.rstrip('.')}. The home's own lakehouse is; the next run "
                "tries again."
            )

    def _take_note_of(self, finished: Finished) -> None:
        self._report.built_days += finished.outcome.built_days
        if finished.failure and finished.failure not in self._report.failures:
            self._report.failures.append(finished.failure)
        for result in finished.outcome.results:
            for evaluation in result.get_asset_check_evaluations():
                if evaluation.passed:
                    continue
                asset = evaluation.asset_key.to_user_string()
                # Plays that are not asked for in time are lost for good; all the rest comes by itself, later.
                is_urgent = (asset, evaluation.check_name) == (POLLED[0], ANSWERED_CHECK)
                told = evaluation.description or f"The check {evaluation.check_name} of {asset} failed."
                (self._need if is_urgent else self._note)(told)

    def _check_lock(self) -> None:
        if self._lock is not None:
            self._lock.check()

    def _is_mirrored(self) -> bool:
        known = MirrorState.of(self._state)
        return known is not None and not known.failure and known.snapshot_sequence == published_sequence(self._paths)

    @property
    def _is_bucket(self) -> bool:
        return self._warehouse.mirror.is_bucket

    def _need(self, sentence: str) -> None:
        if sentence not in self._report.needs:
            self._report.needs.append(sentence)
        if sentence in self._report.notes:
            self._report.notes.remove(sentence)

    def _note(self, sentence: str) -> None:
        if sentence not in self._report.notes and sentence not in self._report.needs:
            self._report.notes.append(sentence)


def _problems(finished: Finished) -> str:
    return " ".join(f"{Path(each['file']).name}: {each['message']}" for each in finished.problems)
