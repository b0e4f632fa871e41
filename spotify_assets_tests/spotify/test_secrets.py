from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from spotify_assets.spotify.client import SpotifyClient
from spotify_assets.spotify.errors import NotSignedIn, SpotifyError, TransientFailure
from spotify_assets.spotify.model import Endpoint, Request
from spotify_assets_tests.spotify.scripted_api import (
    Clock,
    CountedTokens,
    Said,
    ScriptedApi,
    client_at,
    error,
    quota_exceeded,
    rate_limited,
    serve,
    serve_bytes,
)

ANSWERS = [
    Said(200, {"email": "listener@example.invalid", "id": "u"}),
    error(400, "Bad token SECRET-me-0"),
    error(401, "Bad token SECRET-me-0"),
    Said(403, b"Bad token SECRET-me-0"),
    error(404, "Bad token SECRET-me-0"),
    error(500, "Bad token SECRET-me-0"),
    Said(302, b"", {"Location": "http://127.0.0.1:9/SECRET-me-0"}),
    Said(200, b"SECRET-me-0"),
    Said(400, b'{"error": []}'),
    Said(200, {"id": "x" * 100}, cut_after_bytes=3),
    rate_limited("1"),
    quota_exceeded(),
]


def words_of(failure: BaseException) -> str:
    """Everything that a traceback, or a program that reports errors, would show."""
    shown = "".join(traceback.format_exception(failure)) + repr(failure) + repr(failure.args)
    return shown + repr(getattr(failure, "response", ""))


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.DEBUG)
    for name in ("spotipy", "spotipy.client", "urllib3", "urllib3.connectionpool", "requests", "spotify_assets"):
        caplog.set_level(logging.DEBUG, name)

    def told() -> str:
        return "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)

    return told


@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_no_token_and_no_body_reaches_a_log_or_an_error(
    url: str, api: ScriptedApi, tmp_path: Path, clock: Clock, records: Callable[[], str], number: int
) -> None:
    api.otherwise = lambda seen: ANSWERS[number]
    for request in (Request(Endpoint.ME, {}, "me"), Request(Endpoint.TRACKS, {"ids": "x"}, "me")):
        client = client_at(url, tmp_path, clock)
        try:
            client.fetch(request)
        except SpotifyError as failure:
            told = words_of(failure).replace(repr(getattr(failure, "response", "")), "")
            assert "SECRET" not in told and "Bearer" not in told
    assert api.seen[0].authorization == "Bearer SECRET-me-0"
    logged = records()
    assert "connectionpool" in logged, "nothing was logged at all"
    assert not any(word in logged for word in ("SECRET", "Bearer", "example.invalid"))


def test_no_token_reaches_a_log_or_an_error_when_nobody_answers(
    tmp_path: Path, clock: Clock, records: Callable[[], str]
) -> None:
    with serve(ScriptedApi()) as nobody:
        pass
    with serve_bytes(b"nonsense\r\n\r\n") as nonsense:
        for number, url in enumerate((nobody, nonsense, "http://127.0.0.1:notaport/v1")):
            client = client_at(url, tmp_path / str(number), clock)
            with pytest.raises(TransientFailure) as caught:
                client.fetch(Request(Endpoint.ME, {}, "me"))
            assert not any(word in words_of(caught.value) for word in ("SECRET", "Bearer"))
    assert not any(word in records() for word in ("SECRET", "Bearer"))


@pytest.mark.parametrize("secret", ["SECRET\n", "SECRET\r\nHost: x", " SECRET", "SECRÉT", "", "SECRET\0"])
def test_a_token_that_is_none_is_not_quoted(
    new_client: Callable[..., SpotifyClient], records: Callable[[], str], secret: str
) -> None:
    class Damaged(CountedTokens):
        def access_token(self, listener: str) -> str:
            return secret

    with pytest.raises(NotSignedIn, match="token cannot be used") as caught:
        new_client(tokens=Damaged()).fetch(Request(Endpoint.ME, {}, "me"))
    assert "SECR" not in words_of(caught.value) and "SECR" not in records()
