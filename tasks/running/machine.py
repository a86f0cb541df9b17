"""What this machine is, found without importing torch or vLLM."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from data.recipes.recipe import RuntimeConfig
from models.devices import device, dtype, numerics
from models.engine_python import environment, vllm_version

__all__ = ["device", "dtype", "engine_identity", "numerics"]


def engine_identity(name: str, numerics: str, runtime: RuntimeConfig) -> str:
    """Name and version of the engine with the machine's numerics: part of every generation's key,
    because another version or precision samples other completions.

    Of vLLM in an environment of its own it is all that this holds of what decides a result. Of a
    server it is what the server says of itself, as this machine computes nothing.

    Raises:
        InputError: the server does not answer, or that environment cannot be used.
    """
    if name == "openai":
        from models.engines.openai_server import identity

        return f"openai {identity()}"
    if name == "vllm":
        there = environment(runtime)
        with suppress(PackageNotFoundError):  # vLLM pins its torch
            return f"vllm {there or vllm_version(runtime)} {numerics}"
        return f"vllm {numerics}"
    # transformers runs on any.
    return f"{name} {version('transformers')} torch {version('torch')} {numerics}"
