"""The app and the sign-ins of a home in a secret of AWS Secrets Manager, for runs that have no home to keep them in.

The secret is a JSON object: `credentials`, the text of credentials.toml, and `tokens`, a sign-in for each listener. Of
two tellings of a sign-in the one that was agreed to, then renewed, later holds.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, suppress
from typing import Any

from spotify_assets import aws
from spotify_assets.settings import Settings
from spotify_assets.spotify.errors import NotSignedIn, TokensNotKept
from spotify_assets.spotify.private_files import sole_writer, write_private
from spotify_assets.spotify.token_folder import SignIn, TokenFolder


class SignInSecret:
    """The secret that the settings name.

    Args:
        settings: `sign_in_secret` is its name or ARN.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._paths = settings.paths
        self._folder = TokenFolder(settings.paths.tokens_folder)

    def fetch(self) -> None:
        """Bring into the home what the secret knows later or alone.

        Raises:
            TokensNotKept: The secret cannot be read or is none of ours, or the home cannot be written to.
        """
        told = self._read()
        if told["credentials"] and not self._paths.credentials_file.exists():
            with sole_writer(self._paths.tokens_folder):
                write_private(self._paths.credentials_file, told["credentials"], beside=self._paths.tokens_folder)
        for listener, kept in told["tokens"].items():
            sign_in = self._sign_in(kept)
            if is_later(sign_in, self._at_home(listener)):
                self._folder.write(listener, sign_in)

    def keep(self) -> None:
        """Bring into the secret what the home knows later or alone.

        Raises:
            TokensNotKept: The secret cannot be read or written, or is none of ours; the home is as it was.
        """
        before = self._read()
        after = {"credentials": before["credentials"], "tokens": dict(before["tokens"])}
        with suppress(OSError):
            after["credentials"] = self._paths.credentials_file.read_text(encoding="utf-8")
        # Not the app's own token: it is asked for anew in an instant, and belongs to nobody.
        for listener in self._folder.listeners():
            at_home = self._at_home(listener)
            kept = after["tokens"].get(listener)
            if at_home and is_later(at_home, self._sign_in(kept) if kept else None):
                after["tokens"][listener] = json.loads(at_home.to_json())
        if after != before:
            self._write(after)

    def forget(self, listener: str) -> bool:
        """Remove a listener's sign-in from the secret; whether there was one.

        Raises:
            TokensNotKept: As `keep`.
        """
        told = self._read()
        if listener not in told["tokens"]:
            return False
        del told["tokens"][listener]
        self._write(told)
        return True

    def _at_home(self, listener: str) -> SignIn | None:
        # What is damaged is as good as none.
        with suppress(NotSignedIn):
            return self._folder.read(listener)
        return None

    def _sign_in(self, kept: Any) -> SignIn:
        try:
            return SignIn.from_json(json.dumps(kept))
        except ValueError:
            raise self._foreign() from None

    def _read(self) -> dict[str, Any]:
        with self._in_words("read"):
            client = aws.client(self._settings, "secretsmanager")
            text = client.get_secret_value(SecretId=self._settings.sign_in_secret).get("SecretString", "")
        try:
            told = json.loads(text)
        except ValueError:
            raise self._foreign() from None
        if not isinstance(told, dict) or not set(told) <= {"credentials", "tokens"}:
            raise self._foreign()
        read = {"credentials": "", "tokens": {}} | told
        if not isinstance(read["credentials"], str) or not isinstance(read["tokens"], dict):
            raise self._foreign()
        return read

    def _write(self, told: dict[str, Any]) -> None:
        with self._in_words("written"):
            client = aws.client(self._settings, "secretsmanager")
            client.put_secret_value(SecretId=self._settings.sign_in_secret, SecretString=json.dumps(told))

    def _foreign(self) -> TokensNotKept:
        return TokensNotKept(
            "SPOTIFY_ASSETS_SIGN_IN_SECRET names a secret that holds something else than sign-ins of this program. It "
            "was left as it is. Name another one, or put {} into it and sign in again: spotify-assets login"
        )

    def _in_words(self, what: str) -> AbstractContextManager[None]:
        return aws.in_words(
            lambda reason: TokensNotKept(f"The secret with the sign-ins could not be {what}: {reason}.")
        )


class SharedTokenFolder(TokenFolder):
    """The sign-ins of a home, each also kept in the secret when it is written: a refresh token may be good once only.

    Args:
        settings: Of the home; they name the secret.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.paths.tokens_folder)
        self._secret = SignInSecret(settings)

    def write(self, listener: str, sign_in: SignIn) -> None:
        """Keep a sign-in, here first.

        Raises:
            TokensNotKept: It cannot be written here, or not into the secret.
        """
        super().write(listener, sign_in)
        self._secret.keep()


def is_later(sign_in: SignIn, other: SignIn | None) -> bool:
    """Whether of two tellings of a sign-in the first one holds."""
    if other is None:
        return True
    # One that Spotify has refused is never good again, however long it would have been.
    told, known = ((each.authorized_at, each.is_refused, each.expires_at) for each in (sign_in, other))
    return told > known


def token_folder(settings: Settings) -> TokenFolder:
    """Where renewed tokens of a home are kept: in the secret too, where the settings name one."""
    return SharedTokenFolder(settings) if settings.sign_in_secret else TokenFolder(settings.paths.tokens_folder)


def fetch_sign_ins(settings: Settings) -> None:
    """`SignInSecret.fetch`, where the settings name a secret."""
    if settings.sign_in_secret:
        SignInSecret(settings).fetch()


def keep_sign_ins(settings: Settings) -> None:
    """`SignInSecret.keep`, where the settings name a secret."""
    if settings.sign_in_secret:
        SignInSecret(settings).keep()


def forget_sign_in(settings: Settings, listener: str) -> bool:
    """`SignInSecret.forget`, where the settings name a secret."""
    return bool(settings.sign_in_secret) and SignInSecret(settings).forget(listener)
