from __future__ import annotations

import itertools
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from spotify_assets.demo.catalogue import fold
from spotify_assets.demo.listener import DemoListener, TruePlay, clock_changes

BERLIN = ZoneInfo("Europe/Berlin")


def test_the_same_arguments_give_the_same_history() -> None:
    first = DemoListener(first_day=date(2024, 1, 1), last_day=date(2024, 3, 1), seed=3)
    second = DemoListener(first_day=date(2024, 1, 1), last_day=date(2024, 3, 1), seed=3)
    assert first.plays() == second.plays()


def test_another_seed_gives_another_history() -> None:
    first = DemoListener(first_day=date(2024, 1, 1), last_day=date(2024, 2, 1), seed=3)
    second = DemoListener(first_day=date(2024, 1, 1), last_day=date(2024, 2, 1), seed=4)
    assert first.plays() != second.plays()


def test_a_last_day_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="2024-01-01 lies before the first 2024-01-02"):
        DemoListener(first_day=date(2024, 1, 2), last_day=date(2024, 1, 1))


def test_plays_are_in_order_and_never_overlap(plays: list[TruePlay]) -> None:
    assert [play.play_number for play in plays] == list(range(len(plays)))
    assert all(before.ended_at <= after.started_at for before, after in itertools.pairwise(plays))


def test_a_play_lasts_exactly_its_ms_played(plays: list[TruePlay]) -> None:
    assert all(play.ended_at - play.started_at == timedelta(milliseconds=play.ms_played) for play in plays)


def test_online_plays_end_and_offline_plays_start_on_a_whole_second(plays: list[TruePlay]) -> None:
    assert all((play.started_at if play.offline else play.ended_at).microsecond == 0 for play in plays)
    assert all(play.told_at.microsecond == 0 for play in plays)


def test_offline_plays_are_synced_within_days_of_their_end(plays: list[TruePlay]) -> None:
    offline = [play for play in plays if play.offline]
    assert len(offline) > 50
    assert all(timedelta(0) <= play.synced_at - play.ended_at < timedelta(days=6) for play in offline)
    assert all(play.synced_at is None for play in plays if not play.offline)


def test_nothing_happens_outside_the_days_asked_for(listener: DemoListener, plays: list[TruePlay]) -> None:
    assert all(listener.first_day <= play.ended_at.astimezone(BERLIN).date() for play in plays)
    assert all(play.told_at.astimezone(BERLIN).date() <= listener.last_day for play in plays)


def test_a_finished_track_lasted_its_true_length(plays: list[TruePlay]) -> None:
    finished = [play for play in plays if play.track is not None and play.reason_end == "trackdone"]
    assert finished
    assert all(play.ms_played == play.track.length_ms for play in finished)


def test_an_unfinished_track_ended_before_its_length(plays: list[TruePlay]) -> None:
    unfinished = [play for play in plays if play.track is not None and play.reason_end != "trackdone"]
    assert all(play.ms_played < play.track.length_ms for play in unfinished)


def test_the_kind_of_a_play_says_which_title_it_has(plays: list[TruePlay]) -> None:
    for play in plays:
        titles = {"track": play.track, "episode": play.episode, "audiobook": play.chapter}
        there = [kind for kind, title in titles.items() if title is not None]
        assert there == ([] if play.content_type == "unknown" else [play.content_type])


def test_every_kind_and_habit_occurs(plays: list[TruePlay]) -> None:
    kinds = Counter(play.content_type for play in plays)
    assert min(kinds[kind] for kind in ("track", "episode", "audiobook", "unknown")) > 20
    assert {(play.is_video, play.content_type) for play in plays} >= {(True, "track"), (True, "unknown")}
    for habit in ("shuffle", "skipped", "offline", "incognito"):
        assert 0.005 < sum(getattr(play, habit) for play in plays) / len(plays) < 0.6


def test_audiobooks_begin_in_2023(plays: list[TruePlay]) -> None:
    assert min(play.ended_at for play in plays if play.chapter is not None).year == 2023


def test_short_and_empty_plays_are_as_common_as_in_real_exports(plays: list[TruePlay]) -> None:
    assert 0.01 < sum(play.ms_played == 0 for play in plays) / len(plays) < 0.08
    assert 0.13 < sum(play.ms_played < 30_000 for play in plays) / len(plays) < 0.60


