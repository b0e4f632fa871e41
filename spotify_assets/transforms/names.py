"""Keys made from names.

An export tells an artist's name but no id, and one recording has several track ids: the keys that join plays to
tracks, albums and artists are made from names, so that they are the same whichever source told of a play. An id that
becomes known later is a column beside the key and never changes it.
"""

from __future__ import annotations

import polars as pl

SEPARATOR = " / "


def fold(name: pl.Expr) -> pl.Expr:
    """A name as it is compared: Unicode NFC, lower case, runs of white space as one blank, ends trimmed.

    NULL stays NULL; a name of nothing but white space becomes NULL.
    """
    folded = name.str.normalize("NFC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(folded != "").then(folded)


def _escaped(name: pl.Expr) -> pl.Expr:
    # A slash inside a name is doubled: without it "a / b" by "c" and "b" by "c / a" would share a key.
    return name.str.replace_all("/", "//", literal=True)


def artist_key(artist_name: pl.Expr) -> pl.Expr:
    """Key of an artist; NULL without a name.

    >>> pl.select(artist_key(pl.lit("  Nina  SIMONE "))).item()
    'nina simone'
    """
    return _escaped(fold(artist_name))


def title_key(artist_name: pl.Expr, title: pl.Expr) -> pl.Expr:
    """Key of a track or album: artist, separator, title; NULL without a title.

    >>> pl.select(title_key(pl.lit("AC/DC"), pl.lit("T.N.T."))).item()
    'ac//dc / t.n.t.'
    """
    return _joined(artist_key(artist_name), title)


def _joined(key_of_artist: pl.Expr, title: pl.Expr) -> pl.Expr:
    return key_of_artist.fill_null("") + pl.lit(SEPARATOR) + _escaped(fold(title))


def with_keys(names: pl.LazyFrame) -> pl.LazyFrame:
    """Add artist_key, track_key and album_key to a frame with artist_name, track_name and album_name."""
    key_of_artist = pl.col("artist_key")
    return names.with_columns(artist_key=artist_key(pl.col("artist_name"))).with_columns(
        track_key=_joined(key_of_artist, pl.col("track_name")), album_key=_joined(key_of_artist, pl.col("album_name"))
    )
