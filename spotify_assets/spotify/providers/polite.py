"""Asking those who serve everybody for free: one request at a time, at their pace, and never for long."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from spotify_assets.spotify.providers.model import Budget, ProviderUnavailable, QuestionRefused

if TYPE_CHECKING:
    import requests

APPLICATION = "spotify_assets"

_TRIES = 3
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
_ANSWER_BYTES = 5_000_000


@dataclass(frozen=True)
class Answer:
    """A response with a meaning: its HTTP status, and its body as a JSON value."""

    status: int
    body: Any


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
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._user_agent = user_agent
        self._seconds_between_requests = seconds_between_requests
        self._now = now
        self._sleep = sleep
        self._monotonic = monotonic
        self._next_request_at = 0.0
        self._one_at_a_time = threading.Lock()
        self._session: requests.Session | None = None

    def get(self, path: str, params: Mapping[str, str], budget: Budget) -> Answer:
        """The answer to a question; 429, 5xx and broken connections are tried again a few times.

        Raises:
            ProviderUnavailable: The provider cannot be reached, or asks to wait for longer than this run can.
            QuestionRefused: It fails at this question, or the answer is no JSON.
            BudgetSpent: The run has no requests or no time left.
        """
        import requests

        for attempt in range(1, _TRIES + 1):
            headers: Mapping[str, str] = {}
            try:
                with self._one_at_a_time:
                    status, headers, body = self._send(path, params, budget)
            except (requests.RequestException, OSError) as error:
                failure: Exception = ProviderUnavailable(f"{self.name} cannot be reached ({_kind(error)}).")
            else:
                if status in (429, 503):
                    failure = ProviderUnavailable(f"{self.name} is busy and asks to wait (HTTP {status}).")
                elif status >= 500:
                    failure = QuestionRefused(f"{self.name} failed at a question (HTTP {status}).")
                else:
                    return Answer(status, self._parsed(status, body))
            pause_seconds = self._asked_pause(headers)
            if pause_seconds is None:
                pause_seconds = _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
            if attempt == _TRIES or pause_seconds > min(_LONGEST_PAUSE_SECONDS, budget.seconds_left):
                raise failure
            self._sleep(pause_seconds)
        raise AssertionError("the last attempt returns or raises")

    def _send(self, path: str, params: Mapping[str, str], budget: Budget) -> tuple[int, Mapping[str, str], bytes]:
        wait_seconds = min(self._next_request_at - self._monotonic(), budget.seconds_left)
        if wait_seconds > 0:
            self._sleep(wait_seconds)
        budget.take()
        self._next_request_at = self._monotonic() + self._seconds_between_requests
        answer_seconds = max(1.0, min(_ANSWER_SECONDS, budget.seconds_left))
        deadline = self._monotonic() + answer_seconds
        response = self._opened().get(
            f"{self._base_url}{path}",
            params=params,
            timeout=(_CONNECT_SECONDS, answer_seconds),
            allow_redirects=False,
            stream=True,
        )
        with response:
            return response.status_code, response.headers, self._body(response, deadline)

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        """The body; given up when it is endless, or drips so slowly that no read of the socket ever times out.

        Raises:
            OSError: It was given up, or the connection was cut.
        """
        from urllib3.exceptions import HTTPError

        body = b""
        try:
            while part := response.raw.read1(65_536, decode_content=True):
                body += part
                if len(body) > _ANSWER_BYTES:
                    raise OSError("the answer is too long")
                if self._monotonic() > deadline:
                    raise TimeoutError("the answer is too slow")
        except HTTPError as error:
            raise ConnectionError("the answer was cut") from error
        return body

    def _parsed(self, status: int, body: bytes) -> Any:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            if status == 200:
                raise QuestionRefused(f"{self.name} answers something that is no JSON.") from None
            return None

    def _asked_pause(self, headers: Mapping[str, str]) -> float | None:
        """Retry-After in seconds; None when there is none that can be understood."""
        told = headers.get("Retry-After", "").strip()
        if not told:
            return None
        try:
            seconds = float(told)
        except ValueError:
            try:
                until = parsedate_to_datetime(told)
            except ValueError:
                return None
            seconds = (until.replace(tzinfo=until.tzinfo or UTC) - self._now()).total_seconds()
        return max(0.0, seconds) if seconds == seconds else None

    def _opened(self) -> requests.Session:
        if self._session is None:
            # Loaded when it is needed: every start of the program would wait for it.
            import requests

            self._session = requests.Session()
            self._session.headers.update({"User-Agent": self._user_agent, "Accept": "application/json"})
        return self._session


def _kind(error: Exception) -> str:
    """What went wrong, without the address and the ids in it."""
    return str(error) if type(error) in (OSError, TimeoutError, ConnectionError) else type(error).__name__
