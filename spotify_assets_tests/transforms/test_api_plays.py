from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_assets.schemas import clean
from spotify_assets.transforms import api_plays
from spotify_assets_tests.transforms.history import (
    NOON,
    Lakehouse,
    Row,
    api_play,
    at,
    basic,
    told_poll,
    track,
    uri,
)


@pytest.fixture(autouse=True, scope="module")
def _small_frames():
    """Hundreds of frames of a few rows: the engine for large ones takes twice as long to get going."""
    with pl.Config() as config:
        config.set_engine_affinity("in-memory")
        yield


def _of(exports: list[Row], heard: list[Row], **told) -> Lakehouse:
    lakehouse = Lakehouse(**told)
    if exports:
        lakehouse.take(exports)
    lakehouse.hear(heard)
    lakehouse.write()
    return lakehouse


def _is_one_play(exports: list[Row], heard: Row) -> bool:
    lakehouse = _of(exports, [heard])
    return "api_of_export" in lakehouse.sources["rule"]


def test_an_export_row_wins_and_the_row_of_the_api_is_named_as_its_source() -> None:
    lakehouse = _of([track(at(0), 120_000)], [api_play(at(0.35))])
    (play,) = lakehouse.plays.to_dicts()
    assert (play["ms_played"], play["source"], play["ended_at"]) == (120_000, "extended", at(0))
    assert (play["is_ms_played_estimated"], play["is_unverified"]) == (False, False)
    assert lakehouse.sources.select("play_id", "source_table", "source_row", "rule").rows() == [
        (play["play_id"], "raw.recently_played", 1, "api_of_export"),
        (play["play_id"], "raw.streaming_history", 1, "winner"),
    ]


def test_a_play_that_only_the_api_told_of_has_names_keys_and_the_length_of_its_track() -> None:
    lakehouse = _of([], [api_play(at(0), 200_000)])
    (play,) = clean.Plays.validate(lakehouse.plays).to_dicts()
    assert (play["source"], play["ms_played"], play["is_ms_played_estimated"]) == ("api", 200_000, True)
    assert (play["started_at"], play["ended_at"]) == (at(-200), at(0))
    assert (play["track_key"], play["album_key"], play["artist_key"]) == ("band / song", "band / album", "band")
    assert (play["track_uri"], play["content_type"]) == (uri("bandsong"), "track")
    assert (play["is_first_play_of_track"], play["is_stream"], play["is_scrobble"]) == (True, True, True)
    assert {play[name] for name in ("is_skip", "is_finished", "reason_end", "platform", "is_shuffle")} == {None}


def test_the_artist_of_a_play_is_the_albums_whom_exports_name() -> None:
    (play,) = _of([], [api_play(artist="Guest", album_artist_name="Band")]).plays.to_dicts()
    assert play["artist_name"] == "Band"


# Length of the track, played, seconds from E to the end that the API tells, whether it is one play.
_REACHES = [
    (200_000, 200_000, 60, True),
    (200_000, 200_000, 60.001, False),
    (200_000, 10_000, -230, True),
    (200_000, 10_000, -230.001, False),
    (200_000, 300_000, -330, True),
    (200_000, 300_000, -330.001, False),
    (200_000, 3_600_000, -430, True),
    (200_000, 3_600_000, -430.001, False),
    (None, 200_000, -230, True),
    (None, 200_000, -230.001, False),
    (None, 7_200_000, -3630, True),
    (None, 7_200_000, -3630.001, False),
    (0, 7_200_000, -3630, True),
    (90_000_000, 7_200_000, -3630.001, False),
    (50_000_000, 80_000_000, -80_030, True),
    (50_000_000, 80_000_000, -80_030.001, False),
]


@pytest.mark.parametrize(("length", "played", "seconds", "is_one"), _REACHES)
def test_the_api_may_tell_of_a_play_from_its_reach_before_to_a_minute_after_its_end(length, played, seconds, is_one):
    assert _is_one_play([track(NOON, played)], api_play(at(seconds), length)) is is_one


