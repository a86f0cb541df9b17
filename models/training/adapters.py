"""LoRA: how it is put on a model, and how it ends up in a plain model directory."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from data.errors import InputError
from data.recipes.recipe import AdapterConfig


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


def join_adapters(folders: list[Path], out: Path) -> None:
    """One adapter that changes a model as these do one after the other, each on the merged last.

    Their ranks add up: for every module A is the A's one below the other, B the scaled B's side by
    side, so that B A is the sum of their products.

    Raises:
        InputError: an adapter holds more than plain LoRA matrices.
    """
    configs = [json.loads((folder / "adapter_config.json").read_text()) for folder in folders]
    tensors = [load_file(folder / "adapter_model.safetensors") for folder in folders]
    names = sorted(tensors[0])
    for folder, config, held in zip(folders, configs, tensors, strict=True):
        plain = not (config.get("use_dora") or config.get("use_rslora") or config["bias"] != "none")
        if not plain or sorted(held) != names or any(".lora_" not in name for name in names):
            raise InputError(f"'{folder}' is no plain LoRA adapter like the others; export merged")
    scales = [config["lora_alpha"] / config["r"] for config in configs]
    joined = {
        name: torch.cat([held[name] for held in tensors], dim=0)
        if ".lora_A" in name
        else torch.cat([s * held[name] for s, held in zip(scales, tensors, strict=True)], dim=1)
        for name in names
    }
    rank = sum(config["r"] for config in configs)
    out.mkdir(parents=True, exist_ok=True)
    save_file(joined, out / "adapter_model.safetensors", metadata={"format": "pt"})
    config = configs[-1] | {"r": rank, "lora_alpha": rank}
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
