"""Reading a mirror by its manifest: every table of one run, or an error that says it is being repaired.

A file is read by the version that the manifest names, where there are versions, and in any case compared with its
checksum: what was written over meanwhile is never taken for what the manifest means.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import polars as pl

from spotify_assets.lakehouse.definition import polars_type
from spotify_assets.lakehouse.errors import MirrorBeingRepaired, MirrorError, NoMirror, UnknownTable
from spotify_assets.lakehouse.mirror import MANIFEST_KEY, OWNER, Manifest, MirrorFile, NewerManifest
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.settings import HomePaths

if TYPE_CHECKING:
    from spotify_assets.lakehouse.bucket import Bucket

_PAUSE_SECONDS = 0.25
_VERSIONS_TOLD = 5

Answer = TypeVar("Answer")


class MirrorChanged(MirrorError):
    """A file is another one than the manifest says that is being followed; a newer manifest may be there already."""


class StoredManifest(NamedTuple):
    """A manifest that a store keeps, the newest or an older one: the name of its version, and its text."""

    version_id: str
    text: str


class Stored(NamedTuple):
    """What a store tells of a file without reading it. `etag` is None where the mirror is in a folder."""

    size_bytes: int
    etag: str | None


class NoSuchVersion(MirrorError):
    """A mirror does not have the version that was asked for; the message tells some of those it has."""


class MirrorSource(Protocol):
    """Where a mirror is read from."""

    def manifest_text(self, version_id: str | None) -> str | None:
        """The manifest, or an older version of it; None when there is none."""

    def manifests(self) -> Iterator[StoredManifest]:
        """Every manifest that is kept by a name, newest first."""

    def content(self, file: MirrorFile) -> bytes | None:
        """What the store has for a file of the manifest last asked for; None when it is gone."""

    def stored(self) -> dict[str, Stored]:
        """What lies beside the manifest last asked for, whoever put it, by key; the manifest left out."""

    def is_of(self, key: str, home_id: str) -> bool:
        """Whether a lakehouse has put what lies there."""


class BucketSource:
    """A mirror in a bucket. `version_id` is the bucket's own name of a version of the manifest."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def manifest_text(self, version_id: str | None) -> str | None:
        found = self._bucket.get(MANIFEST_KEY, version_id=version_id)
        return found.content.decode(errors="replace") if found else None

    def manifests(self) -> Iterator[StoredManifest]:
        for version in self._bucket.versions(MANIFEST_KEY).get(MANIFEST_KEY, ()):
            if version.is_marker or version.version_id == "null":
                continue
            if (text := self.manifest_text(version.version_id)) is not None:
                yield StoredManifest(version.version_id, text)

    def content(self, file: MirrorFile) -> bytes | None:
        found = self._bucket.get(file.key, version_id=file.version_id)
        if found is None and file.version_id:
            # A mirror that was copied to another bucket has other names for the same versions.
            found = self._bucket.get(file.key)
        return found.content if found else None

    def stored(self) -> dict[str, Stored]:
        listed, _ = self._bucket.listing()
        return {each.key: Stored(each.size_bytes, each.etag) for each in listed if each.key != MANIFEST_KEY}

    def is_of(self, key: str, home_id: str) -> bool:
        return (self._bucket.metadata(key) or {}).get(OWNER) == home_id


