"""What a person sees in the terminal: progress, summaries and complaints. Computes nothing and changes nothing."""

from __future__ import annotations

import errno
import shlex
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from spotify_assets import progress
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.listeners import Household, HouseholdError
from spotify_assets.settings import Settings
from spotify_assets.state import State

if TYPE_CHECKING:
    import duckdb

    from spotify_assets.automation.overview import Overview
    from spotify_assets.automation.purging import PurgePlan, PurgeReport
    from spotify_assets.commands import Finished
    from spotify_assets.demo_home import DemoFinished
    from spotify_assets.lakehouse import GlueReport, MirrorReport
    from spotify_assets.lakehouse.mirror_downloading import DownloadReport
    from spotify_assets.lakehouse.mirror_verification import MirrorVerification, SyncReport
    from spotify_assets.lakehouse.restoring import RestoreReport
    from spotify_assets.one_shot import RunReport
    from spotify_assets.own_data import ExportReport
    from spotify_assets.service import Service
    from spotify_assets.spotify.sign_in import SignedIn
    from spotify_assets.state import Published

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

FAILED, WRONG_USE, PARTLY, BUSY = 1, 2, 3, 75
"""Exit codes, see `cli`."""

_PROBLEMS_SHOWN = 20
_LEAST_ROOM_BYTES = 1_000_000
_WAY = {"raw": 0, "clean": 1, "daily": 2}


