"""Texts that every store can hold, JSON that is equal whenever the values are, and hashes that never change."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def whole_text(text: str) -> str:
    """The text with halves of surrogate pairs, which no UTF-8 can hold, replaced by U+FFFD."""
    # Nearly every text is plain, and a day's responses hold a million of them.
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def to_json(value: Any) -> str:
    """Compact JSON of a value; keys in sorted order, so that equal values give equal texts."""
    return whole_text(_ENCODER.encode(value))


def text_hash(text: str) -> int:
    """Signed 63-bit hash of a text, never negative."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
