"""How we stand with Spotify, for a person; asks nobody."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import NamedTuple

from spotify_assets.settings import Settings
from spotify_assets.spotify.capabilities import capability_memory
from spotify_assets.spotify.quota import QuotaLedger
from spotify_assets.state import SPOTIFY_BACKLOGS, State


class Backlog(NamedTuple):
    """What is still to be asked for of one kind.

    Attributes:
        kind: In words, such as `tracks`.
        length: How many.
        done_on: The day on which it will be done if nothing is added; None when that cannot be told.
    """

    kind: str
    length: int
    done_on: date | None


def note_backlog(state: State, backlog: Backlog) -> None:
    """Keep what a run left to be asked for, in place of what an earlier one left of that kind."""
    kept = {each.kind: each for each in backlogs(state)} | {backlog.kind: backlog}
    told = {each.kind: [each.length, each.done_on and each.done_on.isoformat()] for each in kept.values()}
    state.set_note(SPOTIFY_BACKLOGS, json.dumps(told))


def backlogs(state: State) -> list[Backlog]:
    """What the last runs left to be asked for, by kind; nothing before the first one."""
    try:
        told = json.loads(state.note(SPOTIFY_BACKLOGS) or "{}")
        return [
            Backlog(kind, int(length), date.fromisoformat(done) if done else None)
            for kind, (length, done) in told.items()
        ]
    except (ValueError, TypeError, AttributeError):
        return []


def status_lines(settings: Settings, *, now: datetime, application: str = "") -> list[str]:
    """What Spotify offers to this app, what was asked of it today and is refused, and what waits to be asked for.

    Args:
        settings: The home's settings.
        now: The instant (UTC).
        application: The app's client id.

    Raises:
        StateError: `state.sqlite` cannot be used.
    """
    state = State(settings.paths.state_file)
    ledger = QuotaLedger(state, settings.budgets)
    told = [capability_memory(settings, application).load().text, ledger.text(now)]
    if known := backlogs(state):
        waiting = [_in_words(each) for each in known if each.length]
        told.append(f"Still to be asked for: {'; '.join(waiting) or 'nothing'}.")
    return told


def _in_words(backlog: Backlog) -> str:
    done = f"done on {backlog.done_on}" if backlog.done_on else "nobody can tell until when"
    return f"{backlog.kind} {backlog.length:,} ({done})"
