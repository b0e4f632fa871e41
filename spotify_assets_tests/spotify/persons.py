"""Somebody at the keyboard and in the browser: signs in where a test needs a sign-in or a refusal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from spotify_assets.demo.spotify.accounts import answer_consent_page
from spotify_assets.settings import Settings
from spotify_assets.spotify.sign_in import SignedIn, sign_in
from spotify_assets_tests.spotify.demo_accounts import APP, DemoAccounts


class Person:
    """Answers what a sign-in asks (`spotify.sign_in.Dialogue`), and remembers what was shown.

    Args:
        client_id: What is typed when the app's is asked for.
        secret: Likewise.
        decision: `agree` or `cancel` on the consent page.
        listener: Which account is signed in there.
        waits: Look at no page at all.
        pasted: Turns the address at which the browser ends into what is pasted, one after the other.
    """

    def __init__(
        self,
        *,
        client_id: str = APP.client_id,
        secret: str = "",
        decision: str = "agree",
        listener: str = "demo",
        waits: bool = False,
        pasted: tuple[Callable[[str], str], ...] = (str,),
    ) -> None:
        self._client_id = client_id
        self._secret = secret
        self._decision = decision
        self._listener = listener
        self._waits = waits
        self._pasted = list(pasted)
        self._browsing: threading.Thread | None = None
        self._end = ""
        self.shown: list[str] = []
        self.page = ""
        self.code = ""

    def explain_app(self, redirect_uri: str) -> None:
        self.shown.append(f"make an app with {redirect_uri}")

    def ask_client_id(self) -> str:
        self.shown.append("client id?")
        return self._client_id

    def ask_client_secret(self) -> str:
        self.shown.append("secret?")
        return self._secret

    def show_redirect_uri(self, redirect_uri: str) -> None:
        self.shown.append(f"register {redirect_uri}")

    def show_address(self, url: str, *, seconds: float | None) -> None:
        self.shown.append("address")
        if self._waits:
            return
        if seconds is None:
            self._end = self._answer(url)
            return
        self._browsing = threading.Thread(target=self._browse, args=(url,))
        self._browsing.start()

    def ask_answer(self) -> str:
        self.shown.append("answer?")
        return self._pasted.pop(0)(self._end)

    def refuse_answer(self) -> None:
        self.shown.append("not that")

    def close_browser(self) -> None:
        """Wait until the last page was shown."""
        if self._browsing:
            self._browsing.join(30)

    def _answer(self, url: str) -> str:
        answer = answer_consent_page(url, decision=self._decision, listener=self._listener, follows=False)
        end = answer.headers["Location"]
        self.code = parse_qs(urlsplit(end).query).get("code", [""])[0]
        return end

    def _browse(self, url: str) -> None:
        import requests

        with requests.Session() as session:
            session.trust_env = False
            self.page = session.get(self._answer(url), timeout=30).text


def try_to_sign_in(settings: Settings, demo: DemoAccounts, person: Person, **options: object) -> SignedIn:
    """`sign_in` with a person, by the demo's clock."""
    try:
        return sign_in(settings, person, now=demo.clock.now, sleep=lambda seconds: None, **options)
    finally:
        person.close_browser()


def signed_in(demo: DemoAccounts, home: Path, *, secret: str = "", person: Person | None = None) -> Settings:
    """Settings of a home whose listener `demo` has signed in."""
    settings = demo.settings(home)
    try_to_sign_in(settings, demo, person or Person(secret=secret), client_id=APP.client_id, uses_browser=False)
    return settings
