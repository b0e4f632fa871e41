"""Stand-ins for ReccoBeats and MusicBrainz: what they would tell of the demo's music, over real HTTP::

reccobeats = DemoReccoBeats(listener.catalogue.tracks, features_of=audio_features)
with serve(reccobeats.app) as url:                    # the setting RECCOBEATS_URL
    reccobeats.faults.add(rate_limited(30, times=1))  # see demo.spotify.faults
    reccobeats.asked                                  # the ids or ISRCs of each request so far

Each knows about six recordings of ten, always the same ones.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spotify_assets.demo.catalogue import DemoArtist, DemoTrack
from spotify_assets.demo.spotify.faults import Altered, Answer, Cut, Faults, Slow

COVERAGE_PERCENT = 60

_HOST = "https://open.spotify.com"
_MOST_IDS = 40
_JSON = "application/json; charset=utf-8"


def is_known(purpose: str, isrc: str, coverage_percent: int = COVERAGE_PERCENT) -> bool:
    """Whether a stand-in knows a recording."""
    return crc32(f"{purpose} {isrc}".encode()) % 100 < coverage_percent


@dataclass(frozen=True, slots=True)
class StandInRequest:
    """One request.

    :param at: monotonic seconds.
    :param asked: Spotify ids or ISRCs.
    :param status: of the answer.
    :param user_agent: as sent.
    """

    at: float
    asked: tuple[str, ...]
    status: int
    user_agent: str


class _StandIn:
    """What both share: faults, a log, an application.

    :param coverage_percent: how much of the music it knows.
    """

    def __init__(self, path: str, coverage_percent: int) -> None:
        self.faults = Faults()
        self.requests: list[StandInRequest] = []
        self.coverage_percent = coverage_percent
        self._path = path
        self.app = Starlette(routes=[Route(path, self._respond)])

    @property
    def asked(self) -> list[str]:
        """The ids or ISRCs of all requests that were answered with 200 or 404, one after the other."""
        return [each for request in self.requests if request.status in (200, 404) for each in request.asked]

    def _questions(self, request: Request) -> tuple[str, ...]:
        raise NotImplementedError

    def _answer(self, questions: tuple[str, ...], request: Request) -> tuple[int, Any]:
        raise NotImplementedError

    async def _respond(self, request: Request) -> Response:
        at = time.monotonic()
        questions = self._questions(request)
        status, told = self._answer(questions, request)
        body, headers = json.dumps(told, ensure_ascii=False).encode(), {"Content-Type": _JSON}
        fault = self.faults.pick(self._path, None, datetime.now(UTC))
        effect = fault.effect if fault else None
        if isinstance(effect, Answer):
            status, body, headers = effect.status, effect.body, dict(effect.headers)
        elif isinstance(effect, Altered):
            body = json.dumps(effect.change(told)).encode()
        elif isinstance(effect, Slow):
            await asyncio.sleep(effect.seconds)
        elif isinstance(effect, Cut):
            # The server closes the connection of an answer that is shorter than it said.
            headers["Content-Length"] = str(len(body))
            body = body[: min(effect.after_bytes or 0, len(body) - 1)]
        logged_status = 0 if isinstance(effect, Cut) else status
        self.requests.append(StandInRequest(at, questions, logged_status, request.headers.get("user-agent", "")))
        return Response(body, status, headers)


class DemoReccoBeats(_StandIn):
    """``GET /audio-features?ids=``: unknown ids are left out, and the order is another one.

    :param tracks: the music it has heard of.
    :param features_of: audio features of a track by the names of Spotify's API; None where there are none.
    """

    def __init__(
        self,
        tracks: Iterable[DemoTrack],
        features_of: Callable[[DemoTrack], Mapping[str, float | int] | None],
        coverage_percent: int = COVERAGE_PERCENT,
    ) -> None:
        super().__init__("/audio-features", coverage_percent)
        self._tracks = {track.track_id: track for track in tracks}
        self._features_of = features_of

    def _questions(self, request: Request) -> tuple[str, ...]:
        return tuple(each for told in request.query_params.getlist("ids") for each in told.split(",") if each)

    def _answer(self, questions: tuple[str, ...], request: Request) -> tuple[int, Any]:
        if not 0 < len(questions) <= _MOST_IDS:
            return 400, {"status": 4001, "error": f"ids: size must be between 1 and {_MOST_IDS}"}
        items = [item for track_id in dict.fromkeys(questions) if (item := self._item(track_id)) is not None]
        random.Random(",".join(questions)).shuffle(items)
        return 200, {"content": items}

    def _item(self, track_id: str) -> dict[str, Any] | None:
        track = self._tracks.get(track_id)
        if track is None or not is_known("reccobeats", track.isrc, self.coverage_percent):
            return None
        features = self._features_of(track)
        if features is None:
            return None
        number = crc32(track_id.encode())
        told = {name: value for name, value in features.items() if name != "time_signature"}
        return {
            "id": f"{number:08x}-0000-4000-8000-{number:012x}",
            "href": f"{_HOST}/track/{track_id}",
            "isrc": track.isrc,
            **told,
        }


class DemoMusicBrainz(_StandIn):
    """``GET /isrc/{isrc}?inc=artist-credits+genres&fmt=json``; 403 for who does not say whom to turn to.

    :param tracks: the recordings.
    :param artists_of: whom a recording credits, in order; the album's artist by default.
    """

    def __init__(
        self,
        tracks: Iterable[DemoTrack],
        artists_of: Callable[[DemoTrack], Sequence[DemoArtist]] = lambda track: (track.artist,),
        coverage_percent: int = COVERAGE_PERCENT,
    ) -> None:
        super().__init__("/isrc/{isrc}", coverage_percent)
        self._by_isrc: dict[str, list[DemoTrack]] = {}
        for track in tracks:
            self._by_isrc.setdefault(track.isrc, []).append(track)
        self._artists_of = artists_of

    def _questions(self, request: Request) -> tuple[str, ...]:
        return (request.path_params["isrc"],)

    def _answer(self, questions: tuple[str, ...], request: Request) -> tuple[int, Any]:
        if not re.search(r"\(.*\S.*\)", request.headers.get("user-agent", "")):
            return 403, {"error": "Please set a meaningful User-Agent with contact details."}
        isrc = questions[0]
        wanted = set(request.query_params.get("inc", "").replace("+", " ").split())
        tracks = self._by_isrc.get(isrc, [])
        if not tracks or not is_known("musicbrainz", isrc, self.coverage_percent):
            return 404, {"error": "Not Found", "help": "For usage, please see: https://musicbrainz.org/development/mmd"}
        recordings: list[dict[str, Any]] = []
        for track in tracks[:1]:
            recording: dict[str, Any] = {"id": _mbid(track.isrc), "title": track.name, "length": track.length_ms}
            if "artist-credits" in wanted:
                credited = self._artists_of(track)
                recording["artist-credit"] = [
                    _credit(artist, " & " if artist is not credited[-1] else "", "genres" in wanted)
                    for artist in credited
                ]
            if "genres" in wanted:
                recording["genres"] = []
            recordings.append(recording)
        return 200, {"isrc": isrc, "recordings": recordings}


def _credit(artist: DemoArtist, join_phrase: str, with_genres: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"id": _mbid(artist.artist_id), "name": artist.name, "sort-name": artist.name}
    if with_genres:
        told["genres"] = [
            {"id": _mbid(genre), "name": genre, "count": 1 + crc32(f"{artist.name} {genre}".encode()) % 20}
            for genre in artist.genres
        ]
    # People who enter a credit write it as the sleeve does.
    name = artist.name.upper() if crc32(artist.artist_id.encode()) % 10 == 0 else artist.name
    return {"name": name, "joinphrase": join_phrase, "artist": told}


def _mbid(identity: str) -> str:
    number = crc32(identity.encode())
    return f"{number:08x}-0000-4000-8000-{number:012x}"
