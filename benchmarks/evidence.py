"""What holds, in how many worlds, by how much: the claims of three papers against benches.

    python -m benchmarks.evidence runs/*/bench.json [--labels-right 0.85]

Prints two Markdown tables from files of `tsalign bench` (docs/bench.md); nothing else is read.
First the claims: each sets two recipes of one bench against each other, by the labels that the
commands of docs/results.md give them, within each world and seed. The interval is Student's t over
worlds (or seeds, where a file has one world), not corrected; the verdict is, by Holm over all rows.
Then, recipe by recipe, what must hold in every round of a run: labels that are right, a student
that learns, no adopted round that undoes the one before.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from bench.paired import holm, mean_interval, t_p
from bench.variants import Bench, BenchRecipe, BenchRun, Step, read_bench
from bench.worlds import Over, by_world, units
from data.errors import InputError
from reports.text import percent

SIGNIFICANT = 0.05
Expected = Literal["more", "not less"]


@dataclass(frozen=True)
class Claim:
    """That recipe `one` has more than, or at least as much as, `other` ("": than no change)."""

    paper: str
    text: str
    one: str
    other: str = ""
    expected: Expected = "more"


# By paper: `one`, `other`, what is expected of their difference, the claim in words.
ROWS: dict[str, tuple[tuple[str, str, Expected, str], ...]] = {
    "TS-Align": (
        ("embedded", "", "more", "three rounds of 1,600 prompts improve on the base"),
        ("tsalign", "", "more", "two rounds of 500 prompts improve on the base"),
        ("tsalign", "student-only", "more", "the teacher's labels beat the student's own"),
        ("tsalign", "teacher-all", "not less", "two answers a prompt judged are as good as all"),
        ("tsalign", "no-student-update", "more", "updating the student helps the policy"),
        ("after", "before", "more", "the final student aligns another policy better"),
    ),
    "OPTune": (
        ("rho0.7", "rho1", "not less", "answering 70 % of the prompts again loses nothing"),
        ("rho0.5", "rho1", "not less", "answering 50 % of the prompts again loses nothing"),
        ("rho0.3", "rho1", "not less", "answering 30 % of the prompts again loses nothing"),
        ("rho0.7", "random0.7", "more", "the lowest rewards are a better choice than any, 70 %"),
        ("rho0.5", "random0.5", "more", "the lowest rewards are a better choice than any, 50 %"),
        ("rho0.3", "random0.3", "more", "the lowest rewards are a better choice than any, 30 %"),
        ("sigmoid", "dpo", "more", "pairs weighted by their gap (sigmoid) beat DPO"),
        ("linear", "dpo", "more", "pairs weighted by their gap (linear) beat DPO"),
    ),
    "TSO": (
        ("full", "plain-dpo", "more", "the whole beats plain DPO"),
        ("full", "no-human", "more", "people's answers help"),
        ("full", "no-version", "more", "answers of earlier versions help"),
        ("full", "no-scale", "more", "answers of another scale help"),
        ("full", "no-correction", "more", "correcting the presumed order helps"),
        ("full", "no-minibatches", "more", "mini-batches help"),
        ("full", "no-dual-clip", "more", "the dual clip helps"),
    ),
}
CLAIMS = [
    Claim(paper, text, one, other, expected)
    for paper, rows in ROWS.items()
    for one, other, expected, text in rows
]


@dataclass(frozen=True)
class Found:
    """A claim in one bench."""

    claim: Claim
    bench: Bench
    values: list[float]  # per world or seed; above 0 where `one` is ahead
    over: Over
    worlds: int
    runs: int

    @property
    def p(self) -> float:
        return t_p(self.values)


def ahead(claim: Claim, bench: Bench) -> Found | None:
    """What a bench says to a claim; None where it has not both recipes, or no run in common."""
    recipes = {recipe.label: recipe for recipe in bench.recipes}
    one, other = recipes.get(claim.one), recipes.get(claim.other)
    if one is None or (claim.other and other is None) or (not claim.other and bench.even is None):
        return None
    sign = -1 if bench.better == "lower" else 1
    yardstick = {(run.world, run.seed): run.value for run in other.runs} if other else {}

    def difference(run: BenchRun) -> float | None:
        than = yardstick.get((run.world, run.seed)) if other else bench.even
        return None if than is None else sign * (run.value - than)

    compared = [run for run in one.runs if difference(run) is not None]
    values, over = units(compared, difference)
    if not values:
        return None
    worlds = len(by_world(compared))
    return Found(claim, bench, values, over, worlds, len(compared))


def verdict(found: Found, p: float) -> str:
    """In words; `p` is corrected for the number of rows."""
    mean, ci95 = mean_interval(found.values)
    shown = p < SIGNIFICANT
    if found.claim.expected == "more":
        return ("holds" if mean > 0 else "the contrary holds") if shown else "not shown"
    if shown and mean < 0:
        return "does not hold: a loss is shown"
    if ci95 is None:
        return "no loss shown, but none ruled out"
    lost = max(0.0, -ci95[0])
    return f"no loss shown; more than {amount(found.bench, lost)} is ruled out"


def amount(bench: Bench, value: float) -> str:
    """Of a share in points."""
    text = f"{100 * value:.1f} points" if bench.unit == "share" else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def by_how_much(found: Found) -> str:
    mean, ci95 = mean_interval(found.values)
    if found.bench.unit != "share":
        around = f" [{ci95[0]:+.3g}, {ci95[1]:+.3g}]" if ci95 else ""
        text = f"{mean:+.3g}{around}"
    else:
        around = f" [{100 * ci95[0]:+.1f}, {100 * ci95[1]:+.1f}]" if ci95 else ""
        text = f"{100 * mean:+.1f}{around} points"
    return text.replace("-", "\N{MINUS SIGN}")


def claim_rows(benches: Sequence[Bench]) -> Iterator[list[str]]:
    found = [(claim, [x for b in benches if (x := ahead(claim, b))]) for claim in CLAIMS]
    every = [x for _, several in found for x in several]
    corrected = dict(zip(map(id, every), holm([x.p for x in every]), strict=True))
    for claim, several in found:
        start = [claim.paper, claim.text]
        if not several:
            yield [*start, "–", "–", "–", "–", "not measured in these files"]
        for x in several:
            against = f"{claim.one} – {claim.other}" if claim.other else claim.one
            yield [
                *start,
                f"{against} ({x.bench.name})",
                f"{x.worlds}, {x.runs} runs" if x.over == "worlds" else f"1, {x.runs} runs",
                by_how_much(x),
                f"{sum(value > 0 for value in x.values)} of {len(x.values)} {x.over}",
                verdict(x, corrected[id(x)]),
            ]


# Round by round


def labels_right(run: BenchRun, least: float) -> bool | None:
    """Whether the labels of every round were right so often; None: it is not known."""
    known = run.steps.get("label_precision", [])
    return all(step.value >= least for step in known) if known else None


def student_rises(run: BenchRun) -> bool | None:
    """Whether the student that the run ends with agrees more than the one it began with."""
    before, after = (run.steps.get(name, []) for name in ("agreement_before", "agreement"))
    return after[-1].value > before[0].value if before and after else None


def never_undone(run: BenchRun, measure: str) -> bool | None:
    """Whether no adopted round has an interval that ends below the adopted round before it."""
    kept: list[Step] = [step for step in run.steps.get(measure, []) if step.kept]
    if not kept:
        return None
    pairs = zip(kept, kept[1:], strict=False)
    return all(new.ci95 is None or new.ci95[1] >= old.value for old, new in pairs)


def round_rows(benches: Sequence[Bench], least: float) -> Iterator[list[str]]:
    """Per recipe: in how many worlds each holds, in every run of the world."""
    for bench in benches:
        for recipe in bench.recipes:
            lowest = [step.value for run in recipe.runs for step in run.steps.get(LABELS, [])]
            yield [
                f"{recipe.label} ({bench.name})",
                in_worlds(recipe, lambda run: labels_right(run, least)),
                percent(min(lowest)) if lowest else "–",
                in_worlds(recipe, student_rises),
                in_worlds(recipe, partial(never_undone, measure=bench.measure)),
            ]


LABELS = "label_precision"


def in_worlds(recipe: BenchRecipe, holds: Callable[[BenchRun], bool | None]) -> str:
    """ "3 of 5": worlds in all of whose runs it holds, of those where it is known."""
    known = [
        all(answers)
        for runs in by_world(recipe.runs).values()
        if (answers := [answer for run in runs if (answer := holds(run)) is not None])
    ]
    return f"{sum(known)} of {len(known)}" if known else "–"


def table(head: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def lines(benches: Sequence[Bench], least: float) -> Iterator[str]:
    head = ["paper", "claim", "compared", "worlds", "by how much", "for it", "verdict"]
    yield from table(head, claim_rows(benches))
    yield ""
    labels = f"labels right, {percent(least)} or more in every round"
    head = ["recipe", labels, "lowest", "the student's agreement rises", "no adopted round undone"]
    yield from table(head, round_rows(benches, least))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="bench.json of `tsalign bench`")
    parser.add_argument("--labels-right", type=float, default=0.85, metavar="SHARE")
    args = parser.parse_args()
    try:
        benches = [read_bench(path) for path in args.files]
    except InputError as error:
        raise SystemExit(f"evidence: {error}") from None
    sys.stdout.writelines(f"{line}\n" for line in lines(benches, args.labels_right))


if __name__ == "__main__":
    main()
