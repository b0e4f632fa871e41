"""Sign-ins that a setting brings, for machines that are thrown away after each run: CI services, containers.

The setting holds what `tokens/{listener}.json` of a home holds, or a JSON object of several of them by listener.
Whatever the home knows later, because it renewed a token, holds.
"""

from __future__ import annotations

import json

from spotify_assets.settings import Settings
from spotify_assets.spotify.errors import NotSignedIn, WrongUse
from spotify_assets.spotify.sign_in_secret import is_later
from spotify_assets.spotify.token_folder import SignIn, TokenFolder


def take_sign_ins(settings: Settings) -> None:
    """Bring into the home what the setting knows later or alone.

    Raises:
        WrongUse: The setting holds something else.
        TokensNotKept: The home cannot be written to.
    """
    folder = TokenFolder(settings.paths.tokens_folder)
    for listener, sign_in in _told(settings).items():
        try:
            known = folder.read(listener)
        except NotSignedIn:
            known = None
        if is_later(sign_in, known):
            folder.write(listener, sign_in)


def outdated_sign_ins(settings: Settings) -> list[str]:
    """Listeners to whom Spotify has given another refresh token than the one that the setting holds."""
    folder = TokenFolder(settings.paths.tokens_folder)
    outdated = []
    for listener, told in _told(settings).items():
        try:
            known = folder.read(listener)
        except NotSignedIn:
            continue
        if known and known.refresh_token and known.refresh_token != told.refresh_token:
            outdated.append(listener)
    return outdated


def _told(settings: Settings) -> dict[str, SignIn]:
    text = settings.sign_in.get_secret_value().strip()
    if not text:
        return {}
    try:
        told = json.loads(text)
        several = {settings.listener: told} if "refresh_token" in told else told
        return {name: SignIn.from_json(json.dumps(each)) for name, each in several.items()}
    except (ValueError, TypeError, AttributeError):
        raise WrongUse(
            "SPOTIFY_ASSETS_SIGN_IN holds no sign-in of this program: put into it what tokens/NAME.json of a home "
            "holds in which `spotify-assets login` was done."
        ) from None
