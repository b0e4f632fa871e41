"""Writes true plays in the formats of Spotify's privacy exports, and says exactly what was written.

The formats follow Spotify's own description (https://support.spotify.com/article/understanding-my-data/) and
published exports of several ages; every personal field holds a value that can belong to nobody (addresses of
RFC 5737 and RFC 3849, the name "demo-listener").
"""

from __future__ import annotations

import json
import random
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring
from pathlib import Path

from spotify_assets.demo.library import PlaylistEntry, make_library
from spotify_assets.demo.listener import TruePlay

EXTENDED_ROWS_PER_FILE = 16_000
BASIC_ROWS_PER_FILE = 10_000
EXTENDED_FOLDER = "Spotify Extended Streaming History"
ACCOUNT_FOLDER = "Spotify Account Data"

_PLAYED = (
    "master_metadata_track_name",
    "master_metadata_album_artist_name",
    "master_metadata_album_album_name",
)
_ENDING = (
    "reason_start",
    "reason_end",
    "shuffle",
    "skipped",
    "offline",
    "offline_timestamp",
    "incognito_mode",
)
_AUDIOBOOK = ("audiobook_title", "audiobook_uri", "audiobook_chapter_uri", "audiobook_chapter_title")
_PERSON = ("ip_addr_decrypted", "user_agent_decrypted")

GENERATION_KEYS: dict[str, tuple[str, ...]] = {
    "pre2020": (
        *("ts", "username", "platform", "ms_played", "conn_country", *_PERSON),
        *("metro_code", "longitude", "latitude", *_PLAYED, "episode_name", "episode_show_name", *_ENDING),
    ),
    "G0": (
        *("ts", "username", "platform", "ms_played", "conn_country", *_PERSON),
        *("city", "region", "metro_code", "longitude", "latitude"),
        *(*_PLAYED, "episode_name", "episode_show_name", *_ENDING),
    ),
    "G1": (
        *("ts", "username", "platform", "ms_played", "conn_country", *_PERSON),
        *(
            *_PLAYED,
            "spotify_track_uri",
            "episode_name",
            "episode_show_name",
            "spotify_episode_uri",
            *_ENDING,
        ),
    ),
    "G2": (
        *("ts", "platform", "ms_played", "conn_country", "ip_addr"),
        *(
            *_PLAYED,
            "spotify_track_uri",
            "episode_name",
            "episode_show_name",
            "spotify_episode_uri",
            *_ENDING,
        ),
    ),
    "G3": (
        *("ts", "platform", "ms_played", "conn_country", "ip_addr"),
        *(*_PLAYED, "spotify_track_uri", "episode_name", "episode_show_name", "spotify_episode_uri"),
        *(*_AUDIOBOOK, *_ENDING),
    ),
}
"""The keys of each age of the extended history, in the order in which they are written."""


@dataclass(frozen=True, slots=True)
class Defects:
    """What is wrong with an extended export. Nothing by default; ``typical()`` is what real exports show.

    :param duplicate_share: share of the plays that are written twice or thrice.
    :param very_negative_ms_played: rows with ms_played near -4e18.
    :param ts_before_2006: rows older than Spotify itself.
    :param ms_played_over_24_hours: rows longer than a day.
    :param unknown_key_share: share of the rows with keys that no description knows, one of them personal.
    """

    duplicate_share: float = 0.0
    very_negative_ms_played: int = 0
    ts_before_2006: int = 0
    ms_played_over_24_hours: int = 0
    unknown_key_share: float = 0.0

    @classmethod
    def typical(cls) -> Defects:
        return cls(
            duplicate_share=0.003,
            very_negative_ms_played=3,
            ts_before_2006=2,
            ms_played_over_24_hours=1,
            unknown_key_share=0.0005,
        )


