"""An encoder learns a teacher's vectors, which are read from tables (LEAF, arXiv 2509.12539).

    L = 1/B sum_i |y_i - t_i|^2

over the B texts of a batch, y_i the student's vector, t_i the teacher's. Of vectors of length 1 it
is 2 - 2 cos. sentence-transformers' MSELoss is its mean over dimensions too: L / d.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainingArguments, set_seed

from data.errors import InputError
from data.recipes.encoders import EncoderStudent
from data.recipes.recipe import RuntimeConfig
from data.retrieval import Vectors, matrix
from data.schemas import VECTORS
from data.table_file import TableFile
from models.batching import LengthGroups, Parts, Row
from models.encoders.loading import dimensions, load_encoder, save_encoder
from models.silence import quiet
from models.training.launch import trained
from models.training.trackers import Tracking
from models.training.trainers import OnProgress, PartsTrainer, arguments, remove_dropout
from models.training.work import Work


def squared_error(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean over rows of the squared distance of vectors (B, d), a scalar."""
    return (found - wanted).square().sum(dim=-1).mean()


def rate(step: int, *, steps: int, cycles: int, warm_up: int) -> float:
    """Share of the peak learning rate at a step: it rises within `warm_up` steps and falls linearly
    to 0, `cycles` times."""
    length = math.ceil(steps / cycles)
    at = step % length
    warm = min(warm_up, length - 1)
    if at < warm:
        return (at + 1) / (warm + 1)
    return max(0.0, (length - at) / (length - warm))


class _Trainer(PartsTrainer, Trainer):
    cycles: int
    warm_up: int

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        texts = {name: value for name, value in inputs.items() if name != "wanted"}
        found = model(texts)["sentence_embedding"]
        return squared_error(found.float(), inputs["wanted"])

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """One cycle has the schedule that the recipe names, several are linear."""
        if self.cycles == 1:
            return super().create_scheduler(num_training_steps, optimizer)
        share = partial(rate, steps=num_training_steps, cycles=self.cycles, warm_up=self.warm_up)
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, share)
        return self.lr_scheduler


class _Collator:
    """The texts of a batch as the student reads them, with the teacher's vectors of them."""

    def __init__(self, model: SentenceTransformer, wanted: Vectors) -> None:
        self._model, self._wanted = model, wanted

    def __call__(self, rows: list[Row]) -> dict[str, Any]:
        read: dict[str, Any] = dict(self._model.preprocess([row["text"] for row in rows]))
        wanted = torch.from_numpy(self._wanted[[row["row"] for row in rows]])
        return {k: v for k, v in read.items() if isinstance(v, torch.Tensor)} | {"wanted": wanted}


@quiet()
def train_on_vectors(
    out: Path,
    *,
    student: Path,
    texts: Sequence[str],
    vectors: Sequence[Path],
    config: EncoderStudent,
    runtime: RuntimeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
    checkpoints: Path | None = None,
    tracking: Tracking | None = None,
) -> dict[str, Any]:
    """Train the encoder in `student` on VECTORS in these files, row by row those of `texts`, and
    save it in `out`.

    Args:
        texts: With the prompts before them.

    Returns steps, losses and counts. Raises InputError where there is nothing to learn or the
    vectors have other dimensions than the student's; TrainingError for a loss that is not finite.
    """
    rows = [{"text": text, "row": number} for number, text in enumerate(texts)]
    if not rows:
        raise InputError("texts: there is none to learn from; name files that hold some")
    content = hashlib.sha256(read_vectors(vectors).tobytes()).hexdigest()
    given = {"student": student, "vectors": [str(one) for one in vectors]}
    job = Work(
        trainer_of, rows, config, runtime, seed, given, {"vectors": content}, checkpoints, tracking
    )
    trainer, meta = trained(job, out, on_progress)
    model: Any = trainer.model
    save_encoder(model, out, runtime)
    return {**meta, "texts": len(rows)}


def read_vectors(paths: Sequence[Path | str]) -> Vectors:
    """The vectors of all files, in order, (n, d)."""
    return np.concatenate([matrix(TableFile(one, VECTORS).column("vector")) for one in paths])


def trainer_of(
    out: Path,
    rows: list[Row],
    *,
    student: Path,
    vectors: list[str],
    config: EncoderStudent,
    runtime: RuntimeConfig,
    seed: int,
) -> _Trainer:
    """A trainer over the rows, by what a process of its own can read."""
    set_seed(seed)
    model: Any = load_encoder(student, runtime, on_cpu=True)
    remove_dropout(model)
    wanted = read_vectors(vectors)
    if wanted.shape[1] != dimensions(model):
        raise InputError(
            f"the student has {dimensions(model)} dimensions and the teacher's vectors "
            f"{wanted.shape[1]}; both must have as many"
        )
    said = arguments(out, len(rows), config, runtime, seed)
    del said["max_length"]  # TRL's
    said["gradient_checkpointing"] = False  # encoders are small
    trainer = _Trainer(
        model=model,
        args=TrainingArguments(**said),
        data_collator=Parts(_Collator(model, wanted), runtime.train_micro_batch, lambda row: 1),
        train_dataset=Dataset.from_list(rows),
    )
    trainer._metrics = {"train": {}}
    trainer.cycles, trainer.warm_up = config.cycles, int(said["warmup_steps"]) // config.cycles
    # By characters: all that batches ask of lengths is an order.
    trainer.sampler = LengthGroups([len(row["text"]) for row in rows], config.batch_size, seed)
    return trainer
