"""How base and policy follow instructions, told in measures and a section.

Shared by the flows whose rounds judge a policy against its base. It is measured where
`instructions` is among the judges of the evaluation, beside the win rate.
"""

from collections.abc import Sequence
from typing import NamedTuple

from data.instructed.accuracy import Checked, accuracy
from data.measures import Measure, RoundValue, Value
from data.sections import Block, Cell, Column, Row, Section, Table, Text
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import Followed, InstructionSummary

JUDGE = "instructions"  # the shipped reward function


class InRound(NamedTuple):
    """What a round's policy follows, and whether it was adopted."""

    number: int
    adopted: bool
    found: InstructionSummary


def instruction_summary(
    store: Store, followed: Artifact | None, *, samples: int, seed: int
) -> InstructionSummary | None:
    """Accuracies from FOLLOWED; None where no instruction could be checked."""
    if followed is None:
        return None
    rows = store.table(followed).to_pylist()
    return accuracy([Checked(**row) for row in rows], samples, seed)


def measures(rounds: Sequence[InRound]) -> dict[str, Measure]:
    """Accuracy and difference, per instruction and per prompt, with a curve over the rounds."""
    if not rounds:
        return {}
    last = ([one for one in rounds if one.adopted] or rounds)[-1]
    found = {}
    for name, per in (("instruction", "per instruction"), ("prompt", "per prompt")):
        of = [_of(one.found, name) for one in rounds]
        parts = _by_dataset(last.found, name)
        about = (
            "Share of the instructions that are followed, strictly"
            if name == "instruction"
            else "Share of the prompts of which every instruction is followed, strictly"
        )
        start = RoundValue(round=0, value=of[0].base, n=of[0].n)
        ends = _of(last.found, name)
        shared = {
            "unit": "share",
            "better": "higher",
            "group": "policy",
            "judge": JUDGE,
            "round": last.number,
            "kept": last.adopted,
            "n": ends.n,
        }
        found[f"{name}_accuracy"] = Measure(
            title=f"instructions followed, {per}",
            short=f"followed, {per}",
            about=f"{about}: the aligned policy.",
            value=ends.policy,
            rounds=[
                start,
                *(
                    RoundValue(round=one.number, value=x.policy, kept=one.adopted)
                    for one, x in zip(rounds, of, strict=True)
                ),
            ],
            parts={key: Value(value=x.policy, n=x.n) for key, x in parts.items()},
            **shared,
        )
        found[f"{name}_difference"] = Measure(
            title=f"more instructions followed than by the base, {per}",
            short=f"gain, {per}",
            about=f"{about}: aligned policy less base, in points of percent.",
            value=_points(ends).value,
            ci95=_points(ends).ci95,
            even=0.0,
            rounds=[
                RoundValue(round=one.number, kept=one.adopted, **_points(x).model_dump())
                for one, x in zip(rounds, of, strict=True)
            ],
            parts={key: _points(x) for key, x in parts.items()},
            **shared | {"unit": "points"},
        )
    return found


def _of(found: InstructionSummary, name: str) -> Followed:
    return found.per_instruction if name == "instruction" else found.per_prompt


def _by_dataset(found: InstructionSummary, name: str) -> dict[str, Followed]:
    return found.by_dataset if name == "instruction" else found.by_dataset_per_prompt


def _points(found: Followed) -> Value:
    """The gain in points of percent, with its interval."""
    low, high = found.ci95
    return Value(value=100 * found.difference, ci95=(100 * low, 100 * high), n=found.n)


def section(rounds: Sequence[InRound]) -> list[Section]:
    """By data set and by kind for the round that is the result; the others in a line each."""
    if not rounds:
        return []
    last = ([one for one in rounds if one.adopted] or rounds)[-1]
    found = last.found
    left_out = (
        f"{found.left_out:,} more could not be checked and are left out."
        if found.left_out
        else "Every instruction could be checked."
    )
    blocks: list[Block] = [
        Text(paragraphs=[f"Round {last.number}. {left_out}"]),
        Table(title="By data set", columns=_columns("data set"), rows=_datasets(found)),
        Table(
            title="By kind of instruction",
            columns=_columns("kind"),
            rows=[_row(kind, one) for kind, one in found.by_kind.items()],
        ),
    ]
    if len(rounds) > 1:
        each = [_row(f"round {one.number}", one.found.per_instruction) for one in rounds]
        blocks.append(
            Table(title="By round, per instruction", columns=_columns("round"), rows=each)
        )
    return [
        Section(
            name="instructions",
            title="Are instructions followed?",
            hint="Base and aligned policy answer the same held-out prompts under the same "
            "decoding; IFEval's checkers say which instructions each answer follows, strictly. The "
            "gain has a paired 95\N{NARROW NO-BREAK SPACE}% interval over prompts.",
            blocks=blocks,
        )
    ]


def _datasets(found: InstructionSummary) -> list[Row]:
    several = len(found.by_dataset) > 1
    rows = []
    for name, each, mean in (
        ("instruction", found.by_dataset, found.per_instruction),
        ("prompt", found.by_dataset_per_prompt, found.per_prompt),
    ):
        rows += [_row(f"{dataset}, per {name}", one) for dataset, one in each.items()]
        if several:
            rows.append(_row(f"mean over data sets, per {name}", mean, total=True))
    return rows


def _columns(first: str) -> list[Column]:
    return [
        Column(title=first),
        Column(title="base", unit="share"),
        Column(title="aligned", unit="share"),
        Column(title="gain", unit="points"),
        Column(title="n", unit="count"),
    ]


def _row(name: str, one: Followed, total: bool = False) -> Row:
    points = _points(one)
    gain = Cell(value=points.value, ci95=points.ci95)
    return Row(cells=[name, one.base, one.policy, gain, one.n], total=total)
