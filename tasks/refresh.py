"""Refresh: the same prompts in every round, of which only a share is answered again (OPTune).

Published: the prompts with the lowest rewards are answered again, the others keep their pairs and
rewards. What the reward of a prompt is, that all prompts are ranked anew in every round, and the
baseline are this project's choices.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from math import ceil
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data.recipes.methods import RefreshConfig
from data.schemas import PREFERENCES, PROMPTS, SCORES
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.stage import Context, Rows, stage

REWARDS: dict[str, Callable[[list[float]], float]] = {"mean": fmean, "min": min, "max": max}


def rewards_by_prompt(scores: pa.Table) -> dict[str, list[float]]:
    """The known rewards of every prompt's completions."""
    rewards: dict[str, list[float]] = defaultdict(list)
    for row in scores.to_pylist():
        if row["reward"] is not None:
            rewards[row["prompt_id"]].append(row["reward"])
    return rewards


def prompt_rewards(
    scores: pa.Table, preferences: pa.Table, initial: pa.Table, config: RefreshConfig
) -> dict[str, float]:
    """The reward of every prompt whose completions have one.

    "chosen" is the highest reward of the prompt's chosen completions; a prompt without a pair has
    the mean of its completions instead. The baseline is the mean reward of the first round's.
    """
    rewards = {prompt: values for prompt, values in rewards_by_prompt(scores).items()}
    if config.reward == "chosen":
        of = mapping(scores, "completion_id", "reward")
        result = {prompt: fmean(values) for prompt, values in rewards.items()}
        chosen = defaultdict(list)
        for row in preferences.select(["prompt_id", "chosen_id"]).to_pylist():
            chosen[row["prompt_id"]].append(of[row["chosen_id"]])
        result |= {prompt: max(values) for prompt, values in chosen.items()}
    else:
        reward = REWARDS[config.reward]
        result = {prompt: reward(values) for prompt, values in rewards.items()}
    if config.baseline == "initial":
        first = {prompt: fmean(values) for prompt, values in rewards_by_prompt(initial).items()}
        result = {prompt: value - first.get(prompt, 0.0) for prompt, value in result.items()}
    return result


def to_refresh(
    prompt_ids: list[str], rewards: dict[str, float], config: RefreshConfig, seed: str
) -> list[str]:
    """The rho * n prompts to answer again, rounded; prompts without a known reward come first.

    Args:
        prompt_ids: All prompts, n.
        rewards: Of the prompts that have one.
        seed: Of the random choice, and of the order among equal rewards.
    """
    shuffled = sorted(prompt_ids)
    random.Random(seed).shuffle(shuffled)
    if config.by == "reward":
        shuffled.sort(key=lambda prompt: rewards.get(prompt, float("-inf")))
    return shuffled[: max(1, round(config.share * len(prompt_ids)))]


def _chosen(inputs: Mapping[str, Any]) -> int:
    return int(ceil(inputs["config"].share * (inputs["prompts"].rows or 0)))


@stage(PROMPTS, version="1", rows=_chosen)
def choose(
    ctx: Context,
    *,
    prompts: Artifact,
    scores: Artifact,
    preferences: Artifact,
    initial: Artifact,
    config: RefreshConfig,
    round_number: int,
    seed: int,
) -> Rows:
    """In: PROMPTS, their stored SCORES and PREFERENCES, the first SCORES. Out: PROMPTS to redo."""
    table = ctx.table(prompts)
    rewards = prompt_rewards(ctx.table(scores), ctx.table(preferences), ctx.table(initial), config)
    ids = table["prompt_id"].to_pylist()
    chosen = to_refresh(ids, rewards, config, f"{seed}/{round_number}")
    kept = table.filter(pc.is_in(table["prompt_id"], pa.array(chosen)))
    return Rows(kept, {"asked": len(kept), "kept": len(ids) - len(kept)})


def _renewed(ctx: Context, old: Artifact, new: Artifact, again: Artifact) -> pa.Table:
    """Rows of prompts that were not asked again, and the new ones."""
    table = ctx.table(old)
    asked = ctx.table(again)["prompt_id"]
    kept = table.filter(pc.invert(pc.is_in(table["prompt_id"], asked.combine_chunks())))
    return pa.concat_tables([kept, ctx.table(new)])


@stage(SCORES, version="1", rows="old")
def renew_scores(ctx: Context, *, old: Artifact, new: Artifact, again: Artifact) -> Rows:
    """In: SCORES so far and of the prompts asked again. Out: the latest SCORES of every prompt."""
    table = _renewed(ctx, old, new, again)
    return Rows(table, {"reused": len(table) - (new.rows or 0)})


def _old_and_new(inputs: Mapping[str, Any]) -> int:
    return sum(inputs[name].rows or 0 for name in ("old", "new"))


@stage(PREFERENCES, version="2", rows=_old_and_new)
def renew_preferences(ctx: Context, *, old: Artifact, new: Artifact, again: Artifact) -> Rows:
    """In: PREFERENCES so far and of the prompts asked again. Out: the latest of every prompt."""
    table = _renewed(ctx, old, new, again)
    return Rows(table, {"pairs": len(table), "reused": len(table) - (new.rows or 0)})
