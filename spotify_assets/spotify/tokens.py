"""Access tokens for requests: renewed when they grow old, never asked of a person.

What keeps them is a cache handler for spotipy of our own: its `CacheFileHandler` is not atomic, leaves the file
readable for a moment and swallows errors (spotipy/cache_handler.py, 2.26).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from spotipy.cache_handler import CacheHandler
from spotipy.exceptions import SpotifyOauthError
from spotipy.oauth2 import SpotifyClientCredentials, SpotifyOAuth, SpotifyPKCE
from urllib3.util import Retry

from spotify_assets.spotify.credentials import Credentials
from spotify_assets.spotify.errors import AccountsUnavailable, AppRefused, NotSignedIn, SignInExpired, SpotifyError
from spotify_assets.spotify.token_folder import SignIn, TokenFolder

SCOPES = frozenset(
    {
        "user-read-recently-played",
        "user-top-read",
        "user-library-read",
        "playlist-read-private",
        "playlist-read-collaborative",
    }
)
"""What a listener is asked for: reading what was played, liked and collected, and nothing else."""

TIMEOUT_SECONDS = (5.0, 20.0)
"""To connect, and between two bytes of the answer."""


def _is_no_wire_log(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


# Its debugging lines hold whole headers and bodies: codes, refresh tokens, the app's secret.
logging.getLogger("spotipy.oauth2").addFilter(_is_no_wire_log)


class TokenFile(CacheHandler):
    """A listener's sign-in as spotipy's cache of tokens, for renewing it; a new one is kept by `TokenFolder.write`.

    Args:
        folder: Where it lies.
        listener: Whose; empty for the app's own token.
        credentials: The app.
        now: The time (UTC).
    """

    def __init__(
        self, folder: TokenFolder, listener: str, credentials: Credentials, now: Callable[[], datetime]
    ) -> None:
        self._folder = folder
        self._listener = listener
        self._credentials = credentials
        self._now = now

    def get_cached_token(self) -> dict[str, Any] | None:
        """As spotipy wants it.

        Raises:
            NotSignedIn: The file cannot be used.
        """
        sign_in = self._folder.read(self._listener)
        if sign_in is None or not sign_in.access_token:
            return None
        return {
            "access_token": sign_in.access_token,
            "token_type": "Bearer",
            "refresh_token": sign_in.refresh_token,
            "scope": " ".join(sorted(sign_in.scopes)),
            "expires_at": int(sign_in.expires_at.timestamp()),
        }

    def save_token_to_cache(self, token_info: dict[str, Any]) -> None:
        """Keep what Spotify answered; when and to what the listener agreed stays.

        Raises:
            AccountsUnavailable: It is no answer that could be used.
            TokensNotKept: It cannot be written.
        """
        with self._folder.sole_writer():
            before = self._folder.read(self._listener)
            now = self._now()
            after = (
                SignIn.of_answer(token_info, self._credentials, wanted=frozenset(), now=now)
                if before is None
                else before.renewed(token_info, now=now)
            )
            self._folder.write(self._listener, after)


class _AsAnswered:
    """spotipy's managers put the scopes that were wanted for those that were granted, and their own clock's time."""

    def _add_custom_values_to_token_info(self, token_info: dict[str, Any]) -> dict[str, Any]:
        return token_info


class PkceManager(_AsAnswered, SpotifyPKCE):
    """Sign-in without the app's secret."""


class SecretManager(_AsAnswered, SpotifyOAuth):
    """Sign-in with the app's secret."""


class AppManager(_AsAnswered, SpotifyClientCredentials):
    """The app's own token."""


Manager = PkceManager | SecretManager | AppManager


def manager_of(
    kind: type[Manager], credentials: Credentials, *, accounts_url: str, cache: CacheHandler, **more: Any
) -> Manager:
    """One of spotipy's managers, with our session, time limits and address."""
    options: dict[str, Any] = {
        "client_id": credentials.client_id,
        "cache_handler": cache,
        "requests_session": accounts_session(accounts_url),
        "requests_timeout": TIMEOUT_SECONDS,
        **more,
    }
    if kind is not PkceManager:
        options["client_secret"] = credentials.client_secret
    manager = kind(**options)
    manager.OAUTH_AUTHORIZE_URL = f"{accounts_url}/authorize"
    manager.OAUTH_TOKEN_URL = f"{accounts_url}/api/token"
    return manager


def accounts_session(url: str) -> requests.Session:
    """A session that tries again what may be tried again, for some seconds."""
    session = requests.Session()
    # A request that was read may have been answered: it is not sent twice.
    retry = Retry(
        total=3,
        connect=2,
        read=0,
        status=3,
        other=0,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods={"GET", "POST"},
        respect_retry_after_header=False,
        raise_on_status=False,
        backoff_factor=0.3,
    )
    for prefix in ("https://", "http://"):
        session.mount(prefix, HTTPAdapter(max_retries=retry))
    if urlsplit(url).hostname in ("127.0.0.1", "::1"):
        # A proxy of the environment knows another 127.0.0.1.
        session.trust_env = False
    return session


class InvalidGrant(SpotifyError):
    """/api/token refused a code or a refresh token.

    Args:
        description: Spotify's own words.
    """

    def __init__(self, description: str) -> None:
        self.description = description
        super().__init__(f"Spotify refuses what it was asked for ({description[:80]}). Nothing was changed.")


