from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import textwrap
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spotify_assets.exports import Found, Limits, find_exports
from spotify_assets_tests.exports.samples import SECRETS, basic, g1, g2, g3, pre2020, read, write, write_zip

HISTORY = "Spotify Extended Streaming History/Streaming_History_Audio_2019-2020_0.json"
LIBRARY = {"tracks": [{"artist": "A", "album": "B", "track": "C", "uri": "spotify:track:x"}], "albums": []}
PLAYLISTS = {"playlists": [{"name": "P", "items": []}]}


def find(*paths: Path, scratch: Path, **limits: int) -> Found:
    return find_exports(paths, scratch=scratch, limits=Limits(**limits))


def damage(found: Found) -> list[str]:
    return [f"{problem.file}: {problem.message}" for problem in found.problems if problem.is_damage]


@pytest.mark.parametrize(
    "name",
    [
        "endsong_0.json",
        "Streaming_History_Audio_2019-2020_0.json",
        "Streaming_History_Audio_2021_4.json",
        "Streaming_History_Audio_2022.json",
        "Streaming_History_Video_2018-2024.json",
        "renamed by hand.json",
    ],
)
def test_extended_history_is_told_by_its_content_under_any_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / "MyData" / name, [g3()])
    (file,) = find(tmp_path, scratch=tmp_path / "s").files
    assert (file.kind, file.export_name, file.file_name) == ("extended", "MyData", name)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ([basic()], "basic"),
        ([{"endTime": "2024-01-01 00:00", "podcastName": "P", "episodeName": "E", "msPlayed": 1}], "basic"),
        (LIBRARY, "library"),
        ({"albums": [], "tracks": []}, "library"),
        (PLAYLISTS, "playlists"),
        ({"name": "One", "tracks": [{"trackName": "T", "artistName": "A"}]}, "playlists"),
        ([pre2020()], "extended"),
        ([{"foo": 1}, 7, g3()], "extended"),
        ([{"ts": "2020-01-01T00:00:00Z", "spotify_track_uri": None, "reason_start": "x"}], "extended"),
    ],
)
def test_other_kinds_are_told_by_their_content_too(tmp_path: Path, content: object, kind: str) -> None:
    path = write(tmp_path / "x.json", content)
    assert [file.kind for file in find(path, scratch=tmp_path / "s").files] == [kind]


def test_a_zip_holds_one_export_and_its_other_files_stay_unread(tmp_path: Path) -> None:
    personal = {"MyData/Userdata.json": {"username": SECRETS[0]}, "MyData/Inferences.json": {"inferences": ["x"]}}
    path = write_zip(
        tmp_path / "my_spotify_data.zip",
        {
            HISTORY: [g3()],
            "Spotify Account Data/YourLibrary.json": LIBRARY,
            "Spotify Account Data/Playlist1.json": PLAYLISTS,
            **personal,
            "MyData/Read Me First.pdf": b"%PDF",
            "MyData/inner.zip": b"PK",
            "__MACOSX/MyData/._Streaming_History_Audio_2020.json": b"\x00\x05",
            "MyData/._endsong_0.json": b"\x00",
        },
    )
    with find(path, scratch=tmp_path / "s") as found:
        assert [(file.kind, file.file_name) for file in found.files] == [
            ("playlists", "Spotify Account Data/Playlist1.json"),
            ("library", "Spotify Account Data/YourLibrary.json"),
            ("extended", HISTORY),
        ]
        assert {(file.export_name, file.export_number) for file in found.files} == {("my_spotify_data.zip", 0)}
        assert found.ignored == [
            f"my_spotify_data.zip/MyData/{name}"
            for name in ("Inferences.json", "Read Me First.pdf", "Userdata.json", "inner.zip")
        ]
        assert found.problems == []
        assert found.files[2].modified_at.tzinfo is UTC


def test_unpacked_files_lie_in_scratch_under_numbers_and_are_removed(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {HISTORY: [g3()]})
    with find(path, scratch=tmp_path / "s") as found:
        (file,) = found.files
        assert json.loads(file.path.read_bytes()) == [g3()]
        assert file.path.name == "1.json"
        assert (tmp_path / "s") in file.path.parents
    assert list((tmp_path / "s").iterdir()) == []


