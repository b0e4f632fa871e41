from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_assets.assets.clean.deciding import Unbalanced, Update, update_plays
from spotify_assets.lakehouse import Warehouse, run_session
from spotify_assets.schemas import clean, meta, raw, raw_api
from spotify_assets.transforms import plays as transforms
from spotify_assets.transforms.stretches import earliest_change, start_for
from spotify_assets.transforms.zones import DatedZones, local_date
from spotify_assets_tests.transforms.history import (
    Lakehouse,
    Row,
    api_play,
    at,
    polls_frame,
    told_poll,
    track,
    uri,
    without_uri,
)
from spotify_assets_tests.transforms.long_histories import (
    LISTENERS,
    ZONES,
    Heard,
    heard,
    learned,
    tellings,
    told_rows,
    track_objects,
)


class Home:
    """A warehouse whose plays are brought up to date after each change, and what they must be."""

    def __init__(self, folder: Path, rows_per_stretch: int = 3) -> None:
        self.warehouse = Warehouse(home=str(folder))
        self.rows_per_stretch = rows_per_stretch
        self.zones: dict[str, DatedZones] = dict.fromkeys(LISTENERS, ZONES[0])
        self.session_gap_minutes = 30
        self.now = at(days=130)
        self.imports = 0
        self.tellings = tellings([])
        self.days = Lakehouse().days

    @property
    def history(self) -> pl.DataFrame:
        return self.warehouse.read(raw.StreamingHistory)

    def take(self, rows: list[Row], listener: str = "Ann") -> None:
        """Import one export."""
        lakehouse = Lakehouse(history=self.history)
        lakehouse.take(rows, listener=listener)
        with self.warehouse.transaction() as transaction:
            new = lakehouse.history.join(self.history, on="row_id", how="anti")
            transaction.append(raw.StreamingHistory, new)
            self.imports += 1
            transaction.append(
                raw.Imports, lakehouse.imports.with_columns(import_id=pl.lit(self.imports, dtype=pl.Int64))
            )

    def hear(self, heard: Heard, listener: str = "Ann") -> None:
        """Store what the Web API told."""
        lakehouse = Lakehouse(api=self.warehouse.read(raw_api.RecentlyPlayed))
        before = lakehouse.api
        lakehouse.hear(heard.plays, listener=listener)
        with self.warehouse.transaction() as transaction:
            transaction.append(raw_api.RecentlyPlayed, lakehouse.api.join(before, on="row_id", how="anti"))
            transaction.append(raw_api.Polls, polls_frame(heard.polls, listener=listener))

    def learn(self, told: list[tuple]) -> None:
        """Store what track objects tell."""
        with self.warehouse.transaction() as transaction:
            transaction.append(raw_api.Tracks, track_objects(told))
        self.tellings = pl.concat([self.tellings, tellings(told)])

    def forget_import(self, import_id: int) -> None:
        """As if an export had never been told of, but for its rows."""
        with self.warehouse.transaction() as transaction:
            transaction.delete_rows(raw.Imports, pl.DataFrame({"import_id": [import_id]}))

    def forget(self, row_ids: list[int]) -> None:
        with self.warehouse.transaction() as transaction:
            transaction.delete_rows(raw.StreamingHistory, pl.DataFrame({"row_id": row_ids}))

    def update(self) -> Update:
        with self.warehouse.transaction() as transaction:
            return update_plays(
                transaction,
                zones_of=self.zones.__getitem__,
                session_gap_minutes=self.session_gap_minutes,
                outage_minutes=120,
                now=self.now,
                rows_per_stretch=self.rows_per_stretch,
            )

    def update_and_compare(self) -> None:
        """Update, and compare with plays that are decided all at once and days that are told from no earlier ones."""
        update = self.update()
        history = self.history
        whole = Lakehouse(
            zones=self.zones,
            session_gap_minutes=self.session_gap_minutes,
            today={listener: local_date(self.now, zones) for listener, zones in self.zones.items()},
            history=history,
            imports=self.warehouse.read(raw.Imports),
            api=self.warehouse.read(raw_api.RecentlyPlayed),
            polls=self.warehouse.read(raw_api.Polls),
            facts=self.tellings,
        )
        whole.write()
        expected = {
            clean.Plays: whole.plays,
            clean.PlaySources: whole.sources,
            clean.Days: whole.days,
            clean.Coverage: whole.coverage(),
        }
        for table, rows in expected.items():
            keys = table.primary_key()
            assert_frame_equal(self.warehouse.read(table).sort(keys), rows.sort(keys))
        assert update.days_written == _changed(whole.days, self.days, "plays_hash")
        assert update.days_related == _changed(whole.days, self.days, "sources_hash")
        self.days = whole.days