@dataclass(frozen=True, slots=True)
class DefectRow:
    """A row that was written although nothing was played. ``row_number`` counts from 0 in its file.

    ``reason`` is one of: ms_played_negative, ms_played_over_24_hours, ts_before_2006.
    """

    file_name: str
    row_number: int
    reason: str


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One history file.

    ``file_name`` is its path inside the zip or folder; ``play_numbers`` has one entry for each row, None for
    a defect row. ``kind``: extended_audio, extended_video, basic_music, basic_podcast, basic_audiobook,
    basic_mixed.
    """

    file_name: str
    kind: str
    rows: int
    play_numbers: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class WrittenLibrary:
    """What the library files say: numbers of saved things, and (playlist name, kinds of its items) in order.

    An item's kind is track, episode, local or nothing (an entry whose title has vanished).
    """

    tracks: int
    albums: int
    artists: int
    shows: int
    episodes: int
    playlists: tuple[tuple[str, tuple[str, ...]], ...]
    has_uris: bool


@dataclass(frozen=True, slots=True)
class WrittenExport:
    """Everything that one export holds.

    :param target: the zip or the folder.
    :param kind: extended, basic, library or account (basic and library).
    :param generation: key of `GENERATION_KEYS`, or basic, basic_mixed, library.
    :param files: the history files, in the order of the zip.
    :param copies: play_number -> how many rows tell of that play.
    :param defect_rows: rows that must be rejected, with the reason.
    :param not_told: numbers of plays that were given but that this format cannot tell.
    :param unknown_keys: keys that no description of the format knows.
    :param ignored_files: members that are neither history nor library.
    :param library: what the library files say, None without them.
    """

    target: Path
    kind: str
    generation: str
    files: tuple[WrittenFile, ...]
    copies: dict[int, int]
    defect_rows: tuple[DefectRow, ...]
    not_told: tuple[int, ...]
    unknown_keys: tuple[str, ...]
    ignored_files: tuple[str, ...]
    library: WrittenLibrary | None = None

    @property
    def rows(self) -> int:
        """All history rows, defect rows and copies included."""
        return sum(file.rows for file in self.files)

    @property
    def accepted_rows(self) -> int:
        return self.rows - len(self.defect_rows)

    @property
    def plays(self) -> int:
        """Distinct true plays told of."""
        return len(self.copies)


@dataclass(slots=True)
class _Package:
    """The members of one export, written at once into a zip or a folder."""

    folder: str
    members: list[tuple[str, bytes]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def add(self, name: str, content: bytes) -> str:
        path = f"{self.folder}/{name}"
        self.members.append((path, content))
        return path

    def add_json(self, name: str, value: object) -> str:
        return self.add(name, json.dumps(value, indent=2, ensure_ascii=False).encode())

    def add_ignored(self, name: str, content: bytes) -> None:
        self.ignored.append(self.add(name, content))

    def write(self, target: Path) -> None:
        names = [Path(path).name for path, _ in self.members[:2]]
        junk = [(f"__MACOSX/{self.folder}/._{name}", _APPLE_DOUBLE) for name in names]
        self.ignored += [path for path, _ in junk]
        members = self.members + junk
        if target.suffix.lower() == ".zip":
            target.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(target, "w") as archive:
                for path, content in members:
                    # A fixed date and system: the same arguments must give the same bytes on every machine.
                    information = zipfile.ZipInfo(path, date_time=(2020, 1, 1, 0, 0, 0))
                    information.compress_type = zipfile.ZIP_DEFLATED
                    information.create_system = 3
                    information.external_attr = 0o644 << 16
                    archive.writestr(information, content, compresslevel=1)
            return
        for path, content in members:
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


_APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(32)
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def write_extended_history(
    plays: Sequence[TruePlay],
    target: Path,
    *,
    generation: str,
    seed: int = 7,
    defects: Defects | None = None,
    rows_per_file: int = EXTENDED_ROWS_PER_FILE,
) -> WrittenExport:
    """Write the plays as an extended streaming history of one key generation.

    Values that belong to the age of the play, not of the export, follow the play: `offline_timestamp` is in
    milliseconds until 2022 and in seconds since, `skipped` is null until 2021, always false until 2023 and
    true or false since. Before G3 there is no key for an audiobook: such plays are left out and listed in
    `not_told`.

    :param target: a path that ends in ``.zip``, or a folder into which the unzipped export is laid.
    :param generation: a key of `GENERATION_KEYS`.
    :param seed: of the order of the rows, the habits that are drawn, and the defects.
    :raises ValueError: for an unknown generation.
    """
    if generation not in GENERATION_KEYS:
        known = ", ".join(GENERATION_KEYS)
        raise ValueError(f"unknown generation {generation!r} of the extended history: choose one of {known}")
    defects = Defects() if defects is None else defects
    rng = random.Random(f"extended {generation} {seed}")
    keys = GENERATION_KEYS[generation]
    told, not_told = [], []
    for play in plays:
        has_no_keys = play.content_type == "audiobook" and "audiobook_uri" not in keys
        (not_told if has_no_keys else told).append(play)

    rows = _RowWriter(generation, keys, rng)
    entries: list[_Entry] = list(told)
    duplicates = round(len(told) * defects.duplicate_share)
    if defects.duplicate_share > 0 and told:
        # Most copies in real exports are rows of 0 ms.
        silent = [play for play in told if play.ms_played == 0]
        for number in range(max(1, duplicates)):
            pool = silent if silent and number % 3 else told
            entries += [rng.choice(pool)] * rng.choice((1, 1, 1, 2))
    # Rows that nothing was played for borrow the names of a true play.
    for count, reason in (
        (defects.very_negative_ms_played, "ms_played_negative"),
        (defects.ts_before_2006, "ts_before_2006"),
        (defects.ms_played_over_24_hours, "ms_played_over_24_hours"),
    ):
        entries += [_Defect(rng.choice(told), reason) for _ in range(count if told else 0)]

    package = _Package(EXTENDED_FOLDER)
    package.add_ignored("ReadMeFirst_ExtendedStreamingHistory.pdf", _PDF)
    files: list[WrittenFile] = []
    defect_rows: list[DefectRow] = []
    copies: Counter[int] = Counter()
    unknown_keys_used = False
    for name, kind, chunk in _extended_files(entries, generation, rows_per_file):
        rng.shuffle(chunk)
        # Encoded row by row: one emoji makes the text of a whole file four bytes a character wide.
        texts: list[bytes] = []
        play_numbers: list[int | None] = []
        path = f"{package.folder}/{name}"
        for row_number, entry in enumerate(chunk):
            has_unknown_keys = defects.unknown_key_share > 0 and rng.random() < defects.unknown_key_share
            unknown_keys_used |= has_unknown_keys
            if isinstance(entry, _Defect):
                texts.append(rows.text(entry.play, entry.reason, has_unknown_keys).encode())
                play_numbers.append(None)
                defect_rows.append(DefectRow(path, row_number, entry.reason))
            else:
                texts.append(rows.text(entry, None, has_unknown_keys).encode())
                play_numbers.append(entry.play_number)
        package.add(name, b"[\n" + b",\n".join(texts) + b"\n]")
        files.append(WrittenFile(path, kind, len(texts), tuple(play_numbers)))
        copies.update(number for number in play_numbers if number is not None)
    package.write(target)
    return WrittenExport(
        target=target,
        kind="extended",
        generation=generation,
        files=tuple(files),
        copies=dict(copies),
        defect_rows=tuple(defect_rows),
        not_told=tuple(play.play_number for play in not_told),
        unknown_keys=("demo_smart_shuffle", "device_city_guess") if unknown_keys_used else (),
        ignored_files=tuple(package.ignored),
    )


@dataclass(frozen=True, slots=True)
class _Defect:
    """A row that borrows everything but one value from a true play."""

    play: TruePlay
    reason: str

    @property
    def told_at(self) -> datetime:
        return self.play.told_at

    @property
    def is_video(self) -> bool:
        return self.play.is_video


# Only defects are wrapped: a hundred thousand pairs cost the garbage collector a second.
_Entry = TruePlay | _Defect


def _chunks(entries: list[_Entry], rows_per_file: int) -> list[list[_Entry]]:
    return [entries[start : start + rows_per_file] for start in range(0, len(entries), rows_per_file)]


def _years(entries: Iterable[_Entry]) -> str:
    years = [entry.told_at.year for entry in entries]
    first, last = min(years), max(years)
    return str(first) if first == last else f"{first}-{last}"


def _extended_files(entries: list[_Entry], generation: str, rows_per_file: int) -> list[tuple[str, str, list[_Entry]]]:
    """(file name, kind, rows) of each file, named by the habits of the generation's age."""
    entries = sorted(entries, key=lambda entry: entry.told_at)
    if generation in ("pre2020", "G0"):
        return [
            (f"endsong_{index}.json", "extended_audio", chunk)
            for index, chunk in enumerate(_chunks(entries, rows_per_file))
        ]
    audio = [entry for entry in entries if not entry.is_video]
    video = [entry for entry in entries if entry.is_video]
    files: list[tuple[str, str, list[_Entry]]] = []
    if generation == "G1":
        for index, chunk in enumerate(_chunks(audio, rows_per_file)):
            files.append((f"Streaming_History_Audio_{_years(chunk)}_{index}.json", "extended_audio", chunk))
    else:
        # Files of one year begin some hours before it, as seen in published exports.
        by_year: dict[int, list[_Entry]] = {}
        for entry in audio:
            by_year.setdefault((entry.told_at + timedelta(hours=6)).year, []).append(entry)
        index = 0
        for year, rows in sorted(by_year.items()):
            chunks = _chunks(rows, rows_per_file)
            for chunk in chunks:
                has_index = generation == "G2" or len(chunks) > 1
                suffix = f"_{index}" if has_index else ""
                files.append((f"Streaming_History_Audio_{year}{suffix}.json", "extended_audio", chunk))
                index += 1
    if video:
        files.append((f"Streaming_History_Video_{_years(video)}.json", "extended_video", video))
    return files


