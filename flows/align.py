"""The parent flow: prepare, iterate rounds, write the summary and the report."""

from datetime import date
from pathlib import Path
from time import monotonic

from prefect import flow
from prefect.context import FlowRunContext

from data.errors import InputError
from data.places import in_its_store, one_at_a_time, runs_folder, store_url
from data.recipes.loading import config_digest
from data.recipes.recipe import ALONE, RunRecipe
from data.store.store import Store
from data.summary import read_summary
from flows.derived import check_room
from flows.fingerprint import engine_of
from flows.outside import outside_of
from flows.preflight.adapters import room_of
from flows.preflight.fitting import filled, left_out, said
from flows.preflight.inputs import check_inputs
from flows.preflight.models import sampling_engine
from flows.recipe_files import working_in
from flows.run_folder import RunFolder
from flows.table import Recipe, flow_of
from flows.tracking import tracking_of
from reports.prefect_ui import UiProgress
from tasks.running.books import Books
from tasks.running.effort import core_seconds
from tasks.running.loaded import LoadedModels
from tasks.running.measuring import note_between, rates_of
from tasks.running.progress import Progress
from tasks.running.redo import Redo
from tasks.running.worker import Worker, computes
from tasks.running.workers import Setup, Workers
from tasks.stage import Context, Run


def open_run(
    recipe: RunRecipe, store: str, folder: Path, progress: Progress, redo: Redo | None, books: Books
) -> Run:
    """The context of a run on this machine; `folder` is where its summary is kept."""
    name = sampling_engine(recipe).engine if recipe.sampling else "none"
    loaded = LoadedModels(
        name,
        recipe.runtime,
        recipe.max_length,
        recipe.seed,
        recipe.sampling.parallel if recipe.sampling else ALONE,
        room_of(recipe),
    )
    context = Context(
        Store(store),
        recipe.runtime,
        loaded,
        date=recipe.date or first_day(folder),
        tracking=tracking_of(recipe, folder),
    )
    engine = engine_of(recipe, name)
    run = Run(context, progress, engine, outside_of(recipe), redo=redo, books=books)
    run.rates = rates_of(context)
    if recipe.execution.kind == "ray":
        place = str(context.store.root) if context.store.is_local else store
        setup = Setup(place, recipe.runtime, recipe.max_length, recipe.seed, context.date)
        run.workers = Workers(recipe.execution, setup, Worker, computes(context))
    return run


def first_day(folder: Path) -> str:
    """The day a run of this name first began, YYYY-MM-DD: today, if there is no summary yet."""
    try:
        known = read_summary(folder / "summary.json").date
    except InputError:
        known = None
    return known or date.today().isoformat()


def known_seconds(folder: Path, recipe: RunRecipe) -> dict[str, float]:
    """What the calls of a round took the last time, by address; empty where nothing is known."""
    try:
        known = read_summary(folder / "summary.json")
    except InputError:
        return {}
    if known.config_digest != config_digest(recipe):
        return {}
    found: dict[str, float] = {}
    for record in known.parts()[-1][-1]:
        found[record.address] = found.get(record.address, 0.0) + record.computed_seconds
    return found


@in_its_store
def run_recipe(
    recipe: RunRecipe,
    store: str,
    runs_dir: Path,
    quiet: bool = False,
    redo: Redo | None = None,
    verbose: bool = False,
) -> str:
    """The whole of an alignment; outside a flow, without Prefect. Returns the folder of the run."""
    started, busy, folder = monotonic(), core_seconds(), runs_dir / recipe.run
    chosen = left_out(recipe)
    recipe = filled(recipe, chosen)
    check_room(folder)
    notes = check_inputs(recipe)
    books = Books(kept=FlowRunContext.get() is not None)
    with one_at_a_time(folder), UiProgress(books, quiet, verbose) as progress:
        run = open_run(recipe, store, folder, progress, redo, books)
        expected = known_seconds(folder, recipe)
        kept = RunFolder(recipe, folder, run, notes)
        run.so_far = kept.so_far
        try:
            with run.context.store.used(), run.active():
                progress.section("Preparing")
                progress.expect(expected)
                if chosen:
                    progress.note(said(chosen))
                kept.finish(flow_of(recipe)(run, recipe), seconds=monotonic() - started)
                note_between(run, monotonic() - started, core_seconds() - busy)
                if redo and not redo.begun:
                    raise InputError(
                        f"--stage: round {redo.round} of {recipe.run} has no stage "
                        f"'{redo.stage}' of its own, and nothing was made again"
                    )
        finally:
            run.close()
    return str(kept.folder)


@flow(name="align", flow_run_name="{recipe.run}", persist_result=False)
def align(
    recipe: Recipe,
    store: str | None = None,
    runs_dir: str | None = None,
    quiet: bool = False,
    verbose: bool = False,
    folder: str | None = None,
) -> str:
    """Align a policy: rounds of sampling, labelling, distilling and tuning.

    Args:
        recipe: The choices that fill the slots of the loop.
        store: Folder or URL of the artifacts; by default $TSALIGN_STORE or .tsalign/store.
        runs_dir: Folder of the summaries and reports; by default $TSALIGN_RUNS or runs.
        quiet: No progress on the terminal.
        verbose: A line for every stage, found ones too, with what it counted.
        folder: Where relative names begin; by default the folder that the worker runs flows in.

    Returns:
        The folder of the run.
    """
    with working_in(folder):
        return run_recipe(recipe, store_url(store), runs_folder(runs_dir), quiet, verbose=verbose)
