"""VL2V-ADiP: the vectors of a vision-language teacher in an image classifier (arXiv 2310.08255).

The teacher is asked once for a vector of every image and of every class's name; nothing else of it
is used. Each target domain in turn is left out: a student learns on the others, in stage 1 a
projection on its frozen backbone (align), in stage 2 the backbone (distil), and then names the
classes of the domain that it has not seen by the nearest vector of a name.
"""

import re

from data.recipes.images import AlignConfig, ContrastiveTeacher, DistilConfig, ModelBackbone
from data.store.artifacts import Artifact
from flows.result import Made, Result
from flows.vl2v.recipe import Vl2vRecipe
from flows.vl2v.state import Outcome, Parts
from flows.vl2v.told import told
from tasks.encode import encode
from tasks.image_students import (
    contrast,
    copy_teacher,
    learn_classes,
    learn_logits,
    learn_vectors,
    pretrain_backbone,
    start_backbone,
)
from tasks.images import caption_texts, class_texts, import_images, prototypes
from tasks.recognise import recognise, recognise_by_teacher
from tasks.running.subflow import subflow
from tasks.see import read_texts, see
from tasks.stage import Model, Run


def gather(run: Run, recipe: Vl2vRecipe) -> Parts:
    """Images, the teacher, and all that it is asked."""
    images = import_images.as_("", title="read images")(
        source=run.outside["images.path"], split=recipe.images.split, broken=recipe.images.broken
    )
    teacher, learned = teacher_of(run, recipe)
    texts = class_texts.as_("", title="texts of the classes")(
        images=images, templates=list(recipe.prototypes.templates)
    )
    if isinstance(recipe.teacher, ContrastiveTeacher):
        encoder = run.outside["teacher.text"]
        named = encode.as_("classes", title="encode classes")(
            encoder=encoder, texts=texts, prompt=""
        )
    else:
        named = read_texts.as_("", title="teacher reads classes")(teacher=teacher, texts=texts)
    return Parts(
        images=images,
        teacher=teacher,
        prototypes=prototypes(texts=texts, vectors=named),
        vectors=see.as_("", title="teacher sees images")(teacher=teacher, images=images),
        pretraining=learned,
    )


def teacher_of(run: Run, recipe: Vl2vRecipe) -> tuple[Model, Artifact | None]:
    """The user's, or a stand-in that is trained here, with the images that it has learned."""
    config = recipe.teacher
    if not isinstance(config, ContrastiveTeacher):
        return run.outside["teacher.model"], None
    images = import_images.as_("teacher", title="read the teacher's images")(
        source=run.outside["teacher.images.path"],
        split=config.images.split,
        broken=config.images.broken,
    )
    captions = caption_texts(images=images, caption=config.caption)
    vectors = encode.as_("captions", title="encode captions")(
        encoder=run.outside["teacher.text"], texts=captions, prompt=""
    )
    # Of the first seed for all: a teacher is what is there before anything is tried.
    made = contrast.as_("", title="train the teacher")(
        images=images,
        captions=captions,
        vectors=vectors,
        caption=config.caption,
        config=config,
        seed=0,
    )
    return made, images


def begun(run: Run, recipe: Vl2vRecipe, parts: Parts, target: str) -> Artifact:
    """What a student is before it learns from labels or from the teacher."""
    config = recipe.student
    if recipe.method == "self":
        return copy_teacher.as_("", title="copy the teacher")(teacher=parts.teacher)
    own = isinstance(config.backbone, ModelBackbone)
    start = start_backbone(
        own=run.outside["student.backbone.model"] if own else None,
        backbone=config.backbone,
        size=config.size,
        seed=recipe.seed,
    )
    if not config.pretrain.epochs:
        return start
    return pretrain_backbone(
        student=start,
        images=parts.images,
        target=target,
        held_out=recipe.evaluate.held_out,
        config=config.pretrain,
        seed=recipe.seed,
    )


def learned(
    recipe: Vl2vRecipe, parts: Parts, target: str, student: Artifact
) -> tuple[Artifact, Artifact | None]:
    """The student, and what it was between its two stages where it has two."""
    align, distil = recipe.student.align, recipe.student.distil
    # As often as the two stages see every image together.
    whole = distil.model_copy(update={"epochs": align.epochs + distil.epochs})
    held_out = recipe.evaluate.held_out

    def vectors(of: Artifact, trains: str, by: AlignConfig | DistilConfig, role: str) -> Artifact:
        return learn_vectors.as_(role, title=role)(
            student=of,
            images=parts.images,
            vectors=parts.vectors,
            prototypes=parts.prototypes,
            target=target,
            held_out=held_out,
            trains=trains,
            weight=recipe.mixed,
            config=by,
            seed=recipe.seed,
        )

    if recipe.method == "adip":
        aligned = vectors(student, "projection", align, "align")
        return vectors(aligned, "backbone", distil, "distil"), aligned
    if recipe.method == "erm":
        made = learn_classes(
            student=student,
            images=parts.images,
            target=target,
            held_out=held_out,
            config=whole,
            seed=recipe.seed,
        )
    elif recipe.method == "logits":
        made = learn_logits(
            student=student,
            images=parts.images,
            vectors=parts.vectors,
            prototypes=parts.prototypes,
            target=target,
            held_out=held_out,
            labels=recipe.logits.labels,
            scale=recipe.logits.scale,
            config=whole,
            seed=recipe.seed,
        )
    else:
        made = vectors(student, "all", whole, "learn")
    return made, None


@subflow("vl2v", run_name="{name} / without {target}")
def leave_out(name: str, target: str, *, run: Run, recipe: Vl2vRecipe, parts: Parts) -> Outcome:
    """A student of the other domains, and what it and its teacher make of this one."""
    held_out = recipe.evaluate.held_out
    shown = recognise_by_teacher.as_("", title="teacher recognises", measures=True)(
        images=parts.images,
        vectors=parts.vectors,
        prototypes=parts.prototypes,
        target=target,
        held_out=held_out,
    )
    if recipe.method == "zero_shot":
        return Outcome(target, None, shown, shown)
    student, aligned = learned(recipe, parts, target, begun(run, recipe, parts, target))
    found = recognise.as_("", title="student recognises", measures=True)(
        student=student,
        images=parts.images,
        prototypes=parts.prototypes,
        target=target,
        held_out=held_out,
    )
    return Outcome(target, student, found, shown, aligned)


def link_of(target: str) -> str:
    """What the student of a target is called in the run's folder."""
    return f"student-{re.sub(r'[^A-Za-z0-9._-]+', '-', target)}"


def vl2v(run: Run, recipe: Vl2vRecipe) -> Made:
    """Every target in turn, from the same images and vectors."""
    parts = gather(run, recipe)
    store, done = run.context.store, list[Outcome]()
    run.so_far(lambda: Result(headline="ood_accuracy", measures={}))
    for number, target in enumerate(recipe.targets, start=1):
        run.progress.section(f"Without {target}")
        run.round = number
        done.append(leave_out(recipe.run, target, run=run, recipe=recipe, parts=parts))
        run.so_far(lambda: told(store, recipe, parts, done))

    def made() -> Result:
        result = told(store, recipe, parts, done)
        run.progress.result(result.verdict.line)
        students = {link_of(one.target): one.student for one in done if one.student}
        losses = {one.target: one.student.meta["final_loss"] for one in done if one.student}
        return result.with_models({"prototypes": parts.prototypes} | students, losses)

    return made