class _RowWriter:
    """Turns plays into the text of rows.

    The text is put together from blocks that are made once for each title and each set of habits:
    `json.dumps` with an indent runs in pure Python, and a value at a time took 8 s for the rows of six years.
    """

    def __init__(self, generation: str, keys: tuple[str, ...], rng: random.Random) -> None:
        self._rng = rng
        self._numbers_are_text = generation == "pre2020"
        self._head_keys = [key for key in keys if key in ("ts", "username", "platform", "ms_played", "conn_country")]
        self._title_keys = [key for key in keys if key in _TITLE_KEYS]
        person_keys = keys[len(self._head_keys) : keys.index(_PLAYED[0])]
        self._persons = [
            self._block(
                person_keys,
                {
                    "ip_addr": _ADDRESSES[number % len(_ADDRESSES)],
                    "ip_addr_decrypted": _ADDRESSES[number % len(_ADDRESSES)],
                    "user_agent_decrypted": None if number % 3 else "unknown",
                    "city": "Demo City",
                    "region": "Demo Region",
                    "metro_code": "0",
                    "longitude": "0.0000",
                    "latitude": "0.0000",
                },
            )
            for number in range(3 * len(_ADDRESSES))
        ]
        self._heads: dict[tuple[str, str], str] = {}
        self._titles: dict[str, str] = {}
        self._endings: dict[tuple[str, str, bool, bool | None, bool], str] = {}

    @staticmethod
    def _block(keys: Iterable[str], values: dict[str, str | bool | None]) -> str:
        lines = []
        for key in keys:
            value = values.get(key)
            text = encode_basestring(value) if isinstance(value, str) else _LITERALS[value]
            lines.append(f'    "{key}": {text},\n')
        return "".join(lines)

    def text(self, play: TruePlay, reason: str | None, has_unknown_keys: bool) -> str:
        told_at = play.told_at
        year = told_at.year
        ms_played = play.ms_played
        # A copy must be exact, so what looks drawn is drawn from the play, not from the random source.
        habit = (play.play_number * 2_654_435_761) % 1_000
        offline_timestamp = self._offline_timestamp(play, year, habit)
        if reason == "ms_played_negative":
            ms_played = -4_000_000_000_000_000_000 - self._rng.randrange(10**17)
        elif reason == "ms_played_over_24_hours":
            ms_played = 90_000_000 + self._rng.randrange(10**7)
        elif reason == "ts_before_2006":
            told_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self._rng.randrange(10**6))
        stamp = told_at.isoformat()[:19]
        numbers: tuple[object, object] = (
            ms_played,
            "null" if offline_timestamp is None else offline_timestamp,
        )
        if self._numbers_are_text:
            stamp = stamp.replace("T", " ") + " UTC"
            numbers = (f'"{ms_played}"', "null" if offline_timestamp is None else f'"{offline_timestamp}"')
        else:
            stamp += "Z"

        head_key = (play.platform, play.country)
        head = self._heads.get(head_key)
        if head is None:
            # "%s" where the instant and the duration go in.
            head = self._block(
                self._head_keys,
                {
                    "username": "demo-listener",
                    "platform": play.platform.replace("%", "%%"),
                    "conn_country": play.country,
                },
            )
            head = head.replace('"ts": null', '"ts": "%s"').replace('"ms_played": null', '"ms_played": %s')
            self._heads[head_key] = head
        item = play.track or play.episode or play.chapter
        uri = "" if item is None else item.uri
        title = self._titles.get(uri)
        if title is None:
            title = self._titles[uri] = self._block(self._title_keys, _title_values(play))
        skipped = None if year < 2022 else play.skipped and year >= 2024
        ending_key = (play.reason_start, play.reason_end, play.shuffle, skipped, play.offline)
        ending = self._endings.get(ending_key)
        if ending is None:
            ending = self._endings[ending_key] = self._block(_ENDING[:5], dict(zip(_ENDING, ending_key, strict=False)))
        more = ',\n    "demo_smart_shuffle": 1,\n    "device_city_guess": "Demo City"' if has_unknown_keys else ""
        incognito = "true" if play.incognito else "false"
        return (
            f"  {{\n{head % (stamp, numbers[0])}{self._persons[habit % len(self._persons)]}{title}{ending}"
            f'    "offline_timestamp": {numbers[1]},\n    "incognito_mode": {incognito}{more}\n  }}'
        )

    @staticmethod
    def _offline_timestamp(play: TruePlay, year: int, habit: int) -> int | None:
        """Seconds since 2023, milliseconds before, and for online plays also 0, null and junk."""
        if not play.offline:
            if habit < 300:
                return 0 if year < 2023 else None
            if habit < 305:
                return habit
        seconds = int(play.started_at.timestamp())
        return seconds * 1_000 if year < 2023 else seconds


