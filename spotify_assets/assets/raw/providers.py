"""raw.audio_features and raw.genres: what providers tell, asked for in small lots that are stored as they come."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

import dagster as dg
import polars as pl

from spotify_assets import progress
from spotify_assets.assets import ASKS_TAG
from spotify_assets.assets.raw.asking import Absent, Asking, Spotify, Stopped
from spotify_assets.assets.table_asset import asset_key, table_spec
from spotify_assets.clock import Clock
from spotify_assets.lakehouse import Transaction, Warehouse
from spotify_assets.schemas import Table, clean, raw_api
from spotify_assets.spotify.errors import CapabilityAbsent
from spotify_assets.spotify.model import Request, Response
from spotify_assets.spotify.providers import (
    ArtistQuestion,
    AudioFeatureProvider,
    Budget,
    BudgetSpent,
    FeaturesTold,
    GenreProvider,
    GenresTold,
    MusicBrainz,
    NotOffered,
    OwnFeatures,
    OwnGenres,
    Providers,
    ProviderUnavailable,
    QuestionRefused,
    ReccoBeats,
    SpotifyFeatures,
)
from spotify_assets.transforms import wanted as wanting

ANSWERED_CHECK = "providers_answered"
OWN_FILE_CHECK = "own_file_is_sound"

_REFUSALS_IN_A_ROW = 3
"""One question may have no answer; when several follow each other the provider is out of order."""

_SECONDS_PER_LOT = timedelta(seconds=1)
"""Providers are asked once a second by default: then every answer is stored when it comes."""

_STORED_FEATURES = ["track_id", "source", "fetched_at", "is_known"]

Question = TypeVar("Question")
Told = TypeVar("Told", FeaturesTold, GenresTold)


@dataclass
class _Outcome:
    """What came of a run's questions."""

    requests: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    told: int = 0
    unusable_values: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note(self, told: FeaturesTold | GenresTold) -> None:
        self.problems += told.problems
        self.counts |= told.counts

    def checks(self, setting: str) -> list[dg.AssetCheckResult]:
        """The checks of an asset; neither stops anything."""
        advice = f"What was told before is kept, the next run asks again. Who is asked: SPOTIFY_ASSETS_{setting}."
        return [
            dg.AssetCheckResult(
                check_name=ANSWERED_CHECK,
                passed=not self.silent,
                severity=dg.AssetCheckSeverity.WARN,
                description="\n".join([*self.silent, advice]) if self.silent else None,
            ),
            dg.AssetCheckResult(
                check_name=OWN_FILE_CHECK,
                passed=not self.problems,
                severity=dg.AssetCheckSeverity.WARN,
                description="\n".join(self.problems) or None,
            ),
        ]

    def metadata(self) -> dict[str, Any]:
        return {
            **self.counts,
            "requests": dg.MetadataValue.json(self.requests),
            **({"skipped": dg.MetadataValue.json(self.skipped)} if self.skipped else {}),
        }


