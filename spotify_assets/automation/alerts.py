"""The sensor that tells somebody when the home needs a person: a run that failed, days that stay stale, a sign-in that
ends.

Everything is written into the daemon's log; to a webhook or by e-mail where the settings name one. Each thing is told
once, and again after a week while it lasts.
"""

import json
import smtplib
import ssl
from collections.abc import Iterable
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import NamedTuple

import dagster as dg

from spotify_assets.automation.jobs import ALERTS_SENSOR
from spotify_assets.clock import Clock
from spotify_assets.settings import Settings
from spotify_assets.spotify.token_folder import SignInState, Standing, TokenFolder, sign_in_state
from spotify_assets.state import StaleDay, State
from spotify_assets.texts import text_hash

STALE_AFTER = timedelta(hours=30)
"""Every night builds what is stale: what one night left over is told before the next."""

_TOLD_AGAIN_AFTER = timedelta(days=7)
_TIMEOUT_SECONDS = 10.0
_FAILED_RUNS_AT_ONCE = 20
_SMTP_OVER_TLS_PORT = 465


class Alert(NamedTuple):
    """Something that needs a person.

    Attributes:
        key: Equal for the same trouble, so that it is told once.
        title: One line.
        text: What is wrong, what was kept, what to do.
    """

    key: str
    title: str
    text: str


class NotDelivered(Exception):
    """An alert could not be handed over; the text says to whom and why."""


def failed_runs(instance: dg.DagsterInstance, since: datetime) -> list[Alert]:
    """The runs that failed after an instant, whoever started them, the oldest first."""
    records = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since), limit=_FAILED_RUNS_AT_ONCE
    )
    return [
        Alert(
            f"run {record.dagster_run.run_id}",
            f"The run {record.dagster_run.job_name} failed",
            f"Run {record.dagster_run.run_id[:8]} of {record.dagster_run.job_name} failed at "
            f"{record.update_timestamp:%Y-%m-%d %H:%M} UTC. What it had committed is kept. Its page in the Dagster UI "
            "(`spotify-assets ui`) says why; what it left stale is tried again by itself.",
        )
        for record in reversed(records)
    ]


def days_stay_stale(stale: Iterable[StaleDay], since: datetime | None, now: datetime) -> list[Alert]:
    """Whether days have been stale for longer than STALE_AFTER.

    Args:
        stale: The stale days.
        since: When there was none for the last time.
        now: The time now.
    """
    stale = list(stale)
    if not stale or since is None or now - since < STALE_AFTER:
        return []
    days = sorted({day.played_on for day in stale})
    return [
        Alert(
            "stale",
            f"{len(days):,} days are out of date",
            f"{len(days):,} days between {days[0]} and {days[-1]} have been waiting to be built for more than "
            f"{STALE_AFTER.total_seconds() / 3600:.0f} hours. `spotify-assets status` says which and why; the runs in "
            "the Dagster UI say what keeps them.",
        )
    ]


def sign_ins_end(states: Iterable[SignInState]) -> list[Alert]:
    """Sign-ins that have ended or soon will, and those whose file cannot be used: nothing is asked for any of them.

    Args:
        states: How the sign-ins stand of which there is a file.
    """
    return [
        # The name is in the text only: the cursor, which Dagster keeps, tells nobody.
        Alert(
            f"{state.standing} {state.ends_at or text_hash(state.message)}",
            "A sign-in to Spotify is to be renewed",
            state.message,
        )
        for state in states
        if state.standing != Standing.GOOD
    ]


def deliver(settings: Settings, alert: Alert) -> None:
    """Hand an alert to the webhook and the mail server that the settings name.

    Raises:
        NotDelivered: One of them did not take it; it is tried again.
    """
    try:
        if url := settings.alert_webhook_url.get_secret_value():
            _post(url, alert)
        if settings.alert_email_to:
            _mail(settings, alert)
    # What requests and smtplib raise are OSErrors.
    except OSError as error:
        # Not the error's own words: they tell the address, which for a webhook is a secret.
        raise NotDelivered(
            f"The alert '{alert.title}' could not be delivered ({type(error).__name__}); it is tried again. Check "
            "SPOTIFY_ASSETS_ALERT_WEBHOOK_URL, or SPOTIFY_ASSETS_ALERT_EMAIL_TO and SPOTIFY_ASSETS_SMTP_HOST."
        ) from None


