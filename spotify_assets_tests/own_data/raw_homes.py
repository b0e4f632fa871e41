"""Homes of raw tables alone: exports and responses taken in and published, without a run of Dagster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from spotify_assets.assets.raw.ledger import import_exports
from spotify_assets.assets.raw.replay import replay
from spotify_assets.definitions import build_warehouse
from spotify_assets.exports import find_exports
from spotify_assets.lakehouse import Warehouse, publish_if_changed, run_session
from spotify_assets.listeners import Household
from spotify_assets.own_data import ExportReport, ExportRequest, export_own_data
from spotify_assets.schemas import Table
from spotify_assets.settings import Settings
from spotify_assets.spotify.model import Response
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.exports.samples import IMPORTED_AT, write

Files = Mapping[str, Sequence[dict[str, Any]]]
"""Rows of history by the path of their file."""

NUMBERS = ("row_id", "file_id", "import_id", "row_number", "response_id")
"""Columns that number rows of one lakehouse."""


@dataclass
class RawHome:
    folder: Path

    @property
    def settings(self) -> Settings:
        return settings_of(self.folder)

    @property
    def warehouse(self) -> Warehouse:
        return build_warehouse(self.settings)

    def import_files(self, files: Files, listener: str = "ann") -> None:
        """Import exports at once: paths are those of their files below the folder that is named."""
        place = self.folder.parent / f"{self.folder.name}-exports" / str(len(list(self.folder.parent.rglob("*.json"))))
        for path, rows in files.items():
            write(place / path, json.dumps(rows))
        self.import_paths([place], listener)

    def import_paths(self, paths: Sequence[Path], listener: str = "ann") -> None:
        warehouse = self.warehouse
        with run_session(warehouse, purpose="test") as session:
            session.begin()
            with (
                find_exports(paths, scratch=self.folder / "scratch") as found,
                warehouse.transaction() as transaction,
            ):
                report = import_exports(transaction, found, listener=listener, imported_at=IMPORTED_AT)
            assert report.problems == []

    def replay_lines(self, responses: Sequence[Response]) -> None:
        file = self.folder.parent / f"{self.folder.name}-responses.jsonl"
        file.write_text("".join(f"{each.to_json()}\n" for each in responses))
        self.replay_file(file)

    def replay_file(self, file: Path) -> None:
        now = datetime.now(UTC) + timedelta(days=400)
        with run_session(self.warehouse, purpose="test") as session:
            session.begin()
            report = replay(self.warehouse, [file], Household.of(self.settings), now)
        assert report.problems == []

    def publish(self) -> None:
        publish_if_changed(self.warehouse, published_at=datetime(2026, 11, 21, tzinfo=UTC), log=print)

    def export(self, *tables: str, **options: Any) -> tuple[Path, ExportReport]:
        """Publish, and export into a folder of its own."""
        self.publish()
        target = options.pop("folder", self.folder.parent / f"{self.folder.name}-out")
        return target, export_own_data(self.settings, ExportRequest(target, tables, **options))

    def table(self, table: type[Table]) -> pl.DataFrame:
        """Rows of a table, without what numbers them."""
        frame = self.warehouse.read(table)
        return frame.drop([name for name in NUMBERS if name in frame.columns]).sort(pl.all())


def append(home: RawHome, table: type[Table], frame: pl.DataFrame) -> None:
    """Put rows into a table as they are."""
    with run_session(home.warehouse, purpose="test") as session:
        session.begin()
        with home.warehouse.transaction() as transaction:
            transaction.append(table, frame)
