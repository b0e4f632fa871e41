"""How much may be asked of Spotify: the ledger of requests in `state.sqlite`.

Spotify counts requests per developer account and bucket of endpoints, and locks a bucket for about a day when it was
asked too much; asking on while it is locked may make that longer. So every request is reserved here before it is sent:
one that was killed before its answer came is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TypedDict

from spotify_assets.spotify.errors import QuotaBlocked
from spotify_assets.spotify.model import Endpoint
from spotify_assets.state import QuotaBlock, State

_FIRST_BLOCK_OF_QUOTA = timedelta(hours=1)
_FIRST_BLOCK_OF_RATE = timedelta(minutes=5)
_LONGEST_GUESS = timedelta(hours=24)
_LONGEST_BELIEVED = timedelta(days=7)


class Bucket(StrEnum):
    """Endpoints that are counted together. The borders are ours: Spotify does not tell its own.

    The names are those of the setting `daily_budgets` and of raw.api_quota.
    """

    PROFILE = "profile"
    RECENTLY_PLAYED = "recently_played"
    TOP = "top"
    SAVED_TRACKS = "saved_tracks"
    PLAYLISTS = "playlists"
    PLAYLIST_ITEMS = "playlist_items"
    TRACKS = "tracks"
    ALBUMS = "albums"
    ARTISTS = "artists"
    ARTIST_ALBUMS = "artist_albums"
    ARTIST_TOP_TRACKS = "artist_top_tracks"
    AUDIO_FEATURES = "audio_features"
    SEARCH = "search"


BUCKETS: Mapping[Endpoint, Bucket] = {
    Endpoint.ME: Bucket.PROFILE,
    Endpoint.RECENTLY_PLAYED: Bucket.RECENTLY_PLAYED,
    Endpoint.TOP_ARTISTS: Bucket.TOP,
    Endpoint.TOP_TRACKS: Bucket.TOP,
    Endpoint.SAVED_TRACKS: Bucket.SAVED_TRACKS,
    Endpoint.PLAYLISTS: Bucket.PLAYLISTS,
    Endpoint.PLAYLIST_ITEMS: Bucket.PLAYLIST_ITEMS,
    Endpoint.TRACK: Bucket.TRACKS,
    Endpoint.TRACKS: Bucket.TRACKS,
    Endpoint.ALBUM: Bucket.ALBUMS,
    Endpoint.ALBUMS: Bucket.ALBUMS,
    Endpoint.ARTIST: Bucket.ARTISTS,
    Endpoint.ARTISTS: Bucket.ARTISTS,
    Endpoint.ARTIST_ALBUMS: Bucket.ARTIST_ALBUMS,
    Endpoint.ARTIST_TOP_TRACKS: Bucket.ARTIST_TOP_TRACKS,
    Endpoint.AUDIO_FEATURES: Bucket.AUDIO_FEATURES,
    Endpoint.SEARCH: Bucket.SEARCH,
}
"""Where each endpoint counts."""


class QuotaRow(TypedDict):
    """A row of raw.api_quota."""

    bucket: str
    asked_on: date
    requests: int
    daily_budget: int
    blocked_until: datetime | None


class QuotaLedger:
    """The ledger of a home; several processes may use it at once.

    Args:
        state: Where it is kept.
        budgets: Requests a day (UTC) by bucket; a bucket that is not named may not be asked at all.

    Raises:
        StateError: From any call: `state.sqlite` cannot be used.
    """

    def __init__(self, state: State, budgets: Mapping[str, int]) -> None:
        self._state = state
        self._budgets = dict(budgets)

    def reserve(self, bucket: Bucket, now: datetime) -> None:
        """Count one request that is going to be sent.

        Raises:
            QuotaBlocked: It may not be sent; nothing was counted.
        """
        budget = self._budgets.get(bucket, 0)
        reservation = self._state.reserve_request(bucket, now, budget)
        if reservation.blocked_until:
            raise self.refusal(bucket, reservation.blocked_until)
        if not reservation.is_granted:
            why = f"The daily budget of {budget} requests for {in_words(bucket)} is used."
            raise QuotaBlocked(bucket, _next_day(now), why)

    def block(
        self, bucket: Bucket, now: datetime, *, retry_after_seconds: float | None, is_quota: bool
    ) -> QuotaBlocked:
        """Have a bucket not be asked again for as long as Spotify said.

        Where Spotify did not say how long, the wait doubles with every refusal since the bucket's last answer: from an
        hour for a used quota, from 5 minutes for the rate limit, up to a day. More than 7 days are not believed.

        Args:
            retry_after_seconds: What Spotify said; None when it said nothing.
            is_quota: Whether the quota is used (`QUOTA_EXCEEDED`), rather than the rate limit.

        Returns:
            What is to be raised.
        """

        def until(refusals_before: int) -> datetime:
            if retry_after_seconds is not None:
                return now + timedelta(seconds=min(retry_after_seconds, _LONGEST_BELIEVED.total_seconds()))
            first = _FIRST_BLOCK_OF_QUOTA if is_quota else _FIRST_BLOCK_OF_RATE
            return now + min(first * 2 ** min(refusals_before, 16), _LONGEST_GUESS)

        return self.refusal(bucket, self._state.block_bucket(bucket, until))

    def answered(self, bucket: Bucket) -> None:
        """Note that Spotify has answered: the next refusal counts as the first."""
        block = self._state.quota_blocks().get(bucket)
        if block and block.refusals:
            self._state.forget_refusals(bucket)

    def refusal(self, bucket: Bucket, until: datetime) -> QuotaBlocked:
        """What is to be raised while a bucket is blocked."""
        return QuotaBlocked(bucket, until, f"Spotify refuses further requests for {in_words(bucket)}.")

    def remaining(self, bucket: Bucket, now: datetime) -> int:
        """How many requests may still be sent on this UTC day; 0 while the bucket is blocked."""
        if self.blocked_until(bucket, now):
            return 0
        return max(0, self._budgets.get(bucket, 0) - self._requests_on(now).get(bucket, 0))

    def daily_budget(self, bucket: Bucket) -> int:
        """How many requests may be sent in a day."""
        return self._budgets.get(bucket, 0)

    def blocked_until(self, bucket: Bucket, now: datetime) -> datetime | None:
        """Until when Spotify refuses a bucket (UTC); None when it does not."""
        return _still(self._state.quota_blocks().get(bucket), now)

    def rows(self, now: datetime) -> list[QuotaRow]:
        """The whole ledger as rows of raw.api_quota; a block that holds stands on the bucket's last day."""
        days = self._state.quota_days()
        last = {day.bucket: day for day in days}
        until = {bucket: _still(block, now) for bucket, block in self._state.quota_blocks().items()}
        return [
            QuotaRow(**day._asdict(), blocked_until=until.get(day.bucket) if day is last[day.bucket] else None)
            for day in days
        ]

    def text(self, now: datetime) -> str:
        """What was asked today and what is blocked, for a person."""
        asked, blocks = self._requests_on(now), self._state.quota_blocks()
        told = []
        for bucket in Bucket:
            until = _still(blocks.get(bucket), now)
            blocked = f", refused by Spotify until {until:%Y-%m-%d %H:%M} UTC" if until else ""
            if until or asked.get(bucket):
                told.append(f"{in_words(bucket)} {asked.get(bucket, 0)} of {self.daily_budget(bucket)}{blocked}")
        return f"Asked of Spotify today (UTC): {'; '.join(told) or 'nothing'}."

    def _requests_on(self, now: datetime) -> dict[str, int]:
        today = now.astimezone(UTC).date()
        return {day.bucket: day.requests for day in self._state.quota_days() if day.asked_on == today}


def in_words(bucket: str) -> str:
    """A bucket's name for a person."""
    return bucket.replace("_", " ")


def _still(block: QuotaBlock | None, now: datetime) -> datetime | None:
    return block.blocked_until if block and block.blocked_until > now else None


def _next_day(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
