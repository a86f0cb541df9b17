"""The heavy models of a run that outlive one stage: the generation engine and a model that reads.

An engine is started once and handed new weights when the policy changes: starting vLLM takes
longer than a small round. A reward model, or a language model that teaches, stays for all shards of
a stage. On a GPU they live in child processes, and at most one of them holds the GPU's memory. Each
is known by the digest of what it has loaded: other bytes in the same folder are another model.
"""

import json
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from data.recipes.recipe import ALONE, ParallelConfig, RuntimeConfig
from tasks.running import machine
from tasks.running.effort import core_seconds

if TYPE_CHECKING:
    from models.adapted import Adapted
    from models.engines.base import Adapting, Engine
    from models.rewards import Scorer
    from models.served import Served
    from models.teacher_engines import Reader


def shape_of(model: Path) -> dict[str, Any]:
    """What weights must share to be handed over: the configuration, less where it came from."""
    config: dict[str, Any] = json.loads((model / "config.json").read_text())
    ignored = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache")
    return {name: value for name, value in config.items() if name not in ignored}


class LoadedModels:
    """At most one engine, and one reward model or teacher."""

    def __init__(
        self,
        engine: str,
        runtime: RuntimeConfig,
        max_model_len: int = 0,
        seed: int = 0,
        parallel: ParallelConfig = ALONE,
        adapters: int = 0,
    ) -> None:
        """`adapters`: the rank of those that vLLM has room for; 0: it is handed whole weights."""
        self.engine_name = engine
        self._runtime = runtime
        self._max_model_len = max_model_len
        self._seed = seed
        self._parallel, self._adapters = parallel, adapters
        # What starts of the engine have taken so far: seconds, and those of all cores.
        self.starting = self.starting_cores = 0.0
        self._engine: Engine | None = None
        self._serving: tuple[Path, str] | None = None  # folder and digest
        self._scorer: Scorer | None = None
        self._scoring: tuple[Path, str, int] | None = None
        self._teacher: Reader | None = None
        self._teaching: tuple[str, Path, str, int, Served | None] | None = None

    @property
    def serving(self) -> Path | None:
        """The folder whose weights the engine has."""
        return self._serving[0] if self._serving else None

    def engine(self, model: Path, digest: str, adapted: "Adapted | None" = None) -> "Engine":
        """The engine, with the weights of `model` loaded, which are of this digest; where it has
        room for the adapters that lead to them, with these on the weights of their base."""
        adapters = self._room_for(adapted)
        if adapters is None:
            return self._whole(model, digest)
        engine = self._whole(adapters.base, adapters.digest)
        cast("Adapting", engine).adapt(adapters.folders, model)
        return engine

    def _room_for(self, adapted: "Adapted | None") -> "Adapted | None":
        served = self._adapters if self.engine_name == "vllm" else 0
        return adapted if adapted and 0 < served >= adapted.rank else None

    def _whole(self, model: Path, digest: str) -> "Engine":
        """The engine with these weights, and no adapter that was not on them before."""
        self._drop_readers()
        if self._engine and self._serving and not self._follows(model, digest):
            self.close()
        if self._engine is None:
            from models.engines import open_engine

            began, busy = monotonic(), core_seconds(books=False)
            self._engine = open_engine(
                self.engine_name,
                model,
                self._runtime,
                self._max_model_len,
                self._seed,
                self._parallel,
                self._adapters,
            )
            self.starting += monotonic() - began
            self.starting_cores += core_seconds(books=False) - busy
        elif self._serving != (model, digest):
            self._engine.load(model)
        self._serving = model, digest
        return self._engine

    def _follows(self, model: Path, digest: str) -> bool:
        """Whether the engine serves the model, or can be handed its weights.

        They must have the same shape, and the folder of those before must hold them still.
        """
        assert self._serving is not None
        served, known = self._serving
        if served == model:
            return known == digest
        return shape_of(served) == shape_of(model)

    def scorer(self, model: Path, digest: str, max_length: int) -> "Scorer":
        """The reward model of this digest, loaded."""
        if self._scorer is None or self._scoring != (model, digest, max_length):
            from models.rewards import open_scorer

            self.release()
            device = machine.device(self._runtime)
            self._scorer = open_scorer(model, self._runtime, max_length, device=device)
            self._scoring = (model, digest, max_length)
        return self._scorer

    def teacher(
        self, engine: str, model: Path, digest: str, k: int, served: "Served | None" = None
    ) -> "Reader":
        """The language model of this digest, loaded to say the `k` most likely tokens; or the one
        that is `served`, beside which the engine may keep its memory."""
        wanted = engine, model, digest, k, served
        if self._teacher is None or self._teaching != wanted:
            from models.teacher_engines import open_teacher

            self._drop_readers() if served else self.release()
            self._teacher = open_teacher(
                engine, model, self._runtime, self._max_model_len, k, served
            )
            self._teaching = wanted
        return self._teacher

    def release(self) -> None:
        """Give the GPU's memory back for what comes next; the engine wakes with fresh weights."""
        self._drop_readers()
        if self._engine is not None:
            self._engine.sleep()

    def close(self) -> None:
        self._drop_readers()
        if self._engine is not None:
            self._engine.close()
            self._engine = None
            self._serving = None

    def _drop_readers(self) -> None:
        if self._scorer is not None:
            self._scorer.close()
            self._scorer = None
        if self._teacher is not None:
            self._teacher.close()
            self._teacher = None
