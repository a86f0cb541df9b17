"""LoRA: how it is put on a model, and how it ends up in a plain model directory."""

import json
from pathlib import Path
from typing import Any

from peft import LoraConfig
from transformers import PreTrainedModel

from data.recipe import AdapterConfig


def policy_adapter(adapter: AdapterConfig) -> LoraConfig:
    """PEFT's configuration for a causal language model."""
    return LoraConfig(task_type="CAUSAL_LM", **_sizes(adapter))


def reward_adapter(adapter: AdapterConfig, model: PreTrainedModel) -> LoraConfig:
    """PEFT's configuration for a sequence classifier.

    Whatever lies outside the backbone is the head: trained whole, and saved with the adapter.
    """
    heads = [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]
    return LoraConfig(
        task_type="SEQ_CLS",
        modules_to_save=heads,
        **_sizes(adapter),
    )


def _sizes(adapter: AdapterConfig) -> dict[str, Any]:
    return {
        "r": adapter.r,
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        "target_modules": adapter.target_modules,
    }


def save_and_merge(model: Any, out: Path) -> PreTrainedModel:
    """Save a PEFT model's adapter in `out/adapter`; the plain model with the adapter merged in."""
    model.save_pretrained(out / "adapter")
    (out / "adapter" / "README.md").unlink(missing_ok=True)
    # PEFT writes where the base lies on this machine; the artifact's key has it by content.
    path = out / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text()) | {"base_model_name_or_path": None}
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # a set in PEFT: its order differs between processes
    path.write_text(json.dumps(config, indent=2, sort_keys=True))
    merged: PreTrainedModel = model.merge_and_unload()
    return merged
