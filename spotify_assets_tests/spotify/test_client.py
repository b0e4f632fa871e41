from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from spotify_assets.spotify.capabilities import Capability, CapabilityMemory
from spotify_assets.spotify.client import SpotifyClient
from spotify_assets.spotify.errors import (
    AccountsUnavailable,
    CapabilityAbsent,
    NotSignedIn,
    PermanentFailure,
    QuotaBlocked,
    SpotifyError,
    TransientFailure,
)
from spotify_assets.spotify.model import Endpoint, Request, Response
from spotify_assets.state import State
from spotify_assets_tests.spotify.scripted_api import (
    BEGIN,
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

NewClient = Callable[..., SpotifyClient]

ARTIST = Request(Endpoint.ARTIST, {"id": "a1"})
ALBUMS = Request(Endpoint.ARTIST_ALBUMS, {"id": "a1", "limit": 10})
RECENT = Request(Endpoint.RECENTLY_PLAYED, {"limit": 50}, "me")

EVERYTHING = [
    Request(endpoint, {"id": "x"} if "{id}" in endpoint else {"ids": "x"} if endpoint in ("/tracks",) else {}, "me")
    for endpoint in Endpoint
]

ODD_BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n",
    "null": b"null",
    "true": b"true",
    "number": b"17",
    "text": b'"text"',
    "list": b"[]",
    "html": b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
    "plain": b"upstream connect error or disconnect/reset before headers",
    "half": b'{"items": [{"track": {"name": "half of ',
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "with a byte order mark": b'\xef\xbb\xbf{"name": "a"}',
    "not a number": b'{"popularity": NaN}',
    "endless number": b'{"popularity": 1e999}',
    "longest number": b'{"popularity": ' + b"9" * 5000 + b"}",
    "deep": b"[" * 100_000,
    "half a surrogate pair": b'{"name": "\\ud83d", "\\uDC00": ["\\ud83d\\ude00"]}',
    "error is text": b'{"error": "invalid_request", "error_description": "d"}',
    "error is a list": b'{"error": []}',
    "error is null": b'{"error": null}',
    "error without words": b'{"error": {}}',
    "error with odd words": b'{"error": {"message": {"a": 1}, "reason": ["QUOTA_EXCEEDED"], "status": "x"}}',
    "other object": b'{"device": {"id": null}}',
}


def asked(client: SpotifyClient, request: Request) -> Response | SpotifyError:
    """What becomes of a request; anything but a response or one of our errors ends the test."""
    try:
        return client.fetch(request)
    except SpotifyError as failure:
        return failure


# What is answered


def test_an_answer_is_told_with_what_was_asked_and_when_it_came(
    client: SpotifyClient, api: ScriptedApi, clock: Clock
) -> None:
    api.script = [Said(200, {"name": "ABBA"})]
    response = client.fetch(Request(Endpoint.ARTIST_ALBUMS, {"id": "a/1", "limit": 10}, "me"))
    assert response == Response(
        "me", "/artists/{id}/albums", {"id": "a/1", "limit": 10}, clock.instant, 200, {"name": "ABBA"}
    )
    assert api.seen[0].path == "/artists/a/1/albums" and api.seen[0].query == {"limit": "10"}
    assert api.seen[0].authorization == "Bearer SECRET-me-0"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (RECENT, Said(204)),
        (ARTIST, error(404, "Resource not found")),
        (ARTIST, Said(404)),
        (Request(Endpoint.PLAYLIST_ITEMS, {"id": "p"}, "me"), error(403, "Forbidden")),
        (RECENT, Said(403)),
    ],
)
def test_refusals_that_are_about_one_thing_are_responses(
    client: SpotifyClient, api: ScriptedApi, request_: Request, said: Said
) -> None:
    api.script = [said]
    response = client.fetch(request_)
    assert (response.status, response.body) == (said.status, said.body)


