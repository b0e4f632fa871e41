"""Deciding a history in stretches of time, oldest first, so that no frame need hold all of it.

Which rows tell of one play is decided within a listener's minute. When a play was heard is not told by the time of its
row alone: an offline play was written at a later sync. A play is therefore settled once no later row can tell of an
earlier one, and a day is complete once no later play can belong to it. Plays that the Web API told of are matched with
those of exports before they are settled, and whatever might be matched with each other is settled at once. What a play
must know of all the time before it (the session it continues, what was heard already) is carried along; so that
deciding may also begin in the middle, with what the stored plays tell of the time before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import polars as pl

from spotify_assets.transforms import api_plays
from spotify_assets.transforms import plays as transforms
from spotify_assets.transforms.zones import DatedZones

LONGEST_PLAY = timedelta(days=1)
"""No row of raw.streaming_history tells of more."""

_ZONES_APART = timedelta(days=1)
"""No clock differs more from UTC."""


class Start(NamedTuple):
    """Where deciding begins.

    Attributes:
        first_day: The first day to be made anew, for all listeners.
        ended_from: Earliest end of the plays that are decided for it; earlier ones are known from clean.plays.
    """

    first_day: date
    ended_from: datetime

    @property
    def ts_from(self) -> datetime:
        """Earliest row of exports that can tell of such a play."""
        return self.ended_from - LONGEST_PLAY - transforms.OFFLINE_CLOCK_TOLERANCE


def earliest_change(ts: datetime) -> datetime:
    """The instant at or after which all plays end, and begin, that a row told at `ts` or later can tell of."""
    return ts - transforms.OFFLINE_SYNC_LIMIT


def start_for(changed_from: datetime) -> Start:
    """Where to begin when no play that ended before `changed_from` is another than it was."""
    first_day = (changed_from - _ZONES_APART).astimezone(UTC).date()
    return Start(first_day, datetime.combine(first_day, time(), UTC) - _ZONES_APART)


REACH = transforms.OFFLINE_SYNC_LIMIT + LONGEST_PLAY + api_plays.FARTHEST
"""No row of an export and row of the Web API farther apart tell of one play that ended between them."""


def uncut(
    ended_from: datetime, history: pl.LazyFrame, names: pl.LazyFrame, facts: pl.LazyFrame, api: pl.DataFrame
) -> datetime:
    """The latest instant, not after `ended_from`, that lies between no two ends that may be those of one play.

    Args:
        ended_from: Where deciding is to begin.
        history: raw.streaming_history with HISTORY_COLUMNS and track_id, all rows within `REACH`.
        names: Result of `transforms.names`.
        facts: What is known of tracks (`api_plays.FACTS`).
        api: Result of `api_plays.told_by_api`, all rows within `REACH`.
    """
    # Rows that will not win their play bring more pairs: the instant lies a little earlier, never too late.
    rows = history.select(pl.col("row_id"), rule=pl.lit("winner"), copies=pl.lit(1, dtype=pl.Int64))
    listeners = api["listener"].unique().to_list()
    of_listeners = history.filter(pl.col("listener").is_in(listeners))
    told = transforms.told_plays(of_listeners, rows, names, listeners, facts).collect(engine="in-memory")
    return api_plays.cut(api_plays.candidates(told, api).select("first", "last"), ended_from)


class Decided(NamedTuple):
    """Whole days, and no day of an earlier `Decided`.

    Attributes:
        plays: As of `decide_plays`.
        sources: As of `play_sources`.
        before: All days before this one are complete by now; None once all are.
    """

    plays: pl.DataFrame
    sources: pl.DataFrame
    before: date | None


class Stretches:
    """Decides the plays of a history whose rows it takes in the order of `ts`.

    Attributes:
        lengths: The longest finished play of each track so far (`transforms.lengths`).
    """

    def __init__(
        self,
        *,
        names: pl.DataFrame,
        assumed_lengths: pl.DataFrame,
        zones: Mapping[str, DatedZones],
        session_gap_minutes: int,
        told_last: transforms.ToldLast,
        before: transforms.Before = transforms.NOTHING,
        start: Start | None = None,
        facts: pl.DataFrame | None = None,
    ) -> None:
        """Begin.

        Args:
            names: Result of `transforms.names`, of all rows that will be taken.
            assumed_lengths: `transforms.lengths` of the whole history. Where it proves to be wrong, is_scrobble is.
            zones: See `transforms.decide_plays`.
            session_gap_minutes: See `transforms.decide_plays`.
            told_last: When artists were told of last in the whole history.
            before: What is known of the time before `start`.
            start: Where to begin, with the first row by default; between no two ends that may be those of one play
                (`uncut`).
            facts: What is known of tracks (`api_plays.FACTS`), if there are plays that the Web API told of.
        """
        self._names = names
        self._assumed_lengths = assumed_lengths
        self._zones = zones
        self._session_gap_minutes = session_gap_minutes
        self._told_last = told_last
        self._before = before
        self._ended_from = start.ended_from if start else None
        self._facts = None if facts is None else facts.lazy()
        self._unsettled: list[pl.DataFrame] = []
        self._unsettled_api: list[pl.DataFrame] = []
        self._incomplete: list[pl.DataFrame] = []
        self._assigned: list[pl.DataFrame] = []
        self.lengths = transforms.NO_LENGTHS

    def take(self, history: pl.DataFrame, until: datetime | None, api: pl.DataFrame | None = None) -> Decided:
        """Decide what can be decided by now.

        Args:
            history: The next rows of raw.streaming_history with HISTORY_COLUMNS, and track_id where there are `facts`:
                all up to `until`.
            until: A full minute (UTC), all later rows have this `ts` or a later one; None when there are none.
            api: The next rows of the Web API, result of `api_plays.told_by_api`: all up to `until`. Always given where
                there are `facts`.
        """
        told = self._told(history)
        self.lengths = transforms.longest(pl.concat([self.lengths.lazy(), transforms.lengths(told.lazy())])).collect(
            engine="in-memory"
        )
        settled_before = earliest_change(until) if until else None
        if api is None:
            settled = self._settled(pl.concat([*self._unsettled, told]), settled_before)
        else:
            settled_before, settled = self._settled_with_api(
                pl.concat([*self._unsettled, told]), pl.concat([*self._unsettled_api, api]), settled_before
            )
        complete_before = (settled_before - _ZONES_APART).date() if settled_before else None
        return self._complete(settled, complete_before)

    def _told(self, history: pl.DataFrame) -> pl.DataFrame:
        names = self._names.lazy()
        # A stretch is small: cut up once more by the streaming engine, Polars' default, it took half as long again.
        assigned = transforms.assign_rows(history.lazy(), names, self._told_last).collect(engine="in-memory")
        told = transforms.told_plays(history.lazy(), assigned.lazy(), names, self._zones, self._facts).collect(
            engine="in-memory"
        )
        if self._ended_from:
            told = told.filter(pl.col("ended_at") >= self._ended_from)
        self._assigned.append(assigned)
        return told

    def _settled_with_api(
        self, told: pl.DataFrame, api: pl.DataFrame, settled_before: datetime | None
    ) -> tuple[datetime | None, pl.DataFrame]:
        """Until when plays are settled, and these."""
        if self._ended_from:
            api = api.filter(pl.col("ended_at") >= self._ended_from)
        pairs = api_plays.candidates(told, api)
        if settled_before:
            # A row yet to come may be told by the API, or tell of what the API told, that much earlier.
            settled_before = api_plays.cut(api_plays.spans(pairs, api), settled_before - api_plays.FARTHEST)
        assigned = api_plays.assigned(pairs, api)
        only_api = api.join(assigned.filter(pl.col("rule") == "winner"), on="row_id", how="semi")
        self._unsettled_api = []
        if settled_before:
            is_settled = pl.col("ended_at") < settled_before
            self._unsettled_api = [api.filter(~is_settled)]
            assigned = assigned.join(api.filter(is_settled), on="row_id", how="semi")
        self._assigned.append(assigned)
        return settled_before, self._settled(told, settled_before, only_api)

    def _settled(
        self, told: pl.DataFrame, settled_before: datetime | None, only_api: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        settled = transforms.settled_plays(
            told.lazy(),
            lengths=self._assumed_lengths.lazy(),
            before=self._before_these(told, only_api),
            zones=self._zones,
            session_gap_minutes=self._session_gap_minutes,
            only_api=None if only_api is None else only_api.lazy(),
        ).collect(engine="in-memory")
        self._unsettled = []
        if settled_before:
            is_settled = pl.col("ended_at") < settled_before
            self._unsettled = [told.filter(~is_settled)]
            settled = settled.filter(is_settled)
        self._carry(settled)
        return settled

    def _before_these(self, told: pl.DataFrame, only_api: pl.DataFrame | None) -> transforms.Before:
        """What matters to these plays. A set is made of the fewer values, not of all that was ever heard."""
        known = {}
        if only_api is not None:
            numbered = ["listener_hash", *self._before.known]
            told = pl.concat([told.select(numbered), only_api.select(numbered)])
        for number, frame in self._before.known.items():
            of_these = told.lazy().select(heard=transforms.heard(pl.col("listener_hash"), pl.col(number))).drop_nulls()
            known[number] = frame.lazy().join(of_these, on="heard", how="semi").collect(engine="in-memory")
        return transforms.Before(self._before.last, known)

    def _carry(self, settled: pl.DataFrame) -> None:
        last = settled.group_by("listener_hash").agg(
            pl.col(name).last() for name in self._before.last.columns if name != "listener_hash"
        )
        earlier = self._before.last.join(last, on="listener_hash", how="anti")
        known = {}
        for number, frame in self._before.known.items():
            is_first = f"is_first_play_of_{number.removesuffix('_number')}"
            new = settled.filter(pl.col(is_first)).select(
                heard=transforms.heard(pl.col("listener_hash"), pl.col(number))
            )
            known[number] = pl.concat([frame, new], rechunk=True)
        self._before = transforms.Before(pl.concat([earlier, last.select(earlier.columns)]), known)

    def _complete(self, settled: pl.DataFrame, before: date | None) -> Decided:
        plays = pl.concat([*self._incomplete, transforms.as_decided(settled.lazy()).collect(engine="in-memory")])
        assigned = pl.concat(self._assigned)
        self._incomplete, self._assigned = [], []
        if before:
            is_complete = pl.col("played_on") < before
            self._incomplete = [plays.filter(~is_complete)]
            plays = plays.filter(is_complete)
            waiting = pl.concat([frame.select("row_id") for frame in (*self._unsettled, *self._incomplete)])
            self._assigned = [assigned.join(waiting, left_on="winner_row_id", right_on="row_id", how="semi")]
        return Decided(
            plays, transforms.play_sources(assigned.lazy(), plays.lazy()).collect(engine="in-memory"), before
        )
