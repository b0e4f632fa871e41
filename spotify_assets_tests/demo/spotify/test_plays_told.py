from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spotify_assets.demo.exports import write_extended_history
from spotify_assets.demo.listener import DemoListener, TruePlay
from spotify_assets.demo.spotify import DemoAccount
from spotify_assets_tests.demo.spotify.conftest import NOW, Client

RECENTLY = "/me/player/recently-played"
HALF_AN_HOUR = timedelta(minutes=30)


def _truth(plays: list[TruePlay], until: datetime) -> list[TruePlay]:
    """The last 50 plays of tracks that could be told by then, newest first."""
    told = [play for play in plays if play.track is not None and play.told_at <= until]
    return sorted(told, key=lambda play: play.play_number, reverse=True)[:50]


def _instants(items: list[dict]) -> list[datetime]:
    return [datetime.fromisoformat(item["played_at"]) for item in items]


def test_the_last_fifty_plays_are_told_newest_first(client: Client, plays: list[TruePlay]) -> None:
    items = client.told(RECENTLY, limit=50)["items"]
    truth = _truth(plays, NOW)
    assert _instants(items) == [play.ended_at for play in truth]
    assert [item["track"]["name"] for item in items] == [play.track.name for play in truth]
    assert [item["track"]["external_ids"]["isrc"] for item in items] == [play.track.isrc for play in truth]
    assert [item["track"]["album"]["artists"][0]["name"] for item in items] == [
        play.track.artist.name for play in truth
    ]


def test_the_export_tells_of_the_same_plays(client: Client, plays: list[TruePlay], tmp_path: Path) -> None:
    export = tmp_path / "export.zip"
    write_extended_history(plays, export, generation="G3")
    with zipfile.ZipFile(export) as archive:
        names = [name for name in archive.namelist() if "/Streaming_History" in name and "MACOSX" not in name]
        rows = [row for name in names for row in json.loads(archive.read(name))]
    exported = {
        (row["ts"], row["master_metadata_track_name"], row["master_metadata_album_artist_name"]) for row in rows
    }
    told = client.told(RECENTLY, limit=50)["items"]
    late = {play.ended_at for play in plays if play.offline}
    for item in told:
        track = item["track"]
        instant = item["played_at"].replace(".000Z", "Z")
        if datetime.fromisoformat(item["played_at"]) not in late:
            assert (instant, track["name"], track["album"]["artists"][0]["name"]) in exported
    ids = {row["spotify_track_uri"] for row in rows}
    assert sum(item["track"]["uri"] in ids for item in told) > 40


def test_a_play_is_told_as_soon_as_it_has_ended(client: Client, plays: list[TruePlay]) -> None:
    play = next(play for play in plays if play.ended_at > NOW and play.track is not None and not play.offline)
    client.clock.set(play.ended_at - timedelta(milliseconds=1))
    assert play.ended_at not in _instants(client.told(RECENTLY)["items"])
    client.clock.set(play.ended_at)
    assert _instants(client.told(RECENTLY)["items"])[0] == play.ended_at


def test_an_offline_play_is_told_late_with_its_true_end(client: Client, plays: list[TruePlay]) -> None:
    hour = timedelta(hours=1)
    play = next(play for play in plays if play.offline and play.track and play.synced_at - play.ended_at < hour)
    client.clock.set(play.synced_at - timedelta(seconds=1))
    assert play.ended_at not in _instants(client.told(RECENTLY, limit=50)["items"])
    client.clock.set(play.synced_at)
    assert play.ended_at in _instants(client.told(RECENTLY, limit=50)["items"])


def test_polling_every_half_hour_finds_every_play_that_was_told(client: Client, plays: list[TruePlay]) -> None:
    start = datetime(2024, 12, 20, tzinfo=UTC)
    client.clock.set(start)
    found: set[datetime] = set()
    for _ in range(5 * 48):
        client.clock.advance(HALF_AN_HOUR)
        found.update(_instants(client.told(RECENTLY, limit=50)["items"]))
    end = client.clock()
    expected = {play.ended_at for play in plays if play.track is not None and start < play.told_at <= end}
    assert {play for play in found if play > start} >= {play for play in expected if play > start}
    assert client.demo.requests.count(endpoint=RECENTLY) == 240


def test_the_cursors_walk_back_over_the_last_fifty_plays_and_no_further(client: Client) -> None:
    # Of plays that ended at one instant those beyond the page are lost to who walks, as with Spotify itself.
    walked, whole = client.pages(RECENTLY, limit=7), client.told(RECENTLY, limit=50)
    assert list(dict.fromkeys(_instants(walked))) == list(dict.fromkeys(_instants(whole["items"])))
    beyond = client.told(RECENTLY, limit=50, before=whole["cursors"]["before"])
    assert (beyond["items"], beyond["cursors"], beyond["next"]) == ([], None, None)


def test_after_tells_only_newer_plays(client: Client) -> None:
    page = client.told(RECENTLY, limit=50)
    middle = page["items"][20]
    instant = round(datetime.fromisoformat(middle["played_at"]).timestamp() * 1000)
    newer = client.told(RECENTLY, limit=50, after=instant)
    assert newer["items"] == [each for each in page["items"] if each["played_at"] > middle["played_at"]]
    assert newer["next"] is None


def test_after_and_before_together_are_refused(client: Client) -> None:
    assert client.refused(RECENTLY, after=1, before=2)[0] == 400


def test_a_page_has_no_total_and_no_sign_of_skips(client: Client) -> None:
    page = client.told(RECENTLY)
    assert set(page) == {"href", "items", "limit", "next", "cursors"}
    assert all(set(item) == {"track", "played_at", "context"} for item in page["items"])
    assert page["limit"] == len(page["items"]) == 20


def test_some_plays_have_a_context_and_some_have_none(client: Client) -> None:
    contexts: list[dict | None] = []
    for days in range(8):
        client.clock.set(NOW - timedelta(days=days))
        contexts += [item["context"] for item in client.told(RECENTLY, limit=50)["items"]]
    assert {context and context["type"] for context in contexts} >= {None, "album", "playlist"}
    assert all(context is None or context["uri"].startswith("spotify:") for context in contexts)


def test_each_listener_is_told_their_own_plays(client: Client) -> None:
    mine, yours = (client.told(RECENTLY, listener=name, limit=50)["items"] for name in ("me", "you"))
    assert {item["track"]["uri"] for item in mine}.isdisjoint(item["track"]["uri"] for item in yours)


def test_before_the_first_play_nothing_is_told(client: Client) -> None:
    client.clock.set(datetime(2020, 1, 1, tzinfo=UTC))
    page = client.told(RECENTLY)
    assert (page["items"], page["cursors"], page["next"]) == ([], None, None)


def test_short_plays_and_private_sessions_can_be_left_out(listener: DemoListener) -> None:
    account = DemoAccount("me", listener, shortest_told_ms=30_000, tells_private_sessions=False)
    assert 0 < len(account.plays) < sum(play.track is not None for play in listener.plays())
    assert all(play.ms_played >= 30_000 and not play.incognito for play in account.plays)


def test_the_list_can_lag_behind_the_plays(listener: DemoListener) -> None:
    lag = timedelta(minutes=10)
    late = DemoAccount("me", listener, lag=lag).last_plays(NOW)
    assert late == DemoAccount("me", listener).last_plays(NOW - lag)


@pytest.mark.parametrize("limit", ["0", "51", "ten", "1.5", "-3"])
def test_a_limit_out_of_range_is_refused(client: Client, limit: str) -> None:
    assert client.refused(RECENTLY, limit=limit) == (400, "Invalid limit")
