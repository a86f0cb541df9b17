"""Relabel: the teacher judges the two completions the student picked (TS-Align, step 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from data.recipes.recipe import RelabelConfig
from data.schemas import PREFERENCES
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.score import score_rows
from tasks.stage import Context, Model, Rows, stage

COUNTS = (
    *("agreed", "swapped", "teacher_tied", "inconsistent", "unjudged"),
    *("below_margin", "dropped_disagreement", "kept_unsure", "labelled"),
)

# Of a pair: "ordered" with the labeller's margin, best minus worst, or why it has no order.
Said = tuple[str, float | None]


def order_pairs(
    mined: pa.Table,
    prompts: pa.Table,
    rewards: Mapping[str, float | None],
    config: RelabelConfig,
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
    for pair in mined.select(["best_id", "worst_id"]).to_pylist():
        best, worst = rewards[pair["best_id"]], rewards[pair["worst_id"]]
        if best is None or worst is None:
            said.append(("unjudged", None))
        else:
            said.append(("teacher_tied" if best == worst else "ordered", best - worst))
    return ordered(mined, prompts, said, config, round_number)


def ordered(
    mined: pa.Table,
    prompts: pa.Table,
    said: Sequence[Said],
    config: RelabelConfig,
    round_number: int,
) -> tuple[pa.Table, dict[str, int]]:
    """Preferences from what a labeller says of every pair of MINED, and the counts of its fates."""
    prompt_of = {row["prompt_id"]: row for row in prompts.to_pylist()}
    counts = dict.fromkeys(COUNTS, 0)
    rows = []
    for pair, (fate, margin) in zip(mined.to_pylist(), said, strict=True):
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
            rows.append(preference(pair, prompt_of[pair["prompt_id"]], margin, round_number))
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
        "weight": 1.0,
        "swapped": swapped,
        "round": round_number,
    }


@stage(PREFERENCES, version="3", model="loaded", shards="mined", rows="mined")
def relabel(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    teacher: Model,
    config: RelabelConfig,
    round_number: int,
    max_length: int,
) -> Rows:
    """In: MINED, PROMPTS. Out: PREFERENCES. Calls the teacher on two completions per pair."""
    pairs, asked = ctx.table(mined), ctx.table(prompts)
    messages = mapping(asked, "prompt_id", "messages")
    items, ids = [], []
    for pair in pairs.to_pylist():
        for side in ("best", "worst"):
            items.append((messages[pair["prompt_id"]], pair[f"{side}_completion"]))
            ids.append(pair[f"{side}_id"])
    rewards = score_rows(ctx, teacher, items, max_length)
    table, counts = order_pairs(
        pairs, asked, dict(zip(ids, rewards, strict=True)), config, round_number
    )
    return Rows(table, counts | {"teacher_calls": len(items)})


@stage(PREFERENCES, version="1", rows="mined")
def relabel_by_verdicts(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    verdicts: Artifact,
    config: RelabelConfig,
    round_number: int,
) -> Rows:
    """In: MINED, PROMPTS, VERDICTS on its pairs. Out: PREFERENCES in the judge's order.

    Margins are those of the verdicts; `teacher_calls` counts the pairs, each asked in both orders.
    """
    pairs = ctx.table(mined)
    rows = on_pairs(pairs, ctx.table(verdicts))
    said = [by_verdict(row) for row in rows]
    table, counts = ordered(pairs, ctx.table(prompts), said, config, round_number)
    return Rows(table, counts | {"teacher_calls": len(rows), "unparsable": unparsable(rows)})


def on_pairs(mined: pa.Table, verdicts: pa.Table) -> list[dict[str, Any]]:
    """Rows of VERDICTS in the order of MINED, whose best is on their left."""
    found = {(row["left_id"], row["right_id"]): row for row in verdicts.to_pylist()}
    ids = mined.select(["best_id", "worst_id"]).to_pylist()
    return [found[pair["best_id"], pair["worst_id"]] for pair in ids]


def by_verdict(row: Mapping[str, Any]) -> Said:
    """What a row of VERDICTS says of the pair whose presumed best is on the left."""
    if row["unjudged"]:
        return "unjudged", None
    if row["turned"]:
        return "inconsistent", None
    return ("teacher_tied" if row["outcome"] == 0.5 else "ordered"), row["margin"]


def unparsable(verdicts: Sequence[Mapping[str, Any]]) -> int:
    """How many pairs have no verdict although the judge could read them."""
    return sum(row["unjudged"] in ("unparsable", "refused") for row in verdicts)


@stage(PREFERENCES, version="2", rows="mined")
def take_order(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    config: RelabelConfig,
    round_number: int,
    teacher_calls: int,
) -> Rows:
    """In: MINED, PROMPTS. Out: PREFERENCES in the order of those who scored the completions.

    `teacher_calls`: how many completions the teacher has scored for it, 0 if the student did.
    """
    pairs = ctx.table(mined)
    rewards: dict[str, float | None] = {}
    for side in ("best", "worst"):
        columns = (pairs[f"{side}_{name}"].to_pylist() for name in ("id", "reward"))
        rewards |= dict(zip(*columns, strict=True))
    table, counts = order_pairs(pairs, ctx.table(prompts), rewards, config, round_number)
    return Rows(table, counts | {"teacher_calls": teacher_calls})
