"""Generate: the policy answers every prompt K times."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from data.errors import CardinalityError
from data.recipes.recipe import DecodingConfig
from data.schemas import COMPLETIONS
from data.store.artifacts import Artifact
from tasks.stage import Context, Model, Rows, stage


def prompt_seed(seed: int, stream: str, prompt_id: str) -> int:
    """Seed of one prompt's samples: independent of its neighbours, its order and its shard."""
    text = f"{seed}/{stream}/{prompt_id}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") & 0x7FFFFFFF


def _asked_for(inputs: Mapping[str, Any]) -> int:
    return int((inputs["prompts"].rows or 0) * inputs["k"])


@stage(COMPLETIONS, version="3", model="loaded", shards="prompts", rows=_asked_for)
def generate(
    ctx: Context,
    *,
    policy: Model,
    prompts: Artifact,
    k: int,
    decoding: DecodingConfig,
    engine: str,
    stream: str,
    seed: int,
) -> Rows:
    """In: PROMPTS. Out: COMPLETIONS, K rows per prompt.

    `engine` is the engine's name and version with the machine's numerics: a different engine is a
    different experiment. `stream` separates the samples of one prompt asked in different places.
    """
    from models.chat import load_tokenizer, render_prompt
    from models.engines.base import Sampling

    model = ctx.path(policy)
    table = ctx.table(prompts)
    tokenizer = load_tokenizer(model, ctx.runtime.trust_remote_code)
    rendered = [render_prompt(tokenizer, row) for row in table["messages"].to_pylist()]
    ids = table["prompt_id"].to_pylist()
    outputs = ctx.loaded.engine(model, policy.digest, ctx.adapted(policy)).generate(
        rendered,
        [prompt_seed(seed, stream, prompt_id) for prompt_id in ids],
        Sampling(k, decoding.temperature, decoding.top_p, decoding.max_tokens),
        ctx.on_progress,
    )
    rows = [
        {
            "completion_id": f"{prompt_id}/{stream}/{sample}",
            "prompt_id": prompt_id,
            "sample": sample,
            "completion": output.text,
            "finish_reason": output.finish_reason,
            "n_tokens": output.n_tokens,
            "token_ids": output.token_ids,
        }
        for prompt_id, samples in zip(ids, outputs, strict=True)
        for sample, output in enumerate(samples)
    ]
    if len(rows) != k * len(ids):
        raise CardinalityError(f"generate: asked {k} x {len(ids)} completions, got {len(rows)}")
    reasons = Counter(row["finish_reason"] for row in rows)
    counts = {"prompts": len(ids), "generated": len(rows), "truncated": reasons["length"]}
    return Rows(rows, counts | {"tokens": sum(row["n_tokens"] for row in rows)})


@stage(COMPLETIONS, version="1", rows="completions")
def answers_to(ctx: Context, *, prompts: Artifact, completions: Artifact) -> Rows:
    """In: PROMPTS, COMPLETIONS of these and of others. Out: COMPLETIONS of these."""
    table, asked = ctx.table(completions), ctx.table(prompts)["prompt_id"]
    table = table.filter(pc.is_in(table["prompt_id"], asked.combine_chunks()))
    return Rows(table, {"generated": len(table)})
