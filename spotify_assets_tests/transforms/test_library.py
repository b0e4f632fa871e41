"""The library and playlists, as the newer of the newest export and the Web API tells them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


# Together with the Web API


def _api_saved(*names: str, snapshot_at: datetime, listener: str = "me", **told: Any) -> list[dict[str, Any]]:
    return [
        {
            "listener": listener,
            "position": position,
            "snapshot_at": snapshot_at,
            "added_at": datetime(2020, 5, position, tzinfo=UTC),
            "track_uri": uri(name.lower()),
            "track_id": uri(name.lower()).removeprefix("spotify:track:"),
            "track_name": name,
            "artist_name": "Band",
            "album_name": "Album",
            **told,
        }
        for position, name in enumerate(names, 1)
    ]


def _both(export_at: datetime, api_at: datetime) -> _Library:
    taken = _library([_saved("Kept"), _saved("Exported")], snapshot_at=export_at)
    taken.api_saved = _api_saved("New", "Kept", snapshot_at=api_at)
    return taken


def test_a_newer_library_of_the_web_api_wins():
    saved = _both(_OLD, _NEW).saved_tracks()
    assert saved.select("saved_track_number", "track_name", "source").rows() == [(1, "New", "api"), (2, "Kept", "api")]
    assert saved["added_at"].to_list() == [datetime(2020, 5, day, tzinfo=UTC) for day in (1, 2)]
    assert set(saved["snapshot_at"]) == {_NEW}


def test_a_newer_export_wins_and_keeps_what_only_the_web_api_tells():
    saved = _both(_NEW, _OLD).saved_tracks()
    assert saved.select("track_name", "source").rows() == [("Kept", "export"), ("Exported", "export")]
    assert saved["added_at"].to_list() == [datetime(2020, 5, 2, tzinfo=UTC), None]


def test_a_library_of_which_the_web_api_told_nothing_stays_as_the_export_tells_it():
    taken = _library([_saved("A")], snapshot_at=_OLD)
    taken.api_saved = _api_saved("B", snapshot_at=_NEW, listener="you")
    assert taken.saved_tracks().select("listener", "track_name").rows() == [("me", "A"), ("you", "B")]


def test_names_that_the_newer_library_lacks_are_the_older_one_s():
    taken = _library([_saved("Song")], snapshot_at=_OLD)
    nameless = {"track_name": None, "artist_name": None, "album_name": None}
    taken.api_saved = _api_saved("Song", snapshot_at=_NEW, **nameless)
    assert taken.saved_tracks().select("track_name", "track_key", "album_key").rows() == [
        ("Song", "band / song", "band / album")
    ]


def test_a_track_that_stands_twice_in_the_older_library_is_there_once():
    taken = _library([_saved("A")], snapshot_at=_NEW)
    taken.api_saved = _api_saved("A", "A", snapshot_at=_OLD)
    assert taken.saved_tracks().height == 1


def _api_playlist(
    identifier: str,
    name: str | None = "Mix",
    *names: str,
    snapshot_at: datetime = _NEW,
    position: int = 1,
    is_read: bool = True,
    is_current: bool = True,
    **told: Any,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    playlist = {
        "listener": "me",
        "playlist_id": identifier,
        "position": position,
        "snapshot_at": snapshot_at,
        "playlist_name": name,
        "spotify_snapshot_id": "v2",
        "items_snapshot_id": ("v2" if is_current else "v1") if is_read else None,
        "items_total": len(names),
        **told,
    }
    items = [
        {
            "listener": "me",
            "playlist_id": identifier,
            "position": place,
            "item_type": "track",
            "item_uri": uri(each.lower()),
            "item_name": each,
            "creator_name": "Band",
            "added_at": datetime(2020, 2, 3, 4, place, tzinfo=UTC),
            "fetched_at": snapshot_at,
        }
        for place, each in enumerate(names, 1)
    ]
    return playlist, items


def _playlists(export: list[dict[str, Any]], *told: tuple[dict[str, Any], list[dict[str, Any]]], export_at=_OLD):
    taken = _library(export, snapshot_at=export_at) if export else _Library()
    for playlist, items in told:
        taken.api_playlists.append(playlist)
        taken.api_items += items
    return taken


def test_a_playlist_of_an_export_has_the_id_of_the_web_api_s_of_that_name():
    told = _api_playlist("id", "Mix", "A", is_own=True, is_public=False, description="")
    export = [_entry("A", playlist_description="Mine", playlist_followers=2)]
    row = _playlists(export, told).playlists().row(0, named=True)
    assert (row["playlist_id"], row["spotify_playlist_id"], row["source"]) == ("Mix", "id", "api")
    assert (row["description"], row["followers"], row["is_own"], row["total_items"]) == ("Mine", 2, True, 1)


@pytest.mark.parametrize(("export_at", "names"), [(_OLD, ["Told", "Both"]), (_NEW, ["Both", "Exported"])])
def test_which_playlists_there_are_the_newer_of_both_tells(export_at, names):
    export = [_entry(playlist="Both"), _entry(playlist="Exported", number=2)]
    api_at = _OLD if export_at == _NEW else _NEW
    told = [
        _api_playlist("t", "Told", snapshot_at=api_at),
        _api_playlist("b", "Both", snapshot_at=api_at, position=2),
    ]
    made = _playlists(export, *told, export_at=export_at).playlists()
    assert made["playlist_name"].to_list() == sorted(names)
    assert dict(made.select("playlist_name", "spotify_playlist_id").iter_rows())["Both"] == "b"


def test_playlists_of_one_name_pair_in_their_order():
    export = [_entry("A"), _entry("B", number=2)]
    told = [_api_playlist("x", "Mix", is_read=False), _api_playlist("y", "Mix", is_read=False, position=2)]
    made = _playlists(export, *told)
    assert made.playlists().select("playlist_id", "spotify_playlist_id").rows() == [("Mix", "x"), ("Mix (2)", "y")]
    assert made.playlist_items().select("playlist_id", "item_name").rows() == [("Mix", "A"), ("Mix (2)", "B")]


def test_newer_entries_of_the_web_api_win_with_the_instant_when_they_were_added():
    made = _playlists([_entry("A"), _entry("B", position=2)], _api_playlist("id", "Mix", "B", "C"))
    items = made.playlist_items()
    assert items.select("position", "item_name", "source").rows() == [(1, "B", "api"), (2, "C", "api")]
    assert items["added_at"].to_list() == [datetime(2020, 2, 3, 4, place, tzinfo=UTC) for place in (1, 2)]
    assert items["added_on"].to_list() == [date(2020, 2, 3)] * 2
    assert made.playlists()["items"].to_list() == [2]


def test_newer_entries_of_an_export_keep_the_instant_that_only_the_web_api_tells():
    export = [_entry("B"), _entry("B", position=2), _entry("A", position=3)]
    items = _playlists(export, _api_playlist("id", "Mix", "B", snapshot_at=_OLD), export_at=_NEW).playlist_items()
    assert items["added_at"].to_list() == [datetime(2020, 2, 3, 4, 1, tzinfo=UTC), None, None]
    assert set(items["source"]) == {"export"}


def test_a_playlist_that_the_web_api_may_not_read_has_the_entries_of_the_export():
    made = _playlists([_entry("A")], _api_playlist("id", "Mix", is_read=False, is_readable=False, items_total=7))
    assert made.playlist_items().select("item_name", "source").rows() == [("A", "export")]
    assert made.playlists().select("items", "total_items", "source").rows() == [(1, 7, "api")]


def test_a_playlist_that_the_web_api_read_and_found_empty_is_empty():
    made = _playlists([_entry("A")], _api_playlist("id", "Mix"))
    assert made.playlist_items().is_empty() and made.playlists()["items"].to_list() == [0]


def test_entries_of_an_older_version_of_a_playlist_count_as_of_when_they_were_read():
    playlist, items = _api_playlist("id", "Mix", "Old", snapshot_at=_NEW, is_current=False)
    items[0]["fetched_at"] = _OLD - timedelta(days=1)
    made = _playlists([_entry("A")], (playlist, items))
    assert made.playlist_items()["item_name"].to_list() == ["A"]


def test_a_playlist_without_a_name_is_called_by_its_id():
    made = _playlists([], _api_playlist("id", None, "A")).playlists()
    assert made.select("playlist_id", "playlist_name").rows() == [("id", "id")]


def test_null_local_and_episode_entries_are_taken_as_told():
    playlist, items = _api_playlist("id", "Mix", "A", "B", "C")
    items[0] |= {"item_type": "unknown", "item_uri": None, "item_name": None, "creator_name": None, "added_at": None}
    items[1] |= {"item_type": "local", "item_uri": "spotify:local:x"}
    items[2] |= {"item_type": "episode"}
    made = _playlists([], (playlist, items)).playlist_items()
    assert made.select("item_type", "track_key", "added_on").rows() == [
        ("unknown", None, None),
        ("local", "band / b", date(2020, 2, 3)),
        ("episode", None, date(2020, 2, 3)),
    ]


_NAMES = st.lists(st.sampled_from("ABCD"), max_size=4)


@settings(deadline=None, max_examples=40)
@given(_NAMES, _NAMES, st.booleans())
def test_the_merged_library_has_the_uris_of_the_newer_list_and_each_as_often(exported, told, is_api_newer):
    export_at, api_at = (_OLD, _NEW) if is_api_newer else (_NEW, _OLD)
    taken = _Library()
    for place, name in enumerate(exported):
        taken.items.append({"listener": "me", "file_id": 1, "row_id": place + 1, "row_number": place + 1})
        taken.items[-1] |= _saved(name)
        taken.told.append({"file_id": 1, "row_id": place + 1, "row_number": place + 1})
    taken.imports.append({"listener": "me", "file_id": 1, "file_name": "f", "kind": _LIBRARY, "snapshot_at": export_at})
    taken.api_saved = _api_saved(*told, snapshot_at=api_at)
    newer, older = (told, exported) if is_api_newer else (exported, told)
    assert taken.saved_tracks()["track_name"].to_list() == (newer or older)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from(["A", "B", "A (2)"]), max_size=4), st.lists(st.sampled_from(["A", "A (2)"]), max_size=3)
)
def test_every_playlist_of_the_newer_list_has_an_id_of_its_own_and_its_own_entries(exported, told):
    export = [_entry(f"E{number}", playlist=name, number=number) for number, name in enumerate(exported)]
    of_api = [
        _api_playlist(f"id{number}", name, f"T{number}", position=number, is_read=number % 2 == 0)
        for number, name in enumerate(told, 1)
    ]
    made = _playlists(export, *of_api)
    listed, entries = made.playlists(), made.playlist_items()
    assert sorted(listed["playlist_name"]) == sorted(told or exported)
    assert listed["playlist_id"].n_unique() == listed.height
    assert dict(listed.select("playlist_id", "items").iter_rows()) == {
        **dict.fromkeys(listed["playlist_id"], 0),
        **dict(entries.group_by("playlist_id").len().iter_rows()),
    }
