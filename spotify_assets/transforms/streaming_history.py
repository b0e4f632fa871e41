"""Which rows of an export are stored already.

Exports overlap fully when they are asked for again, maybe in another key generation: the rows of one play must be
recognised although one telling has URIs and the other has none, and although an export repeats a row.

Rows with equal listener, kind, `ts` and `ms_played` form a bucket, and in it rows of one URI, or of one case-folded
creator and title where the URI is missing, are tellings of one play. Inside an export they are numbered from 1, rows
without URI after those of the same title that have one: the numbers depend on that export alone, so that the highest
number ever stored is the larger count, never the sum, in whatever order the exports came. A row is known when a
stored row of its number says all that it says; else it is stored beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import polars as pl

from spotify_assets.schemas.raw import SAYS
from spotify_assets.transforms.hashing import with_row_hash

_BUCKET_OF = ["kind", "ts", "ms_played"]
_TOLD = ["uri_hash", "names_hash", "title_hash", "reason_start", "reason_end", "says"]

STORED_COLUMNS = ["row_id", "occurrence", *_BUCKET_OF, *_TOLD]
"""What must be known of the stored rows of a listener to match an export's rows with them."""

_BY_URI, _BY_TITLE, _BY_NOTHING = range(3)
_COLUMNS = ["row_id", "bucket", "play", "telling", "reasons", "told_by", "title", "names_hash", "says"]
_SLOT = ["play", "occurrence"]
_DECISION = ["row_id", "is_new", "occurrence", "told_row_id"]


@cache
def says() -> pl.Expr:
    """Bit mask of the fields that a row of raw.streaming_history tells (`schemas.raw.SAYS`)."""
    offline = pl.col("offline").fill_null(False)
    tells = {name: pl.col(name).is_not_null() for name in SAYS}
    # Where no reason is told, a mark of false is all that is known of a skip.
    tells["skipped"] = pl.col("skipped") | (pl.col("skipped").is_not_null() & pl.col("reason_end").is_null())
    tells["offline_timestamp"] = offline & (pl.col("offline_timestamp").fill_null(0) >= 1_000_000_000)
    return pl.sum_horizontal(
        pl.when(told).then(pl.lit(SAYS[name], dtype=pl.Int64)).otherwise(pl.lit(0, dtype=pl.Int64))
        for name, told in tells.items()
    )


