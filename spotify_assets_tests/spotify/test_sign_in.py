"""Signing in: the right way in ends with a token, every wrong one with a remedy and with everything as it was."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from starlette.responses import JSONResponse

from spotify_assets.demo.spotify.accounts import DemoApp
from spotify_assets.listeners import HouseholdError
from spotify_assets.spotify.credentials import Credentials, CredentialsUnusable, credentials_of
from spotify_assets.spotify.errors import AccountsUnavailable, AppRefused, SpotifyError, WrongUse
from spotify_assets.spotify.sign_in import SignInFailed, name_app, sign_out, token_source
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets.spotify.tokens import SCOPES
from spotify_assets_tests.spotify.demo_accounts import APP, DemoAccounts, running
from spotify_assets_tests.spotify.persons import Person, signed_in, try_to_sign_in

NO_APP = "0" * 32
# Spotify's words: spotipy-dev/spotipy#1044, Lioncat6/OSC-Chat-Tools#32 and spotipy-dev/spotipy#1233.
NOT_REGISTERED = "User not registered in the Developer Dashboard"
NOT_REGISTERED_EITHER = "The user is not registered for this application. Please check your settings on https://…"
NO_PREMIUM = "Active premium subscription required for the owner of the app. When the subscription status changes, …"


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoAccounts]:
    with running(listeners=("demo", "other")) as demo:
        yield demo


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person of these tests is the browser."""
    monkeypatch.setenv("BROWSER", "true")
    for name in ("CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI"):
        monkeypatch.delenv(f"SPOTIPY_{name}", raising=False)


