"""Relabelling row by row, as it was before it worked on columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from data.recipes.recipe import TeacherConfig
from data.schemas import PREFERENCES
from tasks.relabel import COUNTS

# Of a pair: "ordered" with the labeller's margin, best minus worst, or why it has no order.
Said = tuple[str, float | None]


def order_pairs(
    mined: pa.Table,
    prompts: pa.Table,
    rewards: Mapping[str, float | None],
    config: TeacherConfig,
    round_number: int,
) -> tuple[pa.Table, dict[str, int]]:
    """Preferences in the labeller's order, with what became of every mined pair.

    The student's order stands where the labeller agrees, is swapped (or dropped, as configured)
    where it does not; a tie or a margin below `config.min_margin` is out. Swapping is recalled,
    not confirmed, for the paper; ties and margins are this project's choice.

    Args:
        rewards: The labeller's reward of every best and worst completion, by completion id; None
            where it could not read the conversation, which leaves the pair unjudged.
    """
    said: list[Said] = []
    chosen = []
    for pair in mined.select(["best_id", "worst_id"]).to_pylist():
        best, worst = rewards[pair["best_id"]], rewards[pair["worst_id"]]
        chosen.append(None if best is None or worst is None else max(best, worst))
        if best is None or worst is None:
            said.append(("unjudged", None))
        else:
            said.append(("teacher_tied" if best == worst else "ordered", best - worst))
    return ordered(mined, prompts, said, chosen, config, round_number)


def ordered(
    mined: pa.Table,
    prompts: pa.Table,
    said: Sequence[Said],
    chosen: Sequence[float | None],
    config: TeacherConfig,
    round_number: int,
) -> tuple[pa.Table, dict[str, int]]:
    """Preferences from what a labeller says of every pair of MINED, and the counts of its fates."""
    prompt_of = {row["prompt_id"]: row for row in prompts.to_pylist()}
    counts = dict.fromkeys(COUNTS, 0)
    rows = []
    for pair, (fate, margin), reward in zip(mined.to_pylist(), said, chosen, strict=True):
        if fate != "ordered" or margin is None:
            counts[fate] += 1
            continue
        swapped = margin < 0
        counts["swapped" if swapped else "agreed"] += 1
        if swapped and config.on_disagreement == "drop":
            counts["dropped_disagreement"] += 1
        elif abs(margin) < config.min_margin:
            counts["below_margin"] += 1
        else:
            counts["labelled"] += 1
            row = preference(pair, prompt_of[pair["prompt_id"]], margin, round_number)
            rows.append(row | {"chosen_reward": reward})
    return pa.Table.from_pylist(rows, PREFERENCES), counts


def preference(
    pair: dict[str, Any], prompt: dict[str, Any], margin: float | None, round_number: int
) -> dict[str, Any]:
    """A PREFERENCES row from a mined pair and the labeller's signed margin best minus worst.

    Without a margin the presumed order stands.
    """
    swapped = margin is not None and margin < 0
    chosen, rejected = ("worst", "best") if swapped else ("best", "worst")
    return {
        "pair_id": f"{pair['best_id']}>{pair['worst_id']}",
        "prompt_id": pair["prompt_id"],
        "messages": prompt["messages"],
        "dataset": prompt["dataset"],
        "chosen": pair[f"{chosen}_completion"],
        "rejected": pair[f"{rejected}_completion"],
        "chosen_token_ids": pair[f"{chosen}_token_ids"],
        "rejected_token_ids": pair[f"{rejected}_token_ids"],
        "chosen_id": pair[f"{chosen}_id"],
        "rejected_id": pair[f"{rejected}_id"],
        "chosen_model": pair[f"{chosen}_model"],
        "rejected_model": pair[f"{rejected}_model"],
        "source": pair["source"],
        "margin": None if margin is None else abs(margin),
        "chosen_reward": None,
        "weight": 1.0,
        "swapped": swapped,
        "round": round_number,
    }
