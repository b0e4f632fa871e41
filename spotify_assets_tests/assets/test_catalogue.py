"""The catalogue, rankings and library of a home that has exports and rows of the Web API."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from spotify_assets.assets.clean.catalogue import RECORDINGS_FILE_CHECK
from spotify_assets.commands import Finished, import_paths
from spotify_assets.definitions import build_warehouse
from spotify_assets.lakehouse import run_session, scan_table
from spotify_assets.schemas import Table, clean, raw_api
from spotify_assets.settings import Settings
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.transforms.telling import artist_object, spotify_id, track_object

_TOLD_AT = datetime(2026, 2, 3, tzinfo=UTC)
_PLAYED = [spotify_id("one"), spotify_id("two")]


def _export(target: Path) -> Path:
    plays = [
        {
            "ts": f"2024-05-01T10:0{number}:00Z",
            "ms_played": 200_000 + number,
            "master_metadata_track_name": "Song",
            "master_metadata_album_artist_name": "Band",
            "master_metadata_album_album_name": "Album",
            "spotify_track_uri": f"spotify:track:{identifier}",
            "reason_start": "clickrow",
            "reason_end": "trackdone",
        }
        for number, identifier in enumerate([_PLAYED[0], *_PLAYED])
    ]
    library = {"tracks": [{"artist": "Band", "track": "Song", "uri": f"spotify:track:{_PLAYED[0]}"}]}
    playlists = {"playlists": [{"name": "Mix", "items": [], "lastModifiedDate": "2024-01-01"}]}
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("Streaming_History_Audio_2024_0.json", json.dumps(plays))
        archive.writestr("YourLibrary.json", json.dumps(library))
        archive.writestr("Playlist1.json", json.dumps(playlists))
    return target


def _append(settings: Settings, rows: dict[type[Table], list[dict[str, Any]]]) -> None:
    warehouse = build_warehouse(settings)
    with run_session(warehouse, purpose="a test") as session:
        session.begin()
        with warehouse.transaction() as transaction:
            for table, told in rows.items():
                schema = table.polars_schema()
                frame = pl.DataFrame([dict.fromkeys(schema) | row for row in told], schema=schema)
                transaction.append(table, frame)


def _objects(identifier: str, told: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    about = {"fetched_at": _TOLD_AT, "told_at": _TOLD_AT, "endpoint": "/tracks", "is_simplified": False}
    return [
        about | {identifier: each, "object_hash": number, "object": json.dumps(value)}
        for number, (each, value) in enumerate(told.items())
    ]


def _told_by_api() -> dict[type[Table], list[dict[str, Any]]]:
    isrc = {"external_ids": {"isrc": "USABC1234567"}}
    artist, album = spotify_id("band"), spotify_id("album")
    snapshot = {"listener": "demo", "snapshot_at": datetime(2027, 1, 1, tzinfo=UTC)}
    return {
        raw_api.Tracks: _objects(
            "track_id",
            {
                _PLAYED[0]: track_object("Song", "Band", "Guest", popularity=12, **isrc),
                _PLAYED[1]: track_object("Song", popularity="odd", **isrc),
            },
        ),
        raw_api.Albums: _objects("album_id", {album: {"name": "Album", "album_type": "album", "label": "L"}}),
        raw_api.Artists: _objects("artist_id", {artist: artist_object("Band", genres=["pop"], popularity=3)}),
        raw_api.AudioFeatures: [
            {
                "track_id": _PLAYED[0],
                "source": "own",
                "fetched_at": _TOLD_AT,
                "is_known": True,
                "tempo": 120.0,
                "mode": 0,
            }
        ],
        raw_api.TopArtists: [
            {
                "listener": "demo",
                "time_range": "short_term",
                "fetched_on": date(2026, 2, 3),
                "fetched_at": _TOLD_AT,
                "rank": 1,
                "artist_id": artist,
                "artist_name": "Band",
            }
        ],
        raw_api.ArtistAlbums: [
            {
                "artist_id": artist,
                "album_groups": "album",
                "market": "",
                "position": 1,
                "album_id": album,
                "fetched_at": _TOLD_AT,
            }
        ],
        raw_api.ArtistTopTracks: [
            {
                "artist_id": artist,
                "market": market,
                "position": 1,
                "track_id": _PLAYED[0],
                "is_from_search": False,
                "fetched_at": _TOLD_AT,
            }
            for market in ("US", "DE", "FR")
        ],
        raw_api.SavedTracks: [
            snapshot
            | {
                "position": 1,
                "added_at": _TOLD_AT,
                "track_id": _PLAYED[1],
                "track_uri": f"spotify:track:{_PLAYED[1]}",
                "track_name": "Song",
                "artist_name": "Band",
            }
        ],
        raw_api.Playlists: [snapshot | {"playlist_id": "id", "position": 1, "playlist_name": "Mix"}],
    }


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """A home in which the Web API has told of a listener, and an import of the same one's export into it."""
    folder = tmp_path_factory.mktemp("catalogue")
    settings = settings_of(folder / "home")
    settings.home.mkdir()
    settings.paths.listeners_file.write_text('[[listener]]\nname = "demo"\nmarket = "DE"\n')
    settings.paths.recordings_file.write_text("track_uri,recording\nno track,Mine\n")
    _append(settings, _told_by_api())
    return settings.home, import_paths(settings, [_export(folder / "export.zip")])