@pytest.mark.parametrize("status", [400, 405, 410, 418])
def test_a_refusal_for_good_is_told_once_and_not_tried_again(
    client: SpotifyClient, api: ScriptedApi, status: int
) -> None:
    api.script = [error(status, "Invalid base62 id")]
    with pytest.raises(PermanentFailure) as caught:
        client.fetch(ARTIST)
    assert caught.value.status == status and caught.value.response is not None
    assert len(api.seen) == 1


@pytest.mark.parametrize(
    "words",
    [
        "User not registered in the Developer Dashboard",
        "Active premium subscription required for the owner of the app.",
    ],
)
@pytest.mark.parametrize("is_plain", [True, False])
def test_a_listener_or_owner_whom_spotify_refuses_is_told_what_to_do(
    client: SpotifyClient, api: ScriptedApi, tmp_path: Path, words: str, is_plain: bool
) -> None:
    api.script = [Said(403, words.encode()) if is_plain else error(403, words)] * 2
    for request in (RECENT, Request(Endpoint.TRACKS, {"ids": "x"}, "me")):
        with pytest.raises(PermanentFailure, match=r"User Management|needs Spotify Premium"):
            client.fetch(request)
    # It says nothing of what the app may ask.
    assert not CapabilityMemory(State(tmp_path / "state.sqlite"), "test").load().findings


@pytest.mark.parametrize("object_id", ["", ".", "..", " "])
def test_an_id_that_would_lead_elsewhere_is_not_asked_for(
    client: SpotifyClient, api: ScriptedApi, object_id: str
) -> None:
    with pytest.raises(PermanentFailure, match="is no id"):
        client.fetch(Request(Endpoint.ARTIST, {"id": object_id}))
    assert not api.seen and not client.tally.requests


# Odd bodies


@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 404, 429, 500])
def test_every_odd_body_becomes_a_response_or_an_error_of_ours(
    url: str, api: ScriptedApi, tmp_path: Path, clock: Clock, status: int
) -> None:
    for name, content in ODD_BODIES.items():
        api.script = [Said(status, content, {"Content-Type": "application/json"})] * 2
        outcome = asked(client_at(url, tmp_path / name, clock, patience_seconds=1.0), RECENT)
        if isinstance(outcome, Response):
            # Whatever it is, it can be written as JSON and as UTF-8.
            assert outcome.to_json().encode(), name


def test_half_a_surrogate_pair_is_replaced_and_a_whole_one_stays(client: SpotifyClient, api: ScriptedApi) -> None:
    api.script = [Said(200, ODD_BODIES["half a surrogate pair"])]
    assert client.fetch(ARTIST).body == {"name": "\ufffd", "\ufffd": ["\U0001f600"]}


def test_an_odd_body_is_asked_for_again(client: SpotifyClient, api: ScriptedApi) -> None:
    api.script = [Said(200, b""), Said(200, ODD_BODIES["html"]), error(502), Said(200, {"id": "good"})]
    assert client.fetch(ARTIST).body == {"id": "good"}
    assert client.tally.requests["artists"] == 4


def test_an_error_with_a_status_of_success_is_an_error(client: SpotifyClient, api: ScriptedApi) -> None:
    api.otherwise = lambda seen: Said(200, {"error": {"status": 502, "message": "Bad gateway."}})
    with pytest.raises(TransientFailure):
        client.fetch(ARTIST)


def test_a_proxys_404_does_not_say_that_an_artist_is_gone(client: SpotifyClient, api: ScriptedApi) -> None:
    api.script = [Said(404, ODD_BODIES["html"]), Said(200, {"id": "there"})]
    assert client.fetch(ARTIST).status == 200


# Outages


