"""Looking after a store: `tsalign verify` and `tsalign gc`.

Loads neither torch nor Prefect, unless `verify --repair` has something to compute.
"""

import time
from collections import Counter
from collections.abc import Sized
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.filesize import decimal

from data.artifacts import Artifact, examine
from data.errors import InputError
from data.inventory import references, summaries, unused
from data.recipe import Recipe
from data.store import Store
from data.summary import Summary, read_summary
from flows.explain import Names, short


@dataclass(frozen=True)
class Finding:
    """An artifact that is not what its runs refer to."""

    artifact: Artifact
    runs: list[str]
    damage: list[str]  # each "file: what is wrong with it"
    other: list[str]  # what is wrong without damage: foreign files, another result


def runs_below(runs_dir: Path, name: str | None = None) -> dict[str, Summary]:
    """One run or all of them. Raises InputError where there is none."""
    if name:
        return {name: read_summary(runs_dir / name / "summary.json")}
    found = summaries(runs_dir)
    if not found:
        raise InputError(f"{runs_dir}: no runs here; name their folder with --runs-dir")
    return found


def findings(store: Store, runs: dict[str, Summary]) -> tuple[int, list[Finding]]:
    """How many artifacts the runs refer to, and what is wrong with which; hashes every file."""
    users: dict[tuple[str, str, str], list[str]] = {}
    for name, summary in runs.items():
        for artifact in references(summary):
            users.setdefault((artifact.kind, artifact.key, artifact.digest), []).append(name)
    found = []
    for (kind, key, digest), names in users.items():
        artifact = Artifact(kind=kind, key=key, digest=digest)
        seen = examine(store.place(artifact), kind, key)
        other = seen.foreign
        if seen.record and seen.record.artifact.digest != digest:
            other = [*other, "was computed again with another result; run the recipe again"]
        if seen.damage or other:
            found.append(Finding(artifact, names, seen.damage, other))
    return len(users), found


def verify(store: Store, runs_dir: Path, name: str | None = None, *, repair: bool = False) -> int:
    """Hash everything that a run, or every run, refers to, and print what is damaged.

    With `repair`, damaged artifacts are removed, the recipes of their runs run again, and all is
    hashed again.

    Returns:
        0 if all is in order in the end, 1 if not.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    found = _check(console, store, runs_below(runs_dir, name))
    if found and repair:
        _repair(console, store, runs_dir, found)
        found = _check(console, store, runs_below(runs_dir, name))
    elif found:
        console.print("`tsalign verify --repair` computes what is damaged again")
    return 1 if found else 0


def _check(console: Console, store: Store, runs: dict[str, Summary]) -> list[Finding]:
    count, found = findings(store, runs)
    names = Names(runs)
    for finding in found:
        kind, key = finding.artifact.kind, finding.artifact.key
        console.print(f"{kind} {short(key)}, {names.place(kind, key)}")
        for what in finding.damage + finding.other:
            console.print(f"  {what}")
    wrong = f"{len(found)} damaged" if found else "all in order"
    console.print(f"{_runs(runs)}, {count} artifacts: {wrong}")
    return found


def _repair(console: Console, store: Store, runs_dir: Path, found: list[Finding]) -> None:
    from flows.launch import launch

    with store.alone():
        for finding in found:
            if finding.damage:
                store.discard(store.place(finding.artifact))
    for name in sorted({name for finding in found for name in finding.runs}):
        console.print(f"{name}: running its recipe again")
        summary = read_summary(runs_dir / name / "summary.json")
        try:
            recipe = Recipe.model_validate(summary.config | {"run": name})
        except ValidationError as error:
            raise InputError(f"{name}: its recipe is of another version; run it again") from error
        launch(recipe, store=store.url, runs_dir=runs_dir)


def collect(store: Store, runs_dirs: list[Path], *, older_than: float, delete: bool) -> None:
    """List, or delete, what no run below `runs_dirs` refers to and is `older_than` hours old.

    Raises:
        InputError: the store is not a folder here, there is no run, one cannot be read, or, to
            delete, a run is going on.
    """
    if not store.is_local:
        raise InputError(
            f"store {store.url}: gc removes from local stores only, as other machines may be "
            "using this one; expire its objects where they are kept"
        )
    if not store.root.is_dir():
        raise InputError(f"store {store.url}: no such folder; name it with --store")
    with store.alone() if delete else nullcontext():
        runs = [run for folder in runs_dirs for run in runs_below(folder).values()]
        entries = unused(store, runs, before=time.time() - older_than * 3600)
        if delete:
            for entry in entries:
                store.discard(entry.path)
    sizes: Counter[str] = Counter()
    counts = Counter(entry.kind for entry in entries)
    for entry in entries:
        sizes[entry.kind] += entry.size
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if entries:
        for kind in counts:
            console.print(f"{kind:<20}{counts[kind]:>8}{decimal(sizes[kind]):>12}")
        console.print(f"{'total':<20}{len(entries):>8}{decimal(sizes.total()):>12}")
    rule = f"needed by none of {_runs(runs)}, older than {older_than:g} hours (--older-than)"
    last = "removed" if delete else "to remove it, add --delete"
    console.print(f"{rule}: {last if entries else 'nothing'}")


def _runs(runs: Sized) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"
