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

from spotify_assets.schemas import clean, daily, raw, raw_api
from spotify_assets.transforms import api_plays, calendar, catalogue, coverage, objects, plays, streaming_history
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


def api_play(
    played_at: datetime = NOON,
    duration_ms: int | None = 200_000,
    *,
    name: str | None = "Song",
    artist: str | None = "Band",
    album: str | None = "Album",
    track_uri: str | None = "",
    isrc: str | None = None,
    **told: Any,
) -> Row:
    """A row of raw.recently_played; its URI is made from its names as by `track` unless given."""
    if track_uri == "":
        track_uri = uri(f"{artist}{name}".replace(" ", "").lower())
    return {
        "played_at": played_at,
        "track_uri": track_uri,
        "track_id": track_uri and track_uri.removeprefix("spotify:track:"),
        "track_name": name,
        "artist_name": artist,
        "album_name": album,
        "album_artist_name": artist,
        "duration_ms": duration_ms,
        "isrc": isrc,
        **told,
    }


def api_frame(rows: Sequence[Row], *, listener: str = "me", first_row_id: int = 1) -> pl.DataFrame:
    """Rows as raw.recently_played holds them."""
    full = [
        {
            "listener": listener,
            "row_id": first_row_id + number,
            "item_hash": text_hash(str(row["track_uri"] or (row["artist_name"], row["track_name"]))),
            "fetched_at": row["played_at"],
            "response_id": 1,
            "context_type": None,
            "context_uri": None,
            "item": "{}",
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return pl.DataFrame(full, schema=raw_api.RecentlyPlayed.polars_schema(), orient="row")


def told_poll(polled_at: datetime, oldest: datetime, newest: datetime, **told: Any) -> Row:
    """A row of raw.polls: a full response unless said otherwise."""
    known = {"newest_known_at": None, "is_full": True, "is_gap_provable": False}
    return {
        "polled_at": polled_at,
        "response_id": 1,
        "outcome": "told",
        "items": 50,
        "items_new": 1,
        "oldest_played_at": oldest,
        "newest_played_at": newest,
        **known,
        **told,
    }


def failed_poll(polled_at: datetime, outcome: str = "failed") -> Row:
    """A row of raw.polls that came to nothing."""
    none = dict.fromkeys(("response_id", "oldest_played_at", "newest_played_at", "newest_known_at"))
    return {"polled_at": polled_at, "outcome": outcome, "items": 0, "items_new": 0, **none} | dict.fromkeys(
        ("is_full", "is_gap_provable"), False
    )


def polls_frame(rows: Sequence[Row], *, listener: str = "me") -> pl.DataFrame:
    """Rows as raw.polls holds them."""
    return pl.DataFrame(
        [{"listener": listener, **row} for row in rows], schema=raw_api.Polls.polars_schema(), orient="row"
    )


def import_frame(rows: Sequence[Row], *, listener: str = "me", import_id: int = 1) -> pl.DataFrame:
    """The row of raw.imports of an export of one file; rows of one kind."""
    (kind,) = {row["kind"] for row in rows}
    instants = [row["ts"] for row in rows]
    counted = dict.fromkeys(("rows_in", "rows_new"), len(rows)) | dict.fromkeys(("rows_known", "rows_rejected"), 0)
    told = {"file_name": "history.json", "export_name": "export", "sha256": str(import_id), "reader_version": 1}
    span = {"first_ts": min(instants), "last_ts": max(instants), "imported_at": NOON}
    numbers = {"listener": listener, "import_id": import_id, "file_id": import_id}
    return pl.DataFrame([numbers | counted | told | span | {"kind": kind}], schema=raw.Imports.polars_schema())


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
        facts: What track objects tell (`api_plays.TELLINGS`).
        today: The date up to which days are made, of each listener or of all.
    """

    zones: Mapping[str, str | DatedZones] = field(default_factory=lambda: {"": "Europe/Berlin"})
    session_gap_minutes: int = 30
    today: date | Mapping[str, date] = date(2021, 6, 20)
    longest_silence: timedelta = timedelta(hours=2)
    history: pl.DataFrame = field(default_factory=lambda: history_frame([]))
    imports: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=raw.Imports.polars_schema()))
    api: pl.DataFrame = field(default_factory=lambda: api_frame([]))
    polls: pl.DataFrame = field(default_factory=lambda: polls_frame([]))
    facts: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=api_plays.TELLINGS))
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
        kinds = {row["kind"] for row in rows}
        self.imports = pl.concat(
            [
                self.imports,
                *(
                    import_frame([row for row in rows if row["kind"] == kind], listener=listener, import_id=number)
                    for number, kind in enumerate(sorted(kinds), 1 + self.imports.height)
                ),
            ]
        )
        return Taken(incoming.height, new.height, incoming.height - new.height)

    def hear(self, rows: Sequence[Row], *, listener: str = "me") -> None:
        """Store plays that the Web API told, those that are new."""
        first_row_id = 1 + (self.api["row_id"].max() or 0)
        both = pl.concat([self.api, api_frame(rows, listener=listener, first_row_id=first_row_id)])
        self.api = both.unique(raw_api.RecentlyPlayed.primary_key(), keep="first", maintain_order=True)

    def poll(self, rows: Sequence[Row], *, listener: str = "me") -> None:
        self.polls = pl.concat([self.polls, polls_frame(rows, listener=listener)])

    def known_facts(self) -> pl.DataFrame:
        """What is known of tracks, from the plays themselves and `facts`."""
        tellings = pl.concat([self.api.select(list(api_plays.TELLINGS)), self.facts])
        return api_plays.facts(tellings.lazy()).collect()

    def coverage(self) -> pl.DataFrame:
        """clean.coverage."""
        return coverage.coverage(
            self.polls.select(coverage.POLL_COLUMNS),
            self.imports.select(coverage.IMPORT_COLUMNS),
            longest_silence=self.longest_silence,
        )

    def listeners(self) -> list[str]:
        return sorted({*self.history["listener"], *self.api["listener"]})

    def told_by_api(self, names: pl.DataFrame) -> pl.DataFrame:
        """Result of `api_plays.told_by_api` over all that was heard."""
        return api_plays.told_by_api(
            self.api.lazy().select(api_plays.API_COLUMNS),
            names.lazy(),
            self.known_facts().lazy(),
            self.coverage().lazy(),
            self.listeners(),
        ).collect()

    def names(self) -> pl.DataFrame:
        """Result of `plays.names` over all that was taken in."""
        of_api = api_plays.named_as_in_exports(self.api.lazy()).select(plays.NAME_COLUMNS)
        return plays.names(pl.concat([self.history.lazy().select(plays.NAME_COLUMNS), of_api])).collect()

    def decide(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Results of `names`, `assign_rows`, `decide_plays` and `play_sources` over all that was taken in."""
        history = self.history.lazy().select(*plays.HISTORY_COLUMNS, "track_id")
        names = self.names()
        assigned = plays.assign_rows(history, names.lazy()).collect()
        zones = {listener: self._zones_of(listener) for listener in self.listeners()}
        facts, api = None, None
        if not self.api.is_empty():
            facts, api = self.known_facts().lazy(), self.told_by_api(names)
            told = plays.told_plays(history, assigned.lazy(), names.lazy(), zones, facts).collect()
            of_api = api_plays.assigned(api_plays.candidates(told, api), api)
            assigned = pl.concat([assigned, of_api.select(assigned.columns)])
        decided = plays.decide_plays(
            history,
            assigned.lazy().filter(~api_plays.is_api()),
            names.lazy(),
            zones=zones,
            session_gap_minutes=self.session_gap_minutes,
            facts=facts,
            api=api,
        ).collect()
        return names, assigned, decided, plays.play_sources(assigned.lazy(), decided.lazy()).collect()

    def _zones_of(self, listener: str) -> DatedZones:
        zones = self.zones.get(listener, self.zones.get(""))
        return [(None, zones)] if isinstance(zones, str) else zones

    def write(self) -> list[date]:
        """Write the days of clean.plays and clean.play_sources that changed; return those of clean.plays."""
        names, _, decided, sources = self.decide()
        listeners = self.listeners()
        today = self.today if isinstance(self.today, Mapping) else dict.fromkeys(listeners, self.today)
        zones = {listener: self._zones_of(listener) for listener in listeners}
        evidence = coverage.day_evidence(self.polls.select(coverage.POLL_COLUMNS), self.coverage(), zones)
        days = plays.days(
            plays.day_sums(decided.lazy(), sources.lazy()),
            plays.session_sums(decided.lazy()),
            evidence.lazy(),
            today=today,
        ).collect()
        days = days.select(self.days.columns)
        changed = plays.changed_days(days.lazy(), self.days.lazy(), "plays_hash").collect()["played_on"].to_list()
        related = plays.changed_days(days.lazy(), self.days.lazy(), "sources_hash").collect()["played_on"].to_list()
        written = (
            plays.assemble_plays(
                decided.lazy().filter(pl.col("played_on").is_in(changed)),
                pl.concat(
                    [
                        self.history.lazy().select(plays.WRITTEN_COLUMNS),
                        api_plays.written(self.api.lazy().select(api_plays.WRITTEN_API_COLUMNS)),
                    ],
                    how="diagonal",
                ),
                names.lazy(),
            )
            .select(self.plays.columns)
            .collect()
        )
        kept = self.plays.filter(~pl.col("played_on").is_in(changed))
        self.plays = pl.concat([kept, written]).sort("listener", "ended_at", "play_id")
        kept = self.sources.filter(~pl.col("played_on").is_in(related))
        written = sources.filter(pl.col("played_on").is_in(related)).select(self.sources.columns)
        self.sources = pl.concat([kept, written]).sort("source_table", "source_row")
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
        days = self.days.lazy().filter(in_days).select("listener", "played_on", *coverage.DAY_EVIDENCE)
        transform = daily_transforms
        frames = {
            daily.Listening: transform.listening(of_days.select(transform.LISTENING_COLUMNS), of_sessions, days),
            daily.Artists: transform.artists(of_days.select(transform.ARTIST_COLUMNS)),
            daily.Albums: transform.albums(of_days.select(transform.ALBUM_COLUMNS)),
            daily.Tracks: transform.tracks(of_days.select(transform.TRACK_COLUMNS)),
            daily.Hours: transform.hours(of_days.select(transform.HOUR_COLUMNS)),
            daily.Sessions: transform.sessions(of_sessions),
            daily.Completeness: transform.completeness(of_days.select(transform.COMPLETENESS_COLUMNS), days),
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
