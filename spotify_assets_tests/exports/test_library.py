from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spotify_assets.exports import LibraryRows, find_exports, read_library
from spotify_assets.schemas.raw import LibraryItems, LibraryPlaylistItems
from spotify_assets_tests.exports.samples import g3, write

STORED_LATER = {"listener", "import_id", "row_id", "file_id", "occurrence"}
TRACK = {"trackName": "T", "artistName": "A", "albumName": "B", "trackUri": "spotify:track:x"}


def read_content(folder: Path, content: Any, name: str) -> LibraryRows:
    with find_exports([write(folder / "d" / name, content)], scratch=folder / "s") as found:
        assert found.problems == []
        (file,) = found.files
        return read_library(file)


def library(folder: Path, content: Any) -> LibraryRows:
    return read_content(folder, content, "YourLibrary.json")


def playlists(folder: Path, content: Any) -> LibraryRows:
    return read_content(folder, content, "Playlist1.json")


def told(result: LibraryRows, *columns: str) -> list[tuple]:
    return result.rows.select(columns).rows()


def test_each_section_of_the_library_is_read(tmp_path: Path) -> None:
    content = {
        "tracks": [{"artist": "A", "album": "B", "track": "T", "uri": "spotify:track:t"}],
        "albums": [{"artist": "A", "album": "B", "uri": "spotify:album:b"}],
        "shows": [{"name": "S", "publisher": "P", "uri": "spotify:show:s"}],
        "episodes": [{"name": "E", "show": "S", "uri": "spotify:episode:e"}],
        "artists": [{"name": "A", "uri": "spotify:artist:a"}],
        "bannedTracks": [{"artist": "X", "track": "Y", "album": "Z"}],
        "bannedArtists": [{"name": "X"}],
        "other": ["spotify:collection:thing"],
    }
    result = library(tmp_path, content)
    assert told(result, "item_type", "uri", "item_name", "creator_name", "album_name") == [
        ("track", "spotify:track:t", "T", "A", "B"),
        ("album", "spotify:album:b", "B", "A", None),
        ("show", "spotify:show:s", "S", "P", None),
        ("episode", "spotify:episode:e", "E", "S", None),
        ("artist", "spotify:artist:a", "A", None, None),
        ("banned_track", None, "Y", "X", "Z"),
        ("banned_artist", None, "X", None, None),
        ("other", "spotify:collection:thing", None, None, None),
    ]
    assert result.rows["row_number"].to_list() == list(range(1, 9))
    assert (result.report.rows_in, result.report.problems) == (8, [])


def test_the_library_has_the_declared_columns(tmp_path: Path) -> None:
    rows = library(tmp_path, {"tracks": []}).rows
    assert rows.columns == [name for name in LibraryItems.column_names() if name not in STORED_LATER]


def test_missing_keys_of_a_library_entry_are_null(tmp_path: Path) -> None:
    assert told(library(tmp_path, {"tracks": [{}], "albums": []}), "item_name", "uri") == [(None, None)]


def test_an_entry_that_is_no_object_is_rejected_and_the_others_are_kept(tmp_path: Path) -> None:
    result = library(tmp_path, {"tracks": [{"track": "T"}, 5, {"track": "U"}]})
    assert told(result, "item_name", "row_number") == [("T", 1), ("U", 3)]
    assert result.rejected["row_number"].to_list() == [2]
    assert (result.report.rows_in, result.report.rows_rejected) == (3, 1)
    assert result.report.problems[0].is_damage


def test_equal_entries_have_equal_hashes_and_others_not(tmp_path: Path) -> None:
    rows = library(tmp_path, {"tracks": [{"track": "T"}, {"track": "T"}, {"track": "U"}]}).rows
    first, second, third = rows["row_hash"].to_list()
    assert first == second != third


@pytest.mark.parametrize("cut", [5, 40, 80])
def test_a_truncated_library_is_refused_with_a_remedy(tmp_path: Path, cut: int) -> None:
    text = '{"tracks": [{"track": "T", "artist": "A"}], "albums": [{"album": "B", "artist": "A"}]}'
    result = library(tmp_path, text[:cut])
    assert result.rows.is_empty()
    assert "truncated" in result.report.problems[0].message


