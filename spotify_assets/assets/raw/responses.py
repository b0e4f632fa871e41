"""Responses of the Web API become rows: raw.api_responses and every table that is read from them, in one transaction.

What the tables hold is decided by which responses came, not by their order: a recording may be taken in after what
followed it, and whatever is taken in twice changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import Any

import polars as pl

from spotify_assets.lakehouse import Transaction
from spotify_assets.schemas import Table, raw_api
from spotify_assets.spotify.model import Endpoint, Response
from spotify_assets.spotify.pages import Pages, StoredPage, may_be_complete, put_together, versions
from spotify_assets.spotify.personal import TooDeep, without_personal_fields
from spotify_assets.spotify.reading import (
    MOST_PLAYS,
    PageOf,
    Reading,
    Rejected,
    Row,
    offset_asked,
    own_ids,
    owned_playlists,
    page_of,
    read,
)
from spotify_assets.texts import text_hash, to_json

TABLES = (
    raw_api.ApiResponses,
    raw_api.RejectedItems,
    raw_api.RecentlyPlayed,
    raw_api.Polls,
    raw_api.TopArtists,
    raw_api.TopTracks,
    raw_api.Tracks,
    raw_api.Albums,
    raw_api.Artists,
    raw_api.MissingObjects,
    raw_api.ArtistAlbums,
    raw_api.ArtistTopTracks,
    raw_api.SavedTracks,
    raw_api.Playlists,
    raw_api.PlaylistItems,
    raw_api.AudioFeatures,
)
"""Every table that `take_responses` writes."""

_OBJECTS: dict[str, tuple[type[Table], str]] = {
    "track": (raw_api.Tracks, "track_id"),
    "album": (raw_api.Albums, "album_id"),
    "artist": (raw_api.Artists, "artist_id"),
}
_OUTCOMES = {401: "unauthorized", 403: "forbidden", 429: "rate_limited"}


@dataclass
class Taken:
    """What came of some responses.

    Attributes:
        responses: How many were given.
        responses_new: Those among them that were not stored.
        items: Entries of their lists; each was told or rejected.
        rejected: Those that were rejected, by reason.
        rows_new: Rows that a table has more than before, by its name; of lists that replace others, the rows written.
        unreadable: Endpoints that answered 200 with a body that is no answer.
    """

    responses: int = 0
    responses_new: int = 0
    items: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    rows_new: dict[str, int] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)

    def add(self, other: Taken) -> None:
        self.responses += other.responses
        self.responses_new += other.responses_new
        self.items += other.items
        self.unreadable |= other.unreadable
        for mine, theirs in ((self.rejected, other.rejected), (self.rows_new, other.rows_new)):
            for name, number in theirs.items():
                mine[name] = mine.get(name, 0) + number


@dataclass(frozen=True)
class _New:
    """A response that was not stored, without personal fields, and what it tells."""

    response_id: int
    response: Response
    params: str
    body: str | None
    reading: Reading
    owned: Mapping[str, bool]


def response_id_of(listener: str, endpoint: str, params: str, fetched_at: datetime) -> int:
    """The key of raw.api_responses."""
    instant = fetched_at.astimezone(UTC).isoformat(timespec="microseconds")
    return text_hash("\0".join((listener, endpoint, params, instant)))


def take_responses(transaction: Transaction, responses: Iterable[Response]) -> Taken:
    """Store responses and what they tell.

    Those that are stored already are left alone. Rows of plays, objects and polls are of every response that ever
    came; lists (a library, playlists, an artist's albums, a day's top list) are what the newest pages make together,
    a library and the playlists only once all of their pages are there.
    """
    taken = Taken()
    new = _unknown(transaction, responses, taken)
    if not new:
        return taken
    if transaction.maximum(raw_api.ApiResponses, "response_id") is None:
        # Whoever asks the lakehouse is not to meet a table that is missing because nothing came for it yet.
        for table in TABLES:
            transaction.append(table, table.polars_schema().to_frame())
    _store_responses(transaction, new)
    taken.responses_new = len(new)
    _count(taken, raw_api.ApiResponses, len(new))
    for each in new:
        taken.items += each.reading.items
    _reject(transaction, new, taken)
    _take_plays(transaction, new, taken)
    _take_objects(transaction, new, taken)
    _take_missing(transaction, new, taken)
    _take_top_lists(transaction, new, taken)
    _take_artist_albums(transaction, new, taken)
    _take_artist_top_tracks(transaction, new, taken)
    _take_saved_tracks(transaction, new, taken)
    _take_playlists(transaction, new, taken)
    _take_audio_features(transaction, new, taken)
    return taken


def note_unanswered_poll(transaction: Transaction, listener: str, at: datetime, outcome: str) -> None:
    """Remember that nothing could be learnt of a listener's plays.

    Args:
        outcome: rate_limited, unauthorized, forbidden or failed.
    """
    _decide_polls(transaction, listener, [_poll(listener, at, None, outcome)])


def outcome_of_status(status: int) -> str:
    """What raw.polls says of an answer that told nothing."""
    return _OUTCOMES.get(status, "failed")


def _count(taken: Taken, table: type[Table], rows: int) -> None:
    if rows:
        name = table.qualified_name()
        taken.rows_new[name] = taken.rows_new.get(name, 0) + rows


def _frame(table: type[Table], rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> pl.DataFrame:
    schema = table.polars_schema()
    return pl.DataFrame(rows, schema={name: schema[name] for name in columns or schema}, orient="row")


def _read_by(
    transaction: Transaction,
    table: type[Table],
    columns: Sequence[str],
    column: str,
    values: Iterable[Any],
    where: str = "true",
    parameters: Sequence[Any] = (),
) -> list[Row]:
    """Rows that have one of some values in a column."""
    wanted = list(dict.fromkeys(values))
    if not wanted:
        return []
    condition = f"{column} IN (SELECT unnest(?)) AND {where}"
    return transaction.read(table, columns, where=condition, parameters=(wanted, *parameters)).to_dicts()


def _unknown(transaction: Transaction, responses: Iterable[Response], taken: Taken) -> list[_New]:
    given: dict[int, tuple[Response, str]] = {}
    ids: dict[str, frozenset[str]] = {}
    for response in responses:
        taken.responses += 1
        params = to_json(dict(response.params))
        given.setdefault(
            response_id_of(response.listener, response.endpoint, params, response.fetched_at), (response, params)
        )
        ids[response.listener] = ids.get(response.listener, frozenset()) | own_ids(response)
    known = {
        row["response_id"] for row in _read_by(transaction, raw_api.ApiResponses, ["response_id"], "response_id", given)
    }
    new: list[_New] = []
    last: dict[tuple[Any, ...], tuple[Any, _New]] = {}
    for response_id, (response, params) in given.items():
        if response_id in known:
            continue
        question = (response.listener, response.endpoint, params, response.status)
        before = last.get(question)
        # Nearly all of the polls of a night, and most of a day's, are answered as the one before. What was rejected may
        # have been so for its time: an instant that lay in the future then.
        if (
            before is not None
            and not before[1].reading.rejected
            and before[1].response.fetched_at <= response.fetched_at
            and before[0] == response.body
        ):
            answered = replace(before[1].response, fetched_at=response.fetched_at.astimezone(UTC))
            each = replace(before[1], response_id=response_id, response=answered)
        else:
            each = _read_one(response_id, response, params, ids[response.listener])
        last[question] = (response.body, each)
        new.append(each)
    return new


def _read_one(response_id: int, response: Response, params: str, ids: frozenset[str]) -> _New:
    owned = owned_playlists(response, ids)
    try:
        body = without_personal_fields(response.endpoint, response.body)
        text = None if body is None else to_json(body)
        reason = ""
    except (TooDeep, RecursionError):
        body, text, reason = None, None, "The body is nested too deeply to be looked through, and was not stored."
    cleaned = Response(
        response.listener,
        str(response.endpoint),
        json.loads(params),
        response.fetched_at.astimezone(UTC),
        response.status,
        body,
    )
    reading = read(cleaned) if not reason else Reading(items=1, rejected=[Rejected(0, reason, None)])
    return _New(response_id, cleaned, params, text, reading, owned)


# Responses.


def _store_responses(transaction: Transaction, new: Sequence[_New]) -> None:
    rows = [
        {
            "response_id": each.response_id,
            "listener": each.response.listener,
            "endpoint": each.response.endpoint,
            "params": each.params,
            "fetched_at": each.response.fetched_at,
            "status": each.response.status,
            "body": each.body,
            "same_body_as": None,
            "body_hash": None if each.body is None else text_hash(each.body),
        }
        for each in new
    ]
    same = ("listener", "endpoint", "params", "body_hash")
    columns = ["response_id", "fetched_at", "same_body_as", *same]
    hashes = [row["body_hash"] for row in rows if row["body_hash"] is not None]
    stored = _read_by(transaction, raw_api.ApiResponses, columns, "body_hash", hashes)
    holders: dict[tuple[Any, ...], tuple[datetime, int]] = {}
    for row in (*stored, *rows):
        key = tuple(row[name] for name in same)
        age = (row["fetched_at"], row["response_id"])
        holders[key] = min(holders.get(key, age), age)
    for row in rows:
        holder = holders[tuple(row[name] for name in same)][1]
        if row["body_hash"] is not None and holder != row["response_id"]:
            row |= {"body": None, "same_body_as": holder}
    transaction.append(raw_api.ApiResponses, _frame(raw_api.ApiResponses, rows))
    moved = [
        {"response_id": row["response_id"], "body": None, "same_body_as": holder}
        for row in stored
        # An earlier response came later: it has the body now.
        if (holder := holders[tuple(row[name] for name in same)][1]) not in (row["response_id"], row["same_body_as"])
    ]
    if moved:
        frame = _frame(raw_api.ApiResponses, moved, ["response_id", "body", "same_body_as"])
        transaction.update_rows(raw_api.ApiResponses, frame, on=["response_id"])


def bodies(transaction: Transaction, response_ids: Iterable[int]) -> dict[int, Any]:
    """Stored bodies by response_id, whichever response holds them; None where there is none."""
    wanted = list(response_ids)
    rows = _read_by(transaction, raw_api.ApiResponses, ["response_id", "body", "same_body_as"], "response_id", wanted)
    elsewhere = [row["same_body_as"] for row in rows if row["same_body_as"] is not None]
    held = {
        row["response_id"]: row["body"]
        for row in _read_by(transaction, raw_api.ApiResponses, ["response_id", "body"], "response_id", elsewhere)
    }
    texts = {row["response_id"]: row["body"] or held.get(row["same_body_as"]) for row in rows}
    return {response_id: None if text is None else json.loads(text) for response_id, text in texts.items()}


def _reject(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    rows = [
        {
            "response_id": each.response_id,
            "position": rejected.position,
            "listener": each.response.listener,
            "endpoint": each.response.endpoint,
            "fetched_at": each.response.fetched_at,
            "reason": rejected.reason,
            # The whole body stands in raw.api_responses.
            "item": to_json(rejected.part) if rejected.position else None,
        }
        for each in new
        for rejected in each.reading.rejected
    ]
    answered = [each for each in new if each.response.status == 200]
    taken.unreadable |= {str(each.response.endpoint) for each in answered if not _is_told(each)}
    for row in rows:
        taken.rejected[row["reason"]] = taken.rejected.get(row["reason"], 0) + 1
    if rows:
        _count(
            taken, raw_api.RejectedItems, transaction.append(raw_api.RejectedItems, _frame(raw_api.RejectedItems, rows))
        )


# Plays and polls.


def _of(new: Sequence[_New], *endpoints: Endpoint) -> list[_New]:
    return [each for each in new if each.response.endpoint in endpoints]


def _is_told(each: _New) -> bool:
    """Whether a response is the list that its endpoint answers with."""
    return each.response.status == 200 and not any(rejected.position == 0 for rejected in each.reading.rejected)


def _take_plays(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    asked = _of(new, Endpoint.RECENTLY_PLAYED)
    for listener in dict.fromkeys(each.response.listener for each in asked):
        of_listener = [each for each in asked if each.response.listener == listener]
        _take_plays_of(transaction, listener, of_listener, taken)
        polls = [_poll_of(each) for each in of_listener]
        _decide_polls(transaction, listener, polls)
        _count(taken, raw_api.Polls, len(polls))


def _take_plays_of(transaction: Transaction, listener: str, asked: Sequence[_New], taken: Taken) -> None:
    """Add plays; of a play that several responses tell, what the earliest of them says stands."""
    told: dict[tuple[datetime, int], Row] = {}
    for each in sorted(asked, key=lambda each: (each.response.fetched_at, each.response_id)):
        for row in each.reading.rows:
            source = {"listener": listener, "fetched_at": each.response.fetched_at, "response_id": each.response_id}
            told.setdefault((row["played_at"], row["item_hash"]), source | row)
    if not told:
        return
    span = (min(told)[0], max(told)[0])
    columns = ["played_at", "item_hash", "row_id", "fetched_at", "response_id"]
    where = "listener = ? AND played_at BETWEEN ? AND ?"
    stored = {
        (row["played_at"], row["item_hash"]): row
        for row in transaction.read(
            raw_api.RecentlyPlayed, columns, where=where, parameters=(listener, *span)
        ).iter_rows(named=True)
    }
    next_row_id = (transaction.maximum(raw_api.RecentlyPlayed, "row_id") or 0) + 1
    added, earlier = [], []
    for key in sorted(told):
        row, known = told[key], stored.get(key)
        if known is None:
            added.append(row | {"row_id": next_row_id + len(added)})
        elif (row["fetched_at"], row["response_id"]) < (known["fetched_at"], known["response_id"]):
            earlier.append(row | {"row_id": known["row_id"]})
    _count(
        taken, raw_api.RecentlyPlayed, transaction.append(raw_api.RecentlyPlayed, _frame(raw_api.RecentlyPlayed, added))
    )
    if earlier:
        frame = _frame(raw_api.RecentlyPlayed, earlier)
        transaction.update_rows(raw_api.RecentlyPlayed, frame, on=raw_api.RecentlyPlayed.primary_key())


def _poll_of(each: _New) -> Row:
    response, reading = each.response, each.reading
    outcome = "told" if _is_told(each) or response.status == 204 else outcome_of_status(response.status)
    poll = _poll(response.listener, response.fetched_at, each.response_id, outcome)
    if outcome == "told" and reading.items:
        instants = reading.instants
        poll |= {
            "items": reading.items,
            # With an instant that could not be read, the oldest one is unknown, and no gap can be proven.
            "oldest_played_at": min(instants) if len(instants) == reading.items else None,
            "newest_played_at": max(instants, default=None),
            "is_full": reading.items >= MOST_PLAYS,
        }
    return poll


def _poll(listener: str, at: datetime, response_id: int | None, outcome: str) -> Row:
    return {
        "listener": listener,
        "polled_at": at.astimezone(UTC),
        "response_id": response_id,
        "outcome": outcome,
        "items": 0,
        "items_new": 0,
        "oldest_played_at": None,
        "newest_played_at": None,
        "newest_known_at": None,
        "is_full": False,
        "is_gap_provable": False,
    }


def _decide_polls(transaction: Transaction, listener: str, new: Sequence[Row]) -> None:
    """Store polls, and decide anew what those say that came after the earliest of them.

    A gap is provable when a full page is newer than everything known before, see
    https://developer.spotify.com/documentation/web-api/reference/get-recently-played: only the last 50 plays are told.
    """
    first = min(row["polled_at"] for row in new)
    of_listener = (listener, first)
    before = transaction.read(
        raw_api.Polls, ["newest_played_at"], where="listener = ? AND polled_at < ?", parameters=of_listener
    )
    stored = transaction.read(raw_api.Polls, where="listener = ? AND polled_at >= ?", parameters=of_listener).to_dicts()
    first_told = transaction.read(
        raw_api.RecentlyPlayed, ["response_id"], where="listener = ? AND fetched_at >= ?", parameters=of_listener
    )
    items_new = dict(first_told["response_id"].value_counts().iter_rows())
    newest = before["newest_played_at"].max()
    polls: dict[datetime, Row] = {}
    for row in sorted((*stored, *new), key=lambda row: (row["polled_at"], -(row["response_id"] or 0))):
        # Asked twice in one instant, in different words: the key has room for one.
        polls.setdefault(row["polled_at"], row)
    for row in polls.values():
        row["items_new"] = items_new.get(row["response_id"], 0)
        row["newest_known_at"] = newest
        oldest = row["oldest_played_at"]
        row["is_gap_provable"] = row["is_full"] and None not in (oldest, newest) and oldest > newest
        newest = max(filter(None, (newest, row["newest_played_at"])), default=None)
    if stored:
        transaction.delete_rows(raw_api.Polls, _frame(raw_api.Polls, stored).select(raw_api.Polls.primary_key()))
    transaction.append(raw_api.Polls, _frame(raw_api.Polls, list(polls.values())))


# Objects.


def _take_objects(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    """Add tellings of tracks, albums and artists that are new, and note when the others came again."""
    told: dict[str, dict[tuple[str, int], Row]] = {kind: {} for kind in _OBJECTS}
    for each in new:
        at, endpoint = each.response.fetched_at, each.response.endpoint
        for object_ in each.reading.objects:
            key = (object_.object_id, text_hash(object_.json))
            row = {
                "object_hash": key[1],
                "fetched_at": at,
                "told_at": _day_of(at),
                "endpoint": endpoint,
                "is_simplified": object_.is_simplified,
                "object": object_.json,
            }
            earlier = told[object_.kind].get(key)
            told[object_.kind][key] = _joined(row, earlier) if earlier else row
    for kind, rows in told.items():
        table, id_column = _OBJECTS[kind]
        columns = [id_column, "object_hash", "fetched_at", "told_at", "endpoint"]
        hashes = (object_hash for _, object_hash in rows)
        stored = {
            (row[id_column], row["object_hash"]): row
            for row in _read_by(transaction, table, columns, "object_hash", hashes)
        }
        added, changed = [], []
        for key, row in rows.items():
            known = stored.get(key)
            joined = _joined(row, known) if known else row
            joined = joined | {id_column: key[0], "told_at": max(joined["fetched_at"], joined["told_at"])}
            if known is None:
                added.append(joined)
            elif any(joined[name] != known[name] for name in columns):
                changed.append({name: joined[name] for name in columns})
        _count(taken, table, transaction.append(table, _frame(table, added)))
        if changed:
            transaction.update_rows(table, _frame(table, changed, columns), on=[id_column, "object_hash"])


def _day_of(instant: datetime) -> datetime:
    return datetime.combine(instant.astimezone(UTC).date(), time.min, UTC)


def _joined(row: Row, other: Row) -> Row:
    """One telling that came twice: when and where it came first, and the day on which it came last."""
    first = min((row, other), key=lambda each: (each["fetched_at"], each["endpoint"]))
    return row | {
        "fetched_at": first["fetched_at"],
        "endpoint": first["endpoint"],
        "told_at": max(_day_of(row["told_at"]), _day_of(other["told_at"])),
    }


def _take_missing(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    missing: dict[tuple[str, str], tuple[datetime, int]] = {}
    for each in new:
        for key in each.reading.missing:
            told = (each.response.fetched_at, each.response.status)
            missing[key] = max(missing.get(key, told), told)
    ids = (object_id for _, object_id in missing)
    stored = {
        (row["kind"], row["object_id"]): (row["fetched_at"], row["status"])
        for row in _read_by(
            transaction, raw_api.MissingObjects, raw_api.MissingObjects.column_names(), "object_id", ids
        )
    }
    newer = {key: told for key, told in missing.items() if key not in stored or told > stored[key]}
    _replace_by_key(
        transaction,
        raw_api.MissingObjects,
        [
            {"kind": kind, "object_id": object_id, "fetched_at": at, "status": status}
            for (kind, object_id), (at, status) in newer.items()
        ],
    )
    _count(taken, raw_api.MissingObjects, len(newer.keys() - stored.keys()))


def _replace_by_key(transaction: Transaction, table: type[Table], rows: Sequence[Row]) -> None:
    if rows:
        frame = _frame(table, rows)
        transaction.delete_rows(table, frame.select(table.primary_key()))
        transaction.append(table, frame)


def _take_audio_features(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    told: dict[str, Row] = {}
    for each in _of(new, Endpoint.AUDIO_FEATURES):
        for row in each.reading.rows:
            row = row | {"source": "spotify", "fetched_at": each.response.fetched_at}
            known = told.get(row["track_id"], row)
            told[row["track_id"]] = max(known, row, key=_newest_features)
    columns = ["track_id", "fetched_at", "is_known"]
    stored = {
        row["track_id"]: row
        for row in _read_by(transaction, raw_api.AudioFeatures, columns, "track_id", told, "source = 'spotify'")
    }
    newer = {
        track_id: row
        for track_id, row in told.items()
        if track_id not in stored or _newest_features(row) > _newest_features(stored[track_id])
    }
    _replace_by_key(transaction, raw_api.AudioFeatures, list(newer.values()))
    _count(taken, raw_api.AudioFeatures, len(newer.keys() - stored.keys()))


def _newest_features(row: Row) -> tuple[datetime, bool]:
    return row["fetched_at"], row["is_known"]


def _take_artist_top_tracks(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    """Let the newest telling of an artist's top tracks in a market replace the earlier one."""
    Told = tuple[datetime, bool, tuple[str, ...]]
    lists: dict[tuple[str, str], tuple[Told, list[Row]]] = {}
    for each in _of(new, Endpoint.ARTIST_TOP_TRACKS, Endpoint.SEARCH):
        market = str(each.response.params.get("market", ""))
        of_artist: dict[str, list[Row]] = {}
        for row in each.reading.rows:
            row = row | {"market": market, "fetched_at": each.response.fetched_at}
            of_artist.setdefault(row["artist_id"], []).append(row)
        for artist_id, rows in of_artist.items():
            key = (artist_id, market)
            if key not in lists or _newest_list(rows) > lists[key][0]:
                lists[key] = (_newest_list(rows), rows)
    stored: dict[tuple[str, str], list[Row]] = {}
    columns = raw_api.ArtistTopTracks.column_names()
    ids = (artist_id for artist_id, _ in lists)
    for row in _read_by(transaction, raw_api.ArtistTopTracks, columns, "artist_id", ids):
        stored.setdefault((row["artist_id"], row["market"]), []).append(row)
    newer = {
        key: rows
        for key, (told, rows) in lists.items()
        if key not in stored or told > _newest_list(sorted(stored[key], key=lambda row: row["position"]))
    }
    if newer:
        keys = _frame(
            raw_api.ArtistTopTracks,
            [{"artist_id": artist_id, "market": market} for artist_id, market in newer],
            ["artist_id", "market"],
        )
        transaction.delete_rows(raw_api.ArtistTopTracks, keys)
        rows = [row for rows in newer.values() for row in rows]
        _count(
            taken,
            raw_api.ArtistTopTracks,
            transaction.append(raw_api.ArtistTopTracks, _frame(raw_api.ArtistTopTracks, rows)),
        )


