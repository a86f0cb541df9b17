"""Where a model runs and in which precision: `runtime.device` and `runtime.dtype` resolved."""

from pathlib import Path

import torch
from transformers import AutoConfig

from data.recipes.recipe import RuntimeConfig
from models import devices
from models.silence import quiet

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device_of(runtime: RuntimeConfig) -> torch.device:
    """The accelerator if there is one, unless the recipe says otherwise."""
    return torch.device(devices.device(runtime))


def dtype_of(runtime: RuntimeConfig) -> torch.dtype:
    """bfloat16 on an accelerator, float32 on a CPU, unless the recipe says otherwise."""
    return _DTYPES[devices.dtype(runtime)]


@quiet()
def stored_dtype(model_dir: str | Path, runtime: RuntimeConfig) -> torch.dtype:
    """The precision a model's weights were saved in, by its config.json."""
    config = AutoConfig.from_pretrained(str(model_dir), trust_remote_code=runtime.trust_remote_code)
    return config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32


def training_dtype(stored: torch.dtype, runtime: RuntimeConfig, frozen: bool) -> torch.dtype:
    """Precision to hold weights in while training; the arithmetic is `dtype_of(runtime)`.

    Weights that learn are float32: a step of 1e-6 vanishes in bfloat16. Frozen ones stay as saved.
    """
    return stored if frozen and dtype_of(runtime) != torch.float32 else torch.float32
