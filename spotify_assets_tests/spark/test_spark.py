"""Spark reads a mirror in a bucket as the guide says, and comes to the same daily tables by its own SQL.

Run by `make spark`, which installs PySpark into a place of its own: it is 0.5 GB, and only this needs it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from spotify_assets.commands import replay_files
from spotify_assets.lakehouse import scan_table
from spotify_assets_tests.bi_guides import BUCKET, HOME, MIRROR, mirror_anew, run_in_shell, scripts
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.lakehouse.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server
from spotify_assets_tests.spark.definitions import ARTISTS, LISTENING
from spotify_assets_tests.spotify.payloads import minutes, play, poll, track

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

# What Spark makes of the types that the manifest names.
TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "boolean",
    "BIGINT": "bigint",
    "DOUBLE": "double",
    "DATE": "date",
    "TIMESTAMP": "timestamp_ntz",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}
DAILY = {"daily.listening": LISTENING, "daily.artists": ARTISTS}

# Another listener, of whom the Web API alone tells: estimated times, three spellings of a name on one day, two of them
# played equally often.
HEARD = [
    play(track(f"{name}{number}", name, duration_ms=length), minutes(4 * number))
    for number, (name, length) in enumerate(
        [("Ann", 200_000), ("ANN", 150_000), ("ann", 90_000), ("ANN", 200_000), ("ann", 20_000), ("Bob", 480_000)]
    )
]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        pytest.fail("PySpark is not installed here: run `make spark`", pytrace=False)
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.fail("Spark needs Java 17 or newer: apt-get install default-jre-headless", pytrace=False)
    folder = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch:
        # Else Spark asks who this machine is and listens there.
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        # Spark makes folders where it is started.
        patch.chdir(folder)
        session = (
            SparkSession.builder.master("local[2]")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.memory", "1g")
            .config("spark.local.dir", str(folder))
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
            .config("spark.sql.shuffle.partitions", "2")
            # For data as small as this, what Spark does to be fast takes most of the time.
            .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.adaptive.enabled", "false")
            .config("spark.sql.sources.parallelPartitionDiscovery.threshold", "1000")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .getOrCreate()
        )
        yield session
        session.stop()


@pytest.fixture(scope="module")
def home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's home, to which the Web API told of somebody else."""
    folder = tmp_path_factory.mktemp("home")
    home = folder / "home"
    shutil.copytree(demo_home, home, symlinks=True)
    recording = folder / "recording.jsonl"
    recording.write_text(poll(HEARD[::-1], minutes(60), listener="ann").to_json() + "\n")
    assert replay_files(settings_of(home), [recording]).outcome.is_success
    return home


@pytest.fixture(scope="module")
def mirror(home: Path, moto_address: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home's mirror in a bucket, fetched from there as the guide says."""
    person = tmp_path_factory.mktemp("person")
    settings = settings_of(home, mirror=MIRROR, mirror_endpoint_url=moto_address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        S3Server(moto_address).client.create_bucket(Bucket=BUCKET)
        mirror_anew(settings)
        for script in scripts("spark", "sh"):
            run_in_shell(script, settings, person)
    return person / "spotify"


@pytest.fixture(scope="module")
def manifest(mirror: Path) -> dict[str, Any]:
    return json.loads((mirror / "manifest.json").read_text())


@pytest.fixture(scope="module")
def views(spark: SparkSession, mirror: Path) -> None:
    """What the definitions select from."""
    spark.read.parquet(f"{mirror}/clean/plays").createOrReplaceTempView("plays")
    spark.read.parquet(f"{mirror}/clean/days").createOrReplaceTempView("days")


@pytest.mark.parametrize("table", DAILY)
@pytest.mark.usefixtures("views")
def test_spark_computes_the_table_from_the_plays_as_we_do_to_the_row(
    table: str, spark: SparkSession, home: Path, tmp_path: Path
) -> None:
    spark.sql(DAILY[table]).write.parquet(str(tmp_path / "answer"))
    theirs = pl.read_parquet(tmp_path / "answer" / "*.parquet")
    ours = scan_table(home, table).collect()
    assert set(ours["listener"]) == {"demo", "ann"}
    assert ours["ms_played_estimated"].sum() > 0
    key = ["listener", "played_on", *(["artist_key"] if table == "daily.artists" else [])]
    assert_frame_equal(theirs.sort(key), ours.sort(key), check_exact=True)


def test_spark_reads_every_mirrored_table_with_the_rows_and_types_that_the_manifest_tells(
    spark: SparkSession, mirror: Path, manifest: dict[str, Any]
) -> None:
    rows: dict[str, int] = {}
    for file in manifest["files"]:
        rows[file["table"]] = rows.get(file["table"], 0) + file["rows"]
    told = {}
    read = {}
    for name, description in manifest["tables"].items():
        if name not in rows:
            assert not (mirror / name.replace(".", "/")).exists()
            continue
        frame = spark.read.parquet(f"{mirror}/{name.replace('.', '/')}")
        read[name] = (frame.dtypes, frame.count())
        # The month is the folder's name.
        month = [("month", "string")] if description["month_column"] else []
        told[name] = (
            [(column["name"], TYPES[column["type"]]) for column in description["columns"]] + month,
            rows[name],
        )
    assert {"clean.plays", "clean.tracks", "daily.sessions", "raw.streaming_history"} <= set(told)
    assert read == told


def test_spark_reads_the_bi_copies_too(spark: SparkSession, mirror: Path) -> None:
    version = json.loads((mirror / "bi" / "VERSION").read_text())
    for name in ("my_fact_plays", "my_dim_artist", "my_listening_history"):
        told = version["files"][f"{name}.parquet"]["rows"]
        assert spark.read.parquet(f"{mirror}/bi/{name}.parquet").count() == told > 0


def test_what_the_guide_has_a_reader_paste_shows_something(
    spark: SparkSession, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for script in scripts("spark", "python"):
        exec(script.replace(HOME, str(home)), names)
    assert names["spark"].sparkContext is spark.sparkContext
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) == 1 + 10