def _changed(days: pl.DataFrame, before: pl.DataFrame, column: str) -> int:
    return transforms.changed_days(days.lazy(), before.lazy(), column).collect().height


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    with run_session(home.warehouse, purpose="test") as session, home.warehouse.get_connection():
        session.begin()
        yield home


def _steps(renames: bool) -> st.SearchStrategy[list[tuple]]:
    imports = st.tuples(st.just("take"), st.sampled_from(LISTENERS), told_rows(renames=renames))
    news = st.tuples(st.just("take"), st.sampled_from(LISTENERS), told_rows(renames=renames, is_late=True))
    hearing = st.tuples(st.just("hear"), st.sampled_from(LISTENERS), heard())
    hearing_news = st.tuples(st.just("hear"), st.sampled_from(LISTENERS), heard(is_late=True))
    learning = st.tuples(st.just("learn"), learned)
    step = st.one_of(
        imports,
        news,
        news,
        hearing,
        hearing_news,
        hearing_news,
        learning,
        learning,
        st.tuples(st.just("forget import"), st.integers(0, 9)),
        st.tuples(st.just("forget"), st.randoms(use_true_random=False)),
        st.tuples(st.just("forget"), st.randoms(use_true_random=False)),
        st.tuples(st.just("move"), st.sampled_from(ZONES)),
        st.tuples(st.just("gap"), st.sampled_from((30, 60))),
        st.tuples(st.just("wait"), st.sampled_from((at(days=10), at(days=131), at(days=160)))),
    )
    first = st.sampled_from(([], [0], [1], [0, 1])).flatmap(
        lambda chosen: st.tuples(*((imports, hearing)[i] for i in chosen))
    )
    return st.tuples(first, st.lists(step, min_size=3, max_size=5)).map(lambda steps: [*steps[0], *steps[1]])


@settings(
    max_examples=3,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.sampled_from((False, False, True)).flatmap(_steps), st.sampled_from((1, 4, 1000)))
def test_plays_brought_up_to_date_equal_plays_decided_at_once(steps, rows_per_stretch):
    with TemporaryDirectory() as folder, pl.Config() as config:
        config.set_engine_affinity("in-memory")
        home = Home(Path(folder), rows_per_stretch)
        with run_session(home.warehouse, purpose="test") as session, home.warehouse.get_connection():
            session.begin()
            for step in steps:
                _live(home, *step)
                home.update_and_compare()


# News of October are decided from this instant on.
_BEGUN = start_for(earliest_change(datetime(2021, 10, 1, tzinfo=UTC))).ended_from
_SECONDS = st.integers(-300, 300)


@settings(
    max_examples=3,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(_SECONDS, st.sampled_from((0, 200_000)), st.sampled_from((None, None, 0, 5))),
        min_size=2,
        max_size=6,
        unique_by=lambda told: told[0],
    ),
    st.lists(st.tuples(_SECONDS, st.sampled_from((0, 5))), min_size=2, max_size=6, unique=True),
)
def test_deciding_begins_where_no_play_of_the_api_is_parted_from_its_export(told, heard_at):
    exports = []
    for seconds, played, days in told:
        row = track(_BEGUN + timedelta(seconds=seconds), played)
        if days is not None:
            begun = int(row["ts"].timestamp()) - played // 1000
            row |= {"ts": row["ts"] + timedelta(days=days), "offline": True, "offline_timestamp": begun}
        exports.append(row)
    heard = [api_play(_BEGUN + timedelta(days=days, seconds=seconds + 0.3)) for seconds, days in heard_at]
    with TemporaryDirectory() as folder, pl.Config() as config:
        config.set_engine_affinity("in-memory")
        home = Home(Path(folder), 1000)
        with run_session(home.warehouse, purpose="test") as session, home.warehouse.get_connection():
            session.begin()
            home.take(exports)
            home.hear(Heard(heard, []))
            home.update_and_compare()
            home.take([track(at(days=110), name="News")])
            home.update_and_compare()


