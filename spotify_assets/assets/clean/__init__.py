"""What happened, built from the whole history at once; only the days that changed are written."""

from spotify_assets.assets.clean.catalogue import SHARED_TABLES, build_catalogue_assets, rebuild_shared_tables
from spotify_assets.assets.clean.plays import build_plays_asset

__all__ = ["SHARED_TABLES", "build_catalogue_assets", "build_plays_asset", "rebuild_shared_tables"]
