"""What needs a person is told: to a real web server and a real mail server."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from pydantic import SecretStr

from spotify_assets.automation.alerts import STALE_AFTER
from spotify_assets.settings import Settings
from spotify_assets.spotify.token_folder import TokenFolder
from spotify_assets.state import State
from spotify_assets_tests.automation.ticks import days_ago, tick
from spotify_assets_tests.spotify.token_processes import a_sign_in

NOW = datetime.now(UTC)


class _Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def webhook(status: int = 200) -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as server:
        server.posted, server.status = [], status
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class _Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as one message needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 mail.test\r\n")
        while line := self.rfile.readline().decode():
            word = line.split()[0].upper()
            if word == "DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                self.server.mails.append("".join(lines))
            self.wfile.write(b"221 bye\r\n" if word == "QUIT" else b"250 ok\r\n")
            if word == "QUIT":
                return


@contextmanager
def mail_server() -> Iterator[socketserver.ThreadingTCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mailbox) as server:
        server.mails = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def with_alerts(settings: Settings, **named: object) -> Settings:
    return settings.model_copy(update=named)


def look(settings: Settings, instance: dg.DagsterInstance, cursor: str | None, now: datetime) -> str:
    """Evaluate the sensor; returns its cursor."""
    return tick(settings, instance, "alerts", cursor=cursor, now=now).cursor


def fail_a_run(instance: dg.DagsterInstance) -> str:
    @dg.op
    def goes_wrong() -> None:
        raise RuntimeError("on purpose")

    @dg.job
    def doomed() -> None:
        goes_wrong()

    return doomed.execute_in_process(instance=instance, raise_on_error=False).run_id


def test_a_run_that_fails_is_posted_once(settings: Settings, instance: dg.DagsterInstance) -> None:
    with webhook() as server:
        told = with_alerts(settings, alert_webhook_url=SecretStr(f"http://127.0.0.1:{server.server_port}/hook"))
        cursor = look(told, instance, None, NOW)
        run_id = fail_a_run(instance)
        for minutes in (1, 2, 3):
            cursor = look(told, instance, cursor, NOW + timedelta(minutes=minutes))
    assert [post["title"] for post in server.posted] == ["The run doomed failed"]
    assert run_id[:8] in server.posted[0]["text"]


def test_failures_from_before_the_first_look_are_no_news(settings: Settings, instance: dg.DagsterInstance) -> None:
    fail_a_run(instance)
    with webhook() as server:
        told = with_alerts(settings, alert_webhook_url=SecretStr(f"http://127.0.0.1:{server.server_port}"))
        later = datetime.now(UTC) + timedelta(minutes=1)
        cursor = look(told, instance, None, later)
        look(told, instance, cursor, later + timedelta(minutes=1))
    assert server.posted == []


def test_what_was_not_taken_is_told_again_and_the_address_stays_out_of_the_log(
    settings: Settings, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture, capfd
) -> None:
    with webhook(status=500) as server:
        told = with_alerts(settings, alert_webhook_url=SecretStr(f"http://127.0.0.1:{server.server_port}/secret-path"))
        cursor = look(told, instance, None, NOW)
        fail_a_run(instance)
        cursor = look(told, instance, cursor, NOW + timedelta(minutes=1))
        server.status = 200
        cursor = look(told, instance, cursor, NOW + timedelta(minutes=2))
        look(told, instance, cursor, NOW + timedelta(minutes=3))
    assert len(server.posted) == 2
    streams = capfd.readouterr()
    assert "secret-path" not in caplog.text + streams.out + streams.err


def test_days_that_stay_stale_are_mailed_once_a_week(settings: Settings, instance: dg.DagsterInstance) -> None:
    with mail_server() as server:
        told = with_alerts(
            settings, alert_email_to="me@example.org", smtp_host="127.0.0.1", smtp_port=server.server_address[1]
        )
        cursor = look(told, instance, None, NOW)
        State(settings.paths.state_file).replace_stale_days([("daily.listening", days_ago(2), "changed")])
        for after in (
            timedelta(hours=1),
            STALE_AFTER,
            STALE_AFTER + timedelta(days=1),
            STALE_AFTER + timedelta(days=8),
        ):
            cursor = look(told, instance, cursor, NOW + after)
    assert len(server.mails) == 2
    assert "Subject: spotify_assets: 1 days are out of date" in server.mails[0]
    assert "spotify-assets status" in server.mails[0]


def test_what_was_mended_and_breaks_again_is_told_again(settings: Settings, instance: dg.DagsterInstance) -> None:
    state = State(settings.paths.state_file)
    with webhook() as server:
        told = with_alerts(settings, alert_webhook_url=SecretStr(f"http://127.0.0.1:{server.server_port}"))
        cursor, now = look(told, instance, None, NOW), NOW
        for _ in range(2):
            state.replace_stale_days([("daily.listening", days_ago(2), "changed")])
            now += STALE_AFTER + timedelta(minutes=1)
            cursor = look(told, instance, cursor, now)
            state.replace_stale_days([])
            now += timedelta(minutes=1)
            cursor = look(told, instance, cursor, now)
    assert len(server.posted) == 2


def test_a_sign_in_that_ends_is_told_a_month_before(settings: Settings, instance: dg.DagsterInstance) -> None:
    TokenFolder(settings.paths.tokens_folder).write("demo", a_sign_in(authorized_at=NOW))
    with webhook() as server:
        told = with_alerts(settings, alert_webhook_url=SecretStr(f"http://127.0.0.1:{server.server_port}"))
        cursor = look(told, instance, None, NOW)
        for days in (100, 155, 156, 190):
            cursor = look(told, instance, cursor, NOW + timedelta(days=days))
    assert len(server.posted) == 2
    assert "ends on" in server.posted[0]["text"] and "has ended" in server.posted[1]["text"]


def test_a_sign_in_that_spotify_ended_early_is_told_once_and_so_is_the_next_one(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    folder = TokenFolder(settings.paths.tokens_folder)
    with webhook() as server:
        told = with_alerts(settings, alert_webhook_url=SecretStr(f"http://127.0.0.1:{server.server_port}"))
        cursor, now = look(told, instance, None, NOW), NOW
        for _ in range(2):
            folder.write("demo", a_sign_in(authorized_at=now, is_refused=True))
            for _ in range(3):
                now += timedelta(seconds=30)
                cursor = look(told, instance, cursor, now)
            folder.write("demo", a_sign_in(authorized_at=now))
            cursor = look(told, instance, cursor, now)
    assert [post["title"] for post in server.posted] == ["A sign-in to Spotify is to be renewed"] * 2
    assert all("has ended" in post["text"] and "spotify-assets login" in post["text"] for post in server.posted)
    assert "demo" not in cursor


def test_a_sign_in_whose_file_is_damaged_is_told_once(settings: Settings, instance: dg.DagsterInstance) -> None:
    file = TokenFolder(settings.paths.tokens_folder).file_of("demo")
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with webhook() as server:
        told = with_alerts(settings, alert_webhook_url=SecretStr(f"http://127.0.0.1:{server.server_port}"))
        cursor = look(told, instance, None, NOW)
        look(told, instance, cursor, NOW + timedelta(minutes=1))
    assert [("damaged" in post["text"], "login --listener demo" in post["text"]) for post in server.posted] == [
        (True, True)
    ]


def test_without_a_channel_it_is_in_the_log(settings: Settings, instance: dg.DagsterInstance, capfd) -> None:
    cursor = look(settings, instance, None, NOW)
    fail_a_run(instance)
    capfd.readouterr()
    look(settings, instance, cursor, NOW + timedelta(minutes=1))
    assert "The run doomed failed" in capfd.readouterr().err
