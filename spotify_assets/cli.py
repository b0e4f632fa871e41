"""`spotify-assets`: the command line. Thin: it reads arguments, starts runs and shows what they did.

Exit codes: 0 done; 1 failed, nothing or not all was done; 2 wrong use; 3 done, but some files or rows were damaged and
left out (the message says which). Of `run` also: 3 done, but something needs a person; 75 another run is at work.
"""

from __future__ import annotations

import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

# Nothing of ours is imported at the top: `--help` and each press of Tab would wait for it.
if TYPE_CHECKING:
    from spotify_assets.settings import Settings

_log_folder: Path | None = None

app = typer.Typer(
    name="spotify-assets",
    help="Turn your Spotify data into a lakehouse that you own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
imports_app = typer.Typer(help="List what was imported, or take an import back.", invoke_without_command=True)
app.add_typer(imports_app, name="imports")
service_app = typer.Typer(help="Keep the nightly schedule, the inbox and stale days going.", no_args_is_help=True)
app.add_typer(service_app, name="service")
glue_app = typer.Typer(help="The mirror on S3 as tables of Athena, Spark and Redshift.", no_args_is_help=True)
app.add_typer(glue_app, name="glue")
mirror_app = typer.Typer(help="Compare the mirror with the lakehouse, repair it, fetch it.", no_args_is_help=True)
app.add_typer(mirror_app, name="mirror")

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the lakehouse (SPOTIFY_ASSETS_HOME).", file_okay=False, show_default=False),
]
_DEMO_YEARS = 6
UiOption = Annotated[bool, typer.Option("--ui", help="Serve the Dagster UI too, on 127.0.0.1.")]
PortOption = Annotated[int, typer.Option(help="Port of the UI on 127.0.0.1.", min=1, max=65535)]


def _complete_listener(context: typer.Context, incomplete: str) -> list[str]:
    """Names for the Tab key: the household's, those who are signed in, and the one of the settings."""
    from contextlib import suppress

    from spotify_assets.listeners import Household, HouseholdError
    from spotify_assets.settings import Settings

    # Whatever is wrong is told when the command runs: here it would be written into a half-typed line.
    with suppress(ValueError, OSError, HouseholdError):
        home = context.params.get("home")
        settings = Settings(home=home) if home else Settings()
        signed_in = settings.paths.tokens_folder.glob("[!.]*.json")
        names = {settings.listener, *(file.stem for file in signed_in)}
        with suppress(HouseholdError):
            names |= {each.name for each in Household.of(settings).listeners}
        return sorted(name for name in names if name.startswith(incomplete))
    return []


