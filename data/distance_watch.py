"""The monitor of a distillation: has the distance to the teacher left the law of its fall?

The rounds of a distillation are one long training, seen at its measured rounds, so that the
proxy is treated as `data.monitor` treats the log of a training: a power law over the steps so far
(`data.convergence`), and an alarm once `in_row` values in a row are above it. Nothing but the
distance is looked at, and the oracle never. docs/monitor.md says what it sees and what it does not.
"""

from collections.abc import Sequence
from typing import NamedTuple

from data.convergence import limits
from data.monitor import Signal, Watch
from data.recipes.monitor import LawConfig

DISTANCE = "distance"


class Seen(NamedTuple):
    """A distance to the teacher, above 0, after a round."""

    round: int
    steps: int  # of all trainings so far, above 0
    value: float


def distances_watched(seen: Sequence[Seen], config: LawConfig) -> list[Watch]:
    """What is said of every measured round, in order; each knows only the rounds before it."""
    steps, values = [one.steps for one in seen], [one.value for one in seen]
    most = limits(steps, values, early=config.early_rounds, z=config.z, floor=config.floor)
    found, row = [], 0
    for one, limit in zip(seen, most, strict=True):
        off = limit is not None and one.value > limit
        row = row + 1 if off else 0
        signal = Signal(name=DISTANCE, value=one.value, limit=limit, off=off, law=limit is not None)
        found.append(
            Watch(round=one.round, steps=one.steps, signals=[signal], alarm=row >= config.in_row)
        )
    return found


def first_alarm_round(watches: Sequence[Watch]) -> int | None:
    """The round that raised the alarm; None: none has."""
    return next((one.round for one in watches if one.alarm), None)