@pytest.mark.parametrize(
    ("told", "is_one"),
    [
        ({"name": "Song", "track_uri": uri("relinked")}, True),
        ({"name": "SONG ", "track_uri": uri("relinked")}, True),
        ({"name": "Song - Remastered", "track_uri": uri("bandsong")}, True),
        ({"name": "Song - Remastered", "track_uri": uri("relinked")}, False),
        ({"artist": "Other", "track_uri": uri("relinked")}, False),
        ({"album_artist_name": "Various Artists", "track_uri": uri("relinked")}, True),
        ({"artist": "Guest", "album_artist_name": "Band", "track_uri": uri("relinked")}, True),
        ({"name": None, "artist": None, "album": None}, False),
    ],
)
def test_the_same_track_is_that_of_one_id_or_of_one_title_and_artist(told, is_one) -> None:
    assert _is_one_play([track(NOON)], api_play(NOON, **told)) is is_one


@pytest.mark.parametrize(
    ("isrc", "is_one"), [("DEA123400001", True), ("de-a12-34-00001", True), ("DEA123400002", False)]
)
def test_the_same_track_is_that_of_one_recording(isrc, is_one) -> None:
    lakehouse = Lakehouse(facts=_facts(uri("bandsong"), "DEA123400001"))
    lakehouse.take([track(NOON)])
    lakehouse.hear([api_play(NOON, name="Song (Mono)", track_uri=uri("relinked"), isrc=isrc)])
    lakehouse.write()
    assert (lakehouse.plays.height == 1) is is_one


def _facts(track_uri: str, isrc: str | None = None, duration_ms: int | None = None) -> pl.DataFrame:
    told = (track_uri.removeprefix("spotify:track:"), NOON, isrc, duration_ms)
    return pl.DataFrame([told], schema=api_plays.TELLINGS, orient="row")


def test_of_another_listener_the_api_tells_another_play() -> None:
    lakehouse = Lakehouse()
    lakehouse.take([track(NOON)])
    lakehouse.hear([api_play(NOON)], listener="other")
    lakehouse.write()
    assert lakehouse.plays["source"].sort().to_list() == ["api", "extended"]


def test_two_different_tracks_45_seconds_apart_are_two_plays() -> None:
    assert _of([track(at(0), name="Other")], [api_play(at(45))]).plays.height == 2


def test_the_same_track_twice_in_a_row_is_two_plays_whoever_tells() -> None:
    lakehouse = _of([track(at(0)), track(at(200))], [api_play(at(0.3)), api_play(at(200.3)), api_play(at(400.3))])
    assert lakehouse.plays.sort("ended_at").select("source", "ended_at").rows() == [
        ("extended", at(0)),
        ("extended", at(200)),
        ("api", at(400.3)),
    ]


def test_the_nearest_ends_are_matched_first() -> None:
    lakehouse = _of([track(at(0)), track(at(40))], [api_play(at(35))])
    matched = lakehouse.sources.filter(rule="api_of_export")["play_id"].item()
    assert lakehouse.plays.filter(play_id=matched)["ended_at"].item() == at(40)


@pytest.mark.parametrize("told", [at(days=-2), at(hours=1)], ids=["the end", "the sync"])
def test_an_offline_play_is_told_by_its_end_or_its_sync(told) -> None:
    begun = int(at(days=-2, seconds=-200).timestamp())
    row = track(at(hours=1), 200_000, offline=True, offline_timestamp=begun)
    lakehouse = _of([row], [api_play(told)])
    assert lakehouse.plays["ended_at"].to_list() == [at(days=-2)]


def test_account_data_are_told_too_and_mean_any_instant_of_their_minute() -> None:
    rows = [basic(track(at(50), 20_000)), basic(track(at(70), 20_000))]
    lakehouse = _of(rows, [api_play(at(50), 20_000), api_play(at(70), 20_000)])
    assert lakehouse.plays["source"].to_list() == ["basic", "basic"]


def test_when_a_better_export_comes_the_row_of_the_api_goes_with_it() -> None:
    row = track(at(50))
    lakehouse = Lakehouse()
    lakehouse.hear([api_play(at(50.2))])
    for export in ([basic(row)], [row]):
        lakehouse.take(export)
        lakehouse.write()
    assert lakehouse.plays["source"].to_list() == ["extended"]
    assert sorted(lakehouse.sources["rule"]) == ["api_of_export", "basic_of_extended", "winner"]


