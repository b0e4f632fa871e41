"""The one normaliser of history rows: SQL for an in-memory DuckDB, whatever way the rows came.

Every value of a row is taken as text and cast in SQL, so that a number told as a string, `12.0` or an object in the
wrong place costs at most its own row and gets a reason. Three ways lead here:

- `proven`: DuckDB reads whole files whose rows all have exactly the keys of their first row. `json_transform_strict`
  refuses a missing or repeated key and the number of keys then leaves no room for an unknown one, so that nothing has
  to be parsed twice.
- `exact`: DuckDB reads whole files, each row is asked for unknown keys. For files that are not proven.
- `scanned`: rows that the tolerant reader (`damaged`) made out, for files that DuckDB refuses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from spotify_assets.exports.personal import PERSONAL_KEYS

EXTENDED_KEYS = {
    "ts": "ts",
    "ms_played": "ms_played",
    "master_metadata_track_name": "track_name",
    "master_metadata_album_artist_name": "artist_name",
    "master_metadata_album_album_name": "album_name",
    "spotify_track_uri": "track_uri",
    "episode_name": "episode_name",
    "episode_show_name": "show_name",
    "spotify_episode_uri": "episode_uri",
    "audiobook_title": "audiobook_name",
    "audiobook_uri": "audiobook_uri",
    "audiobook_chapter_title": "chapter_name",
    "audiobook_chapter_uri": "chapter_uri",
    "reason_start": "reason_start",
    "reason_end": "reason_end",
    "platform": "platform",
    "conn_country": "conn_country",
    "shuffle": "shuffle",
    "skipped": "skipped",
    "offline": "offline",
    "offline_timestamp": "offline_timestamp",
    "incognito_mode": "incognito_mode",
}
BASIC_KEYS = {
    "endTime": "ts",
    "msPlayed": "ms_played",
    "trackName": "track_name",
    "artistName": "artist_name",
    "podcastName": "show_name",
    "episodeName": "episode_name",
    "audiobookName": "audiobook_name",
    "chapterName": "chapter_name",
    "authorName": "author_name",
}
KEYS = {"extended": EXTENDED_KEYS, "basic": BASIC_KEYS}
"""Key of an export -> column, for each kind of history."""

_TEXTS = (
    *("track_name", "artist_name", "album_name", "track_uri", "episode_name", "show_name", "episode_uri"),
    *("audiobook_name", "author_name", "audiobook_uri", "chapter_name", "chapter_uri"),
    *("reason_start", "reason_end", "platform", "conn_country"),
)
_FLAGS = ("shuffle", "skipped", "offline", "incognito_mode")
_NAMES = (
    *("track_name", "artist_name", "album_name", "episode_name"),
    *("show_name", "audiobook_name", "author_name", "chapter_name"),
)
_URIS = ("track_uri", "episode_uri", "chapter_uri", "audiobook_uri")
_WORDS = (*_NAMES, *_URIS)
_CIRCUMSTANCES = ("reason_start", "reason_end", "platform", "conn_country", "shuffle", "offline", "incognito_mode")
"""What `context_hash` is about, beside the URIs. `skipped` and `offline_timestamp` are left out: Spotify writes null,
false, 0 or a time there by turns, which says nothing, and a row must have one hash whatever year it was exported in."""

EARLIEST_YEAR = 2006
"""Spotify was founded in 2006; an earlier `ts` is a broken clock."""
LONGEST_PLAY_MS = 86_400_000


def known_keys(kind: str) -> frozenset[str]:
    """Keys that are no news in a file of this kind: the told ones and the personal ones."""
    return frozenset((*KEYS[kind], *PERSONAL_KEYS))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _glob_free(path: Path) -> str:
    # `my_spotify_data[1]/…` would be read as a pattern and find another file.
    text = str(path.absolute())
    return _literal("".join(f"[{letter}]" if letter in "*?[" else letter for letter in text))


def _from_files(paths: Sequence[Path]) -> str:
    return (
        "(SELECT file_index::BIGINT AS part, NULL::BIGINT AS number, json "
        f"FROM read_json_objects([{', '.join(map(_glob_free, paths))}], format='array'))"
    )


def _structure(keys: Sequence[str]) -> str:
    return _literal(json.dumps(dict.fromkeys(keys, "VARCHAR")))


def proven_source(paths: Sequence[Path], keys: Sequence[str]) -> str:
    """Rows of files that all have the `keys`; fails in DuckDB when one is missing or repeated.

    `key_count` tells whether there are others.
    """
    return f"""
        SELECT part, number, json, json_transform_strict(json, {_structure(keys)}) AS said,
               len(json_keys(json)) AS key_count, true AS is_object, NULL::VARCHAR AS unknown
        FROM {_from_files(paths)}"""


def _exact(kind: str, source: str) -> str:
    known = ", ".join(_literal(key) for key in sorted(known_keys(kind)))
    # The unknown part of a row is itself a JSON object here; Python cleans it (`clean_unknown_keys`).
    return f"""
        SELECT part, number, json, is_object,
               json_transform(CASE WHEN is_object THEN json END, {_structure(list(KEYS[kind]))}) AS said,
               len(keys) AS key_count,
               CASE WHEN len(unknown_names) > 0 THEN '{{' || array_to_string([
                   to_json(name)::VARCHAR || ':' ||
                   coalesce(json_extract(json, '/' || replace(replace(name, '~', '~0'), '/', '~1'))::VARCHAR, 'null')
                   FOR name IN unknown_names], ',') || '}}' END AS unknown
        FROM (SELECT *, [name FOR name IN keys IF name NOT IN ({known})] AS unknown_names
              FROM (SELECT *, coalesce(json_type(json) = 'OBJECT', false) AS is_object,
                           CASE WHEN json_type(json) = 'OBJECT' THEN json_keys(json) END AS keys
                    FROM {source}))"""


def exact_source(kind: str, paths: Sequence[Path]) -> str:
    """Rows of files of which nothing is known but that DuckDB can parse them."""
    return _exact(kind, _from_files(paths))


def scanned_source(kind: str) -> str:
    """Rows of the view `scanned(part, number, json)`."""
    return _exact(kind, "scanned")


def keys_query(kind: str, source: str) -> str:
    """For each part the known keys that its rows have: `part`, `key`."""
    return f"""
        SELECT DISTINCT part, unnest(json_keys(json)) AS key FROM ({source}) WHERE is_object"""


def _instant(text: str) -> str:
    # DuckDB 1.5 cannot cast a zone that follows minutes, hence the inserted seconds.
    liberal = (
        rf"regexp_replace(regexp_replace(upper(trim({text})), ' *(UTC|GMT)$', 'Z'), "
        r"'^(\S{10}[ T]\d\d:\d\d)(Z|[+-].*)$', '\1:00\2')"
    )
    return (
        f"CASE WHEN strlen({text}) >= 16 THEN "
        f"coalesce(TRY_CAST({text} AS TIMESTAMPTZ), TRY_CAST({liberal} AS TIMESTAMPTZ)) END"
    )


def _flag(text: str) -> str:
    return (
        f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false WHEN '1' THEN true WHEN '0' THEN false "
        "WHEN '1.0' THEN true WHEN '0.0' THEN false END"
    )


def told_table(kind: str, source: str, available: Sequence[str], *, imported_at: datetime) -> str:
    """`CREATE TEMP TABLE told`: one row for each row of `source`, cast, with a reason where it is rejected.

    Args:
        kind: extended or basic.
        source: One of the sources above.
        available: Keys of the struct `said`.
        imported_at: When the import began; a later `ts` (by more than a day) is rejected.
    """
    key_of = {column: key for key, column in KEYS[kind].items() if key in available}

    def said(column: str) -> str:
        return f"said.{_identifier(key_of[column])}" if column in key_of else "NULL::VARCHAR"

    ts_key, ms_key = list(KEYS[kind])[:2]
    texts = ",\n".join(f"nullif({said(column)}, '') AS {column}" for column in _TEXTS)
    flags = ",\n".join(f"{_flag(said(column))} AS {column}" for column in _FLAGS)
    latest = f"TIMESTAMPTZ {_literal(imported_at.isoformat())} + INTERVAL 1 DAY"
    shown_ts = (
        r"CASE WHEN regexp_full_match(ts_text, '[0-9]{4}-[0-9T:.Zz+ -]{1,30}') THEN ' (' || ts_text || ')' ELSE '' END"
    )
    shown_ms = "CASE WHEN TRY_CAST(ms_text AS DOUBLE) IS NOT NULL THEN ' (' || ms_text[:40] || ')' ELSE '' END"
    return f"""
        CREATE OR REPLACE TEMP TABLE told AS
        WITH source AS ({source}),
        typed AS (
            SELECT part, number, json, key_count, unknown, is_object AND said IS NOT NULL AS is_object,
                   {said("ts")} AS ts_text, {said("ms_played")} AS ms_text,
                   {_instant(said("ts"))} AS ts,
                   TRY_CAST({said("ms_played")} AS BIGINT) AS ms_played,
                   {texts},
                   {flags},
                   TRY_CAST({said("offline_timestamp")} AS BIGINT) AS offline_timestamp
            FROM source),
        judged AS (
            SELECT *,
                CASE
                WHEN NOT is_object THEN 'The row is not an object but ' || CASE json_type(json)
                    WHEN 'ARRAY' THEN 'a list' WHEN 'NULL' THEN 'null' WHEN 'VARCHAR' THEN 'a text'
                    WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END || '.'
                WHEN coalesce(ts_text, '') = '' THEN '{ts_key} is missing.'
                WHEN ts IS NULL THEN '{ts_key} is not a date and time' || {shown_ts} || '.'
                WHEN coalesce(ms_text, '') = '' THEN '{ms_key} is missing.'
                WHEN ms_played IS NULL AND abs(TRY_CAST(ms_text AS DOUBLE)) >= 9e18 THEN
                    '{ms_key} does not fit into 64 bits' || {shown_ms} || '.'
                WHEN ms_played IS NULL THEN '{ms_key} is not a number.'
                END AS damage,
                CASE
                WHEN ms_played < 0 THEN '{ms_key} is negative (' || ms_played || ').'
                WHEN ms_played > {LONGEST_PLAY_MS} THEN '{ms_key} is longer than 24 hours (' || ms_played || ').'
                WHEN ts < TIMESTAMPTZ '{EARLIEST_YEAR}-01-01 00:00:00+00' THEN
                    '{ts_key} is before {EARLIEST_YEAR}, when there was no Spotify' || {shown_ts} || '.'
                WHEN ts > {latest} THEN
                    '{ts_key} is more than a day after the import' || {shown_ts} || '.'
                END AS defect
            FROM typed)
        SELECT part, number, key_count, unknown AS unknown_keys, ts, ms_played, {", ".join(_TEXTS)},
               {", ".join(_FLAGS)}, offline_timestamp,
               CASE WHEN regexp_full_match(track_uri, 'spotify:track:[0-9A-Za-z]{{22}}') THEN track_uri[15:] END
                   AS track_id,
               hash({", ".join(_WORDS)}) AS words_lookup, hash({", ".join(_CIRCUMSTANCES)}) AS circumstances_lookup,
               coalesce(damage, defect) AS reason, damage IS NOT NULL AS is_damage,
               CASE WHEN damage IS NOT NULL OR defect IS NOT NULL THEN json::VARCHAR END AS row_json
        FROM judged"""


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _hash(expression: str) -> str:
    """A stable signed 63-bit number of a text; NULL stays NULL."""
    return f"(md5_number_lower({expression}) >> 1)::BIGINT"


def _joined(columns: Sequence[str]) -> str:
    """One text of several columns in which no two fields can run together and NULL is not ''."""
    return " || ".join(f"coalesce(strlen({column}::VARCHAR) || ':' || {column}::VARCHAR, '-')" for column in columns)


def _folded(*columns: str) -> str:
    blank = "' ' || chr(9) || chr(10) || chr(13) || chr(160) || chr(12288)"
    return f"trim(nfc_normalize(lower(nfc_normalize(coalesce({', '.join(columns)})))), {blank})"


HASH_TABLES = (
    """
    CREATE TEMP TABLE wordings (words_lookup UBIGINT, uri_hash BIGINT, names_hash BIGINT, title_hash BIGINT,
        uris_hash BIGINT)""",
    "CREATE TEMP TABLE circumstances (circumstances_lookup UBIGINT, circumstances_hash BIGINT)",
)
"""The hashes of every wording and every circumstance that was seen so far, by DuckDB's own hash of it.

