"""Watch: what the teacher-hacking monitor reads of a round, from what the round has made anyway.

Nothing is loaded and nothing asked: the log of the training, and the rewards that teacher and
student gave to the dev answers of base and policy. `data.monitor` says what becomes of it.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import pyarrow as pa

from data.convergence import log_grid
from data.length_controlled import length_controlled
from data.monitor import EQUAL_LENGTH, STUDENT, TEACHER
from data.statistics import Z_95, dataset_mean, outcome
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.stage import Context, stage

SAMPLES = 200  # bootstrap resamples of a standard error


@stage("monitor", version="1", at_best={"steps": 0, "margin": None, "grid": {}, "raters": {}})
def watch(
    ctx: Context,
    *,
    policy: Artifact,
    beta: float | None,
    prompts: Artifact,
    completions: list[Artifact],
    teacher: list[Artifact],
    student: list[Artifact],
) -> dict[str, Any]:
    """In: a trained policy; of its base and of it, in this order, COMPLETIONS of the dev PROMPTS
    and SCORES of teacher and student, as far as there are any. Out: monitor.json.

    Args:
        beta: Scale of the implicit rewards in the training's log; None: it was on no pairs.

    Returns: steps of the training; grid: negative log-likelihood of the chosen answers, nats each,
    by step; margin: nats between chosen and rejected answers in the last epoch; raters: win rate
    over the base on dev prompts, its standard error, and the number of prompts.
    """
    result = {"steps": policy.meta.get("steps", 0), "margin": None, "grid": {}, "raters": {}}
    if beta:
        result |= of_training(policy.meta, beta)
    if completions:
        datasets = mapping(ctx.table(prompts), "prompt_id", "dataset")
        tables = [ctx.table(one) for one in completions]
        if teacher:
            scores = [ctx.table(one) for one in teacher]
            result["raters"] |= {
                TEACHER: rated(datasets, wins(*scores)),
                **at_equal_length(datasets, wins(*scores), longer(*tables)),
            }
        if student:
            result["raters"][STUDENT] = rated(datasets, wins(*map(ctx.table, student)))
    (ctx.out / "monitor.json").write_text(json.dumps(result, sort_keys=True))
    return result


def of_training(meta: Mapping[str, Any], beta: float) -> dict[str, Any]:
    """Margin and likelihood from the log of a training on pairs, as far as it holds them.

    Args:
        meta: What `models.training.dpo.train_dpo` returned. Its rewards are beta times
            log pi(y|x) - log pi_ref(y|x).
    """
    metrics, history = meta.get("metrics", {}), meta.get("history", {})
    found: dict[str, Any] = {}
    if "rewards/margins" in metrics:
        found["margin"] = metrics["rewards/margins"] / beta
    if "logps/chosen" in metrics and history.get("step"):
        chosen = [reward / beta for reward in history["rewards/chosen"]]
        # Under the reference, so that batches of long and short answers do not differ.
        start = metrics["rewards/chosen"] / beta - metrics["logps/chosen"]
        points = log_grid(history["step"])
        values = [start - fmean(chosen[place] for place in point) for point in points]
        if min(values) > 0:
            steps = [history["step"][point[-1]] for point in points]
            found["grid"] = {"step": steps, "value": values}
    return found


def wins(base: pa.Table, policy: pa.Table) -> dict[str, float]:
    """By prompt, the share of comparisons of two answers that the policy's wins, ties half."""
    rewards = []
    for table in (base, policy):
        by_prompt = defaultdict(list)
        for row in table.select(["prompt_id", "reward"]).to_pylist():
            by_prompt[row["prompt_id"]].append(row["reward"])
        rewards.append(by_prompt)
    old, new = rewards
    return {
        prompt: fmean(outcome(a, b) for a in old[prompt] for b in new[prompt]) for prompt in old
    }


def longer(base: pa.Table, policy: pa.Table) -> dict[str, float]:
    """By prompt, tokens that the policy's answers have more than the base's, on average."""
    means = []
    for table in (base, policy):
        found = table.group_by("prompt_id").aggregate([("n_tokens", "mean")])
        means.append(mapping(found, "prompt_id", "n_tokens_mean"))
    return {prompt: means[1][prompt] - means[0][prompt] for prompt in means[0]}


def rated(datasets: Mapping[str, str], won: Mapping[str, float]) -> dict[str, Any]:
    """Win rate, the mean over data sets, with its standard error over prompts."""
    prompts = sorted(won)
    groups = [datasets[prompt] for prompt in prompts]
    found = dataset_mean([won[prompt] for prompt in prompts], groups, SAMPLES)
    return _with_error(found["mean"], found["ci95"], len(prompts))


def at_equal_length(
    datasets: Mapping[str, str], won: Mapping[str, float], lengths: Mapping[str, float]
) -> dict[str, Any]:
    """The win rate at equal length, as a rater; empty where length cannot be told from quality."""
    prompts = sorted(won)
    found = length_controlled(
        [won[prompt] for prompt in prompts],
        [lengths[prompt] for prompt in prompts],
        [datasets[prompt] for prompt in prompts],
        SAMPLES,
    )
    if found is None:
        return {}
    return {EQUAL_LENGTH: _with_error(found["win_rate"], found["ci95"], len(prompts))}


def _with_error(rate: float, ends: Sequence[float], n: int) -> dict[str, Any]:
    # Outcomes that are all equal tell nothing of their spread: half an outcome is the least.
    error = max((ends[1] - ends[0]) / (2 * Z_95), 0.5 / n)
    return {"win_rate": rate, "error": error, "n": n}