def _post(url: str, alert: Alert) -> None:
    # Loaded where it is needed only: every command would wait for it, an alert is rare.
    import requests

    # `text` is what Slack, Mattermost and Matrix bridges show, `content` what Discord does.
    words = f"{alert.title}\n{alert.text}"
    message = {"title": alert.title, "text": words, "content": words}
    requests.post(url, json=message, timeout=_TIMEOUT_SECONDS).raise_for_status()


def _mail(settings: Settings, alert: Alert) -> None:
    message = EmailMessage()
    message["Subject"] = f"spotify_assets: {alert.title}"
    message["From"] = settings.alert_email_from or settings.alert_email_to
    message["To"] = settings.alert_email_to
    message.set_content(alert.text)
    trusted = ssl.create_default_context()
    if settings.smtp_port == _SMTP_OVER_TLS_PORT:
        server = smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_SECONDS, context=trusted)
    else:
        server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_SECONDS)
    with server:
        server.ehlo()
        if settings.smtp_port != _SMTP_OVER_TLS_PORT and server.has_extn("starttls"):
            server.starttls(context=trusted)
        if settings.smtp_user:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        server.send_message(message)


class _Memory:
    """What was told, and since when things are as they are; the sensor's cursor."""

    def __init__(self, cursor: str | None, now: datetime) -> None:
        known = json.loads(cursor) if cursor else {}
        # A new home, or one whose alerts are new, is not told of failures of long ago.
        self.failures_since = datetime.fromisoformat(known.get("failures_since", now.isoformat()))
        self.fresh_at = datetime.fromisoformat(known.get("fresh_at", now.isoformat()))
        self.told: dict[str, str] = known.get("told", {})

    def is_due(self, alert: Alert, now: datetime) -> bool:
        told = self.told.get(alert.key)
        return told is None or now - datetime.fromisoformat(told) >= _TOLD_AGAIN_AFTER

    def to_cursor(self) -> str:
        return json.dumps(
            {
                "failures_since": self.failures_since.isoformat(),
                "fresh_at": self.fresh_at.isoformat(),
                "told": self.told,
            }
        )


def build_alerts_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor; it starts no run."""

    @dg.sensor(
        name=ALERTS_SENSOR,
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Tells of runs that failed, days that stay stale and sign-ins that end: in the daemon's log, and by "
            "webhook or e-mail where the settings name one."
        ),
    )
    def alerts(context: dg.SensorEvaluationContext, clock: Clock) -> dg.SensorResult:
        now = clock.now()
        memory = _Memory(context.cursor, now)
        state = State(settings.paths.state_file) if settings.paths.state_file.exists() else None
        stale = state.stale_days() if state else []
        if not stale:
            memory.fresh_at = now
        failures = failed_runs(context.instance, memory.failures_since)
        lasting = days_stay_stale(stale, memory.fresh_at, now)
        folder = TokenFolder(settings.paths.tokens_folder)
        lasting += sign_ins_end(sign_in_state(folder, listener, now=now) for listener in folder.listeners())
        undelivered = []
        for alert in (*failures, *lasting):
            if not memory.is_due(alert, now):
                continue
            context.log.warning(f"{alert.title}: {alert.text}")
            try:
                deliver(settings, alert)
            except NotDelivered as error:
                context.log.error(str(error))
                undelivered.append(alert)
                continue
            memory.told[alert.key] = now.isoformat()
        if not any(alert in undelivered for alert in failures):
            memory.failures_since = now
        # What is over may come again, and is then told at once.
        there = {alert.key for alert in (*failures, *lasting)}
        memory.told = {key: at for key, at in memory.told.items() if key in there}
        told = f"{len(undelivered)} alerts could not be delivered." if undelivered else "Nothing more to tell."
        return dg.SensorResult(skip_reason=told, cursor=memory.to_cursor())

    return alerts
