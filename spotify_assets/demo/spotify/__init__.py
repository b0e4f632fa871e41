"""A Spotify of our own over real HTTP: the Web API of 2026 in both of its cohorts, telling of demo listeners.

`web_api` shows how to start and steer it.
"""

from __future__ import annotations

from spotify_assets.demo.spotify.account import DemoAccount
from spotify_assets.demo.spotify.cohorts import DEVELOPMENT, EXTENDED, Cohort
from spotify_assets.demo.spotify.server import serve
from spotify_assets.demo.spotify.tokens import Tokens
from spotify_assets.demo.spotify.web_api import NOT_REGISTERED, OWNER_WITHOUT_PREMIUM, DemoClock, DemoSpotify

__all__ = [
    "DEVELOPMENT",
    "EXTENDED",
    "NOT_REGISTERED",
    "OWNER_WITHOUT_PREMIUM",
    "Cohort",
    "DemoAccount",
    "DemoClock",
    "DemoSpotify",
    "Tokens",
    "serve",
]
