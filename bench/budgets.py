"""Equal budgets: what the rounds of a run cost, and which round is judged within a budget.

A round costs its prompts, its generated tokens, or its seconds. Seconds are what the artifacts
once took to compute, so that a shared artifact counts in full for every recipe that uses it; those
that only measure the policy are left out. An artifact counts once in a run.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from data.summary import Round, StageRecord, Summary

Equal = Literal["prompts", "tokens", "seconds", "rounds"]
# With these every run does the rounds of its recipe; the others get what the baseline spent.
OWN_ROUNDS = ("prompts", "rounds")


class Judged(NamedTuple):
    """Where a run is compared with others."""

    rounds: list[Round]  # up to the last evaluated one within the budget: what it cost
    entry: Round | None  # of these, the last evaluated and adopted; None: still the base policy
    over_budget: bool  # not even the first evaluated round is within the budget


def first_met(rounds: Sequence[Round]) -> list[list[StageRecord]]:
    """The records of every round; an artifact counts where the run met it first."""
    known: set[str] = set()
    found: list[list[StageRecord]] = []
    for entry in rounds:
        found.append([])
        for record in entry.stages:
            if record.key not in known:
                known.add(record.key)
                found[-1].append(record)
    return found


def stage_seconds(rounds: Sequence[Round], *, measures: bool) -> dict[str, float]:
    """Seconds of the rounds by address, of what measures the method or of the method itself."""
    seconds: dict[str, float] = {}
    for record in (one for records in first_met(rounds) for one in records):
        if record.measures == measures:
            spent = seconds.get(record.address, 0.0) + record.computed_seconds
            seconds[record.address] = round(spent, 3)
    return seconds


def method_seconds(rounds: Sequence[Round]) -> list[float]:
    """Seconds of every round without what only measures."""
    return [
        sum(record.computed_seconds for record in records if not record.measures)
        for records in first_met(rounds)
    ]


def totals(summary: Summary, equal: Equal) -> list[float]:
    """What a run had cost after every round, in the unit that is to be equal.

    Budgets are such totals, added up in the same order: equal runs compare as equal to the bit.
    """
    if equal == "seconds":
        return list(accumulate(method_seconds(summary.rounds)))
    if equal == "tokens":
        return list(accumulate(float(entry.tokens) for entry in summary.rounds))
    if equal == "rounds":
        return [float(entry.round) for entry in summary.rounds]
    return list(accumulate(float(entry.ledger.asked) for entry in summary.rounds))


def judged(summary: Summary, equal: Equal, budget: float) -> Judged:
    """The rounds within a budget; the first evaluated one is taken even where it is over.

    Raises:
        ValueError: no round was evaluated.
    """
    evaluated = [place for place, entry in enumerate(summary.rounds) if entry.policy]
    if not evaluated:
        raise ValueError(f"{summary.run}: no round was evaluated")
    spent = totals(summary, equal)
    within = [place for place in evaluated if spent[place] <= budget]
    last = within[-1] if within else evaluated[0]
    rounds = summary.rounds[: last + 1]
    adopted = [entry for entry in rounds if entry.policy and entry.adopted]
    return Judged(rounds, adopted[-1] if adopted else None, not within)


def worth_another(spent: Sequence[float], budget: float) -> bool:
    """Whether a round more may stay within the budget: at least half a round's cost is left.

    What it really costs is known only afterwards, and `judged` leaves it out if it was too dear.
    Asking for the whole cost of the last round would stop a recipe that equals the baseline, where
    rounds become a little cheaper.

    Args:
        spent: `totals` of the run so far.
    """
    last = spent[-1] - (spent[-2] if len(spent) > 1 else 0.0)
    return last > 0 and spent[-1] + last / 2 <= budget
