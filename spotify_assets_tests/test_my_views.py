"""The views `my.*` of the published file: what people open first, and a star whose inner joins lose no play."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_assets.arrow import FrameStream, frame_of
from spotify_assets.lakehouse import Warehouse, connect, publish_if_changed, scan_table
from spotify_assets.lakehouse.definition import Catalog, set_up
from spotify_assets.lakehouse.views import view_query
from spotify_assets.schemas import Table, View, clean, my, tables, views
from spotify_assets.transforms.names import with_keys

NOW = datetime(2024, 5, 1, tzinfo=UTC)
STAR = {"track_sk": my.DimTrack, "artist_sk": my.DimArtist, "album_sk": my.DimAlbum}
JOINS = " ".join(f"JOIN {{{view.qualified_name()}}} USING ({key})" for key, view in STAR.items())
STAR_SUMS = (
    "SELECT count(*), sum(ms_played)::BIGINT, count(DISTINCT play_id) FROM {my.fact_plays} "
    f"{JOINS} JOIN {{my.dim_calendar}} AS calendar ON calendar.date = played_on"
)


def sums_of_star(connection: duckdb.DuckDBPyConnection) -> tuple[int, ...]:
    return connection.execute(STAR_SUMS.replace("{", "").replace("}", "")).fetchall()[0]


def sums_of_plays(connection: duckdb.DuckDBPyConnection) -> tuple[int, ...]:
    query = "SELECT count(*), sum(ms_played)::BIGINT, count(DISTINCT play_id) FROM clean.plays"
    return connection.execute(query).fetchall()[0]


@pytest.mark.parametrize("view", views(), ids=lambda view: view.layout.table)
def test_a_view_gives_what_it_declares(demo_home: Path, view: type[View]) -> None:
    frame = scan_table(demo_home, view.qualified_name()).collect()
    assert frame.schema == view.polars_schema()
    # Bounds, keys and where NULL may stand: nobody checks them when a view is read.
    view.validate(frame)


@pytest.mark.parametrize("view", views(), ids=lambda view: view.layout.table)
def test_a_view_names_the_tables_that_its_columns_come_from(view: type[View]) -> None:
    named = {source.rpartition(".")[0] for column in view.column_names() for source in view.sources_of(column)}
    assert named == {table.qualified_name() for table in view.inputs()}


def test_the_listening_history_begins_with_the_columns_that_were_promised_and_holds_every_play_of_a_track(
    demo_home: Path,
) -> None:
    promised = ["id", "track_uri", "track_name", "artist_name", "album_name", "played_at", "ms_played", "popularity"]
    assert my.ListeningHistory.column_names()[: len(promised)] == promised
    history = scan_table(demo_home, "my.listening_history").collect()
    plays = scan_table(demo_home, "clean.plays").filter(pl.col("content_type") == "track").collect()
    assert history["id"].sort().equals(plays["play_id"].sort(), check_names=False)
    assert history["ms_played"].sum() == plays["ms_played"].sum()
    podcasts = scan_table(demo_home, "my.podcast_history").collect()
    others = scan_table(demo_home, "clean.plays").filter(pl.col("content_type").is_in(["episode", "audiobook"]))
    assert podcasts.height == others.collect().height > 0


def test_there_are_features_of_each_played_track_once_even_where_another_uri_of_it_is_the_most_played(
    tmp_path: Path,
) -> None:
    plays = some_plays([("Song", "Band", "Album"), ("Song", "Band", "Album"), ("Other", "Band", None)])
    plays = plays.with_columns(track_uri=pl.Series(["spotify:track:1", "spotify:track:2", "spotify:track:3"]))
    known = pl.DataFrame({"track_uri": ["spotify:track:2"], "track_id": ["2"], "source": ["own"], "tempo": [120.0]})
    write(
        tmp_path,
        {clean.Plays: plays, clean.Tracks: tracks_of(plays), clean.TrackFeatures: filled(clean.TrackFeatures, known)},
    )
    rows = scan_table(tmp_path, "my.track_features").select("track_name", "tempo", "track_uri").collect()
    assert sorted(rows.rows()) == [("Other", None, "spotify:track:3"), ("Song", 120.0, "spotify:track:2")]


def test_inner_joins_of_the_star_lose_and_double_no_play(demo_home: Path) -> None:
    with connect(demo_home) as connection:
        assert sums_of_star(connection) == sums_of_plays(connection)
        hours = connection.execute(
            "SELECT artist_name, sum(ms_played)::BIGINT FROM my.fact_plays JOIN my.dim_artist USING (artist_sk) "
            "WHERE content_type = 'track' AND artist_sk <> 'none' GROUP BY 1 ORDER BY ALL"
        ).fetchall()
        daily = connection.execute(
            "SELECT artist.artist_name, sum(day.ms_played)::BIGINT FROM daily.artists AS day "
            "JOIN my.dim_artist AS artist USING (artist_key) GROUP BY 1 ORDER BY ALL"
        ).fetchall()
    assert hours == daily


def test_the_most_played_are_what_the_daily_tables_add_up_to(demo_home: Path) -> None:
    for kind in ("artist", "album", "track"):
        days = scan_table(demo_home, f"daily.{kind}s").group_by("listener", f"{kind}_key")
        expected = days.agg(pl.col("plays").sum(), hours_played=pl.col("ms_played").sum() / 3_600_000).collect()
        shown = scan_table(demo_home, f"my.most_played_{kind}s").select(expected.columns).collect()
        # Polars multiplies by the inverse of a number that it is to divide by.
        assert_frame_equal(shown, expected, check_row_order=False, rel_tol=1e-12)


def test_the_calendar_of_the_star_agrees_with_the_clean_one_and_holds_whole_years(demo_home: Path) -> None:
    known = scan_table(demo_home, "clean.calendar").collect()
    star = scan_table(demo_home, "my.dim_calendar").collect()
    shown = star.filter(pl.col("date").is_in(known["date"].implode())).select(known.columns)
    assert shown.sort("date").equals(known.sort("date"))
    first, last = star["date"].min(), star["date"].max()
    assert (first.month, first.day, last.month, last.day) == (1, 1, 12, 31)
    assert star.height == (last - first).days + 1


def test_the_file_with_its_views_opens_without_this_package(demo_home: Path) -> None:
    names = [view.qualified_name() for view in views()]
    program = f"""
