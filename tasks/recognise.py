"""Recognise: the classes that students and their teacher take images for."""

import numpy as np
import pyarrow as pa

from data.errors import CardinalityError
from data.image_schemas import RECOGNISED
from data.images import classes_of, to_measure
from data.retrieval import Vectors, cut, matrix
from data.store.artifacts import Artifact
from tasks.stage import Context, Model, Rows, stage


@stage(RECOGNISED, version="1", model=True, rows="images")
def recognise(
    ctx: Context,
    *,
    student: Model,
    images: Artifact,
    prototypes: Artifact,
    target: str,
    held_out: float,
) -> Rows:
    """In: IMAGE_PROMPTS, VECTORS of the classes. Out: RECOGNISED, all of the target domain and what
    is held out of the others: by the student's head where it has one, else by the class whose
    vector is nearest, argmax cos (VL2V's prediction)."""
    from models.vision.towers import load_tower, seen

    table, tower = ctx.table(images), load_tower(ctx.path(student))
    places = to_measure(table, target, held_out)
    files = table["image"].take([row for row, _ in places]).to_pylist()
    classify = tower.head is not None
    found = seen(tower, files, ctx.runtime, classify).numpy()
    names = list(tower.shape.classes) if classify else classes_of(table)
    best = found.argmax(axis=1) if classify else _nearest(found, ctx, prototypes, names)
    return _rows(table, places, [names[place] for place in best])


@stage(RECOGNISED, version="1", rows="images")
def recognise_by_teacher(
    ctx: Context,
    *,
    images: Artifact,
    vectors: Artifact,
    prototypes: Artifact,
    target: str,
    held_out: float,
) -> Rows:
    """In: IMAGE_PROMPTS, the teacher's IMAGE_VECTORS, VECTORS of the classes. Out: RECOGNISED, as
    `recognise`: what the teacher itself says, without any training (zero-shot)."""
    table, own = ctx.table(images), ctx.table(vectors)
    if table["prompt_id"] != own["prompt_id"]:
        raise CardinalityError("recognise: vectors of other images than these")
    places, names = to_measure(table, target, held_out), classes_of(table)
    found = matrix(own["vector"])[[row for row, _ in places]]
    best = _nearest(found, ctx, prototypes, names)
    return _rows(table, places, [names[place] for place in best])


def _nearest(found: Vectors, ctx: Context, prototypes: Artifact, names: list[str]) -> list[int]:
    """Of every row the place of the class whose vector has the greatest cosine with it; of equal
    ones the first."""
    table = ctx.table(prototypes)
    if table["text_id"].to_pylist() != names:
        raise CardinalityError("recognise: prototypes of other classes than the images'")
    texts = matrix(table["vector"])
    scores = cut(found, found.shape[1]) @ cut(texts, texts.shape[1]).T
    return [int(place) for place in np.argmax(scores, axis=1)]


def _rows(images: pa.Table, places: list[tuple[int, str]], predicted: list[str]) -> Rows:
    chosen = images.select(["prompt_id", "dataset", "label"]).take([row for row, _ in places])
    parts = pa.array([part for _, part in places])
    columns = [chosen["prompt_id"], chosen["dataset"], parts, chosen["label"], pa.array(predicted)]
    right = sum(a == b for a, b in zip(chosen["label"].to_pylist(), predicted, strict=True))
    made = pa.table(columns, schema=RECOGNISED)
    return Rows(made, {"images": len(places), "right": right})
