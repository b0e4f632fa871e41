"""A person who is purged is nowhere in the home any more, and the others notice nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from spotify_assets.assets.raw.responses import bodies, take_responses
from spotify_assets.automation.purging import PurgeRefused, known_listeners
from spotify_assets.commands import import_paths, plan_purge, purge_listener, verify_home_mirror
from spotify_assets.definitions import build_warehouse
from spotify_assets.lakehouse import run_session, scan_table
from spotify_assets.schemas import Table, raw_api, tables
from spotify_assets.settings import HomePaths, Settings
from spotify_assets.spotify.credentials import Credentials, keep_credentials
from spotify_assets.spotify.model import Endpoint, Response
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.lakehouse.s3_servers import BUCKET, S3Server
from spotify_assets_tests.spotify.token_processes import a_sign_in

NAME, OTHER = "Zyxwvut", "Abcdefg"
FIRST_DAY = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - timedelta(days=4)


def history(target: Path, word: str, plays: int, shift_minutes: int = 0) -> Path:
    """A zip with plays whose names all hold a word of their own; every third is a track that everybody knows."""
    rows = []
    for number in range(plays):
        at = FIRST_DAY + timedelta(hours=number, minutes=shift_minutes)
        title = "Everybody's Song" if number % 3 == 0 else f"{word} Song {number}"
        rows.append(
            {
                "ts": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "ms_played": 60_000 + number,
                "platform": "ios",
                "conn_country": "DE",
                "master_metadata_track_name": title,
                "master_metadata_album_artist_name": "Everybody" if number % 3 == 0 else f"{word} Band",
                "master_metadata_album_album_name": f"{word} Album",
                "spotify_track_uri": f"spotify:track:{number:022}",
                "reason_start": "trackdone",
                "reason_end": "trackdone",
                "shuffle": False,
                "skipped": False,
                "offline": False,
                "offline_timestamp": None,
                "incognito_mode": False,
            }
        )
    rows.append({**rows[-1], "ms_played": -5})
    library = {"tracks": [{"artist": f"{word} Band", "album": f"{word} Album", "track": f"{word} Song 1"}]}
    playlist = {"playlists": [{"name": f"{word} List", "items": [], "lastModifiedDate": "2024-01-01"}]}
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(f"MyData/Streaming_History_Audio_{plays}.json", json.dumps(rows))
        archive.writestr("MyData/YourLibrary.json", json.dumps(library))
        archive.writestr("MyData/Playlist1.json", json.dumps(playlist))
    return target


def sign_in_on_paper(home: Path, listener: str) -> None:
    """What a sign-in leaves in a home."""
    TokenFolder(home / "tokens").write(listener, a_sign_in(access_token=f"access of {listener}"))
    keep_credentials(HomePaths(home), Credentials("0123456789abcdef0123456789abcdef"))


def tell_by_api(settings: Settings, word: str) -> None:
    """Rows as the Web API tells them about a listener and, without a listener, about what that one played."""
    at = {"fetched_at": FIRST_DAY, "told_at": FIRST_DAY}
    ids = {kind: f"{word}{kind}".ljust(22, "0") for kind in ("Track", "Album", "Artist")}
    artist = {"id": ids["Artist"], "name": f"{word} Artist"}
    track = {"name": f"{word} Track", "artists": [artist], "album": {"id": ids["Album"], "name": f"{word} Disc"}}

    def telling(kind: str, told: dict) -> dict:
        about = {"object_hash": 1, "endpoint": "/tracks/{id}", "is_simplified": False, "object": json.dumps(told)}
        return at | about | {f"{kind.lower()}_id": ids[kind]}

    played = {"listener": word, "track_id": ids["Track"], "artist_name": artist["name"], "item": json.dumps(track)}
    asked = {"endpoint": "/tracks/{id}", "params": json.dumps({"id": ids["Track"]}), "body": json.dumps(track)}
    ranked = {"listener": word, "time_range": "short_term", "rank": 1, "artist_id": ids["Artist"]}
    listed = {"artist_id": ids["Artist"], "position": 1, "market": "US", "is_from_search": False}
    number = len(word) + ord(word[0])
    rows: dict[type[Table], dict] = {
        raw_api.RecentlyPlayed: played | {"played_at": FIRST_DAY, "item_hash": 1, "row_id": number, "response_id": 1},
        raw_api.Tracks: telling("Track", track),
        raw_api.Albums: telling("Album", {"name": f"{word} Disc"}),
        raw_api.Artists: telling("Artist", artist),
        raw_api.MissingObjects: {"kind": "track", "object_id": ids["Track"], "status": 404},
        raw_api.AudioFeatures: {"track_id": ids["Track"], "source": "own", "is_known": True},
        raw_api.Genres: {"source": "own", "artist_name": artist["name"], "genre": f"{word} pop"},
        raw_api.ApiResponses: asked | {"response_id": number, "listener": "", "status": 200},
        raw_api.TopArtists: ranked | {"fetched_on": FIRST_DAY.date(), "artist_name": artist["name"]},
        raw_api.ArtistAlbums: listed | {"album_groups": "album", "album_id": ids["Album"]},
        raw_api.ArtistTopTracks: listed | {"track_id": ids["Track"]},
        raw_api.ApiQuota: {"bucket": f"b{number}", "asked_on": FIRST_DAY.date(), "requests": 1, "daily_budget": 2},
    }
    # Not in a session, which would publish it: the import that follows does.
    with build_warehouse(settings).transaction() as transaction:
        for table, told in rows.items():
            schema = table.polars_schema()
            row = dict.fromkeys(schema) | {name: value for name, value in (at | told).items() if name in schema}
            transaction.append(table, pl.DataFrame([row], schema=schema))


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of two listeners, with everything in it that may tell of one, and beside it `alone`: what it was before
    the second one came. To be copied, not changed."""
    folder = tmp_path_factory.mktemp("household")
    home = folder / "home"
    for listener, shift in ((OTHER, 0), (NAME, 7)):
        if home.exists():
            shutil.copytree(home, folder / "alone", symlinks=True)
        settings = settings_of(home, listener=listener, timezone="UTC")
        tell_by_api(settings, listener)
        export = history(settings.paths.inbox_folder(listener) / f"{listener}-{shift}.zip", listener, 40, shift)
        finished = import_paths(settings, [export])
        assert finished.outcome.is_success, finished.failure
    (home / "listeners.toml").write_text(
        f'# Who lives here.\n[[listener]]\nname = "{OTHER}"\nzones = "UTC"\n\n'
        f'# {NAME} has moved.\n[[listener]]\nname = "{NAME}"\nmarket = "DE"\n'
        'zones = "UTC; 2020-01-01 Europe/Berlin"\n'
    )
    for listener in (OTHER, NAME):
        sign_in_on_paper(home, listener)
    (home / "tokens" / ".unfinished").write_text(f"of a killed process: {NAME}")
    (home / "logs").mkdir(exist_ok=True)
    (home / "logs" / "last-error.txt").write_text(f"failed on inbox/{NAME}/x.zip")
    with closing(sqlite3.connect(home / "state.sqlite")) as state, state:
        state.execute("CREATE TABLE inbox (listener TEXT, file TEXT)")
        state.executemany("INSERT INTO inbox VALUES (?, ?)", [(NAME, "a.zip"), (OTHER, "b.zip")])
    return home


