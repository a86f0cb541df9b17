"""A training of an image network: on a teacher's vectors, on labels, on turned images, on captions.

One trainer for all: a row is an image of a table, what it is to give is looked up by the row.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import Trainer, TrainingArguments, set_seed

from data.errors import InputError
from data.image_schemas import IMAGE_PROMPTS
from data.images import classes_of
from data.recipes.config import Config
from data.recipes.recipe import RuntimeConfig, Schedule
from data.retrieval import matrix
from data.store.digests import file_digest
from data.tables import read_table
from models.batching import LengthGroups, Parts, Row
from models.silence import quiet
from models.training.launch import trained
from models.training.trackers import Tracking
from models.training.trainers import OnProgress, PartsTrainer, arguments
from models.training.work import Work
from models.vision.losses import contrastive, to_distribution, to_vectors
from models.vision.pixels import TURN, chances, changed, read_pixels
from models.vision.towers import Tower, load_tower, parameters, save_tower

TURNS = ("0", "90", "180", "270")  # degrees
Wanted = dict[str, torch.Tensor]


class Task(Config):
    """What a training asks of a network; files by their paths."""

    kind: Literal["vectors", "labels", "logits", "turns", "captions"]
    trains: Literal["all", "backbone", "projection"] = "all"
    weight: float = 0.5  # lambda of "vectors"; of "logits" that of the labels
    scale: float = 1.0  # of the teacher's cosines, for "logits"; of "captions" 1 / temperature
    images: str = ""  # IMAGE_PROMPTS
    vectors: str | None = None  # IMAGE_VECTORS of these, row by row; of "captions" VECTORS
    prototypes: str | None = None  # VECTORS, one of each class
    captions: tuple[int, ...] = ()  # of every image, the row of its caption's vector


@quiet()
def train_tower(
    out: Path,
    *,
    tower: Path,
    rows: list[int],
    task: Task,
    config: Schedule,
    runtime: RuntimeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
    checkpoints: Path | None = None,
    tracking: Tracking | None = None,
) -> dict[str, Any]:
    """Train the network in `tower` on these rows of `task.images` and save it in `out`.

    Returns steps, losses and counts. Raises InputError where there is nothing to learn or vectors
    have other dimensions; TrainingError for a loss that is not finite.
    """
    if not rows:
        raise InputError("images: no image is left to learn from; name more, or fewer targets")
    files = [one for one in (task.images, task.vectors, task.prototypes) if one]
    content = {"files": [file_digest(one) for one in files]}
    said = task.model_dump(mode="json", exclude={"images", "vectors", "prototypes"})
    job = Work(
        trainer_of,
        [{"row": row} for row in rows],
        config,
        runtime,
        seed,
        {"tower": tower, "task": task},
        content | said,
        checkpoints,
        tracking,
    )
    trainer, meta = trained(job, out, on_progress, whole=task.kind == "captions")
    model: Any = trainer.model
    learnt = model.bare() if task.kind == "turns" else model
    save_tower(learnt, out)
    return {**meta, "images": len(rows), "parameters": parameters(learnt)}


def trainer_of(
    out: Path,
    rows: list[Row],
    *,
    tower: Path,
    task: Task,
    config: Schedule,
    runtime: RuntimeConfig,
    seed: int,
) -> "_Trainer":
    """A trainer over the rows, by what a process of its own can read."""
    set_seed(seed)
    images = read_table(task.images, IMAGE_PROMPTS)
    model, wanted = load_tower(tower), wanted_of(task, images)
    model = _with_ends(model, task, wanted, images, seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = task.trains == "all" or name.startswith(task.trains)
    said = arguments(out, len(rows), config, runtime, seed)
    del said["max_length"]  # TRL's
    said["gradient_checkpointing"] = False  # image networks of this size need none
    sampler = LengthGroups([0] * len(rows), config.batch_size, seed)
    numbers = [row["row"] for row in rows]
    files = images["image"].take(numbers).to_pylist()
    wanted = {name: one[numbers] for name, one in wanted.items()}
    found = read_pixels(files, model.shape.size)
    collate = Collator(found, numbers, wanted, sampler, task.kind == "turns", seed)
    part = 0 if task.kind == "captions" else runtime.train_micro_batch
    trainer = _Trainer(
        model=model,
        args=TrainingArguments(**said),
        data_collator=Parts(collate, part, lambda row: 1),
        train_dataset=Dataset.from_list(rows),
    )
    trainer._metrics = {"train": {}}
    trainer.task, trainer.sampler = task, sampler
    return trainer


def wanted_of(task: Task, images: pa.Table) -> Wanted:
    """What every image of the table is to give, by name, each (n, ...)."""
    places = {name: place for place, name in enumerate(classes_of(images))}
    labels = torch.tensor([places[name] for name in images["label"].to_pylist()])
    if task.kind == "turns":
        return {}
    if task.kind == "labels":
        return {"label": labels}
    if task.kind == "captions":
        caption = torch.tensor(task.captions)
        return {"caption": caption, "text": _vectors(task.vectors)[caption]}
    teacher, texts = _vectors(task.vectors), _vectors(task.prototypes)
    if task.kind == "vectors":
        return {"image": teacher, "text": texts[labels]}
    cosines = F.normalize(teacher, dim=-1) @ F.normalize(texts, dim=-1).T
    return {"label": labels, "teacher": task.scale * cosines}


def _vectors(path: str | None) -> torch.Tensor:
    assert path is not None
    return torch.from_numpy(np.array(matrix(read_table(path)["vector"])))


def _with_ends(model: Tower, task: Task, wanted: Wanted, images: pa.Table, seed: int) -> Tower:
    """The network with the projection or the head that it is to learn, if it has none.

    Raises:
        InputError: it has vectors of other dimensions than the teacher's.
    """
    if task.kind == "turns":
        return model.with_head(TURNS, seed)
    if task.kind in ("labels", "logits"):
        classes = classes_of(images)
        return model if list(model.shape.classes) == classes else model.with_head(classes, seed)
    dimensions = wanted["text"].shape[1]
    if model.shape.dimensions == 0 and model.shape.kind != "clip":
        return model.with_projection(dimensions, seed)
    if model.given != dimensions:
        raise InputError(
            f"the student has {model.given} dimensions and the teacher's vectors {dimensions}; "
            "both must have as many"
        )
    return model


class _Trainer(PartsTrainer, Trainer):
    task: Task

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        task = self.task
        found = model(inputs["pixels"], classify="label" in inputs).float()
        match task.kind:
            case "vectors":
                return to_vectors(found, inputs["image"], inputs["text"], task.weight)
            case "captions":
                return contrastive(found, inputs["text"], inputs["caption"], 1 / task.scale)
            case "logits":
                return to_distribution(found, inputs["teacher"], inputs["label"], task.weight)
        return F.cross_entropy(found, inputs["label"])


class Collator:
    """The images of a batch, changed at random, and what they are to give."""

    def __init__(
        self,
        pixels: torch.Tensor,
        numbers: list[int],
        wanted: Wanted,
        sampler: LengthGroups,
        turns: bool,
        seed: int,
    ) -> None:
        """
        Args:
            pixels: Of the images that are learned, uint8 (n, 3, S, S).
            numbers: Their rows in the table of images, by which a batch names them.
            wanted: What each of them is to give, (n, ...).
            turns: They are turned too, and that is the label.
        """
        self._pixels, self._places = pixels, {row: place for place, row in enumerate(numbers)}
        self._wanted, self._sampler, self._turns, self._seed = wanted, sampler, turns, seed
        self._drawn = -1, torch.zeros(0)

    def __call__(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        places = torch.tensor([self._places[row["row"]] for row in rows])
        by = self._chances()[places]
        found = changed(self._pixels[places].float().div(255), by)
        if not self._turns:
            return {"pixels": found} | {name: one[places] for name, one in self._wanted.items()}
        turns = (by[:, TURN] * len(TURNS)).long()
        turned = [torch.rot90(one, int(k), (1, 2)) for one, k in zip(found, turns, strict=True)]
        return {"pixels": torch.stack(turned), "label": turns}

    def _chances(self) -> torch.Tensor:
        """Those of the epoch: which, the sampler is told, also where a training goes on."""
        epoch = self._sampler.epoch
        if self._drawn[0] != epoch:
            self._drawn = epoch, chances(self._seed, epoch, len(self._pixels))
        return self._drawn[1]