@pytest.fixture
def home(imported: tuple[Path, Finished]) -> Path:
    home, finished = imported
    assert finished.outcome.is_success, finished.failure
    return home


def _rows(home: Path, table: type[Table]) -> list[dict[str, Any]]:
    return scan_table(home, table.qualified_name()).collect().sort(table.primary_key()).to_dicts()


def test_the_catalogue_tells_what_spotify_does(home):
    (track,) = _rows(home, clean.Tracks)
    assert (track["track_id"], track["plays"], track["popularity"]) == (_PLAYED[0], 3, 12)
    (album,) = _rows(home, clean.Albums)
    assert (album["album_id"], album["label"]) == (spotify_id("album"), "L")
    (artist,) = _rows(home, clean.Artists)
    assert (artist["artist_id"], artist["popularity"]) == (spotify_id("band"), 3)
    assert [row["artist_name"] for row in _rows(home, clean.TrackArtists)] == ["Band", "Guest", "Band"]
    assert [row["genre"] for row in _rows(home, clean.ArtistGenres)] == ["pop"]
    assert [row["tempo"] for row in _rows(home, clean.TrackFeatures)] == [120.0]


def test_tracks_of_one_isrc_are_one_recording(home):
    (recording,) = _rows(home, clean.Recordings)
    assert (recording["recording_id"], recording["tracks"], recording["plays"]) == ("isrc:USABC1234567", 2, 3)
    assert {row["rule"] for row in _rows(home, clean.RecordingTracks)} == {"isrc"}


def test_rankings_tell_albums_and_tracks_of_the_top_artists_in_the_listener_s_market(home):
    assert [row["artist_key"] for row in _rows(home, clean.TopArtists)] == ["band"]
    assert _rows(home, clean.TopTracks) == []
    assert [row["album_name"] for row in _rows(home, clean.ArtistTopAlbums)] == ["Album"]
    tracks = _rows(home, clean.ArtistTopTracks)
    assert [row["market"] for row in tracks] == ["DE", "US"]
    assert {(row["duration_text"], row["bpm"], row["mode_name"]) for row in tracks} == {("03:20", 120.0, "Minor")}


def test_the_library_is_the_newer_one(home):
    (saved,) = _rows(home, clean.SavedTracks)
    assert (saved["track_id"], saved["added_at"], saved["source"]) == (_PLAYED[1], _TOLD_AT, "api")
    (playlist,) = _rows(home, clean.Playlists)
    assert (playlist["playlist_id"], playlist["spotify_playlist_id"]) == ("Mix", "id")


def test_a_line_of_recordings_csv_that_cannot_be_used_fails_a_check_and_nothing_else(imported):
    checks = {
        check.check_name: check
        for result in imported[1].outcome.results
        for check in result.get_asset_check_evaluations()
    }
    check = checks[RECORDINGS_FILE_CHECK]
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN
    assert "line 2" in check.metadata["faults"].value and "Mine" not in check.metadata["faults"].value
