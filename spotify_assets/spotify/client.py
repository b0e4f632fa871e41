"""The client of the Spotify Web API: asks one thing after another, within the quota, and says plainly what came of it.

It makes of everything that can come back either a response that means something, or one of the errors of
`spotify_assets.spotify.errors`. It never opens a browser and never waits for input: tokens come from a token source.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from spotify_assets.settings import Settings
from spotify_assets.spotify.answers import Answer
from spotify_assets.spotify.capabilities import (
    LARGE_PAGES,
    NEEDED,
    Capabilities,
    Capability,
    CapabilityMemory,
    Finding,
    capability_memory,
    is_limit_refused,
    probe,
)
from spotify_assets.spotify.errors import (
    AccountsUnavailable,
    CapabilityAbsent,
    NotSignedIn,
    PermanentFailure,
    SpotifyError,
    TransientFailure,
)
from spotify_assets.spotify.model import Endpoint, Request, Response
from spotify_assets.spotify.pacing import LONGEST_WAIT_SECONDS, Pace, Patience
from spotify_assets.spotify.paging import first_page, has_pages, next_page
from spotify_assets.spotify.quota import BUCKETS, Bucket, QuotaLedger, in_words
from spotify_assets.spotify.session import Bearer, NoAnswer, OneAnswerSession, UnusableToken, WebApi
from spotify_assets.state import State

_log = logging.getLogger(__name__)

_PAUSES_SECONDS = (1.0, 2.0, 4.0)
"""Before the second, third and fourth try of a request that failed."""

_PAUSES_OF_RATE_SECONDS = (5.0, 10.0, 20.0)
"""Likewise after a 429 that does not tell how long: together they outlast the rate limit's window of 30 seconds."""

_SPOTIFY = "spotify"
_RENEWAL_PAUSE = timedelta(minutes=1)
_SERVER_ERRORS = frozenset({408, 425, *range(500, 600)})

_REFUSALS = {
    "not registered": "Add this listener in the app's User Management at https://developer.spotify.com/dashboard, with "
    "the e-mail address of their Spotify account.",
    "may not be registered": "Add this listener in the app's User Management at "
    "https://developer.spotify.com/dashboard, with the e-mail address of their Spotify account.",
    "premium": "The account that made the app needs Spotify Premium; after it is paid for, a few hours pass.",
    "insufficient client scope": "Sign in again and agree to everything that is asked for: spotify-assets login",
}
"""Words in the body of a 403 that is about the app or the listener, not about what was asked, and what to do."""


class TokenSource(Protocol):
    """Where tokens come from; `listener` is empty for the app's own."""

    def access_token(self, listener: str) -> str:
        """A token that should be good.

        Raises:
            SpotifyError: There is none, and none can be got without a person.
        """
        ...

    def renew(self, listener: str) -> str:
        """A new token, because Spotify refused the last one. Raises as `access_token`."""
        ...


@dataclass
class Tally:
    """What a client has done.

    Attributes:
        requests: Requests sent, by bucket; every try counts.
        statuses: Answers by HTTP status; 0 for none.
        seconds_waited: Spent on waiting because Spotify did not answer as it should.
    """

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds_waited: float = 0.0


@dataclass(frozen=True)
class _Setback:
    """A try that came to nothing: how long to wait before the next one, and what to raise if there is none.

    Attributes:
        is_for_all: The wait is for everything that is asked, by other processes as well.
    """

    pause_seconds: float
    failure: Callable[[], SpotifyError]
    is_for_all: bool = False


