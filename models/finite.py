"""Whether the numbers in a model's files, read without mapping them, and its rewards are numbers.

Who cuts a file that is mapped ends the process that reads it, without a word (SIGBUS).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from data.errors import InputError, TrainingError
from models.checkpoints import weight_files

# Values that a module computes itself, which older files hold.
COMPUTED = ("inv_freq", "masked_bias", "position_ids", "num_batches_tracked")
_BLOCK = 2**26  # bytes in memory at a time, or one row


def check_finite(model_dir: Path, field: str, unread: set[str], dtype: torch.dtype | None) -> None:
    """InputError for a NaN or an infinity in a tensor that is read.

    Weights of a model that is not quantised have 16 bits or more, and lie within the range of
    `dtype`, with which they will be loaded; of a quantised one `dtype` is None.
    """
    for file in weight_files(model_dir, field):
        try:
            with safe_open(file, framework="pt", backend="pread") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    if name not in unread:
                        for block in _blocks(tensors, name):
                            _check_block(block, f"{field}: '{file}': the tensor {name}", dtype)
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{field}: '{file}' was cut off while it was read, or is damaged ({error}); "
                "copy or save the model again"
            ) from error


def _blocks(tensors: Any, name: str) -> Iterator[torch.Tensor]:
    """The tensor in parts, by its first dimension."""
    part = tensors.get_slice(name)
    shape = part.get_shape()
    if not shape or 0 in shape:
        yield tensors.get_tensor(name)
        return
    row = part[0:1]
    rows = max(1, _BLOCK // (row.numel() * row.element_size()))
    for start in range(0, shape[0], rows):
        yield part[start : min(start + rows, shape[0])]


def _check_block(block: torch.Tensor, where: str, dtype: torch.dtype | None) -> None:
    wanted = None if where.endswith(COMPUTED) else dtype
    number = block.is_floating_point() and block.element_size() > 1
    if wanted is not None and not number:
        raise InputError(
            f"{where} is {block.dtype}, and config.json has no quantization_config to read it by; "
            "save the model as bfloat16"
        )
    if not is_finite(block):
        raise InputError(
            f"{where} holds a NaN or an infinity; it was trained to pieces or is damaged: "
            "use another checkpoint"
        )
    if wanted is not None and number and not is_finite(block.to(wanted)):
        kind = str(wanted).removeprefix("torch.")
        raise InputError(
            f"{where} holds a value of {block.abs().max().item():g}, {kind} ends at "
            f"{torch.finfo(wanted).max:g}; set runtime.dtype to bfloat16 or float32"
        )


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no value is NaN or infinite, without a copy."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    if tensor.element_size() == 1:  # eight bits have few operations
        tensor = tensor.float()
    return all(bool(torch.isfinite(end)) for end in torch.aminmax(tensor.detach()))


def finite_rewards(rewards: np.ndarray) -> np.ndarray:
    """The rewards as they are. Raises TrainingError if one is NaN or infinite."""
    broken = int((~np.isfinite(rewards)).sum())
    if broken:
        raise TrainingError(
            f"{broken} of {len(rewards)} rewards are not finite; try runtime.dtype=float32 or "
            "check the reward model"
        )
    return rewards
