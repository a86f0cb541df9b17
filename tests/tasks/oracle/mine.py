"""Mining row by row, as it was before it worked on columns: what the columns must equal."""

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from data.recipes.recipe import MineConfig
from data.schemas import MINED
from data.tables import assert_same_ids, mapping

COUNTS = (
    *("usable", "empty", "truncated", "unscored", "duplicate"),  # completions
    *("no_candidates", "tied", "paired"),  # prompts
    "mined",  # pairs
)

Row = dict[str, Any]


def usable(rows: list[Row], drop_truncated: bool, counts: dict[str, int]) -> list[Row]:
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
        elif row.get("reward", 0.0) is None:  # answers of the model matrix have none at all
            counts["unscored"] += 1
        elif text in seen:
            counts["duplicate"] += 1
        else:
            counts["usable"] += 1
            seen.add(text)
            kept.append(row)
    return kept


def best_worst(ranked: list[Row], rng: random.Random) -> list[tuple[Row, Row]]:
    return [(ranked[0], ranked[-1])]


def best_random(ranked: list[Row], rng: random.Random) -> list[tuple[Row, Row]]:
    return [(ranked[0], rng.choice(ranked[1:]))]


def top2_bottom2(ranked: list[Row], rng: random.Random) -> list[tuple[Row, Row]]:
    """Best and worst, and of four or more candidates also second best and second worst."""
    pairs = [(ranked[0], ranked[-1])]
    return pairs + [(ranked[1], ranked[-2])] if len(ranked) > 3 else pairs


def outside_in(ranked: list[Row], rng: random.Random) -> list[tuple[Row, Row]]:
    """Best and worst, second best and second worst, and so on: no completion is in two pairs."""
    return list(zip(ranked[: len(ranked) // 2], ranked[::-1], strict=False))


# Pairs of two or more candidates, best first, by the names of `mine.pairs`.
RULES: dict[str, Callable[[list[Row], random.Random], list[tuple[Row, Row]]]] = {
    "best_worst": best_worst,
    "best_random": best_random,
    "top2_bottom2": top2_bottom2,
    "outside_in": outside_in,
}


def penalized(row: Row, penalty: float) -> float:
    """The reward less `penalty` for every 100 characters."""
    return float(row["reward"] - penalty * len(row["completion"]) / 100)


def pairs_of(rows: list[Row], config: MineConfig, seed: int) -> list[tuple[Row, Row]]:
    """The pairs of one prompt's candidates (two or more), ties left out.

    Rows come back with the rewards that ordered them, penalized; equal ones fall to the lower
    sample.
    """
    priced = [row | {"reward": penalized(row, config.length_penalty)} for row in rows]
    ranked = sorted(priced, key=lambda row: (-row["reward"], row["sample"]))
    # Of equally bad candidates the lowest sample is the worst, as of equally good ones the best.
    low = ranked[-1]["reward"]
    worst = min((row for row in ranked if row["reward"] == low), key=lambda row: row["sample"])
    ranked = [row for row in ranked if row is not worst] + [worst]
    rng = random.Random(f"{seed}/{rows[0]['prompt_id']}")
    return [
        (best, worst)
        for best, worst in RULES[config.pairs](ranked, rng)
        if best["reward"] - worst["reward"] > config.min_margin
    ]


def mined_row(best: Row, worst: Row, source: str, models: tuple[str, str]) -> Row:
    """A MINED row; `models` gave the best and the worst completion."""
    return {
        "prompt_id": best["prompt_id"],
        "source": source,
        "best_model": models[0],
        "worst_model": models[1],
        "best_id": best["completion_id"],
        "worst_id": worst["completion_id"],
        "best_completion": best["completion"],
        "worst_completion": worst["completion"],
        "best_token_ids": best["token_ids"],
        "worst_token_ids": worst["token_ids"],
        "best_reward": best.get("reward"),
        "worst_reward": worst.get("reward"),
    }


def mine_pairs(
    completions: pa.Table, scores: pa.Table, config: MineConfig, seed: int
) -> tuple[pa.Table, dict[str, int]]:
    """MINED rows for each prompt whose candidates the scorer can tell apart.

    A prompt with fewer than two candidates, or whose pairs all differ by no more than
    `config.min_margin`, yields no row and is counted.

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
        pairs = pairs_of(rows, config, seed) if len(rows) > 1 else []
        outcome = "no_candidates" if len(rows) < 2 else "paired" if pairs else "tied"
        counts[outcome] += 1
        counts["mined"] += len(pairs)
        mined += [mined_row(*pair, config.pairs, ("policy", "policy")) for pair in pairs]
    return pa.Table.from_pylist(mined, MINED), counts
