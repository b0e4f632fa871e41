"""The demo's accounts service answers as Spotify's does, in what a client can notice."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from spotify_assets.demo.spotify.accounts import answer_consent_page
from spotify_assets_tests.spotify.demo_accounts import APP, DemoAccounts, running

CALLBACK = "http://127.0.0.1:5123/callback"
VERIFIER = "v" * 60
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoAccounts]:
    with running() as demo:
        yield demo


def page_of(demo: DemoAccounts, **changes: str | None) -> requests.Response:
    asked = {
        "client_id": APP.client_id,
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": "user-top-read user-library-read",
        "state": "our-state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes
    told = {name: value for name, value in asked.items() if value is not None}
    return requests.get(f"{demo.address}/authorize", params=told, timeout=10, allow_redirects=False)


def code_of(demo: DemoAccounts, **changes: str | None) -> str:
    answer = answer_consent_page(page_of(demo, **changes).url, follows=False)
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


def token(demo: DemoAccounts, *, secret: str | None = None, **form: str) -> requests.Response:
    authorization = (APP.client_id, secret) if secret else None
    return requests.post(f"{demo.address}/api/token", data=form, auth=authorization, timeout=10)


def exchange(demo: DemoAccounts, code: str, **changes: str) -> requests.Response:
    form = {"grant_type": "authorization_code", "client_id": APP.client_id, "code": code}
    return token(demo, **(form | {"redirect_uri": CALLBACK, "code_verifier": VERIFIER} | changes))


def refresh(demo: DemoAccounts, refresh_token: str) -> requests.Response:
    return token(demo, grant_type="refresh_token", refresh_token=refresh_token, client_id=APP.client_id)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"client_id": "0" * 32}, "INVALID_CLIENT: Invalid client"),
        ({"redirect_uri": "http://127.0.0.1:5123/elsewhere"}, "INVALID_CLIENT: Invalid redirect URI"),
        ({"redirect_uri": "https://example.com/callback"}, "INVALID_CLIENT: Invalid redirect URI"),
        ({"redirect_uri": "http://localhost:5123/callback"}, "INVALID_CLIENT: Insecure redirect URI"),
        ({"redirect_uri": "http://192.168.0.2/callback"}, "INVALID_CLIENT: Insecure redirect URI"),
        ({"redirect_uri": "http://[::"}, "INVALID_CLIENT: Insecure redirect URI"),
        ({"response_type": "token"}, "response_type must be code"),
        ({"scope": "user-read-everything"}, "INVALID_SCOPE"),
        ({"code_challenge_method": "plain"}, "code_challenge_method must be S256"),
    ],
)
def test_what_cannot_be_asked_for_gets_a_page_and_no_redirect(
    demo: DemoAccounts, changes: dict[str, str], told: str
) -> None:
    page = page_of(demo, **changes)
    assert page.status_code == 400 and told in page.text


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1/callback", "http://127.0.0.1/callback", "http://[::1]:77/callback"]
)
def test_a_loopback_address_without_a_port_stands_for_every_port(demo: DemoAccounts, uri: str) -> None:
    assert page_of(demo, redirect_uri=uri).status_code == 200


def test_the_consent_page_says_who_asks_for_what_and_loads_nothing_from_elsewhere(demo: DemoAccounts) -> None:
    page = page_of(demo).text
    assert APP.name in page and "Your top artists and tracks" in page and "What you have saved" in page
    assert "recently" not in page
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page


def test_consent_refused_comes_back_as_access_denied_with_the_state(demo: DemoAccounts) -> None:
    answer = answer_consent_page(page_of(demo).url, decision="cancel", follows=False)
    assert answer.headers["Location"] == f"{CALLBACK}?error=access_denied&state=our-state"


def test_a_code_is_good_once(demo: DemoAccounts) -> None:
    code = code_of(demo)
    first, second = exchange(demo, code), exchange(demo, code)
    assert exchange(demo, "other").json()["error_description"] == "Invalid authorization code"
    assert first.json().keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert demo.tokens.listener_of(first.json()["access_token"]) == "demo"
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"code_verifier": "w" * 60}, "invalid_grant", "code_verifier was incorrect"),
        ({"redirect_uri": "http://127.0.0.1:5124/callback"}, "invalid_grant", "Invalid redirect URI"),
        ({"client_id": "0" * 32}, "invalid_client", "Invalid client"),
        ({"client_secret": "0" * 32}, "invalid_client", "Invalid client secret"),
        ({"grant_type": "password"}, "unsupported_grant_type", "grant_type parameter is missing or unknown"),
    ],
)
def test_a_code_is_given_a_token_only_for_the_right_words(
    demo: DemoAccounts, changes: dict[str, str], error: str, description: str
) -> None:
    answer = exchange(demo, code_of(demo), **changes)
    assert (answer.status_code, answer.json()) == (400, {"error": error, "error_description": description})


def test_a_code_that_was_asked_for_without_a_challenge_needs_the_secret(demo: DemoAccounts) -> None:
    plain = {"code_challenge": None, "code_challenge_method": None}
    assert exchange(demo, code_of(demo, **plain)).json()["error"] == "invalid_client"
    form = {"grant_type": "authorization_code", "code": code_of(demo, **plain), "redirect_uri": CALLBACK}
    assert token(demo, secret=APP.client_secret, **form).status_code == 200


def test_an_old_code_is_refused(demo: DemoAccounts) -> None:
    code = code_of(demo)
    demo.clock.forward(minutes=11)
    assert exchange(demo, code).json()["error"] == "invalid_grant"


def test_the_app_s_own_token_needs_the_secret_and_is_nobody_s(demo: DemoAccounts) -> None:
    refused = token(demo, grant_type="client_credentials", client_id=APP.client_id)
    assert refused.json()["error"] == "invalid_client"
    answer = token(demo, secret=APP.client_secret, grant_type="client_credentials").json()
    assert demo.tokens.listener_of(answer["access_token"]) == "" and "refresh_token" not in answer


def test_a_refresh_token_dies_six_months_after_the_consent_however_often_it_is_used() -> None:
    with running() as demo:
        refresh_token = exchange(demo, code_of(demo)).json()["refresh_token"]
        for _ in range(25):
            answer = refresh(demo, refresh_token)
            assert answer.status_code == 200 and "refresh_token" not in answer.json()
            demo.clock.forward(days=7)
        demo.clock.forward(days=10)
        answer = refresh(demo, refresh_token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_refresh_token_may_be_replaced_by_another() -> None:
    with running(rotates_refresh_tokens=True) as demo:
        first = exchange(demo, code_of(demo)).json()["refresh_token"]
        second = refresh(demo, first).json()["refresh_token"]
        assert refresh(demo, first).json()["error"] == "invalid_grant"
        assert refresh(demo, second).status_code == 200


def test_a_consent_page_is_answered_once(demo: DemoAccounts) -> None:
    answer = requests.post(f"{demo.address}/authorize", data={"question": "x", "decision": "agree"}, timeout=10)
    assert answer.status_code == 400 and "answered before" in answer.text
