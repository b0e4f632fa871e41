"""A Spotify of our own: a seeded listener, exports in Spotify's formats, and the answers they must give."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from spotify_assets.demo.expected import ExpectedCounts, expected_counts
from spotify_assets.demo.exports import Defects, WrittenExport, write_account_data, write_extended_history
from spotify_assets.demo.listener import DemoListener, TruePlay

__all__ = ["DemoPackages", "write_demo_packages"]

# Packages are asked for one after another: the full history was ready two weeks before the account data.
_DAYS_AFTER_THE_FULL_EXPORT = 14


@dataclass(frozen=True, slots=True)
class DemoPackages:
    """The three packages of the demo listener, all of the truth behind them, and what they add up to.

    ``plays`` are those that Spotify could have told on the last day of the packages.
    """

    listener: DemoListener
    plays: tuple[TruePlay, ...]
    older_extended: WrittenExport
    full_extended: WrittenExport
    account_data: WrittenExport
    expected: ExpectedCounts

    @property
    def exports(self) -> tuple[WrittenExport, ...]:
        return (self.older_extended, self.full_extended, self.account_data)

    @property
    def paths(self) -> tuple[Path, ...]:
        """What to hand to the import, oldest package first."""
        return tuple(export.target for export in self.exports)


def write_demo_packages(
    folder: Path,
    *,
    last_day: date,
    seed: int = 7,
    years: int = 6,
    timezone: str = "Europe/Berlin",
    plays_per_day: float = 45.0,
    live_until: date | None = None,
) -> DemoPackages:
    """Invent a listener and write the packages that such a person would have asked Spotify for.

    `older/my_spotify_data.zip`: extended history of generation G1 over the first half. `my_spotify_data.zip`:
    extended history of generation G3 with typical defects, up to 14 days before ``last_day``.
    `account/my_spotify_data.zip`: basic history of the last 365 days up to ``last_day``, library and
    playlists. Spotify gives every package the same name, so each lies in a folder of its own.

    :param folder: made when missing; files of these names in it are replaced.
    :param last_day: the last local day with plays in the packages. Give a day that is over where they are read:
        plays of the hours to come would lie in the future.
    :param years: length of the history; it begins ``365 * years`` days before ``last_day``.
    :param live_until: the last local day of the listener, for who goes on listening after the packages were
        written (see `spotify_assets.demo.spotify`); ``last_day`` by default.
    :raises ValueError: when ``years`` is below 1, or ``live_until`` lies before ``last_day``.
    :raises OSError: when ``folder`` cannot be written.
    """
    if years < 1:
        raise ValueError(f"the demo listener needs at least one year of history, not {years}")
    if live_until is not None and live_until < last_day:
        raise ValueError(f"the demo listener cannot stop on {live_until}, before the packages do on {last_day}")
    first_day = last_day - timedelta(days=365 * years)
    listener = DemoListener(
        first_day=first_day,
        last_day=last_day if live_until is None else live_until,
        seed=seed,
        timezone=timezone,
        plays_per_day=plays_per_day,
    )
    zone = ZoneInfo(timezone)

    def end_of(day: date) -> datetime:
        return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)

    plays = [play for play in listener.plays() if play.told_at < end_of(last_day)]
    half = end_of(first_day + timedelta(days=365 * years // 2))
    full = end_of(last_day - timedelta(days=_DAYS_AFTER_THE_FULL_EXPORT))
    older_extended = write_extended_history(
        [play for play in plays if play.told_at < half],
        folder / "older" / "my_spotify_data.zip",
        generation="G1",
        seed=seed,
    )
    full_extended = write_extended_history(
        [play for play in plays if play.told_at < full],
        folder / "my_spotify_data.zip",
        generation="G3",
        seed=seed,
        defects=Defects.typical(),
    )
    account_data = write_account_data(
        plays,
        folder / "account" / "my_spotify_data.zip",
        since=end_of(last_day - timedelta(days=365)),
        seed=seed,
    )
    return DemoPackages(
        listener=listener,
        plays=tuple(plays),
        older_extended=older_extended,
        full_extended=full_extended,
        account_data=account_data,
        expected=expected_counts((older_extended, full_extended, account_data)),
    )