def _title_values(play: TruePlay) -> dict[str, str | bool | None]:
    """The values of the keys that say what was played; what is not in it is null."""
    track, episode, chapter = play.track, play.episode, play.chapter
    if track is not None:
        names = dict(zip(_PLAYED, (track.name, track.artist.name, track.album.name), strict=True))
        return {**names, "spotify_track_uri": track.uri}
    if episode is not None:
        return {
            "episode_name": episode.name,
            "episode_show_name": episode.show.name,
            "spotify_episode_uri": episode.uri,
        }
    if chapter is not None:
        return {
            "audiobook_title": chapter.audiobook.name,
            "audiobook_uri": chapter.audiobook.uri,
            "audiobook_chapter_uri": chapter.uri,
            "audiobook_chapter_title": chapter.name,
        }
    return {}


_TITLE_KEYS = (
    *(*_PLAYED, "spotify_track_uri", "episode_name", "episode_show_name", "spotify_episode_uri"),
    *_AUDIOBOOK,
)
_LITERALS = {None: "null", True: "true", False: "false"}
_ADDRESSES = ("203.0.113.7", "203.0.113.77", "198.51.100.12", "2001:db8::7")


def write_basic_history(
    plays: Sequence[TruePlay],
    target: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    old_mixed: bool = False,
    rows_per_file: int = BASIC_ROWS_PER_FILE,
) -> WrittenExport:
    """Write the plays as the basic streaming history of an account-data export, oldest first.

    Spotify puts the last year into it: give ``since``. The format has no URIs, no reasons, and no row for a
    play without a name; ``not_told`` lists those plays and, for ``old_mixed``, the audiobooks.

    :param since: plays whose ``told_at`` lies before are left out (and not in ``not_told``).
    :param until: likewise, after.
    :param old_mixed: one series ``StreamingHistoryN.json`` in which an episode stands as a track of its show.
    """
    package = _Package(ACCOUNT_FOLDER)
    files, copies, not_told = _add_basic_history(package, plays, since, until, old_mixed, rows_per_file)
    _add_personal_files(package)
    package.write(target)
    return WrittenExport(
        target=target,
        kind="basic",
        generation="basic_mixed" if old_mixed else "basic",
        files=files,
        copies=copies,
        defect_rows=(),
        not_told=not_told,
        unknown_keys=(),
        ignored_files=tuple(package.ignored),
    )


