"""What happened, built from the whole history at once; only the days that changed are written."""

from spotify_assets.assets.clean.catalogue import build_catalogue_assets
from spotify_assets.assets.clean.plays import build_plays_asset

__all__ = ["build_catalogue_assets", "build_plays_asset"]
