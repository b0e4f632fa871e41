from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from spotify_assets.exports import find_exports, read_history
from spotify_assets.schemas.raw import StreamingHistory
from spotify_assets_tests.exports.samples import (
    EPISODE_URI,
    IMPORTED_AT,
    SECRETS,
    TRACK_URI,
    basic,
    core,
    g0,
    g1,
    g2,
    g3,
    pre2020,
    read,
    read_rows,
    write,
)


@pytest.mark.parametrize(
    ("row", "generation"),
    [(pre2020(), "pre2020"), (g0(), "G0"), (g1(), "G1"), (g2(), "G2"), (g3(), "G3"), (g3(new_key=1), "G3+")],
)
def test_a_key_generation_is_recognised_and_read(tmp_path: Path, row: dict, generation: str) -> None:
    result = read_rows(tmp_path, [row])
    assert result.column("generation") == [generation]
    assert result.reports[0].generation == generation
    assert result.column("track_name") == ["Title"]
    assert result.problems == []


@pytest.mark.parametrize("row", [pre2020(), g0(), g1(), g2(), g3()])
def test_no_personal_field_leaves_the_reader(tmp_path: Path, row: dict) -> None:
    broken = {**row, "ms_played": "soon", "device": {"username": SECRETS[0], "note": [{"ip_addr": SECRETS[1]}]}}
    result = read_rows(tmp_path, [row, broken])
    assert result.rejected.height == 1
    told = result.everything_told()
    assert not [secret for secret in SECRETS if secret in told]


def test_a_basic_row_keeps_its_names_and_utc_minute(tmp_path: Path) -> None:
    result = read_rows(tmp_path, [basic()], name="StreamingHistory_music_0.json")
    row = result.rows.row(0, named=True)
    assert (row["kind"], row["generation"]) == ("basic", "basic")
    assert (row["ts"], row["ms_played"]) == (datetime(2020, 1, 1, tzinfo=UTC), 180_000)
    assert (row["track_name"], row["artist_name"], row["album_name"], row["track_uri"]) == (
        "Title",
        "Artist",
        None,
        None,
    )


def test_a_basic_podcast_row_is_an_episode(tmp_path: Path) -> None:
    row = {"endTime": "2024-05-01 10:30", "podcastName": "Show", "episodeName": "Episode", "msPlayed": 1}
    result = read_rows(tmp_path, [row], name="StreamingHistory_podcast_0.json")
    assert result.rows.select("show_name", "episode_name", "track_name").row(0) == ("Show", "Episode", None)
    assert result.column("generation") == ["basic"]


def test_a_basic_audiobook_row_is_a_chapter(tmp_path: Path) -> None:
    row = {
        "endTime": "2024-05-01 10:30",
        "audiobookName": "Book",
        "chapterName": "One",
        "authorName": "Author",
        "msPlayed": 1,
    }
    result = read_rows(tmp_path, [row], name="StreamingHistory_audiobook_0.json")
    assert result.rows.select("audiobook_name", "chapter_name", "author_name").row(0) == ("Book", "One", "Author")


def test_an_old_mixed_basic_file_is_named_so(tmp_path: Path) -> None:
    assert read_rows(tmp_path, [basic()], name="StreamingHistory0.json").column("generation") == ["basic_mixed"]


def test_a_mixed_basic_row_has_the_title_of_the_extended_episode(tmp_path: Path) -> None:
    extended = g3(
        master_metadata_track_name=None,
        master_metadata_album_artist_name=None,
        master_metadata_album_album_name=None,
        spotify_track_uri=None,
        episode_name="  Épisode ",
        episode_show_name="SHOW",
        spotify_episode_uri=EPISODE_URI,
    )
    write(tmp_path / "a" / "StreamingHistory0.json", [basic(artistName="Show", trackName="E\u0301pisode")])
    write(tmp_path / "a" / "Streaming_History_Audio_2020.json", [extended])
    result = read(tmp_path / "a", scratch=tmp_path / "s")
    assert result.rows.height == 2
    assert result.rows["title_hash"].n_unique() == 1
    assert result.rows["names_hash"].n_unique() == 2


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("2020-01-01T00:00:00Z", datetime(2020, 1, 1)),
        ("2013-10-09 20:03:57 UTC", datetime(2013, 10, 9, 20, 3, 57)),
        ("2020-01-01T00:00:00.25+02:00", datetime(2019, 12, 31, 22, 0, 0, 250_000)),
        ("2020-01-01T00:00-0500", datetime(2020, 1, 1, 5)),
        ("2020-01-01t00:00z", datetime(2020, 1, 1)),
        ("2020-01-01 00:00", datetime(2020, 1, 1)),
    ],
)
def test_an_instant_may_be_written_in_any_iso_way(tmp_path: Path, told: str, meant: datetime) -> None:
    assert read_rows(tmp_path, [g3(ts=told)]).column("ts") == [meant.replace(tzinfo=UTC)]


