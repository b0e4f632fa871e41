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


class MirrorError(LakehouseError):
    """The mirror cannot be written or read; the text says why and what to do. The warehouse is not touched by it."""


class NoMirror(MirrorError):
    """Nothing is mirrored there: the manifest is missing."""


class MirrorUnreachable(MirrorError):
    """Whoever keeps the mirror does not answer, or is busy: the next run may find it well again."""


class MirrorRefused(MirrorError):
    """Somebody else's files lie where the mirror is to be; none of them was touched."""


class MirrorContested(MirrorError):
    """Another run wrote the mirror at the same time, and was first."""


class MirrorBeingRepaired(MirrorError):
    """The files are others than the manifest says: a run is at work, or one was cut off and the next repairs them."""


class ObjectChanged(MirrorError):
    """An object is not the one that a condition asked for."""


class DownloadRefused(LakehouseError):
    """The folder for a download holds something else; it was not touched."""


class DownloadFailed(LakehouseError):
    """The folder for a download cannot be written; it shows what it showed before."""


class GlueSyncFailed(LakehouseError):
    """The Glue Data Catalog could not be brought up to date; the lakehouse and its mirror are untouched."""
