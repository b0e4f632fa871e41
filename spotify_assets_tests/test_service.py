"""The user service: what systemd and launchd are told, and what is said where there is neither."""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from spotify_assets.service import service_of
from spotify_assets.settings import Settings
from spotify_assets_tests.conftest import settings_of

AWKWARD = 'my 100% "own" $HOME \\ café'


def run_command(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spotify_assets", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", **(environment or {})},
        check=False,
    )


def values(unit: str, key: str) -> list[str]:
    """The words of a key, read as systemd does: quotes, backslashes, `%%`."""
    lines = [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]
    return [word.replace("%%", "%") for line in lines for word in shlex.split(line)]


def test_a_systemd_unit_keeps_every_character_of_the_home(tmp_path: Path) -> None:
    unit = service_of(settings_of(tmp_path / AWKWARD), platform="linux").content
    assert f"SPOTIFY_ASSETS_HOME={tmp_path / AWKWARD}" in values(unit, "Environment")
    assert not any(
        "%" in line.replace("%%", "") for line in unit.splitlines() if line.startswith(("Env", "Exec", "Desc"))
    )


def test_a_systemd_unit_starts_this_python_and_starts_again_what_fails(settings: Settings) -> None:
    unit = service_of(settings, ui_port=3210, platform="linux").content
    assert values(unit, "ExecStart") == [
        *(sys.executable, "-m", "spotify_assets", "service", "run", "--ui", "--port", "3210")
    ]
    assert "Restart=on-failure" in unit
    assert "WantedBy=default.target" in unit


def test_a_dollar_sign_in_the_command_is_no_variable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/$py/bin/python")
    assert 'ExecStart="/opt/$$py/bin/python"' in service_of(settings, platform="linux").content


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "spotify-assets.service"
    file.write_text(service_of(settings_of(tmp_path / AWKWARD), platform="linux").content)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(file)], capture_output=True, text=True, check=False
    )
    assert str(file.name) not in verified.stderr, verified.stderr


def test_a_launchd_agent_names_this_python_and_this_home(tmp_path: Path) -> None:
    service = service_of(settings_of(tmp_path / AWKWARD), platform="darwin")
    told = plistlib.loads(service.content.encode())
    assert told["ProgramArguments"] == [sys.executable, "-m", "spotify_assets", "service", "run"]
    assert told["EnvironmentVariables"]["SPOTIFY_ASSETS_HOME"] == str(tmp_path / AWKWARD)
    assert told["Label"] == service.name
    assert told["KeepAlive"] == {"SuccessfulExit": False}
    assert service.file.name == f"{service.name}.plist"


def test_two_homes_have_two_services_and_the_default_home_has_the_plain_name(tmp_path: Path) -> None:
    names = {service_of(settings_of(tmp_path / name), platform="linux").name for name in ("a", "b")}
    assert len(names) == 2
    assert service_of(Settings(home=Settings.model_fields["home"].default_factory()), platform="linux").name == (
        "spotify-assets"
    )


def test_the_service_keeps_the_settings_that_are_set_now(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, session_gap_minutes=45)
    environment = values(service_of(settings, platform="linux").content, "Environment")
    assert {"SPOTIFY_ASSETS_SESSION_GAP_MINUTES=45", "SPOTIFY_ASSETS_TIMEZONE=Europe/Berlin"} <= set(environment)


def test_print_shows_the_description_and_installs_nothing(tmp_path: Path) -> None:
    configuration = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    done = run_command("service", "install", "--print", "--home", str(tmp_path / "a home"), environment=configuration)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "a home") in done.stdout
    assert not (tmp_path / "config").exists() and not (tmp_path / "a home").exists()


def test_without_a_service_manager_nothing_is_installed_and_the_way_out_is_told(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    done = run_command("service", "install", "--home", str(tmp_path / "home"), environment=environment)
    assert done.returncode == 1
    assert "spotify-assets service run" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "config").exists()


@pytest.fixture
def service_manager(tmp_path: Path) -> dict[str, str]:
    """An environment in which `systemctl` (or `launchctl`) is a program that notes what it is asked."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("systemctl", "launchctl"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/asked.txt"\necho active; echo \'"PID" = 1;\'\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{programs}:/usr/bin:/bin", "XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}


@pytest.mark.skipif(sys.platform != "linux", reason="speaks of systemctl")
def test_install_enables_and_starts_the_service_and_uninstall_takes_it_away(
    service_manager: dict[str, str], tmp_path: Path
) -> None:
    home = ("--home", str(tmp_path / "home"))
    installed = run_command("service", "install", *home, environment=service_manager)
    assert installed.returncode == 0, installed.stderr
    (file,) = (tmp_path / "config" / "systemd" / "user").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    asked = (tmp_path / "asked.txt").read_text().splitlines()
    assert asked[1:] == ["--user daemon-reload", f"--user enable {file.name}", f"--user restart {file.name}"]
    uninstalled = run_command("service", "uninstall", *home, environment=service_manager)
    assert uninstalled.returncode == 0, uninstalled.stderr
    assert not file.exists()
    assert f"--user disable --now {file.name}" in (tmp_path / "asked.txt").read_text()


def test_the_status_of_a_service_that_is_not_installed_is_exit_code_1(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    done = run_command("service", "status", "--home", str(tmp_path / "home"), environment=environment)
    assert done.returncode == 1
    assert "not installed" in done.stdout
