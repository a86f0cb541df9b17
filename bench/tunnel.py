"""`tsalign bench`: recipes on the embedded world, or any other, at equal budgets over seeds."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from math import prod
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from bench.budgets import OWN_ROUNDS, Equal, totals
from bench.collect import collect
from bench.jobs import Job, Places
from bench.pool import Children, Hiring, Pool, Schedule
from bench.progress import BenchProgress
from bench.variants import MOST, Variant, parse_seeds, parse_variants, write_bench
from data.errors import InputError
from data.places import check_writable, in_its_store
from data.recipes.names import from_world, references
from data.recipes.recipe import RUN_NAME, RunRecipe
from data.store.store import Store
from flows.preflight.fitting import fitted
from flows.recipe_files import load_recipe
from models.host import cores
from tasks.running import machine


@in_its_store
def bench(
    recipes: Sequence[str],
    *,
    worlds: str | None,
    seeds: str | None,
    equal: Equal,
    measure: str | None,
    name: str,
    overrides: Sequence[str],
    workers: int | None,
    ray: str | None = None,
    store: str,
    runs_dir: Path,
    quiet: bool = False,
) -> int:
    """Run every recipe in every world with every seed, or what is missing of it; write table and
    report.

    Args:
        worlds: How many, or which: `world.seed` of each; None: the one that the recipes name.
        seeds: How many, or which; None: one where there are worlds, else five.
        ray: Address of a cluster that carries out the runs; None: this machine does.

    Returns:
        1 if a run failed, else 0.

    Raises:
        InputError: before anything is run.
    """
    began = monotonic()
    variants = parse_variants(recipes)
    if seeds is None:
        seeds = "5" if worlds is None else "1"
    in_worlds = [None] if worlds is None else parse_seeds(worlds, "--worlds")
    check_options(measure, workers, ray)
    jobs = plan(variants, in_worlds, parse_seeds(seeds), name, overrides)
    places = Places(store, runs_dir, equal, measure)
    folder = runs_dir / name
    schedule = Schedule(jobs, wait_for_baseline=equal not in OWN_ROUNDS)
    console = Console(stderr=True, quiet=quiet, highlight=False)
    with hired(jobs, places, folder, workers, ray) as (hiring, workers):
        pool = Pool(schedule, places, budgets(jobs, schedule, places), folder, hiring)
        with BenchProgress(console, schedule, places, workers) as progress:
            pool.run(workers, progress.tick)
    result = collect(
        variants,
        jobs,
        {job.run: schedule.done[job.run] for job in jobs},
        places,
        name=name,
        command=command_line(recipes, worlds, seeds, equal, measure, name, overrides),
        seconds=round(monotonic() - began, 1),
        workers={"workers": str(workers), "threads of each": hiring.threads},
    )
    from bench.report import bench_html, bench_markdown, bench_table, world_table, write_text

    write_bench(folder / "bench.json", result)
    write_text(folder / "bench.md", bench_markdown(result))
    write_text(folder / "bench.html", bench_html(result))
    out = Console(quiet=quiet, highlight=False)
    if not out.is_terminal:  # in a file nothing is too wide
        out = Console(quiet=quiet, highlight=False, width=200)
    out.print(bench_table(result))
    by_world = world_table(result)
    if by_world:
        out.print(by_world)
    for failure in result.failures:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"{failure.run} failed: {failure.error}", markup=False
        )
    out.print(f"Report: {folder / 'bench.html'}", markup=False, soft_wrap=True)
    return 1 if result.failures else 0


def check_options(measure: str | None, workers: int | None, ray: str | None) -> None:
    """What is wrong whatever the recipes are, before any is planned. Raises InputError."""
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: must be at least 1")
    if measure is not None and not measure.strip():
        raise InputError("--measure: must name a measure; leave it out for the headline")
    if ray is not None:
        from bench.ray_workers import check_address

        check_address(ray)


@contextmanager
def hired(
    jobs: Sequence[Job], places: Places, folder: Path, wanted: int | None, ray: str | None
) -> Iterator[tuple[Hiring, int]]:
    """Where workers come from, and how many. Raises InputError before any has begun."""
    recipe = jobs[0].recipe
    if ray is None:
        workers = min(number_of_workers(wanted, recipe), len(jobs))
        check(jobs, places, folder)
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // workers))
        yield Children(places, threads), workers
        return
    from bench.ray_workers import cluster, on_ray

    execution = on_ray(ray, wanted, [job.recipe for job in jobs])
    check(jobs, places, folder)
    with cluster(execution, wanted, places, recipe) as (hiring, workers):
        yield hiring, min(workers, len(jobs))


def plan(
    variants: Sequence[Variant],
    worlds: Sequence[int | None],
    seeds: Sequence[int],
    name: str,
    overrides: Sequence[str],
) -> list[Job]:
    """The runs, world by world and seed by seed, the baseline's first. Raises InputError."""
    if not re.fullmatch(RUN_NAME, name):
        raise InputError(f"--name {name}: must match {RUN_NAME}")
    check_number(variants, worlds, seeds)
    if worlds != [None]:
        for variant in variants:
            check_world(variant, overrides)
    jobs = []
    for world, seed in product(worlds, seeds):
        for variant in variants:
            changes = [filled(one, world, seed) for one in (*overrides, *variant.overrides)]
            changes.append(f"seed={seed}")
            where = ""
            if world is not None:
                changes.append(f"world.seed={world}")
                where = f"-w{world}"
            run = f"{name}-{variant.label}{where}-s{seed}"
            recipe = fitted(load_recipe(variant.path, changes, run=run))
            jobs.append(Job(variant.label, seed, recipe, variant is variants[0], world))
    return jobs