def build_provider_assets() -> list[dg.AssetsDefinition]:
    """raw.audio_features and raw.genres. They need the resources warehouse, clock, spotify and providers."""

    @dg.multi_asset(
        name="audio_features",
        specs=[_spec(raw_api.AudioFeatures, deps=[clean.Plays, raw_api.ArtistTopTracks])],
        check_specs=_check_specs(raw_api.AudioFeatures),
    )
    def audio_features(
        context: dg.AssetExecutionContext,
        warehouse: Warehouse,
        clock: Clock,
        spotify: dg.ResourceParam[Spotify],
        providers: dg.ResourceParam[Providers],
    ):
        with warehouse.transaction() as transaction:
            wanted = _wanted_tracks(transaction)
        outcome = _Outcome()
        with Asking(spotify, warehouse, clock) as asking:
            for provider, budget in zip(providers.audio_features, providers.budgets(), strict=False):
                _ask_about_tracks(asking, provider, budget, wanted, clock.now, outcome)
        stored = warehouse.read(raw_api.AudioFeatures, _STORED_FEATURES)
        known = stored.filter("is_known")
        tell = (OwnFeatures, SpotifyFeatures, ReccoBeats)
        yield _result(
            context,
            raw_api.AudioFeatures,
            outcome,
            setting="AUDIO_FEATURE_PROVIDERS",
            stored=stored,
            metadata={
                "tracks_wanted": wanted.height,
                "tracks_known": wanted.filter(pl.col("track_id").is_in(known["track_id"].implode())).height,
                **wanting.coverage(wanted, known["track_id"], "track_id"),
                "tracks_asked_for": outcome.asked,
                "tracks_told": outcome.told,
                "unusable_values": outcome.unusable_values,
                "tracks_by_source": _by_source(known, "track_id"),
                "attribution": _attribution(known, [*tell, *providers.audio_features]),
            },
        )

    @dg.multi_asset(
        name="genres",
        specs=[_spec(raw_api.Genres, deps=[clean.Plays, raw_api.Tracks, raw_api.Artists, raw_api.AudioFeatures])],
        check_specs=_check_specs(raw_api.Genres),
    )
    def genres(
        context: dg.AssetExecutionContext, warehouse: Warehouse, clock: Clock, providers: dg.ResourceParam[Providers]
    ):
        with warehouse.transaction() as transaction:
            tracks = _tracks_with_artist(transaction)
            told_by_spotify = _genres_told_by_spotify(transaction)
        artists = wanting.wanted_artists(tracks.lazy()).collect()
        outcome = _Outcome()
        for provider, budget in zip(providers.genres, providers.budgets(), strict=False):
            _ask_about_artists(warehouse, provider, budget, tracks, artists, told_by_spotify, clock.now, outcome)
        stored = warehouse.read(raw_api.Genres, ["source", "artist_name", "genre", "fetched_at"])
        known = pl.concat([stored.filter(pl.col("genre") != ""), told_by_spotify], how="diagonal")
        yield _result(
            context,
            raw_api.Genres,
            outcome,
            setting="GENRE_PROVIDERS",
            stored=stored,
            metadata={
                "artists_wanted": artists.height,
                "artists_known": artists.filter(pl.col("artist_name").is_in(known["artist_name"].implode())).height,
                **wanting.coverage(artists, known["artist_name"], "artist_name"),
                "recordings_asked_for": outcome.asked,
                "artists_told": outcome.told,
                "artists_by_source": _by_source(known, "artist_name"),
                "attribution": _attribution(known, [OwnGenres, MusicBrainz, *providers.genres]),
            },
        )

    return [audio_features, genres]


def _spec(table: type[Table], deps: Sequence[type[Table]]) -> dg.AssetSpec:
    return table_spec(table, deps=deps).merge_attributes(tags={ASKS_TAG: "providers"})


def _check_specs(table: type[Table]) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            ANSWERED_CHECK, asset=asset_key(table), description="Every provider that is switched on could be asked."
        ),
        dg.AssetCheckSpec(
            OWN_FILE_CHECK, asset=asset_key(table), description="Every row of the listener's own file can be used."
        ),
    ]


def _result(
    context: dg.AssetExecutionContext,
    table: type[Table],
    outcome: _Outcome,
    *,
    setting: str,
    stored: pl.DataFrame,
    metadata: dict[str, Any],
) -> dg.MaterializeResult:
    for message in (*outcome.silent, *outcome.problems):
        context.log.warning(message)
    for message in outcome.skipped:
        context.log.info(message)
    # Rows are never changed without a new fetched_at.
    content = f"{stored.height} {stored['fetched_at'].max()}"
    return dg.MaterializeResult(
        asset_key=asset_key(table),
        data_version=dg.DataVersion(hashlib.sha256(content.encode()).hexdigest()[:16]),
        metadata={"dagster/row_count": stored.height, **metadata, **outcome.metadata()},
        check_results=outcome.checks(setting),
    )


