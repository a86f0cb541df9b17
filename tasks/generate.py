"""Generate: the policy answers every prompt K times."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import CardinalityError
from data.recipes.recipe import DecodingConfig
from data.schemas import COMPLETIONS
from data.store.artifacts import Artifact
from data.tables import write_table
from tasks.stage import Context, Model, stage


def prompt_seed(seed: int, stream: str, prompt_id: str) -> int:
    """Seed of one prompt's samples: independent of its neighbours, its order and its shard."""
    text = f"{seed}/{stream}/{prompt_id}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") & 0x7FFFFFFF


@stage("completions", version="3", shards="prompts", retries=1)
def generate(
    out: Path,
    context: Context,
    *,
    policy: Model,
    prompts: Artifact,
    k: int,
    decoding: DecodingConfig,
    engine: str,
    stream: str,
    seed: int,
) -> dict[str, Any]:
    """In: PROMPTS. Out: COMPLETIONS, K rows per prompt.

    `engine` is the engine's name and version with the machine's numerics: a different engine is a
    different experiment. `stream` separates the samples of one prompt asked in different places.
    """
    from models.chat import load_tokenizer, render_prompt
    from models.engines.base import Sampling

    model = context.path(policy)
    table = context.table(prompts)
    tokenizer = load_tokenizer(model, context.runtime.trust_remote_code)
    rendered = [render_prompt(tokenizer, row) for row in table["messages"].to_pylist()]
    ids = table["prompt_id"].to_pylist()
    outputs = context.loaded.engine(model, policy.digest).generate(
        rendered,
        [prompt_seed(seed, stream, prompt_id) for prompt_id in ids],
        Sampling(k, decoding.temperature, decoding.top_p, decoding.max_tokens),
        context.on_progress,
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
    write_table(out / "data.parquet", pa.Table.from_pylist(rows, COMPLETIONS), COMPLETIONS)
    reasons = Counter(row["finish_reason"] for row in rows)
    return {
        "prompts": len(ids),
        "generated": len(rows),
        "truncated": reasons["length"],
        "tokens": sum(row["n_tokens"] for row in rows),
    }
