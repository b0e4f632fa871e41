from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from spotify_assets.demo.services import COHORTS, Story

TODAY = date(2026, 5, 4)


def test_a_story_that_was_kept_tells_which_kind_of_app_asks(tmp_path: Path) -> None:
    story = Story.beginning(TODAY, years=2, timezone="Europe/Berlin", cohort="development")
    story.write(tmp_path)
    assert Story.read(tmp_path) == story


def test_a_story_of_before_there_were_cohorts_goes_on_with_an_old_app(tmp_path: Path) -> None:
    Story.beginning(TODAY, years=2, timezone="Europe/Berlin", cohort="development").write(tmp_path)
    file = tmp_path / "story.json"
    told = json.loads(file.read_text())
    del told["cohort"]
    file.write_text(json.dumps(told))
    assert COHORTS[Story.read(tmp_path).cohort].name == "extended"


def test_a_story_about_an_unknown_kind_of_app_is_none(tmp_path: Path) -> None:
    Story.beginning(TODAY, years=2, timezone="Europe/Berlin", cohort="antique").write(tmp_path)
    assert Story.read(tmp_path) is None