@pytest.mark.parametrize(
    ("told", "meant"), [("5969", 5969), (12.0, 12), ("12.0", 12), (0, 0), (86_400_000, 86_400_000)]
)
def test_ms_played_may_be_told_as_text_or_with_a_point(tmp_path: Path, told: object, meant: int) -> None:
    assert read_rows(tmp_path, [g3(ms_played=told)]).column("ms_played") == [meant]


@pytest.mark.parametrize(
    ("told", "meant"),
    [(True, True), (False, False), ("true", True), ("False", False), (1, True), ("0", False), (None, None), ("", None)],
)
def test_a_flag_may_be_told_as_text_or_number(tmp_path: Path, told: object, meant: bool | None) -> None:
    assert read_rows(tmp_path, [g3(shuffle=told)]).column("shuffle") == [meant]


@pytest.mark.parametrize(
    ("told", "meant"), [(1_577_836_620, 1_577_836_620), (1_577_836_620_123, 1_577_836_620_123), (0, 0), ("x", None)]
)
def test_the_offline_timestamp_is_kept_as_told(tmp_path: Path, told: object, meant: int | None) -> None:
    assert read_rows(tmp_path, [g3(offline_timestamp=told)]).column("offline_timestamp") == [meant]


def test_empty_texts_count_as_not_told(tmp_path: Path) -> None:
    result = read_rows(tmp_path, [g3(master_metadata_track_name="", spotify_track_uri="", reason_end="")])
    assert result.rows.select("track_name", "track_uri", "track_id", "reason_end", "uri_hash").row(0) == (None,) * 5


def test_the_track_id_comes_only_from_a_whole_track_uri(tmp_path: Path) -> None:
    uris = [TRACK_URI, "spotify:local:Artist:Album:Title:180", "spotify:track:short", TRACK_URI + "\n"]
    result = read_rows(tmp_path, [g3(spotify_track_uri=uri) for uri in uris])
    assert result.column("track_uri") == uris
    assert result.column("track_id") == [TRACK_URI[14:], None, None, None]


def test_a_row_without_any_name_and_uri_is_accepted_without_hashes(tmp_path: Path) -> None:
    result = read_rows(tmp_path, [{"ts": "2020-01-01T00:00:00Z", "ms_played": 1}])
    row = result.rows.row(0, named=True)
    assert (row["uri_hash"], row["names_hash"], row["title_hash"]) == (None, None, None)
    assert row["context_hash"] is not None


def test_the_accepted_rows_have_the_declared_columns_and_types(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, [g3()]).rows
    declared = StreamingHistory.polars_schema()
    told_elsewhere = {"listener", "import_id", "row_id", "file_id", "occurrence", "says"}
    assert set(rows.columns) == {"file_number", *declared.names()} - told_elsewhere
    assert {name: rows.schema[name] for name in rows.columns[1:]} == {name: declared[name] for name in rows.columns[1:]}


