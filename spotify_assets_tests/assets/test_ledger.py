import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from spotify_assets.assets.raw.ledger import import_exports
from spotify_assets.definitions import build_warehouse
from spotify_assets.exports import find_exports
from spotify_assets.lakehouse import run_session
from spotify_assets.schemas import Table, raw
from spotify_assets.transforms import told_rows
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.exports.samples import IMPORTED_AT, core

TABLES = (raw.StreamingHistory, raw.ToldRows, raw.RejectedRows, raw.Imports)


def rows_of_an_export(number: int) -> list[dict[str, Any]]:
    """Forty days: every seventh row is told twice, every eleventh has no URI, every ninetieth no instant."""
    rows = []
    for minute in range(400):
        ts = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=minute // 10, minutes=minute)
        row = core(ts=f"{ts:%Y-%m-%dT%H:%M:%SZ}", ms_played=30_000 + minute, conn_country="DE")
        if minute % 11 == 10:
            row["spotify_track_uri"] = None
        if minute % 90 == 89:
            row["ts"] = None
        if number == 1 or minute % 3:
            rows += [row] * (2 if minute % 7 == 6 and number == 1 else 1)
        if number == 2 and minute % 5 == 4:
            rows.append(row | {"ms_played": 90_000 + minute})
    return rows


def tables_after_both_exports(folder: Path, **sizes: int) -> dict[type[Table], pl.DataFrame]:
    settings = settings_of(folder / "home")
    warehouse = build_warehouse(settings)
    for number in (1, 2):
        export = folder / f"export-{number}"
        export.mkdir(parents=True)
        rows = rows_of_an_export(number)
        for part, share in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
            (export / f"Streaming_History_Audio_2020_{part}.json").write_text(json.dumps(share))
        with run_session(warehouse, purpose="test") as session, find_exports([export], scratch=folder) as found:
            session.begin()
            with warehouse.transaction() as transaction:
                import_exports(transaction, found, listener="me", imported_at=IMPORTED_AT, **sizes)
    tables = {table: warehouse.read(table) for table in TABLES}
    # Where runs of told rows end depends on how many are matched at once.
    return tables | {raw.ToldRows: told_rows.one_by_one(tables[raw.ToldRows].lazy()).collect()}


def test_rows_are_matched_alike_all_at_once_or_some_days_at_a_time(tmp_path: Path) -> None:
    at_once = tables_after_both_exports(tmp_path / "at-once")
    by_days = tables_after_both_exports(tmp_path / "by-days", rows_per_match=37)
    for table in TABLES:
        order = [name for name in ("file_id", "row_number", "row_id") if name in table.column_names()]
        assert_frame_equal(by_days[table].sort(order), at_once[table].sort(order))
    second = at_once[raw.Imports].filter(import_id=2)
    assert second["rows_known"].sum() > 200
    assert second["rows_new"].sum() == 80 - 4
    assert second["rows_rejected"].sum() > 0
