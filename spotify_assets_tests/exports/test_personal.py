from __future__ import annotations

import json

import pytest

from spotify_assets.exports.personal import clean_json, smells_of_a_person


@pytest.mark.parametrize(
    "key",
    [
        *("ip", "client_ip", "clientIPAddress", "IPv4", "ip_addr_v6", "userAgent", "user_id", "email", "e_mail"),
        *("deviceId", "device_model", "geo_lat", "LAT", "lon", "homeCity", "metro", "region_code", "birthDate"),
        *("phoneNumber", "gender", "postal_code", "Username", "useragent", "billing_address", "account_id"),
    ],
)
def test_a_key_about_a_person_is_smelt(key: str) -> None:
    assert smells_of_a_person(key)


@pytest.mark.parametrize(
    "key",
    [
        *("platform", "description", "skipped", "episode_name", "latest", "tripleClick", "relation", "longest_run"),
        *("shuffle_mode", "clip_start", "membership", "audio_quality", "playlist_uri", "translation", "", "42"),
    ],
)
def test_a_harmless_key_is_not_smelt(key: str) -> None:
    assert not smells_of_a_person(key)


def test_personal_fields_are_taken_out_at_any_depth() -> None:
    row = {"a": [{"username": "x", "b": {"latitude": 1, "userEmail": "y", "c": 2}}], "ip_addr": "z"}
    assert json.loads(clean_json(json.dumps(row)) or "") == {"a": [{"b": {"userEmail": None, "c": 2}}]}


@pytest.mark.parametrize("text", [None, "", "5", "[1]", "{", '{"a": ', "[" * 100_000, '{"a":' * 100_000])
def test_what_is_no_object_becomes_nothing(text: str | None) -> None:
    assert clean_json(text) is None


def test_numbers_that_json_cannot_hold_are_kept_as_text_or_dropped() -> None:
    assert clean_json('{"b": 1e999, "a": NaN}') == '{"a":null,"b":"1e999"}'