def _live(home: Home, what: str, value, rows=None) -> None:
    if what == "take":
        home.take(rows, value)
    elif what == "forget" and home.history.height:
        row_ids = home.history["row_id"].sort().to_list()
        latest = row_ids if value.random() < 0.5 else home.history.sort("ts")["row_id"].tail(4).to_list()
        home.forget(value.sample(latest, k=1 + len(latest) // 5))
    elif what == "hear":
        home.hear(rows, value)
    elif what == "learn":
        home.learn(value)
    elif what == "forget import" and home.imports:
        home.forget_import(1 + value % home.imports)
    elif what == "move":
        home.zones["Bob"] = value
    elif what == "gap":
        home.session_gap_minutes = value
    elif what == "wait":
        home.now = value


def _months(home: Home, table: str) -> dict[str, int]:
    changes = home.warehouse.read(meta.Changes).filter(table_name=table)
    return dict(changes.select("month", "sequence").iter_rows())


def test_a_new_day_leaves_the_other_months_as_they_were(home: Home) -> None:
    home.take([track(at(days=day), name=f"Song {day}") for day in range(0, 120, 4)])
    home.update_and_compare()
    before = _months(home, "clean.plays")
    home.take([track(at(days=121), name="Newest")])
    home.update_and_compare()
    after = _months(home, "clean.plays")
    assert [month for month in after if after[month] != before.get(month)] == ["2021-10"]


def test_without_news_nothing_is_written(home: Home) -> None:
    home.take([track(at(days=day)) for day in range(3)])
    home.update_and_compare()
    before = home.warehouse.read(meta.Changes).sort(pl.all())
    home.update_and_compare()
    assert_frame_equal(home.warehouse.read(meta.Changes).sort(pl.all()), before)


def test_a_length_that_becomes_known_corrects_the_scrobbles_of_years_ago(home: Home) -> None:
    home.take([track(at(0), 100_000, reason_end="endplay"), track(at(days=60), name="Other", reason_end="endplay")])
    home.update_and_compare()
    home.take([track(at(days=119), 190_000)])
    home.update_and_compare()
    (flag,) = home.warehouse.read(clean.Plays).filter(ended_at=at(0), track_name="Song")["is_scrobble"]
    assert flag is True


def test_an_artist_told_anew_by_an_old_name_decides_over_the_plays_of_years_ago(home: Home) -> None:
    told = {"track_uri": uri("song")}
    home.take([track(at(0), artist="Old", **told), track(at(days=1), artist="Old", **told)])
    home.take([track(at(0), artist="New", **told), track(at(days=2), artist="New", **told)])
    home.update_and_compare()
    assert home.warehouse.read(clean.Plays).filter(ended_at=at(0))["artist_name"].item() == "New"
    home.take([track(at(days=110), artist="Old", **told)])
    home.update_and_compare()
    assert home.warehouse.read(clean.Plays).filter(ended_at=at(0))["artist_name"].item() == "Old"


def test_a_home_without_history_has_no_plays(home: Home) -> None:
    home.update_and_compare()


def test_a_home_whose_history_was_forgotten_has_no_plays(home: Home) -> None:
    home.take([track(at(0)), track(at(days=100))])
    home.update_and_compare()
    home.forget([1, 2])
    home.update_and_compare()


def test_a_row_that_lost_its_play_tells_no_length(home: Home) -> None:
    home.take([without_uri(track(at(0), 190_000, reason_end="trackdone"))])
    home.take([track(at(0), 190_000, reason_end="fwdbtn"), track(at(days=1), 100_000, reason_end="endplay")])
    home.update_and_compare()
    (flag,) = home.warehouse.read(clean.Plays).filter(ended_at=at(days=1))["is_scrobble"]
    assert flag is None


def test_a_session_over_the_end_of_what_is_kept_changes_the_version_of_the_day_it_began(home: Home) -> None:
    # October's news are decided from the end of August on: one session lasts from before to after.
    home.take([track(at(hours=hours), 3_600_000, name="Night") for hours in range(24 * 60, 24 * 110)])
    home.update_and_compare()
    home.take([track(at(days=110), 3_600_000)])
    home.update_and_compare()


def _plays_of_api(home: Home, *columns: str) -> list[tuple]:
    return home.warehouse.read(clean.Plays).filter(source="api").sort("ended_at").select(columns).rows()


def test_an_export_that_covers_more_tells_that_plays_of_months_ago_are_unverified(home: Home) -> None:
    home.take([track(at(0), name="First")])
    home.hear(Heard([api_play(at(days=20), name="Other")], []))
    home.update_and_compare()
    assert _plays_of_api(home, "is_unverified") == [(False,)]
    home.take([track(at(0), name="First"), track(at(days=100), name="Last")])
    home.update_and_compare()
    assert _plays_of_api(home, "is_unverified") == [(True,)]
    home.forget_import(2)
    home.update_and_compare()
    assert _plays_of_api(home, "is_unverified") == [(False,)]


def test_a_response_taken_in_late_closes_a_gap_of_months_ago(home: Home) -> None:
    polls = [told_poll(at(1000 * minute), at(minute), at(minute)) for minute in (0, 60)]
    home.hear(Heard([api_play(at(0), name="A"), api_play(at(60)), api_play(at(days=100))], polls))
    home.update_and_compare()
    assert _plays_of_api(home, "ms_played")[1] == (200_000,)
    home.hear(Heard([], [told_poll(at(5000), at(-60), at(60))]))
    home.update_and_compare()
    assert _plays_of_api(home, "ms_played")[1] == (60_000,)


def test_a_recording_that_becomes_known_joins_plays_of_months_ago(home: Home) -> None:
    home.take([track(at(0)), track(at(days=100))])
    home.hear(Heard([api_play(at(0.5), name="Song (Mono)", track_uri=uri("mono"), isrc="ISRC1")], []))
    home.update_and_compare()
    assert _plays_of_api(home, "track_name") == [("Song (Mono)",)]
    home.learn([(uri("bandsong"), "ISRC1", None, 0)])
    home.update_and_compare()
    assert _plays_of_api(home, "track_name") == []


def test_a_length_that_becomes_known_is_that_of_plays_of_months_ago(home: Home) -> None:
    home.hear(Heard([api_play(at(0), None), api_play(at(days=100), name="Other")], []))
    home.update_and_compare()
    home.learn([(uri("bandsong"), None, 123_000, 0)])
    home.update_and_compare()
    assert _plays_of_api(home, "ms_played") == [(123_000,), (200_000,)]


def test_a_new_play_of_the_api_leaves_the_other_months_as_they_were(home: Home) -> None:
    home.take([track(at(days=day), name=f"Song {day}") for day in range(0, 100, 4)])
    home.hear(Heard([api_play(at(days=day), name=f"Song {day}") for day in range(0, 120, 4)], []))
    home.update_and_compare()
    before = _months(home, "clean.plays")
    home.hear(Heard([api_play(at(days=121), name="Newest")], []))
    home.learn([(uri("song"), "ISRC1", None, 0)])
    home.update_and_compare()
    after = _months(home, "clean.plays")
    assert [month for month in after if after[month] != before.get(month)] == ["2021-10"]


def test_a_poll_without_news_changes_no_day_but_for_its_completeness(home: Home) -> None:
    home.hear(Heard([api_play(at(0))], [told_poll(at(60), at(0), at(0))]))
    home.update_and_compare()
    before = home.warehouse.read(clean.Days)
    home.hear(Heard([], [told_poll(at(1900), at(0), at(0))]))
    home.update_and_compare()
    after = home.warehouse.read(clean.Days).join(before, on="played_on", suffix="_before")
    assert after.filter(pl.col("version") != pl.col("version_before")).is_empty()
    changed = after.filter(pl.col("completeness_version") != pl.col("completeness_version_before"))
    assert changed["played_on"].to_list() == [at(0).date()]


def test_plays_of_a_home_without_the_column_are_not_unverified(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with run_session(home.warehouse, purpose="test"):
        home.take([track(at(0)), track(at(days=100))])
        home.update_and_compare()
        with home.warehouse.transaction() as transaction:
            transaction.execute("ALTER TABLE clean.plays DROP COLUMN is_unverified")
    with run_session(home.warehouse, purpose="test"):
        home.take([track(at(days=101))])
        home.update_and_compare()


def test_plays_that_do_not_balance_are_not_written(home: Home) -> None:
    home.take([track(at(0)), track(at(days=1))])
    home.update_and_compare()
    with home.warehouse.transaction() as transaction:
        transaction.delete_rows(clean.PlaySources, pl.DataFrame({"source_row": [1]}))
    home.take([track(at(days=110))])
    with pytest.raises(Unbalanced, match="Nothing was written"):
        home.update()
    assert home.warehouse.read(clean.Plays).height == 2
