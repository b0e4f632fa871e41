"""What arrived: privacy exports, and responses of the Web API."""

from spotify_assets.assets.raw.asking import Client, Spotify
from spotify_assets.assets.raw.exports import NO_EXPORT, ImportConfig, build_export_assets
from spotify_assets.assets.raw.live import build_live_assets
from spotify_assets.assets.raw.providers import build_provider_assets
from spotify_assets.assets.raw.replay import build_responses_asset

__all__ = [
    "NO_EXPORT",
    "Client",
    "ImportConfig",
    "Spotify",
    "build_export_assets",
    "build_live_assets",
    "build_provider_assets",
    "build_responses_asset",
]
