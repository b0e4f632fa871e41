"""A home that is changed step by step: exports of few words, people who move, a clock that is set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from spotify_assets.assets.daily import CODE_VERSIONS
from spotify_assets.assets.raw.exports import TABLES as EXPORT_TABLES
from spotify_assets.assets.table_asset import IO_MANAGER_KEY, asset_key
from spotify_assets.automation.jobs import DAILY_JOB, IMPORT_JOB
from spotify_assets.automation.runs import Outcome, build_everything, day_ranges
from spotify_assets.clock import Clock
from spotify_assets.definitions import build_definitions
from spotify_assets.lakehouse import LakehouseIOManager, Warehouse
from spotify_assets.schemas import clean
from spotify_assets.settings import Settings
from spotify_assets.state import State
from spotify_assets_tests.exports import samples

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_GENERATIONS = {"G0": samples.g0, "G1": samples.g1, "G2": samples.g2, "G3": samples.g3}
GENERATIONS = (*_GENERATIONS, "basic")


@dataclass(frozen=True)
class Heard:
    """A play of a track as it happened; `ended_at` UTC, whole seconds."""

    ended_at: datetime
    ms_played: int = 180_000
    title: str = "Title"
    artist: str = "Artist"
    told: tuple[tuple[str, Any], ...] = ()

    def row(self, generation: str) -> dict[str, Any]:
        """The play as a generation of exports tells it."""
        if generation == "basic":
            end = f"{self.ended_at:%Y-%m-%d %H:%M}"
            return samples.basic(endTime=end, artistName=self.artist, trackName=self.title, msPlayed=self.ms_played)
        row = _GENERATIONS[generation](
            ts=f"{self.ended_at:%Y-%m-%dT%H:%M:%SZ}",
            ms_played=self.ms_played,
            master_metadata_track_name=self.title,
            master_metadata_album_artist_name=self.artist,
            **dict(self.told),
        )
        if "spotify_track_uri" in row:
            words = "".join(letter for letter in f"{self.artist}{self.title}".lower() if letter.isalnum())
            row["spotify_track_uri"] = f"spotify:track:{words:0<22}"
        return row


def write_export(path: Path, plays: Sequence[Heard], generation: str) -> Path:
    """A zip with one file of history."""
    name = "StreamingHistory_music_0.json" if generation == "basic" else "Streaming_History_Audio_2021_0.json"
    return samples.write_zip(path, {name: [play.row(generation) for play in plays]})


@dataclass
class LivingHome:
    """A home on which the real jobs run.

    Attributes:
        zones: What listeners.toml tells of each listener's zones.
        now: What the clock shows.
        code_versions: Versions of the daily tables.
        timezone: The zone of the settings.
        bi_copies: Formats of the copies; they take a sixth of what a small import takes.
    """

    folder: Path
    instance: dg.DagsterInstance
    zones: Mapping[str, str]
    now: datetime
    session_gap_minutes: int = 30
    code_versions: Mapping[str, str] = field(default_factory=lambda: dict(CODE_VERSIONS))
    timezone: str = "Europe/Berlin"
    bi_copies: str = ""

    @property
    def settings(self) -> Settings:
        return Settings(
            home=self.folder,
            timezone=self.timezone,
            session_gap_minutes=self.session_gap_minutes,
            bi_copies=self.bi_copies,
        )

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse.from_settings(
            self.settings, days_table=clean.Days.qualified_name(), code_versions=dict(self.code_versions)
        )

    def definitions(self) -> dg.Definitions:
        self.folder.mkdir(parents=True, exist_ok=True)
        entries = (f'[[listener]]\nname = "{name}"\nzones = "{zones}"\n' for name, zones in self.zones.items())
        self.settings.paths.listeners_file.write_text("\n".join(entries))
        warehouse = self.warehouse
        return build_definitions(
            self.settings,
            resource_overrides={
                "clock": Clock(fixed_now=self.now.astimezone(UTC).isoformat()),
                "warehouse": warehouse,
                IO_MANAGER_KEY: LakehouseIOManager(warehouse=warehouse),
            },
        )

    def update_plays(self, **import_config: Any) -> dg.ExecuteInProcessResult:
        """Import, and write the plays with their days; all other tables stay as they are."""
        tables = (*EXPORT_TABLES, clean.Plays, clean.PlaySources, clean.Days, clean.Coverage)
        return (
            self.definitions()
            .resolve_job_def(IMPORT_JOB)
            .execute_in_process(
                {**_QUIET, "ops": {"streaming_history": {"config": import_config}}},
                instance=self.instance,
                asset_selection=[asset_key(table) for table in tables],
            )
        )

    def build_days(self, days: Iterable[date]) -> None:
        """Build the daily tables of these days, as `build_everything` does."""
        daily = self.definitions().resolve_job_def(DAILY_JOB)
        for first, last in day_ranges(days):
            tags = {
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            }
            daily.execute_in_process(_QUIET, instance=self.instance, tags=tags)

    def build(self, **import_config: Any) -> Outcome:
        """Import, and build all that is due."""
        outcome = build_everything(
            self.definitions,
            self.instance,
            self.warehouse,
            State(self.settings.paths.state_file),
            import_config=import_config,
            run_config=_QUIET,
        )
        assert outcome.is_success
        return outcome

    def table(self, name: str) -> pl.DataFrame:
        return self.warehouse.read(name)
