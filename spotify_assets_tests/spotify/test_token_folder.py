"""What is kept of sign-ins is whole, private and outlives its writer; how they stand is told in time."""

from __future__ import annotations

import json
import os
import random
import re
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from spotify_assets.spotify.private_files import UNFINISHED_NAME
from spotify_assets.spotify.token_folder import SignIn, Standing, TokenFolder, sign_in_state
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.spotify.token_processes import NOW, a_sign_in, write_for_ever


@pytest.fixture
def folder(tmp_path: Path) -> TokenFolder:
    return TokenFolder(tmp_path / "home" / "tokens")


@pytest.mark.parametrize(
    ("days", "standing", "told"),
    [
        (0, Standing.GOOD, "demo is signed in until 2027-05-21, 181 days from now"),
        (150, Standing.GOOD, "31 days from now"),
        (151, Standing.ENDING, "ends on 2027-05-21, in 30 days. Sign in: spotify-assets login"),
        (181, Standing.ENDED, "has ended.*spotify-assets login --listener demo"),
    ],
)
def test_from_the_fifth_month_on_a_sign_in_is_said_to_end(
    folder: TokenFolder, days: int, standing: Standing, told: str
) -> None:
    folder.write("demo", a_sign_in(authorized_at=NOW))
    state = sign_in_state(folder, "demo", now=NOW + timedelta(days=days))
    assert state.standing == standing and state.ends_at == datetime(2027, 5, 21, 9, tzinfo=UTC)
    assert re.search(told, state.message)


def test_who_never_signed_in_is_told_so_and_a_damaged_file_too(folder: TokenFolder) -> None:
    assert sign_in_state(folder, "demo", now=NOW).standing == Standing.NONE
    folder.write("demo", a_sign_in())
    folder.file_of("demo").write_bytes(b"\xff{")
    state = sign_in_state(folder, "demo", now=NOW)
    assert state.standing == Standing.NONE and "damaged" in state.message and "spotify-assets login" in state.message


def test_files_are_their_owner_s_alone_whatever_the_process_allows(folder: TokenFolder) -> None:
    before = os.umask(0)
    try:
        folder.write("demo", a_sign_in())
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder.folder, *folder.folder.iterdir())}
    assert modes == {"tokens": 0o700, "demo.json": 0o600, ".lock": 0o600}


def test_what_a_killed_writer_left_open_for_others_is_not_written_into(folder: TokenFolder) -> None:
    folder.write("demo", a_sign_in())
    left = folder.folder / UNFINISHED_NAME
    left.write_text("half")
    left.chmod(0o666)
    other = folder.folder.parent / "other"
    os.link(left, other)
    folder.write("demo", a_sign_in())
    assert other.read_text() == "half" and not left.exists()
    assert stat.S_IMODE(folder.file_of("demo").stat().st_mode) == 0o600


INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
SIGN_INS = st.builds(
    SignIn,
    access_token=st.text(),
    refresh_token=st.text(),
    expires_at=INSTANTS,
    scopes=st.frozensets(st.text()),
    client_id=st.text(),
    is_pkce=st.booleans(),
    authorized_at=INSTANTS,
    accounts=st.frozensets(st.text()),
    is_refused=st.booleans(),
)


@hypothesis_settings(max_examples=50, deadline=None)
@given(SIGN_INS, st.floats(0, 1, exclude_max=True))
def test_a_file_says_all_of_a_sign_in_and_a_part_of_it_says_nothing(sign_in: SignIn, share: float) -> None:
    text = sign_in.to_json()
    assert SignIn.from_json(text) == sign_in
    with pytest.raises(ValueError, match="no sign-in"):
        SignIn.from_json(text[: int(len(text) * share)])


KEYS = st.sampled_from(["access_token", "scopes", "authorized_at", "expires_at", "x"])
LEAVES = st.none() | st.text() | st.integers() | st.booleans()


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.recursive(LEAVES, lambda each: st.lists(each) | st.dictionaries(KEYS, each), max_leaves=8))
def test_no_json_is_mistaken_for_a_sign_in(value: object) -> None:
    with pytest.raises(ValueError, match="no sign-in"):
        SignIn.from_json(json.dumps(value))


def test_a_writer_that_is_killed_leaves_a_whole_file_and_stops_nobody(folder: TokenFolder) -> None:
    chance = random.Random(5)
    for _ in range(3):
        working = processes.event()
        process = processes.start(write_for_ever, folder.folder, working)
        assert working.wait(60)
        until = time.monotonic() + chance.uniform(0.05, 0.3)
        while time.monotonic() < until:
            assert folder.read("demo").access_token.endswith("-")
        process.kill()
        process.join(10)
        assert folder.read("demo").refresh_token == "refresh-of-nobody"
        folder.write("demo", a_sign_in())
        assert {path.name for path in folder.folder.iterdir()} == {"demo.json", ".lock"}
        assert folder.read("demo") == a_sign_in()
