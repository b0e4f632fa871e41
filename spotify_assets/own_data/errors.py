"""What can go wrong when somebody takes their data elsewhere, told to persons."""

from __future__ import annotations


class ExportRefused(Exception):
    """What was asked for cannot be exported so; nothing was written."""


class ExportFailed(Exception):
    """An export could not be written to its end; nothing of it was put in place."""