@contextmanager
def progress_bar() -> Iterator[None]:
    """Show what is being done for as long as the context lasts; plain lines where the output is no terminal."""
    if not _err.is_terminal:
        last: list[str] = []

        def tell_line(what: str, done: int, total: int) -> None:
            if last != [what]:
                last[:] = [what]
                _err.print(f"{what} …")

        with progress.listening(tell_line):
            yield
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_err, transient=True) as bar:
        task = bar.add_task("Starting", total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        with progress.listening(tell):
            yield


def tell_zone(settings: Settings) -> None:
    """Say aloud when the time zone is a guess: every day of every table depends on it."""
    is_told = any(each.name == settings.listener and each.zones for each in Household.of(settings).listeners)
    if settings.is_timezone_guessed and not is_told:
        _err.print(
            f"Time zone: [bold]{settings.zone_name}[/] (this machine's). If you lived elsewhere, set "
            "SPOTIFY_ASSETS_TIMEZONE, for example to America/New_York."
        )


def tell_address(settings: Settings, port: int) -> None:
    """Say where the UI will be."""
    _out.print(
        f"Dagster UI of {settings.home}: http://127.0.0.1:{port} in some seconds; Ctrl-C stops it.", soft_wrap=True
    )


def exit_code(finished: Finished) -> int:
    """0 done, 1 failed or nothing to do, 3 done but something was damaged."""
    report = finished.report
    if finished.failure or not finished.outcome.is_success:
        return FAILED
    if not report["files"] and not report["forgotten_rows"]:
        return FAILED if report["problems"] or not report["import_id"] else 0
    return PARTLY if finished.has_damage else 0


def run_exit_code(report: RunReport) -> int:
    """0 done or nothing due, 1 something failed, 3 done but something needs a person."""
    if report.failures:
        return FAILED
    return PARTLY if report.needs else 0


def show_run(settings: Settings, report: RunReport) -> None:
    """What a run did, in the end and in one piece: there is nobody who watches."""
    if report.restored:
        rows = sum(report.restored.rows.values())
        told = f", as of {report.restored.published_at:%Y-%m-%d %H:%M} UTC" if report.restored.published_at else ""
        _out.print(Text(f"Restored from {report.restored.address}: {rows:,} rows{told}."), soft_wrap=True)
        report.notes[:0] = report.restored.remarks
    for each in report.taken_in:
        _out.print(Text(f"Taken in {each.name} of {each.listener}: {each.rows_new:,} new rows."), soft_wrap=True)
    for job_name, has_news in report.asked.items():
        _out.print(f"Asked Spotify ({job_name}): {'something new came' if has_news else 'nothing new'}.")
    _out.print(f"Built {report.built_days:,} days." if report.built_days else "No day was to be built.")
    published = State(settings.paths.state_file).published()
    if published and (plays := published.tables.get("clean.plays")):
        days = f", {plays.first_day} to {plays.last_day}" if plays.rows else ""
        _out.print(f"The lakehouse holds {plays.rows:,} plays{days}.")
    for note in report.notes:
        _out.print(Text(f"Note: {note}"), soft_wrap=True)
    for need in report.needs:
        _out.print(Text(f"Needs you: {need}", style="yellow"), soft_wrap=True)
    for failure in report.failures:
        _out.print(Text(f"Failed: {failure}", style="red"), soft_wrap=True)
    endings = {0: "All done.", PARTLY: "Done, but something needs you.", FAILED: "Something failed; the rest is done."}
    _out.print(endings[run_exit_code(report)])


def replay_exit_code(finished: Finished) -> int:
    """0 done, 1 failed or nothing could be read, 3 done but lines or files were left out."""
    if finished.failure or not finished.outcome.is_success or not finished.report["responses"]:
        return FAILED
    return PARTLY if finished.has_damage else 0


def demo_exit_code(finished: DemoFinished) -> int:
    """As `exit_code`; 1 also when nothing came of asking the demo Spotify."""
    asked = finished.asked
    return FAILED if asked and not asked.outcome.is_success else exit_code(finished)


def show_glue(report: GlueReport) -> None:
    """What of the Glue database was, or in a dry run would be, changed."""
    marks = {"create": ("+", "green"), "update": ("~", "yellow"), "remove": ("-", "red")}
    for change in report.changes:
        mark, style = marks[change.action]
        _out.print(Text(f"{mark} {change.what}", style=style) + Text(f"  {change.why}", style="dim"), soft_wrap=True)
    what = f"Glue database {report.database}, {report.tables} tables with {report.partitions:,} partitions"
    done = "Nothing to change."
    if report.changes:
        done = f"{len(report.changes)} changes {'would be made; nothing was written' if report.is_dry_run else 'made'}."
    _out.print(Text(f"{what} of {report.location}: {done}"), soft_wrap=True)


def show_verification(found: MirrorVerification) -> None:
    """How the mirror compares with the published file."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("table")
    for name in ("files", "MB", "rows", "rows in the mirror"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in found.tables:
        rows = ["" if number is None else f"{number:,}" for number in (each.warehouse_rows, each.mirror_rows)]
        number = len(each.differences)
        differs = "1 difference" if number == 1 else f"{number:,} differences"
        told = Text("equal", style="green") if each.is_equal else Text(differs, style="red")
        table.add_row(Text(each.name), f"{each.files:,}", f"{each.size_bytes / 1e6:,.1f}", *rows, told)
    if found.tables:
        _out.print(table)
    _show_differences(found)
    for note in found.notes:
        _out.print(Text(note, style="dim"), soft_wrap=True)
    how = " (files were not read)" if found.is_quick else ""
    if found.is_equal:
        told = f"The mirror in {found.address} equals the published file, snapshot {found.published_sequence}{how}."
        _out.print(Text(told, style="green"), soft_wrap=True)
        return
    compared = f"snapshot {found.compared_sequence}"
    complain(f"The mirror in {found.address} differs{how}. It was compared with {compared}.")
    complain("`spotify-assets mirror sync` repairs it; what somebody else has put there you have to move away.")


def _show_differences(found: MirrorVerification) -> None:
    differences = found.all_differences
    for each in differences[:_PROBLEMS_SHOWN]:
        _err.print(Text(f"{each.kind}: ", style="red") + Text(str(each)))
    if len(differences) > _PROBLEMS_SHOWN:
        _err.print(f"… and {len(differences) - _PROBLEMS_SHOWN:,} more.")


def show_sync(report: SyncReport) -> None:
    """What was wrong with the mirror, what was done, and how it is now."""
    if report.before.differences or not report.before.is_equal:
        _out.print("Found:")
        _show_differences(report.before)
    if report.failure:
        complain(f"The mirror could not be written: {report.failure.rstrip('.')}. Run this again.")
        return
    written = report.written
    if written is None:
        _out.print("There was nothing to write.")
    else:
        _out.print(
            f"files: {written.written:,} put ({written.written_bytes / 1e6:,.1f} MB), {written.removed:,} of the "
            f"manifest removed, {written.unchanged:,} as they were."
        )
    show_verification(report.after)


def show_downloaded(report: DownloadReport) -> None:
    """What a download brought."""
    _out.print(
        f"Snapshot {report.snapshot_sequence}: {report.files:,} files ({report.size_bytes / 1e6:,.1f} MB), "
        f"{report.fetched:,} of them fetched ({report.fetched_bytes / 1e6:,.1f} MB)."
    )
    _out.print(f"Downloaded to {report.folder}", soft_wrap=True, markup=False)


def tell(message: str) -> None:
    """Something that happened on the way."""
    _err.print(Text(message, style="yellow"))


def complain(message: str) -> None:
    _err.print(Text(message, style="red"))


def explain(error: Exception, log_folder: Path | None) -> int:
    """Say what went wrong in words; returns the exit code.

    An error that nobody foresaw is written whole into a file in `log_folder`, and the file is named.
    """
    from pydantic import ValidationError

    from spotify_assets.instance import HomeNotWritable
    from spotify_assets.lakehouse import DownloadRefused, LakehouseError
    from spotify_assets.own_data.errors import ExportFailed, ExportRefused
    from spotify_assets.service import ServiceUnavailable
    from spotify_assets.spotify.errors import SpotifyError, WrongUse
    from spotify_assets.state import StateError

    if isinstance(error, ValidationError):
        for detail in error.errors():
            name = "_".join(str(part) for part in detail["loc"]).upper()
            reason = detail["msg"].removeprefix("Value error, ")
            complain(f"The setting SPOTIFY_ASSETS_{name} cannot be used: {reason}.")
        return WRONG_USE
    if isinstance(error, HouseholdError | WrongUse | ExportRefused | DownloadRefused):
        complain(str(error))
        return WRONG_USE
    if isinstance(error, HomeNotWritable | LakehouseError | ServiceUnavailable | ExportFailed):
        complain(str(error))
        return FAILED
    if log_folder is not None and _is_disk_full(error, log_folder.parent):
        complain(
            f"The disk is full: {log_folder.parent} could not be written to the end. What was committed before is "
            "kept. Free some space, then run this again."
        )
        return FAILED
    if isinstance(error, StateError | SpotifyError):
        complain(str(error))
        return FAILED
    complain(f"Something unexpected went wrong: {type(error).__name__}: {error}")
    story = "".join(traceback.format_exception(error))
    if log_folder is None:
        complain(story)
        return FAILED
    try:
        log_folder.mkdir(parents=True, exist_ok=True)
        log = log_folder / "last-error.txt"
        log.write_text(story)
        complain(f"The whole story is in {log}. What was committed before is kept.")
    except OSError:
        complain(story)
    return FAILED


def _is_disk_full(error: BaseException | None, home: Path) -> bool:
    """Whether an error, or one that led to it, is that of a full disk."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error):
            return True
        # What SQLite says when it cannot make its side files.
        if "disk I/O error" in str(error) and shutil.disk_usage(home).free < _LEAST_ROOM_BYTES:
            return True
        error = error.__cause__ or error.__context__
    return False


def _show_failure(finished: Finished) -> None:
    if finished.failure:
        complain(finished.failure)


def _show_problems(finished: Finished) -> None:
    for problem in finished.problems[:_PROBLEMS_SHOWN]:
        style = "red" if problem["is_damage"] else "yellow"
        _err.print(Text(f"{problem['file']}: ", style=style) + Text(problem["message"]))
    more = len(finished.problems) - _PROBLEMS_SHOWN
    if more > 0:
        more += finished.report.get("problems_left_out", 0)
        _err.print(f"… and {more:,} more; the run's page in the UI lists them.")


def _counts(report: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("file")
    table.add_column("kind")
    for name in ("rows", "new", "known", "rejected"):
        table.add_column(name, justify="right")
    for file in report.get("files", []):
        kind = file["kind"] if file["generation"] in (None, file["kind"]) else f"{file['kind']} {file['generation']}"
        numbers = (f"{file[name]:,}" for name in ("rows_in", "rows_new", "rows_known", "rows_rejected"))
        table.add_row(Text(_file_name(file)), kind, *numbers)
    if len(report.get("files", [])) > 1:
        numbers = (f"{report[name]:,}" for name in ("rows_in", "rows_new", "rows_known", "rows_rejected"))
        table.add_row("all files", "", *numbers, style="bold")
    return table


def _file_name(file: dict[str, Any]) -> str:
    """The name without its folders: what tells files of one export apart."""
    return Path(file["file_name"]).name


def _show_report(finished: Finished) -> None:
    report = finished.report
    if report.get("files"):
        _out.print(_counts(report))
    for reason, rows in sorted(report.get("rejected_by_reason", {}).items(), key=lambda item: -item[1]):
        _out.print(f"  rejected {rows:,}: {escape(reason)}")
    unknown: dict[str, int] = {}
    for file in report.get("files", []):
        for name, rows in file["unknown_keys"].items():
            unknown[name] = unknown.get(name, 0) + rows
    if unknown:
        named = ", ".join(f"{escape(name)} ({rows:,} rows)" for name, rows in sorted(unknown.items()))
        _out.print(f"  keys that no known generation has, kept as JSON: {named}")
    if report.get("repeated"):
        _out.print(f"  came in twice, counted once: {len(report['repeated'])} files")
    if report.get("ignored"):
        shown = ", ".join(escape(Path(name).name) for name in report["ignored"][:6])
        more = f" and {len(report['ignored']) - 6} more" if len(report["ignored"]) > 6 else ""
        _out.print(f"  left unread: {shown}{more}")


def show_import(settings: Settings, finished: Finished) -> None:
    """What an import brought."""
    _show_report(finished)
    _show_problems(finished)
    _show_failure(finished)
    if not finished.outcome.is_success:
        return
    report = finished.report
    if not report.get("files"):
        complain("Nothing was imported.")
    elif report["rows_new"] == 0:
        _out.print(f"[bold]0 new rows[/]: the lakehouse knew all {report['rows_known']:,} of them already.")
    else:
        _out.print(f"[bold green]{report['rows_new']:,} new rows[/], {finished.outcome.built_days:,} days built.")
    if settings.paths.published_file.exists():
        _out.print(f"Lakehouse: {settings.paths.published_file}", soft_wrap=True)
    _show_mirror_trouble(settings)


def show_exported(report: ExportReport) -> None:
    """What an export wrote; exports in Spotify's format as one line for each listener."""
    rows: dict[str, tuple[int, int, int]] = {}
    for file in report.files:
        parts = file.path.split("/")
        name = "/".join(parts[:2]) + "/" if len(parts) > 2 else file.path
        files, number, size_bytes = rows.get(name, (0, 0, 0))
        rows[name] = (files + 1, number + file.rows, size_bytes + file.size_bytes)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("file")
    for name in ("files", "rows", "MB"):
        table.add_column(name, justify="right")
    for name, (files, number, size_bytes) in rows.items():
        table.add_row(Text(name), f"{files:,}", f"{number:,}", f"{size_bytes / 1e6:,.1f}")
    _out.print(table)
    when = f", published {report.published_at:%Y-%m-%d %H:%M} UTC" if report.published_at else ""
    _out.print(f"Version {report.sequence} of the lakehouse{when}.")
    if report.commands:
        _out.print("README.txt says how an empty lakehouse takes it in.")
    _out.print(f"Exported to {report.folder}", soft_wrap=True, markup=False)


def show_replay(settings: Settings, finished: Finished) -> None:
    """What a replay brought."""
    _show_problems(finished)
    _show_failure(finished)
    if not finished.outcome.is_success:
        return
    report = finished.report
    for reason, items in sorted(report["rejected_by_reason"].items(), key=lambda item: -item[1]):
        _out.print(f"  rejected {items:,}: {escape(reason)}")
    if not report["responses"]:
        complain("Nothing was replayed: no line of these files is a response.")
    elif report["responses_new"] == 0:
        _out.print(f"[bold]0 new rows[/]: the lakehouse knew all {report['responses']:,} responses already.")
    else:
        table = Table(box=None, show_header=False)
        for name, rows in sorted(report["rows_new"].items()):
            table.add_row(Text(name), f"{rows:,} rows")
        _out.print(table)
        _out.print(
            f"[bold green]{report['responses_new']:,} new responses[/] of {report['responses']:,}, "
            f"{finished.outcome.built_days:,} days built."
        )
    if settings.paths.published_file.exists():
        _out.print(f"Lakehouse: {settings.paths.published_file}", soft_wrap=True)


def show_forgotten(settings: Settings, finished: Finished) -> None:
    """What taking an import back did."""
    _show_failure(finished)
    if finished.outcome.is_success:
        report = finished.report
        _out.print(
            f"Import {report['import_id']} is taken back: {report['forgotten_rows']:,} rows that nothing else told are "
            f"gone, {finished.outcome.built_days:,} days built anew."
        )


def show_restored(settings: Settings, report: RestoreReport) -> None:
    """What came back, how old it is, and what is still to be done."""
    table = Table(box=None, pad_edge=False)
    table.add_column("restored")
    table.add_column("tables", justify="right")
    table.add_column("rows", justify="right")
    schemas = dict.fromkeys(name.partition(".")[0] for name in report.rows)
    for schema in sorted(schemas, key=lambda name: (_WAY.get(name, len(_WAY)), name)):
        rows = [count for name, count in report.rows.items() if name.startswith(f"{schema}.")]
        table.add_row(schema, f"{len(rows)}", f"{sum(rows):,}")
    _out.print(table)
    told = [f"Restored from {report.address}: snapshot {report.snapshot_sequence}, {report.files:,} files."]
    if report.published_at is not None:
        told.append(
            f"It is the lakehouse as it was published at {report.published_at:%Y-%m-%d %H:%M} UTC; what came later is "
            "not in it."
        )
    if report.known_until is not None:
        told.append(f"Plays are known until {report.known_until:%Y-%m-%d %H:%M} UTC.")
    if not report.is_complete:
        told.append("The mirror is of an earlier version of this program: the next run builds every day anew.")
    if not report.is_own_mirror:
        told.append(f"From now on this home is mirrored to {settings.mirror_address}.")
    told += report.remarks
    told.append("Sign-ins are in no mirror: run spotify-assets login again.")
    for sentence in told:
        _out.print(Text(sentence), soft_wrap=True)


def show_purge_plan(settings: Settings, plan: PurgePlan) -> None:
    """What a purge will remove."""
    _out.print(Text(f"Of {plan.listener}, {settings.home} holds:"), soft_wrap=True)
    if plan.is_unfinished:
        _out.print("  what an interrupted purge has left")
    table = Table(box=None, show_header=False)
    for name, rows in sorted(plan.rows.items()):
        table.add_row(Text(name), f"{rows:,} rows")
    if plan.rows:
        _out.print(table)
    if plan.runs:
        _out.print(f"  {len(plan.runs):,} runs in Dagster's history, with their events")
    for path in plan.files:
        _out.print(Text(f"  {path}, also what you put there"), soft_wrap=True)
    if plan.is_in_household:
        _out.print(Text(f"  an entry in {settings.paths.listeners_file}"), soft_wrap=True)
    if plan.is_alone:
        _out.print("Nobody else has data here: every snapshot, the mirror and all runs go, the home becomes as new.")
    else:
        _out.print("Older snapshots and mirror versions go too; those of the others are made anew.")


def show_purged(report: PurgeReport) -> None:
    """What a purge removed."""
    rows = sum(report.plan.rows.values())
    _out.print(
        Text(
            f"{report.plan.listener} is removed: {rows:,} rows of {len(report.plan.rows)} tables, "
            f"{len(report.plan.runs):,} runs, {len(report.plan.files)} files and folders, older snapshots and mirror "
            "versions."
        )
    )
    for table in report.emptied:
        complain(f"{table} has no column listener and was emptied: materialize it again.")
    for remaining in report.remaining:
        complain(remaining)


class SignInDialogue:
    """How a sign-in talks with a person in the terminal (`spotify.sign_in.Dialogue`)."""

    def explain_app(self, redirect_uri: str) -> None:
        """How to make an app."""
        _out.print(
            "No Spotify app is named yet. Make one, it takes a minute (its owner needs Premium):\n"
            "  1. Open https://developer.spotify.com/dashboard, log in, Create app; any name will do.\n"
            f"  2. Redirect URIs: {redirect_uri}\n"
            "  3. Which API: Web API. Save; the client id stands on the page of the app.",
            soft_wrap=True,
            markup=False,
        )

    def ask_client_id(self) -> str:
        return self._ask("Client id")

    def ask_client_secret(self) -> str:
        """The secret is not shown; at the end of a piped input there is none."""
        if not sys.stdin.isatty():
            return sys.stdin.readline()
        return _out.input("Client secret (not needed to sign in; Enter leaves it as it is): ", password=True)

    def show_redirect_uri(self, redirect_uri: str) -> None:
        """What must be registered."""
        _out.print(
            "Among the redirect URIs of the app (https://developer.spotify.com/dashboard) must be exactly:\n"
            f"  {redirect_uri}",
            soft_wrap=True,
            markup=False,
        )

    def show_address(self, url: str, *, seconds: float | None) -> None:
        """Spotify's page."""
        if seconds is None:
            _out.print("Open this page in any browser, on any machine, and agree:")
        else:
            _out.print(
                f"Your browser opens Spotify's page now; agree there within {seconds:.0f} s. If none opens, open it "
                "yourself:",
                soft_wrap=True,
            )
        _out.print(f"  {url}", soft_wrap=True, markup=False)
        # A browser may write to the terminal next.
        _out.file.flush()

    def ask_answer(self) -> str:
        """The address at which the browser ended."""
        return self._ask("The browser then ends at an address that it may not be able to show. Paste that address")

    def refuse_answer(self) -> None:
        complain("That is not the answer to this sign-in. Copy the whole address from the browser's address bar.")

    def _ask(self, question: str) -> str:
        from spotify_assets.spotify.errors import WrongUse

        try:
            return _out.input(f"{question}: ", markup=False)
        except EOFError:
            raise WrongUse(
                "There is nobody here to ask (the input has ended). Name the app with SPOTIPY_CLIENT_ID or "
                "--client-id; sign in where a person can answer."
            ) from None


def show_signed_in(settings: Settings, signed_in: SignedIn) -> None:
    """What a sign-in brought, and what works now."""
    if not signed_in.listener:
        _out.print("Spotify knows the app: tracks, albums and artists can be asked for, without anybody's sign-in.")
        _out.print(f"Kept in {settings.paths.credentials_file}, for your eyes alone.", soft_wrap=True)
        return
    ends = signed_in.sign_in.ends_at.astimezone(ZoneInfo(settings.zone_name))
    _out.print(Text(f"{signed_in.listener} is signed in until {ends:%Y-%m-%d}; Spotify ends it then.", style="green"))
    if not signed_in.is_checked:
        complain(
            "Whether Spotify lets this account in could not be checked just now. `spotify-assets login` again tells."
        )
    _out.print(
        "What works now: new plays, top lists, saved tracks and playlists come in by themselves while the service or "
        "the UI runs (`spotify-assets service install`, `spotify-assets ui`).\n"
        "Spotify tells the last 50 plays only. Ask for everything before at https://www.spotify.com/account/privacy/ "
        "(extended streaming history), then: spotify-assets import my_spotify_data.zip",
        soft_wrap=True,
    )


def show_offer(offer: str) -> None:
    """What Spotify offers to the app that is signed in with."""
    _out.print(Text(offer, style="dim"), soft_wrap=True)


def show_signed_out(settings: Settings, *, was_signed_in: bool) -> None:
    """What signing out did, and what stays."""
    if not was_signed_in:
        _out.print(Text(f"{settings.listener} was not signed in; nothing was changed."))
        return
    _out.print(Text(f"{settings.listener} is signed out: the token is removed, nothing new is asked for."))
    stays = "What came in stays (spotify-assets purge removes it)"
    if settings.paths.credentials_file.exists():
        stays += f", and so does the app in {settings.paths.credentials_file}"
    _out.print(Text(f"{stays}. Spotify remembers your consent: https://www.spotify.com/account/apps/"), soft_wrap=True)


def show_imports(settings: Settings) -> None:
    """The ledger."""
    from spotify_assets.lakehouse import NothingPublished, scan_table

    try:
        ledger = scan_table(settings.home, "raw.imports").collect().sort("import_id", "file_id")
    except NothingPublished:
        ledger = None
    if ledger is None or ledger.is_empty():
        _out.print("Nothing has been imported yet. Run: spotify-assets import my_spotify_data.zip")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("import", "when (UTC)", "listener", "file", "kind"):
        table.add_column(name)
    for name in ("rows", "new", "known", "rejected"):
        table.add_column(name, justify="right")
    last = None
    for row in ledger.iter_rows(named=True):
        is_first = row["import_id"] != last
        last = row["import_id"]
        table.add_row(
            str(row["import_id"]) if is_first else "",
            f"{row['imported_at']:%Y-%m-%d %H:%M}" if is_first else "",
            Text(row["listener"]) if is_first else "",
            Text(_file_name(row)),
            row["kind"] if row["generation"] in (None, row["kind"]) else f"{row['kind']} {row['generation']}",
            *(f"{row[name]:,}" for name in ("rows_in", "rows_new", "rows_known", "rows_rejected")),
        )
    _out.print(table)


_REASONS = {
    "new": "not built yet",
    "changed": "other plays by now",
    "code": "built by other code",
    "gone": "no longer in the history",
}
_ENDINGS = {"SUCCESS": "", "FAILURE": " [red]failed[/]", "CANCELED": " [yellow]canceled[/]"}


def show_status(settings: Settings) -> None:
    """Where the lakehouse is, what it holds, what is stale, and when what ran last and runs next."""
    from spotify_assets.automation.overview import look_at
    from spotify_assets.clock import Clock
    from spotify_assets.instance import outdated_configuration_hint

    now = Clock().now()
    overview = look_at(settings, now)
    paths = settings.paths
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("home", Text(str(paths.home)))
    guessed = " (this machine's; set SPOTIFY_ASSETS_TIMEZONE to change it)" if settings.is_timezone_guessed else ""
    table.add_row("time zone", settings.zone_name + guessed)
    _add_household(table, settings)
    if overview.published is None:
        table.add_row("lakehouse", "nothing published yet; run: spotify-assets import my_spotify_data.zip")
    else:
        _add_published(table, settings, overview.published, now)
    _add_sign_ins(table, settings, now)
    _add_stale(table, overview)
    _add_runs(table, settings, overview, now)
    if overview.is_configuration_outdated:
        table.add_row("dagster.yaml", Text(outdated_configuration_hint(paths)))
    _out.print(table)


def _add_published(table: Table, settings: Settings, published: Published, now: datetime) -> None:
    table.add_row("lakehouse", Text(str(settings.paths.published_file)))
    _add_mirror(table, settings, published, now)
    table.add_row("published", f"{_moment(published.published_at, settings, now)}, snapshot {published.sequence}")
    plays = published.tables.get("clean.plays")
    if plays:
        days = f" ({plays.first_day} to {plays.last_day})" if plays.rows else ""
        table.add_row("plays", f"{plays.rows:,}{days}")


def _add_mirror(table: Table, settings: Settings, published: Published, now: datetime) -> None:
    address = settings.mirror_link
    state = MirrorState.of(State(settings.paths.state_file))
    table.add_row("mirror", Text(address))
    if state is None or state.address != address:
        table.add_row("", "nothing mirrored there yet; the next run does")
    elif state.failure:
        since = datetime.fromisoformat(state.failing_since)
        told = f"not up to date since {_moment(since, settings, now)}: {state.failure}"
        table.add_row("", Text(told, style="yellow"))
    elif state.snapshot_sequence != published.sequence:
        table.add_row("", f"holds snapshot {state.snapshot_sequence}; the next run brings it up to date")


def _show_mirror_trouble(settings: Settings) -> None:
    """Say that the mirror could not be written: what was asked for has worked, so nothing else would."""
    state = MirrorState.of(State(settings.paths.state_file))
    if state is not None and state.failure:
        failure = state.failure.rstrip(".")
        told = f"The mirror is not up to date: {failure}. The lakehouse itself is; the next run tries again."
        _err.print(Text(told, style="yellow"))


def _add_stale(table: Table, overview: Overview) -> None:
    if not overview.stale:
        table.add_row("stale days", "none")
    label = "stale days"
    for alike in overview.stale:
        days = f"{alike.days:,} days" if alike.days > 1 else "1 day"
        span = f"{alike.first} to {alike.last}" if alike.days > 1 else f"{alike.first}"
        table.add_row(label, f"{', '.join(alike.tables)}: {days}, {span}, {_REASONS.get(alike.reason, alike.reason)}")
        label = ""
    if overview.stale and not overview.is_daemon_alive:
        table.add_row("", "the job everything_due builds them, and so does the daemon once it runs")


def _add_runs(table: Table, settings: Settings, overview: Overview, now: datetime) -> None:
    for purpose in overview.in_progress:
        table.add_row("running now", Text(purpose))
    for job_name, label in (
        ("import_exports", "last import"),
        ("poll", "last poll"),
        ("nightly", "last night"),
        ("everything_due", "last full build"),
    ):
        if run := overview.last_runs.get(job_name):
            ending = _ENDINGS.get(run.status, " [yellow]goes on[/]")
            table.add_row(label, f"{_moment(run.at, settings, now)}{ending}")
    night = "switched off" if overview.next_night is None else _moment(overview.next_night, settings, now)
    if overview.is_daemon_alive:
        table.add_row("next night", night)
        table.add_row("daemon", "[green]running[/]: nightly schedule, inbox and stale days are looked after")
    else:
        seen = f", last seen {_moment(overview.daemon_seen_at, settings, now)}" if overview.daemon_seen_at else ""
        table.add_row(
            "daemon",
            f"not running{seen}: nothing runs by itself. `spotify-assets service install` starts it for good, "
            "`spotify-assets ui` while it is open",
        )
    if overview.switched_off:
        table.add_row("switched off", f"{', '.join(overview.switched_off)} (on the Automation page of the UI)")


def _moment(instant: datetime, settings: Settings, now: datetime) -> str:
    """An instant in the listener's zone, and how far away it is."""
    seconds = round((instant - now).total_seconds())
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if number := abs(seconds) // size:
            amount = f"{number} {name}{'s' if number > 1 else ''}"
            distance = f"in {amount}" if seconds > 0 else f"{amount} ago"
            break
    else:
        distance = "just now"
    return f"{instant.astimezone(ZoneInfo(settings.zone_name)):%Y-%m-%d %H:%M} [dim]({distance})[/]"


def show_service(service: Service, *, is_running: bool) -> None:
    """Whether the service is installed and running."""
    if not service.is_installed:
        _out.print(f"The service {service.name} is not installed. `spotify-assets service install` does it.")
        return
    running = "[green]running[/]" if is_running else "[red]not running[/]"
    _out.print(f"The service {service.name} is installed ({service.file}) and {running}.", soft_wrap=True)
    if not is_running and not service.is_launchd:
        _out.print(f"Why: journalctl --user -u {service.name}", soft_wrap=True)


def show_installed(settings: Settings, service: Service, ui_port: int | None) -> None:
    """What the service will do, and what to know."""
    _out.print(f"The service {service.name} is installed ({service.file}) and started.", soft_wrap=True)
    if ui_port is not None:
        _out.print(f"Dagster UI: http://127.0.0.1:{ui_port}")
    _out.print(f"Drop exports into {settings.paths.inbox_folder(settings.listener)}", soft_wrap=True)
    if service.is_launchd:
        _out.print(f"Its words: {service.log}", soft_wrap=True)
    else:
        _out.print(f"Its words: journalctl --user -u {service.name}", soft_wrap=True)
        _out.print("It runs while you are logged in. For always: loginctl enable-linger", soft_wrap=True)


def show_uninstalled(service: Service, *, was_installed: bool) -> None:
    """What uninstalling did."""
    if was_installed:
        _out.print(f"The service {service.name} is stopped and removed. The home is as it was.")
    else:
        _out.print(f"The service {service.name} was not installed.")


def print_plain(text: str) -> None:
    """Text that is made to be read by another program."""
    _out.file.write(text)


def _add_household(table: Table, settings: Settings) -> None:
    """Who lives here, in which zones and since when."""
    household = Household.of(settings)
    if not household.listeners:
        table.add_row("listener", Text(settings.listener))
    label = "household"
    for listener in household.listeners:
        zones = "; ".join(f"{begin} {zone}" if begin else zone for begin, zone in household.zones_of(listener.name))
        market = f", market {listener.market}" if listener.market else ""
        table.add_row(label, Text(f"{listener.name}: {zones}{market}"))
        label = ""


def _add_sign_ins(table: Table, settings: Settings, now: datetime) -> None:
    """Who is signed in to Spotify, for how long, and who must sign in (again)."""
    from spotify_assets.spotify.token_folder import Standing, TokenFolder, sign_in_state

    folder = TokenFolder(settings.paths.tokens_folder)
    signed_in = folder.listeners()
    names = [each.name for each in Household.of(settings).listeners] or [settings.listener]
    label = "signed in"
    # Of a home whose exports are all that anybody wants, one line says enough.
    for listener in dict.fromkeys([*names, *signed_in]) if signed_in else ():
        state = sign_in_state(folder, listener, now=now)
        table.add_row(label, Text(state.message, style="" if state.standing == Standing.GOOD else "yellow"))
        label = ""
    _add_spotify(table, settings, now, is_anybody_signed_in=bool(signed_in))


def _add_spotify(table: Table, settings: Settings, now: datetime, *, is_anybody_signed_in: bool) -> None:
    """What Spotify offers to the app that is known, what was asked of it today, and what is still to be asked for."""
    from spotify_assets.spotify.credentials import CredentialsUnusable, credentials_of
    from spotify_assets.spotify.status import status_lines

    try:
        credentials = credentials_of(settings)
    except CredentialsUnusable as error:
        table.add_row("Spotify", Text(str(error), style="yellow"))
        return
    if not is_anybody_signed_in:
        table.add_row(
            "signed in", "nobody; exports need no sign-in. New plays come in by themselves after: spotify-assets login"
        )
    if credentials is None or not settings.paths.state_file.exists():
        return
    label = "Spotify"
    for line in status_lines(settings, now=now, application=credentials.client_id):
        table.add_row(label, Text(line))
        label = ""


def show_demo(settings: Settings, finished: DemoFinished) -> None:
    """What the demo made, and what to type next."""
    from spotify_assets.lakehouse import connect

    _show_problems(finished)
    _show_failure(finished)
    if not finished.outcome.is_success:
        return
    paths = settings.paths
    _out.print()
    _out.print(_counts(finished.report))
    for reason, rows in sorted(finished.report.get("rejected_by_reason", {}).items(), key=lambda item: -item[1]):
        _out.print(f"  rejected {rows:,}: {escape(reason)}")
    with connect(settings.home) as connection:
        plays, hours, first, last, tracks, artists = (
            connection.sql(
                "select count(*), sum(ms_played) / 3600000, min(played_on), max(played_on), "
                "count(distinct track_key), count(distinct artist_key) from clean.plays"
            ).fetchall()[0]
            or ()
        )
        top = connection.sql(
            "select artist_name, sum(ms_played) / 3600000 as hours, sum(plays)::bigint as plays from daily.artists "
            "group by artist_name order by hours desc limit 8"
        ).fetchall()
        sources = dict(connection.sql("select rule, count(*) from clean.play_sources group by rule").fetchall())
        live = _live_figures(connection)
    _out.print(
        f"\n[bold]{plays:,} plays[/], {hours:,.0f} hours, {tracks:,} tracks by {artists:,} artists, {first} to {last}"
    )
    rows = finished.report["rows_in"]
    _out.print(
        f"[dim]{rows:,} rows came in; {finished.report['rows_known']:,} were known from another package, "
        f"{sources.get('superseded', 0):,} say less than a better row, {sources.get('copy', 0):,} are copies, "
        f"{sources.get('basic_of_extended', 0):,} tell of an extended play again.[/]\n"
    )
    chart = Table(box=None, pad_edge=False, header_style="dim", title="Top artists", title_justify="left")
    chart.add_column("artist")
    chart.add_column("hours", justify="right")
    chart.add_column("plays", justify="right")
    chart.add_column("")
    for name, artist_hours, artist_plays in top:
        bar = "█" * max(1, round(28 * artist_hours / top[0][1]))
        chart.add_row(Text(name), f"{artist_hours:,.0f}", f"{artist_plays:,}", Text(bar, style="green"))
    _out.print(chart)
    _show_demo_live(finished, live)
    _out.print()
    _out.print(f"DuckDB file  {paths.published_file}", soft_wrap=True)
    _out.print(f"Parquet      {settings.mirror_link}", soft_wrap=True)
    _show_mirrored(settings, finished.mirror)
    _show_mirror_trouble(settings)
    _out.print("\n[dim]Next, each line can be pasted:[/]")
    program = shlex.quote(str(_program()))
    home = shlex.quote(str(paths.home))
    python = shlex.quote(str(_program().with_name("python")))
    question = "import spotify_assets; print(spotify_assets.table('daily.artists').collect())"
    for line in (
        f"{program} ui --demo --home {home}",
        f"{program} imports --home {home}",
        f"SPOTIFY_ASSETS_HOME={home} {python} -c {shlex.quote(question)}",
        f"{program} import ~/Downloads/my_spotify_data.zip",
        f"{program} restore --from {shlex.quote(settings.mirror_address)} --home {home}-restored",
    ):
        _out.print(line, soft_wrap=True, markup=False)


def _show_mirrored(settings: Settings, report: MirrorReport | None) -> None:
    """What the mirror has, and what of it had to be written."""
    if report is None:
        return
    done = "uploaded" if settings.mirror_address.startswith("s3://") else "written"
    _out.print(
        f"             {report.files:,} files, {report.size_bytes / 1e6:,.1f} MB: {report.written:,} {done} "
        f"({report.written_bytes / 1e6:,.1f} MB), {report.unchanged:,} skipped because they were the same",
        soft_wrap=True,
    )


def _live_figures(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """What Spotify's Web API has added to the exports."""
    cursor = connection.sql(
        """
        select
            (select count(*) from raw.polls) as polls,
            (select count(*) from raw.polls where is_gap_provable) as gaps,
            (select count(*) from raw.recently_played) as told,
            (select count(*) from clean.plays where source = 'api') as api_only,
            (select max(ended_at_local) from clean.plays where source = 'api') as latest,
            (select count(*) from clean.tracks) as tracks,
            (select count(*) from clean.tracks where duration_ms is not null) as tracks_told,
            (select count(distinct track_uri) from clean.track_features) as tracks_with_features,
            (select count(distinct artist_key) from clean.artist_genres) as artists_with_genres,
            (select count(*) from clean.artists) as artists
        """
    )
    return dict(zip(cursor.columns, cursor.fetchall()[0], strict=True))


def _show_demo_live(finished: DemoFinished, live: dict[str, Any]) -> None:
    """What came of asking the demo Spotify."""
    if finished.asked is None:
        return
    _show_failure(finished.asked)
    verified = live["told"] - live["api_only"]
    _out.print()
    _out.print("[bold]Beyond the exports[/], from the demo Spotify")
    _out.print(
        f"  {live['told']:,} plays told by {live['polls']:,} polls: {verified:,} are the exports' own, "
        f"{live['api_only']:,} are newer (until {live['latest']:%Y-%m-%d %H:%M}), with estimated times"
    )
    if live["gaps"]:
        _out.print(
            f"  {live['gaps']} provable gap: an outage lost plays, see daily.completeness; the next export closes it"
        )
    _out.print(
        f"  {live['tracks_told']:,} of {live['tracks']:,} tracks with length and ISRC, "
        f"{live['tracks_with_features']:,} with audio features; genres of {live['artists_with_genres']:,} of "
        f"{live['artists']:,} artists"
    )
    asked = ", ".join(f"{bucket} {requests}" for bucket, requests in sorted(finished.requests.items()))
    _out.print(f"  [dim]{sum(finished.requests.values()):,} requests: {escape(asked)}[/]")


def tell_demo_address(served: Settings, port: int) -> None:
    """Where the UI and the demo Spotify are."""
    tell_address(served, port)
    _out.print(
        f"The demo Spotify answers at {served.accounts_url} for as long as this runs; {served.listener} is signed in "
        "there, goes on listening, and is polled every half hour.",
        soft_wrap=True,
    )


def _program() -> Path:
    """The command as it can be typed here."""
    return Path(sys.argv[0]).absolute()
