"""What a home has besides its tables and needs to go on elsewhere: it stands in the manifest of the mirror.

Time zone, household and the listener's word on recordings decide what the next run writes: without them a restored home
would move every day. Credentials and sign-ins are no part of it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spotify_assets.settings import HomePaths
from spotify_assets.state import State

_STATE = "state"


class _Fact(NamedTuple):
    """A file of the home: what it says, None where it says nothing, and the text that says that."""

    file: Callable[[HomePaths], Path]
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def _listeners(text: str) -> list[dict[str, str]]:
    """The entries of listeners.toml, without its comments."""
    return [{name: str(value) for name, value in entry.items()} for entry in tomllib.loads(text)["listener"]]


def _household(listeners: list[dict[str, str]]) -> str:
    # A text of JSON is one of TOML too, as long as every letter is written as it is.
    return "\n".join(
        "[[listener]]\n"
        + "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in each.items())
        for each in listeners
    )


_FACTS = {
    "timezone": _Fact(lambda paths: paths.timezone_file, str.strip, "{}\n".format),
    "listeners": _Fact(lambda paths: paths.listeners_file, _listeners, _household),
    "recordings": _Fact(lambda paths: paths.recordings_file, str, str),
}


def collect(paths: HomePaths, settings_told: Mapping[str, str], *, with_state: bool = True) -> dict[str, Any]:
    """What there is now, as JSON has it.

    Args:
        settings_told: Settings by name that rule what stands in the tables.
        with_state: Whether to tell what was asked of Spotify too.
    """
    told: dict[str, Any] = {"settings": dict(sorted(settings_told.items()))}
    told |= {name: found for name in _FACTS if (found := _present(paths, name)) is not None}
    # A zone that nobody wrote down is that of the machine, and the next one may be elsewhere.
    if zone := settings_told.get("timezone"):
        told["timezone"] = zone
    if with_state and paths.state_file.exists():
        told[_STATE] = State(paths.state_file).going_on()
    return told


def are_equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether nothing has changed that is worth a manifest of its own: requests are counted at every poll."""
    return {**one, _STATE: None} == {**other, _STATE: None}


def adopt(paths: HomePaths, told: Mapping[str, Any]) -> list[str]:
    """Write what is told into a home; a file that is there already stays.

    Returns:
        Sentences for a person about files that stay and say something else.
    """
    kept = []
    for name, fact in _FACTS.items():
        if told.get(name) is None:
            continue
        file = fact.file(paths)
        if not file.exists():
            beside = file.with_name(f".{file.name}.new")
            beside.write_text(fact.write(told[name]), encoding="utf-8")
            beside.replace(file)
        elif _present(paths, name) != told[name]:
            kept.append(f"{file} was here already, says something else than the lost lakehouse's, and stays as it is.")
    if _STATE in told:
        State(paths.state_file).go_on(told[_STATE])
    return kept


def _present(paths: HomePaths, name: str) -> Any:
    fact = _FACTS[name]
    try:
        return fact.read(fact.file(paths).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
