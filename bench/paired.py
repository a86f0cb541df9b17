"""Means over seeds and paired differences: Student's t, and Holm over several comparisons.

No torch here: reports use it.
"""

import math
from collections.abc import Sequence

from data.statistics import Z_95, Interval, t_quantile, t_within

_NO_SPREAD = 1e-12


def mean_interval(values: Sequence[float]) -> tuple[float, Interval | None]:
    """Mean and its 95 % t interval; no interval of one value or of values that are all equal.

    Equal values tell nothing of the spread: it is unknown then, not zero.
    """
    mean, error = _mean_error(values)
    if error is None:
        return mean, None
    half = t_quantile(len(values) - 1) * error
    return mean, (mean - half, mean + half)


def t_p(values: Sequence[float]) -> float:
    """Two-sided p of Student's t test that the mean is 0; 1 where there is no interval."""
    mean, error = _mean_error(values)
    return 1.0 if error is None else 1 - t_within(abs(mean) / error, len(values) - 1)


def normal_p(mean: float, interval: Interval) -> float:
    """Two-sided p that the mean is 0, from a 95 % interval as wide as a normal one."""
    error = (interval[1] - interval[0]) / (2 * Z_95)
    return 1.0 if error < _NO_SPREAD else math.erfc(abs(mean) / error / math.sqrt(2))


def holm(ps: Sequence[float]) -> list[float]:
    """The p values adjusted for testing all of them (Holm 1979), in the order given."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = highest
    return adjusted


def _mean_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard error."""
    if not values:
        raise ValueError("need at least one value")
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, None
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return mean, None if spread < _NO_SPREAD else spread / math.sqrt(n)
