"""See: what a vision-language teacher makes of images and texts, kept for all its students."""

import numpy as np
import pyarrow as pa

from data.image_schemas import IMAGE_VECTORS
from data.retrieval import Vectors
from data.schemas import VECTORS
from data.store.artifacts import Artifact
from tasks.stage import Context, Model, Rows, stage


@stage(IMAGE_VECTORS, version="1", model="loaded", shards="images", rows="images")
def see(ctx: Context, *, teacher: Model, images: Artifact) -> Rows:
    """In: IMAGE_PROMPTS. Out: IMAGE_VECTORS, one row per image, as it is and not changed at random.

    Teacher and images are all the key: every method, target and seed shares them.
    """
    from models.vision.teachers import image_vectors, load_teacher

    model = ctx.once("teacher", lambda: load_teacher(ctx.path(teacher), ctx.runtime))
    table = ctx.table(images)
    found = image_vectors(model, table["image"].to_pylist(), ctx.on_progress)
    return Rows(_rows(table["prompt_id"], found, IMAGE_VECTORS), {"seen": len(table)})


@stage(VECTORS, version="1", model=True, rows="texts")
def read_texts(ctx: Context, *, teacher: Model, texts: Artifact) -> Rows:
    """In: TEXTS. Out: VECTORS, by the teacher's own text encoder."""
    from models.vision.teachers import load_teacher, text_vectors

    table = ctx.table(texts)
    model = load_teacher(ctx.path(teacher), ctx.runtime)
    found = text_vectors(model, table["text"].to_pylist())
    return Rows(_rows(table["text_id"], found, VECTORS), {"read": len(table)})


def _rows(ids: pa.ChunkedArray, found: Vectors, schema: pa.Schema) -> pa.Table:
    offsets = np.arange(len(found) + 1, dtype=np.int32) * found.shape[1]
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(found.ravel()))
    return pa.table([ids, lists], schema=schema)
