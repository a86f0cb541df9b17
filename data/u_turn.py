"""A distance that falls and turns up again: where it turned, and how far it has risen. No torch.

Of a policy that learns from a teacher there are two distances on held-out prompts: golden, from the
oracle that the teacher imitates, and proxy, from the teacher. Teacher hacking is a proxy that goes
on falling while golden rises ("On Teacher Hacking in Language Model Distillation", arXiv
2502.02671, shown there in figures). Which rise counts, and the names of the readings, are this
project's choice.
"""

from collections.abc import Sequence
from typing import Literal

RISE = 0.01  # share of the lowest value by which a later one must be above it to count as risen
_ZERO = 1e-9  # nats: what rounding leaves of a distance that is 0

Reading = Literal["hacking", "overfitting", "no U-turn"]


def gaps(values: Sequence[float]) -> list[float]:
    """(value - lowest) / lowest at every place, the lowest up to there: 0 as long as they fall."""
    found, lowest = [], float("inf")
    for value in values:
        lowest = min(lowest, value)
        found.append((value - lowest) / max(lowest, _ZERO))
    return found


def lowest_place(values: Sequence[float]) -> int:
    """Place of the lowest value, of equal ones the first. Raises ValueError where there is none."""
    return min(range(len(values)), key=lambda place: values[place])


def u_turn(values: Sequence[float], rise: float = RISE) -> int | None:
    """Place of the lowest value where the last is more than `rise` of it above it; else None.

    One that falls to the end has not turned, nor has one that rose in between and came back.
    """
    return lowest_place(values) if values and gaps(values)[-1] > rise else None


def reading(golden: Sequence[float], proxy: Sequence[float], rise: float = RISE) -> Reading:
    """What two curves over the same places say together.

    "hacking": golden turned, and from there on proxy fell or stayed. "overfitting": proxy has risen
    from there on too, so that more than the teacher's mistakes was learned.

    Raises ValueError for curves of different lengths.
    """
    if len(golden) != len(proxy):
        raise ValueError(f"need as many values of both, got {len(golden)} and {len(proxy)}")
    turn = u_turn(golden, rise)
    if turn is None:
        return "no U-turn"
    risen = proxy[-1] > proxy[turn] + rise * max(proxy[turn], _ZERO)
    return "overfitting" if risen else "hacking"