import sys, duckdb
lakehouse = duckdb.connect({str(demo_home / "lakehouse.duckdb")!r}, read_only=True)
for name in {names}:
    assert len(lakehouse.execute(f"SELECT count(*) FROM (SELECT * FROM {{name}})").fetchall()) == 1
comments = "SELECT count(comment), count(*) FROM duckdb_columns() WHERE schema_name = 'my'"
told, columns = lakehouse.execute(comments).fetchall()[0]
assert told == columns > 0
assert not [module for module in sys.modules if module.startswith("spotify_assets")]
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def filled(table: type[Table], frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with all other columns of a table: NULL, or where that may not be what means nothing."""
    nothing = {pl.String: "", pl.Boolean: False, pl.Int64: 1, pl.Float64: 0.0, pl.Date: NOW.date()}
    missing = {
        name: pl.lit(None if column.nullable else nothing.get(type(column.dtype), NOW), dtype=column.dtype)
        for name, column in table.columns().items()
        if name not in frame.columns
    }
    return frame.with_columns(**missing).select(table.column_names()).cast(dict(table.polars_schema()))


def some_plays(names: list[tuple[str | None, str | None, str | None]]) -> pl.DataFrame:
    """A play for each (track, artist, album), an hour apart, of about a month each."""
    ends = [
        datetime(2023, 12, 1, tzinfo=UTC) + timedelta(days=number * 9, hours=number) for number in range(len(names))
    ]
    frame = pl.DataFrame(
        names, schema=dict.fromkeys(("track_name", "artist_name", "album_name"), pl.String), orient="row"
    )
    keyed = with_keys(frame.lazy()).collect()
    instants = dict.fromkeys(("started_at", "ended_at", "started_at_local", "ended_at_local"), ends)
    return filled(
        clean.Plays,
        keyed.with_columns(
            listener=pl.lit("me"),
            play_id=pl.int_range(pl.len()) * 7_777_777_777_777,
            played_on=pl.Series([end.date() for end in ends], dtype=pl.Date),
            content_type=pl.when(pl.col("track_key").is_null()).then(pl.lit("episode")).otherwise(pl.lit("track")),
            ms_played=pl.int_range(pl.len()) * 1000,
            **{
                name: pl.Series(values, dtype=pl.Datetime("us", "UTC")).dt.replace_time_zone(
                    "UTC" if "local" not in name else None
                )
                for name, values in instants.items()
            },
        ),
    )


def tracks_of(plays: pl.DataFrame) -> pl.DataFrame:
    of_track = (
        plays.drop_nulls("track_key")
        .group_by("track_key")
        .agg(pl.col("track_name", "artist_name", "album_name", "artist_key", "album_key", "track_uri").first())
    )
    return filled(clean.Tracks, of_track)


def catalogue_of(plays: pl.DataFrame) -> dict[type[Table], pl.DataFrame]:
    artists = plays.drop_nulls("artist_key").group_by("artist_key").agg(pl.col("artist_name").first())
    albums = plays.drop_nulls("album_key").group_by("album_key").agg(pl.col("album_name", "artist_key").first())
    dates = pl.DataFrame({"date": plays["played_on"].unique()})
    return {
        clean.Tracks: tracks_of(plays),
        clean.Artists: filled(clean.Artists, artists),
        clean.Albums: filled(clean.Albums, albums),
        clean.Calendar: filled(clean.Calendar, dates),
    }


def write(home: Path, frames: dict[type[Table], pl.DataFrame], now: datetime = NOW) -> None:
    """Write tables and publish them."""
    warehouse = Warehouse(home=str(home))
    with warehouse.transaction() as transaction:
        for table, frame in frames.items():
            transaction.replace(table, frame)
    publish_if_changed(warehouse, published_at=now, log=print)


@pytest.mark.parametrize(
    "table",
    [table for table in tables() if table.layout.schema == "clean" and any(table in view.inputs() for view in views())],
    ids=lambda table: table.layout.table,
)
def test_all_views_are_there_as_soon_as_any_table_of_theirs_is(tmp_path: Path, table: type[Table]) -> None:
    # A table by months that has none is no news; the coverage is, and no view looks at it.
    empty = {each: each.polars_schema().to_frame() for each in (table, clean.Coverage)}
    write(tmp_path, empty)
    with connect(tmp_path) as connection:
        for view in views():
            frame = frame_of(connection.sql(f"SELECT * FROM {view.qualified_name()}"))
            assert frame.schema == view.polars_schema()
        assert connection.execute("SELECT track_sk, track_name FROM my.dim_track").fetchall() == [("none", "(none)")]


def test_a_column_that_the_stored_table_does_not_have_yet_is_null(tmp_path: Path) -> None:
    plays = some_plays([("Song", "Band", "Album")])
    warehouse = Warehouse(home=str(tmp_path))
    with warehouse.transaction() as transaction:
        transaction.replace(clean.Plays, plays)
        transaction.replace(clean.Tracks, tracks_of(plays))
        transaction.execute("ALTER TABLE clean.tracks DROP COLUMN popularity")
    publish_if_changed(warehouse, published_at=NOW, log=print)
    assert scan_table(tmp_path, "my.listening_history").select("track_name", "popularity").collect().rows() == [
        ("Song", None)
    ]


def test_views_show_the_snapshot_that_they_stand_in(tmp_path: Path) -> None:
    plays = some_plays([("Song", "Band", "Album")])
    write(tmp_path, {clean.Plays: plays})
    with connect(tmp_path) as before:
        write(tmp_path, {clean.Plays: some_plays([("Song", "Band", "Album")] * 3)})
        with connect(tmp_path) as after:
            counts = [each.execute("SELECT count(*) FROM my.fact_plays").fetchall()[0][0] for each in (before, after)]
    assert counts == [1, 3]


names = st.none() | st.sampled_from(
    ["A", "a", "none", "(none)", "a / b", "A/B", "é", "É", "ＡＢ", "  ", "", "n/a", "🎵"]
)


@given(
    played=st.lists(st.tuples(names, names, names), max_size=12),
    known=st.sets(st.sampled_from([clean.Tracks, clean.Artists, clean.Albums, clean.Calendar])),
    catalogued=st.integers(0, 12),
)
@settings(max_examples=40, deadline=None)
def test_the_star_keeps_every_play_whatever_the_names_are_and_however_little_the_catalogue_knows(
    played: list[tuple[str | None, str | None, str | None]], known: set[type[Table]], catalogued: int
) -> None:
    plays = some_plays(played)
    # The catalogue may lag: it knows the first of the plays only.
    catalogue = catalogue_of(plays.head(catalogued))
    with duckdb.connect() as connection:
        set_up(connection)
        for schema in ("clean", "my"):
            connection.execute(f"CREATE SCHEMA {schema}").fetchall()
        for table in [clean.Plays, *sorted(known, key=lambda table: table.qualified_name())]:
            connection.register("incoming", FrameStream({clean.Plays: plays, **catalogue}[table]))
            connection.execute(f"CREATE TABLE {table.qualified_name()} AS SELECT * FROM incoming").fetchall()
            connection.unregister("incoming")
        catalog = Catalog(connection)
        for view in (my.FactPlays, my.DimCalendar, *STAR.values()):
            connection.execute(f"CREATE VIEW {view.qualified_name()} AS {view_query(view, catalog)}").fetchall()
        assert sums_of_star(connection) == sums_of_plays(connection)
        for view in (my.DimCalendar, *STAR.values()):
            view.validate(frame_of(connection.sql(f"SELECT * FROM {view.qualified_name()}")))


def test_a_view_that_cannot_be_made_is_told_of_and_keeps_nothing_from_being_published(tmp_path: Path) -> None:
    plays = some_plays([("Song", "Band", "Album")])
    warehouse = Warehouse(home=str(tmp_path))
    with warehouse.transaction() as transaction:
        transaction.replace(clean.Plays, plays)
        transaction.replace(clean.Tracks, tracks_of(plays))
        transaction.execute("ALTER TABLE clean.tracks ALTER length_ms TYPE STRUCT(minutes INTEGER) USING NULL")
    told: list[str] = []
    publish_if_changed(warehouse, published_at=NOW, log=told.append)
    assert {line.split()[2] for line in told} == {"my.dim_track", "my.track_features"}
    assert scan_table(tmp_path, "my.dim_album").collect().height == 2
    assert date(2023, 12, 1) in scan_table(tmp_path, "my.dim_calendar").collect()["date"]
