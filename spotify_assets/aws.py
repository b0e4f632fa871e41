"""How AWS is reached, and what it refuses, in words. boto3 is loaded when it is used: it takes a third of a second."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from spotify_assets.settings import Settings

NOT_ALLOWED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AccountProblem", "Forbidden", "403"}
    | {"UnauthorizedOperation"}
)
"""Codes of an account that may not do what was asked."""

NOT_ACCEPTED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "IncompleteSignature", "InvalidAccessKeyId"}
    | {"InvalidClientTokenId", "InvalidSignatureException", "InvalidToken", "SignatureDoesNotMatch"}
    | {"UnrecognizedClientException"}
)
"""Codes of keys that are wrong or have ended."""

CONNECT_TIMEOUT_SECONDS = 4.0
READ_TIMEOUT_SECONDS = 20.0
MAX_ATTEMPTS = 3


def client(settings: Settings, service: str) -> Any:
    """boto3's client, as the settings say; everything that they leave open AWS's own variables and files tell.

    Raises:
        botocore.exceptions.BotoCoreError: The profile or the region is missing; call it inside `in_words`.
    """
    return make_client(
        service,
        profile_name=settings.mirror_profile,
        region_name=settings.mirror_region,
        endpoint_url=settings.mirror_endpoint_url,
    )


def make_client(
    service: str,
    *,
    profile_name: str | None,
    region_name: str | None,
    endpoint_url: str | None,
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    max_attempts: int = MAX_ATTEMPTS,
    configuration: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Any:
    """A boto3 client; the errors of `client`.

    Args:
        service: `s3`, for example.
        profile_name: Profile of ~/.aws.
        region_name: Region.
        endpoint_url: Address of a store that is not Amazon's.
        connect_timeout_seconds: How long a connection may take to come about; boto3 waits a minute.
        read_timeout_seconds: How long there may be silence.
        max_attempts: How often a request is sent at most.
        configuration: Further arguments of `botocore.config.Config`.
        arguments: Further arguments of `boto3.session.Session.client`.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session(profile=profile_name or None)
    # Each session would read the description of the service anew, which takes most of the time.
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return boto3.session.Session(botocore_session=session).client(
        service,
        region_name=region_name or None,
        endpoint_url=endpoint_url or None,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": max(max_attempts, 1)},
            connect_timeout=connect_timeout_seconds,
            read_timeout=read_timeout_seconds,
            # A name of its own for each bucket is what few stores but Amazon's have.
            s3={"addressing_style": "path"} if endpoint_url else None,
            **(configuration or {}),
        ),
        **arguments,
    )


@functools.cache
def _loader(data_path: str | None) -> Any:
    import botocore.loaders

    return botocore.loaders.create_loader(data_path)


@contextmanager
def in_words(fail: Callable[[str], Exception], *, bucket: str = "") -> Iterator[None]:
    """Raise an error of the caller's for what AWS or boto3 raised.

    Only the code and the operation are told: AWS's own texts quote key ids, and requests with their signatures.

    Args:
        fail: Makes the error of a reason: half a sentence that says what is wrong and what to do.
        bucket: The bucket of the mirror, to name it where it is missing.
    """
    import botocore.exceptions as errors

    try:
        yield
    except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.CredentialRetrievalError):
        raise fail(
            "no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "SPOTIFY_ASSETS_MIRROR_PROFILE to a profile of ~/.aws/config that is signed in"
        ) from None
    except errors.ProfileNotFound:
        raise fail("SPOTIFY_ASSETS_MIRROR_PROFILE names a profile that ~/.aws does not have") from None
    except errors.NoRegionError:
        raise fail("AWS wants a region; set SPOTIFY_ASSETS_MIRROR_REGION (eu-central-1, for example)") from None
    except errors.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        raise fail(_reason(code, error.operation_name, bucket)) from None
    except (errors.ConnectionError, errors.HTTPClientError, errors.InvalidRegionError) as error:
        raise fail(
            f"AWS cannot be reached ({type(error).__name__}); check the network, SPOTIFY_ASSETS_MIRROR_REGION and "
            "SPOTIFY_ASSETS_MIRROR_ENDPOINT_URL"
        ) from None
    except errors.BotoCoreError as error:
        raise fail(f"the settings of AWS cannot be used ({type(error).__name__})") from None
    except ValueError as error:
        # botocore's own words for an address without a scheme.
        if "invalid endpoint" not in str(error).lower():
            raise
        raise fail("SPOTIFY_ASSETS_MIRROR_ENDPOINT_URL is no address, such as https://s3.example.com") from None


def _reason(code: str, operation: str, bucket: str) -> str:
    if code in NOT_ALLOWED:
        return (
            f"these AWS credentials may not {operation}; attach the pipeline's policy of infra/aws.yaml to their user "
            "or role"
        )
    if code in NOT_ACCEPTED:
        return f"AWS does not accept these credentials ({code}); renew the keys, or sign in to the profile again"
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket}; make it (infra/aws.yaml), or correct SPOTIFY_ASSETS_MIRROR"
    return f"AWS refused {operation} with {code}; run it again later"
