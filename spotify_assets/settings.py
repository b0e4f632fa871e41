"""Every setting, and where everything lies in the home folder.

This is the only module that reads the environment. All paths are resolved against one home folder, never against
the current one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import platformdirs
import tzlocal
from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

APPLICATION = "spotify_assets"


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir(APPLICATION, appauthor=False))


class Settings(BaseSettings):
    """Settings of a home, from `SPOTIFY_ASSETS_…` variables; none is needed.

    Raises:
        pydantic.ValidationError: A setting has a value that cannot be meant; the message names the setting.
    """

    model_config = SettingsConfigDict(env_prefix="SPOTIFY_ASSETS_", extra="ignore")

    home: Path = Field(
        default_factory=_default_home,
        description="Folder of the lakehouse; the platform's user data folder by default.",
    )
    timezone: str | None = Field(
        default=None,
        description="IANA name of the listener's time zone, such as Europe/Berlin; by default the one last used for "
        "this home, else the machine's.",
    )
    listener: str = Field(default="me", description="Name under which the rows of this person are kept.")
    session_gap_minutes: int = Field(
        default=30, ge=1, le=24 * 60, description="Silence after which a new listening session begins."
    )
    outage_minutes: int = Field(
        default=120,
        ge=1,
        description="Time without a successful look at the last plays after which daily.completeness tells an outage.",
    )
    warehouse_memory_limit: str = Field(
        default="200MB", description="Memory that DuckDB may use before it spills to the home folder."
    )
    lock_timeout_seconds: float = Field(
        default=600.0,
        gt=0,
        description="How long a run waits for another run, or for a program that holds the warehouse.",
    )
    snapshots_kept: int = Field(
        default=3,
        ge=3,
        le=100,
        description="Published snapshots kept, so that an open notebook keeps its file.",
    )
    mirror_versions_kept: int = Field(default=3, ge=1, le=100, description="Versions of the local mirror kept.")
    run_history_days: int = Field(
        default=30,
        ge=1,
        description="Days for which runs and their events are kept; what was built last always stays known.",
    )
    sensor_seconds: int = Field(
        default=30, ge=1, description="How often the daemon looks into the inbox and for stale days."
    )
    dagster_home: Path | None = Field(default=None, validation_alias=AliasChoices("DAGSTER_HOME"))

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        return usable_zone_name(name) if name else None

    @field_validator("listener")
    @classmethod
    def _usable_name(cls, listener: str) -> str:
        return usable_listener_name(listener)

    @property
    def is_default_home(self) -> bool:
        return self.home == self._absolute(_default_home())

    @property
    def is_timezone_guessed(self) -> bool:
        return self.timezone is None and self._remembered_zone() is None

    @property
    def zone_name(self) -> str:
        """The listener's zone: the setting, else the one that this home was last built with, else the machine's."""
        return self.timezone or self._remembered_zone() or _zone_of_machine()

    def remember_timezone(self) -> None:
        """Keep the zone in the home folder, so that a UI started without the variable does not move every day.

        Raises:
            OSError: The home folder cannot be written to.
        """
        if self.timezone:
            self.paths.timezone_file.write_text(f"{self.timezone}\n")

    def _remembered_zone(self) -> str | None:
        try:
            return self._known_zone(self.paths.timezone_file.read_text().strip())
        except (OSError, ValueError):
            return None

    def own_environment(self) -> dict[str, str]:
        """Our own variables for a process that is to work on this home with these settings, and no others."""
        named = {
            "SPOTIFY_ASSETS_HOME": str(self.home),
            "SPOTIFY_ASSETS_LISTENER": self.listener,
            "DAGSTER_HOME": str(self.paths.dagster_folder),
        }
        for name in sorted(self.model_fields_set - {"home", "listener", "dagster_home"}):
            value = getattr(self, name)
            if value is not None:
                named[f"SPOTIFY_ASSETS_{name.upper()}"] = str(value)
        return named

    def process_environment(self) -> dict[str, str]:
        """The environment for a process of ours that is to work on this home, the Dagster UI above all."""
        return {**os.environ, **self.own_environment()}

    @property
    def paths(self) -> HomePaths:
        return HomePaths(self.home)


def usable_listener_name(text: str) -> str:
    """A listener's name without the space around it.

    Raises:
        ValueError: No name can be meant.
    """
    name = text.strip()
    if not name or name.startswith(".") or any(character in name for character in '/\\\0\n\r\t"'):
        raise ValueError(
            "a listener's name is one word or several, without slashes, quotes or line breaks, and no dot before them"
        )
    return name


def usable_zone_name(name: str) -> str:
    """An IANA name as it is.

    Raises:
        ValueError: There is no such zone.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone; write for example Europe/Berlin") from None
    return name


def _zone_of_machine() -> str:
    try:
        name = tzlocal.get_localzone_name()
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return "UTC"
    return name


@dataclass(frozen=True)
class HomePaths:
    """Where everything lies in a home folder.

    ```
    lakehouse.duckdb        symlink to the newest snapshot: what notebooks open
    mirror/                 Parquet files
    inbox/{listener}/       for exports
    listeners.toml          the household, where there is one
    dagster/                the Dagster instance: dagster.yaml, runs and events
    .warehouse/             the pipeline's own DuckDB file and its lock
    .snapshots/{sequence}/  published files
    .runs/{run_id}.lock     held by a living run
    .scratch/               temporary files
    state.sqlite, run.lock, timezone
    ```
    """

    home: Path

    @property
    def published_file(self) -> Path:
        return self.home / "lakehouse.duckdb"

    @property
    def snapshots_folder(self) -> Path:
        return self.home / ".snapshots"

    @property
    def mirror_folder(self) -> Path:
        return self.home / "mirror"

    @property
    def inbox(self) -> Path:
        return self.home / "inbox"

    def inbox_folder(self, listener: str) -> Path:
        return self.inbox / listener

    @property
    def listeners_file(self) -> Path:
        return self.home / "listeners.toml"

    @property
    def logs_folder(self) -> Path:
        return self.home / "logs"

    @property
    def dagster_folder(self) -> Path:
        return self.home / "dagster"

    @property
    def dagster_configuration(self) -> Path:
        return self.dagster_folder / "dagster.yaml"

    @property
    def dagster_workspace(self) -> Path:
        return self.dagster_folder / "workspace.yaml"

    @property
    def warehouse_file(self) -> Path:
        return self.home / ".warehouse" / "warehouse.duckdb"

    @property
    def warehouse_lock_file(self) -> Path:
        return self.home / ".warehouse" / "warehouse.lock"

    @property
    def scratch_folder(self) -> Path:
        return self.home / ".scratch"

    @property
    def spill_folder(self) -> Path:
        return self.scratch_folder / "duckdb"

    @property
    def run_lock_file(self) -> Path:
        return self.home / "run.lock"

    @property
    def runs_folder(self) -> Path:
        return self.home / ".runs"

    @property
    def timezone_file(self) -> Path:
        return self.home / "timezone"

    @property
    def state_file(self) -> Path:
        return self.home / "state.sqlite"
