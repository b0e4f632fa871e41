"""The demo's accounts service: who may ask what, and for how long.

Follows https://developer.spotify.com/documentation/web-api/concepts/authorization, for redirect URIs
https://developer.spotify.com/documentation/web-api/concepts/redirect_uri, and for the end of refresh tokens
https://developer.spotify.com/blog/2026-06-18-refresh-token-expiration. Whom the dashboard does not allow signs in
all the same, and is refused by the Web API.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from dateutil.relativedelta import relativedelta
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from spotify_assets.demo.spotify.tokens import LIFETIME, Tokens

CODE_LIFE = timedelta(minutes=10)
REFRESH_TOKEN_LIFE = relativedelta(months=6)
"""Counted from the moment at which the listener agreed; refreshing does not extend it."""

SCOPES: Mapping[str, str] = {
    "user-read-private": "Your country and subscription",
    "user-read-email": "Your e-mail address",
    "user-read-recently-played": "What you have played recently",
    "user-top-read": "Your top artists and tracks",
    "user-library-read": "What you have saved in Your Library",
    "playlist-read-private": "Your private playlists",
    "playlist-read-collaborative": "Your collaborative playlists",
}
"""What a listener is asked to agree to, in words."""

_LOOPBACKS = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class DemoApp:
    """An app of the dashboard.

    Attributes:
        redirect_uris: As registered; a loopback address without a port stands for every port.
    """

    client_id: str = "0123456789abcdef0123456789abcdef"
    client_secret: str = "fedcba9876543210fedcba9876543210"
    name: str = "My lakehouse"
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1/callback", "http://[::1]/callback")

    def allows(self, redirect_uri: str) -> bool:
        """Whether a redirect URI is one of the registered ones."""
        return redirect_uri in self.redirect_uris or _without_port(redirect_uri) in self.redirect_uris


@dataclass(frozen=True, slots=True)
class _Question:
    """What a listener is asked on the consent page."""

    app: DemoApp
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None
    challenge: str | None


@dataclass(frozen=True, slots=True)
class _Consent:
    """A listener agreed: what an authorization code stands for."""

    question: _Question
    listener: str
    agreed_at: datetime


@dataclass(frozen=True, slots=True)
class _Renewable:
    """What a refresh token stands for."""

    consent: _Consent
    is_pkce: bool


class _Refused(Exception):
    """An error of /api/token: `error` and `error_description` of OAuth 2.0."""


class Accounts:
    """The accounts service of the demo.

    Args:
        tokens: Where the access tokens that it hands out are known.
        now: The time (UTC).
        apps: The apps of the dashboard.
        listeners: Who may be signed in to Spotify in this browser; the consent page lets choose.
        rotates_refresh_tokens: Whether a refresh brings a new refresh token and ends the old one. Spotify does not,
            but promises nothing; its answer has no `refresh_token` then.
    """

    def __init__(
        self,
        tokens: Tokens,
        now: Callable[[], datetime],
        *,
        apps: Sequence[DemoApp] = (DemoApp(),),
        listeners: Sequence[str] = ("demo",),
        rotates_refresh_tokens: bool = False,
    ) -> None:
        self._tokens = tokens
        self._now = now
        self._apps = {app.client_id: app for app in apps}
        self._listeners = tuple(listeners)
        self._rotates_refresh_tokens = rotates_refresh_tokens
        self._questions: dict[str, _Question] = {}
        self._consents: dict[str, _Consent] = {}
        self._renewables: dict[str, _Renewable] = {}
        self.refreshes = 0
        """How often a refresh token was used with success."""

    @property
    def routes(self) -> list[Route]:
        """/authorize and /api/token."""
        return [
            Route("/authorize", self._ask, methods=["GET"]),
            Route("/authorize", self._decide, methods=["POST"]),
            Route("/api/token", self._token, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        asked = request.query_params
        app = self._apps.get(asked.get("client_id", ""))
        if app is None:
            return _error_page("INVALID_CLIENT: Invalid client")
        redirect_uri = asked.get("redirect_uri", "")
        if not _is_secure(redirect_uri):
            return _error_page("INVALID_CLIENT: Insecure redirect URI")
        if not app.allows(redirect_uri):
            return _error_page("INVALID_CLIENT: Invalid redirect URI")
        if asked.get("response_type") != "code":
            return _error_page("response_type must be code")
        scopes = tuple(asked.get("scope", "").split())
        if not set(scopes) <= SCOPES.keys():
            return _error_page("INVALID_SCOPE: Invalid scope")
        challenge = asked.get("code_challenge")
        if challenge is not None and asked.get("code_challenge_method") != "S256":
            return _error_page("code_challenge_method must be S256")
        number = secrets.token_urlsafe(24)
        self._questions[number] = _Question(app, redirect_uri, scopes, asked.get("state"), challenge)
        return _page(f"Agree to {app.name}?", _consent_form(app, scopes, self._listeners, number))

    async def _decide(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        question = self._questions.pop(form.get("question", ""), None)
        listener = form.get("listener", "")
        if question is None or listener not in self._listeners:
            return _error_page("This page was answered before. Start the sign-in once more.")
        if form.get("decision") == "agree":
            code = secrets.token_urlsafe(48)
            self._consents[code] = _Consent(question, listener, self._now())
            answer = {"code": code}
        else:
            answer = {"error": "access_denied"}
        if question.state is not None:
            answer["state"] = question.state
        joint = "&" if urlsplit(question.redirect_uri).query else "?"
        return RedirectResponse(f"{question.redirect_uri}{joint}{urlencode(answer)}", 303)

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        grants = {
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh_token,
            "client_credentials": self._by_client_credentials,
        }
        try:
            grant = grants.get(form.get("grant_type", ""))
            if grant is None:
                raise _Refused("unsupported_grant_type", "grant_type parameter is missing or unknown")
            app, is_secret_known = self._client(request.headers.get("authorization"), form)
            return JSONResponse(grant(app, is_secret_known, form), headers={"Cache-Control": "no-store"})
        except _Refused as refused:
            error, description = refused.args
            return JSONResponse({"error": error, "error_description": description}, 400)

    def _client(self, authorization: str | None, form: Mapping[str, str]) -> tuple[DemoApp, bool]:
        """The app that asks, and whether it has proven its secret."""
        client_id, secret = form.get("client_id", ""), form.get("client_secret")
        if authorization is not None:
            try:
                told = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode()
            except ValueError:
                raise _Refused("invalid_client", "Invalid authorization header") from None
            client_id, _, secret = told.partition(":")
        app = self._apps.get(client_id)
        if app is None:
            raise _Refused("invalid_client", "Invalid client")
        if secret is not None and not secrets.compare_digest(secret.encode(), app.client_secret.encode()):
            raise _Refused("invalid_client", "Invalid client secret")
        return app, secret is not None

    def _by_code(self, app: DemoApp, is_secret_known: bool, form: Mapping[str, str]) -> dict[str, object]:
        consent = self._consents.pop(form.get("code", ""), None)
        if consent is None or consent.question.app is not app or self._now() >= consent.agreed_at + CODE_LIFE:
            raise _Refused("invalid_grant", "Invalid authorization code")
        if form.get("redirect_uri") != consent.question.redirect_uri:
            raise _Refused("invalid_grant", "Invalid redirect URI")
        challenge = consent.question.challenge
        if challenge is not None:
            if _challenge(form.get("code_verifier", "")) != challenge:
                raise _Refused("invalid_grant", "code_verifier was incorrect")
        elif not is_secret_known:
            raise _Refused("invalid_client", "Invalid client secret")
        refresh_token = secrets.token_urlsafe(96)
        self._renewables[refresh_token] = _Renewable(consent, is_pkce=challenge is not None)
        return {**self._issue(consent.listener, consent.question.scopes), "refresh_token": refresh_token}

    def _by_refresh_token(self, app: DemoApp, is_secret_known: bool, form: Mapping[str, str]) -> dict[str, object]:
        refresh_token = form.get("refresh_token", "")
        renewable = self._renewables.get(refresh_token)
        if renewable is None or renewable.consent.question.app is not app:
            raise _Refused("invalid_grant", "Invalid refresh token")
        if not (renewable.is_pkce or is_secret_known):
            raise _Refused("invalid_client", "Invalid client secret")
        consent = renewable.consent
        if self._now() >= consent.agreed_at + REFRESH_TOKEN_LIFE:
            raise _Refused("invalid_grant", "Refresh token expired")
        self.refreshes += 1
        answer = self._issue(consent.listener, consent.question.scopes)
        if self._rotates_refresh_tokens:
            del self._renewables[refresh_token]
            answer["refresh_token"] = secrets.token_urlsafe(96)
            self._renewables[answer["refresh_token"]] = renewable
        return answer

    def _by_client_credentials(self, app: DemoApp, is_secret_known: bool, form: Mapping[str, str]) -> dict[str, object]:
        if not is_secret_known:
            raise _Refused("invalid_client", "Invalid client secret")
        answer = self._issue("", ())
        del answer["scope"]
        return answer

    def _issue(self, listener: str, scopes: Sequence[str]) -> dict[str, object]:
        token = self._tokens.issue(listener, scopes)
        seconds = int(LIFETIME.total_seconds())
        return {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": " ".join(scopes)}


def answer_consent_page(
    url: str, *, decision: str = "agree", listener: str = "demo", follows: bool = True
) -> requests.Response:
    """Do what a person does on the consent page.

    :param url: of the page, with everything that an app asks for.
    :param decision: ``agree`` or ``cancel``.
    :param follows: False returns the redirect itself: its `Location` is where the browser would end.
    :raises ValueError: when there is no consent page, but an error.
    """
    with requests.Session() as session:
        session.trust_env = False
        page = session.get(url, timeout=10)
        number = re.search(r'name="question" value="([^"]+)"', page.text)
        if not number:
            raise ValueError(f"this is no consent page: {page.text}")
        form = {"question": number[1], "decision": decision, "listener": listener}
        return session.post(url.partition("?")[0], data=form, timeout=30, allow_redirects=follows)


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _is_secure(redirect_uri: str) -> bool:
    try:
        parts = urlsplit(redirect_uri)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACKS)


def _without_port(redirect_uri: str) -> str:
    """A loopback address without its port; every other one as it is."""
    parts = urlsplit(redirect_uri)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACKS:
        return redirect_uri
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts._replace(netloc=host).geturl()


_STYLE = """
:root { color-scheme: dark; }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px;
  background: radial-gradient(120% 90% at 50% 0%, #24323a 0%, #12171b 60%); color: #f4f6f7;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { width: 100%; max-width: 440px; background: #1b2126; border: 1px solid #2c353c; border-radius: 18px;
  padding: 32px; box-shadow: 0 24px 60px #0008; }
.mark { display: flex; align-items: center; gap: 10px; color: #9fb0ba; font-size: 14px; }
.mark i { display: flex; align-items: flex-end; gap: 3px; height: 20px; }
.mark i b { width: 4px; border-radius: 2px; background: #3ddc84; }
h1 { font-size: 24px; line-height: 1.25; margin: 20px 0 6px; overflow-wrap: anywhere; }
p { margin: 0 0 16px; color: #b9c5cc; }
ul { list-style: none; margin: 0 0 20px; padding: 4px 16px; background: #141a1e; border-radius: 12px; }
li { padding: 10px 0 10px 28px; position: relative; }
li + li { border-top: 1px solid #232b31; }
li::before { content: ""; position: absolute; left: 2px; top: 17px; width: 12px; height: 6px;
  border: solid #3ddc84; border-width: 0 0 2px 2px; transform: rotate(-45deg); }
label { display: block; font-size: 14px; color: #9fb0ba; margin-bottom: 20px; }
select { width: 100%; margin-top: 6px; padding: 11px 12px; font: inherit; font-size: 16px; color: #f4f6f7;
  background: #141a1e; border: 1px solid #35414a; border-radius: 10px; }
button { width: 100%; padding: 13px; font: inherit; font-weight: 600; border-radius: 999px; cursor: pointer;
  border: 1px solid transparent; }
.agree { background: #3ddc84; color: #08130c; } .agree:hover { background: #62e79d; }
.cancel { background: none; color: #f4f6f7; margin-top: 10px; } .cancel:hover { border-color: #47545e; }
button:focus-visible, select:focus-visible { outline: 3px solid #9ff0c3; outline-offset: 2px; }
small { display: block; margin-top: 20px; color: #8496a1; }
code { overflow-wrap: anywhere; }
"""
_MARK = (
    '<div class="mark"><i><b style="height:45%"></b><b style="height:100%"></b><b style="height:70%"></b></i>'
    "Demo Spotify · accounts</div>"
)


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>{_MARK}{body}</main></body></html>",
        status,
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
        },
    )


def _error_page(message: str) -> HTMLResponse:
    return _page("Error", f"<h1>Something is not right</h1><p><code>{escape(message)}</code></p>", 400)


def _consent_form(app: DemoApp, scopes: Sequence[str], listeners: Sequence[str], number: str) -> str:
    wanted = "".join(f'<li title="{escape(scope)}">{escape(SCOPES[scope])}</li>' for scope in scopes)
    told = f"<p>If you agree, it can read:</p><ul>{wanted}</ul>" if scopes else "<p>It asks for nothing private.</p>"
    choices = "".join(f"<option>{escape(listener)}</option>" for listener in listeners)
    return (
        f"<h1>{escape(app.name)} would like to connect to your account</h1>{told}"
        '<form method="post" action="/authorize">'
        f'<input type="hidden" name="question" value="{escape(number)}">'
        f'<label>Signed in as<select name="listener">{choices}</select></label>'
        '<button class="agree" name="decision" value="agree">Agree</button>'
        '<button class="cancel" name="decision" value="cancel">Cancel</button></form>'
        "<small>An invented listener and an invented Spotify: nothing leaves this machine.</small>"
    )
