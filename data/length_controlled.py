"""Length-controlled win rate: what the win rate would be if both answers were equally long.

The regression of AlpacaEval 2 (Dubois et al. 2024, arXiv:2404.04475, eq. 2): a judge's preference
for model m over base b on an instruction x is

    logistic(theta_m - theta_b + phi * tanh(d / std(d)) + (psi_m - psi_b) * gamma_x)

with d the difference of both answers' lengths, and the length-controlled rate is the mean of its
predictions with d = 0. The last term is left out: the difficulty gamma_x of an instruction is
estimated from the answers of many models, and here are two. In its place every data set has a
theta of its own, as every data set counts the same in the plain win rate. Also left out are the
published regularisers, an L1 penalty whose strength is found by cross-validation and judgments of
base answers that were asked to be short or verbose; phi has a weak normal prior instead.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.statistics import MOST_DRAWN, percentile_interval

Numbers = NDArray[np.float64]
PRIOR = 10.0  # standard deviation of phi: it stays finite where length separates wins and losses
_CERTAIN = 20.0  # of theta: a data set that is won or lost throughout
_STEP = 3.0  # longest step of a parameter, in nats
_STEPS = 60  # of Newton's method; five or six do, but for data that are nearly separated
_AT_ONCE = 50_000  # counts of resamples fitted together: they stay in the cache


def length_controlled(
    outcomes: Sequence[float],
    differences: Sequence[float],
    datasets: Sequence[str],
    samples: int = 2_000,
    seed: int = 0,
    prior: float = PRIOR,
) -> dict[str, Any] | None:
    """The win rate at equal length: mean over data sets, with a 95 % percentile interval.

    Where length plays no part it is `data.statistics.win_rate`. Prompts are resampled within each
    data set, and the regression is fitted to each resample.

    Args:
        outcomes: From 0 (the base's answer is better) to 1, one per prompt; probabilities or 1,
            0.5 and 0.
        differences: Length of the policy's answer less that of the base's, in any unit.
        datasets: The data set of each prompt.
        samples: Bootstrap resamples.
        prior: Standard deviation of the normal prior of phi.

    Returns:
        win_rate, ci95 and length_effect, which is phi: the log-odds that the longest answers win
        by length alone. None where the differences are all the same and not 0: quality and length
        cannot be told apart.
    """
    groups, sizes = np.unique(np.asarray(datasets), return_inverse=True, return_counts=True)[1:]
    order = np.argsort(groups, kind="stable")
    y, delta = np.asarray(outcomes, float)[order], np.asarray(differences, float)[order]
    if len(y) != len(delta) or not len(y) or (y < 0).any() or (y > 1).any():
        raise ValueError("need an outcome from 0 to 1 and a difference for every prompt")
    spread = delta.std(ddof=1) if len(delta) > 1 else 0.0
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    same = delta == np.repeat(delta[starts], sizes)
    if same.all() and delta.any():
        return None
    t = np.tanh(delta / spread) if spread else np.zeros_like(delta)
    first = np.zeros((1, len(sizes) + 1))
    found = fit(y, t, sizes, np.ones((1, len(y))), first, prior)
    rates = [
        _mean_rate(fit(y, t, sizes, counts, found, prior))
        for counts in _resamples(sizes, samples, seed)
    ]
    return {
        "win_rate": float(_mean_rate(found)[0]),
        "ci95": percentile_interval(np.concatenate(rates)),
        "length_effect": float(found[0, -1]),
    }


def fit(
    y: Numbers, t: Numbers, sizes: NDArray[np.int64], counts: Numbers, first: Numbers, prior: float
) -> Numbers:
    """The most probable theta of each data set and phi, by Newton's method, for each resample.

    Args:
        y: Outcomes, shape (prompts,), sorted by data set.
        t: tanh of the standardised differences in length, in the same order.
        sizes: Prompts of each data set.
        counts: How often each prompt is drawn, shape (resamples, prompts).
        first: Where to begin, shape (1 or resamples, data sets + 1), phi last.

    Returns:
        Shape (resamples, data sets + 1).
    """
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    found = np.repeat(first, len(counts) // len(first), axis=0)

    def by_dataset(values: Numbers) -> Numbers:
        return np.add.reduceat(values, starts, axis=1)

    for _ in range(_STEPS):
        theta, phi = found[:, :-1], found[:, -1:]
        p = logistic(np.repeat(theta, sizes, axis=1) + phi * t)
        missed, weight = counts * (y - p), counts * p * (1 - p)
        up, down = by_dataset(missed), by_dataset(weight) + 1e-12
        mixed = by_dataset(weight * t)
        up_phi = (missed * t).sum(axis=1) - phi[:, 0] / prior**2
        # The Hessian is an arrow: a diagonal with one full row and column, that of phi.
        rest = (weight * t * t).sum(axis=1) + 1 / prior**2 - (mixed**2 / down).sum(axis=1)
        step = (up_phi - (mixed * up / down).sum(axis=1)) / rest
        steps = np.column_stack([(up - mixed * step[:, None]) / down, step])
        found = found + np.clip(steps, -_STEP, _STEP)
        found[:, :-1] = np.clip(found[:, :-1], -_CERTAIN, _CERTAIN)
        if np.abs(steps[:, -1]).max() < 1e-9 and np.abs(up).max() < 1e-7:
            break
    return found


def logistic(x: Numbers) -> Numbers:
    result: Numbers = 0.5 * (1 + np.tanh(x / 2))
    return result


def _mean_rate(found: Numbers) -> Numbers:
    """Mean over data sets of the rate at equal length, shape (resamples,)."""
    theta = found[:, :-1]
    rates = np.where(np.abs(theta) < _CERTAIN, logistic(theta), theta > 0)
    return np.asarray(rates.mean(axis=1))


def _resamples(sizes: NDArray[np.int64], samples: int, seed: int) -> Iterator[Numbers]:
    """How often each prompt is drawn, some resamples at a time; shape (resamples, prompts)."""
    rng = np.random.default_rng(seed)
    step = max(1, min(_AT_ONCE, MOST_DRAWN) // int(sizes.sum()))
    for start in range(0, samples, step):
        many = min(step, samples - start)
        drawn = [rng.multinomial(n, np.full(n, 1 / n), size=many) for n in sizes]
        yield np.concatenate(drawn, axis=1).astype(float)
