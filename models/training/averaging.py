"""A moving average of policies, as a reference that follows them slowly."""

from pathlib import Path
from typing import Any

import torch

from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer
from models.hardware import stored_dtype
from models.loading import load_policy
from models.training.trainers import save_model


@torch.no_grad()
def average_models(
    out: Path, *, average: Path, policy: Path, decay: float, runtime: RuntimeConfig
) -> dict[str, Any]:
    """Save decay * average + (1 - decay) * policy, parameter by parameter, in float32.

    Raises ValueError if the two do not have the same parameters.
    """
    models = [
        load_policy(path, torch.float32, runtime.trust_remote_code) for path in (average, policy)
    ]
    old, new = (dict(model.named_parameters()) for model in models)
    if {n: p.shape for n, p in old.items()} != {n: p.shape for n, p in new.items()}:
        raise ValueError("policies of different shapes cannot be averaged")
    for name, parameter in old.items():
        parameter.lerp_(new[name], 1 - decay)
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    save_model(models[0], tokenizer, out, stored_dtype(policy, runtime), like=policy)
    return {"parameters": sum(parameter.numel() for parameter in old.values())}
