"""Sums that must agree: each check finds what is lost, doubled or on a wrong day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import polars as pl
import pytest

from spotify_assets.transforms.checks import Balance, listening_balance, sessions_balance, tracks_balance
from spotify_assets_tests.transforms.history import Lakehouse, at, lakehouse_of, track, uri, without_uri

_DAY = date(2021, 6, 15)
_NAMELESS = {"name": None, "artist": None, "album": None}


@dataclass(frozen=True)
class _Made:
    """Plays and the daily tables made from them."""

    plays: pl.DataFrame
    tables: dict[str, pl.DataFrame]


_Check = Callable[[pl.DataFrame, pl.DataFrame], Balance]


def _check_of(key: str | None) -> _Check:
    return lambda built, plays: tracks_balance(built.lazy(), plays.lazy(), key)


_CHECKS: dict[str, _Check] = {
    "listening": lambda built, plays: listening_balance(built.lazy(), plays.lazy()),
    "hours": _check_of(None),
    "artists": _check_of("artist_key"),
    "albums": _check_of("album_key"),
    "tracks": _check_of("track_key"),
    "sessions": lambda built, plays: sessions_balance(built.lazy(), plays.lazy()),
}
every_check = pytest.mark.parametrize(("table", "check"), _CHECKS.items(), ids=_CHECKS.keys())


@pytest.fixture(scope="module")
def made() -> _Made:
    """Two listeners, all content types, tracks without names or album, a session over midnight, an empty day."""
    untold = {**_NAMELESS, "track_uri": None}
    lakehouse = Lakehouse()
    lakehouse.take(
        [
            track(at(0)),
            track(at(300), 5000, name="Other"),
            track(at(900), album=None),
            track(at(1200), **_NAMELESS),
            track(at(1500), **untold, episode_name="Episode", show_name="Show"),
            track(at(1800), **untold, chapter_name="Chapter", audiobook_name="Book"),
            without_uri(track(at(2100), **untold)),
            track(at(hours=9, minutes=59)),
            track(at(hours=10, minutes=5)),
            track(at(days=2, hours=9)),
        ],
        listener="me",
    )
    lakehouse.take([track(at(0)), track(at(0))], listener="you")
    lakehouse.write()
    return _Made(lakehouse.plays, lakehouse.daily())


def _edited(table: pl.DataFrame, day: date, edit: Callable[[pl.Expr], pl.Expr]) -> pl.DataFrame:
    """The table with its first row of that day of listener `me` changed."""
    is_day = (pl.col("listener") == "me") & (pl.col("played_on") == day)
    first = is_day & (is_day.cum_sum() == 1)
    return table.with_columns(pl.when(first).then(edit(pl.col("plays"))).otherwise("plays").alias("plays"))


@every_check
def test_a_table_made_from_all_plays_is_even(made, table, check):
    balance = check(made.tables[table], made.plays)
    assert balance.is_even and balance.plays == made.tables[table]["plays"].sum() + sum(
        made.tables[table][name].sum()
        for name in ("episode_plays", "audiobook_plays", "unknown_plays")
        if name in made.tables[table].columns
    )


@every_check
def test_a_lost_play_is_found(made, table, check):
    assert check(_edited(made.tables[table], _DAY, lambda plays: plays - 1), made.plays).differing_days == (str(_DAY),)


@every_check
def test_a_doubled_play_is_found(made, table, check):
    assert check(_edited(made.tables[table], _DAY, lambda plays: plays + 1), made.plays).differing_days == (str(_DAY),)


@every_check
def test_a_lost_row_is_found(made, table, check):
    built = made.tables[table].filter(~((pl.col("listener") == "you") & (pl.col("played_on") == _DAY)))
    assert check(built, made.plays).differing_days == (str(_DAY),)


@every_check
def test_a_doubled_row_is_found(made, table, check):
    built = pl.concat([made.tables[table], made.tables[table].filter(listener="you", played_on=_DAY).head(1)])
    assert check(built, made.plays).differing_days == (str(_DAY),)


@every_check
def test_a_row_on_a_wrong_day_is_found_on_both_days(made, table, check):
    moved = pl.col("played_on") == date(2021, 6, 17)
    built = made.tables[table].with_columns(
        pl.when(moved).then(date(2021, 6, 12)).otherwise("played_on").alias("played_on")
    )
    assert check(built, made.plays).differing_days == ("2021-06-12", "2021-06-17")


@every_check
def test_lost_listening_time_is_found(made, table, check):
    built = made.tables[table].with_columns(
        ms_played=pl.col("ms_played") - pl.when(pl.int_range(pl.len()) == 0).then(1).otherwise(0)
    )
    assert check(built, made.plays).differing_days == (str(_DAY),)


@every_check
def test_rows_of_another_listener_are_found(made, table, check):
    swapped = {"me": "you", "you": "me"}
    built = made.tables[table].with_columns(pl.col("listener").replace(swapped))
    assert not check(built, made.plays).is_even


@every_check
def test_a_table_without_rows_lacks_every_day_with_plays(made, table, check):
    assert str(_DAY) in check(made.tables[table].clear(), made.plays).differing_days


@every_check
def test_no_plays_and_no_rows_are_even(made, table, check):
    assert check(made.tables[table].clear(), made.plays.clear()) == Balance(0, 0, 0, ())


@pytest.mark.parametrize("kind", ["episode", "audiobook", "unknown"])
def test_a_play_counted_as_another_content_type_is_found(made, kind):
    is_first = pl.int_range(pl.len()) == 0
    built = made.tables["listening"].with_columns(
        pl.when(is_first).then(pl.col("plays") + 1).otherwise("plays").alias("plays"),
        pl.when(is_first).then(pl.col(f"{kind}_plays") - 1).otherwise(f"{kind}_plays").alias(f"{kind}_plays"),
    )
    assert listening_balance(built.lazy(), made.plays.lazy()).differing_days == (str(_DAY),)


def test_empty_days_are_no_difference():
    lakehouse = lakehouse_of([track(at(0))], today=date(2021, 7, 1))
    balance = listening_balance(lakehouse.daily()["listening"].lazy(), lakehouse.plays.lazy())
    assert balance == Balance(rows=1, plays=1, ms_played=200_000, differing_days=())


def test_a_session_over_midnight_is_checked_against_the_day_on_which_it_began(made):
    plays = made.plays.with_columns(session_started_on="played_on")
    assert "2021-06-16" in sessions_balance(made.tables["sessions"].lazy(), plays.lazy()).differing_days


def test_listeners_whose_names_end_like_a_content_type_are_told_apart():
    lakehouse = Lakehouse()
    lakehouse.take([track(at(0), track_uri=uri("x"))], listener="me")
    lakehouse.take([track(at(0), track_uri=uri("x"))], listener="me: track")
    lakehouse.write()
    assert listening_balance(lakehouse.daily()["listening"].lazy(), lakehouse.plays.lazy()).is_even
