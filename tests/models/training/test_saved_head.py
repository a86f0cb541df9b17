"""The head of a reward model, and its chat template, must survive saving."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from data.errors import TrainingError
from data.recipes.recipe import AdapterConfig
from models.chat import load_tokenizer
from models.training import reward_training
from models.training.reward_training import (
    canary_batch,
    canary_scores,
    check_saved,
    tokenise_pairs,
)
from tests.models.training.reward_models import ADAPTER, PAIRS, RUNTIME, train


def _head_name(model_dir: Path) -> str:
    names = load_file(model_dir / "model.safetensors")
    return next(n for n in names if n in ("score.weight", "classifier.weight"))


def _damage(out: Path, how: str) -> None:
    weights = load_file(out / "model.safetensors")
    name = _head_name(out)
    if how == "deleted":
        del weights[name]
    else:
        weights[name] = weights[name] + 0.05 * torch.randn(weights[name].shape)
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["full", "lora"])
@pytest.mark.parametrize("how", ["deleted", "perturbed"])
def test_a_head_that_is_not_in_the_file_fails_the_training(
    tmp_path: Path,
    reward_dir: Path,
    how: str,
    adapter: AdapterConfig | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = reward_training.save_model

    def save_and_damage(model: Any, tokenizer: Any, out: Path, dtype: torch.dtype) -> None:
        save(model, tokenizer, out, dtype)
        _damage(out, how)

    monkeypatch.setattr(reward_training, "save_model", save_and_damage)
    message = "lacks the tensor [sc]" if how == "deleted" else "scores differ by up to"
    with pytest.raises(TrainingError, match=message):
        train(tmp_path / "out", reward_dir, adapter=adapter)


def test_an_adapter_without_the_head_fails_the_training(
    tmp_path: Path, llama_reward_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT #577: the trained head lives beside the adapter and is easily left behind."""
    merge = reward_training.save_and_merge

    def leave_head_behind(model: Any, out: Path) -> Any:
        merged = merge(model, out)
        torch.nn.init.normal_(merged.score.weight)
        return merged

    monkeypatch.setattr(reward_training, "save_and_merge", leave_head_behind)
    with pytest.raises(TrainingError, match="scores differ"):
        train(tmp_path / "out", llama_reward_dir, adapter=ADAPTER)


def test_a_chat_template_that_was_saved_otherwise_fails_the_training(
    tmp_path: Path, reward_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ids of the other canaries were made before saving, so they would not tell."""
    save = reward_training.save_model

    def save_and_change(model: Any, tokenizer: Any, out: Path, dtype: torch.dtype) -> None:
        save(model, tokenizer, out, dtype)
        (out / "chat_template.jinja").write_text("Dear all, " + tokenizer.chat_template)

    monkeypatch.setattr(reward_training, "save_model", save_and_change)
    with pytest.raises(TrainingError, match="renders conversations differently"):
        train(tmp_path / "out", reward_dir)


def test_an_undamaged_model_passes_the_check(reward_dir: Path) -> None:
    tokenizer = load_tokenizer(reward_dir)
    rows, _ = tokenise_pairs(tokenizer, PAIRS, 1024)
    batch = canary_batch(rows, tokenizer)
    model = AutoModelForSequenceClassification.from_pretrained(reward_dir)
    check_saved(reward_dir, batch, canary_scores(model, batch), RUNTIME)
