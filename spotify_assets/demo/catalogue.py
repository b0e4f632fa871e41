"""The invented music, podcasts and audiobooks that the demo listener plays.

Every name is made of invented syllables, so that none belongs to a real artist. Names are unique in their
scope even when case, accents, spaces and symbols are taken away, so that no rule for making keys out of names
can merge two different things; what must merge (one recording under two track ids) is made on purpose.
"""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Ids are drawn two characters at a time: drawing them was a tenth of the time of making a history.
_BASE62_PAIRS = [first + second for first in BASE62 for second in BASE62]
_NOT_ALPHANUMERIC = re.compile("[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class DemoArtist:
    name: str
    artist_id: str
    genres: tuple[str, ...]

    @property
    def uri(self) -> str:
        return f"spotify:artist:{self.artist_id}"


@dataclass(frozen=True, slots=True)
class DemoAlbum:
    name: str
    album_id: str
    artist: DemoArtist
    album_type: str  # album, single, compilation
    release_year: int
    total_tracks: int

    @property
    def uri(self) -> str:
        return f"spotify:album:{self.album_id}"


@dataclass(frozen=True, slots=True)
class DemoTrack:
    name: str
    track_id: str
    uri: str
    album: DemoAlbum
    length_ms: int
    disc_number: int
    track_number: int
    isrc: str
    is_explicit: bool

    @property
    def artist(self) -> DemoArtist:
        return self.album.artist


@dataclass(frozen=True, slots=True)
class DemoShow:
    name: str
    show_id: str
    publisher: str

    @property
    def uri(self) -> str:
        return f"spotify:show:{self.show_id}"


@dataclass(frozen=True, slots=True)
class DemoEpisode:
    name: str
    episode_id: str
    uri: str
    show: DemoShow
    length_ms: int


@dataclass(frozen=True, slots=True)
class DemoAudiobook:
    name: str
    audiobook_id: str
    author: str

    @property
    def uri(self) -> str:
        return f"spotify:show:{self.audiobook_id}"


@dataclass(frozen=True, slots=True)
class DemoChapter:
    name: str
    chapter_id: str
    uri: str
    audiobook: DemoAudiobook
    length_ms: int
    chapter_number: int


def _words(text: str) -> list[str]:
    return text.split()


_ONSETS = _words("b br d dr f fj g gl h j k kv l m n p pl qu r s sk sv t th tr v vr w x z zh")
_VOWELS = _words("a e i o u ae oo ei ou y")
_CODAS = _words("b d g k l lm m n nd nk r rn rsk sh sk t th v x z")
_SECOND_WORDS = _words(
    "Tides Orchard Signal Harbour Static Lanterns Parade Engines Meadow Circuit Choir Weather Cargo "
    "Antenna Quarry Velvet Ember Compass Glacier Monsoon Pavement Satellite Thicket Arcade Marble "
    "Copper Juniper Echo Ferry Atlas"
)
_TITLE_WORDS = _words(
    "Night Morning Window River Paper Silver Nothing Again Slow Summer Winter Letter Distance Machine "
    "Garden Shadow Gravity Colour Ghost Fever Ocean Mirror Thunder Honey Bridge Stone Feather Sugar "
    "Desert Neon Hollow Kite Salt Wire Forest Balloon Dust Comet Radio Anchor"
)
_COMMON_TITLES = ("Intro", "Interlude", "Outro", "Untitled")
_GENRES = (
    "glasswave",
    "brasspop",
    "slow folk",
    "harbour house",
    "nightcore jazz",
    "dust techno",
    "chamber noise",
    "tape soul",
)
# Names that have broken readers: quotes, slashes, accents, other scripts, characters outside the first plane.
_ODD_ARTISTS = (
    "Zuvvok 🌊🦑",
    "Brúmelð Ñåttvø",
    '"Velquorn"',
    "Morvish/Teshka",
    "クヴェロニ",
    "Жумбралка",
    "O'Thrennik & the Quillbats",
    "Plimsk, Plamsk & Plumsk",
    "Kvort𝄞lune",
    "Ünqæ (feat. Vashti-9)",
)
_ODD_TITLES = (
    '"Lanternfish"',
    "Day/Night/Dvay",
    "Back\\slash Vo",
    "Été à Quelmoré",
    "😀 Smüzle 😀",
    "100% Zhov",
    "<b>Braket</b> & Ko",
    "Ночной Зувель",
    "“Curly” Vexnote’s",
    "-",
)


def fold(name: str) -> str:
    """The name without case, accents, spaces and symbols: what must differ for two names to be different."""
    if name.isascii():
        return _NOT_ALPHANUMERIC.sub("", name.lower())
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(character for character in decomposed if character.isalnum())


class DemoCatalogue:
    """Makes artists with their albums and tracks, podcasts and audiobooks, from one random source.

    ``twins`` maps a track id to the second track of the same names (another id, the same or a deluxe album):
    on real accounts about one track id in nine is such a second id.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._odd_artists = list(_ODD_ARTISTS)
        self._odd_titles = list(_ODD_TITLES)
        self._used: dict[str, set[str]] = {}
        self._recordings = 0
        self.artists: list[DemoArtist] = []
        self.albums: list[DemoAlbum] = []
        self.tracks: list[DemoTrack] = []
        self.shows: list[DemoShow] = []
        self.episodes: list[DemoEpisode] = []
        self.audiobooks: list[DemoAudiobook] = []
        self.chapters: list[DemoChapter] = []
        self.twins: dict[str, DemoTrack] = {}

    def _id(self) -> str:
        return "".join(self._rng.choices(_BASE62_PAIRS, k=11))

    def _word(self) -> str:
        choice = self._rng.choice
        syllables = 2 if self._rng.random() < 0.7 else 3
        text = "".join(choice(_ONSETS) + choice(_VOWELS) for _ in range(syllables)) + choice(_CODAS)
        return text.capitalize()

    def _unique(self, scope: str, name: str) -> str:
        used = self._used.setdefault(scope, set())
        folded = fold(name)
        while folded in used:
            name = f"{name} {self._word()}"
            folded = fold(name)
        used.add(folded)
        return name

    def _title(self) -> str:
        choice = self._rng.choice
        kind = self._rng.random()
        if kind < 0.35:
            return f"{choice(_TITLE_WORDS)} {choice(_TITLE_WORDS)}"
        if kind < 0.60:
            return f"{self._word()} {choice(_TITLE_WORDS)}"
        if kind < 0.85:
            return f"{choice(_TITLE_WORDS)} of {self._word()}"
        if kind < 0.88:
            return choice(_COMMON_TITLES)
        return self._word()

    def make_artist(self, year: int) -> list[DemoTrack]:
        """One new artist with the albums released up to ``year``; returns the artist's tracks."""
        rng = self._rng
        if self._odd_artists and rng.random() < 0.25:
            name = self._odd_artists.pop(0)
        elif rng.random() < 0.5:
            name = f"{self._word()} {rng.choice(_SECOND_WORDS)}"
        else:
            name = f"{self._word()} {self._word()}"
        artist = DemoArtist(
            name=self._unique("artist", name),
            artist_id=self._id(),
            genres=tuple(sorted(rng.sample(_GENRES, k=rng.choice((0, 1, 1, 2, 3))))),
        )
        self.artists.append(artist)
        tracks: list[DemoTrack] = []
        for release_year in sorted(year - int(rng.expovariate(0.2)) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))):
            tracks += self.make_album(artist, release_year)
        return tracks

    def make_album(self, artist: DemoArtist, release_year: int) -> list[DemoTrack]:
        """One album of the artist; returns its tracks, second ids left out."""
        rng = self._rng
        album_type = rng.choices(("album", "single", "compilation"), weights=(70, 25, 5))[0]
        total_tracks = rng.randint(1, 3) if album_type == "single" else rng.randint(7, 14)
        name = artist.name if rng.random() < 0.06 else self._title()
        album = DemoAlbum(
            name=self._unique(f"album of {artist.name}", name),
            album_id=self._id(),
            artist=artist,
            album_type=album_type,
            release_year=release_year,
            total_tracks=total_tracks,
        )
        self.albums.append(album)
        deluxe: DemoAlbum | None = None
        tracks = []
        for track_number in range(1, total_tracks + 1):
            title = self._odd_titles.pop(0) if self._odd_titles and rng.random() < 0.05 else self._title()
            title = self._unique(f"track of {artist.name}", title)
            length_ms = int(min(1_500_000, max(21_000, rng.lognormvariate(12.25, 0.32))))
            track = self._make_track(title, album, length_ms, track_number)
            tracks.append(track)
            if rng.random() < 0.11:
                if rng.random() < 0.5:
                    twin = self._make_track(title, album, length_ms, track_number, isrc=track.isrc)
                else:
                    if deluxe is None:
                        deluxe = DemoAlbum(
                            name=self._unique(f"album of {artist.name}", f"{album.name} (Deluxe Edition)"),
                            album_id=self._id(),
                            artist=artist,
                            album_type=album_type,
                            release_year=release_year,
                            total_tracks=total_tracks + 4,
                        )
                        self.albums.append(deluxe)
                    twin = self._make_track(
                        title, deluxe, length_ms + rng.randint(-900, 900), track_number, isrc=track.isrc
                    )
                self.twins[track.track_id] = twin
        return tracks

    def _make_track(
        self, name: str, album: DemoAlbum, length_ms: int, track_number: int, isrc: str | None = None
    ) -> DemoTrack:
        track_id = self._id()
        if isrc is None:
            self._recordings += 1
            isrc = self.isrc(album.release_year, self._recordings)
        track = DemoTrack(
            name=name,
            track_id=track_id,
            uri=f"spotify:track:{track_id}",
            album=album,
            length_ms=length_ms,
            disc_number=1,
            track_number=track_number,
            isrc=isrc,
            is_explicit=self._rng.random() < 0.12,
        )
        self.tracks.append(track)
        return track

    def isrc(self, release_year: int, number: int) -> str:
        """The code of a recording, unlike those of any other catalogue. The catalogue counts numbers up from 1."""
        # "QZ" is a prefix for independent recordings. One registrant for all catalogues gave the recordings of two
        # listeners the same codes; the first id of a catalogue tells it from others.
        registrant = self.artists[0].artist_id[:3].upper()
        return f"QZ{registrant}{release_year % 100:02d}{number:05d}"

    def make_show(self) -> DemoShow:
        show = DemoShow(
            name=self._unique("show", f"The {self._word()} Hour"),
            show_id=self._id(),
            publisher=f"{self._word()} Audio",
        )
        self.shows.append(show)
        return show

    def make_episode(self, show: DemoShow, length_ms: int) -> DemoEpisode:
        episode_id = self._id()
        number = sum(episode.show is show for episode in self.episodes) + 1
        episode = DemoEpisode(
            name=self._unique(f"episode of {show.name}", f"#{number}: {self._title()}"),
            episode_id=episode_id,
            uri=f"spotify:episode:{episode_id}",
            show=show,
            length_ms=length_ms,
        )
        self.episodes.append(episode)
        return episode

    def make_audiobook(self) -> list[DemoChapter]:
        """One audiobook; returns its chapters in reading order."""
        rng = self._rng
        audiobook = DemoAudiobook(
            name=self._unique("audiobook", f"The {self._word()} {rng.choice(_TITLE_WORDS)}"),
            audiobook_id=self._id(),
            author=f"{self._word()} {self._word()}",
        )
        self.audiobooks.append(audiobook)
        chapters = []
        for chapter_number in range(1, rng.randint(8, 30)):
            chapter_id = self._id()
            chapters.append(
                DemoChapter(
                    name=f"Chapter {chapter_number}",
                    chapter_id=chapter_id,
                    uri=f"spotify:episode:{chapter_id}",
                    audiobook=audiobook,
                    length_ms=rng.randint(600_000, 2_700_000),
                    chapter_number=chapter_number,
                )
            )
        self.chapters += chapters
        return chapters
