"""The demo Spotify: its Web API below ``/v1``, as a Starlette application.

Start and steer it::

    clock = DemoClock(datetime(2026, 3, 1, tzinfo=UTC))
    demo = DemoSpotify({"me": listener}, now=clock, cohort=DEVELOPMENT)
    with serve(demo.app) as url:                 # url has no slash at the end; the API is f"{url}/v1/"
        clock.advance(timedelta(minutes=30))     # plays up to then can be told now
        demo.faults.add(server_error(times=3))   # see faults
        demo.quota.lock("artist-albums")         # see quota
        demo.requests.count(bucket="artists")    # see request_log
        demo.accounts["me"].playlists[0].entries.append(...)
        demo.catalogue.remove(track_id)          # 404 from now on
        demo.cohort = EXTENDED                   # at any time

``Authorization: Bearer demo-TOKEN-for-me`` is always valid; others are issued by ``demo.tokens``. Requests are
answered in this order: faults, token, rate limit, quota, whether the app may ask at all, scopes, parameters.
Unknown parameters are ignored, `fields` and `additional_types` among them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from spotify_assets.demo.listener import DemoListener
from spotify_assets.demo.spotify.account import DemoAccount
from spotify_assets.demo.spotify.catalogue import WholeCatalogue
from spotify_assets.demo.spotify.cohorts import DEVELOPMENT, Cohort
from spotify_assets.demo.spotify.endpoints import ENDPOINTS, JSON, Call, EndpointRule, Refused
from spotify_assets.demo.spotify.faults import QUOTA_EXCEEDED_BODY, Altered, Answer, Cut, Faults, Slow
from spotify_assets.demo.spotify.objects import Objects, encoded
from spotify_assets.demo.spotify.quota import DAILY_CEILINGS, DemoQuota, RateLimit
from spotify_assets.demo.spotify.request_log import LoggedRequest, RequestLog
from spotify_assets.demo.spotify.search import Search
from spotify_assets.demo.spotify.server import CONNECTION_EXTENSION
from spotify_assets.demo.spotify.tokens import Grant, Tokens

NOT_REGISTERED = "User not registered in the Developer Dashboard"
OWNER_WITHOUT_PREMIUM = (
    "Active premium subscription required for the owner of the app. When the subscription status changes, it can "
    "take a few hours before requests are allowed again."
)


class DemoClock:
    """A clock that stands until it is set."""

    def __init__(self, instant: datetime) -> None:
        self.set(instant)

    def __call__(self) -> datetime:
        return self._instant

    def set(self, instant: datetime) -> None:
        """:raises ValueError: without a time zone."""
        if instant.tzinfo is None:
            raise ValueError(f"the demo's clock needs an instant with a time zone, not {instant!r}")
        self._instant = instant.astimezone(UTC)

    def advance(self, duration: timedelta) -> datetime:
        """Go on by a duration; returns the new instant."""
        self._instant += duration
        return self._instant


class DemoSpotify:
    """A Spotify that tells of demo listeners. Its parts may be changed at any time, while it is being served.

    :param listeners: one listener, who is then called ``demo``; or name -> listener (or an account made by
        hand, for what `DemoAccount` can be told). Each needs a seed of its own.
    :param now: the clock of this Spotify: plays that end later are not told yet. `DemoClock` can be set.
    :param cohort: DEVELOPMENT or EXTENDED.
    :param ceilings: requests a day by bucket, see `quota.DAILY_CEILINGS`; ``{}`` for none.
    :param requests_in_30_seconds: rate limit; None for none.
    :raises ValueError: when two listeners share a seed.

    Attributes: ``accounts`` (name -> `DemoAccount`), ``catalogue``, ``tokens``, ``faults``, ``quota``,
    ``rate_limit``, ``requests`` (`RequestLog`), ``refused`` (listener -> text of a 403, such as `NOT_REGISTERED`;
    the empty name refuses everybody, such as `OWNER_WITHOUT_PREMIUM`), ``failures`` (of the demo itself, answered
    with 500), ``app`` (the application to serve).
    """

    def __init__(
        self,
        listeners: DemoListener | Mapping[str, DemoListener | DemoAccount],
        *,
        now: Callable[[], datetime],
        cohort: Cohort = DEVELOPMENT,
        ceilings: Mapping[str, int] = DAILY_CEILINGS,
        requests_in_30_seconds: int | None = None,
    ) -> None:
        named = {"demo": listeners} if isinstance(listeners, DemoListener) else listeners
        self.accounts: dict[str, DemoAccount] = {
            name: each if isinstance(each, DemoAccount) else DemoAccount(name, each) for name, each in named.items()
        }
        seeds = [account.listener.seed for account in self.accounts.values()]
        if len(seeds) != len(set(seeds)):
            raise ValueError(f"each demo listener needs a seed of its own, for ids are drawn from it: {seeds}")
        self.now = now
        self.catalogue = WholeCatalogue(
            (account.listener.catalogue for account in self.accounts.values()), _first_plays(self.accounts.values())
        )
        self.search = Search(self.catalogue)
        self.tokens = Tokens(now)
        self.faults = Faults()
        self.quota = DemoQuota(now, ceilings)
        self.rate_limit = RateLimit(now, requests_in_30_seconds)
        self.requests = RequestLog()
        self.refused: dict[str, str] = {}
        self.failures: list[Exception] = []
        self.cohort = cohort
        self.app = Starlette(routes=[*self._routes(), Route("/v1/{rest:path}", self._unknown)])

    def include(self, routes: Iterable[BaseRoute]) -> None:
        """Have further routes answered by the same server, such as those of the accounts service."""
        self.app.router.routes.extend(routes)

    @property
    def cohort(self) -> Cohort:
        """What kind of app is asking."""
        return self._cohort

    @cohort.setter
    def cohort(self, cohort: Cohort) -> None:
        self._cohort = cohort
        self.objects = Objects(self.catalogue, cohort)

    def _routes(self) -> Iterable[Route]:
        for rule in ENDPOINTS:
            endpoint = self._endpoint(rule)
            # Clients differ in the slash at the end; a redirect would be one more request.
            yield Route(f"/v1{rule.path}", endpoint)
            yield Route(f"/v1{rule.path}/", endpoint)

    async def _unknown(self, request: Request) -> Response:
        path = f"/{request.path_params['rest']}"
        refused = Refused(404, "Service not found")
        self._log(path, "unknown", dict(request.query_params), None, refused.status, None)
        return Response(refused.body, refused.status, refused.headers)

    def _log(
        self, path: str, bucket: str, params: Mapping[str, str], listener: str | None, status: int, fault: str | None
    ) -> None:
        self.requests.add(LoggedRequest(self.now(), path, bucket, params, listener, status, fault))

    def _endpoint(self, rule: EndpointRule) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            now = self.now()
            params = {**request.query_params, **request.path_params}
            grant = self._grant(request)
            listener = None if grant is None else grant.listener
            fault = self.faults.pick(rule.path, listener, now)
            effect = None if fault is None else fault.effect
            if isinstance(effect, Answer):
                status, body, headers = effect.status, effect.body, effect.headers
            else:
                status, body, headers = self._answered(rule, request, params, grant, now)
            if isinstance(effect, Altered) and status == 200:
                body = encoded(effect.change(json.loads(body)))
            is_cut = isinstance(effect, Cut)
            seen = 0 if is_cut and effect.after_bytes is None else status
            self._log(rule.path, rule.bucket, params, listener, seen, None if effect is None else effect.kind)
            if isinstance(effect, Slow):
                await asyncio.sleep(effect.seconds)
            if is_cut:
                return _CutResponse(effect.after_bytes, body, status, headers)
            return Response(body, status, headers)

        return answer

    def _grant(self, request: Request) -> Grant | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant = self.tokens.grant_of(token) if scheme.lower() == "bearer" else None
        return grant if grant is None or not grant.listener or grant.listener in self.accounts else None

    def _answered(
        self, rule: EndpointRule, request: Request, params: Mapping[str, str], grant: Grant | None, now: datetime
    ) -> tuple[int, bytes, Mapping[str, str]]:
        try:
            if grant is None:
                raise _unauthorized(request, self.tokens)
            self._admit(rule, grant)
            call = Call(self, params, grant, now, str(request.base_url)[:-1] + request.url.path)
            told = rule.answer(call)
            return 200, told if isinstance(told, bytes) else encoded(told), {"Content-Type": JSON}
        except Refused as refused:
            return refused.status, refused.body, refused.headers
        except Exception as failure:
            self.failures.append(failure)
            raise

    def _admit(self, rule: EndpointRule, grant: Grant) -> None:
        refusal = self.refused.get("") or self.refused.get(grant.listener)
        if refusal:
            # Told as plain text, unlike every other error.
            raise Refused(403, refusal, refusal.encode(), {"Content-Type": "text/plain; charset=utf-8"})
        wait = self.rate_limit.refuse()
        if wait is not None:
            raise Refused(429, "API rate limit exceeded", headers={"Retry-After": str(wait)})
        wait = self.quota.refuse(rule.bucket)
        if wait is not None:
            body = encoded(QUOTA_EXCEEDED_BODY)
            raise Refused(429, "Too many requests", body, {"Retry-After": str(wait)})
        if not rule.is_offered(self.cohort):
            raise Refused(403, "Forbidden", rule.refusal_body)
        if rule.is_personal and not grant.listener:
            raise Refused(401, "Valid user authentication required")
        if not rule.scopes <= grant.scopes:
            raise Refused(403, "Insufficient client scope")


class _CutResponse(Response):
    """Closes the connection after so many bytes of the body; None: before anything is answered."""

    def __init__(self, after_bytes: int | None, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(body, status, headers)
        self._after_bytes = after_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        connection = scope["extensions"][CONNECTION_EXTENSION]
        if self._after_bytes is not None:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            # At least one byte is missing, however short the body is.
            part = self.body[: max(0, min(self._after_bytes, len(self.body) - 1))]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        connection.close()
        # Until the server has seen that nobody is there to be answered.
        while (await receive())["type"] != "http.disconnect":
            pass


def _first_plays(accounts: Iterable[DemoAccount]) -> dict[str, date]:
    first: dict[str, date] = {}
    for account in accounts:
        for play in account.plays:
            if play.track.album.album_id not in first:
                first[play.track.album.album_id] = play.started_at.date()
    return first


def _unauthorized(request: Request, tokens: Tokens) -> Refused:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        return Refused(401, "No token provided")
    if tokens.is_expired(token):
        return Refused(401, "The access token expired")
    return Refused(401, "Invalid access token")
