"""The two kinds of apps that the Web API of 2026 knows, and what each is told.

Rules: https://developer.spotify.com/blog/2026-02-06-update-on-developer-access-and-platform-security and the
migration guide of February 2026; the endpoints' own pages below
https://developer.spotify.com/documentation/web-api/reference/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cohort:
    """What an app may ask for and what it is told.

    :param name: development or extended.
    :param has_batches: ``GET /tracks?ids=``, ``/albums?ids=`` and ``/artists?ids=`` answer.
    :param has_top_tracks: ``GET /artists/{id}/top-tracks`` answers.
    :param has_audio_features: ``GET /audio-features`` answers; of the old apps only some have it.
    :param reads_playlists_of_others: the items of playlists that the listener neither owns nor edits.
    :param artist_albums_limit: largest page of ``GET /artists/{id}/albums``, and the page without `limit`.
    :param search_limit: largest page of ``GET /search``, and the page without `limit`.
    :param playlist_summary: key of ``{href, total}`` in ``GET /me/playlists``.
    :param playlist_entry: keys under which an entry of ``GET /playlists/{id}/items`` holds what was added.
    :param absent: fields that are left out (not null), by kind of object.
    """

    name: str
    has_batches: bool
    has_top_tracks: bool
    has_audio_features: bool
    reads_playlists_of_others: bool
    artist_albums_limit: tuple[int, int]
    search_limit: tuple[int, int]
    playlist_summary: str
    playlist_entry: tuple[str, ...]
    absent: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def told(self, kind: str, full: dict[str, object]) -> dict[str, object]:
        """The object without the fields that this cohort is not told."""
        absent = self.absent.get(kind, frozenset())
        return {name: value for name, value in full.items() if name not in absent}


DEVELOPMENT = Cohort(
    name="development",
    has_batches=False,
    has_top_tracks=False,
    has_audio_features=False,
    reads_playlists_of_others=False,
    artist_albums_limit=(10, 5),
    search_limit=(10, 5),
    playlist_summary="items",
    playlist_entry=("item",),
    absent={
        "user": frozenset({"country", "email", "product", "followers", "explicit_content"}),
        "artist": frozenset({"popularity", "followers"}),
        "album": frozenset({"label", "popularity", "available_markets", "album_group"}),
        "track": frozenset({"popularity", "available_markets", "linked_from"}),
    },
)
"""New rules: every app made since 11 February 2026."""

EXTENDED = Cohort(
    name="extended",
    has_batches=True,
    has_top_tracks=True,
    has_audio_features=True,
    reads_playlists_of_others=True,
    artist_albums_limit=(50, 20),
    search_limit=(50, 20),
    playlist_summary="tracks",
    # Payloads of the months of change carry both names.
    playlist_entry=("item", "track"),
)
"""Old behaviour. An old app without audio features is ``dataclasses.replace(EXTENDED, has_audio_features=False)``."""
