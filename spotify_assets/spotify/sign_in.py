"""A listener signs in: Spotify's page in a browser, the answer on a loopback address, then a look whether it works.

https://developer.spotify.com/documentation/web-api/tutorials/code-pkce-flow and, for redirect URIs,
https://developer.spotify.com/documentation/web-api/concepts/redirect_uri. A sign-in that fails changes nothing.
"""

from __future__ import annotations

import hashlib
import queue
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import requests
from spotipy.cache_handler import MemoryCacheHandler

from spotify_assets.listeners import Household
from spotify_assets.settings import Settings
from spotify_assets.spotify.client import SpotifyClient
from spotify_assets.spotify.credentials import Credentials, credentials_of, keep_credentials
from spotify_assets.spotify.errors import NotSignedIn, SpotifyError, WrongUse
from spotify_assets.spotify.sign_in_secret import forget_sign_in, keep_sign_ins, token_folder
from spotify_assets.spotify.token_folder import SignIn, TokenFolder
from spotify_assets.spotify.tokens import (
    SCOPES,
    TIMEOUT_SECONDS,
    AppManager,
    InvalidGrant,
    PkceManager,
    SecretManager,
    TokenSource,
    accounts_session,
    asking_accounts,
    manager_of,
)

REDIRECT_URI = "http://127.0.0.1/callback"
"""To be registered for the app. Without a port it allows every port, so that none need be kept free."""

DASHBOARD = "https://developer.spotify.com/dashboard"

_PASTES = 3
_PAGE_SECONDS = 5.0
_UNSURE_PAUSES_SECONDS = (1.0, 3.0)


class SignInFailed(SpotifyError):
    """A sign-in came to nothing; the text says why and what to do."""


class _OtherAnswer(Exception):
    """What came back is no answer to this sign-in."""


class Dialogue(Protocol):
    """How a sign-in talks with a person."""

    def explain_app(self, redirect_uri: str) -> None:
        """How to make an app, before its client id is asked for."""

    def ask_client_id(self) -> str:
        """The client id of the app."""

    def ask_client_secret(self) -> str:
        """The client secret of the app; empty to do without."""

    def show_redirect_uri(self, redirect_uri: str) -> None:
        """What must be registered, before any browser opens."""

    def show_address(self, url: str, *, seconds: float | None) -> None:
        """Spotify's page; `seconds` is how long the answer is waited for, None when it will be pasted."""

    def ask_answer(self) -> str:
        """The address to which the browser was sent."""

    def refuse_answer(self) -> None:
        """What was pasted is not it."""


@dataclass(frozen=True)
class SignedIn:
    """What a sign-in brought.

    Attributes:
        listener: Who signed in; empty when the app was named only.
        sign_in: What is kept of it.
        is_checked: Whether Spotify has told to whom the token belongs; when it could not, it may still refuse.
    """

    listener: str
    sign_in: SignIn
    is_checked: bool


def sign_in(
    settings: Settings,
    dialogue: Dialogue,
    *,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    client_id: str | None = None,
    uses_browser: bool = True,
) -> SignedIn:
    """Have the listener of the settings sign in, and keep the sign-in and the app in the home.

    Args:
        settings: The home, the listener, addresses.
        dialogue: To talk with a person.
        now: The time (UTC).
        sleep: To wait between two looks.
        client_id: The app, when it is to be another one than before.
        uses_browser: Open one and take the answer on a loopback address; else the answer is pasted.

    Raises:
        WrongUse: The redirect URI or the client id cannot be used.
        HouseholdError: listeners.toml does not name the listener.
        SpotifyError: It came to nothing. What was kept before is as it was.
    """
    listener = settings.listener
    Household.of(settings).check(listener)
    folder = _writable_folder(settings)
    credentials = _credentials(settings, dialogue, client_id)
    redirect = _Redirect.of(credentials.redirect_uri or REDIRECT_URI)
    dialogue.show_redirect_uri(redirect.uri)
    state = secrets.token_urlsafe(24)
    with _loopback(redirect, state) if uses_browser and redirect.is_loopback else nullcontext() as server:
        redirect_uri = server.redirect_uri if server else redirect.uri
        pending = _Pending(credentials, redirect_uri, state, settings.accounts_url, now)
        pending.look_at_page()
        dialogue.show_address(pending.url, seconds=settings.sign_in_seconds if server else None)

        def finish(answer: str) -> SignedIn:
            return _finish(settings, folder, credentials, pending, answer, sleep)

        if server is None:
            return _take_pasted(dialogue, finish)
        # Some browsers let nobody go on until they are closed.
        threading.Thread(target=_open_browser, args=(pending.url,), daemon=True).start()
        return server.take_answer(finish, settings.sign_in_seconds)


