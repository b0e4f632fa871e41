"""Whether floor and product came to the same numbers: without that a ratio of their times says nothing."""

from __future__ import annotations

from pathlib import Path

import duckdb

PLAYS = "SELECT count(*) AS plays, sum(ms_played)::BIGINT AS ms_played FROM {plays}"
# The product has a row for a day without a play too.
LISTENING = "SELECT played_on, plays, ms_played FROM {listening} WHERE plays > 0"
ARTISTS = "SELECT played_on, artist_name, plays, ms_played FROM {artists}"

QUESTIONS = {
    "all plays and their milliseconds": (PLAYS, {"plays": "clean.plays"}),
    "plays and milliseconds of tracks, each day": (LISTENING, {"listening": "daily.listening"}),
    "plays and milliseconds of each artist, each day": (ARTISTS, {"artists": "daily.artists"}),
}
"""What both must answer alike: a query, and the product's names of the floor's tables."""


def differences(floor_folder: Path, home: Path) -> list[str]:
    """What floor and product tell differently, in sentences; empty when they agree.

    The published file is asked and the mirror's Parquet files, the floor's DuckDB file and its Parquet files. All rows
    of both daily aggregates are compared, not only their sums.

    Args:
        floor_folder: Where the floor wrote to.
        home: The product's home.
    """
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{floor_folder / 'floor.duckdb'}' AS floor (READ_ONLY)").fetchall()
        connection.execute(f"ATTACH '{(home / 'lakehouse.duckdb').resolve()}' AS product (READ_ONLY)").fetchall()
        found = []
        for question, (query, names) in QUESTIONS.items():
            floor = query.format(**{table: f"floor.{table}" for table in names})
            others = {
                "the floor's Parquet files": {
                    table: f"read_parquet('{floor_folder / table}.parquet')" for table in names
                },
                "the published file": {table: f"product.{name}" for table, name in names.items()},
                "the mirror": {
                    table: f"read_parquet('{home}/mirror/current/{name.replace('.', '/')}/**/*.parquet')"
                    for table, name in names.items()
                },
            }
            for who, tables in others.items():
                told = query.format(**tables)
                rows = connection.execute(
                    f"(SELECT 'floor', * FROM (({floor}) EXCEPT ALL ({told})) ORDER BY ALL LIMIT 3) UNION ALL "
                    f"(SELECT 'other', * FROM (({told}) EXCEPT ALL ({floor})) ORDER BY ALL LIMIT 3)"
                ).fetchall()
                for side, *row in rows:
                    speaker = "the floor" if side == "floor" else who
                    found.append(f"{question}: only {speaker} says {', '.join(map(str, row))}")
        return found


def stored_rows(home: Path) -> int:
    """Rows of exports that the product keeps."""
    with duckdb.connect(str((home / "lakehouse.duckdb").resolve()), read_only=True) as published:
        return published.execute("SELECT count(*) FROM raw.streaming_history").fetchall()[0][0]