def match_export(incoming: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Pair the rows of one listener's export with the rows stored already.

    Args:
        incoming: Rows of one export: row_id (the number that a row gets if it is new), title_hash, kind, ts,
            ms_played, uri_hash, names_hash, reason_start, reason_end, says.
        stored: The listener's stored rows: `STORED_COLUMNS`.

    Returns:
        For each incoming row: row_id, is_new, occurrence, told_row_id (itself when it is new, else the stored row
        that says all that it says).
    """
    told = ["row_id", *_BUCKET_OF, *_TOLD]
    both = _identified(pl.concat([incoming.select(told), stored.select(told)]))
    stored = both.slice(incoming.height).with_columns(stored["occurrence"])
    incoming = both.head(incoming.height)

    # Nearly every bucket holds one row of an export, and nothing or these very words are stored of it; in most of
    # the others one number at most of its play is stored. Only the rest is worth the steps of `_number`.
    is_alone = pl.col("bucket").is_unique()
    known = (
        incoming.filter(is_alone)
        .select("row_id", "telling")
        .join(stored.select("telling", "occurrence", told_row_id="row_id"), on="telling", maintain_order="left_right")
        .unique("row_id", keep="first", maintain_order=True)
        .with_columns(is_new=pl.lit(False))
        .select(_DECISION)
    )
    incoming = incoming.join(known, on="row_id", how="anti", maintain_order="left")
    stored = stored.join(incoming, on="bucket", how="semi", maintain_order="left")
    slots = stored.select(_SLOT).unique()
    crowded = slots.filter(pl.col("play").is_duplicated()).select("play")
    is_simple = is_alone & ~pl.col("play").is_in(crowded["play"].implode())
    simple, other = incoming.filter(is_simple), incoming.filter(~is_simple)
    simple = simple.join(slots, on="play", how="left", maintain_order="left").with_columns(
        pl.col("occurrence").fill_null(1)
    )
    numbered = simple if other.is_empty() else pl.concat([simple, _number(other, stored)])
    return pl.concat([known, _decide(numbered, stored)])


def _identified(rows: pl.DataFrame) -> pl.DataFrame:
    """Add hashes of the bucket, of what a row is recognised by in it, of its title, its reasons and all its words."""
    uri, title = pl.col("uri_hash"), pl.col("title_hash")
    told_by = pl.when(uri.is_not_null()).then(_BY_URI).when(title.is_not_null()).then(_BY_TITLE).otherwise(_BY_NOTHING)
    bucket = (pl.col("kind") == "basic", pl.col("ts"), pl.col("ms_played"))
    hashed = with_row_hash(rows.lazy(), "bucket", bucket).with_columns(
        told_by=told_by.cast(pl.Int64), reasons=pl.struct("reason_start", "reason_end").hash()
    )
    for name, columns in {
        "play": (pl.col("told_by"), pl.coalesce(uri, title)),
        "title": (title,),
        "telling": (uri, pl.col("names_hash"), _bits("reasons"), pl.col("says")),
    }.items():
        hashed = with_row_hash(hashed, name, (_bits("bucket"), *columns))
    return hashed.with_columns(pl.when(title.is_not_null()).then(pl.col("title"))).select(_COLUMNS).collect()


def _bits(column: str) -> pl.Expr:
    return pl.col(column).reinterpret(signed=True)


def _number(incoming: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Add `occurrence`, the number of each row inside its export.

    Rows keep the number under which the very same words are stored, then that of a stored row with equal reasons,
    then of any; what is left takes the lowest numbers that are free.
    """
    # Numbers that this export's own rows with URI stand for are not to be had by its rows without.
    with_uri = (pl.col("told_by") == _BY_URI) & pl.col("title").is_not_null()
    taken = (
        incoming.filter(pl.col("told_by") == _BY_TITLE)
        .select("play", "title")
        .unique()
        .join(incoming.filter(with_uri).group_by("title").agg(taken=pl.len().cast(pl.Int64)), on="title")
        .select("play", "taken")
    )
    incoming = _with_taken(incoming, taken)
    stored = stored.join(incoming, on="play", how="semi", maintain_order="left")
    stored = _with_taken(stored, taken).filter(pl.col("occurrence") > pl.col("taken")).sort("occurrence", "row_id")

    numbered = incoming.head(0).select("row_id", "play", pl.lit(0, dtype=pl.Int64).alias("occurrence"))
    for words in (["telling"], ["reasons"], []):
        left = incoming.join(numbered, on="row_id", how="anti", maintain_order="left")
        free = stored.join(numbered, on=_SLOT, how="anti", maintain_order="left")
        if left.is_empty() or free.is_empty():
            continue
        free = free.unique([*_SLOT, *words], keep="first", maintain_order=True)
        pairs = _ranked_join(left, free, on=["play", *words]).unique(_SLOT, keep="first", maintain_order=True)
        numbered = pl.concat([numbered, pairs.select(numbered.columns)])
    left = incoming.join(numbered, on="row_id", how="anti", maintain_order="left")
    if left.height:
        first = pl.col("taken").first() + 1
        numbers = (
            incoming.join(left, on="play", how="semi")
            .group_by("play")
            .agg(occurrence=pl.int_ranges(first, first + pl.len()))
            .explode("occurrence", empty_as_null=False)
            .join(numbered, on=_SLOT, how="anti")
            .sort("occurrence")
        )
        numbered = pl.concat([numbered, _ranked_join(left, numbers, on=["play"]).select(numbered.columns)])
    numbers = numbered.select("row_id", "occurrence")
    return incoming.drop("taken").join(numbers, on="row_id", how="inner", maintain_order="left")


def _with_taken(rows: pl.DataFrame, taken: pl.DataFrame) -> pl.DataFrame:
    return rows.join(taken, on="play", how="left", maintain_order="left").with_columns(pl.col("taken").fill_null(0))


def _ranked_join(left: pl.DataFrame, right: pl.DataFrame, *, on: Sequence[str]) -> pl.DataFrame:
    """Pair the k-th row of a key on the left with its k-th row on the right."""
    rank = pl.int_range(pl.len()).over(on).alias("rank")
    return left.with_columns(rank).join(
        right.select(*on, "occurrence", rank), on=[*on, "rank"], how="inner", maintain_order="left"
    )


def _decide(incoming: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Which of the numbered rows a stored row says already."""
    if stored.is_empty():
        return incoming.with_columns(is_new=pl.lit(True), told_row_id="row_id").select(_DECISION)
    titled = stored.filter((pl.col("told_by") == _BY_URI) & pl.col("title").is_not_null())
    # Rows without URI may be told by the rows that bear their title and have one: the n-th of them is their number n.
    repetitions = titled.select("title", *_SLOT).unique().sort("title", *_SLOT).with_row_index("number")
    repetitions = repetitions.with_columns(
        number=(pl.col("number") - pl.col("number").min().over("title") + 1).cast(pl.Int64)
    )
    without_uri = pl.col("told_by") == _BY_TITLE
    same_number = incoming.join(stored, on=_SLOT, how="inner", suffix="_stored")
    same_number_of_title = incoming.filter(without_uri).join(
        titled.join(repetitions, on=["title", *_SLOT], how="inner"),
        left_on=["title", "occurrence"],
        right_on=["title", "number"],
        how="inner",
        suffix="_stored",
        coalesce=False,
    )
    known = _told_by(same_number, same_number_of_title)
    # A row that adds nothing to the count is known by any row of its play: rows of one number need not come to stand
    # beside each other again, and the same export would add them anew each time.
    counted = pl.concat(pairs.select("row_id") for pairs in (same_number, same_number_of_title)).unique()
    left = incoming.join(counted, on="row_id", how="semi").join(known, on="row_id", how="anti")
    if not left.is_empty():
        same_play = left.join(stored, on="play", how="inner", suffix="_stored")
        same_title = left.filter(without_uri).join(titled, on="title", how="inner", suffix="_stored", coalesce=False)
        known = pl.concat([known, _told_by(same_play, same_title)])
    return (
        incoming.join(known, on="row_id", how="left")
        .with_columns(is_new=pl.col("told_row_id").is_null(), told_row_id=pl.coalesce("told_row_id", "row_id"))
        .select(_DECISION)
    )


def _told_by(*pairs: pl.DataFrame) -> pl.DataFrame:
    """row_id of the incoming rows that say nothing more than their stored partners, and told_row_id of one of these."""
    return (
        pl.concat(rows.filter(_is_told_by_stored()).select("row_id", told_row_id="row_id_stored") for rows in pairs)
        .group_by("row_id")
        .agg(pl.col("told_row_id").min())
    )


def _is_told_by_stored() -> pl.Expr:
    """Whether the stored partner (`…_stored`) lacks nothing that an incoming row tells and contradicts none of it."""
    lacks = (pl.col("says") & ~pl.col("says_stored")) != 0
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in ("names_hash", "reasons"))
    # Another name for the same URI is news however little the row tells besides: by it rows without URI are found.
    is_renamed = pl.col("title").is_not_null() & pl.col("title").ne_missing(pl.col("title_stored"))
    return ~lacks & ~((pl.col("says") == pl.col("says_stored")) & differs) & ~is_renamed
