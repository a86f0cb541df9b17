"""The work of a call or of one shard: the same in this process and on a worker of the run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from data.files import emptied
from data.store.artifacts import Artifact
from data.store.locks import OnWait
from data.store.store import Store
from models import traits
from tasks.running import machine
from tasks.running.context import Context
from tasks.running.definition import Definition, run_body
from tasks.running.loaded import LoadedModels
from tasks.running.outside import outside, steadily
from tasks.running.workers import Made


@dataclass(frozen=True)
class Work:
    """A stage with the arguments of a call, and the key of what it makes of them."""

    stage: Definition
    inputs: dict[str, Any]
    key: dict[str, Any]

    def made(self, context: Context, on_wait: OnWait | None = None) -> Made:
        """The artifact, of the shard that the context has if it has one."""
        store, kind = context.store, self.stage.kind
        context = replace(context, scratch=store.scratch(kind, self.key))
        made = put(store, kind, self.key, lambda out: self._steadily(out, context), on_wait)
        rmtree(store.scratch(kind, self.key), ignore_errors=True)
        return made

    def _steadily(self, out: Path, context: Context) -> dict[str, Any]:
        read = [*outside(list(self.inputs.values())), *self.stage.code]
        meta: dict[str, Any] = steadily(
            read, context.loaded.close, lambda: self._body(emptied(out), context)
        )
        asks = traits.asks(out)
        return meta | ({"asks": asks} if asks else {})

    def _body(self, out: Path, context: Context) -> dict[str, Any]:
        if not alone(self.stage, context):
            return self.stage.execute(out, context, self.inputs)
        from models.isolation import run_isolated

        context.loaded.release()
        loaded = LoadedModels("none", context.runtime)
        context = replace(context, loaded=loaded, on_progress=None)
        meta: dict[str, Any] = run_isolated(
            run_body, self.stage.place, out, context, self.inputs, device="cuda"
        )
        return meta


def alone(stage: Definition, context: Context) -> bool:
    """Whether the body has the GPU's memory for itself, in a process of its own."""
    return stage.isolated and machine.device(context.runtime) == "cuda"


def put(
    store: Store,
    kind: str,
    key: dict[str, Any],
    body: Callable[[Path], dict[str, Any]],
    on_wait: OnWait | None = None,
    spent: float = 0.0,
) -> Made:
    """`Store.put`, and whether the body ran."""
    ran = []

    def watched(out: Path) -> dict[str, Any]:
        ran.append(True)
        return body(out)

    artifact: Artifact = store.put(kind, key, watched, spent=spent, on_wait=on_wait)
    return Made(artifact, bool(ran))
