"""Reward: functions in TRL's form judge completions. No torch, unless a function imports it."""

from typing import Any

import pyarrow as pa

from data.readers.prompt_columns import ByContent, read_columns
from data.readers.prompts import content_of
from data.recipes.methods import CorrectionConfig
from data.recipes.recipe import TeacherConfig
from data.schemas import PREFERENCES, PROMPT_COLUMNS, SCORES
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.matrix import correct_pairs, margins
from tasks.relabel import order_pairs
from tasks.running.outside import External, PromptRows
from tasks.running.reward_functions import Rewarded, Row, rewarded
from tasks.stage import Context, Rows, stage

MANY = 32  # answers of a shard, of which at least one must be judged


@stage(PROMPT_COLUMNS, version="1", rows="source")
def import_columns(ctx: Context, *, source: PromptRows, names: list[str]) -> Rows:
    """Out: PROMPT_COLUMNS, what a prompt file has in these columns."""
    table, counts = read_columns(source.rows, names, source.columns)
    return Rows(table, {"prompts_with": counts})


def judged(
    ctx: Context,
    functions: list[External],
    weights: list[float],
    prompts: pa.Table,
    answers: list[tuple[str, str]],
    columns: list[Artifact],
) -> Rewarded:
    """The rewards of answers, each the id of its prompt and a text, in order."""
    messages = mapping(prompts, "prompt_id", "messages")
    content = {owner: content_of(messages[owner]) for owner in {owner for owner, _ in answers}}
    known = all_columns(ctx, columns).of(set(content.values()))
    rows = [Row(messages[owner], text, known.get(content[owner], {})) for owner, text in answers]
    present = frozenset(
        name for one in columns for name, n in one.meta["prompts_with"].items() if n
    )
    few = ctx.only is not None and len(rows) < MANY
    return rewarded(functions, weights, rows, present, few=few, on_progress=ctx.on_progress)


def all_columns(ctx: Context, columns: list[Artifact]) -> ByContent:
    """PROMPT_COLUMNS of all prompts: they have no ids by which a shard could find its own."""
    return ctx.once("columns", lambda: ByContent([ctx.store.table(one) for one in columns]))


@stage(SCORES, version="1", shards="completions", rows="completions")
def reward(
    ctx: Context,
    *,
    functions: list[External],
    weights: list[float],
    prompts: Artifact,
    completions: Artifact,
    columns: list[Artifact],
) -> Rows:
    """In: PROMPTS, COMPLETIONS, PROMPT_COLUMNS. Out: SCORES, one row per completion."""
    table = ctx.table(completions)
    owners, texts = table["prompt_id"].to_pylist(), table["completion"].to_pylist()
    answers = list(zip(owners, texts, strict=True))
    found = judged(ctx, functions, weights, ctx.table(prompts), answers, columns)
    table = pa.table(
        {
            "completion_id": table["completion_id"],
            "prompt_id": table["prompt_id"],
            "reward": pa.array(found.rewards, pa.float64()),
        }
    )
    known = [reward for reward in found.rewards if reward is not None]
    counts = {"scored": len(known), "unscored": len(found.rewards) - len(known)}
    return Rows(table, counts | {"total_reward": sum(known)} | found.counts)


@stage(PREFERENCES, version="2", shards="mined", rows="mined")
def relabel_by_functions(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    functions: list[External],
    weights: list[float],
    columns: list[Artifact],
    config: TeacherConfig,
    round_number: int,
) -> Rows:
    """In: MINED, PROMPTS, PROMPT_COLUMNS. Out: PREFERENCES in the order of the functions' sum."""
    pairs, asked = ctx.table(mined), ctx.table(prompts)
    rewards, counts = of_pairs(ctx, functions, weights, asked, pairs, columns)
    table, fates = order_pairs(pairs, asked, rewards, config, round_number)
    return Rows(table, fates | counts)


@stage(PREFERENCES, version="2", shards="mined", rows="mined")
def correct_by_functions(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    functions: list[External],
    weights: list[float],
    columns: list[Artifact],
    config: CorrectionConfig,
    min_margin: float,
    round_number: int,
) -> Rows:
    """In: MINED, PROMPTS, PROMPT_COLUMNS. Out: PREFERENCES, the matrix's order corrected."""
    pairs, asked = ctx.table(mined), ctx.table(prompts)
    rewards, counts = of_pairs(ctx, functions, weights, asked, pairs, columns)
    odds = margins(pairs, rewards)
    table, fates = correct_pairs(pairs, asked, odds, config, min_margin, round_number)
    return Rows(table, fates | counts)


def of_pairs(
    ctx: Context,
    functions: list[External],
    weights: list[float],
    prompts: pa.Table,
    pairs: pa.Table,
    columns: list[Artifact],
) -> tuple[dict[str, float | None], dict[str, Any]]:
    """Rewards of the answers of MINED by their ids, each judged once, and what was counted."""
    answers = {
        pair[f"{side}_id"]: (pair["prompt_id"], pair[f"{side}_completion"])
        for pair in pairs.to_pylist()
        for side in ("best", "worst")
    }
    found = judged(ctx, functions, weights, prompts, list(answers.values()), columns)
    rewards = dict(zip(answers, found.rewards, strict=True))
    return rewards, {"teacher_calls": len(answers)} | found.counts