class SpotifyClient:
    """Asks the Spotify Web API. Threads may share a client; several processes may have one for the same home.

    Args:
        tokens: Where tokens come from.
        ledger: What may be asked.
        memory: Keeps what Spotify offers to this app.
        lock_file: Shared by all who ask for this home.
        now: Tells the instant (UTC).
        sleep: Waits for so many seconds.
        api_url: Address of the Web API, without a slash at the end.
        requests_per_second: At most, for all who share the lock file.
        patience_seconds: How long a run may wait for a Spotify that does not answer as it should; see `Patience`.
        connect_seconds: How long a connection may take to come about.
        read_seconds: How long Spotify may be silent.
        answer_seconds: How long a whole answer may take.

    Attributes:
        tally: What was asked so far.

    Example:
        >>> client = SpotifyClient.of_home(settings, tokens, now=clock.now, sleep=time.sleep, application=client_id)
        >>> client.fetch(Request(Endpoint.TOP_ARTISTS, {"time_range": "short_term", "limit": 50}, "me")).status
        200
    """

    def __init__(
        self,
        tokens: TokenSource,
        ledger: QuotaLedger,
        memory: CapabilityMemory,
        lock_file: Path,
        *,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        api_url: str,
        requests_per_second: float,
        patience_seconds: float = LONGEST_WAIT_SECONDS,
        connect_seconds: float = 5.0,
        read_seconds: float = 15.0,
        answer_seconds: float = 20.0,
    ) -> None:
        self.tally = Tally()
        self._tokens = tokens
        self._ledger = ledger
        self._memory = memory
        self._now = now
        self._sleep = sleep
        self._pace = Pace(lock_file, requests_per_second, now=now, sleep=sleep)
        self._patience = Patience(patience_seconds, now=now)
        self._api = WebApi(api_url, OneAnswerSession(connect_seconds, read_seconds, answer_seconds))
        self._renewed_at: dict[str, datetime] = {}
        # One request at a time, with all its tries: whoever comes meanwhile would be refused as well.
        self._one_at_a_time = threading.RLock()

    @classmethod
    def of_home(
        cls,
        settings: Settings,
        tokens: TokenSource,
        *,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        application: str = "",
    ) -> SpotifyClient:
        """The client of a home.

        Args:
            settings: Its settings.
            tokens: Where tokens come from.
            now: Tells the instant (UTC).
            sleep: Waits for so many seconds.
            application: The app's client id: another app is offered other things.
        """
        state = State(settings.paths.state_file)
        return cls(
            tokens,
            QuotaLedger(state, settings.budgets),
            capability_memory(settings, application),
            settings.paths.spotify_lock_file,
            now=now,
            sleep=sleep,
            api_url=settings.api_url,
            requests_per_second=settings.requests_per_second,
        )

    @property
    def ledger(self) -> QuotaLedger:
        """What was asked and may be asked."""
        return self._ledger

    def fetch(self, request: Request) -> Response:
        """Ask, and return any answer that says something about what was asked: 200, 204, 404, and 403 where it is
        about one thing (a playlist of somebody else), not about the endpoint.

        Raises:
            QuotaBlocked: The bucket's budget is used, or Spotify refuses it.
            CapabilityAbsent: Spotify does not offer the endpoint to this app; perhaps known without asking.
            NotSignedIn: There is no token for the listener, or it is unusable.
            SignInExpired: The listener must sign in again.
            TransientFailure: No usable answer came, after several tries; later one may.
            PermanentFailure: Spotify refuses the app, the listener or the request as it is.
            SpotifyError: Another of the token source's errors.
            StateError: `state.sqlite` cannot be used.
        """
        needed = NEEDED.get(request.endpoint)
        if needed:
            known = self._memory.load()
            # Not for ever: an app may be given more rights, and a refusal may have been a mistake.
            if known.lacks(needed) and needed not in known.due(self._now()):
                raise CapabilityAbsent(request.endpoint)
        response = self._answer_to(request)
        is_absent = response.status == 403 or (response.status == 404 and "id" not in request.params)
        if needed and (is_absent or response.status == 410):
            self._contradict(needed)
            raise CapabilityAbsent(request.endpoint, response)
        if needed and response.status == 200:
            self._confirm(needed)
        if is_limit_refused(response) and request.endpoint in LARGE_PAGES:
            self._contradict(LARGE_PAGES[request.endpoint])
        if response.status in (403, 404) or 200 <= response.status < 300:
            return response
        raise _permanent(request, response)

    def pages(self, request: Request) -> Iterator[Response]:
        """Ask for a list page by page, with pages as large as this app may have; ends after the last page, or after an
        answer that is no page. Whoever wants only some pages stops asking for more.

        Args:
            request: May bring a `limit`, `offset`, `after` or `before` of its own.

        Raises:
            SpotifyError: As from `fetch`; the pages before it are good.
        """
        if not has_pages(request.endpoint):
            yield self.fetch(request)
            return
        page: Request | None = first_page(request, self._page_limit(request.endpoint))
        while page:
            try:
                response = self.fetch(page)
            except PermanentFailure as error:
                smaller = first_page(page, self._page_limit(page.endpoint))
                if not (error.response and is_limit_refused(error.response)) or smaller == page:
                    raise
                page = smaller
                continue
            yield response
            page = next_page(page, response)

    def capabilities(self, listener: str = "") -> Capabilities:
        """What Spotify offers to this app: as remembered; asked where that is unknown, older than a week, or was
        contradicted the day before. To be called when a run starts.

        Args:
            listener: Whose token to ask with; empty for the app's own.

        Raises:
            SpotifyError: Nothing can be asked: no sign-in, or Spotify refuses the app or the listener as such.
            StateError: `state.sqlite` cannot be used.
        """
        known = self._memory.load()
        if known.due(self._now()):
            known = probe(self._answer_to, known, listener=listener, now=self._now())
            self._memory.save(known)
            _log.info("%s", known.text)
        return known

    def _page_limit(self, endpoint: Endpoint) -> int:
        return self._memory.load().page_limit(endpoint)

    def _confirm(self, capability: Capability) -> None:
        known = self._memory.load()
        if not known.has(capability):
            self._memory.save(known.with_finding(capability, Finding(True, self._now())))

    def _contradict(self, capability: Capability) -> None:
        known = self._memory.load()
        if not known.lacks(capability) or capability in known.due(self._now()):
            finding = Finding(False, self._now(), is_contradicted=not known.lacks(capability))
            self._memory.save(known.with_finding(capability, finding))

    def _answer_to(self, request: Request) -> Response:
        """Any final answer, refusals of the endpoint included. Raises as `fetch`, but for CapabilityAbsent."""
        bucket = BUCKETS[request.endpoint]
        path, query = _address_of(request)
        with self._one_at_a_time:
            until = self._patience.left_alone_until(_concerned(bucket, request.listener))
            if until:
                raise TransientFailure(
                    f"Spotify has failed again and again at {in_words(bucket)}. Nothing was asked; from "
                    f"{until:%H:%M} UTC on it can be."
                )
            answer = self._tried(request, bucket, path, query)
        response = Response(
            request.listener, request.endpoint.value, dict(request.params), self._now(), answer.status, answer.body
        )
        if answer.status == 403:
            _refuse_if_personal(request, answer, response)
        return response

    def _tried(self, request: Request, bucket: Bucket, path: str, query: dict[str, str | int]) -> Answer:
        bearer = self._bearer(request.listener, self._tokens.access_token)
        for attempt in range(len(_PAUSES_SECONDS) + 1):
            answer: Answer | None = None
            try:
                answer = self._ask_once(request, bucket, path, query, bearer)
                setback = self._setback(bucket, answer, attempt)
            except NoAnswer as error:
                setback = _Setback(_pause(attempt), _transient(f"{error}", None))
            if setback is None:
                self._patience.answered(_concerned(bucket, request.listener))
                self._ledger.answered(bucket)
                return answer
            is_refused = answer is not None and answer.status == 401
            # A token that has grown old must be renewed, however little patience is left.
            may_wait = self._patience.allows(setback.pause_seconds) or (is_refused and attempt == 0)
            if attempt == len(_PAUSES_SECONDS) or not may_wait:
                break
            if is_refused:
                bearer = self._other_bearer(request.listener, bearer)
            self._wait(setback)
        # One listener's token must not keep the others from being asked.
        self._patience.failed([_token_of(request.listener)] if is_refused else [bucket, _SPOTIFY])
        raise setback.failure()

    def _ask_once(
        self, request: Request, bucket: Bucket, path: str, query: dict[str, str | int], bearer: Bearer
    ) -> Answer:
        status = 0
        with self._pace.turn():
            self._ledger.reserve(bucket, self._now())
            began_at = self._now()
            try:
                answer = self._api.ask(path, query, bearer)
                status = answer.status
                return answer
            finally:
                self.tally.requests[bucket] += 1
                self.tally.statuses[status] += 1
                _log.debug("%s: HTTP %d", request.endpoint, status)
                if status == 0 or status in _SERVER_ERRORS:
                    self._patience.spend(max(0.0, (self._now() - began_at).total_seconds()))

    def _setback(self, bucket: Bucket, answer: Answer, attempt: int) -> _Setback | None:
        """What is wrong with an answer; None when it is final.

        Raises:
            QuotaBlocked: Waiting for the bucket takes longer than a run may.
        """
        if answer.status == 429:
            return self._setback_of_rate(bucket, answer, attempt)
        if answer.status == 401:
            why = (
                "Spotify refuses a token that should be good (401), even a renewed one. It is kept. If this stays, "
                "sign in again: spotify-assets login"
            )
        elif answer.status in _SERVER_ERRORS:
            why = f"Spotify answers with an error of its own (HTTP {answer.status})."
        elif answer.status == 200 and answer.is_empty:
            why = "Spotify's answer is empty."
        elif answer.oddity and (answer.status < 300 or answer.status == 404):
            # A 404 says that Spotify does not know an id; a proxy's says nothing of the kind.
            why = f"Spotify's answer {answer.oddity}."
        elif answer.is_error_in_disguise:
            why = "Spotify tells of an error of its own."
        else:
            return None
        return _Setback(_pause(attempt), _transient(why, answer.status))

    def _setback_of_rate(self, bucket: Bucket, answer: Answer, attempt: int) -> _Setback:
        seconds = answer.retry_after_seconds(self._now())

        def blocked() -> SpotifyError:
            error = self._ledger.block(
                bucket, self._now(), retry_after_seconds=seconds, is_quota=answer.is_quota_exceeded
            )
            _log.info("%s", error)
            return error

        if answer.is_quota_exceeded or (seconds or 0.0) > LONGEST_WAIT_SECONDS:
            raise blocked()
        told = _PAUSES_OF_RATE_SECONDS[min(attempt, 2)] if seconds is None else max(1.0, seconds)
        return _Setback(told, blocked, is_for_all=True)

    def _wait(self, setback: _Setback) -> None:
        self._patience.spend(setback.pause_seconds)
        self.tally.seconds_waited += setback.pause_seconds
        if setback.is_for_all:
            # The next turn waits for it, in other processes too.
            self._pace.hold(setback.pause_seconds)
        else:
            self._sleep(setback.pause_seconds)

    def _bearer(self, listener: str, ask_for: Callable[[str], str]) -> Bearer:
        try:
            return Bearer(ask_for(listener))
        except UnusableToken:
            raise NotSignedIn(listener, "The stored token cannot be used.") from None
        except AccountsUnavailable as error:
            raise TransientFailure(str(error)) from None

    def _other_bearer(self, listener: str, refused: Bearer) -> Bearer:
        """The token to try after a 401. Good ones were refused in July 2026, some of them again and again: so it is
        renewed at most once a minute, and never thrown away."""
        bearer = self._bearer(listener, self._tokens.access_token)
        renewed_at = self._renewed_at.get(listener)
        if bearer != refused or (renewed_at and self._now() - renewed_at < _RENEWAL_PAUSE):
            return bearer
        self._renewed_at[listener] = self._now()
        try:
            return self._bearer(listener, self._tokens.renew)
        except TransientFailure:
            return bearer


