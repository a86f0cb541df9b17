"""The workers of a run: actors of Ray, each with an engine and a reward model of its own.

A worker keeps what it has loaded from shard to shard and from round to round. It takes a job,
writes the artifact into the store that all share, and answers with its reference. Ray restarts a
worker whose process or node is lost; the job that it had is given to the next one that is free.
"""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from time import monotonic
from typing import Any, NamedTuple

from data.errors import InputError, WorkersLostError
from data.recipes.execution import ExecutionConfig
from data.recipes.recipe import RuntimeConfig
from data.store.artifacts import Artifact
from data.store.digests import digest_of
from data.store.store import Store
from models.devices import LOWERED
from models.host import LIMITS
from models.isolation import ChildDiedError
from tasks.running.cluster import connected
from tasks.running.progress import Progress

LOSSES = 3  # workers that one job may cost before it is taken for their reason
_RESTARTS = 8  # of a worker, by Ray
_LOOK = 1.0  # seconds between two looks at how far they are
_PATIENCE = 60.0  # seconds until it is said that no worker has come


@dataclass(frozen=True)
class Job:
    """A call of a stage, or a shard of one, as it travels."""

    place: tuple[str, str]  # where the stage is found
    inputs: dict[str, Any]
    key: dict[str, Any]
    shard: int | None  # from 0
    call: str  # the key's digest of the whole call
    engine: str  # name of what generates

    @cached_property
    def name(self) -> str:
        return digest_of(self.key)


class Made(NamedTuple):
    """What became of a job."""

    artifact: Artifact
    ran: bool  # the body; else it was there by then


class Setup(NamedTuple):
    """What a worker is made of: what may be in no key, and what its models need."""

    store: str  # its URL
    runtime: RuntimeConfig
    max_length: int
    seed: int
    date: str | None
    folder: str = "."  # where relative names begin


class Ready(NamedTuple):
    """What a worker says of itself."""

    node: str
    pid: int
    computes: dict[str, str]  # what decides its results, by name
    shares: bool  # it sees the store's folder


