"""What arrived: privacy exports today; responses of the Web API join them in tables of their own."""

from spotify_assets.assets.raw.exports import NO_EXPORT, ImportConfig, build_export_assets

__all__ = ["NO_EXPORT", "ImportConfig", "build_export_assets"]
