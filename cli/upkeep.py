"""Looking after a store: `tsalign verify` and `tsalign gc`.

Loads neither torch nor Prefect, unless `verify --repair` has something to compute.
"""

import time
from collections import Counter
from collections.abc import Sized
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError
from rich.console import Console
from rich.filesize import decimal

from cli.explain import Names, short
from cli.show import headline
from data.errors import InputError
from data.recipes.loading import config_digest
from data.recipes.recipe import RunRecipe
from data.store.artifacts import Artifact, examine
from data.store.inventory import Runs, references, run_folder, summaries, unused
from data.store.store import Store
from data.summary import Summary, read_summary, write_summary
from flows.derived import contradictions, spoilt
from flows.table import recipe_from
from tasks.running.waiting import to_stderr, waiting


@dataclass(frozen=True)
class Finding:
    """An artifact that is not what its runs refer to."""

    artifact: Artifact
    runs: list[str]
    damage: list[str]  # each "file: what is wrong with it"
    other: list[str]  # what is wrong without damage: foreign files, another result


def runs_below(runs_dir: Path, name: str | None = None) -> Runs:
    """One run or all of them. Raises InputError where there is none."""
    if name is None:
        found = summaries(runs_dir)
        if not any(found):
            raise InputError(f"{runs_dir}: no runs here; name their folder with --runs-dir")
        return found
    path = run_folder(runs_dir, name) / "summary.json"
    try:
        return Runs({name: read_summary(path)}, {})
    except InputError as error:
        if not path.exists():
            raise
        return Runs({}, {name: str(error)})


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

    So are summaries, reports and links of runs, and what a summary says is compared with the
    artifacts. With `repair`, damaged artifacts are removed, the recipes of their runs run again,
    and all is checked again.

    Returns:
        0 if all is in order in the end, 1 if not.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    damage = _check(console, store, runs_dir, name)
    if damage and repair:
        _repair(console, store, runs_dir, damage)
        damage = _check(console, store, runs_dir, name)
    elif damage.repairable:
        console.print("`tsalign verify --repair` computes what is damaged again")
    return 1 if damage else 0


class Damage(NamedTuple):
    """What is wrong with the artifacts of runs, and by run with what can be made of these."""

    artifacts: list[Finding]
    runs: dict[str, list[str]]
    lost: set[str]  # of these runs, whose recipe is not known any more

    @property
    def repairable(self) -> bool:
        """Whether there is anything that `--repair` can make again."""
        return bool(self.artifacts) or self.runs.keys() > self.lost

    def __bool__(self) -> bool:
        return any(self)


def _check(console: Console, store: Store, runs_dir: Path, name: str | None) -> Damage:
    runs = runs_below(runs_dir, name)
    with waiting("Hashing what the runs refer to", to_stderr()):
        count, found = findings(store, runs.readable)
    names = Names(runs.readable)
    for finding in found:
        kind, key = finding.artifact.kind, finding.artifact.key
        console.print(f"{kind} {short(key)}, {names.place(kind, key)}")
        for what in finding.damage + finding.other:
            console.print(f"  {what}")
    wrong = {run: [why] for run, why in runs.unreadable.items()}
    for run, summary in runs.readable.items():
        folder = runs_dir / run
        lines = contradictions(store, summary) + (
            spoilt(folder, summary) if summary.finished else []
        )
        wrong |= {run: [f"{folder}/{line}" for line in lines]} if lines else {}
    for lines in wrong.values():
        for line in lines:
            console.print(line)
    parts = [f"{len(found)} damaged"] * bool(found)
    parts += [f"{_runs(wrong)} with damaged files"] * bool(wrong)
    total = _runs([*runs.readable, *runs.unreadable])
    console.print(f"{total}, {count} artifacts: {', '.join(parts) or 'all in order'}")
    return Damage(found, wrong, {run for run in runs.unreadable if _is_lost(runs_dir / run)})


def _is_lost(folder: Path) -> bool:
    """Whether the summary of a run does not even tell its recipe."""
    try:
        read_summary(folder / "summary.json", changed=True)
    except InputError:
        return True
    return False


def _repair(console: Console, store: Store, runs_dir: Path, damage: Damage) -> None:
    from flows.launch import launch

    with store.alone():
        for finding in damage.artifacts:
            if finding.damage:
                store.discard(store.place(finding.artifact))
    for name in sorted({n for finding in damage.artifacts for n in finding.runs} | {*damage.runs}):
        path = runs_dir / name / "summary.json"
        try:
            summary = read_summary(path, changed=True)
            recipe = recorded_recipe(name, summary, trusted=name not in damage.runs)
        except InputError as error:
            console.print(f"{error}")
            continue
        console.print(f"{name}: running its recipe again")
        if name in damage.runs:  # which a run that has finished would not look for
            summary.finished = None
            write_summary(path, summary)
        headline(launch(recipe, store=store.url, runs_dir=runs_dir))


def recorded_recipe(name: str, summary: Summary, *, trusted: bool) -> RunRecipe:
    """The recipe in a summary. Raises InputError where it must not or cannot be run again.

    A summary that is not `trusted`, as someone may have written it, must not make code run.
    """
    try:
        recipe = recipe_from(summary.config | {"run": name})
    except (ValidationError, InputError) as error:
        raise InputError(f"{name}: its recipe is of another version; run it again") from error
    if not trusted and config_digest(recipe) != summary.config_digest:
        raise InputError(f"{name}: its recipe has changed in the summary; run it again yourself")
    if not trusted and recipe.runtime.trust_remote_code:
        raise InputError(f"{name}: its recipe runs code; run it again yourself")
    return recipe


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
        below = [runs_below(folder) for folder in runs_dirs]
        runs = [run for found in below for run in found.readable.values()]
        unreadable = [why for found in below for why in found.unreadable.values()]
        if unreadable and delete:
            raise InputError(f"{unreadable[0]}; what it needs is unknown, so nothing was removed")
        with waiting("Looking for what no run refers to", to_stderr()):
            entries = unused(store, runs, before=time.time() - older_than * 3600)
        if delete:
            for entry in entries:
                store.discard(entry.path)
    sizes: Counter[str] = Counter()
    counts = Counter(entry.kind for entry in entries)
    for entry in entries:
        sizes[entry.kind] += entry.size
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for why in unreadable:
        console.print(f"{why}; what it needs is unknown, nothing can be removed")
    if entries:
        for kind in counts:
            console.print(f"{kind:<20}{counts[kind]:>8}{decimal(sizes[kind]):>12}")
        console.print(f"{'total':<20}{len(entries):>8}{decimal(sizes.total()):>12}")
    rule = f"needed by none of {_runs(runs)}, older than {older_than:g} hours (--older-than)"
    last = "removed" if delete else "to remove it, add --delete"
    console.print(f"{rule}: {last if entries else 'nothing'}")


def _runs(runs: Sized) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"
