"""Thin assets: load, transform, return. No SQL and no HTTP belong here."""

from __future__ import annotations

ASKS_PROVIDERS = ("spotify_assets/asks", "providers")
"""Tag of the assets whose step asks providers: an import leaves them out, so that it takes no longer than it must.

It stands here because the jobs name it, and `status` loads the jobs but nothing that reads tables."""
