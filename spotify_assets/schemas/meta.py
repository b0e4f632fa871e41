"""What the lakehouse knows about itself: which day versions were read, what changed, what was published.

These tables are written by the lakehouse, never by an asset, and tell nothing about what a person heard. The mirror
holds them too, in its manifest what changed, for a lakehouse that is restored from it goes on where the lost one ended.
"""

from __future__ import annotations

from spotify_assets.schemas.table import Layout, Table, count, day, instant, text, whole_number, yes_or_no


class DayVersions(Table):
    """For each daily table and day: the version of clean.days and the code that its rows were made from."""

    layout = Layout("meta", "day_versions", month_column="played_on", sort=("table_name", "listener", "played_on"))

    table_name = text("schema.table of the daily table.", key=True)
    listener = text("Whose day it is.", key=True)
    played_on = day("Local date.", key=True)
    version = text("clean.days.version that was read.")
    code_version = text("Version of the asset's code and settings.")


class Changes(Table):
    """The number of the last transaction that changed a month of a table; the mirror rewrites what is newer."""

    layout = Layout("meta", "changes", mirrored=False, sort=("table_name", "month"))

    table_name = text("schema.table.", key=True)
    month = text("YYYY-MM, or empty for tables that are mirrored as one file.", key=True)
    sequence = whole_number("Number of the change, rising.", minimum=1)


class Decided(Table):
    """What the rows of a table that is brought up to date in parts were last decided from."""

    layout = Layout("meta", "decided", sort=("table_name",))

    table_name = text("schema.table.", key=True)
    sequence = count("Number of the newest change of the source table that was seen (`meta.changes`).")
    rules = text("Hash over the settings and the code that ruled the rows: with another one all are decided anew.")
    is_whole = yes_or_no("A row depends on others at any distance: every change means to decide all rows anew.")


class TrackFacts(Table):
    """What was known of tracks when clean.plays was decided last, so that the plays of what became known since can be
    found.
    """

    layout = Layout("meta", "track_facts", sort=("track_id",))

    track_id = text("Spotify id.", key=True)
    isrc = text("International Standard Recording Code, in capitals, without hyphens.", nullable=True)
    duration_ms = whole_number("Length of the track, in milliseconds.", nullable=True, minimum=0)


class SessionDays(Table):
    """For each day the plays of sessions that began on another day, whose version of clean.days they are part of."""

    layout = Layout(
        "meta", "session_days", month_column="played_on", sort=("listener", "played_on", "session_started_on")
    )

    listener = text("Whose day it is.", key=True)
    played_on = day("Local date of the plays.", key=True)
    session_started_on = day("Local date on which their session began.", key=True)
    plays_hash = text("Hash over the plays.")


class Published(Table):
    """What the published file holds: one row for each table."""

    layout = Layout("meta", "published", mirrored=False, sort=("table_name",))

    table_name = text("schema.table.", key=True)
    sequence = whole_number("Number of the snapshot, rising.", minimum=1)
    published_at = instant("When the snapshot was made.")
    rows = count("Rows of the table.")
    first_day = day("Earliest day with rows, for tables by day.", nullable=True)
    last_day = day("Latest day with rows, for tables by day.", nullable=True)
    lagging_days = count("Days of a daily table whose rows are older than clean.days.")
