"""What ``GET /search`` of the demo Spotify finds.

Filters: ``artist:``, ``album:``, ``track:``, ``isrc:``, ``upc:``, ``year:`` (one, or from-to), each up to the
next filter and with or without quotes; what stands before the first filter is looked for in all names. Case,
accents and symbols do not count. As with the real search, other artists whose names share a word stand among the
answers: whoever wants one artist must look at the ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from spotify_assets.demo.catalogue import DemoAlbum, DemoArtist, DemoTrack, fold
from spotify_assets.demo.spotify.catalogue import WholeCatalogue

_FILTER = re.compile(r"\b(artist|album|track|isrc|upc|year):", re.IGNORECASE)
_STRANGER_AFTER = 3
# Free words are looked for in every name: folding all of them anew took half a second.
_folded = lru_cache(maxsize=500_000)(fold)


def parse(query: str) -> dict[str, str]:
    """Filter -> value; the free words stand under the empty name."""
    free, *rest = _FILTER.split(query)
    filters = {"": free.strip().strip('"').strip()} if free.strip() else {}
    for name, value in zip(rest[::2], rest[1::2], strict=True):
        filters[name.lower()] = value.strip().strip('"').strip()
    return filters


class Search:
    """Looks for tracks, albums and artists by the words of their names."""

    def __init__(self, catalogue: WholeCatalogue) -> None:
        self._catalogue = catalogue

    def tracks(self, query: str, market: str | None = None) -> list[DemoTrack]:
        catalogue, filters = self._catalogue, parse(query)
        if "upc" in filters:
            return []
        if "isrc" in filters:
            found = catalogue.tracks_by_isrc.get(filters["isrc"].upper(), [])
        elif "artist" in filters:
            return self._of_artists(filters, market)
        else:
            found = list(catalogue.tracks.values())
        return catalogue.most_popular(_matching(found, filters, _track_names, _track_year), market)

    def _of_artists(self, filters: dict[str, str], market: str | None) -> list[DemoTrack]:
        catalogue = self._catalogue
        rest = {name: value for name, value in filters.items() if name != "artist"}
        meant, strangers = self._artists_named(filters["artist"])

        def of(artists: list[DemoArtist]) -> list[DemoTrack]:
            tracks = {track.track_id: track for artist in artists for track in catalogue.tracks_of_artist(artist)}
            return catalogue.most_popular(_matching(list(tracks.values()), rest, _track_names, _track_year), market)

        found = of(meant)
        for place, track in enumerate(of(strangers)[: len(found) // _STRANGER_AFTER + 1]):
            found.insert(min(len(found), (place + 1) * (_STRANGER_AFTER + 1) - 1), track)
        return list({track.track_id: track for track in found}.values())

    def _artists_named(self, name: str) -> tuple[list[DemoArtist], list[DemoArtist]]:
        """Those of this name, and a few who share a word with it."""
        wanted, words = fold(name), {fold(word) for word in name.split()} - {""}
        meant, strangers = [], []
        for folded, artist in self._catalogue.folded_names:
            if folded == wanted:
                meant.append(artist)
            elif words & {_folded(word) for word in artist.name.split()}:
                strangers.append(artist)
        return meant, strangers[:5]

    def albums(self, query: str) -> list[DemoAlbum]:
        catalogue, filters = self._catalogue, parse(query)
        if "isrc" in filters or "track" in filters:
            return []
        if "upc" in filters:
            album = catalogue.albums_by_upc.get(filters["upc"])
            return [] if album is None else [album]
        found = _matching(list(catalogue.albums.values()), filters, _album_names, lambda album: album.release_year)
        return sorted(found, key=lambda album: (-catalogue.popularity_of_album(album), album.album_id))

    def artists(self, query: str) -> list[DemoArtist]:
        catalogue, filters = self._catalogue, parse(query)
        if set(filters) - {"", "artist"}:
            return []
        found = _matching(
            list(catalogue.artists.values()), filters, lambda artist: {"artist": artist.name}, lambda _: 0
        )
        return sorted(found, key=lambda artist: (-catalogue.popularity_of_artist(artist), artist.artist_id))


def _track_names(track: DemoTrack) -> dict[str, str]:
    return {"track": track.name, "album": track.album.name, "artist": track.artist.name}


def _track_year(track: DemoTrack) -> int:
    return track.album.release_year


def _album_names(album: DemoAlbum) -> dict[str, str]:
    return {"album": album.name, "artist": album.artist.name}


def _matching(things: list, filters: dict[str, str], names: Callable, year: Callable) -> list:
    wanted = {name: fold(value) for name, value in filters.items() if name in ("", "artist", "album", "track")}
    years = _years(filters.get("year"))

    def is_meant(thing: object) -> bool:
        if years is not None and year(thing) not in years:
            return False
        told = {name: _folded(text) for name, text in names(thing).items()}
        return all(
            any(value in text for text in told.values()) if name == "" else value in told.get(name, "")
            for name, value in wanted.items()
        )

    return [thing for thing in things if is_meant(thing)]


def _years(text: str | None) -> range | None:
    match = re.fullmatch(r"(\d{4})(?:-(\d{4}))?", text or "")
    return range(int(match[1]), int(match[2] or match[1]) + 1) if match else None
