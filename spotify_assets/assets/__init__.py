"""Thin assets: load, transform, return. No SQL and no HTTP belong here."""

ASKS_TAG = "spotify_assets/asks"
"""Tag of the assets whose steps ask somebody on the internet; its value says whom: spotify or providers."""