def _address_of(request: Request) -> tuple[str, dict[str, str | int]]:
    """Path below the API's address and query.

    Raises:
        PermanentFailure: An id is missing or would lead elsewhere.
    """
    query = dict(request.params)
    path = request.endpoint.value.removeprefix("/")
    if "{id}" in path:
        object_id = str(query.pop("id", ""))
        if object_id.strip(". ") == "":
            raise PermanentFailure(f"{object_id!r} is no id: {request.endpoint} was not asked.", 400)
        path = path.replace("{id}", quote(object_id, safe=""))
    return path, query


def _refuse_if_personal(request: Request, answer: Answer, response: Response) -> None:
    words = answer.message.lower()
    remedy = next((remedy for part, remedy in _REFUSALS.items() if part in words), None)
    if remedy:
        whose = f"the requests of {request.listener}" if request.listener else "this app's requests"
        raise PermanentFailure(f"Spotify refuses {whose}: {remedy}", 403, response)


def _permanent(request: Request, response: Response) -> PermanentFailure:
    reason = "is not allowed to ask so much at once" if is_limit_refused(response) else "is refused"
    return PermanentFailure(
        f"A request for {request.endpoint} {reason} by Spotify (HTTP {response.status}). It is not tried again.",
        response.status,
        response,
    )


def _transient(why: str, status: int | None) -> Callable[[], SpotifyError]:
    return lambda: TransientFailure(f"{why} What came before is kept; the rest is asked for in the next run.", status)


def _concerned(bucket: Bucket, listener: str) -> list[str]:
    return [bucket, _token_of(listener), _SPOTIFY]


def _token_of(listener: str) -> str:
    return f"token of {listener}"


def _pause(attempt: int) -> float:
    return _PAUSES_SECONDS[min(attempt, len(_PAUSES_SECONDS) - 1)]
