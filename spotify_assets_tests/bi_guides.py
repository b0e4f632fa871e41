"""What the guides in docs/bi have a reader paste, and a mirror as they describe it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from spotify_assets.lakehouse import Manifest, Warehouse, run_session
from spotify_assets.lakehouse.glue_tables import table_input, wanted_tables
from spotify_assets.schemas import Table
from spotify_assets.settings import BucketAddress, Settings

FOLDER = Path(__file__).parent.parent / "docs" / "bi"
GUIDES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")
HOME = "/path/to/home"
BUCKET, PREFIX = "my-bucket", "lakehouse"
MIRROR = f"s3://{BUCKET}/{PREFIX}"
NOT_RUN = "Not run by the tests"

_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a guide."""

    language: str
    text: str

    @property
    def is_run(self) -> bool:
        return NOT_RUN not in self.text.partition("\n")[0]


def guide_text(guide: str) -> str:
    return (FOLDER / f"{guide}.md").read_text()


def blocks(guide: str, language: str = "") -> list[Block]:
    """The blocks of a guide, or those of one language."""
    found = [Block(match[2], textwrap.dedent(match[3])) for match in _BLOCK.finditer(guide_text(guide))]
    return [block for block in found if language in ("", block.language)]


def scripts(guide: str, language: str) -> list[str]:
    """The blocks of a language that are run."""
    return [block.text for block in blocks(guide, language) if block.is_run]


def prose(guide: str) -> str:
    """A guide without its blocks."""
    return _BLOCK.sub("", guide_text(guide))


def run_in_shell(script: str, settings: Settings, home_of_person: Path) -> None:
    """Run a script of a guide for somebody with these settings, whose `~` is another folder than that of who tests."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **settings.own_environment(), "HOME": str(home_of_person), "PATH": programs}
    subprocess.run(["bash", "-euc", script], env=environment, check=True, stdout=subprocess.DEVNULL)


def mirror_anew(settings: Settings) -> None:
    """Bring the mirror of a home up to date, as a run does when it ends."""
    warehouse = Warehouse.from_settings(settings)
    with run_session(warehouse, purpose="a test", clock=lambda: datetime.now(UTC)) as session:
        session.begin()


def as_glue_names_them(mirror: Path, tables: Iterable[type[Table]]) -> duckdb.DuckDBPyConnection:
    """The files of a mirror under the names and columns that Glue is given, as Athena would see them."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'").fetchall()
    for table in wanted_tables(Manifest(0), tables):
        told = table_input(table, BucketAddress(BUCKET, PREFIX))
        folder = mirror / table.folder
        if not folder.exists():
            continue
        months = ", hive_partitioning = true, hive_types = {'month': VARCHAR}" if table.is_monthly else ""
        columns = [*told["StorageDescriptor"]["Columns"], *told["PartitionKeys"]]
        names = ", ".join(f'"{column["Name"]}"' for column in columns)
        connection.execute(
            f"CREATE VIEW {told['Name']} AS SELECT {names} FROM read_parquet('{folder}/**/*.parquet'{months})"
        ).fetchall()
    return connection
