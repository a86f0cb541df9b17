"""What the body of a stage may use, and the run that stages are called in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from data.errors import InputError
from data.rates import Keeps
from data.recipes.recipe import RuntimeConfig
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import StageRecord
from data.table_file import Sliced
from models.adapted import FOLDER, Adapted
from models.training.trackers import Tracking
from tasks.running import machine
from tasks.running.books import Books
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.running.progress import Progress
from tasks.running.redo import Redo
from tasks.running.shards import Shard
from tasks.running.workers import Workers

Model = Artifact | External
T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What a stage's body may use and what never enters its key."""

    store: Store
    runtime: RuntimeConfig
    loaded: LoadedModels
    folder: Path | None = None  # where the body writes
    on_progress: Callable[[int, int], None] | None = None
    only: Shard | None = None  # the shard at work
    scratch: Path | None = None  # what a killed stage may leave to its next try; named by its key
    tracking: Tracking | None = None  # where a training's curves are drawn
    date: str | None = None  # YYYY-MM-DD, what chat templates print that ask for it; None: today
    # Of policies that an adapter was trained for, by digest: the policy that it was put on.
    parents: dict[str, Model] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """The folder that becomes the artifact; of a table stage nothing but its table."""
        assert self.folder is not None
        return self.folder

    def path(self, model: Model) -> Path:
        """The local directory of an artifact or of a model outside the store."""
        return Path(model.path) if isinstance(model, External) else self.store.path(model)

    def adapted(self, policy: Model) -> Adapted:
        """The policy as the adapters of its trainings on what the first of them began with, as far
        as this run has seen them."""
        folders: list[Path] = []
        while policy.digest in self.parents:
            folders.append(self.path(policy) / FOLDER)
            policy = self.parents[policy.digest]
        return Adapted(self.path(policy), policy.digest, tuple(reversed(folders)))

    def table(self, artifact: Artifact) -> pa.Table:
        """The artifact's table; within a shard only the rows of its prompts."""
        return self.only.table(artifact) if self.only else self.store.table(artifact)

    def open(self, artifact: Artifact) -> Sliced:
        """The same table, of which not more is in memory than its user asks for."""
        return self.only.table(artifact) if self.only else self.store.open(artifact)

    def once(self, what: str, make: Callable[[], T]) -> T:
        """What `make` gives: for all shards of a call the same."""
        return self.only.cut.once(what, make) if self.only else make()

    @property
    def numerics(self) -> str:
        return machine.numerics(self.runtime)


def _ignore(made: Callable[[], Any]) -> None:
    """A run that is only planned has measured nothing."""


@dataclass
class Run:
    """One invocation of a recipe: the context of its stages and the record of what they did."""

    context: Context
    progress: Progress
    engine: str  # name, version and numerics of the generation engine, for keys
    outside: dict[str, External] = field(default_factory=dict)  # by field of the recipe
    records: list[StageRecord] = field(default_factory=list)
    computed: int = 0  # stages whose body ran
    round: int = 0  # the one at work; 0 before the first
    redo: Redo | None = None  # what to make again although it is there
    books: Books = field(default_factory=Books)  # what Prefect is told of it
    ahead: Callable[..., Artifact] | None = None  # answers calls in place of their bodies
    so_far: Callable[[Callable[[], Any]], None] = _ignore  # takes what makes an unfinished result
    workers: Workers | None = None  # who samples, scores and labels; None: this process
    rates: Keeps | None = None  # where is kept what stages have taken
    pilot: bool = False  # it only measures, on a few prompts
    bodies: int = 0  # calls so far, in which a shard counts as one; found ones too
    in_bodies: float = 0.0  # seconds
    cores_in_bodies: float = 0.0  # seconds of all cores

    @contextmanager
    def active(self) -> Iterator["Run"]:
        """Within the block, stages that are called belong to this run."""
        token = _CURRENT.set(self)
        try:
            yield self
        finally:
            _CURRENT.reset(token)

    def close(self) -> None:
        """End what the run has loaded and started."""
        try:
            self.context.loaded.close()
        finally:
            if self.workers:
                self.workers.close()

    def take_records(self) -> list[StageRecord]:
        """The stages recorded since the last call, oldest first."""
        taken, self.records = self.records, []
        return taken


_CURRENT: ContextVar[Run] = ContextVar("run")


def current_run(wanted_by: str) -> Run:
    """The run whose flow is at work.

    Raises:
        InputError: there is none, for what `wanted_by` names.
    """
    try:
        return _CURRENT.get()
    except LookupError:
        raise InputError(
            f"{wanted_by}: a stage is called within a run; use `with run.active():` around it, "
            "and call it from the thread that runs the flow"
        ) from None