def test_a_cut_answer_is_asked_for_again(client: SpotifyClient, api: ScriptedApi) -> None:
    api.script = [Said(200, {"id": "x" * 500}, cut_after_bytes=100), Said(200, {"id": "whole"})]
    assert client.fetch(ARTIST).body == {"id": "whole"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 999999 ?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_whatever_comes_over_the_wire_is_an_outage(content: bytes, tmp_path: Path, clock: Clock) -> None:
    with serve_bytes(content) as url, pytest.raises(TransientFailure):
        client_at(url, tmp_path, clock).fetch(ARTIST)


def test_a_server_that_is_not_there_is_an_outage(tmp_path: Path, clock: Clock) -> None:
    with serve(ScriptedApi()) as url:
        pass
    with pytest.raises(TransientFailure, match=r"connection to 127\.0\.0\.1:\d+ failed"):
        client_at(url, tmp_path, clock).fetch(ARTIST)


def test_a_silent_server_is_left_after_the_read_timeout(api: ScriptedApi, new_client: NewClient) -> None:
    api.script = [Said(200, {"id": "late"}, seconds_before=3.0), Said(200, {"id": "x"})]
    client = new_client(read_seconds=0.2)
    began = time.monotonic()
    assert client.fetch(ARTIST).body == {"id": "x"}
    assert time.monotonic() - began < 2.0


def test_an_answer_that_never_ends_is_left(api: ScriptedApi, new_client: NewClient) -> None:
    api.otherwise = lambda seen: Said(200, {"id": "x" * 1000}, seconds_between_bytes=0.05)
    client = new_client(read_seconds=1.0, answer_seconds=0.3, patience_seconds=0.0)
    began = time.monotonic()
    with pytest.raises(TransientFailure, match="did not come to the end"):
        client.fetch(ARTIST)
    assert time.monotonic() - began < 2.0


def test_a_storm_of_server_errors_ends_a_run_within_two_minutes(
    client: SpotifyClient, api: ScriptedApi, clock: Clock
) -> None:
    api.otherwise = lambda seen: error(503)
    outcomes = [asked(client, request) for request in EVERYTHING * 20]
    assert all(isinstance(outcome, TransientFailure) for outcome in outcomes)
    assert clock.seconds < 120
    # Twenty times everything was wanted, and three requests were enough to see.
    assert len(api.seen) <= 12


def test_one_endpoint_that_storms_does_not_keep_the_others_from_being_asked(
    client: SpotifyClient, api: ScriptedApi, clock: Clock
) -> None:
    api.otherwise = lambda seen: error(500) if seen.path == "/search" else Said(200, {})
    outcomes = [(asked(client, Request(Endpoint.SEARCH, {"q": "a"})), asked(client, ARTIST)) for _ in range(50)]
    assert all(isinstance(search, TransientFailure) and isinstance(artist, Response) for search, artist in outcomes)
    assert api.paths.count("/search") <= 12 and clock.seconds < 120


@pytest.mark.parametrize("said", [Said(200, {"id": "x"}, cut_after_bytes=1), error(504)])
def test_a_server_that_takes_its_time_to_fail_ends_a_run_within_two_minutes(
    client: SpotifyClient, api: ScriptedApi, clock: Clock, said: Said
) -> None:
    def fail_late(seen: Any) -> Said:
        clock.sleep(20)
        return said

    api.otherwise = fail_late
    assert all(isinstance(asked(client, request), TransientFailure) for request in EVERYTHING * 3)
    assert clock.seconds < 120


def test_after_an_outage_spotify_is_asked_again(client: SpotifyClient, api: ScriptedApi, clock: Clock) -> None:
    api.otherwise = lambda seen: error(500)
    for _ in range(5):
        asked(client, ARTIST)
    api.otherwise = lambda seen: Said(200, {})
    clock.sleep(301)
    assert client.fetch(ARTIST).status == 200


# Tokens


def test_an_old_token_is_renewed_once(new_client: NewClient, api: ScriptedApi) -> None:
    tokens = CountedTokens()
    api.otherwise = lambda seen: Said(200, {}) if seen.authorization.endswith("-1") else error(401, "expired")
    assert new_client(tokens=tokens).fetch(RECENT).status == 200
    assert tokens.renewals == 1 and len(api.seen) == 2


def test_an_old_token_is_renewed_even_without_patience(new_client: NewClient, api: ScriptedApi) -> None:
    api.otherwise = lambda seen: Said(200, {}) if seen.authorization.endswith("-1") else error(401, "expired")
    assert new_client(patience_seconds=0.0).fetch(RECENT).status == 200


def test_a_token_that_another_process_has_renewed_is_taken(new_client: NewClient, api: ScriptedApi) -> None:
    tokens = CountedTokens()

    def renewed_meanwhile(seen: Any) -> Said:
        tokens.renewals = 7
        return Said(200, {}) if seen.authorization.endswith("-7") else error(401)

    api.otherwise = renewed_meanwhile
    assert new_client(tokens=tokens).fetch(RECENT).status == 200
    assert tokens.renewals == 7


def test_a_401_that_stays_is_an_outage_after_one_renewal(new_client: NewClient, api: ScriptedApi) -> None:
    tokens = CountedTokens()
    api.otherwise = lambda seen: error(401, "Access token missing")
    with pytest.raises(TransientFailure) as caught:
        new_client(tokens=tokens).fetch(RECENT)
    assert caught.value.status == 401 and tokens.renewals == 1


def test_one_listener_whose_token_is_refused_does_not_keep_the_others_from_being_asked(
    client: SpotifyClient, api: ScriptedApi
) -> None:
    api.otherwise = lambda seen: error(401) if "-her-" in seen.authorization else Said(200, {})
    for _ in range(5):
        assert isinstance(asked(client, Request(Endpoint.TOP_TRACKS, {}, "her")), TransientFailure)
    assert client.fetch(Request(Endpoint.TOP_TRACKS, {}, "me")).status == 200
    assert client.tally.statuses[401] <= 12


def test_an_hour_of_intermittent_401s_loses_no_poll(new_client: NewClient, api: ScriptedApi, clock: Clock) -> None:
    chance = random.Random(3)
    tokens = CountedTokens()
    api.otherwise = lambda seen: error(401, "Access token missing") if chance.random() < 0.3 else Said(200, {})
    client = new_client(tokens=tokens, budgets={"recently_played": 10_000})
    outcomes = []
    while clock.seconds < 3600:
        outcomes.append(asked(client, RECENT))
        clock.sleep(45)
    # A request fails when it was refused four times, one of 120.
    assert sum(isinstance(outcome, TransientFailure) for outcome in outcomes) <= 0.05 * len(outcomes)
    assert 1 <= tokens.renewals <= 60


def test_an_accounts_service_that_is_down_does_not_cost_a_good_token(new_client: NewClient, api: ScriptedApi) -> None:
    class Unrenewable(CountedTokens):
        def renew(self, listener: str) -> str:
            raise AccountsUnavailable("down")

    api.script = [error(401, "Access token missing")]
    assert new_client(tokens=Unrenewable()).fetch(RECENT).status == 200


def test_without_a_sign_in_nothing_is_asked_or_counted(new_client: NewClient, api: ScriptedApi) -> None:
    class Nobody(CountedTokens):
        def access_token(self, listener: str) -> str:
            raise NotSignedIn(listener)

    client = new_client(tokens=Nobody())
    with pytest.raises(NotSignedIn, match="spotify-assets login"):
        client.fetch(RECENT)
    assert not api.seen and not client.tally.requests


def test_the_name_and_password_of_a_netrc_do_not_replace_the_token(
    client: SpotifyClient, api: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client.fetch(RECENT)
    assert api.seen[0].authorization == "Bearer SECRET-me-0"


# Where the token goes


def test_a_redirect_is_not_followed(client: SpotifyClient, api: ScriptedApi) -> None:
    elsewhere = ScriptedApi()
    with serve(elsewhere) as other:
        api.script = [Said(302, None, {"Location": f"{other}/artists/a1"})]
        with pytest.raises(PermanentFailure):
            client.fetch(ARTIST)
    assert not elsewhere.seen


def test_pages_are_asked_for_by_our_own_parameters_wherever_next_leads(client: SpotifyClient, api: ScriptedApi) -> None:
    elsewhere = ScriptedApi()
    with serve(elsewhere) as other:
        api.otherwise = lambda seen: Said(
            200, {"items": [1] * 50, "next": f"{other}/me/tracks?offset=50", "total": 120, "limit": 50}
        )
        pages = list(client.pages(Request(Endpoint.SAVED_TRACKS, {}, "me")))
    assert [page.params for page in pages] == [{"limit": 50}, *({"limit": 50, "offset": n} for n in (50, 100))]
    assert not elsewhere.seen


# Rate limit and quota


def test_a_lock_of_24_hours_blocks_one_bucket_until_then_and_across_runs(
    new_client: NewClient, api: ScriptedApi, clock: Clock
) -> None:
    api.otherwise = lambda seen: quota_exceeded(86_000) if seen.path.endswith("/albums") else Said(200, {})
    client = new_client()
    with pytest.raises(QuotaBlocked, match="2026-03-02 11:53 UTC") as caught:
        client.fetch(ALBUMS)
    assert caught.value.bucket == "artist_albums" and caught.value.until == BEGIN + timedelta(seconds=86_000)
    assert client.fetch(ARTIST).status == 200
    assert clock.seconds < 2
    for _ in range(3):
        assert isinstance(asked(new_client(), ALBUMS), QuotaBlocked)
    assert api.paths.count("/artists/a1/albums") == 1
    clock.sleep(86_000)
    api.otherwise = lambda seen: Said(200, {})
    assert new_client().fetch(ALBUMS).status == 200


def test_a_short_wait_is_waited_for_as_told(client: SpotifyClient, api: ScriptedApi, clock: Clock) -> None:
    api.script = [rate_limited("7")]
    assert client.fetch(ARTIST).status == 200
    assert 7 <= clock.seconds < 8 and client.tally.seconds_waited == 7


def test_a_date_in_retry_after_is_understood(client: SpotifyClient, api: ScriptedApi, clock: Clock) -> None:
    api.script = [rate_limited("Sun, 01 Mar 2026 12:00:09 GMT")]
    client.fetch(ARTIST)
    assert 9 <= clock.seconds < 10


@pytest.mark.parametrize("text", ["soon", "", "-5", "nan", "inf", "1e999", "Sun, 99 Mar 2026"])
def test_a_retry_after_that_tells_nothing_is_no_trouble(
    client: SpotifyClient, api: ScriptedApi, clock: Clock, text: str
) -> None:
    api.script = [rate_limited(text)]
    assert client.fetch(ARTIST).status == 200
    assert 0.5 <= clock.seconds <= 6


def test_a_wait_of_centuries_is_believed_for_a_week(client: SpotifyClient, api: ScriptedApi, clock: Clock) -> None:
    api.script = [rate_limited("9" * 30)]
    with pytest.raises(QuotaBlocked) as caught:
        client.fetch(ARTIST)
    assert caught.value.until == clock.instant + timedelta(days=7)


def test_a_wait_longer_than_a_run_may_take_blocks_the_bucket(
    client: SpotifyClient, api: ScriptedApi, clock: Clock
) -> None:
    api.script = [rate_limited("61")]
    with pytest.raises(QuotaBlocked):
        client.fetch(ARTIST)
    assert clock.seconds < 1


def test_all_waits_of_a_run_together_are_bounded(client: SpotifyClient, api: ScriptedApi, clock: Clock) -> None:
    api.otherwise = lambda seen: rate_limited("25")
    outcomes = [asked(client, request) for request in EVERYTHING * 3]
    assert all(isinstance(outcome, QuotaBlocked | TransientFailure) for outcome in outcomes)
    assert client.tally.seconds_waited <= 60 and clock.seconds < 120


def test_a_rate_limit_without_words_is_waited_for_longer_than_its_window(
    client: SpotifyClient, api: ScriptedApi, clock: Clock
) -> None:
    api.otherwise = lambda seen: rate_limited(None)
    with pytest.raises(QuotaBlocked) as caught:
        client.fetch(ARTIST)
    assert clock.seconds >= 35 and caught.value.until == clock.instant + timedelta(minutes=5)


def test_a_used_quota_without_a_time_is_asked_for_after_ever_longer_waits(
    new_client: NewClient, api: ScriptedApi, clock: Clock
) -> None:
    waits = []
    api.otherwise = lambda seen: quota_exceeded(None)
    for _ in range(7):
        with pytest.raises(QuotaBlocked) as caught:
            new_client().fetch(ARTIST)
        waits.append(round((caught.value.until - clock.instant).total_seconds() / 3600))
        clock.instant = caught.value.until
    assert waits == [1, 2, 4, 8, 16, 24, 24]
    api.otherwise = lambda seen: Said(200, {})
    new_client().fetch(ARTIST)
    api.otherwise = lambda seen: quota_exceeded(None)
    with pytest.raises(QuotaBlocked) as caught:
        new_client().fetch(ARTIST)
    assert caught.value.until == clock.instant + timedelta(hours=1)


def test_the_budget_counts_every_try(new_client: NewClient, api: ScriptedApi, clock: Clock) -> None:
    client = new_client(budgets={"artists": 3})
    api.otherwise = lambda seen: error(500)
    with pytest.raises(QuotaBlocked, match="budget of 3 requests for artists is used") as caught:
        client.fetch(ARTIST)
    assert len(api.seen) == 3 and caught.value.until == BEGIN + timedelta(hours=12)
    clock.instant = caught.value.until
    api.otherwise = lambda seen: Said(200, {})
    assert client.fetch(ARTIST).status == 200


# One at a time


def test_requests_keep_their_pace(client: SpotifyClient, clock: Clock) -> None:
    for _ in range(11):
        client.fetch(ARTIST)
    assert clock.seconds == pytest.approx(5.0, abs=0.01)


def test_a_clock_that_was_set_back_does_not_have_everybody_wait(client: SpotifyClient, clock: Clock) -> None:
    client.fetch(ARTIST)
    clock.instant -= timedelta(days=1)
    client.fetch(ARTIST)
    assert clock.instant <= BEGIN - timedelta(days=1) + timedelta(seconds=1)


def test_threads_ask_one_after_the_other(new_client: NewClient, api: ScriptedApi) -> None:
    api.otherwise = lambda seen: Said(200, {}, seconds_before=0.02)
    clients = [new_client(requests_per_second=1000.0), new_client(requests_per_second=1000.0)]
    outcomes: list[Any] = []
    threads = [
        threading.Thread(target=lambda client=client: outcomes.append(asked(client, ARTIST)))
        for client in clients
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.status for outcome in outcomes] == [200] * 10
    assert api.most_at_once == 1 and len(api.seen) == 10


def test_what_is_known_not_to_be_offered_is_not_asked(client: SpotifyClient, api: ScriptedApi) -> None:
    api.script = [Said(403)]
    with pytest.raises(CapabilityAbsent) as caught:
        client.fetch(Request(Endpoint.TRACKS, {"ids": "a,b"}))
    assert caught.value.response is not None and caught.value.response.status == 403
    with pytest.raises(CapabilityAbsent) as caught:
        client.fetch(Request(Endpoint.TRACKS, {"ids": "a,b"}))
    assert caught.value.response is None and len(api.seen) == 1


def test_a_refusal_is_doubted_after_a_day_then_weekly_until_an_answer_comes(
    client: SpotifyClient, api: ScriptedApi, clock: Any
) -> None:
    batch = Request(Endpoint.TRACKS, {"ids": "a,b"})
    api.script = [Said(403), Said(403), Said(200, {"tracks": []})]
    asked_after_days = []
    for day in range(12):
        before = len(api.seen)
        answered = isinstance(asked(client, batch), Response)
        if len(api.seen) > before:
            asked_after_days.append((day, answered))
        clock.sleep(timedelta(days=1, minutes=1).total_seconds())
    assert asked_after_days[:3] == [(0, False), (1, False), (8, True)]
    assert client.capabilities().has(Capability.TRACK_BATCHES)
