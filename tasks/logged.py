"""Logged completions and a recorded judge, in place of generation and of a teacher model."""

import json
from typing import Any

import pyarrow as pa

from data.readers.logged import (
    held_out_split,
    judged_only,
    longer_answer_scores,
    read_logged,
    read_picks,
    recorded_rewards,
)
from data.readers.logged_pairs import best_of, judged_pairs, of_equal_length, preferred
from data.recipes.recipe import LoggedConfig, RelabelConfig
from data.schemas import COMPLETIONS, JUDGMENTS, PICKS, PREFERENCES, PROMPTS, SCORES
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.gate import known as scored
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


@stage(PREFERENCES, version="4", rows="mined")
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


@stage(SCORES, version="1", rows="completions")
def recorded_scores(ctx: Context, *, completions: Artifact, judgments: Artifact) -> Rows:
    """In: COMPLETIONS, all judged, JUDGMENTS. Out: SCORES, the recorded judge's rewards."""
    rows = ctx.table(completions).select(["completion_id", "prompt_id"]).to_pylist()
    ids = [row["completion_id"] for row in rows]
    rewards = recorded_rewards(ctx.table(judgments), ids)
    return Rows([row | {"reward": rewards[row["completion_id"]]} for row in rows], {})


@stage(PICKS, version="1", rows="completions")
def import_picks(
    ctx: Context, *, completions: Artifact, config: LoggedConfig, files: External
) -> Rows:
    """In: COMPLETIONS. Out: PICKS. `files` is everything the configuration names."""
    table, counts = read_picks(config, ctx.table(completions))
    return Rows(table, counts)


@stage("best_answers", version="1")
def picks_of(
    ctx: Context,
    *,
    completions: Artifact,
    scores: list[Artifact],
    names: list[str],
    judgments: Artifact,
    picks: Artifact | None,
    min_margin: float,
) -> dict[str, Any]:
    """In: COMPLETIONS, SCORES of scorers called `names`, JUDGMENTS, PICKS. Out: picks.json.

    How often the judge prefers each scorer's best answer to the prompt's others. Candidates are
    the judged answers that every scorer could read. A recorded pick was made among more: where it
    is a candidate it is also the best of these, and the other prompts are left out for it; what
    the scorers get on the same prompts stands beside it.
    """
    known = [mapping(scored(ctx.table(one)), "completion_id", "reward") for one in scores]
    table = ctx.table(completions)
    ids = table["completion_id"].to_pylist()
    table = table.filter(pa.array([all(id_ in one for one in known) for id_ in ids], pa.bool_()))
    pairs = judged_pairs(table, ctx.table(judgments), min_margin)
    best = {name: best_of(table, one) for name, one in zip(names, known, strict=True)}
    rows = [{"picker": name, **_preferred(pairs, of)} for name, of in best.items()]
    candidates = set(table["completion_id"].to_pylist())
    recorded = ctx.table(picks).to_pylist() if picks else []
    for name in sorted({row["picker"] for row in recorded}):
        of = {
            row["prompt_id"]: row["completion_id"]
            for row in recorded
            if row["picker"] == name and row["completion_id"] in candidates
        }
        beside = [
            {"picker": other, **_preferred(pairs, {key: theirs[key] for key in of})}
            for other, theirs in best.items()
        ]
        rows.append({"picker": name, **_preferred(pairs, of), "beside": beside})
    (ctx.out / "picks.json").write_text(json.dumps(rows, sort_keys=True))
    return {"pickers": rows}


def _preferred(pairs: pa.Table, picks: dict[str, str]) -> dict[str, Any]:
    """Of all pairs with a pick, and of those whose answers are about equally long."""
    found, equal = preferred(pairs, picks), preferred(of_equal_length(pairs), picks)
    return {
        **{key: found[key] for key in ("agreement", "ci95", "pairs", "prompts")},
        "equal_length": equal["agreement"],
        "ci95_equal_length": equal["ci95"],
        "equal_length_pairs": equal["pairs"],
    }


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
