"""Image networks learn: a stand-in for a teacher from captions, students from what it gives."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data.errors import CardinalityError
from data.images import classes_of, to_learn
from data.readers.retrieval import text_id
from data.recipes.images import (
    AlignConfig,
    ContrastiveTeacher,
    DistilConfig,
    ImageBackbone,
    PretrainConfig,
)
from data.recipes.recipe import Schedule
from data.store.artifacts import TABLE, Artifact
from tasks.images import captions_of
from tasks.stage import Context, Model, stage


@stage("tower", version="1", model=True, rows="images")
def contrast(
    ctx: Context,
    *,
    images: Artifact,
    captions: Artifact,
    vectors: Artifact,
    caption: str,
    config: ContrastiveTeacher,
    seed: int,
) -> dict[str, Any]:
    """In: IMAGE_PROMPTS, TEXTS of their captions and the frozen encoder's VECTORS of these. Out: an
    image network that gives an image the vector of its caption."""
    from models.vision.learning import Task
    from models.vision.towers import begin, save_tower

    table, ids = ctx.table(images), ctx.table(vectors)["text_id"].to_pylist()
    if ids != ctx.table(captions)["text_id"].to_pylist():
        raise CardinalityError("contrast: vectors of other captions than these")
    places = {one: place for place, one in enumerate(ids)}
    said = tuple(places[text_id(text)] for text in captions_of(table, caption))
    task = Task(
        kind="captions",
        scale=1 / config.temperature,
        images=_file(ctx, images),
        vectors=_file(ctx, vectors),
        captions=said,
    )
    with TemporaryDirectory() as folder:
        save_tower(begin(config.backbone, config.size, None, seed), Path(folder))
        return _trained(ctx, Path(folder), list(range(len(table))), task, config, seed)


@stage("tower", version="1", model=True)
def start_backbone(
    ctx: Context, *, own: Model | None, backbone: ImageBackbone, size: int, seed: int
) -> dict[str, Any]:
    """In: the user's image model, where that is the backbone. Out: it, with nothing on it."""
    from models.vision.towers import begin, parameters, save_tower

    tower = begin(backbone, size, ctx.path(own) if own else None, seed)
    save_tower(tower, ctx.out)
    return {"parameters": parameters(tower)}


@stage("tower", version="1", model=True)
def copy_teacher(ctx: Context, *, teacher: Model) -> dict[str, Any]:
    """Out: the teacher's image encoder, to be trained in its turn (VL2V-SD)."""
    from models.vision.teachers import own_tower
    from models.vision.towers import parameters, save_tower

    tower = own_tower(ctx.path(teacher), ctx.runtime)
    save_tower(tower, ctx.out)
    return {"parameters": parameters(tower)}


@stage("tower", version="1", model=True, rows="images")
def pretrain_backbone(
    ctx: Context,
    *,
    student: Model,
    images: Artifact,
    target: str,
    held_out: float,
    config: PretrainConfig,
    seed: int,
) -> dict[str, Any]:
    """In: a backbone, IMAGE_PROMPTS. Out: the same once it tells by how much images of the source
    domains are turned (RotNet, Gidaris et al. 2018): no label, and nothing of the target."""
    from models.vision.learning import Task

    task = Task(kind="turns", images=_file(ctx, images))
    rows = to_learn(ctx.table(images), target, held_out)
    return _trained(ctx, ctx.path(student), rows, task, config, seed)


@stage("tower", version="1", model=True, rows="images")
def learn_vectors(
    ctx: Context,
    *,
    student: Model,
    images: Artifact,
    vectors: Artifact,
    prototypes: Artifact,
    target: str,
    held_out: float,
    trains: str,
    weight: float,
    config: AlignConfig | DistilConfig,
    seed: int,
) -> dict[str, Any]:
    """In: IMAGE_PROMPTS, the teacher's IMAGE_VECTORS, VECTORS of the classes. Out: the student,
    whose "projection", "backbone" or "all" has learned both, by VL2V's loss of lambda `weight`."""
    from models.vision.learning import Task

    files = _of_teacher(ctx, images, vectors, prototypes, kind="vectors")
    task = Task.model_validate(files | {"trains": trains, "weight": weight})
    rows = to_learn(ctx.table(images), target, held_out)
    return _trained(ctx, ctx.path(student), rows, task, config, seed)


@stage("tower", version="1", model=True, rows="images")
def learn_classes(
    ctx: Context,
    *,
    student: Model,
    images: Artifact,
    target: str,
    held_out: float,
    config: DistilConfig,
    seed: int,
) -> dict[str, Any]:
    """In: IMAGE_PROMPTS. Out: the student with a head of classes, by the labels alone (ERM)."""
    from models.vision.learning import Task

    task = Task(kind="labels", images=_file(ctx, images))
    rows = to_learn(ctx.table(images), target, held_out)
    return _trained(ctx, ctx.path(student), rows, task, config, seed)


@stage("tower", version="1", model=True, rows="images")
def learn_logits(
    ctx: Context,
    *,
    student: Model,
    images: Artifact,
    vectors: Artifact,
    prototypes: Artifact,
    target: str,
    held_out: float,
    labels: float,
    scale: float,
    config: DistilConfig,
    seed: int,
) -> dict[str, Any]:
    """In: as `learn_vectors`. Out: the student with a head of classes, by labels and by what the
    teacher holds for likely: the softmax of its cosines times `scale`."""
    from models.vision.learning import Task

    files = _of_teacher(ctx, images, vectors, prototypes, kind="logits")
    task = Task.model_validate(files | {"weight": labels, "scale": scale})
    rows = to_learn(ctx.table(images), target, held_out)
    return _trained(ctx, ctx.path(student), rows, task, config, seed)


def _of_teacher(
    ctx: Context, images: Artifact, vectors: Artifact, prototypes: Artifact, kind: str
) -> dict[str, Any]:
    """Fields of a Task. Raises CardinalityError for vectors of other images or classes."""
    table = ctx.table(images)
    if table["prompt_id"] != ctx.table(vectors)["prompt_id"]:
        raise CardinalityError(f"{kind}: vectors of other images than these")
    if classes_of(table) != ctx.table(prototypes)["text_id"].to_pylist():
        raise CardinalityError(f"{kind}: prototypes of other classes than the images'")
    files = {"images": images, "vectors": vectors, "prototypes": prototypes}
    return {"kind": kind} | {name: _file(ctx, one) for name, one in files.items()}


def _trained(
    ctx: Context, start: Any, rows: list[int], task: Any, config: Schedule, seed: int
) -> dict[str, Any]:
    from models.vision.learning import train_tower

    return train_tower(
        ctx.out,
        tower=start,
        rows=rows,
        task=task,
        config=config,
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )


def _file(ctx: Context, table: Artifact) -> str:
    return str(ctx.path(table) / TABLE)
