"""What can go wrong between us and Spotify. Every message is a sentence for a person: what happened and what to do."""

from __future__ import annotations

from datetime import datetime

from spotify_assets.spotify.model import Response


class SpotifyError(Exception):
    """Something is wrong between us and Spotify."""


class NotSignedIn(SpotifyError):
    """There is no sign-in that could be used.

    Args:
        listener: Whose; empty for the app's own token.
        why: What is wrong with the one there is, as a sentence.
    """

    def __init__(self, listener: str, why: str = "") -> None:
        self.listener = listener
        super().__init__(f"{why or _nobody(listener)} {how_to_sign_in(listener)}")


class SignInExpired(SpotifyError):
    """Spotify refuses the refresh token for good (`invalid_grant`): asking again is of no use."""

    def __init__(self, listener: str) -> None:
        self.listener = listener
        super().__init__(
            f"The sign-in of {listener} has ended: Spotify ends each one six months after the listener agreed, or when "
            f"the app's access is withdrawn. Nothing is lost but what was played meanwhile. {how_to_sign_in(listener)}"
        )


class AccountsUnavailable(SpotifyError):
    """Spotify's accounts service could not be asked just now; later it may work."""


class AppRefused(SpotifyError):
    """Spotify does not know the app's client id, or its secret is another one."""


class WrongUse(SpotifyError):
    """What was asked for cannot be meant: an address that Spotify refuses, an id that is none, no app named."""


class TokensNotKept(SpotifyError):
    """A file with tokens or credentials cannot be written or locked."""


def how_to_sign_in(listener: str) -> str:
    """What to type."""
    if not listener:
        return "Store the app's client id and secret: spotify-assets login --app-only"
    quoted = f'"{listener}"' if " " in listener else listener
    return f"Sign in: spotify-assets login --listener {quoted}"


def _nobody(listener: str) -> str:
    return f"{listener} is not signed in to Spotify." if listener else "No client secret of a Spotify app is known."


class QuotaBlocked(SpotifyError):
    """A bucket of endpoints may not be asked now; the others go on.

    Args:
        bucket: Endpoints that share a quota.
        until: From when on it may be asked again (UTC).
        why: What has happened, as a sentence.
    """

    def __init__(self, bucket: str, until: datetime, why: str) -> None:
        self.bucket = bucket
        self.until = until
        super().__init__(f"{why} What came before is kept; the rest is asked for from {until:%Y-%m-%d %H:%M} UTC on.")


class CapabilityAbsent(SpotifyError):
    """Spotify does not serve an endpoint to this app.

    Args:
        endpoint: Path below /v1 with names for what varies.
        response: What Spotify answered; None when it was known before, so that nothing was asked.
    """

    def __init__(self, endpoint: str, response: Response | None = None) -> None:
        self.endpoint = endpoint
        self.response = response
        super().__init__(f"Spotify does not offer {endpoint} to this app. Nothing is wrong; it is skipped.")


class TransientFailure(SpotifyError):
    """No usable answer came just now; later one may come.

    Args:
        why: What has happened, as a sentence.
        status: HTTP status of the last answer; None when none came.
    """

    def __init__(self, why: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(why)


class PermanentFailure(SpotifyError):
    """Spotify refuses the request, and will refuse it again as long as nothing is changed.

    Args:
        why: What has happened and what to do, as sentences.
        status: HTTP status.
        response: What Spotify answered; None when nothing was asked.
    """

    def __init__(self, why: str, status: int, response: Response | None = None) -> None:
        self.status = status
        self.response = response
        super().__init__(why)
