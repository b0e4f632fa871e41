"""A server that speaks S3 over HTTP, on this machine alone, for as long as its input stays open.

python -m benchmarks.s3_server

The first line of its output is its address. It is moto's, which keeps everything in memory and takes any keys.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.cold import ROOT


@dataclass(frozen=True)
class Stored:
    """An object that was put: its key, bytes, and the name of that version."""

    key: str
    size_bytes: int
    version_id: str


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        endpoint_url: Its address.
    """

    endpoint_url: str
    process: psutil.Process

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs that is to use it, and nothing of the machine's AWS configuration."""
        return {
            "SPOTIFY_ASSETS_MIRROR_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @property
    def processor_seconds(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def make_bucket(self, name: str) -> None:
        """A new bucket that keeps versions, as that of infra/aws.yaml does."""
        client = self.client()
        client.create_bucket(Bucket=name)
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def stored(self, bucket: str) -> set[Stored]:
        """Everything that was ever put into a bucket."""
        pages = self.client().get_paginator("list_object_versions").paginate(Bucket=bucket)
        return {
            Stored(each["Key"], each["Size"], each["VersionId"]) for page in pages for each in page.get("Versions", ())
        }

    def client(self) -> Any:
        """A new boto3 client."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )


@contextmanager
def running() -> Iterator[S3Server]:
    """A server in a process of its own, empty at first."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.s3_server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A line for each request.
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield S3Server(process.stdout.readline().strip(), psutil.Process(process.pid))
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def main() -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
