"""How well predictions order what was measured: near pairs, enrichment, recall of a top.

All of one target at a time: predictions of different targets need not have one scale.
"""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def near_pairs(measured: Values, predicted: Values, low: float, high: float) -> tuple[float, int]:
    """Of the pairs whose measured values are `low` to `high` apart, the share that predictions
    order as measured, equal predictions counting a half; and how many such pairs there are.

    Both arrays (n,). The share is NaN where there is no such pair.
    """
    order = np.argsort(measured, kind="stable")
    true, said = measured[order], predicted[order]
    right, pairs = 0.0, 0
    # A grain of slack: 6.4 - 6.1 is less than 0.3 in binary, and both ends belong to the range.
    for place, value in enumerate(true):
        begin, end = np.searchsorted(true, [value + low - 1e-9, value + high + 1e-9], ("left"))
        begin = max(int(begin), place + 1)
        above = said[begin : int(end)]
        right += float((above > said[place]).sum()) + 0.5 * float((above == said[place]).sum())
        pairs += len(above)
    return (right / pairs if pairs else float("nan")), pairs


def enrichment(active: npt.NDArray[np.bool_], predicted: Values, share: float) -> float:
    """EF: the share of actives among the best predicted `share`, over that among all.

    1 is chance. At least one compound is looked at; of equal predictions each is in as far as there
    is room (its expected share). Raises ValueError where nothing is active.
    """
    if not active.any():
        raise ValueError("enrichment: nothing is active")
    room = max(1, round(share * len(active)))
    border = np.sort(predicted)[::-1][room - 1]
    above, at = predicted > border, predicted == border
    found = active[above].sum() + active[at].mean() * (room - above.sum())
    return float(found / room / active.mean())


def most_active(measured: Values, share: float) -> npt.NDArray[np.bool_]:
    """Which are among the highest `share`, at least one; equal values at the border all are."""
    room = max(1, round(share * len(measured)))
    return np.asarray(measured >= np.sort(measured)[::-1][room - 1])


def recall_of_top(teacher: Values, student: Values, top: float, share: float) -> float:
    """Of the teacher's best `top` share of a library, how much is in the student's best `share`.

    Both (n,); at least one is the top. Of equal scores those that come first count as better.
    """
    wanted = np.argsort(-teacher, kind="stable")[: max(1, round(top * len(teacher)))]
    kept = np.argsort(-student, kind="stable")[: max(1, round(share * len(student)))]
    return float(np.isin(wanted, kept).mean())
