"""The demo's answers held against Spotify's own description of its Web API (OpenAPI), where that is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spotify_assets_tests.demo.spotify.conftest import Client

DESCRIPTION = Path(__file__).parents[4] / "shared" / "openapi" / "spotify-web-api.yml"

PATHS = {
    "/playlists/{id}/items": "/playlists/{playlist_id}/items",
    "/playlists/{id}/tracks": "/playlists/{playlist_id}/tracks",
}
# Null where the description does not say so, but the API does (known errors of the description).
NULLABLE = (
    ("PlayHistoryObject", "context"),
    ("CursorPagingObject", "next"),
    ("CursorPagingObject", "cursors"),
    ("PlaylistTrackObject", "added_at"),
    ("PlaylistTrackObject", "item"),
    ("PlaylistTrackObject", "track"),
    ("SimplifiedPlaylistObject", "description"),
)
LISTS_WITH_NULLS = (("ManyTracks", "tracks"), ("ManyAlbums", "albums"), ("ManyArtists", "artists"))


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    if not DESCRIPTION.exists():
        pytest.skip("../shared/openapi is not beside the repository")
    import yaml

    with DESCRIPTION.open() as file:
        described = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    schemas, responses = described["components"]["schemas"], described["components"]["responses"]
    for name, field in NULLABLE:
        schemas[name]["properties"][field]["nullable"] = True
    for name, field in (*LISTS_WITH_NULLS, ("ManyAudioFeatures", "audio_features")):
        items = responses[name]["content"]["application/json"]["schema"]["properties"][field]
        items["items"] = {"anyOf": [items["items"], {"type": "null"}]}
    # What came in July 2026.
    schemas["ErrorObject"]["properties"]["reason"] = {"type": "string"}
    return _as_json_schema(described)


def _as_json_schema(value: Any) -> Any:
    """OpenAPI 3.0's `nullable` in the words of JSON Schema."""
    if isinstance(value, list):
        return [_as_json_schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    told = {name: _as_json_schema(each) for name, each in value.items()}
    if told.pop("nullable", None) is True:
        return {"anyOf": [told, {"type": "null"}]}
    return told


def _schema(description: dict[str, Any], endpoint: str, status: int) -> dict[str, Any]:
    response = description["paths"][PATHS.get(endpoint, endpoint)]["get"]["responses"][str(status)]
    if "$ref" in response:
        response = description["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    return response["content"]["application/json"]["schema"]


def _failures(description: dict[str, Any], endpoint: str, status: int, body: Any) -> list[str]:
    import jsonschema

    schema = {**_schema(description, endpoint, status), "components": description["components"]}
    errors = jsonschema.Draft202012Validator(schema).iter_errors(body)
    return [f"{endpoint} {error.json_path}: {error.message[:200]}" for error in errors]


def _fields(description: dict[str, Any], schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All properties of an object, whatever schemas it is put together from."""
    if "$ref" in schema:
        return _fields(description, description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    fields = dict(schema.get("properties", {}))
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        fields |= _fields(description, part)
    return fields


def _items(description: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _items(description, description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    for part in (schema, *schema.get("allOf", ()), *schema.get("anyOf", ())):
        if "items" in part:
            return part["items"]
    return {}


def _unknown(description: dict[str, Any], schema: dict[str, Any], body: Any, path: str) -> Iterator[str]:
    """Names that the description does not know."""
    if isinstance(body, list):
        for each in body:
            yield from _unknown(description, _items(description, schema), each, f"{path}[]")
    elif isinstance(body, dict):
        fields = _fields(description, schema)
        for name, value in body.items():
            if name in fields:
                yield from _unknown(description, fields[name], value, f"{path}.{name}")
            else:
                yield f"{path}.{name}"


def _answers(client: Client) -> Iterator[tuple[str, int, Any]]:
    """(endpoint, status, body) for every endpoint of the cohort, and of some refusals."""
    catalogue = client.demo.catalogue
    relinked = [each for each, track in catalogue.tracks.items() if catalogue.relinked(track) is not track][:5]
    tracks, albums, artists = ([*kind][:20] for kind in (catalogue.tracks, catalogue.albums, catalogue.artists))
    name = catalogue.artists[artists[0]].name
    playlists = [
        playlist.playlist_id for playlist in client.demo.accounts["me"].playlists if playlist.owner != "spotify"
    ]
    unknown = "0" * 22
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/me", {}),
        ("/me/player/recently-played", {"limit": 50}),
        ("/me/player/recently-played", {"before": 1}),
        ("/me/top/artists", {"limit": 50}),
        ("/me/top/tracks", {"limit": 50}),
        ("/me/tracks", {"limit": 50, "market": "DE"}),
        ("/me/playlists", {}),
        *[(f"/playlists/{{id}}/{kind}", {"id": each}) for each in playlists for kind in ("items", "tracks")],
        *[("/tracks/{id}", {"id": each, "market": "DE"}) for each in (*tracks, *relinked)],
        ("/tracks", {"ids": ",".join([*tracks, *relinked, unknown])}),
        *[("/albums/{id}", {"id": each}) for each in albums],
        ("/albums", {"ids": ",".join([*albums[:19], unknown])}),
        *[("/artists/{id}", {"id": each}) for each in artists],
        ("/artists", {"ids": ",".join([*artists, unknown])}),
        *[("/artists/{id}/albums", {"id": each, "limit": 10}) for each in artists[:5]],
        *[("/artists/{id}/top-tracks", {"id": each, "market": "US"}) for each in artists[:5]],
        ("/audio-features", {"ids": ",".join([*tracks, unknown])}),
        ("/search", {"q": f'artist:"{name}"', "type": "track,album,artist", "limit": 10}),
        ("/search", {"q": "river", "type": "track,album,artist", "market": "US"}),
    ]
    for endpoint, params in asked:
        query = {each: value for each, value in params.items() if each != "id"}
        response = client.ask(endpoint.replace("{id}", params.get("id", "")), **query)
        if response.content:
            yield endpoint, response.status_code, response.json()


def _without_local_files(body: Any) -> Any:
    """The description knows no nulls in the objects of local files."""
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        kept = [item for item in body["items"] if not (isinstance(item, dict) and item.get("is_local"))]
        return {**body, "items": kept}
    return body


def test_the_extended_cohort_answers_as_described(extended: Client, description: dict[str, Any]) -> None:
    answers = list(_answers(extended))
    assert {status for _, status, _ in answers} == {200}
    failures = []
    for endpoint, status, body in answers:
        failures += _failures(description, endpoint, status, _without_local_files(body))
        failures += _unknown(description, _schema(description, endpoint, status), body, endpoint)
    assert failures == []


def test_the_development_cohort_tells_no_field_that_is_not_described(
    client: Client, description: dict[str, Any]
) -> None:
    answers = list(_answers(client))
    assert {status for _, status, _ in answers} == {200, 403}
    unknown = []
    for endpoint, status, body in answers:
        unknown += _unknown(description, _schema(description, endpoint, status), body, endpoint)
    assert unknown == []


def test_the_development_cohort_is_told_nothing_that_it_does_not_get(client: Client) -> None:
    removed = {"popularity", "available_markets", "linked_from", "followers", "country", "email", "product", "label"}
    shows = ("episode", "show")

    def names(value: Any) -> Iterator[str]:
        if isinstance(value, dict) and value.get("type") not in shows:
            yield from value
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                yield from names(each)

    for endpoint, _, body in _answers(client):
        assert removed.isdisjoint(names(body)), endpoint


def test_refusals_are_as_described(extended: Client, description: dict[str, Any]) -> None:
    without_scope = extended.demo.tokens.issue("me", [])
    extended.demo.quota.lock("search")
    refusals = [
        ("/me", extended.ask("/me", token="invented")),
        ("/me/tracks", extended.ask("/me/tracks", token=without_scope)),
        ("/search", extended.ask("/search", q="river", type="track")),
    ]
    assert [response.status_code for _, response in refusals] == [401, 403, 429]
    for endpoint, response in refusals:
        assert _failures(description, endpoint, response.status_code, response.json()) == []
