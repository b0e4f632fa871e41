"""A prefix of a bucket on S3, or on a store that speaks its language: the few requests that a mirror needs.

Here belongs how objects are put, found, read and deleted, and how a store's refusal becomes a sentence for a person.
What the objects are belongs in `bucket_mirror`. Credentials come from AWS's own variables and files and are never
repeated: no text of the store's or of botocore's reaches a message, because both quote keys and signatures.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, NamedTuple

from botocore import UNSIGNED
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ResponseStreamingError,
    SSLError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.handlers import add_expect_header
from dagster_aws.s3 import S3Resource
from pydantic import Field, PrivateAttr

from spotify_assets import aws
from spotify_assets.lakehouse.errors import MirrorError, MirrorUnreachable, ObjectChanged
from spotify_assets.settings import bucket_and_prefix

_DELETED_AT_ONCE = 1000
_CONNECTIONS = 16
_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound", "InvalidVersionId"})
_WRONG_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "400"}
)
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError)
_CUT_OFF = (ResponseStreamingError, IncompleteReadError, HTTPClientError, BotoConnectionError)


class MirrorBucket(S3Resource):
    """dagster-aws's resource for S3, with what a mirror needs besides: time-outs, encryption, checksums.

    Its client is made once: dagster-aws makes a session at every call, which takes 0.3 s.

    Example:
        >>> bucket = MirrorBucket(address="s3://my-lakehouse/mirror", region_name="eu-central-1").bucket()
        >>> bucket.put("hello.txt", b"hello")
    """

    address: str = Field(description="`s3://bucket/prefix`.")
    max_attempts: int = Field(default=aws.MAX_ATTEMPTS, description="How often a request is sent at most.")
    connect_timeout_seconds: float = Field(
        default=aws.CONNECT_TIMEOUT_SECONDS, description="How long a connection may take to come about."
    )
    read_timeout_seconds: float = Field(
        default=aws.READ_TIMEOUT_SECONDS, description="How long the store may be silent."
    )
    encryption: str = Field(default="", description="AES256, aws:kms, or empty for what the bucket does by itself.")
    kms_key_id: str = Field(default="", description="Key for aws:kms; the account's own by default.")
    checksums: bool = Field(default=True, description="Have the store check the SHA-256 of what it receives.")
    _client: Any = PrivateAttr(default=None)
    _guard: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    def get_client(self) -> Any:
        """The boto3 client, made at the first call; threads may share it."""
        with self._guard:
            if self._client is None:
                self._client = self.make_client("s3")
            return self._client

    def make_client(self, service: str) -> Any:
        """A new boto3 client for a service, with the same account, endpoint and time-outs."""
        when = "when_supported" if self.checksums else "when_required"
        client = aws.make_client(
            service,
            profile_name=self.profile_name,
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            connect_timeout_seconds=self.connect_timeout_seconds,
            read_timeout_seconds=self.read_timeout_seconds,
            max_attempts=self.max_attempts,
            configuration={
                "max_pool_connections": _CONNECTIONS,
                # Some stores refuse the checksums that boto3 adds by itself since 1.36.
                "request_checksum_calculation": when,
                "response_checksum_validation": when,
                "signature_version": UNSIGNED if self.use_unsigned_session else None,
            },
            use_ssl=self.use_ssl,
            verify=self.verify,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
        )
        # boto3 asks the store before each body, however small: a thousand files of some kilobytes waited for an answer
        # twice.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        return client

    def bucket(self) -> Bucket:
        """The prefix that the address names."""
        return Bucket(self)


class Listed(NamedTuple):
    """An object as a listing tells of it: key below the prefix, ETag without quotes, when it was put (UTC)."""

    key: str
    etag: str
    size_bytes: int
    modified_at: datetime


class Version(NamedTuple):
    """A version of an object, or a delete marker in its place."""

    key: str
    version_id: str
    is_latest: bool
    is_marker: bool
    modified_at: datetime


class Content(NamedTuple):
    """An object that was read. `version_id` is None where the bucket keeps no versions."""

    content: bytes
    etag: str
    version_id: str | None
    metadata: Mapping[str, str]


class Written(NamedTuple):
    """How an object that was put can be found again. `version_id` is None where the bucket keeps no versions."""

    etag: str
    version_id: str | None


class Bucket:
    """The objects below a prefix; every key is relative to it. Threads may share one.

    Raises:
        MirrorUnreachable: From any call: the store does not answer, or not as it should.
        MirrorError: From any call: the store refuses; the message says what to do.
    """

    def __init__(self, resource: MirrorBucket) -> None:
        self._resource = resource
        self._address = bucket_and_prefix(resource.address)
        self.name, self.prefix = self._address

    @property
    def address(self) -> str:
        """`s3://bucket/prefix`, without a slash at its end."""
        return self._address.root

    def url(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return self._address.url(key)

    def get(self, key: str, *, version_id: str | None = None, if_match: str | None = None) -> Content | None:
        """Read an object, or one version of it; None when there is none.

        Raises:
            ObjectChanged: Its ETag is not `if_match`.
        """
        conditions = {"IfMatch": f'"{if_match}"'} if if_match else {}
        if version_id:
            conditions["VersionId"] = version_id
        for attempt in range(max(self._resource.max_attempts, 1)):
            with self._told("read", key):
                try:
                    response = self._client.get_object(Bucket=self.name, Key=self._address.key(key), **conditions)
                except ClientError as error:
                    if _code(error) in _MISSING:
                        return None
                    raise
                try:
                    content = response["Body"].read()
                except _CUT_OFF:
                    # botocore sends a request again, but reads an answer once only.
                    if attempt + 1 == self._resource.max_attempts:
                        raise
                    continue
            return Content(content, _etag(response), _version(response.get("VersionId")), _metadata(response))
        raise AssertionError("the last attempt returns or raises")

    def metadata(self, key: str) -> Mapping[str, str] | None:
        """The metadata that an object was put with; None when there is no such object."""
        with self._told("read", key):
            try:
                return _metadata(self._client.head_object(Bucket=self.name, Key=self._address.key(key)))
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise

    def put(
        self,
        key: str,
        content: bytes,
        *,
        metadata: Mapping[str, str] | None = None,
        sha256: bytes | None = None,
        content_type: str = "application/octet-stream",
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Written:
        """Put an object in one request: others see the old one or the new one.

        Args:
            sha256: Digest of the content, where it is known already.
            if_match: Only when the object there has this ETag.
            if_absent: Only when there is none.

        Raises:
            ObjectChanged: The condition does not hold, or somebody put the same key meanwhile.
        """
        named: dict[str, Any] = {"Metadata": dict(metadata or {}), "ContentType": content_type}
        if if_match:
            named["IfMatch"] = f'"{if_match}"'
        if if_absent:
            named["IfNoneMatch"] = "*"
        if self._resource.checksums:
            named["ChecksumSHA256"] = base64.b64encode(sha256 or hashlib.sha256(content).digest()).decode()
        if self._resource.encryption:
            named["ServerSideEncryption"] = self._resource.encryption
        if self._resource.kms_key_id:
            named["SSEKMSKeyId"] = self._resource.kms_key_id
        with self._told("write", key):
            response = self._client.put_object(Bucket=self.name, Key=self._address.key(key), Body=content, **named)
        return Written(_etag(response), _version(response.get("VersionId")))

    def listing(self, under: str = "") -> tuple[list[Listed], datetime | None]:
        """Every object whose key begins with `under`, and the store's own time."""
        found: list[Listed] = []
        now = None
        for page in self._pages("list_objects_v2", under):
            now = now or _date(page)
            found += [
                Listed(self._relative(each["Key"]), each["ETag"].strip('"'), each["Size"], each["LastModified"])
                for each in page.get("Contents", ())
            ]
        return found, now

    def versions(self, under: str = "") -> dict[str, list[Version]]:
        """By key every version and delete marker, newest first."""
        found: dict[str, list[Version]] = {}
        for page in self._pages("list_object_versions", under):
            for kind in ("Versions", "DeleteMarkers"):
                for each in page.get(kind, ()):
                    key = self._relative(each["Key"])
                    found.setdefault(key, []).append(
                        Version(key, each["VersionId"], each["IsLatest"], kind == "DeleteMarkers", each["LastModified"])
                    )
        for of_key in found.values():
            # Stores tell instants in seconds: within one of them the order of the listing is the only one.
            of_key.sort(key=lambda version: (version.is_latest, version.modified_at), reverse=True)
        return found

    def delete(self, keys: Iterable[str | tuple[str, str]]) -> None:
        """Delete objects, or with (key, version id) one version for good; missing ones are no error."""
        remaining = iter(keys)
        while lot := list(islice(remaining, _DELETED_AT_ONCE)):
            named = [
                {"Key": self._address.key(each)}
                if isinstance(each, str)
                else {"Key": self._address.key(each[0]), "VersionId": each[1]}
                for each in lot
            ]
            with self._told("delete", f"{len(lot)} objects"):
                response = self._client.delete_objects(Bucket=self.name, Delete={"Objects": named, "Quiet": True})
            for error in response.get("Errors", ()):
                if error.get("Code") not in _MISSING:
                    raise self._refusal(error.get("Code") or "", "delete", self._relative(error.get("Key") or ""))

    @property
    def _client(self) -> Any:
        return self._resource.get_client()

    def _pages(self, operation: str, under: str) -> Iterator[Any]:
        with self._told("list", under):
            prefix = self._address.key(under)
            yield from self._client.get_paginator(operation).paginate(Bucket=self.name, Prefix=prefix)

    def _relative(self, key: str) -> str:
        return key.removeprefix(f"{self.prefix}/") if self.prefix else key

    @contextmanager
    def _told(self, doing: str, key: str) -> Iterator[None]:
        """Turn what botocore raises into an error of ours, which quotes nothing of it."""
        try:
            yield
        except ClientError as error:
            raise self._refusal(_code(error), doing, key, _status(error)) from None
        except _NO_CREDENTIALS:
            raise MirrorError(
                f"no keys for {self.address} were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a "
                "profile of ~/.aws with SPOTIFY_ASSETS_MIRROR_PROFILE"
            ) from None
        except ProfileNotFound:
            raise MirrorError(
                f"the profile {self._resource.profile_name or 'that AWS_PROFILE names'} is in neither ~/.aws/config "
                "nor ~/.aws/credentials. Correct SPOTIFY_ASSETS_MIRROR_PROFILE, or add the profile"
            ) from None
        except ConfigParseError:
            raise MirrorError("~/.aws/config or ~/.aws/credentials cannot be read: its lines are damaged") from None
        except SSLError:
            raise MirrorUnreachable(
                f"{self._store} does not prove who it is: its certificate is not trusted. Correct "
                "SPOTIFY_ASSETS_MIRROR_ENDPOINT_URL, or name the authority's file with AWS_CA_BUNDLE"
            ) from None
        except _CUT_OFF as error:
            raise MirrorUnreachable(
                f"{self._store} does not answer ({type(error).__name__}, tried {self._resource.max_attempts} times). "
                "Look whether it runs, and whether SPOTIFY_ASSETS_MIRROR_ENDPOINT_URL and the network are right"
            ) from None
        except (BotoCoreError, ValueError) as error:
            raise MirrorError(
                f"{self.address} cannot be used ({type(error).__name__}). Look at SPOTIFY_ASSETS_MIRROR, "
                "SPOTIFY_ASSETS_MIRROR_ENDPOINT_URL and SPOTIFY_ASSETS_MIRROR_REGION"
            ) from None

    @property
    def _store(self) -> str:
        return self._resource.endpoint_url or "Amazon S3"

    def _refusal(self, code: str, doing: str, key: str, status: int = 0) -> MirrorError:
        where = self.url(key) if doing != "delete" else self.address
        if code == "NoSuchBucket":
            elsewhere = f" --endpoint-url {self._resource.endpoint_url}" if self._resource.endpoint_url else ""
            return MirrorError(
                f"there is no bucket {self.name} at {self._store}. Make it (aws s3 mb s3://{self.name}{elsewhere}), or "
                "correct SPOTIFY_ASSETS_MIRROR"
            )
        if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
            return ObjectChanged(f"{where} is another one than expected: somebody else has written it")
        if code in aws.NOT_ACCEPTED:
            return MirrorError(
                f"{self._store} does not accept the keys for {self.address} ({code}). Correct AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, which expires), or the profile"
            )
        if code in aws.NOT_ALLOWED:
            return MirrorError(
                f"these keys may not {doing} {where}. Allow s3:ListBucket, s3:GetObject, s3:PutObject and "
                "s3:DeleteObject (with versions also s3:ListBucketVersions, s3:GetObjectVersion and "
                "s3:DeleteObjectVersion) for that prefix; infra/aws.yaml has a policy"
            )
        if code == "RequestTimeTooSkewed":
            return MirrorError(
                f"{self._store} refuses because the clock of this machine is wrong by more than a quarter of an "
                "hour. Set it (timedatectl set-ntp true)"
            )
        if code in _WRONG_REGION:
            return MirrorError(
                f"{self._store} does not have the bucket {self.name} in this region ({code}). Set "
                "SPOTIFY_ASSETS_MIRROR_REGION to that of the bucket"
            )
        if code.startswith("KMS"):
            return MirrorError(
                f"{where} could not be encrypted ({code}). Look at SPOTIFY_ASSETS_MIRROR_KMS_KEY_ID and at what the "
                "keys may do with it"
            )
        if code in ("NotImplemented", "501"):
            return MirrorError(
                f"{self._store} cannot {doing} {where} as asked, because it does not know all of S3's language "
                "(checksums, conditional writes, versions). Try SPOTIFY_ASSETS_MIRROR_CHECKSUMS=false, or another one"
            )
        if status >= 500 or code in ("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"):
            return MirrorUnreachable(
                f"{self._store} is busy or broken ({code or status}, tried {self._resource.max_attempts} times)"
            )
        return MirrorError(f"{self._store} refused to {doing} {where} ({code or status})")


def _code(error: ClientError) -> str:
    """The store's own name for what was wrong, such as NoSuchKey, if it looks like a name."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if code.isalnum() and len(code) <= 60 else ""


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _etag(response: Mapping[str, Any]) -> str:
    return str(response.get("ETag", "")).strip('"')


def _metadata(response: Mapping[str, Any]) -> dict[str, str]:
    # Some stores give names back as HTTP writes them, with a capital.
    return {name.lower(): value for name, value in (response.get("Metadata") or {}).items()}


def _version(version_id: str | None) -> str | None:
    # A bucket whose versioning was suspended says `null`, and overwrites that one.
    return version_id if version_id and version_id != "null" else None


def _date(response: Mapping[str, Any]) -> datetime | None:
    try:
        return parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, TypeError, ValueError):
        return None
