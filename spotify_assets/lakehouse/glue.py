"""The mirror in the AWS Glue Data Catalog: a database, and a table for every mirrored one. Takes a crawler's place.

What stands in Glue is compared with what the schemas declare and the mirror's manifest names, and only what differs is
written. Athena finds months by partition projection, without asking Glue for them; Spark and Redshift know nothing of
projection, so the partitions are registered too. Needs boto3, which is loaded when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from spotify_assets import aws
from spotify_assets.lakehouse.errors import GlueSyncFailed, MirrorError, NoMirror
from spotify_assets.lakehouse.glue_tables import (
    APPLICATION,
    MIRROR,
    OWNER,
    SCHEMA_VERSION,
    GlueTable,
    partition_input,
    table_input,
    wanted_tables,
)
from spotify_assets.lakehouse.mirror import MANIFEST_KEY, Manifest
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.schemas import tables
from spotify_assets.settings import BucketAddress, Settings, bucket_and_prefix

# What of a table's parameters is ours to set and to take away; others (Athena's, a person's) stay as they are.
_OWN_PARAMETERS = re.compile(
    rf"EXTERNAL|classification|{OWNER}|{APPLICATION}\..*|projection\..*|storage\.location\.template"
)

# Limits of the API (https://docs.aws.amazon.com/glue/latest/webapi/API_Operations.html).
_PARTITIONS_A_CALL = 100
_DELETED_PARTITIONS_A_CALL = 25

Action = Literal["create", "update", "remove"]


@dataclass(frozen=True)
class GlueChange:
    """One thing that differed: what is done, to what, and why."""

    action: Action
    what: str
    why: str


@dataclass(frozen=True)
class GlueReport:
    """What a sync found and did.

    Attributes:
        database: Glue's name of the database.
        location: Address of the mirror.
        tables: Tables that there are now.
        partitions: Registered months of all tables.
        changes: What was changed; in a dry run, what would be.
        is_dry_run: Whether nothing was written.
    """

    database: str
    location: str
    tables: int
    partitions: int
    changes: tuple[GlueChange, ...]
    is_dry_run: bool


@dataclass(frozen=True)
class _Step:
    change: GlueChange
    calls: list[tuple[str, dict[str, Any]]] = field(repr=False)


def sync_glue(settings: Settings, *, dry_run: bool = False, takes_over: bool = False) -> GlueReport:
    """Bring the Glue database of the settings up to the schemas and to the mirror in the bucket.

    Args:
        settings: Name the mirror, the database, and how AWS is reached.
        dry_run: Only tell what differs.
        takes_over: Also change and remove tables that the sync of another mirror made.

    Raises:
        GlueSyncFailed: What is in the way, what was done before, and what to do.
    """
    configuration = MirrorConfiguration.from_settings(settings)
    if not configuration.is_bucket:
        raise GlueSyncFailed(
            "Glue and Athena read from S3 alone, and this mirror is in a local folder "
            f"({settings.mirror or 'mirror/ in the home'}). Set SPOTIFY_ASSETS_MIRROR=s3://BUCKET/PREFIX, let a run "
            "finish, then sync again. Nothing was changed."
        )
    address = bucket_and_prefix(configuration.address)
    manifest = _read_manifest(settings, configuration, address)
    with _in_words("reaching Glue", address):
        client = aws.client(settings, "glue")
    return sync_tables(
        client,
        settings.glue_database,
        address,
        wanted_tables(manifest, tables()),
        dry_run=dry_run,
        takes_over=takes_over,
    )


def sync_tables(
    client: Any,
    database: str,
    address: BucketAddress,
    wanted: list[GlueTable],
    *,
    dry_run: bool = False,
    takes_over: bool = False,
) -> GlueReport:
    """Bring a Glue database up to these tables; the arguments and errors of `sync_glue`.

    Everything is read and compared before the first write. Tables that no sync made are never touched.

    Args:
        client: boto3's client for Glue.
        database: Name of the database, made when it is missing.
        address: Where the mirror is.
        wanted: What is to be there.
    """
    with _in_words("reading the Glue database", address):
        stored_database = _stored_database(client, database)
        stored = _stored_tables(client, database) if stored_database is not None else {}
    _refuse_foreign(database, address, wanted, stored, takes_over)
    steps = _database_steps(database, address, stored_database)
    for table in wanted:
        of_table = stored.get(table.name)
        with _in_words(f"reading the partitions of {table.name}", address):
            partitions = _stored_partitions(client, database, table.name) if of_table and table.is_monthly else {}
        steps += _table_steps(database, address, table, of_table, partitions)
    names = {table.name for table in wanted}
    for name, table in stored.items():
        if name not in names and _is_own(table, address, takes_over):
            change = GlueChange("remove", f"table {name}", "neither declared nor in the mirror; its files stay")
            steps.append(_Step(change, [("delete_table", {"DatabaseName": database, "Name": name})]))
    if not dry_run:
        _apply(client, steps, address)
    return GlueReport(
        database=database,
        location=address.root,
        tables=len(wanted),
        partitions=sum(len(table.months) for table in wanted),
        changes=tuple(step.change for step in steps),
        is_dry_run=dry_run,
    )


def _read_manifest(settings: Settings, configuration: MirrorConfiguration, address: BucketAddress) -> Manifest:
    # Loads boto3.
    from spotify_assets.lakehouse.mirror_reading import open_mirror

    try:
        return open_mirror(configuration, settings.paths).version().manifest
    except NoMirror:
        raise GlueSyncFailed(
            f"{address.root} has no {MANIFEST_KEY}: nothing was mirrored there yet, or SPOTIFY_ASSETS_MIRROR names "
            "another folder. Let a run finish, then sync again. Nothing was changed."
        ) from None
    except MirrorError as error:
        raise GlueSyncFailed(f"Glue was not brought up to date: {error}. Nothing was changed.") from None


def _stored_database(client: Any, database: str) -> dict[str, Any] | None:
    try:
        return client.get_database(Name=database)["Database"]
    except client.exceptions.EntityNotFoundException:
        return None


def _stored_tables(client: Any, database: str) -> dict[str, dict[str, Any]]:
    pages = client.get_paginator("get_tables").paginate(DatabaseName=database)
    return {table["Name"]: table for page in pages for table in page["TableList"]}


def _stored_partitions(client: Any, database: str, table: str) -> dict[str, dict[str, Any]]:
    pages = client.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table)
    return {"/".join(each["Values"]): each for page in pages for each in page["Partitions"]}


def _is_own(stored: dict[str, Any], address: BucketAddress, takes_over: bool) -> bool:
    parameters = stored.get("Parameters") or {}
    return parameters.get(OWNER) == APPLICATION and (takes_over or parameters.get(MIRROR) == address.root)


def _refuse_foreign(
    database: str,
    address: BucketAddress,
    wanted: list[GlueTable],
    stored: dict[str, dict[str, Any]],
    takes_over: bool,
) -> None:
    foreign = [
        stored[table.name]
        for table in wanted
        if table.name in stored and not _is_own(stored[table.name], address, takes_over)
    ]
    if not foreign:
        return
    names = ", ".join(table["Name"] for table in foreign)
    mirrors = {(table.get("Parameters") or {}).get(MIRROR, "") for table in foreign if _is_own(table, address, True)}
    if mirrors:
        advice = (
            f"They were made for the mirror {', '.join(sorted(mirrors))}. If it moved, sync with --take-over; if it is "
            "somebody else's, set SPOTIFY_ASSETS_GLUE_DATABASE to a database of your own."
        )
    else:
        advice = "Set SPOTIFY_ASSETS_GLUE_DATABASE to another database, or remove them by hand."
    raise GlueSyncFailed(
        f"The Glue database {database} has tables of these names that are not of this mirror ({address.root}): "
        f"{names}. {advice} Nothing was changed."
    )


def _database_steps(database: str, address: BucketAddress, stored: dict[str, Any] | None) -> list[_Step]:
    wanted = {
        "Name": database,
        "Description": f"Tables of the mirror {address.root}, kept up to date by spotify-assets glue sync.",
        "LocationUri": f"{address.root}/",
        "Parameters": {OWNER: APPLICATION},
    }
    if stored is None:
        call = ("create_database", {"DatabaseInput": wanted})
        return [_Step(GlueChange("create", f"database {database}", "there was none"), [call])]
    is_own = (stored.get("Parameters") or {}).get(OWNER) == APPLICATION
    changed = [name for name in ("Description", "LocationUri") if stored.get(name) != wanted[name]]
    # One that a person or a template made is described by them.
    if not is_own or not changed:
        return []
    call = ("update_database", {"Name": database, "DatabaseInput": wanted})
    return [_Step(GlueChange("update", f"database {database}", "description or location"), [call])]


def _table_steps(
    database: str,
    address: BucketAddress,
    table: GlueTable,
    stored: dict[str, Any] | None,
    partitions: dict[str, dict[str, Any]],
) -> list[_Step]:
    wanted = table_input(table, address)
    steps = []
    what = f"table {table.name}"
    if stored is None:
        change = GlueChange("create", what, f"{len(table.columns)} columns")
        steps.append(_Step(change, [("create_table", {"DatabaseName": database, "TableInput": wanted})]))
    elif [key["Name"] for key in stored.get("PartitionKeys") or []] != [key["Name"] for key in wanted["PartitionKeys"]]:
        # The partitions of a table that gets or loses its months would have no values, or values without a key.
        delete = ("delete_table", {"DatabaseName": database, "Name": table.name})
        create = ("create_table", {"DatabaseName": database, "TableInput": wanted})
        steps.append(_Step(GlueChange("update", what, "made anew: its months came or went"), [delete, create]))
        partitions = {}
    elif differences := _differences(stored, wanted):
        kept = {
            name: value
            for name, value in (stored.get("Parameters") or {}).items()
            if not _OWN_PARAMETERS.fullmatch(name)
        }
        changed = {**wanted, "Parameters": {**kept, **wanted["Parameters"]}}
        # A version of the table for each sync is of no use to anybody, and Glue keeps a limited number.
        call = ("update_table", {"DatabaseName": database, "TableInput": changed, "SkipArchive": True})
        steps.append(_Step(GlueChange("update", what, "; ".join(differences)), [call]))
    if table.is_monthly:
        steps += _partition_steps(database, address, table, partitions)
    return steps


def _partition_steps(
    database: str, address: BucketAddress, table: GlueTable, stored: dict[str, dict[str, Any]]
) -> list[_Step]:
    wanted = {month: partition_input(table, month, address) for month in table.months}
    where = {"DatabaseName": database, "TableName": table.name}
    new = [month for month in wanted if month not in stored]
    changed = [
        month
        for month, each in wanted.items()
        if month in stored and _storage(each["StorageDescriptor"]) != _storage(stored[month]["StorageDescriptor"])
    ]
    gone = [month for month in stored if month not in wanted]
    steps = []
    if new:
        calls = [
            ("batch_create_partition", {**where, "PartitionInputList": [wanted[month] for month in lot]})
            for lot in _lots(new, _PARTITIONS_A_CALL)
        ]
        steps.append(_Step(_months_change("create", table, new), calls))
    if changed:
        calls = [
            (
                "batch_update_partition",
                {**where, "Entries": [{"PartitionValueList": [m], "PartitionInput": wanted[m]} for m in lot]},
            )
            for lot in _lots(changed, _PARTITIONS_A_CALL)
        ]
        steps.append(_Step(_months_change("update", table, changed), calls))
    if gone:
        calls = [
            ("batch_delete_partition", {**where, "PartitionsToDelete": [{"Values": m.split("/")} for m in lot]})
            for lot in _lots(gone, _DELETED_PARTITIONS_A_CALL)
        ]
        steps.append(_Step(_months_change("remove", table, gone), calls))
    return steps


def _months_change(action: Action, table: GlueTable, months: list[str]) -> GlueChange:
    span = months[0] if len(months) == 1 else f"{min(months)} … {max(months)}"
    return GlueChange(action, f"partitions of {table.name}", f"{len(months)}: {span}")


def _lots(values: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _columns_of(columns: Iterable[dict[str, Any]] | None) -> dict[str, tuple[str, str]]:
    return {column["Name"]: (column.get("Type", ""), column.get("Comment", "")) for column in columns or ()}


def _storage(descriptor: dict[str, Any]) -> tuple[Any, ...]:
    """What of a storage descriptor is ours to set; Glue adds defaults to the rest."""
    serde = descriptor.get("SerdeInfo") or {}
    return (
        list(_columns_of(descriptor.get("Columns")).items()),
        descriptor.get("Location"),
        descriptor.get("InputFormat"),
        descriptor.get("OutputFormat"),
        serde.get("SerializationLibrary"),
        serde.get("Parameters"),
    )


def _differences(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What of a stored table is not as wanted, in words; empty when all is."""
    old, new = stored.get("StorageDescriptor") or {}, wanted["StorageDescriptor"]
    before, after = _columns_of(old.get("Columns")), _columns_of(new["Columns"])
    told: list[tuple[str, list[str]]] = [
        ("new", [name for name in after if name not in before]),
        ("gone", [name for name in before if name not in after]),
        ("of another type", [name for name in after if name in before and before[name][0] != after[name][0]]),
        ("commented anew", [name for name in after if name in before and before[name][1] != after[name][1]]),
    ]
    differences = [f"{what}: {', '.join(names)}" for what, names in told if names]
    if not differences and list(before) != list(after):
        differences.append("order of the columns")
    if _columns_of(stored.get("PartitionKeys")) != _columns_of(wanted["PartitionKeys"]):
        differences.append("partition key")
    if (stored.get("Description") or "") != wanted["Description"]:
        differences.append("description")
    if _storage(old)[1:] != _storage(new)[1:] or stored.get("TableType") != wanted["TableType"]:
        differences.append("location or format")
    own = {name: value for name, value in (stored.get("Parameters") or {}).items() if _OWN_PARAMETERS.fullmatch(name)}
    names = sorted(name for name in {*own, *wanted["Parameters"]} if own.get(name) != wanted["Parameters"].get(name))
    # Its change is told by what the version stands for.
    names = [name for name in names if name != SCHEMA_VERSION or not differences]
    if names:
        differences.append(f"parameters: {', '.join(names)}")
    return differences


def _apply(client: Any, steps: list[_Step], address: BucketAddress) -> None:
    for number, step in enumerate(steps):
        kept = f"{number} of {len(steps)} changes are made" if number else "Nothing was changed"
        with _in_words(f"{step.change.action} {step.change.what}", address, kept=kept):
            for operation, arguments in step.calls:
                answer = getattr(client, operation)(**arguments)
                if errors := answer.get("Errors"):
                    codes = {str((error.get("ErrorDetail") or {}).get("ErrorCode")) for error in errors}
                    raise GlueSyncFailed(
                        f"AWS left out {len(errors)} of the {step.change.what}: {', '.join(sorted(codes))}. {kept}; "
                        "another sync may be at work. Run it again."
                    )


def _in_words(doing: str, address: BucketAddress, *, kept: str = "Nothing was changed") -> AbstractContextManager[None]:
    return aws.in_words(
        lambda reason: GlueSyncFailed(f"Glue was not brought up to date: {reason} (while {doing}). {kept}."),
        bucket=address.bucket,
    )