def test_a_play_in_the_time_of_an_export_that_does_not_tell_it_stays_and_is_unverified() -> None:
    exports = [track(at(0), name="First"), track(at(hours=2), name="Last")]
    heard = [api_play(at(hours=hours)) for hours in (-1, 1, 3)]
    plays = _of(exports, heard).plays.filter(source="api").sort("ended_at")
    assert plays["is_unverified"].to_list() == [False, True, False]


def test_between_two_exports_nothing_is_unverified() -> None:
    lakehouse = Lakehouse()
    for days in (0, 10):
        lakehouse.take([track(at(days=days), name="A"), track(at(days=days + 2), name="B")])
    lakehouse.hear([api_play(at(days=days)) for days in (1, 5, 11)])
    lakehouse.write()
    assert lakehouse.plays.filter(source="api").sort("ended_at")["is_unverified"].to_list() == [True, False, True]


def _estimates(heard: list[Row], exports: list[Row] = (), polls: list[Row] = ()) -> list[int | None]:
    lakehouse = Lakehouse()
    if exports:
        lakehouse.take(list(exports))
    lakehouse.hear(heard)
    lakehouse.poll(list(polls))
    lakehouse.write()
    return lakehouse.plays.filter(source="api").sort("ended_at", "track_name")["ms_played"].to_list()


def test_a_play_lasted_since_the_play_before_ended_at_most_its_length() -> None:
    assert _estimates([api_play(at(0), 200_000), api_play(at(50.5)), api_play(at(500))]) == [200_000, 50_500, 200_000]


def test_the_play_before_may_be_told_by_an_export() -> None:
    assert _estimates([api_play(at(90))], [track(at(0), name="Other")]) == [90_000]


def test_of_two_plays_at_one_instant_one_has_no_time_left() -> None:
    estimates = _estimates([api_play(at(0), name="A"), api_play(at(0), name="B"), api_play(at(10))])
    assert sorted(estimates[:2]) == [0, 200_000]


def test_without_a_length_the_time_since_the_play_before_is_all_that_is_known() -> None:
    assert _estimates([api_play(at(0), None), api_play(at(100), None), api_play(at(100 + 3601), None)]) == [
        None,
        100_000,
        None,
    ]


def test_a_length_is_taken_from_what_else_is_known_of_the_track() -> None:
    lakehouse = Lakehouse(facts=_facts(uri("bandsong"), duration_ms=170_000))
    lakehouse.hear([api_play(at(0), None), api_play(at(1000), 0)])
    lakehouse.write()
    assert lakehouse.plays["ms_played"].to_list() == [170_000, 170_000]


def _gap(known: datetime, oldest: datetime, newest: datetime) -> list[Row]:
    return [
        told_poll(known, known - timedelta(hours=3), known),
        told_poll(newest, oldest, newest, newest_known_at=known, is_gap_provable=True),
    ]


def test_after_a_provable_gap_the_length_alone_tells_how_long_a_play_lasted() -> None:
    heard = [api_play(at(0)), api_play(at(120)), api_play(at(180)), api_play(at(185), None)]
    assert _estimates(heard) == [200_000, 120_000, 60_000, 5_000]
    assert _estimates(heard, polls=_gap(at(0), at(120), at(185))) == [200_000, 200_000, 60_000, 5_000]


def test_after_a_provable_gap_nothing_is_known_of_a_track_without_a_length() -> None:
    heard = [api_play(at(0)), api_play(at(120), None, name="Other")]
    assert _estimates(heard, polls=_gap(at(0), at(120), at(120))) == [
        200_000,
        None,
    ]


def test_an_export_that_covers_a_gap_closes_it() -> None:
    heard = [api_play(at(0)), api_play(at(120))]
    exports = [track(at(-600), name="A"), track(at(60), 30_000, name="B"), track(at(600), name="C")]
    assert _estimates(heard, exports, _gap(at(0), at(120), at(120))) == [200_000, 60_000]


