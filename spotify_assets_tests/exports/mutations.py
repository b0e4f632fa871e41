"""Export files as they should never be: those of the demo listener, of every age and kind, spoiled at random."""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from spotify_assets.demo.exports import (
    GENERATION_KEYS,
    Defects,
    write_basic_history,
    write_extended_history,
    write_library,
)
from spotify_assets.demo.listener import DemoListener

_JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 10**30, -(10**400), "", " ", "null", "NaN", "\x00", "\ud800", "𝕏" * 50),
    *([], {}, [[[[]]]], {"a": {"b": [1, {"c": None}]}}, [1, "two", None], "spotify:track:", "2020-13-45T99:99:99Z"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2020-01-01", "1e5", "12,5", "x" * 5000),
)
_DEEP = "[" * 3000 + "]" * 3000


def originals() -> dict[str, bytes]:
    """Small files by name: every generation of extended history, both ages of basic history, libraries, playlists."""
    plays = DemoListener(seed=5, first_day=date(2023, 3, 1), last_day=date(2023, 3, 4), plays_per_day=12.0).plays()
    files = {}
    with tempfile.TemporaryDirectory() as name:
        for generation in GENERATION_KEYS:
            defects = Defects.typical() if generation == "G3" else Defects(unknown_key_share=0.1)
            write_extended_history(plays, Path(name, generation), generation=generation, defects=defects)
        write_basic_history(plays, Path(name, "basic"))
        write_basic_history(plays, Path(name, "mixed"), old_mixed=True)
        write_library(plays, Path(name, "library"))
        write_library(plays, Path(name, "old library"), has_uris=False)
        for path in sorted(Path(name).rglob("*.json")):
            if path.name.lower().startswith(("streaming", "endsong", "yourlibrary", "playlist")):
                # Two spellings of it in a folder are two accounts, and then nothing of the folder is taken in.
                data = re.sub(rb'\s*"username": "[^"]*",', b"", path.read_bytes())
                files[f"{path.relative_to(name).parts[0]} {path.name}"] = data
    return files


def _somewhere(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: _somewhere(chance, data)]


def _behead(chance: random.Random, data: bytes) -> bytes:
    return data[_somewhere(chance, data) :]


def _flip(chance: random.Random, data: bytes) -> bytes:
    spoiled = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 30))):
        if spoiled:
            spoiled[chance.randrange(len(spoiled))] ^= 1 << chance.randrange(8)
    return bytes(spoiled)


def _insert(chance: random.Random, data: bytes) -> bytes:
    junk = (b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"[", b"]", b"{", b"}", b",", b'"', b"\\", b"\r\n", b"NaN", b"//x\n")
    at = _somewhere(chance, data)
    return data[:at] + chance.choice((*junk, _DEEP.encode())) + data[at:]


def _remove(chance: random.Random, data: bytes) -> bytes:
    at = _somewhere(chance, data)
    return data[:at] + data[at + chance.choice((1, 2, 10, 500)) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    return data + chance.choice((b"", b"\n", b",")) + data


def _mark(chance: random.Random, data: bytes) -> bytes:
    return b"\xef\xbb\xbf" + data


def _recode(chance: random.Random, data: bytes) -> bytes:
    return data.decode().encode(chance.choice(("utf-16", "utf-16-le", "utf-32", "latin-1")), "replace")


def _zero(chance: random.Random, data: bytes) -> bytes:
    at = _somewhere(chance, data)
    return data[:at] + bytes(min(4096, len(data) - at)) + data[at + 4096 :]


SPOILING_BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_cut, _behead, _flip, _insert, _remove, _repeat, _mark, _recode, _zero),
)


def _objects(value: Any) -> list[dict[str, Any]]:
    """Every object of a file."""
    if isinstance(value, dict):
        return [value, *(found for each in value.values() for found in _objects(each))]
    return [found for each in value for found in _objects(each)] if isinstance(value, list) else []


def _spoil_values(chance: random.Random, value: Any) -> None:
    for each in chance.choices(_objects(value), k=chance.choice((1, 3, 20))):
        if not each:
            continue
        key = chance.choice(sorted(each))
        action = chance.choice(("junk", "junk", "drop", "swap", "add", "rename"))
        if action == "junk":
            each[key] = chance.choice(_JUNK)
        elif action == "drop":
            del each[key]
        elif action == "swap":
            other = chance.choice(sorted(each))
            each[key], each[other] = each[other], each[key]
        elif action == "add":
            each[chance.choice(("new_key", "device_ip", "", "ключ", key.upper()))] = chance.choice(_JUNK)
        else:
            each[chance.choice((key.upper(), f" {key}", f"{key}_2"))] = each.pop(key)


def _spoil_rows(chance: random.Random, rows: list[Any]) -> None:
    action = chance.choice(("double", "shuffle", "junk", "nest", "empty"))
    if action == "double":
        rows.extend(chance.choices(rows, k=5))
    elif action == "shuffle":
        chance.shuffle(rows)
    elif action == "junk":
        rows.insert(chance.randrange(len(rows) + 1), chance.choice(_JUNK))
    elif action == "nest":
        rows[chance.randrange(len(rows))] = [rows[0]]
    else:
        rows[chance.randrange(len(rows))] = {}


def mutated(chance: random.Random, files: dict[str, bytes]) -> tuple[str, bytes, int | None]:
    """One spoiled file: name, bytes, and the rows that it holds where that can be told by counting."""
    name = chance.choice(sorted(files))
    value = json.loads(files[name])
    for _ in range(chance.choice((0, 1, 2))):
        _spoil_values(chance, value)
        if isinstance(value, list):
            _spoil_rows(chance, value)
    indent = chance.choice((None, 1, 2))
    data = json.dumps(value, indent=indent, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    rows = len(value) if isinstance(value, list) else None
    for _ in range(chance.choice((0, 1, 1, 3))):
        spoil = chance.choice(SPOILING_BYTES)
        try:
            data = spoil(chance, data)
        except UnicodeError:
            continue
        if spoil is not _mark:
            rows = None
    return name, data, rows
