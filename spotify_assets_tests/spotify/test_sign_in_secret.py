"""Sign-ins in a secret: what one machine agreed to, a run on another renews and keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from spotify_assets.commands import purge_listener
from spotify_assets.instance import open_instance
from spotify_assets.settings import Settings
from spotify_assets.spotify.errors import TokensNotKept
from spotify_assets.spotify.sign_in import sign_out, token_source
from spotify_assets.spotify.sign_in_secret import fetch_sign_ins, keep_sign_ins
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets_tests.lakehouse.glue_server import AwsServer, aws, running_aws
from spotify_assets_tests.spotify.demo_accounts import APP, DemoAccounts, running
from spotify_assets_tests.spotify.persons import signed_in
from spotify_assets_tests.spotify.token_processes import NOW, a_sign_in

__all__ = ["aws", "running_aws"]

SECRET = "sign-ins"


@pytest.fixture
def secret(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AwsServer:
    """A new secret, which the settings of every home name."""
    aws.client("secretsmanager").create_secret(Name=SECRET, SecretString="{}")
    monkeypatch.setenv("SPOTIFY_ASSETS_SIGN_IN_SECRET", SECRET)
    return aws


@pytest.fixture
def demo() -> Iterator[DemoAccounts]:
    with running(rotates_refresh_tokens=True) as demo:
        yield demo


def kept(aws: AwsServer) -> dict[str, Any]:
    return json.loads(aws.client("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"])


def home(tmp_path: Path, name: str) -> Settings:
    return Settings(home=tmp_path / name, listener="demo", timezone="UTC")


def folder(settings: Settings) -> TokenFolder:
    return TokenFolder(settings.paths.tokens_folder)


def test_a_sign_in_goes_into_the_secret_with_its_app(secret: AwsServer, demo: DemoAccounts, tmp_path: Path) -> None:
    signed_in(demo, tmp_path / "home")
    told = kept(secret)
    assert list(told["tokens"]) == ["demo"]
    assert APP.client_id in told["credentials"]


def test_a_run_elsewhere_renews_the_token_and_the_next_one_uses_it(
    secret: AwsServer, demo: DemoAccounts, tmp_path: Path
) -> None:
    at_home = signed_in(demo, tmp_path / "home")
    tokens = set()
    for name in ("monday", "tuesday"):
        demo.clock.forward(hours=2)
        elsewhere = at_home.model_copy(update={"home": tmp_path / name})
        open_instance(elsewhere).dispose()
        tokens.add(token_source(elsewhere, now=demo.clock.now).access_token("demo"))
        assert kept(secret)["tokens"]["demo"]["refresh_token"] == folder(elsewhere).read("demo").refresh_token
    assert len(tokens) == 2


def test_what_was_renewed_elsewhere_is_not_replaced_by_an_older_token(secret: AwsServer, tmp_path: Path) -> None:
    old, new = home(tmp_path, "old"), home(tmp_path, "new")
    folder(old).write("demo", a_sign_in(access_token="old"))
    folder(new).write("demo", a_sign_in(access_token="new", expires_at=NOW + timedelta(hours=2)))
    keep_sign_ins(new)
    keep_sign_ins(old)
    assert kept(secret)["tokens"]["demo"]["access_token"] == "new"
    fetch_sign_ins(old)
    assert folder(old).read("demo").access_token == "new"


def test_a_sign_in_that_spotify_ended_stays_ended(secret: AwsServer, tmp_path: Path) -> None:
    settings = home(tmp_path, "home")
    folder(settings).write("demo", a_sign_in())
    keep_sign_ins(settings)
    folder(settings).write("demo", a_sign_in(access_token="", refresh_token="", is_refused=True))
    keep_sign_ins(settings)
    assert kept(secret)["tokens"]["demo"]["is_refused"]


def test_who_signs_out_leaves_the_secret_and_the_others_stay(secret: AwsServer, tmp_path: Path) -> None:
    settings = home(tmp_path, "home")
    for listener in ("demo", "Bob"):
        folder(settings).write(listener, a_sign_in())
    keep_sign_ins(settings)
    assert sign_out(settings)
    assert list(kept(secret)["tokens"]) == ["Bob"]


def test_who_is_purged_leaves_the_secret_too(secret: AwsServer, tmp_path: Path) -> None:
    settings = home(tmp_path, "home")
    settings.home.mkdir()
    folder(settings).write("demo", a_sign_in())
    keep_sign_ins(settings)
    purge_listener(settings, "demo")
    assert kept(secret)["tokens"] == {}


@pytest.mark.parametrize("content", ["words", '{"password": "of something else"}', '{"tokens": {"demo": 1}}', "[]"])
def test_a_secret_of_something_else_is_left_as_it_is_and_not_quoted(
    secret: AwsServer, tmp_path: Path, content: str
) -> None:
    client = secret.client("secretsmanager")
    client.put_secret_value(SecretId=SECRET, SecretString=content)
    settings = home(tmp_path, "home")
    folder(settings).write("demo", a_sign_in())
    for work in (keep_sign_ins, fetch_sign_ins):
        with pytest.raises(TokensNotKept, match="something else than sign-ins") as told:
            work(settings)
        assert "of something else" not in str(told.value).replace("holds something else", "")
    assert client.get_secret_value(SecretId=SECRET)["SecretString"] == content


def test_a_missing_secret_is_told_in_words(aws: AwsServer, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, sign_in_secret="nobody-made-it", timezone="UTC")
    with pytest.raises(TokensNotKept, match="could not be read"):
        fetch_sign_ins(settings)


def test_without_a_secret_nobody_is_asked(tmp_path: Path) -> None:
    settings = home(tmp_path, "home").model_copy(update={"mirror_endpoint_url": "http://127.0.0.1:9"})
    fetch_sign_ins(settings)
    keep_sign_ins(settings)
