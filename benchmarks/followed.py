"""How well were instructions followed? Runs side by side, for docs/real.md.

    python -m benchmarks.followed runs/smollm2-s0 runs/smollm2-s1 ...

Of each run's last evaluated round, prints a row of a Markdown table for every data set of its
held-out prompts: accuracy of base and policy, and the gain with its paired 95 % interval. Then, of
each round, what the labels cost and what the policy has become: calls of the teacher, pairs, the
share of them that it turned round, the student's agreement with it, KL to the base in nats an
answer, and tokens of an answer.
"""

import argparse
import sys
from pathlib import Path

from data.errors import InputError
from data.summary import Followed, Summary, read_summary


def accuracy_row(run: str, name: str, per: str, one: Followed) -> str:
    low, high = (100 * end for end in one.ci95)
    return (
        f"| {run} | {name} | {per} | {one.n} | {one.base:.1%} | {one.policy:.1%} "
        f"| {100 * one.difference:+.1f} ({low:.1f} to {high:.1f}) |"
    )


def accuracies(run: str, summary: Summary) -> list[str]:
    """Rows of the last round in which instructions were followed; exits where there is none."""
    found = [one.instructions for one in summary.rounds if one.instructions]
    if not found:
        sys.exit(
            f"{run}: no round of it has been judged by `instructions`, or none is finished yet"
        )
    last = found[-1]
    return [
        accuracy_row(run, name, per, one)
        for per, parts in (
            ("instruction", last.by_dataset),
            ("prompt", last.by_dataset_per_prompt),
        )
        for name, one in parts.items()
    ]


def cost(run: str, summary: Summary) -> list[str]:
    """A row for every round: what was labelled and learnt, and where the policy stands."""
    lines = []
    for one in summary.rounds:
        agreement = " to ".join(
            "?" if value is None else f"{value:.1%}"
            for value in (one.student.agreement_before, one.student.agreement_after)
        )
        drift = f"{one.drift.kl_to_base:.1f} | {one.drift.mean_tokens:.0f}" if one.drift else "| "
        adopted = "yes" if one.adopted else "no"
        lines.append(
            f"| {run} | {one.round} | {one.teacher_calls} | {one.ledger.labelled} "
            f"| {one.swap_rate:.1%} | {agreement} | {adopted} | {drift} |"
        )
    return lines


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m benchmarks.followed", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="such as runs/smollm2")
    asked = parser.parse_args()
    try:
        runs = {one.name: read_summary(one / "summary.json") for one in asked.folders}
    except InputError as error:
        parser.error(str(error))
    lines = [
        "| run | held-out prompts | per | n | base | policy | gain, points, 95 % interval |",
        "|---|---|---|---|---|---|---|",
        *(line for run, summary in runs.items() for line in accuracies(run, summary)),
        "",
        "| run | round | calls | pairs | swapped | student agrees | adopted | KL | tokens |",
        "|---|---|---|---|---|---|---|---|---|",
        *(line for run, summary in runs.items() for line in cost(run, summary)),
    ]
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
