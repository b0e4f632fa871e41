from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_assets.spotify.client import SpotifyClient
from spotify_assets.spotify.model import Endpoint, Request, Response
from spotify_assets.spotify.paging import first_page, has_pages, next_page
from spotify_assets_tests.spotify.scripted_api import BEGIN, Said, ScriptedApi, Seen, error

SAVED = Request(Endpoint.SAVED_TRACKS, {}, "me")
RECENT = Request(Endpoint.RECENTLY_PLAYED, {}, "me")


def asked_for(client: SpotifyClient, request: Request) -> list[dict[str, Any]]:
    return [dict(page.params) for page in client.pages(request)]


def list_of(length: int, **changes: Any) -> Any:
    """Answers like Spotify about a list of this many entries."""

    def answer(seen: Seen) -> Said:
        offset, limit = int(seen.query.get("offset", 0)), int(seen.query["limit"])
        items = list(range(length))[offset : offset + limit]
        following = "https://elsewhere.invalid" if offset + limit < length else None
        return Said(200, {"items": items, "total": length, "limit": limit, "next": following, **changes})

    return answer


@pytest.mark.parametrize(("length", "pages"), [(0, 1), (1, 1), (50, 1), (51, 2), (120, 3)])
def test_a_list_is_read_to_its_end(client: SpotifyClient, api: ScriptedApi, length: int, pages: int) -> None:
    api.otherwise = list_of(length)
    read = list(client.pages(SAVED))
    assert len(read) == pages
    assert [item for page in read for item in page.body["items"]] == list(range(length))


def test_an_own_limit_and_offset_hold(client: SpotifyClient, api: ScriptedApi) -> None:
    api.otherwise = list_of(12)
    asked = asked_for(client, Request(Endpoint.SAVED_TRACKS, {"limit": 5, "offset": 2}, "me"))
    assert asked == [{"limit": 5, "offset": 2}, {"limit": 5, "offset": 7}]


def test_a_server_that_gives_less_than_was_asked_for_loses_nothing(client: SpotifyClient, api: ScriptedApi) -> None:
    def answer(seen: Seen) -> Said:
        offset = int(seen.query.get("offset", 0))
        return Said(200, {"items": list(range(70))[offset : offset + 20], "total": 70, "limit": 20})

    api.otherwise = answer
    items = [item for page in client.pages(SAVED) for item in page.body["items"]]
    assert items == list(range(70))


def test_a_page_whose_entries_were_filtered_away_is_not_the_last(client: SpotifyClient, api: ScriptedApi) -> None:
    api.script = [Said(200, {"items": [], "next": "https://elsewhere.invalid", "total": 60, "limit": 50})]
    api.otherwise = list_of(60)
    assert len(asked_for(client, SAVED)) == 2


def test_search_ends_where_spotify_has_it_end(client: SpotifyClient, api: ScriptedApi) -> None:
    api.otherwise = lambda seen: Said(200, {"tracks": {"items": [1] * 10, "total": 99_999, "next": "x"}})
    asked = asked_for(client, Request(Endpoint.SEARCH, {"q": "a", "type": "track", "offset": 960}))
    assert [params["offset"] for params in asked] == [960, 970, 980, 990]


@pytest.mark.parametrize(("name", "cursors"), [("before", [300, 200]), ("after", [200, 300])])
def test_plays_are_read_by_cursor_in_the_direction_that_was_begun(
    client: SpotifyClient, api: ScriptedApi, name: str, cursors: list[int]
) -> None:
    api.script = [
        Said(200, {"items": [1], "next": "x", "cursors": {"after": str(cursor), "before": str(cursor)}})
        for cursor in cursors
    ]
    api.otherwise = lambda seen: Said(200, {"items": [], "next": None, "cursors": None})
    begin = Request(Endpoint.RECENTLY_PLAYED, {name: 100 if name == "after" else 400}, "me")
    assert [params[name] for params in asked_for(client, begin)] == [begin.params[name], *cursors]


def test_a_cursor_that_leads_nowhere_ends_the_list(client: SpotifyClient, api: ScriptedApi) -> None:
    api.otherwise = lambda seen: Said(200, {"items": [1], "next": "x", "cursors": {"before": "100"}})
    assert len(asked_for(client, RECENT)) == 2


def test_a_refused_page_is_the_last(client: SpotifyClient, api: ScriptedApi) -> None:
    api.otherwise = lambda seen: error(403, "Forbidden")
    pages = list(client.pages(Request(Endpoint.PLAYLIST_ITEMS, {"id": "p"}, "me")))
    assert [page.status for page in pages] == [403]


def test_what_has_no_pages_is_asked_for_once(client: SpotifyClient, api: ScriptedApi) -> None:
    assert len(asked_for(client, Request(Endpoint.ARTIST, {"id": "a"}))) == 1


ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 200), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=4,
)
PAGES = st.dictionaries(st.sampled_from(["items", "next", "total", "limit", "offset", "cursors", "tracks"]), ODD)


@settings(deadline=None, max_examples=80)
@given(st.sampled_from([each for each in Endpoint if has_pages(each)]), st.one_of(ODD, PAGES), st.integers(0, 60))
def test_no_page_however_odd_is_read_for_ever(endpoint: Endpoint, body: Any, repeats: int) -> None:
    request = first_page(Request(endpoint, {"id": "x"}, "me"), 50)
    seen = set()
    for _ in range(repeats):
        place = (request.params.get("offset"), request.params.get("before"))
        assert place not in seen
        seen.add(place)
        following = next_page(request, Response("me", endpoint.value, request.params, BEGIN, 200, body))
        if following is None:
            break
        request = following