def name_app(
    settings: Settings, dialogue: Dialogue, *, now: Callable[[], datetime], client_id: str | None = None
) -> SignedIn:
    """Keep the app alone: what needs no listener (tracks, albums, artists) can be asked for with its own token.

    Raises:
        SpotifyError: Spotify does not give the app a token.
    """
    folder = _writable_folder(settings)
    credentials = _credentials(settings, dialogue, client_id, needs_secret=True)
    cache = MemoryCacheHandler()
    with asking_accounts(settings.accounts_url):
        manager = manager_of(AppManager, credentials, accounts_url=settings.accounts_url, cache=cache)
        manager.get_access_token(as_dict=False, check_cache=False)
    kept = SignIn.of_answer(cache.get_cached_token(), credentials, wanted=frozenset(), now=now())
    keep_credentials(settings.paths, credentials)
    folder.write("", kept)
    keep_sign_ins(settings)
    return SignedIn("", kept, is_checked=True)


def sign_out(settings: Settings) -> bool:
    """Forget the sign-in of the listener of the settings; whether there was one.

    Raises:
        TokensNotKept: It cannot be removed.
    """
    was_shared = forget_sign_in(settings, settings.listener)
    return TokenFolder(settings.paths.tokens_folder).remove(settings.listener) or was_shared


def token_source(settings: Settings, *, now: Callable[[], datetime]) -> TokenSource:
    """The tokens of a home.

    Raises:
        CredentialsUnusable: What names the app cannot be read.
    """
    return TokenSource(
        token_folder(settings),
        credentials_of(settings),
        accounts_url=settings.accounts_url,
        now=now,
    )


def signed_in_client(
    settings: Settings, *, now: Callable[[], datetime], sleep: Callable[[float], None]
) -> SpotifyClient | None:
    """Who asks Spotify for a home; None where no app is known.

    Args:
        settings: Of the home.
        now: Tells the instant (UTC).
        sleep: Waits for so many seconds.

    Raises:
        CredentialsUnusable: As `token_source`.
    """
    credentials = credentials_of(settings)
    if credentials is None:
        return None
    tokens = token_source(settings, now=now)
    return SpotifyClient.of_home(settings, tokens, now=now, sleep=sleep, application=credentials.client_id)


def _writable_folder(settings: Settings) -> TokenFolder:
    """Where sign-ins are kept; it is better to know now than when somebody has agreed that nothing can be written."""
    folder = TokenFolder(settings.paths.tokens_folder)
    with folder.sole_writer():
        return folder


def _credentials(
    settings: Settings, dialogue: Dialogue, client_id: str | None, *, needs_secret: bool = False
) -> Credentials:
    """The app as it is named, else as the person names it."""
    if not client_id and credentials_of(settings) is None:
        dialogue.explain_app(settings.redirect_uri or REDIRECT_URI)
        client_id = dialogue.ask_client_id().strip()
        if not client_id:
            raise WrongUse("No client id was given. Nothing was changed.")
    if client_id:
        settings = settings.model_copy(update={"client_id": client_id.strip()})
    named = credentials_of(settings)
    assert named is not None
    # Naming the app is also how one mends a wrong secret.
    asks_secret = client_id or (needs_secret and not named.client_secret)
    if asks_secret and not settings.client_secret and (secret := dialogue.ask_client_secret().strip()):
        named = replace(named, client_secret=secret)
    if needs_secret and not named.client_secret:
        raise WrongUse("Without its secret the app has no token of its own. Nothing was changed.")
    return named


