"""The sensor that takes in what lies in `{home}/inbox/{listener}/`: zips, folders and JSON files, each once.

What was taken in stays where it is. The cursor remembers hashes only: neither names of files nor of listeners.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from spotify_assets.automation.jobs import IMPORT_JOB, IMPORT_PURPOSE, INBOX_SENSOR, PURPOSE_TAG
from spotify_assets.automation.runs import work_in_progress
from spotify_assets.clock import Clock
from spotify_assets.instance import report_dead_runs
from spotify_assets.settings import Settings, usable_listener_name
from spotify_assets.state import State

INBOX_TAG = "spotify_assets/inbox"
"""Tag of an import run that names, as a hash, the listener and the content of the file that it takes in."""

_ATTEMPTS = 3
_RETRY_AFTER = timedelta(hours=1)
_HASHED_BYTES = 1 << 20


class Dropped(NamedTuple):
    """A zip, a folder, or all JSON files that lie side by side: whose it is, and a name for it that tells nothing."""

    listener: str
    paths: tuple[Path, ...]
    key: str

    @property
    def name(self) -> str:
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{self.paths[0].name}{more}"


class Look(NamedTuple):
    """What a look into the inbox found: the next thing to take in, and a sentence for each that has to wait."""

    next: Dropped | None
    content: str
    waiting: list[str]


def dropped_things(inbox: Path) -> tuple[list[Dropped], list[str]]:
    """What lies in the listeners' folders of an inbox, and a sentence for each thing that lies in the wrong place.

    Hidden files and unfinished downloads (`.part`, `.crdownload` …) have other endings and are no exports yet.
    """
    things, misplaced = [], []
    for folder in _visible(inbox):
        if not folder.is_dir():
            if _is_export(folder):
                misplaced.append(f"{folder.name} lies in the inbox itself: move it into the folder of its listener.")
            continue
        try:
            listener = usable_listener_name(folder.name)
        except ValueError as error:
            misplaced.append(f"The folder {folder.name!r} names no listener: {error}.")
            continue
        visible = _visible(folder)
        for path in visible:
            if path.is_dir() or _is_zip(path):
                things.append(Dropped(listener, (path,), _hash(folder.name, path.name)))
        # What lies side by side was one export: a play that two of its files tell of was played twice.
        if loose := tuple(path for path in visible if _is_export(path) and not _is_zip(path)):
            things.append(Dropped(listener, loose, _hash(folder.name)))
    return things, misplaced


def look_into(
    inbox: Path, memory: dict[str, Any], instance: dg.DagsterInstance, now: datetime, *, is_busy: bool
) -> Look:
    """Look at an inbox once; two looks that find the same thing unchanged make it complete.

    Args:
        inbox: Folder with one folder for each listener.
        memory: What the look before remembered; changed in place.
        instance: Asked what became of the runs that were started.
        now: The time now.
        is_busy: Another run is at work: nothing is taken in yet.
    """
    things, waiting = dropped_things(inbox)
    seen: dict[str, dict[str, str]] = memory.get("seen", {})
    started: dict[str, dict[str, Any]] = memory.get("started", {})
    complete: dict[str, Dropped] = {}
    memory["seen"] = {}
    for thing in things:
        known = seen.get(thing.key, {})
        try:
            entry = memory["seen"][thing.key] = _watched(thing, known)
        except OSError as error:
            memory["seen"][thing.key] = known
            waiting.append(f"{thing.name} cannot be read ({error.strerror}); it is tried again.")
            continue
        if "content" in entry:
            complete.setdefault(entry["content"], thing)
        else:
            waiting.append(entry.get("fault") or f"{thing.name} is taken in once it does not change any more.")
    # What is no longer there is forgotten: who drops it again wants it looked at, and the ledger knows its files.
    there = {content for entry in memory["seen"].values() for content in (entry.get("content"), entry.get("before"))}
    memory["started"] = {content: attempt for content, attempt in started.items() if content in there}
    due = None
    for content, thing in complete.items():
        attempt = memory["started"].setdefault(content, {"attempts": 0, "is_done": False})
        reason = _reason_to_wait(attempt, content, thing, instance, now)
        if attempt["is_done"]:
            continue
        if reason or is_busy or due:
            waiting.append(reason or f"{thing.name} is next.")
            continue
        due = (thing, content)
        attempt["attempts"] += 1
    return Look(*(due or (None, "")), waiting)


def _watched(thing: Dropped, known: dict[str, str]) -> dict[str, str]:
    """What is to be remembered of a thing: its state, and once that has lasted, a hash of its content or its fault."""
    state = _state_of(thing)
    if known.get("state") != state:
        # A file that is only touched keeps its content: what was done for it is done.
        before = known.get("content") or known.get("before")
        return {"state": state, **({"before": before} if before else {})}
    if "content" in known or "fault" in known:
        return known
    return {"state": state, **_content_or_fault(thing)}


def build_inbox_sensor(settings: Settings, job: Any) -> dg.SensorDefinition:
    """The sensor over the job `import_exports`.

    Args:
        settings: Settings of the home.
        job: The job.
    """

    @dg.sensor(
        name=INBOX_SENSOR,
        job=job,
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Imports what is dropped into the home's inbox/{listener}/ (zips, folders, JSON files), once it is "
            "complete, and leaves it there."
        ),
    )
    def inbox(context: dg.SensorEvaluationContext, clock: Clock) -> dg.SensorResult:
        state = State(settings.paths.state_file)
        report_dead_runs(context.instance, state)
        busy = work_in_progress(context.instance, settings.paths, state, clock.now())
        memory = json.loads(context.cursor) if context.cursor else {}
        look = look_into(settings.paths.inbox, memory, context.instance, clock.now(), is_busy=bool(busy))
        cursor = json.dumps(memory, sort_keys=True)
        if look.next is None:
            told = [*look.waiting, *([f"Waiting: {busy}."] if busy and look.waiting else [])]
            return dg.SensorResult(skip_reason="\n".join(told) or "Nothing new in the inbox.", cursor=cursor)
        return dg.SensorResult(run_requests=[_request(look.next, look.content)], cursor=cursor)

    return inbox


def _request(thing: Dropped, content: str) -> dg.RunRequest:
    config = {"paths": [str(path) for path in thing.paths], "listener": thing.listener}
    return dg.RunRequest(
        job_name=IMPORT_JOB,
        run_config={"ops": {"streaming_history": {"config": config}}},
        tags={PURPOSE_TAG: IMPORT_PURPOSE, INBOX_TAG: content},
    )


def _reason_to_wait(
    attempt: dict[str, Any], content: str, thing: Dropped, instance: dg.DagsterInstance, now: datetime
) -> str:
    """Why a thing whose run was started is not started again now; marks it as done when the run went well."""
    if attempt["is_done"] or not attempt["attempts"]:
        return ""
    records = instance.get_run_records(dg.RunsFilter(tags={INBOX_TAG: content}), limit=1)
    run = records[0].dagster_run if records else None
    if run and not run.is_finished:
        return f"{thing.name} is being imported by run {run.run_id[:8]}."
    if run and run.status != dg.DagsterRunStatus.FAILURE:
        # Who cancels an import does not want it to begin again.
        attempt["is_done"] = True
        return ""
    if attempt["attempts"] >= _ATTEMPTS:
        return (
            f"{thing.name} could not be imported in {_ATTEMPTS} runs, the pages of which say why. It is left "
            "alone until it changes; `spotify-assets import` tries it again."
        )
    if records and now - records[0].update_timestamp < _RETRY_AFTER:
        return f"{thing.name} could not be imported, see run {run.run_id[:8]}; it is tried again within the hour."
    return ""


def _content_or_fault(thing: Dropped) -> dict[str, str]:
    files = list(_named_files(thing))
    if not files:
        return {"fault": f"The folder {thing.name} is empty."}
    if _is_zip(thing.paths[0]) and (fault := fault_of_zip(thing.paths[0])):
        return {"fault": fault}
    digest = hashlib.sha256(thing.listener.encode())
    for name, path in files:
        digest.update(f"\0{name}\0".encode(errors="surrogateescape"))
        with path.open("rb") as opened:
            while block := opened.read(_HASHED_BYTES):
                digest.update(block)
    return {"content": digest.hexdigest()[:32]}


def fault_of_zip(path: Path) -> str:
    """Why a file is no whole zip, in words; empty when it is one."""
    try:
        with zipfile.ZipFile(path):
            return ""
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        return (
            f"{path.name} is no whole zip file: it was cut off, or is not a zip at all. Nothing was imported. Copy it "
            "into the inbox again; it is looked at as soon as it changes."
        )


def _state_of(thing: Dropped) -> str:
    told = hashlib.sha256()
    for name, file in _named_files(thing):
        status = file.stat()
        told.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return told.hexdigest()[:32]


def _named_files(thing: Dropped) -> Iterator[tuple[str, Path]]:
    """Every file, with its place in the folder; a file alone has no name, for it may come again under another."""
    is_alone = len(thing.paths) == 1
    for path in thing.paths:
        for file in _files(path):
            yield file.relative_to(path if is_alone else path.parent).as_posix(), file


def _files(path: Path) -> Iterator[Path]:
    """The file, or the visible files below the folder, in order; links are not followed out of it."""
    if not path.is_dir():
        yield path
        return
    for entry in _visible(path):
        if not entry.is_symlink():
            yield from _files(entry)


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []


def _is_export(path: Path) -> bool:
    return path.suffix.lower() in (".zip", ".json") and path.is_file()


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]
