"""The floor: what one hand-tuned script needs for the barest version of the same work.

    python -m benchmarks.cold floor FOLDER_OF_THE_EXPORT EMPTY_FOLDER

DuckDB parses the files with declared columns, drops exact copies, makes two daily aggregates, and writes a DuckDB file
and three Parquet files. It believes every row, keeps no history of imports, decides nothing and explains nothing.

Its distinct rows are plays of the product too, because the generated history says so (`benchmarks.generate`): rows
that are no exact copies differ in `ts`, `ms_played` or URI, and the corrected end of an offline play is its `ts`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import duckdb

ZONE = "Europe/Berlin"
DAY = f"(ts AT TIME ZONE 'UTC' AT TIME ZONE '{ZONE}')::DATE"
"""Days are local dates, for the floor as for the product. Parsed without a zone `ts` costs a third less."""

COLUMNS = {
    "ts": "TIMESTAMP",
    "platform": "VARCHAR",
    "ms_played": "BIGINT",
    "conn_country": "VARCHAR",
    "master_metadata_track_name": "VARCHAR",
    "master_metadata_album_artist_name": "VARCHAR",
    "master_metadata_album_album_name": "VARCHAR",
    "spotify_track_uri": "VARCHAR",
    "episode_name": "VARCHAR",
    "episode_show_name": "VARCHAR",
    "spotify_episode_uri": "VARCHAR",
    "audiobook_title": "VARCHAR",
    "audiobook_uri": "VARCHAR",
    "audiobook_chapter_uri": "VARCHAR",
    "audiobook_chapter_title": "VARCHAR",
    "reason_start": "VARCHAR",
    "reason_end": "VARCHAR",
    "shuffle": "BOOLEAN",
    "skipped": "BOOLEAN",
    "offline": "BOOLEAN",
    "offline_timestamp": "BIGINT",
    "incognito_mode": "BOOLEAN",
}
"""All keys but the personal one: the product does not store that either."""

STATEMENTS = {
    "plays": """
        CREATE TABLE plays AS
        SELECT DISTINCT * FROM read_json('{export}/**/*.json', format = 'array', columns = {columns})""",
    "listening": """
        CREATE TABLE listening AS
        SELECT {day} AS played_on, count(*) AS plays, sum(ms_played)::BIGINT AS ms_played
        FROM plays WHERE spotify_track_uri IS NOT NULL GROUP BY ALL""",
    "artists": """
        CREATE TABLE artists AS
        SELECT {day} AS played_on, master_metadata_album_artist_name AS artist_name,
               count(*) AS plays, sum(ms_played)::BIGINT AS ms_played
        FROM plays WHERE spotify_track_uri IS NOT NULL GROUP BY ALL""",
    "parquet": """
        COPY plays TO '{target}/plays.parquet' (COMPRESSION zstd);
        COPY listening TO '{target}/listening.parquet' (COMPRESSION zstd);
        COPY artists TO '{target}/artists.parquet' (COMPRESSION zstd)""",
    "checkpoint": "CHECKPOINT",
}


def build(export: Path, target: Path) -> dict[str, float]:
    """Write floor.duckdb and three Parquet files into `target`; returns the seconds of each statement."""
    target.mkdir(parents=True, exist_ok=True)
    seconds = {}
    with duckdb.connect(str(target / "floor.duckdb")) as connection:
        connection.execute("SET preserve_insertion_order = false").fetchall()
        for name, statement in STATEMENTS.items():
            began = time.perf_counter()
            connection.execute(statement.format(export=export, target=target, day=DAY, columns=COLUMNS)).fetchall()
            seconds[name] = time.perf_counter() - began
    return seconds


def main() -> None:
    arguments = argparse.ArgumentParser(description="The hand-tuned floor.")
    arguments.add_argument("export", type=Path)
    arguments.add_argument("target", type=Path)
    told = arguments.parse_args()
    print(json.dumps({"seconds": build(told.export, told.target)}))


if __name__ == "__main__":
    main()