def test_the_nearest_folder_is_the_export(tmp_path: Path) -> None:
    write(tmp_path / "home" / "old" / "endsong_0.json", [g3(ms_played=1)])
    write(tmp_path / "home" / "old" / "endsong_1.json", [g3(ms_played=2)])
    write(tmp_path / "home" / "new" / "endsong_0.json", [g3(ms_played=3)])
    write_zip(tmp_path / "home" / "third.zip", {HISTORY: [g3(ms_played=4)]})
    with find(tmp_path / "home", scratch=tmp_path / "s") as found:
        numbers = [(file.export_name, file.export_number) for file in found.files]
    assert numbers == [("new", 0), ("old", 1), ("old", 1), ("third.zip", 2)]


def test_the_order_of_the_paths_does_not_matter(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "b" / "endsong_0.json", [g3(ms_played=1)]),
        write_zip(tmp_path / "a.zip", {HISTORY: [g3(ms_played=2)]}),
        write(tmp_path / "c" / "StreamingHistory0.json", [basic()]).parent,
    ]

    def told(found: Found) -> list[tuple]:
        with found:
            return [(file.export_name, file.file_name, file.export_number, file.sha256) for file in found.files]

    assert told(find(*paths, scratch=tmp_path / "s")) == told(find(*reversed(paths), scratch=tmp_path / "s"))


def test_a_zip_beside_its_own_unpacked_folder_counts_once(tmp_path: Path) -> None:
    text = json.dumps([g3()])
    write(tmp_path / "d" / HISTORY, text)
    write_zip(tmp_path / "d" / "my_spotify_data.zip", {HISTORY: text})
    with find(tmp_path / "d", scratch=tmp_path / "s") as found:
        assert len(found.files) == 1
        assert found.repeated == [f"my_spotify_data.zip/{HISTORY}"]


def test_a_file_named_twice_and_within_its_folder_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path / "d" / "endsong_0.json", [g3()])
    found = find(path, tmp_path / "d", path, scratch=tmp_path / "s")
    assert (len(found.files), found.repeated, found.problems) == (1, [], [])


def test_a_loop_of_symbolic_links_ends(tmp_path: Path) -> None:
    write(tmp_path / "d" / "endsong_0.json", [g3()])
    (tmp_path / "d" / "loop").symlink_to(tmp_path / "d", target_is_directory=True)
    (tmp_path / "d" / "self").symlink_to(tmp_path / "d" / "self")
    assert len(find(tmp_path / "d", scratch=tmp_path / "s").files) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "an empty file"),
        (b" \n", "an empty file"),
        ("[]", "an empty list"),
        ("not JSON at all", "not JSON"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not JSON"),
        ([1, 2, 3], "a list of other things than plays"),
        ([{"searchTime": "x"}], "a list of other things than plays"),
        ({"inferences": []}, "a JSON object, but neither"),
    ],
)
def test_a_named_file_that_is_no_export_is_damage_and_is_described(
    tmp_path: Path, content: object, expected: str
) -> None:
    found = find(write(tmp_path / "x.json", content), scratch=tmp_path / "s")
    assert len(damage(found)) == 1
    assert expected in damage(found)[0]
    assert found.files == []


def test_a_path_without_anything_is_damage(tmp_path: Path) -> None:
    (message,) = damage(find(tmp_path / "nowhere.zip", scratch=tmp_path / "s"))
    assert message.startswith("nowhere.zip: There is nothing at this path")


def test_a_folder_without_any_export_is_damage(tmp_path: Path) -> None:
    write(tmp_path / "d" / "package.json", {"name": "x"})
    found = find(tmp_path / "d", scratch=tmp_path / "s")
    assert "No file of a Spotify export" in damage(found)[0]
    assert found.ignored == ["d/package.json"]


def test_a_zip_without_any_export_is_damage_when_it_was_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "holiday.zip", {"a.txt": b"x"})
    assert "No file of a Spotify export" in damage(find(path, scratch=tmp_path / "s"))[0]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert "neither a file nor a folder" in damage(find(tmp_path / "pipe.json", scratch=tmp_path / "s"))[0]


