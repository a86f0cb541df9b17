"""Logged completions and a recorded judge, in place of generation and of a teacher model."""

from pathlib import Path
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
from data.tables import write_table
from tasks.relabel import order_pairs
from tasks.running.outside import External
from tasks.stage import TRAINING, Context, stage

SCHEMAS = {"prompts": PROMPTS, "completions": COMPLETIONS, "judgments": JUDGMENTS}


def _import(out: Path, part: str, config: LoggedConfig) -> dict[str, Any]:
    logged = read_logged(config)
    write_table(out / "data.parquet", getattr(logged, part), SCHEMAS[part])
    return dict(logged.counts)


@stage("prompts", version="1")
def import_logged_prompts(
    out: Path, context: Context, *, config: LoggedConfig, files: External
) -> dict[str, Any]:
    """Out: PROMPTS. `files` is everything the configuration names."""
    return _import(out, "prompts", config)


@stage("completions", version="2")
def import_logged_completions(
    out: Path, context: Context, *, config: LoggedConfig, files: External
) -> dict[str, Any]:
    """Out: COMPLETIONS, their order within a prompt shuffled by seed."""
    return _import(out, "completions", config)


@stage("judgments", version="1")
def import_judgments(
    out: Path, context: Context, *, config: LoggedConfig, files: External
) -> dict[str, Any]:
    """Out: JUDGMENTS."""
    return _import(out, "judgments", config)


@stage("prompts", version="3")
def hold_out(
    out: Path, context: Context, *, prompts: Artifact, share: float, seed: int, part: str
) -> dict[str, Any]:
    """In: PROMPTS. Out: PROMPTS, the part "train" or "held_out"."""
    parts = held_out_split(context.store.table(prompts), share, seed)
    table = dict(zip(("train", "held_out"), parts, strict=True))[part]
    write_table(out / "data.parquet", table, PROMPTS)
    return {"prompts": len(table)}


@stage("completions", version="2")
def candidates(
    out: Path, context: Context, *, completions: Artifact, judgments: Artifact, prompts: Artifact
) -> dict[str, Any]:
    """In: COMPLETIONS, JUDGMENTS, PROMPTS. Out: COMPLETIONS, the judged ones of these prompts.

    Only a judged completion can be relabelled by a recorded judge.
    """
    store = context.store
    judged, unjudged = judged_only(store.table(completions), store.table(judgments))
    wanted = set(store.table(prompts)["prompt_id"].to_pylist())
    kept = judged.filter([prompt_id in wanted for prompt_id in judged["prompt_id"].to_pylist()])
    write_table(out / "data.parquet", kept, COMPLETIONS)
    return {"completions": len(kept), "unjudged": unjudged}


@stage("preferences", version="3")
def relabel_recorded(
    out: Path,
    context: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    judgments: Artifact,
    config: RelabelConfig,
    round_number: int,
) -> dict[str, Any]:
    """In: MINED, PROMPTS, JUDGMENTS. Out: PREFERENCES in the recorded judge's order."""
    store = context.store
    pairs = store.table(mined)
    ids = pairs["best_id"].to_pylist() + pairs["worst_id"].to_pylist()
    rewards = recorded_rewards(store.table(judgments), ids)
    table, counts = order_pairs(pairs, store.table(prompts), rewards, config, round_number)
    write_table(out / "data.parquet", table, PREFERENCES)
    return counts | {"teacher_calls": len(ids)}


@stage("scores", version="1")
def score_by_length(out: Path, context: Context, *, completions: Artifact) -> dict[str, Any]:
    """In: COMPLETIONS. Out: SCORES of the baseline that prefers the longer answer."""
    table = longer_answer_scores(context.store.table(completions))
    write_table(out / "data.parquet", table, SCORES)
    return {"scored": len(table)}


@stage("student", version="1", libraries=TRAINING)
def fresh_student(
    out: Path,
    context: Context,
    *,
    prompts: Artifact,
    completions: Artifact,
    vocabulary: int,
    max_length: int,
    seed: int,
) -> dict[str, Any]:
    """In: PROMPTS, COMPLETIONS. Out: an untrained encoder with a tokenizer made from these."""
    from models.training.fresh_student import make_student

    store = context.store
    texts = [m["content"] for row in store.table(prompts)["messages"].to_pylist() for m in row]
    texts += store.table(completions)["completion"].to_pylist()
    return make_student(out, texts, vocabulary=vocabulary, max_length=max_length, seed=seed)
