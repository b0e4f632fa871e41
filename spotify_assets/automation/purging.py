"""Removing a person from a home: every place that may tell of a listener, one after the other.

A place of its own for whatever comes to know listeners: a table without a column `listener` is named in `RULES` or
`shared_rows`, a file or folder in `_files_of`. Every step may be repeated; a purge that was killed is finished by
starting it again.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from spotify_assets import progress
from spotify_assets.assets.clean import SHARED_TABLES, rebuild_shared_tables
from spotify_assets.automation import shared_rows
from spotify_assets.automation.dagster_history import DagsterHistory
from spotify_assets.lakehouse import LakehouseError, Warehouse, remove_leftovers, run_session
from spotify_assets.lakehouse.handing_over import take_back
from spotify_assets.lakehouse.mirror_inbox import inbox_of
from spotify_assets.lakehouse.purging import (
    TableRules,
    census,
    publish_alone,
    remove_everything,
    rewrite_without,
)
from spotify_assets.schemas import raw, tables
from spotify_assets.settings import HomePaths
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets.state import State

RULES = TableRules(
    linked={raw.ToldRows.qualified_name(): "file_id IN (SELECT file_id FROM raw.imports WHERE listener = $listener)"},
    shared=shared_rows.conditions,
    rebuilt=frozenset(table.qualified_name() for table in SHARED_TABLES),
    rebuild=rebuild_shared_tables,
)
"""What becomes of tables that have no column `listener`, and of rows in which it is empty."""

_UNFINISHED = "purge in progress"


class PurgeRefused(LakehouseError):
    """A listener cannot be removed; the message says why and what to do."""


@dataclass(frozen=True)
class PurgePlan:
    """What a purge will remove.

    Attributes:
        listener: Who.
        rows: Rows by table.
        runs: Runs in Dagster's history.
        files: Files and folders that go as a whole.
        is_in_household: Whether listeners.toml has an entry for the listener.
        is_alone: Nobody else has any row: the home becomes as if it were new.
        is_unfinished: An earlier purge of this listener was interrupted.
    """

    listener: str
    rows: dict[str, int]
    runs: set[str] = field(repr=False)
    files: list[Path]
    is_in_household: bool
    is_alone: bool
    is_unfinished: bool

    @property
    def is_empty(self) -> bool:
        return not (self.rows or self.runs or self.files or self.is_in_household or self.is_unfinished)


@dataclass(frozen=True)
class PurgeReport:
    """What a purge did.

    Attributes:
        plan: What it had to remove.
        emptied: Tables of unknown origin without a column `listener`, which were emptied.
        remaining: What the product cannot remove, in sentences for persons.
    """

    plan: PurgePlan
    emptied: list[str]
    remaining: list[str]


def plan_purge(paths: HomePaths, warehouse: Warehouse, listener: str, *, default_listener: str) -> PurgePlan:
    """Find what a home knows of a listener; changes nothing.

    Args:
        listener: The listener's name, as in the column `listener`.
        default_listener: Whose are imports that name nobody.
    """
    counted = census(warehouse, listener, RULES)
    state = State(paths.state_file) if paths.state_file.exists() else None
    return PurgePlan(
        listener=listener,
        rows=counted.rows,
        runs=_history(paths, listener, default_listener).runs(),
        files=[path for path in _files_of(paths, listener) if path.exists()],
        is_in_household=_without_entry(paths.listeners_file, listener) is not None,
        is_alone=not counted.has_others,
        is_unfinished=state is not None and state.note(_UNFINISHED) == listener,
    )


def known_listeners(paths: HomePaths, warehouse: Warehouse) -> list[str]:
    """Everybody of whom anything came, by export or from Spotify, and everybody who is or was signed in."""
    names = set(TokenFolder(paths.tokens_folder).listeners())
    if warehouse.exists():
        for table in tables():
            if table.layout.schema == raw.Imports.layout.schema and "listener" in table.column_names():
                names.update(warehouse.read(table, ["listener"], distinct=True)["listener"])
    return sorted(names - {""})


def purge(
    paths: HomePaths, warehouse: Warehouse, listener: str, *, default_listener: str, now: datetime
) -> PurgeReport:
    """Remove a listener from a home, freed blocks and older versions included.

    Args:
        listener: The listener's name, as in the column `listener`.
        default_listener: Whose are imports that name nobody.
        now: Stands in `meta.published`.

    Raises:
        PurgeRefused: listeners.toml must be edited by hand first.
        LakehouseError: Something could not be removed, perhaps from the mirror; starting the purge again removes it.
        StateError: The Dagster UI or a run has a file in use.
    """
    state = State(paths.state_file)
    emptied: list[str] = []
    with run_session(warehouse, purpose="purge") as session:
        session.begin()
        take_back(paths)
        plan = plan_purge(paths, warehouse, listener, default_listener=default_listener)
        state.set_note(_UNFINISHED, listener)
        progress.report("Removing the inbox and the household's entry")
        # First, so that no sensor imports anew what goes.
        text = _without_entry(paths.listeners_file, listener)
        if text is not None:
            _write_household(paths.listeners_file, text)
        # Not as one of the files: a refresh under way would write it anew.
        TokenFolder(paths.tokens_folder).remove(listener)
        for path in plan.files:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        inbox_of(paths, warehouse.mirror).remove(listener)
        progress.report("Removing runs from Dagster's history")
        history = _history(paths, listener, default_listener)
        # While the raw tables still tell whose they were: a purge that is killed here starts over.
        history.remove(history.every_run() if plan.is_alone else plan.runs)
        if plan.is_alone:
            progress.report("Removing warehouse, snapshots and mirror")
            remove_everything(warehouse, session.log)
            state.clear()
            paths.timezone_file.unlink(missing_ok=True)
            if not TokenFolder(paths.tokens_folder).listeners():
                # Whoever made the app was the only one here.
                paths.credentials_file.unlink(missing_ok=True)
                shutil.rmtree(paths.tokens_folder, ignore_errors=True)
        else:
            progress.report("Writing the warehouse anew")
            emptied = rewrite_without(warehouse, listener, RULES, session.log)
            progress.report("Publishing")
            publish_alone(warehouse, published_at=now, log=session.log)
    remove_leftovers(paths)
    state.forget(_teller(listener))
    state.sweep()
    return PurgeReport(plan, emptied, list(_remaining(paths, listener)))


def _files_of(paths: HomePaths, listener: str) -> Iterator[Path]:
    """Files and folders that tell of one listener alone."""
    yield paths.inbox_folder(listener)
    yield TokenFolder(paths.tokens_folder).file_of(listener)
    is_told = _teller(listener)
    for log in sorted(paths.logs_folder.glob("**/*")) if paths.logs_folder.exists() else ():
        if log.is_file() and is_told(log.read_text(errors="replace")):
            yield log


def _remaining(paths: HomePaths, listener: str) -> Iterator[str]:
    is_told = _teller(listener)
    for path in sorted(paths.home.rglob("*")):
        if is_told(path.relative_to(paths.home).as_posix()):
            yield f"{path} bears the name and is no file of this program: remove it yourself if it should go."
    configuration = paths.dagster_configuration
    if configuration.exists() and "storage" in (yaml.safe_load(configuration.read_text()) or {}):
        yield (
            f"{configuration} names a storage of its own: runs and events in it were not touched. Remove the runs "
            "of that listener's imports in the Dagster UI."
        )


def _history(paths: HomePaths, listener: str, default_listener: str) -> DagsterHistory:
    pattern = _pattern(listener)
    return DagsterHistory(
        paths.dagster_folder,
        _teller(listener),
        lambda text: pattern.sub("", text),
        is_default=listener == default_listener,
    )


def _teller(listener: str) -> Callable[[str], bool]:
    """Whether a text has the name as a word of its own."""
    spellings = _spellings(listener)
    pattern = _pattern(listener)
    # A search for plain text is a hundred times faster, and a history of years has gigabytes.
    return lambda text: any(spelling in text for spelling in spellings) and pattern.search(text) is not None


def _spellings(listener: str) -> list[str]:
    """The name plain and as JSON writes it."""
    return sorted({listener, json.dumps(listener)[1:-1]})


def _pattern(listener: str) -> re.Pattern[str]:
    """The name as a word of its own: `Ann` is not told by `Annual`."""
    spellings = "|".join(map(re.escape, _spellings(listener)))
    # After an escaped line break in JSON, the letter before the name belongs to the escape.
    return re.compile(rf"(?:(?<![^\W_])|(?<=\\[nrt]))(?:{spellings})(?![^\W_])")


def _without_entry(file: Path, listener: str) -> str | None:
    """The text of listeners.toml without a listener's table; None when it has none.

    Raises:
        PurgeRefused: The file is no TOML, or tells of the listener in another way than by a table.
    """
    if not file.exists():
        return None
    text = file.read_text()
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PurgeRefused(
            f"{file} is not readable: {error}. Nothing was removed; mend it, then run this again."
        ) from None
    is_told = _teller(listener)
    if not is_told(text):
        return None
    kept = "".join(_parts_of_others(text, listener))
    kept = "".join(
        line for line in kept.splitlines(keepends=True) if not (line.lstrip().startswith("#") and is_told(line))
    )
    try:
        after = tomllib.loads(kept)
    except tomllib.TOMLDecodeError:
        after = None
    if is_told(kept) or _pruned(after, listener) != _pruned(before, listener):
        raise PurgeRefused(
            f"{file} tells of {listener} in a way that this program cannot take out. Nothing was removed: delete the "
            "entry yourself, then run this again."
        )
    return kept


def _parts(text: str) -> Iterator[str]:
    """What stands before the first table, then each table with the comments above it."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for number, line in enumerate(lines):
        if line.lstrip().startswith("[") and _is_complete("".join(lines[:number])):
            while number > starts[-1] and lines[number - 1].lstrip().startswith("#"):
                number -= 1
            starts.append(number)
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield "".join(lines[start:end])


