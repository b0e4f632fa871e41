"""What can go wrong between us and Spotify. Every message is a sentence for a person: what happened and what to do."""

from __future__ import annotations


class SpotifyError(Exception):
    """Something is wrong between us and Spotify."""


class CapabilityAbsent(SpotifyError):
    """Spotify does not serve an endpoint to this app."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        super().__init__(f"Spotify does not offer {endpoint} to this app. Nothing is wrong; it is skipped.")
