"""Shares with their intervals: win rates and precisions. No torch here: reports use it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
Z_95 = 1.959963984540054


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
    values, groups = np.asarray(outcomes, float), np.asarray(datasets)
    if not np.isin(values, (0.0, 0.5, 1.0)).all():
        raise ValueError("outcomes are 1, 0.5 or 0")
    rng = np.random.default_rng(seed)
    by_dataset, resampled = {}, []
    for name in sorted(set(datasets)):
        part = values[groups == name]
        means = bootstrap_means(part, samples, rng)
        resampled.append(means)
        by_dataset[name] = {
            "win_rate": float(part.mean()),
            "ci95": percentile_interval(means),
            "n": len(part),
        }
    return {
        "win_rate": float(np.mean([entry["win_rate"] for entry in by_dataset.values()])),
        "ci95": percentile_interval(np.mean(resampled, axis=0)),
        "wins": int((values == 1).sum()),
        "ties": int((values == 0.5).sum()),
        "losses": int((values == 0).sum()),
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
    takes memory for the distinct values only.
    """
    distinct, counts = np.unique(values, return_counts=True)
    drawn = rng.multinomial(len(values), counts / len(values), size=samples)
    return np.asarray(drawn @ distinct / len(values))


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
