"""What a bench of ARTE's arms says to the claims of docs/arte.md.

    python -m benchmarks.arte runs/arte/bench.json

Reads a `bench.json` of `tsalign bench` whose recipes are of the flow `arte` and have the labels of
the command in docs/arte.md; nothing else is read and nothing is run. Prints the accuracy of every
arm, the paired differences, and a row for every claim. The thresholds were set before the bench was
run. It ends with 0 whatever they are, for a claim that fails is a result.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.paired import mean_interval
from bench.variants import Bench, BenchRun, read_bench
from data.errors import InputError
from data.retrieval import spearman

ARTE, ORIGINAL, FIXED = "arte", "original", "fixed"
STYLES = ("steps", "short", "recall", "words")  # arms of the method style, labelled by it
LEAST_GAIN, LEAST_RANK = 0.03, 0.5
ACCURACY, SCORE = "accuracy_in_", "learned_score_in_"

Pair = tuple[int | None, int]  # world and seed


def runs_of(bench: Bench, label: str) -> dict[Pair, BenchRun]:
    """The runs of an arm; none where the bench has no such arm."""
    found = (one.runs for one in bench.recipes if one.label == label)
    return {(run.world, run.seed): run for run in next(found, [])}


def accuracy(run: BenchRun) -> float:
    """Raises InputError where it was not measured."""
    if "accuracy" not in run.measures:
        raise InputError(f"{run.run}: has no accuracy; name a bench of the flow `arte`")
    return run.measures["accuracy"]


def differences(bench: Bench, one: str, other: str) -> list[float]:
    """Accuracy of an arm less that of another, in every world and seed that both have."""
    mine, its = runs_of(bench, one), runs_of(bench, other)
    return [accuracy(mine[pair]) - accuracy(its[pair]) for pair in mine if pair in its]


def rank_correlations(bench: Bench) -> list[float]:
    """In every world and seed, Spearman's correlation over styles and tasks of the mean score of a
    pool of drafts with the accuracy of the student that has learnt it; both less their task's mean,
    so that an easy task counts for nothing. Only where all styles were run."""
    pools = [runs_of(bench, style) for style in STYLES]
    shared = [pair for pair in pools[0] if all(pair in pool for pool in pools)]
    return [spearman(*_centred([pool[pair] for pool in pools])) for pair in shared]


def _centred(runs: list[BenchRun]) -> tuple[list[float], list[float]]:
    """Scores and accuracies of every task, less their means over the runs."""
    tasks = [name.removeprefix(SCORE) for name in runs[0].measures if name.startswith(SCORE)]
    if not tasks:
        raise InputError(f"{runs[0].run}: has no score of what was learned; name arms of styles")
    sides: tuple[list[float], list[float]] = ([], [])
    for task in tasks:
        for side, prefix in zip(sides, (SCORE, ACCURACY), strict=True):
            values = [run.measures[f"{prefix}{task}"] for run in runs]
            mean = sum(values) / len(values)
            side.extend(round(value - mean, 9) for value in values)  # equal ones are ties
    return sides


def in_points(values: list[float]) -> str:
    """Mean with Student's interval, in points."""
    if not values:
        return "not run"
    mean, ci95 = mean_interval(values)
    around = f" [{100 * ci95[0]:+.1f}, {100 * ci95[1]:+.1f}]" if ci95 else ""
    return f"{100 * mean:+.1f}{around} points in {len(values)} pairs"


def gain(values: list[float]) -> str:
    """Whether ARTE gains what it should, surely."""
    if not values:
        return "not run"
    mean, ci95 = mean_interval(values)
    met = mean >= LEAST_GAIN and ci95 is not None and ci95[0] > 0
    return f"{in_points(values)}: {'met' if met else 'not met'}"


def ranks(values: list[float]) -> str:
    """Whether scores order styles as accuracy after learning does."""
    if not values:
        return "not run"
    mean, ci95 = mean_interval(values)
    around = f" [{ci95[0]:.2f}, {ci95[1]:.2f}]" if ci95 else ""
    said = "met" if mean >= LEAST_RANK else "not met"
    return f"{mean:.2f}{around} in {len(values)} pairs: {said}"


def lines(bench: Bench) -> Iterator[str]:
    """Arms, differences, claims."""
    yield "| arm | accuracy, mean | runs | less original |"
    yield "|---|---|---|---|"
    for recipe in bench.recipes:
        values = [accuracy(run) for run in recipe.runs]
        mean = 100 * sum(values) / len(values)
        less = in_points(differences(bench, recipe.label, ORIGINAL))
        yield f"| {recipe.label} | {mean:.1f} % | {len(values)} | {less} |"
    yield ""
    yield "| claim | found |"
    yield "|---|---|"
    yield (
        f"| {ARTE} - {ORIGINAL}: {100 * LEAST_GAIN:g} points or more, interval above 0 | "
        f"{gain(differences(bench, ARTE, ORIGINAL))} |"
    )
    yield f"| {ARTE} - {FIXED}, whatever it is | {in_points(differences(bench, ARTE, FIXED))} |"
    yield (
        f"| score of a style and accuracy after it: Spearman {LEAST_RANK:g} or more | "
        f"{ranks(rank_correlations(bench))} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.arte",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="bench.json of `tsalign bench`")
    asked = parser.parse_args()
    try:
        found = list(lines(read_bench(asked.file)))
    except InputError as error:
        sys.exit(str(error))
    sys.stdout.write("\n".join(found) + "\n")


if __name__ == "__main__":
    main()