class FolderSource:
    """A mirror in a folder, or a plain copy of one. `version_id` is the number of a version that is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = folder

    def manifest_text(self, version_id: str | None) -> str | None:
        # Not through the link each time: it may switch between two files.
        current = "." if (self._folder / MANIFEST_KEY).exists() else "current"
        self._version = (self._folder / (f"versions/{version_id}" if version_id else current)).resolve()
        try:
            return (self._version / MANIFEST_KEY).read_text(errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MirrorError(f"{self._version / MANIFEST_KEY} cannot be read: {error.strerror}") from error

    def manifests(self) -> Iterator[StoredManifest]:
        names = [folder.name for folder in self._folder.glob("versions/*") if folder.name.isdecimal()]
        for name in sorted(names, key=int, reverse=True):
            if (text := self.manifest_text(name)) is not None:
                yield StoredManifest(name, text)

    def content(self, file: MirrorFile) -> bytes | None:
        try:
            return (self._version / file.key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MirrorError(f"{self._version / file.key} cannot be read: {error.strerror}") from error

    def stored(self) -> dict[str, Stored]:
        files = {path.relative_to(self._version).as_posix(): path for path in self._version.rglob("*")}
        return {
            key: Stored(path.stat().st_size, None)
            for key, path in sorted(files.items())
            if key != MANIFEST_KEY and path.is_file()
        }

    def is_of(self, key: str, home_id: str) -> bool:
        # The folder of a version is one lakehouse's, and goes with all that is in it.
        return True


class MirrorVersion:
    """What one manifest names. Nothing is kept: every file is read when it is asked for.

    Attributes:
        manifest: The manifest.
    """

    def __init__(self, manifest: Manifest, source: MirrorSource) -> None:
        self.manifest = manifest
        self._source = source

    def files(self, table: str) -> list[MirrorFile]:
        """The files of a table (`schema.table`), by month.

        Raises:
            UnknownTable: The mirror has no such table; the message names those it has.
        """
        if table not in self.manifest.tables:
            names = ", ".join(sorted(self.manifest.tables)) or "no table at all"
            raise UnknownTable(f"the mirror has no table {table}; it has {names}")
        return sorted(
            (file for file in self.manifest.files.values() if file.table == table), key=lambda file: file.month
        )

    def schema(self, table: str) -> pl.Schema:
        """Columns and types of a table, as the manifest describes it."""
        columns = self.manifest.tables[table]["columns"]
        return pl.Schema({column["name"]: polars_type(column["type"]) for column in columns})

    def content(self, file: MirrorFile) -> bytes:
        """The bytes of a file.

        Raises:
            MirrorChanged: The store has another file there, or none.
        """
        content = self._source.content(file)
        if content is None or len(content) != file.size_bytes or hashlib.sha256(content).hexdigest() != file.sha256:
            told = "is gone" if content is None else "is another one"
            raise MirrorChanged(
                f"{file.key} {told} than the manifest of snapshot {self.manifest.snapshot_sequence} says"
            )
        return content

    def frames(self, table: str) -> Iterator[pl.DataFrame]:
        """The rows of a table, file by file.

        Raises:
            MirrorChanged: As `content`; what came before is of this version nevertheless.
        """
        schema = self.schema(table)
        for file in self.files(table):
            # Without the view of a folder's name: the month stands in the path, not among the columns.
            yield pl.read_parquet(io.BytesIO(self.content(file)), hive_partitioning=False).select(schema.names())

    def table(self, table: str) -> pl.DataFrame:
        """All rows of a table; raises as `frames`."""
        self.files(table)
        return pl.concat([pl.DataFrame(schema=self.schema(table)), *self.frames(table)])


class MirrorReader:
    """Reads a mirror while runs write it.

    Args:
        source: Where it is.
        patience_seconds: How long a mirror may be between two versions before that is an error.
        monotonic: A clock for that, in seconds.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        source: MirrorSource,
        *,
        patience_seconds: float = 15.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._sleep = sleep

    def is_empty(self) -> bool:
        """Whether nothing was mirrored there yet.

        Raises:
            MirrorError: That cannot be found out.
        """
        return self._source.manifest_text(None) is None

    def version(self, version_id: str | None = None) -> MirrorVersion:
        """What the manifest names now, or named then.

        Raises:
            MirrorError: There is no mirror, its manifest is damaged or was made by a newer version of this program.
        """
        text = self._source.manifest_text(version_id)
        if text is None:
            raise NoMirror(f"there is no mirror: {MANIFEST_KEY} is missing. Look at SPOTIFY_ASSETS_MIRROR")
        try:
            return MirrorVersion(Manifest.from_json(text), self._source)
        except NewerManifest:
            raise MirrorError("the mirror was made by a newer version of this program; install that one") from None
        except ValueError:
            raise MirrorError(
                f"the mirror's {MANIFEST_KEY} is damaged, or no manifest of a lakehouse. The next run of the lakehouse "
                "that it belongs to writes it again"
            ) from None

    def version_named(self, name: str) -> MirrorVersion:
        """An older version: a folder's number, a VersionId of the manifest, or the number of a snapshot.

        Raises:
            NoSuchVersion: There is none of that name.
            MirrorError: As `version`.
        """
        known: list[str] = []
        version_id = ""
        for stored in self._source.manifests():
            if stored.version_id == name:
                return self.version(name)
            try:
                manifest = Manifest.from_json(stored.text)
            except ValueError:
                continue
            published = f", {manifest.published_at[:16]}" if manifest.published_at else ""
            known.append(f"{stored.version_id} (snapshot {manifest.snapshot_sequence}{published})")
            version_id = version_id or (stored.version_id if str(manifest.snapshot_sequence) == name else "")
        if not version_id:
            more = f"; and {len(known) - _VERSIONS_TOLD} older ones" if len(known) > _VERSIONS_TOLD else ""
            told = f"It has: {'; '.join(known[:_VERSIONS_TOLD])}{more}" if known else "It keeps no older versions"
            raise NoSuchVersion(f"the mirror has no version {name}. {told}")
        return self.version(version_id)

    def read(self, work: Callable[[MirrorVersion], Answer]) -> Answer:
        """What `work` makes of one version; begun anew with the next one when files change under it.

        Raises:
            MirrorBeingRepaired: Manifest and files have not agreed for `patience_seconds`.
            MirrorError: As `version`.
        """
        agreed_at = self._monotonic()
        last: int | None = None
        while True:
            version = self.version()
            if version.manifest.snapshot_sequence != last:
                last = version.manifest.snapshot_sequence
                agreed_at = self._monotonic()
            try:
                return work(version)
            except MirrorChanged as error:
                if self._monotonic() - agreed_at >= self._patience_seconds:
                    raise MirrorBeingRepaired(
                        f"the mirror is being repaired: {error}. A run is writing it, or was cut off; the next run "
                        "that ends well makes it whole. Try again then"
                    ) from None
            self._sleep(_PAUSE_SECONDS)

    def tables(self, names: Sequence[str]) -> dict[str, pl.DataFrame]:
        """Tables by name, all of one version; raises as `read`."""
        return self.read(lambda version: {name: version.table(name) for name in names})

    def table(self, name: str) -> pl.DataFrame:
        """A table; raises as `read`."""
        return self.tables([name])[name]


def open_mirror(
    configuration: MirrorConfiguration, paths: HomePaths | None = None, *, patience_seconds: float = 15.0
) -> MirrorReader:
    """A reader of the mirror that a configuration names.

    Args:
        configuration: Where the mirror is.
        paths: Of the home, where the mirror may be a part of it.
        patience_seconds: As of `MirrorReader`.

    Raises:
        ValueError: The configuration names no place, and no home is given.
    """
    return MirrorReader(open_source(configuration, paths), patience_seconds=patience_seconds)


def open_source(configuration: MirrorConfiguration, paths: HomePaths | None = None) -> MirrorSource:
    """Where the mirror is read from that a configuration names; as `open_mirror`."""
    if configuration.is_bucket:
        return BucketSource(configuration.bucket())
    if not configuration.address and paths is None:
        raise ValueError("a mirror that is a part of a home is read with the paths of the home")
    return FolderSource(Path(configuration.address) if configuration.address else paths.mirror_folder)
