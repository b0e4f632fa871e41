"""MusicBrainz: genres of artists, found by a recording's ISRC.

https://musicbrainz.org/doc/MusicBrainz_API and /Rate_Limiting: one request a second, and a user agent that names the
application and whom to turn to. Genres are CC BY-NC-SA, https://musicbrainz.org/doc/About/Data_License.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from spotify_assets.spotify.providers.model import (
    ArtistQuestion,
    Budget,
    Genre,
    GenresTold,
    ProviderUnavailable,
    QuestionRefused,
)
from spotify_assets.spotify.providers.polite import PoliteSession

_LONGEST_GENRE = 100


class MusicBrainz:
    """Genres from MusicBrainz, a `GenreProvider`.

    Args:
        session: Whose user agent names the contact.
        has_contact: Without one nothing is asked, because MusicBrainz wants to know whom to turn to.
    """

    source = "musicbrainz"
    attribution = "Genres by MusicBrainz, https://musicbrainz.org, CC BY-NC-SA 3.0"
    needs_isrc = True
    is_local = False

    def __init__(self, session: PoliteSession, *, has_contact: bool) -> None:
        self._session = session
        self._has_contact = has_contact

    def ask(self, questions: Sequence[ArtistQuestion], budget: Budget) -> GenresTold:
        """As `GenreProvider.ask`."""
        if not self._has_contact:
            raise ProviderUnavailable(
                "MusicBrainz was not asked: it wants to know whom to turn to. Set SPOTIFY_ASSETS_CONTACT to your mail "
                "address or web page; it is sent to MusicBrainz and to nobody else."
            )
        told = {question.artist_name: self._genres(question, budget) for question in questions}
        return GenresTold({name: genres for name, genres in told.items() if genres})

    def _genres(self, question: ArtistQuestion, budget: Budget) -> list[Genre]:
        # On the wire the blank is the plus of their documentation.
        params = {"inc": "artist-credits genres", "fmt": "json"}
        status, body = self._session.get(f"/isrc/{question.isrc}", params, budget)
        if status in (400, 404) and isinstance(body, Mapping):
            return []
        recordings = body.get("recordings") if isinstance(body, Mapping) else None
        if status != 200 or not isinstance(recordings, list):
            raise QuestionRefused(f"MusicBrainz gives an answer that is not understood (HTTP {status}).")
        votes: dict[str, int | None] = {}
        for recording in recordings:
            for name, number in _genres_of_artist(recording, question.artist_name).items():
                votes[name] = max((each for each in (votes.get(name), number) if each is not None), default=None)
        return [Genre(name, votes[name]) for name in sorted(votes)]


def _genres_of_artist(recording: Any, artist_name: str) -> dict[str, int | None]:
    """Genres of the credited artist of that name; of the recording when the artist has none and is the only one."""
    credits = recording.get("artist-credit") if isinstance(recording, Mapping) else None
    if not isinstance(credits, list):
        return {}
    for credit in credits:
        if not isinstance(credit, Mapping):
            continue
        artist = credit.get("artist")
        artist = artist if isinstance(artist, Mapping) else {}
        names = (credit.get("name"), artist.get("name"), artist.get("sort-name"))
        if _folded(artist_name) in {_folded(name) for name in names if isinstance(name, str)}:
            own = _genres(artist.get("genres"))
            return own or (_genres(recording.get("genres")) if len(credits) == 1 else {})
    return {}


def _genres(told: Any) -> dict[str, int | None]:
    genres: dict[str, int | None] = {}
    for genre in told if isinstance(told, list) else []:
        name = genre.get("name") if isinstance(genre, Mapping) else None
        votes = genre.get("count") if isinstance(genre, Mapping) else None
        is_counted = isinstance(votes, int) and not isinstance(votes, bool) and abs(votes) < 10**9
        if isinstance(name, str) and 0 < len(name.strip()) <= _LONGEST_GENRE and not (is_counted and votes <= 0):
            # JSON can hold halves of surrogate pairs, which no table can.
            whole = name.strip().encode("utf-8", "replace").decode()
            genres[whole] = votes if is_counted else None
    return genres


def _folded(name: str) -> str:
    """Letters and digits only: MusicBrainz writes names with typographic marks, and its people know every accent."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(character for character in decomposed if character.isalnum()) or name.strip().casefold()