ListenerOption = Annotated[
    str | None,
    typer.Option(
        "--listener",
        help="Whose data it is (SPOTIFY_ASSETS_LISTENER).",
        show_default=False,
        autocompletion=_complete_listener,
    ),
]


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(version("spotify_assets"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _settings(home: Path | None = None, listener: str | None = None) -> Settings:
    from spotify_assets.settings import Settings

    named: dict[str, Any] = {"home": home, "listener": listener}
    return _use(Settings(**{name: value for name, value in named.items() if value is not None}))


def _use(settings: Settings) -> Settings:
    """Remember where the story of an unforeseen error may be written: never into another home than the one named."""
    global _log_folder
    _log_folder = settings.home / "logs"
    return settings


@app.command("import")
def import_command(
    paths: Annotated[list[Path], typer.Argument(help="Zips, folders or files of Spotify's privacy export.")],
    listener: ListenerOption = None,
    home: HomeOption = None,
) -> None:
    """Import privacy exports and bring the lakehouse up to date."""
    from spotify_assets import console
    from spotify_assets.commands import import_paths

    settings = _settings(home, listener)
    console.tell_zone(settings)
    with console.progress_bar():
        finished = import_paths(settings, paths)
    console.show_import(settings, finished)
    raise typer.Exit(console.exit_code(finished))


@app.command("run")
def run_command(
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Build days from this one on anew, stale or not.", show_default=False),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Do everything that is due, once: for cron, a CI service or a container, also where there is only the mirror.

    Restores from the mirror what is missing here, takes in what lies in the inboxes, asks Spotify, builds, mirrors.
    Exit codes: 0 done or nothing due, 1 failed, 2 wrong use, 3 done but something needs you, 75 another run is at work.
    """
    from spotify_assets import console
    from spotify_assets.lakehouse import LockTimeout, MirrorLocked, MirrorLockLost
    from spotify_assets.one_shot import run_once

    settings = _settings(home)
    was_stopped = False

    def stop(*_: object) -> None:
        nonlocal was_stopped
        was_stopped = True
        raise KeyboardInterrupt

    # A supervisor that ends it must find the lock given back.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with console.progress_bar():
            report = run_once(settings, since=since.date() if since else None)
    except (LockTimeout, MirrorLocked, MirrorLockLost) as error:
        console.complain(str(error))
        raise typer.Exit(console.BUSY) from None
    except Exception:
        # DuckDB makes an error of its own of whatever a signal raises while it computes.
        if was_stopped:
            raise KeyboardInterrupt from None
        raise
    console.show_run(settings, report)
    raise typer.Exit(console.run_exit_code(report))


@app.command("replay")
def replay_command(
    files: Annotated[list[Path], typer.Argument(help="Recorded responses of Spotify: JSON Lines, also .gz.")],
    home: HomeOption = None,
) -> None:
    """Take in recorded responses of the Web API, without network, and bring the lakehouse up to date."""
    from spotify_assets import console
    from spotify_assets.commands import replay_files

    settings = _settings(home)
    console.tell_zone(settings)
    with console.progress_bar():
        finished = replay_files(settings, files)
    console.show_replay(settings, finished)
    raise typer.Exit(console.replay_exit_code(finished))


def _complete_table(incomplete: str) -> list[str]:
    """Names for the Tab key."""
    from spotify_assets.own_data import exportable_names

    return [name for name in exportable_names() if name.startswith(incomplete)]


@app.command("export")
def export_command(
    to: Annotated[Path, typer.Option("--to", help="Folder for the files; made if need be.", file_okay=False)],
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE]...",
            help="Tables such as clean.plays, schemas such as daily, or `spotify`: all that an empty home needs. "
            "None: clean, daily and spotify.",
            autocompletion=_complete_table,
            show_default=False,
        ),
    ] = None,
    format: Annotated[Literal["csv", "parquet", "jsonl"], typer.Option(help="How tables are written.")] = "csv",
    listener: Annotated[
        str | None,
        typer.Option(
            "--listener", help="Only this listener's rows.", show_default=False, autocompletion=_complete_listener
        ),
    ] = None,
    documents: Annotated[
        bool,
        typer.Option("--documents", help="One JSON document per play and per artist; alone if no table is named."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in that folder.")] = False,
    home: HomeOption = None,
) -> None:
    """Take your data elsewhere: tables as files, documents, or all that an empty lakehouse needs."""
    from spotify_assets import console
    from spotify_assets.own_data import ExportRequest, export_own_data
    from spotify_assets.settings import Settings

    settings = _settings(home)
    whose = Settings(home=settings.home, listener=listener).listener if listener else None
    request = ExportRequest(to, tuple(tables or ()), format, whose, documents, force)
    with console.progress_bar():
        report = export_own_data(settings, request)
    console.show_exported(report)


@app.command("restore")
def restore_command(
    source: Annotated[
        str | None,
        typer.Option(
            "--from", help="The mirror: s3://bucket/prefix, or a folder (SPOTIFY_ASSETS_MIRROR).", show_default=False
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="An older version: a folder's number, a VersionId of the manifest, or the number of a snapshot.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Rebuild the lakehouse from its mirror, on a machine that has none."""
    from spotify_assets import console
    from spotify_assets.commands import restore

    settings = _settings(home)
    with console.progress_bar():
        report = restore(settings, source=source, at=at)
    console.show_restored(settings, report)


@app.command()
def login(
    listener: ListenerOption = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Show the address; paste the one that the browser ends at.")
    ] = False,
    client_id: Annotated[
        str | None, typer.Option("--client-id", help="The Spotify app (SPOTIPY_CLIENT_ID).", show_default=False)
    ] = None,
    app_only: Annotated[
        bool, typer.Option("--app-only", help="Keep the app's id and secret; nobody signs in.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Sign a listener in to Spotify, read only; the app's id is asked for once. Again whenever it has ended."""
    import time

    from spotify_assets import console
    from spotify_assets.clock import Clock
    from spotify_assets.commands import spotify_offer
    from spotify_assets.spotify.sign_in import name_app, sign_in

    settings = _settings(home, listener)
    dialogue, now = console.SignInDialogue(), Clock().now
    if app_only:
        signed_in = name_app(settings, dialogue, now=now, client_id=client_id)
    else:
        signed_in = sign_in(
            settings, dialogue, now=now, sleep=time.sleep, client_id=client_id, uses_browser=not no_browser
        )
    console.show_signed_in(settings, signed_in)
    if signed_in.is_checked:
        console.show_offer(spotify_offer(settings, signed_in.listener))


@app.command()
def logout(listener: ListenerOption = None, home: HomeOption = None) -> None:
    """Forget a listener's sign-in; what came in stays."""
    from spotify_assets import console
    from spotify_assets.spotify.sign_in import sign_out

    settings = _settings(home, listener)
    console.show_signed_out(settings, was_signed_in=sign_out(settings))


@imports_app.callback()
def imports_command(context: typer.Context, home: HomeOption = None) -> None:
    """List what was imported, newest last."""
    if context.invoked_subcommand is None:
        from spotify_assets import console

        console.show_imports(_settings(home))


@imports_app.command("forget")
def forget_command(
    import_id: Annotated[int, typer.Argument(help="Number of the import, see `spotify-assets imports`.", min=1)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: HomeOption = None,
) -> None:
    """Take an import back: rows that no other import told go, the rest stay."""
    from spotify_assets import console
    from spotify_assets.commands import forget

    settings = _settings(home)
    if not yes:
        typer.confirm(f"Take import {import_id} back? Its files can be imported again.", abort=True)
    with console.progress_bar():
        finished = forget(settings, import_id)
    console.show_forgotten(settings, finished)
    raise typer.Exit(console.exit_code(finished))


@app.command()
def purge(
    listener: Annotated[
        str,
        typer.Option("--listener", help="Whose data goes.", show_default=False, autocompletion=_complete_listener),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: HomeOption = None,
) -> None:
    """Remove a person from everywhere: tables, snapshots, mirror, inbox, Dagster's history. Nothing brings it back."""
    from spotify_assets import console
    from spotify_assets.commands import plan_purge, purge_listener
    from spotify_assets.settings import Settings

    settings = _settings(home)
    name = Settings(home=settings.home, listener=listener).listener
    console.show_purge_plan(settings, plan_purge(settings, name))
    if not yes:
        typer.confirm(f"Remove all of this for good? There is no way back for {name}.", abort=True)
    with console.progress_bar():
        report = purge_listener(settings, name)
    console.show_purged(report)
    raise typer.Exit(console.PARTLY if report.remaining or report.emptied else 0)


@app.command()
def status(home: HomeOption = None) -> None:
    """Show where the lakehouse is, what it holds, what is stale, what ran last and what runs next."""
    from spotify_assets import console

    console.show_status(_settings(home))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65535)] = 3000,
    demo: Annotated[
        bool, typer.Option("--demo", help="On the demo (made first if need be), beside a demo Spotify that goes on.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Open the Dagster UI on this home; it serves until Ctrl-C."""
    from spotify_assets import console
    from spotify_assets.commands import is_port_free, serve_ui

    if not is_port_free(port):
        raise typer.BadParameter(
            f"{port} of 127.0.0.1 is taken by another program, perhaps another UI of yours. Choose another one.",
            param_hint="--port",
        )
    # What was started for it ends with it, also when a supervisor ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if demo:
        raise typer.Exit(_serve_demo(home, port))
    settings = _settings(home)
    console.tell_address(settings, port)
    raise typer.Exit(serve_ui(settings, port))


@service_app.command("install")
def service_install_command(
    ui: UiOption = False,
    port: PortOption = 3000,
    print_only: Annotated[bool, typer.Option("--print", help="Show the service's description only.")] = False,
    home: HomeOption = None,
) -> None:
    """Have this home looked after by a service of yours (systemd or launchd), from now on and at every login."""
    from spotify_assets import console, service

    settings = _settings(home)
    ui_port = port if ui else None
    described = service.service_of(settings, ui_port=ui_port)
    if print_only:
        console.print_plain(described.content)
        return
    service.install(described)
    console.show_installed(settings, described, ui_port)


@service_app.command("uninstall")
def service_uninstall_command(home: HomeOption = None) -> None:
    """Stop and remove the service of this home; the data stays."""
    from spotify_assets import console, service

    described = service.service_of(_settings(home))
    console.show_uninstalled(described, was_installed=service.uninstall(described))


@service_app.command("status")
def service_status_command(home: HomeOption = None) -> None:
    """Whether the service of this home is installed and running (exit code 1: it is not)."""
    from spotify_assets import console, service

    described = service.service_of(_settings(home))
    is_running = described.is_installed and service.is_running(described)
    console.show_service(described, is_running=is_running)
    raise typer.Exit(0 if is_running else 1)


@service_app.command("run")
def service_run_command(ui: UiOption = False, port: PortOption = 3000, home: HomeOption = None) -> None:
    """What the service does, here and now, until Ctrl-C: for containers and other supervisors."""
    from spotify_assets import service

    service.run(_settings(home), ui_port=port if ui else None)


@glue_app.command("sync")
def glue_sync_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Also change tables that were made for another mirror: it has moved.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Bring the AWS Glue database up to the schemas and the mirror on S3 (SPOTIFY_ASSETS_MIRROR=s3://…)."""
    from spotify_assets import console
    from spotify_assets.lakehouse import sync_glue

    console.show_glue(sync_glue(_settings(home), dry_run=dry_run, takes_over=take_over))


QuickOption = Annotated[
    bool, typer.Option("--quick", help="Read no file: compare manifest, sizes and, in a bucket, ETags.")
]


@mirror_app.command("verify")
def mirror_verify_command(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE]...", help="Tables such as clean.plays, or bi; all without.", show_default=False
        ),
    ] = None,
    quick: QuickOption = False,
    home: HomeOption = None,
) -> None:
    """Compare the mirror with the published file, table by table (exit code 1: something differs)."""
    from spotify_assets import console
    from spotify_assets.commands import verify_home_mirror

    settings = _settings(home)
    with console.progress_bar():
        found = verify_home_mirror(settings, tables or (), is_quick=quick)
    console.show_verification(found)
    raise typer.Exit(0 if found.is_equal else console.FAILED)


@mirror_app.command("sync")
def mirror_sync_command(quick: QuickOption = False, home: HomeOption = None) -> None:
    """Bring the mirror up to the published file and repair what differs (exit code 1: something still does)."""
    from spotify_assets import console
    from spotify_assets.commands import sync_home_mirror

    settings = _settings(home)
    with console.progress_bar():
        report = sync_home_mirror(settings, is_quick=quick, log=console.tell)
    console.show_sync(report)
    raise typer.Exit(0 if report.after.is_equal and not report.failure else console.FAILED)


@mirror_app.command("download")
def mirror_download_command(
    to: Annotated[Path, typer.Option("--to", help="Folder; new, empty, or an earlier download's.", file_okay=False)],
    at: Annotated[
        str,
        typer.Option(
            help="An older version: a folder's number, a VersionId of the manifest, or the number of a snapshot.",
            show_default=False,
        ),
    ] = "",
    bi: Annotated[bool, typer.Option("--bi", help="Only the BI copies.")] = False,
    home: HomeOption = None,
) -> None:
    """Fetch one version of the mirror as plain folders, for programs that cannot reach the bucket."""
    from spotify_assets import console
    from spotify_assets.commands import download_home_mirror

    settings = _settings(home)
    with console.progress_bar():
        report = download_home_mirror(settings, to, at=at, copies_only=bi)
    console.show_downloaded(report)


@app.command()
def demo(
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", help="Folder of the demo; .demo unless SPOTIFY_ASSETS_HOME says otherwise.", show_default=False
        ),
    ] = None,
    years: Annotated[int, typer.Option(help="Years of invented history.", min=1, max=15)] = _DEMO_YEARS,
    cohort: Annotated[
        Literal["extended", "development"],
        typer.Option(help="What kind of app asks: an old one, which is told more, or one made today."),
    ] = "extended",
) -> None:
    """Invent a listener, take in what Spotify would tell of them and show what comes out. Touches nobody's own home."""
    from spotify_assets import console
    from spotify_assets.demo_home import make_demo

    settings = _demo_settings(home)
    with console.progress_bar():
        finished = make_demo(settings, years=years, cohort=cohort)
    console.show_demo(settings, finished)
    raise typer.Exit(console.demo_exit_code(finished))


def _serve_demo(home: Path | None, port: int) -> int:
    from spotify_assets import console
    from spotify_assets.demo_home import is_demo, make_demo, serve_demo_ui

    settings = _demo_settings(home)
    if not is_demo(settings):
        with console.progress_bar():
            finished = make_demo(settings, years=_DEMO_YEARS)
        console.show_demo(settings, finished)
        if not finished.outcome.is_success:
            return console.demo_exit_code(finished)
    return serve_demo_ui(settings, port, tell=console.tell_demo_address)


def _demo_settings(home: Path | None) -> Settings:
    from spotify_assets.settings import Settings

    settings = Settings()
    if home is None and "home" not in settings.model_fields_set:
        home = Path.cwd() / ".demo"
    # A zone whose clocks change, so that the demo has the days of 23 and 25 hours.
    named: dict[str, Any] = {"listener": "demo", "timezone": settings.timezone or "Europe/Berlin"}
    return _use(Settings(home=home or settings.home, **named))


def main() -> None:
    """Run the command line; whatever goes wrong is told in words."""
    try:
        app()
    except KeyboardInterrupt:
        from spotify_assets import console

        console.complain("Stopped. What was committed is kept; run the command again for the rest.")
        sys.exit(130)
    except Exception as error:
        from spotify_assets import console

        sys.exit(console.explain(error, _log_folder))
