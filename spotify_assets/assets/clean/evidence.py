"""What is known besides the rows of exports when plays are decided: what the Web API told, and what exports cover."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from spotify_assets.lakehouse import Transaction
from spotify_assets.schemas import clean, meta, raw, raw_api
from spotify_assets.transforms import api_plays, coverage
from spotify_assets.transforms import plays as transforms
from spotify_assets.transforms.stretches import LONGEST_PLAY, REACH, Start, uncut
from spotify_assets.transforms.zones import DatedZones

Read = Callable[..., pl.DataFrame]

_API = raw_api.RecentlyPlayed.qualified_name()
_TRACKS = raw_api.Tracks.qualified_name()


@dataclass(frozen=True)
class Evidence:
    """What plays are decided from besides the rows of exports.

    Attributes:
        polls: raw.polls with `coverage.POLL_COLUMNS`.
        coverage: clean.coverage as it is now.
        coverage_before: As it was when plays were decided last.
        facts: What is known of tracks now (`api_plays.FACTS`); None where the Web API told of no play.
        facts_before: As it was.
        api_from: When the first play ended that the Web API told of.
    """

    polls: pl.DataFrame
    coverage: pl.DataFrame
    coverage_before: pl.DataFrame
    facts: pl.DataFrame | None
    facts_before: pl.DataFrame
    api_from: datetime | None

    @classmethod
    def read(cls, transaction: Transaction, *, longest_silence: timedelta, is_new: bool) -> Evidence:
        """What the raw tables tell.

        Args:
            longest_silence: See `coverage.coverage`.
            is_new: Whether rows were added since plays were decided last; if not, no more is known of tracks.
        """
        polls = transaction.read(raw_api.Polls, coverage.POLL_COLUMNS)
        imports = transaction.read(raw.Imports, coverage.IMPORT_COLUMNS)
        facts_before = transaction.read(meta.TrackFacts)
        facts, api_from = None, None
        if transaction.maximum(raw_api.RecentlyPlayed, "row_id") is not None:
            api_from = transaction.query(f"SELECT min(played_at) AS first FROM {_API}")["first"].item()
            facts = api_plays.facts(_tellings(transaction).lazy()).collect() if is_new else facts_before
        return cls(
            polls,
            coverage.coverage(polls, imports, longest_silence=longest_silence),
            transaction.read(clean.Coverage),
            facts,
            facts_before,
            api_from,
        )

    def changed_from(self, transaction: Transaction) -> datetime | None:
        """From when on plays may be others for what is known besides the rows, None for never."""
        instants = [self._coverage_changed_from(), self._facts_changed_from(transaction)]
        return min(filter(None, instants), default=None)

    def _coverage_changed_from(self) -> datetime | None:
        first = coverage.first_difference(self.coverage_before, self.coverage)
        # Without plays of the Web API alone nothing depends on what is covered.
        return first - LONGEST_PLAY if first and self.facts is not None else None

    def _facts_changed_from(self, transaction: Transaction) -> datetime | None:
        if self.facts is None or self.facts.equals(self.facts_before):
            return None
        changed = api_plays.changed_facts(self.facts, self.facts_before)
        told = transaction.read(raw_api.RecentlyPlayed, ["listener", "played_at", "track_id", "isrc", "duration_ms"])
        lacking, pairs = api_plays.retold(changed, self.facts, told)
        ids = pairs["track_id"].unique().to_list()
        history = transaction.read(
            raw.StreamingHistory,
            ["listener", "ts", "track_id"],
            where="track_id IN (SELECT unnest(?))",
            parameters=[ids],
        )
        near = api_plays.first_near(pairs, history, told, REACH)
        instants = [lacking and lacking - LONGEST_PLAY, near and near - REACH]
        return min(filter(None, instants), default=None)

    def uncut(self, transaction: Transaction, start: Start) -> Start:
        """Begin where no play that the Web API told of is parted from what an export tells of it."""
        if self.facts is None:
            return start
        ended_from = start.ended_from
        while True:
            around = {"parameters": [ended_from - REACH, ended_from + REACH]}
            rows = transaction.read(
                raw_api.RecentlyPlayed, api_plays.API_COLUMNS, where="played_at BETWEEN ? AND ?", **around
            )
            if rows.is_empty():
                break
            columns = list(dict.fromkeys((*transforms.HISTORY_COLUMNS, "track_id", *transforms.NAME_COLUMNS)))
            history = transaction.read(raw.StreamingHistory, columns, where="ts BETWEEN ? AND ?", **around)
            names = transforms.names(pl.concat([history.select(transforms.NAME_COLUMNS), named(rows)]).lazy()).collect()
            listeners = rows["listener"].unique().to_list()
            told = self.told(rows, names, listeners)
            earlier = uncut(ended_from, history.lazy(), names.lazy(), self.facts.lazy(), told)
            if earlier == ended_from:
                break
            ended_from = earlier
        return Start(start.first_day, ended_from)

    def told(self, rows: pl.DataFrame, names: pl.DataFrame, listeners: list[str]) -> pl.DataFrame:
        """`api_plays.told_by_api` of rows of raw.recently_played."""
        told = api_plays.told_by_api(rows.lazy(), names.lazy(), self.facts.lazy(), self.coverage.lazy(), listeners)
        return told.collect(engine="in-memory")

    def of_days(self, zones: Mapping[str, DatedZones]) -> pl.DataFrame:
        """`coverage.day_evidence`."""
        return coverage.day_evidence(self.polls, self.coverage, zones)

    def history_columns(self, until: datetime | None) -> list[str]:
        """Columns of raw.streaming_history that decide the plays before `until`."""
        is_near = self.facts is not None and (until is None or until > self.api_from - REACH)
        return [*transforms.HISTORY_COLUMNS, "track_id"] if is_near else transforms.HISTORY_COLUMNS


def named(rows: pl.DataFrame) -> pl.DataFrame:
    """`plays.NAME_COLUMNS` of rows of raw.recently_played."""
    return api_plays.named_as_in_exports(rows.lazy()).select(transforms.NAME_COLUMNS).collect(engine="in-memory")


def api_names(transaction: Transaction, where: dict[str, Any]) -> pl.DataFrame:
    """`plays.NAME_COLUMNS` of raw.recently_played."""
    columns = ["track_name", "artist_name", "album_name", "album_artist_name"]
    return named(transaction.read(raw_api.RecentlyPlayed, columns, distinct=True, **where))


def _tellings(transaction: Transaction) -> pl.DataFrame:
    """`api_plays.TELLINGS`: what plays and track objects tell of tracks."""
    of_plays = transaction.read(raw_api.RecentlyPlayed, list(api_plays.TELLINGS), distinct=True)
    if transaction.maximum(raw_api.Tracks, "track_id") is None:
        return of_plays
    of_objects = transaction.query(
        "SELECT track_id, fetched_at, object->>'$.external_ids.isrc' AS isrc, "
        f"TRY_CAST(object->>'$.duration_ms' AS BIGINT) AS duration_ms FROM {_TRACKS}"
    )
    return pl.concat([of_plays, of_objects.cast(dict(api_plays.TELLINGS))])
