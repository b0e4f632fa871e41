"""Taking one's own data elsewhere: tables of the published lakehouse, documents, and all that an empty home needs to
come to the same plays.

Reads the published file alone, so that no run waits for an export, nor an export for a run. What the files mean to
other programs stands in `docs/own-data.md`.
"""

from __future__ import annotations

from spotify_assets.own_data.errors import ExportFailed, ExportRefused
from spotify_assets.own_data.exporting import ExportReport, ExportRequest, export_own_data
from spotify_assets.own_data.selection import exportable_names

__all__ = [
    "ExportFailed",
    "ExportRefused",
    "ExportReport",
    "ExportRequest",
    "export_own_data",
    "exportable_names",
]