@pytest.fixture
def home(household: Path, tmp_path: Path) -> Path:
    shutil.copytree(household, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


def texts_of(path: Path) -> Iterator[str]:
    """Everything that a database or Parquet file says, however it is stored."""
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            names = connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
            for schema, table in names:
                yield repr(connection.execute(f'SELECT * FROM "{schema}"."{table}"').fetchall())
    elif path.suffix == ".parquet":
        yield repr(pl.read_parquet(path).rows())
    elif path.suffix in (".db", ".sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in names:
                for row in connection.execute(f'SELECT * FROM "{table}"').fetchall():
                    for value in row:
                        is_packed = isinstance(value, bytes) and value[:1] == b"x"
                        yield zlib.decompress(value).decode() if is_packed else repr(value)
    elif path.suffix == ".zip":
        yield from zipfile.ZipFile(path).namelist()


def places_that_tell(home: Path, word: str) -> set[str]:
    """Every path, file (each byte of it) and stored value in a home that has a word."""
    found = set()
    for path in home.rglob("*"):
        name = path.relative_to(home).as_posix()
        if word in name:
            found.add(name)
        if path.is_symlink() or not path.is_file():
            continue
        if word.encode() in path.read_bytes() or any(word in text for text in texts_of(path)):
            found.add(name)
    return found


def rows_of_others(home: Path) -> dict[str, list]:
    stored = stored_tables(home)
    names = [table.qualified_name() for table in tables() if "listener" in table.column_names()]
    with duckdb.connect(str(home / "lakehouse.duckdb"), read_only=True) as connection:
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name} WHERE listener = ?", [OTHER]).fetchall(), key=repr)
            for name in names
            if name in stored
        }


