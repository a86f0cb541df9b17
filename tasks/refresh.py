"""Refresh: the same prompts in every round, of which only a share is answered again (OPTune).

Published: the prompts with the lowest rewards are answered again, the others keep their pairs and
rewards. What the reward of a prompt is, that all prompts are ranked anew in every round, and the
baseline are this project's choices.
"""

import random
from collections.abc import Callable, Mapping
from math import ceil
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import CardinalityError
from data.joins import assert_unique
from data.portions import numbered
from data.recipes.methods import RefreshConfig
from data.schemas import PREFERENCES, PROMPTS, SCORES
from data.store.artifacts import Artifact
from data.table_file import Sliced
from tasks.stage import Context, Rows, stage

REWARDS: dict[str, Callable[[list[float]], float]] = {"mean": fmean, "min": min, "max": max}


def by_prompt(scores: Sliced, value: Callable[[list[float]], float]) -> dict[str, float]:
    """The value of the known rewards of every prompt's completions; none where none is known."""
    codes, ids = numbered(scores.column("prompt_id"))
    rewards = scores.column("reward").to_numpy()  # NaN for null
    known = ~np.isnan(rewards)
    codes, rewards = codes[known], rewards[known]
    in_order = rewards[np.argsort(codes, kind="stable")]
    ends = np.cumsum(np.bincount(codes, minlength=len(ids)))
    parts = zip(ids.to_pylist(), np.split(in_order, ends[:-1]), strict=True) if len(ids) else ()
    return {prompt: value(part.tolist()) for prompt, part in parts if len(part)}


def prompt_rewards(
    scores: Sliced, preferences: Sliced, initial: Sliced, config: RefreshConfig
) -> dict[str, float]:
    """The reward of every prompt whose completions have one.

    "chosen" is the highest reward of the prompt's chosen completions; a prompt without a pair has
    the mean of its completions instead. The baseline is the mean reward of the first round's.

    Raises:
        CardinalityError: a completion has two scores, or a chosen one none.
    """
    if config.reward == "chosen":
        result = by_prompt(scores, fmean) | by_prompt(_of_chosen(scores, preferences), max)
    else:
        result = by_prompt(scores, REWARDS[config.reward])
    if config.baseline == "initial":
        first = by_prompt(initial, fmean)
        result = {prompt: value - first.get(prompt, 0.0) for prompt, value in result.items()}
    return result


def _of_chosen(scores: Sliced, preferences: Sliced) -> pa.Table:
    """The reward of every pair's chosen completion, with its prompt."""
    assert_unique([scores], "completion_id")
    chosen = preferences.select(["prompt_id", "chosen_id"]).slice(0, len(preferences))
    known = scores.select(["completion_id", "reward"]).slice(0, len(scores))
    # The smaller of the two is looked up in: the pairs, of which a completion may be in several.
    ids = chosen["chosen_id"].unique()
    places = pc.index_in(known["completion_id"], value_set=ids)
    there = known["reward"].filter(pc.is_valid(places))
    row_of = pc.index_in(chosen["chosen_id"], value_set=ids)
    by_place = np.full(len(ids), -1)
    by_place[pc.drop_null(places).to_numpy()] = np.arange(len(there))
    if np.any(by_place < 0):
        lost = ids[int(np.argmax(by_place < 0))].as_py()
        raise CardinalityError(f"completion_id {lost!r}: was chosen and has no score")
    rewards = there.take(pa.array(by_place[row_of.to_numpy()]))
    return pa.table({"prompt_id": chosen["prompt_id"], "reward": rewards})


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
    rewards = prompt_rewards(ctx.open(scores), ctx.open(preferences), ctx.open(initial), config)
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


@stage(PREFERENCES, version="3", rows=_old_and_new)
def renew_preferences(ctx: Context, *, old: Artifact, new: Artifact, again: Artifact) -> Rows:
    """In: PREFERENCES so far and of the prompts asked again. Out: the latest of every prompt."""
    table = _renewed(ctx, old, new, again)
    return Rows(table, {"pairs": len(table), "reused": len(table) - (new.rows or 0)})
