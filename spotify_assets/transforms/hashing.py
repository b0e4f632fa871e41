"""Stable 64-bit hashes of rows.

Polars' own `hash` may change with every release; a day's version must not, or each upgrade would rebuild a whole
history.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import polars as pl

from spotify_assets.texts import text_hash as text_hash

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_UPPER = 1 << 32
_MODULUS = 1 << 64


@cache
def _constant(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)


def text_hashes(column: str, values: Iterable[str]) -> pl.Expr:
    """`text_hash` of a column that holds no other texts than `values`."""
    hashes = {value: text_hash(value) for value in values}
    if not hashes:
        return pl.lit(None, dtype=pl.Int64)
    return pl.col(column).replace_strict(hashes, return_dtype=pl.Int64)


def with_row_hash(frame: pl.LazyFrame, name: str, columns: Iterable[pl.Expr], *, salt: int = 0) -> pl.LazyFrame:
    """Add a UInt64 hash over whole-number, boolean, date and instant columns, in order; NULL differs from every value.

    Each column is multiplied by an odd constant of its own (multilinear hashing, https://arxiv.org/abs/1202.4961), and
    the sum is scrambled like the finaliser of splitmix64 (https://prng.di.unimi.it/splitmix64.c), so that hashes may
    be added up. Unsigned sums and products wrap in Polars, which is what the construction needs.
    """
    total = _constant(_GOLDEN * (salt + 1) % _MODULUS)
    for position, column in enumerate(columns, 1):
        value = column.to_physical().cast(pl.Int64).reinterpret(signed=False)
        factor = _GOLDEN**position * _FIRST % _MODULUS
        total = total + (value * _constant(factor)).fill_null(_constant(_SECOND * position % _MODULUS))
    mixed = pl.col(name)
    frame = frame.with_columns(total.alias(name))
    for factor in (_FIRST, _SECOND, 1):
        # A step of its own each time: nested in one expression the sum would be computed eight times.
        frame = frame.with_columns(mixed.xor(mixed // _constant(_UPPER)) * _constant(factor))
    return frame


def as_identifier(mixed: pl.Expr) -> pl.Expr:
    """A UInt64 hash as the non-negative BIGINT that every reader understands."""
    return (mixed // _constant(2)).cast(pl.Int64)


def as_text(mixed: pl.Expr) -> pl.Expr:
    """A UInt64 hash as text."""
    return mixed.cast(pl.String)
