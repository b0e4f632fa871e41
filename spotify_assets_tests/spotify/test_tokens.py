"""Tokens are renewed in time and once, survive whatever happens to the process, and are told to nobody."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse, Response

from spotify_assets.spotify.credentials import Credentials
from spotify_assets.spotify.errors import (
    AccountsUnavailable,
    AppRefused,
    NotSignedIn,
    SignInExpired,
    SpotifyError,
    TokensNotKept,
)
from spotify_assets.spotify.private_files import UNFINISHED_NAME
from spotify_assets.spotify.token_folder import SignIn, Standing, TokenFolder, sign_in_state
from spotify_assets.spotify.tokens import SCOPES, TokenFile, TokenSource
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.spotify.demo_accounts import APP, DemoAccounts, running
from spotify_assets_tests.spotify.persons import Person, signed_in
from spotify_assets_tests.spotify.token_processes import NOW, a_sign_in, renew

PKCE = Credentials(APP.client_id)
SECRET = Credentials(APP.client_id, APP.client_secret)


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoAccounts]:
    with running() as demo:
        yield demo


@pytest.fixture
def folder(tmp_path: Path) -> TokenFolder:
    return TokenFolder(tmp_path / "home" / "tokens")


def source_of(
    demo: DemoAccounts, folder: TokenFolder, credentials: Credentials | None = PKCE, *, address: str = ""
) -> TokenSource:
    return TokenSource(folder, credentials, accounts_url=address or demo.address, now=demo.clock.now)


@pytest.mark.parametrize("secret", ["", APP.client_secret])
def test_a_token_is_used_until_it_is_old_and_then_renewed_with_what_spotify_left_out(
    demo: DemoAccounts, tmp_path: Path, secret: str
) -> None:
    settings = signed_in(demo, tmp_path / "home", secret=secret)
    folder = TokenFolder(settings.paths.tokens_folder)
    before = folder.read("demo")
    tokens = source_of(demo, folder, Credentials(APP.client_id, secret))
    asked = demo.requests["/api/token"]
    assert tokens.access_token("demo") == tokens.access_token("demo") == before.access_token
    assert demo.requests["/api/token"] == asked
    demo.clock.forward(minutes=59, seconds=30)
    renewed = tokens.access_token("demo")
    after = folder.read("demo")
    assert renewed == after.access_token != before.access_token
    assert demo.tokens.listener_of(renewed) == "demo"
    assert after == SignIn(**{**vars(before), "access_token": renewed, "expires_at": after.expires_at})
    assert after.expires_at > before.expires_at
    assert demo.requests["/api/token"] == asked + 1


def test_a_token_that_was_refused_is_renewed_once_however_many_ask(demo: DemoAccounts, tmp_path: Path) -> None:
    folder = TokenFolder(signed_in(demo, tmp_path / "home").paths.tokens_folder)
    first, second = source_of(demo, folder), source_of(demo, folder)
    old = {first.access_token("demo"), second.access_token("demo")}
    before = demo.accounts.refreshes
    new = {first.renew("demo"), second.renew("demo")}
    assert demo.accounts.refreshes == before + 1
    assert len(old) == len(new) == 1 and old != new


def test_the_refresh_token_that_spotify_gives_anew_is_the_one_that_is_kept(tmp_path: Path) -> None:
    with running(rotates_refresh_tokens=True) as demo:
        folder = TokenFolder(signed_in(demo, tmp_path / "home").paths.tokens_folder)
        before = folder.read("demo")
        for _ in range(3):
            demo.clock.forward(hours=2)
            source_of(demo, folder).access_token("demo")
        after = folder.read("demo")
        assert after.refresh_token != before.refresh_token and after.authorized_at == before.authorized_at


def test_an_ended_sign_in_is_asked_for_once_and_never_again(tmp_path: Path) -> None:
    with running() as demo:
        folder = TokenFolder(signed_in(demo, tmp_path / "home").paths.tokens_folder)
        demo.clock.forward(days=185)
        asked = demo.requests["/api/token"]
        for _ in range(3):
            with pytest.raises(SignInExpired, match="spotify-assets login --listener demo"):
                source_of(demo, folder).access_token("demo")
        assert demo.requests["/api/token"] == asked + 1
        kept = folder.read("demo")
        assert (kept.access_token, kept.refresh_token, kept.is_refused) == ("", "", True)
        assert sign_in_state(folder, "demo", now=demo.clock.now()).standing == Standing.ENDED


def test_without_a_sign_in_nobody_is_asked_anything(demo: DemoAccounts, folder: TokenFolder) -> None:
    asked = demo.requests.total()
    with pytest.raises(NotSignedIn, match=r'Ann Lee is not signed in.*login --listener "Ann Lee"') as caught:
        source_of(demo, folder).access_token("Ann Lee")
    assert caught.value.listener == "Ann Lee"
    with pytest.raises(NotSignedIn, match="login --app-only"):
        source_of(demo, folder).access_token("")
    assert demo.requests.total() == asked and not folder.folder.exists()


@pytest.mark.parametrize(
    ("changes", "credentials", "told"),
    [
        ({"scopes": SCOPES - {"user-top-read"}}, PKCE, "has not agreed to user-top-read"),
        ({"client_id": "0" * 32}, PKCE, "signed in for another app"),
        ({"is_pkce": False}, PKCE, "with the app's secret"),
        ({}, None, "is not named here any more"),
    ],
)
def test_a_sign_in_that_does_not_do_says_why(
    demo: DemoAccounts,
    folder: TokenFolder,
    changes: dict[str, object],
    credentials: Credentials | None,
    told: str,
) -> None:
    folder.write("demo", a_sign_in(**changes))
    with pytest.raises(NotSignedIn, match=f"{told}.*Sign in: spotify-assets login"):
        source_of(demo, folder, credentials).access_token("demo")


def test_the_app_has_a_token_of_its_own_when_its_secret_is_known(demo: DemoAccounts, folder: TokenFolder) -> None:
    tokens = source_of(demo, folder, SECRET)
    first = tokens.access_token("")
    assert demo.tokens.listener_of(first) == "" and tokens.access_token("") == first
    assert tokens.renew("") != first
    demo.clock.forward(hours=2)
    assert demo.tokens.listener_of(tokens.access_token("")) == ""
    folder.file_of("").write_text("{")
    assert demo.tokens.listener_of(tokens.access_token("")) == ""
    assert folder.listeners() == []
    with pytest.raises(AppRefused, match=r"do not belong together.*login --client-id"):
        source_of(demo, folder, Credentials(APP.client_id[::-1], APP.client_secret)).access_token("")


ODD_ANSWERS = {
    "a storm": [PlainTextResponse("upstream", 503)] * 4,
    "too many": [Response('{"error":{"status":429,"message":"Too many requests"}}', 429, {"Retry-After": "86400"})],
    "words": [PlainTextResponse("hello")],
    "nothing": [PlainTextResponse("")],
    "a list": [Response("[]", 200)],
    "a list with 400": [Response("[1]", 400)],
    "a number": [Response("7", 200)],
    "no token": [Response('{"expires_in": 3600}', 200)],
    "a token of two lines": [Response('{"access_token": "secret-a\\nsecret-b", "expires_in": 3600}', 200)],
    "a token of another kind": [Response('{"access_token": {"a": "secret-a"}, "expires_in": 3600}', 200)],
    "a lifetime of another kind": [Response('{"access_token": "secret-a", "expires_in": "soon"}', 200)],
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_an_accounts_service_that_is_out_of_order_leaves_the_sign_in_as_it_was(
    demo: DemoAccounts, folder: TokenFolder, name: str
) -> None:
    before = a_sign_in(expires_at=NOW)
    folder.write("demo", before)
    demo.odd_answers["/api/token"] = [*ODD_ANSWERS[name]]
    with pytest.raises(AccountsUnavailable, match=r"later|again") as caught:
        source_of(demo, folder).access_token("demo")
    assert not demo.odd_answers.pop("/api/token")
    assert folder.read("demo") == before
    assert "secret" not in str(caught.value) and "nobody" not in str(caught.value)


def test_no_network_is_said_and_leaves_the_sign_in_as_it_was(demo: DemoAccounts, folder: TokenFolder) -> None:
    before = a_sign_in(expires_at=NOW)
    folder.write("demo", before)
    with pytest.raises(AccountsUnavailable, match=r"127\.0\.0\.1:9 cannot be reached.*network"):
        source_of(demo, folder, address="http://127.0.0.1:9").access_token("demo")
    assert folder.read("demo") == before


def test_a_token_that_cannot_be_written_is_an_error_and_the_old_file_stays(demo: DemoAccounts, tmp_path: Path) -> None:
    folder = TokenFolder(signed_in(demo, tmp_path / "home").paths.tokens_folder)
    before = folder.read("demo")
    (folder.folder / UNFINISHED_NAME / "in the way").mkdir(parents=True)
    with pytest.raises(TokensNotKept, match=r"demo\.json cannot be written"):
        source_of(demo, folder).renew("demo")
    assert folder.read("demo") == before


def test_spotipy_s_own_look_into_the_cache_finds_what_it_needs(demo: DemoAccounts, folder: TokenFolder) -> None:
    cache = TokenFile(folder, "demo", PKCE, demo.clock.now)
    assert cache.get_cached_token() is None
    folder.write("demo", a_sign_in())
    told = cache.get_cached_token()
    assert told["refresh_token"] == "refresh-of-nobody" and set(told["scope"].split()) == SCOPES
    assert told["expires_at"] == (NOW + timedelta(hours=1)).timestamp()


def test_two_processes_that_renew_at_once_ask_spotify_once_and_use_the_same_token(tmp_path: Path) -> None:
    with running(rotates_refresh_tokens=True) as demo:
        folder = TokenFolder(signed_in(demo, tmp_path / "home").paths.tokens_folder)
        # Old by the clock of this test alone: what is asked for next is fresh by it.
        folder.write("demo", SignIn(**{**vars(folder.read("demo")), "expires_at": NOW - timedelta(days=9)}))
        start, answers = processes.event(), processes.queue()
        renewing = [
            processes.start(renew, folder.folder, demo.address, APP.client_id, start, answers) for _ in range(2)
        ]
        assert [answers.get(timeout=60) for _ in renewing] == ["ready"] * 2
        start.set()
        tokens = {answers.get(timeout=60) for _ in renewing}
        for process in renewing:
            process.join(30)
        assert tokens == {folder.read("demo").access_token} and demo.accounts.refreshes == 1


def test_no_token_code_or_secret_is_logged_or_shown(tmp_path: Path) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    loggers = [logging.getLogger(name) for name in ("", "spotipy", "spotipy.oauth2", "urllib3", "requests", "filelock")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    shown: list[str] = []
    hidden: set[str] = {APP.client_secret}
    try:
        with running() as demo:
            for secret in ("", APP.client_secret):
                home = tmp_path / f"home{len(secret)}"
                person = Person()
                settings = signed_in(demo, home, secret=secret, person=person)
                folder = TokenFolder(settings.paths.tokens_folder)
                tokens = source_of(demo, folder, Credentials(APP.client_id, secret))
                hidden |= {person.code, folder.read("demo").access_token, folder.read("demo").refresh_token}
                hidden.add(tokens.renew("demo"))
                if secret:
                    hidden.add(tokens.access_token(""))
                shown += [repr(folder.read("demo")), repr(tokens), repr(settings), repr(Credentials("a", secret))]
                demo.odd_answers["/api/token"] = [PlainTextResponse("out of order", 400)]
                with pytest.raises(SpotifyError) as caught:
                    tokens.renew("demo")
                shown.append(str(caught.value))
            demo.clock.forward(days=200)
            with pytest.raises(SignInExpired) as caught:
                tokens.access_token("demo")
            shown.append(str(caught.value))
    finally:
        logging.getLogger().removeHandler(handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    assert "/api/token" in written.getvalue()
    assert len(hidden) == 10
    for text in (written.getvalue(), *shown):
        assert not [each for each in hidden if each in text]
