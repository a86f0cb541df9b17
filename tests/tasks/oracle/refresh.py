"""Choosing prompts to refresh row by row, as it was before it worked on columns."""

import random
from collections import defaultdict
from collections.abc import Callable
from statistics import fmean

import pyarrow as pa

from data.recipes.methods import RefreshConfig
from data.tables import mapping

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
