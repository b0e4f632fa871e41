"""`spotify-assets login` and `logout` as a person uses them: real processes, a real browser, the demo's Spotify."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spotify_assets.demo.spotify.accounts import answer_consent_page
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets_tests.conftest import CHROMIUM_ARGUMENTS, find_browser
from spotify_assets_tests.spotify.demo_accounts import APP, DemoAccounts, running

COMMAND = Path(sys.executable).with_name("spotify-assets")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoAccounts]:
    with running() as demo:
        yield demo


@pytest.fixture
def environment(demo: DemoAccounts, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPOTI", "DAGSTER_HOME"))}
    own = {"SPOTIFY_ASSETS_HOME": str(tmp_path / "home"), "SPOTIFY_ASSETS_TIMEZONE": "UTC", "COLUMNS": "200"}
    return kept | own | demo.environment() | {"BROWSER": "true", "SPOTIPY_CLIENT_ID": APP.client_id}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run `spotify-assets` with what is typed."""

    def run_command(*arguments: str, typed: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [COMMAND, *arguments],
            input=typed,
            capture_output=True,
            text=True,
            env=environment | variables,
            cwd=tmp_path,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in result.stdout + result.stderr
        return result

    return run_command


class LoggingIn:
    """A `spotify-assets login` that waits for the browser."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self._process = subprocess.Popen(
            [COMMAND, "login", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.told = ""
        self.complaints = ""

    def address(self) -> str:
        """Spotify's page, once it is shown."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.told += line
            if found := re.fullmatch(r" +(http\S+/authorize\S+)\n", line):
                return found[1]
        raise AssertionError(f"no address: {self.told}{self._process.communicate()}")

    def stop(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def exit_code(self) -> int:
        """Wait for the end."""
        told, self.complaints = self._process.communicate(timeout=60)
        self.told += told
        assert "Traceback" not in self.told + self.complaints
        return self._process.returncode

    def __enter__(self) -> LoggingIn:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser) -> Iterator[object]:
    page = browser.new_page(viewport={"width": 900, "height": 760})
    page.set_default_timeout(30_000)
    yield page
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("secret", ["", APP.client_secret])
def test_in_a_browser_agreeing_signs_in_and_the_page_may_be_closed(
    demo: DemoAccounts, environment: dict[str, str], page, tmp_path: Path, secret: str
) -> None:
    with LoggingIn(environment | {"SPOTIPY_CLIENT_SECRET": secret}, "--listener", "Ann Lee") as logging_in:
        page.goto(logging_in.address())
        assert "  http://127.0.0.1/callback\n" in logging_in.told
        assert page.get_by_role("heading").inner_text() == "My lakehouse would like to connect to your account"
        assert page.get_by_role("listitem").count() == 5
        page.get_by_role("button", name="Agree").click()
        assert page.get_by_role("heading").inner_text() == "You are signed in"
        assert page.get_by_text("You can close this page").is_visible()
        assert logging_in.exit_code() == 0, logging_in.complaints
    assert "Ann Lee is signed in until" in logging_in.told and "50 plays" in logging_in.told
    assert "Spotify's offer to this app" in logging_in.told and "not offered: 50 tracks a request" in logging_in.told
    kept = TokenFolder(tmp_path / "home" / "tokens").read("Ann Lee")
    assert demo.tokens.listener_of(kept.access_token) == "demo" and kept.is_pkce != bool(secret)
    for hidden in (kept.access_token, kept.refresh_token, APP.client_secret):
        assert hidden not in logging_in.told + logging_in.complaints


@pytest.mark.browser
def test_in_a_browser_cancelling_ends_the_command_with_the_reason(
    environment: dict[str, str], page, tmp_path: Path
) -> None:
    with LoggingIn(environment) as logging_in:
        page.goto(logging_in.address())
        page.get_by_role("button", name="Cancel").click()
        assert page.get_by_role("heading").inner_text() == "That did not work"
        assert logging_in.exit_code() == 1
    assert "You did not agree" in logging_in.complaints
    assert not (tmp_path / "home" / "credentials.toml").exists()


def test_without_a_browser_the_pasted_address_signs_in_and_logout_forgets_it(
    environment: dict[str, str], run: Run, tmp_path: Path
) -> None:
    command = [COMMAND, "login", "--no-browser"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        address = next(line.strip() for line in process.stdout if "/authorize" in line)
        pasted = answer_consent_page(address, follows=False).headers["Location"]
        told, _ = process.communicate(f"what?\n{pasted}\n", timeout=60)
    assert process.returncode == 0 and "That is not the answer" in told and "me is signed in until" in told
    assert "me is signed in until" in run("status").stdout
    left = run("logout", SPOTIPY_CLIENT_ID="")
    assert left.returncode == 0
    assert "me is signed out" in left.stdout and "credentials.toml" in left.stdout and "purge" in left.stdout


def test_a_person_who_stops_waiting_gets_no_traceback(environment: dict[str, str]) -> None:
    with LoggingIn(environment) as logging_in:
        logging_in.address()
        logging_in.stop()
        assert logging_in.exit_code() == 130


def test_the_program_named_as_browser_is_given_the_page_after_the_redirect_uri_was_shown(
    environment: dict[str, str], tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        browser.write_text(f'#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/{port}\necho "$1" >&3\n')
        browser.chmod(0o755)
        with LoggingIn(environment | {"BROWSER": str(browser)}) as logging_in:
            address = logging_in.address()
            connection, _ = listening.accept()
            with connection, connection.makefile() as told:
                assert told.readline().strip() == address
            answering = threading.Thread(target=answer_consent_page, args=(address,))
            answering.start()
            assert logging_in.exit_code() == 0
            answering.join(30)


@pytest.mark.parametrize(
    ("arguments", "variables", "exit_code", "told"),
    [
        ((), {"SPOTIPY_CLIENT_ID": ""}, 2, "SPOTIPY_CLIENT_ID"),
        (("--home", "/dev/null/home"), {}, 1, "/dev/null/home/tokens cannot be written to"),
        (("--client-id", "0" * 32), {}, 1, "no app with the client id"),
        (("--app-only",), {"SPOTIPY_CLIENT_SECRET": APP.client_secret}, 0, "without anybody's sign-in"),
    ],
)
def test_every_end_has_its_words_and_its_exit_code(
    run: Run, arguments: tuple[str, ...], variables: dict[str, str], exit_code: int, told: str
) -> None:
    result = run("login", *arguments, **variables)
    assert result.returncode == exit_code, result.stderr
    assert told in result.stdout + result.stderr
    assert APP.client_secret not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("login --listener ", {"Ann", "Bob", "me"}),
        ("logout --listener A", {"Ann"}),
        ("import --listener B", {"Bob"}),
    ],
)
def test_the_tab_key_knows_the_listeners(
    environment: dict[str, str], tmp_path: Path, typed: str, offered: set[str]
) -> None:
    home = tmp_path / "home"
    (home / "tokens").mkdir(parents=True)
    (home / "tokens" / "Ann.json").write_text("{}")
    (home / "tokens" / ".app.json").write_text("{}")
    (home / "listeners.toml").write_text('[[listener]]\nname = "Bob"\n')
    line = f"spotify-assets {typed}"
    completing = {"_SPOTIFY_ASSETS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "3"}
    result = subprocess.run(
        [COMMAND], capture_output=True, text=True, env=environment | completing, check=False, timeout=60
    )
    assert set(result.stdout.split()) == offered
