"""What can go wrong in the lakehouse, told to persons: what was wrong, what was kept, what to do."""

from __future__ import annotations


class LakehouseError(Exception):
    """Base of every error of this room; its text is meant to be shown as it is."""


class LockTimeout(LakehouseError):
    """Another run, or a program that opened the warehouse, held on to it for too long."""


class WriteRefused(LakehouseError):
    """Rows do not fit the table's schema or the days they were written for; nothing was written."""


class WriteFailed(LakehouseError):
    """The warehouse could not be written (disk full, no permission); the transaction was rolled back."""


class PublicationFailed(LakehouseError):
    """The warehouse is written, but the published file still shows the state before."""


class NothingPublished(LakehouseError):
    """The home has no published file yet."""


class UnknownTable(LakehouseError):
    """The published file has no table of that name."""


class NoSession(LakehouseError):
    """Something was to be written under the run lock, but no session is open for the home."""


class GlueSyncFailed(LakehouseError):
    """The Glue Data Catalog could not be brought up to date; the lakehouse and its mirror are untouched."""
