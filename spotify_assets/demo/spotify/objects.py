"""The objects of the Web API: tracks, albums, artists, episodes as one cohort of apps is told of them.

Written after the examples and field lists of https://developer.spotify.com/documentation/web-api/reference/.
Links inside objects name Spotify's own hosts, so that an object is the same after every start of the demo;
pictures lie in the domain ``invalid``, which nobody can load (RFC 2606).
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote_plus

from spotify_assets.demo.catalogue import DemoAlbum, DemoArtist, DemoEpisode, DemoShow, DemoTrack
from spotify_assets.demo.spotify.catalogue import MARKETS, WholeCatalogue, audio_features, derived_id, drawn
from spotify_assets.demo.spotify.cohorts import Cohort

API = "https://api.spotify.com/v1"
Json = dict[str, Any]


def encoded(value: Any) -> bytes:
    """JSON as the Web API sends it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def links(kind: str, object_id: str) -> Json:
    """external_urls, href, id, type and uri: what every object has."""
    return {
        "external_urls": {"spotify": f"https://open.spotify.com/{kind}/{object_id}"},
        "href": f"{API}/{kind}s/{object_id}",
        "id": object_id,
        "type": kind,
        "uri": f"spotify:{kind}:{object_id}",
    }


def images(object_id: str, sizes: tuple[int, ...] = (640, 300, 64)) -> list[Json]:
    """Pictures, largest first."""
    return [
        {"url": f"https://images.invalid/{derived_id(f'image {size}', object_id)}", "height": size, "width": size}
        for size in sizes
    ]


def local_track(uri: str) -> Json:
    """A file of the listener's own, as playlists tell it: names from its URI, and no ids.

    :param uri: ``spotify:local:ARTIST:ALBUM:TITLE:SECONDS``, percent- and plus-encoded.
    """
    artist, album, title, seconds = (unquote_plus(part) for part in uri.split(":")[2:])
    nameless = {"external_urls": {}, "href": None, "id": None, "uri": None}
    return {
        "album": {
            **nameless,
            "album_type": None,
            "artists": [],
            "available_markets": [],
            "images": [],
            "name": album,
            "release_date": None,
            "release_date_precision": None,
            "type": "album",
        },
        "artists": [{**nameless, "name": artist, "type": "artist"}],
        "available_markets": [],
        "disc_number": 0,
        "duration_ms": int(seconds) * 1000,
        "explicit": False,
        "external_ids": {},
        "external_urls": {},
        "href": None,
        "id": None,
        "is_local": True,
        "name": title,
        "popularity": 0,
        "preview_url": None,
        "track_number": 0,
        "type": "track",
        "uri": uri,
    }


