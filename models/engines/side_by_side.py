"""How GPUs share the work of an engine: within it, and engines side by side.

vLLM divides a model among GPUs itself. Its data parallelism is for its server, and its `LLM`
refuses it; so engines of the same weights, each on GPUs of its own, share the prompts of a call.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, cast

from data.recipes.recipe import ParallelConfig
from models.engines.base import Adapting, Engine, OnProgress, Output, Sampling

_POLL = 0.2  # seconds


class SideBySide:
    """What one engine does, by several: a prompt's completions follow from its own seed."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = list(engines)
        self.name, self.version = self._engines[0].name, self._engines[0].version

    def load(self, model_dir: Path) -> None:
        self._all([partial(engine.load, model_dir) for engine in self._engines])

    def adapt(self, folders: Sequence[Path], merged: Path) -> None:
        engines = (cast(Adapting, engine) for engine in self._engines)
        self._all([partial(engine.adapt, folders, merged) for engine in engines])

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        on_progress: OnProgress | None = None,
    ) -> list[list[Output]]:
        count = len(self._engines)
        done = [0] * count

        def share(number: int) -> list[list[Output]]:
            def report(finished: int, _: int) -> None:
                done[number] = finished

            own = slice(number, None, count)
            engine = self._engines[number]
            return engine.generate(prompts[own], seeds[own], sampling, report)

        def tell() -> None:
            if on_progress:  # in this thread: whoever is told may know no other
                on_progress(sum(done), len(prompts))

        busy = range(min(count, len(prompts)))
        shares = self._all([partial(share, number) for number in busy], tell)
        outputs: list[list[Output]] = [[] for _ in prompts]
        for number, share_of in enumerate(shares):
            outputs[number::count] = share_of
        return outputs

    def logprobs(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        return self._engines[0].logprobs(prompts, completions)

    def sleep(self) -> None:
        for engine in self._engines:
            engine.sleep()

    def close(self) -> None:
        for engine in self._engines:
            engine.close()

    def _all(
        self, calls: list[Callable[[], Any]], tell: Callable[[], None] = lambda: None
    ) -> list[Any]:
        """What the calls give, made at the same time; when one fails, or this is interrupted, all
        engines are closed, so that none is waited for."""
        with ThreadPoolExecutor(len(self._engines)) as threads:
            waiting: list[Future] = [threads.submit(call) for call in calls]
            try:
                left: set[Future] = set(waiting)
                while left:
                    done, left = wait(left, timeout=_POLL, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    tell()
                return [future.result() for future in waiting]
            except BaseException:
                self.close()
                raise


def parallel_arguments(parallel: ParallelConfig) -> dict[str, Any]:
    """vLLM's arguments of an engine that shares its model among GPUs."""
    sizes = {
        "tensor_parallel_size": parallel.tensor,
        "pipeline_parallel_size": parallel.pipeline,
    }
    return {name: size for name, size in sizes.items() if size > 1}
