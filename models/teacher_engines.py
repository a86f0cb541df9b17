"""A teacher by the engine that a recipe asks for: transformers; vLLM, which is faster on a GPU and
knows no temperature; or a server that has loaded it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from data.recipes.recipe import RuntimeConfig
from models.hardware import device_of
from models.served import Served
from models.teacher import ChildTeacher, Ids, Items, Targets, Teacher
from models.training.trainers import OnProgress


class Reader(Protocol):
    """A teacher, however it is run."""

    def targets(
        self,
        items: Items,
        k: int,
        temperature: float,
        at: Sequence[Ids] | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Targets | None]: ...

    def close(self) -> None: ...


def open_teacher(
    name: str,
    model_dir: Path,
    runtime: RuntimeConfig,
    max_length: int,
    k: int,
    served: Served | None = None,
) -> Reader:
    """The model, loaded by "vllm" or "transformers"; not in this process where it is on a GPU. Or
    as it is `served`, with nothing loaded but a tokenizer.

    Raises InputError where vLLM cannot run it, or has no memory for it.
    """
    if served:
        from models.served_teacher import ServedTeacher

        return ServedTeacher(model_dir, runtime, max_length, k, served)
    if name == "vllm":
        from models.vllm_teacher import VllmTeacher

        return VllmTeacher(model_dir, runtime, max_length, k)
    kind = ChildTeacher if device_of(runtime).type == "cuda" else Teacher
    return kind(model_dir, runtime)
