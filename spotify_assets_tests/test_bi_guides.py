"""The guides in docs/bi work: what they have a reader paste is run over a real mirror."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from spotify_assets.schemas import tables, views
from spotify_assets.settings import Settings
from spotify_assets_tests.bi_guides import (
    BUCKET,
    FOLDER,
    GUIDES,
    HOME,
    MIRROR,
    as_glue_names_them,
    blocks,
    guide_text,
    mirror_anew,
    prose,
    run_in_shell,
    scripts,
)
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.lakehouse.s3_servers import S3Server

# Tests of the lakehouse declare tables of their own in the same process.
OWN = [table for table in (*tables(), *views()) if table.__module__.startswith("spotify_assets.")]
MIRRORED = [table for table in tables() if table in OWN and table.layout.mirrored]

OF_THE_PUBLISHED_FILE = ("superset", "metabase")
WINDOWS, WINDOWS_FROM_WSL = "C:\\Users\\you", "/mnt/c/Users/you"
NOT_TRIED = "This guide was not tried in "

# Words with an underscore that name nothing of ours.
OTHER_WORDS = {
    *("access_mode", "aws_region", "credential_chain", "duckdb_engine", "my_integration", "read_only"),
    *("spotify_assets", "storage_options", "timestamp_ntz"),
}


@pytest.fixture(scope="module")
def home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's home with a mirror in a folder that has copies in both formats."""
    home = tmp_path_factory.mktemp("guides") / "home"
    shutil.copytree(demo_home, home, symlinks=True)
    mirror_anew(settings_of(home, bi_copies="parquet,csv"))
    return home


def in_the_folder(text: str, home: Path) -> str:
    """A query as the guide has it, but for where the home is, and for a bucket its folder."""
    return text.replace(HOME, str(home)).replace(MIRROR, f"{home}/mirror/current")


def connect(guide: str, home: Path) -> duckdb.DuckDBPyConnection:
    """What a reader of the guide is connected to when he pastes its queries."""
    if guide in OF_THE_PUBLISHED_FILE:
        return duckdb.connect(str(home / "lakehouse.duckdb"), read_only=True)
    if guide == "athena":
        return as_glue_names_them(home / "mirror" / "current", MIRRORED)
    connection = duckdb.connect()
    loads = re.findall(r"COPY INTO (\w+) FROM @spotify_bi/(\S+)", guide_text(guide))
    for table, file in loads:
        path = home / "mirror" / "current" / "bi" / file
        connection.execute(f"CREATE TABLE {table} AS FROM '{path}'").fetchall()
    return connection


@pytest.mark.parametrize("guide", [guide for guide in GUIDES if scripts(guide, "sql")])
def test_every_query_of_the_guide_answers(guide: str, home: Path) -> None:
    with connect(guide, home) as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        for query in scripts(guide, "sql"):
            rows = connection.execute(in_the_folder(query, home)).fetchall()
            if re.search(r"^\s*SELECT", query, re.MULTILINE):
                assert rows and any(None not in row for row in rows), query


def test_the_python_of_the_guides_runs_in_a_folder_and_from_a_bucket(
    s3_server: S3Server, copy_of_demo_home: Path
) -> None:
    s3_server.client.create_bucket(Bucket=BUCKET)
    mirror_anew(settings_of(copy_of_demo_home, mirror=MIRROR, mirror_endpoint_url=s3_server.endpoint_url))
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": s3_server.endpoint_url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-central-1",
    }
    for guide in ("duckdb", "polars"):
        script = "\n".join(scripts(guide, "python")).replace(HOME, str(copy_of_demo_home))
        ran = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert len(ran.stdout.splitlines()) >= script.count("print(")
        assert "shape: (0," not in ran.stdout


