"""Images from a recipe's files, and the texts that stand for their classes."""

from typing import Any

import numpy as np
import pyarrow as pa

from data.errors import CardinalityError
from data.image_schemas import IMAGE_PROMPTS
from data.images import classes_of
from data.readers.images import Broken, read_images
from data.readers.retrieval import text_id
from data.recipes.images import CLASS, DOMAIN
from data.retrieval import cut, matrix
from data.schemas import TEXTS, VECTORS
from data.store.artifacts import Artifact
from tasks.running.outside import External
from tasks.stage import Context, Rows, stage


@stage(IMAGE_PROMPTS, version="1", rows="source")
def import_images(ctx: Context, *, source: External, split: str | None, broken: Broken) -> Rows:
    """In: a file or folder of images. Out: IMAGE_PROMPTS, every image once, each readable."""
    return Rows(*read_images(source.path, split, broken))


@stage(TEXTS, version="1")
def class_texts(ctx: Context, *, images: Artifact, templates: list[str]) -> Rows:
    """In: IMAGE_PROMPTS. Out: TEXTS, a text of every class by every template; `dataset` is the
    class."""
    rows = [
        {"text_id": text_id(f"{number} {name}"), "text": filled(template, name), "dataset": name}
        for name in classes_of(ctx.table(images))
        for number, template in enumerate(templates)
    ]
    return Rows(rows, {"classes": len(rows) // len(templates)})


@stage(TEXTS, version="1")
def caption_texts(ctx: Context, *, images: Artifact, caption: str) -> Rows:
    """In: IMAGE_PROMPTS. Out: TEXTS, what is said of them, each text once."""
    said = captions_of(ctx.table(images), caption)
    texts = {text_id(text): text for text in said}
    rows = [{"text_id": key, "text": text, "dataset": ""} for key, text in sorted(texts.items())]
    return Rows(rows, {"images": len(said)})


@stage(VECTORS, version="1")
def prototypes(ctx: Context, *, texts: Artifact, vectors: Artifact) -> Rows:
    """In: TEXTS of classes and their VECTORS. Out: VECTORS, one of each class, by its name: the
    mean over templates of vectors of length 1, at length 1 again."""
    table, found = ctx.table(texts), ctx.table(vectors)
    if table["text_id"] != found["text_id"]:
        raise CardinalityError("prototypes: vectors of other texts than these")
    whole = matrix(found["vector"])
    unit, classes = cut(whole, whole.shape[1]), np.array(table["dataset"].to_pylist())
    names = sorted(set(classes.tolist()))
    means = np.stack([unit[classes == name].mean(axis=0) for name in names])
    rows = [
        {"text_id": name, "vector": row.tolist()}
        for name, row in zip(names, cut(means, means.shape[1]), strict=True)
    ]
    return Rows(rows, {"classes": len(names)})


def filled(template: str, label: str, domain: str = "") -> str:
    """A template with class and domain in it, blanks for underscores as VL2V has them."""
    text = template.replace(CLASS, label.replace("_", " "))
    return text.replace(DOMAIN, domain.replace("_", " "))


def captions_of(images: pa.Table, caption: str) -> list[str]:
    """What is said of every image of IMAGE_PROMPTS."""
    pairs: Any = zip(images["label"].to_pylist(), images["dataset"].to_pylist(), strict=True)
    return [filled(caption, label, domain) for label, domain in pairs]