def test_unknown_reasons_platforms_and_non_bmp_characters_are_kept_as_told(tmp_path: Path) -> None:
    strange = {
        "reason_end": "beamed-away",
        "platform": "fridge 🧊",
        "master_metadata_track_name": "𝔗itle\u0001🎵\u0000",
    }
    result = read_rows(tmp_path, [g3(**strange)])
    assert result.rows.select("reason_end", "platform", "track_name").row(0) == tuple(strange.values())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ms_played": -4_000_000_000_000_000_000}, "ms_played is negative (-4000000000000000000)."),
        ({"ms_played": 86_400_001}, "ms_played is longer than 24 hours (86400001)."),
        (
            {"ts": "2005-12-31T23:59:59Z"},
            "ts is before 2006, when there was no Spotify (2005-12-31T23:59:59Z).",
        ),
        ({"ts": "2026-11-21T12:00:01Z"}, "ts is more than a day after the import (2026-11-21T12:00:01Z)."),
    ],
)
def test_a_known_defect_of_spotify_is_rejected_without_being_damage(tmp_path: Path, changes: dict, reason: str) -> None:
    result = read_rows(tmp_path, [g3(), g3(**changes)])
    assert result.rejected.select("row_number", "reason", "is_damage").rows() == [(2, reason, False)]
    assert result.rows.height == 1
    assert result.problems == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (g3(ts=None), "ts is missing."),
        (g3(ts=""), "ts is missing."),
        ({"ms_played": 1}, "ts is missing."),
        (g3(ts="yesterday"), "ts is not a date and time."),
        (g3(ts="2020-13-01T00:00:00Z"), "ts is not a date and time (2020-13-01T00:00:00Z)."),
        (g3(ts=1577836620), "ts is not a date and time."),
        (g3(ms_played=None), "ms_played is missing."),
        (g3(ms_played="soon"), "ms_played is not a number."),
        (g3(ms_played={"a": 1}), "ms_played is not a number."),
        (g3(ms_played=True), "ms_played is not a number."),
        (g3(ms_played=10**30), f"ms_played does not fit into 64 bits ({10**30})."),
        (5, "The row is not an object but a number."),
        (None, "The row is not an object but null."),
        ([g3()], "The row is not an object but a list."),
        ("text", "The row is not an object but a text."),
    ],
)
def test_a_bad_row_is_damage_with_a_reason_and_costs_only_itself(tmp_path: Path, row: object, reason: str) -> None:
    result = read_rows(tmp_path, [g3(), row, g3()])
    assert result.rejected.select("row_number", "reason", "is_damage").rows() == [(2, reason, True)]
    assert result.column("row_number") == [1, 3]
    assert len(result.damage) == 1
    assert "Streaming_History_Audio_2020_0.json" in result.damage[0]
    assert reason in result.damage[0]


def test_a_rejected_row_keeps_its_harmless_fields_as_json(tmp_path: Path) -> None:
    result = read_rows(tmp_path, [g3(ms_played=-1, email="a@example.org", mood="gloomy")])
    told = json.loads(result.rejected["row_json"][0])
    assert (told["ms_played"], told["master_metadata_track_name"], told["mood"]) == (-1, "Title", "gloomy")
    assert "ip_addr" not in told
    assert told["email"] is None


def test_a_row_that_is_no_object_leaves_no_json(tmp_path: Path) -> None:
    assert read_rows(tmp_path, [g3(), [SECRETS[1]]]).rejected["row_json"].to_list() == [None]


def test_a_truncated_file_keeps_the_rows_before_the_cut(tmp_path: Path) -> None:
    text = json.dumps([g3(master_metadata_track_name=f"Title {number}") for number in range(20)], indent=2)
    result = read_rows(tmp_path, text[: text.index("Title 12")])
    assert result.column("track_name") == [f"Title {number}" for number in range(12)]
    assert result.rejected.rows() == [(0, 13, "The row is cut off in the middle.", None, True)]
    assert "cut off" in result.damage[0]
    assert "12 good rows were kept" in result.damage[0]


@pytest.mark.parametrize("end", ["", ",", "\n  ,\n"])
def test_a_file_cut_between_two_rows_is_damage_too(tmp_path: Path, end: str) -> None:
    result = read_rows(tmp_path, json.dumps([g3(), g3()])[:-1] + end)
    assert (result.rows.height, result.rejected.height) == (2, 0)
    assert "cut off" in result.damage[0]


def test_a_row_of_invalid_json_costs_only_itself(tmp_path: Path) -> None:
    rows = [json.dumps(g3(master_metadata_track_name=name)) for name in ("a", "b", "c")]
    rows[1] = rows[1].replace('"b"', "b")
    result = read_rows(tmp_path, f"[{','.join(rows)}]")
    assert result.rows.select("row_number", "track_name").rows() == [(1, "a"), (3, "c")]
    assert result.rejected.select("row_number", "reason").rows() == [(2, "The row is not valid JSON.")]


def test_a_raw_control_character_in_a_text_costs_nothing(tmp_path: Path) -> None:
    text = json.dumps([g3(master_metadata_track_name="a-b")]).replace("a-b", "a\tb\x01")
    result = read_rows(tmp_path, text)
    assert result.column("track_name") == ["a\tb\x01"]
    assert result.damage == []