def test_a_play_of_unknown_length_begins_when_it_ends() -> None:
    (play,) = _of([], [api_play(at(0), None)]).plays.to_dicts()
    assert (play["started_at"], play["ms_played"], play["is_stream"], play["is_scrobble"]) == (at(0), None, None, None)


def test_a_play_that_only_the_api_told_of_belongs_to_a_session_and_counts_for_its_day() -> None:
    late = datetime(2021, 6, 15, 21, 58, tzinfo=UTC)
    lakehouse = _of([track(late, name="Other")], [api_play(late + timedelta(minutes=5))])
    assert lakehouse.plays["session_id"].n_unique() == 1
    assert lakehouse.days.head(2)["plays"].to_list() == [1, 1]


def _recognised(row: Row, heard: Row) -> bool:
    folded = [(each["track_name"] or "").casefold().strip() for each in (row, heard)]
    artists = {(heard[name] or "").casefold() for name in ("artist_name", "album_artist_name")}
    is_named = row["track_name"] is not None and folded[0] == folded[1] and row["artist_name"].casefold() in artists
    return row["track_uri"] == heard["track_uri"] or is_named


def _naive(exports: list[Row], heard: list[Row]) -> set[tuple[int, int]]:
    """Pairs (index of export, index of heard) by the rule, one after the other."""
    pairs = []
    for number, row in enumerate(exports):
        ends = {row["ts"]}
        if row.get("offline_timestamp"):
            ends.add(datetime.fromtimestamp(row["offline_timestamp"], UTC) + timedelta(milliseconds=row["ms_played"]))
        for place, play in enumerate(heard):
            length, played = play["duration_ms"], row["ms_played"]
            reach = min(max(played, length), 2 * length) if length else min(played, 3_600_000)
            after = min(((play["played_at"] - end).total_seconds() for end in ends), key=lambda s: (abs(s), s))
            if _recognised(row, play) and -reach / 1000 - 30 <= after <= 60:
                sameness = 0 if row["track_uri"] == play["track_uri"] else 2
                pairs.append((abs(after), sameness, play["played_at"], number, place))
    chosen, taken = set(), set()
    for _, _, _, number, place in sorted(pairs):
        if ("export", number) not in taken and ("api", place) not in taken:
            taken |= {("export", number), ("api", place)}
            chosen.add((number, place))
    return chosen


_LENGTHS = {uri("x"): 100_000, uri("y"): 200_000, uri("z"): None}
_SECONDS = st.integers(0, 4000)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            _SECONDS,
            st.sampled_from((0, 31_000, 200_000, 900_000)),
            st.sampled_from("AB"),
            st.sampled_from((uri("x"), uri("y"))),
            st.booleans(),
        ),
        max_size=6,
        unique_by=lambda told: told[0],
    ),
    st.lists(
        st.tuples(
            _SECONDS,
            st.sampled_from("AB"),
            st.sampled_from((uri("x"), uri("y"), uri("z"))),
        ),
        max_size=6,
        unique_by=lambda told: told[0],
    ),
)
def test_plays_are_matched_one_to_one_and_the_nearest_first(told, heard_at) -> None:
    # Odd fractions: no two pairs are equally far apart, so that the rule alone decides.
    exports = [
        track(
            at(2 * seconds),
            played,
            name=name,
            track_uri=track_uri,
            **(
                {"offline": True, "offline_timestamp": int(at(2 * seconds - 1111).timestamp()) - played // 1000}
                if is_offline
                else {}
            ),
        )
        for seconds, played, name, track_uri, is_offline in told
    ]
    heard = [
        api_play(at(2 * seconds + 0.001 * (1 + number**2)), _LENGTHS[track_uri], name=name, track_uri=track_uri)
        for number, (seconds, name, track_uri) in enumerate(heard_at)
    ]
    lakehouse = _of(exports, heard)
    by_row = {row_id: number for number, row_id in enumerate(lakehouse.history.sort("row_id")["row_id"])}
    winners = lakehouse.sources.filter(rule="winner").select("play_id", winner="source_row")
    matched = lakehouse.sources.filter(rule="api_of_export").join(winners, on="play_id")
    found = {(by_row[row["winner"]], row["source_row"] - 1) for row in matched.iter_rows(named=True)}
    assert found == _naive(exports, heard)
