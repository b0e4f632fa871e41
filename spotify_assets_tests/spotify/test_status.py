"""What `spotify-assets status` says of Spotify."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from spotify_assets.settings import Settings
from spotify_assets.spotify.quota import Bucket, QuotaLedger
from spotify_assets.spotify.status import Backlog, backlogs, note_backlog, status_lines
from spotify_assets.state import State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_a_person_is_told_what_was_asked_and_what_is_refused(home: Settings) -> None:
    assert status_lines(home, now=NOW)[1] == "Asked of Spotify today (UTC): nothing."
    ledger = QuotaLedger(State(home.paths.state_file), home.budgets)
    ledger.reserve(Bucket.ARTIST_ALBUMS, NOW)
    ledger.block(Bucket.ARTIST_ALBUMS, NOW, retry_after_seconds=3600, is_quota=True)
    assert status_lines(home, now=NOW)[1] == (
        "Asked of Spotify today (UTC): artist albums 1 of 60, refused by Spotify until 2026-03-01 13:00 UTC."
    )


def test_a_person_is_told_what_waits_to_be_asked_for_and_until_when(home: Settings) -> None:
    assert len(status_lines(home, now=NOW)) == 2, "nothing is known before the first run"
    state = State(home.paths.state_file)
    for backlog in (
        Backlog("tracks", 9_000, date(2026, 3, 30)),
        Backlog("albums", 0, date(2026, 3, 1)),
        Backlog("artists", 3, None),
        Backlog("tracks", 8_000, date(2026, 3, 21)),
    ):
        note_backlog(state, backlog)
    assert status_lines(home, now=NOW)[2] == (
        "Still to be asked for: tracks 8,000 (done on 2026-03-21); artists 3 (nobody can tell until when)."
    )
    for kind in ("tracks", "artists"):
        note_backlog(state, Backlog(kind, 0, date(2026, 3, 1)))
    assert status_lines(home, now=NOW)[2] == "Still to be asked for: nothing."


@pytest.mark.parametrize("text", ["[]", "{", '{"tracks": 1}', '{"tracks": ["x", null]}', '{"tracks": [1, "soon"]}'])
def test_a_note_of_another_version_is_as_none(text: str, home: Settings) -> None:
    state = State(home.paths.state_file)
    state.set_note("what is still to be asked of spotify", text)
    assert backlogs(state) == []
