"""How a home's mirror stands, as `state.sqlite` notes it. Loads nothing: `status` asks for it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from spotify_assets.state import State

_NOTE = "mirror"

RESTORED_OLDER = "restored "
"""How the revision begins of a home that was restored from an older version of its mirror, to write over the newer."""


@dataclass(frozen=True)
class MirrorState:
    """How the last update of a home's mirror ended.

    Attributes:
        address: Where the mirror is.
        told_at: When that was, ISO 8601.
        failure: Why it is not up to date, for a person; empty when it is.
        failing_since: Since when it is not, ISO 8601; empty when it is.
        snapshot_sequence: What the mirror holds: the number of the published file that it was made from.
        files: Files that it has.
        size_bytes: Bytes that they have.
        revision: Of the manifest that this home wrote last.
        pending_revision: Of the manifest that it was about to write; it may have come to that before it was killed.
    """

    address: str
    told_at: str
    failure: str = ""
    failing_since: str = ""
    snapshot_sequence: int = 0
    files: int = 0
    size_bytes: int = 0
    revision: str = ""
    pending_revision: str = ""

    @classmethod
    def of(cls, state: State) -> MirrorState | None:
        """What is noted, None when no mirror was ever written."""
        text = state.note(_NOTE)
        if not text:
            return None
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})

    @property
    def has_gone_back(self) -> bool:
        """Whether the home was restored from an older version of the mirror, and has not written it since."""
        return self.revision.startswith(RESTORED_OLDER)

    @property
    def own_revisions(self) -> set[str]:
        """Revisions of a manifest that this home may have written last."""
        return {self.revision, self.pending_revision} - {""}

    def note(self, state: State) -> None:
        state.set_note(_NOTE, json.dumps(asdict(self)))
