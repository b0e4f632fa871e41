"""What came over the wire, before anybody says what it means: status, headers, body, however odd."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

_LONGEST_MESSAGE = 300
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Answer:
    """An answer of the Web API.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        content: The bytes of the body, decompressed.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @cached_property
    def body(self) -> Any:
        """The JSON value; None when there is none, or the body is no JSON."""
        return self._value_or_reason[0]

    @cached_property
    def oddity(self) -> str:
        """What is wrong with the body, such as `is no JSON`; empty when it is JSON, or absent."""
        return self._value_or_reason[1]

    @cached_property
    def message(self) -> str:
        """Spotify's words for an error, on one line; empty when there are none."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        if isinstance(error, dict):
            told = error.get("message")
        elif isinstance(error, str):
            told = self.body.get("error_description") or error
        else:
            told = None if self.body is not None else self.content.decode("utf-8", "replace")
        words = " ".join(told.split()) if isinstance(told, str) else ""
        return "" if words.startswith("<") else words[:_LONGEST_MESSAGE]

    @property
    def is_empty(self) -> bool:
        """Whether there is no body."""
        return not self.content.strip()

    @property
    def is_error_in_disguise(self) -> bool:
        """Whether an error object came with a status of success."""
        return self.status < 300 and isinstance(self.body, dict) and self.body.keys() == {"error"}

    @property
    def is_quota_exceeded(self) -> bool:
        """Whether the quota of the bucket is used (`QUOTA_EXCEEDED`), rather than the rate limit passed."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        reason = error.get("reason") if isinstance(error, dict) else None
        return isinstance(reason, str) and reason.upper() == "QUOTA_EXCEEDED"

    def retry_after_seconds(self, now: datetime) -> float | None:
        """What the header Retry-After tells, in seconds or as a date (RFC 9110, 10.2.3); None when it tells nothing."""
        text = self.headers.get("retry-after", "").strip()
        try:
            seconds = float(text)
        except ValueError:
            try:
                instant = parsedate_to_datetime(text)
            except ValueError:
                return None
            seconds = (instant.replace(tzinfo=instant.tzinfo or UTC) - now).total_seconds()
        return max(0.0, seconds) if math.isfinite(seconds) else None

    @cached_property
    def _value_or_reason(self) -> tuple[Any, str]:
        if self.is_empty:
            return None, ""
        try:
            text = self.content.decode("utf-8-sig")
            value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        except (ValueError, RecursionError):
            return None, "is no JSON"
        # Half of a pair of surrogates cannot be written as UTF-8, neither to a file nor to a column.
        return (_without_lone_surrogates(value) if "\\ud" in text.lower() else value), ""


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _without_lone_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_lone_surrogates(each) for each in value]
    if isinstance(value, dict):
        return {_without_lone_surrogates(name): _without_lone_surrogates(each) for name, each in value.items()}
    return value
