"""AWS for tests: moto's server, over HTTP, on this machine. Answers for S3, Glue, IAM, CloudFormation and others."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"


@dataclass(frozen=True)
class AwsServer:
    """A server of our own.

    Attributes:
        url: Its address.
    """

    url: str

    @property
    def variables(self) -> dict[str, str]:
        """What a process of ours needs to find it."""
        return {
            "AWS_ACCESS_KEY_ID": "AKIAINVENTEDKEYID000",
            "AWS_SECRET_ACCESS_KEY": "invented/secret",
            "SPOTIFY_ASSETS_MIRROR_ENDPOINT_URL": self.url,
            "SPOTIFY_ASSETS_MIRROR_REGION": REGION,
        }

    def client(self, service: str) -> Any:
        """boto3's client."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
        )

    def make_bucket(self, name: str) -> None:
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    def forget(self) -> None:
        """Nothing was ever made on it."""
        self._tell("reset")

    @contextmanager
    def checking_permissions(self) -> Iterator[None]:
        """Ask for keys and permissions, which it does not by itself."""
        self._tell("reset-auth", b"0")
        try:
            yield
        finally:
            self._tell("reset-auth", b"inf")

    def _tell(self, what: str, body: bytes = b"") -> None:
        # As the form that urllib says it is by default, Flask would read the body away.
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.url}/moto-api/{what}", data=body, headers=headers, method="POST")
        urllib.request.urlopen(request).close()


@pytest.fixture(scope="module")
def running_aws() -> Iterator[AwsServer]:
    """A server for the tests of a module."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield AwsServer(f"http://127.0.0.1:{port}")
    server.stop()


@pytest.fixture
def aws(running_aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AwsServer:
    """The server as if new, and this process signed in to it and to nothing else."""
    running_aws.forget()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in running_aws.variables.items():
        monkeypatch.setenv(name, value)
    return running_aws