def test_half_a_surrogate_pair_becomes_the_replacement_character(tmp_path: Path) -> None:
    text = json.dumps([g3(master_metadata_track_name="a-b")]).replace("a-b", "a\\ud83d")
    assert read_rows(tmp_path, text).column("track_name") == ["a\ufffd"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_does_no_harm(tmp_path: Path, encoding: str) -> None:
    result = read_rows(tmp_path, json.dumps([g3(), g3()]).encode(encoding))
    assert result.rows.height == 2
    assert result.damage == []


def test_carriage_returns_do_no_harm(tmp_path: Path) -> None:
    result = read_rows(tmp_path, json.dumps([g3(), g3()], indent=2).replace("\n", "\r\n"))
    assert (result.rows.height, result.problems) == (2, [])


def test_bytes_that_are_no_utf8_become_replacement_characters(tmp_path: Path) -> None:
    result = read_rows(tmp_path, json.dumps([g3(master_metadata_track_name="a-b")]).encode().replace(b"a-b", b"\xff"))
    assert result.column("track_name") == ["\ufffd"]


def test_text_after_the_end_is_reported(tmp_path: Path) -> None:
    result = read_rows(tmp_path, json.dumps([g3()]) + " garbage")
    assert (result.rows.height, result.rejected.height) == (1, 1)
    assert "more after the closing" in result.damage[0]


def test_two_lists_in_one_file_are_both_read(tmp_path: Path) -> None:
    result = read_rows(tmp_path, json.dumps([g3()]) + json.dumps([g3()]))
    assert result.column("row_number") == [1, 2]
    assert len(result.damage) == 1


def test_the_first_of_repeated_keys_counts_in_whole_and_in_damaged_files(tmp_path: Path) -> None:
    text = json.dumps([g3()]).replace('"ms_played": 180000', '"ms_played": 1, "ms_played": 2')
    assert read_rows(tmp_path / "whole", text).column("ms_played") == [1]
    assert read_rows(tmp_path / "cut", text[:-1]).column("ms_played") == [1]


def test_a_bad_file_does_not_spoil_the_others_of_its_lot(tmp_path: Path) -> None:
    for number in range(4):
        rows = [g3(master_metadata_track_name=f"{number}/{row}") for row in range(3)]
        text = json.dumps(rows)
        write(tmp_path / "e" / f"Streaming_History_Audio_2020_{number}.json", text[:-50] if number == 1 else text)
    result = read(tmp_path / "e", scratch=tmp_path / "s")
    assert result.rows.group_by("file_number").len().sort("file_number").rows() == [(0, 3), (1, 2), (2, 3), (3, 3)]
    assert [report.rows_in for report in sorted(result.reports, key=lambda one: one.file.file_name)] == [3, 3, 3, 3]
    assert len(result.damage) == 1


def test_every_row_gets_its_true_position_in_its_file(tmp_path: Path) -> None:
    rows_per_file = 10_000
    for number in range(4):
        rows = [core(ms_played=row, master_metadata_track_name=f"{number}") for row in range(1, rows_per_file + 1)]
        write(tmp_path / "e" / f"Streaming_History_Audio_2020_{number}.json", json.dumps(rows))
    rows = read(tmp_path / "e", scratch=tmp_path / "s").rows
    assert rows.height == 4 * rows_per_file
    assert rows.filter(pl.col("row_number") != pl.col("ms_played")).is_empty()
    assert rows.filter(pl.col("file_number").cast(pl.String) != pl.col("track_name")).is_empty()
    assert rows.sort("file_number", "row_number").equals(rows)


def test_file_numbers_are_positions_in_the_argument(tmp_path: Path) -> None:
    for number, make in enumerate((g3, basic, g1, g2)):
        key = "trackName" if make is basic else "master_metadata_track_name"
        write(tmp_path / "e" / f"{number}.json", [make(**{key: f"{number}.json"})])
    with find_exports([tmp_path / "e"], scratch=tmp_path / "s") as found:
        files = found.files[::-1]
        for batch in read_history(files, imported_at=IMPORTED_AT):
            for number, name in batch.rows.select("file_number", "track_name").rows():
                assert files[number].file_name == name


def test_names_with_pattern_letters_and_quotes_are_read_as_they_stand(tmp_path: Path) -> None:
    write(tmp_path / "e [1]*?" / "it's [0].json", [g3(master_metadata_track_name="right")])
    write(tmp_path / "e 1xy" / "it's 0.json", [g3(master_metadata_track_name="wrong")])
    result = read(tmp_path / "e [1]*?", scratch=tmp_path / "s")
    assert result.column("track_name") == ["right"]


def test_an_unknown_key_in_a_single_row_is_found_where_another_key_is_absent(tmp_path: Path) -> None:
    rows = [g3(ms_played=number) for number in range(3_000)]
    del rows[1_500]["episode_name"]
    rows[1_500]["surprise"] = None
    result = read_rows(tmp_path, rows)
    assert result.reports[0].unknown_keys == {"surprise": 1}
    assert result.rows.filter(pl.col("unknown_keys").is_not_null()).select("row_number", "unknown_keys").rows() == [
        (1_501, '{"surprise":null}')
    ]
    assert result.rows.height == 3_000


def test_an_unknown_key_is_found_where_a_different_row_lacks_a_key(tmp_path: Path) -> None:
    rows = [g3() for _ in range(100)]
    del rows[10]["episode_name"]
    rows[60]["surprise"] = {"deep": [1, None]}
    result = read_rows(tmp_path, rows)
    assert result.reports[0].unknown_keys == {"surprise": 1}
    assert result.column("unknown_keys")[60] == '{"surprise":{"deep":[1,null]}}'


@pytest.mark.parametrize("separators", [(",", ":"), (" ,", " : "), (",\n", "\t:\n")])
def test_an_unknown_key_is_found_however_the_file_is_spaced(tmp_path: Path, separators: tuple[str, str]) -> None:
    text = json.dumps([g3(), g3(surprise=1), g3()], separators=separators)
    assert read_rows(tmp_path, text).reports[0].unknown_keys == {"surprise": 1}


@pytest.mark.parametrize("key", ["a/b~c", "", "it's", 'quo"te', "nul\x00", "TS", "$.x", "*", "ключ"])
def test_an_unknown_key_may_have_any_name(tmp_path: Path, key: str) -> None:
    result = read_rows(tmp_path, [g3(**{key: "value"}), g3()])
    assert json.loads(result.column("unknown_keys")[0]) == {key: "value"}
    assert result.reports[0].unknown_keys == {key: 1}


def test_unknown_keys_of_a_damaged_file_are_kept_too(tmp_path: Path) -> None:
    result = read_rows(tmp_path, json.dumps([g3(surprise="x"), g3()])[:-1])
    assert result.column("unknown_keys") == ['{"surprise":"x"}', None]


def test_of_an_unknown_key_that_smells_of_a_person_only_the_name_is_kept(tmp_path: Path) -> None:
    result = read_rows(tmp_path, [g3(deviceModel="Phone of Ann", shuffle_mode="smart", extra={"city": "x", "ip": 1})])
    assert json.loads(result.column("unknown_keys")[0]) == {
        "deviceModel": None,
        "shuffle_mode": "smart",
        "extra": {"ip": None},
    }
    assert result.reports[0].unknown_keys == {"deviceModel": 1, "extra": 1, "shuffle_mode": 1}


def test_the_same_rows_have_the_same_hashes_in_whole_and_in_damaged_files(tmp_path: Path) -> None:
    rows = [g3(), g3(master_metadata_track_name="Ünï", skipped=True), g3(offline_timestamp=None, extra=[1.5, "x"])]
    hashes = ("uri_hash", "names_hash", "title_hash", "context_hash", "unknown_keys")
    whole = read_rows(tmp_path / "whole", rows).rows.select(hashes)
    cut = read_rows(tmp_path / "cut", json.dumps(rows)[:-1]).rows.select(hashes)
    assert whole.equals(cut)


def test_the_hashes_are_the_same_for_ever(tmp_path: Path) -> None:
    row = read_rows(tmp_path, [g3()]).rows.row(0, named=True)
    assert [row[name] for name in ("uri_hash", "names_hash", "title_hash", "context_hash")] == GOLDEN_HASHES


def test_a_different_name_order_null_or_border_gives_a_different_names_hash(tmp_path: Path) -> None:
    names = [("ab", "c"), ("a", "bc"), ("c", "ab"), ("ab", None), (None, "ab"), ("2:ab", "-")]
    rows = [
        g3(
            master_metadata_track_name=track,
            master_metadata_album_artist_name=artist,
            master_metadata_album_album_name=None,
        )
        for track, artist in names
    ]
    assert read_rows(tmp_path, rows).rows["names_hash"].n_unique() == len(names)


def test_the_title_hash_ignores_case_blanks_and_composition(tmp_path: Path) -> None:
    titles = ["Café Del Mar", "CAFÉ DEL MAR", " cafe\u0301 del mar\u00a0"]
    rows = read_rows(tmp_path, [g3(master_metadata_track_name=title) for title in titles]).rows
    assert rows["title_hash"].n_unique() == 1
    assert rows["names_hash"].n_unique() == 3


def test_the_context_hash_tells_null_from_false_and_each_field_apart(tmp_path: Path) -> None:
    changes = [
        {},
        {"shuffle": True},
        {"shuffle": None},
        {"reason_start": "clickrow"},
        {"reason_end": None},
        {"platform": "iOS"},
        {"conn_country": "FR"},
        {"incognito_mode": True},
        {"offline": True},
        {"spotify_track_uri": None},
    ]
    rows = read_rows(tmp_path, [g3(**change) for change in changes]).rows
    assert rows["context_hash"].n_unique() == len(changes)


def test_the_context_hash_is_the_same_whatever_year_the_row_was_exported_in(tmp_path: Path) -> None:
    changes = [{}, {"skipped": False}, {"skipped": True}, {"offline_timestamp": 0}, {"extra": 1}]
    rows = read_rows(tmp_path, [g3(**change) for change in changes]).rows
    assert rows["context_hash"].n_unique() == 1


def test_the_uri_hash_takes_the_first_uri_that_is_told(tmp_path: Path) -> None:
    chapter = {"audiobook_uri": "spotify:show:b", "audiobook_chapter_uri": "spotify:episode:c"}
    rows = [
        g3(spotify_track_uri=None, **chapter),
        g3(spotify_track_uri=None, **{**chapter, "audiobook_uri": "spotify:show:other"}),
        g3(spotify_track_uri=None, spotify_episode_uri="spotify:episode:c"),
    ]
    assert read_rows(tmp_path, rows).rows["uri_hash"].n_unique() == 1


def test_a_file_that_changes_before_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "e" / "endsong_0.json", [g3()])
    write(tmp_path / "e" / "endsong_1.json", [g3(ms_played=1)])
    with find_exports([tmp_path / "e"], scratch=tmp_path / "s") as found:
        write(path, [g3(), g3()])
        batches = list(read_history(found.files, imported_at=IMPORTED_AT))
    assert sum(batch.rows.height for batch in batches) == 1
    messages = [problem.message for batch in batches for report in batch.reports for problem in report.problems]
    assert len(messages) == 1
    assert "changed while it was being read" in messages[0]


