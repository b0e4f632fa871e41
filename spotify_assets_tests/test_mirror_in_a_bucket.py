"""A home whose mirror is in a bucket, from the import of an export to what the Dagster UI shows."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from spotify_assets.commands import import_paths
from spotify_assets.definitions import build_definitions
from spotify_assets.demo import DemoPackages
from spotify_assets.instance import open_instance
from spotify_assets.lakehouse import scan_table
from spotify_assets.lakehouse.mirror_events import MANIFEST_ASSET, UP_TO_DATE_CHECK
from spotify_assets.lakehouse.mirror_reading import open_mirror
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.settings import Settings
from spotify_assets.state import State
from spotify_assets_tests.conftest import settings_of
from spotify_assets_tests.lakehouse.s3_servers import SECRET_KEY, S3Server, proxy_to


def test_an_import_mirrors_to_a_bucket_and_the_ui_links_and_counts_its_objects(
    tmp_path: Path, s3_server: S3Server, demo_packages: DemoPackages
) -> None:
    home = tmp_path / "home"

    def settings(endpoint_url: str) -> Settings:
        return settings_of(home, mirror="s3://lake/demo", mirror_endpoint_url=endpoint_url)

    here = settings(s3_server.endpoint_url)
    oldest = demo_packages.paths[0]
    assert import_paths(here, [oldest]).outcome.is_success

    unreachable = settings("http://127.0.0.1:9")
    assert import_paths(unreachable, [oldest]).outcome.is_success
    state = MirrorState.of(State(here.paths.state_file))
    assert state is not None and "does not answer" in state.failure
    assert _check_passes(unreachable) is False

    with proxy_to(s3_server.endpoint_url) as proxy:
        assert import_paths(settings(proxy.endpoint_url), [oldest]).outcome.is_success
    # All of it was known, and nothing but the ledger has changed.
    put = [path for method, path in proxy.requests if method == "PUT"]
    assert put and not [path for path in put if "/daily/" in path or "/clean/plays/" in path]
    assert _check_passes(here) is True

    reader = open_mirror(MirrorConfiguration.from_settings(here))
    for name in ("clean.plays", "daily.artists"):
        mirrored, stored = reader.table(name), scan_table(home, name).collect()
        assert mirrored.height > 0
        assert mirrored.sort(mirrored.columns).equals(stored.select(mirrored.columns).sort(mirrored.columns))

    with open_instance(here) as instance:
        shown = _latest(instance, dg.AssetKey(["mirror", "clean", "plays"]))
        assert shown["objects"] == "s3://lake/demo/clean/plays"
        assert shown["files"] > 5 and shown["bytes"] > 0 and shown["uploaded"] + shown["skipped"] == shown["files"]
        assert _latest(instance, MANIFEST_ASSET)["files"] == len(s3_server.keys("demo/")) - 1
    graph = build_definitions(here).resolve_asset_graph()
    node = graph.get(dg.AssetKey(["mirror", "daily", "artists"]))
    assert node.parent_keys == {dg.AssetKey(["daily", "artists"])} and not node.is_materializable
    assert {"s3", "parquet"} <= node.kinds
    assert graph.get(dg.AssetKey(["clean", "plays"])).metadata["mirror"].value == "s3://lake/demo/clean/plays"
    files = [path for path in home.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET_KEY.encode() in path.read_bytes()]


def _latest(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, object]:
    event = instance.get_latest_materialization_event(key)
    assert event is not None and event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def _check_passes(settings: Settings) -> bool:
    """What the check says that a person can run in the UI."""
    key = dg.AssetCheckKey(MANIFEST_ASSET, UP_TO_DATE_CHECK)
    job = dg.define_asset_job("look", selection=dg.AssetSelection.checks(key))
    definitions = dg.Definitions.merge(build_definitions(settings), dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("look").execute_in_process()
    return result.get_asset_check_evaluations()[0].passed
