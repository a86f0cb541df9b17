"""Encode: a text encoder gives every text its vector, shard by shard."""

import numpy as np
import pyarrow as pa

from data.schemas import VECTORS
from data.store.artifacts import Artifact
from tasks.stage import Context, Model, Rows, stage


@stage(VECTORS, version="1", model="loaded", shards="texts", rows="texts")
def encode(ctx: Context, *, encoder: Model, texts: Artifact, prompt: str) -> Rows:
    """In: TEXTS. Out: VECTORS, one row per text, of `prompt` and the text.

    A teacher's are the artifact that all its students share, whatever they are and however they
    learn: encoder, prompt and texts are all its key.
    """
    from models.encoders.loading import encode, load_encoder

    model = ctx.once("encoder", lambda: load_encoder(ctx.path(encoder), ctx.runtime))
    table = ctx.table(texts)
    found = encode(model, table["text"].to_pylist(), prompt, ctx.runtime, ctx.on_progress)
    offsets = np.arange(len(found) + 1, dtype=np.int32) * found.shape[1]
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(found.ravel()))
    made = pa.table([table["text_id"], lists], schema=VECTORS)
    return Rows(made, {"encoded": len(table)})
