"""Which mirror a home has, and bringing it up to date: at the end of a run, whatever comes of it.

A mirror that cannot be reached never fails a run. What went wrong is told in the run's log, noted in `state.sqlite` and
shown by a check in the Dagster UI (`mirror_events`); the next run catches up.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import Config
from pydantic import Field

from spotify_assets.lakehouse import home_facts, mirror, publishing
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.settings import HomePaths, Settings
from spotify_assets.state import State

if TYPE_CHECKING:
    from spotify_assets.lakehouse.bucket import Bucket

Log = Callable[[str], None]


class MirrorConfiguration(Config):
    """Where the mirror of a home is kept, and how. Credentials are no part of it: the Dagster UI shows all of this.

    Nothing of AWS is loaded before a bucket is used; that takes as long as all of Dagster.
    """

    address: str = Field(default="", description="`s3://bucket/prefix` or an absolute path; empty: {home}/mirror.")
    endpoint_url: str | None = Field(default=None, description="Address of a store that is not Amazon's.")
    region_name: str | None = Field(default=None, description="Region of the bucket.")
    profile_name: str | None = Field(default=None, description="Profile of ~/.aws that has the keys.")
    encryption: str = Field(default="", description="AES256, aws:kms or empty.")
    kms_key_id: str = Field(default="", description="Key for aws:kms.")
    checksums: bool = Field(default=True, description="Have the store check the SHA-256 of what it receives.")
    max_attempts: int = Field(default=3, description="How often a request is sent at most.")
    connect_timeout_seconds: float = Field(default=4.0, description="How long a connection may take to come about.")
    read_timeout_seconds: float = Field(default=20.0, description="How long the store may be silent.")
    versions_days: float = Field(default=30.0, description="Days for which a bucket's older versions are kept too.")
    takes_over: bool = Field(default=False, description="Write over what another lakehouse or somebody else has put.")

    @classmethod
    def from_settings(cls, settings: Settings) -> MirrorConfiguration:
        # The part of a home that a mirror is by default can be no other home's.
        is_part_of_home = settings.mirror_address == str(settings.paths.mirror_folder)
        return cls(
            address="" if is_part_of_home else settings.mirror_address,
            endpoint_url=settings.mirror_endpoint_url,
            region_name=settings.mirror_region,
            profile_name=settings.mirror_profile,
            encryption=settings.mirror_encryption,
            kms_key_id=settings.mirror_kms_key_id,
            checksums=settings.mirror_checksums,
            versions_days=settings.mirror_versions_days,
            takes_over=settings.mirror_take_over,
        )

    @property
    def is_bucket(self) -> bool:
        return self.address.startswith("s3://")

    def folder(self, paths: HomePaths) -> Path:
        """The folder of a mirror that is in none but a folder."""
        return Path(self.address) if self.address else paths.mirror_folder

    def bucket(self) -> Bucket:
        """The bucket of a mirror that is in one."""
        from spotify_assets.lakehouse.bucket import MirrorBucket

        known = {name: getattr(self, name) for name in MirrorBucket.model_fields if name in type(self).model_fields}
        return MirrorBucket(**known).bucket()

    def link(self, paths: HomePaths, key: str = "") -> str:
        """Where an object is for persons: `s3://bucket/prefix/key`, or a path behind the link `current`."""
        root = self.address if self.is_bucket else f"{self.folder(paths) / 'current'}"
        return f"{root}/{key}".rstrip("/")


def home_id(paths: HomePaths) -> str:
    """Which lakehouse a home is, kept beside its warehouse; made when it is first asked for."""
    file = paths.mirror_owner_file
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        set_home_id(paths, str(uuid.uuid4()))
    return file.read_text().strip()


def set_home_id(paths: HomePaths, name: str) -> None:
    """Make a home the one that wrote a mirror, because it was rebuilt from that."""
    file = paths.mirror_owner_file
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}")
    beside.write_text(f"{name}\n")
    beside.replace(file)


def mirror_target(
    paths: HomePaths, configuration: MirrorConfiguration, versions_kept: int, *, log: Log, is_thorough: bool = False
) -> mirror.MirrorTarget:
    """The mirror of a home, which keeps so many versions, and in a bucket also those that are young enough.

    With `is_thorough` it keeps nothing old, because a person's data has to go.

    Raises:
        MirrorError: The bucket's address or the account cannot be used.
    """
    kept = 1 if is_thorough else versions_kept
    if not configuration.is_bucket:
        return mirror.LocalFolder(configuration.folder(paths), kept)
    from spotify_assets.lakehouse.bucket_mirror import BucketMirror

    return BucketMirror(
        configuration.bucket(),
        home_id(paths),
        versions_kept=kept,
        versions_days=configuration.versions_days,
        takes_over=configuration.takes_over,
        is_thorough=is_thorough,
        log=log,
    )


def bring_up_to_date(
    paths: HomePaths,
    configuration: MirrorConfiguration,
    versions_kept: int,
    *,
    log: Log,
    now: Callable[[], datetime],
    memory_limit: str = "200MB",
    is_thorough: bool = False,
    copies: mirror.Copies | None = None,
    settings_told: Mapping[str, str] | None = None,
    doubted: Collection[str] = (),
) -> tuple[mirror.MirrorReport | None, MirrorState | None, bool]:
    """Bring the mirror up to the published file; what goes wrong is told and noted, not raised.

    With `is_thorough` nothing old and nothing that no schema declares is kept, and what goes wrong is raised too: a
    person's data has to go. `doubted` as of `mirror.update_mirror`.

    Args:
        settings_told: Settings that rule what the tables say, for whoever restores the home (`home_facts`).

    Returns:
        What was written (None: nothing, or it failed), how it stands now (None: nothing is published, so there is
        nothing to mirror), and whether that is another standing than before.
    """
    sequence = publishing.published_sequence(paths)
    if sequence == 0:
        return None, None, False
    state = State(paths.state_file)
    before = MirrorState.of(state)
    address = configuration.link(paths)
    known = before if before and before.address == address else MirrorState(address, "")
    report = None
    trouble: Exception | None = None
    failure = ""

    def promise(revision: str) -> None:
        nonlocal known
        known = replace(known, pending_revision=revision)
        known.note(state)

    try:
        report = mirror.update_mirror(
            paths,
            mirror_target(paths, configuration, versions_kept, log=log, is_thorough=is_thorough),
            log=log,
            memory_limit=memory_limit,
            keeps_undeclared=not is_thorough,
            home_id=home_id(paths) if configuration.address else "",
            known=known,
            promise=promise,
            takes_over=configuration.takes_over,
            copies=copies,
            home=home_facts.collect(paths, settings_told or {}, with_state=not is_thorough),
            doubted=doubted,
        )
    except Exception as error:
        trouble = error
        failure = str(error)
        log(
            f"The mirror in {address} is not up to date: {failure.rstrip('.')}. The lakehouse itself is; the next run "
            "tries again."
        )
    told_at = now().isoformat()
    if failure:
        after = replace(known, told_at=told_at, failure=failure, failing_since=known.failing_since or told_at)
    else:
        after = replace(known, told_at=told_at, failure="", failing_since="", snapshot_sequence=sequence)
    if report:
        after = replace(
            after, files=report.files, size_bytes=report.size_bytes, revision=report.revision, pending_revision=""
        )
    is_other = before is None or (before.address, before.failure) != (after.address, after.failure)
    if is_other or failure or report or before.snapshot_sequence != sequence:
        after.note(state)
    if trouble is not None and is_thorough:
        raise trouble
    return report, after, is_other