def _add_basic_history(
    package: _Package,
    plays: Sequence[TruePlay],
    since: datetime | None,
    until: datetime | None,
    old_mixed: bool,
    rows_per_file: int,
) -> tuple[tuple[WrittenFile, ...], dict[int, int], tuple[int, ...]]:
    music: list[tuple[int, dict[str, object]]] = []
    podcast: list[tuple[int, dict[str, object]]] = []
    audiobook: list[tuple[int, dict[str, object]]] = []
    not_told: list[int] = []
    for play in sorted(plays, key=lambda play: (play.told_at, play.play_number)):
        if (since is not None and play.told_at < since) or (until is not None and play.told_at > until):
            continue
        end_time = play.told_at.strftime("%Y-%m-%d %H:%M")
        track, episode, chapter = play.track, play.episode, play.chapter
        if track is not None:
            row = {"endTime": end_time, "artistName": track.artist.name, "trackName": track.name}
            music.append((play.play_number, {**row, "msPlayed": play.ms_played}))
        elif episode is not None and old_mixed:
            row = {"endTime": end_time, "artistName": episode.show.name, "trackName": episode.name}
            music.append((play.play_number, {**row, "msPlayed": play.ms_played}))
        elif episode is not None:
            row = {"endTime": end_time, "podcastName": episode.show.name, "episodeName": episode.name}
            podcast.append((play.play_number, {**row, "msPlayed": play.ms_played}))
        elif chapter is not None and not old_mixed:
            row = {
                "endTime": end_time,
                "audiobookName": chapter.audiobook.name,
                "chapterName": chapter.name,
                "authorName": chapter.audiobook.author,
            }
            audiobook.append((play.play_number, {**row, "msPlayed": play.ms_played}))
        else:
            not_told.append(play.play_number)
    files = []
    series = (
        ("StreamingHistory" if old_mixed else "StreamingHistory_music_", music, "music"),
        ("StreamingHistory_podcast_", podcast, "podcast"),
        ("StreamingHistory_audiobook_", audiobook, "audiobook"),
    )
    for stem, rows, kind in series:
        for index, start in enumerate(range(0, len(rows), rows_per_file)):
            chunk = rows[start : start + rows_per_file]
            path = package.add_json(f"{stem}{index}.json", [row for _, row in chunk])
            kind_of_file = "basic_mixed" if old_mixed else f"basic_{kind}"
            files.append(WrittenFile(path, kind_of_file, len(chunk), tuple(number for number, _ in chunk)))
    copies = {number: 1 for rows in (music, podcast, audiobook) for number, _ in rows}
    return tuple(files), copies, tuple(not_told)


