"""Histories to test with: rows of exports in few words, and a lakehouse in memory that takes them in.

The lakehouse does with frames what the assets do with the warehouse: match an export with what is stored, decide the
plays over the whole history, write the days that changed, aggregate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from spotify_assets.schemas import clean, daily, raw
from spotify_assets.transforms import calendar, catalogue, objects, plays, streaming_history
from spotify_assets.transforms import daily as daily_transforms
from spotify_assets.transforms.hashing import text_hash
from spotify_assets.transforms.zones import DatedZones
from spotify_assets_tests.transforms.telling import told_objects

Row = dict[str, Any]

NOON = datetime(2021, 6, 15, 12, 0, 0, tzinfo=UTC)

_TELLING = raw.StreamingHistory.column_names()[raw.StreamingHistory.column_names().index("ts") :]
_URIS = ("track_uri", "episode_uri", "chapter_uri", "audiobook_uri")
_NAMES = (
    "track_name",
    "artist_name",
    "album_name",
    "episode_name",
    "show_name",
    "audiobook_name",
    "author_name",
    "chapter_name",
)
_CONTEXT = (
    "reason_start",
    "reason_end",
    "platform",
    "conn_country",
    "shuffle",
    "offline",
    "incognito_mode",
    *_URIS,
)
"""What clean.plays shows of a row besides instants and names. `skipped` and `offline_timestamp` are left out: Spotify
writes null, false or 0 there by turns, and what they mean is in is_skip and the instants."""


def uri(name: str, kind: str = "track") -> str:
    """A URI with an id of 22 characters that begins with `name`."""
    return f"spotify:{kind}:{name:0<22}"


def track(
    ts: datetime = NOON,
    ms_played: int = 200_000,
    *,
    name: str | None = "Song",
    artist: str | None = "Band",
    album: str | None = "Album",
    track_uri: str | None = "",
    **told: Any,
) -> Row:
    """A row of extended history about a track; its URI is made from its names unless given.

    Reasons are clickrow and trackdone unless given.
    """
    if track_uri == "":
        track_uri = uri(f"{artist}{name}".replace(" ", "").lower())
    reasons = {"reason_start": "clickrow", "reason_end": "trackdone"}
    names = {"track_name": name, "artist_name": artist, "album_name": album, "track_uri": track_uri}
    return {"kind": "extended", "generation": "G1", "ts": ts, "ms_played": ms_played, **reasons, **names, **told}


def without_uri(row: Row) -> Row:
    """The same play as an export of 2020 tells it."""
    return {**row, **dict.fromkeys(_URIS), "generation": "G0"}


def basic(row: Row, *, mixed: bool = False) -> Row:
    """The same play as account data tell it: minute, names and milliseconds.

    Args:
        row: A row of extended history.
        mixed: As the files did that told podcasts as tracks.
    """
    names = {name: row.get(name) for name in _NAMES if name != "album_name"}
    if mixed and names["episode_name"]:
        names = {"track_name": names["episode_name"], "artist_name": names["show_name"]}
    minute = row["ts"].replace(second=0, microsecond=0)
    return {
        "kind": "basic",
        "generation": "basic_mixed" if mixed else "basic",
        "ts": minute,
        "ms_played": row["ms_played"],
        **names,
    }


def history_frame(rows: Sequence[Row], *, listener: str = "me", first_row_id: int = 1) -> pl.DataFrame:
    """Rows as raw.streaming_history holds them, `occurrence` being 1 throughout."""

    def told_hash(*values: Any) -> int:
        return text_hash(json.dumps(values, default=str))

    full = []
    for number, row in enumerate(rows):
        told = {name: row.get(name) for name in _TELLING} | {"kind": row["kind"], "generation": row["generation"]}
        told["track_id"] = told["track_uri"] and told["track_uri"].removeprefix("spotify:track:")
        first_uri = next((told[name] for name in _URIS if told[name]), None)
        names = [told[name] for name in _NAMES]
        creator = told["artist_name"] or told["show_name"] or told["audiobook_name"]
        title = told["track_name"] or told["episode_name"] or told["chapter_name"]
        folded = [text and " ".join(text.casefold().split()) for text in (creator, title)]
        full.append(
            told
            | {
                "listener": listener,
                "import_id": 1,
                "row_id": first_row_id + number,
                "file_id": 1,
                "row_number": number + 1,
                "occurrence": 1,
                "uri_hash": None if first_uri is None else told_hash(first_uri),
                "names_hash": None if not any(names) else told_hash(*names),
                "title_hash": None if not any(folded) else told_hash(*folded),
                "context_hash": told_hash(*(told[name] for name in _CONTEXT)),
            }
        )
    frame = pl.DataFrame(full, schema=raw.StreamingHistory.polars_schema())
    return frame.with_columns(says=streaming_history.says())


@dataclass(frozen=True)
class Taken:
    """What an import did."""

    rows_in: int
    rows_new: int
    rows_known: int


@dataclass
class Lakehouse:
    """A lakehouse in memory.

    Attributes:
        zones: Time zone of each listener, or dated zones; any other has the zone of "".
        today: The date up to which days are made, of each listener or of all.
    """

    zones: Mapping[str, str | DatedZones] = field(default_factory=lambda: {"": "Europe/Berlin"})
    session_gap_minutes: int = 30
    today: date | Mapping[str, date] = date(2021, 6, 20)
    history: pl.DataFrame = field(default_factory=lambda: history_frame([]))
    plays: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=clean.Plays.polars_schema()))
    sources: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=clean.PlaySources.polars_schema()))
    days: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=clean.Days.polars_schema()))

    def take(self, rows: Sequence[Row], *, listener: str = "me") -> Taken:
        """Import one export."""
        first_row_id = 1 + (self.history["row_id"].max() or 0)
        incoming = history_frame(rows, listener=listener, first_row_id=first_row_id)
        stored = self.history.filter(pl.col("listener") == listener).select(streaming_history.STORED_COLUMNS)
        decisions = streaming_history.match_export(incoming.select(streaming_history.STORED_COLUMNS), stored)
        assert sorted(decisions["row_id"]) == sorted(incoming["row_id"]), "a row was decided on twice or never"
        assert set(decisions["told_row_id"]) <= {*stored["row_id"], *decisions.filter("is_new")["row_id"]}
        new = decisions.filter("is_new").select("row_id", "occurrence")
        self.history = pl.concat(
            [self.history, incoming.drop("occurrence").join(new, on="row_id").select(self.history.columns)]
        )
        return Taken(incoming.height, new.height, incoming.height - new.height)

    def decide(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Results of `names`, `assign_rows`, `decide_plays` and `play_sources` over all that was taken in."""
        listeners = self.history["listener"].unique().to_list()
        history = self.history.lazy().select(plays.HISTORY_COLUMNS)
        names = plays.names(self.history.lazy().select(plays.NAME_COLUMNS)).collect()
        assigned = plays.assign_rows(history, names.lazy()).collect()
        decided = plays.decide_plays(
            history,
            assigned.lazy(),
            names.lazy(),
            zones={listener: self._zones_of(listener) for listener in listeners},
            session_gap_minutes=self.session_gap_minutes,
        ).collect()
        return names, assigned, decided, plays.play_sources(assigned.lazy(), decided.lazy()).collect()

    def _zones_of(self, listener: str) -> DatedZones:
        zones = self.zones.get(listener, self.zones.get(""))
        return [(None, zones)] if isinstance(zones, str) else zones

    def write(self) -> list[date]:
        """Write the days of clean.plays and clean.play_sources that changed; return those of clean.plays."""
        names, _, decided, sources = self.decide()
        listeners = self.history["listener"].unique().to_list()
        today = self.today if isinstance(self.today, Mapping) else dict.fromkeys(listeners, self.today)
        days = plays.days(
            plays.day_sums(decided.lazy(), sources.lazy()), plays.session_sums(decided.lazy()), today=today
        ).collect()
        days = days.select(self.days.columns)
        changed = plays.changed_days(days.lazy(), self.days.lazy(), "plays_hash").collect()["played_on"].to_list()
        related = plays.changed_days(days.lazy(), self.days.lazy(), "sources_hash").collect()["played_on"].to_list()
        written = (
            plays.assemble_plays(
                decided.lazy().filter(pl.col("played_on").is_in(changed)),
                self.history.lazy().select(plays.WRITTEN_COLUMNS),
                names.lazy(),
            )
            .select(self.plays.columns)
            .collect()
        )
        kept = self.plays.filter(~pl.col("played_on").is_in(changed))
        self.plays = pl.concat([kept, written]).sort("listener", "ended_at", "play_id")
        kept = self.sources.filter(~pl.col("played_on").is_in(related))
        written = sources.filter(pl.col("played_on").is_in(related)).select(self.sources.columns)
        self.sources = pl.concat([kept, written]).sort("source_row")
        self.days = days
        return changed

    def daily(self, first: date | None = None, last: date | None = None) -> dict[str, pl.DataFrame]:
        """The daily tables from the written plays, by name, for all days or a range of them."""
        first, last = first or date(1970, 1, 1), last or date(2100, 1, 1)
        in_days = pl.col("played_on").is_between(first, last)
        of_days = self.plays.lazy().filter(in_days)
        of_sessions = (
            self.plays.lazy()
            .filter(pl.col("session_started_on").is_between(first, last))
            .select(daily_transforms.SESSION_COLUMNS)
        )
        days = self.days.lazy().filter(in_days).select("listener", "played_on")
        transform = daily_transforms
        frames = {
            daily.Listening: transform.listening(of_days.select(transform.LISTENING_COLUMNS), of_sessions, days),
            daily.Artists: transform.artists(of_days.select(transform.ARTIST_COLUMNS)),
            daily.Albums: transform.albums(of_days.select(transform.ALBUM_COLUMNS)),
            daily.Tracks: transform.tracks(of_days.select(transform.TRACK_COLUMNS)),
            daily.Hours: transform.hours(of_days.select(transform.HOUR_COLUMNS)),
            daily.Sessions: transform.sessions(of_sessions),
        }
        results = pl.collect_all([frame.select(table.column_names()) for table, frame in frames.items()])
        return {
            table.layout.table: result.cast(table.polars_schema()).sort(table.primary_key())
            for table, result in zip(frames, results, strict=True)
        }

    def catalogue(self, told: objects.Told | None = None) -> dict[str, pl.DataFrame]:
        """clean.tracks, albums, artists and calendar, with what Spotify tells."""
        told = told or told_objects()
        spelled = (
            self.plays.lazy()
            .filter(pl.col("content_type") == "track")
            .group_by(catalogue.NAMES)
            .agg(
                plays=pl.len().cast(pl.Int64),
                ms_played=pl.col("ms_played").sum(),
                length_ms=pl.col("ms_played").filter("is_finished").max(),
                first_played_at=pl.col("ended_at").min(),
                last_played_at=pl.col("ended_at").max(),
            )
        )
        frames = {
            clean.Tracks: catalogue.tracks(spelled, told),
            clean.Albums: catalogue.albums(spelled, told),
            clean.Artists: catalogue.artists(spelled, told),
            clean.Calendar: calendar.calendar(self.days.lazy()),
        }
        return {
            table.layout.table: frame.select(table.column_names()).collect().cast(table.polars_schema())
            for table, frame in frames.items()
        }


def lakehouse_of(*exports: Iterable[Row], **settings: Any) -> Lakehouse:
    """A lakehouse that took the exports of one listener in and wrote its plays."""
    lakehouse = Lakehouse(**settings)
    for rows in exports:
        lakehouse.take(list(rows))
    lakehouse.write()
    return lakehouse


def at(seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> datetime:
    """An instant that long after NOON."""
    return NOON + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def plays_of(*exports: Iterable[Row], **settings: Any) -> list[Row]:
    """Rows of clean.plays, as dictionaries in order of time, after importing the exports of one listener."""
    return lakehouse_of(*exports, **settings).plays.to_dicts()


def only_play_of(*exports: Iterable[Row], **settings: Any) -> Row:
    """The one play that the exports tell of.

    Raises:
        ValueError: They tell of none or of several.
    """
    (play,) = plays_of(*exports, **settings)
    return play