@dataclass(frozen=True)
class _Redirect:
    """A redirect URI, taken apart.

    Attributes:
        host: Without brackets.
        port: None: any.
    """

    uri: str
    host: str
    port: int | None
    path: str
    is_loopback: bool

    @classmethod
    def of(cls, uri: str) -> _Redirect:
        """Raises: WrongUse: Spotify takes no such address."""
        try:
            parts = urlsplit(uri)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise WrongUse(f"The redirect URI {uri} is no address. {_register(REDIRECT_URI)}") from None
        if host == "localhost":
            better = parts._replace(netloc=f"127.0.0.1:{port}" if port else "127.0.0.1").geturl()
            raise WrongUse(f"Spotify refuses localhost in a redirect URI ({uri}). {_register(better)}")
        is_loopback = parts.scheme == "http" and host in ("127.0.0.1", "::1")
        if not (is_loopback or (parts.scheme == "https" and host)):
            raise WrongUse(
                f"Spotify refuses the redirect URI {uri}: it takes https addresses and http://127.0.0.1. "
                f"{_register(REDIRECT_URI)}"
            )
        return cls(uri, host, port, parts.path or "/", is_loopback)

    def with_port(self, port: int) -> str:
        """The address at which the answer is taken."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return urlsplit(self.uri)._replace(netloc=f"{host}:{port}").geturl()


def _register(uri: str) -> str:
    return f"Register {uri} for your app on {DASHBOARD} and set SPOTIPY_REDIRECT_URI to it (for {REDIRECT_URI}: unset)."


class _Pending:
    """A sign-in that was begun: Spotify's page, and what must come back from it."""

    def __init__(
        self,
        credentials: Credentials,
        redirect_uri: str,
        state: str,
        accounts_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._credentials = credentials
        self._state = state
        self._accounts_url = accounts_url
        self._now = now
        self._cache = MemoryCacheHandler()
        self._manager = manager_of(
            SecretManager if credentials.client_secret else PkceManager,
            credentials,
            accounts_url=accounts_url,
            cache=self._cache,
            redirect_uri=redirect_uri,
            state=state,
            scope=" ".join(sorted(SCOPES)),
        )
        # Else a browser in which somebody else of the household agreed before would answer without asking.
        self.url = f"{self._manager.get_authorize_url()}&show_dialog=true"

    def look_at_page(self) -> None:
        """Find out what can be known before a person looks at it.

        Raises:
            AccountsUnavailable: No network.
            SignInFailed: Spotify says that the app or its redirect URI is wrong.
        """
        with asking_accounts(self._accounts_url), accounts_session(self._accounts_url) as session:
            answer = session.get(self.url, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        if answer.status_code != 400:
            # Spotify may send to its login page first, and judge later.
            return
        if "redirect URI" in answer.text:
            raise SignInFailed(self._wrong_redirect_uri())
        if "INVALID_CLIENT" in answer.text:
            raise SignInFailed(
                f"Spotify knows no app with the client id {self._credentials.client_id}. Nothing was changed. Copy the "
                f"id from the page of your app on {DASHBOARD}, then: spotify-assets login --client-id ID"
            )

    def finish(self, answer: str) -> SignIn:
        """Turn the address to which the browser was sent into a sign-in.

        Raises:
            _OtherAnswer: It does not belong to this sign-in.
            SpotifyError: Consent was refused, or Spotify refuses the app.
        """
        told = _query(answer)
        if not secrets.compare_digest(told.get("state", "").encode(), self._state.encode()):
            raise _OtherAnswer
        if error := told.get("error"):
            if error == "access_denied":
                raise SignInFailed(
                    "You did not agree on Spotify's page, so nothing was changed. Without your consent there is no "
                    "live data; exports can be imported all the same."
                )
            raise SignInFailed(f"Spotify's page answered {error[:60]!r}. Nothing was changed; try again later.")
        if not (code := told.get("code")):
            raise _OtherAnswer
        try:
            with asking_accounts(self._accounts_url):
                if isinstance(self._manager, SecretManager):
                    self._manager.get_access_token(code, as_dict=False, check_cache=False)
                else:
                    self._manager.get_access_token(code, check_cache=False)
        except InvalidGrant as refused:
            if "redirect" in refused.description.lower():
                raise SignInFailed(self._wrong_redirect_uri()) from None
            raise SignInFailed(
                "Spotify does not take the answer any more: it is some minutes old or was used before. Nothing was "
                "changed; start again."
            ) from None
        signed_in = SignIn.of_answer(self._cache.get_cached_token(), self._credentials, wanted=SCOPES, now=self._now())
        if not signed_in.refresh_token:
            raise SignInFailed("Spotify gave no refresh token. Nothing was changed; try again later.")
        if missing := SCOPES - signed_in.scopes:
            raise SignInFailed(
                f"Spotify did not give the permission for {', '.join(sorted(missing))}. Nothing was changed; sign in "
                "again and agree to everything: it is read only."
            )
        return signed_in

    def _wrong_redirect_uri(self) -> str:
        return (
            "Spotify does not know the redirect URI of the app. Nothing was changed. Add exactly\n"
            f"  {self._credentials.redirect_uri or REDIRECT_URI}\n"
            f"to the redirect URIs of your app on {DASHBOARD} (Settings, Edit, Add, Save), then run this again."
        )


def _query(answer: str) -> dict[str, str]:
    """What stands behind the question mark of an address; the last one where a name stands there twice."""
    try:
        return {name: values[-1] for name, values in parse_qs(urlsplit(answer.strip()).query).items()}
    except ValueError:
        return {}


def _finish(
    settings: Settings,
    folder: TokenFolder,
    credentials: Credentials,
    pending: _Pending,
    answer: str,
    sleep: Callable[[float], None],
) -> SignedIn:
    signed_in = pending.finish(answer)
    profile = _profile(settings.api_url, signed_in.access_token, sleep)
    if profile is not None:
        ids = (profile.get(name) for name in ("account_id", "id"))
        hashes = (hashlib.sha256(each.encode()).hexdigest() for each in ids if isinstance(each, str) and each)
        signed_in = replace(signed_in, accounts=frozenset(hashes))
    with folder.sole_writer():
        _refuse_other_account(folder, settings.listener, signed_in)
        folder.write(settings.listener, signed_in)
        keep_credentials(settings.paths, credentials)
        keep_sign_ins(settings)
    return SignedIn(settings.listener, signed_in, is_checked=profile is not None)


def _profile(api_url: str, access_token: str, sleep: Callable[[float], None]) -> dict[str, Any] | None:
    """Whose token it is; None when Spotify could not tell.

    Raises:
        SignInFailed: The dashboard does not allow it.
    """
    for pause_seconds in (*_UNSURE_PAUSES_SECONDS, None):
        try:
            with accounts_session(api_url) as session:
                headers = {"Authorization": f"Bearer {access_token}"}
                answer = session.get(f"{api_url}/me", headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False)
            if answer.status_code == 403:
                raise SignInFailed(_why_forbidden(answer.text))
            if answer.status_code == 200:
                told = answer.json()
                return told if isinstance(told, dict) else None
        except (requests.RequestException, ValueError):
            return None
        # Since July 2026 a good token is now and then answered with 401 for some seconds.
        if answer.status_code != 401 or pause_seconds is None:
            return None
        sleep(pause_seconds)
    return None


def _why_forbidden(text: str) -> str:
    told = text.lower()
    if "premium" in told:
        return (
            "Spotify refuses the app because its owner has no Premium: the account that made the app on "
            f"{DASHBOARD} needs it (a listener does not). Nothing was changed. After subscribing it can take some "
            "hours; then run this again. Exports can be imported all the same."
        )
    if "register" in told or "not approved" in told:
        return (
            "Spotify refuses this account because it is not registered for the app. Nothing was changed. Add its name "
            f"and e-mail address on {DASHBOARD}, your app, User Management (at most 5 listeners), then run this again. "
            "If you meant another account: log out on https://www.spotify.com first."
        )
    return (
        f"Spotify refuses the app (403). Nothing was changed. Look at the state of your app on {DASHBOARD}, then run "
        "this again."
    )


def _refuse_other_account(folder: TokenFolder, listener: str, signed_in: SignIn) -> None:
    """Two people's plays under one name could never be told apart again."""
    if not signed_in.accounts:
        return
    for each in folder.listeners():
        try:
            known = folder.read(each)
        except NotSignedIn:
            continue
        accounts = known.accounts if known else frozenset()
        if each == listener and accounts and not accounts & signed_in.accounts:
            raise SignInFailed(
                f"This is another Spotify account than the one with which {listener} signed in before. Nothing was "
                "changed. Log out on https://www.spotify.com and sign in with the right one; if the account is to be "
                f'another one from now on: spotify-assets logout --listener "{listener}", then sign in.'
            )
        if each != listener and accounts & signed_in.accounts:
            raise SignInFailed(
                f"With this Spotify account {each} is signed in already, so {listener} would get the same plays. "
                "Nothing was changed. Log out on https://www.spotify.com and sign in with the right account, or: "
                f'spotify-assets logout --listener "{each}"'
            )


def _open_browser(url: str) -> None:
    # Without any, the address that is shown has to do.
    with suppress(webbrowser.Error, OSError):
        webbrowser.open(url)


def _take_pasted(dialogue: Dialogue, finish: Callable[[str], SignedIn]) -> SignedIn:
    for _ in range(_PASTES):
        try:
            return finish(dialogue.ask_answer())
        except _OtherAnswer:
            dialogue.refuse_answer()
    raise SignInFailed("No answer of Spotify's page was pasted. Nothing was changed; start again.")


@dataclass
class _Answer:
    """A request of the browser that waits for its page."""

    url: str
    page: queue.SimpleQueue[bytes] = field(default_factory=queue.SimpleQueue)
    is_shown: threading.Event = field(default_factory=threading.Event)


class _Server(ThreadingHTTPServer):
    """Takes the answer of Spotify's page. Threads, because browsers open connections that they do not use."""

    daemon_threads = True
    # Two sign-ins at one port would steal each other's answers.
    allow_reuse_port = False

    def __init__(self, redirect: _Redirect, state: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in redirect.host else socket.AF_INET
        super().__init__((redirect.host, redirect.port or 0), _Handler)
        self.path = redirect.path
        self.redirect_uri = redirect.with_port(self.server_address[1])
        self.state = state
        self.answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called: on some that takes half a minute."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def take_answer(self, finish: Callable[[str], SignedIn], seconds: float) -> SignedIn:
        """Wait for the one answer that bears the state, finish with it, and show how it went.

        Raises:
            SignInFailed: None came in time.
            SpotifyError: As `finish`.
        """
        try:
            answer = self.answers.get(timeout=seconds)
        except queue.Empty:
            raise SignInFailed(
                f"No answer came within {seconds:.0f} s. Nothing was changed. If Spotify's page said INVALID_CLIENT or "
                "showed another error, register the redirect URI as told above and start again; where no browser "
                "reaches this machine: spotify-assets login --no-browser"
            ) from None
        return self._show_how_it_went(answer, finish)

    def _show_how_it_went(self, answer: _Answer, finish: Callable[[str], SignedIn]) -> SignedIn:
        page = _answer_page(_FAILED, "That did not work", "The terminal says why.")
        try:
            signed_in = finish(answer.url)
            page = _answer_page(
                _DONE, "You are signed in", "You can close this page. The terminal says what works now."
            )
            return signed_in
        except _OtherAnswer:
            raise SignInFailed("Spotify's page answered without a code. Nothing was changed; start again.") from None
        except SpotifyError as failed:
            page = _answer_page(_FAILED, "That did not work", str(failed))
            raise
        finally:
            answer.page.put(page)
            answer.is_shown.wait(_PAGE_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 30

    def do_GET(self) -> None:
        if urlsplit(self.path).path != self.server.path:
            self._send(404, _answer_page(_FAILED, "Nothing is here", "This address only waits for Spotify's answer."))
            return
        told = _query(self.path).get("state", "")
        if not secrets.compare_digest(told.encode(), self.server.state.encode()):
            self._send(
                400, _answer_page(_FAILED, "Not our question", "This is no answer to the sign-in that is waiting.")
            )
            return
        answer = _Answer(self.path)
        self.server.answers.put(answer)
        try:
            self._send(200, answer.page.get())
        finally:
            answer.is_shown.set()

    def _send(self, status: int, page: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(page))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
            # The code stands in this page's address.
            ("Referrer-Policy", "no-referrer"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the code would stand in it."""


@contextmanager
def _loopback(redirect: _Redirect, state: str) -> Iterator[_Server]:
    """Listen at a loopback address for as long as the context lasts."""
    try:
        server = _Server(redirect, state)
    except OSError as error:
        where = f"port {redirect.port} of {redirect.host}" if redirect.port else redirect.host
        raise SignInFailed(
            f"The answer of Spotify's page cannot be taken at {where}: {error.strerror or error}. Nothing was changed. "
            "End the program that listens there, or paste the answer (spotify-assets login --no-browser), or use a "
            f"redirect URI without a port, for which any free one will do. {_register(REDIRECT_URI)}"
        ) from None
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


_STYLE = """
:root { color-scheme: light dark; --back: #eef2f1; --card: #fff; --text: #17211d; --soft: #5d6b65; --line: #dde5e2; }
@media (prefers-color-scheme: dark) {
  :root { --back: #111614; --card: #1a211e; --text: #f1f5f3; --soft: #a3b1ab; --line: #2b3530; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px; background: var(--back);
  color: var(--text); font: 17px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { width: 100%; max-width: 460px; padding: 40px 36px; text-align: center; overflow-wrap: anywhere;
  background: var(--card); border: 1px solid var(--line); border-radius: 18px; }
i { display: grid; place-items: center; width: 56px; height: 56px; margin: 0 auto 20px; border-radius: 50%;
  font: 600 28px/1 system-ui, sans-serif; color: #fff; background: #1c8a52; }
i.failed { background: #b3402f; }
h1 { font-size: 25px; line-height: 1.25; margin: 0 0 10px; }
p { margin: 0; color: var(--soft); white-space: pre-line; }
small { display: block; margin-top: 28px; color: var(--soft); }
"""
_DONE, _FAILED = "<i>✓</i>", '<i class="failed">!</i>'


def _answer_page(mark: str, title: str, text: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>{mark}<h1>{escape(title)}</h1><p>{escape(text)}</p><small>spotify_assets, on this machine</small>"
        "</main></body></html>"
    ).encode()
