"""Has a quantity left the law by which it was converging? No torch here.

    log value = a - b log step,   b >= 0

is fitted to the early part of a quantity that falls as long as things go well, as far as it has
been seen, and what comes next is compared with its extrapolation. That teacher hacking coincides
with leaving polynomial convergence is of "On Teacher Hacking in Language Model Distillation"
(arXiv 2502.02671). It shows that in figures and gives neither a fit nor a statistic: fit, limits
and alarm are this project's, a reconstruction.

The limit is `z` standard deviations above the law, widened for what a fit to few points does not
know: Student's t with n - 2 degrees of freedom in place of the normal, and the standard error of
the extrapolation. Let p = 1 - Phi(z). A later value of an exact law with independent normal noise
in its logarithm exceeds its limit with probability 3/2 p at most: p by the line that was fitted,
and p again of those fits, at most half of them, that rise and are held to a constant. So `in_row`
consecutive ones of m compared values do so somewhere with probability 3/2 (m - in_row + 1) p at
most.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.statistics import t_quantile

FEWEST = 4  # points of a fit: two degrees of freedom
_FLAT = 1e-9  # a slope that rounding alone makes
_WIDEST = 300.0  # of a logarithm: a fit to wild points knows nothing, and no float is larger
CEILING = 2.0  # of what converges no value is so many times the highest one before it
FLOOR = 0.02  # least standard deviation of a log value: changes of a few percent are nobody's alarm


class Law(NamedTuple):
    """log value = level - rate log step."""

    level: float
    rate: float
    spread: float  # standard deviation of the residuals
    points: int
    middle: float  # mean of the log steps
    width: float  # sum of their squared deviations

    def at(self, step: float) -> float:
        """The value that the law has at a step."""
        return math.exp(self.level - self.rate * math.log(step))

    def limit(self, step: float, z: float, error: float = 0.0, floor: float = FLOOR) -> float:
        """What a value at a step may be at most.

        Args:
            floor: The standard deviation of a logarithm that is taken at least.
            error: Standard error of the value's logarithm, where it is known by itself.
        """
        apart = (math.log(step) - self.middle) ** 2 / self.width if self.rate else 0.0
        t = t_quantile(self.points - 2, math.erf(z / math.sqrt(2)))
        deviation = max(z * floor, z * error, t * self.spread)
        wide = deviation * math.sqrt(1 + 1 / self.points + apart)
        return self.at(step) * math.exp(min(wide, _WIDEST))


def fit(steps: Sequence[float], values: Sequence[float]) -> Law | None:
    """Least squares in logarithms; None of fewer than FEWEST points, or of one step alone.

    What rises over the early part is held to a constant, its mean: a law of convergence does not
    rise, and one that did would excuse what comes after. The spread is that around the line that
    does rise: a trend is no noise, and would excuse it too.

    Raises ValueError for steps or values that are not above 0.
    """
    if len(steps) != len(values) or min([*steps, *values, 1.0]) <= 0:
        raise ValueError("need a step for every value, all above 0")
    x, y = np.log(np.asarray(steps, float)), np.log(np.asarray(values, float))
    width = float(((x - x.mean()) ** 2).sum()) if len(x) else 0.0
    if len(x) < FEWEST or width == 0:
        return None
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / width
    squares = float(((y - y.mean() - slope * (x - x.mean())) ** 2).sum())
    spread = math.sqrt(squares / (len(x) - 2))
    rate = -slope if slope < -_FLAT else 0.0
    level = float(y.mean() + rate * x.mean())
    return Law(level, rate, spread, len(x), float(x.mean()), width)


def limits(
    steps: Sequence[float], values: Sequence[float], *, early: int, z: float, floor: float = FLOOR
) -> list[float | None]:
    """What each value may be at most, by those before it among the first `early`.

    By their law, and never CEILING times the highest of them, which a fit to four points may
    allow. A value above its limit does not join them: a run may go wrong early, and what went
    wrong must not excuse what comes after. None for the first, and where `early` is too few for a
    law.
    """
    if early < FEWEST:
        return [None] * len(steps)
    most: list[float | None] = []
    healthy: list[int] = []
    law: Law | None = None
    for place, (step, value) in enumerate(zip(steps, values, strict=True)):
        limit = CEILING * max(values[one] for one in healthy) if healthy else math.inf
        if law:
            limit = min(limit, law.limit(step, z, floor=floor))
        most.append(limit if healthy else None)
        if place < early and value <= limit:
            healthy.append(place)
            law = fit([steps[one] for one in healthy], [values[one] for one in healthy])
    return most


def turned(
    earlier: Sequence[tuple[float, float]], error: float, z: float, floor: float = FLOOR
) -> float | None:
    """What the next value may be at most where no law can be fitted: the lowest so far and `z`
    standard errors of the difference. None where nothing is there to compare with.

    The next value exceeds one earlier value of the same mean with probability p, so it exceeds
    this limit, of the lowest of k, with probability k p at most.

    Args:
        earlier: Values and standard errors of their logarithms.
        error: Standard error of the next value's logarithm.
    """
    if not earlier:
        return None
    lowest, its_error = min(earlier)
    return lowest * math.exp(z * max(floor, math.hypot(error, its_error)))


def first_alarm(
    values: Sequence[float], limits: Sequence[float | None], in_row: int = 1
) -> int | None:
    """Place of the last of the first `in_row` values in a row above their limits; None: never."""
    row = 0
    for place, (value, limit) in enumerate(zip(values, limits, strict=True)):
        row = row + 1 if limit is not None and value > limit else 0
        if row == in_row:
            return place
    return None


def log_grid(steps: Sequence[int]) -> list[list[int]]:
    """Places of the steps that share a point of a grid with two points for every doubling.

    Args:
        steps: Increasing, from 1.
    """
    grid: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        grid.setdefault(math.ceil(2 * math.log2(step) - 1e-9), []).append(place)
    return list(grid.values())
