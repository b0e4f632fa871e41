"""The catalogue behind the demo Web API: what the demo listeners play, and what only the API knows of it.

Ids, URIs, names, lengths and ISRCs are those of `spotify_assets.demo.catalogue`, so that API and export tell of
the same things. What the export has no word for (release dates, guests, popularity, further editions of an
album, audio features, …) follows from the ids alone: the same listener gives the same answers on every start.

Made on purpose, because real catalogues have it:

- One title twice: a fifth of all albums have a second edition (same title and ISRCs, other ids, another date).
- About 14 % of the recordings have guests; the tracks of compilations name another artist first than the album.
- A quarter of the tracks that have a second id are *relinked*: told under the second one (`relinked`).
- Some tracks may be played in some markets only (`is_available`), few are gone for good (`is_gone`).
- Release dates know the day, the month or the year; some are `0000`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import cached_property
from hashlib import blake2b
from itertools import count

from spotify_assets.demo.catalogue import BASE62, DemoAlbum, DemoArtist, DemoCatalogue, DemoEpisode, DemoTrack

MARKETS = (
    *("AT", "AU", "BE", "BR", "CA", "CH", "CL", "CZ", "DE", "DK", "ES", "FI", "FR", "GB"),
    *("IE", "IN", "IT", "JP", "MX", "NL", "NO", "NZ", "PL", "PT", "SE", "US", "ZA"),
)
"""The markets in which the demo Spotify is at home."""


def drawn(purpose: str, identity: str) -> float:
    """A number from [0, 1) that follows from what it is for and whom it is about."""
    digest = blake2b(f"{purpose} {identity}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def derived_id(purpose: str, identity: str) -> str:
    """An id of 22 characters that follows from what it is for and whom it is about."""
    number = int.from_bytes(blake2b(f"{purpose} {identity}".encode(), digest_size=16).digest(), "big")
    characters = []
    for _ in range(22):
        number, rest = divmod(number, 62)
        characters.append(BASE62[rest])
    return "".join(characters)


class WholeCatalogue:
    """Everything that can be asked for by id, of one or more listeners.

    :param catalogues: what the listeners could have played. Their ids must not collide: give each listener a
        seed of its own.
    :param first_played_on: album id -> day of its first play; no release date lies after it.
    """

    def __init__(self, catalogues: Iterable[DemoCatalogue], first_played_on: Mapping[str, date] | None = None) -> None:
        self._first_played_on = dict(first_played_on or {})
        self._last_first_play = max(self._first_played_on.values(), default=date.max)
        self.artists: dict[str, DemoArtist] = {}
        self.albums: dict[str, DemoAlbum] = {}
        self.tracks: dict[str, DemoTrack] = {}
        self.episodes: dict[str, DemoEpisode] = {}
        self._relinked: dict[str, DemoTrack] = {}
        self._credits: dict[str, tuple[DemoArtist, ...]] = {}
        self._circles: dict[str, list[DemoArtist]] = {}
        self._album_tracks: dict[str, list[DemoTrack]] = {}
        self._gone: set[str] = set()
        self._returned: set[str] = set()
        for catalogue in catalogues:
            self._take(catalogue)
        self.albums_of_artist: dict[str, list[DemoAlbum]] = {}
        for album in self.albums.values():
            self.albums_of_artist.setdefault(album.artist.artist_id, []).append(album)

    def _take(self, catalogue: DemoCatalogue) -> None:
        for artist in catalogue.artists:
            self.artists[artist.artist_id] = artist
            self._circles[artist.artist_id] = catalogue.artists
        self.episodes.update((episode.episode_id, episode) for episode in catalogue.episodes)
        self._relinked.update(
            (track_id, twin) for track_id, twin in catalogue.twins.items() if drawn("relinked", track_id) < 0.25
        )
        self.tracks.update((track.track_id, track) for track in catalogue.tracks)
        second_ids = {
            twin.track_id
            for track_id, twin in catalogue.twins.items()
            if self.tracks[track_id].album.album_id == twin.album.album_id
        }
        listed: dict[str, list[DemoTrack]] = {album.album_id: [] for album in catalogue.albums}
        for track in catalogue.tracks:
            if track.track_id not in second_ids:
                listed[track.album.album_id].append(track)
        # The catalogue itself counts up from 1.
        numbers = count(99_999, -1)
        for album in catalogue.albums:
            tracks = listed[album.album_id]
            if len(tracks) < album.total_tracks:
                tracks = self._filled(catalogue, album, tracks, numbers)
            self.albums[album.album_id] = album
            self._album_tracks[album.album_id] = tracks
            if album.album_type == "album" and drawn("second edition", album.album_id) < 0.2:
                self._add_second_edition(album, tracks)

    def _filled(
        self, catalogue: DemoCatalogue, album: DemoAlbum, tracks: list[DemoTrack], numbers: Iterator[int]
    ) -> list[DemoTrack]:
        """The catalogue invents only those tracks of a deluxe edition that are played."""
        by_number = {track.track_number: track for track in tracks}
        filled = []
        for number in range(1, album.total_tracks + 1):
            track = by_number.get(number)
            if track is None:
                track_id = derived_id(f"track {number}", album.album_id)
                track = DemoTrack(
                    name=f"{album.name}, Part {number}",
                    track_id=track_id,
                    uri=f"spotify:track:{track_id}",
                    album=album,
                    length_ms=120_000 + int(drawn("length", track_id) * 180_000),
                    disc_number=1,
                    track_number=number,
                    isrc=catalogue.isrc(album.release_year, next(numbers)),
                    is_explicit=False,
                )
                self.tracks[track_id] = track
            filled.append(track)
        return filled

    def _add_second_edition(self, album: DemoAlbum, tracks: list[DemoTrack]) -> None:
        edition = replace(album, album_id=derived_id("second edition", album.album_id))
        self.albums[edition.album_id] = edition
        if album.album_id in self._first_played_on:
            self._first_played_on[edition.album_id] = self._first_played_on[album.album_id]
        copies = []
        for track in tracks:
            track_id = derived_id("second edition", track.track_id)
            copy = replace(track, album=edition, track_id=track_id, uri=f"spotify:track:{track_id}")
            self.tracks[track_id] = copy
            copies.append(copy)
        self._album_tracks[edition.album_id] = copies

    def tracks_of(self, album: DemoAlbum) -> list[DemoTrack]:
        """The tracks of the album in their order, one for each number."""
        return self._album_tracks[album.album_id]

    def credits(self, track: DemoTrack) -> tuple[DemoArtist, ...]:
        """All credited artists, in order; the artist of the album is always among them."""
        credited = self._credits.get(track.track_id)
        if credited is None:
            credited = self._credits[track.track_id] = self._drawn_credits(track)
        return credited

    def _drawn_credits(self, track: DemoTrack) -> tuple[DemoArtist, ...]:
        chance = drawn("guests", track.isrc)
        is_compilation = track.album.album_type == "compilation"
        guests = 1 if is_compilation or chance < 0.12 else 2 if chance < 0.14 else 0
        if not guests:
            return (track.artist,)
        circle = self._circles[track.artist.artist_id]
        credited = {track.artist.artist_id: track.artist}
        for number in range(guests):
            guest = circle[int(drawn(f"guest {number}", track.isrc) * len(circle))]
            credited[guest.artist_id] = guest
        artists = tuple(credited.values())
        return artists[::-1] if is_compilation else artists

    def relinked(self, track: DemoTrack) -> DemoTrack:
        """The track under the id by which Spotify tells it where a market is known."""
        return self._relinked.get(track.track_id, track)

    def is_gone(self, object_id: str) -> bool:
        """Spotify does not know the id any more: 404, and null in a batch. By itself only tracks (0.4 %)."""
        if object_id in self._gone:
            return True
        is_track = object_id in self.tracks
        return is_track and object_id not in self._returned and drawn("gone", object_id) < 0.004

    def remove(self, object_id: str) -> None:
        """Let Spotify forget a track, an album or an artist from now on."""
        self._gone.add(object_id)
        self._returned.discard(object_id)

    def bring_back(self, object_id: str) -> None:
        """Let Spotify know it again."""
        self._gone.discard(object_id)
        self._returned.add(object_id)

    def markets(self, track: DemoTrack) -> tuple[str, ...]:
        """Where the track may be played; 4 % of the recordings only in some."""
        if drawn("restricted", track.isrc) >= 0.04:
            return MARKETS
        return tuple(market for market in MARKETS if drawn(f"market {market}", track.isrc) < 0.5)

    def is_available(self, track: DemoTrack, market: str) -> bool:
        return market in self.markets(track)

    def release_date(self, album: DemoAlbum) -> tuple[str, str]:
        """Date as Spotify writes it, and its precision: day, month or year; unknown ones are ``0000``, year."""
        chance = drawn("precision", album.album_id)
        if chance < 0.01:
            return "0000", "year"
        released = date(album.release_year, 1, 1) + timedelta(days=int(drawn("released", album.album_id) * 365))
        released = min(released, self._first_played_on.get(album.album_id, self._last_first_play))
        if chance < 0.16:
            return f"{released:%Y}", "year"
        if chance < 0.21:
            return f"{released:%Y-%m}", "month"
        return f"{released:%Y-%m-%d}", "day"

    def upc(self, album: DemoAlbum) -> str:
        """Twelve digits with a true check digit (GS1); no company has the prefix 000."""
        digits = f"000{int(drawn('upc', album.album_id) * 1e8):08d}"
        total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(digits))
        return f"{digits}{-total % 10}"

    def popularity_of_artist(self, artist: DemoArtist) -> int:
        return int(95 * drawn("popularity", artist.artist_id) ** 1.5)

    def popularity_of_track(self, track: DemoTrack) -> int:
        return max(0, self.popularity_of_artist(track.artist) - int(50 * drawn("popularity", track.track_id)))

    def popularity_of_album(self, album: DemoAlbum) -> int:
        return max(0, self.popularity_of_artist(album.artist) - int(40 * drawn("popularity", album.album_id)))

    def genres(self, artist: DemoArtist) -> tuple[str, ...]:
        """What Spotify tells: for most artists nothing, whatever the truth is (``artist.genres``)."""
        return artist.genres if drawn("genres told", artist.artist_id) < 0.15 else ()

    @cached_property
    def guest_appearances(self) -> dict[str, list[DemoAlbum]]:
        """artist id -> albums of others on which the artist is credited, in no order of meaning."""
        appearances: dict[str, dict[str, DemoAlbum]] = {}
        for tracks in self._album_tracks.values():
            for track in tracks:
                for artist in self.credits(track):
                    if artist.artist_id != track.artist.artist_id:
                        albums = appearances.setdefault(artist.artist_id, {})
                        albums[track.album.album_id] = track.album
        return {artist_id: list(albums.values()) for artist_id, albums in appearances.items()}

    def discography(self, artist: DemoArtist) -> list[tuple[str, DemoAlbum]]:
        """(album_group, album) in Spotify's order: albums, singles, compilations, appearances; each newest first."""
        groups: dict[str, list[DemoAlbum]] = {"album": [], "single": [], "compilation": []}
        for album in self.albums_of_artist.get(artist.artist_id, []):
            groups[album.album_type].append(album)
        groups["appears_on"] = self.guest_appearances.get(artist.artist_id, [])
        ordered = []
        for group, albums in groups.items():
            newest_first = sorted(albums, key=lambda album: (self.release_date(album)[0], album.album_id), reverse=True)
            ordered += [(group, album) for album in newest_first]
        return ordered

    def tracks_of_artist(self, artist: DemoArtist) -> list[DemoTrack]:
        """Every track on which the artist is credited, second editions left out."""
        albums = [*self.albums_of_artist.get(artist.artist_id, []), *self.guest_appearances.get(artist.artist_id, [])]
        tracks: dict[str, DemoTrack] = {}
        for album in albums:
            for track in self.tracks_of(album):
                if any(credited.artist_id == artist.artist_id for credited in self.credits(track)):
                    tracks.setdefault(track.isrc, track)
        return list(tracks.values())

    def most_popular(self, tracks: Iterable[DemoTrack], market: str | None) -> list[DemoTrack]:
        """In the order of the market's taste, without what may not be played there."""

        def rank(track: DemoTrack) -> tuple[float, str]:
            taste = 0.0 if market is None else 8 * drawn(f"taste of {market}", track.isrc)
            return -(self.popularity_of_track(track) + taste), track.track_id

        playable = (track for track in tracks if market is None or self.is_available(track, market))
        return sorted((track for track in playable if not self.is_gone(track.track_id)), key=rank)

    @cached_property
    def tracks_by_isrc(self) -> dict[str, list[DemoTrack]]:
        by_isrc: dict[str, list[DemoTrack]] = {}
        for track in self.tracks.values():
            by_isrc.setdefault(track.isrc, []).append(track)
        return by_isrc

    @cached_property
    def albums_by_upc(self) -> dict[str, DemoAlbum]:
        return {self.upc(album): album for album in self.albums.values()}


