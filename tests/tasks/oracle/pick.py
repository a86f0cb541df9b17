"""Picking row by row, as it was before it worked on columns."""

from collections import defaultdict
from statistics import fmean
from typing import Any

import pyarrow as pa

from data.recipes.fine_tuning import PickConfig
from data.tables import assert_same_ids, mapping
from tests.tasks.oracle.mine import usable

COUNTS = (
    *("usable", "empty", "truncated", "unscored", "duplicate"),  # completions
    *("no_candidates", "tied", "picked"),  # prompts
)


def pick_rows(
    prompts: pa.Table, completions: pa.Table, scores: pa.Table, config: PickConfig
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """DEMONSTRATIONS rows, at most one per prompt, and what became of completions and prompts.

    A prompt with fewer than two usable completions, or whose best and worst differ by no more than
    `config.min_margin`, yields no row and is counted: there was nothing to pick. Of equally good
    ones the lowest sample is picked. `reward_of_picked` and `reward_of_usable` are means over the
    prompts that gave a row; None without one.

    Raises:
        CardinalityError: completions and scores do not hold the same completions.
    """
    assert_same_ids(completions, scores, "completion_id")
    reward = mapping(scores, "completion_id", "reward")
    answers = defaultdict(list)
    for row in completions.to_pylist():
        answers[row["prompt_id"]].append(row | {"reward": reward[row["completion_id"]]})
    counts, rows, means = dict.fromkeys(COUNTS, 0), [], []
    for asked in prompts.to_pylist():
        known = usable(answers[asked["prompt_id"]], config.drop_truncated, counts)
        rewards = [row["reward"] for row in known]
        if len(known) < 2:
            counts["no_candidates"] += 1
        elif max(rewards) - min(rewards) <= config.min_margin:
            counts["tied"] += 1
        else:
            best = min(known, key=lambda row: (-row["reward"], row["sample"]))
            taken = {"prompt_id", "completion_id", "completion", "token_ids", "reward"}
            rows.append(asked | {name: best[name] for name in taken})
            means.append(fmean(rewards))
    counts["picked"] = len(rows)
    best_of_all = fmean(row["reward"] for row in rows) if rows else None
    return rows, counts | {
        "reward_of_picked": best_of_all,
        "reward_of_usable": fmean(means) if means else None,
    }
