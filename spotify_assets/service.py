"""A user service that keeps the schedule and the sensors of a home running without an open terminal.

Linux has systemd's user manager, macOS has launchd. What either of them starts is `spotify-assets service run`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import plistlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import platformdirs

from spotify_assets.instance import (
    is_configuration_outdated,
    open_instance,
    outdated_configuration_hint,
    prepare_home,
)
from spotify_assets.settings import HomePaths, Settings

_NAME = "spotify-assets"
_RESTART_SECONDS = 10
_ANSWER_SECONDS = 30


class ServiceUnavailable(Exception):
    """This machine offers no user services, or refused ours; the message says what to do instead."""


@dataclass(frozen=True)
class Service:
    """The service of a home, as the service manager of this machine is told of it.

    Attributes:
        name: Its name: `spotify-assets`, with a hash of the home's path unless it is the default home.
        file: Where its description lies once it is installed.
        content: The description: a systemd unit or a launchd property list.
        log: File that launchd writes its output to; systemd keeps it in the journal.
        is_launchd: Whether it is for launchd.
    """

    name: str
    file: Path
    content: str
    log: Path
    is_launchd: bool

    @property
    def is_installed(self) -> bool:
        return self.file.exists()


def service_of(settings: Settings, *, ui_port: int | None = None, platform: str = sys.platform) -> Service:
    """The service of a home.

    Args:
        settings: Settings that the service is to have; the variables that are set now are written into it.
        ui_port: Also serve the Dagster UI on this port of 127.0.0.1.
        platform: As `sys.platform`.
    """
    command = [sys.executable, "-m", "spotify_assets", "service", "run"]
    if ui_port is not None:
        command += ["--ui", "--port", str(ui_port)]
    suffix = _suffix(settings)
    log = settings.home / "logs" / "service.log"
    if platform == "darwin":
        name = f"org.{_NAME}{suffix}"
        folder = Path.home() / "Library" / "LaunchAgents"
        return Service(name, folder / f"{name}.plist", _property_list(name, command, settings, log), log, True)
    name = f"{_NAME}{suffix}"
    folder = platformdirs.user_config_path() / "systemd" / "user"
    return Service(name, folder / f"{name}.service", _unit(command, settings), log, False)


def install(service: Service) -> None:
    """Write the description and have the service started, now and at every login.

    Raises:
        ServiceUnavailable: There is no service manager for this user, or it refused.
    """
    _require_manager(service)
    service.file.parent.mkdir(parents=True, exist_ok=True)
    if service.is_launchd:
        service.log.parent.mkdir(parents=True, exist_ok=True)
        _call("launchctl", "unload", str(service.file), may_fail=True)
    # The settings' variables stand in it, passwords among them.
    service.file.touch(mode=0o600)
    service.file.chmod(0o600)
    service.file.write_text(service.content)
    if service.is_launchd:
        _call("launchctl", "load", "-w", str(service.file))
        return
    _call("systemctl", "--user", "daemon-reload")
    _call("systemctl", "--user", "enable", service.file.name)
    _call("systemctl", "--user", "restart", service.file.name)


def uninstall(service: Service) -> bool:
    """Stop the service and remove its description; returns whether there was one.

    Raises:
        ServiceUnavailable: It is installed, but there is no service manager that could stop it.
    """
    if not service.is_installed:
        return False
    _require_manager(service)
    if service.is_launchd:
        _call("launchctl", "unload", "-w", str(service.file), may_fail=True)
    else:
        _call("systemctl", "--user", "disable", "--now", service.file.name, may_fail=True)
    service.file.unlink()
    if not service.is_launchd:
        _call("systemctl", "--user", "daemon-reload")
    return True


def is_running(service: Service) -> bool:
    """Whether the service manager runs it now."""
    try:
        if service.is_launchd:
            return '"PID"' in _call("launchctl", "list", service.name)
        return _call("systemctl", "--user", "is-active", service.file.name).strip() == "active"
    except ServiceUnavailable:
        return False


def run(settings: Settings, *, ui_port: int | None = None) -> NoReturn:
    """Become the Dagster daemon of a home, with the UI when a port is given; returns never.

    Raises:
        spotify_assets.instance.HomeNotWritable: The home cannot be used.
    """
    paths = prepare_home(settings)
    with open_instance(settings):
        pass
    if is_configuration_outdated(paths):
        logging.getLogger("spotify_assets").warning(outdated_configuration_hint(paths))
    command = dagster_command(paths, ui_port)
    os.chdir(paths.home)
    os.execve(command[0], command, settings.process_environment())


def dagster_command(paths: HomePaths, ui_port: int | None) -> list[str]:
    """The command of Dagster's daemon on a home, with the UI when a port of 127.0.0.1 is given."""
    # Without -W Dagster greets with a warning that its own command is superseded by another of its commands. Each look
    # of a sensor is a line at INFO: hundreds of megabytes a year where nothing rotates the log.
    python = [sys.executable, "-W", "ignore", "-m"]
    options = ["--workspace", str(paths.dagster_workspace), "--log-level", "warning"]
    if ui_port is None:
        return [*python, "dagster._daemon", "run", *options]
    return [*python, "dagster", "dev", *options, "--host", "127.0.0.1", "--port", str(ui_port)]


def _suffix(settings: Settings) -> str:
    if settings.is_default_home:
        return ""
    return f"-{hashlib.sha256(str(settings.home).encode()).hexdigest()[:8]}"


def _unit(command: list[str], settings: Settings) -> str:
    variables = "\n".join(
        f"Environment={_quoted(f'{name}={value}')}" for name, value in settings.own_environment().items()
    )
    # In a command `$` begins a variable; in an assignment it does not (systemd.service(5), systemd.exec(5)).
    words = " ".join([_quoted(command[0]), *(_quoted(word).replace("$", "$$") for word in command[1:])])
    return f"""\
[Unit]
Description=spotify_assets: schedule, sensors and inbox of {settings.home.name.replace("%", "%%")}

[Service]
ExecStart={words}
{variables}
Restart=on-failure
RestartSec={_RESTART_SECONDS}
# Dagster ends its own processes in order when it is interrupted.
KillSignal=SIGINT
TimeoutStopSec=60

[Install]
WantedBy=default.target
"""


def _quoted(word: str) -> str:
    """A word of a unit file: in quotes, `%` is no specifier (systemd.syntax(7), systemd.unit(5))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '"' + escaped.replace("%", "%%") + '"'


def _property_list(name: str, command: list[str], settings: Settings, log: Path) -> str:
    described = {
        "Label": name,
        "ProgramArguments": command,
        "EnvironmentVariables": settings.own_environment(),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": _RESTART_SECONDS,
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
    }
    return plistlib.dumps(described).decode()


def _require_manager(service: Service) -> None:
    try:
        if service.is_launchd:
            _call("launchctl", "list")
        else:
            _call("systemctl", "--user", "show-environment")
    except ServiceUnavailable as error:
        manager = "launchd" if service.is_launchd else "systemd's user manager"
        raise ServiceUnavailable(
            f"{manager} cannot be reached here ({error}). In a container, or on a machine without it, let whatever "
            "starts your programs run `spotify-assets service run` instead, or leave `spotify-assets ui` open. "
            "Nothing was changed."
        ) from None


def _call(*command: str, may_fail: bool = False) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceUnavailable(f"{command[0]}: {getattr(error, 'strerror', None) or 'no answer'}") from error
    if done.returncode and not may_fail:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ServiceUnavailable(f"{command[0]}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
