"""Which app asks: its client id, perhaps its secret, and the redirect URI registered for it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path

from spotify_assets.settings import HomePaths, Settings
from spotify_assets.spotify.errors import WrongUse
from spotify_assets.spotify.private_files import sole_writer, write_private


class CredentialsUnusable(WrongUse):
    """What was told of the app cannot be used; the text says what and where."""


@dataclass(frozen=True)
class Credentials:
    """An app of https://developer.spotify.com/dashboard.

    Attributes:
        client_id: Its id.
        client_secret: Its secret; empty: sign-ins prove themselves by PKCE, and there is no token of the app's own.
        redirect_uri: A registered redirect URI; empty: `sign_in.REDIRECT_URI`.

    Raises:
        CredentialsUnusable: The id or the secret cannot be one.
    """

    client_id: str
    client_secret: str = field(default="", repr=False)
    redirect_uri: str = ""

    def __post_init__(self) -> None:
        for name, value in (("client id", self.client_id), ("client secret", self.client_secret)):
            # Nothing else is one, and what is pasted with a quote or a line break would end in a header or a file.
            if value and not (value.isascii() and value.isalnum()):
                raise CredentialsUnusable(
                    f"What was given as {name} has characters that none has: it consists of letters and digits. "
                    "Copy it from the page of your app on https://developer.spotify.com/dashboard."
                )
        if not self.client_id:
            raise CredentialsUnusable(
                "A client secret or redirect URI alone says of no app: the client id is missing (SPOTIPY_CLIENT_ID, or "
                "spotify-assets login)."
            )


def credentials_of(settings: Settings) -> Credentials | None:
    """The app to use: as the environment names it, else as the home folder keeps it; None where no app is named.

    Raises:
        CredentialsUnusable: The id or secret cannot be one, or credentials.toml cannot be read.
    """
    kept = _read(settings.paths.credentials_file)
    client_id = settings.client_id or (kept.client_id if kept else "")
    if not client_id:
        return None
    # A secret and an address belong to an app: those kept for another one are of no use.
    same = kept if kept and kept.client_id == client_id else Credentials(client_id)
    secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
    return Credentials(client_id, secret or same.client_secret, settings.redirect_uri or same.redirect_uri)


def keep_credentials(paths: HomePaths, credentials: Credentials) -> None:
    """Keep the app for runs that have no environment of a person's, readable by the owner alone.

    Raises:
        TokensNotKept: The file cannot be written.
    """
    if _read(paths.credentials_file) == credentials:
        return
    told = "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(credentials).items() if value)
    with sole_writer(paths.tokens_folder):
        write_private(paths.credentials_file, told, beside=paths.tokens_folder)


def forget_credentials(paths: HomePaths) -> None:
    """Remove what `keep_credentials` has kept.

    Raises:
        OSError: It cannot be removed.
    """
    paths.credentials_file.unlink(missing_ok=True)


def _read(file: Path) -> Credentials | None:
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise _unusable(file) from None
    known = {name: told.get(name, "") for name in ("client_id", "client_secret", "redirect_uri")}
    if not all(isinstance(value, str) for value in known.values()):
        raise _unusable(file)
    return Credentials(**known)


def _unusable(file: Path) -> CredentialsUnusable:
    # The parser's own words may quote a line of the file.
    return CredentialsUnusable(f"{file} cannot be read. Delete it, then name the app again: spotify-assets login")