@contextmanager
def asking_accounts(accounts_url: str) -> Iterator[None]:
    """Turn what spotipy, requests and odd answers raise into errors for persons; none of them holds a token.

    Raises:
        InvalidGrant: The code or the refresh token is refused.
        AppRefused: The app is.
        AccountsUnavailable: Anything else.
    """
    host = urlsplit(accounts_url).netloc
    try:
        yield
    except SpotifyOauthError as error:
        if error.error == "invalid_grant":
            raise InvalidGrant(str(error.error_description or "")) from None
        if error.error in ("invalid_client", "unauthorized_client"):
            raise AppRefused(
                f"Spotify does not know the app: client id and secret do not belong together, or the app is gone "
                f"({str(error.error_description or error.error)[:80]}). Copy both from the page of your app on "
                "https://developer.spotify.com/dashboard, then: spotify-assets login --client-id ID"
            ) from None
        raise AccountsUnavailable(f"{host} cannot answer just now. Nothing was changed; try again later.") from None
    except requests.exceptions.JSONDecodeError:
        raise _odd(host) from None
    except requests.RequestException as error:
        is_slow = isinstance(error, requests.Timeout)
        what = "does not answer" if is_slow else "cannot be reached"
        raise AccountsUnavailable(
            f"{host} {what}. Nothing was changed. Look at the network connection (and proxy), then try again."
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _odd(host) from None


def _odd(host: str) -> AccountsUnavailable:
    return AccountsUnavailable(f"{host} answered something odd. Nothing was changed; try again later.")


class TokenSource:
    """Access tokens for requests. Never opens a browser, never waits for a person; safe between processes.

    Args:
        folder: Where the sign-ins are.
        credentials: The app; None: nobody has named one yet.
        accounts_url: Of Spotify's accounts service.
        now: The time (UTC).
    """

    def __init__(
        self,
        folder: TokenFolder,
        credentials: Credentials | None,
        *,
        accounts_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._credentials = credentials
        self._accounts_url = accounts_url
        self._now = now
        self._handed_out: dict[str, str] = {}

    def access_token(self, listener: str) -> str:
        """A token that is good for the next requests; an empty listener means the app's own.

        Raises:
            NotSignedIn: There is no sign-in, or one that does not do (another app, fewer scopes).
            SignInExpired: Spotify ended it.
            AppRefused: Spotify does not know the app.
            AccountsUnavailable: It must be renewed and could not be just now.
            TokensNotKept: It was renewed and could not be written.
        """
        sign_in = self._usable(listener)
        if sign_in is None or not sign_in.is_fresh(self._now()):
            sign_in = self._renewed(listener, stale=sign_in.access_token if sign_in else "")
        self._handed_out[listener] = sign_in.access_token
        return sign_in.access_token

    def renew(self, listener: str) -> str:
        """Another token than the last one, which was answered with 401.

        Raises:
            SpotifyError: As `access_token`.
        """
        stale = self._handed_out.get(listener) or getattr(self._usable(listener), "access_token", "")
        sign_in = self._renewed(listener, stale=stale)
        self._handed_out[listener] = sign_in.access_token
        return sign_in.access_token

    def _usable(self, listener: str) -> SignIn | None:
        """The sign-in as it is kept, None for an app that has no token yet."""
        credentials = self._credentials
        if not listener:
            if credentials is None or not credentials.client_secret:
                raise NotSignedIn("")
            try:
                sign_in = self._folder.read("")
            except NotSignedIn:
                # Nobody need sign in for a damaged file to be replaced.
                return None
            return sign_in if sign_in and sign_in.client_id == credentials.client_id else None
        sign_in = self._folder.read(listener)
        if sign_in is None:
            raise NotSignedIn(listener)
        if sign_in.is_refused:
            raise SignInExpired(listener)
        if credentials is None:
            raise NotSignedIn(listener, f"The app for which {listener} signed in is not named here any more.")
        if sign_in.client_id != credentials.client_id:
            raise NotSignedIn(listener, f"{listener} signed in for another app than the one named now.")
        if not sign_in.is_pkce and not credentials.client_secret:
            raise NotSignedIn(
                listener, f"{listener} signed in with the app's secret, which is not known here any more."
            )
        if missing := SCOPES - sign_in.scopes:
            raise NotSignedIn(listener, f"{listener} has not agreed to {', '.join(sorted(missing))}.")
        return sign_in

    def _renewed(self, listener: str, *, stale: str) -> SignIn:
        with self._folder.sole_writer():
            # Another process may have been faster.
            sign_in = self._usable(listener)
            if sign_in and sign_in.access_token != stale and sign_in.is_fresh(self._now()):
                return sign_in
            if sign_in is None:
                # Damaged, or of an app that was named before.
                self._folder.remove(listener)
            self._renew(listener, sign_in)
            renewed = self._folder.read(listener)
            assert renewed is not None
            return renewed

    def _renew(self, listener: str, sign_in: SignIn | None) -> None:
        assert self._credentials is not None
        cache = TokenFile(self._folder, listener, self._credentials, self._now)
        try:
            with asking_accounts(self._accounts_url):
                if not listener:
                    manager = self._manager(AppManager, cache)
                    manager.get_access_token(as_dict=False, check_cache=False)
                    return
                assert sign_in is not None
                kind = PkceManager if sign_in.is_pkce else SecretManager
                manager = self._manager(kind, cache, redirect_uri=self._accounts_url)
                manager.refresh_access_token(sign_in.refresh_token)
        except InvalidGrant:
            if sign_in is None:
                raise
            self._folder.write(listener, replace(sign_in, access_token="", refresh_token="", is_refused=True))
            raise SignInExpired(listener) from None

    def _manager(self, kind: type[Manager], cache: CacheHandler, **more: Any) -> Manager:
        assert self._credentials is not None
        return manager_of(kind, self._credentials, accounts_url=self._accounts_url, cache=cache, **more)
