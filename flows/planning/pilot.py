"""The pilot: the flow of a recipe on a few prompts, to measure what its stages take.

The flow's own functions are called with the recipe's own models, as a run would, in a store that is
thrown away: for 4 prompts, for 32, and for 128 if there is time, else for 10. The first pass loads
and warms what later ones find, so it counts only where no two sizes are known without it.
Stages compute as they are; the tables they are given are cut. So whatever a flow calls is measured,
at several sizes, and nothing has to be told apart by kind.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import TsAlignError
from data.rates import Measured, Rates
from data.recipes.execution import ExecutionConfig
from data.recipes.loading import config_digest
from data.recipes.recipe import RunRecipe
from data.schemas import TABLES
from data.store.artifacts import TABLE, Artifact
from data.store.digests import digest_of
from data.store.store import Store
from data.tables import write_table
from tasks.running.books import Books
from tasks.running.call import Asked, carry_out
from tasks.running.effort import age, core_seconds
from tasks.running.measuring import START, beside, note_between, rates_of
from tasks.running.progress import Progress
from tasks.stage import Run

SECONDS = 75.0  # that the passes may take, without the engine's start; the first two always may
FIRST, SECOND, LAST = 4, 32, 128  # prompts
AGAIN = 10  # in place of LAST where there is no time for that: a small size, warm
_SLOW = 12  # in place of SECOND, where the first pass has taken a third of the time
_SIZED = ("lessons", "examples", "pairs")  # arguments of stages that make the embedded world
_FEWEST = 128  # of these: less does not train


class _EnoughError(Exception):
    """The first round of a pass is over."""


class Pilot:
    """Answers the stages of a pass: by the stage itself, on tables of a few prompts.

    Args:
        run: In a store of its own.
        there: The store of the runs. What it has of the preparation is taken from there.
        prompts: Of each table at most.
    """

    def __init__(self, run: Run, there: Store, prompts: int) -> None:
        self._run, self._there, self._prompts = run, there, prompts
        self._kept: set[str] = set()  # ids of the prompts that remain

    def __call__(self, asked: Asked) -> Artifact:
        run = self._run
        if run.round > 1:
            raise _EnoughError
        if not run.round and (found := self._taken(asked)):
            return found
        # What makes prompts has all to choose from; those of a round are cut, and any table for
        # whoever reads it. A tokenizer of fewer words would make every model another one.
        prompts = asked.stage.kind == "prompts"
        whole = prompts or asked.stage.kind == "tokenizer"
        inputs = {
            name: value if whole else self._smaller(name, value)
            for name, value in asked.inputs.items()
        }
        if prompts and run.round and isinstance(size := inputs.get("size"), int):
            inputs["size"] = min(size, self._prompts)
        run.ahead = None
        try:
            made = carry_out(replace(asked, inputs=inputs), run)
        finally:
            run.ahead = self
        return self._cut(made) if prompts and run.round else made

    def _taken(self, asked: Asked) -> Artifact | None:
        """What a run has left in the store, brought into the pilot's own."""
        key = asked.stage.key(self._run.context, asked.inputs)
        found = self._there.find(asked.stage.kind, key)
        if found is None:
            return None
        theirs = self._there.path(found)
        own = self._run.context.store.root / theirs.relative_to(self._there.root)
        shutil.copytree(theirs, own, dirs_exist_ok=True)
        return found

    def _smaller(self, name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._smaller(name, one) for one in value]
        if name in _SIZED and isinstance(value, int):
            return min(value, max(_FEWEST, 16 * self._prompts))
        is_table = isinstance(value, Artifact) and value.kind in TABLES
        return self._cut(value) if is_table else value

    def _cut(self, table: Artifact) -> Artifact:
        """The rows of a few prompts: of those that were taken before, else spread over all."""
        store = self._run.context.store
        if "prompt_id" not in TABLES[table.kind].names:
            return table
        rows = store.table(table)
        ids = pc.unique(rows["prompt_id"])
        if len(ids) <= self._prompts:
            self._kept |= set(ids.to_pylist())
            return table
        kept = [one for one in ids.to_pylist() if one in self._kept]
        if not kept:
            places = np.linspace(0, len(ids) - 1, self._prompts).round().astype(int)
            kept = ids.take(pa.array(places)).to_pylist()
            self._kept |= set(kept)
        chosen = rows.filter(pc.is_in(rows["prompt_id"], pa.array(kept, pa.string())))

        def body(out: Path) -> dict[str, Any]:
            write_table(out / TABLE, chosen, TABLES[table.kind])
            return dict(table.meta)

        return store.put(table.kind, {"cut": table.digest, "to": digest_of(kept)}, body)


