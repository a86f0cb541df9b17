"""From the command line to the flow: nothing to do, or a flow run with quiet, local Prefect."""

import logging
import os
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import cast, get_args

from rich.console import Console

from data.artifacts import Artifact
from data.errors import ArtifactError, InputError
from data.recipe import Recipe
from data.store import Store
from data.summary import Summary, read_summary, write_summary
from flows.fitting import fitted
from flows.show import headline, run_folder
from tasks.redo import StageName

# Only defaults: whatever the user has set wins.
SETTINGS = {
    # Threads that spin for long while they wait make two busy processes on a CPU ten times slower;
    # threads that never spin take half as long again for small models (benchmarks/spinning.py).
    "GOMP_SPINCOUNT": "20000",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # A cold start on a busy machine takes longer than the default 20 seconds.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


def launch(recipe: Recipe, *, store: str, runs_dir: Path, quiet: bool = False) -> None:
    """Run the recipe, unless its run is complete and every artifact of it is in order."""
    console = Console(quiet=quiet, highlight=False)
    folder = runs_dir / recipe.run
    artifacts = Store(store)
    whole = fitted(recipe)
    done = finished(whole, folder, artifacts)
    if done:
        write_summary(folder / "summary.json", done)
        console.print(f"{recipe.run}: nothing to do, every stage is cached.")
    else:
        set_defaults()
        check(whole, artifacts, folder, quiet)
        from flows.align import align

        align(recipe, store=store, runs_dir=str(runs_dir), quiet=quiet)
    headline(console, read_summary(folder / "summary.json"), folder)


def launch_rerun(
    run: str, number: int, stage: str, *, store: str, runs_dir: Path, quiet: bool = False
) -> None:
    """Make a stage of a finished or failed round again and what follows from it."""
    if stage not in get_args(StageName):
        raise InputError(f"--stage: no stage {stage!r}; use {', '.join(get_args(StageName))}")
    folder = run_folder(runs_dir, run)
    set_defaults()
    check(recipe_of(folder), Store(store), folder, quiet)
    from flows.rerun import rerun_round

    chosen = cast(StageName, stage)
    rerun_round(run, number, chosen, store=store, runs_dir=str(runs_dir), quiet=quiet)
    console = Console(quiet=quiet, highlight=False)
    headline(console, read_summary(folder / "summary.json"), folder)


def recipe_of(folder: Path) -> Recipe:
    """The recipe a run was started with. Raises InputError."""
    return Recipe.model_validate(read_summary(folder / "summary.json").config)


def set_defaults() -> None:
    """Environment of a run from the command line; before Prefect and torch are imported."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # Prefect would print a traceback of what the command line says in one line.
    logging.getLogger("prefect").setLevel(logging.CRITICAL)


def check(recipe: Recipe, store: Store, folder: Path, quiet: bool) -> None:
    """Whatever can be refused is refused here, before Prefect takes its time to start.

    What is only worth knowing is printed on stderr, a line each.
    """
    from flows.preflight import check_inputs

    for note in check_inputs(recipe):
        if not quiet:
            sys.stderr.write(f"tsalign: note: {note}\n")
    check_writable("--runs-dir", folder)
    check_writable("--store", store.root)
    store.check_remote()


def check_writable(option: str, folder: Path) -> None:
    """InputError unless files can be written into the folder, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{option}: '{folder}' cannot be written ({error.strerror}); name another folder"
        ) from error


def finished(recipe: Recipe, folder: Path, store: Store) -> Summary | None:
    """The summary of a complete run with every stage marked cached, or None if work is left.

    Every artifact is hashed again: a damaged one is work left.
    """
    started, path = monotonic(), folder / "summary.json"
    if not path.is_file():
        return None
    from flows.derived import spoilt
    from flows.fingerprint import run_digest
    from flows.outside import outside_of

    try:
        summary = read_summary(path)
        now = run_digest(recipe, outside_of(recipe))
    except InputError:  # a summary that will be written again, or what preflight will refuse
        return None
    if summary.run_digest != now or summary.finished is None:
        return None
    if spoilt(folder, summary):  # report or links, which are made again
        return None
    try:
        for record in summary.stages():
            store.verify(Artifact(kind=record.kind, key=record.key, digest=record.artifact))
    except ArtifactError:
        return None
    return summary.all_cached(seconds=round(monotonic() - started, 3))
