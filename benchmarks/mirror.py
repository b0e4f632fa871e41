"""The mirror in a bucket of an S3 server on this machine, against the same mirror in a folder.

In each round, every line a process of its own: the first import into a home whose mirror is a folder; the same into a
home whose mirror is in a new bucket; there a run that finds nothing new, then a later export that tells one new day;
the mirror compared with the published file; and the lakehouse restored from the bucket into an empty home, which must
hold what the first one holds. The server shares the processors with what is measured, and its own seconds are told.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import cold
from benchmarks.generate import History
from benchmarks.s3_server import Stored, running

BUCKET, PREFIX = "lake", "house/"
KINDS_OF_OBJECTS = ("months", "tables", "copies", "manifest")


class NotEqual(Exception):
    """What was restored is not what was lost."""


def measure_round(history: History, folder: Path) -> dict[str, dict[str, Any]]:
    """One round in an empty folder.

    Returns:
        For `folder`, and on the bucket `bucket` (the first import), `unchanged`, `next_day`, `verify` and `restore`:
        what `cold.run` tells of the process; of those on the bucket also server_seconds, of the server's processor, and
        uploads (`uploads_of`); of `restore` also tables: how many there are, all of them equal.

    Raises:
        NotEqual: A restored table is not the lost one.
        cold.BenchmarkFailed: A process failed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    home, restored = folder / "home", folder / "restored"
    with running() as server:
        server.make_bucket(BUCKET)
        known: set[Stored] = set()

        def on_bucket(*arguments: str | Path) -> dict[str, Any]:
            nonlocal known
            began = server.processor_seconds
            environment = {**server.environment, "SPOTIFY_ASSETS_MIRROR": f"s3://{BUCKET}/{PREFIX}"}
            measured = cold.run("product", *arguments, environment=environment)
            server_seconds = server.processor_seconds - began
            before, known = known, server.stored(BUCKET)
            return {**measured, "server_seconds": server_seconds, "uploads": uploads_of(known - before)}

        measured = {
            "folder": cold.run("product", "import", history.export, folder / "beside"),
            "bucket": on_bucket("import", history.export, home),
            "unchanged": on_bucket("due", home),
            "next_day": on_bucket("import", history.next_day, home),
            "verify": on_bucket("verify", home),
            "restore": on_bucket("restore", restored),
        }
        measured["restore"]["tables"] = equal_tables(home, restored)
    shutil.rmtree(folder)
    return measured


def uploads_of(objects: Iterable[Stored]) -> dict[str, dict[str, Any]]:
    """What was put, by kind: months (files of months of tables), tables (that are one file), copies (for BI tools) and
    manifest, each with its objects and bytes; months also with the first and the last of them."""
    uploads: dict[str, dict[str, Any]] = {kind: {"objects": 0, "bytes": 0} for kind in KINDS_OF_OBJECTS}
    months = set()
    for each in objects:
        key = each.key.removeprefix(PREFIX)
        if month := re.search(r"/month=(\d{4}-\d{2})/", key):
            kind = "months"
            months.add(month[1])
        else:
            kind = "manifest" if key == "manifest.json" else "copies" if key.startswith("bi/") else "tables"
        uploads[kind]["objects"] += 1
        uploads[kind]["bytes"] += each.size_bytes
    if months:
        uploads["months"] |= {"first": min(months), "last": max(months)}
    return uploads


def equal_tables(home: Path, restored: Path) -> int:
    """How many tables of two homes are equal: rows, and a sum of hashes of them.

    Raises:
        NotEqual: Some are not; names them.
    """
    one, other = (_fingerprints(each) for each in (home, restored))
    if found := sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)):
        told = ", ".join(
            f"{name} ({one.get(name, 'missing')} before, {other.get(name, 'missing')} now)" for name in found
        )
        raise NotEqual(f"What was restored is not what was lost: {told}")
    return len(one)


def _fingerprints(home: Path) -> dict[str, tuple[int, int]]:
    with duckdb.connect(str((home / "lakehouse.duckdb").resolve()), read_only=True) as published:
        tables = published.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() ORDER BY ALL"
        ).fetchall()
        return {
            name: published.execute(f"SELECT count(*), sum(hash(t))::VARCHAR FROM {name} AS t").fetchall()[0]
            for (name,) in tables
        }
