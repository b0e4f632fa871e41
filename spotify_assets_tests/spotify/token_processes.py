"""What other processes do to a folder of tokens. A module of its own, so that they load no more than that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spotify_assets.spotify.credentials import Credentials
from spotify_assets.spotify.token_folder import SignIn, TokenFolder
from spotify_assets.spotify.tokens import SCOPES, TokenSource

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def a_sign_in(**changes: Any) -> SignIn:
    """A sign-in of nobody, good for an hour from `NOW`."""
    told = {
        "access_token": "access-of-nobody",
        "refresh_token": "refresh-of-nobody",
        "expires_at": NOW + timedelta(hours=1),
        "scopes": SCOPES,
        "client_id": "0123456789abcdef0123456789abcdef",
        "is_pkce": True,
        "authorized_at": NOW,
    }
    return SignIn(**{**told, **changes})


def renew(folder: Path, address: str, client_id: str, start: Any, answers: Any) -> None:
    """Ask for a token once `start` is set; answers with "ready" and the token."""
    tokens = TokenSource(TokenFolder(folder), Credentials(client_id), accounts_url=address, now=lambda: NOW)
    answers.put("ready")
    start.wait(60)
    answers.put(tokens.access_token("demo"))


def write_for_ever(folder: Path, working: Any) -> None:
    """Long sign-ins without end."""
    for number in range(1_000_000):
        TokenFolder(folder).write("demo", a_sign_in(access_token=f"{number}-" * 5000))
        working.set()