def stored_tables(home: Path) -> set[str]:
    with duckdb.connect(str(home / "lakehouse.duckdb"), read_only=True) as connection:
        names = connection.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
    return {name for (name,) in names if name.startswith(("raw.", "clean.", "daily."))}


def purge_by_command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPOTIFY_ASSETS_")}
    command = Path(sys.executable).with_name("spotify-assets")
    return subprocess.run(
        [command, "purge", "--home", home, *arguments],
        capture_output=True,
        text=True,
        env=environment | {"COLUMNS": "200"},
        timeout=120,
    )


def test_a_purged_person_is_nowhere_in_the_home_and_the_other_notices_nothing(household: Path, home: Path) -> None:
    told_before = places_that_tell(home, NAME)
    for place in (".warehouse/warehouse.duckdb", "dagster/history/runs.db", "state.sqlite", "listeners.toml"):
        assert place in told_before
    assert any("parquet" in place for place in told_before) and any(".snapshots" in place for place in told_before)
    before = rows_of_others(home)

    done = purge_by_command(home, "--listener", NAME, "--yes")
    assert done.returncode == 0, done.stderr
    assert re.search(r"raw\.streaming_history +40 rows", done.stdout) and "is removed" in done.stdout

    assert places_that_tell(home, NAME) == set()
    assert rows_of_others(home) == before
    assert f'name = "{OTHER}"' in (home / "listeners.toml").read_text()
    alone = household.parent / "alone"
    shared = stored_tables(home) - before.keys() - {"raw.told_rows"}
    assert {"raw.tracks", "raw.genres", "clean.tracks", "clean.recordings", "clean.calendar"} <= shared
    for name in (*sorted(shared - {"raw.api_quota"}), "raw.api_responses", "daily.artists"):
        expected = scan_table(alone, name).collect()
        assert scan_table(home, name).collect().sort(pl.all()).equals(expected.sort(pl.all())), name
    assert_usable(home)


def versions_that_tell(server: S3Server, word: str, under: str = "") -> list[str]:
    """Keys of all versions of all objects that have a word, however they are packed."""
    found = []
    pages = server.client.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=under)
    for each in (version for page in pages for version in page.get("Versions", ())):
        named = {"Bucket": BUCKET, "Key": each["Key"], "VersionId": each["VersionId"]}
        answer = server.client.get_object(**named)
        content = answer["Body"].read()
        texts = [repr(content), repr(answer["Metadata"]), each["Key"]]
        if each["Key"].endswith(".parquet"):
            texts.append(repr(pl.read_parquet(io.BytesIO(content)).rows()))
        elif each["Key"].endswith(".gz"):
            texts.append(gzip.decompress(content).decode())
        if any(word in text for text in texts):
            found.append(each["Key"])
    return found


@pytest.mark.long
def test_a_purge_leaves_no_version_of_any_object_in_a_bucket_that_tells_of_the_person(
    home: Path, s3_server: S3Server
) -> None:
    s3_server.keep_versions()
    settings = settings_of(
        home,
        listener=OTHER,
        timezone="UTC",
        mirror="s3://lake/house",
        mirror_endpoint_url=s3_server.endpoint_url,
        bi_copies="parquet,csv",
    )

    def mirror() -> None:
        with run_session(build_warehouse(settings), purpose="a test") as session:
            session.begin()
        assert session.mirror_report is not None

    mirror()
    copies = [key for key in s3_server.keys("house/bi/") if "clean_plays" in key or "my_" in key]
    for key in [*copies, *s3_server.keys("house/clean/plays/")]:
        s3_server.client.delete_object(Bucket=BUCKET, Key=key)
    mirror()
    told = versions_that_tell(s3_server, NAME, "house/bi/")
    assert len([key for key in told if key in copies]) > len(set(told) & set(copies)) > 4
    purge_listener(settings, NAME)
    assert versions_that_tell(s3_server, NAME) == []
    assert not [each for each in s3_server.versions() if each[1]]
    assert {key for key in copies if "clean_plays" in key} <= set(
        versions_that_tell(s3_server, OTHER, "house/bi/clean_plays")
    )
    assert verify_home_mirror(settings).is_equal


