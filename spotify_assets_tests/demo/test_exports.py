from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spotify_assets.demo.exports import (
    GENERATION_KEYS,
    Defects,
    WrittenExport,
    write_account_data,
    write_basic_history,
    write_extended_history,
    write_library,
)
from spotify_assets.demo.listener import TruePlay

NUMBER_OF_KEYS = {"pre2020": 22, "G0": 24, "G1": 21, "G2": 19, "G3": 23}


@pytest.fixture(scope="module")
def some_plays(plays: list[TruePlay]) -> list[TruePlay]:
    """Every fifteenth stretch of 50 plays, and all audiobooks, offline and video plays."""
    return [
        play
        for play in plays
        if play.play_number // 50 % 15 == 0 or play.chapter is not None or play.offline or play.is_video
    ]


def read_rows(export: WrittenExport) -> dict[str, list[dict[str, object]]]:
    with zipfile.ZipFile(export.target) as archive:
        return {file.file_name: json.loads(archive.read(file.file_name)) for file in export.files}


@pytest.mark.parametrize("generation", GENERATION_KEYS)
def test_each_generation_has_its_own_keys_in_their_order(
    generation: str, some_plays: list[TruePlay], tmp_path: Path
) -> None:
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation=generation)
    keys = {tuple(row) for rows in read_rows(export).values() for row in rows}
    assert keys == {GENERATION_KEYS[generation]}
    assert len(GENERATION_KEYS[generation]) == NUMBER_OF_KEYS[generation]


@pytest.mark.parametrize("generation", GENERATION_KEYS)
def test_a_row_says_what_its_play_was(generation: str, some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation=generation)
    by_number = {play.play_number: play for play in some_plays}
    stamp = "%Y-%m-%d %H:%M:%S UTC" if generation == "pre2020" else "%Y-%m-%dT%H:%M:%SZ"
    for file, rows in zip(export.files, read_rows(export).values(), strict=True):
        assert len(rows) == file.rows == len(file.play_numbers)
        for number, row in zip(file.play_numbers, rows, strict=True):
            play = by_number[number]
            assert datetime.strptime(row["ts"], stamp).replace(tzinfo=UTC) == play.told_at
            assert row["ms_played"] == (str(play.ms_played) if generation == "pre2020" else play.ms_played)
            assert (row["reason_start"], row["reason_end"]) == (play.reason_start, play.reason_end)
            assert (row["platform"], row["conn_country"]) == (play.platform, play.country)
            assert (row["shuffle"], row["offline"], row["incognito_mode"]) == (
                play.shuffle,
                play.offline,
                play.incognito,
            )
            track, episode, chapter = play.track, play.episode, play.chapter
            assert row["master_metadata_track_name"] == (track.name if track else None)
            assert row["master_metadata_album_artist_name"] == (track.artist.name if track else None)
            assert row["master_metadata_album_album_name"] == (track.album.name if track else None)
            assert row["episode_name"] == (episode.name if episode else None)
            assert row["episode_show_name"] == (episode.show.name if episode else None)
            if "spotify_track_uri" in row:
                assert row["spotify_track_uri"] == (track.uri if track else None)
                assert row["spotify_episode_uri"] == (episode.uri if episode else None)
            if "audiobook_uri" in row:
                assert row["audiobook_title"] == (chapter.audiobook.name if chapter else None)
                assert row["audiobook_chapter_uri"] == (chapter.uri if chapter else None)


def test_a_generation_without_audiobook_keys_leaves_audiobooks_out_and_says_so(
    some_plays: list[TruePlay], tmp_path: Path
) -> None:
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation="G2")
    audiobooks = {play.play_number for play in some_plays if play.chapter is not None}
    assert set(export.not_told) == audiobooks
    assert set(export.copies) == {play.play_number for play in some_plays} - audiobooks


