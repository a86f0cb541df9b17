"""Mine: the student's best and worst completion of every prompt (TS-Align, step 3)."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.artifacts import Artifact
from data.recipe import MineConfig
from data.schemas import MINED
from data.tables import assert_same_ids, mapping, write_table
from tasks.stage import Context, stage

COUNTS = (
    *("usable", "empty", "truncated", "unscored", "duplicate"),  # completions
    *("no_candidates", "tied", "mined"),  # prompts
)


def usable(
    rows: list[dict[str, Any]], drop_truncated: bool, counts: dict[str, int]
) -> list[dict[str, Any]]:
    """Candidates of one prompt: no empty, unfinished, unscored or repeated completion.

    Adds to `counts` what became of each.
    """
    kept, seen = [], set()
    for row in sorted(rows, key=lambda row: row["sample"]):
        text = row["completion"]
        if not text.strip():
            counts["empty"] += 1
        elif drop_truncated and row["finish_reason"] == "length":
            counts["truncated"] += 1
        elif row["reward"] is None:
            counts["unscored"] += 1
        elif text in seen:
            counts["duplicate"] += 1
        else:
            counts["usable"] += 1
            seen.add(text)
            kept.append(row)
    return kept


def best_and_worst(
    completions: pa.Table, scores: pa.Table, config: MineConfig
) -> tuple[pa.Table, dict[str, int]]:
    """One MINED row for each prompt whose candidates the student can tell apart.

    A prompt with fewer than two candidates, or whose best and worst differ by no more than
    `config.min_margin`, yields no row and is counted. Equal rewards fall to the lower sample.

    Raises:
        CardinalityError: the two tables do not hold the same completions.
    """
    assert_same_ids(completions, scores, "completion_id")
    reward = mapping(scores, "completion_id", "reward")
    by_prompt = defaultdict(list)
    for row in completions.to_pylist():
        by_prompt[row["prompt_id"]].append(row | {"reward": reward[row["completion_id"]]})
    counts = dict.fromkeys(COUNTS, 0)
    mined = []
    for prompt_id in sorted(by_prompt):
        rows = usable(by_prompt[prompt_id], config.drop_truncated, counts)
        if len(rows) < 2:
            counts["no_candidates"] += 1
            continue
        best = max(rows, key=lambda row: (row["reward"], -row["sample"]))
        worst = min(rows, key=lambda row: (row["reward"], row["sample"]))
        if best["reward"] - worst["reward"] <= config.min_margin:
            counts["tied"] += 1
            continue
        counts["mined"] += 1
        mined.append(
            {
                "prompt_id": prompt_id,
                "best_id": best["completion_id"],
                "worst_id": worst["completion_id"],
                "best_completion": best["completion"],
                "worst_completion": worst["completion"],
                "best_reward": best["reward"],
                "worst_reward": worst["reward"],
            }
        )
    return pa.Table.from_pylist(mined, MINED), counts


@stage("mined", version="1")
def mine(
    out: Path, context: Context, *, completions: Artifact, scores: Artifact, config: MineConfig
) -> dict[str, Any]:
    """In: COMPLETIONS, SCORES. Out: MINED, at most one row per prompt."""
    store = context.store
    table, counts = best_and_worst(store.table(completions), store.table(scores), config)
    write_table(out / "data.parquet", table, MINED)
    return counts