def assert_usable(home: Path) -> None:
    """The other's next import adds what is new and changes nothing else; file and mirror agree."""
    settings = settings_of(home, listener=OTHER, timezone="UTC")
    exports = [home / "inbox" / OTHER / f"{OTHER}-0.zip", history(home.parent / "new.zip", OTHER, 45)]
    finished = import_paths(settings, exports)
    assert finished.outcome.is_success, finished.failure
    assert finished.report["rows_new"] == 5
    stored = scan_table(home, "clean.plays").collect()
    mirrored = pl.read_parquet(home / "mirror/current/clean/plays/**/*.parquet")
    assert stored.height == mirrored.height and stored["listener"].unique().to_list() == [OTHER]


def test_the_home_of_a_purged_only_listener_is_as_new(household: Path, tmp_path: Path) -> None:
    shutil.copytree(household.parent / "alone", tmp_path / "home", symlinks=True)
    settings = settings_of(tmp_path / "home", listener=OTHER, timezone="UTC")
    export = history(tmp_path / "export.zip", OTHER, 10)
    sign_in_on_paper(settings.home, OTHER)
    named = settings_of(tmp_path / "home", listener="me")
    purge_listener(named, OTHER)
    assert places_that_tell(settings.home, OTHER) == set()
    files = {path.relative_to(settings.home).as_posix() for path in settings.home.rglob("*") if path.is_file()}
    assert files == {
        *(".warehouse/warehouse.lock", "run.lock", "state.sqlite", "dagster/dagster.yaml", "dagster/workspace.yaml"),
        *("dagster/history/runs.db", "dagster/history/runs/index.db", "dagster/schedules/schedules.db"),
    }
    again = import_paths(settings, [export])
    assert again.outcome.is_success and again.report["rows_new"] == 12


