"""`python -m spotify_assets`: the command line, where the folder of the scripts is not known."""

from __future__ import annotations

from spotify_assets.cli import main

if __name__ == "__main__":
    main()