def write_library(plays: Sequence[TruePlay], target: Path, *, seed: int = 7, has_uris: bool = True) -> WrittenExport:
    """Write ``YourLibrary.json`` and ``Playlist1.json`` of a listener with these plays.

    Saved are the most-played things. The newer age has URIs; the older one (``has_uris=False``) has none, and
    its playlists lack keys that came later. Both have a local file and an entry without a title, the newer
    one also an episode.
    """
    package = _Package(ACCOUNT_FOLDER)
    library = _add_library(package, plays, seed, has_uris)
    _add_personal_files(package)
    package.write(target)
    return WrittenExport(
        target=target,
        kind="library",
        generation="library",
        files=(),
        copies={},
        defect_rows=(),
        not_told=(),
        unknown_keys=(),
        ignored_files=tuple(package.ignored),
        library=library,
    )


def write_account_data(
    plays: Sequence[TruePlay],
    target: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    seed: int = 7,
    has_uris: bool = True,
) -> WrittenExport:
    """Write the whole account-data package: basic history between two instants, library and playlists."""
    package = _Package(ACCOUNT_FOLDER)
    files, copies, not_told = _add_basic_history(package, plays, since, until, False, BASIC_ROWS_PER_FILE)
    library = _add_library(package, plays, seed, has_uris)
    _add_personal_files(package)
    package.write(target)
    return WrittenExport(
        target=target,
        kind="account",
        generation="basic",
        files=files,
        copies=copies,
        defect_rows=(),
        not_told=not_told,
        unknown_keys=(),
        ignored_files=tuple(package.ignored),
        library=library,
    )


