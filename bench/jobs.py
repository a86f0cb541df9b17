"""The runs of a bench: what is left to do of one, and doing it. Loads neither torch nor Prefect
until there is something to run.

A run with a budget is its recipe with the rounds that the budget pays for, found by running it with
one round more at a time; the last may turn out too dear and is then not judged. Earlier rounds are
in the store, so only the new one is computed, and what comes out is what `tsalign align` gives for
that many rounds.
"""

from dataclasses import dataclass
from pathlib import Path

from bench.budgets import Equal, rounds_of, totals, worth_another
from data.errors import InputError
from data.recipes.loading import config_digest
from data.recipes.recipe import RunRecipe
from data.store.store import Store
from data.summary import Summary, read_summary


@dataclass(frozen=True)
class Job:
    """One recipe with one seed, in one world where worlds are compared."""

    label: str
    seed: int
    recipe: RunRecipe
    baseline: bool
    world: int | None = None  # `world.seed`

    @property
    def pair(self) -> tuple[int | None, int]:
        """World and seed: what is compared has both in common, and so prompts and bootstrap."""
        return self.world, self.seed

    @property
    def title(self) -> str:
        world = "" if self.world is None else f", world {self.world}"
        return f"{self.label}{world}, seed {self.seed}"

    @property
    def run(self) -> str:
        return self.recipe.run


@dataclass(frozen=True)
class Places:
    """Where a bench keeps things; what a worker needs to know of it."""

    store: str
    runs_dir: Path
    equal: Equal
    measure: str | None = None  # that is compared; None: the headline of the baseline

    def folder(self, job: Job) -> Path:
        return self.runs_dir / job.run

    def summary(self, job: Job) -> Summary:
        return read_summary(self.folder(job) / "summary.json")


def with_rounds(recipe: RunRecipe, rounds: int) -> RunRecipe:
    """The recipe with so many rounds; one whose flow has a single round as it is."""
    if "rounds" not in type(recipe).model_fields:
        return recipe
    return recipe.model_copy(update={"rounds": rounds})


def first_recipe(job: Job, places: Places, budget: float | None) -> RunRecipe:
    """The recipe to begin with: of a run with a budget, with the rounds it has already, or one."""
    if budget is None:
        return job.recipe
    try:
        summary = places.summary(job)
    except InputError:
        return with_rounds(job.recipe, 1)
    known = with_rounds(job.recipe, summary.config.get("rounds", 1))
    return known if config_digest(known) == summary.config_digest else with_rounds(job.recipe, 1)


def next_recipe(job: Job, places: Places, budget: float | None) -> RunRecipe | None:
    """After a run: the recipe with a round more, if the budget and the prompts allow for it."""
    summary = places.summary(job)
    if budget is None or not worth_another(totals(summary, places.equal), budget):
        return None
    done = len(rounds_of(summary))
    longer = with_rounds(job.recipe, done + 1)
    if longer.round_count <= done:
        return None
    return longer if enough_prompts(longer) else None


def enough_prompts(recipe: RunRecipe) -> bool:
    try:
        recipe.check_prompts()
    except InputError:
        return False
    return True


def complete(job: Job, places: Places, budget: float | None) -> bool:
    """Whether there is nothing to do. Every artifact is hashed again, as for `tsalign align`."""
    folder = places.folder(job)
    if not (folder / "summary.json").is_file():
        return False
    from flows.launch import finished

    recipe = first_recipe(job, places, budget)
    done = finished(recipe, folder, Store(places.store)) is not None
    return done and next_recipe(job, places, budget) is None


def carry_out(job: Job, places: Places, budget: float | None) -> None:
    """Run what is missing, as `tsalign align` does."""
    from flows.launch import launch

    recipe: RunRecipe | None = first_recipe(job, places, budget)
    while recipe is not None:
        launch(recipe, store=places.store, runs_dir=places.runs_dir)
        recipe = next_recipe(job, places, budget)