def _by_source(known: pl.DataFrame, key: str) -> dg.MetadataValue:
    counted = known.group_by("source").agg(pl.col(key).n_unique()).sort("source")
    return dg.MetadataValue.json(dict(counted.iter_rows()))


def _attribution(known: pl.DataFrame, tellers: Sequence[Any]) -> str:
    """Whom to credit for what is stored, whether or not they are still asked."""
    credits = {each.source: each.attribution for each in tellers}
    return "\n".join(credits[source] for source in known["source"].unique().sort() if source in credits)


def _played(transaction: Transaction) -> pl.DataFrame:
    """How long each track was listened to, by all: track_id, artist_name, ms_played. Summed by DuckDB, as the names of
    ten years of plays fill a quarter of a gigabyte."""
    schema = pl.Schema({"track_id": pl.String, "artist_name": pl.String, "ms_played": pl.Int64})
    if transaction.maximum(clean.Plays, "ended_at") is None:
        return schema.to_frame()
    played = transaction.query(
        "SELECT track_id, any_value(artist_name) AS artist_name, coalesce(sum(ms_played), 0)::BIGINT AS ms_played "
        f"FROM {clean.Plays.qualified_name()} WHERE track_id IS NOT NULL AND content_type = 'track' GROUP BY track_id"
    )
    return played.cast(dict(schema))


def _wanted_tracks(transaction: Transaction) -> pl.DataFrame:
    others = transaction.read(raw_api.ArtistTopTracks, ["track_id"])
    return wanting.wanted_tracks(_played(transaction).lazy(), others.lazy()).collect()


def _tracks_with_artist(transaction: Transaction) -> pl.DataFrame:
    """Played tracks with their first artist, ISRC and ms_played; where Spotify told nothing of a track, the artist is
    the album's and the ISRC is a provider's."""
    schema = pl.Schema({"track_id": pl.String, "first_artist": pl.String, "isrc": pl.String})
    told = schema.to_frame()
    if transaction.maximum(raw_api.Tracks, "told_at") is not None:
        told = transaction.query(
            "SELECT track_id, arg_max(object->>'$.artists[0].name', told_at) AS first_artist, "
            "upper(arg_max(object->>'$.external_ids.isrc', told_at)) AS isrc "
            f"FROM {raw_api.Tracks.qualified_name()} WHERE json_valid(object) GROUP BY track_id"
        ).cast(dict(schema))
    by_providers = transaction.read(raw_api.AudioFeatures, ["track_id", "isrc"], where="isrc IS NOT NULL")
    by_providers = by_providers.unique("track_id", keep="any").rename({"isrc": "provider_isrc"})
    return (
        _played(transaction)
        .join(told, on="track_id", how="left")
        .join(by_providers, on="track_id", how="left")
        .select(
            artist_name=pl.coalesce("first_artist", "artist_name"),
            isrc=pl.coalesce("isrc", "provider_isrc"),
            ms_played="ms_played",
        )
    )


def _genres_told_by_spotify(transaction: Transaction) -> pl.DataFrame:
    """source and artist_name of the artists whose genres Spotify tells."""
    schema = pl.Schema({"source": pl.String, "artist_name": pl.String})
    if transaction.maximum(raw_api.Artists, "told_at") is None:
        return schema.to_frame()
    told = transaction.query(
        "SELECT DISTINCT 'spotify' AS source, object->>'$.name' AS artist_name "
        f"FROM {raw_api.Artists.qualified_name()} WHERE json_valid(object) AND NOT is_simplified "
        "AND json_array_length(object, '$.genres') > 0 AND object->>'$.name' IS NOT NULL"
    )
    return told.cast(dict(schema))


