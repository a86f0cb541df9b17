"""A student learns from pairs and from a teacher that has been aligned: SFT, DCKD, ADPA.

The teacher's part is in TARGETS, which are made before and shared: another weight, or another
clamp, is another training on the same targets.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import InputError
from data.readers.held_out import decontaminated
from data.recipes.advantage import AdpaConfig, DckdConfig, StudentPolicy
from data.recipes.prompts import Decontaminate
from data.schemas import COMPLETIONS, PREFERENCES, PROMPTS
from data.store.artifacts import TABLE, Artifact
from tasks.optimize import CANARIES, check_policy
from tasks.stage import Context, Model, Rows, stage


@stage(
    PREFERENCES,
    version="1",
    rows=lambda inputs: min(inputs["size"], inputs["preferences"].rows or 0),
)
def draw_pairs(
    ctx: Context,
    *,
    preferences: Artifact,
    held_out: list[Artifact],
    rule: Decontaminate,
    size: int,
    seed: int,
) -> Rows:
    """In: PREFERENCES, PROMPTS that are held out. Out: PREFERENCES of at most `size` prompts that
    are not, drawn by the seed; as many pairs of each as there are.

    Counts: pairs, their prompts, those not drawn, and those out by each rule of `decontaminated`.
    Raises InputError where no pair is left.
    """
    table = ctx.table(preferences)
    asked, lost = decontaminated(prompts_in(table), [ctx.table(one) for one in held_out], rule)
    if not len(asked):
        raise InputError(
            "preferences: all their prompts are held out too, or nearly; bring others, or set "
            "prompts.decontaminate to exact"
        )
    order = np.random.default_rng(seed).permutation(len(asked))[:size]
    drawn = asked["prompt_id"].take(pa.array(np.sort(order)))
    table = table.filter(pc.is_in(table["prompt_id"], drawn.combine_chunks()))
    counts = {"pairs": len(table), "prompts": len(drawn), "not_drawn": len(asked) - len(drawn)}
    return Rows(table, counts | lost)


@stage(PROMPTS, version="1", rows="preferences")
def prompts_of(ctx: Context, *, preferences: Artifact) -> Rows:
    """In: PREFERENCES. Out: PROMPTS, those of the pairs."""
    table = prompts_in(ctx.table(preferences))
    return Rows(table, {"prompts": len(table)})


@stage(COMPLETIONS, version="1", rows="preferences")
def answers_of(ctx: Context, *, preferences: Artifact, side: str) -> Rows:
    """In: PREFERENCES. Out: COMPLETIONS, the "chosen" or the "rejected" answers, each once."""
    table = ctx.table(preferences)
    table = table.take(_firsts(table, f"{side}_id"))
    ids = table[f"{side}_token_ids"].combine_chunks()
    prompts, seen = table["prompt_id"].to_pylist(), Counter[str]()
    samples = []
    for name in prompts:
        samples.append(seen[name])
        seen[name] += 1
    made = {
        "completion_id": table[f"{side}_id"],
        "prompt_id": table["prompt_id"],
        "sample": pa.array(samples, pa.int32()),
        "completion": table[side],
        "finish_reason": pa.repeat("stop", len(table)),
        "n_tokens": pc.fill_null(pc.list_value_length(ids), 0),
        "token_ids": ids,
    }
    return Rows(pa.table(made, schema=COMPLETIONS), {"prompts": len(seen)})


@stage("policy", version="1", model=True, rows="preferences")
def dckd(
    ctx: Context,
    *,
    policy: Model,
    preferences: Artifact,
    chosen: Artifact | None,
    rejected: Artifact | None,
    alpha: float,
    temperature: float,
    config: StudentPolicy,
    seed: int,
) -> dict[str, Any]:
    """In: PREFERENCES, TARGETS of the aligned teacher on their answers at this temperature. Out: a
    policy, merged if it was tuned with an adapter.

    Without targets it is fine-tuned on the chosen answers.
    """
    read = [ctx.path(one) / TABLE for one in (chosen, rejected) if one is not None]
    term = DckdConfig(alpha=alpha)
    given = {"targets": read, "term": term, "temperature": temperature}
    return _learned(ctx, policy, preferences, config, seed, given)


@stage("policy", version="1", model=True, rows="preferences")
def adpa(
    ctx: Context,
    *,
    policy: Model,
    preferences: Artifact,
    aligned: Artifact,
    reference: Artifact | None,
    term: AdpaConfig,
    temperature: float,
    config: StudentPolicy,
    seed: int,
) -> dict[str, Any]:
    """In: PREFERENCES, TARGETS of the aligned teacher and of its reference on the policy's answers
    to their prompts at this temperature. Out: a policy, merged if it was tuned with an adapter."""
    references = [] if reference is None else [ctx.path(reference) / TABLE]
    given = {"targets": [ctx.path(aligned) / TABLE], "references": references, "term": term}
    return _learned(ctx, policy, preferences, config, seed, given | {"temperature": temperature})


def _learned(
    ctx: Context,
    policy: Model,
    preferences: Artifact,
    config: StudentPolicy,
    seed: int,
    given: dict[str, Any],
) -> dict[str, Any]:
    """The policy trained on the pairs and checked."""
    from models.training.paired import train_on_pairs

    before: Path = ctx.path(policy)
    pairs = ctx.table(preferences)
    meta, learned = train_on_pairs(
        ctx.out,
        policy=before,
        preferences=pairs,
        config=config,
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
        **given,
    )
    canaries = pairs.filter(pc.is_in(pairs["pair_id"], pa.array(learned))).slice(0, CANARIES)
    return meta | check_policy(ctx.out, before, ctx, canaries, config.max_length)


def prompts_in(table: pa.Table) -> pa.Table:
    """PROMPTS of PREFERENCES, each once."""
    first = table.take(_firsts(table, "prompt_id"))
    return first.select(["prompt_id", "messages", "dataset"])


def _firsts(table: pa.Table, column: str) -> pa.Array:
    """The first row of each value of a column, in order."""
    rows: dict[str, int] = {}
    for row, name in enumerate(table[column].to_pylist()):
        rows.setdefault(name, row)
    return pa.array(list(rows.values()), pa.int64())
