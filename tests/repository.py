"""Where the repository is, for tests of its files and for commands that start in it."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"  # real data and cases beside the checkout, where there are any
