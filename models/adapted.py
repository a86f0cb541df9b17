"""A policy as what it was trained from: a base, and the LoRA adapters of its trainings.

vLLM serves such a policy without its merged weights: the base stays where it is, and requests name
an adapter (multi-LoRA serving; Sheng et al. 2023, "S-LoRA", arXiv 2311.03285).
"""

import json
from pathlib import Path
from typing import NamedTuple

from models.checkpoints import weight_shapes

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM 0.32 has room for
FOLDER = "adapter"  # of a policy's artifact, in which a training leaves it


class Adapted(NamedTuple):
    """Adapters were trained one upon the other, each on what the last had left."""

    base: Path
    digest: str  # of the base
    folders: tuple[Path, ...]  # of the adapters, the first training's first

    @property
    def rank(self) -> int:
        """Of all adapters as one: that of their sum."""
        configs = (json.loads((one / "adapter_config.json").read_text()) for one in self.folders)
        return sum(int(config["r"]) for config in configs)


def modules_of(model_dir: Path) -> list[str]:
    """Names of the modules in the layers that an adapter may be on: those with a weight matrix.

    The output layer is none of them, as PEFT's all-linear has it. vLLM would put one on it unasked,
    which on a CPU multiplies every step's logits, and fails where log-probabilities of prompts are
    asked for (0.32).
    """
    names = [name.split(".") for name, shape in weight_shapes(model_dir).items() if len(shape) > 1]
    inner = [parts for parts in names if any(part.isdigit() for part in parts)]
    return sorted({parts[-2] for parts in inner if parts[-1] == "weight"})


def room_for(rank: int) -> int:
    """The rank that vLLM is started with, so that it serves adapters of up to `rank`, or as much
    as it can."""
    return next((one for one in RANKS if one >= rank), RANKS[-1])
