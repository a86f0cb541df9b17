"""Divergence: how far a policy is from its teacher on held-out prompts, exactly."""

import json
from typing import Any

import numpy as np

from data.statistics import dataset_mean
from data.store.artifacts import Artifact
from data.tables import as_sampled, mapping
from tasks.stage import Context, Model, stage


@stage("divergence", version="1", model=True)
def divergence(
    ctx: Context,
    *,
    teachers: list[Model],
    policy: Model,
    prompts: list[Artifact],
    completions: list[Artifact],
    temperature: float,
) -> dict[str, Any]:
    """In: of every teacher PROMPTS and COMPLETIONS. Out: divergence.json: forward_kl,
    KL(teacher || policy), and reverse_kl, KL(policy || teacher), nats a token: the mean over data
    sets of prompts, of these over their answers, with an interval over prompts; `unread`, answers
    that one of the two cannot read whole."""
    return _measured(ctx, teachers, policy, prompts, completions, temperature, of_answers=False)


@stage("divergence", version="1", model=True)
def sequence_divergence(
    ctx: Context, *, teacher: Model, policy: Model, prompts: Artifact, completions: Artifact
) -> dict[str, Any]:
    """In: PROMPTS, COMPLETIONS that the teacher has sampled at temperature 1. Out: divergence.json
    as that of `divergence`, in nats an answer: the sums over an answer's tokens of the divergences
    over the vocabulary. The mean of forward_kl's is KL_seq(teacher || policy) of whole answers, up
    to the longest that was sampled; reverse_kl is of the same answers, not of the policy's own."""
    given = [teacher], policy, [prompts], [completions]
    return _measured(ctx, *given, temperature=1.0, of_answers=True)


def _measured(
    ctx: Context,
    teachers: list[Model],
    policy: Model,
    prompts: list[Artifact],
    completions: list[Artifact],
    temperature: float,
    of_answers: bool,
) -> dict[str, Any]:
    from models.divergence import token_divergences

    owners: list[str] = []
    datasets: dict[str, str] = {}
    parts = []
    for teacher, asked, spoken in zip(teachers, prompts, completions, strict=True):
        messages = mapping(ctx.table(asked), "prompt_id", "messages")
        datasets |= mapping(ctx.table(asked), "prompt_id", "dataset")
        table = ctx.table(spoken)
        of_teacher = table["prompt_id"].to_pylist()
        answers = as_sampled(table, "completion", "token_ids")
        parts.append(
            token_divergences(
                ctx.path(teacher),
                ctx.path(policy),
                [(messages[p], text) for p, text in zip(of_teacher, answers, strict=True)],
                temperature=temperature,
                runtime=ctx.runtime,
                on_progress=ctx.on_progress,
                of_answers=of_answers,
            )
        )
        owners += of_teacher
    found = np.concatenate(parts, axis=1)
    by_prompt: dict[str, list[int]] = {}
    for place in np.flatnonzero(np.isfinite(found[0])).tolist():
        by_prompt.setdefault(owners[place], []).append(place)
    groups = [datasets[prompt] for prompt in by_prompt]
    result: dict[str, Any] = {"unread": int(np.isnan(found[0]).sum())}
    for name, values in zip(("forward_kl", "reverse_kl"), found, strict=True):
        means = [float(values[places].mean()) for places in by_prompt.values()]
        result[name] = dataset_mean(means, groups) if means else None
    (ctx.out / "divergence.json").write_text(json.dumps(result, sort_keys=True))
    return result