def files_of(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("secret", ["", APP.client_secret])
def test_a_listener_who_agrees_is_signed_in_and_the_app_is_known_from_then_on(
    demo: DemoAccounts, tmp_path: Path, secret: str
) -> None:
    settings = demo.settings(tmp_path / "home")
    person = Person(secret=secret)
    done = try_to_sign_in(settings, demo, person)
    assert person.shown == [
        "make an app with http://127.0.0.1/callback",
        "client id?",
        "secret?",
        "register http://127.0.0.1/callback",
        "address",
    ]
    assert "You are signed in" in person.page and "You can close this page" in person.page
    assert done.is_checked and done.sign_in.scopes == SCOPES
    token = token_source(settings, now=demo.clock.now).access_token("demo")
    assert demo.tokens.listener_of(token) == "demo"
    assert credentials_of(settings) == Credentials(APP.client_id, secret)
    assert stat.S_IMODE(settings.paths.credentials_file.stat().st_mode) == 0o600
    again = Person()
    try_to_sign_in(settings, demo, again)
    assert again.shown == ["register http://127.0.0.1/callback", "address"]
    assert sign_out(settings) and not sign_out(settings)
    assert TokenFolder(settings.paths.tokens_folder).listeners() == []


def test_the_names_of_spotipy_are_honoured_and_kept_for_schedules(
    demo: DemoAccounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("SPOTIPY_CLIENT_ID", APP.client_id)
    monkeypatch.setenv("SPOTIPY_CLIENT_SECRET", APP.client_secret)
    monkeypatch.setenv("SPOTIPY_REDIRECT_URI", f"http://127.0.0.1:{port}/callback")
    settings = demo.settings(tmp_path / "home")
    named = Credentials(APP.client_id, APP.client_secret, f"http://127.0.0.1:{port}/callback")
    assert credentials_of(settings) == named
    person = Person()
    try_to_sign_in(settings, demo, person)
    assert person.shown == [f"register http://127.0.0.1:{port}/callback", "address"]
    environment = settings.own_environment()
    assert not [value for value in environment.values() if APP.client_secret in value or APP.client_id in value]
    for name in ("CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI"):
        monkeypatch.delenv(f"SPOTIPY_{name}")
    assert credentials_of(demo.settings(tmp_path / "home")) == named


def test_an_answer_can_be_pasted_and_a_wrong_one_is_asked_for_again(demo: DemoAccounts, tmp_path: Path) -> None:
    def other_state(end: str) -> str:
        return end.replace("state=", "state=x")

    person = Person(pasted=(lambda end: "oh", other_state, lambda end: f"  {end}\n"))
    done = try_to_sign_in(demo.settings(tmp_path / "home"), demo, person, uses_browser=False)
    assert person.shown[-6:] == ["address", "answer?", "not that", "answer?", "not that", "answer?"]
    assert done.listener == "demo"


def test_after_three_wrong_pastes_nothing_was_changed(demo: DemoAccounts, tmp_path: Path) -> None:
    person = Person(pasted=(lambda end: "http://[",) * 3)
    with pytest.raises(SignInFailed, match="start again"):
        try_to_sign_in(demo.settings(tmp_path / "home"), demo, person, uses_browser=False)
    assert files_of(tmp_path) == {}


@pytest.mark.parametrize(
    ("app", "options", "told"),
    [
        (APP, {"decision": "cancel"}, "You did not agree.*exports can be imported"),
        (APP, {"client_id": NO_APP}, f"no app with the client id {NO_APP}.*login --client-id"),
        (APP, {"secret": "1" * 32}, "do not belong together.*login --client-id"),
        (
            DemoApp(redirect_uris=("http://127.0.0.1:1/x",)),
            {},
            r"(?s)exactly\n  http://127.0.0.1/callback\n.*dashboard",
        ),
    ],
)
@pytest.mark.parametrize("uses_browser", [True, False])
def test_what_goes_wrong_is_said_with_the_remedy_and_changes_nothing(
    tmp_path: Path, app: DemoApp, options: dict[str, str], told: str, uses_browser: bool
) -> None:
    with running(app=app) as demo:
        person = Person(**options)
        with pytest.raises(SpotifyError, match=told) as caught:
            try_to_sign_in(demo.settings(tmp_path / "home"), demo, person, uses_browser=uses_browser)
    assert isinstance(caught.value, SignInFailed | AppRefused)
    assert files_of(tmp_path) == {}
    if person.page:
        assert "That did not work" in person.page and "signed in<" not in person.page


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        (NOT_REGISTERED, "not registered.*User Management"),
        (NOT_REGISTERED_EITHER, "not registered.*User Management"),
        (NO_PREMIUM, "owner has no Premium.*some hours"),
        ("Forbidden", "refuses the app.*state of your app"),
    ],
)
def test_whom_the_web_api_refuses_is_told_why_and_nothing_is_kept(tmp_path: Path, refused: str, told: str) -> None:
    with running() as demo:
        demo.refused = refused
        person = Person()
        with pytest.raises(SignInFailed, match=told):
            try_to_sign_in(demo.settings(tmp_path / "home"), demo, person)
    assert files_of(tmp_path) == {} and "That did not work" in person.page


def test_a_sign_in_that_fails_leaves_the_one_before(demo: DemoAccounts, tmp_path: Path) -> None:
    settings = signed_in(demo, tmp_path / "home")
    before = files_of(tmp_path)
    with pytest.raises(SignInFailed, match="did not agree"):
        try_to_sign_in(settings, demo, Person(decision="cancel"))
    assert files_of(tmp_path) == before


def test_another_account_than_before_is_not_taken_for_the_same_person(demo: DemoAccounts, tmp_path: Path) -> None:
    settings = signed_in(demo, tmp_path / "home")
    before = files_of(tmp_path)
    with pytest.raises(SignInFailed, match="another Spotify account than the one with which demo"):
        try_to_sign_in(settings, demo, Person(listener="other"))
    with pytest.raises(SignInFailed, match="With this Spotify account demo is signed in already, so Bob"):
        try_to_sign_in(demo.settings(tmp_path / "home", listener="Bob"), demo, Person())
    assert files_of(tmp_path) == before
    assert b"account-of" not in b"".join(before.values())
    try_to_sign_in(demo.settings(tmp_path / "home", listener="Bob"), demo, Person(listener="other"))
    assert TokenFolder(settings.paths.tokens_folder).listeners() == ["Bob", "demo"]


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://localhost:8888/callback", "refuses localhost.*Register http://127.0.0.1:8888/callback"),
        ("http://example.com/callback", "takes https addresses and http://127.0.0.1"),
        ("http://[::/callback", "is no address"),
        ("callback", "takes https addresses"),
    ],
)
def test_a_redirect_uri_that_spotify_refuses_is_refused_before_anything_is_asked(
    demo: DemoAccounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, told: str
) -> None:
    monkeypatch.setenv("SPOTIPY_REDIRECT_URI", uri)
    asked = demo.requests.total()
    with pytest.raises(WrongUse, match=told):
        try_to_sign_in(demo.settings(tmp_path / "home"), demo, Person())
    assert demo.requests.total() == asked and files_of(tmp_path) == {}


