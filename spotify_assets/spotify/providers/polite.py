"""Asking those who serve everybody for free: one request at a time, at their pace, and never for long."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from spotify_assets.spotify.answers import Answer
from spotify_assets.spotify.providers.model import Budget, ProviderUnavailable, QuestionRefused

if TYPE_CHECKING:
    from spotify_assets.spotify.session import OneAnswerSession

APPLICATION = "spotify_assets"

_TRIES = 3
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 15.0


def user_agent(contact: str = "") -> str:
    """The application's name and version, and whom to turn to."""
    try:
        version = metadata.version(APPLICATION)
    except metadata.PackageNotFoundError:
        version = "0"
    return f"{APPLICATION}/{version} ( {contact} )" if contact else f"{APPLICATION}/{version}"


class PoliteSession:
    """GET requests to one provider.

    Args:
        name: The provider as messages call it.
        base_url: Without a slash at its end.
        user_agent: Sent with every request.
        seconds_between_requests: From the start of one request to the start of the next.
        now: For a Retry-After that names an instant.
        sleep: Waits some seconds.
        monotonic: The clock of the pace.
        answer_seconds: How long an answer may take.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        user_agent: str,
        seconds_between_requests: float,
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._user_agent = user_agent
        self._seconds_between_requests = seconds_between_requests
        self._now = now
        self._sleep = sleep
        self._monotonic = monotonic
        self._answer_seconds = answer_seconds
        self._next_request_at = 0.0
        self._one_at_a_time = threading.Lock()
        self._session: OneAnswerSession | None = None

    def get(self, path: str, params: Mapping[str, str], budget: Budget) -> tuple[int, Any]:
        """Status and JSON value of the answer to a question; 429, 5xx and broken connections are tried again twice.

        Raises:
            ProviderUnavailable: The provider cannot be reached, or asks to wait for longer than this run can.
            QuestionRefused: It fails at this question, or the answer is no JSON.
            BudgetSpent: The run has no requests or no time left.
        """
        for attempt in range(1, _TRIES + 1):
            with self._one_at_a_time:
                answer, reason = self._ask(path, params, budget)
            pause_seconds = None
            failure: Exception = ProviderUnavailable(f"{self.name} cannot be reached ({reason}).")
            if answer is not None:
                if answer.status < 500 and answer.status != 429:
                    return answer.status, self._value(answer)
                pause_seconds = answer.retry_after_seconds(self._now())
                failure = QuestionRefused(f"{self.name} failed at a question (HTTP {answer.status}).")
                if answer.status in (429, 503):
                    failure = ProviderUnavailable(f"{self.name} is busy and asks to wait (HTTP {answer.status}).")
            if pause_seconds is None:
                pause_seconds = _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
            if attempt == _TRIES or pause_seconds > min(_LONGEST_PAUSE_SECONDS, budget.seconds_left):
                raise failure
            self._sleep(pause_seconds)
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, path: str, params: Mapping[str, str], budget: Budget) -> tuple[Answer | None, str]:
        """What came of one request, or why nothing did."""
        # Loaded when it is needed: every start of the program would wait for it.
        import requests

        from spotify_assets.spotify.session import NoAnswer, OneAnswerSession

        if self._session is None:
            self._session = OneAnswerSession(_CONNECT_SECONDS, self._answer_seconds, self._answer_seconds)
            self._session.headers.update({"User-Agent": self._user_agent, "Accept": "application/json"})
        wait_seconds = min(self._next_request_at - self._monotonic(), budget.seconds_left)
        if wait_seconds > 0:
            self._sleep(wait_seconds)
        budget.take()
        self._next_request_at = self._monotonic() + self._seconds_between_requests
        self._session.last_answer = None
        try:
            self._session.get(f"{self._base_url}{path}", params=params)
        except NoAnswer as error:
            return None, f"it {str(error).rstrip('.')}"
        except (requests.RequestException, OSError) as error:
            # Its text holds the address and the ids.
            return None, type(error).__name__
        return self._session.last_answer, ""

    def _value(self, answer: Answer) -> Any:
        """The body, in which numbers may be NaN: that is for one value to be unusable, not for all."""
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError):
            if answer.status == 200:
                raise QuestionRefused(f"{self.name} answers something that is no JSON.") from None
            return None