def check_number(
    variants: Sequence[Variant], worlds: Sequence[int | None], seeds: Sequence[int]
) -> None:
    """InputError for more runs than a bench has; planning so many would take minutes."""
    parts = {"recipes": len(variants), "worlds": len(worlds), "seeds": len(seeds)}
    runs = prod(parts.values())
    if runs > MOST:
        said = " x ".join(f"{number:,} {name}" for name, number in parts.items() if number > 1)
        raise InputError(f"{said} are {runs:,} runs, a bench has {MOST:,} at most; name fewer")


def filled(change: str, world: int | None, seed: int) -> str:
    """A change with {seed} and {world} filled in: so a path may lead to another run of the same
    world and seed, such as `student.model=runs/b-full-w{world}-s{seed}/student`."""
    change = change.replace("{seed}", str(seed))
    return change if world is None else change.replace("{world}", str(world))


def check_world(variant: Variant, overrides: Sequence[str]) -> None:
    """InputError unless the recipe is of the embedded world and leaves its seed to `--worlds`."""
    changes = [*overrides, *variant.overrides]
    if any(one.startswith("world.seed=") for one in changes):
        raise InputError(f"{variant.label}: world.seed is what --worlds decides; leave one out")
    recipe = load_recipe(variant.path, [filled(one, 0, 0) for one in changes])
    if recipe.world is None or not from_world(recipe):
        raise InputError(
            f"{variant.label}: takes nothing from the embedded world, so there are no other worlds "
            "to run it in; use --seeds"
        )


def check(jobs: Sequence[Job], places: Places, folder: Path) -> None:
    """Whatever can be refused is refused here. Raises InputError."""
    from flows.preflight.inputs import check_inputs

    baselines = {job.pair: job for job in jobs if job.baseline}
    for job in jobs:
        check_yardstick(job, baselines[job.pair])
    checked = set()
    for job in jobs:  # other worlds and seeds name the same, unless a change has them in a path
        named = (job.label, *(str(one.value) for one in references(job.recipe)))
        if named not in checked:
            check_inputs(job.recipe)
            checked.add(named)
    store = Store(places.store)
    check_writable("--runs-dir", folder)
    check_writable("--store", store.root)
    store.check_remote()


def check_yardstick(job: Job, base: Job) -> None:
    """InputError unless both are measured alike: judge, test prompts, base policy, decoding."""
    mine, its = job.recipe.yardstick(), base.recipe.yardstick()
    for field in {**its, **mine}:
        value, known = mine.get(field), its.get(field)
        if value != known:
            raise InputError(
                f"{job.label}: {field} is {value}, of {base.label} it is {known}; "
                "recipes are compared by one yardstick, make them equal"
            )


def number_of_workers(wanted: int | None, recipe: RunRecipe) -> int:
    """As many as cores, where they compute; one where there is a GPU to share."""
    return wanted or (1 if machine.device(recipe.runtime) == "cuda" else cores())


def budgets(jobs: Sequence[Job], schedule: Schedule, places: Places) -> Any:
    """What a run may cost, once its baseline is done; None: its recipe's rounds decide."""
    baselines = {job.pair: job for job in jobs if job.baseline}

    def budget(job: Job) -> float | None:
        if places.equal in OWN_ROUNDS or job.baseline:
            return None
        baseline = baselines[job.pair]
        if schedule.done[baseline.run] is not None:
            raise InputError(f"no budget, as {baseline.run} failed")
        return totals(places.summary(baseline), places.equal)[-1]

    return budget


def command_line(
    recipes: Sequence[str],
    worlds: str | None,
    seeds: str,
    equal: str,
    measure: str | None,
    name: str,
    overrides: Sequence[str],
) -> str:
    """The command that gives these figures again."""
    sets = [part for override in overrides for part in ("--set", override)]
    measured = ["--measure", measure] if measure is not None else []
    where = ["--worlds", worlds] if worlds is not None else []
    options = [*where, "--seeds", seeds, "--equal", equal, *measured, "--name", name, *sets]
    return shlex.join(["tsalign", "bench", *recipes, *options])