@pytest.mark.parametrize("content", ["", "nonsense", '{"a": 1}', "[1, 2]", '[{"x": 1}]'])
def test_broken_content_under_a_history_name_is_damage_and_the_others_go_on(tmp_path: Path, content: str) -> None:
    write(tmp_path / "d" / "Streaming_History_Audio_2019.json", content)
    write(tmp_path / "d" / "Streaming_History_Audio_2020.json", [g3()])
    found = find(tmp_path / "d", scratch=tmp_path / "s")
    assert [file.file_name for file in found.files] == ["Streaming_History_Audio_2020.json"]
    assert damage(found)[0].startswith("d/Streaming_History_Audio_2019.json: ")


def test_an_empty_list_under_a_history_name_is_only_a_note(tmp_path: Path) -> None:
    write(tmp_path / "d" / "Streaming_History_Video_2019.json", "[]\n")
    write(tmp_path / "d" / "Streaming_History_Audio_2020.json", [g3()])
    found = find(tmp_path / "d", scratch=tmp_path / "s")
    assert [problem.is_damage for problem in found.problems] == [False]


def test_a_truncated_zip_is_damage_and_the_others_go_on(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "d" / "my_spotify_data.zip", {HISTORY: [g3()] * 500})
    path.write_bytes(path.read_bytes()[:-60])
    write(tmp_path / "d" / "endsong_0.json", [g3()])
    found = find(tmp_path / "d", scratch=tmp_path / "s")
    assert "Not a readable zip" in damage(found)[0]
    assert "Download it again" in damage(found)[0]
    assert len(found.files) == 1


def test_a_broken_zip_of_another_kind_in_a_folder_is_only_a_note(tmp_path: Path) -> None:
    write(tmp_path / "d" / "photos.zip", b"PK nonsense")
    write(tmp_path / "d" / "endsong_0.json", [g3()])
    assert [problem.is_damage for problem in find(tmp_path / "d", scratch=tmp_path / "s").problems] == [False]


def test_a_damaged_member_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    members = {
        "MyData/endsong_0.json": [g3(ms_played=number) for number in range(2_000)],
        "MyData/endsong_1.json": [g3()],
    }
    path = write_zip(tmp_path / "a.zip", members, compression=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[200_000] ^= 1
    path.write_bytes(bytes(data))
    with find(path, scratch=tmp_path / "s") as found:
        assert [file.file_name for file in found.files] == ["MyData/endsong_1.json"]
        assert damage(found)[0].startswith("a.zip/MyData/endsong_0.json: Not read: the zip is damaged here.")


def test_a_protected_zip_is_damage(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"endsong_0.json": [g3()]})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(bytes(data))
    assert "protected with a password" in damage(find(path, scratch=tmp_path / "s"))[0]


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "..\\evil.json", "C:\\evil.json"]
)
def test_a_member_that_leads_outside_is_reported_and_never_written(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "in" / "a.zip", {name: [g3()], "endsong_0.json": [g3(ms_played=1)]})
    with find(path, scratch=tmp_path / "in" / "s") as found:
        assert [file.file_name for file in found.files] == ["endsong_0.json"]
        assert "leads outside the zip" in damage(found)[0]
        assert not list(tmp_path.rglob("evil*"))


def test_a_zip_bomb_is_stopped_by_the_ratio(tmp_path: Path) -> None:
    bomb = json.dumps([g3()]) + " " * 20_000_000
    path = write_zip(tmp_path / "a.zip", {"endsong_0.json": bomb, "endsong_1.json": [g3()]})
    with find(path, scratch=tmp_path / "s", compression_ratio=100) as found:
        assert [file.file_name for file in found.files] == ["endsong_1.json"]
        assert "grows more than 100 times" in damage(found)[0]
        assert sum(file.stat().st_size for file in (tmp_path / "s").rglob("*.json")) < 10_000


def test_a_member_that_is_too_large_is_not_unpacked(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"endsong_0.json": [g3()] * 10, "endsong_1.json": [g3()]})
    with find(path, scratch=tmp_path / "s", member_size_bytes=2_000) as found:
        assert [file.file_name for file in found.files] == ["endsong_1.json"]
        assert "more than the 2,000" in damage(found)[0]


def test_the_sum_of_a_zip_is_bounded(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {f"endsong_{number}.json": [g3(ms_played=number)] for number in range(5)})
    with find(path, scratch=tmp_path / "s", export_size_bytes=2_000) as found:
        assert 0 < len(found.files) < 5
        assert "unpack to more than 2,000 bytes" in damage(found)[0]


