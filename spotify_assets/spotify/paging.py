"""How a list is read page by page: by our own parameters.

The `next` of a page is never followed: it is an address, and the token would go wherever it leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spotify_assets.spotify.model import Endpoint, Request, Response

_BY_OFFSET = frozenset(
    {
        Endpoint.TOP_ARTISTS,
        Endpoint.TOP_TRACKS,
        Endpoint.SAVED_TRACKS,
        Endpoint.PLAYLISTS,
        Endpoint.PLAYLIST_ITEMS,
        Endpoint.ARTIST_ALBUMS,
        Endpoint.SEARCH,
    }
)
_HIGHEST_OFFSET = {Endpoint.SEARCH: 1_000}
_HIGHEST_OFFSET_OF_OTHERS = 100_000


def has_pages(endpoint: Endpoint) -> bool:
    """Whether an endpoint answers with pages of a list."""
    return endpoint in _BY_OFFSET or endpoint == Endpoint.RECENTLY_PLAYED


def first_page(request: Request, most: int) -> Request:
    """The request for the page that a list is begun with.

    Args:
        request: May bring a `limit`, `offset`, `after` or `before` of its own.
        most: How many entries a page may hold.
    """
    limit = min(int(request.params.get("limit", most)), most)
    return Request(request.endpoint, {**request.params, "limit": limit}, request.listener)


def next_page(request: Request, response: Response) -> Request | None:
    """The request for the page after this one; None when this is the last, or no page at all.

    Args:
        request: What was asked, with `limit`.
        response: What came.
    """
    page = _page_in(response)
    items = page.get("items") if page else None
    # A page whose entries were all filtered away is not the last one: only `next` tells.
    if page is None or not isinstance(items, list) or ("next" in page and page["next"] is None):
        return None
    further = _by_cursor(request, page) if request.endpoint == Endpoint.RECENTLY_PLAYED else _by_offset(request, page)
    return further and Request(request.endpoint, {**request.params, **further}, request.listener)


def _by_offset(request: Request, page: Mapping[str, Any]) -> dict[str, int] | None:
    asked = int(request.params["limit"])
    told = page.get("limit")
    # A server that gives less than was asked for would otherwise have us leap over entries.
    limit = told if _is_count(told) and 0 < told < asked else asked
    offset = int(request.params.get("offset", 0)) + limit
    total = page.get("total")
    is_last = offset >= total if _is_count(total) else "next" not in page and len(page["items"]) < limit
    highest = _HIGHEST_OFFSET.get(request.endpoint, _HIGHEST_OFFSET_OF_OTHERS)
    if is_last or offset + asked > highest or (not page["items"] and not page.get("next")):
        return None
    return {"offset": offset}


def _by_cursor(request: Request, page: Mapping[str, Any]) -> dict[str, int] | None:
    name = "after" if "after" in request.params else "before"
    cursors = page.get("cursors")
    told = str(cursors.get(name)) if isinstance(cursors, dict) else ""
    if not page["items"] or not (told.isascii() and told.isdigit()):
        return None
    cursor, before = int(told), request.params.get(name)
    is_further = before is None or (cursor > int(before) if name == "after" else cursor < int(before))
    return {name: cursor} if is_further else None


def _page_in(response: Response) -> Mapping[str, Any] | None:
    if response.status != 200 or not isinstance(response.body, dict):
        return None
    if response.endpoint != Endpoint.SEARCH:
        return response.body
    return next((each for each in response.body.values() if isinstance(each, dict) and "items" in each), None)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
