"""Which of many stored pages make a list together.

A list is read page by page, perhaps over days when a quota ends in between, and it may change meanwhile. What it was at
one moment is told by a first page and the pages that came after it, before another first page said something else. As
long as first pages go on telling the same, the pages behind them hold: lists begin with what was added last, and a
total tells of what went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from spotify_assets.spotify.reading import PageOf


@dataclass(frozen=True)
class StoredPage:
    """A page that came.

    Attributes:
        response_id: The response.
        fetched_at: When it came.
        offset: Entries that come before it.
        body_hash: Equal when it tells the same.
    """

    response_id: int
    fetched_at: datetime
    offset: int
    body_hash: int


@dataclass(frozen=True)
class Version:
    """What a list was for as long as its first page stayed the same.

    Attributes:
        first: The first page as it came first.
        confirmed: The first page as it came last: the moment that the version describes.
        rest: The page that came last, by offset, among those of that time.
    """

    first: StoredPage
    confirmed: StoredPage
    rest: dict[int, StoredPage]


@dataclass(frozen=True)
class Pages:
    """Pages that follow one another.

    Attributes:
        version: The version of the list.
        pages: From the first page on, without a gap.
        next_offset: Where the page begins that is wanted next; None when the list is complete.
    """

    version: Version
    pages: tuple[StoredPage, ...]
    next_offset: int | None

    @property
    def is_complete(self) -> bool:
        return self.next_offset is None

    @property
    def fetched_at(self) -> datetime:
        """When the first page came last: the moment that the rows describe."""
        return self.version.confirmed.fetched_at

    def response_ids(self) -> set[int]:
        """What must be kept, so that the list can be put together again."""
        return {page.response_id for page in (self.version.first, self.version.confirmed, *self.pages)}


def versions(pages: Iterable[StoredPage]) -> list[Version]:
    """The versions of a list, newest first."""
    found: list[Version] = []
    for page in sorted(pages, key=lambda page: (page.fetched_at, page.offset, page.response_id)):
        if page.offset == 0:
            if found and found[-1].first.body_hash == page.body_hash:
                found[-1] = Version(found[-1].first, page, found[-1].rest)
            else:
                found.append(Version(page, page, {}))
        elif found:
            found[-1].rest[page.offset] = page
    return found[::-1]


def may_be_complete(version: Version, page_of: Callable[[int], PageOf | None]) -> bool:
    """Whether the last page of an unbroken row of pages is the last of the list: looks into two pages only."""
    last, place = version.confirmed, page_of(version.confirmed.response_id)
    if place is None:
        return False
    while following := version.rest.get(last.offset + place.limit):
        last = following
    told = page_of(last.response_id)
    return told is not None and told.is_last


def put_together(version: Version, page_of: Callable[[int], PageOf | None]) -> Pages | None:
    """The pages of a version from the first one on, as far as they follow one another; None when it has no first page.

    A page that tells another total than the first one was told by a list that had changed: it counts as not there.

    Args:
        page_of: Tells where a response stands in its list, None when it is no page.
    """
    first = page_of(version.confirmed.response_id)
    if first is None:
        return None
    pages, place = [version.confirmed], first
    while not place.is_last:
        next_offset = place.offset + place.limit
        page = version.rest.get(next_offset)
        told = page_of(page.response_id) if page else None
        if page is None or told is None or told.total != first.total:
            return Pages(version, tuple(pages), next_offset)
        pages.append(page)
        place = told
    return Pages(version, tuple(pages), None)
