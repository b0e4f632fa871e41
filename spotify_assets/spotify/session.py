"""spotipy with a session of our own: every answer arrives as it was sent, once, in bounded time, and keeps no secret.

spotipy 2.26 by itself sleeps a whole Retry-After, turns 5xx that stay into a 429 without headers, loses the status of
an answer without JSON, raises AttributeError at odd error bodies, writes bearer tokens to its debugging log and opens a
browser when a token is missing. Here it makes the requests; what came is read from the session.
"""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import spotipy
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from spotify_assets.spotify.answers import Answer

_CHUNK_BYTES = 64 * 1024
_LARGEST_BODY_BYTES = 32 * 1024 * 1024

# It logs every error to the console, bodies with a listener's name and address, and headers with tokens. What a person
# should know, we say ourselves.
logging.getLogger("spotipy.client").addFilter(lambda record: False)


class NoAnswer(Exception):
    """No whole answer came; the text says why."""


class UnusableToken(Exception):
    """A token has characters that no token has."""


@dataclass(frozen=True)
class Bearer(AuthBase):
    """A token, added to a request as it leaves.

    Given to the session, because spotipy logs the headers that it makes itself, and because requests would take
    the name and password of a `.netrc` instead of a header.

    Raises:
        UnusableToken: It cannot be sent.
    """

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        # http.client would raise a ValueError that quotes the whole header.
        if not re.fullmatch(r"[!-~]+", self.token):
            raise UnusableToken

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class OneAnswerSession(requests.Session):
    """Sends a request once and remembers what came.

    Nothing is tried again here: each try must be reserved in the quota ledger first. Redirects are not followed, they
    would take the token elsewhere.

    Args:
        connect_seconds: How long a connection may take to come about.
        read_seconds: How long the server may be silent.
        answer_seconds: How long a whole answer may take.
    """

    def __init__(self, connect_seconds: float, read_seconds: float, answer_seconds: float) -> None:
        super().__init__()
        self.last_answer: Answer | None = None
        self._timeout = (connect_seconds, read_seconds)
        self._answer_seconds = answer_seconds
        once = Retry(total=0, read=False, redirect=False, respect_retry_after_header=False, raise_on_status=False)
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(max_retries=once))

    def request(self, method: str, url: str, **arguments: Any) -> requests.Response:  # type: ignore[override]
        """As `requests.Session.request`; the response has no way back to the request and its token."""
        arguments |= {"timeout": self._timeout, "allow_redirects": False, "stream": True}
        deadline = time.monotonic() + self._answer_seconds
        with super().request(method, url, **arguments) as response:
            content = _content_of(response, deadline)
        headers = {name.lower(): value for name, value in response.headers.items()}
        self.last_answer = Answer(response.status_code, headers, content)
        told = requests.Response()
        told.status_code, told.url, told.raw = response.status_code, response.url, io.BytesIO(content)
        # Guessing it takes longer than asking.
        told.encoding = "utf-8"
        return told


class WebApi(spotipy.Spotify):
    """Asks single questions.

    Args:
        api_url: Address of the Web API, without a slash at the end.
        session: What sends and remembers.
    """

    def __init__(self, api_url: str, session: OneAnswerSession) -> None:
        super().__init__(requests_session=session)
        self.prefix = f"{api_url}/"
        self._session: OneAnswerSession
        self._host = urlsplit(api_url).netloc

    def ask(self, path: str, query: Mapping[str, str | int], bearer: Bearer) -> Answer:
        """GET a path below the API's address.

        Raises:
            NoAnswer: No whole answer came.
        """
        self._session.auth = bearer
        self._session.last_answer = None
        try:
            self._get(path, dict(query))
        except requests.Timeout:
            raise NoAnswer(f"{self._host} did not answer in time.") from None
        except requests.exceptions.SSLError:
            raise NoAnswer(f"The certificate of {self._host} could not be verified.") from None
        except NoAnswer as error:
            raise NoAnswer(f"{self._host} {error}") from None
        except (requests.RequestException, HTTPError, OSError):
            # The request of such an error holds the token.
            if self._session.last_answer is None:
                raise NoAnswer(f"The connection to {self._host} failed.") from None
        except (spotipy.SpotifyException, AttributeError, TypeError, RecursionError):
            # SpotifyException is what spotipy makes of an error; the others are its stumbles over odd bodies.
            if self._session.last_answer is None:
                raise
        finally:
            self._session.auth = None
        if self._session.last_answer is None:
            # spotipy takes every ValueError for a body without JSON, that of an address that is none as well.
            raise NoAnswer(f"{self._host} could not be asked.")
        return self._session.last_answer


def _content_of(response: requests.Response, deadline: float) -> bytes:
    """The body, read as it comes: a server that sends a byte now and then would outlast every read timeout."""
    content = bytearray()
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            content += chunk
            if len(content) > _LARGEST_BODY_BYTES:
                raise NoAnswer("answered with more than any answer can be.")
            if time.monotonic() > deadline:
                raise NoAnswer("did not come to the end of its answer in time.")
    except HTTPError:
        raise NoAnswer("broke its answer off.") from None
    return bytes(content)