def _answers(
    name: str,
    lots: Iterable[Sequence[Question]],
    total: int,
    ask: Callable[[Sequence[Question]], Told],
    outcome: _Outcome,
) -> Iterator[tuple[Sequence[Question], Told]]:
    """Ask one lot after the other until there is no more to ask, no more budget, or no sense in it."""
    refusals = 0
    for done, lot in enumerate(lots):
        progress.report(f"Asking {name}", done, total)
        try:
            told = ask(lot)
        except BudgetSpent:
            return
        except NotOffered as error:
            outcome.skipped.append(str(error))
            return
        except ProviderUnavailable as error:
            outcome.silent.append(str(error))
            return
        except QuestionRefused as error:
            refusals += 1
            outcome.silent += [] if str(error) in outcome.silent else [str(error)]
            if refusals == _REFUSALS_IN_A_ROW:
                return
        else:
            refusals = 0
            yield lot, told


def _asked_through(asking: Asking) -> Callable[[Request], Response]:
    """Ask Spotify as the other steps do, with what it does not answer as errors of a provider."""

    def fetch(request: Request) -> Response:
        if asking.spotify.client is None:
            raise NotOffered(asking.spotify.trouble or "Spotify is not asked for audio features: no app is known.")
        try:
            return asking.ask(request.endpoint, request.params, accepts=(400,), is_optional=True)
        except Absent:
            raise NotOffered(str(CapabilityAbsent(request.endpoint))) from None
        except Stopped as stopped:
            raise ProviderUnavailable(str(stopped)) from stopped

    return fetch


def _ask_about_tracks(
    asking: Asking,
    provider: AudioFeatureProvider,
    budget: Budget,
    wanted: pl.DataFrame,
    now: Callable[[], datetime],
    outcome: _Outcome,
) -> None:
    warehouse = asking.warehouse
    is_spotify = isinstance(provider, SpotifyFeatures)
    if is_spotify:
        provider = replace(provider, fetch=_asked_through(asking))
    if provider.is_local:
        told = provider.ask(wanted["track_id"].to_list(), budget)
        outcome.note(told)
        if told.has_answered:
            rows = told.features.with_columns(source=pl.lit(provider.source), is_known=True)
            _store_own(warehouse, raw_api.AudioFeatures, rows, provider.source, now())
            outcome.unusable_values += told.unusable_values
        return
    stored = warehouse.read(raw_api.AudioFeatures, _STORED_FEATURES)
    to_ask = wanting.tracks_to_ask(wanted.lazy(), stored.lazy(), provider.source, now()).collect()["track_id"].to_list()
    lots = [to_ask[at : at + provider.tracks_per_request] for at in range(0, len(to_ask), provider.tracks_per_request)]
    store_first = asking.store if is_spotify else None
    with _Lots(warehouse, raw_api.AudioFeatures, ("track_id", "source"), now, store_first) as waiting:
        for lot, told in _answers(provider.source, lots, len(lots), lambda lot: provider.ask(lot, budget), outcome):
            asked = pl.DataFrame({"track_id": lot, "source": provider.source}, schema_overrides={"track_id": pl.String})
            rows = asked.join(told.features.with_columns(is_known=True), on="track_id", how="left").with_columns(
                pl.col("is_known").fill_null(False), fetched_at=now()
            )
            # What Spotify's answers tell is stored with them; what they do not tell must not be asked again at once.
            waiting.add(rows.filter(~pl.col("is_known")) if is_spotify else rows)
            outcome.asked += len(lot)
            outcome.told += told.features.height
            outcome.unusable_values += told.unusable_values
    outcome.requests[provider.source] = asking.requests if is_spotify else budget.requests_made