def audio_features(track: DemoTrack) -> dict[str, float | int] | None:
    """How the recording sounds: the same for every id with its ISRC; None for the 6 % that were never analysed.

    acousticness, danceability, energy, instrumentalness, liveness, speechiness, valence (0 to 1), key (-1 to
    11, -1 for none), mode (1 major, 0 minor), loudness (dB), tempo (BPM), time_signature.
    """
    isrc = track.isrc
    if drawn("never analysed", isrc) < 0.06:
        return None

    def share(purpose: str, exponent: float = 1.0) -> float:
        return round(drawn(purpose, isrc) ** exponent, 4)

    chance = drawn("key", isrc)
    return {
        "acousticness": share("acousticness", 2.0),
        "danceability": share("danceability", 0.6),
        "energy": share("energy", 0.7),
        "instrumentalness": share("instrumentalness", 6.0),
        "liveness": share("liveness", 3.0),
        "speechiness": share("speechiness", 4.0),
        "valence": share("valence"),
        "key": -1 if chance < 0.02 else int(drawn("pitch", isrc) * 12),
        "mode": int(drawn("mode", isrc) < 0.6),
        "loudness": round(-3.0 - 20.0 * drawn("loudness", isrc), 3),
        "tempo": round(60.0 + 130.0 * drawn("tempo", isrc), 3),
        "time_signature": 4 if drawn("time signature", isrc) < 0.9 else 3,
    }