def test_offline_plays_tell_their_start_in_the_unit_of_their_time(some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation="G3")
    by_number = {play.play_number: play for play in some_plays}
    units = set()
    for file, rows in zip(export.files, read_rows(export).values(), strict=True):
        for number, row in zip(file.play_numbers, rows, strict=True):
            play = by_number[number]
            if play.offline:
                factor = 1_000 if play.told_at.year < 2023 else 1
                assert row["offline_timestamp"] == int(play.started_at.timestamp()) * factor
                units.add(factor)
    assert units == {1, 1_000}


def test_online_plays_have_every_habit_of_offline_timestamp(some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation="G3")
    values = [row["offline_timestamp"] for rows in read_rows(export).values() for row in rows if not row["offline"]]
    assert None in values
    assert 0 in values
    assert any(value is not None and 0 < value < 1_000_000_000 for value in values)
    assert any(value is not None and value > 100_000_000_000 for value in values)


def test_skipped_is_null_then_always_false_then_told(plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(plays[:3_000] + plays[-3_000:], tmp_path / "export.zip", generation="G3")
    by_year: dict[str, set[object]] = {}
    for rows in read_rows(export).values():
        for row in rows:
            by_year.setdefault(row["ts"][:4], set()).add(row["skipped"])
    assert by_year["2022"] == {False}
    assert by_year["2024"] == {False, True}


@pytest.mark.parametrize(
    ("generation", "pattern"),
    [
        ("pre2020", r"endsong_\d+\.json"),
        ("G0", r"endsong_\d+\.json"),
        ("G1", r"Streaming_History_(Audio_\d{4}(-\d{4})?_\d+|Video_\d{4}(-\d{4})?)\.json"),
        ("G2", r"Streaming_History_(Audio_\d{4}_\d+|Video_\d{4}(-\d{4})?)\.json"),
        ("G3", r"Streaming_History_(Audio_\d{4}(_\d+)?|Video_\d{4}(-\d{4})?)\.json"),
    ],
)
def test_files_are_named_by_the_habits_of_their_age(
    generation: str, pattern: str, some_plays: list[TruePlay], tmp_path: Path
) -> None:
    export = write_extended_history(some_plays, tmp_path / "e.zip", generation=generation, rows_per_file=700)
    names = [file.file_name.removeprefix("Spotify Extended Streaming History/") for file in export.files]
    assert all(re.fullmatch(pattern, name) for name in names)
    assert len(set(names)) == len(names) > 2


def test_no_extended_file_has_more_than_16000_rows(plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(plays, tmp_path / "export.zip", generation="G1")
    assert max(file.rows for file in export.files) == 16_000


def test_rows_are_not_sorted(some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation="G3")
    stamps = [row["ts"] for row in next(iter(read_rows(export).values()))]
    assert stamps != sorted(stamps)


def test_video_files_hold_plays_that_audio_files_do_not_repeat(some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation="G3")
    by_kind = {kind: set() for kind in ("extended_audio", "extended_video")}
    for file in export.files:
        by_kind[file.kind].update(file.play_numbers)
    assert by_kind["extended_video"] == {play.play_number for play in some_plays if play.is_video}
    assert by_kind["extended_audio"].isdisjoint(by_kind["extended_video"])


def test_a_file_is_a_pretty_printed_utf8_array(some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(some_plays[:40], tmp_path / "export", generation="G3")
    content = (export.target / export.files[0].file_name).read_text(encoding="utf-8")
    assert content == json.dumps(json.loads(content), indent=2, ensure_ascii=False)


def test_a_folder_and_a_zip_hold_the_same_files(some_plays: list[TruePlay], tmp_path: Path) -> None:
    zipped = write_extended_history(some_plays[:500], tmp_path / "export.zip", generation="G3")
    write_extended_history(some_plays[:500], tmp_path / "export", generation="G3")
    with zipfile.ZipFile(zipped.target) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.relative_to(tmp_path / "export").as_posix(): path.read_bytes()
            for path in (tmp_path / "export").rglob("*")
            if path.is_file()
        }


def test_the_same_arguments_give_the_same_bytes(some_plays: list[TruePlay], tmp_path: Path) -> None:
    for name in ("first.zip", "second.zip"):
        write_extended_history(some_plays, tmp_path / name, generation="G3", defects=Defects.typical())
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


def test_without_defects_every_play_is_written_once(some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation="G3")
    assert export.copies == {play.play_number: 1 for play in some_plays}
    assert export.defect_rows == ()
    assert export.rows == export.accepted_rows == export.plays == len(some_plays)


def test_the_account_of_copies_agrees_with_the_rows_on_disk(some_plays: list[TruePlay], tmp_path: Path) -> None:
    defects = Defects(duplicate_share=0.02)
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation="G3", defects=defects)
    on_disk = Counter(json.dumps(row) for rows in read_rows(export).values() for row in rows)
    assert sorted(on_disk.values()) == sorted(export.copies.values())
    assert max(export.copies.values()) > 1
    assert sum(export.copies.values()) == export.rows


def test_defect_rows_stand_where_the_account_says(some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation="G3", defects=Defects.typical())
    rows = read_rows(export)
    reasons = Counter(defect.reason for defect in export.defect_rows)
    assert reasons == {"ms_played_negative": 3, "ts_before_2006": 2, "ms_played_over_24_hours": 1}
    for defect in export.defect_rows:
        row = rows[defect.file_name][defect.row_number]
        match defect.reason:
            case "ms_played_negative":
                assert row["ms_played"] < -3_900_000_000_000_000_000
            case "ts_before_2006":
                assert row["ts"] < "2006"
            case "ms_played_over_24_hours":
                assert row["ms_played"] > 86_400_000
    good = [
        row
        for name, these in rows.items()
        for number, row in enumerate(these)
        if (name, number) not in {(defect.file_name, defect.row_number) for defect in export.defect_rows}
    ]
    assert len(good) == export.accepted_rows == sum(export.copies.values())
    assert all(0 <= row["ms_played"] <= 86_400_000 and row["ts"] > "2006" for row in good)


def test_unknown_keys_are_written_and_named(some_plays: list[TruePlay], tmp_path: Path) -> None:
    defects = Defects(unknown_key_share=0.05)
    export = write_extended_history(some_plays, tmp_path / "export.zip", generation="G3", defects=defects)
    keys = {key for rows in read_rows(export).values() for row in rows for key in row}
    assert keys - set(GENERATION_KEYS["G3"]) == set(export.unknown_keys) != set()


def test_an_unknown_generation_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'G9' .* choose one of pre2020, G0, G1, G2, G3"):
        write_extended_history([], tmp_path / "export.zip", generation="G9")


def test_personal_files_and_junk_lie_beside_the_history_and_are_listed(
    some_plays: list[TruePlay], tmp_path: Path
) -> None:
    export = write_account_data(some_plays, tmp_path / "account.zip")
    with zipfile.ZipFile(export.target) as archive:
        names = set(archive.namelist())
    history = {file.file_name for file in export.files}
    library = {"Spotify Account Data/YourLibrary.json", "Spotify Account Data/Playlist1.json"}
    assert names == history | library | set(export.ignored_files)
    assert "Spotify Account Data/Identity.json" in export.ignored_files
    assert any(name.startswith("__MACOSX/") for name in export.ignored_files)


def test_basic_history_has_the_minute_and_the_ms_of_the_extended_row(
    some_plays: list[TruePlay], tmp_path: Path
) -> None:
    export = write_basic_history(some_plays, tmp_path / "account.zip", rows_per_file=700)
    by_number = {play.play_number: play for play in some_plays}
    names_of = {
        "basic_music": {"artistName", "trackName"},
        "basic_podcast": {"podcastName", "episodeName"},
        "basic_audiobook": {"audiobookName", "chapterName", "authorName"},
    }
    assert {file.kind for file in export.files} == set(names_of)
    for file, rows in zip(export.files, read_rows(export).values(), strict=True):
        assert file.rows == len(rows) <= 700
        for number, row in zip(file.play_numbers, rows, strict=True):
            assert set(row) == names_of[file.kind] | {"endTime", "msPlayed"}
            assert row["endTime"] == by_number[number].told_at.strftime("%Y-%m-%d %H:%M")
            assert row["msPlayed"] == by_number[number].ms_played


def test_basic_history_tells_all_but_nameless_plays(some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_basic_history(some_plays, tmp_path / "account.zip")
    nameless = {play.play_number for play in some_plays if play.content_type == "unknown"}
    assert set(export.not_told) == nameless
    assert set(export.copies) == {play.play_number for play in some_plays} - nameless


def test_the_old_mixed_history_has_episodes_as_tracks_of_their_show(some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_basic_history(some_plays, tmp_path / "account.zip", old_mixed=True)
    shows = {play.episode.show.name for play in some_plays if play.episode is not None}
    rows = [row for rows in read_rows(export).values() for row in rows]
    assert [Path(file.file_name).name for file in export.files] == ["StreamingHistory0.json"]
    assert {tuple(row) for row in rows} == {("endTime", "artistName", "trackName", "msPlayed")}
    assert shows <= {row["artistName"] for row in rows}


def test_basic_history_covers_only_the_time_asked_for(plays: list[TruePlay], tmp_path: Path) -> None:
    until = plays[-1].told_at
    since = until - timedelta(days=100)
    export = write_basic_history(plays, tmp_path / "account.zip", since=since, until=until)
    named = {play.play_number for play in plays if since <= play.told_at <= until and play.content_type != "unknown"}
    assert set(export.copies) == named


@pytest.mark.parametrize("has_uris", [True, False])
def test_the_library_says_what_its_account_says(has_uris: bool, some_plays: list[TruePlay], tmp_path: Path) -> None:
    export = write_library(some_plays, tmp_path / "account", has_uris=has_uris)
    folder = tmp_path / "account" / "Spotify Account Data"
    library = json.loads((folder / "YourLibrary.json").read_text(encoding="utf-8"))
    for name in ("tracks", "albums", "artists", "shows", "episodes"):
        assert len(library.get(name, [])) == getattr(export.library, name)
    assert export.library.tracks > 10
    assert all(("uri" in row) == has_uris for row in library["tracks"] + library["albums"])


def kind_of_item(item: dict[str, object]) -> str:
    filled = [kind for kind in ("track", "localTrack", "episode") if item[kind] is not None]
    return {"localTrack": "local"}.get(filled[0], filled[0]) if filled else "nothing"


@pytest.mark.parametrize("has_uris", [True, False])
def test_playlists_hold_tracks_local_files_episodes_and_vanished_titles(
    has_uris: bool, some_plays: list[TruePlay], tmp_path: Path
) -> None:
    export = write_library(some_plays, tmp_path / "account", has_uris=has_uris)
    file = tmp_path / "account" / "Spotify Account Data" / "Playlist1.json"
    playlists = json.loads(file.read_text(encoding="utf-8"))["playlists"]
    kinds_on_disk = tuple(
        (playlist["name"], tuple(kind_of_item(item) for item in playlist["items"])) for playlist in playlists
    )
    assert kinds_on_disk == export.library.playlists
    kinds = {kind for _, these in kinds_on_disk for kind in these}
    assert kinds == {"track", "local", "nothing"} | ({"episode"} if has_uris else set())
    items = [item for playlist in playlists for item in playlist["items"]]
    assert all(("addedDate" in item) == has_uris for item in items)
    assert all(("trackUri" in item["track"]) == has_uris for item in items if item["track"])


def test_an_export_of_nothing_is_an_empty_package(tmp_path: Path) -> None:
    for write in (write_basic_history, write_library, write_account_data):
        assert write([], tmp_path / "account.zip").rows == 0
    export = write_extended_history([], tmp_path / "export.zip", generation="G3", defects=Defects.typical())
    assert (export.rows, export.files) == (0, ())
