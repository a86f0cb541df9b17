"""Regress: a student encoder begins, learns the teacher's vectors, and is packed beside it."""

from typing import Any

from data.errors import CardinalityError
from data.recipes.encoders import Backbone, EncoderStudent
from data.store.artifacts import TABLE, Artifact
from tasks.stage import Context, Model, stage


@stage("encoder", version="1", model=True)
def start_encoder(
    ctx: Context,
    *,
    teacher: Model,
    own: Model | None,
    backbone: Backbone,
    max_length: int,
    query_prompt: str,
    document_prompt: str,
    seed: int,
) -> dict[str, Any]:
    """In: the teacher, and the user's encoder where that is the backbone. Out: the student that is
    to learn, in the teacher's dimensions."""
    from models.encoders.starting import start_student

    return start_student(
        ctx.out,
        teacher=ctx.path(teacher),
        own=ctx.path(own) if own else None,
        backbone=backbone,
        max_length=max_length,
        prompts={"query": query_prompt, "document": document_prompt},
        runtime=ctx.runtime,
        seed=seed,
    )


@stage("encoder", version="1", model=True, rows="texts")
def regress(
    ctx: Context,
    *,
    student: Model,
    texts: list[Artifact],
    vectors: list[Artifact],
    prompts: list[str],
    config: EncoderStudent,
    seed: int,
) -> dict[str, Any]:
    """In: TEXTS and the teacher's VECTORS of each, and what stands before the texts of each. Out:
    the trained student."""
    from models.encoders.regression import train_on_vectors

    learned: list[str] = []
    for part, targets, prompt in zip(texts, vectors, prompts, strict=True):
        table = ctx.table(part)
        if table["text_id"] != ctx.table(targets)["text_id"]:
            raise CardinalityError("regress: vectors of other texts than these")
        learned += [prompt + text for text in table["text"].to_pylist()]
    return train_on_vectors(
        ctx.out,
        student=ctx.path(student),
        texts=learned,
        vectors=[ctx.path(one) / TABLE for one in vectors],
        config=config,
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )


@stage("router", version="1", model=True)
def route(
    ctx: Context, *, student: Model, teacher: Model, query_prompt: str, document_prompt: str
) -> dict[str, Any]:
    """Out: a folder of sentence-transformers that gives queries the student's vectors and documents
    the teacher's."""
    from models.encoders.router import save_router

    save_router(
        ctx.out,
        student=ctx.path(student),
        teacher=ctx.path(teacher),
        prompts={"query": query_prompt, "document": document_prompt},
        runtime=ctx.runtime,
    )
    return {}
