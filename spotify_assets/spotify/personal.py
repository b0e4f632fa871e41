"""What the Web API tells about people, and is taken out of a body before anything is made of it.

Everything else is stored exactly as told. The objects and fields are those of
https://developer.spotify.com/documentation/web-api/reference/get-current-users-profile and of the playlist endpoints.
"""

from __future__ import annotations

import math
import re
from typing import Any

from spotify_assets.spotify.model import Endpoint
from spotify_assets.texts import whole_text

USER_ENDPOINTS = frozenset({Endpoint.ME})
"""Endpoints whose whole body is a user object."""

USER_KEYS = frozenset({"owner", "added_by", "user"})
"""Keys whose value is a user object, whatever `type` it claims."""

KEPT_OF_A_USER = frozenset({"type", "country"})
"""All that is kept of a user object: not id and account_id, uri, href and external_urls, display_name, email, images,
product, followers, birthdate, explicit_content, and whatever Spotify may add."""

PERSONAL_KEYS = frozenset(
    {
        "access_token",
        "account_id",
        "birthdate",
        "device",
        "display_name",
        "email",
        "ip",
        "ip_address",
        "ip_addr",
        "refresh_token",
        "user_agent",
        "username",
    }
)
"""Keys that are left out of every object."""

_USER_IN_TEXT = re.compile(r"(spotify:user:|//[\w.-]*spotify\.com/(?:v1/)?users?/)[^:/?#\s]+")
"""The id of a user inside an address: `context.uri` of the saved tracks, `href` of a page of playlists."""

_LARGEST = 2**63
"""DuckDB's JSON functions, and most readers, know no larger whole number."""


class TooDeep(ValueError):
    """A body is nested too deeply to be looked through."""


def without_personal_fields(endpoint: str, body: Any) -> Any:
    """A JSON value without personal fields, and with nothing in it that JSON text cannot hold (halves of surrogate
    pairs, infinite numbers).

    Raises:
        TooDeep: It is nested too deeply.

    >>> without_personal_fields("/me", {"id": "ann", "email": "ann@example.org", "country": "DE", "type": "user"})
    {'country': 'DE', 'type': 'user'}
    """
    try:
        return _cleaned(body, is_user=endpoint in USER_ENDPOINTS)
    except RecursionError:
        raise TooDeep("it is nested too deeply to be looked through") from None


def _cleaned(value: Any, *, is_user: bool = False) -> Any:
    if isinstance(value, dict):
        is_user = is_user or value.get("type") == "user"
        return {
            whole_text(key): _cleaned(inner, is_user=key in USER_KEYS)
            for key, inner in value.items()
            if (key in KEPT_OF_A_USER if is_user else key not in PERSONAL_KEYS)
        }
    if isinstance(value, list):
        if not is_user and _are_plain_texts(value):
            return value
        return [_cleaned(inner, is_user=is_user) for inner in value]
    if isinstance(value, str):
        # A user object that is a mere text can only be a name or an address.
        if is_user:
            return None
        text = whole_text(value)
        return _USER_IN_TEXT.sub(r"\1", text) if "user" in text else text
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return float(value) if abs(value) < 10**300 else None
    return None if is_user and value is not None else value


def _are_plain_texts(values: list[Any]) -> bool:
    """Whether a list holds nothing but texts that are stored as they are: markets by the hundred, in every track."""
    try:
        joined = "\0".join(values)
    except TypeError:
        return False
    return joined.isascii() and "user" not in joined
