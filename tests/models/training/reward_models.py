"""Trainings of tiny reward models, as their tests begin."""

from pathlib import Path
from typing import Any

from data.recipes.recipe import AdapterConfig, RuntimeConfig, TrainConfig
from models.chat import load_tokenizer
from models.training.reward_training import train_reward_model
from tests.models.training.training_rows import preferences

RUNTIME = RuntimeConfig(device="cpu")
PAIRS = preferences(21)
ADAPTER = AdapterConfig(r=4, alpha=8)


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"learning_rate": 1e-3, "batch_size": 8, **changes})


def train(out: Path, model: Any, **kwargs: Any) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    tokenizer = kwargs.pop("tokenizer", None) or load_tokenizer(model)
    arguments = {"preferences": PAIRS, "config": config(), "runtime": RUNTIME, "seed": 0}
    return train_reward_model(out, model=model, tokenizer=tokenizer, **{**arguments, **kwargs})
