"""Evaluate: win rate over the base on held-out prompts, precision of the labels, drift.

The only stage of a round that may ask the oracle, and nothing it returns flows back into the loop.
"""

import json
from collections import defaultdict
from typing import Any

import pyarrow as pa

from data.schemas import EVALUATION
from data.statistics import outcome
from data.store.artifacts import Artifact
from data.tables import as_sampled, mapping
from models.drift import distinct_2, kl_estimate, perplexity
from tasks.stage import Context, Model, Rows, stage


def _by_prompt(table: pa.Table, column: str) -> dict[str, Any]:
    """Column of a table that holds exactly one row per prompt."""
    return mapping(table, "prompt_id", column)


def judged_rows(
    prompts: pa.Table,
    base: dict[str, str],
    policy: dict[str, str],
    base_scores: dict[str, float | None],
    policy_scores: dict[str, float | None],
) -> list[dict[str, Any]]:
    """EVALUATION rows in the order of the prompts."""
    return [
        {
            "prompt_id": prompt_id,
            "dataset": dataset,
            "base_completion": base[prompt_id],
            "policy_completion": policy[prompt_id],
            "base_score": base_scores[prompt_id],
            "policy_score": policy_scores[prompt_id],
            "outcome": outcome(base_scores[prompt_id], policy_scores[prompt_id]),
        }
        for prompt_id, dataset in zip(
            prompts["prompt_id"].to_pylist(), prompts["dataset"].to_pylist(), strict=True
        )
    ]


@stage(EVALUATION, version="2", shards="prompts", rows="prompts")
def evaluate(
    ctx: Context,
    *,
    prompts: Artifact,
    base: Artifact,
    policy: Artifact,
    base_rewards: Artifact | None,  # None: the oracle judges, and the teacher only compares
    policy_rewards: Artifact | None,
    judge: str,
) -> Rows:
    """In: PROMPTS, COMPLETIONS and teacher SCORES of base and policy. Out: EVALUATION."""
    asked = ctx.table(prompts)
    answers = {
        side: _by_prompt(ctx.table(artifact), "completion")
        for side, artifact in (("base", base), ("policy", policy))
    }
    if judge == "oracle":
        from models.world.judges import oracle

        score = oracle()
        messages = _by_prompt(asked, "messages")
        scores: dict[str, dict[str, float | None]] = {
            side: {p: score(messages[p], text) for p, text in texts.items()}
            for side, texts in answers.items()
        }
    else:
        assert base_rewards is not None and policy_rewards is not None
        scores = {
            "base": _by_prompt(ctx.table(base_rewards), "reward"),
            "policy": _by_prompt(ctx.table(policy_rewards), "reward"),
        }
    rows = judged_rows(asked, answers["base"], answers["policy"], scores["base"], scores["policy"])
    counts: dict[str, Any] = {"n": len(rows)}
    for side in ("base", "policy"):
        known = [row[f"{side}_score"] for row in rows if row[f"{side}_score"] is not None]
        counts |= {f"{side}_judged": len(known), f"{side}_total_score": sum(known)}
    return Rows(rows, counts)


@stage(EVALUATION, version="1", shards="prompts", rows="prompts")
def evaluate_by_verdicts(
    ctx: Context, *, prompts: Artifact, base: Artifact, policy: Artifact, verdicts: Artifact
) -> Rows:
    """In: PROMPTS, COMPLETIONS of base and policy, VERDICTS on them, the policy's left. Out:
    EVALUATION without scores; what has no verdict decides nothing, a tie."""
    asked = ctx.table(prompts)
    answers = [_by_prompt(ctx.table(artifact), "completion") for artifact in (base, policy)]
    said = _by_prompt(ctx.table(verdicts), "outcome")
    unknown: dict[str, float | None] = dict.fromkeys(answers[0])
    rows = judged_rows(asked, answers[0], answers[1], unknown, unknown)
    for row in rows:
        outcome = said[row["prompt_id"]]
        row["outcome"] = 0.5 if outcome is None else outcome
    counts: dict[str, Any] = {"n": len(rows)}
    counts["unjudged"] = sum(said[row["prompt_id"]] is None for row in rows)
    return Rows(rows, counts)


def label_precision(preferences: pa.Table, score: Any) -> dict[str, Any]:
    """Share of pairs whose order the judge confirms, in all and per dataset; its ties do not."""
    confirmed: dict[str, list[bool]] = defaultdict(list)
    for row in preferences.to_pylist():
        better = score(row["messages"], row["chosen"]) > score(row["messages"], row["rejected"])
        confirmed[row["dataset"]].append(better)
    everything = [value for values in confirmed.values() for value in values]
    return {
        "precision": sum(everything) / len(everything) if everything else None,
        "by_dataset": {name: sum(v) / len(v) for name, v in sorted(confirmed.items())},
        "pairs": len(everything),
    }


@stage("precision", version="1")
def precision(ctx: Context, *, preferences: Artifact) -> dict[str, Any]:
    """In: PREFERENCES. Out: precision.json, the oracle's opinion of the labels."""
    from models.world.judges import oracle

    result = label_precision(ctx.table(preferences), oracle())
    (ctx.out / "precision.json").write_text(json.dumps(result, sort_keys=True))
    return result


@stage("drift", version="3", model=True)
def drift(
    ctx: Context,
    *,
    prompts: Artifact,
    completions: Artifact,
    policy: Model,
    base: Model,
) -> dict[str, Any]:
    """In: PROMPTS, COMPLETIONS of the policy, which may be the base itself. Out: drift.json (KL to
    base in nats per completion, perplexity under the base per token, lengths, variety)."""
    from models.logps import sequence_logps

    messages = _by_prompt(ctx.table(prompts), "messages")
    table = ctx.table(completions)
    written = as_sampled(table, "completion", "token_ids")
    items = [
        (messages[owner], completion)
        for owner, completion in zip(table["prompt_id"].to_pylist(), written, strict=True)
    ]
    under_base, tokens = sequence_logps(ctx.path(base), items, runtime=ctx.runtime)
    under_policy = under_base
    if ctx.path(policy) != ctx.path(base):
        under_policy, _ = sequence_logps(ctx.path(policy), items, runtime=ctx.runtime)
    result = {
        "kl_to_base": kl_estimate(under_policy, under_base),
        "perplexity": perplexity(under_base, tokens),
        "mean_tokens": sum(table["n_tokens"].to_pylist()) / len(table),
        "distinct_2": distinct_2(table["completion"].to_pylist()),
    }
    (ctx.out / "drift.json").write_text(json.dumps(result, sort_keys=True))
    return result
