"""What every provider is: asked about tracks or artists, within a budget, it tells what it knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl


class ProviderError(Exception):
    """A provider did not answer. The message is a sentence for a person."""


class ProviderUnavailable(ProviderError):
    """It cannot be asked for now, whatever the question; what was told before is kept."""


class QuestionRefused(ProviderError):
    """It does not answer this question in a way that can be understood; others it may."""


class NotOffered(ProviderError):
    """It does not serve this app, and nothing is wrong: it is skipped."""


class BudgetSpent(Exception):
    """The run has asked as often, or for as long, as the settings allow; the next run goes on."""


class Budget:
    """How many requests a run may still make, and for how long.

    Args:
        requests: Requests, those that are repeated after a failure included.
        seconds: From now on.
        monotonic: The clock.
    """

    def __init__(self, requests: int, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.requests = requests
        self.requests_made = 0
        self._monotonic = monotonic
        self._ends_at = monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._ends_at - self._monotonic())

    def take(self) -> None:
        """Count a request that is about to be made.

        Raises:
            BudgetSpent: It may not be made.
        """
        if self.requests_made >= self.requests or self.seconds_left <= 0:
            raise BudgetSpent
        self.requests_made += 1


@dataclass(frozen=True)
class FeaturesTold:
    """What a provider told of the tracks that it was asked about.

    Attributes:
        features: One row for each track it knows: `features.FEATURES`, at least one of them usable.
        unusable_values: Values that were no numbers or out of range; they are NULL in `features`.
        problems: What a person should mend, such as bad rows of an own file.
        counts: Figures for the run's metadata.
        has_answered: False when an own file is not there or cannot be read: then what it told before stays.
    """

    features: pl.DataFrame
    unusable_values: int = 0
    problems: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    has_answered: bool = True


class AudioFeatureProvider(Protocol):
    """Somebody who tells the audio features of tracks by their Spotify id.

    Attributes:
        source: Its name in `raw.audio_features.source`.
        attribution: Who is to be credited.
        tracks_per_request: How many tracks a request can ask about.
        is_local: It asks nobody else: it is asked about every track in every run, outside the budget, because what it
            tells can change.
    """

    source: str
    attribution: str
    tracks_per_request: int
    is_local: bool

    def ask(self, track_ids: Sequence[str], budget: Budget) -> FeaturesTold:
        """What it knows of some tracks; those left out of the answer it does not know.

        Raises:
            ProviderUnavailable: It cannot be asked for now.
            QuestionRefused: It cannot answer this question.
            NotOffered: It does not serve this app.
            BudgetSpent: The run has no requests or no time left.
        """
        ...


@dataclass(frozen=True)
class ArtistQuestion:
    """An artist whose genres are asked for.

    Attributes:
        artist_name: The artist as Spotify names it.
        isrc: A recording whose first artist it is; empty where none is known.
    """

    artist_name: str
    isrc: str = ""


@dataclass(frozen=True)
class Genre:
    """A genre and how many people say so, where the provider counts."""

    name: str
    votes: int | None = None


@dataclass(frozen=True)
class GenresTold:
    """What a provider told of the artists that it was asked about.

    Attributes:
        genres: By `ArtistQuestion.artist_name`; artists that it does not know are left out.
        problems: What a person should mend, such as bad rows of an own file.
        counts: Figures for the run's metadata.
        has_answered: False when an own file is not there or cannot be read: then what it told before stays.
    """

    genres: Mapping[str, Sequence[Genre]]
    problems: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    has_answered: bool = True


class GenreProvider(Protocol):
    """Somebody who tells the genres of artists.

    Attributes:
        source: Its name in `raw.genres.source`.
        attribution: Who is to be credited.
        needs_isrc: It is asked with a recording of the artist.
        is_local: As in `AudioFeatureProvider`; it is asked about all artists at once, others about one.
    """

    source: str
    attribution: str
    needs_isrc: bool
    is_local: bool

    def ask(self, questions: Sequence[ArtistQuestion], budget: Budget) -> GenresTold:
        """What it knows of some artists; raises as `AudioFeatureProvider.ask`."""
        ...
