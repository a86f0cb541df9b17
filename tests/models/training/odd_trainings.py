"""Trainings on a machine of another kind, to be imported by the processes that share them."""

import os
from pathlib import Path
from typing import Any

import torch
from accelerate.state import DistributedType, PartialState

from data.recipes.recipe import PolicyConfig, RuntimeConfig
from models.training import dpo as dpo_training
from models.training.trainers import PartsTrainer
from models.training.work import Work
from tests.models.training.training_rows import preferences, reference

# 21 rows are two batches of 8 and one of 5, which does not go round two processes.
PAIRS = preferences(21)
SETTINGS = {"batch_size": 8, "max_length": 96, "epochs": 2, "learning_rate": 1e-3}
DPO = SETTINGS | {"method": "full", "sft_weight": 0.5}


def little_memory(policy: Path, runtime: RuntimeConfig) -> Work:
    """A training for which there is memory for two pairs at a time."""
    return _work(short_trainer, policy, runtime)


def divided(policy: Path, runtime: RuntimeConfig) -> Work:
    """A training whose processes take their CPU for a GPU, so that FSDP divides the model."""
    return _work(fsdp_trainer, policy, runtime)


def _work(make: Any, policy: Path, runtime: RuntimeConfig) -> Work:
    tokenizer = dpo_training.load_tokenizer(policy)
    rows, _ = dpo_training.tokenise_pairs(tokenizer, PAIRS, reference(PAIRS), 96)
    return Work(make, rows, PolicyConfig(**DPO), runtime, 1, {"policy": policy}, {}, None)


class Short(dpo_training._Trainer):
    limit = 2

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        if max(len(part["input_ids"]) for part in inputs["parts"]) > 2 * self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return super().training_step(model, inputs, num_items_in_batch)


def short_trainer(out: Path, rows: Any, **given: Any) -> PartsTrainer:
    trainer = dpo_training.trainer_of(out, rows, **given)
    trainer.__class__ = Short
    return trainer


def fsdp_trainer(out: Path, rows: Any, **given: Any) -> PartsTrainer:
    """accelerate divides no model among CPUs by itself, though PyTorch does."""
    launched = "LOCAL_RANK" in os.environ
    if launched:
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
        PartialState._prepare_backend = _gloo
    trainer = dpo_training.trainer_of(out, rows, **given)
    assert trainer.is_fsdp_enabled is launched
    return trainer


def _gloo(*_: Any) -> tuple[str, DistributedType]:
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    return "gloo", DistributedType.MULTI_GPU
