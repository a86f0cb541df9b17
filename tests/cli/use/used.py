"""What the tests of chat, compare, export and serve share: finished runs, changed on purpose."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from data.store.store import Store
from data.summary import Summary, read_summary, write_summary


class Place(NamedTuple):
    """A store and the runs beside it."""

    folder: Path

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def options(self) -> list[str]:
        return ["--store", str(self.folder / "store"), "--runs-dir", str(self.runs)]

    def summary(self, run: str = "tiny") -> Summary:
        return read_summary(self.runs / run / "summary.json")

    def change(self, run: str, change: Callable[[Summary], object], old: str = "tiny") -> None:
        """Write the summary of another run: that of `old`, changed."""
        summary = self.summary(old)
        summary.run = run
        change(summary)
        write_summary(self.runs / run / "summary.json", summary)


def copied(tiny_run: Path, to: Path) -> Place:
    """A copy of a finished run that may be changed and damaged."""
    shutil.copytree(tiny_run, to, symlinks=True)
    return Place(to)


def none_adopted(summary: Summary) -> None:
    for entry in summary.rounds:
        entry.adopted = False
    summary.final = None
