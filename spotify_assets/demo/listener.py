"""A seeded demo listener: years of plays that never happened, with the habits that make real histories hard.

The truth is made here first; exports (`spotify_assets.demo.exports`) and expected answers
(`spotify_assets.demo.expected`) are derived from it.
"""

from __future__ import annotations

import random
from bisect import bisect
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

from spotify_assets.demo.catalogue import DemoArtist, DemoCatalogue, DemoChapter, DemoEpisode, DemoTrack

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000
_MINUTE = 60_000
_HOUR = 3_600_000
_DAY = 86_400_000
_SKIPPED_IS_TOLD_FROM = (datetime(2024, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
# Spotify began to sell audiobooks to listeners in Europe and to write them into exports in 2023.
_FIRST_AUDIOBOOK_YEAR = 2023


@dataclass(frozen=True, slots=True)
class TruePlay:
    """One play as it really happened.

    ``ended_at - started_at == ms_played`` always. An online play ends on a whole second (as Spotify's ``ts``
    is one), an offline play starts on one (``offline_timestamp`` is in seconds since 2023). ``synced_at`` is
    the ``ts`` that Spotify writes for an offline play; it is None for an online one. At most one of track,
    episode and chapter is set; none for ``content_type`` "unknown" (local files and rows that Spotify left
    nameless).
    """

    play_number: int
    started_at: datetime
    ended_at: datetime
    ms_played: int
    content_type: str
    track: DemoTrack | None
    episode: DemoEpisode | None
    chapter: DemoChapter | None
    reason_start: str
    reason_end: str
    platform: str
    country: str
    shuffle: bool
    skipped: bool
    offline: bool
    incognito: bool
    is_video: bool
    synced_at: datetime | None

    @property
    def told_at(self) -> datetime:
        """The whole second that an export writes as ``ts``."""
        return self.ended_at if self.synced_at is None else self.synced_at


@dataclass(kw_only=True)
class DemoListener:
    """A listener whose whole history follows from these arguments.

    :param first_day: first local day of the history.
    :param last_day: last local day; no play ends and no offline play is synced after it.
    :param seed: of the only random source.
    :param timezone: IANA name of the listener's zone.
    :param plays_per_day: mean over all days, all content types.
    :raises ValueError: when ``last_day`` lies before ``first_day`` or ``plays_per_day`` is not positive.
    """

    first_day: date
    last_day: date
    seed: int = 7
    timezone: str = "Europe/Berlin"
    plays_per_day: float = 45.0
    _history: _History | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.last_day < self.first_day:
            raise ValueError(f"the demo listener's last day {self.last_day} lies before the first {self.first_day}")
        if self.plays_per_day <= 0:
            raise ValueError(f"plays_per_day must be above 0, not {self.plays_per_day}")

    def plays(self) -> list[TruePlay]:
        """All plays in chronological order, numbered from 0."""
        return list(self._made().plays)

    @property
    def catalogue(self) -> DemoCatalogue:
        """Everything the listener could have played, with ids, lengths, release years and track numbers."""
        return self._made().catalogue

    def _made(self) -> _History:
        if self._history is None:
            self._history = _History(self)
        return self._history


def clock_changes(timezone: str, first_day: date, last_day: date) -> list[datetime]:
    """The instants (UTC, whole minutes) at which the zone's offset changes, from one local day to another."""
    zone = ZoneInfo(timezone)
    changes = []
    day = first_day
    while day <= last_day:
        low = datetime.combine(day, time(), zone).astimezone(UTC)
        high = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            before = low.astimezone(zone).utcoffset()
            while high - low > timedelta(minutes=1):
                middle = low + timedelta(minutes=(high - low) // timedelta(minutes=1) // 2)
                if middle.astimezone(zone).utcoffset() == before:
                    low = middle
                else:
                    high = middle
            changes.append(high)
        day += timedelta(days=1)
    return changes


def _to_ms(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


class _Favourite:
    """An artist the listener knows, with the tracks in the order of the listener's own liking."""

    __slots__ = ("albums", "artist", "base", "tracks", "weight")

    def __init__(self, artist: DemoArtist, weight: float) -> None:
        self.artist = artist
        self.base = weight
        self.weight = weight
        self.tracks: list[DemoTrack] = []
        self.albums: list[list[DemoTrack]] = []

    def learn(self, tracks: list[DemoTrack], rng: random.Random) -> None:
        albums: dict[str, list[DemoTrack]] = {}
        for track in tracks:
            albums.setdefault(track.album.album_id, []).append(track)
        self.albums += albums.values()
        shuffled = list(tracks)
        rng.shuffle(shuffled)
        self.tracks = shuffled + self.tracks


class _History:
    """Makes the plays, one local day after another, with a cursor at the end of the latest play."""

    def __init__(self, listener: DemoListener) -> None:
        self.rng = random.Random(listener.seed)
        self.catalogue = DemoCatalogue(self.rng)
        self.zone = ZoneInfo(listener.timezone)
        self.plays: list[TruePlay] = []
        self.favourites: list[_Favourite] = []
        self.cumulative_weights: list[float] = []
        self.cursor = self._local_ms(listener.first_day, 0) - 1
        self.end_bound = self._local_ms(listener.last_day + timedelta(days=1), 0) - 1
        self.limit = self.end_bound
        self.country = "DE"
        self.abroad_until: date | None = None
        self.unfinished_episode: tuple[DemoEpisode, int] | None = None
        self.chapters_left: list[DemoChapter] = []
        # What makes two rows one for a reader, kept so that two true plays never look like copies of each
        # other: (minute of ts, ms_played) and the same with the names.
        self.minutes_and_ms: set[tuple[int, int]] = set()
        self.named_rows: set[tuple[int, int, str]] = set()
        self.unknown_rows: set[tuple[int, int]] = set()
        self._run(listener)

    def _local_ms(self, day: date, minute_of_day: int) -> int:
        wall = datetime.combine(day, time(), self.zone) + timedelta(minutes=minute_of_day)
        return _to_ms(wall.astimezone(UTC))

    def _run(self, listener: DemoListener) -> None:
        rng = self.rng
        changes = [_to_ms(change) for change in clock_changes(listener.timezone, listener.first_day, listener.last_day)]
        self._learn_artists(listener.first_day.year, 70)
        for _ in range(6):
            self.catalogue.make_show()
        self._weigh()
        day = listener.first_day
        holiday_until = day
        while day <= listener.last_day:
            if day.day == 1:
                self._new_month(day)
            midnight = self._local_ms(day, 0)
            next_midnight = self._local_ms(day + timedelta(days=1), 0)
            today_changes = [change for change in changes if midnight < change <= next_midnight]
            next_change = next((change for change in changes if change > midnight), None)
            # A session that ran into the night of a clock change would put off the one that must be there.
            self.limit = self.end_bound if next_change is None else min(self.end_bound, next_change - 90 * _MINUTE)
            for change in today_changes:
                self._clock_change_session(change)
                later = next((other for other in changes if other > change), None)
                self.limit = self.end_bound if later is None else min(self.end_bound, later - 90 * _MINUTE)
            days_left = (listener.last_day - day).days
            chance = rng.random()
            if day >= holiday_until and chance < 0.004:
                holiday_until = day + timedelta(days=rng.randint(3, 9))
            if day < holiday_until or chance > 0.98:
                day += timedelta(days=1)
                continue
            if self.abroad_until is not None and day > self.abroad_until:
                self.country, self.abroad_until = "DE", None
                if days_left > 6:
                    self._flight(day)
            elif self.abroad_until is None and rng.random() < 0.014 and days_left > 6:
                self.abroad_until = day + timedelta(days=rng.randint(2, 12))
                self._flight(day)
                self.country = rng.choice(("FR", "GB", "US", "ES", "JP", "IT"))
            self._ordinary_day(day, listener.plays_per_day, may_be_offline=days_left > 6)
            day += timedelta(days=1)

    def _ordinary_day(self, day: date, plays_per_day: float, may_be_offline: bool) -> None:
        rng = self.rng
        weekday_factor = (0.95, 0.95, 1.0, 1.0, 1.15, 1.1, 0.85)[day.weekday()]
        target = plays_per_day * weekday_factor * rng.lognormvariate(0.0, 0.4) * 0.97
        count = max(1, round(target / 14 + rng.random() - 0.5))
        hours = rng.choices(range(24), weights=_HOUR_WEIGHTS, k=count)
        starts = sorted(self._local_ms(day, hour * 60 + rng.randrange(60)) for hour in hours)
        share = target / count
        for start in starts:
            length = max(1, round(share * (0.5 + rng.random())))
            offline = may_be_offline and rng.random() < 0.012
            sync_delay = rng.randint(2 * _MINUTE, 3 * _HOUR) if offline else None
            self._session(start, length, self._platform(day), sync_delay)

    def _clock_change_session(self, change: int) -> None:
        start = change - 55 * _MINUTE
        if self.cursor + 31 * _MINUTE > start or change + 4 * _HOUR > self.end_bound:
            return
        self.limit = self.end_bound
        day = (_EPOCH + timedelta(milliseconds=change)).date()
        self._session(start, 10_000, self._platform(day), None, stop_at=change + 80 * _MINUTE)

    def _flight(self, day: date) -> None:
        rng = self.rng
        start = self._local_ms(day, rng.randint(6 * 60, 20 * 60))
        self._session(start, rng.randint(20, 45), self._platform(day), rng.randint(_HOUR, 4 * _DAY))

    def _platform(self, day: date) -> str:
        choices = _PLATFORMS_BEFORE_2023 if day.year < 2023 else _PLATFORMS_SINCE_2023
        return self.rng.choices(choices, weights=(60, 25, 10, 5))[0]

    def _learn_artists(self, year: int, count: int) -> None:
        rng = self.rng
        for _ in range(count):
            tracks = self.catalogue.make_artist(year)
            rank = rng.randint(1, len(self.favourites) + 1)
            favourite = _Favourite(tracks[0].artist, 1.3 / rank**0.8)
            favourite.learn(tracks, rng)
            self.favourites.append(favourite)

    def _weigh(self) -> None:
        self.cumulative_weights = list(accumulate(favourite.weight for favourite in self.favourites))

    def _new_month(self, day: date) -> None:
        rng = self.rng
        for favourite in self.favourites:
            # Pulled back to its base: free drift gave one artist a fifth of all plays after six years.
            favourite.base *= 0.98
            favourite.weight = favourite.base**0.1 * favourite.weight**0.9 * rng.lognormvariate(0.0, 0.35)
            if rng.random() < 0.015:
                favourite.learn(self.catalogue.make_album(favourite.artist, day.year), rng)
                favourite.weight *= 1.8
        self._learn_artists(day.year, rng.randint(6, 14))
        if rng.random() < 0.1:
            self.catalogue.make_show()
        self._weigh()

    def _favourite(self) -> _Favourite:
        weights = self.cumulative_weights
        return self.favourites[min(bisect(weights, self.rng.random() * weights[-1]), len(weights) - 1)]

    def _any_track(self, favourite: _Favourite) -> DemoTrack:
        tracks = favourite.tracks
        return tracks[int(len(tracks) * self.rng.random() ** 1.8)]

    def _session(
        self, start: int, count: int, platform: str, sync_delay: int | None, stop_at: int | None = None
    ) -> None:
        """At most ``count`` plays from ``start`` on, never less than 30 minutes after the play before."""
        rng = self.rng
        earliest = self.cursor + 30 * _MINUTE + rng.randint(1_000, 40 * _MINUTE)
        if start < earliest:
            start = earliest
        first = len(self.plays)
        state = _Session(start, platform, sync_delay, rng.random() < 0.03, rng.random() < 0.45)
        kind = rng.random()
        if stop_at is None and kind < 0.06:
            self._podcast(state)
        elif stop_at is None and kind < 0.09 and (_EPOCH + timedelta(milliseconds=start)).year >= _FIRST_AUDIOBOOK_YEAR:
            self._audiobook(state)
        while len(self.plays) - first < count and not state.is_over:
            if stop_at is not None and self.cursor > stop_at:
                return
            kind = rng.random()
            if kind < 0.30:
                album = rng.choice(self._favourite().albums)
                from_track = 0 if rng.random() < 0.7 else rng.randrange(len(album))
                tracks = album[from_track:]
                state.shuffle = False
            elif kind < 0.55:
                favourite = self._favourite()
                tracks = [self._any_track(favourite) for _ in range(rng.randint(2, 8))]
            else:
                tracks = [self._any_track(self._favourite()) for _ in range(rng.randint(4, 14))]
            for track in tracks:
                if len(self.plays) - first >= count or state.is_over:
                    break
                if stop_at is not None and self.cursor > stop_at:
                    return
                is_last = len(self.plays) - first + 1 >= count
                self._play_track(state, track, is_last)

    def _play_track(self, state: _Session, track: DemoTrack, is_last: bool) -> None:
        rng = self.rng
        twin = self.catalogue.twins.get(track.track_id)
        if twin is not None and rng.random() < 0.35:
            track = twin
        length = track.length_ms
        chance = rng.random()
        if chance < 0.012:
            # A local file: Spotify's export has neither a name nor a URI for it.
            finished = rng.random() < 0.5
            ms_played = rng.randint(90_000, 300_000) if finished else int(rng.expovariate(1 / 20_000))
            self._emit(state, "unknown", None, ms_played, "trackdone" if finished else "fwdbtn", not finished)
            return
        is_video = chance < 0.018
        if is_video and rng.random() < 0.5:
            self._emit(state, "unknown", None, rng.randint(0, 240_000), "endplay", False, is_video=True)
            return
        how = rng.random()
        if how < (0.50 if is_last else 0.58):
            self._emit(state, "track", track, length, "trackdone", False, is_video=is_video)
            if rng.random() < 0.025:
                for _ in range(rng.randint(1, 3)):
                    self._emit(state, "track", track, length, "trackdone", False)
        elif is_last:
            reason = rng.choices(("endplay", "logout", "unexpected-exit", "unknown", "remote"), (70, 12, 8, 6, 4))[0]
            self._emit(state, "track", track, rng.randrange(length), reason, False)
        elif how < 0.86:
            ms_played = 0 if rng.random() < 0.06 else min(length - 1, int(rng.expovariate(1 / 11_000)))
            self._emit(state, "track", track, ms_played, "fwdbtn", True, is_video=is_video)
        elif how < 0.91:
            # Back to the start: the same track once more, twice in a row in the history.
            self._emit(state, "track", track, min(length - 1, int(rng.expovariate(1 / 7_000))), "backbtn", True)
            self._emit(state, "track", track, length, "trackdone", False)
        elif how < 0.96:
            # Exports tell `skipped` only since 2024: an earlier skip that no reason tells would be lost.
            is_flagged = self.cursor >= _SKIPPED_IS_TOLD_FROM and rng.random() < 0.3
            self._emit(state, "track", track, rng.randrange(length), "endplay", is_flagged)
        elif how < 0.975:
            self._emit(state, "track", track, 0, "trackerror", False)
        else:
            self._emit(state, "track", track, rng.randrange(length), "fwdbtn", True)

    def _podcast(self, state: _Session) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 2)):
            if self.unfinished_episode is not None and rng.random() < 0.8:
                episode, done = self.unfinished_episode
            else:
                show = rng.choice(self.catalogue.shows)
                length = 8 * _HOUR if rng.random() < 0.01 else rng.randint(12 * _MINUTE, 95 * _MINUTE)
                episode, done = self.catalogue.make_episode(show, length), 0
            rest = episode.length_ms - done
            if rng.random() < 0.5:
                self._emit(state, "episode", episode, rest, "trackdone", False)
                self.unfinished_episode = None
            else:
                heard = int(rest * rng.random())
                self._emit(state, "episode", episode, heard, "endplay", False)
                self.unfinished_episode = (episode, done + heard)

    def _audiobook(self, state: _Session) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 3)):
            if not self.chapters_left:
                self.chapters_left = self.catalogue.make_audiobook()
            chapter = self.chapters_left[0]
            if rng.random() < 0.75:
                self._emit(state, "audiobook", chapter, chapter.length_ms, "trackdone", False)
                self.chapters_left = self.chapters_left[1:]
            else:
                self._emit(state, "audiobook", chapter, rng.randrange(chapter.length_ms), "endplay", False)

    def _emit(
        self,
        state: _Session,
        content_type: str,
        item: DemoTrack | DemoEpisode | DemoChapter | None,
        ms_played: int,
        reason_end: str,
        skipped: bool,
        is_video: bool = False,
    ) -> None:
        rng = self.rng
        if state.previous_reason_end is None:
            begin = max(state.start, self.cursor)
            reason_start = rng.choices(("clickrow", "appload", "playbtn", "remote", "unknown"), (60, 15, 18, 5, 2))[0]
        else:
            reason_start = _REASON_START_AFTER.get(state.previous_reason_end, "clickrow")
            gap = 0
            if state.previous_reason_end in ("endplay", "trackerror"):
                gap = rng.randint(0, 8_000)
            elif rng.random() < 0.02:
                gap = rng.randint(20_000, 14 * _MINUTE)
            begin = self.cursor + gap
        offline = state.sync_delay is not None
        if offline:
            started = -(-begin // _SECOND) * _SECOND
            ended = started + ms_played
        else:
            ended = -(-(begin + ms_played) // _SECOND) * _SECOND
            started = ended - ms_played
        if ended > self.limit:
            state.is_over = True
            return
        synced: int | None = None
        if offline:
            if state.sync_at is None:
                state.sync_at = -(-(ended + state.sync_delay) // _SECOND) * _SECOND
            state.synced_rows += 1
            synced = max(state.sync_at, -(-ended // _SECOND) * _SECOND) + state.synced_rows // 6 * _SECOND
        name = "" if item is None else item.name
        while not self._is_new_row(ended if synced is None else synced, ms_played, name):
            # Two true plays that an export would tell in the same words would be taken for copies of one.
            if synced is None:
                ended += _MINUTE
                started += _MINUTE
            else:
                synced += _MINUTE
        self.cursor = max(self.cursor, ended)
        state.previous_reason_end = reason_end
        self.plays.append(
            TruePlay(
                len(self.plays),
                _EPOCH + timedelta(0, 0, 0, started),
                _EPOCH + timedelta(0, 0, 0, ended),
                ms_played,
                content_type,
                item if content_type == "track" else None,
                item if content_type == "episode" else None,
                item if content_type == "audiobook" else None,
                reason_start,
                reason_end,
                state.platform,
                self.country,
                state.shuffle and content_type == "track",
                skipped,
                offline,
                state.incognito,
                is_video,
                None if synced is None else _EPOCH + timedelta(milliseconds=synced),
            )
        )

    def _is_new_row(self, told: int, ms_played: int, name: str) -> bool:
        key = (told // _MINUTE, ms_played)
        if name:
            named = (*key, name.casefold())
            if named in self.named_rows or key in self.unknown_rows:
                return False
            self.named_rows.add(named)
        else:
            if key in self.minutes_and_ms:
                return False
            self.unknown_rows.add(key)
        self.minutes_and_ms.add(key)
        return True


class _Session:
    """What the plays of one session share, and how the latest of them ended."""

    __slots__ = (
        "incognito",
        "is_over",
        "platform",
        "previous_reason_end",
        "shuffle",
        "start",
        "sync_at",
        "sync_delay",
        "synced_rows",
    )

    def __init__(self, start: int, platform: str, sync_delay: int | None, incognito: bool, shuffle: bool) -> None:
        self.start = start
        self.platform = platform
        self.sync_delay = sync_delay
        self.sync_at: int | None = None
        self.synced_rows = 0
        self.incognito = incognito
        self.shuffle = shuffle
        self.previous_reason_end: str | None = None
        self.is_over = False


_HOUR_WEIGHTS = (3, 1, 0, 0, 0, 1, 4, 9, 10, 6, 5, 5, 6, 5, 5, 6, 8, 11, 11, 9, 10, 11, 10, 8)
_REASON_START_AFTER = {
    "trackdone": "trackdone",
    "fwdbtn": "fwdbtn",
    "backbtn": "backbtn",
    "endplay": "clickrow",
    "trackerror": "trackerror",
    "remote": "remote",
}
_PLATFORMS_BEFORE_2023 = (
    "Android OS 10 API 29 (Demofone, Model One)",
    "Windows 10 (10.0.19042; x64)",
    "web_player windows 10;chrome 91.0.4472.77;desktop",
    "Partner demo_tv Demo;Television One;;tpapi",
)
_PLATFORMS_SINCE_2023 = ("android", "windows", "web_player", "cast_audio")
