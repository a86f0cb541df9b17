"""Generation engines behind one interface: vLLM, transformers, an OpenAI-compatible server."""

from pathlib import Path

from data.errors import InputError
from data.recipes.recipe import ALONE, ParallelConfig, RuntimeConfig
from models import devices
from models.checkpoints import count_parameters
from models.engine_choice import choose
from models.engines.base import Engine

__all__ = ["Engine", "open_engine"]


def open_engine(
    name: str,
    model_dir: Path,
    runtime: RuntimeConfig,
    max_model_len: int,
    seed: int,
    parallel: ParallelConfig = ALONE,
    adapters: int = 0,
) -> Engine:
    """A running engine that serves the model; "auto" is settled by its size and the device.

    `max_model_len` is the longest prompt plus completion in tokens; only vLLM is `parallel`, and
    has room for `adapters` of this rank.

    Raises:
        InputError: the engine is not installed, or there is no memory for it.
        UnservableError: it cannot run this model.
    """
    name, _ = choose(name, runtime, lambda: count_parameters(model_dir))
    if name == "vllm":
        return _vllm(model_dir, runtime, max_model_len, seed, parallel, adapters)
    if name == "transformers":
        from models.engines.transformers import TransformersEngine

        return TransformersEngine(model_dir, runtime, max_model_len)
    if name == "openai":
        from models.engines.openai import OpenAIEngine

        return OpenAIEngine(model_dir, runtime, max_model_len)
    raise InputError(f"generate.engine: no engine '{name}'; use auto, vllm, transformers or openai")


def _vllm(
    model_dir: Path, runtime: RuntimeConfig, max_model_len: int, seed: int,
    parallel: ParallelConfig, adapters: int,
) -> Engine:  # fmt: skip
    from models.engines.side_by_side import SideBySide
    from models.engines.vllm import VllmEngine

    if parallel.data == 1:
        return VllmEngine(model_dir, runtime, max_model_len, seed, parallel, adapters=adapters)
    gpus, each = devices.usable_gpus(), parallel.of_an_engine
    engines: list[Engine] = []
    try:
        for number in range(parallel.data):
            own = gpus[number * each : (number + 1) * each]
            settings = (runtime, max_model_len, seed, parallel, own, adapters)
            engines.append(VllmEngine(model_dir, *settings))
    except BaseException:
        for engine in engines:
            engine.close()
        raise
    return SideBySide(engines)
