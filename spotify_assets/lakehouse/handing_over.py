"""Which of a home and its mirror is the newer one, where several machines take turns with one mirror.

A home that another machine has overtaken is replaced by what the mirror holds, but only if the mirror holds all that
the home knows: rows that this home alone has are never given up.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from spotify_assets.lakehouse.errors import MirrorDiverged
from spotify_assets.lakehouse.mirror_reading import open_mirror
from spotify_assets.lakehouse.mirror_state import MirrorState
from spotify_assets.lakehouse.mirroring import home_id
from spotify_assets.lakehouse.transaction import last_change
from spotify_assets.lakehouse.warehouse import Warehouse
from spotify_assets.settings import HomePaths
from spotify_assets.state import State

_ASIDE = ".set-aside"


class Succession(StrEnum):
    """What a run has to begin with."""

    OWN = "the home's own lakehouse"
    RESTORE = "what the mirror holds: there is no lakehouse here"
    REPLACE = "what the mirror holds: another machine ran since, and this home has nothing of its own"


def succession(warehouse: Warehouse) -> Succession:
    """Compare a home with its mirror.

    Raises:
        MirrorDiverged: Another machine has written the mirror, and this home has rows that the mirror does not have.
        MirrorError: The mirror cannot be read.
    """
    paths, configuration = warehouse.paths, warehouse.mirror
    take_back(paths)
    reader = open_mirror(configuration, paths)
    if reader.is_empty():
        return Succession.OWN
    if not warehouse.exists():
        reader.version()
        return Succession.RESTORE
    manifest = reader.version().manifest
    if not configuration.address or manifest.home_id != home_id(paths):
        # Another lakehouse's mirror is refused when it is to be written.
        return Succession.OWN
    known = MirrorState.of(State(paths.state_file))
    with warehouse.look() as (connection, catalog):
        newest = last_change(connection, catalog)
    if known is None or known.address != configuration.link(paths) or not known.own_revisions:
        # A home that does not remember: it may have written all of this itself.
        is_own = manifest.snapshot_sequence <= newest
        has_own_rows = True
    else:
        is_own = known.has_gone_back or manifest.revision in known.own_revisions
        has_own_rows = newest > known.snapshot_sequence
    if is_own:
        return Succession.OWN
    if has_own_rows:
        raise MirrorDiverged(
            f"another machine has written the mirror in {configuration.link(paths)} since this home last did, and "
            f"{paths.home} has changes that the mirror does not have. Nothing was changed on either side. To keep "
            "both: `spotify-assets export spotify --to DIR`, run this with an empty home (--home), then import and "
            "replay into that one what DIR/README.txt names. To keep what the mirror holds alone, "
            f"move {paths.home} away and run this again. To keep what this home holds alone: "
            "SPOTIFY_ASSETS_MIRROR_TAKE_OVER=true spotify-assets mirror sync"
        )
    return Succession.REPLACE


@contextmanager
def lakehouse_set_aside(paths: HomePaths) -> Iterator[None]:
    """Have a home be without its lakehouse for a block that makes it anew; where that raises, all is as it was.

    Runs, sign-ins, counts of requests and whatever people keep in the folder stay. The caller holds the run lock.
    """
    aside = paths.home / _ASIDE
    state = State(paths.state_file)
    before = MirrorState.of(state)
    aside.mkdir()
    # The warehouse last: as long as it is there, a set-aside that was cut off is taken back whole.
    for path in (paths.published_file, paths.snapshots_folder, paths.warehouse_file.parent):
        if path.is_symlink() or path.exists():
            path.rename(aside / path.name)
    try:
        yield
    except BaseException:
        _put_back(paths)
        if before:
            before.note(state)
        raise
    shutil.rmtree(aside)


def take_back(paths: HomePaths) -> None:
    """Undo what `lakehouse_set_aside` has done if it was killed before a new lakehouse was there."""
    aside = paths.home / _ASIDE
    if not aside.exists():
        return
    if paths.warehouse_file.exists() and (aside / paths.warehouse_file.parent.name).exists():
        # What was set aside has nothing that the mirror lacks, and the new one may have.
        shutil.rmtree(aside)
    else:
        _put_back(paths)


def _put_back(paths: HomePaths) -> None:
    aside = paths.home / _ASIDE
    for path in (paths.published_file, paths.snapshots_folder, paths.warehouse_file.parent):
        kept = aside / path.name
        if kept.is_symlink() or kept.exists():
            if path.is_symlink() or not path.is_dir():
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path)
            kept.rename(path)
    shutil.rmtree(aside)
