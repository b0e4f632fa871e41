"""The access tokens that the demo Spotify has handed out: whose they are, what they allow, how long they live."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

ALL_SCOPES = frozenset(
    {
        "user-read-recently-played",
        "user-top-read",
        "user-library-read",
        "playlist-read-private",
        "playlist-read-collaborative",
        "user-read-private",
        "user-read-email",
    }
)
"""The scopes that some endpoint of the demo asks for."""

LIFETIME = timedelta(seconds=3600)
_TEST_TOKEN = "demo-TOKEN-for-"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token stands for. ``listener`` is empty for the app's own token (client credentials)."""

    listener: str
    scopes: frozenset[str]
    expires_at: datetime | None


class Tokens:
    """Registry of access tokens, shared by the accounts service (which issues) and the Web API (which asks).

    The token ``demo-TOKEN-for-{listener}`` needs no issuing: it has every scope and lives until it is expired
    by hand. Without a listener it is the app's own.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._grants: dict[str, Grant] = {}
        self._expired: set[str] = set()

    @staticmethod
    def of_tests(listener: str = "") -> str:
        """The token that needs no issuing."""
        return f"{_TEST_TOKEN}{listener}"

    def issue(self, listener: str, scopes: Iterable[str] = ALL_SCOPES, lifetime: timedelta = LIFETIME) -> str:
        """A new token for a listener; for the app itself when ``listener`` is empty."""
        token = secrets.token_urlsafe(48)
        self._grants[token] = Grant(listener, frozenset(scopes), self._now() + lifetime)
        return token

    def expire(self, token: str) -> None:
        """Let a token die now, whatever time it had left."""
        self._expired.add(token)

    def is_expired(self, token: str) -> bool:
        """True for a token that was valid once."""
        if token in self._expired:
            return True
        grant = self._grants.get(token)
        return grant is not None and grant.expires_at is not None and grant.expires_at <= self._now()

    def grant_of(self, token: str) -> Grant | None:
        """What the token allows; None when it was never issued or has expired."""
        if self.is_expired(token):
            return None
        if token.startswith(_TEST_TOKEN):
            return Grant(token.removeprefix(_TEST_TOKEN), ALL_SCOPES, None)
        return self._grants.get(token)

    def listener_of(self, token: str) -> str | None:
        """Whose token it is, empty for the app's own; None when it was never issued or has expired."""
        grant = self.grant_of(token)
        return None if grant is None else grant.listener
