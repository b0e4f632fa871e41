"""Thin assets: load, transform, return. No SQL and no HTTP belong here."""