def _newest_list(rows: Sequence[Row]) -> tuple[datetime, bool, tuple[str, ...]]:
    """What decides which of two tellings stands: the newer one, and Spotify's own ranking before a search."""
    return rows[0]["fetched_at"], not rows[0]["is_from_search"], tuple(row["track_id"] for row in rows)


# Lists that come in pages.


@dataclass(frozen=True)
class PagedList:
    """A list that is read in pages.

    Attributes:
        endpoint: Where it is read.
        listener: Whose token was used.
        names: What the params say of the list, beside offset and limit: a playlist's id, a time range.
        day: UTC date of the pages, for rankings of a day.
    """

    endpoint: str
    listener: str
    names: tuple[str, ...] = ()
    day: date | None = None


def _names(params: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(str(params.get(name, "")) for name in names)


def _list_of(listener: str, endpoint: str, params: Mapping[str, Any], fetched_at: datetime) -> PagedList:
    """The list to which a page belongs."""
    match endpoint:
        case Endpoint.TOP_ARTISTS | Endpoint.TOP_TRACKS:
            return PagedList(endpoint, listener, (str(params.get("time_range", "medium_term")),), fetched_at.date())
        case Endpoint.ARTIST_ALBUMS:
            return PagedList(endpoint, "", _names(params, "id", "include_groups", "market"))
        case Endpoint.PLAYLIST_ITEMS:
            return PagedList(endpoint, listener, _names(params, "id"))
    return PagedList(endpoint, listener)


def _lists_in(new: Sequence[_New], endpoint: Endpoint) -> list[PagedList]:
    return list(
        dict.fromkeys(
            _list_of(each.response.listener, endpoint, each.response.params, each.response.fetched_at)
            for each in _of(new, endpoint)
            if each.response.status == 200
        )
    )


class ListsOfPages:
    """The stored pages of an endpoint, and the lists that they make."""

    def __init__(self, transaction: Transaction, endpoint: Endpoint) -> None:
        self._transaction = transaction
        self._endpoint = endpoint
        columns = ["response_id", "listener", "params", "fetched_at", "body_hash"]
        where = "endpoint = ? AND status = 200 AND body_hash IS NOT NULL"
        stored = transaction.read(raw_api.ApiResponses, columns, where=where, parameters=(str(endpoint),))
        self._params: dict[int, Mapping[str, Any]] = {}
        self._pages: dict[PagedList, list[StoredPage]] = {}
        self._bodies: dict[int, Any] = {}
        for response_id, listener, params, fetched_at, body_hash in stored.iter_rows():
            told = json.loads(params)
            self._params[response_id] = told
            of_list = self._pages.setdefault(_list_of(listener, endpoint, told, fetched_at), [])
            of_list.append(StoredPage(response_id, fetched_at, offset_asked(told) or 0, body_hash))

    def body(self, response_id: int) -> Any:
        """The body of a page."""
        self.load([response_id])
        return self._bodies[response_id]

    def load(self, response_ids: Iterable[int]) -> None:
        """Read bodies that will be asked for, at once."""
        if missing := [response_id for response_id in response_ids if response_id not in self._bodies]:
            self._bodies |= bodies(self._transaction, missing)

    def newest(self, list_: PagedList, *, is_whole: bool) -> Pages | None:
        """The newest version of a list that can be put together.

        Args:
            is_whole: Only one of which every page is there; else as much as there is of the newest one.
        """
        for version in versions(self._pages.get(list_, ())):
            # A library of 10,000 tracks has 200 pages: each that comes must not have all before it read again.
            if is_whole and not may_be_complete(version, self._page_of):
                continue
            pages = put_together(version, self._page_of)
            if pages is not None and (pages.is_complete or not is_whole):
                return pages
        return None

    def needed(self) -> set[int]:
        """Responses from which the lists are put together, and those that wait for their other pages."""
        found: set[int] = set()
        for list_ in self._pages:
            for pages in (self.newest(list_, is_whole=False), self.newest(list_, is_whole=True)):
                found |= pages.response_ids() if pages else set()
        return found

    def told_in(self, list_: PagedList) -> list[StoredPage]:
        """Every page of a list, whatever version it is of."""
        return self._pages.get(list_, [])

    def rows(self, pages: Pages) -> list[Row]:
        """The rows that the pages tell."""
        self.load(page.response_id for page in pages.pages)
        return [row for page in pages.pages for row in self.rows_of(page)]

    def rows_of(self, page: StoredPage) -> list[Row]:
        """The rows that one page tells."""
        params, body = self._params[page.response_id], self.body(page.response_id)
        return read(Response("", self._endpoint, params, page.fetched_at, 200, body)).rows

    def _page_of(self, response_id: int) -> PageOf | None:
        return page_of(self._params[response_id], self.body(response_id))


def _replace_list(
    transaction: Transaction, table: type[Table], key: Mapping[str, Any], rows: Sequence[Row], taken: Taken
) -> None:
    """Let `rows` be all that a table has of a list."""
    stored = transaction.read(table, where=" AND ".join(f"{name} = ?" for name in key), parameters=tuple(key.values()))
    frame = _frame(table, [{**row, **key} for row in rows])
    by = table.primary_key()
    if frame.sort(by).equals(stored.sort(by)):
        return
    if stored.height:
        transaction.delete_rows(table, _frame(table, [key], list(key)))
    transaction.append(table, frame)
    _count(taken, table, frame.height)


def _take_top_lists(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    for endpoint, table in ((Endpoint.TOP_ARTISTS, raw_api.TopArtists), (Endpoint.TOP_TRACKS, raw_api.TopTracks)):
        if not (lists := _lists_in(new, endpoint)):
            continue
        stored = ListsOfPages(transaction, endpoint)
        for list_ in lists:
            if pages := stored.newest(list_, is_whole=False):
                rows = [{**row, "fetched_at": pages.fetched_at} for row in stored.rows(pages)]
                key = {"listener": list_.listener, "time_range": list_.names[0], "fetched_on": list_.day}
                _replace_list(transaction, table, key, rows, taken)


def _take_artist_albums(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    if not (lists := _lists_in(new, Endpoint.ARTIST_ALBUMS)):
        return
    stored = ListsOfPages(transaction, Endpoint.ARTIST_ALBUMS)
    for list_ in lists:
        artist_id, groups, market = list_.names
        if artist_id and (pages := stored.newest(list_, is_whole=False)):
            rows = [{**row, "fetched_at": pages.fetched_at} for row in stored.rows(pages)]
            key = {"artist_id": artist_id, "album_groups": groups, "market": market}
            _replace_list(transaction, raw_api.ArtistAlbums, key, rows, taken)


def _take_saved_tracks(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    if not (lists := _lists_in(new, Endpoint.SAVED_TRACKS)):
        return
    stored = ListsOfPages(transaction, Endpoint.SAVED_TRACKS)
    for list_ in lists:
        pages = stored.newest(list_, is_whole=True)
        rows = [{**row, "snapshot_at": pages.fetched_at} for row in stored.rows(pages)] if pages else []
        _replace_list(transaction, raw_api.SavedTracks, {"listener": list_.listener}, rows, taken)


def _take_playlists(transaction: Transaction, new: Sequence[_New], taken: Taken) -> None:
    """The playlists of a listener, and the entries of each; with the version that the entries are of."""
    asked = _of(new, Endpoint.PLAYLISTS, Endpoint.PLAYLIST_ITEMS)
    if not asked:
        return
    items = ListsOfPages(transaction, Endpoint.PLAYLIST_ITEMS)
    for list_ in _lists_in(new, Endpoint.PLAYLIST_ITEMS):
        if not list_.names[0]:
            continue
        pages = items.newest(list_, is_whole=True)
        rows = [{**row, "fetched_at": pages.fetched_at} for row in items.rows(pages)] if pages else []
        key = {"listener": list_.listener, "playlist_id": list_.names[0]}
        _replace_list(transaction, raw_api.PlaylistItems, key, rows, taken)
    lists = ListsOfPages(transaction, Endpoint.PLAYLISTS)
    for listener in dict.fromkeys(each.response.listener for each in asked):
        owned = {
            playlist_id: is_own
            for each in asked
            if each.response.listener == listener
            for playlist_id, is_own in each.owned.items()
        }
        _decide_playlists(transaction, listener, lists, owned, taken)


def _decide_playlists(
    transaction: Transaction,
    listener: str,
    lists: ListsOfPages,
    owned: Mapping[str, bool],
    taken: Taken,
) -> None:
    list_ = PagedList(Endpoint.PLAYLISTS, listener)
    pages = lists.newest(list_, is_whole=True)
    # What was learnt from responses that are not kept any more, or of which the owner was not kept.
    known = {
        row["playlist_id"]: row
        for row in transaction.read(
            raw_api.Playlists,
            ["playlist_id", "is_own", "items_snapshot_id", "is_readable"],
            where="listener = ?",
            parameters=(listener,),
        ).iter_rows(named=True)
    }
    items_read_at = dict(
        transaction.read(
            raw_api.PlaylistItems,
            ["playlist_id", "fetched_at"],
            where="listener = ?",
            parameters=(listener,),
            distinct=True,
        ).iter_rows()
    )
    told = _snapshots_told(lists, list_)
    readable = _readable(transaction, listener)
    rows: dict[str, Row] = {}
    for row in lists.rows(pages) if pages else []:
        playlist_id = row["playlist_id"]
        before = known.get(playlist_id, {})
        items_snapshot_id = None
        if read_at := items_read_at.get(playlist_id):
            instants = (each for each in told.get(playlist_id, ()) if each[0] <= read_at)
            items_snapshot_id = max(instants, default=(None, None))[1]
        rows.setdefault(
            playlist_id,
            {
                **row,
                "snapshot_at": pages.fetched_at,
                "items_snapshot_id": items_snapshot_id or before.get("items_snapshot_id"),
                "is_own": owned.get(playlist_id, before.get("is_own")),
                "is_readable": readable.get(playlist_id, before.get("is_readable")),
            },
        )
    _replace_list(transaction, raw_api.Playlists, {"listener": listener}, list(rows.values()), taken)


def _snapshots_told(lists: ListsOfPages, list_: PagedList) -> dict[str, list[tuple[datetime, str]]]:
    """When which version of a playlist was told, by playlist."""
    told: dict[str, list[tuple[datetime, str]]] = {}
    pages = lists.told_in(list_)
    lists.load(page.response_id for page in pages)
    for page in pages:
        for row in lists.rows_of(page):
            if row["spotify_snapshot_id"]:
                told.setdefault(row["playlist_id"], []).append((page.fetched_at, row["spotify_snapshot_id"]))
    return told


def _readable(transaction: Transaction, listener: str) -> dict[str, bool]:
    """Whether the entries of a playlist could be read when they were asked for last, by playlist."""
    asked = transaction.read(
        raw_api.ApiResponses,
        ["response_id", "params", "fetched_at", "status"],
        where="endpoint = ? AND listener = ? AND status IN (200, 403, 404)",
        parameters=(str(Endpoint.PLAYLIST_ITEMS), listener),
    ).sort("fetched_at", "response_id")
    return {
        str(json.loads(params).get("id", "")): status == 200
        for params, status in asked.select("params", "status").iter_rows()
    }
