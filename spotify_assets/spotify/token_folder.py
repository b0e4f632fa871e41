"""The sign-ins of a home: what is kept of each, in a file of its own, and how it stands. Asks nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from dateutil.relativedelta import relativedelta

from spotify_assets.spotify.credentials import Credentials
from spotify_assets.spotify.errors import (
    AccountsUnavailable,
    NotSignedIn,
    SignInExpired,
    TokensNotKept,
    how_to_sign_in,
)
from spotify_assets.spotify.private_files import UNFINISHED_NAME, sole_writer, write_private

SIGN_IN_LIFE = relativedelta(months=6)
"""From the moment the listener agreed (https://developer.spotify.com/blog/2026-06-18-refresh-token-expiration)."""

WARNING_LIFE = relativedelta(months=5)
"""From then on a person is reminded."""

_EXPIRY_MARGIN = timedelta(seconds=60)
_APP_FILE = ".app.json"


@dataclass(frozen=True)
class SignIn:
    """What is kept of a sign-in.

    Attributes:
        access_token: For the next hour; empty when Spotify ended the sign-in.
        refresh_token: For a new access token; empty for the app's own token, and when Spotify ended the sign-in.
        expires_at: When the access token grows old (UTC).
        scopes: What the listener agreed to.
        client_id: The app for which the listener agreed.
        is_pkce: Whether that was without the app's secret; so must it be renewed.
        authorized_at: When the listener agreed (UTC).
        accounts: Hashes of the account's ids, to notice another account.
        is_refused: Whether Spotify ended the sign-in.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime
    scopes: frozenset[str]
    client_id: str
    is_pkce: bool
    authorized_at: datetime
    accounts: frozenset[str] = field(default=frozenset(), repr=False)
    is_refused: bool = False

    @classmethod
    def of_answer(cls, answer: Any, credentials: Credentials, *, wanted: frozenset[str], now: datetime) -> SignIn:
        """What Spotify answered to an authorization code, or to the app.

        Args:
            answer: The JSON value.
            credentials: The app.
            wanted: The scopes that were asked for.
            now: When it came (UTC).

        Raises:
            AccountsUnavailable: It is no answer that could be used.
        """
        told = _checked(answer)
        return cls(
            access_token=told["access_token"],
            refresh_token=told.get("refresh_token") or "",
            expires_at=now + timedelta(seconds=told["expires_in"]),
            # Nothing told means: as asked for (RFC 6749, 5.1).
            scopes=_scopes(told) or wanted,
            client_id=credentials.client_id,
            is_pkce=not credentials.client_secret,
            authorized_at=now,
        )

    def renewed(self, answer: Any, *, now: datetime) -> SignIn:
        """The same sign-in with what Spotify answered to its refresh token.

        Raises:
            AccountsUnavailable: It is no answer that could be used.
        """
        told = _checked(answer)
        return replace(
            self,
            access_token=told["access_token"],
            # Usually nothing is said of it, and the old one stays good.
            refresh_token=told.get("refresh_token") or self.refresh_token,
            expires_at=now + timedelta(seconds=told["expires_in"]),
            scopes=_scopes(told) or self.scopes,
        )

    @property
    def ends_at(self) -> datetime:
        """When Spotify will end it (UTC), whatever is done with it."""
        return self.authorized_at + SIGN_IN_LIFE

    def is_fresh(self, now: datetime) -> bool:
        """Whether the access token is good for the next requests."""
        return bool(self.access_token) and now + _EXPIRY_MARGIN < self.expires_at

    def to_json(self) -> str:
        """As the file keeps it."""
        told = asdict(self) | {
            "expires_at": self.expires_at.isoformat(),
            "authorized_at": self.authorized_at.isoformat(),
            "scopes": sorted(self.scopes),
            "accounts": sorted(self.accounts),
        }
        return json.dumps(told, indent=1)

    @classmethod
    def from_json(cls, text: str) -> SignIn:
        """What a file keeps.

        Raises:
            ValueError: It is none of ours.
        """
        try:
            told = json.loads(text)
            instants = {name: datetime.fromisoformat(told[name]) for name in ("expires_at", "authorized_at")}
            names = {name: frozenset(map(str, told[name])) for name in ("scopes", "accounts")}
            return cls(**{**told, **instants, **names})
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError("no sign-in of this program") from None


def _checked(answer: Any) -> Mapping[str, Any]:
    """An answer of /api/token; with what is no token, no header could be made without quoting it in the error."""
    if isinstance(answer, Mapping):
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        is_token = isinstance(token, str) and re.fullmatch(r"[\x21-\x7e]+", token) is not None
        is_duration = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 1e9
        if is_token and is_duration and isinstance(answer.get("refresh_token") or "", str):
            return answer
    raise AccountsUnavailable("Spotify's accounts service answered something that is no token. Try again later.")


def _scopes(answer: Mapping[str, Any]) -> frozenset[str]:
    scope = answer.get("scope")
    return frozenset(scope.split()) if isinstance(scope, str) else frozenset()


class TokenFolder:
    """The sign-ins of a home, one file for each listener. Files are replaced whole; processes write one by one.

    Args:
        folder: `HomePaths.tokens_folder`; made on first use, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file_of(self, listener: str) -> Path:
        """Where a listener's sign-in is kept; an empty name means the app's own token."""
        return self.folder / (f"{listener}.json" if listener else _APP_FILE)

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        """Be the only one who writes here.

        Raises:
            TokensNotKept: Another process does, or the folder cannot be written to.
        """
        with sole_writer(self.folder):
            yield

    def read(self, listener: str) -> SignIn | None:
        """The sign-in of a listener, None when there is none.

        Raises:
            NotSignedIn: The file cannot be read, or is none of ours.
        """
        file = self.file_of(listener)
        try:
            return SignIn.from_json(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise NotSignedIn(listener, f"{file} cannot be used: {reason}.") from None

    def write(self, listener: str, sign_in: SignIn) -> None:
        """Keep a sign-in.

        Raises:
            TokensNotKept: It cannot be written; the one before is as it was.
        """
        with self.sole_writer():
            write_private(self.file_of(listener), sign_in.to_json(), beside=self.folder)

    def remove(self, listener: str) -> bool:
        """Forget a sign-in, and what a killed writer left; whether there was one.

        Raises:
            TokensNotKept: It cannot be removed.
        """
        if not self.folder.is_dir():
            return False
        with self.sole_writer():
            try:
                (self.folder / UNFINISHED_NAME).unlink(missing_ok=True)
                self.file_of(listener).unlink()
            except FileNotFoundError:
                return False
            except OSError as error:
                raise TokensNotKept(f"{self.file_of(listener)} cannot be removed: {error.strerror}.") from error
            return True

    def listeners(self) -> list[str]:
        """Who has a sign-in here, good or ended."""
        return sorted(file.stem for file in self.folder.glob("*.json") if file.name != _APP_FILE)


class Standing(StrEnum):
    """How a sign-in stands."""

    NONE = "not signed in"
    GOOD = "signed in"
    ENDING = "ends soon"
    ENDED = "has ended"


@dataclass(frozen=True)
class SignInState:
    """How a listener's sign-in stands, for a status line or a check.

    Attributes:
        listener: Whose.
        standing: GOOD and ENDING work; from month 5 it is ENDING.
        ends_at: When Spotify ends it, or has ended it at the latest (UTC); None without a sign-in.
        message: A sentence for a person, with what to do where something is to be done.
    """

    listener: str
    standing: Standing
    ends_at: datetime | None
    message: str


def sign_in_state(folder: TokenFolder, listener: str, *, now: datetime) -> SignInState:
    """How the sign-in of a listener stands; reads one file and asks nobody."""
    try:
        sign_in = folder.read(listener)
    except NotSignedIn as error:
        return SignInState(listener, Standing.NONE, None, str(error))
    if sign_in is None:
        return SignInState(listener, Standing.NONE, None, str(NotSignedIn(listener)))
    ends_at = sign_in.ends_at.astimezone(UTC)
    if sign_in.is_refused or now >= ends_at:
        return SignInState(listener, Standing.ENDED, ends_at, str(SignInExpired(listener)))
    days = (ends_at - now).days
    if now >= sign_in.authorized_at + WARNING_LIFE:
        message = f"The sign-in of {listener} ends on {ends_at:%Y-%m-%d}, in {days} days. {how_to_sign_in(listener)}"
        return SignInState(listener, Standing.ENDING, ends_at, message)
    return SignInState(
        listener, Standing.GOOD, ends_at, f"{listener} is signed in until {ends_at:%Y-%m-%d}, {days} days from now."
    )
