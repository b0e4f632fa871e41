"""What arrived: privacy exports today; responses of the Web API join them in tables of their own."""

from spotify_assets.assets.raw.exports import NO_EXPORT, ImportConfig, build_export_assets
from spotify_assets.assets.raw.providers import build_provider_assets

__all__ = ["NO_EXPORT", "ImportConfig", "build_export_assets", "build_provider_assets"]
