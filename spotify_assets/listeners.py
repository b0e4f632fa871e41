"""Who lives in a home, in which time zones and since when: `listeners.toml`.

```toml
[[listener]]
name = "Ann"
zones = "Europe/Berlin; 2021-03-01 America/New_York"
market = "DE"

[[listener]]
name = "Bob"
zones = "Pacific/Auckland"
```

A home without the file has one listener, as the settings tell.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from spotify_assets.settings import Settings, usable_listener_name, usable_zone_name

DatedZones = tuple[tuple[date | None, str], ...]
"""IANA zones in the order of the dates from which they hold; the first holds from the beginning (None)."""


class HouseholdError(Exception):
    """`listeners.toml` cannot be used, or does not know a name; the text says where, why and what to do."""


def parse_zones(text: Any) -> DatedZones:
    """Read `Europe/Berlin; 2021-03-01 America/New_York`.

    Raises:
        ValueError: It is another kind of value, an entry is no zone or no date, or the dates do not rise.

    >>> parse_zones("Europe/Berlin; 2021-03-01 America/New_York")
    ((None, 'Europe/Berlin'), (datetime.date(2021, 3, 1), 'America/New_York'))
    """
    if not isinstance(text, str):
        raise ValueError('write a text, for example "Europe/Berlin; 2021-03-01 America/New_York"')
    zones: list[tuple[date | None, str]] = []
    for entry in text.split(";"):
        begin, zone = _dated_zone(entry.split(), is_first=not zones)
        if begin and zones[-1][0] and begin <= zones[-1][0]:
            raise ValueError(f"{begin} does not come after {zones[-1][0]}; put the dates in order, each once")
        zones.append((begin, zone))
    return tuple(zones)


def _dated_zone(words: list[str], *, is_first: bool) -> tuple[date | None, str]:
    if is_first and len(words) != 1:
        raise ValueError("the first zone holds from the beginning: write its name alone, for example Europe/Berlin")
    if is_first:
        return None, usable_zone_name(words[0])
    if len(words) != 2:
        raise ValueError(
            "after the first zone, write the date of the move and the new zone, for example 2021-03-01 America/New_York"
        )
    try:
        begin = date.fromisoformat(words[0])
    except ValueError:
        raise ValueError(f"{words[0]!r} is no date; write it as 2021-03-01") from None
    return begin, usable_zone_name(words[1])


class Listener(BaseModel):
    """One person: the name under which the rows are kept, dated time zones, and the market (ISO 3166 country)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, AfterValidator(usable_listener_name)]
    zones: Annotated[DatedZones | None, BeforeValidator(parse_zones)] = None
    market: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None


@dataclass(frozen=True)
class Household:
    """The listeners of a home.

    Attributes:
        file: listeners.toml.
        listeners: Whom it names; nobody where there is no file.
        default_zone: IANA zone of everybody without zones of their own.
    """

    file: Path
    listeners: tuple[Listener, ...]
    default_zone: str

    @classmethod
    def of(cls, settings: Settings) -> Household:
        """The household of a home.

        Raises:
            HouseholdError: The file cannot be read or used.
        """
        file = settings.paths.listeners_file
        return cls(file, _read(file), settings.zone_name)

    def zones_of(self, name: str) -> DatedZones:
        """Time zones of a listener, those included who have rows but stand in no file."""
        return next((each.zones for each in self.listeners if each.name == name and each.zones), self._default_zones)

    def all_zones(self) -> list[DatedZones]:
        """The different zones of the household, those of the settings where nobody is named."""
        return list(dict.fromkeys(each.zones or self._default_zones for each in self.listeners)) or [
            self._default_zones
        ]

    @property
    def markets(self) -> dict[str, str]:
        """Market by listener, of those who have one."""
        return {each.name: each.market for each in self.listeners if each.market}

    @property
    def _default_zones(self) -> DatedZones:
        return ((None, self.default_zone),)

    def check(self, name: str) -> None:
        """Make sure that exports may be taken in for a listener.

        Raises:
            HouseholdError: The household is told, and does not have the name.
        """
        known = [each.name for each in self.listeners]
        if known and name not in known:
            raise HouseholdError(
                f"{self.file} does not name the listener {name!r}; it names {', '.join(known)}. Nothing was changed. "
                "Say whose export it is (--listener NAME; in the UI `listener` in the config of "
                "raw/streaming_history; in the inbox the folder's name), or add the listener to the file."
            )


def _read(file: Path) -> tuple[Listener, ...]:
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        # A home that cannot be is for whoever needs the home to tell.
        return ()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise HouseholdError(f"{file} cannot be read: {error}. Nothing was changed; mend it, then try again.") from None
    entries = told.pop("listener", [])
    if told:
        raise _unusable(file, f"{next(iter(told))!r} means nothing here: each listener is a table [[listener]]")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise _unusable(file, 'it names nobody: write a table [[listener]] with name = "…" for each, or remove it')
    listeners = [_listener(file, number, entry) for number, entry in enumerate(entries, 1)]
    # A folder of the inbox bears the name, and not every disk tells capital letters from small ones.
    names = [listener.name.casefold() for listener in listeners]
    for position, listener in enumerate(listeners):
        if names[position] in names[:position]:
            raise _unusable(
                file, f"listener {listener.name!r}, name: stands there twice (small and capital letters count alike)"
            )
    return tuple(listeners)


def _listener(file: Path, number: int, entry: dict[str, Any]) -> Listener:
    try:
        return Listener.model_validate(entry)
    except ValidationError as error:
        whose = repr(entry["name"]) if isinstance(entry.get("name"), str) else f"number {number}"
        raise _unusable(file, f"listener {whose}, {_complaint(error)}") from None


def _complaint(error: ValidationError) -> str:
    detail = error.errors()[0]
    key = detail["loc"][0]
    known = ", ".join(Listener.model_fields)
    reasons = {
        "extra_forbidden": f"an unknown key; known are {known}",
        "missing": 'it is missing; write for example name = "Ann"',
        "string_type": "write a text in quotes",
        "string_pattern_mismatch": 'write the two capital letters of a country, such as "DE"',
    }
    return f"{key}: {reasons.get(detail['type'], detail['msg'].removeprefix('Value error, '))}"


def _unusable(file: Path, what: str) -> HouseholdError:
    return HouseholdError(f"{file} cannot be used: {what}. Nothing was changed; mend it, then try again.")
