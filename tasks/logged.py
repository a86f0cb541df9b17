"""Logged completions and a recorded judge, in place of generation and of a teacher model."""

from typing import Any

from data.readers.logged import (
    held_out_split,
    judged_only,
    longer_answer_scores,
    read_logged,
    recorded_rewards,
)
from data.recipes.recipe import LoggedConfig, RelabelConfig
from data.schemas import COMPLETIONS, JUDGMENTS, PREFERENCES, PROMPTS, SCORES
from data.store.artifacts import Artifact
from tasks.relabel import order_pairs
from tasks.running.outside import External
from tasks.stage import Context, Rows, stage


def _import(part: str, config: LoggedConfig) -> Rows:
    logged = read_logged(config)
    return Rows(getattr(logged, part), dict(logged.counts))


@stage(PROMPTS, version="1")
def import_logged_prompts(ctx: Context, *, config: LoggedConfig, files: External) -> Rows:
    """Out: PROMPTS. `files` is everything the configuration names."""
    return _import("prompts", config)


@stage(COMPLETIONS, version="2")
def import_logged_completions(ctx: Context, *, config: LoggedConfig, files: External) -> Rows:
    """Out: COMPLETIONS, their order within a prompt shuffled by seed."""
    return _import("completions", config)


@stage(JUDGMENTS, version="1")
def import_judgments(ctx: Context, *, config: LoggedConfig, files: External) -> Rows:
    """Out: JUDGMENTS."""
    return _import("judgments", config)


@stage(PROMPTS, version="3", rows="prompts")
def hold_out(ctx: Context, *, prompts: Artifact, share: float, seed: int, part: str) -> Rows:
    """In: PROMPTS. Out: PROMPTS, the part "train" or "held_out"."""
    parts = held_out_split(ctx.table(prompts), share, seed)
    table = dict(zip(("train", "held_out"), parts, strict=True))[part]
    return Rows(table, {"prompts": len(table)})


@stage(COMPLETIONS, version="2", rows="completions")
def candidates(
    ctx: Context, *, completions: Artifact, judgments: Artifact, prompts: Artifact
) -> Rows:
    """In: COMPLETIONS, JUDGMENTS, PROMPTS. Out: COMPLETIONS, the judged ones of these prompts.

    Only a judged completion can be relabelled by a recorded judge.
    """
    judged, unjudged = judged_only(ctx.table(completions), ctx.table(judgments))
    wanted = set(ctx.table(prompts)["prompt_id"].to_pylist())
    kept = judged.filter([prompt_id in wanted for prompt_id in judged["prompt_id"].to_pylist()])
    return Rows(kept, {"completions": len(kept), "unjudged": unjudged})


@stage(PREFERENCES, version="3", rows="mined")
def relabel_recorded(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    judgments: Artifact,
    config: RelabelConfig,
    round_number: int,
) -> Rows:
    """In: MINED, PROMPTS, JUDGMENTS. Out: PREFERENCES in the recorded judge's order."""
    pairs = ctx.table(mined)
    ids = pairs["best_id"].to_pylist() + pairs["worst_id"].to_pylist()
    rewards = recorded_rewards(ctx.table(judgments), ids)
    table, counts = order_pairs(pairs, ctx.table(prompts), rewards, config, round_number)
    return Rows(table, counts | {"teacher_calls": len(ids)})


@stage(SCORES, version="1", rows="completions")
def score_by_length(ctx: Context, *, completions: Artifact) -> Rows:
    """In: COMPLETIONS. Out: SCORES of the baseline that prefers the longer answer."""
    table = longer_answer_scores(ctx.table(completions))
    return Rows(table, {"scored": len(table)})


@stage("student", version="1", model=True)
def fresh_student(
    ctx: Context,
    *,
    prompts: Artifact,
    completions: Artifact,
    vocabulary: int,
    max_length: int,
    seed: int,
) -> dict[str, Any]:
    """In: PROMPTS, COMPLETIONS. Out: an untrained encoder with a tokenizer made from these."""
    from models.training.fresh_student import make_student

    texts = [m["content"] for row in ctx.table(prompts)["messages"].to_pylist() for m in row]
    texts += ctx.table(completions)["completion"].to_pylist()
    return make_student(ctx.out, texts, vocabulary=vocabulary, max_length=max_length, seed=seed)