def _ask_about_artists(
    warehouse: Warehouse,
    provider: GenreProvider,
    budget: Budget,
    tracks: pl.DataFrame,
    artists: pl.DataFrame,
    told_by_spotify: pl.DataFrame,
    now: Callable[[], datetime],
    outcome: _Outcome,
) -> None:
    if provider.is_local:
        told = provider.ask([ArtistQuestion(name) for name in artists["artist_name"]], budget)
        outcome.note(told)
        if told.has_answered:
            rows = [
                (provider.source, name, genre.name, genre.votes, name)
                for name, genres in told.genres.items()
                for genre in genres
            ]
            _store_own(warehouse, raw_api.Genres, _genre_rows(rows), provider.source, now())
        return
    stored = warehouse.read(raw_api.Genres, ["source", "artist_name", "genre", "asked_by", "fetched_at"])
    to_ask = wanting.questions_about_artists(
        tracks.lazy(), stored.lazy(), told_by_spotify.lazy(), provider.source, now()
    ).collect()
    asked_before = wanting.asked_lately(stored.lazy(), provider.source, now()).collect()
    asked_by: dict[str, list[str]] = {}
    for name, isrc in asked_before.iter_rows():
        asked_by.setdefault(name, []).append(isrc)
    answered: set[str] = set()
    lots = (
        [ArtistQuestion(name, isrc)]
        for name, isrc in to_ask.select("artist_name", "isrc").iter_rows()
        if name not in answered
    )
    with _Lots(warehouse, raw_api.Genres, ("source", "artist_name"), now) as waiting:
        for lot, told in _answers(provider.source, lots, to_ask.height, lambda lot: provider.ask(lot, budget), outcome):
            name, isrc = lot[0].artist_name, lot[0].isrc
            genres = told.genres.get(name, ())
            asked_by.setdefault(name, []).append(isrc)
            rows = [(provider.source, name, genre.name, genre.votes, isrc) for genre in genres]
            unknown = (provider.source, name, "", None, ",".join(asked_by[name]))
            waiting.add(_genre_rows(rows or [unknown]).with_columns(fetched_at=now()))
            if genres:
                answered.add(name)
            outcome.asked += 1
            outcome.told += bool(genres)
    outcome.requests[provider.source] = budget.requests_made


class _Lots:
    """What a provider told, stored every second: each storing opens and closes the warehouse. Use it in a `with`: at
    its end whatever waits is stored.

    Args:
        warehouse: Where to.
        table: Which table.
        key: Columns that tell what was asked for: all rows of it are replaced.
        now: Tells the instant (UTC).
        store_first: Is called before anything is stored.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        table: type[Table],
        key: Sequence[str],
        now: Callable[[], datetime],
        store_first: Callable[[], None] | None = None,
    ) -> None:
        self._warehouse = warehouse
        self._table = table
        self._key = list(key)
        self._now = now
        self._store_first = store_first
        self._stored_at = now()
        self._waiting: dict[tuple[Any, ...], pl.DataFrame] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store()

    def add(self, rows: pl.DataFrame) -> None:
        """Rows of what was asked for; of what is told twice the later telling stands."""
        self._waiting |= rows.partition_by(self._key, as_dict=True)
        if self._now() - self._stored_at >= _SECONDS_PER_LOT:
            self._store()

    def _store(self) -> None:
        if self._store_first:
            self._store_first()
        self._stored_at = self._now()
        if not self._waiting:
            return
        rows = pl.concat(self._waiting.values())
        with self._warehouse.appending() as transaction:
            transaction.delete_rows(self._table, rows.select(self._key).unique())
            transaction.append(self._table, rows)
        self._waiting = {}


def _genre_rows(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    names = ("source", "artist_name", "genre", "votes", "asked_by")
    schema = {name: raw_api.Genres.polars_schema()[name] for name in names}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _store_own(warehouse: Warehouse, table: type[Table], rows: pl.DataFrame, source: str, now: datetime) -> None:
    """Let `rows` be all that an own file tells; rows that it told already keep their fetched_at."""
    names = [name for name in table.column_names() if name != "fetched_at"]
    rows = rows.select(names)
    stored = warehouse.read(table, names, where="source = ?", parameters=[source])
    gone = stored.join(rows, on=names, how="anti", nulls_equal=True)
    new = rows.join(stored, on=names, how="anti", nulls_equal=True)
    if gone.is_empty() and new.is_empty():
        return
    with warehouse.transaction() as transaction:
        transaction.delete_rows(table, gone.select(table.primary_key()))
        transaction.append(table, new.with_columns(fetched_at=now))