def test_gaps_are_either_well_under_or_over_half_an_hour(plays: list[TruePlay]) -> None:
    gaps = [after.started_at - before.ended_at for before, after in itertools.pairwise(plays)]
    assert not [gap for gap in gaps if timedelta(minutes=16) < gap < timedelta(minutes=30)]
    assert sum(gap > timedelta(minutes=30) for gap in gaps) > 1_000


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_both_nights_of_clock_changes_have_plays_before_and_after_the_change(timezone: str) -> None:
    listener = DemoListener(
        first_day=date(2023, 1, 1), last_day=date(2023, 12, 31), timezone=timezone, plays_per_day=12.0
    )
    changes = clock_changes(timezone, listener.first_day, listener.last_day)
    assert len(changes) == 2
    ends = [play.ended_at for play in listener.plays()]
    for change in changes:
        assert sum(change - timedelta(hours=1) <= end < change for end in ends) >= 5
        assert sum(change <= end < change + timedelta(hours=1) for end in ends) >= 5


def test_clock_changes_are_found_to_the_minute() -> None:
    assert clock_changes("Europe/Berlin", date(2024, 1, 1), date(2024, 12, 31)) == [
        datetime(2024, 3, 31, 1, 0, tzinfo=UTC),
        datetime(2024, 10, 27, 1, 0, tzinfo=UTC),
    ]


def test_some_plays_and_sessions_cross_midnight(plays: list[TruePlay]) -> None:
    crossing = [
        play for play in plays if play.started_at.astimezone(BERLIN).date() != play.ended_at.astimezone(BERLIN).date()
    ]
    assert len(crossing) > 20


def test_the_same_track_comes_twice_in_a_row(plays: list[TruePlay]) -> None:
    pairs = itertools.pairwise(plays)
    assert sum(first.track is not None and first.track is second.track for first, second in pairs) > 50


def test_some_names_have_two_track_ids(plays: list[TruePlay]) -> None:
    ids: dict[tuple[str, str], set[str]] = {}
    for play in plays:
        if play.track is not None:
            ids.setdefault((play.track.artist.name, play.track.name), set()).add(play.track.track_id)
    assert sum(len(these) == 2 for these in ids.values()) > 20


def test_uris_are_base62_of_22_characters_and_unique(listener: DemoListener) -> None:
    uris = [track.uri for track in listener.catalogue.tracks]
    assert all(re.fullmatch(r"spotify:track:[0-9A-Za-z]{22}", uri) for uri in uris)
    assert len(set(uris)) == len(uris)


def test_different_things_differ_even_without_case_accents_and_symbols(listener: DemoListener) -> None:
    artists = [fold(artist.name) for artist in listener.catalogue.artists]
    assert len(set(artists)) == len(artists)
    twins = {twin.track_id for twin in listener.catalogue.twins.values()}
    tracks = [
        (track.artist.artist_id, fold(track.name)) for track in listener.catalogue.tracks if track.track_id not in twins
    ]
    assert len(set(tracks)) == len(tracks)


def test_names_that_break_readers_are_played(plays: list[TruePlay]) -> None:
    tracks = {play.track for play in plays if play.track is not None}
    names = {track.name for track in tracks} | {track.artist.name for track in tracks}
    assert any(ord(character) > 0xFFFF for name in names for character in name)
    assert any('"' in name for name in names)
    assert any("/" in name for name in names)
    assert any(0x7F < ord(character) < 0x250 for name in names for character in name)


def test_no_two_true_plays_look_like_copies_of_each_other(plays: list[TruePlay]) -> None:
    named: set[tuple[object, ...]] = set()
    nameless: set[tuple[object, ...]] = set()
    for play in plays:
        item = play.track or play.episode or play.chapter
        minute = (play.told_at.replace(second=0), play.ms_played)
        if item is None:
            assert minute not in nameless
            nameless.add(minute)
        else:
            assert (*minute, item.name.casefold()) not in named
            named.add((*minute, item.name.casefold()))
    assert nameless.isdisjoint(key[:2] for key in named)


def test_taste_drifts_over_the_years(plays: list[TruePlay]) -> None:
    top: list[set[str]] = []
    for year in (2022, 2024):
        counts = Counter(
            play.track.artist.name for play in plays if play.track is not None and play.ended_at.year == year
        )
        assert counts.most_common(1)[0][1] > 5 * sorted(counts.values())[len(counts) // 2]
        top.append({name for name, _ in counts.most_common(20)})
    assert 0 < len(top[0] & top[1]) < 20