def _parts_of_others(text: str, listener: str) -> Iterator[str]:
    gone: list[str] | None = None
    for part in _parts(text):
        path = _path(part)
        # `[[listener.zones]]` belongs to the `[[listener]]` above it.
        is_of_gone = gone is not None and len(path) > len(gone) and path[: len(gone)] == gone
        if _is_entry_of(part, listener):
            gone = path
        elif not is_of_gone:
            gone = None
            yield part


def _path(part: str) -> list[str]:
    """The keys of a table's header."""
    header = next((line for line in part.splitlines() if line.lstrip().startswith("[")), "")
    path: list[str] = []
    table: Any = tomllib.loads(header)
    while table := table[0] if isinstance(table, list) else table:
        path += table
        (table,) = table.values()
    return path


def _is_complete(text: str) -> bool:
    """Whether a beginning of a file is TOML by itself: within a list over several lines it is not."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _is_entry_of(part: str, listener: str) -> bool:
    found = False
    tables = [tomllib.loads(part)]
    while tables:
        for key, value in tables.pop().items():
            found |= (key == listener and isinstance(value, dict)) or (key == "name" and value == listener)
            tables += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    return found


def _pruned(value: Any, listener: str) -> Any:
    """Parsed TOML without a listener's tables and without tables that are empty."""
    if isinstance(value, dict):
        items = ((key, _pruned(each, listener)) for key, each in value.items() if key != listener)
        return {key: each for key, each in items if each != {} and each != []}
    if isinstance(value, list):
        is_entry = [isinstance(each, dict) and each.get("name") == listener for each in value]
        return [_pruned(each, listener) for each, skipped in zip(value, is_entry, strict=True) if not skipped]
    return value


def _write_household(file: Path, text: str) -> None:
    if not tomllib.loads(text):
        file.unlink()
        return
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text)
    beside.replace(file)
