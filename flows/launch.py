"""From the command line to the flow: nothing to do, or a flow run with quiet, local Prefect."""

import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, get_args

from rich.console import Console

from data.artifacts import Artifact
from data.errors import ArtifactError, InputError
from data.places import one_at_a_time
from data.recipe import Recipe
from data.store import Store
from data.summary import Summary, read_summary, write_summary
from flows.fitting import fitted
from flows.problems import one_line
from flows.server import prefect_ready
from flows.show import headline, run_folder
from tasks.redo import StageName

if TYPE_CHECKING:
    from prefect import Flow


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
        check(whole, artifacts, folder, quiet)
        places = {"store": store, "runs_dir": str(runs_dir), "quiet": quiet}
        with one_line(folder), prefect_ready(folder) as answers:
            from flows.align import align

            carry_out(align, recipe, **places, by_prefect=answers)
    headline(console, read_summary(folder / "summary.json"), folder)


def launch_rerun(
    run: str, number: int, stage: str, *, store: str, runs_dir: Path, quiet: bool = False
) -> None:
    """Make a stage of a finished or failed round again and what follows from it."""
    if stage not in get_args(StageName):
        raise InputError(f"--stage: no stage {stage!r}; use {', '.join(get_args(StageName))}")
    folder = run_folder(runs_dir, run)
    check(recipe_of(folder), Store(store), folder, quiet)
    places = {"store": store, "runs_dir": str(runs_dir), "quiet": quiet}
    with one_line(folder), prefect_ready(folder) as answers:
        from flows.rerun import rerun_round

        carry_out(rerun_round, run, number, stage, **places, by_prefect=answers)
    console = Console(quiet=quiet, highlight=False)
    headline(console, read_summary(folder / "summary.json"), folder)


def carry_out(flow: "Flow", *args: Any, by_prefect: bool, **kwargs: Any) -> None:
    """Call a flow; where Prefect does not answer, its function."""
    from tasks.books import Books, restored, without_prefect

    if not by_prefect:
        without_prefect("no server")
    with restored():
        Books(kept=by_prefect).flow(flow, *args, **kwargs)


def recipe_of(folder: Path) -> Recipe:
    """The recipe a run was started with. Raises InputError."""
    return Recipe.model_validate(read_summary(folder / "summary.json").config)


def check(recipe: Recipe, store: Store, folder: Path, quiet: bool) -> None:
    """Whatever can be refused is refused here, before Prefect takes its time to start.

    What is only worth knowing is printed on stderr, a line each.
    """
    from flows.derived import check_room
    from flows.preflight import check_inputs

    check_room(folder)
    for note in check_inputs(recipe):
        if not quiet:
            sys.stderr.write(f"tsalign: note: {note}\n")
    check_writable("--runs-dir", folder)
    check_writable("--store", store.root)
    store.check_remote()
    with one_at_a_time(folder):
        pass


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
    from flows.derived import contradictions, spoilt
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
    if contradictions(store, summary):
        return None
    return summary.all_cached(seconds=round(monotonic() - started, 3))
