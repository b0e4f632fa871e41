"""Asking Spotify inside a step: answers are stored as they come, and what keeps them from coming is told, not raised.

Everything that can be expected of Spotify (nobody signed in, a quota, an endpoint that this app may not ask, an hour
of errors) ends a step successfully, with what came and a failed check that says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol

import dagster as dg

from spotify_assets.assets import ASKS_TAG
from spotify_assets.assets.raw.responses import (
    ListsOfPages,
    PagedList,
    Taken,
    note_unanswered_poll,
    outcome_of_status,
    take_responses,
)
from spotify_assets.assets.table_asset import asset_key, table_spec
from spotify_assets.clock import Clock
from spotify_assets.lakehouse import Warehouse
from spotify_assets.schemas import Table
from spotify_assets.spotify.errors import (
    CapabilityAbsent,
    NotSignedIn,
    PermanentFailure,
    QuotaBlocked,
    SignInExpired,
    SpotifyError,
    TransientFailure,
)
from spotify_assets.spotify.model import Endpoint, Request, Response
from spotify_assets.spotify.reading import page_of

ANSWERED_CHECK = "spotify_answered"

RESPONSES_PER_LOT = 50
SECONDS_PER_LOT = timedelta(seconds=5)
"""A killed run loses no more than so many answers, and none that is older. Each lot costs a transaction, for which the
warehouse is opened and closed: nobody is to wait for it while Spotify is waited for."""


class Client(Protocol):
    """Whoever asks Spotify: keeps to the quota and the rate limit, and tries again what is worth it."""

    def fetch(self, request: Request) -> Response:
        """The answer.

        Raises:
            SpotifyError: There is none.
        """
        ...


@dataclass
class Spotify:
    """What the steps of one run have of Spotify: the resource `spotify`.

    Attributes:
        client: Who asks; None where no Spotify app is known.
        listeners: Whose plays, rankings, library and playlists are asked for.
        markets: ISO 3166-1 country of a listener, where it is known.
        daily_budget: Requests that may be made to an endpoint in a day; None where that is not known.
        quota_rows: Rows of raw.api_quota as they are now.
        trouble: What is wrong with the app that is known, as a sentence, where it cannot be used.
        catalogue_listener: Whose sign-in is used for what is no listener's own; None until that is found out.
    """

    client: Client | None
    listeners: Sequence[str]
    markets: Mapping[str, str] = field(default_factory=dict)
    daily_budget: Callable[[Endpoint], int | None] = lambda _: None
    quota_rows: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    trouble: str = ""
    catalogue_listener: str | None = None

    def fetch(self, request: Request) -> Response:
        """As `Client.fetch`.

        Raises:
            SpotifyError: There is no answer.
        """
        if self.client is None:
            raise NotSignedIn(request.listener, self.trouble)
        return self.client.fetch(request)

    def fetch_for_nobody(self, endpoint: Endpoint, params: Mapping[str, str | int]) -> Response:
        """Ask for what is no listener's own: as the app where it has a secret, else with any listener's sign-in.

        Raises:
            SpotifyError: There is no answer.
        """
        if self.catalogue_listener is not None:
            return self.fetch(Request(endpoint, params, self.catalogue_listener))
        refusals: list[NotSignedIn | SignInExpired] = []
        for listener in ("", *self.listeners):
            try:
                response = self.fetch(Request(endpoint, params, listener))
            except (NotSignedIn, SignInExpired) as error:
                refusals.append(error)
            else:
                self.catalogue_listener = listener
                return response
        # Whoever had signed in and cannot be asked for any more is to do that again, not to find a secret for the app.
        raise next((error for error in refusals if isinstance(error, SignInExpired)), refusals[0])


class Stopped(Exception):
    """There is no answer, and the reason is noted: what depends on it is left for the next run."""


class Absent(Stopped):
    """The app may not ask this endpoint, and there is another way."""


class Asking:
    """A step's conversation with Spotify. Use it in a `with`: at its end whatever waits is stored.

    Attributes:
        taken: What came of the answers.
        requests: How many were made.
        obstacles: Why not everything could be asked for, in sentences for persons.
    """

    def __init__(self, spotify: Spotify, warehouse: Warehouse, clock: Clock) -> None:
        self.spotify = spotify
        self.warehouse = warehouse
        self.clock = clock
        self.taken = Taken()
        self.requests = 0
        self.obstacles: list[str] = []
        self._waiting: list[Response] = []
        self._stored_at = clock.now()
        self._profiles: list[Response] = []

    def __enter__(self) -> Asking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.store()

    @contextmanager
    def until_stopped(self) -> Iterator[None]:
        """A part of the work that ends early when Spotify does not answer."""
        with suppress(Stopped):
            yield

    def ask(
        self,
        endpoint: Endpoint,
        params: Mapping[str, str | int],
        listener: str | None = None,
        *,
        accepts: Sequence[int] = (),
        is_optional: bool = False,
    ) -> Response:
        """Ask, and have the answer stored.

        Args:
            listener: Whose sign-in to use; None for what is no listener's own.
            accepts: Statuses that are an answer, beside 200, 204 and, where an id is asked for, 404.
            is_optional: There is another way: that the app may not ask this endpoint is no obstacle.

        Raises:
            Absent: The app may not ask this endpoint, which is optional.
            Stopped: There is no answer.
        """
        answers = {200, 204, *accepts, *([404] if "id" in params or "ids" in params else [])}
        try:
            if listener is None:
                response = self.spotify.fetch_for_nobody(endpoint, params)
            else:
                response = self.spotify.fetch(Request(endpoint, params, listener))
        except (CapabilityAbsent, PermanentFailure) as error:
            # A 403 that is raised is about the app or the listener, not about the playlist that was asked for.
            if error.response is not None and not (error.response.status == 403 and 403 in accepts):
                self._keep(error.response)
                if error.response.status in answers:
                    return error.response
            if is_optional and isinstance(error, CapabilityAbsent):
                raise Absent from error
            raise self._stopped(error) from error
        except SpotifyError as error:
            raise self._stopped(error) from error
        self._keep(response)
        if response.status in answers:
            return response
        if is_optional and response.status == 403:
            raise Absent
        raise self._stopped(_refusal(response))

    def _keep(self, response: Response) -> None:
        self.requests += 1
        self._waiting.append(response)
        waiting_for = self.clock.now() - self._stored_at
        if response.endpoint == Endpoint.ME:
            self._profiles.append(response)
        if len(self._waiting) >= RESPONSES_PER_LOT or waiting_for >= SECONDS_PER_LOT:
            self.store()

    def ask_list(
        self, list_: PagedList, params: Mapping[str, str | int], *, limit: int, accepts: Sequence[int] = ()
    ) -> None:
        """Ask for the pages of a listener's list, going on where an earlier run had to stop.

        As long as the first page tells what it told before, the pages behind it are not asked for again.

        Raises:
            Stopped: A page did not come.
        """
        endpoint = Endpoint(list_.endpoint)
        query = {**params, "limit": limit}
        first = self.ask(endpoint, {**query, "offset": 0}, list_.listener, accepts=accepts)
        self.store()
        if first.status != 200 or page_of(first.params, first.body) is None:
            return
        with self.warehouse.transaction() as transaction:
            pages = ListsOfPages(transaction, endpoint).newest(list_, is_whole=False)
        offset = pages.next_offset if pages else None
        while offset is not None:
            response = self.ask(endpoint, {**query, "offset": offset}, list_.listener, accepts=accepts)
            place = page_of(response.params, response.body) if response.status == 200 else None
            offset = place.offset + place.limit if place and not place.is_last else None

    def note_unanswered_poll(self, listener: str, outcome: str) -> None:
        """As `responses.note_unanswered_poll`, now."""
        with self.warehouse.appending() as transaction:
            note_unanswered_poll(transaction, listener, self.clock.now(), outcome)

    def store(self) -> None:
        """Store the answers that wait."""
        if not self._waiting:
            return
        with self.warehouse.appending() as transaction:
            # Whose a playlist is can only be told beside the profile, whose ids are not stored.
            self.taken.add(take_responses(transaction, [*self._profiles, *self._waiting]))
        for endpoint in sorted(self.taken.unreadable):
            self.note(
                f"Spotify answered {endpoint} with something that is no answer to it. It is kept with the reason in "
                "raw.rejected_items; the next run asks again. If that stays so, its API has changed: look for a newer "
                "version of spotify_assets."
            )
        self._waiting = []
        self._stored_at = self.clock.now()

    def note(self, obstacle: str) -> None:
        """Remember what keeps Spotify from answering, once."""
        if obstacle not in self.obstacles:
            self.obstacles.append(obstacle)

    def check_result(self) -> dg.AssetCheckResult:
        """Whether everything that was to be asked for came; if not, why, and what to do."""
        return dg.AssetCheckResult(
            check_name=ANSWERED_CHECK,
            passed=not self.obstacles,
            severity=dg.AssetCheckSeverity.WARN,
            description="\n".join(self.obstacles) or None,
            metadata={"requests": self.requests},
        )

    def results(
        self,
        tables: Sequence[type[Table]],
        metadata: Mapping[str, Any] | None = None,
        *,
        data_version: str | None = None,
    ) -> Iterator[dg.MaterializeResult]:
        """The materializations of a step's tables; the first bears check, data version and what was asked."""
        stored = self.warehouse.counts(tables)
        for table in tables:
            is_first = table is tables[0]
            asked = {"requests": self.requests, "responses_new": self.taken.responses_new, **(metadata or {})}
            yield dg.MaterializeResult(
                asset_key=asset_key(table),
                metadata={"dagster/row_count": stored[table], **(asked if is_first else {})},
                check_results=[self.check_result()] if is_first else [],
                data_version=dg.DataVersion(data_version) if is_first and data_version else None,
            )

    def _stopped(self, obstacle: str | SpotifyError) -> Stopped:
        self.note(str(obstacle))
        return Stopped(str(obstacle))


