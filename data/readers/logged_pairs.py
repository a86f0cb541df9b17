"""Agreement of any scorer with a recorded judge, on pairs of completions of one prompt.

Judges favour longer answers, so a scorer may agree by counting characters. Agreement is therefore
also taken on pairs of nearly equal length, where that baseline has nothing to go by.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from data.errors import CardinalityError
from data.schemas import JUDGED_PAIRS
from data.tables import mapping

EQUAL_LENGTH = 0.1  # the longer of two answers of "equal" length has at most 10 % more characters


def judged_pairs(completions: pa.Table, judgments: pa.Table, min_margin: float = 0.0) -> pa.Table:
    """JUDGED_PAIRS: all pairs of a prompt that the judge separates by more than `min_margin`.

    Completions without a judgment and pairs of the same text are left out: the judge's difference
    between equal texts is noise that no scorer can follow.
    """
    rewards = mapping(judgments, "completion_id", "reward")
    by_prompt = defaultdict(list)
    for row in completions.to_pylist():
        if row["completion_id"] in rewards:
            by_prompt[row["prompt_id"]].append(row)
    pairs = []
    for prompt, rows in by_prompt.items():
        for a, b in combinations(rows, 2):
            gap = rewards[a["completion_id"]] - rewards[b["completion_id"]]
            if abs(gap) <= min_margin or a["completion"] == b["completion"]:
                continue
            better, worse = (a, b) if gap > 0 else (b, a)
            lengths = [max(1, len(row["completion"])) for row in (better, worse)]
            pairs.append(
                {
                    "prompt_id": prompt,
                    "better_id": better["completion_id"],
                    "worse_id": worse["completion_id"],
                    "margin": abs(gap),
                    "length_ratio": lengths[0] / lengths[1],
                }
            )
    return pa.Table.from_pylist(pairs, schema=JUDGED_PAIRS)


def of_equal_length(pairs: pa.Table, tolerance: float = EQUAL_LENGTH) -> pa.Table:
    """The pairs whose longer answer exceeds the shorter by at most the share `tolerance`."""
    log_ratio = np.abs(np.log(pairs["length_ratio"].to_numpy()))
    return pairs.filter(pa.array(log_ratio <= math.log1p(tolerance) + 1e-12))


def pairs_with(pairs: pa.Table, picks: Mapping[str, str]) -> pa.Table:
    """The pairs of which one answer is the pick of its prompt; `picks` is by prompt id."""
    rows = pairs.select(["prompt_id", "better_id", "worse_id"]).to_pylist()
    mask = [picks.get(row["prompt_id"]) in (row["better_id"], row["worse_id"]) for row in rows]
    return pairs.filter(pa.array(mask, pa.bool_()))


def preferred(pairs: pa.Table, picks: Mapping[str, str]) -> dict[str, Any]:
    """How often the judge prefers a prompt's pick to its other answers, as `agreement` counts.

    A pick at random is preferred in half of them, by symmetry.
    """
    ids = {*pairs["better_id"].to_pylist(), *pairs["worse_id"].to_pylist()}
    picked = set(picks.values())
    return agreement(pairs_with(pairs, picks), {key: float(key in picked) for key in ids})


def best_of(completions: pa.Table, rewards: Mapping[str, float]) -> dict[str, str]:
    """By prompt id, the completion of the highest reward; of equal ones the lowest sample."""
    rows = completions.sort_by([("sample", "descending")]).to_pylist()
    best: dict[str, str] = {}
    for row in rows:
        mine, old = row["completion_id"], best.get(row["prompt_id"])
        if old is None or rewards[mine] >= rewards[old]:
            best[row["prompt_id"]] = mine
    return best


def agreement(
    pairs: pa.Table, rewards: Mapping[str, float], samples: int = 2_000, seed: int = 0
) -> dict[str, Any]:
    """Share of `pairs` that `rewards` (by completion id) orders as the judge; ties count half.

    The 95 % interval is a bootstrap over prompts, as pairs of one prompt share answers. Without
    pairs, agreement and interval are None. Raises CardinalityError for a completion not scored.
    """
    agreeing: dict[str, list[float]] = defaultdict(list)
    ties = 0
    for row in pairs.to_pylist():
        try:
            difference = rewards[row["better_id"]] - rewards[row["worse_id"]]
        except KeyError as error:
            raise CardinalityError(f"completion_id {error.args[0]!r}: has no reward") from None
        ties += difference == 0
        agreeing[row["prompt_id"]].append(0.5 if difference == 0 else float(difference > 0))
    result = {"agreement": None, "ci95": None, "pairs": len(pairs), "prompts": 0, "ties": ties}
    if not agreeing:
        return result
    sums = np.array([[sum(values), len(values)] for values in agreeing.values()])
    drawn = np.random.default_rng(seed).multinomial(len(sums), [1 / len(sums)] * len(sums), samples)
    shares = (drawn @ sums[:, 0]) / (drawn @ sums[:, 1])
    return result | {
        "agreement": float(sums[:, 0].sum() / sums[:, 1].sum()),
        "ci95": [float(value) for value in np.quantile(shares, (0.025, 0.975))],
        "prompts": len(sums),
    }
