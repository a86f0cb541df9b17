"""`tsalign check --time`: what a run will take here, stage by stage, from what was measured."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from data.rates import Known, Rates
from data.recipes.recipe import RunRecipe
from data.store.remote import local_folder
from flows.planning.foreseen import Foreseeing, Foreseen
from flows.planning.pilot import marker, pilot
from flows.planning.plan import Plan, planned
from flows.planning.preview import Preview
from models.isolation import Child
from tasks.running.measuring import BETWEEN, START, beside, machine_of

# What a run under Prefect takes beside a pilot, which has neither Prefect nor a report, until a run
# here has told: for a stage, and for the start of the server, which that of the libraries hides in
# part. From runs of benchmarks.predicted; docs/performance.md and docs/operate.md have Prefect's.
PREFECT_CALL, PREFECT_START, PREFECT_START_CORES = 0.04, 5.0, 9.0  # seconds


_TOLD = 0.01  # share of the time from which on a doubt is worth a line


@dataclass
class Prediction:
    """What is to be expected of a run.

    Seconds are those of the clock on this machine, as busy as it was when it was measured.
    """

    steps: list[Foreseen]
    start: float = 0.0  # seconds of the command before and after its run
    between: float = 0.0  # seconds of the run beside its stages
    beside_cores: float = 0.0  # of all cores, of both
    machine: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def work(self) -> list[Foreseen]:
        return [step for step in self.steps if step.is_work]

    @property
    def unknown(self) -> list[Foreseen]:
        """What would be computed, and nobody has measured the like."""
        return [step for step in self.work if step.seconds is None]

    @property
    def seconds(self) -> float:
        """Of the whole, stages of which nothing is known left out."""
        return self.start + self.between + sum(step.seconds or 0.0 for step in self.work)

    @property
    def cores(self) -> float:
        return self.beside_cores + sum(step.cores or 0.0 for step in self.work)

    @property
    def memory(self) -> int:
        return max((step.memory or 0 for step in self.work), default=0)

    @property
    def disk(self) -> int:
        return sum(step.disk or 0 for step in self.work)

    def sections(self) -> dict[str, list[Foreseen]]:
        """What is to be computed, by section, in the order of the run."""
        found: dict[str, list[Foreseen]] = {}
        for step in self.work:
            found.setdefault(step.section, []).append(step)
        return found

    def told(self) -> dict[str, Any]:
        """The totals as JSON."""
        return {
            "seconds": round(self.seconds, 1),
            "core_seconds": round(self.cores, 1),
            "core_seconds_beside": round(self.beside_cores, 1),
            "start": round(self.start, 1),
            "between_stages": round(self.between, 1),
            "memory": self.memory,
            "disk": self.disk,
            "calls": sum(step.calls for step in self.work),
            "tokens": sum(step.tokens for step in self.work),
            "unknown": [step.title for step in self.unknown],
            "machine": self.machine,
            "notes": self.notes,
        }


def predicted(recipe: RunRecipe, store: str, folder: Path, prompts: Preview) -> Prediction:
    """What a run of the recipe will take here. What was not measured yet is measured, by a pilot in
    a process of its own, and kept in the store.

    Args:
        recipe: Fitted, and accepted by preflight.
        folder: Of the run.
        prompts: As preflight has counted them.
    """
    rates = Rates(local_folder(store)[0], machine_of(recipe.runtime))
    found, known = _foreseen(recipe, store, folder, prompts, rates.known()), rates.known()
    notes: list[str] = []
    # What a pilot can reach: the preparation and a round.
    near = list(dict.fromkeys(one.section for one in found.steps))[:2]
    asked = [one for one in found.work if one.model and one.section in near]
    if any(one.source in ("", "like") or one.thin for one in asked):
        call = marker(recipe)
        if known.rate(call, call) is None:
            notes = _measured(recipe, store)
            found = _foreseen(recipe, store, folder, prompts, rates.known())
    found.machine = rates.machine
    found.notes = [*notes, *found.notes, *_notes(recipe, found)]
    return found


def _measured(recipe: RunRecipe, store: str) -> list[str]:
    # Warnings of the process that looks after what children leave: this one is killed in the end.
    child = Child(partial, pilot, environment={"PYTHONWARNINGS": "ignore"})
    try:
        reasons: list[str] = child.call("__call__", recipe, store)
    finally:
        child.close()
    return [f"the pilot ended early with {reason}" for reason in reasons]


def _foreseen(
    recipe: RunRecipe, store: str, folder: Path, prompts: Preview, known: Known
) -> Prediction:
    workers = recipe.execution.workers if recipe.execution.kind == "ray" else 1
    lengths = {one.field.removesuffix(".model"): one.shares[50] for one in prompts.lengths}
    foresight = Foreseeing(known, workers, lengths)
    plan = planned(recipe, store, folder, prompts.rows, foresight)
    steps = foresight.steps
    notes = _early(plan) if plan.ends else []
    if not any(step.is_work for step in steps):
        return Prediction(steps, notes=notes)
    calls = sum(max(1, step.bodies) for step in steps)
    return Prediction(steps, *_beside(known, calls), notes=notes)


def _early(plan: Plan) -> list[str]:
    """Why the prediction ends before the run; a flow that lacks rows here lacks expected ones, so
    its advice is about none that was lost."""
    where = "the prediction goes no further than here"
    if not plan.fails:
        return [f"{where}: {plan.ends}"]
    last = plan.steps[-1].title if plan.steps else "the start"
    return [f"{where}: by what was measured too few rows are left after '{last}' for what follows"]


def _beside(known: Known, calls: int) -> tuple[float, float, float]:
    """Seconds of the command around its run, and of the run beside its stages; of cores, both."""
    between = PREFECT_CALL * calls
    start = _aside(known, START, 1, PREFECT_START, PREFECT_START_CORES)
    rest = _aside(known, BETWEEN, calls, between, between)
    return start[0], rest[0], start[1] + rest[1]


def _aside(known: Known, name: str, units: int, more: float, busy: float) -> tuple[float, float]:
    """Seconds and those of cores, as runs have taken them; else as the pilot, with what a run has
    `more` of either."""
    call = beside(name, pilot=False)
    if rate := known.rate(call, call):
        return rate.seconds.at(units), rate.cores.at(units)
    call = beside(name, pilot=True)
    if rate := known.rate(call, call):
        return rate.seconds.at(units) + more, rate.cores.at(units) + busy
    return more, busy


def _notes(recipe: RunRecipe, found: Prediction) -> list[str]:
    notes = []
    if found.unknown:
        names = ", ".join(dict.fromkeys(step.title for step in found.unknown))
        notes.append(f"not measured, and left out of the sums: {names}")
    thin = [step for step in found.work if step.thin or step.level]
    share = sum(step.seconds or 0.0 for step in thin) / (found.seconds or 1.0)
    if share >= _TOLD:
        names = ", ".join(dict.fromkeys(step.title for step in thin))
        notes.append(
            f"measured at about one size, far from this, or no slower at a larger one, with "
            f"{share:.0%} of the time, which may be several times too much, or too little: {names}"
        )
    if any(step.section == "Preparing" and step.model for step in found.work):
        notes.append(
            "models that the run makes first were measured in a small size: how long their answers "
            "are and how many pairs come of these is known once they are there"
        )
    if recipe.execution.kind == "ray":
        notes.append(
            f"{recipe.execution.workers} workers are taken to divide shards evenly; it was not "
            "measured"
        )
    return notes
