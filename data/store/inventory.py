"""What is in a store: every artifact, what no run refers to, and what processes left behind."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Any, NamedTuple

from data.errors import ArtifactError, InputError
from data.nearest import did_you_mean
from data.recipes.recipe import RUN_NAME
from data.store.artifacts import Artifact, Record, load_record
from data.store.store import Store
from data.summary import Summary, read_summary

Place = tuple[str, str]  # kind and key of an artifact

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """A file or folder of a store that may be removed."""

    kind: str
    path: Path
    size: int  # bytes
    modified: float  # seconds since 1970, of the newest file

    @classmethod
    def of(cls, kind: str, path: Path) -> "Entry":
        stats = []
        for part in (path, *path.rglob("*")):
            with suppress(FileNotFoundError):  # a run that goes on may be done with it
                stats.append(part.lstat())
        size = sum(s.st_size for s in stats if not S_ISDIR(s.st_mode))
        return cls(kind, path, size, max((s.st_mtime for s in stats), default=0.0))


class Runs(NamedTuple):
    """The runs of a folder by name: their summaries, and why others cannot be read."""

    readable: dict[str, Summary]
    unreadable: dict[str, str]


def run_folder(runs_dir: Path, name: str) -> Path:
    """Where a run keeps its summary and report.

    Raises:
        InputError: the name is a path, or that of no run while one of nearly that name is there.
    """
    if not re.fullmatch(RUN_NAME, name):
        raise InputError(f"{name!r} is no name of a run; `tsalign status` lists the runs")
    folder = runs_dir / name
    if not os.path.lexists(folder):
        known = [path.parent.name for path in runs_dir.glob("*/summary.json")]
        if near := did_you_mean(name, known):
            raise InputError(f"{folder}: no such run{near}; `tsalign status` lists the runs")
    return folder


def summaries(runs_dir: Path) -> Runs:
    """Every run below `runs_dir`. Raises InputError where the folder cannot be read."""
    found = Runs({}, {})
    try:
        names = sorted(os.listdir(runs_dir)) if os.path.lexists(runs_dir) else []
    except OSError as error:
        raise InputError(f"{runs_dir}: cannot be read ({error.strerror}); check it") from error
    for name in names:
        path = runs_dir / name / "summary.json"
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # no run, or one that has not begun
        except OSError:
            pass  # which reading it will name
        try:
            found.readable[name] = read_summary(path)
        except InputError as error:
            found.unreadable[name] = str(error)
    return found


def references(summary: Summary) -> list[Artifact]:
    """Every artifact that a stage of the run gave, once, in the order of the stages."""
    found = {
        (s.kind, s.key): Artifact(kind=s.kind, key=s.key, digest=s.artifact)
        for s in summary.stages()
    }
    return list(found.values())


def places(store: Store) -> dict[Place, Path]:
    """The folder of every artifact on this machine, damaged ones included."""
    return {
        (folder.parents[1].name, f"sha256:{folder.name}"): folder
        for folder in sorted(store.root.glob("*/??/*"))
        if _HEX.fullmatch(folder.name) and folder.name.startswith(folder.parent.name)
    }


def records(store: Store) -> Iterator[Record]:
    """The record of every artifact on this machine that can be read; its files are not."""
    for (kind, key), folder in places(store).items():
        with suppress(ArtifactError):
            yield load_record(folder, kind, key)


def leaves(value: Any) -> Iterator[Any]:
    """Every value in nested dicts and lists that is neither."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


def referenced(store: Store, runs: Iterable[Summary]) -> set[Place]:
    """What the runs refer to, and whatever has the content that a key of these names."""
    keys: dict[Place, dict[str, Any]] = {}
    makers: dict[str, list[Place]] = defaultdict(list)
    for record in records(store):
        place = (record.artifact.kind, record.artifact.key)
        keys[place] = record.key
        makers[record.artifact.digest].append(place)
    todo = [(artifact.kind, artifact.key) for run in runs for artifact in references(run)]
    kept: set[Place] = set()
    while todo:
        place = todo.pop()
        if place not in kept:
            kept.add(place)
            for value in leaves(keys.get(place, {})):
                todo += makers.get(value, []) if isinstance(value, str) else []
    return kept


def unused(store: Store, runs: Iterable[Summary], before: float) -> list[Entry]:
    """Artifacts that no run refers to and that are older than `before`, seconds since 1970.

    With them goes what serves no artifact: records that earlier versions let Prefect keep there,
    work in progress on what is finished or has not moved since `before`, and the temporary folders
    of processes that have ended.
    """
    kept, there = referenced(store, runs), places(store)
    artifacts = {
        place: Entry.of(place[0], folder) for place, folder in there.items() if place not in kept
    }
    gone = {place: entry for place, entry in artifacts.items() if entry.modified < before}
    finished = {key for _, key in there}
    results = [Entry.of("Prefect's records", path) for path in _inside(store.root / "prefect")]
    work = [Entry.of("work in progress", path) for path in _inside(store.root / "work")]
    work = [e for e in work if e.modified < before or _key(e.path) in finished]
    left = [Entry.of("temporary files", path) for path in store.leftovers()]
    return [*gone.values(), *results, *work, *left]


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _key(path: Path) -> str:
    """The key at the end of a name such as generate-<hex>."""
    return f"sha256:{path.name.rpartition('-')[2]}"
