"""The user service: what it says to systemd and launchd, and what happens where there is neither."""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from spotify_assets.service import Service, service_of
from spotify_assets.settings import Settings

AWKWARD = 'Müller & Söhne 100%s of "$HOME" \\ it\'s'


def words_of(line: str) -> list[str]:
    """As systemd reads them: quotes, then specifiers."""
    return [word.replace("%%", "%") for word in shlex.split(line)]


def variables_of(service: Service) -> dict[str, str]:
    lines = re.findall(r"^Environment=(.*)$", service.content, re.MULTILINE)
    return dict(words_of(line)[0].split("=", 1) for line in lines)


def test_the_unit_starts_this_installation_with_this_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, timezone="Europe/Berlin", session_gap_minutes=45)
    service = service_of(settings, platform="linux")
    (command,) = re.findall(r"^ExecStart=(.*)$", service.content, re.MULTILINE)
    assert words_of(command) == [sys.executable, "-m", "spotify_assets", "service", "run"]
    assert variables_of(service) == {
        "SPOTIFY_ASSETS_HOME": str(tmp_path),
        "SPOTIFY_ASSETS_LISTENER": "me",
        "SPOTIFY_ASSETS_SESSION_GAP_MINUTES": "45",
        "SPOTIFY_ASSETS_TIMEZONE": "Europe/Berlin",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    assert "Restart=on-failure" in service.content


def test_no_other_variable_of_the_shell_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "do-not-tell")
    assert "do-not-tell" not in service_of(Settings(home=tmp_path), platform="linux").content


def test_awkward_paths_reach_systemd_as_they_are(tmp_path: Path) -> None:
    home = tmp_path / AWKWARD
    assert variables_of(service_of(Settings(home=home), platform="linux"))["SPOTIFY_ASSETS_HOME"] == str(home)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    service = service_of(Settings(home=tmp_path / AWKWARD), ui_port=3001, platform="linux")
    unit = tmp_path / service.file.name
    unit.write_text(service.content)
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    about_ours = [line for line in result.stderr.splitlines() if service.name in line]
    assert about_ours == []
    assert result.returncode == 0, result.stderr


def test_launchd_gets_the_same_as_a_property_list(tmp_path: Path) -> None:
    home = tmp_path / AWKWARD
    service = service_of(Settings(home=home), ui_port=3001, platform="darwin")
    told = plistlib.loads(service.content.encode())
    assert told["ProgramArguments"] == [
        sys.executable,
        "-m",
        "spotify_assets",
        "service",
        "run",
        "--ui",
        "--port",
        "3001",
    ]
    assert told["EnvironmentVariables"]["SPOTIFY_ASSETS_HOME"] == str(home)
    assert (told["RunAtLoad"], told["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert service.file.name == f"{told['Label']}.plist"
    assert service.file.parent.name == "LaunchAgents"


def test_the_default_home_has_the_plain_name_and_every_other_home_one_of_its_own(tmp_path: Path) -> None:
    names = [
        service_of(settings, platform="linux").file.name
        for settings in (Settings(home=Settings.model_fields["home"].default_factory()), Settings(home=tmp_path))
    ]
    assert names[0] == "spotify-assets.service"
    assert re.fullmatch(r"spotify-assets-[0-9a-f]{8}\.service", names[1])
    assert service_of(Settings(home=tmp_path / "other"), platform="linux").file.name not in names


def run(home: Path, *arguments: str, configuration: Path) -> subprocess.CompletedProcess[str]:
    """The command on a machine whose service manager, if there is one, cannot be reached."""
    environment = {
        "PATH": "/nowhere",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(configuration),
        "COLUMNS": "300",
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    command = [sys.executable, "-m", "spotify_assets", "service", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_without_a_service_manager_it_is_said_what_to_do_instead_and_nothing_is_written(tmp_path: Path) -> None:
    result = run(tmp_path / "home", "install", configuration=tmp_path / "config")
    assert result.returncode == 1
    assert "spotify-assets service run" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_print_shows_the_description_and_installs_nothing(tmp_path: Path) -> None:
    result = run(tmp_path / "home", "install", "--print", configuration=tmp_path / "config")
    assert result.returncode == 0
    assert result.stdout == service_of(Settings(home=tmp_path / "home")).content
    assert list(tmp_path.iterdir()) == []


def test_the_status_of_a_service_that_is_not_installed_says_how_to_install_it(tmp_path: Path) -> None:
    result = run(tmp_path / "home", "status", configuration=tmp_path / "config")
    assert result.returncode == 1
    assert "service install" in result.stdout


def run_command(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spotify_assets", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", **(environment or {})},
        check=False,
    )


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
