"""Where the mirror is kept: what can be said of it, and that keys cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from spotify_assets.definitions import build_warehouse
from spotify_assets.lakehouse.mirroring import MirrorConfiguration
from spotify_assets.settings import Settings
from spotify_assets_tests.conftest import settings_of


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("s3://lake/a/b/", "s3://lake/a/b"),
        ("s3://lake", "s3://lake"),
        ("/srv/mirror", "/srv/mirror"),
        ("copies/mirror", "{home}/copies/mirror"),
        ("", "{home}/mirror"),
    ],
)
def test_a_mirror_is_kept_in_a_bucket_or_a_folder(tmp_path: Path, given: str, address: str) -> None:
    settings = settings_of(tmp_path, mirror=given)
    assert settings.mirror_address == address.format(home=tmp_path)
    assert settings.mirror_link == MirrorConfiguration.from_settings(settings).link(settings.paths)


def test_the_mirror_that_is_a_part_of_the_home_belongs_to_no_other(tmp_path: Path) -> None:
    assert MirrorConfiguration.from_settings(settings_of(tmp_path, mirror=str(tmp_path / "mirror"))).address == ""


@pytest.mark.parametrize(
    "named",
    [
        {"mirror": "s3://KEYOFSOMEBODY:hushhush@lake/x"},
        {"mirror": "gs://lake/hushhush"},
        {"mirror": "s3://lake/a//hushhush"},
        {"mirror": "s3:/lake/hushhush"},
        {"mirror": "s3://lake/../hushhush"},
        {"mirror_endpoint_url": "https://somebody:hushhush@s3.example.com"},
        {"mirror_endpoint_url": "s3.example.com/hushhush"},
        {"mirror_encryption": "hushhush"},
    ],
)
def test_what_cannot_be_meant_is_refused_and_not_repeated(tmp_path: Path, named: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(home=tmp_path, **named)
    assert "hushhush" not in str(raised.value)


def test_a_process_of_ours_is_told_where_the_mirror_is(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, mirror="s3://lake/x", mirror_region="eu-central-1")
    environment = settings.own_environment()
    assert environment["SPOTIFY_ASSETS_MIRROR"] == "s3://lake/x"
    assert environment["SPOTIFY_ASSETS_MIRROR_REGION"] == "eu-central-1"


def test_copies_in_a_bucket_are_renewed_once_a_day_unless_somebody_wants_otherwise(tmp_path: Path) -> None:
    def hours(**named: object) -> float:
        return build_warehouse(settings_of(tmp_path, **named)).bi_copies_hours

    assert (hours(), hours(mirror="/srv/mirror"), hours(mirror="s3://lake/x")) == (0.0, 0.0, 24.0)
    assert (hours(bi_copies_hours=6), hours(mirror="s3://lake/x", bi_copies_hours=0)) == (6.0, 0.0)
