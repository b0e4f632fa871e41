"""Sign-ins that a setting brings to a machine which has none."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from spotify_assets.instance import open_instance
from spotify_assets.settings import Settings
from spotify_assets.spotify.errors import WrongUse
from spotify_assets.spotify.sign_in_setting import outdated_sign_ins, take_sign_ins
from spotify_assets.spotify.token_folder import SignIn, TokenFolder
from spotify_assets_tests.spotify.token_processes import NOW, a_sign_in


def settings_with(home: Path, text: str) -> Settings:
    return Settings(home=home, timezone="UTC", listener="demo", sign_in=SecretStr(text))


def test_a_run_brings_the_sign_in_of_the_setting_into_its_home(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, a_sign_in().to_json())
    with open_instance(settings):
        pass
    assert TokenFolder(tmp_path / "tokens").read("demo") == a_sign_in()
    assert "refresh-of-nobody" not in f"{settings!r}" and "SPOTIFY_ASSETS_SIGN_IN" not in settings.own_environment()


def test_several_listeners_are_told_by_name(tmp_path: Path) -> None:
    told = {"Ann": json.loads(a_sign_in().to_json()), "Bob": json.loads(a_sign_in(refresh_token="b").to_json())}
    take_sign_ins(settings_with(tmp_path, json.dumps(told)))
    assert TokenFolder(tmp_path / "tokens").listeners() == ["Ann", "Bob"]


@pytest.mark.parametrize(
    ("at_home", "holds"),
    [
        pytest.param(a_sign_in(expires_at=NOW + timedelta(hours=2)), "home", id="renewed since"),
        pytest.param(a_sign_in(is_refused=True), "home", id="refused since"),
        pytest.param(a_sign_in(authorized_at=NOW - timedelta(days=9)), "setting", id="signed in anew elsewhere"),
    ],
)
def test_what_was_told_later_holds(at_home: SignIn, holds: str, tmp_path: Path) -> None:
    folder = TokenFolder(tmp_path / "tokens")
    folder.write("demo", at_home)
    take_sign_ins(settings_with(tmp_path, a_sign_in().to_json()))
    assert folder.read("demo") == (at_home if holds == "home" else a_sign_in())


def test_another_refresh_token_than_that_of_the_setting_is_noticed(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, a_sign_in().to_json())
    take_sign_ins(settings)
    assert outdated_sign_ins(settings) == []
    later = a_sign_in(refresh_token="another", expires_at=NOW + timedelta(hours=2))
    TokenFolder(tmp_path / "tokens").write("demo", later)
    assert outdated_sign_ins(settings) == ["demo"]


@pytest.mark.parametrize("text", ["secret-token", "[]", "{}x", '{"refresh_token": "secret-token"}', '{"Ann": 1}'])
def test_what_is_no_sign_in_is_refused_without_being_repeated(text: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUse) as refused:
        take_sign_ins(settings_with(tmp_path, text))
    assert "secret-token" not in str(refused.value) and "tokens/NAME.json" in str(refused.value)