One track is played many times: to hash each of the distinct texts once takes a tenth of the time of hashing each
row's. DuckDB's own hash is quick, but another in every release, so that it never leaves this connection.
"""


def _first_of_each(lookup: str, known: str) -> str:
    return f"""
        SELECT * FROM told WHERE rowid IN (
            SELECT min(rowid) FROM told WHERE reason IS NULL GROUP BY {lookup}
            HAVING {lookup} NOT IN (SELECT {lookup} FROM {known}))"""


def extend_hash_tables() -> tuple[str, ...]:
    """Statements that add what `told` brought to `wordings` and `circumstances`."""
    creator = _folded("artist_name", "show_name", "audiobook_name")
    title = _folded("track_name", "episode_name", "chapter_name")
    return (
        f"""
        INSERT INTO wordings
        SELECT words_lookup,
               {_hash(f"coalesce({', '.join(_URIS)})")} AS uri_hash,
               CASE WHEN coalesce({", ".join(_NAMES)}) IS NOT NULL THEN {_hash(_joined(_NAMES))} END AS names_hash,
               CASE WHEN creator IS NOT NULL OR title IS NOT NULL
                   THEN {_hash(_joined(("creator", "title")))} END AS title_hash,
               {_hash("'uris ' || " + _joined(_URIS))} AS uris_hash
        FROM (SELECT *, {creator} AS creator, {title} AS title FROM ({_first_of_each("words_lookup", "wordings")}))""",
        f"""
        INSERT INTO circumstances
        SELECT circumstances_lookup, {_hash("'circumstances ' || " + _joined(_CIRCUMSTANCES))} AS circumstances_hash
        FROM ({_first_of_each("circumstances_lookup", "circumstances")})""",
    )


def accepted_query() -> str:
    """Accepted rows with their hashes; `position` is the place of the row in `told`. In no order."""
    told = [
        *("part", "number", "ts", "ms_played"),
        *("track_name", "artist_name", "album_name", "track_id", "track_uri", "episode_name", "show_name"),
        *("episode_uri", "audiobook_name", "author_name", "audiobook_uri", "chapter_name", "chapter_uri"),
        *("reason_start", "reason_end", "platform", "conn_country", "shuffle", "skipped", "offline"),
        *("offline_timestamp", "incognito_mode", "unknown_keys"),
    ]
    return f"""
        SELECT told.rowid AS position, {", ".join(f"told.{column}" for column in told)},
               uri_hash, names_hash, title_hash,
               xor(uris_hash, circumstances_hash) AS context_hash
        FROM told
        JOIN wordings USING (words_lookup)
        JOIN circumstances USING (circumstances_lookup)
        WHERE told.reason IS NULL"""


REJECTED_QUERY = """
    SELECT rowid AS position, part, number, reason, row_json, is_damage FROM told WHERE reason IS NOT NULL"""

PARTS_QUERY = """
    SELECT part, min(rowid) AS first_position, count(*) AS rows_in, max(key_count) AS most_keys,
           count(*) FILTER (key_count IS NULL) AS rows_without_keys
    FROM told GROUP BY part"""

FORGET = "DROP TABLE IF EXISTS told"
"""Frees the memory of a lot of files once its rows are fetched."""

UNKNOWN_QUERY = """
    SELECT part, unknown_keys, count(*) AS rows_told FROM told WHERE unknown_keys IS NOT NULL
    GROUP BY part, unknown_keys"""
