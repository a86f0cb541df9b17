"""What each reward function said: how many answers it judged, could not, or failed on, and means.

Beside a weighted sum this tells which part of it has risen.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.sections import Cell, Column, Row, Section, Table
from data.store.artifacts import Artifact
from data.summary import FunctionRewards

if TYPE_CHECKING:
    from flows.loop.state import Labelled

Meta = Mapping[str, Any]
_JUDGED = "judged:"


def labelled_meta(labelled: "Labelled") -> Meta:
    """Counts of the stage in which the teacher saw this round's answers."""
    scores = labelled.scores.meta if labelled.scores else {}
    return labelled.preferences.meta if names(labelled.preferences.meta) else scores


def names(meta: Meta) -> list[str]:
    """The functions that have judged, in order; none of any other judge."""
    return [key.removeprefix(_JUDGED) for key in meta if key.startswith(_JUDGED)]


def function_rewards(
    labelling: Meta, base: Artifact | None, policy: Artifact | None
) -> dict[str, FunctionRewards]:
    """By function; `base` and `policy`: the teacher's SCORES of their answers to test prompts."""
    tests = {side: one.meta for side, one in (("base", base), ("policy", policy)) if one}
    known = dict.fromkeys(name for meta in (labelling, *tests.values()) for name in names(meta))
    return {
        name: FunctionRewards(
            judged=labelling.get(f"judged:{name}", 0),
            without=labelling.get(f"without:{name}", 0),
            failed=labelling.get(f"failed:{name}", 0),
            mean=_mean(labelling, name),
            base_mean=_mean(tests.get("base", {}), name),
            policy_mean=_mean(tests.get("policy", {}), name),
        )
        for name in known
    }


def _mean(meta: Meta, name: str) -> float | None:
    judged = meta.get(f"judged:{name}")
    return float(meta[f"total:{name}"] / judged) if judged else None


def failures(meta: Meta) -> list[str]:
    """A line for each function that has failed on some answers."""
    lines = []
    for name in names(meta):
        failed = meta[f"failed:{name}"]
        if failed:
            asked = failed + meta[f"judged:{name}"] + meta[f"without:{name}"]
            why = meta.get(f"why:{name}") or "no number"
            lines.append(
                f"warning: {name} failed on {failed:,} of {asked:,} answers, which have no reward "
                f"({why})"
            )
    return lines


def section(rounds: Sequence[tuple[int, Mapping[str, FunctionRewards]]]) -> Section | None:
    """A row for each round and function; None where no function has judged."""
    rows = list(_rows(rounds))
    if not rows:
        return None
    columns = [
        Column(title="round"),
        Column(title="reward function"),
        Column(title="answers judged", unit="count"),
        Column(title="does not apply", unit="count"),
        Column(title="failed", unit="count"),
        Column(title="mean reward", unit="score"),
        Column(title="base, test prompts", unit="score"),
        Column(title="policy, test prompts", unit="score"),
    ]
    return Section(
        name="functions",
        title="Reward functions",
        hint="What each function gave the answers that labels were made of, before its weight, "
        "and the answers of base and policy to the test prompts. An answer that a function failed "
        "on (an exception, NaN) has no reward and is in no pair.",
        blocks=[Table(title="Reward functions", columns=columns, rows=rows)],
    )


def _rows(rounds: Iterable[tuple[int, Mapping[str, FunctionRewards]]]) -> Iterable[Row]:
    for number, functions in rounds:
        for name, x in functions.items():
            failed = Cell(value=x.failed, low=bool(x.failed))
            means = [x.mean, x.base_mean, x.policy_mean]
            yield Row(cells=[str(number), name, x.judged, x.without, failed, *means])