class Workers:
    """They begin with the first job, and end with `close`. One thread at a time."""

    def __init__(
        self, execution: ExecutionConfig, setup: Setup, worker: type, computes: dict[str, str]
    ) -> None:
        """`worker`: the actor's class; `computes`: what decides the results of this process."""
        self._execution, self.setup, self._class = execution, setup, worker
        self._computes = computes
        self._stack = ExitStack()
        self._ray: Any = None
        self._actors: list[Any] = []
        self._known: dict[Any, Ready] = {}
        self._free: list[Any] = []
        self._busy: dict[Any, tuple[Any, Job | None]] = {}  # by reference; None: it gets ready
        self._todo: deque[Job] = deque()
        self._ended: dict[str, Made | Exception] = {}
        self._losses: Counter[str] = Counter()
        self._landmark: Path | None = None
        self._looked = self._waits = 0.0
        self._given_up = Exception()  # why the latest one does not come back

    @contextmanager
    def at_work(self, jobs: Iterable[Job]) -> Iterator[None]:
        """Within the block these are done, in this order, whichever is asked for first."""
        self._todo.extend(jobs)
        try:
            yield
        finally:
            self._todo.clear()
            self._ended.clear()

    def result(self, job: Job, progress: Progress) -> Made:
        """What became of a job, which is given out if it has not been.

        Raises:
            Exception: what its body raised, as if it had run here.
            ChildDiedError: it has cost LOSSES workers.
            InputError: a worker cannot do as this process does.
            WorkersLostError: none is left.
        """
        self._start()
        given = [*self._todo, *(one for _, one in self._busy.values() if one)]
        if job.name not in self._ended and all(one.name != job.name for one in given):
            self._todo.append(job)
        while job.name not in self._ended:
            self._step(progress)
        ended = self._ended.pop(job.name)
        if isinstance(ended, Exception):
            raise ended
        return ended

    def release(self) -> None:
        """Have their GPUs' memory back, for a training."""
        asked = [actor.release.remote() for actor in self._free]
        if asked:
            self._ray.wait(asked, num_returns=len(asked))

    def close(self) -> None:
        """End them, and the cluster if it is the run's own. Idempotent."""
        for actor in self._actors:
            with suppress(Exception):  # it has gone, or the cluster has
                self._ray.kill(actor)
        self._actors.clear()
        for kept in (self._known, self._free, self._busy, self._todo, self._ended, self._losses):
            kept.clear()
        self._stack.close()
        self._ray = None

    def _start(self) -> None:
        if self._ray is not None:
            return
        execution, store = self._execution, Store(self.setup.store)
        if store.is_local:
            self._landmark = self._stack.enter_context(store.landmark())
        self._ray = self._stack.enter_context(connected(execution))
        make = self._ray.remote(
            num_cpus=execution.cpus_per_worker,
            num_gpus=execution.gpus_per_worker,
            max_restarts=_RESTARTS,
            max_concurrency=1,
            concurrency_groups={"looks": 1},  # answered while a job is at work
            runtime_env={"env_vars": environment(execution)},
        )(self._class)
        self._waits = monotonic() + _PATIENCE
        for _ in range(execution.workers):
            actor = make.remote(self.setup._replace(folder=os.getcwd()))
            self._actors.append(actor)
            self._welcome(actor)

    def _welcome(self, actor: Any) -> None:
        """Have it answer, however often Ray restarts it until then."""
        ready = actor.ready.options(max_task_retries=_RESTARTS).remote(self._landmark)
        self._busy[ready] = actor, None

    def _step(self, progress: Progress) -> None:
        """Give out what there is, and wait a moment for what comes back."""
        if not self._actors:
            logs = "" if self._execution.is_own else "look at Ray's logs, and "
            raise WorkersLostError(
                f"execution: no worker of Ray is left ({_reason(self._given_up)}); {logs}run the "
                "same command again, which goes on where this one was"
            ) from self._given_up
        while self._todo and self._free:
            job, actor = self._todo.popleft(), self._free.pop()
            self._busy[actor.make.remote(job)] = actor, job
        ended, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=_LOOK)
        for reference in ended:
            self._take(reference, progress)
        if monotonic() - self._looked >= _LOOK:
            self._look(progress)
            self._looked = monotonic()
        if not self._known and monotonic() > self._waits:
            self._waits = float("inf")
            progress.note("waiting for a worker of Ray: the cluster may be busy")

    def _take(self, reference: Any, progress: Progress) -> None:
        from ray.exceptions import RayActorError, RayError

        actor, job = self._busy.pop(reference)
        try:
            answer = self._ray.get(reference)
        except RayActorError as error:
            self._lose(actor, job, error, progress)
            return
        except RayError as error:  # it could not read the job, or we not its answer
            if job is None:
                raise
            answer = error
        if job is None:
            self._known[actor] = fitting(answer, self._computes, Store(self.setup.store))
        else:
            self._ended[job.name] = answer
        self._free.append(actor)

    def _lose(self, actor: Any, job: Job | None, error: Exception, progress: Progress) -> None:
        """A process or node is gone: Ray makes another, and the job goes to who is free."""
        if job is None:  # Ray has given it up
            self._actors.remove(actor)
            self._given_up = error
            return
        self._losses[job.name] += 1
        who = self._known[actor]
        if self._losses[job.name] < LOSSES:
            self._todo.appendleft(job)
            progress.note(f"lost a worker, process {who.pid} on {who.node}; another goes on")
        else:
            died = ChildDiedError(f"{LOSSES} workers of Ray died of the same work")
            died.add_note(str(error))
            self._losses[job.name] = 0
            self._ended[job.name] = died
        self._welcome(actor)

    def _look(self, progress: Progress) -> None:
        """Show how far the workers are with what they have."""
        from ray.exceptions import RayError

        at_work = [actor for actor, job in self._busy.values() if job]
        asked = [one.progress.options(concurrency_group="looks").remote() for one in at_work]
        if not asked:
            return
        answered, _ = self._ray.wait(asked, num_returns=len(asked), timeout=_LOOK)
        counts = []
        for reference in answered:
            with suppress(RayError):
                done, total = self._ray.get(reference)
                counts += [(done, total)] if total else []
        if counts:
            done, total = (sum(numbers) for numbers in zip(*counts, strict=True))
            progress.update(done, total, at_once=len(counts))


def fitting(answer: Ready | Exception, computes: dict[str, str], store: Store) -> Ready:
    """A worker that sees the store and computes what this process does. Raises InputError."""
    if isinstance(answer, Exception):
        raise answer
    if not answer.shares:
        raise InputError(
            f"execution.address: {answer.node} does not see the store in {store.root}; share that "
            "folder, or use a store at a URL"
        )
    for name, mine in computes.items():
        if (theirs := answer.computes.get(name)) != mine:
            raise InputError(
                f"execution.address: {name} is {theirs} on {answer.node} and {mine} here, which "
                "would make other results of the same names; install the same"
            )
    return answer


def environment(execution: ExecutionConfig) -> dict[str, str]:
    """Of a worker: threads for its own cores alone, and what decides digits as it is here."""
    passed = (*LOWERED, *LIMITS, "HF_HUB_OFFLINE")
    return {
        **{name: os.environ[name] for name in passed if name in os.environ},
        "OMP_NUM_THREADS": str(execution.cpus_per_worker),
        # Threads that spin while they wait, and vLLM's that hold on to the first cores they see,
        # are in the way of the worker beside.
        "OMP_WAIT_POLICY": "PASSIVE",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shorten((lines or [type(error).__name__])[-1], 200, placeholder=" ...")
