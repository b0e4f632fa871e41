"""What is asked next, and what is not asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from spotify_assets.schemas import raw_api
from spotify_assets.transforms.wanted import (
    NEGATIVE_FOR,
    WANTED_TRACKS,
    coverage,
    questions_about_artists,
    tracks_to_ask,
    wanted_tracks,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
A, B, C, D = (letter * 22 for letter in "abcd")


def isrc(number: int) -> str:
    return f"QZDMO26{number:05d}"


def stored_features(*rows: tuple[str, str, datetime, bool]) -> pl.LazyFrame:
    schema = {
        name: raw_api.AudioFeatures.polars_schema()[name] for name in ("track_id", "source", "fetched_at", "is_known")
    }
    return pl.LazyFrame(rows, schema=schema, orient="row")


def stored_genres(*rows: tuple[str, str, str, str, datetime]) -> pl.LazyFrame:
    names = ("source", "artist_name", "genre", "asked_by", "fetched_at")
    return pl.LazyFrame(rows, schema={name: raw_api.Genres.polars_schema()[name] for name in names}, orient="row")


def tracks(*rows: tuple[str, str | None, int]) -> pl.LazyFrame:
    return pl.LazyFrame(rows, schema={"artist_name": pl.String, "isrc": pl.String, "ms_played": pl.Int64}, orient="row")


def questions(told: pl.LazyFrame, stored: pl.LazyFrame, others: tuple[str, ...] = (), now: datetime = NOW) -> list:
    told_by_others = pl.LazyFrame({"artist_name": others}, schema={"artist_name": pl.String})
    return questions_about_artists(told, stored, told_by_others, "musicbrainz", now).collect().rows()


def test_tracks_come_in_the_order_of_listening_time_and_what_is_no_id_does_not_come() -> None:
    played = pl.LazyFrame({"track_id": [A, B, A, "local", None], "ms_played": [3, 5, 4, 99, 99]})
    found = wanted_tracks(played, pl.LazyFrame({"track_id": [C, B]})).collect()
    assert found.schema == WANTED_TRACKS
    assert found.rows() == [(A, 7), (B, 5), (C, 0)]


def test_a_track_that_anybody_knows_is_asked_of_nobody() -> None:
    wanted = pl.LazyFrame({"track_id": [A, B], "ms_played": [2, 1]})
    stored = stored_features((A, "own", NOW - timedelta(days=900), True))
    assert tracks_to_ask(wanted, stored, "reccobeats", NOW).collect()["track_id"].to_list() == [B]


def test_a_provider_that_did_not_know_a_track_is_asked_again_after_thirty_days_and_others_at_once() -> None:
    wanted = pl.LazyFrame({"track_id": [A, B, C, D], "ms_played": [4, 3, 2, 1]})
    stored = stored_features(
        (A, "reccobeats", NOW - NEGATIVE_FOR + timedelta(seconds=1), False),
        (B, "reccobeats", NOW - NEGATIVE_FOR, False),
        (C, "spotify", NOW, False),
    )
    assert tracks_to_ask(wanted, stored, "reccobeats", NOW).collect()["track_id"].to_list() == [B, C, D]


def test_an_artist_is_asked_for_with_the_three_recordings_that_were_heard_longest() -> None:
    told = tracks(*(("Long", isrc(number), 10 - number) for number in range(5)), ("Longer", isrc(9), 100))
    assert questions(told, stored_genres()) == [
        ("Longer", isrc(9), 100),
        ("Long", isrc(0), 10),
        ("Long", isrc(1), 9),
        ("Long", isrc(2), 8),
    ]


def test_a_recording_asked_for_in_vain_is_not_asked_for_again_but_others_of_the_artist_are() -> None:
    told = tracks(*(("Long", isrc(number), 10 - number) for number in range(5)))
    stored = stored_genres(("musicbrainz", "Long", "", f"{isrc(0)},{isrc(1)}", NOW - timedelta(days=2)))
    assert [row[1] for row in questions(told, stored)] == [isrc(2)]
    assert [row[1] for row in questions(told, stored, now=NOW + NEGATIVE_FOR)] == [isrc(0), isrc(1), isrc(2)]


def test_artists_whose_genres_anybody_told_are_not_asked_for() -> None:
    told = tracks(("Own", isrc(1), 3), ("By Spotify", isrc(2), 2), ("Unknown", isrc(3), 1))
    stored = stored_genres(("own", "Own", "dub", "Own", NOW))
    assert [row[0] for row in questions(told, stored, ("By Spotify",))] == ["Unknown"]


def test_without_an_isrc_there_is_no_question() -> None:
    assert (
        questions(tracks(("A", None, 3), ("B", "", 2), ("C", "no isrc", 1), ("  ", isrc(1), 1)), stored_genres()) == []
    )


def test_coverage_is_told_by_number_and_by_listening_time() -> None:
    wanted = pl.DataFrame({"track_id": [A, B, C, D], "ms_played": [70, 20, 10, 0]})
    assert coverage(wanted, pl.Series([A, "else"]), "track_id") == {
        "coverage_percent": 25.0,
        "coverage_of_listening_percent": 70.0,
    }
    assert coverage(WANTED_TRACKS.to_frame(), pl.Series([A]), "track_id")["coverage_percent"] == 0.0