def test_all_kinds_of_playlist_entries_are_read(tmp_path: Path) -> None:
    empty = dict.fromkeys(("track", "episode", "audiobook", "localTrack"))
    items = [
        {**empty, "track": TRACK, "addedDate": "2023-01-02"},
        {**empty, "episode": {"episodeName": "E", "showName": "S", "episodeUri": "spotify:episode:e"}},
        {**empty, "audiobook": {"audiobookName": "K", "audiobookUri": "spotify:show:k"}},
        {**empty, "localTrack": {"uri": "spotify:local:A:B:T:1"}},
    ]
    playlist = {
        "name": "Mine",
        "lastModifiedDate": "2024-01-01",
        "items": items,
        "description": "d",
        "numberOfFollowers": 3,
    }
    result = playlists(tmp_path, {"playlists": [playlist]})
    assert told(result, "position", "item_type", "uri", "item_name", "creator_name", "album_name", "added_on") == [
        (1, "track", "spotify:track:x", "T", "A", "B", "2023-01-02"),
        (2, "episode", "spotify:episode:e", "E", "S", None, None),
        (3, "audiobook", "spotify:show:k", "K", None, None, None),
        (4, "local", "spotify:local:A:B:T:1", None, None, None, None),
    ]
    heads = ("playlist_name", "playlist_description", "playlist_followers", "playlist_modified_on", "playlist_number")
    assert set(told(result, *heads)) == {("Mine", "d", 3, "2024-01-01", 1)}


def test_the_playlists_have_the_declared_columns(tmp_path: Path) -> None:
    rows = playlists(tmp_path, {"playlists": []}).rows
    assert set(rows.columns) == set(LibraryPlaylistItems.column_names()) - STORED_LATER


@pytest.mark.parametrize(
    "content",
    [
        {"playlists": [{"name": "P", "items": [{"trackName": "T", "artistName": "A"}]}]},
        {"playlists": [{"name": "P", "tracks": [{"track": {"trackName": "T", "artistName": "A"}}]}]},
        {"name": "P", "tracks": [{"trackName": "T", "artistName": "A"}]},
        {"name": "P", "items": [{"track": {"trackName": "T", "artistName": "A"}}]},
    ],
)
def test_playlists_of_older_ages_without_uris_are_read(tmp_path: Path, content: dict) -> None:
    result = playlists(tmp_path, content)
    assert told(result, "playlist_name", "item_type", "item_name", "creator_name", "uri") == [
        ("P", "track", "T", "A", None)
    ]


def test_an_empty_playlist_has_one_row_without_item(tmp_path: Path) -> None:
    result = playlists(tmp_path, {"playlists": [{"name": "P", "items": []}, {"name": "Q"}]})
    assert told(result, "playlist_number", "playlist_name", "position", "item_type") == [
        (1, "P", None, None),
        (2, "Q", None, None),
    ]


def test_names_of_collaborators_leave_nowhere(tmp_path: Path) -> None:
    playlist = {"name": "P", "collaborators": ["Ann Other"], "owner": "Ann Other", "items": [{"addedBy": "Ann Other"}]}
    result = playlists(tmp_path, {"playlists": [playlist, 5]})
    assert "Ann Other" not in result.rows.write_json() + result.rejected.write_json() + repr(result.report)


def test_a_library_file_that_changes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "YourLibrary.json", {"tracks": []})
    with find_exports([path], scratch=tmp_path / "s") as found:
        write(path, {"tracks": [{"track": "T"}]})
        result = read_library(found.files[0])
    assert "changed while it was being read" in result.report.problems[0].message


def test_history_is_no_library(tmp_path: Path) -> None:
    path = write(tmp_path / "endsong_0.json", [g3()])
    with find_exports([path], scratch=tmp_path / "s") as found, pytest.raises(ValueError, match="no library file"):
        read_library(found.files[0])
