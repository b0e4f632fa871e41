"""raw.audio_features and raw.genres in a real warehouse, asking stand-ins over real HTTP."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest

from spotify_assets.assets.raw import Spotify, build_provider_assets
from spotify_assets.assets.table_asset import IO_MANAGER_KEY, asset_key
from spotify_assets.clock import Clock
from spotify_assets.definitions import build_definitions
from spotify_assets.demo.catalogue import DemoCatalogue, DemoTrack
from spotify_assets.demo.providers import DemoMusicBrainz, DemoReccoBeats, is_known
from spotify_assets.demo.spotify.faults import answer, odd_body, rate_limited, slow
from spotify_assets.demo.spotify.server import serve
from spotify_assets.lakehouse import LakehouseIOManager, Warehouse
from spotify_assets.schemas import Table, clean, raw_api
from spotify_assets.settings import Settings
from spotify_assets.spotify.model import Endpoint
from spotify_assets.spotify.providers import build_providers
from spotify_assets_tests.assets.small_spotify import SmallClient, SmallSpotify, serving
from spotify_assets_tests.assets.stored_plays import filled, store_plays
from spotify_assets_tests.lakehouse import processes
from spotify_assets_tests.spotify.providers.conftest import NOW, features_of, small_catalogue

TRACKS = 100
CONTACT = "somebody@example.org"


@pytest.fixture(scope="session")
def catalogue() -> DemoCatalogue:
    return small_catalogue()


@pytest.fixture
def reccobeats(catalogue: DemoCatalogue) -> DemoReccoBeats:
    return DemoReccoBeats(catalogue.tracks, features_of)


@pytest.fixture
def musicbrainz(catalogue: DemoCatalogue) -> DemoMusicBrainz:
    return DemoMusicBrainz(catalogue.tracks)


@pytest.fixture
def urls(reccobeats: DemoReccoBeats, musicbrainz: DemoMusicBrainz) -> Iterator[dict[str, str]]:
    """Settings that name the stand-ins."""
    with serve(reccobeats.app) as first, serve(musicbrainz.app) as second:
        yield {"reccobeats_url": first, "musicbrainz_url": second}


@pytest.fixture
def played(catalogue: DemoCatalogue) -> Sequence[DemoTrack]:
    """Tracks of the catalogue, the one that was listened to longest first."""
    return catalogue.tracks[:TRACKS]


@pytest.fixture
def asking(tmp_path: Path, urls: dict[str, str], played: Sequence[DemoTrack]) -> Settings:
    """A home with plays, in which both providers are switched on."""
    settings = Settings(
        home=tmp_path / "home",
        timezone="UTC",
        audio_feature_providers="reccobeats",
        genre_providers="musicbrainz",
        contact=CONTACT,
        provider_seconds_between_requests=0.0,
        **urls,
    )
    store_plays(warehouse_of(settings), played)
    return settings


def warehouse_of(settings: Settings) -> Warehouse:
    return Warehouse.from_settings(settings)


def materialize(
    settings: Settings, *tables: type[Table], at: datetime = NOW, spotify: Spotify | None = None
) -> dg.ExecuteInProcessResult:
    warehouse = warehouse_of(settings)
    clock = Clock(fixed_now=at.isoformat())
    resources = {
        "warehouse": warehouse,
        IO_MANAGER_KEY: LakehouseIOManager(warehouse=warehouse),
        "clock": clock,
        "spotify": spotify or Spotify(None, ["me"]),
        "providers": build_providers(settings, now=clock.now),
    }
    chosen = [asset_key(table) for table in tables or (raw_api.AudioFeatures, raw_api.Genres)]
    return dg.materialize(build_provider_assets(), selection=chosen, resources=resources, instance=shared_instance())


@cache
def shared_instance() -> dg.DagsterInstance:
    """Making one takes a third of the time of a small run."""
    return dg.DagsterInstance.ephemeral()


def metadata(result: dg.ExecuteInProcessResult, table: type[Table]) -> dict:
    (event,) = [each for each in result.get_asset_materialization_events() if each.asset_key == asset_key(table)]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def check(result: dg.ExecuteInProcessResult, table: type[Table], name: str) -> dg.AssetCheckEvaluation:
    evaluations = result.get_asset_check_evaluations()
    return next(each for each in evaluations if each.check_name == name and each.asset_key == asset_key(table))


def features(settings: Settings) -> pl.DataFrame:
    return warehouse_of(settings).read(raw_api.AudioFeatures)


def genres(settings: Settings) -> pl.DataFrame:
    return warehouse_of(settings).read(raw_api.Genres)


def test_features_of_all_tracks_are_asked_for_once_in_the_order_of_listening_time(
    asking: Settings, reccobeats: DemoReccoBeats, played: Sequence[DemoTrack]
) -> None:
    result = materialize(asking, raw_api.AudioFeatures)
    assert reccobeats.asked == [track.track_id for track in played]
    assert len(reccobeats.requests) == 3
    stored = features(asking)
    known = {track.track_id for track in played if is_known("reccobeats", track.isrc)}
    assert set(stored.filter("is_known")["track_id"]) == known
    assert stored.height == TRACKS
    told = metadata(result, raw_api.AudioFeatures)
    assert told["tracks_known"] == len(known)
    assert told["coverage_percent"] == pytest.approx(100 * len(known) / TRACKS, abs=0.1)
    assert 40 < told["coverage_of_listening_percent"] < 80
    assert told["requests"] == {"reccobeats": 3}
    assert "reccobeats.com" in told["attribution"]
    assert check(result, raw_api.AudioFeatures, "providers_answered").passed


def test_a_second_run_asks_nothing_and_after_thirty_days_only_for_what_was_unknown(
    asking: Settings, reccobeats: DemoReccoBeats
) -> None:
    materialize(asking, raw_api.AudioFeatures)
    first = features(asking)
    reccobeats.requests.clear()
    materialize(asking, raw_api.AudioFeatures, at=NOW + timedelta(days=29))
    assert reccobeats.requests == []
    assert features(asking).sort("track_id").equals(first.sort("track_id"))
    materialize(asking, raw_api.AudioFeatures, at=NOW + timedelta(days=30))
    assert sorted(reccobeats.asked) == sorted(first.filter(~pl.col("is_known"))["track_id"])


def test_a_run_makes_no_more_requests_than_the_setting_allows_and_the_next_one_goes_on(
    asking: Settings, reccobeats: DemoReccoBeats, played: Sequence[DemoTrack]
) -> None:
    few = asking.model_copy(update={"provider_requests_per_run": 1})
    result = materialize(few, raw_api.AudioFeatures)
    assert check(result, raw_api.AudioFeatures, "providers_answered").passed
    assert metadata(result, raw_api.AudioFeatures)["tracks_asked_for"] == 40
    materialize(few, raw_api.AudioFeatures)
    assert reccobeats.asked == [track.track_id for track in played[:80]]


def test_a_provider_that_asks_to_wait_long_ends_the_step_well_with_a_check_that_says_so(
    asking: Settings, reccobeats: DemoReccoBeats
) -> None:
    reccobeats.faults.add(rate_limited(3600, skip=1))
    result = materialize(asking, raw_api.AudioFeatures)
    evaluation = check(result, raw_api.AudioFeatures, "providers_answered")
    assert result.success
    assert not evaluation.passed
    assert not evaluation.blocking
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert "next run" in evaluation.description
    assert features(asking).height == 40


def test_one_question_without_an_answer_does_not_hold_up_the_others(
    asking: Settings, reccobeats: DemoReccoBeats, played: Sequence[DemoTrack]
) -> None:
    reccobeats.faults.add(odd_body("html", times=1))
    result = materialize(asking, raw_api.AudioFeatures)
    assert not check(result, raw_api.AudioFeatures, "providers_answered").passed
    assert features(asking).height == TRACKS - 40
    materialize(asking, raw_api.AudioFeatures)
    assert features(asking).height == TRACKS


def test_a_provider_that_answers_nothing_sensible_is_left_after_three_questions(
    asking: Settings, reccobeats: DemoReccoBeats
) -> None:
    reccobeats.faults.add(answer(404, {"error": "moved"}))
    assert materialize(asking, raw_api.AudioFeatures).success
    assert len(reccobeats.requests) == 3
    assert features(asking).is_empty()


def test_genres_are_found_by_the_isrc_that_another_provider_told(
    asking: Settings, musicbrainz: DemoMusicBrainz, played: Sequence[DemoTrack]
) -> None:
    result = materialize(asking)
    genres_of = {track.artist.name: set(track.artist.genres) for track in played}
    stored = genres(asking)
    told = stored.filter(pl.col("genre") != "")
    assert told["artist_name"].n_unique() > 2
    for name, genre in told.select("artist_name", "genre").iter_rows():
        assert genre in genres_of[name]
    assert told["votes"].min() > 0
    assert metadata(result, raw_api.Genres)["artists_known"] == told["artist_name"].n_unique()
    assert "musicbrainz.org" in metadata(result, raw_api.Genres)["attribution"]
    musicbrainz.requests.clear()
    materialize(asking)
    assert musicbrainz.requests == []


def test_an_artist_that_musicbrainz_does_not_know_is_asked_for_with_three_recordings_in_thirty_days(
    asking: Settings, musicbrainz: DemoMusicBrainz
) -> None:
    musicbrainz.coverage_percent = 0
    materialize(asking)
    stored = genres(asking)
    assert set(stored["genre"]) == {""}
    asked = {isrc for told in stored["asked_by"] for isrc in told.split(",")}
    assert asked == set(musicbrainz.asked)
    assert len(musicbrainz.asked) == len(asked)
    assert stored["asked_by"].str.split(",").list.len().max() == 3
    musicbrainz.coverage_percent = 100
    materialize(asking, raw_api.Genres, at=NOW + timedelta(days=31))
    assert genres(asking).filter(pl.col("genre") != "").height > 2


def test_spotify_s_tracks_name_the_artist_to_ask_for_and_its_genres_spare_the_question(
    asking: Settings, musicbrainz: DemoMusicBrainz, played: Sequence[DemoTrack]
) -> None:
    first, other = played[0], next(track for track in played if track.artist is not played[0].artist)
    objects = [
        {
            "track_id": track.track_id,
            "object": f'{{"external_ids":{{"isrc":"{track.isrc.lower()}"}},"artists":[{{"name":"{name}"}}]}}',
        }
        for track, name in ((first, "The First"), (other, "Told By Spotify"))
    ]
    artist = {"artist_id": "a" * 22, "object": '{"name":"Told By Spotify","genres":["dub"]}'}
    with warehouse_of(asking).transaction() as transaction:
        transaction.append(raw_api.Tracks, filled(raw_api.Tracks, objects))
        transaction.append(raw_api.Artists, filled(raw_api.Artists, [artist]))
    result = materialize(asking, raw_api.Genres)
    assert musicbrainz.asked == [first.isrc]
    assert genres(asking)["artist_name"].to_list() == ["The First"]
    assert metadata(result, raw_api.Genres)["artists_by_source"] == {"spotify": 1}


def test_without_a_contact_musicbrainz_is_not_asked_and_the_check_names_the_setting(
    asking: Settings, musicbrainz: DemoMusicBrainz
) -> None:
    result = materialize(asking.model_copy(update={"contact": ""}))
    assert "SPOTIFY_ASSETS_CONTACT" in check(result, raw_api.Genres, "providers_answered").description
    assert musicbrainz.requests == []


def test_the_contact_stands_in_no_log_and_no_metadata(asking: Settings, musicbrainz: DemoMusicBrainz) -> None:
    musicbrainz.faults.add(answer(403, {"error": "no"}))
    result = materialize(asking)
    assert CONTACT in musicbrainz.requests[0].user_agent
    assert CONTACT not in str(result.all_events)


def test_an_own_file_is_believed_first_and_read_anew_in_every_run(
    asking: Settings, reccobeats: DemoReccoBeats, played: Sequence[DemoTrack]
) -> None:
    first, second = played[0].track_id, played[1].track_id
    file = asking.paths.own_audio_features_files[0]
    file.write_text(f"id,energy\n{first},0.5\n{second},0.25\n{'z' * 22},1\n")
    materialize(asking, raw_api.AudioFeatures)
    assert first not in reccobeats.asked
    own = pl.col("source") == "own"
    before = features(asking).filter(own).sort("energy")
    assert before.select("track_id", "energy").rows() == [(second, 0.25), (first, 0.5)]
    later = NOW + timedelta(days=1)
    file.write_text(f"id,energy\n{first},0.75\n{second},0.25\nnonsense,1\n")
    result = materialize(asking, raw_api.AudioFeatures, at=later)
    after = features(asking).filter(own).sort("energy")
    assert after.select("energy", "fetched_at").rows() == [(0.25, NOW), (0.75, later)]
    assert "row 4" in check(result, raw_api.AudioFeatures, "own_file_is_sound").description
    file.unlink()
    materialize(asking, raw_api.AudioFeatures, at=later)
    assert features(asking).filter(own).height == 2
    file.write_text("id,energy\n")
    materialize(asking, raw_api.AudioFeatures, at=later)
    assert features(asking).filter(own).is_empty()
    assert second in reccobeats.asked


def test_a_home_without_plays_and_network_is_done_at_once(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path / "empty",
        audio_feature_providers="spotify,reccobeats",
        genre_providers="musicbrainz",
        reccobeats_url="http://127.0.0.1:9",
        musicbrainz_url="http://127.0.0.1:9",
    )
    result = materialize(settings)
    assert result.success
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    assert metadata(result, raw_api.AudioFeatures)["coverage_percent"] == 0.0


def test_an_import_asks_nobody(asking: Settings) -> None:
    job = build_definitions(asking).resolve_job_def("import_exports")
    keys = job.asset_layer.executable_asset_keys
    assert asset_key(clean.Plays) in keys
    assert not keys & {asset_key(raw_api.AudioFeatures), asset_key(raw_api.Genres)}


def test_by_default_nobody_but_spotify_is_asked(asking: Settings) -> None:
    defaults = Settings(home=asking.home)
    providers = build_providers(defaults, now=Clock().now)
    sources = [provider.source for provider in (*providers.audio_features, *providers.genres)]
    assert sources == ["own", "spotify", "own"]


@pytest.fixture
def spotify() -> Iterator[tuple[SmallSpotify, Spotify]]:
    """A Spotify that tells features of every other track, and how a run asks it."""

    def features_told(path: str, query: dict[str, str]) -> tuple[int, object]:
        ids = query["ids"].split(",")
        told = [{"id": each, "energy": 0.5} if at % 2 else None for at, each in enumerate(ids)]
        return 200, {"audio_features": told}

    small = SmallSpotify({str(Endpoint.AUDIO_FEATURES): features_told})
    with serving(small) as url:
        yield small, Spotify(SmallClient(url, NOW), ["me"])


@pytest.fixture
def preferring_spotify(asking: Settings) -> Settings:
    return asking.model_copy(update={"audio_feature_providers": "spotify,reccobeats"})


def test_spotify_is_asked_for_a_hundred_tracks_at_once_and_reccobeats_for_what_it_does_not_know(
    preferring_spotify: Settings, reccobeats: DemoReccoBeats, played: Sequence[DemoTrack], spotify
) -> None:
    small, resource = spotify
    result = materialize(preferring_spotify, raw_api.AudioFeatures, spotify=resource)
    assert len(small.asked) == 1 and small.asked[0][1]["ids"].split(",") == [track.track_id for track in played]
    told = features(preferring_spotify).filter(pl.col("source") == "spotify")
    assert set(told.filter("is_known")["track_id"]) == {track.track_id for track in played[1::2]}
    assert reccobeats.asked == [track.track_id for track in played[::2]]
    (response,) = warehouse_of(preferring_spotify).read(raw_api.ApiResponses).to_dicts()
    assert response["endpoint"] == Endpoint.AUDIO_FEATURES and response["body"]
    assert metadata(result, raw_api.AudioFeatures)["requests"]["spotify"] == 1
    materialize(preferring_spotify, raw_api.AudioFeatures, spotify=resource)
    assert len(small.asked) == 1, "what is known, and what was asked for in vain, is not asked for again"


def test_an_app_that_may_not_ask_for_features_goes_on_with_the_next_provider_and_nothing_is_wrong(
    preferring_spotify: Settings, reccobeats: DemoReccoBeats, spotify
) -> None:
    small, resource = spotify
    small.answers.clear()
    result = materialize(preferring_spotify, raw_api.AudioFeatures, spotify=resource)
    assert check(result, raw_api.AudioFeatures, "providers_answered").passed
    assert "/audio-features" in str(metadata(result, raw_api.AudioFeatures)["skipped"])
    assert len(small.asked) == 1 and len(reccobeats.asked) == TRACKS


def test_without_an_app_spotify_is_skipped(preferring_spotify: Settings, reccobeats: DemoReccoBeats) -> None:
    result = materialize(preferring_spotify, raw_api.AudioFeatures)
    assert check(result, raw_api.AudioFeatures, "providers_answered").passed
    assert "no app is known" in str(metadata(result, raw_api.AudioFeatures)["skipped"])
    assert metadata(result, raw_api.AudioFeatures)["requests"]["spotify"] == 0
    assert len(reccobeats.asked) == TRACKS


def test_a_used_quota_is_told_of_and_the_next_provider_goes_on(
    preferring_spotify: Settings, reccobeats: DemoReccoBeats, spotify
) -> None:
    small, resource = spotify
    small.quota[str(Endpoint.AUDIO_FEATURES)] = 0
    result = materialize(preferring_spotify, raw_api.AudioFeatures, spotify=resource)
    evaluation = check(result, raw_api.AudioFeatures, "providers_answered")
    assert not evaluation.passed and "asked for from" in evaluation.description
    assert len(reccobeats.asked) == TRACKS


def test_features_that_cannot_be_read_are_not_asked_for_in_every_run(asking: Settings, spotify) -> None:
    small, resource = spotify
    small.answers[str(Endpoint.AUDIO_FEATURES)] = lambda path, query: (
        200,
        {"audio_features": [{"id": each, "energy": 7} for each in query["ids"].split(",")]},
    )
    only_spotify = asking.model_copy(update={"audio_feature_providers": "spotify"})
    result = materialize(only_spotify, raw_api.AudioFeatures, spotify=resource)
    assert metadata(result, raw_api.AudioFeatures)["unusable_values"] == TRACKS
    assert warehouse_of(only_spotify).counts((raw_api.RejectedItems,)) == {raw_api.RejectedItems: TRACKS}
    materialize(only_spotify, raw_api.AudioFeatures, spotify=resource)
    assert len(small.asked) == 1


def test_the_examples_of_the_guide_work(asking: Settings, played: Sequence[DemoTrack]) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    own_features, own_genres = re.findall(r"```csv\n(.*?)```", guide, re.DOTALL)
    for place, track in zip("01", played, strict=False):
        own_features = own_features.replace(place * 22, track.track_id)
    asking.paths.own_audio_features_files[0].write_text(own_features)
    asking.paths.own_genres_files[0].write_text(own_genres.replace("The Odd Ones", played[0].artist.name))
    result = materialize(asking)
    assert check(result, raw_api.AudioFeatures, "own_file_is_sound").passed
    assert check(result, raw_api.Genres, "own_file_is_sound").passed
    told = features(asking).filter(pl.col("source") == "own").sort("danceability")
    assert told.select("danceability", "key", "mode", "tempo").rows() == [(0.4, -1, 0, None), (0.61, 1, 1, 121.7)]
    own = genres(asking).filter(pl.col("artist_name") == played[0].artist.name)
    assert own.select("source", "genre").sort("genre").rows() == [("own", "chamber noise"), ("own", "dub")]
    by_source, unknown = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL)
    with duckdb.connect(str(asking.paths.published_file), read_only=True) as lakehouse:
        assert [row[0] for row in lakehouse.sql(by_source).fetchall()] == ["own", "reccobeats"]
        assert len(lakehouse.sql(unknown).fetchall()) == TRACKS - features(asking)["is_known"].sum()


def test_every_setting_that_the_guide_names_exists() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    assert set(re.findall(r"SPOTIFY_ASSETS_([A-Z_]+)", guide)) <= {name.upper() for name in Settings.model_fields}


def ask_until_killed(settings: Settings) -> None:
    materialize(settings)


def test_after_a_kill_no_more_is_asked_for_again_than_what_came_in_the_last_second(
    asking: Settings, reccobeats: DemoReccoBeats, musicbrainz: DemoMusicBrainz
) -> None:
    fault = musicbrainz.faults.add(slow(30, skip=5))
    victim = processes.start(ask_until_killed, asking)
    wait_for(lambda: len(musicbrainz.requests) == 5 and fault.played == 1)
    victim.kill()
    victim.join()
    musicbrainz.faults.clear()
    materialize(asking)
    assert len(set(reccobeats.asked)) == len(reccobeats.asked) == TRACKS
    assert len(musicbrainz.asked) - len(set(musicbrainz.asked)) <= 5 < len(set(musicbrainz.asked))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