def test_a_zip_with_too_many_members_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {f"{number}.txt": b"" for number in range(20)})
    assert "lists 20 files" in damage(find(path, scratch=tmp_path / "s", members=10))[0]


def test_a_full_disk_is_named_and_the_files_beside_the_zip_go_on(tmp_path: Path) -> None:
    # A limit on the size of written files fails like a full disk; it holds for a whole process.
    write_zip(tmp_path / "d" / "a.zip", {f"endsong_{number}.json": [g3(ms_played=number)] * 400 for number in range(3)})
    write(tmp_path / "d" / "StreamingHistory0.json", [basic()])
    program = """
        import resource, signal, sys
        from pathlib import Path
        from spotify_assets.exports import find_exports
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        with find_exports([Path(sys.argv[1])], scratch=Path(sys.argv[2])) as found:
            sys.stderr.write(";".join([file.kind for file in found.files] + [one.message for one in found.problems]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "d"), str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.startswith("basic;")
    assert "the disk is full" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 50_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    write(tmp_path / "d" / "endsong_0.json", [g3()]).chmod(0)
    write(tmp_path / "d" / "endsong_1.json", [g3()])
    found = find(tmp_path / "d", scratch=tmp_path / "s")
    assert "permission denied" in damage(found)[0]
    assert len(found.files) == 1


def test_a_scratch_folder_that_cannot_be_made_is_a_problem_not_an_error(tmp_path: Path) -> None:
    blocked = write(tmp_path / "blocked", "a file")
    path = write_zip(tmp_path / "a.zip", {"endsong_0.json": [g3()]})
    assert "cannot be unpacked" in damage(find(path, scratch=blocked / "s"))[0]


def test_two_accounts_in_one_folder_are_not_taken_in(tmp_path: Path) -> None:
    write(tmp_path / "d" / "endsong_0.json", [g1()])
    write(tmp_path / "d" / "endsong_1.json", [g1(username="somebody-else")])
    write(tmp_path / "e" / "endsong_0.json", [g2()])
    result = read(tmp_path, scratch=tmp_path / "s")
    assert [file.export_name for file in result.found.files] == ["e"]
    assert len(result.damage) == 1
    assert "--listener" in result.damage[0]
    assert "somebody-else" not in result.everything_told()


def test_two_accounts_in_two_exports_are_not_taken_in(tmp_path: Path) -> None:
    write(tmp_path / "d" / "endsong_0.json", [g1()])
    write_zip(tmp_path / "e.zip", {"endsong_0.json": [g1(username="somebody-else")]})
    result = read(tmp_path, scratch=tmp_path / "s")
    assert result.found.files == []
    assert [problem.file for problem in result.problems] == ["d", "e.zip"]


def test_a_second_account_in_the_middle_of_one_file_is_found(tmp_path: Path) -> None:
    rows = [g1(ms_played=number) for number in range(6_000)]
    rows[3_000]["username"] = "somebody-else"
    write(tmp_path / "d" / "endsong_0.json", json.dumps(rows))
    assert read(tmp_path / "d", scratch=tmp_path / "s").found.files == []


def test_one_account_with_and_without_its_name_is_one(tmp_path: Path) -> None:
    rows = [g1(), g1(username=None), g1(username=""), g2(master_metadata_track_name='the "username": "x" song')]
    write(tmp_path / "d" / "endsong_0.json", rows)
    result = read(tmp_path / "d", scratch=tmp_path / "s")
    assert (result.rows.height, result.problems) == (4, [])


def test_progress_tells_the_bytes_read(tmp_path: Path) -> None:
    path = write(tmp_path / "endsong_0.json", [g3()] * 100)
    told: list[int] = []
    find_exports([path], scratch=tmp_path / "s", on_progress=told.append)
    assert told[-1] == path.stat().st_size


def test_the_date_of_a_file_is_utc(tmp_path: Path) -> None:
    path = write(tmp_path / "endsong_0.json", [g3()])
    os.utime(path, (1_600_000_000, 1_600_000_000))
    (file,) = find(path, scratch=tmp_path / "s").files
    assert file.modified_at == datetime.fromtimestamp(1_600_000_000, UTC)
