"""What ``GET /search`` of the demo Spotify finds.

Filters: ``artist:``, ``album:``, ``track:``, ``isrc:``, ``upc:``, ``year:`` (one, or from-to), each up to the
next filter and with or without quotes; what stands before the first filter is looked for in all names. Case,
accents and symbols do not count. As with the real search, other artists whose names share a word stand among the
answers: whoever wants one artist must look at the ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from spotify_assets.demo.catalogue import DemoAlbum, DemoArtist, DemoTrack, fold
from spotify_assets.demo.spotify.catalogue import WholeCatalogue

_FILTER = re.compile(r"\b(artist|album|track|isrc|upc|year):", re.IGNORECASE)
_STRANGER_AFTER = 3


def parse(query: str) -> dict[str, str]:
    """Filter -> value; the free words stand under the empty name."""
    free, *rest = _FILTER.split(query)
    filters = {"": free.strip().strip('"').strip()} if free.strip() else {}
    for name, value in zip(rest[::2], rest[1::2], strict=True):
        filters[name.lower()] = value.strip().strip('"').strip()
    return filters


@dataclass(frozen=True, slots=True)
class _Named:
    """Something that can be found, with its folded names by filter."""

    thing: Any
    year: int | None
    names: dict[str, str]


class Search:
    """Looks for tracks, albums and artists by the words of their names."""

    def __init__(self, catalogue: WholeCatalogue) -> None:
        self._catalogue = catalogue

    # Folded once: folding all names anew for each question took half a second.
    @cached_property
    def _named_artists(self) -> dict[str, _Named]:
        artists = self._catalogue.artists
        return {each: _Named(artist, None, {"artist": fold(artist.name)}) for each, artist in artists.items()}

    @cached_property
    def _named_albums(self) -> dict[str, _Named]:
        named = {}
        for album_id, album in self._catalogue.albums.items():
            names = {"album": fold(album.name), **self._named_artists[album.artist.artist_id].names}
            named[album_id] = _Named(album, album.release_year, names)
        return named

    @cached_property
    def _named_tracks(self) -> dict[str, _Named]:
        named = {}
        for track_id, track in self._catalogue.tracks.items():
            names = {"track": fold(track.name), **self._named_albums[track.album.album_id].names}
            named[track_id] = _Named(track, track.album.release_year, names)
        return named

    def tracks(self, query: str, market: str | None = None) -> list[DemoTrack]:
        filters = parse(query)
        if "upc" in filters:
            return []
        if "isrc" in filters:
            recorded = self._catalogue.tracks_by_isrc.get(filters.pop("isrc").upper(), [])
            return self._popular(recorded, filters, market)
        if "artist" not in filters:
            return self._catalogue.most_popular(_matching(self._named_tracks.values(), filters), market)
        meant, strangers = self._artists_named(filters.pop("artist"))
        found = self._by(meant, filters, market)
        for place, track in enumerate(self._by(strangers, filters, market)[: len(found) // _STRANGER_AFTER + 1]):
            found.insert((place + 1) * (_STRANGER_AFTER + 1) - 1, track)
        return list({track.track_id: track for track in found}.values())

    def _by(self, artists: Iterable[DemoArtist], filters: dict[str, str], market: str | None) -> list[DemoTrack]:
        tracks = [track for artist in artists for track in self._catalogue.tracks_of_artist(artist)]
        return self._popular(tracks, filters, market)

    def _popular(self, tracks: Iterable[DemoTrack], filters: dict[str, str], market: str | None) -> list[DemoTrack]:
        named = {track.track_id: self._named_tracks[track.track_id] for track in tracks}
        return self._catalogue.most_popular(_matching(named.values(), filters), market)

    def _artists_named(self, name: str) -> tuple[list[DemoArtist], list[DemoArtist]]:
        """Those of this name, and a few who share a word with it."""
        wanted, words = fold(name), {fold(word) for word in name.split()} - {""}
        meant, strangers = [], []
        for named in self._named_artists.values():
            if named.names["artist"] == wanted:
                meant.append(named.thing)
            elif any(word in named.names["artist"] for word in words):
                strangers.append(named.thing)
        return meant, strangers[:5]

    def albums(self, query: str) -> list[DemoAlbum]:
        catalogue, filters = self._catalogue, parse(query)
        if "isrc" in filters or "track" in filters:
            return []
        if "upc" in filters:
            album = catalogue.albums_by_upc.get(filters["upc"])
            return [] if album is None else [album]
        found = _matching(self._named_albums.values(), filters)
        return sorted(found, key=lambda album: (-catalogue.popularity_of_album(album), album.album_id))

    def artists(self, query: str) -> list[DemoArtist]:
        catalogue, filters = self._catalogue, parse(query)
        if set(filters) - {"", "artist"}:
            return []
        found = _matching(self._named_artists.values(), filters)
        return sorted(found, key=lambda artist: (-catalogue.popularity_of_artist(artist), artist.artist_id))


def _matching(candidates: Iterable[_Named], filters: dict[str, str]) -> list[Any]:
    wanted = {name: fold(value) for name, value in filters.items() if name in ("artist", "album", "track")}
    free, years = fold(filters.get("", "")), _years(filters.get("year"))
    return [
        named.thing
        for named in candidates
        if (not free or any(free in text for text in named.names.values()))
        and (years is None or named.year in years)
        and all(text in named.names.get(name, "") for name, text in wanted.items())
    ]


def _years(text: str | None) -> range | None:
    match = re.fullmatch(r"(\d{4})(?:-(\d{4}))?", text or "")
    return range(int(match[1]), int(match[2] or match[1]) + 1) if match else None
