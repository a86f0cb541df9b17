"""What a mean of a bench is taken over: worlds, and where there is one world, seeds.

The seeds of one world share its policy, teacher, student and prompts, so they are no independent
evidence of another world: a world counts once, by the mean of its seeds, however many it has.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from bench.paired import deviation, mean_interval, next_interval
from bench.variants import BenchRun, Estimate, InWorld

Over = Literal["worlds", "seeds"]


def by_world(runs: Sequence[BenchRun]) -> dict[int | None, list[BenchRun]]:
    """The runs of each world, in the order given; all of them under None where there are none."""
    found: dict[int | None, list[BenchRun]] = {}
    for run in runs:
        found.setdefault(run.world, []).append(run)
    return found


def units(
    runs: Sequence[BenchRun], of: Callable[[BenchRun], float | None]
) -> tuple[list[float], Over]:
    """One number per world, the mean of its runs that have one; within one world, one per run."""
    worlds = [
        values
        for found in by_world(runs).values()
        if (values := [value for run in found if (value := of(run)) is not None])
    ]
    if len(worlds) > 1:
        return [mean(values) for values in worlds], "worlds"
    return [value for values in worlds for value in values], "seeds"


def estimate(runs: Sequence[BenchRun]) -> Estimate:
    """The compared measure of a recipe's runs."""
    values, over = units(runs, lambda run: run.value)
    average, ci95 = mean_interval(values)
    return Estimate(
        mean=average,
        ci95=ci95,
        low=min(values),
        high=max(values),
        over=over,
        deviation=deviation(values),
        next=next_interval(values),
    )


def in_worlds(runs: Sequence[BenchRun]) -> list[InWorld]:
    """A recipe world by world; empty where no worlds are compared."""
    return [in_world(world, found) for world, found in by_world(runs).items() if world is not None]


def in_world(world: int, runs: Sequence[BenchRun]) -> InWorld:
    differences = [run.difference for run in runs if run.difference is not None]
    names = dict.fromkeys(name for run in runs for name in run.measures)
    return InWorld(
        world=world,
        seeds=[run.seed for run in runs],
        value=mean([run.value for run in runs]),
        difference=mean(differences) if differences else None,
        measures={
            name: mean([run.measures[name] for run in runs if name in run.measures])
            for name in names
        },
    )


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
