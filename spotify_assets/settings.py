"""Every setting, and where everything lies in the home folder.

This is the only module that reads the environment. All paths are resolved against one home folder, never against
the current one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import platformdirs
import tzlocal
from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

APPLICATION = "spotify_assets"

DAILY_BUDGETS = {
    "profile": 100,
    "recently_played": 400,
    "top": 200,
    "saved_tracks": 90,
    "playlists": 100,
    "playlist_items": 300,
    "tracks": 400,
    "albums": 200,
    "artists": 400,
    "artist_albums": 60,
    "artist_top_tracks": 200,
    "audio_features": 400,
    "search": 200,
}
"""Requests a day, by bucket, below the ceilings at which people saw Spotify lock a bucket for a day: about 100 for
artists' albums, 600 for artists, a few hundred searches, a few readings of a whole library."""
_S3 = "s3://"
_HOURS_OF_COPIES_IN_A_BUCKET = 24.0
_KNOWN_NAMES = {
    "audio_feature_providers": ("spotify", "reccobeats"),
    "genre_providers": ("musicbrainz",),
    "bi_copies": ("parquet", "csv"),
}


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir(APPLICATION, appauthor=False))


class Settings(BaseSettings):
    """Settings of a home, from `SPOTIFY_ASSETS_…` variables; none is needed.

    Raises:
        pydantic.ValidationError: A setting has a value that cannot be meant; the message names the setting.
    """

    # A key that somebody wrote into an address must not be repeated by the error that refuses it.
    model_config = SettingsConfigDict(env_prefix="SPOTIFY_ASSETS_", extra="ignore", hide_input_in_errors=True)

    home: Path = Field(
        default_factory=_default_home,
        description="Folder of the lakehouse; the platform's user data folder by default.",
    )
    timezone: str | None = Field(
        default=None,
        description="IANA name of the listener's time zone, such as Europe/Berlin; by default the one last used for "
        "this home, else the machine's.",
    )
    listener: str = Field(default="me", description="Name under which the rows of this person are kept.")
    session_gap_minutes: int = Field(
        default=30, ge=1, le=24 * 60, description="Silence after which a new listening session begins."
    )
    requests_per_second: float = Field(
        default=2.0, gt=0, le=1000, description="How fast Spotify is asked at most, by all runs of a home together."
    )
    daily_budgets: str = Field(
        default="",
        description="Requests a day (UTC) where they are to be others than usual, such as 'artists=500, search=100'; "
        f"usual are {', '.join(f'{bucket}={requests}' for bucket, requests in DAILY_BUDGETS.items())}.",
    )
    outage_minutes: int = Field(
        default=120,
        ge=1,
        description="Time without a successful look at the last plays after which daily.completeness tells an outage.",
    )
    warehouse_memory_limit: str = Field(
        default="200MB", description="Memory that DuckDB may use before it spills to the home folder."
    )
    lock_timeout_seconds: float = Field(
        default=600.0,
        gt=0,
        description="How long a run waits for another run, or for a program that holds the warehouse.",
    )
    snapshots_kept: int = Field(
        default=3,
        ge=3,
        le=100,
        description="Published snapshots kept, so that an open notebook keeps its file.",
    )
    mirror: str = Field(
        default="",
        description="Where the Parquet mirror is kept: s3://bucket/prefix, or a folder; {home}/mirror by default.",
    )
    mirror_endpoint_url: str | None = Field(
        default=None, description="Address of a store that speaks S3's language, where it is not Amazon's."
    )
    mirror_region: str | None = Field(default=None, description="Region of the bucket; that of the profile by default.")
    mirror_profile: str | None = Field(
        default=None,
        description="Profile of ~/.aws that has the keys; by default boto3 looks for them in its own order, "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY first.",
    )
    mirror_encryption: Literal["", "AES256", "aws:kms"] = Field(
        default="", description="How objects are encrypted: AES256, aws:kms, or as the bucket does by itself."
    )
    mirror_kms_key_id: str = Field(default="", description="Key for aws:kms; the account's own by default.")
    mirror_checksums: bool = Field(
        default=True, description="Whether the store checks the SHA-256 of what it gets; some stores cannot."
    )
    mirror_versions_kept: int = Field(
        default=3, ge=1, le=100, description="Versions of the mirror kept; in a bucket only if it keeps versions."
    )
    mirror_versions_days: float = Field(
        default=30.0,
        ge=0,
        description="Days for which a bucket's older versions are kept, even if they are more than that.",
    )
    mirror_take_over: bool = Field(
        default=False,
        description="Write the mirror anew although another lakehouse, or somebody else, has written there. For one "
        "run: what the other has put there is replaced.",
    )
    mirror_lock_seconds: float = Field(
        default=300.0,
        gt=0,
        description="After so much time without a sign of life the lock of `spotify-assets run` in the bucket may be "
        "taken over: that run was killed.",
    )
    glue_database: str = Field(
        default="spotify_assets", description="Glue database into which `spotify-assets glue sync` writes its tables."
    )
    glue_sync_nightly: bool = Field(
        default=False, description="Whether the schedule also brings the Glue database up to date, each night at 04:00."
    )
    bi_copies: str = Field(
        default="parquet",
        description="Formats of the plain files in the mirror's folder bi/, joined by commas: parquet, csv; none for "
        "no such files.",
    )
    bi_copies_hours: float | None = Field(
        default=None,
        ge=0,
        description="How long these files may stay as they are although there are new plays: 24 in a bucket, 0 in a "
        "folder. Each is uploaded whole, every half hour to a bucket that keeps versions of it.",
    )
    run_history_days: int = Field(
        default=30,
        ge=1,
        description="Days for which runs and their events are kept; what was built last always stays known.",
    )
    api_responses_days: int = Field(
        default=30,
        ge=1,
        description="Days for which responses of the Web API are kept as they came; the rows read from them stay.",
    )
    sensor_seconds: int = Field(
        default=30, ge=1, description="How often the daemon looks into the inbox and for stale days."
    )
    alert_webhook_url: SecretStr = Field(
        default=SecretStr(""), description="Address to which alerts are posted as JSON (Slack, Discord, Matrix …)."
    )
    alert_email_to: str = Field(default="", description="Address to which alerts are mailed; needs smtp_host.")
    alert_email_from: str = Field(default="", description="Sender of the mails; the recipient by default.")
    smtp_host: str = Field(default="127.0.0.1", description="Mail server for alerts.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port; 465 is TLS from the first byte.")
    smtp_user: str = Field(default="", description="User at the mail server, if it wants one.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="Password of that user.")
    client_id: str | None = Field(
        default=None,
        validation_alias=AliasChoices("SPOTIFY_ASSETS_CLIENT_ID", "SPOTIPY_CLIENT_ID"),
        description="Client id of the Spotify app; by default the one that `spotify-assets login` has kept.",
    )
    client_secret: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("SPOTIFY_ASSETS_CLIENT_SECRET", "SPOTIPY_CLIENT_SECRET"),
        description="Client secret of the Spotify app, where one is to be used.",
    )
    sign_in_secret: str = Field(
        default="",
        description="Name or ARN of a secret of AWS Secrets Manager in which the app and the sign-ins are kept too, "
        "for runs without a home of their own.",
    )
    sign_in: SecretStr = Field(
        default=SecretStr(""),
        description="What tokens/{listener}.json of a home holds in which `spotify-assets login` was done, or a JSON "
        "object of several of these by listener: for runs without a home of their own.",
    )
    redirect_uri: str | None = Field(
        default=None,
        validation_alias=AliasChoices("SPOTIFY_ASSETS_REDIRECT_URI", "SPOTIPY_REDIRECT_URI"),
        description="Redirect URI registered for the Spotify app, where it is another one than ours.",
    )
    accounts_url: str = Field(
        default="https://accounts.spotify.com", description="Address of Spotify's accounts service."
    )
    api_url: str = Field(default="https://api.spotify.com/v1", description="Address of the Spotify Web API.")
    sign_in_seconds: float = Field(
        default=300.0, gt=0, description="How long a sign-in waits for the answer in the browser."
    )
    audio_feature_providers: str = Field(
        default="spotify",
        description="Who is asked for audio features besides {home}/audio_features.csv, joined by commas in the order "
        "of preference: spotify (old apps only), reccobeats. The ids of the tracks that were played are sent to them.",
    )
    genre_providers: str = Field(
        default="",
        description="Who is asked for genres besides {home}/genres.csv: musicbrainz, or nobody. The ISRCs of tracks "
        "that were played are sent to them.",
    )
    contact: str = Field(
        default="", description="Mail address or web page sent to MusicBrainz, which asks for one; to nobody else."
    )
    provider_requests_per_run: int = Field(
        default=40, ge=0, description="Requests to each provider of audio features and genres in a run."
    )
    provider_seconds_per_run: float = Field(
        default=40.0, ge=0, description="Seconds that a run asks all providers of features for, and all of genres."
    )
    provider_seconds_between_requests: float = Field(
        default=1.0,
        ge=0,
        description="Pace of these requests; musicbrainz.org is never asked faster than once a second.",
    )
    reccobeats_url: str = Field(default="https://api.reccobeats.com/v1", description="Where ReccoBeats is.")
    musicbrainz_url: str = Field(
        default="https://musicbrainz.org/ws/2", description="Where MusicBrainz is; a mirror of one's own may be faster."
    )
    dagster_home: Path | None = Field(default=None, validation_alias=AliasChoices("DAGSTER_HOME"))

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        return usable_zone_name(name) if name else None

    @field_validator("listener")
    @classmethod
    def _usable_name(cls, listener: str) -> str:
        return usable_listener_name(listener)

    @field_validator("glue_database")
    @classmethod
    def _usable_database(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,127}", name):
            # What Athena takes without quotes.
            raise ValueError(f"{name!r} is no name of a database: small letters, digits and _ only, no digit first")
        return name

    @field_validator("accounts_url", "api_url", "reccobeats_url", "musicbrainz_url")
    @classmethod
    def _safe_address(cls, url: str) -> str:
        parts = urlsplit(url)
        is_here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1")
        if not parts.hostname or not (parts.scheme == "https" or is_here):
            # Tokens go there.
            raise ValueError(f"{url!r} is neither an https address nor one of this machine (http://127.0.0.1:PORT)")
        return url.rstrip("/")

    @field_validator("mirror")
    @classmethod
    def _usable_mirror(cls, address: str) -> str:
        address = address.strip()
        if address.startswith(_S3):
            return _S3 + "/".join(filter(None, bucket_and_prefix(address)))
        if is_address(address):
            raise ValueError("a mirror is kept in s3://bucket/prefix or in a folder")
        return address

    @field_validator("mirror_endpoint_url")
    @classmethod
    def _usable_endpoint(cls, url: str | None) -> str | None:
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an endpoint is an address such as https://s3.example.com")
        if parts.username or parts.password or parts.query:
            raise ValueError("an endpoint has no keys in it: those go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        return url.rstrip("/")

    @field_validator("mirror_region", "mirror_profile")
    @classmethod
    def _empty_is_none(cls, name: str | None) -> str | None:
        return name or None

    @property
    def mirror_address(self) -> str:
        """`s3://bucket/prefix`, or the absolute path of a folder."""
        if self.mirror.startswith(_S3):
            return self.mirror
        return str(self.home / Path(self.mirror).expanduser()) if self.mirror else str(self.paths.mirror_folder)

    @property
    def mirror_link(self) -> str:
        """Where readers find the mirror's folders: `s3://bucket/prefix`, or a path behind the link `current`."""
        return self.mirror_address if self.mirror.startswith(_S3) else f"{self.mirror_address}/current"

    @property
    def bi_copies_wait_hours(self) -> float:
        """How long BI copies may show an older snapshot."""
        if self.bi_copies_hours is not None:
            return self.bi_copies_hours
        return _HOURS_OF_COPIES_IN_A_BUCKET if self.mirror.startswith(_S3) else 0.0

    @field_validator("daily_budgets")
    @classmethod
    def _usable_budgets(cls, text: str) -> str:
        _budgets_in(text)
        return text

    @property
    def budgets(self) -> dict[str, int]:
        """Requests a day (UTC) by bucket."""
        return DAILY_BUDGETS | _budgets_in(self.daily_budgets)

    @field_validator(*_KNOWN_NAMES)
    @classmethod
    def _names_that_are_known(cls, names: str, info: ValidationInfo) -> str:
        return ",".join(_known_names(names, _KNOWN_NAMES[info.field_name]))

    @field_validator("contact")
    @classmethod
    def _one_line(cls, contact: str) -> str:
        contact = contact.strip()
        if not (contact.isascii() and contact.isprintable()):
            raise ValueError("a contact is a mail address or the address of a web page")
        return contact

    @property
    def is_default_home(self) -> bool:
        return self.home == self._absolute(_default_home())

    @property
    def is_timezone_guessed(self) -> bool:
        return self.timezone is None and self._remembered_zone() is None

    @property
    def zone_name(self) -> str:
        """The listener's zone: the setting, else the one that this home was last built with, else the machine's."""
        return self.timezone or self._remembered_zone() or _zone_of_machine()

    def remember_timezone(self) -> None:
        """Keep the zone in the home folder, so that a UI started without the variable does not move every day.

        Raises:
            OSError: The home folder cannot be written to.
        """
        if self.timezone:
            self.paths.timezone_file.write_text(f"{self.timezone}\n")

    def _remembered_zone(self) -> str | None:
        try:
            return self._known_zone(self.paths.timezone_file.read_text().strip())
        except (OSError, ValueError):
            return None

    @property
    def ruling(self) -> dict[str, str]:
        """Settings by name that rule what stands in the tables, as text."""
        return {
            "timezone": self.zone_name,
            "session_gap_minutes": str(self.session_gap_minutes),
            "outage_minutes": str(self.outage_minutes),
        }

    def own_environment(self) -> dict[str, str]:
        """Our own variables for a process that is to work on this home with these settings, and no others."""
        named = {
            "SPOTIFY_ASSETS_HOME": str(self.home),
            "SPOTIFY_ASSETS_LISTENER": self.listener,
            "DAGSTER_HOME": str(self.paths.dagster_folder),
        }
        # The app's are kept in the home by `spotify-assets login`: a service's description may be read by others.
        kept = {"client_id", "client_secret", "redirect_uri", "sign_in"}
        for name in sorted(self.model_fields_set - kept - {"home", "listener", "dagster_home"}):
            value = getattr(self, name)
            if value is not None:
                plain = value.get_secret_value() if isinstance(value, SecretStr) else value
                named[f"SPOTIFY_ASSETS_{name.upper()}"] = str(plain)
        return named

    def process_environment(self) -> dict[str, str]:
        """The environment for a process of ours that is to work on this home, the Dagster UI above all."""
        return {**os.environ, **self.own_environment()}

    @property
    def paths(self) -> HomePaths:
        return HomePaths(self.home)


class BucketAddress(NamedTuple):
    """`s3://{bucket}/{prefix}`, the prefix empty or without slashes around it."""

    bucket: str
    prefix: str

    @property
    def root(self) -> str:
        """The address, without a slash at its end."""
        return f"{_S3}{self.bucket}/{self.prefix}".rstrip("/")

    def url(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return f"{self.root}/{key}"

    def key(self, key: str) -> str:
        """The whole key of one that is relative to the prefix."""
        return f"{self.prefix}/{key}" if self.prefix else key


def is_address(text: str) -> bool:
    """Whether a text is meant as an address, perhaps misspelled (`s3:/bucket`), and not as the path of a folder."""
    # A drive of Windows is one letter.
    return "://" in text or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) is not None


def bucket_and_prefix(address: str) -> BucketAddress:
    """Bucket and prefix of `s3://bucket/prefix`.

    Raises:
        ValueError: No such address can be meant. The text does not repeat it: it may hold a key.
    """
    bucket, _, prefix = address.removeprefix(_S3).partition("/")
    if not address.startswith(_S3) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket):
        raise ValueError("the address of a bucket is written s3://bucket/prefix, without keys, port or host")
    prefix = prefix.strip("/")
    if not prefix.isprintable() or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise ValueError("the prefix of a bucket is one word or several, with single slashes between them")
    return BucketAddress(bucket, prefix)


