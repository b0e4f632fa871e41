"""The library and playlists, as the newer of the newest export and the Web API tells them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from spotify_assets.schemas import Table, clean, raw, raw_api
from spotify_assets.transforms import library
from spotify_assets_tests.transforms.history import uri

_OLD, _NEW = datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC)
_PLAYLISTS = "playlists"
_LIBRARY = "library"
TOLD = raw.ToldRows.polars_schema()


class _Library:
    """Library and playlist files in the tables into which an import puts them."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.imports: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.api_saved: list[dict[str, Any]] = []
        self.api_playlists: list[dict[str, Any]] = []
        self.api_items: list[dict[str, Any]] = []

    def take(
        self,
        entries: list[dict[str, Any]],
        *,
        snapshot_at: datetime | None = _NEW,
        file_name: str = "Playlist1.json",
        listener: str = "me",
    ) -> None:
        """Import one file; entries that are stored already are only noted as told again."""
        file_id = len(self.imports) + 1
        self.imports.append(
            {
                "listener": listener,
                "file_id": file_id,
                "file_name": file_name,
                "kind": _PLAYLISTS if any("playlist_name" in entry for entry in entries) else _LIBRARY,
                "snapshot_at": snapshot_at,
            }
        )
        for row_number, entry in enumerate(entries, 1):
            told = {"listener": listener, **entry}
            known = next((row for row in self.items if all(row.get(name) == told[name] for name in told)), None)
            if known is None:
                known = told | {"row_id": len(self.items) + 1, "file_id": file_id, "row_number": row_number}
                self.items.append(known)
            self.told.append({"file_id": file_id, "row_id": known["row_id"], "row_number": row_number})

    def newest(self, table: type[Table], kind: str) -> pl.LazyFrame:
        imports = raw.Imports.polars_schema()
        names = ["listener", "file_id", "file_name", "kind", "snapshot_at"]
        return library.newest_snapshot(
            _rows(table, self.items),
            pl.LazyFrame([row | {"source_table": table.qualified_name()} for row in self.told], schema=TOLD),
            pl.LazyFrame(self.imports, schema={name: imports[name] for name in names}),
            kind,
        )

    def saved_tracks(self) -> pl.DataFrame:
        api = _rows(raw_api.SavedTracks, self.api_saved)
        return _as(clean.SavedTracks, library.saved_tracks(self.newest(raw.LibraryItems, _LIBRARY), api))

    def playlists(self) -> pl.DataFrame:
        return self._playlists()[0]

    def playlist_items(self) -> pl.DataFrame:
        return self._playlists()[1]

    def _playlists(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        listed, entries = library.playlists(
            self.newest(raw.LibraryPlaylistItems, _PLAYLISTS),
            _rows(raw_api.Playlists, self.api_playlists),
            _rows(raw_api.PlaylistItems, self.api_items),
        )
        return _as(clean.Playlists, listed.lazy()), _as(clean.PlaylistItems, entries.lazy())


def _rows(table: type[Table], rows: list[dict[str, Any]]) -> pl.LazyFrame:
    full = [{name: row.get(name) for name in table.column_names()} for row in rows]
    return pl.LazyFrame(full, schema=table.polars_schema())


def _as(table: type[Table], frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.select(table.column_names()).collect().cast(table.polars_schema())


def _saved(name: str = "Song", **told: Any) -> dict[str, Any]:
    entry = {"item_type": "track", "item_name": name, "creator_name": "Band", "album_name": "Album"}
    return {**entry, "uri": uri(name.lower()), **told}


def _entry(name: str | None = "Song", *, playlist: str = "Mix", number: int = 1, position: int | None = 1, **told: Any):
    entry = {
        "playlist_name": playlist,
        "playlist_number": number,
        "position": position,
        "item_type": "track" if name else None,
        "item_name": name,
        "creator_name": name and "Band",
        "uri": name and uri(name.lower()),
        "playlist_modified_on": "2021-05-04",
        "added_on": name and "2020-02-03",
    }
    return {**entry, **told}


def _library(*files: list[dict[str, Any]], **told: Any) -> _Library:
    taken = _Library()
    for entries in files:
        taken.take(entries, **told)
    return taken


# Saved tracks


def test_a_saved_track_has_its_names_keys_uri_and_id():
    row = _library([_saved()]).saved_tracks().row(0, named=True)
    assert (row["track_uri"], row["track_id"]) == (uri("song"), uri("song").removeprefix("spotify:track:"))
    assert (row["track_name"], row["artist_name"], row["album_name"]) == ("Song", "Band", "Album")
    assert (row["track_key"], row["artist_key"], row["album_key"]) == ("band / song", "band", "band / album")
    assert row["snapshot_at"] == _NEW


def test_saved_albums_artists_and_shows_are_no_saved_tracks():
    rows = [_saved(item_type=kind) for kind in ("album", "artist", "show", "episode", "bannedTrack")]
    assert _library(rows).saved_tracks().is_empty()


def test_saved_tracks_are_numbered_in_the_order_of_the_file():
    saved = _library([_saved("B"), _saved("Album", item_type="album"), _saved("A")]).saved_tracks()
    assert saved.select("saved_track_number", "track_name").rows() == [(1, "B"), (2, "A")]


def test_the_order_is_the_newest_file_s_whichever_was_imported_first():
    files = [([_saved("A"), _saved("B")], _OLD), ([_saved("C"), _saved("B"), _saved("A")], _NEW)]
    for in_order in (files, files[::-1]):
        taken = _Library()
        for entries, snapshot_at in in_order:
            taken.take(entries, snapshot_at=snapshot_at)
        assert taken.saved_tracks()["track_name"].to_list() == ["C", "B", "A"]


def test_a_saved_local_file_has_a_uri_and_no_id():
    row = _library([_saved(uri="spotify:local:Band:Album:Song:200")]).saved_tracks().row(0, named=True)
    assert (row["track_uri"], row["track_id"]) == ("spotify:local:Band:Album:Song:200", None)


def test_a_saved_track_without_uri_is_kept():
    assert _library([_saved(uri=None)]).saved_tracks().select("track_uri", "track_key").rows() == [
        (None, "band / song")
    ]


@pytest.mark.parametrize("is_newest_first", [True, False])
def test_the_newest_library_wins_whenever_it_is_imported(is_newest_first):
    files = [([_saved("Gone"), _saved("Kept")], _OLD), ([_saved("Kept"), _saved("Added")], _NEW)]
    taken = _Library()
    for entries, snapshot_at in files[::-1] if is_newest_first else files:
        taken.take(entries, snapshot_at=snapshot_at, file_name="YourLibrary.json")
    saved = taken.saved_tracks()
    assert sorted(saved["track_name"]) == ["Added", "Kept"]
    assert set(saved["snapshot_at"]) == {_NEW}


def test_each_listener_has_a_newest_library_of_their_own():
    taken = _Library()
    taken.take([_saved("Mine")], snapshot_at=_OLD, listener="me")
    taken.take([_saved("Yours")], snapshot_at=_NEW, listener="you")
    assert taken.saved_tracks().select("listener", "saved_track_number", "track_name").rows() == [
        ("me", 1, "Mine"),
        ("you", 1, "Yours"),
    ]


def test_a_newer_playlist_file_does_not_hide_the_library():
    taken = _library([_saved()], snapshot_at=_OLD)
    taken.take([_entry()], snapshot_at=_NEW)
    rows = taken.newest(raw.LibraryItems, _LIBRARY).collect()
    assert set(rows["snapshot_at"]) == {_OLD}


def test_a_library_told_again_by_another_import_is_there_once():
    taken = _library([_saved()])
    taken.imports.append(taken.imports[0])
    assert taken.saved_tracks().height == 1


def test_no_library_makes_no_saved_tracks_and_no_playlists():
    taken = _Library()
    assert taken.saved_tracks().is_empty() and taken.playlists().is_empty() and taken.playlist_items().is_empty()


# Playlists


def test_a_playlist_tells_its_entries_description_followers_and_day():
    told = {"playlist_description": "Mine", "playlist_followers": 3}
    row = _library([_entry("A", **told), _entry("B", position=2, **told)]).playlists().row(0, named=True)
    assert (row["playlist_id"], row["playlist_name"], row["items"]) == ("Mix", "Mix", 2)
    assert (row["description"], row["followers"], row["modified_on"]) == ("Mine", 3, date(2021, 5, 4))


def test_an_empty_playlist_is_a_playlist_without_entries():
    taken = _library([_entry(None, position=None)])
    assert taken.playlists().select("playlist_id", "items").rows() == [("Mix", 0)]
    assert taken.playlist_items().is_empty()


def test_the_entries_of_a_playlist_keep_their_order():
    items = _library([_entry("B"), _entry("A", position=2), _entry("B", position=3)]).playlist_items()
    assert items.select("position", "item_name").rows() == [(1, "B"), (2, "A"), (3, "B")]


def test_entries_show_when_they_were_added_and_what_they_are():
    row = _library([_entry()]).playlist_items().row(0, named=True)
    assert (row["item_type"], row["item_uri"], row["creator_name"]) == ("track", uri("song"), "Band")
    assert (row["added_on"], row["track_key"]) == (date(2020, 2, 3), "band / song")


@pytest.mark.parametrize(
    ("item_type", "track_key"),
    [("track", "band / song"), ("local", "band / song"), ("episode", None), ("audiobook", None), ("unknown", None)],
)
def test_tracks_and_local_files_alone_have_a_track_key(item_type, track_key):
    assert _library([_entry(item_type=item_type)]).playlist_items()["track_key"].item() == track_key


@pytest.mark.parametrize(
    ("told", "day"),
    [("2021-05-04", date(2021, 5, 4)), ("2021-05-04T10:00:00Z", date(2021, 5, 4)), ("May 2021", None), (None, None)],
)
def test_days_are_told_as_dates_or_not_at_all(told, day):
    taken = _library([_entry(added_on=told, playlist_modified_on=told)])
    assert (taken.playlist_items()["added_on"].item(), taken.playlists()["modified_on"].item()) == (day, day)


def test_playlists_of_several_files_of_one_export_are_all_there():
    taken = _library([_entry("A", playlist="One")])
    taken.take([_entry("B", playlist="Two")], file_name="Playlist2.json")
    assert taken.playlists()["playlist_id"].to_list() == ["One", "Two"]


def test_the_newest_export_of_playlists_wins():
    taken = _Library()
    taken.take([_entry("A", playlist="New")], snapshot_at=_NEW)
    taken.take([_entry("A", playlist="Old")], snapshot_at=_OLD)
    assert taken.playlists().select("playlist_id", "snapshot_at").rows() == [("New", _NEW)]


def test_playlists_of_equal_name_are_told_apart_by_a_number():
    taken = _library([_entry("A"), _entry("B", number=2), _entry("C", number=2, position=2)])
    assert taken.playlists().select("playlist_id", "playlist_name", "items").rows() == [
        ("Mix", "Mix", 1),
        ("Mix (2)", "Mix", 2),
    ]
    assert taken.playlist_items().select("playlist_id", "item_name").rows() == [
        ("Mix", "A"),
        ("Mix (2)", "B"),
        ("Mix (2)", "C"),
    ]


def test_playlists_of_equal_name_in_two_files_are_told_apart_by_a_number():
    taken = _library([_entry("A")])
    taken.take([_entry("B")], file_name="Playlist2.json")
    assert taken.playlist_items().select("playlist_id", "item_name").rows() == [("Mix", "A"), ("Mix (2)", "B")]


def test_a_playlist_that_bears_the_number_of_another_in_its_name_stays_one_of_its_own():
    taken = _library([_entry("A"), _entry("B", number=2), _entry("C", number=3, playlist="Mix (2)")])
    assert taken.playlists().height == 3
    assert taken.playlist_items()["playlist_id"].n_unique() == 3


def test_two_listeners_may_have_playlists_of_one_name():
    taken = _library([_entry("A")], listener="me")
    taken.take([_entry("B")], listener="you")
    assert taken.playlists().select("listener", "playlist_id").rows() == [("me", "Mix"), ("you", "Mix")]


def test_a_playlist_without_a_name_is_a_playlist():
    assert _library([_entry(playlist="")]).playlists().select("playlist_id", "items").rows() == [("", 1)]
