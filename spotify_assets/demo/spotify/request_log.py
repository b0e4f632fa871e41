"""What the demo Spotify was asked, for tests and benchmarks to count. Tokens are never written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request and how it ended.

    :param at: by the clock of the demo.
    :param endpoint: path below /v1 with names for what varies, such as ``/artists/{id}/albums``; for what is
        asked of the accounts service, its path.
    :param params: what varies in the path, and the query.
    :param listener: whose token; empty for the app's own, None when there was no valid one.
    :param status: of the answer; that of a cut answer is what its first line said, 0 for none.
    :param fault: kind of the fault that was played, None for none.
    """

    at: datetime
    endpoint: str
    bucket: str
    params: Mapping[str, str]
    listener: str | None
    status: int
    fault: str | None = None


class RequestLog:
    """All requests since the start or the last ``clear()``, in order of their answers."""

    def __init__(self) -> None:
        self._requests: list[LoggedRequest] = []

    def add(self, request: LoggedRequest) -> None:
        self._requests.append(request)

    def clear(self) -> None:
        self._requests = []

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[LoggedRequest]:
        return iter(list(self._requests))

    def select(
        self,
        *,
        endpoint: str | None = None,
        bucket: str | None = None,
        listener: str | None = None,
        status: int | None = None,
    ) -> list[LoggedRequest]:
        """The requests with these values; what is None is not asked about."""
        wanted = {"endpoint": endpoint, "bucket": bucket, "listener": listener, "status": status}
        told = {name: value for name, value in wanted.items() if value is not None}
        return [request for request in self if all(getattr(request, name) == value for name, value in told.items())]

    def count(
        self,
        *,
        endpoint: str | None = None,
        bucket: str | None = None,
        listener: str | None = None,
        status: int | None = None,
    ) -> int:
        """Number of requests with these values."""
        return len(self.select(endpoint=endpoint, bucket=bucket, listener=listener, status=status))

    def by_endpoint(self) -> Counter[str]:
        return Counter(request.endpoint for request in self)

    def by_bucket(self) -> Counter[str]:
        return Counter(request.bucket for request in self)

    def by_status(self) -> Counter[int]:
        return Counter(request.status for request in self)
