"""Shares with their intervals: win rates and precisions. No torch here: reports use it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
Z_95 = 1.959963984540054
MOST_DRAWN = 4_000_000  # counts held at once by a bootstrap


def win_rate(
    outcomes: Sequence[float], datasets: Sequence[str], samples: int = 2_000, seed: int = 0
) -> dict[str, Any]:
    """Mean over data sets of (wins + ties / 2) / n, with a 95 % percentile interval.

    Every data set counts the same, whatever its size. Prompts are resampled within each data set;
    an outcome belongs to one prompt that both policies answered, so the bootstrap is paired.

    Args:
        outcomes: 1 for a win, 0.5 for a tie, 0 for a loss, one per prompt.
        datasets: The data set of each prompt.
        samples: Bootstrap resamples.

    Returns:
        win_rate, ci95, wins, ties, losses, and by_dataset: name -> win_rate, ci95, n.
    """
    if not outcomes or len(outcomes) != len(datasets):
        raise ValueError(
            f"need one data set per outcome and at least one outcome, "
            f"got {len(outcomes)} outcomes and {len(datasets)} data sets"
        )
    values = np.asarray(outcomes, float)
    if not np.isin(values, (0.0, 0.5, 1.0)).all():
        raise ValueError("outcomes are 1, 0.5 or 0")
    found = dataset_mean(outcomes, datasets, samples, seed)
    by_dataset = {
        name: {"win_rate": entry["mean"], "ci95": entry["ci95"], "n": entry["n"]}
        for name, entry in found["by_dataset"].items()
    }
    return {
        "win_rate": found["mean"],
        "ci95": found["ci95"],
        "wins": int((values == 1).sum()),
        "ties": int((values == 0.5).sum()),
        "losses": int((values == 0).sum()),
        "by_dataset": by_dataset,
    }


def dataset_mean(
    values: Sequence[float], datasets: Sequence[str], samples: int = 2_000, seed: int = 0
) -> dict[str, Any]:
    """Mean over data sets of the mean value, with a 95 % percentile interval.

    Prompts are resampled within each data set. Differences of two policies' scores on the same
    prompts make it a paired bootstrap.

    Args:
        values: One per prompt.
        datasets: The data set of each prompt.
        samples: Bootstrap resamples.

    Returns:
        mean, ci95, n, and by_dataset: name -> mean, ci95, n.
    """
    if not len(values) or len(values) != len(datasets):
        raise ValueError(
            f"need one data set per value and at least one value, "
            f"got {len(values)} values and {len(datasets)} data sets"
        )
    array, groups = np.asarray(values, float), np.asarray(datasets)
    rng = np.random.default_rng(seed)
    by_dataset, resampled = {}, []
    for name in sorted(set(datasets)):
        part = array[groups == name]
        means = bootstrap_means(part, samples, rng)
        resampled.append(means)
        by_dataset[name] = {
            "mean": float(part.mean()),
            "ci95": percentile_interval(means),
            "n": len(part),
        }
    return {
        "mean": float(np.mean([entry["mean"] for entry in by_dataset.values()])),
        "ci95": percentile_interval(np.mean(resampled, axis=0)),
        "n": len(array),
        "by_dataset": by_dataset,
    }


def outcome(base: float | None, policy: float | None) -> float:
    """1 for a win of the policy over the base, 0.5 for a tie, 0 for a loss.

    An answer that the judge could not read (None) decides nothing: a tie.
    """
    if base is None or policy is None or base == policy:
        return 0.5
    return 1.0 if policy > base else 0.0


def bootstrap_means(
    values: NDArray[np.float64], samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Means of `samples` resamples with replacement; shape (samples,).

    Drawing n values with replacement is drawing how often each distinct value comes up, which
    takes memory for the distinct values only; of many, a few resamples are drawn at a time.
    """
    distinct, counts = np.unique(values, return_counts=True)
    shares, step = counts / len(values), max(1, MOST_DRAWN // len(distinct))
    sizes = [min(step, samples - start) for start in range(0, samples, step)]
    drawn = [rng.multinomial(len(values), shares, size=size) @ distinct for size in sizes]
    return np.asarray(np.concatenate(drawn) / len(values))


def percentile_interval(means: NDArray[np.float64]) -> Interval:
    """The middle 95 %."""
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def wilson(successes: float, n: int) -> Interval:
    """95 % interval of a share (Wilson 1927): unlike a bootstrap, wide where all n agree."""
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n > 0, got {successes} of {n}")
    share, z2 = successes / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def t_within(t: float, freedom: int) -> float:
    """P(|T| <= t) of Student's t (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).

    Degrees of freedom are small whole numbers here, for which it has a finite series.
    """
    if freedom < 1 or t < 0:
        raise ValueError(f"need freedom >= 1 and t >= 0, got {freedom} and {t}")
    angle = math.atan(t / math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * power / (power + 1)
    share = math.sin(angle) * total
    return 2 / math.pi * (angle + share) if odd else share


def t_quantile(freedom: int, share: float = 0.95) -> float:
    """The t within which `share` of Student's distribution lies, symmetric around 0."""
    low, high = 0.0, 1.0
    while t_within(high, freedom) < share:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_within(middle, freedom) < share else (low, middle)
    return high
