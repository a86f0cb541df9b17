"""What a bench of distillation over domains says to the claims of DDK (docs/ddk.md):

python -m benchmarks.domains runs/domains/bench.json

The recipes must be labelled ddk, equal, natural and unsmoothed. Each claim is a line, with the
figures it rests on; the command ends with 0 whatever they are, for a claim that fails is a result.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from bench.paired import mean_interval
from bench.variants import Bench, BenchRun, read_bench
from data.errors import InputError

BETTER, WORST, VARIES = 0.03, 0.10, 2.0  # what the claims ask for


def runs_of(bench: Bench, label: str) -> dict[tuple[int | None, int], BenchRun]:
    """The runs of a recipe by world and seed. Raises InputError where there are none."""
    for recipe in bench.recipes:
        if recipe.label == label:
            return {(run.world, run.seed): run for run in recipe.runs}
    known = ", ".join(one.label for one in bench.recipes)
    raise InputError(f"no recipe of this bench is labelled {label!r}; there are {known}")


def relative(
    bench: Bench, label: str, other: str, of: Callable[[BenchRun], float]
) -> tuple[list[float], list[float]]:
    """By how much a recipe is below another in each world, and the other's values."""
    mine, its = runs_of(bench, label), runs_of(bench, other)
    both = [key for key in mine if key in its]
    return [of(its[key]) - of(mine[key]) for key in both], [of(its[key]) for key in both]


def below(bench: Bench, other: str, what: str, wanted: float, surely: bool) -> str:
    """A line: DDK's measure is a share below another's, with the paired interval."""
    gains, values = relative(bench, "ddk", other, lambda run: run.measures[what])
    mean, around = mean_interval(gains)
    share = mean / (sum(values) / len(values))
    shown = bool(around and around[0] > 0)
    holds = share >= wanted and (shown or not surely)
    interval = f" [{around[0]:+.4f} to {around[1]:+.4f}]" if around else ""
    return (
        f"{_word(holds)}: {what} of ddk is {100 * share:.1f} % below that of {other} (asked: "
        f"{100 * wanted:g} %), by {mean:+.4f} nats{interval} in {len(gains)} pairs"
    )


def noise(bench: Bench) -> str:
    """A line: noise never weighs more than an equal share after the first interval."""
    weights = [
        step.value
        for run in runs_of(bench, "ddk").values()
        for step in run.steps["noise_weight"][1:]
    ]
    even = 1 / domains(bench)
    over = sum(weight > even + 1e-9 for weight in weights)
    return (
        f"{_word(not over)}: noise weighs at most {max(weights):.4f} from the second interval on, "
        f"an equal share is {even:.4f}; {over} of {len(weights)} intervals above it"
    )


def domains(bench: Bench) -> int:
    """How many there are: of equal weights, noise has one share."""
    run = next(iter(runs_of(bench, "equal").values()))
    return round(1 / run.measures["noise_weight"])


def varies(bench: Bench) -> str:
    """A line: without smoothing weights vary more."""
    smoothed, plain = (
        [run.measures["weight_variance"] for run in runs_of(bench, label).values()]
        for label in ("ddk", "unsmoothed")
    )
    times = (sum(plain) / len(plain)) / (sum(smoothed) / len(smoothed))
    return (
        f"{_word(times >= VARIES)}: without smoothing the weights' variance is {times:.2f} times "
        f"that of ddk (asked: {VARIES:g})"
    )


def _word(holds: bool) -> str:
    return "holds" if holds else "fails"


def claims(bench: Bench) -> list[str]:
    """A line for each. Raises InputError."""
    return [
        below(bench, "equal", "macro_gap", BETTER, surely=True),
        below(bench, "natural", "worst_gap", WORST, surely=False),
        noise(bench),
        varies(bench),
    ]


def main(path: str) -> None:
    """Print them."""
    try:
        sys.stdout.write("\n".join(claims(read_bench(Path(path)))) + "\n")
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1])
