"""What a bench of AuroBind's fitness half says to the claims of docs/aurobind.md.

    python -m benchmarks.listwise runs/listwise/bench.json

Reads `bench.json` and, beside it, the summaries of its runs, whose figures are by target. Every arm
is set against regression for as many updates of the same run; a target's figure is its mean over
seeds, and intervals are of resampled targets. The command ends with 0 whatever comes out, for a
claim that fails is a result. The thresholds were set before the bench was run.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.variants import Bench, read_bench
from data.errors import InputError
from data.measures import Measure
from data.statistics import Interval, bootstrap_means, percentile_interval
from data.summary import Summary, read_summary

POINTS, RANKS = 1.0, 0.01  # near pairs and Spearman: either will do
KEPT, RECALL, FASTER = 0.9, 0.8, 20.0
_SAMPLES = 10_000
Pooled = tuple[float, Interval, int]


def summaries(path: Path, bench: Bench) -> dict[str, list[Summary]]:
    """The runs of each recipe by its label. Raises InputError where a run is not there."""
    folder = path.resolve().parent.parent
    return {
        recipe.label: [read_summary(folder / run.run / "summary.json") for run in recipe.runs]
        for recipe in bench.recipes
    }


def measure(summary: Summary, name: str) -> Measure:
    """Raises InputError for a run of another flow."""
    if name not in summary.measures:
        raise InputError(f"{summary.run}: has no {name}; name a bench of `recipe: aurobind`")
    return summary.measures[name]


def by_target(runs: Sequence[Summary], name: str) -> dict[str, float]:
    """A target's figure: the mean over the seeds that have held it out, all or some of them."""
    parts = [measure(one, name).parts for one in runs]
    targets = {target: None for one in parts for target in one}  # in their order
    return {
        target: float(np.mean([one[target].value for one in parts if target in one]))
        for target in targets
    }


def pooled(values: dict[str, float]) -> Pooled:
    """Mean over targets, the interval of resampled targets, and their number."""
    array = np.asarray(list(values.values()))
    means = bootstrap_means(array, _SAMPLES, np.random.default_rng(0))
    return float(array.mean()), percentile_interval(means), len(array)


def against(runs: Sequence[Summary], who: str, other: str, name: str, times: float) -> Pooled:
    """A model's measure less another's of the same runs."""
    mine, its = by_target(runs, f"{name}_{who}"), by_target(runs, f"{name}_{other}")
    return pooled({target: times * (mine[target] - its[target]) for target in mine
                   if target in its})  # fmt: skip


def arm_rows(found: dict[str, list[Summary]]) -> Iterator[str]:
    """A row for every arm: listwise, regression for as many updates, and what lies between."""
    yield "| arm | near right, % | regression, % | points | Spearman | RMSE | regression |"
    yield "|---|---|---|---|---|---|---|"
    for label, runs in found.items():
        right, plain = (
            f"{100 * pooled(by_target(runs, f'near_accuracy_{who}'))[0]:.2f}"
            for who in ("listwise", "longer")
        )
        near = against(runs, "listwise", "longer", "near_accuracy", 100)
        ranks = against(runs, "listwise", "longer", "spearman", 1)
        errors = (pooled(by_target(runs, f"rmse_{who}"))[0] for who in ("listwise", "longer"))
        cells = [label, right, plain, written(near, 2), written(ranks, 4)]
        yield f"| {' | '.join([*cells, *(f'{one:.3f}' for one in errors)])} |"


def model_rows(runs: Sequence[Summary]) -> Iterator[str]:
    """A row for every model of an arm's runs."""
    names = ("near_accuracy", "spearman", "spearman_cliffs", "ef5", "ef1", "rmse")
    yield f"| model | {' | '.join(names)} |"
    yield "|---" * (len(names) + 1) + "|"
    for who in ("teacher", "longer", "listwise", "ranker", "student"):
        if f"near_accuracy_{who}" in runs[0].measures:
            cells = [
                f"{pooled(by_target(runs, f'{name}_{who}'))[0]:.3f}"
                if f"{name}_{who}" in runs[0].measures
                else "–"
                for name in names
            ]
            yield f"| {who} | {' | '.join(cells)} |"


def written(found: Pooled, digits: int) -> str:
    mean, (low, high), _ = found
    return f"{mean:+.{digits}f} [{low:+.{digits}f} to {high:+.{digits}f}]"


def listwise(label: str, runs: Sequence[Summary]) -> str:
    """A line: near pairs or Spearman, the interval above 0."""
    near = against(runs, "listwise", "longer", "near_accuracy", 100)
    ranks = against(runs, "listwise", "longer", "spearman", 1)
    holds = any(one[0] >= least and one[1][0] > 0 for one, least in ((near, POINTS),
                                                                    (ranks, RANKS)))  # fmt: skip
    return (
        f"{_word(holds)}: {label} beats regression for as many updates (asked: {POINTS:g} point of "
        f"near pairs or {RANKS:g} of Spearman, interval above 0): {written(near, 2)} points, "
        f"{written(ranks, 4)}, {near[2]} targets x {len(runs)} seeds"
    )


def ranker(label: str, runs: Sequence[Summary]) -> str:
    """A line without a threshold: against LambdaRank."""
    near = against(runs, "listwise", "ranker", "near_accuracy", 100)
    ranks = against(runs, "listwise", "ranker", "spearman", 1)
    return f"for comparison: {label} less LambdaRank {written(near, 2)} points, {written(ranks, 4)}"


def fast(label: str, runs: Sequence[Summary]) -> Iterator[str]:
    """A line for each claim of the fast student."""
    own, its = (by_target(runs, f"ef5_{who}") for who in ("student", "listwise"))
    kept = sum(own.values()) / sum(its.values())
    recall = pooled(by_target(runs, "recall"))
    times = [measure(one, "times_faster").value for one in runs]
    yield (
        f"{_word(kept >= KEPT)}: the fast student of {label} keeps {100 * kept:.1f} % of its "
        f"teacher's EF 5 % (asked: {100 * KEPT:g} %)"
    )
    yield (
        f"{_word(recall[0] >= RECALL)}: recall of the teacher's best 1 % in its best 5 % is "
        f"{recall[0]:.3f} [{recall[1][0]:.3f} to {recall[1][1]:.3f}] (asked: {RECALL:g})"
    )
    yield (
        f"{_word(min(times) >= FASTER)}: it is {np.median(times):.1f} times as fast, "
        f"{min(times):.1f} to {max(times):.1f} over seeds (asked: {FASTER:g})"
    )


def claims(found: dict[str, list[Summary]]) -> Iterator[str]:
    """A line for every claim and arm."""
    for label, runs in found.items():
        yield listwise(label, runs)
        if "near_accuracy_ranker" in runs[0].measures:
            yield ranker(label, runs)
        if "recall" in runs[0].measures:
            yield from fast(label, runs)


def _word(holds: bool) -> str:
    return "holds" if holds else "fails"


def main(name: str) -> None:
    """Print the tables and the claims."""
    try:
        path = Path(name)
        found = summaries(path, read_bench(path))
        lines = [*arm_rows(found), "", *model_rows(next(iter(found.values()))), "", *claims(found)]
        sys.stdout.write("\n".join(lines) + "\n")
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bench", help="bench.json of a bench of `recipe: aurobind`")
    main(parser.parse_args().bench)
