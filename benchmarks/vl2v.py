"""What a bench of VL2V's methods says to the claims of docs/vl2v.md, target by target and seed by
seed:

    python -m benchmarks.vl2v runs/vl2v-methods/bench.json

Reads a `bench.json` of `tsalign bench` whose recipes are of the flow `vl2v` and have the labels of
the command in docs/vl2v.md; nothing else is read and nothing is run. Prints a row for every method
and a row for every claim. The thresholds were set before the bench was run.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.paired import mean_interval
from bench.variants import Bench, read_bench
from data.errors import InputError

ADIP, ERM = "adip", "erm"
NAIVE = ("image", "logits")  # distillation that does not use the classes' names
LEAST_GAIN, MOST_LOST = 0.02, 0.01  # out of domain over ERM; in domain below it
OUT, IN = "ood_", "id_"
_WHOLE = {f"{OUT}accuracy", f"{IN}accuracy"}
Case = tuple[str, int]  # target, seed
Accuracy = dict[Case, float]


def by_case(bench: Bench, what: str) -> dict[str, Accuracy]:
    """Accuracy of every method by target and seed, OUT of domain or IN. Raises InputError."""
    found: dict[str, Accuracy] = {}
    for recipe in bench.recipes:
        mine = found.setdefault(recipe.label, {})
        for run in recipe.runs:
            cases = {
                (name.removeprefix(what), run.seed): value
                for name, value in run.measures.items()
                if name.startswith(what) and name not in _WHOLE
            }
            if not cases:
                raise InputError(f"{run.run}: has no accuracy by target; name a bench of `vl2v`")
            mine |= cases
    return found


def rows(bench: Bench) -> Iterator[str]:
    """A row for every method: its accuracy in every target, a mean over seeds."""
    out, inside = by_case(bench, OUT), by_case(bench, IN)
    targets = sorted({target for cases in out.values() for target, _ in cases})
    yield f"| method | {' | '.join(targets)} | out of domain | in domain |"
    yield "|" + "---|" * (len(targets) + 3)
    for label, cases in out.items():
        cells = [_percent([v for (t, _), v in cases.items() if t == target]) for target in targets]
        cells += [_percent(list(cases.values())), _percent(list(inside[label].values()))]
        yield f"| {label} | {' | '.join(cells)} |"


def _percent(values: list[float]) -> str:
    return f"{100 * sum(values) / len(values):.1f}" if values else "-"


def gains(found: Mapping[str, Accuracy], label: str, other: str) -> list[float]:
    """Of every target and seed that both have; empty where one was not run."""
    mine, its = found.get(label, {}), found.get(other, {})
    return [mine[case] - its[case] for case in sorted(mine) if case in its]


def claim(values: list[float], least: float, surely: bool) -> str:
    """Mean gain in points with Student's interval over targets and seeds, and whether it is met.

    Args:
        surely: The interval has to lie above 0 too.
    """
    if not values:
        return "not run"
    mean, ci95 = mean_interval(values)
    around = f" [{100 * ci95[0]:+.1f}, {100 * ci95[1]:+.1f}]" if ci95 else ""
    fine = mean >= least and (not surely or (ci95 is not None and ci95[0] > 0))
    return f"{100 * mean:+.1f} points{around} in {len(values)}: {'met' if fine else 'not met'}"


def claims(bench: Bench) -> Iterator[str]:
    """A row for every claim."""
    out, inside = by_case(bench, OUT), by_case(bench, IN)
    yield "| claim | found |"
    yield "|---|---|"
    found = {
        "out of domain, ADiP over ERM by 2 points or more, interval above 0": claim(
            gains(out, ADIP, ERM), LEAST_GAIN, surely=True
        ),
        "in domain, ADiP not more than 1 point below ERM": claim(
            gains(inside, ADIP, ERM), -MOST_LOST, surely=False
        ),
    }
    for label in NAIVE:
        found[f"out of domain, ADiP not below naive distillation ({label})"] = claim(
            gains(out, ADIP, label), 0.0, surely=False
        )
    yield from (f"| {name} | {said} |" for name, said in found.items())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.vl2v",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="bench.json of `tsalign bench`")
    asked = parser.parse_args()
    try:
        bench = read_bench(asked.file)
        sys.stdout.write("\n".join([*rows(bench), "", *claims(bench)]) + "\n")
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