def _refusal(response: Response) -> str:
    whose = f" of {response.listener}" if response.listener else ""
    match response.status:
        case 401:
            return (
                f"Spotify does not accept the sign-in{whose} ({response.endpoint}, HTTP 401). If that stays so, sign "
                "in again: spotify-assets login"
            )
        case 403:
            return (
                f"Spotify refuses {response.endpoint}{whose} (HTTP 403). Either this app may not ask it, or the "
                "sign-in lacks a permission: then sign in again (spotify-assets login)."
            )
        case 429:
            return f"Spotify wants fewer requests just now ({response.endpoint}); the next run asks for the rest."
    return (
        f"Spotify answered {response.endpoint} with HTTP {response.status}. What came before is stored; the next run "
        "asks for the rest."
    )


def outcome_without_response(error: BaseException | None) -> str | None:
    """What raw.polls says of a poll that had no response; None where it had one, or was not made at all because
    nobody is signed in."""
    if error is None or isinstance(error, NotSignedIn) or getattr(error, "response", None) is not None:
        return None
    if isinstance(error, QuotaBlocked):
        return "rate_limited"
    if isinstance(error, SignInExpired):
        return "unauthorized"
    if isinstance(error, TransientFailure | PermanentFailure) and error.status:
        return outcome_of_status(error.status)
    return "forbidden" if isinstance(error, CapabilityAbsent) else "failed"


def asking_spec(table: type[Table], *, deps: Sequence[type[Table]] = ()) -> dg.AssetSpec:
    """As `table_spec`, of a table whose step asks Spotify."""
    return table_spec(table, deps=deps).merge_attributes(tags={ASKS_TAG: "spotify"})


def answered_check_spec(table: type[Table]) -> dg.AssetCheckSpec:
    """The check that a step reports with `Asking.check_result`."""
    return dg.AssetCheckSpec(
        ANSWERED_CHECK, asset=asset_key(table), description="Everything that was to be asked for came from Spotify."
    )
