"""How AWS is reached, and what it refuses, in words. boto3 is loaded when it is used: it takes a third of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from spotify_assets.settings import Settings

_NOT_ALLOWED = ("AccessDenied", "AccessDeniedException", "Forbidden", "403", "UnauthorizedOperation")
_NOT_ACCEPTED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)


def client(settings: Settings, service: str) -> Any:
    """boto3's client, as the settings say; everything that they leave open AWS's own variables and files tell.

    Raises:
        botocore.exceptions.BotoCoreError: The profile or the region is missing; call it inside `in_words`.
    """
    import boto3
    from botocore.config import Config

    session = boto3.Session(profile_name=settings.mirror_profile or None, region_name=settings.mirror_region or None)
    return session.client(
        service,
        endpoint_url=settings.mirror_endpoint_url or None,
        config=Config(
            connect_timeout=10,
            read_timeout=30,
            retries={"mode": "standard", "max_attempts": 3},
            s3={"addressing_style": "path"} if settings.mirror_endpoint_url else None,
        ),
    )


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
    if code in _NOT_ALLOWED:
        return (
            f"these AWS credentials may not {operation}; attach the pipeline's policy of infra/aws.yaml to their user "
            "or role"
        )
    if code in _NOT_ACCEPTED:
        return f"AWS does not accept these credentials ({code}); renew the keys, or sign in to the profile again"
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket}; make it (infra/aws.yaml), or correct SPOTIFY_ASSETS_MIRROR"
    return f"AWS refused {operation} with {code}; run it again later"
