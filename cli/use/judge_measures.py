"""How well a judge orders labelled pairs: accuracy, calibration, length. No torch."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.statistics import wilson

Numbers = NDArray[np.float64]
QUANTILES = 5  # groups of pairs by margin, of equal size
_BINS = 10  # of the calibration error


def share(hits: Numbers) -> dict[str, Any]:
    """Mean of 0, 0.5 and 1 with Wilson's 95 % interval; null where there is nothing."""
    if not len(hits):
        return {"share": None, "ci95": None, "n": 0}
    return {
        "share": float(hits.mean()),
        "ci95": wilson(float(hits.sum()), len(hits)),
        "n": len(hits),
    }


def correct(margins: Numbers) -> Numbers:
    """1 where the better answer's margin over the other is above 0, 0.5 where it is 0, else 0."""
    return np.where(margins == 0, 0.5, margins > 0).astype(float)


def measures(
    margins: Numbers,
    ties: NDArray[np.bool_],
    lengths: Numbers,
    rewards: Numbers | None,
    graded: bool = True,
) -> dict[str, Any]:
    """All measures of some pairs.

    Args:
        margins: By how much the judge prefers the better answer of each pair, in nats as a
            Bradley-Terry model means it; of a tie the first one; NaN where it could not read one.
        ties: Whether the label is a tie.
        lengths: Shape (pairs, 2), characters of both answers, the better one first.
        rewards: Shape (pairs, 2), of both answers; None of a judge that only compares.
        graded: Whether the size of a margin says how sure the judge is; False: only its sign does.

    Returns:
        pairs, unread, label_ties, agreement, accuracy, judge_ties; the accuracy where the better
        answer is the longer one and where it is the shorter; quantiles, calibration_error, length.
    """
    read = ~np.isnan(margins)
    used = read & ~ties
    of_used, sizes = margins[used], lengths[used]
    hits, longer = correct(of_used), sizes[:, 0] - sizes[:, 1]
    return {
        "pairs": len(margins),
        "unread": int((~read).sum()),
        "label_ties": int((read & ties).sum()),
        "judge_ties": int((of_used == 0).sum()),
        "agreement": share(agreed(margins, ties)),
        "accuracy": share(hits),
        "accuracy_longer_better": share(hits[longer > 0]),
        "accuracy_shorter_better": share(hits[longer < 0]),
        "calibration_error": calibration_error(of_used) if graded else None,
        "quantiles": quantiles(of_used) if graded else [],
        "length": length(
            margins[read], lengths[read], used[read], None if rewards is None else rewards[read]
        ),
    }


def agreed(margins: Numbers, ties: NDArray[np.bool_]) -> Numbers:
    """1 where the judge says what the label says, of three: this answer, that one, a tie; else 0.

    A pair that the judge could not read, or on which it said nothing, is no agreement.
    """
    said = np.where(np.isnan(margins), np.nan, np.sign(margins))
    result: Numbers = (said == np.where(ties, 0.0, 1.0)).astype(float)
    return result


def among_annotators(votes: Sequence[Sequence[str]]) -> dict[str, Any] | None:
    """How often two annotators say the same, the mean over all two of them; None: fewer than two.

    Args:
        votes: Of each pair, one per annotator, in the same order; pairs with fewer are left out.
    """
    most = max(map(len, votes), default=0)
    whole = [pair for pair in votes if len(pair) == most]
    if most < 2:
        return None
    table = np.array(whole)
    same = [(table[:, a] == table[:, b]).mean() for a, b in combinations(range(most), 2)]
    return {"share": float(np.mean(same)), "annotators": most, "n": len(whole)}


def quantiles(margins: Numbers) -> list[dict[str, Any]]:
    """Pairs in groups of equal size by the size of the margin, smallest first.

    `promised` is the accuracy that a Bradley-Terry model means by such margins: the mean of
    sigmoid(|margin|).
    """
    order = np.argsort(np.abs(margins), kind="stable")
    groups = [group for group in np.array_split(order, QUANTILES) if len(group)]
    return [
        {
            "margin": [float(np.abs(margins[group]).min()), float(np.abs(margins[group]).max())],
            "accuracy": share(correct(margins[group])),
            "promised": float(confidence(margins[group]).mean()),
        }
        for group in groups
    ]


def calibration_error(margins: Numbers) -> float | None:
    """Expected calibration error of sigmoid(margin): over ten groups of equal size by confidence,
    the mean distance between the confidence and the accuracy, weighted by the groups' sizes.

    An error of 0 says that of the pairs it calls 80 % sure 80 % are right (Guo et al. 2017).
    """
    if not len(margins):
        return None
    order = np.argsort(np.abs(margins), kind="stable")
    groups = [group for group in np.array_split(order, _BINS) if len(group)]
    gaps = [
        len(group) * abs(correct(margins[group]).mean() - confidence(margins[group]).mean())
        for group in groups
    ]
    return float(sum(gaps) / len(margins))


def confidence(margins: Numbers) -> Numbers:
    """sigmoid(|margin|), from 0.5 to 1."""
    result: Numbers = 1 / (1 + np.exp(-np.abs(margins)))
    return result


def length(
    margins: Numbers, lengths: Numbers, labelled: NDArray[np.bool_], rewards: Numbers | None
) -> dict[str, Any]:
    """How often label and judge prefer the longer answer, and how rewards go with length.

    `label` and `judge` are over the same pairs: labelled ones whose answers differ in length. The
    correlations are Spearman's: of the answers' rewards with their lengths, and of the margins with
    the differences in length, where what a prompt asks for plays no part.
    """
    longer = lengths[:, 0] - lengths[:, 1]
    differ = labelled & (longer != 0)
    sign = np.sign(longer[differ])
    return {
        "label_prefers_longer": share((sign > 0).astype(float)),
        "judge_prefers_longer": share(correct(margins[differ] * sign)),
        "reward_and_length": spearman(rewards.ravel(), lengths.ravel())
        if rewards is not None
        else None,
        "margin_and_difference": spearman(margins, longer),
    }


def spearman(left: Numbers, right: Numbers) -> float | None:
    """Rank correlation, ties at their mean rank; None where one side is constant or too short."""
    import pandas as pd

    usable = ~(np.isnan(left) | np.isnan(right))
    ranks = [pd.Series(side[usable]).rank().to_numpy() for side in (left, right)]
    if usable.sum() < 3 or any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
