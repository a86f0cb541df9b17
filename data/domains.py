"""How training texts are mixed from domains: more of those in which a student is further behind its
teacher.

DDK (Liu et al. 2024, arXiv 2407.16154), equations 1 and 2. Pure functions: what an interval draws
follows from two perplexities of every domain and from the interval before, and from nothing else.
Arrays have one value for each domain, in one order.
"""

from hashlib import sha256
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.recipes.domains import MixtureConfig, Natural, Smoothed
from data.statistics import MOST_DRAWN, Interval, percentile_interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Mixture(NamedTuple):
    """What an interval draws, one value for each domain."""

    factor: Floats  # r of equations 1 and 2; they sum to one
    share: Floats  # of the rows of the interval: r, and in the first interval the natural shares
    drawn: Ints  # rows
    cursor: Ints  # where in the domain's endless sequence they begin


def perplexity_ratios(student: Floats, teacher: Floats, clip: float | None) -> Floats:
    """Perplexity of the student over the teacher's, at most `clip`; of negative log-likelihoods in
    nats a token. The clip is this project's: exp of a ratio of 10 leaves nothing for the others."""
    gaps = student - teacher
    return np.exp(gaps if clip is None else np.minimum(gaps, np.log(clip)))


def first_factor(ratios: Floats) -> Floats:
    """Equation 1: r[i] = exp(ratio[i]) / sum_j exp(ratio[j])."""
    return _softmax(ratios)


def next_factor(before: Floats, ratios: Floats, alpha: float) -> Floats:
    """Equation 2: r'[i] = alpha psi[i] / sum_j psi[j] + (1 - alpha) / N, psi[i] = r[i]
    exp(ratio[i])."""
    with np.errstate(divide="ignore"):  # a factor that has become nothing stays nothing
        psi = _softmax(np.log(before) + ratios)
    return alpha * psi + (1 - alpha) / len(ratios)


def mixed(
    config: MixtureConfig, ratios: Floats, sizes: Ints, rows: int, before: Mixture | None
) -> Mixture:
    """The mixture of an interval.

    Args:
        sizes: Texts that each domain has.
        rows: Texts that the interval draws.
        before: The mixture of the interval before; None: it is the first, which draws at random,
            as published: every domain by its size. With alpha 0, where nothing that is measured
            counts, the first too draws all domains alike.
    """
    natural = sizes / sizes.sum()
    if isinstance(config, Natural):
        factor = natural
    elif not isinstance(config, Smoothed):
        factor = first_factor(ratios)
    elif not config.alpha:
        factor = np.full(len(ratios), 1 / len(ratios))
    elif before is None:
        factor = first_factor(ratios)
    else:
        factor = next_factor(before.factor, ratios, config.alpha)
    measured = not (isinstance(config, Smoothed) and not config.alpha)
    share = natural if before is None and measured else factor
    cursor = np.zeros(len(sizes), np.int64) if before is None else before.cursor + before.drawn
    return Mixture(factor, share, apportioned(share, rows), cursor)


def apportioned(shares: Floats, rows: int) -> Ints:
    """Whole numbers that sum to `rows`, each less than one away from its share of them.

    By largest remainders; of equal ones the first. So the shares are met and not drawn, which is
    this project's choice.
    """
    exact = shares / shares.sum() * rows
    counts: Ints = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: rows - int(counts.sum())]] += 1
    return counts


def in_sequence(name: str, size: int, start: int, rows: int, seed: int) -> tuple[Ints, Ints]:
    """Numbers of a domain's texts and, of each, how often all of them had been drawn before it.

    A domain's texts come in an endless sequence: all of them in random order, then all in another.
    These are the `rows` from place `start` on, whatever was drawn of other domains.
    """
    passes, places = np.divmod(np.arange(start, start + rows), size)
    numbers = np.zeros(rows, np.int64)
    key = int.from_bytes(sha256(name.encode()).digest()[:4])
    for one in np.unique(passes).tolist():
        order = np.random.default_rng([seed, key, one]).permutation(size)
        numbers[passes == one] = order[places[passes == one]]
    return numbers, passes


class Losses(NamedTuple):
    """Of the held-out texts of a domain that both models read whole, one value for each text."""

    teacher: Floats  # negative log-likelihood in nats, summed over its tokens
    student: Floats
    tokens: Floats
    unread: int = 0  # texts that one of the two cannot read whole

    @property
    def per_token(self) -> tuple[float, float]:
        """Of teacher and student, nats a token: the logarithms of their perplexities."""
        tokens = self.tokens.sum()
        return float(self.teacher.sum() / tokens), float(self.student.sum() / tokens)


class Gap(NamedTuple):
    """By how much a student is behind, log perplexity less the teacher's, with a 95 % interval."""

    value: float
    ci95: Interval
    texts: int


def gaps(
    domains: dict[str, Losses], apart: set[str], samples: int = 2_000, seed: int = 0
) -> tuple[Gap, dict[str, Gap]]:
    """The mean over domains, but for those `apart`, and by domain.

    Every domain counts the same. Texts are resampled within each domain, both models' losses of a
    text together.
    """
    rng, found, resampled = np.random.default_rng(seed), {}, {}
    for name, one in domains.items():
        teacher, student = one.per_token
        resampled[name] = _resampled(one, samples, rng)
        around = percentile_interval(resampled[name])
        found[name] = Gap(student - teacher, around, len(one.tokens))
    counted = [name for name in domains if name not in apart]
    value = float(np.mean([found[name].value for name in counted]))
    around = percentile_interval(np.mean([resampled[name] for name in counted], axis=0))
    return Gap(value, around, sum(found[name].texts for name in counted)), found


def spread(factors: Floats) -> float:
    """How much weights change: the variance over intervals, mean over domains; of (intervals,
    domains)."""
    return float(factors.var(axis=0).mean())


def _resampled(one: Losses, samples: int, rng: np.random.Generator) -> Floats:
    """The gap of resamples of the texts, (samples,)."""
    number = len(one.tokens)
    step = max(1, MOST_DRAWN // number)
    sums = [
        rng.multinomial(number, np.full(number, 1 / number), size=min(step, samples - start))
        @ np.stack([one.student - one.teacher, one.tokens], axis=1)
        for start in range(0, samples, step)
    ]
    behind, tokens = np.concatenate(sums).T
    return np.asarray(behind / tokens)


def _softmax(values: Floats) -> Floats:
    found = np.exp(values - values.max())
    return np.asarray(found / found.sum())
