"""The generation engine of a run: started once, handed new weights whenever the policy changes."""

from pathlib import Path
from typing import TYPE_CHECKING

from data.recipe import RuntimeConfig

if TYPE_CHECKING:
    from models.engines.base import Engine


class EnginePool:
    """Holds at most one engine. Starting vLLM takes longer than a small round: keep it."""

    def __init__(self, name: str, runtime: RuntimeConfig, max_model_len: int, seed: int) -> None:
        self.name = name
        self._runtime = runtime
        self._max_model_len = max_model_len
        self._seed = seed
        self._engine: Engine | None = None
        self._serving: Path | None = None

    def serve(self, model: Path) -> "Engine":
        """The engine, with the weights of `model` loaded."""
        if self._engine is None:
            from models.engines import open_engine

            self._engine = open_engine(
                self.name, model, self._runtime, self._max_model_len, self._seed
            )
        elif self._serving != model:
            self._engine.load(model)
        self._serving = model
        return self._engine

    def release(self) -> None:
        """Give the GPU's memory back for the next stage; the engine wakes with fresh weights."""
        if self._engine is not None:
            self._engine.sleep()
            self._serving = None

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
            self._serving = None
