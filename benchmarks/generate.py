"""Invents an extended streaming history of any size, in the format of Spotify's newest exports.

    python -m benchmarks.generate 1000000 --to .bench

Not the demo listener: that one plays every trick of the format, a row at a time; ten million plays are wanted here in
minutes, and a script of forty lines (`floor`) must come to the same numbers. So there is one key generation (23 keys),
offline plays last whole seconds (their corrected end is `ts`, which the floor counts by), and rows that are not exact
copies differ in `ts`, `ms_played` or URI. Taste is Zipf's; one title in ten has two URIs; there are podcasts,
audiobooks, rows without any name, rows of 0 ms and exact copies, and the personal fields hold values that belong to
nobody (RFC 5737, RFC 3849).

Every file has a span of time and a random source of its own, so that memory does not grow with the history. At ten
million plays in ten years they overlap: nobody listens that much, but its cost is what is asked for.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

VERSION = 1
"""Raise it when other rows are written: what was generated before is then left aside."""

ROWS_PER_FILE = 16_000
FIRST_DAY = datetime(2016, 11, 1, tzinfo=UTC)
LAST_DAY = datetime(2026, 10, 31, tzinfo=UTC)
DAYS = (LAST_DAY - FIRST_DAY).days + 1
FOLDER = "Spotify Extended Streaming History"

TRACKS, ARTISTS, SHOWS, EPISODES, BOOKS, CHAPTERS = 40_000, 4_000, 60, 3_000, 12, 400
SHARES_OF_KINDS = (0.95, 0.03, 0.01, 0.01)
"""Tracks, episodes, chapters of audiobooks, rows without a name."""
SHARE_OF_COPIES, SHARE_OF_SILENT, SHARE_OF_SKIPPED, SHARE_OF_OFFLINE = 0.002, 0.04, 0.25, 0.05
SESSIONS_PER_DAY, PLAYS_PER_SESSION = 6, 16

_WORDS = (
    *("Amber", "Ballad", "Canyon", "Distant", "Ember", "Fjord", "Garden", "Harbour", "Island", "Jasmine", "Kite"),
    *("Lantern", "Meadow", "Nightfall", "Orchid", "Paper", "Quiet", "River", "Silver", "Tidal", "Umbrella", "Velvet"),
    *("Winter", "Yellow", "Zephyr", "Été", "Übermut", "Ночь", "夜空", "Señal", "Blå", "“Live”"),
)
_TITLE_KEYS = (
    *("master_metadata_track_name", "master_metadata_album_artist_name", "master_metadata_album_album_name"),
    *("spotify_track_uri", "episode_name", "episode_show_name", "spotify_episode_uri"),
    *("audiobook_title", "audiobook_uri", "audiobook_chapter_uri", "audiobook_chapter_title"),
)
_DEVICES = (("android", 5), ("ios", 3), ("windows", 2), ("osx", 2), ("web_player", 1), ("cast", 1))
_COUNTRIES = (("DE", 18), ("FR", 1), ("US", 1))
_REASONS_START = ("trackdone", "clickrow", "fwdbtn", "backbtn", "playbtn", "appload")
_REASONS_END = ("trackdone", "fwdbtn", "backbtn", "endplay", "logout", "unexpected-exit")
_OFFSETS = (0, TRACKS, TRACKS + EPISODES, TRACKS + EPISODES + CHAPTERS)
"""Where in `_titles` tracks, episodes, chapters and the nameless one begin."""
_ADDRESSES = ("203.0.113.7", "198.51.100.12", "2001:db8::7")


@dataclass(frozen=True)
class History:
    """A generated history: the export of ten years, and a later one that tells the next day only."""

    plays: int
    export: Path
    next_day: Path


def generate(plays: int, folder: Path) -> History:
    """The history of so many rows; written once, then found in `folder` again.

    Args:
        plays: Rows of the history, exact copies included.
        folder: Where generated histories are kept.
    """
    home = folder / f"{plays}-v{VERSION}"
    history = History(plays, home / "export", home / "next-day")
    is_complete = home / "complete"
    if not is_complete.exists():
        write_export(history.export, plays, FIRST_DAY, timedelta(days=DAYS))
        write_export(history.next_day, max(2, plays // DAYS), FIRST_DAY + timedelta(days=DAYS), timedelta(days=1))
        is_complete.touch()
    return history


def write_export(export: Path, rows: int, begins: datetime, lasts: timedelta) -> None:
    """Write an export of so many rows, whose plays ended in the time from `begins` on."""
    folder = export / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    files = -(-rows // ROWS_PER_FILE)
    edges = [rows * number // files for number in range(files + 1)]
    for number in range(files):
        first, last = (begins + lasts * (edges[number + side] / rows) for side in (0, 1))
        random = np.random.default_rng([VERSION, int(begins.timestamp()), rows, number])
        text = _file_text(random, edges[number + 1] - edges[number], first, last - first)
        years = sorted({first.year, (last - timedelta(seconds=1)).year})
        name = f"Streaming_History_Audio_{'-'.join(map(str, years))}_{number}.json"
        (folder / name).write_text(text, encoding="utf-8")


def _file_text(random: np.random.Generator, rows: int, begins: datetime, lasts: timedelta) -> str:
    copies = int(rows * SHARE_OF_COPIES) if rows >= 1_000 else min(1, rows - 1)
    texts = _row_texts(random, rows - copies, begins, lasts)
    # A copy stands right behind its row: Spotify's files are as good as sorted.
    repeated = np.sort(np.concatenate([np.arange(rows - copies), random.integers(rows - copies, size=copies)]))
    return "[\n" + ",\n".join(texts.gather(repeated)) + "\n]"


def _row_texts(random: np.random.Generator, rows: int, begins: datetime, lasts: timedelta) -> pl.Series:
    """The JSON text of each row, oldest first."""
    titles = _titles()
    kinds = random.choice(4, size=rows, p=SHARES_OF_KINDS)
    title = np.choose(kinds, [_zipf(random, rows, count) for count in (TRACKS, EPISODES, CHAPTERS, 1)])
    number = title + np.asarray(_OFFSETS)[kinds]
    length_ms = titles["length_ms"].to_numpy()[number]
    luck = random.random(rows)
    is_silent, is_cut = luck < SHARE_OF_SILENT, luck < SHARE_OF_SILENT + SHARE_OF_SKIPPED
    played = np.where(is_silent, 0, np.where(is_cut, length_ms * random.random(rows) ** 3, length_ms)).astype(np.int64)
    is_offline = random.random(rows) < SHARE_OF_OFFLINE
    played[is_offline] -= played[is_offline] % 1_000
    ended = _ends(random, played, begins, lasts)
    device, country = _weighted(random, rows, _DEVICES), _weighted(random, rows, _COUNTRIES)
    start = np.where(random.random(rows) < 0.7, 0, random.integers(1, len(_REASONS_START), rows))
    end = np.where(is_cut, random.integers(1, len(_REASONS_END), rows), 0)
    place = (device * len(_COUNTRIES) + country) * len(_ADDRESSES) + random.integers(len(_ADDRESSES), size=rows)
    ending = ((start * len(_REASONS_END) + end) * 2 + (random.random(rows) < 0.4)) * 2 + is_offline
    row = pl.DataFrame(
        {
            "ended": ended,
            "ms_played": played,
            "before": _places()["before"].gather(place),
            "between": _places()["between"].gather(place),
            "title": titles["text"].gather(number),
            "uri": titles["uri"].gather(number),
            "ending": _endings().gather(ending),
            "incognito": np.where(random.random(rows) < 0.01, "true", "false"),
        }
    )
    told = ["ended", "ms_played", "uri"]
    # Two skips of one title in one second: different plays, so they must not look like copies of one.
    row = row.with_columns(ms_played=pl.col("ms_played") + 1_000 * pl.int_range(pl.len()).over(told))
    instant = pl.from_epoch("ended").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    began = pl.col("ended") - pl.col("ms_played") // 1_000
    texts = pl.concat_str(
        *(pl.lit('  {\n    "ts": "'), instant, pl.lit('",\n'), "before", pl.lit('    "ms_played": '), "ms_played"),
        *(pl.lit(",\n"), "between", "title", "ending", pl.lit('    "offline_timestamp": '), began),
        *(pl.lit(',\n    "incognito_mode": '), "incognito", pl.lit("\n  }")),
    )
    return row.select(texts.alias("text"))["text"]


def _ends(random: np.random.Generator, played: np.ndarray, begins: datetime, lasts: timedelta) -> np.ndarray:
    """Seconds of the end of each play: one after the other in sessions, with pauses between these."""
    rows, seconds = len(played), lasts.total_seconds()
    sessions = min(SESSIONS_PER_DAY * seconds / 86_400 / rows, 1 / PLAYS_PER_SESSION)
    pauses = np.where(random.random(rows) < sessions, random.exponential(size=rows), 0.0)
    listening = played / 1_000
    total = listening.sum()
    listening *= min(1.0, 0.6 * seconds / total) if total else 0.0
    left = seconds - listening.sum()
    pauses *= left / pauses.sum() if pauses.sum() else 0.0
    ends = np.cumsum(listening + pauses)
    ends *= (seconds - 1) / max(ends[-1], seconds)
    return int(begins.timestamp()) + ends.astype(np.int64)


def _zipf(random: np.random.Generator, rows: int, count: int) -> np.ndarray:
    """Ranks, the first one the most frequent."""
    return np.searchsorted(_zipf_steps(count), random.random(rows))


@cache
def _zipf_steps(count: int) -> np.ndarray:
    # A favourite is played every day, not every third minute: hence not the very head of Zipf's curve.
    weights = 1 / (np.arange(count) + 12.0)
    return np.cumsum(weights) / weights.sum()


def _weighted(random: np.random.Generator, rows: int, weighted: tuple[tuple[str, int], ...]) -> np.ndarray:
    weights = np.asarray([weight for _, weight in weighted], dtype=float)
    return random.choice(len(weighted), size=rows, p=weights / weights.sum())


def _lines(values: dict[str, object]) -> str:
    """Keys and values as they stand in a row, pretty-printed."""
    return "".join(
        f"    {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n" for key, value in values.items()
    )


@cache
def _places() -> pl.DataFrame:
    """What stands before and behind `ms_played`, for each device, country and address."""
    return pl.DataFrame(
        [
            (_lines({"platform": device}), _lines({"conn_country": country, "ip_addr": address}))
            for device, _ in _DEVICES
            for country, _ in _COUNTRIES
            for address in _ADDRESSES
        ],
        schema=["before", "between"],
        orient="row",
    )


@cache
def _endings() -> pl.Series:
    """The habits, for each reason to start and to end, shuffle and offline."""
    return pl.Series(
        [
            _lines(
                {
                    "reason_start": start,
                    "reason_end": end,
                    "shuffle": shuffle,
                    "skipped": end in ("fwdbtn", "backbtn"),
                    "offline": offline,
                }
            )
            for start in _REASONS_START
            for end in _REASONS_END
            for shuffle in (False, True)
            for offline in (False, True)
        ]
    )


@cache
def _titles() -> pl.DataFrame:
    """Everything that can be played, in the order of `_OFFSETS`: text (its keys in a row), uri, length_ms."""
    random = np.random.default_rng(VERSION)
    artists = _zipf(random, TRACKS, ARTISTS)
    albums = artists * 3 + random.integers(3, size=TRACKS)
    # The last tenth of the tracks are the first ones once more, under another URI and on another album.
    same = np.arange(TRACKS) % (TRACKS * 9 // 10)
    rows = [
        _title(
            f"spotify:track:{track:022d}",
            int(random.integers(120_000, 330_000)),
            master_metadata_track_name=_name(same[track]),
            master_metadata_album_artist_name=_name(artists[same[track]]),
            master_metadata_album_album_name=_name(albums[track]),
            spotify_track_uri=f"spotify:track:{track:022d}",
        )
        for track in range(TRACKS)
    ]
    rows += [
        _title(
            f"spotify:episode:{episode:022d}",
            int(random.integers(900_000, 3_600_000)),
            episode_name=_name(episode),
            episode_show_name=_name(episode % SHOWS),
            spotify_episode_uri=f"spotify:episode:{episode:022d}",
        )
        for episode in range(EPISODES)
    ]
    rows += [
        _title(
            f"spotify:chapter:{chapter:022d}",
            int(random.integers(600_000, 2_400_000)),
            audiobook_title=_name(chapter % BOOKS),
            audiobook_uri=f"spotify:show:{chapter % BOOKS:022d}",
            audiobook_chapter_uri=f"spotify:chapter:{chapter:022d}",
            audiobook_chapter_title=f"Chapter {chapter // BOOKS + 1}",
        )
        for chapter in range(CHAPTERS)
    ]
    rows.append(_title(None, 200_000))
    return pl.DataFrame(rows, schema={"text": pl.String, "uri": pl.String, "length_ms": pl.Int64}, orient="row")


def lengths_ms() -> pl.DataFrame:
    """uri and length_ms of everything that can be played."""
    return _titles().select("uri", "length_ms").drop_nulls("uri")


def _title(uri: str | None, length_ms: int, **told: str) -> tuple[str, str | None, int]:
    return _lines({key: told.get(key) for key in _TITLE_KEYS}), uri, length_ms


def _name(number: int) -> str:
    """A name of its own for each number."""
    return f"{_WORDS[number % len(_WORDS)]} {number}"


def main() -> None:
    arguments = argparse.ArgumentParser(description="Invent an extended streaming history.")
    arguments.add_argument("plays", type=int, nargs="+", help="rows of the history")
    arguments.add_argument("--to", type=Path, default=Path(".bench"), help="folder of generated histories")
    told = arguments.parse_args()
    for plays in told.plays:
        print(generate(plays, told.to).export)


if __name__ == "__main__":
    main()