def test_who_is_only_signed_in_goes_and_the_sign_ins_of_others_stay(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home", listener=OTHER)
    for listener in (NAME, OTHER):
        sign_in_on_paper(settings.home, listener)
    assert plan_purge(settings, NAME).files == [settings.home / "tokens" / f"{NAME}.json"]
    purge_listener(settings, NAME)
    assert places_that_tell(settings.home, NAME) == set()
    assert TokenFolder(settings.home / "tokens").read(OTHER).access_token == f"access of {OTHER}"
    assert settings.paths.credentials_file.exists()


def plays_told(listener: str, at: datetime, name: str) -> Response:
    track = {"uri": f"spotify:track:{'7' * 22}", "id": "7" * 22, "name": name, "artists": [{"name": "Everybody"}]}
    items = [{"played_at": "2024-05-01T10:00:00.000Z", "track": track}]
    return Response(listener, Endpoint.RECENTLY_PLAYED, {"limit": 50}, at, 200, {"items": items})


def test_who_was_never_exported_can_be_purged_and_every_body_that_others_were_told_stays(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home", listener=OTHER)
    warehouse = build_warehouse(settings)
    track = {"id": "7" * 22, "name": "Everybody's Song", "artists": [{"name": "Everybody"}]}
    told = [
        response
        for hours, listener in ((0, NAME), (1, OTHER), (2, NAME), (3, OTHER))
        for response in (
            plays_told(listener, FIRST_DAY + timedelta(hours=hours), "Everybody's Song"),
            Response(listener, Endpoint.TRACK, {"id": "7" * 22}, FIRST_DAY + timedelta(hours=hours), 200, track),
        )
    ]
    with warehouse.transaction() as transaction:
        take_responses(transaction, told)
    assert known_listeners(settings.paths, warehouse) == [OTHER, NAME]
    assert plan_purge(settings, NAME).rows["raw.recently_played"] == 1
    purge_listener(settings, NAME)
    assert known_listeners(settings.paths, warehouse) == [OTHER]
    assert places_that_tell(settings.home, NAME) == set()
    with warehouse.transaction() as transaction:
        kept = transaction.read(raw_api.ApiResponses)["response_id"].to_list()
        assert len(kept) == 4 and None not in bodies(transaction, kept).values()


def test_a_purge_shows_what_goes_and_asks_first(home: Path) -> None:
    before = places_that_tell(home, NAME)
    asked = purge_by_command(home, "--listener", NAME)
    assert asked.returncode == 1
    assert f"{home}/inbox/{NAME}" in asked.stdout and "for good" in asked.stdout
    assert places_that_tell(home, NAME) == before


def test_purging_somebody_unknown_names_those_who_are_known(home: Path) -> None:
    with pytest.raises(PurgeRefused, match=f"knows nothing of a listener Nobody.*{OTHER}, {NAME}"):
        plan_purge(settings_of(home), "Nobody")


def test_a_household_that_tells_of_a_person_otherwise_is_left_alone_and_said(home: Path) -> None:
    text = f'default = "{NAME}"\n[{OTHER}]\nmarket = "DE"\n'
    (home / "listeners.toml").write_text(text)
    with pytest.raises(PurgeRefused, match=r"listeners\.toml.*delete the entry yourself"):
        purge_listener(settings_of(home), NAME)
    assert (home / "listeners.toml").read_text() == text
    assert "raw.imports" in plan_rows(home)


def plan_rows(home: Path) -> dict[str, int]:
    (home / "listeners.toml").unlink()
    return plan_purge(settings_of(home), NAME).rows


def test_every_table_without_a_listener_has_a_rule() -> None:
    from spotify_assets.automation import shared_rows
    from spotify_assets.automation.purging import RULES

    without = {
        table.qualified_name()
        for table in tables()
        if table.__module__.startswith("spotify_assets.")
        and table.layout.schema != "meta"
        and "listener" not in table.column_names()
    }
    assert without <= RULES.rebuilt | RULES.linked.keys() | shared_rows.TABLES


def purge_in_a_process(home: Path, working) -> None:
    working.set()
    purge_listener(Settings(home=home, listener="me"), NAME)


KILLS = 3


@pytest.mark.long
def test_a_purge_that_is_killed_is_finished_by_the_next_and_spoils_nothing_for_others(
    household: Path, tmp_path: Path
) -> None:
    chance = random.Random(11)
    before = rows_of_others(household)
    shutil.copytree(household, tmp_path / "measured", symlinks=True)
    started = time.monotonic()
    process = processes.start(purge_in_a_process, tmp_path / "measured", processes.event())
    process.join(60)
    seconds = time.monotonic() - started
    home = tmp_path / "home"
    for number in range(KILLS):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(household, home, symlinks=True)
        working = processes.event()
        process = processes.start(purge_in_a_process, home, working)
        assert working.wait(30)
        time.sleep(seconds * (number + chance.random()) / KILLS)
        process.kill()
        process.join(10)
        assert rows_of_others(home) == before
        plan = plan_purge(settings_of(home), NAME) if places_that_tell(home, NAME) else None
        assert plan is None or not plan.is_empty
        purge_listener(settings_of(home), NAME)
        assert places_that_tell(home, NAME) == set()
        assert rows_of_others(home) == before
    assert_usable(home)


@pytest.mark.parametrize(
    ("household", "kept"),
    [
        (f'[listeners.{NAME}]\nmarket = "DE"\n[listeners.o]\nmarket = "FR"\n', '[listeners.o]\nmarket = "FR"\n'),
        (
            f'[[listener]]\nname = "{NAME}"\n[[listener.zones]]\nsince = "x"\n[[listener]]\nname = "o"\n',
            '[[listener]]\nname = "o"\n',
        ),
        (f'# {NAME} came later.\n["{NAME}"]\nzones = [\n  ["a"],\n]\n[o]\nmarket = "FR"\n', '[o]\nmarket = "FR"\n'),
        (f'[{NAME}]\nmarket = "DE"\n', None),
    ],
)
def test_an_entry_of_the_household_goes_with_all_that_belongs_to_it(
    household: str, kept: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "home" / "listeners.toml"
    file.parent.mkdir()
    file.write_text(household)
    purge_listener(settings_of(file.parent), NAME)
    assert (file.read_text() if file.exists() else None) == kept
