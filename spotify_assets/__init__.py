"""Turn a person's Spotify data into a lakehouse they own.

From a notebook:

    import spotify_assets

    spotify_assets.table("daily.artists").collect()          # a Polars LazyFrame
    spotify_assets.connect().sql("select * from clean.plays limit 5")

Both read the published file of the home folder (`SPOTIFY_ASSETS_HOME`, or the platform's user data folder). It never
blocks a run and may stay open as long as you like: it is a snapshot, open it anew to see newer data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import polars

__all__ = ["connect", "table"]


def connect(home: Path | str | None = None) -> duckdb.DuckDBPyConnection:
    """Open the published lakehouse read-only; instants are shown in UTC.

    Args:
        home: Home folder; the one of the settings by default.

    Raises:
        spotify_assets.lakehouse.NothingPublished: Nothing was imported yet.
    """
    from spotify_assets.lakehouse import connect as connect_to

    return connect_to(_home(home))


def table(name: str, home: Path | str | None = None) -> polars.LazyFrame:
    """A table of the published lakehouse, such as `daily.artists`; only the columns that are used are read.

    Args:
        name: schema.table, see docs/data-dictionary.md.
        home: Home folder; the one of the settings by default.

    Raises:
        spotify_assets.lakehouse.NothingPublished: Nothing was imported yet.
        spotify_assets.lakehouse.UnknownTable: There is no such table; the message names those that exist.
    """
    from spotify_assets.lakehouse import scan_table

    return scan_table(_home(home), name)


def _home(home: Path | str | None) -> Path:
    from spotify_assets.settings import Settings

    return Settings(home=Path(home)).home if home is not None else Settings().home