class Objects:
    """The objects of a catalogue in the words of a cohort. Every object is made once; do not change what you get."""

    def __init__(self, catalogue: WholeCatalogue, cohort: Cohort) -> None:
        self._catalogue = catalogue
        self._cohort = cohort
        self._artist_mentions: dict[str, Json] = {}
        self._album_mentions: dict[str, Json] = {}
        self._tracks: dict[tuple[str, str], Json] = {}
        self._encoded_tracks: dict[str, bytes] = {}

    def artist_mention(self, artist: DemoArtist) -> Json:
        """SimplifiedArtistObject."""
        told = self._artist_mentions.get(artist.artist_id)
        if told is None:
            told = self._artist_mentions[artist.artist_id] = {
                **links("artist", artist.artist_id),
                "name": artist.name,
            }
        return told

    def artist(self, artist: DemoArtist) -> Json:
        """ArtistObject."""
        popularity = self._catalogue.popularity_of_artist(artist)
        return self._cohort.told(
            "artist",
            {
                **self.artist_mention(artist),
                "followers": {"href": None, "total": int(10 ** (1 + popularity / 18))},
                "genres": list(self._catalogue.genres(artist)),
                # Some artists have no picture.
                "images": images(artist.artist_id) if drawn("picture", artist.artist_id) > 0.05 else [],
                "popularity": popularity,
            },
        )

    def album_mention(self, album: DemoAlbum) -> Json:
        """SimplifiedAlbumObject."""
        told = self._album_mentions.get(album.album_id)
        if told is None:
            released, precision = self._catalogue.release_date(album)
            full = {
                **links("album", album.album_id),
                "album_type": album.album_type,
                "artists": [self.artist_mention(album.artist)],
                "available_markets": list(MARKETS),
                "images": images(album.album_id),
                "name": album.name,
                "release_date": released,
                "release_date_precision": precision,
                "total_tracks": album.total_tracks,
            }
            told = self._album_mentions[album.album_id] = self._cohort.told("album", full)
        return told

    def album_of_discography(self, group: str, album: DemoAlbum) -> Json:
        """ArtistDiscographyAlbumObject."""
        return self._cohort.told("album", {**self.album_mention(album), "album_group": group})

    def album(self, album: DemoAlbum, market: str | None = None) -> Json:
        """AlbumObject."""
        tracks = [self.track_mention(track, market) for track in self._catalogue.tracks_of(album)]
        label = f"{album.artist.name.split()[0]} Records"
        rights = f"{album.release_year} {label}"
        return self._cohort.told(
            "album",
            {
                **self.album_mention(album),
                "copyrights": [{"text": f"© {rights}", "type": "C"}, {"text": f"℗ {rights}", "type": "P"}],
                "external_ids": {"upc": self._catalogue.upc(album)},
                "genres": [],
                "label": label,
                "popularity": self._catalogue.popularity_of_album(album),
                "tracks": {
                    "href": f"{API}/albums/{album.album_id}/tracks?offset=0&limit=50",
                    "items": tracks,
                    "limit": 50,
                    "next": None,
                    "offset": 0,
                    "previous": None,
                    "total": len(tracks),
                },
            },
        )

    def track_mention(self, track: DemoTrack, market: str | None = None) -> Json:
        """SimplifiedTrackObject: without album, external_ids and popularity."""
        left_out = ("album", "external_ids", "popularity")
        return {name: value for name, value in self.track(track, market).items() if name not in left_out}

    def track(self, track: DemoTrack, market: str | None = None) -> Json:
        """TrackObject. Where a market is known, the track may be relinked: told under another id."""
        told = self._plain_track(track) if market is None else self.played_track(track)
        if market is None:
            return told
        told = {name: value for name, value in told.items() if name != "available_markets"}
        told["is_playable"] = self._catalogue.is_available(track, market)
        if not told["is_playable"]:
            told["restrictions"] = {"reason": "market"}
        return told

    def played_track(self, track: DemoTrack) -> Json:
        """TrackObject of a track that a listener played, under the id that it is linked to."""
        relinked = self._catalogue.relinked(track)
        if relinked is track:
            return self._plain_track(track)
        key = (track.track_id, relinked.track_id)
        told = self._tracks.get(key)
        if told is None:
            linked = {**self._plain_track(relinked), "linked_from": links("track", track.track_id)}
            told = self._tracks[key] = self._cohort.told("track", linked)
        return told

    def encoded_played_track(self, track: DemoTrack) -> bytes:
        """`played_track` as it is sent."""
        told = self._encoded_tracks.get(track.track_id)
        if told is None:
            told = self._encoded_tracks[track.track_id] = encoded(self.played_track(track))
        return told

    def _plain_track(self, track: DemoTrack) -> Json:
        key = (track.track_id, track.track_id)
        told = self._tracks.get(key)
        if told is None:
            full = {
                **links("track", track.track_id),
                "album": self.album_mention(track.album),
                "artists": [self.artist_mention(artist) for artist in self._catalogue.credits(track)],
                "available_markets": list(self._catalogue.markets(track)),
                "disc_number": track.disc_number,
                "duration_ms": track.length_ms,
                "explicit": track.is_explicit,
                "external_ids": {"isrc": track.isrc},
                "is_local": False,
                "name": track.name,
                "popularity": self._catalogue.popularity_of_track(track),
                "preview_url": None,
                "track_number": track.track_number,
            }
            told = self._tracks[key] = self._cohort.told("track", full)
        return told

    def audio_features(self, track: DemoTrack) -> Json | None:
        """AudioFeaturesObject; None for a track that was never analysed."""
        features = audio_features(track)
        if features is None:
            return None
        return {
            **features,
            "analysis_url": f"{API}/audio-analysis/{track.track_id}",
            "duration_ms": track.length_ms,
            "id": track.track_id,
            "track_href": f"{API}/tracks/{track.track_id}",
            "type": "audio_features",
            "uri": track.uri,
        }

    def episode(self, episode: DemoEpisode) -> Json:
        """EpisodeObject, as playlists tell it."""
        return {
            **links("episode", episode.episode_id),
            "audio_preview_url": None,
            "description": episode.name,
            "duration_ms": episode.length_ms,
            "explicit": False,
            "html_description": f"<p>{episode.name}</p>",
            "images": images(episode.episode_id),
            "is_externally_hosted": False,
            "is_playable": True,
            "language": "en",
            "languages": ["en"],
            "name": episode.name,
            "release_date": "2020-01-01",
            "release_date_precision": "day",
            "show": self._show(episode.show),
        }

    def _show(self, show: DemoShow) -> Json:
        return {
            **links("show", show.show_id),
            "available_markets": list(MARKETS),
            "copyrights": [],
            "description": show.name,
            "explicit": False,
            "html_description": f"<p>{show.name}</p>",
            "images": images(show.show_id),
            "is_externally_hosted": False,
            "languages": ["en"],
            "media_type": "audio",
            "name": show.name,
            "publisher": show.publisher,
            "total_episodes": 100,
        }
