"""Objects of the Web API in few words, as raw.tracks, albums and artists hold them, and what is read from them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from spotify_assets.transforms import objects

TOLD_AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@dataclass(frozen=True)
class Telling:
    """One telling of an object under an id of 22 characters."""

    identifier: str
    told: Any
    told_at: datetime = TOLD_AT
    is_simplified: bool = False


def spotify_id(name: str) -> str:
    """An id of 22 characters that begins with `name`."""
    return f"{name:0<22}"


def artist_object(name: str, **told: Any) -> dict[str, Any]:
    """As part of a track or an album, unless more is told; its id begins with its name."""
    return {"id": spotify_id(name.replace(" ", "").lower()), "name": name, **told}


def track_object(name: str = "Song", *artists: str, album: Any = "Album", **told: Any) -> dict[str, Any]:
    """A track object by Band on Album, unless other names are told."""
    credits = [artist_object(each) for each in artists or ("Band",)]
    if isinstance(album, str):
        album = {"id": spotify_id(album.lower()), "name": album, "artists": credits[:1]}
    return {"name": name, "artists": credits, "album": album, "duration_ms": 200_000, **told}


def chosen(tellings: Iterable[Telling], identifier: str) -> pl.DataFrame:
    """Of tellings those that are chosen to be read, with their objects."""
    schema = {
        identifier: pl.String,
        **objects.TELLINGS,
        "tells_popularity": pl.Boolean,
        "object": pl.String,
    }
    rows = [
        (
            spotify_id(each.identifier),
            number,
            each.told_at,
            each.is_simplified,
            '"popularity"' in json.dumps(each.told),
            json.dumps(each.told),
        )
        for number, each in enumerate(tellings)
    ]
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    wanted = objects.chosen_tellings(frame.lazy().drop("object"), identifier).collect()
    return wanted.join(frame.select(identifier, "object_hash", "object"), on=[identifier, "object_hash"])


def told_objects(
    tracks: Iterable[Telling] = (), albums: Iterable[Telling] = (), artists: Iterable[Telling] = ()
) -> objects.Told:
    """What the tellings tell."""
    return objects.Told(
        objects.tracks(chosen(tracks, "track_id")),
        objects.albums(chosen(albums, "album_id")),
        objects.artists(chosen(artists, "artist_id")),
    )
