"""What the demo listener has saved and put into playlists, made from what was played: the same for the account
data of an export and for the Web API."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from spotify_assets.demo.catalogue import DemoAlbum, DemoArtist, DemoEpisode, DemoShow, DemoTrack
from spotify_assets.demo.listener import TruePlay

LOCAL_FILE_URI = "spotify:local:Sk%C3%B6rvik:Tapes:Demo+1:193"
_WITHOUT_PLAYS = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PlaylistEntry:
    """One entry; ``kind`` is track, episode, local (a file of the listener's own) or nothing (its title has
    vanished)."""

    kind: str
    added_at: datetime
    track: DemoTrack | None = None
    episode: DemoEpisode | None = None
    local_uri: str | None = None


@dataclass(frozen=True, slots=True)
class DemoPlaylist:
    name: str
    entries: tuple[PlaylistEntry, ...]
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class DemoLibrary:
    """Saved things and playlists.

    ``tracks`` are ordered by number of plays, most-played first; ``added`` has the instant at which each of
    them was saved (the end of its first play), by URI. ``playlists``: two bear one name, one is empty.
    """

    tracks: tuple[DemoTrack, ...]
    added: dict[str, datetime]
    albums: tuple[DemoAlbum, ...]
    artists: tuple[DemoArtist, ...]
    episodes: tuple[DemoEpisode, ...]
    shows: tuple[DemoShow, ...]
    playlists: tuple[DemoPlaylist, ...]


def make_library(plays: Sequence[TruePlay], seed: int) -> DemoLibrary:
    """The library of a listener with these plays: the most-played things are saved."""
    rng = random.Random(f"library {seed}")
    played_episodes: dict[str, DemoEpisode] = {}
    added: dict[str, datetime] = {}
    by_uri: dict[str, DemoTrack] = {}
    counts: Counter[str] = Counter()
    for play in plays:
        if play.track is not None:
            uri = play.track.uri
            counts[uri] += 1
            if uri not in by_uri:
                by_uri[uri] = play.track
                added[uri] = play.ended_at
        elif play.episode is not None:
            played_episodes[play.episode.uri] = play.episode
    ranked = [by_uri[uri] for uri, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    tracks = ranked[: max(1, len(ranked) // 12)] if ranked else []
    albums: dict[str, DemoAlbum] = {}
    artists: dict[str, DemoArtist] = {}
    for track in tracks[:150]:
        albums.setdefault(track.album.album_id, track.album)
        artists.setdefault(track.artist.artist_id, track.artist)
    episodes = sorted(played_episodes.values(), key=lambda episode: episode.uri)[:10]
    shows: dict[str, DemoShow] = {episode.show.show_id: episode.show for episode in episodes}

    last_day = max((play.ended_at for play in plays), default=_WITHOUT_PLAYS)
    last_modified = added[ranked[0].uri] if ranked else _WITHOUT_PLAYS
    playlists = []
    # Two playlists may bear one name, and one may be empty.
    for name, size in (("Mornings ☀️", 40), ("Drive / Night", 25), ("Drive / Night", 12), ("Nothing yet", 0)):
        chosen = rng.sample(ranked[:400], k=min(size, len(ranked[:400])))
        entries = [PlaylistEntry("track", added[track.uri], track=track) for track in chosen]
        if size >= 25:
            entries.insert(1, PlaylistEntry("local", last_day, local_uri=LOCAL_FILE_URI))
            if episodes:
                entries.append(PlaylistEntry("episode", last_day, episode=episodes[0]))
            entries.append(PlaylistEntry("nothing", last_day))
        playlists.append(DemoPlaylist(name, tuple(entries), last_modified))
    return DemoLibrary(
        tracks=tuple(tracks),
        added={track.uri: added[track.uri] for track in tracks},
        albums=tuple(albums.values()),
        artists=tuple(artists.values()),
        episodes=tuple(episodes),
        shows=tuple(shows.values()),
        playlists=tuple(playlists),
    )