def _add_library(package: _Package, plays: Sequence[TruePlay], seed: int, has_uris: bool) -> WrittenLibrary:
    library = make_library(plays, seed)

    def with_uri(row: dict[str, object], uri: str) -> dict[str, object]:
        return {**row, "uri": uri} if has_uris else row

    told: dict[str, object] = {
        "tracks": [
            with_uri({"artist": track.artist.name, "album": track.album.name, "track": track.name}, track.uri)
            for track in library.tracks
        ],
        "albums": [with_uri({"artist": album.artist.name, "album": album.name}, album.uri) for album in library.albums],
        "shows": [with_uri({"name": show.name, "publisher": show.publisher}, show.uri) for show in library.shows],
    }
    if has_uris:
        told |= {
            "episodes": [
                {"name": episode.name, "show": episode.show.name, "uri": episode.uri} for episode in library.episodes
            ],
            "bannedTracks": [],
            "artists": [{"name": artist.name, "uri": artist.uri} for artist in library.artists],
            "bannedArtists": [],
            "other": [],
        }
    package.add_json("YourLibrary.json", told)

    playlists: list[dict[str, object]] = []
    summary: list[tuple[str, tuple[str, ...]]] = []
    for made in library.playlists:
        # The older age has no key for an episode.
        entries = [entry for entry in made.entries if has_uris or entry.kind != "episode"]
        playlist: dict[str, object] = {
            "name": made.name,
            "lastModifiedDate": f"{made.last_modified:%Y-%m-%d}",
            "items": [_playlist_item(entry, has_uris) for entry in entries],
        }
        if has_uris:
            playlist |= {"collaborators": [], "description": None, "numberOfFollowers": 0}
        playlists.append(playlist)
        summary.append((made.name, tuple(entry.kind for entry in entries)))
    package.add_json("Playlist1.json", {"playlists": playlists})
    return WrittenLibrary(
        tracks=len(library.tracks),
        albums=len(library.albums),
        artists=len(library.artists) if has_uris else 0,
        shows=len(library.shows),
        episodes=len(library.episodes) if has_uris else 0,
        playlists=tuple(summary),
        has_uris=has_uris,
    )


def _playlist_item(entry: PlaylistEntry, has_uris: bool) -> dict[str, object]:
    """An entry of a playlist. The older age has neither URIs nor `audiobook` nor `addedDate`."""
    item: dict[str, object] = {"track": None, "episode": None, "localTrack": None}
    if has_uris:
        item |= {"audiobook": None, "addedDate": f"{entry.added_at:%Y-%m-%d}"}
    if entry.track is not None:
        track = entry.track
        told = {"trackName": track.name, "artistName": track.artist.name, "albumName": track.album.name}
        item["track"] = {**told, "trackUri": track.uri} if has_uris else told
    elif entry.episode is not None:
        episode = entry.episode
        item["episode"] = {
            "episodeName": episode.name,
            "showName": episode.show.name,
            "episodeUri": episode.uri,
        }
    elif entry.local_uri is not None:
        item["localTrack"] = {"uri": entry.local_uri}
    return item


def _add_personal_files(package: _Package) -> None:
    """Files that lie beside the history in a real package and that no reader may open; all values
    invented."""
    for name, value in (
        (
            "Identity.json",
            {"displayName": "Demo Listener", "firstName": None, "imageUrl": None, "tasteMaker": False},
        ),
        (
            "Payments.json",
            {"payment_method": "Demo card ending 0000", "country": "ZZ", "postal_code": "00000"},
        ),
        (
            "Userdata.json",
            {"username": "demo-listener", "email": "demo@example.invalid", "birthdate": "1900-01-01"},
        ),
        ("Inferences.json", {"inferences": ["1P_Custom_Demo"]}),
        (
            "SearchQueries.json",
            [{"platform": "DEMO", "searchTime": "2020-01-01T00:00:00Z[UTC]", "searchQuery": "x"}],
        ),
        ("Follow.json", {"followerCount": 0, "followingUsersCount": 0, "dismissingUsersCount": 0}),
    ):
        package.add_ignored(name, json.dumps(value, indent=2).encode())
    package.add_ignored("Read_Me_First.pdf", _PDF)
