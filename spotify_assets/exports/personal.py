"""Which keys of an export are about the person rather than the play, and how they are left out.

Every text that leaves this package and is not a known, harmless column goes through here first: unknown keys, and
the JSON of rejected rows.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from spotify_assets.texts import to_json

PERSONAL_KEYS = (
    "username",
    "ip_addr",
    "ip_addr_decrypted",
    "user_agent_decrypted",
    "city",
    "region",
    "metro_code",
    "longitude",
    "latitude",
)
"""Keys of known generations that are never stored, not even by name."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_WHOLE_WORDS = frozenset(
    (
        *("ip", "ips", "ipv", "ipaddr", "clientip", "remoteip", "userip", "sourceip", "hostip", "isp", "asn", "ssid"),
        *("lat", "lon", "lng", "gps", "zip", "mac", "imei", "imsi", "idfa", "gaid", "msisdn", "tel"),
        *("age", "sex", "dob"),
    )
)
_WORD_STARTS = (
    *("user", "agent", "mail", "email", "device", "geo", "latitude", "longitude", "location", "coord", "city"),
    *("region", "metro", "address", "addr", "birth", "gender", "phone", "postal", "postcode", "account", "person"),
    *("login", "identit", "serial", "payment", "ipaddress", "street", "hostname", "household"),
)
_WORD_ENDS = ("agent", "mail", "address", "username", "userid", "latitude", "longitude", "location", "phone")


def smells_of_a_person(key: str) -> bool:
    """Whether the value of an unknown key may tell who or where a person is.

    The name is cut into words at underscores and at changes of case, so that `ip` is found in `clientIPAddress` but
    not in `skipped`, and `lat` in `geo_lat` but not in `platform`. When in doubt the answer is yes: the name of the
    key is kept anyway.
    """
    for word in _WORD.findall(key.replace("IPv", "Ip")):
        word = word.lower()
        if word in _WHOLE_WORDS or word.startswith(_WORD_STARTS) or word.endswith(_WORD_ENDS):
            return True
    return False


def _whole_number(digits: str) -> int | str:
    # int() refuses more than 4,300 digits with a ValueError that would take the whole row along.
    return int(digits) if len(digits) < 1_000 else digits


def _number(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _first_key_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for key, value in pairs:
        told.setdefault(key, value)
    return told


DECODER = json.JSONDecoder(
    strict=False,
    parse_int=_whole_number,
    parse_float=_number,
    parse_constant=lambda _: None,
    object_pairs_hook=_first_key_wins,
)
"""Tolerant reader of single JSON values: control characters pass, the first of repeated keys wins (as in DuckDB)."""


def _without_personal_fields(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: None if smells_of_a_person(key) else _without_personal_fields(inner)
            for key, inner in value.items()
            if key not in PERSONAL_KEYS
        }
    if isinstance(value, list):
        return [_without_personal_fields(inner) for inner in value]
    return value


def clean_object(text: str | None) -> dict[str, Any] | None:
    """The JSON object in `text` without known personal keys and without values of keys that smell of a person.

    None when the text is no JSON object, or is nested too deeply to be looked through.
    """
    if text is None:
        return None
    try:
        value, end = DECODER.raw_decode(text.strip())
        if end != len(text.strip()) or not isinstance(value, dict):
            return None
        return _without_personal_fields(value)
    except (ValueError, RecursionError):
        return None


def clean_json(text: str | None) -> str | None:
    """`clean_object` as JSON text, None where that is None."""
    cleaned = clean_object(text)
    return None if cleaned is None else to_json(cleaned)