def test_an_https_redirect_uri_has_the_answer_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIPY_REDIRECT_URI", "https://example.com/callback")
    with running(app=DemoApp(redirect_uris=("https://example.com/callback",))) as demo:
        person = Person()
        assert try_to_sign_in(demo.settings(tmp_path / "home"), demo, person).listener == "demo"
    assert person.shown[-1] == "answer?"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")
def test_the_answer_is_taken_at_the_other_loopback_address_too(
    demo: DemoAccounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTIPY_REDIRECT_URI", "http://[::1]/callback")
    person = Person()
    assert try_to_sign_in(demo.settings(tmp_path / "home"), demo, person).is_checked
    assert "register http://[::1]/callback" in person.shown and "You are signed in" in person.page


def test_a_port_in_use_is_said_with_what_to_do(
    demo: DemoAccounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("SPOTIPY_REDIRECT_URI", f"http://127.0.0.1:{port}/callback")
        with pytest.raises(SignInFailed, match=f"port {port} of 127.0.0.1.*in use.*--no-browser"):
            try_to_sign_in(demo.settings(tmp_path / "home"), demo, Person())


def test_no_network_is_said_before_a_browser_opens(demo: DemoAccounts, tmp_path: Path) -> None:
    person = Person()
    settings = demo.settings(tmp_path / "home", accounts_url="http://127.0.0.1:9")
    with pytest.raises(AccountsUnavailable, match="cannot be reached"):
        try_to_sign_in(settings, demo, person)
    assert "address" not in person.shown and files_of(tmp_path) == {}


def test_nobody_is_waited_for_longer_than_was_said(demo: DemoAccounts, tmp_path: Path) -> None:
    settings = demo.settings(tmp_path / "home", sign_in_seconds=0.2)
    with pytest.raises(SignInFailed, match=r"No answer came within 0 s.*INVALID_CLIENT.*--no-browser"):
        try_to_sign_in(settings, demo, Person(waits=True))
    assert files_of(tmp_path) == {}


class Meddler(Person):
    """Knocks at the loopback address before the true answer comes."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[int, bool]] = []

    def show_address(self, url: str, *, seconds: float | None) -> None:
        redirect = requests.utils.unquote(url.split("redirect_uri=")[1].split("&")[0])
        with socket.create_connection(("127.0.0.1", int(redirect.split(":")[2].split("/")[0]))) as idle:
            idle.send(b"GET /")
            for address in (f"{redirect}?code=x&state=guessed", redirect, redirect.replace("callback", "favicon.ico")):
                threading.Thread(target=self._knock, args=(address,)).start()
            super().show_address(url, seconds=seconds)

    def _knock(self, address: str) -> None:
        answer = requests.get(address, timeout=30)
        self.answers.append((answer.status_code, "<script" in answer.text))


def test_what_else_knocks_at_the_loopback_address_is_not_taken_for_the_answer(
    demo: DemoAccounts, tmp_path: Path
) -> None:
    person = Meddler()
    assert try_to_sign_in(demo.settings(tmp_path / "home"), demo, person).is_checked
    assert sorted(person.answers) == [(400, False), (400, False), (404, False)]


def test_when_spotify_cannot_tell_who_it_is_the_sign_in_is_kept_unchecked(demo: DemoAccounts, tmp_path: Path) -> None:
    settings = demo.settings(tmp_path / "home", api_url="http://127.0.0.1:9/v1")
    done = try_to_sign_in(settings, demo, Person())
    assert not done.is_checked and TokenFolder(settings.paths.tokens_folder).listeners() == ["demo"]


def test_a_good_token_that_is_refused_for_a_moment_is_tried_again(demo: DemoAccounts, tmp_path: Path) -> None:
    demo.odd_answers["/v1/me"] = [JSONResponse({"error": {"status": 401, "message": "Access token missing"}}, 401)] * 2
    assert try_to_sign_in(demo.settings(tmp_path / "home"), demo, Person()).is_checked


def test_a_household_does_not_sign_in_strangers(demo: DemoAccounts, tmp_path: Path) -> None:
    settings = demo.settings(tmp_path)
    settings.paths.listeners_file.write_text('[[listener]]\nname = "Ann"\n')
    with pytest.raises(HouseholdError, match="Ann"):
        try_to_sign_in(settings, demo, Person())


def test_id_and_secret_alone_are_enough_for_the_app(demo: DemoAccounts, tmp_path: Path) -> None:
    settings = demo.settings(tmp_path / "home")
    with pytest.raises(WrongUse, match="Without its secret"):
        name_app(settings, Person(), now=demo.clock.now)
    with pytest.raises(AppRefused):
        name_app(settings, Person(secret="1" * 32), now=demo.clock.now)
    assert files_of(tmp_path) == {}
    name_app(settings, Person(secret=APP.client_secret), now=demo.clock.now)
    assert demo.tokens.listener_of(token_source(settings, now=demo.clock.now).access_token("")) == ""


def test_a_secret_of_the_environment_is_that_of_the_app_that_is_typed(
    demo: DemoAccounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTIPY_CLIENT_SECRET", APP.client_secret)
    person = Person()
    settings = demo.settings(tmp_path / "home")
    try_to_sign_in(settings, demo, person, client_id="")
    assert "client id?" in person.shown and "secret?" not in person.shown
    assert credentials_of(settings) == Credentials(APP.client_id, APP.client_secret)


def test_naming_the_app_anew_mends_a_wrong_secret(demo: DemoAccounts, tmp_path: Path) -> None:
    settings = signed_in(demo, tmp_path / "home", secret=APP.client_secret)
    settings.paths.credentials_file.write_text(f'client_id = "{APP.client_id}"\nclient_secret = "wrong"\n')
    with pytest.raises(AppRefused):
        token_source(settings, now=demo.clock.now).renew("demo")
    try_to_sign_in(settings, demo, Person(secret=APP.client_secret), client_id=APP.client_id)
    assert credentials_of(settings) == Credentials(APP.client_id, APP.client_secret)


@pytest.mark.parametrize(("client_id", "secret"), [("no id", ""), ("", "secret"), ("id", "se-cret"), ("i\u0660", "")])
def test_what_is_no_id_or_secret_is_refused_in_words(client_id: str, secret: str) -> None:
    with pytest.raises(WrongUse, match=r"letters and digits|client id is missing") as caught:
        Credentials(client_id, secret)
    assert not secret or secret not in str(caught.value).replace("client secret", "")


@pytest.mark.parametrize("text", ["client_id = 7\n", "client_id\n", '"\udcff"', 'client_id = "a\\nb"\n'])
def test_credentials_that_cannot_be_read_are_refused(demo: DemoAccounts, tmp_path: Path, text: str) -> None:
    settings = demo.settings(tmp_path)
    settings.paths.credentials_file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CredentialsUnusable):
        credentials_of(settings)


def test_a_secret_of_another_app_is_not_used(demo: DemoAccounts, tmp_path: Path, monkeypatch) -> None:
    settings = signed_in(demo, tmp_path, secret=APP.client_secret)
    monkeypatch.setenv("SPOTIPY_CLIENT_ID", NO_APP)
    assert credentials_of(demo.settings(tmp_path)) == Credentials(NO_APP)
    monkeypatch.setenv("SPOTIPY_CLIENT_ID", APP.client_id)
    assert credentials_of(demo.settings(tmp_path)) == credentials_of(settings)


@pytest.mark.parametrize("url", ["http://example.com", "ftp://127.0.0.1", "spotify"])
def test_tokens_are_sent_to_no_address_that_others_can_listen_at(tmp_path: Path, url: str, demo: DemoAccounts) -> None:
    with pytest.raises(ValueError, match="neither an https address nor one of this machine"):
        demo.settings(tmp_path, accounts_url=url)
