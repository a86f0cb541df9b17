"""Equal budgets: what the rounds of a run cost, and which round is judged within a budget.

A round costs its prompts, its generated tokens, or its seconds. Seconds are what the artifacts
once took to compute, so that a shared artifact counts in full for every recipe that uses it; those
that only measure the policy are left out. An artifact counts once in a run. A flow without rounds
is one round.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from data.errors import InputError
from data.measures import Measure, RoundValue
from data.nearest import did_you_mean
from data.summary import StageRecord, Summary

Equal = Literal["prompts", "tokens", "seconds", "rounds"]
# With these every run does the rounds of its recipe; the others get what the baseline spent.
OWN_ROUNDS = ("prompts", "rounds")


class Round(NamedTuple):
    """A part of a run that costs something."""

    number: int
    stages: list[StageRecord]


class Judged(NamedTuple):
    """Where a run is compared with others."""

    rounds: list[Round]  # up to the last measured one within the budget: what it cost
    entry: RoundValue | None  # of these, the last measured and kept; None: as the run began
    over_budget: bool  # not even the first measured round is within the budget


def rounds_of(summary: Summary) -> list[Round]:
    """The rounds of a run; of a flow without any, the whole as one."""
    found = [Round(number, records) for _, number, records in summary.parts() if number]
    return found or [Round(1, summary.stages())]


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


def measure_of(summary: Summary, name: str) -> Measure:
    """A measure of a run. Raises InputError, with those that it has, where it has none."""
    if name not in summary.measures:
        known = ", ".join(summary.measures) or "none"
        near = did_you_mean(name, summary.measures)
        raise InputError(f"{summary.run}: has no measure '{name}' to compare; it has {known}{near}")
    return summary.measures[name]


def by_round(measure: Measure, rounds: Sequence[Round]) -> dict[int, RoundValue]:
    """A measure after every round that has it; of one without rounds, after the last."""
    known = measure.rounds or [
        RoundValue(
            round=rounds[-1].number,
            kept=measure.kept,
            **measure.model_dump(include={"value", "ci95", "n", "parts"}),
        )
    ]
    numbers = {entry.number for entry in rounds}
    return {one.round: one for one in known if one.round in numbers}


def totals(summary: Summary, equal: Equal) -> list[float]:
    """What a run had cost after every round, in the unit that is to be equal.

    Budgets are such totals, added up in the same order: equal runs compare as equal to the bit.

    Raises:
        InputError: the run does not count this unit.
    """
    rounds = rounds_of(summary)
    if equal == "seconds":
        return list(accumulate(method_seconds(rounds)))
    if equal == "rounds":
        return [float(entry.number) for entry in rounds]
    spent = by_round(measure_of(summary, equal), rounds)
    return list(accumulate(spent[n].value if n in spent else 0.0 for n, _ in rounds))


def judged(summary: Summary, equal: Equal, budget: float, name: str) -> Judged:
    """The rounds within a budget; the first measured one is taken even where it is over.

    Args:
        name: Of the measure that is compared.

    Raises:
        InputError: no round has it.
    """
    rounds = rounds_of(summary)
    curve = by_round(measure_of(summary, name), rounds)
    measured = [place for place, entry in enumerate(rounds) if entry.number in curve]
    if not measured:
        raise InputError(f"{summary.run}: '{name}' was measured in no round")
    spent = totals(summary, equal)
    within = [place for place in measured if spent[place] <= budget]
    last = within[-1] if within else measured[0]
    found = [curve[entry.number] for entry in rounds[: last + 1] if entry.number in curve]
    kept = [one for one in found if one.kept]
    return Judged(rounds[: last + 1], kept[-1] if kept else None, not within)


def at_first(measure: Measure) -> float:
    """Where a run begins: what is measured without a change."""
    base = [one.value for one in measure.rounds if one.round == 0]
    return base[0] if base else measure.value if measure.even is None else measure.even


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