def pilot(recipe: RunRecipe, store: str, seconds: float = SECONDS) -> list[str]:
    """Measure the stages of a recipe, into the store's rates; why passes ended early, a line each.

    Args:
        recipe: Fitted, and accepted by preflight.
        seconds: That the passes may take, beyond the first two.

    Raises:
        InputError: a model or a file cannot be read.
    """
    from flows.align import open_run
    from flows.launch import load_libraries
    from flows.table import flow_of

    load_libraries(recipe)  # as a run has before its first stage
    recipe = recipe.model_copy(update={"execution": ExecutionConfig()})
    there, reasons = Store(store), []
    with there.used(), there.landmark() as folder, tempfile.TemporaryDirectory() as runs:
        quiet = Progress(quiet=True)
        first = open_run(recipe, str(folder / "store"), Path(runs), quiet, None, Books(kept=False))
        kept, took = rates_of(replace(first.context, store=there)), list[tuple[int, float]]()
        rates = Passes(kept)
        start, cores = round(age(), 3), round(core_seconds(), 3)
        call = beside(START, pilot=True)
        rates.add(Measured(call, call, START, 1, start, cores, pilot=True))
        try:
            while prompts := size_after(took, seconds):
                began, busy = monotonic(), core_seconds()
                loaded = first.context.loaded
                started = loaded.starting, loaded.starting_cores
                context = replace(first.context, tracking=None)  # nothing is published
                run = Run(context, quiet, first.engine, first.outside, books=first.books)
                run.rates, run.pilot = rates, True
                run.ahead = Pilot(run, there, prompts)
                if why := _passed(run, flow_of(recipe), recipe):
                    reasons.append(f"{prompts} prompts: {why}")
                whole, busy = monotonic() - began, core_seconds() - busy
                note_between(run, whole, busy)
                spent = (
                    whole - loaded.starting + started[0],
                    busy - loaded.starting_cores + started[1],
                )
                took.append((prompts, min(spent)))  # a busy machine has it measure no less
                rates.over()
        finally:
            first.close()
        rates.keep()
        call = marker(recipe)
        kept.add(
            Measured(
                call, call, "pilot", 1, round(sum(spent for _, spent in took), 3), 0.0, pilot=True
            )
        )
    return reasons


class Passes:
    """What the passes measure, kept once they are over."""

    def __init__(self, rates: Rates) -> None:
        self._rates, self._number = rates, 0
        self._found: list[tuple[int, Measured]] = []

    def add(self, measured: Measured) -> None:
        self._found.append((self._number, measured))

    def over(self) -> None:
        """The pass is."""
        self._number += 1

    def keep(self) -> None:
        """What the first has measured is left out of calls of which later ones tell two sizes."""
        later: dict[str, set[int]] = {}
        for number, one in self._found:
            if number:
                later.setdefault(one.call, set()).add(one.units)
        for number, one in self._found:
            if number or len(later.get(one.call, ())) < 2:
                self._rates.add(one)


def size_after(took: Sequence[tuple[int, float]], seconds: float) -> int | None:
    """Prompts of the next pass, after those that had so many and took so long; None: enough.

    The last is made where a line through the two before says that there is time for it, or AGAIN
    where there is time for another first one.
    """
    if not took:
        return FIRST
    if len(took) == 1:
        return SECOND if took[0][1] <= seconds / 3 else _SLOW
    if len(took) > 2:
        return None
    (one, before), (two, last) = took
    each, so_far = max(0.0, last - before) / (two - one), before + last
    if so_far + last + each * (LAST - two) <= seconds:
        return LAST
    return AGAIN if so_far + before <= seconds else None


def _passed(run: Run, flow: Callable[..., Any], recipe: RunRecipe) -> str:
    """Go through a flow until its first round is over; why it ended before that, if it did."""
    try:
        with run.active(), suppress(_EnoughError):
            flow(run, recipe)
    except TsAlignError as error:  # few prompts may leave no pair
        return str(error).splitlines()[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return ""


def marker(recipe: RunRecipe) -> str:
    """By what is known that this recipe has had its pilot, whatever its number of workers."""
    return digest_of(["pilot", config_digest(recipe)])
