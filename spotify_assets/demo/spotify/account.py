"""One listener of the demo Spotify: profile, last plays, top lists, saved tracks and playlists, as of an instant."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from spotify_assets.demo.catalogue import DemoArtist, DemoTrack
from spotify_assets.demo.library import DemoLibrary, PlaylistEntry, make_library
from spotify_assets.demo.listener import DemoListener, TruePlay
from spotify_assets.demo.spotify.catalogue import WholeCatalogue, derived_id, drawn

PLAYS_TOLD = 50
"""The Web API tells of so many plays and never of an earlier one."""

TIME_RANGES = {
    "short_term": timedelta(weeks=4),
    "medium_term": timedelta(days=182),
    "long_term": timedelta(days=365),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class AccountPlaylist:
    """A playlist in a listener's list. ``entries`` may be changed at any time: a new version is a new
    ``snapshot_id``.

    :param owner: name of a listener, or of somebody else; ``spotify`` makes the editorial ones.
    """

    name: str
    playlist_id: str
    owner: str
    is_own: bool
    is_collaborative: bool = False
    is_public: bool = False
    description: str = ""
    entries: list[PlaylistEntry] = field(default_factory=list)

    def entries_at(self, now: datetime) -> list[PlaylistEntry]:
        """What had been added by then, in the order of the playlist."""
        return [entry for entry in self.entries if entry.added_at <= now]

    def snapshot_id(self, now: datetime) -> str:
        """Version: another one as soon as an entry or the name is another."""
        told = [self.name]
        for entry in self.entries_at(now):
            uri = entry.local_uri or (entry.track and entry.track.uri) or (entry.episode and entry.episode.uri)
            told.append(f"{entry.added_at.isoformat()} {uri}")
        return derived_id("snapshot", "\n".join(told))


class DemoAccount:
    """A listener as the Web API knows them.

    Told are the plays of tracks, each at its ``told_at`` (an offline play when it is synced) plus ``lag``, with
    the end of the play as `played_at`. Podcasts, audiobooks and local files are not told.

    :param library_plays: from which saved tracks and playlists are made; all plays by default. Give those that
        an export was written from and both tell the same library.
    :param country: market of the account.
    :param shortest_told_ms: shorter plays are not told (older descriptions of the API spoke of 30 s).
    :param tells_private_sessions: False leaves plays of private sessions out.
    :param lag: by which the list comes behind the plays.
    """

    def __init__(
        self,
        name: str,
        listener: DemoListener,
        *,
        library_plays: Sequence[TruePlay] | None = None,
        country: str = "DE",
        shortest_told_ms: int = 0,
        tells_private_sessions: bool = True,
        lag: timedelta = timedelta(0),
    ) -> None:
        self.name = name
        self.listener = listener
        self.country = country
        self.lag = lag
        self.user_id = f"demo-{name}"
        self.account_id = derived_id("account", name)
        self.followers = int(drawn("followers", name) * 40)
        plays = listener.plays()
        self.plays: list[TruePlay] = [
            play
            for play in plays
            if play.track is not None
            and play.ms_played >= shortest_told_ms
            and (tells_private_sessions or not play.incognito)
        ]
        library = make_library(plays if library_plays is None else library_plays, listener.seed)
        self.saved: list[tuple[DemoTrack, datetime]] = [(track, library.added[track.uri]) for track in library.tracks]
        self.playlists: list[AccountPlaylist] = self._make_playlists(library)
        self._tops: dict[tuple[str, datetime], tuple[list[DemoTrack], list[DemoArtist]]] = {}

    def _make_playlists(self, library: DemoLibrary) -> list[AccountPlaylist]:
        own = [
            AccountPlaylist(
                name=made.name,
                playlist_id=derived_id(f"playlist {number}", self.name),
                owner=self.user_id,
                is_own=True,
                is_public=number == 0,
                entries=list(made.entries),
            )
            for number, made in enumerate(library.playlists)
        ]
        shared = [PlaylistEntry("track", library.added[track.uri], track=track) for track in library.tracks[:60]]
        return [
            *own,
            AccountPlaylist(
                name="Flat 4, all of us",
                playlist_id=derived_id("playlist of the flat", self.name),
                owner="demo-flatmate",
                is_own=False,
                is_collaborative=True,
                description="Add what you like.",
                entries=shared,
            ),
            AccountPlaylist(
                name="Somebody's Sundays",
                playlist_id=derived_id("playlist of somebody", self.name),
                owner="demo-somebody",
                is_own=False,
                is_public=True,
                entries=shared[:20],
            ),
            AccountPlaylist(
                name="Fresh This Week",
                playlist_id=derived_id("editorial playlist", self.name),
                owner="spotify",
                is_own=False,
                is_public=True,
                description="Made by editors.",
                entries=shared[10:30],
            ),
        ]

    def last_plays(self, now: datetime) -> list[TruePlay]:
        """What the Web API can tell at an instant: the last 50 plays told by then, newest first."""
        told_until = now - self.lag
        last = bisect_right(self.plays, told_until, key=lambda play: play.ended_at)
        told = (self.plays[place] for place in range(last - 1, -1, -1) if self.plays[place].told_at <= told_until)
        return list(islice(told, PLAYS_TOLD))

    def context_of(self, play: TruePlay) -> tuple[str, str] | None:
        """(kind, URI) of what the play was played from; None for a quarter of them."""
        # Plays in a row come from one place.
        chance = drawn("context", f"{self.name} {play.play_number // 6}")
        if chance < 0.25 or play.track is None:
            return None
        if chance < 0.5:
            return "album", play.track.album.uri
        if chance < 0.6:
            return "artist", play.track.artist.uri
        if chance < 0.75:
            return "collection", f"spotify:user:{self.user_id}:collection"
        playlist = self.playlists[play.play_number // 6 % len(self.playlists)]
        return "playlist", f"spotify:playlist:{playlist.playlist_id}"

    def top(
        self, time_range: str, now: datetime, catalogue: WholeCatalogue
    ) -> tuple[list[DemoTrack], list[DemoArtist]]:
        """Tracks and credited artists by number of plays, then by time, as of the last midnight (UTC)."""
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        key = (time_range, midnight)
        if key not in self._tops:
            self._tops = {other: tops for other, tops in self._tops.items() if other[1] == midnight}
            self._tops[key] = self._rank(midnight - TIME_RANGES[time_range], midnight, catalogue)
        return self._tops[key]

    def _rank(
        self, since: datetime, until: datetime, catalogue: WholeCatalogue
    ) -> tuple[list[DemoTrack], list[DemoArtist]]:
        first, last = (bisect_right(self.plays, edge, key=lambda play: play.ended_at) for edge in (since, until))
        tracks: dict[str, list[int]] = {}
        known: dict[str, DemoTrack] = {}
        for play in self.plays[first:last]:
            track = catalogue.relinked(play.track)
            tally = tracks.setdefault(track.track_id, [0, 0])
            known[track.track_id] = track
            tally[0] += 1
            tally[1] += play.ms_played
        artists: dict[str, list[int]] = {}
        people: dict[str, DemoArtist] = {}
        for track_id, (plays, ms_played) in tracks.items():
            for artist in catalogue.credits(known[track_id]):
                tally = artists.setdefault(artist.artist_id, [0, 0])
                people[artist.artist_id] = artist
                tally[0] += plays
                tally[1] += ms_played

        def ranked(tallies: dict[str, list[int]]) -> list[str]:
            return sorted(tallies, key=lambda each: (-tallies[each][0], -tallies[each][1], each))

        return [known[track_id] for track_id in ranked(tracks)], [people[each] for each in ranked(artists)]

    def saved_tracks(self, now: datetime) -> list[tuple[DemoTrack, datetime]]:
        """(track, added_at) of what was saved by then, newest first."""
        saved = [(track, added_at) for track, added_at in self.saved if added_at <= now]
        return sorted(saved, key=lambda each: (each[1], each[0].uri), reverse=True)

    def playlist(self, playlist_id: str) -> AccountPlaylist | None:
        return next((each for each in self.playlists if each.playlist_id == playlist_id), None)


def milliseconds(instant: datetime) -> int:
    """Since 1970, as the cursors of the Web API count."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)