def test_a_file_that_vanishes_is_refused_with_a_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "e" / "endsong_0.json", [g3()])
    with find_exports([path], scratch=tmp_path / "s") as found:
        path.unlink()
        (batch,) = read_history(found.files, imported_at=IMPORTED_AT)
    assert batch.rows.is_empty()
    assert batch.reports[0].problems[0].is_damage


def test_the_report_balances_and_tells_the_range(tmp_path: Path) -> None:
    rows = [g3(ts="2021-01-01T00:00:00Z"), g3(ts="2019-01-01T00:00:00Z"), g3(ms_played=-1), 7]
    (report,) = read_rows(tmp_path, rows).reports
    assert (report.rows_in, report.rows_rejected) == (4, 2)
    assert (report.first_ts, report.last_ts) == (
        datetime(2019, 1, 1, tzinfo=UTC),
        datetime(2021, 1, 1, tzinfo=UTC),
    )


def test_progress_ends_at_the_size_of_all_files(tmp_path: Path) -> None:
    sizes = []
    for number in range(3):
        path = write(tmp_path / "e" / f"endsong_{number}.json", [g3(ms_played=number)])
        sizes.append(path.stat().st_size)
    told: list[int] = []
    with find_exports([tmp_path / "e"], scratch=tmp_path / "s") as found:
        list(read_history(found.files, imported_at=IMPORTED_AT, on_progress=told.append))
    assert told[-1] == sum(sizes)


def test_a_library_file_is_no_history(tmp_path: Path) -> None:
    path = write(tmp_path / "YourLibrary.json", {"tracks": [], "albums": []})
    with (
        find_exports([path], scratch=tmp_path / "s") as found,
        pytest.raises(ValueError, match="not streaming history"),
    ):
        read_history(found.files, imported_at=IMPORTED_AT)


def test_a_lone_row_far_down_in_random_order_is_rejected_at_its_place(tmp_path: Path) -> None:
    rows = [g3(ms_played=number) for number in range(500)]
    random.Random(1).shuffle(rows)
    rows[321]["ts"] = "1999-01-01T00:00:00Z"
    result = read_rows(tmp_path, rows)
    assert result.rejected["row_number"].to_list() == [322]
    assert 322 not in result.column("row_number")


GOLDEN_HASHES = [486472486544462471, 3792226695677300381, 1807694996403339994, 5006194670204420046]