def usable_listener_name(text: str) -> str:
    """A listener's name without the space around it.

    Raises:
        ValueError: No name can be meant.
    """
    name = text.strip()
    if not name or name.startswith(".") or any(character in name for character in '/\\\0\n\r\t"'):
        raise ValueError(
            "a listener's name is one word or several, without slashes, quotes or line breaks, and no dot before them"
        )
    return name


def _budgets_in(text: str) -> dict[str, int]:
    budgets = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        bucket, _, requests = (piece.strip() for piece in part.partition("="))
        if bucket not in DAILY_BUDGETS or not (requests.isascii() and requests.isdigit()):
            raise ValueError(
                f"{part!r} is no budget; write for example artists=500. There are: {', '.join(DAILY_BUDGETS)}"
            )
        budgets[bucket] = int(requests)
    return budgets


def _known_names(text: str, known: tuple[str, ...]) -> list[str]:
    """Names of a list that is joined by commas; `none` and nothing are no names.

    Raises:
        ValueError: A name is not one of `known`.
    """
    names = [name.strip().lower() for name in text.split(",")]
    names = list(dict.fromkeys(name for name in names if name not in ("", "none")))
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is none of {', '.join(known)}; write none for nobody")
    return names


def usable_zone_name(name: str) -> str:
    """An IANA name as it is.

    Raises:
        ValueError: There is no such zone.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone; write for example Europe/Berlin") from None
    return name


def _zone_of_machine() -> str:
    try:
        name = tzlocal.get_localzone_name()
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return "UTC"
    return name


@dataclass(frozen=True)
class HomePaths:
    """Where everything lies in a home folder.

    ```
    lakehouse.duckdb        symlink to the newest snapshot: what notebooks open
    mirror/                 Parquet files, those for BI tools in current/bi/; unless the settings name another place
    inbox/{listener}/       for exports
    listeners.toml          the household, where there is one
    credentials.toml        the Spotify app, for its owner's eyes alone
    tokens/{listener}.json  sign-ins, likewise
    recordings.csv          which tracks are one recording, where the listener knows better
    dagster/                the Dagster instance: dagster.yaml, runs and events
    .warehouse/             the pipeline's own DuckDB file, its lock, and the id that a mirror elsewhere knows it by
    .snapshots/{sequence}/  published files
    .runs/{run_id}.lock     held by a living run
    .scratch/               temporary files
    audio_features.csv      the listener's own, or .parquet; likewise genres
    state.sqlite, run.lock, spotify.lock, timezone
    ```
    """

    home: Path

    @property
    def published_file(self) -> Path:
        return self.home / "lakehouse.duckdb"

    @property
    def snapshots_folder(self) -> Path:
        return self.home / ".snapshots"

    @property
    def mirror_folder(self) -> Path:
        return self.home / "mirror"

    @property
    def inbox(self) -> Path:
        return self.home / "inbox"

    def inbox_folder(self, listener: str) -> Path:
        return self.inbox / listener

    @property
    def listeners_file(self) -> Path:
        return self.home / "listeners.toml"

    @property
    def credentials_file(self) -> Path:
        return self.home / "credentials.toml"

    @property
    def tokens_folder(self) -> Path:
        return self.home / "tokens"

    @property
    def own_audio_features_files(self) -> tuple[Path, ...]:
        return tuple(self.home / f"audio_features.{ending}" for ending in ("csv", "parquet"))

    @property
    def own_genres_files(self) -> tuple[Path, ...]:
        return tuple(self.home / f"genres.{ending}" for ending in ("csv", "parquet"))

    @property
    def recordings_file(self) -> Path:
        return self.home / "recordings.csv"

    @property
    def logs_folder(self) -> Path:
        return self.home / "logs"

    @property
    def dagster_folder(self) -> Path:
        return self.home / "dagster"

    @property
    def dagster_configuration(self) -> Path:
        return self.dagster_folder / "dagster.yaml"

    @property
    def dagster_workspace(self) -> Path:
        return self.dagster_folder / "workspace.yaml"

    @property
    def warehouse_file(self) -> Path:
        return self.home / ".warehouse" / "warehouse.duckdb"

    @property
    def warehouse_lock_file(self) -> Path:
        return self.home / ".warehouse" / "warehouse.lock"

    @property
    def mirror_owner_file(self) -> Path:
        """Beside the warehouse and gone with it: a home without its data must not write over their mirror."""
        return self.home / ".warehouse" / "mirror-owner"

    @property
    def scratch_folder(self) -> Path:
        return self.home / ".scratch"

    @property
    def spill_folder(self) -> Path:
        return self.scratch_folder / "duckdb"

    @property
    def run_lock_file(self) -> Path:
        return self.home / "run.lock"

    @property
    def spotify_lock_file(self) -> Path:
        return self.home / "spotify.lock"

    @property
    def runs_folder(self) -> Path:
        return self.home / ".runs"

    @property
    def timezone_file(self) -> Path:
        return self.home / "timezone"

    @property
    def state_file(self) -> Path:
        return self.home / "state.sqlite"
