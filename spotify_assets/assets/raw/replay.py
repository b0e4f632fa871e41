"""raw.api_responses and raw.rejected_items: what is kept of Spotify's answers, how long, and recordings of them."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from spotify_assets import progress
from spotify_assets.assets.raw.asking import asking_spec
from spotify_assets.assets.raw.responses import ListsOfPages, Taken, take_responses
from spotify_assets.assets.table_asset import asset_key
from spotify_assets.clock import Clock
from spotify_assets.lakehouse import Transaction, Warehouse
from spotify_assets.listeners import Household, HouseholdError
from spotify_assets.schemas import raw_api
from spotify_assets.spotify.model import Endpoint, Response

TABLES = (raw_api.ApiResponses, raw_api.RejectedItems)

_LINES_PER_LOT = 200
_PROBLEMS_KEPT = 200
_EARLIEST = datetime(2011, 1, 1, tzinfo=UTC)
_PAGED = (Endpoint.SAVED_TRACKS, Endpoint.PLAYLISTS, Endpoint.PLAYLIST_ITEMS)
"""Lists that exist as long as their pages do: those are kept however old they are."""


class ReplayConfig(dg.Config):
    """Recordings to take in."""

    paths: list[str] = Field(
        default=[],
        description="Files of recorded responses, absolute: JSON Lines with listener, endpoint, params, fetched_at, "
        "status and body; .gz as well. None: nothing is read.",
    )


@dataclass
class ReplayReport:
    """What a replay did.

    Attributes:
        taken: What came of the responses.
        files: How many files could be read.
        problems: What a person must know: file, message, and whether something was left out for it.
        problems_left_out: How many more problems there were.
    """

    taken: Taken = field(default_factory=Taken)
    files: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)
    problems_left_out: int = 0

    def complain(self, path: Path, message: str) -> None:
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append({"file": path.name, "message": message, "is_damage": True})
        else:
            self.problems_left_out += 1

    def metadata(self) -> dict[str, Any]:
        """The report as metadata of a materialization: counts and names of files, nothing that a person heard."""
        return {
            "files": self.files,
            "responses": self.taken.responses,
            "responses_new": self.taken.responses_new,
            "items": self.taken.items,
            "rows_new": dg.MetadataValue.json(self.taken.rows_new),
            "rejected_by_reason": dg.MetadataValue.json(self.taken.rejected),
            "problems": dg.MetadataValue.json(self.problems),
            "problems_left_out": self.problems_left_out,
        }


def build_responses_asset(*, household: Household, days_kept: int) -> dg.AssetsDefinition:
    """The asset of the stored responses; its step replays recordings, else removes what is older than `days_kept`."""

    @dg.multi_asset(
        name="api_responses",
        # After all that ask: what they brought is counted, and what has aged goes.
        specs=[asking_spec(table, deps=(raw_api.ApiQuota,)) for table in TABLES],
    )
    def api_responses(config: ReplayConfig, warehouse: Warehouse, clock: Clock):
        metadata: dict[str, Any] = {}
        if config.paths:
            report = replay(warehouse, [Path(path) for path in config.paths], household, clock.now())
            metadata = report.metadata()
        else:
            with warehouse.appending() as transaction:
                metadata["responses_removed"] = forget_responses(transaction, clock.now() - timedelta(days=days_kept))
        stored = warehouse.counts(TABLES)
        for table in TABLES:
            yield dg.MaterializeResult(
                asset_key=asset_key(table),
                metadata={"dagster/row_count": stored[table], **(metadata if table is TABLES[0] else {})},
            )

    return api_responses


def replay(warehouse: Warehouse, paths: list[Path], household: Household, now: datetime) -> ReplayReport:
    """Take in recorded responses as if Spotify had just given them, some hundred at a time.

    A line that is no response is left out and told of with its number; the rest of its file is taken in.
    """
    report = ReplayReport()
    sizes = {path: path.stat().st_size if path.exists() else 0 for path in paths}
    done = 0
    for path in paths:
        lot: list[Response] = []
        try:
            for number, line, read_bytes in _lines(path):
                progress.report("Replaying responses", done + read_bytes, sum(sizes.values()))
                try:
                    lot.append(_checked(line, household, now))
                except (ValueError, RecursionError) as error:
                    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
                    report.complain(path, f"Line {number} was left out: {reason}.")
                if len(lot) >= _LINES_PER_LOT:
                    _take(warehouse, lot, report)
            report.files += 1
        except (OSError, EOFError, gzip.BadGzipFile) as error:
            told = getattr(error, "strerror", None) or "it is damaged or cut"
            report.complain(path, f"It could not be read to its end: {told}. What came before that is kept.")
        _take(warehouse, lot, report)
        done += sizes[path]
    return report


def _take(warehouse: Warehouse, lot: list[Response], report: ReplayReport) -> None:
    if lot:
        with warehouse.appending() as transaction:
            report.taken.add(take_responses(transaction, lot))
        lot.clear()


def _lines(path: Path) -> Iterator[tuple[int, str, int]]:
    """Number and text of every line that is not empty, and how many bytes of the file were read by then."""
    with path.open("rb") as stored, gzip.open(stored) if path.suffix == ".gz" else stored as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8", "replace"), stored.tell()


def _checked(line: str, household: Household, now: datetime) -> Response:
    """The response of a line.

    Raises:
        ValueError: It is none, or none that can be taken in; the message says why.
    """
    response = Response.from_json(line)
    if response.endpoint not in set(Endpoint):
        raise ValueError(f"{response.endpoint!r} is none of the endpoints that are read")
    if not 100 <= response.status <= 599:
        raise ValueError(f"'status' is no HTTP status: {response.status}")
    if not _EARLIEST <= response.fetched_at <= now + timedelta(days=1):
        raise ValueError(
            f"'fetched_at' lies before the Web API began, or in the future: {response.fetched_at:%Y-%m-%d}"
        )
    if response.listener:
        try:
            household.check(response.listener)
        except HouseholdError:
            raise ValueError(f"{household.file.name} does not name its listener") from None
    return response


def forget_responses(transaction: Transaction, before: datetime) -> int:
    """Remove stored responses that came before an instant, but not what a list still rests on; returns how many.

    Everything else was read from them when they came. A body that a newer response shares goes over to that.
    """
    columns = ["response_id", "endpoint", "fetched_at", "same_body_as"]
    old = transaction.read(raw_api.ApiResponses, columns, where="fetched_at < ?", parameters=(before,))
    needed: set[int] = set()
    for endpoint in _PAGED:
        if endpoint in set(old["endpoint"]):
            needed |= ListsOfPages(transaction, endpoint).needed()
    gone = old.filter(~pl.col("response_id").is_in(list(needed)))
    if gone.is_empty():
        return 0
    _hand_over_bodies(transaction, gone["response_id"].to_list())
    return transaction.delete_rows(raw_api.ApiResponses, gone.select("response_id"))


def _hand_over_bodies(transaction: Transaction, gone: list[int]) -> None:
    """Give the bodies of responses that go to the earliest of those that share them and stay."""
    sharing = transaction.read(
        raw_api.ApiResponses,
        ["response_id", "fetched_at", "same_body_as"],
        where="same_body_as IN (SELECT unnest(?)) AND response_id NOT IN (SELECT unnest(?))",
        parameters=(gone, gone),
    ).sort("fetched_at", "response_id")
    heirs = dict(sharing.unique("same_body_as", keep="first").select("same_body_as", "response_id").iter_rows())
    if not heirs:
        return
    bodies = transaction.read(
        raw_api.ApiResponses,
        ["response_id", "body"],
        where="response_id IN (SELECT unnest(?))",
        parameters=(list(heirs),),
    )
    texts = dict(bodies.iter_rows())
    schema = raw_api.ApiResponses.polars_schema()
    rows = [
        {
            "response_id": response_id,
            "body": texts[holder] if heirs[holder] == response_id else None,
            "same_body_as": None if heirs[holder] == response_id else heirs[holder],
        }
        for response_id, holder in sharing.select("response_id", "same_body_as").iter_rows()
    ]
    names = ("response_id", "body", "same_body_as")
    frame = pl.DataFrame(rows, schema={name: schema[name] for name in names})
    transaction.update_rows(raw_api.ApiResponses, frame, on=["response_id"])