@pytest.mark.parametrize("guide", ["looker-studio", "power-bi", "tableau"])
def test_what_the_guide_fetches_are_the_files_that_it_goes_on_to_open(guide: str, home: Path, tmp_path: Path) -> None:
    for script in scripts(guide, "sh"):
        run_in_shell(script.replace(WINDOWS_FROM_WSL, str(tmp_path)), settings_of(home), tmp_path)
    text = prose(guide).replace(WINDOWS, "~").replace("\\", "/")
    opened = [path.rstrip("/") for path in re.findall(r"~/(spotify[\w./-]*)", text)]
    assert opened
    for path in opened:
        assert (tmp_path / path).exists(), f"{guide}.md names {path}"
    for file in (tmp_path / "spotify-csv").glob("*.csv"):
        assert file.read_bytes() == gzip.decompress((home / "mirror/current/bi" / f"{file.name}.gz").read_bytes())


def paths_of(guide: str) -> set[str]:
    """Every path below the mirror that a guide names, relative to it."""
    text = guide_text(guide)
    roots = "|".join(re.escape(root) for root in ("mirror/current", MIRROR, MIRROR.replace("s3:", "s3a:")))
    found = set(re.findall(rf"(?:{roots})/([\w{{}}./=*-]+)", text))
    found |= {f"bi/{name}" for name in re.findall(r"(?:bi/|bi\\|spotify\\|@spotify_bi/)([\w*]+\.\w[\w.]*)", text)}
    return {path.rstrip("./") for path in found} | {path for path in found if path.endswith("/**/*.parquet")}


@pytest.mark.parametrize("guide", ["README", *GUIDES])
def test_every_path_of_the_guide_exists(guide: str, home: Path) -> None:
    mirror = (home / "mirror" / "current").resolve()
    for path in paths_of(guide):
        pattern = re.sub(r"\{\w+\}", "*", path)
        assert list(mirror.glob(pattern)), f"{guide}.md names {path}"
    for path in set(re.findall(rf"{HOME}/(\w[\w./-]*)", guide_text(guide))):
        assert (home / path.rstrip("./")).exists(), f"{guide}.md names {path}"


def known_words(text: str) -> set[str]:
    """Columns, tables, views, copies, settings, and what a text itself declares."""
    years = ["", *map(str, range(2023, 2026))]
    return {
        *(name for table in OWN for name in table.column_names()),
        *(table.layout.table for table in OWN),
        *(table.layout.copy_name(year) for table in OWN for year in years),
        *Settings.model_fields,
        *re.findall(r"CREATE (?:OR REPLACE )?(?:FILE FORMAT|STAGE|TABLE) (\w+)", text),
        *OTHER_WORDS,
    }


@pytest.mark.parametrize("guide", ["README", *GUIDES])
def test_every_column_and_table_of_the_guide_exists(guide: str) -> None:
    codes = re.findall(r"`([^`\n]+)`", prose(guide))
    codes += [block.text for block in blocks(guide) if not (block.is_run and block.language in ("sql", "python"))]
    for code in codes:
        words = set(re.findall(r"(?<![\w-])[a-z]+(?:_[a-z0-9]+)+(?![\w-])", code))
        assert words <= known_words(guide_text(guide)), f"{guide}.md says {code}"
        for schema, table in re.findall(r"\b(raw|clean|daily|my)\.(\w+)", code):
            assert f"{schema}.{table}" in {each.qualified_name() for each in OWN}, f"{guide}.md says {code}"
        for table, column in re.findall(r"\bmy_(\w+)\[(\w+)\]", code):
            (view,) = [each for each in OWN if each.qualified_name() == f"my.{table}"]
            assert column in view.column_names(), f"{guide}.md says {code}"


@pytest.mark.parametrize("guide", GUIDES)
def test_the_guide_says_first_when_nobody_tried_it_and_what_one_sees_meanwhile(guide: str) -> None:
    _, first, *_ = guide_text(guide).split("\n\n")
    (row,) = [line for line in (FOLDER / "README.md").read_text().splitlines() if f"]({guide}.md) |" in line]
    is_untried = row.rpartition("|")[0].rpartition("|")[2].strip() == "no"
    assert first.startswith(NOT_TRIED if is_untried else "Tried with ")
    assert re.search(r"\*\*During an? (run|upload)\*\*", guide_text(guide))
